//! What the recorder writes down.

use plinth_client::{ClientError, Outcome};
use plinth_testkit::linear::{
    Bounds, Counter, CounterOp, CounterReply, Ended, Recorder, check_by_key,
};

fn error(outcome: Outcome) -> ClientError {
    let mut error = ClientError::from(plinth_core::Error::new(
        plinth_core::ErrorCode::DependencyUnavailable,
        "gone",
    ));
    error.outcome = outcome;
    error
}

#[tokio::test]
async fn a_call_counts_by_what_is_known_of_its_effect() {
    let recorder = Recorder::default();
    let now =
        |result: &Result<i64, ClientError>| result.as_ref().ok().copied().map(CounterReply::Now);
    let results = [
        Ok(1),
        Err(error(Outcome::NotApplied)),
        Err(error(Outcome::Unknown)),
    ];
    for (client, result) in (0..).zip(results) {
        let call = async { result.clone() };
        let told = recorder
            .call(client, "n", CounterOp::Add(1), call, now)
            .await;
        assert_eq!(told, result);
    }
    let cancelled = recorder.call(3, "n", CounterOp::Add(1), std::future::pending(), now);
    let mut cancelled = Box::pin(cancelled);
    assert!(futures::poll!(&mut cancelled).is_pending());
    assert_eq!(recorder.len(), 3);
    drop(cancelled);
    let history = recorder.into_history();
    let ended: Vec<_> = history
        .iter()
        .map(|(_, each)| (each.client, &each.ended))
        .collect();
    assert!(
        matches!(
            ended.as_slice(),
            [
                (
                    0,
                    Ended::Answered {
                        output: CounterReply::Now(1),
                        ..
                    }
                ),
                (1, Ended::NotApplied),
                (2, Ended::Unknown),
                (3, Ended::Unknown),
            ]
        ),
        "{ended:?}"
    );
}

#[test]
fn keys_are_checked_apart_and_the_refuted_one_is_named() {
    let recorder = Recorder::default();
    for key in ["a", "b"] {
        recorder
            .begin(1, key, CounterOp::Add(1))
            .answered(CounterReply::Now(1));
        recorder.begin(1, key, CounterOp::Add(1)).unknown();
        recorder.begin(1, key, CounterOp::Add(1)).not_applied();
    }
    let good = recorder.into_history();
    let mut bad = good.clone();
    let proof = check_by_key(&Counter, good, Bounds::default()).expect("explained");
    assert_eq!((proof.keys, proof.operations, proof.unknown), (2, 2, 2));
    let twice = bad.last().cloned().expect("an operation");
    let Ended::Answered { output, at_ns } = bad[0].1.ended.clone() else {
        panic!("answered");
    };
    bad.push((twice.0, twice.1.clone()));
    bad.last_mut().expect("it").1.ended = Ended::Answered {
        output,
        at_ns: at_ns + u64::MAX / 2,
    };
    let refuted = check_by_key(&Counter, bad, Bounds::default()).expect_err("refuted");
    assert_eq!(refuted.key, "\"b\"");
}

#[test]
fn an_undecided_key_is_an_error() {
    let recorder = Recorder::default();
    recorder
        .begin(1, "a", CounterOp::Add(1))
        .answered(CounterReply::Now(1));
    let bounds = Bounds { steps_max: 0 };
    let refuted = check_by_key(&Counter, recorder.into_history(), bounds).expect_err("undecided");
    assert_eq!(refuted.to_string(), "key \"a\": undecided after 0 steps");
}
