//! Properties 1 and 9 as recorded histories: clients of both transports read, set, compare-and-set and delete the same keys of a
//! running server, and one order must explain every answer (`plinth_testkit::linear`).
//!
//! `PLINTH_LINEAR_OPERATIONS` sets how many operations a run has, `PLINTH_LINEAR_SEED` repeats one.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test's own preparation ends the test where it fails; a run says what it checked"
)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;
use plinth_client::{
    CacheClient, CacheValue, Client, ClientError, Outcome, SetCondition, SetOptions,
};
use plinth_testkit::linear::{
    Bounds, Proof, Recorder, Register, RegisterOp, RegisterReply, When, check_by_key, operations,
    seed,
};
use plinth_testkit::process::{Announcement, Server, ServerOptions};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::Notify;

/// Operations of a run, where the environment names no other number.
const OPERATIONS: u64 = 4_000;
/// Clients at once; half of them on each transport.
const CLIENTS: u32 = 16;
/// Few keys, so that clients meet.
const KEYS: u32 = 5;
const NAMESPACE: &str = "linear";
/// The refusal of a condition.
const PRECONDITION_FAILED: u16 = plinth_core::ErrorCode::PreconditionFailed.number();
/// The refusal of a versioned delete of an absent key.
const KEY_NOT_FOUND: u16 = plinth_core::ErrorCode::CacheKeyNotFound.number();

type History = Recorder<String, RegisterOp, RegisterReply>;

/// What one client does, by its own random numbers and the versions that it has seen.
struct Actor {
    number: u32,
    client: Client,
    history: Arc<History>,
    random: StdRng,
    /// The last version that any client saw of a key: conditions that are about to hold.
    seen: Arc<Mutex<BTreeMap<String, i64>>>,
    value: u64,
}

impl Actor {
    fn draw(&mut self) -> (String, RegisterOp) {
        let key = format!("k{}", self.random.random_range(0..KEYS));
        let version = self.seen.lock().get(&key).copied();
        self.value += 1;
        let value = u64::from(self.number) << 32 | self.value;
        let asked = match (self.random.random_range(0..10), version) {
            (0..=2, _) => RegisterOp::Get,
            (3, _) => RegisterOp::Set {
                value,
                when: When::Always,
            },
            (4, _) => RegisterOp::Set {
                value,
                when: When::Absent,
            },
            (5, _) => RegisterOp::Set {
                value,
                when: When::Present,
            },
            (6, version) => RegisterOp::Delete { version },
            (_, Some(version)) => RegisterOp::Set {
                value,
                when: When::Version(version),
            },
            (_, None) => RegisterOp::Set {
                value,
                when: When::Absent,
            },
        };
        (key, asked)
    }

    /// Makes one operation. Breaks off where its end is unknown or the server is away.
    async fn act(&mut self) -> ControlFlow<()> {
        let (key, asked) = self.draw();
        let cache = self.client.cache();
        let call = Box::pin(perform(cache, &key, asked));
        let reply = self
            .history
            .call(self.number, key.clone(), asked, call, read)
            .await;
        match reply {
            Ok(RegisterReply::Value(Some((_, version))) | RegisterReply::Stored(version)) => {
                self.seen.lock().insert(key, version);
            }
            Ok(_) => {}
            Err(error) if is_refusal(&error) => {}
            Err(error) if error.outcome == Outcome::Unknown || error.retriable => {
                return ControlFlow::Break(());
            }
            Err(error) => panic!("an error that no fault explains: {error}"),
        }
        ControlFlow::Continue(())
    }
}

async fn perform(
    cache: CacheClient<'_>,
    key: &str,
    asked: RegisterOp,
) -> Result<RegisterReply, ClientError> {
    match asked {
        RegisterOp::Get => {
            let value = |found: CacheValue| {
                let bytes: [u8; 8] = found.value.as_ref().try_into().expect("eight bytes");
                (u64::from_be_bytes(bytes), found.version)
            };
            let found = cache.get(NAMESPACE, key).await?;
            Ok(RegisterReply::Value(found.map(value)))
        }
        RegisterOp::Set { value, when } => {
            let condition = match when {
                When::Always => SetCondition::Always,
                When::Absent => SetCondition::Absent,
                When::Present => SetCondition::Present,
                When::Version(version) => SetCondition::Version(version),
            };
            let options = SetOptions {
                condition,
                ..SetOptions::default()
            };
            let value = value.to_be_bytes().to_vec();
            let stored = cache.set(NAMESPACE, key, value, options).await?;
            Ok(RegisterReply::Stored(stored.version))
        }
        RegisterOp::Delete { version } => {
            let existed = cache.delete(NAMESPACE, key, version).await?;
            Ok(RegisterReply::Deleted { existed })
        }
        RegisterOp::Lose => unreachable!("only the test itself loses everything"),
    }
}

/// The answer for the history: a refused condition tells of the state.
fn read(result: &Result<RegisterReply, ClientError>) -> Option<RegisterReply> {
    match result {
        Ok(reply) => Some(*reply),
        Err(error) => is_refusal(error).then_some(RegisterReply::Refused),
    }
}

fn is_refusal(error: &ClientError) -> bool {
    [PRECONDITION_FAILED, KEY_NOT_FOUND].contains(&error.code)
}

/// A run's clients: they share the history and stop for good at an end that nobody knows.
struct Clients {
    history: Arc<History>,
    key: String,
    seed: u64,
    operations: u64,
}

impl Clients {
    /// Lets them act; `halfway` is told when half of the operations are done.
    async fn act(&self, told: &Announcement, phase: u64, halfway: Arc<Notify>) {
        let seen = Arc::default();
        let left = Arc::new(AtomicU64::new(self.operations));
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..CLIENTS {
            let mut actor = Actor {
                number,
                client: told
                    .client_of_a_history(&self.key, number)
                    .expect("a client"),
                history: Arc::clone(&self.history),
                random: StdRng::seed_from_u64(self.seed ^ phase << 56 ^ u64::from(number) << 40),
                seen: Arc::clone(&seen),
                value: phase << 24,
            };
            let (left, halfway) = (Arc::clone(&left), Arc::clone(&halfway));
            let half = self.operations / 2;
            clients.spawn(async move {
                while let Ok(before) =
                    left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
                {
                    if before == half {
                        halfway.notify_one();
                    }
                    if actor.act().await.is_break() {
                        return;
                    }
                }
            });
        }
        while let Some(ended) = clients.join_next().await {
            ended.expect("a client");
        }
    }
}

/// Runs a test on a server and checks what it recorded.
fn conclude(history: Arc<History>, seed: u64) -> Proof {
    let history = Arc::into_inner(history)
        .expect("every client has ended")
        .into_history();
    let proof = check_by_key(&Register, history, Bounds::default())
        .unwrap_or_else(|refuted| panic!("seed {seed}: {refuted}"));
    println!(
        "linearizable: {} operations and {} of unknown end by {CLIENTS} clients over 2 transports on {} keys, seed {seed}, {} steps",
        proof.operations, proof.unknown, proof.keys, proof.steps
    );
    proof
}

fn clients(server: &Server) -> Clients {
    Clients {
        history: Arc::default(),
        key: server.first_key().expect("a first key").to_owned(),
        seed: seed().unwrap_or_else(|| rand::rng().random_range(0..1_u64 << 32)),
        operations: operations().unwrap_or(OPERATIONS),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn property_09_histories_over_both_transports_are_linearizable() {
    let binary = Path::new(env!("CARGO_BIN_EXE_plinth"));
    let server = Server::start(binary, &ServerOptions::default())
        .await
        .expect("starts");
    let clients = clients(&server);
    clients.act(server.announcement(), 0, Arc::default()).await;
    server.stop().await.expect("ends well");
    let proof = conclude(clients.history, clients.seed);
    let asked = usize::try_from(clients.operations).expect("fits");
    assert_eq!(
        (proof.operations, proof.unknown),
        (asked, 0),
        "without a fault every call is answered"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn property_09_histories_over_a_kill_and_an_empty_restart_are_linearizable() {
    let binary = Path::new(env!("CARGO_BIN_EXE_plinth"));
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = ServerOptions {
        data_dir: Some(directory.path().join("data")),
        ..ServerOptions::default()
    };
    let server = Server::start(binary, &options).await.expect("starts");
    let clients = clients(&server);
    let told = server.announcement().clone();
    let halfway = Arc::new(Notify::new());
    let kill = async {
        halfway.notified().await;
        let lost: Vec<_> = (0..KEYS)
            .map(|key| {
                clients
                    .history
                    .begin(CLIENTS, format!("k{key}"), RegisterOp::Lose)
            })
            .collect();
        server.kill().await.expect("is killed");
        lost.into_iter()
            .for_each(|lost| lost.answered(RegisterReply::Done));
    };
    tokio::join!(clients.act(&told, 0, Arc::clone(&halfway)), kill);
    options.addresses = Some((told.http.clone(), told.thrift.clone()));
    let server = Server::start(binary, &options).await.expect("starts again");
    clients.act(server.announcement(), 1, Arc::default()).await;
    server.stop().await.expect("ends well");
    conclude(clients.history, clients.seed);
}
