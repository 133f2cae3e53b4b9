//! The behaviours.

mod exclude;
mod look;
mod refuse;
mod time;
mod wait;

use futures::future::BoxFuture;

use crate::support::Fixture;

/// One behaviour by its name.
pub(crate) type Behaviour = (&'static str, for<'f> fn(&'f Fixture) -> BoxFuture<'f, ()>);

macro_rules! behaviours {
    ($($group:ident::{$($name:ident),* $(,)?})*) => {
        /// All of them.
        pub(crate) fn all() -> Vec<Behaviour> {
            vec![$($((stringify!($name), |fixture| Box::pin($group::$name(fixture))),)*)*]
        }
    };
}

behaviours! {
    exclude::{
        an_exclusive_lock_has_one_holder,
        tokens_of_a_lock_only_grow,
        shared_locks_go_together_and_exclude_an_exclusive_one,
        a_semaphore_hands_out_its_permits_and_no_more,
        an_owner_enters_again_only_where_it_asks_to,
        several_locks_are_taken_all_or_none,
        what_is_held_lives_while_the_next_is_waited_for,
        a_repeat_gets_the_same_grant,
        tenants_are_apart,
    }
    wait::{
        who_waits_is_served_in_the_order_of_coming,
        a_writer_is_not_starved_by_readers,
        a_wait_ends_when_it_said,
        a_caller_that_goes_away_leaves_its_place,
        a_kept_place_is_found_again,
        a_place_that_nobody_comes_back_to_is_skipped,
        a_circle_is_refused_and_the_others_go_on,
        a_stop_ends_every_wait,
    }
    time::{
        a_lease_ends_to_the_millisecond_and_is_lost,
        a_silent_holder_is_followed_by_who_waits,
        a_renewal_begins_the_lease_anew,
        a_jump_of_the_wall_moves_no_lease,
    }
    look::{
        a_loss_is_told_to_who_watches,
        a_lock_shows_who_waits_for_whom,
        locks_are_listed_in_pages,
        an_operator_ends_a_lease,
    }
    refuse::{
        bad_requests_name_their_field,
        limits_hold_at_the_limit_and_refuse_one_past_it,
        a_lock_in_use_stays_of_its_kind,
        a_release_is_not_done_twice,
        an_owner_of_another_principal_is_another_owner,
    }
}
