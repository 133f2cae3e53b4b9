//! Property 9 for locks as recorded histories: clients of both transports take, renew, release, forget and look at the same
//! locks of one or two running servers, and one order must explain every answer (`plinth_testkit::linear::Lock`): one
//! holder at a time, tokens that only grow, no lease cut short. In each run one server is killed and started again.
//!
//! `PLINTH_LINEAR_OPERATIONS` sets how many operations a run has, `PLINTH_LINEAR_SEED` repeats one.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test's own preparation ends the test where it fails; a run says what it checked"
)]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use plinth_client::{
    AcquireOptions, Client, ClientError, LockAsk, LockClaimResult, LockClient, LockGrant, Outcome,
};
use plinth_testkit::linear::{
    Bounds, Lock, LockOp, LockReply, Recorder, check_by_key, operations, seed,
};
use plinth_testkit::process::{Announcement, Server, ServerOptions};
use plinth_testkit::redis::{RedisProcess, is_installed};
use plinth_testkit::scratch::ScratchDatabase;
use plinth_testkit::services::{MARIADB_VARIABLE, POSTGRES_VARIABLE};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::Notify;

/// Operations of a run, where the environment names no other number.
const OPERATIONS: u64 = 800;
/// Clients of a server at once; half of them on each transport.
const CLIENTS: u32 = 6;
/// Few locks, so that clients meet.
const LOCKS: u32 = 3;
/// Leases are drawn up to it, in milliseconds: short ones, so that many end by themselves.
const LEASE_MS_MAX: u64 = 400;
const LEASE_MS_MIN: u64 = 120;
/// Waits are drawn up to it, in milliseconds.
const WAIT_MS_MAX: i64 = 300;
/// By how much a lease may fall short on the machine's own clocks, in milliseconds: both cut off parts of one.
const TOLERANCE_MS: u64 = 2;
/// The refusal of a lock that is taken.
const TAKEN: u16 = plinth_core::ErrorCode::LockNotAcquired.number();

/// The setting that names the control database.
const CONTROL_URL: &str = "PLINTH__CONTROL__URL";
/// The setting that names Redis.
const REDIS_URL: &str = "PLINTH__REDIS__URL";

type History = Recorder<String, LockOp, LockReply>;

/// What one client does, by its own random numbers.
struct Actor {
    number: u32,
    client: Client,
    history: Arc<History>,
    random: StdRng,
    /// What it believes to hold.
    held: Option<Hold>,
    /// What it said nothing more of, or released.
    past: Option<Hold>,
    owners: u64,
}

/// One grant, under an owner of its own.
#[derive(Clone)]
struct Hold {
    owner: String,
    grant: LockGrant,
}

/// What a client does next.
enum Step {
    Acquire { wait_ms: i64 },
    Renew(Hold),
    Release(Hold),
    Look,
}

impl Actor {
    fn draw(&mut self) -> Step {
        let dice = self.random.random_range(0..20);
        let held = self.held.clone();
        match (dice, held, self.past.clone()) {
            (0..=2, _, _) => Step::Look,
            (3, _, Some(past)) => Step::Renew(past),
            (4, _, Some(past)) => Step::Release(past),
            (5..=8, Some(held), _) => Step::Renew(held),
            (9..=16, Some(held), _) => Step::Release(held),
            (17..=18, Some(_), _) => {
                // It goes silent.
                self.past = self.held.take();
                Step::Look
            }
            (_, Some(_), _) => Step::Look,
            (_, None, _) => Step::Acquire {
                wait_ms: match self.random.random_range(0..2) {
                    0 => 0,
                    _ => self.random.random_range(1..=WAIT_MS_MAX),
                },
            },
        }
    }

    fn lease_ms(&mut self) -> u64 {
        self.random.random_range(LEASE_MS_MIN..=LEASE_MS_MAX)
    }

    /// Makes one operation. Breaks off where its end is unknown or the server is away.
    async fn act(&mut self) -> ControlFlow<()> {
        let outcome = match self.draw() {
            Step::Acquire { wait_ms } => self.acquire(wait_ms).await,
            Step::Renew(hold) => Box::pin(self.renew(hold)).await,
            Step::Release(hold) => Box::pin(self.release(hold)).await,
            Step::Look => self.look().await,
        };
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) if error.code == TAKEN => ControlFlow::Continue(()),
            Err(error) if error.outcome == Outcome::Unknown || error.retriable => {
                ControlFlow::Break(())
            }
            Err(error) => panic!("an error that no fault explains: {error}"),
        }
    }

    fn lock(&mut self) -> String {
        format!("lock-{}", self.random.random_range(0..LOCKS))
    }

    async fn acquire(&mut self, wait_ms: i64) -> Result<(), ClientError> {
        let (lock, lease_ms) = (self.lock(), self.lease_ms());
        self.owners += 1;
        let owner = format!("{}-{}", self.number, self.owners);
        let options = AcquireOptions {
            lease_ms: i64::try_from(lease_ms).ok(),
            wait_ms: Some(wait_ms),
            ..AcquireOptions::default()
        };
        let asks = [LockAsk::exclusive(&lock)];
        let locks = self.client.lock();
        // Of a grant that nobody was told of, no lease was promised.
        let untold = LockOp::Acquire { lease_ms: 0 };
        let underway = self.history.begin(self.number, lock, untold);
        let result = Box::pin(locks.acquire(&asks, &owner, &options)).await;
        match &result {
            Ok(acquired) => {
                let grant = acquired.grants.first().expect("one grant");
                let told = LockOp::Acquire {
                    lease_ms: promised(grant.lease_ms, lease_ms),
                };
                underway.answered_as(told, LockReply::Granted(grant.token));
            }
            Err(error) if names_holder(error) => underway.answered(LockReply::Busy),
            Err(error) if error.outcome == Outcome::NotApplied => underway.not_applied(),
            Err(_) => underway.unknown(),
        }
        let grant = result?.grants.into_iter().next().expect("one grant");
        self.held = Some(Hold { owner, grant });
        Ok(())
    }

    async fn renew(&mut self, hold: Hold) -> Result<(), ClientError> {
        let lease_ms = self.lease_ms();
        let token = hold.grant.token;
        let asked = |lease_ms| LockOp::Renew { token, lease_ms };
        let wanted = i64::try_from(lease_ms).ok();
        let grants = [hold.grant.clone()];
        let locks = self.client.lock();
        let underway = self.history.begin(self.number, hold.grant.lock, asked(0));
        let result = first(locks.renew(&hold.owner, &grants, wanted)).await;
        match (&result, result.as_ref().ok().and_then(|item| item.lease_ms)) {
            (Ok(_), Some(left_ms)) => {
                underway.answered_as(asked(promised(left_ms, lease_ms)), LockReply::Done);
            }
            (Ok(_), None) => underway.answered(LockReply::NotHeld),
            (Err(error), _) if error.outcome == Outcome::NotApplied => underway.not_applied(),
            (Err(_), _) => underway.unknown(),
        }
        if !result?.held {
            self.forget(token);
        }
        Ok(())
    }

    async fn release(&mut self, hold: Hold) -> Result<(), ClientError> {
        let asked = LockOp::Release {
            token: hold.grant.token,
        };
        let grants = [hold.grant.clone()];
        let locks = self.client.lock();
        let call = Box::pin(first(locks.release(&hold.owner, &grants)));
        let result = self
            .history
            .call(
                self.number,
                hold.grant.lock.clone(),
                asked,
                call,
                read_claim,
            )
            .await;
        self.forget(hold.grant.token);
        self.past = Some(hold);
        result.map(drop)
    }

    fn forget(&mut self, token: i64) {
        self.held.take_if(|held| held.grant.token == token);
    }

    async fn look(&mut self) -> Result<(), ClientError> {
        let lock = self.lock();
        let underway = self
            .history
            .begin(self.number, lock.clone(), LockOp::Inspect);
        let looked = holder(self.client.lock(), &lock).await;
        match looked {
            Ok(Some(token)) => underway.answered(LockReply::Holder(Some(token))),
            // A look judges by the clock: it may find a lease over that a renewal, decided in time, is about to continue. So
            // of a lock that looks free nothing follows.
            Ok(None) | Err(_) => underway.not_applied(),
        }
        looked.map(drop)
    }
}

async fn holder(locks: LockClient<'_>, lock: &str) -> Result<Option<i64>, ClientError> {
    let info = locks.get(lock).await?;
    Ok(info.holders.first().map(|holder| holder.token))
}

async fn first(
    call: impl Future<Output = Result<Vec<LockClaimResult>, ClientError>>,
) -> Result<LockClaimResult, ClientError> {
    let items = Box::pin(call).await?;
    Ok(items.into_iter().next().expect("one item"))
}

/// The lease that an answer promises from when it is read.
fn promised(left_ms: i64, asked_ms: u64) -> u64 {
    let left_ms = u64::try_from(left_ms).expect("not below zero");
    assert!(
        left_ms <= asked_ms,
        "{left_ms} ms of a lease of {asked_ms} ms"
    );
    left_ms
}

/// A refusal that names a holder tells of the state. One that names none was made because others wait, or its holder had gone
/// when it was asked for; of that nothing follows.
fn names_holder(error: &ClientError) -> bool {
    let holders = error.details.get("holders");
    error.code == TAKEN && holders.is_some_and(|holders| !holders.is_empty())
}

fn read_claim(result: &Result<LockClaimResult, ClientError>) -> Option<LockReply> {
    let item = result.as_ref().ok()?;
    Some(match item.code {
        None => LockReply::Done,
        Some(_) => LockReply::NotHeld,
    })
}

/// The clients of a run share its history and stop for good at an end that nobody knows.
struct Run {
    history: Arc<History>,
    seed: u64,
    operations: u64,
    key: String,
}

impl Run {
    /// Lets clients of all servers act; `halfway` is told when half of the operations are done.
    async fn act(&self, servers: &[Announcement], phase: u64, halfway: &Notify) {
        let left = Arc::new(AtomicU64::new(self.operations));
        let mut clients = tokio::task::JoinSet::new();
        for (number, told) in (0..)
            .zip(servers.iter().cycle())
            .take(self.clients(servers))
        {
            let client = told.client_of_a_history(&self.key, number / self.apart(servers));
            let seed = self.seed ^ phase << 56 ^ u64::from(number) << 40;
            let mut actor = Actor {
                number,
                client: client.expect("a client"),
                history: Arc::clone(&self.history),
                random: StdRng::seed_from_u64(seed),
                held: None,
                past: None,
                owners: phase << 32,
            };
            let left = Arc::clone(&left);
            clients.spawn(async move {
                while left
                    .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
                    .is_ok()
                {
                    if Box::pin(actor.act()).await.is_break() {
                        return;
                    }
                }
            });
        }
        let half = self.operations / 2;
        let watch = async {
            while left.load(Relaxed) > half {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            halfway.notify_one();
        };
        let end = async {
            while let Some(ended) = clients.join_next().await {
                ended.expect("a client");
            }
            left.store(0, Relaxed);
        };
        tokio::join!(watch, end);
    }

    fn clients(&self, servers: &[Announcement]) -> usize {
        servers.len() * CLIENTS as usize
    }

    /// Clients beside each other go to different servers, so that each server has both transports.
    fn apart(&self, servers: &[Announcement]) -> u32 {
        u32::try_from(servers.len()).expect("few servers")
    }

    fn conclude(self, what: &str) {
        let history = Arc::into_inner(self.history)
            .expect("every client has ended")
            .into_history();
        let model = Lock {
            tolerance_ms: TOLERANCE_MS,
        };
        let seed = self.seed;
        let granted = history
            .iter()
            .filter(|(_, made)| matches!(made.output(), Some(LockReply::Granted(_))))
            .count();
        let proof = check_by_key(&model, history, Bounds::default())
            .unwrap_or_else(|refuted| panic!("{what}, seed {seed}: {refuted}"));
        println!(
            "{what}: linearizable: {} operations ({granted} grants) and {} of unknown end over 2 transports on {} locks, seed {seed}, {} steps",
            proof.operations, proof.unknown, proof.keys, proof.steps
        );
        assert!(granted > 20, "too few grants to tell anything");
    }
}

/// Servers that share a backend: with a lock backend, and the settings that name it and the control database.
async fn check(what: &str, backend: &str, named: &[(&str, &str)], instances: usize) {
    let binary = Path::new(env!("CARGO_BIN_EXE_plinth"));
    let place = tempfile::tempdir().expect("a directory");
    let mut settings = vec![("PLINTH__LOCK__BACKEND".to_owned(), backend.to_owned())];
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    settings.extend(named.iter().map(owned));
    let options = |number: usize| ServerOptions {
        data_dir: Some(place.path().join(format!("instance-{number}"))),
        settings: settings.clone(),
        addresses: None,
    };
    let mut servers = Vec::new();
    for number in 0..instances {
        let server = Server::start(binary, &options(number)).await;
        servers.push(server.expect("starts"));
    }
    let key = servers.first().expect("one").first_key();
    let run = Run {
        history: Arc::default(),
        seed: seed().unwrap_or_else(|| rand::rng().random_range(0..1_u64 << 32)),
        operations: operations().unwrap_or(OPERATIONS),
        key: key.expect("a first key").to_owned(),
    };
    let all = |servers: &[Server]| -> Vec<Announcement> {
        let told = servers.iter().map(Server::announcement);
        told.cloned().collect()
    };
    warm(&all(&servers), &run.key).await;
    let (told, halfway) = (all(&servers), Notify::new());
    let kill = async {
        halfway.notified().await;
        let last = servers.pop().expect("one");
        let addresses = last.announcement().clone();
        last.kill().await.expect("is killed");
        addresses
    };
    let ((), addresses) = tokio::join!(run.act(&told, 0, &halfway), kill);
    let again = ServerOptions {
        addresses: Some((addresses.http, addresses.thrift)),
        ..options(instances - 1)
    };
    servers.push(Server::start(binary, &again).await.expect("starts again"));
    warm(&all(&servers), &run.key).await;
    run.act(&all(&servers), 1, &Notify::new()).await;
    for server in servers {
        server.stop().await.expect("ends well");
    }
    run.conclude(what);
}

/// Every server looks at the clock of the backend, and has watched it for a whole lease when this ends: until then it takes a
/// lease for alive that another one knows to be over.
async fn warm(servers: &[Announcement], key: &str) {
    for told in servers {
        let client = told.client_of_a_history(key, 0).expect("a client");
        client.lock().get("warm").await.expect("is read");
    }
    tokio::time::sleep(Duration::from_millis(LEASE_MS_MAX + 50)).await;
}

async fn check_on(what: &str, product: &str, instances: usize) {
    let made = ScratchDatabase::create(product).await;
    let Some(database) = made.expect("the server answers") else {
        return;
    };
    let named = [(CONTROL_URL, database.url.as_str())];
    check(what, "control", &named, instances).await;
    database.remove().await.expect("is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn property_09_lock_histories_on_the_embedded_engine() {
    check("sqlite", "sqlite", &[], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn property_09_lock_histories_on_a_control_file() {
    check("control on sqlite", "control", &[], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn property_09_lock_histories_on_postgres() {
    check_on("control on postgres, 1 instance", POSTGRES_VARIABLE, 1).await;
    check_on("control on postgres, 2 instances", POSTGRES_VARIABLE, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn property_09_lock_histories_on_mariadb() {
    check_on("control on mariadb, 1 instance", MARIADB_VARIABLE, 1).await;
    check_on("control on mariadb, 2 instances", MARIADB_VARIABLE, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn property_09_lock_histories_on_redis() {
    if !is_installed() {
        return;
    }
    let redis = RedisProcess::start("").await.expect("starts");
    let url = redis.url();
    check("redis, 1 instance", "redis", &[(REDIS_URL, &url)], 1).await;
    // Instances that share locks share the control database too.
    let made = ScratchDatabase::create(POSTGRES_VARIABLE).await;
    let Some(database) = made.expect("the server answers") else {
        return;
    };
    let redis = RedisProcess::start("").await.expect("starts");
    let url = redis.url();
    let named = [(REDIS_URL, url.as_str()), (CONTROL_URL, &database.url)];
    check("redis, 2 instances", "redis", &named, 2).await;
    database.remove().await.expect("is removed");
}
