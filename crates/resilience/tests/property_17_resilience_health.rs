//! Property 17: the answer about an instance equals the true state of its parts, after any history of reports.

use std::collections::BTreeMap;

use plinth_core::{ManualClock, TimestampMs};
use plinth_resilience::{ComponentStatus, HealthRegistry, OverallStatus};
use proptest::prelude::*;

const NAMES: [&str; 4] = ["cache", "control.store", "database.shop", "queue.engine"];
/// The one part of [`NAMES`] without which nothing is served.
const ESSENTIAL: &str = "control.store";

#[derive(Clone, Debug)]
enum Step {
    Register(usize),
    Up(usize),
    Degraded(usize),
    Down(usize),
    Remove(usize),
    Serve,
    Drain,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let part = 0..NAMES.len();
    prop_oneof![
        part.clone().prop_map(Step::Register),
        part.clone().prop_map(Step::Up),
        part.clone().prop_map(Step::Up),
        part.clone().prop_map(Step::Degraded),
        part.clone().prop_map(Step::Down),
        part.prop_map(Step::Remove),
        Just(Step::Serve),
        Just(Step::Serve),
        (1..50_u64).prop_map(Step::Wait),
        Just(Step::Drain),
    ]
}

/// What the answer must be, from the history alone.
#[derive(Default)]
struct Truth {
    serving: bool,
    draining: bool,
    parts: BTreeMap<&'static str, (ComponentStatus, i64)>,
}

impl Truth {
    fn report(&mut self, name: &'static str, status: ComponentStatus, now_ms: i64) {
        let part = self
            .parts
            .entry(name)
            .or_insert((ComponentStatus::Starting, now_ms));
        if part.0 != status {
            *part = (status, now_ms);
        }
    }

    fn overall(&self) -> OverallStatus {
        let any = |wanted: ComponentStatus| self.parts.values().any(|part| part.0 == wanted);
        let essential = self.parts.get(ESSENTIAL).map(|part| part.0);
        match () {
            () if self.draining => OverallStatus::Draining,
            () if !self.serving => OverallStatus::Starting,
            () if essential == Some(ComponentStatus::Down) => OverallStatus::Down,
            () if essential == Some(ComponentStatus::Starting) => OverallStatus::Starting,
            () if any(ComponentStatus::Down) || any(ComponentStatus::Degraded) => {
                OverallStatus::Degraded
            }
            () => OverallStatus::Up,
        }
    }
}

proptest! {
    #[test]
    fn the_answer_equals_the_true_state(steps in proptest::collection::vec(step(), 0..40)) {
        let clock = ManualClock::starting_at(TimestampMs(1_000));
        let registry = HealthRegistry::new(clock.clone());
        let mut truth = Truth::default();
        let mut elapsed_ms = 0;
        let find = |index: usize| match NAMES[index] {
            ESSENTIAL => registry.essential_component(ESSENTIAL),
            name => registry.component(name),
        };
        for step in steps {
            let now_ms = 1_000 + i64::try_from(elapsed_ms).expect("a few seconds");
            match step {
                Step::Register(part) => {
                    find(part);
                    truth.parts.entry(NAMES[part]).or_insert((ComponentStatus::Starting, now_ms));
                }
                Step::Up(part) => {
                    find(part).up();
                    truth.report(NAMES[part], ComponentStatus::Up, now_ms);
                }
                Step::Degraded(part) => {
                    find(part).degraded("slow");
                    truth.report(NAMES[part], ComponentStatus::Degraded, now_ms);
                }
                Step::Down(part) => {
                    find(part).down("away");
                    truth.report(NAMES[part], ComponentStatus::Down, now_ms);
                }
                Step::Remove(part) => {
                    registry.remove(NAMES[part]);
                    truth.parts.remove(NAMES[part]);
                }
                Step::Serve => {
                    registry.serve();
                    truth.serving = true;
                }
                Step::Drain => {
                    registry.drain();
                    truth.draining = true;
                }
                Step::Wait(wait_ms) => {
                    clock.advance_ms(wait_ms);
                    elapsed_ms += wait_ms;
                }
            }
            let snapshot = registry.snapshot();
            prop_assert_eq!(snapshot.status, truth.overall());
            prop_assert_eq!(snapshot.uptime_ms, elapsed_ms);
            let shown: Vec<(&str, ComponentStatus, i64)> = snapshot
                .components
                .iter()
                .map(|part| (&*part.name, part.status, part.since.0))
                .collect();
            let expected: Vec<(&str, ComponentStatus, i64)> =
                truth.parts.iter().map(|(name, part)| (*name, part.0, part.1)).collect();
            prop_assert_eq!(shown, expected);
            for part in &snapshot.components {
                let ails = matches!(part.status, ComponentStatus::Degraded | ComponentStatus::Down);
                prop_assert_eq!(part.message.is_some(), ails);
            }
        }
    }
}
