//! Kill -9: what was acknowledged is there after a restart, and a retry with the same key counts once.
//!
//! The test starts itself as a child that increments a counter, one idempotency key after the other, and tells each
//! acknowledgement; it kills the child in the middle, opens the file, and sends every key again.
#![expect(
    clippy::expect_used,
    reason = "the helpers are test code outside #[test] functions"
)]

mod support;

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use plinth_core::{SharedClock, SystemClock};
use plinth_monitor::{
    EmbeddedBackend, EmbeddedOptions, IncrementCounterRequest, MonitorService, MonitorSettings,
    OwnMetrics,
};
use plinth_store::EngineLocation;
use plinth_store::memory::MemoryDefinitions;
use support::{aggregate, context, keyed, only_value};

/// Names the folder of the file to the child.
const FOLDER: &str = "PLINTH_TEST_MONITOR_FOLDER";
/// After how many acknowledgements the child is killed.
const ACKNOWLEDGED: usize = 60;
/// How many callers increment at once in the child.
const CALLERS: usize = 8;

async fn open(folder: &Path) -> MonitorService {
    let clock: SharedClock = SystemClock::shared();
    let settings = MonitorSettings::default();
    let backend = EmbeddedBackend::open(EmbeddedOptions {
        location: EngineLocation::File(folder.join("monitor.db")),
        settings: settings.clone(),
        clock: Arc::clone(&clock),
        metrics: Arc::new(OwnMetrics::new(Arc::clone(&clock))),
    })
    .await
    .expect("opens");
    // The child's control plane dies with it; the counter registers itself anew by the same rules.
    let definitions = Arc::new(MemoryDefinitions::new(Arc::clone(&clock)));
    MonitorService::open(Arc::new(backend), definitions, settings, clock)
        .await
        .expect("starts")
}

async fn increment(service: &MonitorService, key: &str) -> f64 {
    let request = IncrementCounterRequest {
        metric: "reviews_total".to_owned(),
        ..IncrementCounterRequest::default()
    };
    let reply = service.increment_counter(&keyed(key), request).await;
    reply.expect("counts").total
}

/// What the child does, until it is killed. In the test run itself there is no folder, and nothing to do.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let service = Arc::new(open(Path::new(&folder)).await);
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let service = Arc::clone(&service);
                tokio::spawn(async move {
                    for number in 0.. {
                        let key = format!("{caller}-{number}");
                        increment(&service, &key).await;
                        // One write of a whole line, so that lines do not mix.
                        let line = format!("acknowledged {key}\n");
                        let mut stdout = std::io::stdout();
                        stdout.write_all(line.as_bytes()).expect("tells");
                        stdout.flush().expect("tells");
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.expect("is killed before it ends");
        }
    });
}

#[test]
fn acknowledged_increments_survive_a_kill_and_count_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let stdout = BufReader::new(child.stdout.take().expect("its output"));
    let mut lines = stdout.lines().map_while(Result::ok);
    let acknowledged = |line: String| {
        let (_, key) = line.split_once("acknowledged ")?;
        Some(key.trim().to_owned())
    };
    let mut keys: Vec<String> = lines
        .by_ref()
        .filter_map(acknowledged)
        .take(ACKNOWLEDGED)
        .collect();
    child.kill().expect("is killed");
    child.wait().expect("ends");
    // What it still told before it died was acknowledged too.
    keys.extend(lines.filter_map(acknowledged));
    assert!(keys.len() >= ACKNOWLEDGED);

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let service = open(folder.path()).await;
        // The next key of each caller may or may not have been written: its retry settles it.
        let mut all: Vec<String> = keys.clone();
        for caller in 0..CALLERS {
            let prefix = format!("{caller}-");
            let sent = keys.iter().filter(|key| key.starts_with(&prefix)).count();
            all.push(format!("{caller}-{sent}"));
        }
        for key in &all {
            increment(&service, key).await;
        }
        let total = service
            .get_metrics(&context(), aggregate("reviews_total", "sum"))
            .await;
        let total = only_value(&total.expect("answers"));
        assert_eq!(total, f64::from(u32::try_from(all.len()).expect("a few")));
        service.close().await;
    });
}
