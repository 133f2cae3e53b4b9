//! The business: application numbers and the states of a review.

use std::fmt;

use anyhow::{Result, ensure};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// How often a merchant may be asked to supplement.
const SUPPLEMENTS_MAX: u32 = 3;

/// The globally unique number of a merchant's application (申请编号).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ApplicationNumber(pub(crate) String);

impl ApplicationNumber {
    /// The number of the `index`-th application of a run.
    pub(crate) fn new(run: &str, index: u32) -> Self {
        Self(format!("A{run}-{index:06}"))
    }
}

impl fmt::Display for ApplicationNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The state of an application (审核状态).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReviewStatus {
    /// Submitted.
    Init,
    /// Rules are checked.
    AutoReview,
    /// A person looks at it.
    ManualReview,
    /// The merchant must add something.
    Supplement,
    /// The merchant is in.
    Approved,
    /// The merchant is not.
    Rejected,
    /// The merchant was in and is stopped.
    Suspended,
}

impl ReviewStatus {
    /// Every state.
    pub(crate) const ALL: [Self; 7] = [
        Self::Init,
        Self::AutoReview,
        Self::ManualReview,
        Self::Supplement,
        Self::Approved,
        Self::Rejected,
        Self::Suspended,
    ];

    /// The word in the database, in messages and in labels.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::AutoReview => "auto_review",
            Self::ManualReview => "manual_review",
            Self::Supplement => "supplement",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Suspended => "suspended",
        }
    }

    /// The states that may follow.
    const fn next(self) -> &'static [Self] {
        match self {
            Self::Init => &[Self::AutoReview],
            Self::AutoReview => &[Self::Approved, Self::Rejected, Self::ManualReview],
            Self::ManualReview => &[Self::Approved, Self::Rejected, Self::Supplement],
            Self::Supplement => &[Self::ManualReview],
            Self::Approved => &[Self::Suspended],
            Self::Rejected | Self::Suspended => &[],
        }
    }
}

/// One step of an application's way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct StatusChange {
    /// The application.
    pub(crate) number: ApplicationNumber,
    /// Which step of its way: 1, 2, …
    pub(crate) step: u32,
    /// Before; absent for the submission.
    pub(crate) from: Option<ReviewStatus>,
    /// After.
    pub(crate) to: ReviewStatus,
}

impl StatusChange {
    /// The submission of an application.
    pub(crate) fn submission(number: ApplicationNumber) -> Self {
        Self {
            number,
            step: 1,
            from: None,
            to: ReviewStatus::Init,
        }
    }

    /// The next step of the application. Errors: the machine has no such step.
    pub(crate) fn then(&self, to: ReviewStatus) -> Result<Self> {
        ensure!(
            self.to.next().contains(&to),
            "{}: {} does not follow {}",
            self.number,
            to.word(),
            self.to.word()
        );
        Ok(Self {
            number: self.number.clone(),
            step: self.step + 1,
            from: Some(self.to),
            to,
        })
    }

    /// Whether people decide it: what follows a manual review.
    pub(crate) fn is_a_decision(&self) -> bool {
        self.from == Some(ReviewStatus::ManualReview)
    }

    /// The name of this step's effect in one place: the idempotency key of every attempt at it.
    pub(crate) fn request_id(&self, place: &str) -> String {
        format!("{}.{}.{place}", self.number, self.step)
    }
}

/// Draws the whole way of an application. Errors: the reviewers decided what the machine forbids.
pub(crate) fn draw_way(
    number: ApplicationNumber,
    random: &mut impl Rng,
) -> Result<Vec<StatusChange>> {
    let mut last = StatusChange::submission(number);
    let mut way = vec![last.clone()];
    let mut supplements = 0;
    while let Some(to) = decide(last.to, supplements, random) {
        supplements += u32::from(to == ReviewStatus::Supplement);
        last = last.then(to)?;
        way.push(last.clone());
    }
    Ok(way)
}

/// What the reviewers decide; `None` where the way ends.
fn decide(from: ReviewStatus, supplements: u32, random: &mut impl Rng) -> Option<ReviewStatus> {
    let chance: f64 = random.random();
    match from {
        ReviewStatus::Init => Some(ReviewStatus::AutoReview),
        ReviewStatus::AutoReview if chance < 0.5 => Some(ReviewStatus::Approved),
        ReviewStatus::AutoReview if chance < 0.6 => Some(ReviewStatus::Rejected),
        ReviewStatus::AutoReview | ReviewStatus::Supplement => Some(ReviewStatus::ManualReview),
        ReviewStatus::ManualReview if chance < 0.4 && supplements < SUPPLEMENTS_MAX => {
            Some(ReviewStatus::Supplement)
        }
        ReviewStatus::ManualReview if chance < 0.8 => Some(ReviewStatus::Approved),
        ReviewStatus::ManualReview => Some(ReviewStatus::Rejected),
        ReviewStatus::Approved if chance < 0.1 => Some(ReviewStatus::Suspended),
        ReviewStatus::Approved | ReviewStatus::Rejected | ReviewStatus::Suspended => None,
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn every_way_follows_the_machine_and_all_states_are_reached() {
        let mut random = rand::rngs::StdRng::seed_from_u64(7);
        let mut reached = std::collections::BTreeSet::new();
        for index in 0..2_000 {
            let way = draw_way(ApplicationNumber::new("t", index), &mut random)
                .expect("the reviewers keep to the machine");
            assert_eq!(way[0].to, ReviewStatus::Init);
            for pair in way.windows(2) {
                assert_eq!(pair[1].from, Some(pair[0].to));
                assert_eq!(pair[1].step, pair[0].step + 1);
            }
            reached.extend(way.iter().map(|change| change.to));
        }
        assert_eq!(reached.len(), ReviewStatus::ALL.len());
    }

    #[test]
    fn only_what_the_machine_allows_follows() {
        let allowed = [
            "init>auto_review",
            "auto_review>manual_review",
            "auto_review>approved",
            "auto_review>rejected",
            "manual_review>supplement",
            "manual_review>approved",
            "manual_review>rejected",
            "supplement>manual_review",
            "approved>suspended",
        ];
        let mut followed = Vec::new();
        for from in ReviewStatus::ALL {
            for to in ReviewStatus::ALL {
                let change = StatusChange {
                    to: from,
                    ..StatusChange::submission(ApplicationNumber::new("t", 1))
                };
                match change.then(to) {
                    Ok(next) => {
                        assert_eq!((next.from, next.step), (Some(from), 2));
                        followed.push(format!("{}>{}", from.word(), to.word()));
                    }
                    Err(error) => assert!(error.to_string().contains("does not follow")),
                }
            }
        }
        assert_eq!(followed, allowed);
    }
}
