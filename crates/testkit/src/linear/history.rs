//! What clients asked, what they were told, and when.

use std::time::Instant;

use parking_lot::Mutex;
use plinth_client::ClientError;
use plinth_core::Outcome;

/// How an operation ended, as its client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended<O> {
    /// With an answer.
    Answered {
        /// The answer; a refused condition is one too, since it tells of the state.
        output: O,
        /// When it was read, in nanoseconds on the history's clock.
        at_ns: u64,
    },
    /// It failed and changed nothing; it does not count.
    NotApplied,
    /// It may take effect at any time after it was asked for, or never.
    Unknown,
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<I, O> {
    /// Who asked.
    pub client: u32,
    /// What was asked.
    pub input: I,
    /// When, in nanoseconds on the history's clock.
    pub invoked_ns: u64,
    /// How it ended.
    pub ended: Ended<O>,
}

impl<I, O> Operation<I, O> {
    /// The answer, where there is one.
    pub const fn output(&self) -> Option<&O> {
        match &self.ended {
            Ended::Answered { output, .. } => Some(output),
            Ended::NotApplied | Ended::Unknown => None,
        }
    }
}

/// Records operations of many clients on one monotonic clock.
pub struct Recorder<K, I, O> {
    began: Instant,
    operations: Mutex<Vec<(K, Operation<I, O>)>>,
}

impl<K, I, O> Default for Recorder<K, I, O> {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            operations: Mutex::default(),
        }
    }
}

impl<K, I, O> Recorder<K, I, O> {
    /// Begins an operation, to be called just before it is sent. A value that is dropped, for instance with a cancelled call,
    /// counts as unknown.
    pub fn begin(&self, client: u32, key: K, input: I) -> Underway<'_, K, I, O> {
        Underway {
            recorder: self,
            asked: Some((key, client, input)),
            invoked_ns: self.now_ns(),
        }
    }

    /// Records a call of `plinth-client`, whose retries must be off: a call that is made twice may take effect twice.
    ///
    /// `read` makes the answer out of how the call ended. Where it gives none, an error counts by what it says of the
    /// effect, and a success as unknown.
    pub async fn call<T>(
        &self,
        client: u32,
        key: K,
        input: I,
        call: impl Future<Output = Result<T, ClientError>>,
        read: impl FnOnce(&Result<T, ClientError>) -> Option<O>,
    ) -> Result<T, ClientError> {
        let underway = self.begin(client, key, input);
        let result = call.await;
        let at_ns = self.now_ns();
        underway.end(match (read(&result), &result) {
            (Some(output), _) => Ended::Answered { output, at_ns },
            (None, Err(error)) if error.outcome == Outcome::NotApplied => Ended::NotApplied,
            (None, _) => Ended::Unknown,
        });
        result
    }

    /// Operations that have ended so far.
    pub fn len(&self) -> usize {
        self.operations.lock().len()
    }

    /// Whether none has ended so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was recorded. Nothing may be under way any more, which the borrows of [`Underway`] see to.
    pub fn into_history(self) -> Vec<(K, Operation<I, O>)> {
        self.operations.into_inner()
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// An operation that was begun.
#[must_use = "an operation that is dropped counts as one of unknown end"]
pub struct Underway<'recorder, K, I, O> {
    recorder: &'recorder Recorder<K, I, O>,
    asked: Option<(K, u32, I)>,
    invoked_ns: u64,
}

impl<K, I, O> Underway<'_, K, I, O> {
    /// It ends now with an answer.
    pub fn answered(self, output: O) {
        let at_ns = self.recorder.now_ns();
        self.end(Ended::Answered { output, at_ns });
    }

    /// It ends now with an answer that says more of what was asked: for how long, for instance.
    pub fn answered_as(mut self, input: I, output: O) {
        if let Some((_, _, asked)) = &mut self.asked {
            *asked = input;
        }
        self.answered(output);
    }

    /// It failed and changed nothing.
    pub fn not_applied(self) {
        self.end(Ended::NotApplied);
    }

    /// Nobody knows.
    pub fn unknown(self) {
        self.end(Ended::Unknown);
    }

    fn end(mut self, ended: Ended<O>) {
        self.note(ended);
    }

    fn note(&mut self, ended: Ended<O>) {
        if let Some((key, client, input)) = self.asked.take() {
            let operation = Operation {
                client,
                input,
                invoked_ns: self.invoked_ns,
                ended,
            };
            self.recorder.operations.lock().push((key, operation));
        }
    }
}

impl<K, I, O> Drop for Underway<'_, K, I, O> {
    fn drop(&mut self) {
        self.note(Ended::Unknown);
    }
}
