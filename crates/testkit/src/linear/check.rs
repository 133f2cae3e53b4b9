//! Whether one order explains a history.
//!
//! Source: Wing & Gong, J. Parallel Distrib. Comput. 1993, a depth-first search over the operations that may come next;
//! each pair of what was placed and the state that it led to is searched once (Lowe, Concurrency Comput. 2017); keys are
//! searched apart, since linearizability is local (Herlihy & Wing 1990).

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;

use super::history::{Ended, Operation};

/// What one copy that does one thing at a time would do.
pub trait Model {
    /// What is asked.
    type Input: Debug;
    /// What is answered.
    type Output: Debug;
    /// What is kept.
    type State: Clone + Debug + Eq + Hash;

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after an operation, or `None` where this state cannot give its answer. Without an answer (its end is
    /// unknown) the operation takes effect, or `None` where it cannot.
    fn step(
        &self,
        state: &Self::State,
        operation: &Operation<Self::Input, Self::Output>,
        at: Window,
    ) -> Option<Self::State>;
}

/// An operation of a model.
pub type OperationOf<M> = Operation<<M as Model>::Input, <M as Model>::Output>;

/// When an operation takes effect, in the order that is tried: between these instants of the history's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Not before: the latest invocation among it and what came before it.
    pub earliest_ns: u64,
    /// Not after: the earliest answer among it and what comes after it.
    pub latest_ns: u64,
}

/// How much work a search may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most operations tried for one key.
    pub steps_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            steps_max: 5_000_000,
        }
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An order explains every answer.
    Linearizable {
        /// Operations tried.
        steps: u64,
    },
    /// No order does.
    Violation {
        /// The longest explained beginning, and what could not follow it.
        explanation: String,
    },
    /// The bound was reached first. A test must treat this as a failure.
    Undecided {
        /// Operations tried.
        steps: u64,
    },
}

/// A history that was explained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// Keys.
    pub keys: usize,
    /// Operations that were answered.
    pub operations: usize,
    /// Operations whose end is unknown.
    pub unknown: usize,
    /// Operations tried.
    pub steps: u64,
}

/// A history that was not explained: refuted, or undecided within the bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key {key}: {why}")]
pub struct Refuted {
    /// The key.
    pub key: String,
    /// What was found.
    pub why: String,
}

/// Checks the history of each key. Errors: the first key that is refuted, or undecided within the bounds.
pub fn check_by_key<K: Ord + Debug, M: Model>(
    model: &M,
    history: Vec<(K, OperationOf<M>)>,
    bounds: Bounds,
) -> Result<Proof, Refuted> {
    let mut by_key: BTreeMap<K, Vec<OperationOf<M>>> = BTreeMap::new();
    for (key, operation) in history {
        by_key.entry(key).or_default().push(operation);
    }
    let mut proof = Proof::default();
    for (key, operations) in by_key {
        let refuted = |why| Refuted {
            key: format!("{key:?}"),
            why,
        };
        match check(model, &operations, bounds) {
            Verdict::Linearizable { steps } => proof.steps += steps,
            Verdict::Violation { explanation } => return Err(refuted(explanation)),
            Verdict::Undecided { steps } => {
                return Err(refuted(format!("undecided after {steps} steps")));
            }
        }
        let count = |wanted: fn(&Ended<M::Output>) -> bool| {
            let counted = operations.iter().filter(|each| wanted(&each.ended));
            counted.count()
        };
        proof.keys += 1;
        proof.operations += count(|ended| matches!(ended, Ended::Answered { .. }));
        proof.unknown += count(|ended| matches!(ended, Ended::Unknown));
    }
    Ok(proof)
}

/// Checks the history of one key.
pub fn check<M: Model>(model: &M, history: &[OperationOf<M>], bounds: Bounds) -> Verdict {
    Search::new(model, history).run(bounds)
}

/// An operation with the instant of its answer; one of unknown end has none.
struct Placeable<'history, I, O> {
    operation: &'history Operation<I, O>,
    returned_ns: Option<u64>,
    placed: bool,
}

/// What may follow what was placed.
struct Frontier {
    /// Answered ones first, by their answers: most often the first answered was the first done.
    candidates: Vec<usize>,
    /// The earliest answer among what was not placed.
    latest_ns: u64,
}

struct Frame<S> {
    state: S,
    /// The latest invocation among what was placed.
    earliest_ns: u64,
    frontier: Frontier,
    tried: usize,
    /// What was placed to come here.
    placed: Option<usize>,
}

struct Search<'history, M: Model> {
    model: &'history M,
    /// In the order of invocation.
    operations: Vec<Placeable<'history, M::Input, M::Output>>,
    /// Places of operations of unknown end.
    unknown: Vec<usize>,
    /// Every answered operation below this place was placed.
    low: usize,
    answered: usize,
    answered_left: usize,
    seen: HashSet<(usize, Vec<usize>, M::State)>,
}

impl<'history, M: Model> Search<'history, M> {
    fn new(model: &'history M, history: &'history [OperationOf<M>]) -> Self {
        let mut operations: Vec<_> = history
            .iter()
            .filter_map(|operation| {
                let returned_ns = match &operation.ended {
                    Ended::Answered { at_ns, .. } => Some(*at_ns),
                    Ended::Unknown => None,
                    Ended::NotApplied => return None,
                };
                Some(Placeable {
                    operation,
                    returned_ns,
                    placed: false,
                })
            })
            .collect();
        operations.sort_by_key(|each| each.operation.invoked_ns);
        let unknown: Vec<usize> = operations
            .iter()
            .enumerate()
            .filter(|(_, each)| each.returned_ns.is_none())
            .map(|(place, _)| place)
            .collect();
        let answered = operations.len() - unknown.len();
        let mut search = Self {
            model,
            operations,
            unknown,
            low: 0,
            answered,
            answered_left: answered,
            seen: HashSet::new(),
        };
        search.raise_low();
        search
    }

    fn run(mut self, bounds: Bounds) -> Verdict {
        let mut steps = 0;
        let first = Frame {
            state: self.model.initial(),
            earliest_ns: 0,
            frontier: self.frontier(),
            tried: 0,
            placed: None,
        };
        let mut deepest = Deepest {
            explained: 0,
            state: first.state.clone(),
            stuck: first.frontier.candidates.clone(),
        };
        let mut frames = vec![first];
        while let Some(frame) = frames.last_mut() {
            if self.answered_left == 0 {
                return Verdict::Linearizable { steps };
            }
            let Some(place) = frame.frontier.candidates.get(frame.tried).copied() else {
                let placed = frame.placed;
                frames.pop();
                placed.into_iter().for_each(|place| self.unplace(place));
                continue;
            };
            if steps >= bounds.steps_max {
                return Verdict::Undecided { steps };
            }
            frame.tried += 1;
            steps += 1;
            let Some((state, earliest_ns)) = self.step(frame, place) else {
                continue;
            };
            self.place(place);
            let (low, beyond) = self.placed();
            if !self.seen.insert((low, beyond, state.clone())) {
                self.unplace(place);
                continue;
            }
            let next = Frame {
                state,
                earliest_ns,
                frontier: self.frontier(),
                tried: 0,
                placed: Some(place),
            };
            deepest.note(self.answered - self.answered_left, &next);
            frames.push(next);
        }
        let explanation = deepest.explain(&self);
        Verdict::Violation { explanation }
    }

    /// The state after one more operation, and the earliest instant of what comes then.
    fn step(&self, frame: &Frame<M::State>, place: usize) -> Option<(M::State, u64)> {
        let each = self.operations.get(place)?;
        let earliest_ns = frame.earliest_ns.max(each.operation.invoked_ns);
        let at = Window {
            earliest_ns,
            latest_ns: frame.frontier.latest_ns,
        };
        let state = self.model.step(&frame.state, each.operation, at)?;
        // One of unknown end that changes nothing explains nothing: it may as well never happen.
        let idle = each.returned_ns.is_none() && state == frame.state;
        (!idle).then_some((state, earliest_ns))
    }

    /// What may come next: every operation that was invoked before the earliest answer among those that are left.
    fn frontier(&self) -> Frontier {
        let mut latest_ns = u64::MAX;
        let mut open = Vec::new();
        let below = self.unknown.iter().take_while(|place| **place < self.low);
        let beyond = self.low..self.operations.len();
        for place in below.copied().chain(beyond) {
            let Some(each) = self.operations.get(place) else {
                break;
            };
            if each.operation.invoked_ns > latest_ns {
                break;
            }
            if !each.placed {
                latest_ns = latest_ns.min(each.returned_ns.unwrap_or(u64::MAX));
                open.push((each.returned_ns.unwrap_or(u64::MAX), place, each));
            }
        }
        open.retain(|(_, _, each)| each.operation.invoked_ns <= latest_ns);
        open.sort_by_key(|(returned_ns, place, _)| (*returned_ns, *place));
        Frontier {
            candidates: open.into_iter().map(|(_, place, _)| place).collect(),
            latest_ns,
        }
    }

    /// Names the set of what was placed: all answered ones below a place, and these.
    fn placed(&self) -> (usize, Vec<usize>) {
        let is_placed = |place: &usize| self.operations.get(*place).is_some_and(|each| each.placed);
        let below = self.unknown.iter().take_while(|place| **place < self.low);
        // Whatever was placed before the lowest open operation was invoked before that one was answered.
        let bound_ns = self
            .operations
            .get(self.low)
            .and_then(|each| each.returned_ns)
            .unwrap_or(u64::MAX);
        let beyond = (self.low..self.operations.len()).take_while(|place| {
            let each = self.operations.get(*place);
            each.is_some_and(|each| each.operation.invoked_ns <= bound_ns)
        });
        let names = below.copied().chain(beyond).filter(is_placed).collect();
        (self.low, names)
    }

    fn place(&mut self, place: usize) {
        if let Some(each) = self.operations.get_mut(place) {
            each.placed = true;
            if each.returned_ns.is_some() {
                self.answered_left -= 1;
            }
        }
        self.raise_low();
    }

    fn unplace(&mut self, place: usize) {
        if let Some(each) = self.operations.get_mut(place) {
            each.placed = false;
            if each.returned_ns.is_some() {
                self.answered_left += 1;
                self.low = self.low.min(place);
            }
        }
    }

    fn raise_low(&mut self) {
        while let Some(each) = self.operations.get(self.low)
            && (each.placed || each.returned_ns.is_none())
        {
            self.low += 1;
        }
    }
}

/// The longest beginning that was explained.
struct Deepest<S> {
    explained: usize,
    state: S,
    stuck: Vec<usize>,
}

impl<S: Clone + Debug> Deepest<S> {
    fn note(&mut self, explained: usize, frame: &Frame<S>) {
        if explained > self.explained {
            self.explained = explained;
            self.state = frame.state.clone();
            self.stuck.clone_from(&frame.frontier.candidates);
        }
    }

    fn explain<M: Model>(&self, search: &Search<'_, M>) -> String {
        let stuck = self.stuck.iter().filter_map(|place| {
            let each = search.operations.get(*place)?;
            Some(format!("\n  {:?}", each.operation))
        });
        format!(
            "no order explains the answers: {} of {} lead to {:?}, and these cannot follow:{}",
            self.explained,
            search.answered,
            self.state,
            stuck.collect::<String>()
        )
    }
}
