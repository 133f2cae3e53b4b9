//! From what a caller asks for to the life that a backend is told.

use plinth_core::{Error, Result, TimestampMs};

use crate::model::{
    CheckedSettings, End, Expiry, Life, NEGATIVE_TTL_MS_DEFAULT, NEGATIVE_TTL_MS_MAX,
    SLIDING_MAX_MS_DEFAULT, Subject, TTL_MS_MAX, Ttl,
};

/// How a namespace makes lives of wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LifeRules {
    /// The life of a value whose caller names none; `None` does not expire.
    pub(super) default_ttl: Option<Ttl>,
    /// How long a value lives unread whose caller names no expiry; `default_ttl` is then its maximum.
    pub(super) default_idle: Option<Ttl>,
    /// The life of a negative entry whose caller names none.
    pub(super) negative_ttl: Ttl,
    /// How long a sliding expiry lasts at most.
    pub(super) sliding_max: Ttl,
    /// By how many hundredths a life is shortened at most, by chance, so that what was stored together does not end together.
    pub(super) jitter_percent: u8,
    /// After how many hundredths of its life a value is stale; 100 is never.
    pub(super) fresh_percent: u8,
}

impl Default for LifeRules {
    fn default() -> Self {
        Self {
            default_ttl: None,
            default_idle: None,
            negative_ttl: Ttl::clamped(NEGATIVE_TTL_MS_DEFAULT),
            sliding_max: Ttl::clamped(SLIDING_MAX_MS_DEFAULT),
            jitter_percent: 0,
            fresh_percent: 100,
        }
    }
}

impl LifeRules {
    /// The rules that an administrator gave.
    pub(super) fn of(settings: &CheckedSettings) -> Self {
        let default = Self::default();
        Self {
            default_ttl: settings.default_ttl,
            default_idle: settings.default_idle,
            negative_ttl: settings.negative_ttl.unwrap_or(default.negative_ttl),
            sliding_max: settings.sliding_max.unwrap_or(default.sliding_max),
            jitter_percent: settings.jitter_percent,
            fresh_percent: settings.fresh_percent,
        }
    }

    /// Makes a life. `chance` lies in 0..=`u32::MAX` and decides the jitter.
    ///
    /// Errors: 1001 naming the field of a life that is over, too long, or not one of a negative entry.
    pub(super) fn life(
        &self,
        expiry: Expiry,
        subject: Subject,
        now: TimestampMs,
        chance: u32,
    ) -> Result<Life> {
        match subject {
            Subject::Value => self.of_value(expiry, now, chance),
            Subject::KnownAbsent => self.of_known_absent(expiry, now),
        }
    }

    fn of_value(&self, expiry: Expiry, now: TimestampMs, chance: u32) -> Result<Life> {
        let fixed = |ttl: Ttl| {
            let ttl = self.jittered(ttl, chance);
            let stale = ttl.get_ms() / 100 * u64::from(self.fresh_percent)
                + ttl.get_ms() % 100 * u64::from(self.fresh_percent) / 100;
            Life {
                fresh_ms: (self.fresh_percent < 100).then_some(stale.max(1)),
                ..Life::after(ttl)
            }
        };
        let expiry = match (expiry, self.default_idle) {
            (Expiry::Default, Some(idle)) => Expiry::Sliding {
                idle,
                limit: self.default_ttl,
            },
            (expiry, _) => expiry,
        };
        match expiry {
            Expiry::Never => Ok(Life::FOREVER),
            Expiry::Default => Ok(self.default_ttl.map_or(Life::FOREVER, fixed)),
            Expiry::After(ttl) => Ok(fixed(ttl)),
            Expiry::At(at) => {
                let left = left_until(at, now)?;
                // An instant that the caller named is kept to the millisecond: no jitter.
                let fresh_ms = Self {
                    jitter_percent: 0,
                    ..*self
                }
                .of_value(Expiry::After(left), now, 0)?
                .fresh_ms;
                Ok(Life {
                    end: End::At(at),
                    idle: None,
                    fresh_ms,
                })
            }
            Expiry::Sliding { idle, limit } => {
                let limit = limit.unwrap_or(self.sliding_max);
                if idle > limit {
                    return Err(Error::invalid(
                        "sliding_ms",
                        format!("is above the namespace's maximum of {}", limit.get_ms()),
                    ));
                }
                Ok(Life {
                    idle: Some(idle),
                    ..Life::after(limit)
                })
            }
        }
    }

    fn of_known_absent(&self, expiry: Expiry, now: TimestampMs) -> Result<Life> {
        let (ttl, field) = match expiry {
            Expiry::Default => return Ok(Life::after(self.negative_ttl)),
            Expiry::After(ttl) => (ttl, "ttl_ms"),
            Expiry::At(at) => (left_until(at, now)?, "expires_at_ms"),
            Expiry::Never => {
                return Err(Error::invalid("persist", "does not go with `known_absent`"));
            }
            Expiry::Sliding { .. } => {
                return Err(Error::invalid(
                    "sliding_ms",
                    "does not go with `known_absent`",
                ));
            }
        };
        if ttl.get_ms() > NEGATIVE_TTL_MS_MAX {
            return Err(Error::invalid(
                field,
                format!("is above {NEGATIVE_TTL_MS_MAX} ms, the longest life of a negative entry"),
            ));
        }
        Ok(Life::after(ttl))
    }

    fn jittered(&self, ttl: Ttl, chance: u32) -> Ttl {
        let most = u128::from(ttl.get_ms()) * u128::from(self.jitter_percent) / 100;
        let less = most * u128::from(chance) / u128::from(u32::MAX);
        let less = u64::try_from(less).unwrap_or(0);
        Ttl::clamped(ttl.get_ms().saturating_sub(less))
    }
}

fn left_until(at: TimestampMs, now: TimestampMs) -> Result<Ttl> {
    let left = at.0.saturating_sub(now.0);
    match u64::try_from(left) {
        Ok(left @ 1..=TTL_MS_MAX) => Ok(Ttl::clamped(left)),
        _ => Err(Error::invalid(
            "expires_at_ms",
            format!("must lie in the next {TTL_MS_MAX} ms"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

    fn ttl(ttl_ms: i64) -> Ttl {
        Ttl::parse(ttl_ms).expect("a ttl")
    }

    fn end_ms(life: Life) -> u64 {
        match life.end {
            End::After(ttl) => ttl.get_ms(),
            End::Never | End::At(_) => 0,
        }
    }

    #[test]
    fn jitter_only_shortens_and_by_no_more_than_its_share() {
        let rules = LifeRules {
            jitter_percent: 20,
            ..LifeRules::default()
        };
        let after = |ttl_ms, chance| {
            let expiry = Expiry::After(ttl(ttl_ms));
            end_ms(
                rules
                    .life(expiry, Subject::Value, NOW, chance)
                    .expect("a life"),
            )
        };
        assert_eq!(after(1_000, 0), 1_000);
        assert_eq!(after(1_000, u32::MAX), 800);
        assert_eq!(after(1_000, u32::MAX / 2), 901);
        assert_eq!(after(1, u32::MAX), 1);
        let longest = i64::try_from(TTL_MS_MAX).expect("fits");
        assert_eq!(after(longest, u32::MAX), TTL_MS_MAX / 10 * 8);
    }

    #[test]
    fn a_value_is_stale_after_its_share_of_the_jittered_life() {
        let rules = LifeRules {
            jitter_percent: 50,
            fresh_percent: 25,
            ..LifeRules::default()
        };
        let life = rules.life(Expiry::After(ttl(1_000)), Subject::Value, NOW, u32::MAX);
        assert_eq!(life.expect("a life").fresh_ms, Some(125));
        let at = Expiry::At(NOW.plus_ms(1_000));
        let life = rules
            .life(at, Subject::Value, NOW, u32::MAX)
            .expect("a life");
        assert_eq!(life.fresh_ms, Some(250));
        assert_eq!(life.end, End::At(NOW.plus_ms(1_000)));
        let forever = rules.life(Expiry::Never, Subject::Value, NOW, 0);
        assert_eq!(forever.expect("a life"), Life::FOREVER);
    }

    #[test]
    fn wishes_that_make_no_life_are_refused_by_their_field() {
        let rules = LifeRules::default();
        let at = |delta| Expiry::At(NOW.plus_ms(delta));
        let sliding = |idle, limit| Expiry::Sliding {
            idle: ttl(idle),
            limit,
        };
        let longest = i64::try_from(TTL_MS_MAX).expect("fits");
        let negative = i64::try_from(NEGATIVE_TTL_MS_MAX).expect("fits");
        let sliding_max = i64::try_from(SLIDING_MAX_MS_DEFAULT).expect("fits");
        for (expiry, subject, field) in [
            (at(0), Subject::Value, "expires_at_ms"),
            (at(longest + 1), Subject::Value, "expires_at_ms"),
            (sliding(sliding_max + 1, None), Subject::Value, "sliding_ms"),
            (sliding(100, None), Subject::KnownAbsent, "sliding_ms"),
            (Expiry::Never, Subject::KnownAbsent, "persist"),
            (
                Expiry::After(ttl(negative + 1)),
                Subject::KnownAbsent,
                "ttl_ms",
            ),
            (at(negative + 1), Subject::KnownAbsent, "expires_at_ms"),
        ] {
            let error = rules.life(expiry, subject, NOW, 0).expect_err("refused");
            assert_eq!(error.violations()[0].field, field, "{expiry:?}");
        }
        for (expiry, subject) in [
            (at(1), Subject::Value),
            (at(longest), Subject::Value),
            (sliding(sliding_max, None), Subject::Value),
            (sliding(10, Some(ttl(longest))), Subject::Value),
            (Expiry::After(ttl(negative)), Subject::KnownAbsent),
            (Expiry::Default, Subject::KnownAbsent),
        ] {
            assert!(rules.life(expiry, subject, NOW, 0).is_ok(), "{expiry:?}");
        }
    }
}
