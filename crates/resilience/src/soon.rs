//! Time-outs for what mostly needs none.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// Waits for something at most so long; `None` where that was too short.
///
/// What is there at once costs no timer: setting one is a turn at a lock that all threads of the runtime share.
pub async fn soon<F: Future>(within: Duration, mut work: Pin<&mut F>) -> Option<F::Output> {
    match futures::poll!(&mut work) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => tokio::time::timeout(within, work).await.ok(),
    }
}

/// The same up to an instant.
pub async fn soon_until<F: Future>(until: Instant, mut work: Pin<&mut F>) -> Option<F::Output> {
    match futures::poll!(&mut work) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => timeout_at(until, work).await.ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);
    const SHORT: Duration = Duration::from_millis(5);

    /// Without a driver for timers, setting one would panic.
    #[test]
    fn what_is_there_at_once_needs_no_timer() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            assert_eq!(soon(LONG, pin!(ready(1))).await, Some(1));
            assert_eq!(soon_until(Instant::now(), pin!(ready(2))).await, Some(2));
        });
    }

    #[tokio::test]
    async fn what_comes_later_is_waited_for_as_long_as_allowed() {
        let later = || tokio::time::sleep(SHORT);
        assert_eq!(soon(LONG, pin!(later())).await, Some(()));
        assert_eq!(soon(SHORT, pin!(pending::<()>())).await, None);
        let begun = Instant::now();
        assert_eq!(soon_until(begun + SHORT, pin!(pending::<()>())).await, None);
        assert!(begun.elapsed() >= SHORT);
    }
}
