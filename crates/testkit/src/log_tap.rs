//! The log of this thread, as something a test can wait for.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::subscriber::DefaultGuard;

/// Longest that a test waits for a line.
const PATIENCE: Duration = Duration::from_secs(20);

/// Listens to what the thread logs from its start to its drop. A test on tokio's current-thread runtime sees its whole server.
pub struct LogTap {
    text: watch::Receiver<String>,
    _guard: DefaultGuard,
}

impl LogTap {
    /// Begins to listen, at level `info` and above.
    #[must_use]
    pub fn start() -> Self {
        let (sender, text) = watch::channel(String::new());
        let sender = Arc::new(sender);
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || Tap(Arc::clone(&sender)))
            .finish();
        Self {
            text,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// Waits for the first line that holds `part`, of those before and those to come.
    ///
    /// # Panics
    ///
    /// Where it does not come within 20 seconds.
    #[expect(
        clippy::panic,
        reason = "a test that waits in vain has failed, and says for what"
    )]
    pub async fn line_with(&mut self, part: &str) -> String {
        let find = |text: &String| {
            text.lines()
                .find(|line| line.contains(part))
                .map(str::to_owned)
        };
        let logged = self.text.wait_for(|text| find(text).is_some());
        match timeout(PATIENCE, logged).await {
            Ok(Ok(text)) => find(&text).unwrap_or_default(),
            // The subscriber holds the sender for as long as the guard lives, so it is the time that ended.
            _ => panic!("{part:?} was not logged within {PATIENCE:?}"),
        }
    }

    /// How many lines so far hold `part`.
    #[must_use]
    pub fn count(&self, part: &str) -> usize {
        let text = self.text.borrow();
        text.lines().filter(|line| line.contains(part)).count()
    }
}

struct Tap(Arc<watch::Sender<String>>);

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .send_modify(|text| text.push_str(&String::from_utf8_lossy(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
