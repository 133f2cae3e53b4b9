//! Locks in a Redis that several instances share: waiting across instances, tokens over everything that Redis may lose, answers
//! that are lost. On the clocks of the machine.

#![expect(clippy::expect_used, reason = "a broken fixture must fail the test")]
#![expect(clippy::indexing_slicing, reason = "a missing element fails the test")]
#![expect(dead_code, reason = "the fixtures serve several tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use plinth_core::{Error, ErrorCode, Outcome};
use plinth_lock::LockError;
use plinth_lock::model::{ListRequest, LockGrant, limits};
use plinth_store::Epochs;
use plinth_store::epochs::MemoryEpochs;
use plinth_testkit::cut_proxy::CutProxy;
use plinth_testkit::redis::{RedisCluster, RedisProcess, RedisSentinels, is_installed, url_at};
use support::instance::Instance;
use support::redis::OnRedis;
use support::{TENANT, context, told};

/// Longest wait for something that has to come, in milliseconds.
const WAIT_MS_MAX: u64 = 30_000;

/// Epochs of a control database that can be away.
#[derive(Default)]
struct SomeEpochs {
    kept: MemoryEpochs,
    away: AtomicBool,
}

#[async_trait]
impl Epochs for SomeEpochs {
    async fn raise(&self, backend: &str, above: i64) -> plinth_core::Result<i64> {
        if self.away.load(Ordering::SeqCst) {
            let told = "the control database is away";
            return Err(Error::new(ErrorCode::DependencyUnavailable, told));
        }
        self.kept.raise(backend, above).await
    }
}

/// Two instances on one Redis and one control database.
struct Two {
    a: OnRedis,
    b: OnRedis,
    epochs: Arc<SomeEpochs>,
}

impl Two {
    fn start(url: &str) -> Self {
        let epochs = Arc::new(SomeEpochs::default());
        let shared: Arc<dyn Epochs> = Arc::clone(&epochs) as _;
        Self {
            a: OnRedis::start(url, &shared),
            b: OnRedis::start(url, &shared),
            epochs,
        }
    }

    async fn end(self) {
        self.a.service.close().await;
        self.b.service.close().await;
    }
}

/// Takes a lock and gives it back.
async fn take(instance: &Instance, lock: &str) -> Result<i64, LockError> {
    let grant = instance.acquire(lock, "one", 5_000).await?;
    instance.release(&grant, "one").await?;
    Ok(grant.token.0)
}

/// The same, again and again until it succeeds.
async fn take_at_last(instance: &Instance, lock: &str) -> i64 {
    let trying = async {
        loop {
            match take(instance, lock).await {
                Ok(token) => return token,
                // Another program's state gives no event to wait for.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let within = Duration::from_millis(WAIT_MS_MAX);
    tokio::time::timeout(within, trying)
        .await
        .expect("comes in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_is_told_of_a_release_on_another_instance_and_asks_nothing_meanwhile() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let two = Two::start(&server.url());
    let held = two.a.acquire("x", "one", 0).await.expect("is free");
    let waiting = two.b.wait_for("x", "two").await;
    let mut fastest = Duration::MAX;
    let (mut held, mut waiting) = (held, waiting);
    let (mut holder, mut waiter) = ((&two.a, "one"), (&two.b, "two"));
    for _ in 0..5 {
        // It waits for longer than several looks would take.
        let before = waiter.0.link.numbers().commands_total;
        tokio::time::sleep(Duration::from_millis(10 * limits::POLL_MS)).await;
        let asked = waiter.0.link.numbers().commands_total - before;
        assert!(asked <= 4, "{asked} commands while nothing happened");
        let released = Instant::now();
        assert!(
            holder
                .0
                .release(&held, holder.1)
                .await
                .expect("is answered")
        );
        let next = waiting.await.expect("joins").expect("is granted");
        fastest = fastest.min(released.elapsed());
        assert!(next.token > held.token);
        (held, (holder, waiter)) = (next, (waiter, holder));
        waiting = waiter.0.wait_for("x", waiter.1).await;
    }
    // Polling would take half of its interval on average; a busy machine may be slow now and then.
    assert!(
        fastest < Duration::from_millis(limits::POLL_MS / 2),
        "{fastest:?}"
    );
    assert!(
        holder
            .0
            .release(&held, holder.1)
            .await
            .expect("is answered")
    );
    waiting.await.expect("joins").expect("is granted");
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_of_two_instances_are_served_in_the_order_of_coming_also_where_nothing_is_told() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let two = Two::start(&server.url());
    let mut held = two.a.acquire("x", "first", 0).await.expect("is free");
    let mut waits = Vec::new();
    for number in 0..6 {
        let owner = format!("w{number}");
        let instance = if number % 2 == 0 { &two.b } else { &two.a };
        let waiting = instance.wait_for("x", &owner).await;
        waits.push((instance, owner, waiting));
    }
    let (mut instance, mut holder) = (&two.a, "first".to_owned());
    for (at, (next, owner, waiting)) in waits.into_iter().enumerate() {
        if at == 3 {
            // The connections that listen are cut; those who wait go on by looking.
            let killed = server.ask(&["CLIENT", "KILL", "TYPE", "normal"]).await;
            killed.expect("are cut");
        }
        let released = async {
            loop {
                match instance.release(&held, &holder).await {
                    Ok(released) => return released,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        released.await;
        let granted = waiting.await.expect("joins").expect("is granted");
        let info = next.service.get(&context(TENANT), "x").await;
        assert_eq!(info.expect("is read").holders[0].owner, owner);
        assert!(granted.token > held.token);
        (held, instance, holder) = (granted, next, owner);
    }
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_grow_over_an_empty_restart_an_old_snapshot_and_a_flush() {
    if !is_installed() {
        return;
    }
    let mut server = RedisProcess::start("").await.expect("starts");
    let two = Two::start(&server.url());
    let mut last = 0;
    for round in 0..4 {
        for instance in [&two.a, &two.b, &two.a] {
            let token = take_at_last(instance, "x").await;
            assert!(token > last, "round {round}: {token} after {last}");
            last = token;
        }
        match round {
            0 => {
                server.kill().await.expect("is killed");
                server.restart().await.expect("starts empty");
            }
            1 => {
                // What is granted after the snapshot is lost with the server.
                server.ask(&["SAVE"]).await.expect("is saved");
                for _ in 0..5 {
                    last = take(&two.b, "x").await.expect("is free");
                }
                server.kill().await.expect("is killed");
                server.restart().await.expect("starts with the snapshot");
            }
            _ => {
                server.ask(&["FLUSHALL"]).await.expect("is emptied");
            }
        }
    }
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_grow_while_sentinel_fails_over_and_back() {
    if !is_installed() {
        return;
    }
    let servers = RedisSentinels::start(2).await.expect("starts");
    let two = Two::start(&servers.url());
    // The second instance stands still meanwhile: what it knew of a reign must not count in a later one.
    let mut last = take_at_last(&two.b, "x").await;
    for _ in 0..3 {
        for _ in 0..3 {
            let token = take_at_last(&two.a, "x").await;
            assert!(token > last, "{token} after {last}");
            last = token;
        }
        servers.fail_over().await.expect("fails over");
    }
    for instance in [&two.b, &two.a] {
        let token = take_at_last(instance, "x").await;
        assert!(token > last, "{token} after {last}");
        last = token;
    }
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_grow_in_every_instance_while_a_cluster_fails_over_under_load() {
    if !is_installed() {
        return;
    }
    let servers = RedisCluster::start(3, 3).await.expect("starts");
    let two = Two::start(&servers.url());
    let (highest, stop) = (
        Arc::new(AtomicI64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let mut working = tokio::task::JoinSet::new();
    for worker in 0..4 {
        let instance = if worker % 2 == 0 { &two.a } else { &two.b }.clone();
        let (highest, stop) = (Arc::clone(&highest), Arc::clone(&stop));
        working.spawn(async move {
            let (owner, mut tokens) = (format!("worker-{worker}"), Vec::new());
            while !stop.load(Ordering::SeqCst) {
                let before = highest.load(Ordering::SeqCst);
                let Ok(grant) = instance.acquire("x", &owner, 2_000).await else {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                };
                assert!(grant.token.0 > before, "{before} came before {grant:?}");
                highest.fetch_max(grant.token.0, Ordering::SeqCst);
                tokens.push(grant.token.0);
                // Where it fails the lease ends by itself.
                let _released = instance.release(&grant, &owner).await;
            }
            tokens
        });
    }
    for replica in 3..6 {
        let before = highest.load(Ordering::SeqCst);
        servers.fail_over(replica).await.expect("fails over");
        let goes_on = async {
            while highest.load(Ordering::SeqCst) <= before + 3 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let within = Duration::from_millis(WAIT_MS_MAX);
        let goes_on = tokio::time::timeout(within, goes_on).await;
        goes_on.expect("grants go on");
    }
    stop.store(true, Ordering::SeqCst);
    let mut all: Vec<i64> = working.join_all().await.concat();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "a token was given twice");
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_control_database_a_reign_goes_on_and_no_other_begins() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let two = Two::start(&server.url());
    let before = take_at_last(&two.a, "x").await;
    two.epochs.away.store(true, Ordering::SeqCst);
    let token = take(&two.b, "x").await.expect("the epoch is there");
    assert!(token > before);
    server.ask(&["FLUSHALL"]).await.expect("is emptied");
    let refused = told(take(&two.a, "x").await.expect_err("no epoch can be taken"));
    assert_eq!(
        (refused.code(), refused.outcome()),
        (ErrorCode::LockConnection, Outcome::NotApplied)
    );
    two.epochs.away.store(false, Ordering::SeqCst);
    assert!(take(&two.a, "x").await.expect("is free") > token);
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_is_lost_is_unknown_and_what_it_got_is_given_back() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let proxy = CutProxy::to(server.address()).await.expect("listens");
    let epochs: Arc<dyn Epochs> = Arc::new(MemoryEpochs::default());
    let cut = OnRedis::start(&url_at(proxy.address()), &epochs);
    let other = OnRedis::start(&server.url(), &epochs);
    take_at_last(&cut, "warm").await;
    let grant = cut.acquire("x", "one", 0).await.expect("is free");
    // Only the request that replaces a record holds one with a holder of it.
    proxy.cut("\"holders\":[", 0);
    let error = told(cut.release(&grant, "one").await.expect_err("is lost"));
    assert_eq!(
        (error.code(), error.outcome()),
        (ErrorCode::LockConnection, Outcome::Unknown)
    );
    assert!(error.is_retriable());
    // The server had done it. A repeat says that nothing is held.
    let again = async {
        loop {
            match cut.release(&grant, "one").await {
                Ok(released) => return released,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    assert!(!again.await, "it was released twice");
    let next = other.acquire("x", "three", 5_000).await.expect("is free");
    assert!(next.token > grant.token);
    for instance in [cut, other] {
        instance.service.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_it_is_told_and_found_again() {
    if !is_installed() {
        return;
    }
    let mut server = RedisProcess::start("").await.expect("starts");
    let two = Two::start(&server.url());
    let grant = two.a.acquire("x", "one", 5_000).await.expect("is free");
    server.kill().await.expect("is killed");
    let refused = async {
        loop {
            let renewed = two.a.renew(&grant, "one").await;
            // Until the connection is seen to be gone the effect may be unknown.
            match renewed.map_err(told) {
                Err(error) if error.outcome() == Outcome::NotApplied => return error,
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let refused = tokio::time::timeout(Duration::from_millis(WAIT_MS_MAX), refused).await;
    let refused = refused.expect("is noticed");
    assert_eq!(refused.code(), ErrorCode::LockConnection);
    server.restart().await.expect("starts empty");
    let token = take_at_last(&two.b, "x").await;
    assert!(token > grant.token.0);
    assert!(!two.a.renew(&grant, "one").await.expect("is answered"));
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_full_memory_no_new_lock_is_taken_and_holders_go_on() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let two = Two::start(&server.url());
    let grant: LockGrant = two.a.acquire("x", "one", 5_000).await.expect("is free");
    server
        .ask(&["CONFIG", "SET", "maxmemory", "1"])
        .await
        .expect("is full");
    let refused = told(two.a.acquire("y", "one", 0).await.expect_err("is full"));
    assert_eq!(
        (refused.code(), refused.outcome()),
        (ErrorCode::Overloaded, Outcome::NotApplied)
    );
    assert!(two.a.renew(&grant, "one").await.expect("is renewed"));
    assert!(two.a.release(&grant, "one").await.expect("is released"));
    server
        .ask(&["CONFIG", "SET", "maxmemory", "0"])
        .await
        .expect("has room");
    take(&two.b, "y").await.expect("is free");
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_that_the_guide_names_are_enough_and_less_is_told() {
    if !is_installed() {
        return;
    }
    let user = "user locks on >secret ~{locks.lock}:* +client +hello +ping +info +role +time +exists +unlink +eval +evalsha +@hash +@sortedset\n\
                user reader on >secret ~{locks.lock}:* +client +hello +ping +info +role +time";
    let server = RedisProcess::start(user).await.expect("starts");
    let url = |user: &str| format!("redis://{user}:secret@{}", server.address());
    let two = Two::start(&url("locks"));
    let held = two.a.acquire("x", "one", 5_000).await.expect("is free");
    let waiting = two.b.wait_for("x", "two").await;
    assert!(two.a.release(&held, "one").await.expect("is answered"));
    waiting.await.expect("joins").expect("is granted");
    let caller = context(TENANT);
    let listed = two.a.service.list(&caller, ListRequest::default()).await;
    assert_eq!(listed.expect("is read").locks.len(), 1);
    two.end().await;
    let two = Two::start(&url("reader"));
    let refused = told(two.a.acquire("x", "one", 0).await.expect_err("may not"));
    assert_eq!(
        (refused.code(), refused.outcome()),
        (ErrorCode::LockConnection, Outcome::NotApplied)
    );
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_writes_still_tells_who_holds() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let two = Two::start(&server.url());
    let grant = two.a.acquire("x", "one", 5_000).await.expect("is free");
    for order in [
        ["CONFIG", "SET", "min-replicas-to-write", "1"],
        ["CONFIG", "SET", "min-replicas-to-write", "0"],
    ] {
        server.ask(&order).await.expect("is set");
        let renewed = two.a.renew(&grant, "one").await.map_err(told);
        if order[3] == "0" {
            assert!(renewed.expect("is renewed"));
            continue;
        }
        let error = renewed.expect_err("takes no writes");
        assert_eq!(
            (error.code(), error.outcome()),
            (ErrorCode::LockConnection, Outcome::NotApplied)
        );
        let info = two.b.service.get(&context(TENANT), "x").await;
        assert_eq!(info.expect("is read").holders[0].owner, "one");
    }
    two.end().await;
}
