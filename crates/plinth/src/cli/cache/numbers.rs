//! How numbers of a namespace are shown.

use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, HumanDuration};
use plinth_client::{CacheHotKeys, CacheLatency, CacheStats, CacheStep};

use crate::cli::Table;

/// Cells of the longest bar.
const BAR_CELLS: u64 = 30;

/// The statistics, in sections; those of which there is nothing to tell are left out.
pub(super) fn stats_text(stats: &CacheStats) -> String {
    let mut sections = vec![totals(stats).text()];
    if !stats.latencies.is_empty() {
        sections.push(times(&stats.latencies).text());
    }
    if stats.sampled > 0 {
        let of = format!("of {} entries taken at random", stats.sampled);
        let size = |bytes: i64| format!("up to {}", HumanBytes(bytes.unsigned_abs()));
        sections.push(spread("value", &of, &stats.sizes, size).text());
        let life = |ms: i64| {
            let life = Duration::from_millis(ms.unsigned_abs());
            format!("up to {}", HumanDuration(life))
        };
        sections.push(spread("left to live", &of, &stats.lives, life).text());
    }
    sections.join("\n\n")
}

fn totals(stats: &CacheStats) -> Table {
    let mut table = Table::new(["what", "value"]);
    for (what, value) in [
        ("backend", stats.backend.clone()),
        ("keys", stats.keys.to_string()),
        ("memory", memory(stats)),
        ("hit rate", format!("{:.1} %", stats.hit_rate * 100.0)),
        ("hits", stats.hits.to_string()),
        ("misses", stats.misses.to_string()),
        ("stale hits", stats.stale_hits.to_string()),
        ("near hits", stats.near_hits.to_string()),
        ("known absent", stats.negative_hits.to_string()),
        ("sets", stats.sets.to_string()),
        ("deletes", stats.deletes.to_string()),
        ("expired", stats.expired.to_string()),
        ("evicted", stats.evicted.to_string()),
        ("loads", stats.loads.to_string()),
        ("load errors", stats.load_errors.to_string()),
        ("load time", load_time(stats)),
    ] {
        table.row([what.to_owned(), value]);
    }
    table
}

/// Memory held, and the bound where the backend knows one.
fn memory(stats: &CacheStats) -> String {
    let held = HumanBytes(stats.bytes.unsigned_abs());
    match stats.bytes_max {
        0 => held.to_string(),
        max => format!("{held} of {}", HumanBytes(max.unsigned_abs())),
    }
}

/// How long the loader takes, on average and at most.
fn load_time(stats: &CacheStats) -> String {
    let Some(average_us) = stats.load_us_total.checked_div(stats.loads) else {
        return "–".to_owned();
    };
    format!("{average_us} µs, at most {} µs", stats.load_us_max)
}

fn times(latencies: &[CacheLatency]) -> Table {
    let mut table = Table::new(["call", "about", "half within", "95 %", "99 %", "longest"]);
    for latency in latencies {
        let calls = HumanCount(latency.calls.unsigned_abs()).to_string();
        let shares = [
            latency.p50_us,
            latency.p95_us,
            latency.p99_us,
            latency.max_us,
        ];
        let [p50, p95, p99, max] = shares.map(micros);
        table.row([latency.operation.clone(), calls, p50, p95, p99, max]);
    }
    table
}

fn micros(micros: f64) -> String {
    if micros < 1_000.0 {
        return format!("{micros:.1} µs");
    }
    format!("{:.1} ms", micros / 1_000.0)
}

/// Steps with their bars, from the first to the last that has entries.
fn spread(what: &str, of: &str, steps: &[CacheStep], end: impl Fn(i64) -> String) -> Table {
    let mut table = Table::new([what, "entries", of]);
    let is_full = |step: &CacheStep| step.entries > 0;
    let first = steps.iter().position(is_full).unwrap_or(0);
    let last = steps.iter().rposition(is_full).unwrap_or(0);
    let most = steps.iter().map(|step| step.entries).max().unwrap_or(0);
    for step in steps.iter().take(last + 1).skip(first) {
        let name = step.up_to.map_or("for ever".to_owned(), &end);
        table.row([name, step.entries.to_string(), bar(step.entries, most)]);
    }
    table
}

/// The hot keys, with the share of the reads that each has at least.
pub(super) fn hot_table(hottest: &CacheHotKeys) -> Table {
    let of = format!(
        "of about {} reads",
        HumanCount(hottest.reads.unsigned_abs())
    );
    let mut table = Table::new(["key", "reads", "share", &of]);
    for hot in &hottest.keys {
        let reads = match (hot.reads_min, hot.reads_max) {
            (min, max) if min == max => min.to_string(),
            (min, max) => format!("{min} to {max}"),
        };
        let tenths = hot.reads_min.saturating_mul(1_000) / hottest.reads.max(1);
        let share = format!("{}.{} %", tenths / 10, tenths % 10);
        table.row([
            hot.key.clone(),
            reads,
            share,
            bar(hot.reads_min, hottest.reads),
        ]);
    }
    table
}

/// A bar as long as the share; what is there at all has one cell at least.
fn bar(part: i64, whole: i64) -> String {
    let (part, whole) = (part.unsigned_abs(), whole.unsigned_abs());
    if part == 0 || whole == 0 {
        return String::new();
    }
    let cells = part
        .saturating_mul(BAR_CELLS)
        .div_ceil(whole)
        .min(BAR_CELLS);
    "█".repeat(usize::try_from(cells).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use plinth_client::CacheHotKey;

    use super::*;

    fn step(up_to: Option<i64>, entries: i64) -> CacheStep {
        CacheStep { up_to, entries }
    }

    #[test]
    fn statistics_read_from_top_to_bottom() {
        let stats = CacheStats {
            hits: 9,
            misses: 1,
            hit_rate: 0.9,
            sets: 4,
            deletes: 0,
            expired: 0,
            evicted: 0,
            keys: 4,
            bytes: 2_048,
            bytes_max: 0,
            backend: "redis".to_owned(),
            stale_hits: 0,
            negative_hits: 0,
            loads: 0,
            load_errors: 0,
            load_us_total: 0,
            load_us_max: 0,
            near_hits: 7,
            latencies: vec![CacheLatency {
                operation: "get".to_owned(),
                calls: 1_600,
                p50_us: 0.75,
                p95_us: 20.0,
                p99_us: 999.9,
                max_us: 2_500.0,
            }],
            sampled: 4,
            sizes: vec![
                step(Some(64), 0),
                step(Some(256), 3),
                step(Some(1_024), 1),
                step(Some(4_096), 0),
            ],
            lives: vec![step(Some(60_000), 1), step(None, 3)],
        };
        let text = stats_text(&stats);
        for line in [
            "memory        2.00 KiB",
            "near hits     7",
            "get   1,600  0.8 µs       20.0 µs  999.9 µs  2.5 ms",
            "up to 256 B     3        ██████████████████████████████",
            "up to 1.00 KiB  1        ██████████",
            "up to 60 seconds  1        ██████████",
            "for ever          3        ██████████████████████████████",
        ] {
            let found = text.lines().any(|shown| shown.trim() == line);
            assert!(found, "no line {line:?} in\n{text}");
        }
        assert!(!text.contains("up to 64 B"), "{text}");
        let nothing = CacheStats {
            latencies: Vec::new(),
            sampled: 0,
            ..stats
        };
        assert!(!stats_text(&nothing).contains("entries"));
    }

    #[test]
    fn hot_keys_show_their_share() {
        let key = |key: &str, reads_min, reads_max| CacheHotKey {
            key: key.to_owned(),
            reads_min,
            reads_max,
        };
        let hottest = CacheHotKeys {
            reads: 1_000,
            keys: vec![key("A-1", 500, 500), key("A-2", 1, 20)],
        };
        let text = hot_table(&hottest).text();
        for line in [
            "A-1  500      50.0 %  ███████████████",
            "A-2  1 to 20  0.1 %   █",
        ] {
            let found = text.lines().any(|shown| shown.trim() == line);
            assert!(found, "no line {line:?} in\n{text}");
        }
    }
}
