//! What state the instance and its parts are in.
//!
//! Parts report changes as they notice them; a question is answered from memory, so the answer is as fresh as the last
//! report and costs nothing where nothing changed. A product that is away makes the instance `degraded`, not `down`: only
//! an **essential** part, without which nothing can be served, takes it out of rotation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::{Mutex, RwLock};
use plinth_core::{SharedClock, TimestampMs};
use serde::{Deserialize, Serialize};

/// Most parts that are listed; one past it works but is not listed, which is logged.
pub const COMPONENTS_MAX: usize = 10_000;
/// Longest message of a part, in bytes; what is longer is cut.
pub const MESSAGE_BYTES_MAX: usize = 512;

/// State of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComponentStatus {
    /// Not heard of yet.
    Starting,
    /// Works.
    Up,
    /// Works in part, or slowly, or from a copy.
    Degraded,
    /// Does not work.
    Down,
}

impl ComponentStatus {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// State of the whole instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverallStatus {
    /// Not ready yet.
    Starting,
    /// Everything works.
    Up,
    /// Something that it can do without is away or ails.
    Degraded,
    /// Something that it cannot do without is away.
    Down,
    /// It ends: work in flight is finished, new work belongs elsewhere.
    Draining,
}

impl OverallStatus {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Draining => "draining",
        }
    }

    /// Whether the instance should be given work.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Up | Self::Degraded)
    }
}

/// Where in its life the instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Parts are being put together.
    Starting = 0,
    /// Requests are served.
    Serving = 1,
    /// It ends.
    Draining = 2,
}

/// One part in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentHealth {
    /// Its name: `queue.engine`.
    pub name: Arc<str>,
    /// Its state.
    pub status: ComponentStatus,
    /// What is wrong; `None` while it is up.
    pub message: Option<Arc<str>>,
    /// Since when it is in this state.
    pub since: TimestampMs,
    /// Whether nothing can be served without it.
    pub essential: bool,
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSnapshot {
    /// State of the whole.
    pub status: OverallStatus,
    /// How long the instance has been running, in milliseconds.
    pub uptime_ms: u64,
    /// The parts, in the order of their names.
    pub components: Vec<ComponentHealth>,
}

/// The state of the whole that follows from the phase and the parts.
#[must_use]
pub fn overall<'a>(
    phase: Phase,
    components: impl IntoIterator<Item = &'a ComponentHealth>,
) -> OverallStatus {
    match phase {
        Phase::Draining => return OverallStatus::Draining,
        Phase::Starting => return OverallStatus::Starting,
        Phase::Serving => {}
    }
    let (mut down, mut starting, mut ails) = (false, false, false);
    for component in components {
        match (component.status, component.essential) {
            (ComponentStatus::Down, true) => down = true,
            (ComponentStatus::Starting, true) => starting = true,
            (ComponentStatus::Down | ComponentStatus::Degraded, _) => ails = true,
            (ComponentStatus::Up, _) | (ComponentStatus::Starting, false) => {}
        }
    }
    match (down, starting, ails) {
        (true, _, _) => OverallStatus::Down,
        (false, true, _) => OverallStatus::Starting,
        (false, false, true) => OverallStatus::Degraded,
        (false, false, false) => OverallStatus::Up,
    }
}

#[derive(Debug)]
struct State {
    status: ComponentStatus,
    message: Option<Arc<str>>,
    since: TimestampMs,
}

struct Entry {
    name: Arc<str>,
    essential: bool,
    state: Mutex<State>,
    clock: SharedClock,
}

impl Entry {
    fn report(&self, status: ComponentStatus, message: Option<&str>) {
        let mut state = self.state.lock();
        if state.status == status && state.message.as_deref() == message {
            return;
        }
        if state.status != status {
            state.since = self.clock.now();
        }
        state.status = status;
        state.message = message
            .and_then(|text| text.get(..text.floor_char_boundary(MESSAGE_BYTES_MAX)))
            .map(Arc::from);
    }

    fn read(&self) -> ComponentHealth {
        let state = self.state.lock();
        ComponentHealth {
            name: Arc::clone(&self.name),
            status: state.status,
            message: state.message.clone(),
            since: state.since,
            essential: self.essential,
        }
    }
}

/// The handle by which one part reports. Cheap to clone; a report that changes nothing is a short lock and a comparison.
#[derive(Clone)]
pub struct Component(Arc<Entry>);

impl Component {
    /// It works.
    pub fn up(&self) {
        self.0.report(ComponentStatus::Up, None);
    }

    /// It works in part. The message is for people and is shown to authorised callers: no secrets.
    pub fn degraded(&self, message: impl AsRef<str>) {
        self.0
            .report(ComponentStatus::Degraded, Some(message.as_ref()));
    }

    /// It does not work. The message is for people and is shown to authorised callers: no secrets.
    pub fn down(&self, message: impl AsRef<str>) {
        self.0.report(ComponentStatus::Down, Some(message.as_ref()));
    }

    /// Its state now.
    #[must_use]
    pub fn status(&self) -> ComponentStatus {
        self.0.state.lock().status
    }
}

/// The parts of an instance and the phase it is in.
pub struct HealthRegistry {
    clock: SharedClock,
    started_ms: u64,
    phase: AtomicU8,
    entries: RwLock<BTreeMap<Arc<str>, Arc<Entry>>>,
}

impl HealthRegistry {
    /// Begins in the phase [`Phase::Starting`]; uptime counts from here.
    #[must_use]
    pub fn new(clock: SharedClock) -> Arc<Self> {
        Arc::new(Self {
            started_ms: clock.monotonic_ms(),
            clock,
            phase: AtomicU8::new(Phase::Starting as u8),
            entries: RwLock::new(BTreeMap::new()),
        })
    }

    /// Registers a part that others can do without, or finds it again. It stands at `starting` until it reports.
    #[must_use]
    pub fn component(&self, name: &str) -> Component {
        self.register(name, false)
    }

    /// Registers a part without which nothing can be served, or finds it again. It stands at `starting` until it reports.
    #[must_use]
    pub fn essential_component(&self, name: &str) -> Component {
        self.register(name, true)
    }

    fn register(&self, name: &str, essential: bool) -> Component {
        let mut entries = self.entries.write();
        if let Some(entry) = entries.get(name) {
            return Component(Arc::clone(entry));
        }
        let entry = Arc::new(Entry {
            name: name.into(),
            essential,
            state: Mutex::new(State {
                status: ComponentStatus::Starting,
                message: None,
                since: self.clock.now(),
            }),
            clock: SharedClock::clone(&self.clock),
        });
        if entries.len() < COMPONENTS_MAX {
            entries.insert(Arc::clone(&entry.name), Arc::clone(&entry));
        } else {
            tracing::warn!(component = name, "too many parts; this one is not listed");
        }
        Component(entry)
    }

    /// Forgets a part that is gone for good, such as a database that was removed.
    pub fn remove(&self, name: &str) {
        self.entries.write().remove(name);
    }

    /// Requests are served from now on. Does nothing once draining has begun.
    pub fn serve(&self) {
        // A failed exchange means that the phase is past starting already.
        let _later_phase = self.phase.compare_exchange(
            Phase::Starting as u8,
            Phase::Serving as u8,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
    }

    /// The end has begun: not ready any more, for good.
    pub fn drain(&self) {
        self.phase.store(Phase::Draining as u8, Ordering::Release);
    }

    /// Where in its life the instance is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            _ => Phase::Draining,
        }
    }

    /// Whether the instance should be given work now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.snapshot().status.is_ready()
    }

    /// The state of the whole and of each part, now.
    #[must_use]
    pub fn snapshot(&self) -> HealthSnapshot {
        let components: Vec<ComponentHealth> = self
            .entries
            .read()
            .values()
            .map(|entry| entry.read())
            .collect();
        HealthSnapshot {
            status: overall(self.phase(), &components),
            uptime_ms: self.clock.monotonic_ms().saturating_sub(self.started_ms),
            components,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plinth_core::ManualClock;

    #[test]
    fn the_since_of_a_state_moves_only_with_the_state() {
        let clock = ManualClock::starting_at(TimestampMs(1_000));
        let registry = HealthRegistry::new(clock.clone());
        let engine = registry.component("queue.engine");
        clock.advance_ms(5);
        engine.down("disk full");
        clock.advance_ms(5);
        engine.down("disk still full");
        let snapshot = registry.snapshot();
        assert_eq!(snapshot.components[0].since, TimestampMs(1_005));
        assert_eq!(
            snapshot.components[0].message.as_deref(),
            Some("disk still full")
        );
        assert_eq!(snapshot.uptime_ms, 10);
    }

    #[test]
    fn a_message_is_cut_at_its_limit_on_a_character() {
        let registry = HealthRegistry::new(ManualClock::starting_at(TimestampMs(0)));
        let component = registry.component("a");
        component.degraded("é".repeat(MESSAGE_BYTES_MAX));
        let snapshot = registry.snapshot();
        let message = snapshot.components[0].message.as_deref().expect("has one");
        assert_eq!(message.len(), MESSAGE_BYTES_MAX);
    }

    #[test]
    fn draining_is_for_good_and_a_removed_part_is_forgotten() {
        let registry = HealthRegistry::new(ManualClock::starting_at(TimestampMs(0)));
        registry.essential_component("control.store").down("away");
        assert_eq!(registry.snapshot().status, OverallStatus::Starting);
        registry.serve();
        assert_eq!(registry.snapshot().status, OverallStatus::Down);
        registry.remove("control.store");
        assert!(registry.is_ready());
        registry.drain();
        registry.serve();
        assert_eq!(registry.snapshot().status, OverallStatus::Draining);
        assert!(!registry.is_ready());
    }
}
