//! What concerns several partitions of a spread namespace: asked at the same time, a bounded number at once, and put together. No
//! one step: each function says what a failure leaves.

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use plinth_core::{Error, Fence, Outcome};
use plinth_redis_link::{Script, Value, cmd};

use super::RedisCache;
use super::area::{Area, Group};
use super::fault::{Kind, fault};
use super::look::{Asked, Glance};
use super::walk::fence_words;
use crate::backend::Looking;
use crate::error::CacheError;
use crate::model::{
    BATCH_READ_BYTES_MAX, BackendStats, Change, Changed, Guard, Key, Read, Reply,
    SAMPLE_ENTRIES_MAX, Space, Tags, answer_too_large,
};

/// Partitions that one call asks at a time.
const PARTITIONS_AT_ONCE: usize = 16;

/// What a read of one partition finds.
pub(super) type Part = Result<Glance<Reply<Vec<Read>>>, CacheError>;

impl RedisCache {
    /// Reads keys of several partitions, each at an instant of its own. Where one cannot be read, all are refused.
    pub(super) async fn look_apart(
        &self,
        space: &Space,
        keys: &[Key],
        looking: Looking,
    ) -> Result<Reply<Vec<Read>>, CacheError> {
        let groups = self.groups(space, keys.iter());
        put_together(&groups, keys.len(), |group, most| {
            self.look_at_part(group, looking, most).boxed()
        })
        .await
    }

    async fn look_at_part(&self, group: &Group, looking: Looking, most: usize) -> Part {
        let asked = Asked {
            area: &group.area,
            keys: &group.keys,
            looking,
            most,
        };
        let looked = self.look_closely(asked, false).await?;
        Ok(looked.map(|looked| Reply::full(looked.reads())))
    }

    /// Makes changes of several partitions, each alone. Those of a partition that refuses or cannot be reached are told so each; where
    /// that is so with all, the call is refused.
    pub(super) async fn change_apart(
        &self,
        space: &Space,
        changes: Vec<Change>,
        guard: &Guard,
    ) -> Result<Vec<Result<Changed, CacheError>>, CacheError> {
        let count = changes.len();
        let groups = self.groups(space, changes.iter().map(|change| &change.key));
        let mut changes: Vec<Option<Change>> = changes.into_iter().map(Some).collect();
        let parts: Vec<(Group, Vec<Change>)> = groups
            .into_iter()
            .map(|group| {
                let places = group.places.iter();
                let own = places.filter_map(|place| changes.get_mut(*place)?.take());
                let own = own.collect();
                (group, own)
            })
            .collect();
        let changing = parts.iter();
        let changing =
            changing.map(|(group, own)| self.change(&group.area, space, own, guard).boxed());
        let made = at_once(changing.collect()).await;
        if made.iter().all(Result::is_err) {
            let failures = made.into_iter().filter_map(Result::err);
            return Err(worst(failures.collect()));
        }
        let mut told: Vec<Option<Result<Changed, CacheError>>> = (0..count).map(|_| None).collect();
        for ((group, _), made) in parts.iter().zip(made) {
            match made {
                Ok(made) => {
                    for (place, made) in group.places.iter().zip(made) {
                        put(&mut told, *place, made.map_err(|error| error.at(*place)));
                    }
                }
                Err(error) => {
                    for place in &group.places {
                        put(&mut told, *place, Err(same(&error)));
                    }
                }
            }
        }
        let unanswered = || Err(crate::service::out_of_order());
        Ok(told
            .into_iter()
            .map(|told| told.unwrap_or_else(unanswered))
            .collect())
    }

    /// Stamps a namespace, or tags of it, in all its partitions. Returns a version above all that were given before the call: what was
    /// stored before has a lower one. Where it fails in some of them its outcome is unknown: it is made in the others.
    pub(super) async fn stamp(
        &self,
        space: &Space,
        script: &Script,
        fence: Option<&Fence>,
        tags: &Tags,
    ) -> Result<i64, CacheError> {
        let areas = self.areas(space);
        if let [area] = areas.as_slice() {
            return self.stamped(area, script, fence, tags, "").await;
        }
        let highest = self.highest(&areas, fence).await?;
        let stamping = areas.iter();
        let stamping =
            stamping.map(|area| self.stamped(area, script, fence, tags, &highest).boxed());
        let (mut lowest, mut made, mut failures) = (i64::MAX, 0_usize, Vec::new());
        for stamp in at_once(stamping.collect()).await {
            match stamp {
                Ok(stamp) => {
                    made += 1;
                    lowest = lowest.min(stamp);
                }
                Err(error) => failures.push(error),
            }
        }
        if failures.is_empty() {
            return Ok(lowest);
        }
        let error = worst(failures);
        if made == 0 {
            return Err(error);
        }
        let error = Error::from(error).outcome_unknown();
        Err(error
            .with_detail("partitions_changed", made.to_string())
            .with_detail("partitions", areas.len().to_string())
            .into())
    }

    /// The highest version that any of the areas has given; empty where none has. Errors: the fence was overtaken in one of them.
    async fn highest(&self, areas: &[Area], fence: Option<&Fence>) -> Result<String, CacheError> {
        let (name, token) = fence_words(fence);
        let asking = areas.iter().map(|area| {
            let (mut version, mut highest) = (cmd("HGET"), cmd("HGET"));
            version.arg(area.key("n", "")).arg("v");
            highest.arg(area.key("f", "")).arg(&name);
            self.link.read_all(area.slot, [version, highest]).boxed()
        });
        let mut above = String::new();
        for answers in at_once(asking.collect()).await {
            let answers = answers.map_err(|error| fault(error, Kind::Reads))?;
            let mut answers = answers.into_iter().map(text);
            if let Some(version) = answers.next().flatten().filter(|version| *version > above) {
                above = version;
            }
            if let (Some(fence), Some(highest)) = (fence, answers.next().flatten())
                && highest > token
                && let Ok(highest) = highest.parse().map(plinth_core::FenceToken::parse)
            {
                return Err(fence.refusal(highest?).into());
            }
        }
        Ok(above)
    }

    /// Removes in all partitions what a clear left.
    pub(super) async fn remove_all_cleared(&self, space: &Space) {
        let areas = self.areas(space);
        let removing = areas.iter().map(|area| self.remove_cleared(area).boxed());
        at_once(removing.collect()).await;
    }

    /// What all partitions hold together, with as many entries of each; refused where one cannot tell.
    pub(super) async fn sum(&self, space: &Space) -> Result<BackendStats, CacheError> {
        let areas = self.areas(space);
        let sampled_max = SAMPLE_ENTRIES_MAX.div_ceil(areas.len());
        let numbers = areas
            .iter()
            .map(|area| self.numbers(area, sampled_max).boxed());
        let mut sum = BackendStats::default();
        for part in at_once(numbers.collect()).await {
            let part = part?;
            sum.keys = sum.keys.saturating_add(part.keys);
            sum.bytes = sum.bytes.saturating_add(part.bytes);
            sum.expired = sum.expired.saturating_add(part.expired);
            sum.connections = part.connections;
            sum.sample.extend(part.sample);
        }
        sum.sample.truncate(SAMPLE_ENTRIES_MAX);
        Ok(sum)
    }
}

/// Reads each group and puts the answers in the order of the call. `ask` hands over no more than so many bytes: first each its share
/// of what one call may be answered, then, one after another, those that need more get what is left.
pub(super) async fn put_together<'call>(
    groups: &'call [Group],
    count: usize,
    ask: impl Fn(&'call Group, usize) -> BoxFuture<'call, Part>,
) -> Result<Reply<Vec<Read>>, CacheError> {
    let share = BATCH_READ_BYTES_MAX / groups.len().max(1);
    let asking = groups.iter().map(|group| ask(group, share));
    let parts = at_once(asking.collect()).await.into_iter();
    let mut parts: Vec<Glance<Reply<Vec<Read>>>> = parts.collect::<Result<_, _>>()?;
    let mut bytes: usize = parts.iter().map(bytes_of).sum();
    for (group, part) in groups.iter().zip(&mut parts) {
        if let Glance::TooLarge(_) = part {
            *part = ask(group, BATCH_READ_BYTES_MAX.saturating_sub(bytes)).await?;
            bytes = bytes.saturating_add(match part {
                Glance::Here(_) => bytes_of(part),
                Glance::TooLarge(larger) => *larger,
            });
        }
    }
    let mut told: Vec<Option<Read>> = (0..count).map(|_| None).collect();
    let (mut degraded, mut near) = (false, true);
    for (group, part) in groups.iter().zip(parts) {
        let Glance::Here(part) = part else {
            return Err(answer_too_large(bytes).into());
        };
        degraded |= part.degraded;
        near &= part.near;
        for (place, read) in group.places.iter().zip(part.answer) {
            put(&mut told, *place, read);
        }
    }
    let told = told.into_iter();
    Ok(Reply {
        answer: told.map(|read| read.unwrap_or(Read::Absent)).collect(),
        degraded,
        near,
    })
}

/// Asks, a bounded number at a time; the answers come in order.
async fn at_once<T>(asking: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let asking = stream::iter(asking).buffered(PARTITIONS_AT_ONCE);
    asking.collect().await
}

fn bytes_of(part: &Glance<Reply<Vec<Read>>>) -> usize {
    let Glance::Here(reply) = part else {
        return 0;
    };
    let reads = reply.answer.iter();
    let bytes = reads.map(|read| match read {
        Read::Found(found) => found.value.bytes.len(),
        Read::KnownAbsent(_) | Read::Absent => 0,
    });
    bytes.sum()
}

fn put<T>(told: &mut [Option<T>], place: usize, one: T) {
    if let Some(told) = told.get_mut(place) {
        *told = Some(one);
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// The failure of a call that failed in several partitions: one whose effect is unknown where there is one.
fn worst(failures: Vec<CacheError>) -> CacheError {
    let is_unknown = |error: &CacheError| {
        let unknown = Outcome::Unknown;
        matches!(error, CacheError::Engine { outcome, .. } if *outcome == unknown)
    };
    let (unknown, known): (Vec<_>, Vec<_>) = failures.into_iter().partition(is_unknown);
    let first = unknown.into_iter().chain(known).next();
    first.unwrap_or_else(crate::service::out_of_order)
}

/// The same failure, for one more item.
fn same(error: &CacheError) -> CacheError {
    match error {
        CacheError::Engine {
            fault,
            outcome,
            cause,
        } => CacheError::Engine {
            fault: *fault,
            outcome: *outcome,
            cause: cause.to_string().into(),
        },
        CacheError::TooManyFences { max } => CacheError::TooManyFences { max: *max },
        CacheError::Invalid(error) => {
            let again = Error::new(error.code(), error.message()).retriable(error.is_retriable());
            let violations = error.violations().iter();
            let again = violations.fold(again, |again, violation| {
                again.with_violation(violation.field.clone(), violation.message.clone())
            });
            let details = error.details().iter();
            let again = details.fold(again, |again, (key, detail)| again.with_detail(key, detail));
            again.into()
        }
        other => Error::internal(std::io::Error::other(other.to_string())).into(),
    }
}
