//! The contract of the control plane: one list of behaviours, run against SQLite (in memory and in a file), PostgreSQL
//! and MariaDB; those of definitions against the definitions in memory as well.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "behaviours are helpers of tests, and answer by panics"
)]

mod support;

use support::backend::{Backend, with_store};
use support::{access, definitions, epochs, lost, roles, schema, tls};

/// Makes one module per backend with one test per behaviour.
macro_rules! contract {
    ($($module:ident = $backend:ident: $($group:ident::{$($behaviour:ident),* $(,)?})*;)*) => {
        $(mod $module {
            use super::*;
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    with_store(Backend::$backend, $group::$behaviour).await;
                }
            )*)*
        })*
    };
}

macro_rules! on_every_backend {
    ($($behaviours:tt)*) => {
        contract! {
            sqlite_memory = SqliteMemory: $($behaviours)*;
            sqlite_file = SqliteFile: $($behaviours)*;
            postgres = Postgres: $($behaviours)*;
            mariadb = MariaDb: $($behaviours)*;
        }
    };
}

on_every_backend! {
    definitions::{
        put_get_replace_and_delete,
        conditions_hold_or_refuse_with_1006,
        names_are_compared_and_ordered_byte_by_byte,
        prefixes_are_not_patterns,
        listings_page_through_everything_once,
        limits_hold_at_the_limit_and_refuse_one_past_it,
        names_that_cannot_exist_are_absent,
        kinds_and_tenants_are_apart,
        of_concurrent_creations_one_wins,
        concurrent_replacements_each_take_a_version,
        every_change_changes_the_state,
    }
    epochs::{
        every_epoch_is_higher_than_those_before,
        no_epoch_is_taken_twice,
    }
    access::{
        a_tenant_comes_with_its_first_key,
        several_first_keys_are_stored_together_or_not_at_all,
        a_tenant_is_created_once,
        a_repeat_gets_the_first_answer,
        another_request_under_the_same_key_is_a_conflict,
        a_dead_record_gives_its_key_free,
        concurrent_uses_of_a_key_create_once,
        a_key_needs_its_tenant,
        a_refused_creation_leaves_nothing,
        keys_are_listed_in_pages,
        revoking_is_lasting_and_stays_in_the_tenant,
        the_last_use_is_kept_to_the_minute,
        bindings_come_and_go,
        bindings_are_listed_in_pages,
        labels_hold_at_the_limit_and_refuse_one_past_it,
    }
}

contract! {
    reopened_sqlite = SqliteFile: schema::{reopening_finds_everything, a_newer_schema_is_refused, instances_may_start_at_once};
    reopened_postgres = Postgres: schema::{reopening_finds_everything, a_newer_schema_is_refused, instances_may_start_at_once};
    reopened_mariadb = MariaDb: schema::{reopening_finds_everything, a_newer_schema_is_refused, instances_may_start_at_once};
}

contract! {
    raced_sqlite = SqliteFile: roles::{of_the_last_two_holders_one_stays, a_rule_sees_what_the_other_instance_has_just_given};
    raced_postgres = Postgres: roles::{of_the_last_two_holders_one_stays, a_rule_sees_what_the_other_instance_has_just_given};
    raced_mariadb = MariaDb: roles::{of_the_last_two_holders_one_stays, a_rule_sees_what_the_other_instance_has_just_given};
}

contract! {
    lost_postgres = Postgres: lost::{
        a_write_whose_answer_is_lost_is_unknown,
        a_transaction_lost_before_its_commit_is_not_applied,
        a_lost_commit_is_unknown_and_its_repeat_gets_the_first_answer,
    };
    lost_mariadb = MariaDb: lost::{
        a_write_whose_answer_is_lost_is_unknown,
        a_transaction_lost_before_its_commit_is_not_applied,
        a_lost_commit_is_unknown_and_its_repeat_gets_the_first_answer,
    };
}

contract! {
    tls_postgres = Postgres: tls::{
        a_verified_server_is_used,
        a_server_that_cannot_be_verified_is_refused_with_the_reason,
        a_plain_login_where_tls_is_demanded_is_refused_with_the_reason,
    };
    tls_mariadb = MariaDb: tls::{
        a_verified_server_is_used,
        a_server_that_cannot_be_verified_is_refused_with_the_reason,
        a_plain_login_where_tls_is_demanded_is_refused_with_the_reason,
    };
}

#[tokio::test]
async fn a_database_that_is_away_does_not_stop_the_start() {
    // A port that was free a moment ago: connections to it are refused.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("binds")
        .port();
    for scheme in ["postgres", "mysql"] {
        schema::away(&format!("{scheme}://plinth:secret@127.0.0.1:{port}/plinth")).await;
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_stops_the_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}/absent.db", folder.path().display());
    let clock = plinth_core::SystemClock::shared();
    let refused = plinth_store::ControlStore::open(&url, clock).await;
    let Err(error) = refused else {
        panic!("it was opened");
    };
    assert_eq!(error.code().number(), 1012);
}

#[tokio::test]
async fn a_url_of_another_kind_is_refused_and_not_repeated() {
    let clock = plinth_core::SystemClock::shared();
    let refused = plinth_store::ControlStore::open("oracle://user:secret@host/db", clock).await;
    let Err(error) = refused else {
        panic!("it was accepted");
    };
    assert_eq!(error.code().number(), 1001);
    assert!(!error.to_string().contains("secret"));
}

mod memory {
    use super::*;

    macro_rules! in_memory {
        ($($behaviour:ident),* $(,)?) => {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                definitions::on_memory(definitions::$behaviour).await;
            })*
        };
    }

    in_memory! {
        put_get_replace_and_delete,
        conditions_hold_or_refuse_with_1006,
        names_are_compared_and_ordered_byte_by_byte,
        prefixes_are_not_patterns,
        listings_page_through_everything_once,
        limits_hold_at_the_limit_and_refuse_one_past_it,
        names_that_cannot_exist_are_absent,
        kinds_and_tenants_are_apart,
        of_concurrent_creations_one_wins,
        concurrent_replacements_each_take_a_version,
        every_change_changes_the_state,
    }
}
