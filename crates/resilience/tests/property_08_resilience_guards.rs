//! Property 8, its guards: a limiter never lets more through than its rate, a breaker opens exactly when its rule says so
//! and always finds back, and waits between attempts stay inside their bounds.

use plinth_resilience::breaker::{BreakerMachine, OpenFor};
use plinth_resilience::{Backoff, BreakerConfig, BreakerState, RateLimit, TokenBucket};
use proptest::prelude::*;

const NS_PER_SECOND: u128 = 1_000_000_000;

fn config() -> impl Strategy<Value = BreakerConfig> {
    (1..20_u32, 1..20_u32, 1..=100_u32, 1..100_u64, 1..4_u32).prop_map(
        |(window_calls, calls_min, failure_percent, open_ms, trial_calls)| BreakerConfig {
            window_calls,
            calls_min,
            failure_percent,
            open_ms,
            trial_calls,
        },
    )
}

proptest! {
    #[test]
    fn a_bucket_never_passes_its_rate_and_never_starves(
        per_second in 1..100_000_u32,
        burst in 1..100_u32,
        gaps_ns in proptest::collection::vec(0..50_000_000_u64, 1..300),
    ) {
        let limit = RateLimit::new(per_second, burst);
        let bucket = TokenBucket::new();
        let (mut now_ns, mut taken_at) = (0_u64, Vec::new());
        for gap_ns in gaps_ns {
            now_ns += gap_ns;
            let peeked = bucket.peek(limit, now_ns);
            let result = bucket.try_take(limit, now_ns);
            prop_assert_eq!(peeked, result);
            match result {
                Ok(()) => taken_at.push(now_ns),
                Err(wait_ms) => {
                    prop_assert!(wait_ms >= 1);
                    // Whoever waits as long as told is let in, had nobody else come.
                    prop_assert!(bucket.peek(limit, now_ns + wait_ms * 1_000_000).is_ok());
                }
            }
        }
        for (index, from_ns) in taken_at.iter().enumerate() {
            for (count, until_ns) in taken_at[index..].iter().enumerate() {
                let window_ns = u128::from(until_ns - from_ns);
                let allowed = u128::from(burst) + window_ns * u128::from(per_second) / NS_PER_SECOND;
                prop_assert!((count as u128) < allowed, "{} in {window_ns} ns", count + 1);
            }
        }
    }

    #[test]
    fn a_breaker_opens_exactly_by_its_rule(config in config(), calls in proptest::collection::vec(any::<bool>(), 1..80)) {
        let mut machine = BreakerMachine::default();
        let mut window: Vec<bool> = Vec::new();
        for success in calls {
            let ticket = machine.admit(&config, 0).expect("closed lets through");
            machine.record(&config, 0, ticket, success);
            window.push(success);
            let seen = &window[window.len().saturating_sub(config.window_calls as usize)..];
            let failures = seen.iter().filter(|success| !**success).count();
            let enough = seen.len() >= config.calls_min.min(config.window_calls) as usize;
            let over = failures > 0 && failures * 100 >= seen.len() * config.failure_percent as usize;
            if enough && over {
                prop_assert_eq!(machine.state(0), BreakerState::Open);
                prop_assert_eq!(machine.admit(&config, 0), Err(OpenFor(config.open_ms)));
                return Ok(());
            }
            prop_assert_eq!(machine.state(0), BreakerState::Closed);
        }
    }

    #[test]
    fn an_open_breaker_closes_after_good_trials_and_opens_again_after_a_bad_one(
        config in config(),
        bad_trial in proptest::option::of(0..4_u32),
        abandoned in 0..3_u32,
    ) {
        let mut machine = BreakerMachine::default();
        for _ in 0..config.window_calls.max(config.calls_min) {
            if let Ok(ticket) = machine.admit(&config, 0) {
                machine.record(&config, 0, ticket, false);
            }
        }
        prop_assert_eq!(machine.state(0), BreakerState::Open);
        let now_ms = config.open_ms;
        for _ in 0..abandoned {
            let ticket = machine.admit(&config, now_ms).expect("a trial place is free");
            machine.abandon(ticket);
        }
        let tickets: Vec<_> = (0..config.trial_calls)
            .map(|_| machine.admit(&config, now_ms).expect("a trial place is free"))
            .collect();
        prop_assert!(machine.admit(&config, now_ms).is_err(), "no more trials than the rule allows");
        for (number, ticket) in (0..).zip(tickets) {
            machine.record(&config, now_ms, ticket, bad_trial != Some(number));
        }
        let fails = bad_trial.is_some_and(|number| number < config.trial_calls);
        let expected = if fails { BreakerState::Open } else { BreakerState::Closed };
        prop_assert_eq!(machine.state(now_ms), expected);
    }

    #[test]
    fn waits_grow_to_their_bound_and_never_past_it(
        first_ms in 0..10_000_u64,
        max_ms in 0..100_000_u64,
        attempt in 1..200_u32,
        random in any::<u64>(),
    ) {
        let backoff = Backoff { first_ms, max_ms };
        prop_assert!(backoff.delay_ms(attempt, random) <= backoff.ceiling_ms(attempt));
        prop_assert!(backoff.ceiling_ms(attempt) <= backoff.ceiling_ms(attempt + 1));
        prop_assert!(backoff.ceiling_ms(attempt) <= max_ms);
    }
}

#[test]
fn a_late_result_of_an_earlier_period_counts_for_nothing() {
    let config = BreakerConfig {
        window_calls: 1,
        calls_min: 1,
        failure_percent: 100,
        open_ms: 10,
        trial_calls: 1,
    };
    let mut machine = BreakerMachine::default();
    let late = machine.admit(&config, 0).expect("closed");
    let first = machine.admit(&config, 0).expect("closed");
    machine.record(&config, 0, first, false);
    let trial = machine.admit(&config, 10).expect("half-open");
    machine.record(&config, 10, late, false);
    machine.record(&config, 10, trial, true);
    assert_eq!(machine.state(10), BreakerState::Closed);
}
