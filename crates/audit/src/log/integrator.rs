//! The integrator: takes durable leaves into bundles and tiles and signs a checkpoint over them, at most one interval
//! after the tree grew.
//!
//! The order of one round is what makes a crash harmless: full tiles and bundles, partial ones, then the signed
//! checkpoint into `audit.db` together with the removal of the leaves under it, then the published file. After a crash
//! the round begins again at the checkpoint that was kept last, and writes the same bytes to the same places.

use std::sync::Arc;

use plinth_core::Deadline;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::condition::Condition;
use super::files::LogFiles;
use super::sequencer::Sequencer;
use super::tiles::TileWriter;
use crate::error::AuditError;
use crate::service::AuditHandles;
use crate::tree::note::NOTE_BYTES_MAX;
use crate::tree::{Checkpoint, NoteSigner, NoteVerifier, merkle};

/// File of the latest checkpoint, under the log's directory.
pub const CHECKPOINT_FILE: &str = "checkpoint";

/// The latest checkpoint, as everybody may see it.
#[derive(Clone, Debug)]
pub struct Published {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The signed note.
    pub note: String,
}

/// Integrates one log.
pub struct Integrator {
    sequencer: Sequencer,
    files: Arc<dyn LogFiles>,
    signer: NoteSigner,
    handles: AuditHandles,
    condition: Arc<Condition>,
    interval_ms: u64,
    published: watch::Sender<Arc<Published>>,
    urgent: Notify,
}

impl Integrator {
    /// Resumes the log, and publishes the checkpoint that a crash may have left unpublished; a new log begins with a
    /// checkpoint over the empty tree. Errors: what is on disk cannot be what was written.
    pub async fn open(
        sequencer: Sequencer,
        files: Arc<dyn LogFiles>,
        signer: NoteSigner,
        handles: AuditHandles,
        condition: Arc<Condition>,
        interval_ms: u64,
    ) -> Result<(Arc<Self>, TileWriter), AuditError> {
        let empty = Published {
            checkpoint: Checkpoint {
                origin: signer.verifier().name().to_owned(),
                size: 0,
                root: merkle::empty_root(),
            },
            note: String::new(),
        };
        let integrator = Self {
            sequencer,
            files,
            signer,
            handles,
            condition,
            interval_ms,
            published: watch::Sender::new(Arc::new(empty)),
            urgent: Notify::new(),
        };
        let writer = integrator.recover().await?;
        integrator.sequencer.check_staged(writer.size()).await?;
        Ok((Arc::new(integrator), writer))
    }

    /// The latest checkpoint, and word of each new one.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Arc<Published>> {
        self.published.subscribe()
    }

    /// The public key of the log.
    #[must_use]
    pub fn verifier(&self) -> &NoteVerifier {
        self.signer.verifier()
    }

    /// The files of the log.
    #[must_use]
    pub fn files(&self) -> Arc<dyn LogFiles> {
        Arc::clone(&self.files)
    }

    /// Waits for a checkpoint over at least `size` leaves, and has one made at once. Errors: none came in time.
    pub async fn reach(&self, size: u64, deadline: Deadline) -> Result<Arc<Published>, AuditError> {
        let mut published = self.published();
        self.urgent.notify_one();
        let reached = published.wait_for(|published| published.checkpoint.size >= size);
        match tokio::time::timeout_at(deadline.instant().into(), reached).await {
            Ok(Ok(published)) => Ok(Arc::clone(&published)),
            Ok(Err(_closed)) => Err(AuditError::Closed),
            Err(_elapsed) => Err(AuditError::NotIntegrated),
        }
    }

    /// Integrates until it is told to stop, then a last time.
    pub async fn run(self: Arc<Self>, writer: TileWriter, stop: CancellationToken) {
        let mut writer = Some(writer);
        let mut durable = self.sequencer.durable();
        durable.mark_changed();
        let mut next_round_ms = 0;
        while !stop.is_cancelled() {
            tokio::select! {
                grown = durable.changed(), if writer.is_some() => if grown.is_err() { break },
                () = stop.cancelled() => break,
                // After a failure the next attempt does not wait for growth.
                () = self.handles.clock.sleep_until_monotonic(next_round_ms), if writer.is_none() => {}
            }
            tokio::select! {
                () = self.handles.clock.sleep_until_monotonic(next_round_ms) => {}
                () = self.urgent.notified() => {}
                () = stop.cancelled() => {}
            }
            let target = *durable.borrow_and_update();
            next_round_ms = self
                .handles
                .clock
                .monotonic_ms()
                .saturating_add(self.interval_ms);
            writer = self.round_or_report(writer, target).await;
        }
        let target = *durable.borrow();
        self.round_or_report(writer, target).await;
    }

    /// One round; after a failure there is no writer, and the next round begins with recovery.
    async fn round_or_report(&self, writer: Option<TileWriter>, target: u64) -> Option<TileWriter> {
        match self.round(writer, target).await {
            Ok(writer) => {
                self.condition.integrated();
                Some(writer)
            }
            Err(error) => {
                self.condition.cannot_integrate();
                self.handles
                    .metrics
                    .add("plinth_audit_integration_failures_total", &[], 1);
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "audit.integration failed"
                );
                None
            }
        }
    }

    async fn round(
        &self,
        writer: Option<TileWriter>,
        target: u64,
    ) -> Result<TileWriter, AuditError> {
        let mut writer = match writer {
            Some(writer) => writer,
            None => self.recover().await?,
        };
        if writer.size() >= target {
            return Ok(writer);
        }
        let began_ns = self.handles.clock.monotonic_ns();
        while writer.size() < target {
            let leaves = self.sequencer.staged(writer.size(), target).await?;
            if leaves.is_empty() {
                let message = format!("is short of leaf {}", writer.size());
                return Err(AuditError::tampered("audit.db", message));
            }
            writer = blocking(move || {
                writer.append(&leaves)?;
                Ok(writer)
            })
            .await?;
        }
        let (writer, checkpoint) = self.seal(writer).await?;
        let elapsed_ns = self.handles.clock.monotonic_ns().saturating_sub(began_ns);
        self.handles.metrics.observe(
            "plinth_audit_integration_seconds",
            &[],
            std::time::Duration::from_nanos(elapsed_ns).as_secs_f64(),
        );
        tracing::debug!(size = checkpoint.size, "audit.checkpoint published");
        Ok(writer)
    }

    /// Makes the right edge durable, signs the tree, keeps the checkpoint and publishes it.
    async fn seal(&self, mut writer: TileWriter) -> Result<(TileWriter, Checkpoint), AuditError> {
        writer = blocking(move || {
            writer.write_edge()?;
            Ok(writer)
        })
        .await?;
        let checkpoint = Checkpoint {
            origin: self.signer.verifier().name().to_owned(),
            size: writer.size(),
            root: writer.root(),
        };
        let note = checkpoint.sign(&self.signer);
        self.sequencer
            .keep_checkpoint(&checkpoint, note.clone())
            .await?;
        self.publish(checkpoint.clone(), note).await?;
        Ok((writer, checkpoint))
    }

    async fn publish(&self, checkpoint: Checkpoint, note: String) -> Result<(), AuditError> {
        let files = Arc::clone(&self.files);
        let bytes = note.clone();
        blocking(move || {
            files
                .write(CHECKPOINT_FILE, bytes.as_bytes())
                .map_err(|source| AuditError::file(CHECKPOINT_FILE, source))
        })
        .await?;
        self.handles
            .metrics
            .set("plinth_audit_tree_size", &[], approximate(checkpoint.size));
        self.published
            .send_replace(Arc::new(Published { checkpoint, note }));
        Ok(())
    }

    /// Brings file and memory to the checkpoint that was kept last, and reads the right edge of its tree.
    async fn recover(&self) -> Result<TileWriter, AuditError> {
        let kept = self.sequencer.latest_checkpoint().await?;
        let files = Arc::clone(&self.files);
        let found = blocking(move || read_checkpoint(&*files)).await?;
        let found = match &found {
            Some(note) => Some(
                Checkpoint::open(note, self.signer.verifier())
                    .map_err(|error| AuditError::tampered(CHECKPOINT_FILE, error.to_string()))?,
            ),
            None => None,
        };
        let Some(kept) = kept else {
            if found.is_some() {
                let message = "does not know the checkpoint that was published: it was replaced or rolled back";
                return Err(AuditError::tampered("audit.db", message));
            }
            let files = Arc::clone(&self.files);
            let writer =
                blocking(move || TileWriter::resume(files, 0, &merkle::empty_root())).await?;
            let (writer, _checkpoint) = self.seal(writer).await?;
            return Ok(writer);
        };
        let checkpoint = Checkpoint::open(&kept.note, self.signer.verifier())
            .map_err(|error| AuditError::tampered("audit.db checkpoints", error.to_string()))?;
        check_published(found.as_ref(), &checkpoint)?;
        let (files, size, root) = (Arc::clone(&self.files), checkpoint.size, checkpoint.root);
        let writer = blocking(move || TileWriter::resume(files, size, &root)).await?;
        self.publish(checkpoint, kept.note).await?;
        Ok(writer)
    }
}

/// The published file may be one step behind what was kept, never ahead of it and never another one.
fn check_published(found: Option<&Checkpoint>, kept: &Checkpoint) -> Result<(), AuditError> {
    match found {
        Some(found) if found.size > kept.size => Err(AuditError::tampered(
            "audit.db",
            format!(
                "ends at checkpoint {}, but checkpoint {} was published: it was rolled back",
                kept.size, found.size
            ),
        )),
        Some(found) if found.size == kept.size && found.root != kept.root => Err(
            AuditError::tampered(CHECKPOINT_FILE, "differs from the checkpoint that was kept"),
        ),
        _ => Ok(()),
    }
}

fn read_checkpoint(files: &dyn LogFiles) -> Result<Option<String>, AuditError> {
    let bytes = files
        .read(CHECKPOINT_FILE, NOTE_BYTES_MAX)
        .map_err(|source| AuditError::file(CHECKPOINT_FILE, source))?;
    let Some(bytes) = bytes else { return Ok(None) };
    String::from_utf8(bytes.into())
        .map(Some)
        .map_err(|_| AuditError::tampered(CHECKPOINT_FILE, "is not a signed note"))
}

/// Runs file work off the runtime.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AuditError> + Send + 'static,
) -> Result<T, AuditError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_ended) => Err(AuditError::Closed),
    }
}

/// A count as a gauge's value: exact up to 2⁵³.
#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a double; beyond 2^53 the last digits do not matter"
)]
pub(crate) fn approximate(count: u64) -> f64 {
    count as f64
}
