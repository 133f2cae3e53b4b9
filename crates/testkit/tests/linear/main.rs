//! The checker accepts what one copy could have answered, refuses what it could not, and says where it cannot tell.
#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "an index out of range is a fault of the test"
)]

mod brute;
mod counter;
mod lock;
mod recorder;
mod register;

use plinth_testkit::linear::{Bounds, Ended, Model, Operation, Verdict, check};

/// What a history must be found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Linearizable,
    Violation,
}

/// An operation that was answered: invoked and answered at these instants.
fn told<I, O>(invoked_ns: u64, at_ns: u64, input: I, output: O) -> Operation<I, O> {
    Operation {
        client: 0,
        input,
        invoked_ns,
        ended: Ended::Answered { output, at_ns },
    }
}

/// An operation of unknown end.
fn lost<I, O>(invoked_ns: u64, input: I) -> Operation<I, O> {
    Operation {
        client: 0,
        input,
        invoked_ns,
        ended: Ended::Unknown,
    }
}

fn verdict<M: Model>(model: &M, history: &[Operation<M::Input, M::Output>]) -> Expect {
    match check(model, history, Bounds::default()) {
        Verdict::Linearizable { .. } => Expect::Linearizable,
        Verdict::Violation { .. } => Expect::Violation,
        Verdict::Undecided { steps } => panic!("undecided after {steps} steps"),
    }
}

/// Checks a table of histories.
fn check_table<M: Model>(model: &M, table: Vec<Case<M>>) {
    for case in table {
        let seen = verdict(model, &case.history);
        assert_eq!(seen, case.expect, "{}: {:#?}", case.name, case.history);
    }
}

struct Case<M: Model> {
    name: &'static str,
    expect: Expect,
    history: Vec<Operation<M::Input, M::Output>>,
}

fn good<M: Model>(name: &'static str, history: Vec<Operation<M::Input, M::Output>>) -> Case<M> {
    Case {
        name,
        expect: Expect::Linearizable,
        history,
    }
}

fn bad<M: Model>(name: &'static str, history: Vec<Operation<M::Input, M::Output>>) -> Case<M> {
    Case {
        name,
        expect: Expect::Violation,
        history,
    }
}
