//! Changes: told to a script, which plans all of them before it makes the first.

use plinth_core::{Fence, FenceToken};
use plinth_redis_link::Answer;

use super::area::Area;
use super::entry::HeadFields;
use super::fault::{Kind, strange, unread};
use super::lease::text_of;
use super::look::judged;
use super::walk::fence_words;
use super::{FENCES_PER_NAMESPACE_MAX, RedisCache, scripts};
use crate::error::{CacheError, Refusal};
use crate::model::{
    Append, Atomicity, Bounds, Change, ChangeKind, Changed, Condition, Content, ContentType, End,
    FirstAnswer, Guard, Increment, Life, ONCE_MS, Once, Placement, Put, Space, Stored, Told,
    VALUE_BYTES_MAX,
};

/// Arguments of the script, in the order in which `plan.lua` takes them.
#[derive(Default)]
struct Words(Vec<Vec<u8>>);

impl Words {
    fn push(&mut self, word: impl AsRef<[u8]>) {
        self.0.push(word.as_ref().to_vec());
    }

    fn once(&mut self, once: Option<&Once>) {
        let Some(once) = once else {
            return (0..4).for_each(|_| self.push(""));
        };
        self.push(&once.id);
        self.push(once.fingerprint);
        self.number(ONCE_MS);
        self.maybe(once.length);
    }

    fn number(&mut self, number: impl ToString) {
        self.push(number.to_string());
    }

    fn maybe(&mut self, number: Option<impl ToString>) {
        self.push(number.map(|number| number.to_string()).unwrap_or_default());
    }

    fn version(&mut self, version: Option<i64>) {
        self.push(
            version
                .map(|version| format!("{version:019}"))
                .unwrap_or_default(),
        );
    }

    fn life(&mut self, life: &Life) {
        let (kind, ms) = match life.end {
            End::Never => ("n", "0".to_owned()),
            End::After(ttl) => ("a", ttl.get_ms().to_string()),
            End::At(at) => ("t", at.0.max(1).to_string()),
        };
        self.push(kind);
        self.push(ms);
        self.number(life.idle.map_or(0, |idle| idle.get_ms()));
        match life.fresh_ms {
            Some(fresh_ms) => self.number(fresh_ms),
            None => self.push("-1"),
        }
    }

    fn lives(&mut self, created: &Life, renewed: Option<&Life>) {
        self.life(created);
        self.push(if renewed.is_some() { "1" } else { "" });
        self.life(renewed.unwrap_or(created));
    }

    fn head(&mut self, head: &HeadFields) {
        head.args().iter().for_each(|field| self.push(field));
    }

    fn condition(&mut self, condition: Condition) {
        let (word, version) = match condition {
            Condition::Always => ("a", None),
            Condition::Absent => ("x", None),
            Condition::Present => ("p", None),
            Condition::Version(version) => ("v", Some(version)),
        };
        self.push(word);
        self.version(version);
    }

    fn change(&mut self, change: &Change) {
        let letter = match &change.kind {
            ChangeKind::Put(_) => "P",
            ChangeKind::Delete { .. } => "D",
            ChangeKind::Expire { .. } => "E",
            ChangeKind::Touch { .. } => "T",
            ChangeKind::Increment(_) => "I",
            ChangeKind::Append(_) => "A",
        };
        self.push(letter);
        self.push(change.key.as_str());
        match &change.kind {
            ChangeKind::Put(put) => self.put(put),
            ChangeKind::Delete { version } => self.version(*version),
            ChangeKind::Expire { life, version } => {
                self.version(*version);
                self.life(life);
            }
            ChangeKind::Touch { life } => self.life(life),
            ChangeKind::Increment(increment) => self.increment(increment),
            ChangeKind::Append(append) => self.append(append),
        }
    }

    fn put(&mut self, put: &Put) {
        self.condition(put.condition);
        self.push(put.lease.map(text_of).unwrap_or_default());
        self.life(&put.life);
        self.head(&HeadFields::of(&put.content, &put.tags));
        match &put.content {
            Content::Value(value) => self.push(&value.bytes),
            Content::KnownAbsent => self.push(""),
        }
    }

    fn increment(&mut self, increment: &Increment) {
        self.number(increment.delta);
        self.maybe(increment.initial);
        self.number(increment.bounds.min);
        self.number(increment.bounds.max);
        self.lives(&increment.created, increment.renewed.as_ref());
        self.head(&HeadFields::created(ContentType::counter()));
    }

    fn append(&mut self, append: &Append) {
        self.condition(append.condition);
        self.number(VALUE_BYTES_MAX);
        self.push(&append.bytes);
        self.lives(&append.created, append.renewed.as_ref());
        self.head(&HeadFields::created(append.content_type.clone()));
    }
}

impl RedisCache {
    pub(super) async fn change(
        &self,
        area: &Area,
        space: &Space,
        changes: &[Change],
        guard: &Guard,
    ) -> Result<Vec<Result<Changed, CacheError>>, CacheError> {
        let mut words = Words::default();
        words.push(match guard.atomicity {
            Atomicity::AllOrNothing => "1",
            Atomicity::EachAlone => "0",
        });
        let quota = space.policy.quota;
        words.maybe(quota.keys_max.map(|most| space.share(most)));
        words.maybe(quota.bytes_max.map(|most| space.share(most)));
        let (name, token) = fence_words(guard.fence.as_ref());
        words.push(name);
        words.push(token);
        words.number(FENCES_PER_NAMESPACE_MAX);
        words.once(guard.once.as_ref());
        changes.iter().for_each(|change| words.change(change));
        let args: Vec<&[u8]> = words.0.iter().map(Vec::as_slice).collect();
        let answer = self.eval(area, &scripts::APPLY, Kind::Writes, &args).await;
        self.wake(area, changes.iter().map(|change| &change.key));
        let mut answer = Answer::of(answer?).map_err(unread)?;
        let now_ms = answer.integer().map_err(unread)?;
        let word = answer.text().map_err(unread)?;
        match word.as_str() {
            "ok" => {
                let mut made = answer.array().map_err(unread)?;
                let each = changes.iter().enumerate().map(|(item, change)| {
                    changed(
                        made.array().map_err(unread)?,
                        (item, change),
                        now_ms,
                        whose(space),
                    )
                });
                each.collect()
            }
            "no" => {
                let item = usize::try_from(answer.integer().map_err(unread)?).ok();
                let refusal = answer.array().map_err(unread)?;
                let change = item.and_then(|item| changes.get(item));
                Err(refused(refusal, item, change, whose(space))?)
            }
            "again" => Ok(vec![Ok(first(answer)?)]),
            "another" => Err(CacheError::KeyOfAnother),
            word => match fence_refusal(word, &mut answer, guard.fence.as_ref())? {
                Some(refusal) => Err(refusal),
                None => Err(strange(format!("answer {word}"))),
            },
        }
    }
}

/// The first answer to an idempotency key: its letter, version, expiry and number, parted by blanks.
fn first(mut answer: Answer) -> Result<Changed, CacheError> {
    let told = answer.text().map_err(unread)?;
    let mut words = told.split(' ');
    let letter = words.next();
    let mut number = || words.next()?.parse::<i64>().ok();
    let (Some(version), Some(expires_ms), Some(told)) = (number(), number(), number()) else {
        return Err(strange("a first answer that cannot be read"));
    };
    let stored = Stored {
        version,
        expires_at_ms: (expires_ms > 0).then_some(expires_ms),
    };
    let told = match letter {
        Some("c") => Told::Number(told),
        _ => Told::Length(wide(told)),
    };
    Ok(FirstAnswer { stored, told }.into())
}

/// The refusal of a fence, where the answer is one.
pub(super) fn fence_refusal(
    word: &str,
    answer: &mut Answer,
    fence: Option<&Fence>,
) -> Result<Option<CacheError>, CacheError> {
    match (word, fence) {
        ("fence", Some(fence)) => {
            let highest = FenceToken::parse(answer.integer().map_err(unread)?)?;
            Ok(Some(fence.refusal(highest).into()))
        }
        ("fences", _) => Ok(Some(CacheError::TooManyFences {
            max: FENCES_PER_NAMESPACE_MAX,
        })),
        _ => Ok(None),
    }
}

/// What became of one change: the outer error is an answer that cannot be read.
fn changed(
    mut answer: Answer,
    (item, change): (usize, &Change),
    now_ms: i64,
    whose: &'static str,
) -> Result<Result<Changed, CacheError>, CacheError> {
    let word = answer.text().map_err(unread)?;
    let done = match word.as_str() {
        "no" => {
            return Ok(Err(refused(
                answer.array().map_err(unread)?,
                Some(item),
                Some(change),
                whose,
            )?));
        }
        "s" => Changed::Stored(stored(&mut answer)?),
        "d" => Changed::Deleted {
            existed: answer.integer().map_err(unread)? == 1,
        },
        "t" | "m" => Changed::Touched(judged(answer.bytes().map_err(unread)?, now_ms)?),
        "c" => Changed::Counted {
            stored: stored(&mut answer)?,
            number: answer.integer().map_err(unread)?,
        },
        "a" => Changed::Appended {
            stored: stored(&mut answer)?,
            length: wide(answer.integer().map_err(unread)?),
        },
        other => return Err(strange(format!("change {other}"))),
    };
    Ok(Ok(done))
}

fn stored(answer: &mut Answer) -> Result<Stored, CacheError> {
    let version = answer.integer().map_err(unread)?;
    let expires_ms = answer.integer().map_err(unread)?;
    Ok(Stored {
        version,
        expires_at_ms: (expires_ms > 0).then_some(expires_ms),
    })
}

/// What a quota is one of.
fn whose(space: &Space) -> &'static str {
    match space.policy.placement {
        Placement::Together => "namespace",
        Placement::Spread => "partition of the namespace",
    }
}

/// Why a change was refused.
fn refused(
    mut answer: Answer,
    item: Option<usize>,
    change: Option<&Change>,
    whose: &'static str,
) -> Result<CacheError, CacheError> {
    let refusal = match answer.text().map_err(unread)?.as_str() {
        "key" => Refusal::KeyNotFound,
        "nan" => Refusal::NotANumber,
        "lease" => Refusal::LeaseLost,
        "cond" => {
            let field = match answer.text().map_err(unread)?.as_str() {
                "version" => "version",
                _ => "condition",
            };
            let reason = match answer.text().map_err(unread)?.as_str() {
                "present" => "key is present",
                "absent" => "key is absent",
                _ => "another version is stored",
            };
            let version = answer.text().map_err(unread)?;
            Refusal::Condition {
                field,
                reason,
                stored: version.parse().ok(),
            }
        }
        "bounds" => {
            let bounds = match change.map(|change| &change.kind) {
                Some(ChangeKind::Increment(increment)) => increment.bounds,
                _ => Bounds {
                    min: i64::MIN,
                    max: i64::MAX,
                },
            };
            Refusal::OutOfBounds {
                number: answer.integer().map_err(unread)?,
                min: bounds.min,
                max: bounds.max,
            }
        }
        "large" => Refusal::ValueTooLarge {
            bytes: wide(answer.integer().map_err(unread)?),
            max: u64::try_from(VALUE_BYTES_MAX).unwrap_or(u64::MAX),
        },
        "quota" => Refusal::Quota {
            whose,
            unit: match answer.text().map_err(unread)?.as_str() {
                "keys" => "keys",
                _ => "bytes",
            },
            held: wide(answer.integer().map_err(unread)?),
            max: wide(answer.integer().map_err(unread)?),
        },
        "enc" => {
            let version = answer.integer().map_err(unread)?;
            return Ok(CacheError::Encoded { version });
        }
        other => return Err(strange(format!("refusal {other}"))),
    };
    Ok(CacheError::Refused { item, refusal })
}

fn wide(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
