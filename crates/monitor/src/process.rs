//! What the operating system knows of this process: `plinth_process_…`, after that the names that Prometheus' client
//! libraries use. Those names bare are left to the tenants, whose metrics may stand in the same exposition.
//!
//! Read from `/proc` (proc(5)); where there is none, a number is left out.

use std::path::{Path, PathBuf};

use plinth_core::SharedClock;

use crate::exposition::Exposition;

/// Clock ticks per second in `/proc/<pid>/stat`: USER_HZ, 100 on every architecture of Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads the process' own numbers.
pub struct ProcessMetrics {
    folder: PathBuf,
    clock: SharedClock,
    started_monotonic_ms: u64,
    started_wall_ms: i64,
}

impl ProcessMetrics {
    /// Of this process.
    #[must_use]
    pub fn of_this_process(clock: SharedClock) -> Self {
        Self::read_from(Path::new("/proc/self"), clock)
    }

    /// Of the process whose `/proc` folder this is.
    #[must_use]
    pub fn read_from(folder: &Path, clock: SharedClock) -> Self {
        Self {
            folder: folder.to_owned(),
            started_monotonic_ms: clock.monotonic_ms(),
            started_wall_ms: clock.now().0,
            clock,
        }
    }

    /// Writes them. `/proc` is made in memory, so this does not wait for a disk.
    pub fn expose(&self, exposition: &mut Exposition) {
        let uptime_ms = self
            .clock
            .monotonic_ms()
            .saturating_sub(self.started_monotonic_ms);
        let numbers = [
            (
                "plinth_process_resident_memory_bytes",
                "Resident memory in bytes.",
                "gauge",
                self.status_kib("VmRSS:").map(|kib| kib * 1_024.0),
            ),
            (
                "plinth_process_virtual_memory_bytes",
                "Virtual memory in bytes.",
                "gauge",
                self.status_kib("VmSize:").map(|kib| kib * 1_024.0),
            ),
            (
                "plinth_process_threads",
                "Threads.",
                "gauge",
                self.status_kib("Threads:"),
            ),
            (
                "plinth_process_cpu_seconds_total",
                "Processor time of user and system in seconds.",
                "counter",
                self.cpu_seconds(),
            ),
            (
                "plinth_process_open_fds",
                "Open file descriptors.",
                "gauge",
                self.open_files(),
            ),
            (
                "plinth_process_max_fds",
                "Most file descriptors that may be open.",
                "gauge",
                self.open_files_max(),
            ),
            (
                "plinth_process_start_time_seconds",
                "When the process began, unix seconds.",
                "gauge",
                Some(self.started_wall_ms as f64 / 1_000.0),
            ),
            (
                "plinth_process_uptime_seconds",
                "For how long the process runs.",
                "gauge",
                Some(uptime_ms as f64 / 1_000.0),
            ),
        ];
        for (name, help, metric_type, value) in numbers {
            if let Some(value) = value {
                exposition.family(name, help, metric_type);
                exposition.sample(name, "", std::iter::empty(), value);
            }
        }
    }

    fn status_kib(&self, field: &str) -> Option<f64> {
        let status = std::fs::read_to_string(self.folder.join("status")).ok()?;
        let line = status.lines().find(|line| line.starts_with(field))?;
        line.split_ascii_whitespace().nth(1)?.parse().ok()
    }

    fn cpu_seconds(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(self.folder.join("stat")).ok()?;
        // The second field is the program's name in brackets and may hold anything; fields 14 and 15 are the ticks.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace().skip(11);
        let user: f64 = fields.next()?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        Some((user + system) / TICKS_PER_SECOND)
    }

    fn open_files(&self) -> Option<f64> {
        let count = std::fs::read_dir(self.folder.join("fd")).ok()?.count();
        Some(count as f64)
    }

    fn open_files_max(&self) -> Option<f64> {
        let text = std::fs::read_to_string(self.folder.join("limits")).ok()?;
        let line = text
            .lines()
            .find(|line| line.starts_with("Max open files"))?;
        line.split_ascii_whitespace().nth(3)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use plinth_core::{ManualClock, TimestampMs};

    use super::*;

    #[test]
    fn numbers_are_read_and_what_is_not_there_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(
            folder.path().join("stat"),
            "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0",
        )
        .expect("writes");
        std::fs::write(folder.path().join("status"), "Name:\tx\nVmRSS:\t  12 kB\n")
            .expect("writes");
        let clock = ManualClock::starting_at(TimestampMs(5_000));
        let process = ProcessMetrics::read_from(folder.path(), clock.clone());
        clock.advance_ms(1_500);
        let mut exposition = Exposition::default();
        process.expose(&mut exposition);
        let text = exposition.finish();
        for line in [
            "plinth_process_resident_memory_bytes 12288",
            "plinth_process_cpu_seconds_total 3",
            "plinth_process_start_time_seconds 5",
            "plinth_process_uptime_seconds 1.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(!text.contains("plinth_process_open_fds"));
    }
}
