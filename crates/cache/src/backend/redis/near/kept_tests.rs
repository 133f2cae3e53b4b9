//! What makes an entry count no more, step by step.

use super::*;

const PREFIX: &str = "p:{t:n}:";

fn came(version: i64, tags: &[&str]) -> Came {
    Came {
        stored: Stored::of_tests(version, tags),
        seen: version,
        read_ms: 0,
        asked_ms: 0,
    }
}

fn name(key: &str) -> String {
    format!("{PREFIX}e:{key}")
}

/// A store to which everything is told, and its namespace.
fn kept() -> (Kept, Arc<Space>) {
    let kept = Kept::new(1_000_000);
    kept.flush(true);
    let space = kept.space(PREFIX).expect("has room");
    (kept, space)
}

/// Marks a key, lets something happen, and says whether what was read before it is kept.
fn is_kept_over(tags: &[&str], happens: impl FnOnce(&Kept, &Arc<Space>)) -> bool {
    let (kept, space) = kept();
    let names = [name("a")];
    let marker = kept.mark(&space, &names).expect("is heard");
    happens(&kept, &space);
    let told = kept.keep(&marker, 0, &names[0], came(1, tags));
    assert_eq!(told, kept.get(&names[0]).is_some());
    told
}

#[test]
fn what_was_touched_between_the_mark_and_the_answer_is_not_kept() {
    let other = [name("b")];
    assert!(is_kept_over(&["x"], |_, _| ()));
    assert!(!is_kept_over(&["x"], |kept, space| drop(
        kept.invalidating(space, vec!["x".to_owned()])
    )));
    assert!(is_kept_over(&[], |kept, space| drop(
        kept.invalidating(space, vec!["x".to_owned()])
    )));
    assert!(!is_kept_over(&["x"], |kept, _| kept.drop_tag(PREFIX, "x")));
    assert!(!is_kept_over(&[], |kept, _| kept.drop_key(&name("a"))));
    assert!(!is_kept_over(&[], |kept, _| kept.drop_space(PREFIX)));
    assert!(!is_kept_over(&[], |kept, space| drop(kept.clearing(space))));
    assert!(!is_kept_over(&[], |kept, _| drop(
        kept.changing(&[name("a")])
    )));
    assert!(!is_kept_over(&[], |kept, _| kept.flush(true)));
    assert!(!is_kept_over(&[], |kept, _| kept.flush(false)));
    assert!(is_kept_over(&[], |kept, _| kept.drop_space("p:{t:other}:")));
    // Unless both share a stripe, which the hash decides anew in each run.
    let kept_often = (0..20).filter(|_| is_kept_over(&[], |kept, _| kept.drop_key(&other[0])));
    assert!(kept_often.count() > 10);
}

#[test]
fn nothing_is_kept_of_what_this_instance_is_changing() {
    let (kept, space) = kept();
    let names = [name("a")];
    let keep = |version| {
        let marker = kept.mark(&space, &names).expect("is heard");
        kept.keep(&marker, 0, &names[0], came(version, &["x"]))
    };
    for under_way in 0..3 {
        assert!(keep(under_way + 1));
        let (named, tags) = (&names, vec!["x".to_owned()]);
        let change = (under_way == 0).then(|| kept.changing(named));
        let clear = (under_way == 1).then(|| kept.clearing(&space));
        let invalidation = (under_way == 2).then(|| kept.invalidating(&space, tags));
        assert!(kept.get(&names[0]).is_none(), "{under_way}: is over");
        assert!(!keep(under_way + 1), "{under_way}: is under way");
        drop((change, clear, invalidation));
        assert!(kept.get(&names[0]).is_none(), "{under_way}: was changed");
    }
}

#[test]
fn an_invalidation_ends_what_is_kept_and_an_older_version_replaces_no_newer_one() {
    let (kept, space) = kept();
    let names = [name("a"), name("b")];
    let keep = |version| {
        let marker = kept.mark(&space, &names).expect("is heard");
        kept.keep(&marker, 0, &names[0], came(version, &["x"]))
            && kept.keep(&marker, 1, &names[1], came(version, &["y"]))
    };
    let counting = || [kept.get(&names[0]).is_some(), kept.get(&names[1]).is_some()];
    assert!(keep(5));
    assert_eq!(counting(), [true, true]);
    let marker = kept.mark(&space, &names).expect("is heard");
    assert!(!kept.keep(&marker, 0, &names[0], came(4, &[])));
    kept.drop_tag(PREFIX, "x");
    assert_eq!(counting(), [false, true]);
    kept.drop_space(PREFIX);
    assert_eq!(counting(), [false, false]);
    assert!(keep(5));
    kept.flush(false);
    assert_eq!(counting(), [false, false]);
    assert!(kept.mark(&space, &names).is_none(), "nothing is heard");
    kept.flush(true);
    assert_eq!(counting(), [false, false]);
}

#[test]
fn a_value_that_is_large_for_the_room_is_not_kept() {
    let kept = Kept::new(1_000);
    kept.flush(true);
    let space = kept.space(PREFIX).expect("has room");
    let names = [name("a")];
    let marker = kept.mark(&space, &names).expect("is heard");
    assert!(!kept.keep(&marker, 0, &names[0], came(1, &[])));
}
