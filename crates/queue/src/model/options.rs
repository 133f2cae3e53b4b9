//! Options of a queue: as they are asked for, and as they are in force.

use plinth_core::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::limits;
use super::names::{QueueName, check_range};

/// Waits between attempts, as asked for: a field left out takes its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueueBackoff)]
pub struct BackoffOptions {
    /// Failed attempts that are repeated at once, 0 to 100. Default 0.
    pub immediate_tries: Option<i32>,
    /// Upper bound of the first wait, 1 to 86,400,000 ms. Default 1,000.
    pub initial_ms: Option<i64>,
    /// Upper bound of every wait, `initial_ms` to 604,800,000 ms. Default 300,000.
    pub max_ms: Option<i64>,
    /// Growth of the bound for each further failure, 1.0 to 10.0. Default 2.0.
    pub multiplier: Option<f64>,
}

/// Options of a queue, as asked for: a field left out takes its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueOptions {
    /// Most messages in the queue, in any state; 1 to 1,000,000,000. Default: no limit.
    pub max_length: Option<i64>,
    /// Most bytes of bodies and headers in the queue; 1 to 2^50. Default: no limit.
    pub max_bytes: Option<i64>,
    /// What happens to a publish at a limit: `reject` or `drop_oldest`. Default `reject`.
    pub on_full: Option<String>,
    /// Life of a message, 1 to 31,536,000,000 ms. Default: no expiry.
    pub ttl_ms: Option<i64>,
    /// Deliveries before the dead-letter queue, 1 to 10,000. Default 16.
    pub max_attempts: Option<i32>,
    /// Waits between attempts.
    pub backoff: Option<BackoffOptions>,
    /// Where failed messages go. Default `<queue>.dead`; empty makes this queue itself an end.
    pub dead_letter_queue: Option<String>,
    /// Whether messages with a higher priority go first. Default true.
    pub priorities: Option<bool>,
    /// How long a message id is remembered, 0 to 604,800,000 ms. Default 600,000.
    pub dedup_window_ms: Option<i64>,
}

/// What happens to a publish at a limit of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// It is refused: 2106.
    Reject,
    /// The oldest ready message goes to the dead-letter queue.
    DropOldest,
}

impl OnFull {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::DropOldest => "drop_oldest",
        }
    }
}

/// Waits between attempts, in force.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// Failed attempts that are repeated at once.
    pub immediate_tries: i32,
    /// Upper bound of the first wait, in milliseconds.
    pub initial_ms: i64,
    /// Upper bound of every wait, in milliseconds.
    pub max_ms: i64,
    /// Growth of the bound.
    pub multiplier: f64,
}

impl Backoff {
    /// The longest wait after `failures` failed attempts, in milliseconds; the wait itself is drawn from 0 to this bound
    /// ("full jitter": M. Brooker, Exponential Backoff and Jitter, 2015). Zero while the immediate tries last.
    #[must_use]
    pub fn bound_ms(&self, failures: i32) -> i64 {
        let growths = failures
            .saturating_sub(self.immediate_tries)
            .saturating_sub(1);
        if growths < 0 {
            return 0;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "both limits are far below 2^53 milliseconds"
        )]
        let (initial, most) = (self.initial_ms as f64, self.max_ms as f64);
        let bound = (initial * self.multiplier.powi(growths)).min(most);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the bound lies between 0 and `max_ms`"
        )]
        let whole = bound as i64;
        whole
    }
}

/// Options of a queue, in force.
#[derive(Clone, Debug, PartialEq)]
pub struct QueuePolicy {
    /// Most messages.
    pub max_length: Option<i64>,
    /// Most bytes.
    pub max_bytes: Option<i64>,
    /// What happens to a publish at a limit.
    pub on_full: OnFull,
    /// Life of a message, in milliseconds.
    pub ttl_ms: Option<i64>,
    /// Deliveries before the dead-letter queue.
    pub max_attempts: i32,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Where failed messages go; `None` for an end.
    pub dead_letter_queue: Option<QueueName>,
    /// Whether messages with a higher priority go first.
    pub priorities: bool,
    /// How long a message id is remembered, in milliseconds.
    pub dedup_window_ms: i64,
}

impl QueuePolicy {
    /// What a dead-letter queue that nobody declared is like: an end without limits.
    #[must_use]
    pub fn of_dead_letters() -> Self {
        Self {
            max_length: None,
            max_bytes: None,
            on_full: OnFull::Reject,
            ttl_ms: None,
            max_attempts: limits::ATTEMPTS_DEFAULT,
            backoff: Backoff {
                immediate_tries: 0,
                initial_ms: 1_000,
                max_ms: 300_000,
                multiplier: 2.0,
            },
            dead_letter_queue: None,
            priorities: true,
            dedup_window_ms: 0,
        }
    }

    /// The same as options, every field filled.
    #[must_use]
    pub fn to_options(&self) -> QueueOptions {
        QueueOptions {
            max_length: self.max_length,
            max_bytes: self.max_bytes,
            on_full: Some(self.on_full.as_str().to_owned()),
            ttl_ms: self.ttl_ms,
            max_attempts: Some(self.max_attempts),
            backoff: Some(BackoffOptions {
                immediate_tries: Some(self.backoff.immediate_tries),
                initial_ms: Some(self.backoff.initial_ms),
                max_ms: Some(self.backoff.max_ms),
                multiplier: Some(self.backoff.multiplier),
            }),
            dead_letter_queue: Some(
                self.dead_letter_queue
                    .as_ref()
                    .map_or_else(String::new, ToString::to_string),
            ),
            priorities: Some(self.priorities),
            dedup_window_ms: Some(self.dedup_window_ms),
        }
    }

    /// The first option in which two policies differ, with both values; `None` where they are the same.
    #[must_use]
    pub fn difference(&self, asked: &Self) -> Option<String> {
        let says = |option: &str, is: String, asked: String| {
            (is != asked).then(|| format!("{option} is {is}, not {asked}"))
        };
        let number = |value: Option<i64>| {
            value.map_or_else(|| "unlimited".to_owned(), |value| value.to_string())
        };
        let name = |value: &Option<QueueName>| {
            value
                .as_ref()
                .map_or_else(|| "none".to_owned(), ToString::to_string)
        };
        let backoff = |value: &Backoff| {
            format!(
                "{{immediate_tries: {}, initial_ms: {}, max_ms: {}, multiplier: {}}}",
                value.immediate_tries, value.initial_ms, value.max_ms, value.multiplier
            )
        };
        let text = |value: &dyn ToString| value.to_string();
        says(
            "max_length",
            number(self.max_length),
            number(asked.max_length),
        )
        .or_else(|| says("max_bytes", number(self.max_bytes), number(asked.max_bytes)))
        .or_else(|| {
            says(
                "on_full",
                text(&self.on_full.as_str()),
                text(&asked.on_full.as_str()),
            )
        })
        .or_else(|| says("ttl_ms", number(self.ttl_ms), number(asked.ttl_ms)))
        .or_else(|| {
            says(
                "max_attempts",
                text(&self.max_attempts),
                text(&asked.max_attempts),
            )
        })
        .or_else(|| says("backoff", backoff(&self.backoff), backoff(&asked.backoff)))
        .or_else(|| {
            says(
                "dead_letter_queue",
                name(&self.dead_letter_queue),
                name(&asked.dead_letter_queue),
            )
        })
        .or_else(|| {
            says(
                "priorities",
                text(&self.priorities),
                text(&asked.priorities),
            )
        })
        .or_else(|| {
            says(
                "dedup_window_ms",
                text(&self.dedup_window_ms),
                text(&asked.dedup_window_ms),
            )
        })
    }
}

impl BackoffOptions {
    fn validate(&self) -> Result<Backoff> {
        let immediate_tries = check_range(
            "immediate_tries",
            self.immediate_tries.unwrap_or(0),
            0,
            limits::IMMEDIATE_TRIES_MAX,
        )?;
        let max_ms = check_range(
            "max_ms",
            self.max_ms.unwrap_or(300_000),
            1,
            limits::RETRY_MS_MAX,
        )?;
        let initial_ms = check_range(
            "initial_ms",
            self.initial_ms.unwrap_or(1_000.min(max_ms)),
            1,
            limits::BACKOFF_INITIAL_MS_MAX.min(max_ms),
        )?;
        let multiplier = check_range(
            "multiplier",
            self.multiplier.unwrap_or(2.0),
            1.0,
            limits::BACKOFF_MULTIPLIER_MAX,
        )?;
        Ok(Backoff {
            immediate_tries,
            initial_ms,
            max_ms,
            multiplier,
        })
    }
}

impl QueueOptions {
    /// Checks the options of a queue of this name and fills in the defaults. Errors: 1001 naming the field.
    pub fn validate(&self, queue: &QueueName) -> Result<QueuePolicy> {
        let limit = |field: &str, value: Option<i64>, most: i64| {
            value
                .map(|value| check_range(field, value, 1, most))
                .transpose()
        };
        let on_full = match self.on_full.as_deref().unwrap_or("reject") {
            "reject" => OnFull::Reject,
            "drop_oldest" => OnFull::DropOldest,
            other => {
                return Err(Error::invalid(
                    "on_full",
                    format!("is {other:?}, must be reject or drop_oldest"),
                ));
            }
        };
        Ok(QueuePolicy {
            max_length: limit("max_length", self.max_length, limits::QUEUE_LENGTH_MAX)?,
            max_bytes: limit("max_bytes", self.max_bytes, limits::QUEUE_BYTES_MAX)?,
            on_full,
            ttl_ms: limit("ttl_ms", self.ttl_ms, limits::DELAY_MS_MAX)?,
            max_attempts: check_range(
                "max_attempts",
                self.max_attempts.unwrap_or(limits::ATTEMPTS_DEFAULT),
                1,
                limits::ATTEMPTS_MAX,
            )?,
            backoff: self
                .backoff
                .clone()
                .unwrap_or_default()
                .validate()
                .map_err(|error| error.in_field("backoff"))?,
            dead_letter_queue: self.dead_letter_target(queue)?,
            priorities: self.priorities.unwrap_or(true),
            dedup_window_ms: check_range(
                "dedup_window_ms",
                self.dedup_window_ms
                    .unwrap_or(limits::DEDUP_WINDOW_MS_DEFAULT),
                0,
                limits::RETRY_MS_MAX,
            )?,
        })
    }

    fn dead_letter_target(&self, queue: &QueueName) -> Result<Option<QueueName>> {
        match self.dead_letter_queue.as_deref() {
            None => Ok(Some(queue.dead_letter())),
            Some("") => Ok(None),
            Some(name) if name == queue.as_str() => {
                Err(Error::invalid("dead_letter_queue", "must be another queue"))
            }
            Some(name) => QueueName::parse_target("dead_letter_queue", name).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> QueueName {
        QueueName::parse("queue", "orders").expect("parses")
    }

    #[test]
    fn defaults_survive_the_way_through_options() {
        let policy = QueueOptions::default().validate(&queue()).expect("valid");
        assert_eq!(
            policy.dead_letter_queue.as_ref().map(QueueName::as_str),
            Some("orders.dead")
        );
        assert_eq!(
            policy.to_options().validate(&queue()).expect("valid"),
            policy
        );
        let end = QueuePolicy::of_dead_letters();
        assert_eq!(end.to_options().validate(&queue()).expect("valid"), end);
    }

    #[test]
    fn each_option_is_checked_at_its_limit_and_one_past_it() {
        type Set = fn(&mut QueueOptions, i64);
        let cases: [(&str, Set, i64, i64); 5] = [
            (
                "max_length",
                |o, n| o.max_length = Some(n),
                1,
                limits::QUEUE_LENGTH_MAX,
            ),
            (
                "max_bytes",
                |o, n| o.max_bytes = Some(n),
                1,
                limits::QUEUE_BYTES_MAX,
            ),
            ("ttl_ms", |o, n| o.ttl_ms = Some(n), 1, limits::DELAY_MS_MAX),
            (
                "max_attempts",
                |o, n| o.max_attempts = i32::try_from(n).ok(),
                1,
                i64::from(limits::ATTEMPTS_MAX),
            ),
            (
                "dedup_window_ms",
                |o, n| o.dedup_window_ms = Some(n),
                0,
                limits::RETRY_MS_MAX,
            ),
        ];
        for (field, set, least, most) in cases {
            for (value, good) in [
                (least, true),
                (most, true),
                (least - 1, false),
                (most + 1, false),
            ] {
                let mut options = QueueOptions::default();
                set(&mut options, value);
                let outcome = options.validate(&queue());
                assert_eq!(outcome.is_ok(), good, "{field} = {value}");
                if let Err(error) = outcome {
                    assert_eq!(error.violations()[0].field, field);
                }
            }
        }
    }

    #[test]
    fn a_bad_backoff_is_named_by_its_path() {
        let options = QueueOptions {
            backoff: Some(BackoffOptions {
                multiplier: Some(f64::NAN),
                ..BackoffOptions::default()
            }),
            ..QueueOptions::default()
        };
        let error = options.validate(&queue()).expect_err("refused");
        assert_eq!(error.violations()[0].field, "backoff.multiplier");
    }

    #[test]
    fn the_bound_grows_from_immediate_to_its_maximum() {
        let backoff = Backoff {
            immediate_tries: 2,
            initial_ms: 100,
            max_ms: 1_000,
            multiplier: 2.0,
        };
        let bounds: Vec<i64> = (1..=8).map(|failures| backoff.bound_ms(failures)).collect();
        assert_eq!(bounds, [0, 0, 100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(backoff.bound_ms(i32::MAX), 1_000);
    }

    #[test]
    fn a_difference_is_named_with_both_values() {
        let one = QueueOptions::default().validate(&queue()).expect("valid");
        let mut other = one.clone();
        assert_eq!(one.difference(&other), None);
        other.max_attempts = 3;
        assert_eq!(
            one.difference(&other).as_deref(),
            Some("max_attempts is 16, not 3")
        );
    }
}
