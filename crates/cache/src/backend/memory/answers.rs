//! First answers to idempotency keys: kept for a while, in bounded number and bytes, the newest longest.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use parking_lot::{Mutex, MutexGuard};

use crate::error::CacheError;
use crate::model::{Changed, FirstAnswer, ONCE_MS, Once, Scope};

/// Most answers that are kept at one time; the oldest goes first.
pub(super) const ANSWERS_MAX: usize = 262_144;
/// Most of the memory bound that they may take: one part in so many.
const BYTES_SHARE: u64 = 4;
/// Bytes that one costs: its slot in a table that is half to nearly full, and its place by age.
pub(super) const ANSWER_BYTES: u64 = 184;
/// How many parts share the answers, so that keyed changes do not wait for each other.
const PARTS: usize = 64;

/// Two independent hashes of tenant, namespace and id: with [`ANSWERS_MAX`] of them two are alike once in 10²⁷ times.
type Id = (u64, u64);

struct Kept {
    fingerprint: [u8; 32],
    until_ms: u64,
    answer: FirstAnswer,
}

/// A part of the answers. Whoever makes a change under a key holds it locked from the look to the end of the change.
#[derive(Default)]
pub(super) struct Part {
    by_id: HashMap<Id, Kept>,
    by_age: VecDeque<(Id, u64)>,
    /// Most answers that it keeps.
    most: usize,
}

/// The answers of all namespaces.
pub(super) struct Answers {
    parts: Vec<Mutex<Part>>,
    hashers: (RandomState, RandomState),
}

impl Answers {
    /// None yet, within a share of a memory bound.
    pub(super) fn new(bytes_max: u64) -> Self {
        let fitting = bytes_max / BYTES_SHARE / ANSWER_BYTES;
        let most = usize::try_from(fitting).map_or(ANSWERS_MAX, |fitting| fitting.min(ANSWERS_MAX));
        let part = || Part {
            most: (most / PARTS).max(1),
            ..Part::default()
        };
        Self {
            parts: (0..PARTS).map(|_| Mutex::new(part())).collect(),
            hashers: (RandomState::new(), RandomState::new()),
        }
    }

    /// Locks the part in which the answer to a key is, and names it there.
    pub(super) fn lock(&self, scope: &Scope, once: &Once) -> Option<(Id, MutexGuard<'_, Part>)> {
        let named = (scope, &once.id);
        let id = (
            self.hashers.0.hash_one(named),
            self.hashers.1.hash_one(named),
        );
        let place = usize::try_from(id.0 % PARTS as u64).ok()?;
        self.parts.get(place).map(|part| (id, part.lock()))
    }
}

impl Part {
    /// The first answer to a key. Errors: 1005 where it was to another request.
    pub(super) fn recall(
        &self,
        id: Id,
        once: &Once,
        now_ms: u64,
    ) -> Result<Option<Changed>, CacheError> {
        match self.by_id.get(&id).filter(|kept| kept.until_ms > now_ms) {
            Some(kept) if kept.fingerprint == once.fingerprint => Ok(Some(kept.answer.into())),
            Some(_) => Err(CacheError::KeyOfAnother),
            None => Ok(None),
        }
    }

    /// Keeps an answer, and forgets what is too old or one too many. Returns the bytes by which they have grown or shrunk.
    pub(super) fn keep(&mut self, id: Id, once: &Once, answer: FirstAnswer, now_ms: u64) -> i64 {
        let before = self.bytes();
        let until_ms = now_ms.saturating_add(ONCE_MS);
        let kept = Kept {
            fingerprint: once.fingerprint,
            until_ms,
            answer,
        };
        self.by_id.insert(id, kept);
        self.by_age.push_back((id, until_ms));
        while let Some((oldest, told_ms)) = self.by_age.front().copied() {
            if told_ms > now_ms && self.by_age.len() <= self.most {
                break;
            }
            self.by_age.pop_front();
            // Not where the key was used anew since.
            if self
                .by_id
                .get(&oldest)
                .is_some_and(|kept| kept.until_ms == told_ms)
            {
                self.by_id.remove(&oldest);
            }
        }
        self.bytes().saturating_sub(before)
    }

    fn bytes(&self) -> i64 {
        let held = u64::try_from(self.by_age.len()).unwrap_or(u64::MAX);
        i64::try_from(held.saturating_mul(ANSWER_BYTES)).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use plinth_core::TenantId;

    use super::*;
    use crate::model::{Namespace, Stored};

    fn once(key: &str) -> Once {
        Once {
            id: key.to_owned(),
            fingerprint: [1; 32],
            length: None,
        }
    }

    #[test]
    fn answers_are_bounded_and_the_newest_are_kept() {
        let scope = Scope {
            tenant: TenantId::parse("tenant").expect("a tenant"),
            namespace: Namespace::parse("n").expect("a name"),
        };
        let answers = Answers::new(u64::MAX);
        let changed = Changed::Counted {
            number: 1,
            stored: Stored {
                version: 1,
                expires_at_ms: None,
            },
        };
        let count = ANSWERS_MAX + ANSWERS_MAX / 2;
        let mut bytes = 0;
        for index in 0..count {
            let once = once(&index.to_string());
            let (id, mut part) = answers.lock(&scope, &once).expect("a part");
            let answer = once.keeps(&changed).expect("is one");
            bytes += part.keep(id, &once, answer, 0);
        }
        let held: usize = answers
            .parts
            .iter()
            .map(|part| part.lock().by_id.len())
            .sum();
        assert!(held <= ANSWERS_MAX, "{held}");
        let counted = u64::try_from(bytes).expect("positive") / ANSWER_BYTES;
        assert_eq!(usize::try_from(counted).expect("fits"), held);
        let finds = |index: usize, now_ms| {
            let once = once(&index.to_string());
            let (id, part) = answers.lock(&scope, &once).expect("a part");
            part.recall(id, &once, now_ms).expect("the same request")
        };
        assert_eq!(finds(0, 0), None, "the oldest went");
        assert_eq!(finds(count - 1, ONCE_MS - 1), Some(changed));
        assert_eq!(finds(count - 1, ONCE_MS), None, "its time is over");
    }
}
