//! The tamper table: every way to change a log that its page names, each detected, each at the right place.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's own preparation ends the test where it fails"
)]

mod fixture;
#[path = "../support/mod.rs"]
mod support;

use std::fs;

use fixture::{Copy, copy_tree, fixture, tree_size, verify};
use plinth_audit::tree::NoteSigner;
use support::{entry, in_directory, log_many, try_directory};

/// The first leaf that a discrepancy concerns.
#[derive(Clone, Copy)]
enum FromLeaf {
    Exactly(i64),
    /// None at all.
    Nowhere,
    /// One that depends on when checkpoints were signed.
    AtMost(i64),
}
use FromLeaf::{AtMost, Exactly, Nowhere};

/// Tampers with a copy and expects the first discrepancy to be of a kind, at a place, from a leaf on.
fn check(kind: &str, location: &str, leaf: FromLeaf, tamper: impl FnOnce(&Copy)) {
    let copy = Copy::of(&fixture().whole);
    tamper(&copy);
    expect_discrepancy(&copy, Some(&fixture().pinned_early), kind, location, leaf);
}

fn expect_discrepancy(
    copy: &Copy,
    pinned: Option<&str>,
    kind: &str,
    location: &str,
    leaf: FromLeaf,
) {
    let reply = verify(copy.0.path(), pinned);
    let found = reply.discrepancy.expect("is detected");
    assert!(!reply.valid);
    assert_eq!(found.kind, kind, "{found:?}");
    assert!(found.location.contains(location), "{found:?}");
    let index = found.leaf_index.map(|index| index.0);
    match leaf {
        Exactly(leaf) => assert_eq!(index, Some(leaf), "{found:?}"),
        Nowhere => assert_eq!(index, None, "{found:?}"),
        AtMost(leaf) => assert!(index.is_some_and(|index| index <= leaf), "{found:?}"),
    }
}

#[test]
fn an_untouched_log_verifies_with_every_pinned_checkpoint() {
    let fixture = fixture();
    for pinned in [
        None,
        Some(&fixture.pinned_early),
        Some(&fixture.pinned_late),
    ] {
        let reply = verify(fixture.whole.path(), pinned.map(String::as_str));
        assert!(reply.valid, "{:?}", reply.discrepancy);
        assert_eq!(reply.entries_checked, reply.tree_size);
        assert_eq!(reply.index_rows_checked, reply.tree_size);
        assert!(reply.checkpoints_checked.0 >= 5, "{reply:?}");
    }
    let tiles = Copy::of(&fixture.whole).without_databases();
    let reply = verify(&tiles.path("log"), Some(&fixture.pinned_late));
    assert!(reply.valid, "{:?}", reply.discrepancy);
}

#[test]
fn a_changed_entry_is_found_at_its_leaf() {
    check("entry", "tile/entries/000", Exactly(0), |copy| {
        copy.flip("log/tile/entries/000", 40)
    });
    check("entry", "tile/entries/001", Exactly(511), |copy| {
        let length = fs::read(copy.path("log/tile/entries/001"))
            .expect("reads")
            .len();
        copy.flip("log/tile/entries/001", length - 1);
    });
    check("entry", "tile/entries/002.p", Exactly(512), |copy| {
        copy.flip(&format!("log/tile/entries/002.p/{}", copy.last_width()), 9);
    });
}

#[test]
fn a_changed_length_breaks_the_bundle() {
    check("entry", "tile/entries/000", Exactly(0), |copy| {
        copy.flip("log/tile/entries/000", 0)
    });
}

#[test]
fn a_changed_tile_is_told_from_a_changed_entry() {
    check("tile", "tile/0/001", Exactly(256 + 3), |copy| {
        copy.flip("log/tile/0/001", 32 * 3 + 5)
    });
    check("tile", "tile/0/002.p", Exactly(512), |copy| {
        copy.flip(&format!("log/tile/0/002.p/{}", copy.last_width()), 0);
    });
    check("tile", "tile/1/000.p/2", Exactly(256), |copy| {
        copy.flip("log/tile/1/000.p/2", 32)
    });
}

#[test]
fn a_changed_partial_tile_of_an_earlier_checkpoint_is_found() {
    let copy = Copy::of(&fixture().whole);
    let mut widths: Vec<usize> = fs::read_dir(copy.path("log/tile/entries/002.p"))
        .expect("lists")
        .map(|found| {
            found
                .expect("lists")
                .file_name()
                .to_string_lossy()
                .parse()
                .expect("a width")
        })
        .collect();
    widths.sort_unstable();
    let narrower = widths[0];
    assert!(
        narrower < copy.last_width(),
        "the fixture has several checkpoints in its last bundle"
    );
    copy.flip(&format!("log/tile/0/002.p/{narrower}"), 1);
    expect_discrepancy(
        &copy,
        None,
        "tile",
        &format!("tile/0/002.p/{narrower}"),
        Nowhere,
    );
    let copy = Copy::of(&fixture().whole);
    copy.flip(&format!("log/tile/entries/002.p/{narrower}"), 1);
    expect_discrepancy(
        &copy,
        None,
        "tile",
        &format!("tile/entries/002.p/{narrower}"),
        Nowhere,
    );
}

#[test]
fn no_byte_of_the_checkpoint_can_change() {
    let length = fs::read(fixture().whole.path().join("log/checkpoint"))
        .expect("reads")
        .len();
    let copy = Copy::of(&fixture().whole);
    for offset in 0..length {
        for bit in [0x01_u8, 0x20, 0x80] {
            let honest = fs::read(copy.path("log/checkpoint")).expect("reads");
            let mut bytes = honest.clone();
            bytes[offset] ^= bit;
            fs::write(copy.path("log/checkpoint"), &bytes).expect("writes");
            let found = verify(copy.0.path(), None).discrepancy;
            let kind = found.map(|found| found.kind);
            assert!(
                matches!(kind.as_deref(), Some("checkpoint" | "signature")),
                "byte {offset} bit {bit:#x}: {kind:?}"
            );
            fs::write(copy.path("log/checkpoint"), honest).expect("writes");
        }
    }
}

#[test]
fn a_removed_head_middle_or_tail_is_found() {
    check("entry", "tile/entries/000", Exactly(0), |copy| {
        fs::remove_file(copy.path("log/tile/entries/000")).expect("removes");
    });
    check("entry", "tile/entries/001", Exactly(256), |copy| {
        let mut entries = copy.entries("log/tile/entries/001");
        entries.remove(44);
        copy.put_entries("log/tile/entries/001", &entries);
    });
    check("entry", "tile/entries/002", Exactly(512), |copy| {
        fs::remove_dir_all(copy.path("log/tile/entries/002.p")).expect("removes");
    });
    check("tile", "tile/0/000", Exactly(0), |copy| {
        fs::remove_file(copy.path("log/tile/0/000")).expect("removes");
    });
    check("tile", "tile/1/000", Exactly(0), |copy| {
        fs::remove_dir_all(copy.path("log/tile/1")).expect("removes");
    });
    check("checkpoint", "log/checkpoint", Nowhere, |copy| {
        fs::remove_file(copy.path("log/checkpoint")).expect("removes");
    });
}

#[test]
fn a_tail_cut_off_with_its_tiles_is_found() {
    check("entry", "tile/entries/002.p", Exactly(512), |copy| {
        let width = copy.last_width();
        let mut entries = copy.entries(&format!("log/tile/entries/002.p/{width}"));
        entries.truncate(width - 1);
        copy.put_entries(&format!("log/tile/entries/002.p/{width}"), &entries);
    });
}

#[test]
fn reordered_and_duplicated_entries_are_found() {
    check("entry", "tile/entries/000", Exactly(10), |copy| {
        let mut entries = copy.entries("log/tile/entries/000");
        entries.swap(10, 20);
        copy.put_entries("log/tile/entries/000", &entries);
    });
    check("entry", "tile/entries/000", Exactly(5), |copy| {
        let mut entries = copy.entries("log/tile/entries/000");
        entries[5] = entries[4].clone();
        copy.put_entries("log/tile/entries/000", &entries);
    });
    check("entry", "tile/entries/000", Exactly(0), |copy| {
        let (first, second) = ("log/tile/entries/000", "log/tile/entries/001");
        let held = fs::read(copy.path(first)).expect("reads");
        fs::copy(copy.path(second), copy.path(first)).expect("copies");
        fs::write(copy.path(second), held).expect("writes");
    });
}

#[test]
fn a_log_rebuilt_with_another_entry_breaks_the_checkpoints_after_it() {
    // Entries and tiles agree with each other everywhere, but nobody can sign.
    let rewrite = |copy: &Copy, leaf: usize| {
        let mut entries = copy.all_entries();
        let text = String::from_utf8(entries[leaf].to_vec()).expect("text");
        entries[leaf] = text.replace("success", "failure").into();
        copy.rebuild(&entries, None);
    };
    check("history", "audit.db checkpoints", AtMost(250), |copy| {
        rewrite(copy, 250)
    });
    let copy = Copy::of(&fixture().whole).without_databases();
    rewrite(&copy, 250);
    let pinned = Some(fixture().pinned_early.as_str());
    expect_discrepancy(&copy, pinned, "pinned", "pinned checkpoint", Exactly(0));
    let copy = Copy::of(&fixture().whole).without_databases();
    rewrite(&copy, 600);
    expect_discrepancy(&copy, None, "root", "log/checkpoint", Exactly(0));
}

#[test]
fn a_log_signed_by_another_key_is_found() {
    check("signature", "log/checkpoint", Nowhere, |copy| {
        let forger = NoteSigner::from_seed(support::ORIGIN, &[1; 32]).expect("a key");
        let mut entries = copy.all_entries();
        entries.remove(300);
        copy.rebuild(&entries, Some(&forger));
    });
}

#[test]
fn a_directory_put_back_to_an_older_state_is_found_by_the_pinned_checkpoint() {
    let copy = Copy::of(&fixture().earlier);
    assert!(verify(copy.0.path(), Some(&fixture().pinned_early)).valid);
    let early = i64::try_from(tree_size(&fixture().pinned_early)).expect("fits");
    let late = &fixture().pinned_late;
    expect_discrepancy(
        &copy,
        Some(late),
        "pinned",
        "pinned checkpoint",
        Exactly(early),
    );
}

#[test]
fn a_fork_is_found_by_the_pinned_checkpoint() {
    let copy = Copy::of(&fixture().earlier);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        // Whoever has the key goes on from the older state with other records.
        let service = in_directory(copy.0.path()).await;
        log_many(&service, "shop", vec![entry("forked"); 600]).await;
        service.close().await;
    });
    assert!(verify(copy.0.path(), Some(&fixture().pinned_early)).valid);
    // The last checkpoint that both histories share is the earlier one.
    let early = i64::try_from(tree_size(&fixture().pinned_early)).expect("fits");
    let late = &fixture().pinned_late;
    expect_discrepancy(
        &copy,
        Some(late),
        "pinned",
        "pinned checkpoint",
        Exactly(early),
    );
}

#[test]
fn a_partly_rolled_back_directory_is_found_without_a_pinned_checkpoint() {
    let early = i64::try_from(tree_size(&fixture().pinned_early)).expect("fits");
    let tiles_back = Copy::of(&fixture().whole);
    fs::remove_dir_all(tiles_back.path("log")).expect("removes");
    copy_tree(
        &fixture().earlier.path().join("log"),
        &tiles_back.path("log"),
    );
    expect_discrepancy(&tiles_back, None, "entry", "tile/entries/001", Exactly(256));
    let database_back = Copy::of(&fixture().whole);
    fs::copy(
        fixture().earlier.path().join("audit.db"),
        database_back.path("audit.db"),
    )
    .expect("copies");
    expect_discrepancy(&database_back, None, "history", "audit.db", Exactly(early));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for copy in [&tiles_back, &database_back] {
        let opened = runtime.block_on(try_directory(copy.0.path()));
        assert!(
            opened.is_err(),
            "a log that is not what was written does not open"
        );
    }
}

#[test]
fn a_changed_kept_checkpoint_is_found() {
    check("history", "audit.db checkpoints", AtMost(100), |copy| {
        // Signatures and hashes differ from run to run: one letter alone may be in none of them.
        let changed = (b'A'..=b'Z')
            .step_by(2)
            .fold("note".to_owned(), |note, letter| {
                let (old, new) = (char::from(letter), char::from(letter + 1));
                format!("replace({note}, '{old}', '{new}')")
            });
        let sql = format!("UPDATE checkpoints SET note = {changed} WHERE size = 101");
        copy.sql("audit.db", &sql);
    });
}

#[test]
fn an_edited_index_is_found_at_its_row() {
    let cases = [
        ("UPDATE records SET operator_id = 'somebody else' WHERE idx = 17", 17),
        ("UPDATE records SET tenant = 'other' WHERE idx = 1", 1),
        ("UPDATE records SET time_ms = 0 WHERE idx = 300", 300),
        ("UPDATE records SET text = 'x' WHERE idx = 2", 2),
        ("UPDATE records SET envelope = x'00' WHERE idx = 3", 3),
        ("UPDATE records SET standalone = 0 WHERE idx = 4", 4),
        ("UPDATE records SET outcome_result = 'success' WHERE phase = 'intent'", 304),
        ("UPDATE records SET outcome_idx = 305, outcome_result = 'success' WHERE phase = 'intent'", 304),
        ("DELETE FROM records WHERE idx = 5", 5),
        (
            "INSERT INTO records SELECT idx + 100000, id, tenant, time_ms, recorded_ms, operation, operator_id,
                operator_name, operator_roles, resource_type, resource_id, result, severity, ip, user_agent, trace_id,
                source, phase, intent_id, principal, credential, standalone, outcome_idx, outcome_result, text,
                envelope FROM records WHERE idx = 6",
            100_006,
        ),
    ];
    for (sql, row) in cases {
        check(
            "index",
            &format!("records row {row}"),
            Exactly(row),
            |copy| copy.sql("index.db", sql),
        );
    }
}

#[test]
fn the_running_service_finds_an_edited_text_index() {
    let copy = Copy::of(&fixture().whole);
    copy.sql(
        "index.db",
        "INSERT INTO record_text (rowid, text) VALUES (7, 'what no record says')",
    );
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let reply = runtime.block_on(async {
        let service = in_directory(copy.0.path()).await;
        let reply = service
            .verify(&support::context("shop"), Default::default())
            .await;
        service.close().await;
        reply.expect("verifies")
    });
    let found = reply.discrepancy.expect("is detected");
    assert_eq!(
        (found.kind.as_str(), found.location.as_str()),
        ("index", "index.db record_text")
    );
}

#[test]
fn a_verification_holds_up_nobody_who_writes_into_the_index() {
    let copy = Copy::of(&fixture().whole);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let service = in_directory(copy.0.path()).await;
        let verify = async || {
            let context = support::context("shop");
            let reply = service.verify(&context, Default::default()).await;
            reply.expect("verifies").discrepancy
        };
        // By then everything is indexed, and whoever writes next has the index to itself.
        assert_eq!(verify().await.map(|found| found.message), None);
        let writing = rusqlite::Connection::open(copy.0.path().join("index.db"));
        let writing = writing.expect("opens");
        writing.execute_batch("BEGIN IMMEDIATE").expect("begins");
        assert_eq!(verify().await.map(|found| found.message), None);
        writing.execute_batch("ROLLBACK").expect("ends");
        service.close().await;
    });
}
