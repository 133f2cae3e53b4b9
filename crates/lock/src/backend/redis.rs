//! Records of locks in Redis: single, Sentinel, Cluster.
//!
//! All keys carry one hash tag: one server's clock and one epoch decide over all locks. Every change is one script.
//!
//! **Tokens.** Redis may lose its last writes in a failover or begin empty. So a token is an epoch of the control database and a
//! counter, and both stand in Redis beside the name of the reign in which the epoch was taken: the replication id, which is
//! another one after every promotion and restart. A grant is written by a script that sees in the same step whether it is
//! still that reign; where it is not, or nothing stands there, an instance first raises the epoch in the control
//! database. So no token is given twice and each one is above all that were given before its reign began.
//!
//! Keys, after `{<prefix>.lock}:`
//!
//! | key | type | holds |
//! |---|---|---|
//! | `r:<tenant>/<name>` | hash | a record: its stamp, text, highest token, and whether it is busy, waited for, listed |
//! | `reign` | hash | the replication id, the epoch taken for it, and how many tokens of it may be given |
//! | `due`, `free` | sorted sets | records in use by when time changes them; free ones by when they are forgotten |
//! | `b:<tenant>`, `w:<tenant>`, `l:<tenant>` | sorted sets | names in use, waited for, listed |

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use parking_lot::Mutex;
use plinth_core::{Error, ErrorCode, Result, TenantId};
use plinth_redis_link::{
    Answer, Heard, Heed, Listener, PushKind, RedisLink, Script, Slot, Value, cmd, slot_of,
};
use plinth_store::locks::{ListedLock, LockReading, LockRow, StoredLock};
use plinth_store::{Epochs, LockRecords};

use self::fault::{fault, read};
use super::LockKey;
use super::shared::fresh_row;
use crate::changes::Changes;
use crate::model::{LockName, limits};
use crate::token::TokenState;
use crate::wakes::Wakes;

mod fault;

/// How often an epoch is raised for one acquire: other instances may raise it at the same time, or the primary may change.
const RAISES_MAX: usize = 5;
/// Free records that are forgotten in one step.
const FORGOTTEN_AT_ONCE_MAX: u32 = 1_000;
/// The name under which epochs are raised, for people.
const NAME: &str = "redis";

macro_rules! script {
    ($make:ident: $($file:literal),+) => {
        LazyLock::new(|| Script::$make(&[$(include_str!(concat!("redis/scripts/", $file))),+]))
    };
}

static TAKE: LazyLock<Script> = script!(new: "reign.lua", "take.lua");
static CREATE: LazyLock<Script> = script!(new: "reign.lua", "create.lua");
static RULE: LazyLock<Script> = script!(new: "reign.lua", "rule.lua");
static READ: LazyLock<Script> = script!(reading: "reign.lua", "read.lua");
static LIST: LazyLock<Script> = script!(reading: "reign.lua", "list.lua");
// A holder must be able to renew and release where no new lock can be made.
static REPLACE: LazyLock<Script> = script!(frugal: "reign.lua", "replace.lua");
static FORGET: LazyLock<Script> = script!(frugal: "forget.lua");

/// Records of locks in Redis.
pub struct RedisLocks {
    link: Arc<RedisLink>,
    epochs: Arc<dyn Epochs>,
    keys: Keys,
    slot: Slot,
    changes: Arc<Changes>,
    _listener: Listener,
}

/// What the keys are called.
#[derive(Clone)]
struct Keys(String);

impl Keys {
    fn new(prefix: &str) -> Self {
        Self(format!("{{{prefix}.lock}}:"))
    }

    /// A key of no tenant.
    fn of(&self, name: &str) -> String {
        format!("{}{name}", self.0)
    }

    fn record(&self, member: &str) -> String {
        format!("{}r:{member}", self.0)
    }

    fn index(&self, kind: char, tenant: &str) -> String {
        format!("{}{kind}:{tenant}", self.0)
    }

    /// The lock of the record that a key holds.
    fn lock_of(&self, key: &[u8]) -> Option<LockKey> {
        let key = std::str::from_utf8(key).ok()?;
        let member = key.strip_prefix(self.0.as_str())?.strip_prefix("r:")?;
        let (tenant, name) = member.split_once('/')?;
        Some(LockKey {
            tenant: TenantId::parse(tenant).ok()?,
            name: LockName::parse("lock", name).ok()?,
        })
    }
}

/// How a record is called in the sets of all tenants. No name of a tenant holds the stroke.
fn member(tenant: &str, name: &str) -> String {
    format!("{tenant}/{name}")
}

impl RedisLocks {
    /// Keeps records under keys that begin with a prefix, and listens to changes of those that calls of `wakes` wait for.
    /// `epochs` are those of the control database. To be called inside a runtime.
    #[must_use]
    pub fn start(
        link: Arc<RedisLink>,
        key_prefix: &str,
        epochs: Arc<dyn Epochs>,
        wakes: &Arc<Wakes>,
    ) -> Arc<Self> {
        let keys = Keys::new(key_prefix);
        let changes = Changes::new(Arc::clone(wakes));
        Arc::new(Self {
            slot: slot_of(keys.0.as_bytes()),
            _listener: listen(&link, &keys, &changes),
            link,
            epochs,
            keys,
            changes,
        })
    }

    /// What Redis tells of changes.
    #[must_use]
    pub fn changes(&self) -> Arc<Changes> {
        Arc::clone(&self.changes)
    }

    async fn eval(
        &self,
        script: &Script,
        keys: &[&str],
        args: &[impl AsRef<[u8]> + Sync],
    ) -> Result<Value> {
        let keys: Vec<_> = keys.iter().map(|key| key.as_bytes()).collect();
        let args: Vec<_> = args.iter().map(AsRef::as_ref).collect();
        let answered = self.link.eval(self.slot, script, &keys, &args).await;
        answered.map_err(fault)
    }

    /// Reads a lock that somebody wants, and makes its record where there is none. An epoch is taken where the reign has none.
    async fn take(&self, tenant: &str, name: &str, busy_max: u32) -> Result<LockReading> {
        let member = member(tenant, name);
        let fresh = fresh_row(0)?;
        let (stamp, kept_ms) = (fresh.stamp.to_string(), limits::QUIET_KEPT_MS.to_string());
        let keys = [
            &self.keys.record(&member),
            &self.keys.of("reign"),
            &self.keys.of("free"),
            &self.keys.index('b', tenant),
        ];
        let args = [member.as_str(), &stamp, &fresh.record, &kept_ms];
        for _ in 0..RAISES_MAX {
            let answer = self.eval(&TAKE, &keys.map(String::as_str), &args).await;
            // A record that nobody holds changes nothing, whether it was made or not.
            let mut answer = Answer::of(answer.map_err(without_effect)?).map_err(read)?;
            let at_ms = answer.integer().map_err(read)?;
            if answer.text().map_err(read)? == "reign" {
                let stored = answer.integer().map_err(read)?;
                self.rule(stored).await?;
                continue;
            }
            let highest = TokenState {
                epoch: answer.integer().map_err(read)?,
                counter: answer.integer().map_err(read)?,
            };
            let busy = u32::try_from(answer.integer().map_err(read)?).unwrap_or(u32::MAX);
            return Ok(LockReading {
                floor: highest.token(),
                busy: busy.min(busy_max),
                stored: stored(&mut answer)?,
                at_ms,
            });
        }
        let told = "the epoch of the locks in Redis is being raised by others; try again";
        Err(Error::new(ErrorCode::DependencyUnavailable, told).retriable(true))
    }

    /// Takes an epoch for the reign that the primary is in.
    async fn rule(&self, above: i64) -> Result<()> {
        let epoch = self.epochs.raise(NAME, above).await?;
        tracing::info!(epoch, "lock.epoch_raised");
        let reign = self.keys.of("reign");
        let ruled = self.eval(&RULE, &[&reign], &[epoch.to_string()]).await;
        // An epoch that was taken and not used is a gap and nothing else.
        ruled.map(drop).map_err(without_effect)
    }

    /// Records of a set of names, with the clock.
    async fn named(
        &self,
        kind: char,
        tenant: &str,
        (from, to): (&[u8], &[u8]),
        limit: u32,
    ) -> Result<(i64, Vec<ListedLock>)> {
        let records = self.keys.record(&member(tenant, ""));
        let (names, limit) = (self.keys.index(kind, tenant), limit.to_string());
        let args = [records.as_bytes(), from, to, limit.as_bytes()];
        let answer = self.eval(&LIST, &[&names], &args).await?;
        let mut answer = Answer::of(answer).map_err(read)?;
        let at_ms = answer.integer().map_err(read)?;
        let mut found = Vec::new();
        while !answer.is_empty() {
            let name = answer.text().map_err(read)?;
            if let Some(stored) = stored(&mut answer)? {
                found.push(ListedLock { name, stored });
            }
        }
        Ok((at_ms, found))
    }
}

/// Hears of every change of a record, also of this instance's own.
fn listen(link: &Arc<RedisLink>, keys: &Keys, changes: &Arc<Changes>) -> Listener {
    let mut track = cmd("CLIENT");
    track.arg("TRACKING").arg("ON").arg("BCAST");
    track.arg("PREFIX").arg(keys.of("r:"));
    let (keys, changes) = (keys.clone(), Arc::clone(changes));
    let heed: Mutex<Heed> = Mutex::default();
    link.listen(vec![track], move |heard| {
        let mut heed = heed.lock();
        if heed.note(&heard) {
            changes.are_told_from_now(heed.is_whole());
        }
        let Heard::Push {
            kind: PushKind::Invalidate,
            data,
            ..
        } = heard
        else {
            return;
        };
        match data.into_iter().next() {
            Some(Value::Array(names)) => {
                let locks = names.into_iter().filter_map(|name| match name {
                    Value::BulkString(name) => keys.lock_of(&name),
                    _ => None,
                });
                locks.for_each(|lock| changes.tell(lock));
            }
            // The server was emptied.
            _ => changes.are_told_from_now(heed.is_whole()),
        }
    })
}

fn stored(answer: &mut Answer) -> Result<Option<StoredLock>> {
    let (stamp, record) = (answer.text(), answer.text());
    let (stamp, record) = (stamp.map_err(read)?, record.map_err(read)?);
    if stamp.is_empty() {
        return Ok(None);
    }
    let stamp = stamp.parse().map_err(Error::internal)?;
    Ok(Some(StoredLock { stamp, record }))
}

/// The failure of something that changes nothing, whether it was done or not.
fn without_effect(cause: Error) -> Error {
    let told = Error::new(cause.code(), cause.message().to_owned()).retriable(cause.is_retriable());
    let told = match cause.retry_after() {
        Some(delay_ms) => told.retry_after_ms(delay_ms),
        None => told,
    };
    told.with_source(cause)
}

#[async_trait]
impl LockRecords for RedisLocks {
    fn is_shared(&self) -> bool {
        true
    }

    async fn database_ms(&self) -> Result<i64> {
        let time = self.link.run(self.slot, &cmd("TIME")).await.map_err(read)?;
        let mut time = Answer::of(time).map_err(read)?;
        let (seconds, micros) = (time.integer().map_err(read)?, time.integer().map_err(read)?);
        Ok(seconds.saturating_mul(1_000).saturating_add(micros / 1_000))
    }

    async fn read_lock(
        &self,
        tenant: &str,
        name: &str,
        busy_max: Option<u32>,
    ) -> Result<LockReading> {
        if let Some(busy_max) = busy_max {
            return self.take(tenant, name, busy_max).await;
        }
        let record = self.keys.record(&member(tenant, name));
        let answer = self.eval(&READ, &[&record], &[""; 0]).await;
        let mut answer = Answer::of(answer.map_err(without_effect)?).map_err(read)?;
        Ok(LockReading {
            at_ms: answer.integer().map_err(read)?,
            stored: stored(&mut answer)?,
            floor: 0,
            busy: 0,
        })
    }

    async fn create_lock(&self, tenant: &str, name: &str, row: LockRow) -> Result<()> {
        let member = member(tenant, name);
        let keys = [&self.keys.record(&member), &self.keys.of("free")];
        let (stamp, due) = (row.stamp.to_string(), row.due_ms.to_string());
        let args = [member.as_str(), &stamp, &row.record, &due];
        let made = self.eval(&CREATE, &keys.map(String::as_str), &args).await;
        made.map(drop)
    }

    async fn replace_lock(
        &self,
        tenant: &str,
        name: &str,
        stamp: i64,
        row: LockRow,
    ) -> Result<bool> {
        let member = member(tenant, name);
        let keys = [
            &self.keys.record(&member),
            &self.keys.of("reign"),
            &self.keys.of("due"),
            &self.keys.of("free"),
            &self.keys.index('b', tenant),
            &self.keys.index('w', tenant),
            &self.keys.index('l', tenant),
        ];
        let flag = |set| if set { '1' } else { '0' };
        let flags = String::from_iter([row.busy, row.waiting, row.listed].map(flag));
        let token = TokenState::of(row.token);
        let args = [
            &member,
            name,
            &stamp.to_string(),
            &row.stamp.to_string(),
            &flags,
            &row.token.to_string(),
            &token.epoch.to_string(),
            &token.counter.to_string(),
            &row.due_ms.to_string(),
            &row.record,
        ];
        let replaced = self
            .eval(&REPLACE, &keys.map(String::as_str), &args)
            .await?;
        Ok(replaced == Value::Int(1))
    }

    async fn list_locks(
        &self,
        tenant: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(i64, Vec<ListedLock>)> {
        let from = match after {
            Some(after) if after >= prefix => format!("({after}"),
            Some(_) | None => format!("[{prefix}"),
        };
        // No byte of a name is as high.
        let to = [b"(", prefix.as_bytes(), b"\xff"].concat();
        self.named('l', tenant, (from.as_bytes(), &to), limit).await
    }

    async fn contended_locks(&self, tenant: &str, limit: u32) -> Result<Vec<ListedLock>> {
        let (_, found) = self.named('w', tenant, (b"-", b"+"), limit).await?;
        Ok(found)
    }

    async fn lock_stamps(&self, tenant: &str, names: &[String]) -> Result<Vec<(String, i64)>> {
        let stamp = |name: &String| {
            let mut get = cmd("HGET");
            get.arg(self.keys.record(&member(tenant, name)))
                .arg("stamp");
            get
        };
        let answers = self.link.read_all(self.slot, names.iter().map(stamp)).await;
        let mut answers = Answer::of(Value::Array(answers.map_err(read)?)).map_err(read)?;
        let mut stamps = Vec::new();
        for name in names {
            let stamp = answers.text().map_err(read)?;
            if !stamp.is_empty() {
                stamps.push((name.clone(), stamp.parse().map_err(Error::internal)?));
            }
        }
        Ok(stamps)
    }

    async fn due_locks(&self, at_ms: i64, limit: u32) -> Result<Vec<(String, String)>> {
        let mut range = cmd("ZRANGEBYSCORE");
        range.arg(self.keys.of("due")).arg("-inf").arg(at_ms);
        range.arg("LIMIT").arg(0).arg(limit);
        let found = self.link.run(self.slot, &range).await.map_err(read)?;
        let mut found = Answer::of(found).map_err(read)?;
        let mut due = Vec::new();
        while !found.is_empty() {
            let member = found.text().map_err(read)?;
            if let Some((tenant, name)) = member.split_once('/') {
                due.push((tenant.to_owned(), name.to_owned()));
            }
        }
        Ok(due)
    }

    async fn forget_locks(&self, at_ms: i64) -> Result<u64> {
        let (free, records) = (self.keys.of("free"), self.keys.of("r:"));
        let (listed, most) = (self.keys.of("l:"), FORGOTTEN_AT_ONCE_MAX.to_string());
        let args = [records.as_str(), &listed, &at_ms.to_string(), &most];
        let forgotten = self.eval(&FORGET, &[&free], &args).await?;
        match forgotten {
            Value::Int(count) => Ok(u64::try_from(count).unwrap_or(0)),
            _ => Err(Error::internal("a script that forgets locks counted none")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_record_names_its_lock() {
        let keys = Keys::new("plinth");
        let key = keys.record(&member("shop", "review:A-1"));
        assert_eq!(key, "{plinth.lock}:r:shop/review:A-1");
        let lock = keys.lock_of(key.as_bytes()).expect("is one");
        assert_eq!(
            (lock.tenant.as_str(), lock.name.as_str()),
            ("shop", "review:A-1")
        );
        for other in ["{plinth.lock}:due", "{x.lock}:r:shop/a", ""] {
            assert!(keys.lock_of(other.as_bytes()).is_none(), "{other}");
        }
    }
}
