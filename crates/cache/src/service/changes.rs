//! Changes beside storing and deleting: touched, counted, grown, cleared, invalidated; and the walk over keys.

use bytes::BytesMut;
use plinth_core::{CallContext, Error, Fence};

use plinth_store::idempotency;
use serde::Serialize;

use super::{CacheService, Under, codec, out_of_order};
use crate::backend::{Capability, Looking};
use crate::error::{CacheError, Refusal};
use crate::model::{
    Append, Atomicity, Change, ChangeKind, Changed, Condition, Content, End, Expiring, Expiry,
    Guard, Increment, Key, Life, Namespace, Once, Put, Read, Scan, Scanned, Stored, Tags, Ttl,
    VALUE_BYTES_MAX, Value,
};

/// How often bytes are added to a compressed value that others change at the same time.
const APPEND_ATTEMPTS_MAX: u32 = 8;

impl CacheService {
    /// Reads one value and gives it a new life.
    pub async fn get_and_touch(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: Key,
        life: Expiry,
        fence: Option<Fence>,
    ) -> Result<Read, CacheError> {
        let kind = ChangeKind::Touch { life };
        match self.change(context, namespace, key, kind, fence).await? {
            Changed::Touched(read) => Ok(read),
            _ => Err(out_of_order()),
        }
    }

    /// Adds to a counter; once for each idempotency key of the namespace, whose first answer is told again for
    /// [`ONCE_MS`](crate::model::ONCE_MS), as long as the backend has room. Errors: 1005 where the key was used for another request; 2002 where it is absent and nothing says what it counts from, 2005 where the value is no
    /// number, 2006 where the sum would leave its bounds.
    pub async fn increment(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: Key,
        increment: Increment<Expiry>,
        fence: Option<Fence>,
    ) -> Result<(i64, Stored), CacheError> {
        let request = (key.as_str(), &increment);
        let under = self.once(context, request, fence);
        let kind = ChangeKind::Increment(increment);
        match self.change(context, namespace, key, kind, under).await? {
            Changed::Counted { number, stored } => Ok((number, stored)),
            _ => Err(out_of_order()),
        }
    }

    /// The fence of a change and the idempotency key of its call.
    fn once(&self, context: &CallContext, request: impl Serialize, fence: Option<Fence>) -> Under {
        let lock = fence.as_ref().map(|it| (it.name.as_str(), it.token.get()));
        let scope = idempotency::scope(context, &(request, lock), self.clock.now());
        Under {
            fence,
            once: scope.map(Once::from),
        }
    }

    /// Adds bytes at the end of a value; once for each idempotency key, as [`CacheService::increment`]. Errors: 1005, 1006 where the condition does not hold, 1007 where it would grow too large,
    /// 1011 where it is compressed, slides, and gets no new expiry.
    pub async fn append(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: Key,
        append: Append<Expiry>,
        fence: Option<Fence>,
    ) -> Result<(u64, Stored), CacheError> {
        let request = (key.as_str(), &append);
        let under = self.once(context, request, fence);
        let mut found = 0;
        for _ in 0..APPEND_ATTEMPTS_MAX {
            let kind = ChangeKind::Append(append.clone());
            let (space, key) = (namespace.clone(), key.clone());
            let appended = self.change(context, space, key.clone(), kind, under.clone());
            match appended.await {
                Ok(Changed::Appended { length, stored }) => return Ok((length, stored)),
                Ok(_) => return Err(out_of_order()),
                Err(CacheError::Encoded { version }) => found = version,
                Err(error) => return Err(error),
            }
            let grown = self
                .append_encoded(context, namespace.clone(), key, &append, under.clone())
                .await?;
            if let Some(done) = grown {
                return Ok(done);
            }
        }
        Err(CacheError::Encoded { version: found })
    }

    /// Stores an encoded value anew with the bytes at its end; `None` where somebody else changed it meanwhile.
    async fn append_encoded(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: Key,
        append: &Append<Expiry>,
        under: Under,
    ) -> Result<Option<(u64, Stored)>, CacheError> {
        let (space, rules) = self.space(context, namespace);
        let read_at_ms = self.clock.monotonic_ms();
        let reads = self
            .backend
            .get_many(&space, std::slice::from_ref(&key), Looking::Peeking)
            .await?;
        let Some(Read::Found(mut found)) = reads.answer.into_iter().next() else {
            return Ok(None);
        };
        if matches!(append.condition, Condition::Version(version) if version != found.version) {
            return Ok(None);
        }
        codec::decode(&mut found.value).await?;
        let length = found.value.bytes.len().saturating_add(append.bytes.len());
        if length > VALUE_BYTES_MAX {
            return Err(CacheError::refused(0, too_large(length)).alone());
        }
        let life = match append.renewed {
            Some(expiry) => expiry,
            None if found.expiring == Expiring::Sliding => {
                let refusal = "a compressed value with a sliding expiry grows only with `renew`; or store it whole";
                return Err(Error::unsupported(refusal).into());
            }
            None => Expiry::Default,
        };
        let mut bytes = BytesMut::with_capacity(length);
        bytes.extend_from_slice(&found.value.bytes);
        bytes.extend_from_slice(&append.bytes);
        let put = Put {
            content: Content::Value(Value {
                bytes: bytes.freeze(),
                ..found.value
            }),
            life,
            condition: Condition::Version(found.version),
            tags: found.tags,
            lease: None,
        };
        let kind = ChangeKind::Put(put);
        let mut changes = vec![self.resolve(&rules, Change { key, kind })?];
        codec::encode(rules.codec, &mut changes).await?;
        if append.renewed.is_none() {
            let gone_ms = self.clock.monotonic_ms().saturating_sub(read_at_ms);
            let Some(life) = what_is_left(found.ttl_ms, found.fresh_ms, gone_ms) else {
                return Ok(None);
            };
            if let Some(ChangeKind::Put(put)) = changes.first_mut().map(|change| &mut change.kind) {
                put.life = life;
            }
        }
        let told = u64::try_from(length).unwrap_or(u64::MAX);
        let guard = Guard {
            atomicity: Atomicity::AllOrNothing,
            fence: under.fence,
            once: under.once.map(|once| Once {
                length: Some(told),
                ..once
            }),
        };
        let applied = self.backend.apply(&space, changes, guard).await;
        let changed = match applied {
            Ok(reply) => reply.answer.into_iter().next(),
            Err(error) => Some(Err(error)),
        };
        match changed {
            Some(Ok(Changed::Stored(stored))) => {
                self.counters
                    .of(&space.scope)
                    .changed(&Changed::Stored(stored));
                Ok(Some((told, stored)))
            }
            // The same call, made twice at one time: the other one was first.
            Some(Ok(Changed::Appended { length, stored })) => Ok(Some((length, stored))),
            Some(Err(CacheError::Refused {
                refusal: Refusal::Condition { .. } | Refusal::KeyNotFound,
                ..
            })) => Ok(None),
            Some(Err(error)) => Err(error.alone()),
            Some(Ok(_)) | None => Err(out_of_order()),
        }
    }

    /// Walks the keys of a namespace.
    pub async fn scan(
        &self,
        context: &CallContext,
        namespace: Namespace,
        scan: Scan,
    ) -> Result<Scanned, CacheError> {
        self.require(Capability::Scan)?;
        let (space, _) = self.space(context, namespace);
        self.backend.scan(&space, scan).await
    }

    /// Removes everything of a namespace. Returns a version: what was stored with a lower one is gone.
    pub async fn clear(
        &self,
        context: &CallContext,
        namespace: Namespace,
        fence: Option<Fence>,
    ) -> Result<i64, CacheError> {
        self.require(Capability::Clear)?;
        self.require_all(&[], fence.as_ref())?;
        let (space, _) = self.space(context, namespace);
        self.backend.clear(&space, fence).await
    }

    /// Makes every entry absent that carries one of the tags. Returns their stamp.
    pub async fn invalidate_tags(
        &self,
        context: &CallContext,
        namespace: Namespace,
        tags: Tags,
        fence: Option<Fence>,
    ) -> Result<i64, CacheError> {
        self.require(Capability::Tags)?;
        self.require_all(&[], fence.as_ref())?;
        let (space, _) = self.space(context, namespace);
        self.backend.invalidate_tags(&space, tags, fence).await
    }
}

fn too_large(length: usize) -> Refusal {
    Refusal::ValueTooLarge {
        bytes: u64::try_from(length).unwrap_or(u64::MAX),
        max: u64::try_from(VALUE_BYTES_MAX).unwrap_or(u64::MAX),
    }
}

/// The life that a value still has, never longer than it was told; `None` where it is over.
fn what_is_left(ttl_ms: Option<u64>, fresh_ms: Option<u64>, gone_ms: u64) -> Option<Life> {
    // One more, because both the reading and the clock were cut to the millisecond.
    let gone_ms = gone_ms.saturating_add(1);
    let end = match ttl_ms {
        None => End::Never,
        Some(ttl_ms) if ttl_ms > gone_ms => End::After(Ttl::clamped(ttl_ms - gone_ms)),
        Some(_) => return None,
    };
    Some(Life {
        end,
        idle: None,
        fresh_ms: fresh_ms.map(|fresh_ms| fresh_ms.saturating_sub(gone_ms).max(1)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_never_more_than_was_told() {
        let left = what_is_left(Some(1_000), Some(100), 9).expect("lives on");
        assert_eq!(left.end, End::After(Ttl::clamped(990)));
        assert_eq!(left.fresh_ms, Some(90));
        let stale = what_is_left(Some(1_000), Some(0), 9).expect("lives on");
        assert_eq!(stale.fresh_ms, Some(1));
        assert_eq!(what_is_left(None, None, 9), Some(Life::FOREVER));
        assert_eq!(what_is_left(Some(10), None, 9), None);
    }
}
