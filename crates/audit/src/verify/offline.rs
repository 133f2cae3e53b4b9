//! Verification without a server: over a directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags};

use super::tree_check::{Halt, TreeCheck};
use super::{Counts, Discrepancy, DiscrepancyKind, reply};
use crate::backend::sqlite::{check, indexed};
use crate::error::AuditError;
use crate::log::files::{Directory, LogFiles};
use crate::log::integrator::CHECKPOINT_FILE;
use crate::log::key::PUBLIC_KEY_FILE;
use crate::log::sequencer::{KeptCheckpoint, checkpoints};
use crate::model::VerifyReply;
use crate::tree::note::NOTE_BYTES_MAX;
use crate::tree::{Checkpoint, NoteError, NoteVerifier, TILE_WIDTH};

/// Folder of the audit block in a data directory.
pub const AUDIT_FOLDER: &str = "audit";
/// Folder of the tiles and the checkpoint in the audit directory: the part that may be published.
pub const LOG_FOLDER: &str = "log";
/// File of the durable leaves and the kept checkpoints in the audit directory.
pub const LOG_DATABASE: &str = "audit.db";
/// File of the query index in the audit directory.
pub const INDEX_DATABASE: &str = "index.db";

/// What to verify, and by what.
#[derive(Clone, Debug)]
pub struct OfflineRequest {
    /// A data directory, its `audit` directory, or the directory of the tiles.
    pub directory: PathBuf,
    /// The text of the public key; absent takes `log.pub` of the audit directory, which whoever could change the log
    /// could change as well.
    pub public_key: Option<String>,
    /// A checkpoint that was seen earlier.
    pub pinned: Option<String>,
}

/// What was found, and what could not be looked at.
#[derive(Clone, Debug)]
pub struct OfflineReport {
    /// The findings, as the server answers them.
    pub reply: VerifyReply,
    /// What was not covered, for people.
    pub notes: Vec<String>,
}

/// Where things stand.
struct Layout {
    log: PathBuf,
    audit: Option<PathBuf>,
}

/// Verifies a directory. A server may be running on it.
///
/// Errors: there is no log, no key, or a file cannot be read. What was tampered with is no error but a discrepancy.
pub fn verify_directory(request: &OfflineRequest) -> Result<OfflineReport, AuditError> {
    let layout = find_layout(&request.directory)?;
    let verifier = read_key(&layout, request.public_key.as_deref())?;
    let mut notes = Vec::new();
    if request.public_key.is_none() {
        notes.push(
            "the public key was taken from the directory itself; give a copy kept elsewhere"
                .to_owned(),
        );
    }
    if request.pinned.is_none() {
        notes.push("no earlier checkpoint was given: a directory put back to an older state would not show".to_owned());
    }
    let mut walk = Walk {
        files: Arc::new(Directory::new(layout.log)),
        verifier,
        history: open_database(layout.audit.as_deref(), LOG_DATABASE, &mut notes),
        index: open_database(layout.audit.as_deref(), INDEX_DATABASE, &mut notes),
        current: None,
        index_fault: None,
        counts: Counts::default(),
    };
    let discrepancy = match walk.run(request.pinned.as_deref(), &mut notes) {
        Ok(()) => None,
        Err(Halt::Found(found)) => Some(found),
        Err(Halt::Failed(error)) => return Err(error),
    };
    let current = walk
        .current
        .as_ref()
        .map(|(checkpoint, note)| (checkpoint, note.as_str()));
    Ok(OfflineReport {
        reply: reply(&walk.verifier, current, walk.counts, discrepancy),
        notes,
    })
}

struct Walk {
    files: Arc<Directory>,
    verifier: NoteVerifier,
    history: Option<Connection>,
    index: Option<Connection>,
    current: Option<(Checkpoint, String)>,
    /// The first fault of the index. It counts where the tree holds: the index follows from the log, not the log from it.
    index_fault: Option<Discrepancy>,
    counts: Counts,
}

impl Walk {
    fn run(&mut self, pinned: Option<&str>, notes: &mut Vec<String>) -> Result<(), Halt> {
        let (checkpoint, note) = self.current_checkpoint(notes)?;
        self.current = Some((checkpoint.clone(), note));
        let files: Arc<dyn LogFiles> = Arc::<Directory>::clone(&self.files);
        let mut tree = TreeCheck::begin(files, self.verifier.clone(), checkpoint, pinned)?;
        while let Some((first, end)) = tree.next_range() {
            let kept = self.kept_between(first, end)?;
            let step = tree.step(&kept);
            self.counts = Counts {
                index_rows: self.counts.index_rows,
                ..tree.counts()
            };
            self.compare_index(first, &step?)?;
        }
        let finished = tree.finish();
        self.counts = Counts {
            index_rows: self.counts.index_rows,
            ..tree.counts()
        };
        finished?;
        if let Some(fault) = self.index_fault.take() {
            return Err(fault.into());
        }
        if let Some(index) = &self.index
            && let Some(fault) = check::count_rows(index).map_err(database_fault)?
        {
            return Err(Discrepancy::from(fault).into());
        }
        Ok(())
    }

    /// The published checkpoint, or the one that was kept last where a crash came between keeping and publishing.
    fn current_checkpoint(&self, notes: &mut Vec<String>) -> Result<(Checkpoint, String), Halt> {
        let published = self.published()?;
        let Some((kept, note)) = self.kept_last()? else {
            return Ok(published);
        };
        if kept.size < published.0.size {
            let message = format!(
                "ends at checkpoint {}, but checkpoint {} was published: it was rolled back",
                kept.size, published.0.size
            );
            return Err(Discrepancy::new(
                DiscrepancyKind::History,
                LOG_DATABASE,
                Some(kept.size),
                message,
            )
            .into());
        }
        if kept.size == published.0.size && kept.root != published.0.root {
            let message = "differs from the checkpoint of its size in audit.db: the log was forked";
            return Err(checkpoint_fault(DiscrepancyKind::Checkpoint, message).into());
        }
        if kept.size > published.0.size {
            notes.push(format!(
                "the published checkpoint has size {}, audit.db keeps a later one of size {}, which was verified",
                published.0.size, kept.size
            ));
            return Ok((kept, note));
        }
        Ok(published)
    }

    fn published(&self) -> Result<(Checkpoint, String), Halt> {
        let malformed = |message: &str| checkpoint_fault(DiscrepancyKind::Checkpoint, message);
        let bytes = match self.files.read(CHECKPOINT_FILE, NOTE_BYTES_MAX) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(malformed("is missing").into()),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(malformed("is too long for a signed note").into());
            }
            Err(source) => return Err(Halt::Failed(AuditError::file(CHECKPOINT_FILE, source))),
        };
        let note = String::from_utf8(bytes.into()).map_err(|_| malformed("is not UTF-8"))?;
        let checkpoint = Checkpoint::open(&note, &self.verifier).map_err(|error| {
            let kind = match error {
                NoteError::Unsigned | NoteError::BadSignature => DiscrepancyKind::Signature,
                NoteError::Malformed | NoteError::BadKey => DiscrepancyKind::Checkpoint,
            };
            checkpoint_fault(kind, &error.to_string())
        })?;
        Ok((checkpoint, note))
    }

    fn kept_last(&self) -> Result<Option<(Checkpoint, String)>, Halt> {
        let Some(history) = &self.history else {
            return Ok(None);
        };
        let size: Option<i64> = history
            .query_row("SELECT MAX(size) FROM checkpoints", [], |row| row.get(0))
            .map_err(|error| database_fault(error.into()))?;
        let Some(last) = size.and_then(|size| u64::try_from(size).ok()) else {
            return Ok(None);
        };
        let kept = checkpoints(history, last.checked_sub(1), 1).map_err(database_fault)?;
        let Some(kept) = kept.into_iter().next() else {
            return Ok(None);
        };
        let checkpoint = Checkpoint::open(&kept.note, &self.verifier).map_err(|error| {
            Discrepancy::new(
                DiscrepancyKind::History,
                format!("{LOG_DATABASE} checkpoints size {last}"),
                Some(last),
                format!("does not open: {error}"),
            )
        })?;
        Ok(Some((checkpoint, kept.note)))
    }

    fn kept_between(&self, first: u64, end: u64) -> Result<Vec<KeptCheckpoint>, Halt> {
        let Some(history) = &self.history else {
            return Ok(Vec::new());
        };
        let count_max = u32::try_from(TILE_WIDTH + 1).unwrap_or(u32::MAX);
        // The size at which the bundle begins was compared at the end of the bundle before.
        let after = (first > 0).then_some(first);
        let mut kept = checkpoints(history, after, count_max).map_err(database_fault)?;
        kept.retain(|kept| kept.size <= end);
        Ok(kept)
    }

    fn compare_index(&mut self, first: u64, entries: &[Bytes]) -> Result<(), Halt> {
        let Some(index) = self.index.as_ref().filter(|_| self.index_fault.is_none()) else {
            return Ok(());
        };
        if let Some(fault) = check::compare(index, first, entries).map_err(database_fault)? {
            self.index_fault = Some(fault.into());
            return Ok(());
        }
        let end = first + entries.len() as u64;
        let indexed = indexed(index).map_err(database_fault)?;
        self.counts.index_rows += indexed.min(end).saturating_sub(first);
        Ok(())
    }
}

fn checkpoint_fault(kind: DiscrepancyKind, message: &str) -> Discrepancy {
    Discrepancy::new(
        kind,
        format!("{LOG_FOLDER}/{CHECKPOINT_FILE}"),
        None,
        message,
    )
}

/// A database that is no database, or that lacks what the log's own releases write, was not written by them.
fn database_fault(error: AuditError) -> Halt {
    match error {
        AuditError::Tampered { location, message } => {
            Discrepancy::new(DiscrepancyKind::Index, location, None, message).into()
        }
        AuditError::Store(plinth_store::StoreError::Sqlite(cause)) => {
            match cause.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                    Halt::Failed(cause.into())
                }
                _ => Discrepancy::new(
                    DiscrepancyKind::Index,
                    format!("{LOG_DATABASE} or {INDEX_DATABASE}"),
                    None,
                    format!("cannot be read: {cause}"),
                )
                .into(),
            }
        }
        error => Halt::Failed(error),
    }
}

fn find_layout(directory: &Path) -> Result<Layout, AuditError> {
    let audits = [directory.join(AUDIT_FOLDER), directory.to_owned()];
    for audit in audits {
        let log = audit.join(LOG_FOLDER);
        if log.is_dir() {
            return Ok(Layout {
                log,
                audit: Some(audit),
            });
        }
    }
    if directory.join(CHECKPOINT_FILE).is_file() || directory.join("tile").is_dir() {
        return Ok(Layout {
            log: directory.to_owned(),
            audit: None,
        });
    }
    Err(AuditError::File {
        path: directory.display().to_string(),
        source: std::io::Error::new(
            std::io::ErrorKind::NotFound,
            "holds no audit log; name a data directory or the directory of the tiles",
        ),
    })
}

fn read_key(layout: &Layout, text: Option<&str>) -> Result<NoteVerifier, AuditError> {
    if let Some(text) = text {
        return Ok(NoteVerifier::parse(text)?);
    }
    let Some(audit) = &layout.audit else {
        return Err(AuditError::Key(
            "name the file of the public key: the directory of the tiles does not hold it"
                .to_owned(),
        ));
    };
    let text = std::fs::read_to_string(audit.join(PUBLIC_KEY_FILE))
        .map_err(|source| AuditError::file(PUBLIC_KEY_FILE, source))?;
    Ok(NoteVerifier::parse(&text)?)
}

/// Opens a database to be read beside the log; where that is impossible, says so.
fn open_database(audit: Option<&Path>, name: &str, notes: &mut Vec<String>) -> Option<Connection> {
    let path = audit?.join(name);
    if !path.is_file() {
        notes.push(format!("{name} is not there and was not compared"));
        return None;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // One read transaction over the whole walk: a server that goes on writing changes nothing in it.
    let opened = Connection::open_with_flags(&path, flags)
        .and_then(|connection| connection.execute_batch("BEGIN").map(|()| connection));
    match opened {
        Ok(connection) => Some(connection),
        Err(error) => {
            notes.push(format!(
                "{name} cannot be opened and was not compared: {error}"
            ));
            None
        }
    }
}
