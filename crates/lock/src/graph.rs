//! Who waits for whom, and whether that closes a circle.
//!
//! Nodes are owners, each of its principal. A wait for an exclusive or shared lock needs everybody who excludes it to go on; a wait for permits
//! needs enough of them. An owner goes on while one of its waits can end, or while it waits for nothing. Whoever is left
//! when nobody more can go on is stuck (J. Holt, "Some Deadlock Properties of Computer Systems", 1972: the reduction
//! of a general resource graph), and the youngest wait of a circle among them is refused.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::record::{Mode, Place, Record, Who};

/// One wait, and those whom it waits for.
struct Wait<'a> {
    lock: &'a str,
    place: &'a Place,
    /// Owners that exclude it, or whose permits it needs, with those permits.
    blockers: Vec<(Who<'a>, i32)>,
    /// Permits that must come back; `None` needs every blocker.
    missing: Option<i32>,
}

/// Finds the circle that an attempt closes, if the attempt is the one to be refused.
///
/// Returns who waits for whom, for people: `a waits for x held by b, b waits for y held by a`. The youngest wait of a circle
/// is refused, so that of many checks at the same time one refuses.
#[must_use]
pub fn closes_circle(locks: &[(String, Record)], attempt: &str) -> Option<String> {
    let waits = waits(locks);
    let own = waits.iter().find(|wait| wait.place.attempt == attempt)?;
    let stuck = stuck(&waits);
    let path = path_back(&waits, &stuck, own.place.who())?;
    let youngest = path.iter().max_by_key(|wait| age(wait))?;
    if youngest.place.attempt != attempt {
        return None;
    }
    Some(told(&path))
}

/// Later waits are greater; attempts of one millisecond are told apart by their names.
fn age<'a>(wait: &&Wait<'a>) -> (i64, &'a str) {
    (wait.place.since, &wait.place.attempt)
}

fn waits(locks: &[(String, Record)]) -> Vec<Wait<'_>> {
    locks
        .iter()
        .flat_map(|(lock, record)| {
            let places = record.places.iter().enumerate();
            places.map(move |(index, place)| wait(lock, record, index, place))
        })
        .collect()
}

fn wait<'a>(lock: &'a str, record: &'a Record, index: usize, place: &'a Place) -> Wait<'a> {
    let (earlier, _) = record.places.split_at(index);
    let holders = record
        .holders
        .iter()
        .map(|holder| (holder.who(), holder.mode));
    let before = earlier.iter().map(|place| (place.who(), place.mode));
    let taken: Vec<(Who<'a>, Mode)> = holders.chain(before).collect();
    match place.mode {
        Mode::Permits { count, of } => {
            let used: i32 = taken.iter().map(|(_, mode)| mode.permits()).sum();
            Wait {
                lock,
                place,
                blockers: taken
                    .into_iter()
                    .map(|(owner, mode)| (owner, mode.permits()))
                    .collect(),
                missing: Some(used.saturating_add(count).saturating_sub(of)),
            }
        }
        Mode::Exclusive | Mode::Shared => Wait {
            lock,
            place,
            blockers: taken
                .into_iter()
                .filter(|(_, mode)| place.mode.excludes(*mode))
                .map(|(owner, mode)| (owner, mode.permits()))
                .collect(),
            missing: None,
        },
    }
}

/// The owners that cannot go on whatever happens, except that a lease ends.
fn stuck<'a>(waits: &[Wait<'a>]) -> BTreeSet<Who<'a>> {
    let mut stuck: BTreeSet<Who<'a>> = waits.iter().map(|wait| wait.place.who()).collect();
    loop {
        let goes_on = |wait: &&Wait<'a>| match wait.missing {
            None => wait
                .blockers
                .iter()
                .all(|(owner, _)| !stuck.contains(owner)),
            Some(missing) => {
                let comes_back: i32 = wait
                    .blockers
                    .iter()
                    .filter(|(owner, _)| !stuck.contains(owner))
                    .map(|(_, permits)| permits)
                    .sum();
                comes_back >= missing
            }
        };
        let free: BTreeSet<Who<'a>> = waits
            .iter()
            .filter(goes_on)
            .map(|wait| wait.place.who())
            .collect();
        let before = stuck.len();
        stuck.retain(|owner| !free.contains(owner));
        if stuck.len() == before {
            return stuck;
        }
    }
}

/// The shortest way over stuck owners from one back to itself: one wait for each step.
fn path_back<'a, 'w>(
    waits: &'w [Wait<'a>],
    stuck: &BTreeSet<Who<'a>>,
    owner: Who<'a>,
) -> Option<Vec<&'w Wait<'a>>> {
    if !stuck.contains(&owner) {
        return None;
    }
    let mut came_by: BTreeMap<Who<'a>, &'w Wait<'a>> = BTreeMap::new();
    let mut open: VecDeque<Who<'a>> = VecDeque::from([owner]);
    while let Some(from) = open.pop_front() {
        for wait in waits.iter().filter(|wait| wait.place.who() == from) {
            for (to, _) in &wait.blockers {
                if !stuck.contains(to) || came_by.contains_key(to) {
                    continue;
                }
                came_by.insert(*to, wait);
                if *to == owner {
                    return Some(walk_back(&came_by, owner));
                }
                open.push_back(*to);
            }
        }
    }
    None
}

fn walk_back<'a, 'w>(
    came_by: &BTreeMap<Who<'a>, &'w Wait<'a>>,
    owner: Who<'a>,
) -> Vec<&'w Wait<'a>> {
    let mut path = Vec::new();
    let mut at = owner;
    while let Some(wait) = came_by.get(&at) {
        path.push(*wait);
        at = wait.place.who();
        if at == owner {
            break;
        }
    }
    path.reverse();
    path
}

fn told(path: &[&Wait<'_>]) -> String {
    let next = path.iter().cycle().skip(1);
    let steps = path.iter().zip(next).map(|(wait, next)| {
        format!(
            "{} waits for {} of {}",
            wait.place.owner, wait.lock, next.place.owner
        )
    });
    steps.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Holder;

    fn holder(owner: &str, mode: Mode) -> Holder {
        Holder {
            owner: owner.to_owned(),
            principal: "p".to_owned(),
            attempts: vec![format!("held-by-{owner}")],
            mode,
            token: 1,
            lease_ms: 1_000,
            since: 0,
            expires_at: 1_000,
        }
    }

    fn place(owner: &str, since: i64, mode: Mode) -> Place {
        Place {
            owner: owner.to_owned(),
            principal: "p".to_owned(),
            attempt: format!("{owner}-{since}"),
            mode,
            since,
            place_ms: 1_000,
            expires_at: 1_000,
        }
    }

    fn lock(name: &str, holders: Vec<Holder>, places: Vec<Place>) -> (String, Record) {
        let record = Record {
            holders,
            places,
            ..Record::default()
        };
        (name.to_owned(), record)
    }

    const X: Mode = Mode::Exclusive;
    const S: Mode = Mode::Shared;

    #[test]
    fn the_youngest_wait_of_a_circle_is_refused_and_no_other() {
        let locks = [
            lock("x", vec![holder("a", X)], vec![place("b", 1, X)]),
            lock("y", vec![holder("b", X)], vec![place("c", 2, X)]),
            lock("z", vec![holder("c", X)], vec![place("a", 3, X)]),
        ];
        assert_eq!(closes_circle(&locks, "b-1"), None);
        assert_eq!(closes_circle(&locks, "c-2"), None);
        assert_eq!(
            closes_circle(&locks, "a-3").as_deref(),
            Some("a waits for z of c, c waits for y of b, b waits for x of a")
        );
    }

    #[test]
    fn owners_of_one_name_and_two_principals_are_two() {
        let mut other = holder("a", X);
        other.principal = "q".to_owned();
        let locks = [
            lock("x", vec![holder("a", X)], Vec::new()),
            lock("y", vec![other], vec![place("a", 1, X)]),
        ];
        assert_eq!(closes_circle(&locks, "a-1"), None);
    }

    #[test]
    fn a_wait_behind_a_circle_is_left_alone() {
        let locks = [
            lock(
                "x",
                vec![holder("a", X)],
                vec![place("b", 1, X), place("d", 9, X)],
            ),
            lock("y", vec![holder("b", X)], vec![place("a", 2, X)]),
        ];
        assert_eq!(closes_circle(&locks, "d-9"), None);
        assert!(closes_circle(&locks, "a-2").is_some());
    }

    #[test]
    fn an_earlier_wait_excludes_as_a_holder_does() {
        // r reads x and asks for y; w waits to write x, and r2, who holds y, waits to read x behind w.
        let locks = [
            lock(
                "x",
                vec![holder("r", S)],
                vec![place("w", 1, X), place("r2", 2, S)],
            ),
            lock("y", vec![holder("r2", X)], vec![place("r", 3, X)]),
        ];
        assert!(closes_circle(&locks, "r-3").is_some());
    }

    #[test]
    fn permits_are_stuck_only_where_too_few_can_come_back() {
        let permit = |count| Mode::Permits { count, of: 2 };
        let stuck = [
            lock(
                "s",
                vec![holder("a", permit(1)), holder("b", permit(1))],
                vec![place("a", 1, permit(1))],
            ),
            lock("x", vec![holder("a", X)], vec![place("b", 2, X)]),
        ];
        assert!(closes_circle(&stuck, "b-2").is_some());
        let free = [
            lock(
                "s",
                vec![holder("c", permit(1)), holder("b", permit(1))],
                vec![place("a", 1, permit(1))],
            ),
            lock("x", vec![holder("a", X)], vec![place("b", 2, X)]),
        ];
        assert_eq!(closes_circle(&free, "b-2"), None, "c gives its permit back");
    }
}
