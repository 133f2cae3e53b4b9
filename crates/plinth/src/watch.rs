//! Whether what the instance stands on is still there: the control database answers, the files of the engines are those
//! that were opened, and the disk takes what is written to them. Looked at while the server runs, so that its health turns within a second, both ways.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plinth_resilience::health::Component;
use plinth_store::{ControlStore, WriteCondition};
use tokio_util::sync::CancellationToken;

/// Time between two looks, in milliseconds.
const LOOK_EVERY_MS: u64 = 200;
/// How long the control database may take to answer a look, in milliseconds. With the time between two looks a second.
const ANSWER_MS_MAX: u64 = 700;

/// A file, and the part of the instance that lives in it.
pub(crate) struct WatchedFile {
    component: Component,
    path: PathBuf,
    /// Device and number of the file that was opened.
    identity: (u64, u64),
    /// Whether the engine that writes it can.
    writes: Option<WriteCondition>,
}

impl WatchedFile {
    /// Watches a file that was just opened. Errors: it cannot be looked at.
    pub(crate) fn new(component: Component, path: PathBuf) -> std::io::Result<Self> {
        Ok(Self {
            component,
            identity: identity(&std::fs::metadata(&path)?),
            path,
            writes: None,
        })
    }

    /// Watches the engine that writes the file as well.
    pub(crate) fn written_by(mut self, condition: WriteCondition) -> Self {
        self.writes = Some(condition);
        self
    }

    async fn look(&self) {
        let name = self.path.file_name().unwrap_or_default().display();
        match tokio::fs::metadata(&self.path).await {
            Ok(found) if identity(&found) == self.identity => {
                match self.writes.as_ref().and_then(WriteCondition::refusal) {
                    None => self.component.up(),
                    Some(why) => self.component.down(format!(
                        "the disk refuses writes to {name} ({why}); what is there can be read; free or repair the disk"
                    )),
                }
            }
            Ok(_other) => self.component.down(format!(
                "{name} is another file than the one that was opened; put the old one back or restart"
            )),
            Err(error) => self.component.down(format!(
                "{name} cannot be found in the data directory any more ({}); put it back or restart",
                error.kind()
            )),
        }
    }
}

fn identity(metadata: &std::fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// Everything that is looked at.
pub(crate) struct Watch {
    /// The control plane and the part that reports it; its file is looked at too, where it has one.
    pub(crate) control: (Arc<ControlStore>, Component),
    /// The locks, where the control database keeps them.
    pub(crate) locks: Option<Component>,
    /// The file of the control plane, where it has one.
    pub(crate) control_file: Option<WatchedFile>,
    /// The files of the engines.
    pub(crate) files: Vec<WatchedFile>,
}

impl Watch {
    /// Looks again and again, until the instance ends.
    pub(crate) async fn until(self, stop: CancellationToken) {
        let mut looks = tokio::time::interval(Duration::from_millis(LOOK_EVERY_MS));
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
            }
            tokio::join!(self.look_at_control(), async {
                for file in &self.files {
                    file.look().await;
                }
            });
        }
    }

    async fn look_at_control(&self) {
        let (store, component) = &self.control;
        let bound = Duration::from_millis(ANSWER_MS_MAX);
        let answers = matches!(tokio::time::timeout(bound, store.ping()).await, Ok(Ok(())));
        if let Some(locks) = &self.locks {
            if answers {
                locks.up();
            } else {
                locks.down(
                    "the control database does not answer: no lock is granted, renewed or released",
                );
            }
        }
        match &self.control_file {
            _ if !answers => component.down(
                "the control database does not answer: no key is let in that was not in the last second, no definition changes",
            ),
            Some(file) => file.look().await,
            None => component.up(),
        }
    }
}
