//! The link against real servers: what it promises, and what it says when they fail.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "the inputs are written in the tests; a bad one is a fault of the test"
)]

mod cluster;
mod faults;
mod sentinel;
mod single;

use std::sync::Arc;
use std::time::Duration;

use plinth_core::Outcome;
use plinth_redis_link::{
    Cmd, LinkError, RedisLink, RedisSettings, RedisUrl, Script, Slot, Value, cmd, slot_of,
};

/// Longest wait for something that has to come, in milliseconds.
const WAIT_MS_MAX: u64 = 20_000;

/// Settings whose waits are short enough for tests.
fn settings(url: &str) -> RedisSettings {
    RedisSettings {
        url: RedisUrl::new(url),
        command_timeout_ms: 500,
        heartbeat_ms: 100,
        reconnect_first_ms: 10,
        reconnect_max_ms: 50,
        ..RedisSettings::default()
    }
}

fn link(url: &str) -> Arc<RedisLink> {
    RedisLink::start(&settings(url)).expect("starts")
}

fn set(key: &str, value: &str) -> (Slot, Cmd) {
    let mut command = cmd("SET");
    command.arg(key).arg(value);
    (slot_of(key.as_bytes()), command)
}

fn get(key: &str) -> (Slot, Cmd) {
    let mut command = cmd("GET");
    command.arg(key);
    (slot_of(key.as_bytes()), command)
}

async fn run(link: &RedisLink, (slot, command): (Slot, Cmd)) -> Result<Value, LinkError> {
    link.run(slot, &command).await
}

/// Repeats a command until its answer is as wanted.
async fn run_until(
    link: &RedisLink,
    command: (Slot, Cmd),
    wanted: impl Fn(&Result<Value, LinkError>) -> bool,
) {
    let trying = async {
        loop {
            let answered = run(link, command.clone()).await;
            if wanted(&answered) {
                return;
            }
            // Another program's state gives no event to wait for.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_millis(WAIT_MS_MAX), trying)
        .await
        .expect("comes in time");
}

fn text(value: &str) -> Value {
    Value::BulkString(value.as_bytes().to_vec())
}

/// A name that no other test uses.
fn unique(name: &str) -> String {
    format!("{name}:{}", rand::random::<u64>())
}

fn outcome(answered: Result<Value, LinkError>) -> Outcome {
    answered.expect_err("fails").outcome()
}

/// Adds one and returns the server's number and the sum.
fn counting() -> Script {
    Script::new(&[
        "local sum = redis.call('INCRBY', KEYS[1], ARGV[2])",
        "return {ARGV[1], redis.call('GET', KEYS[1])}",
    ])
}

/// Adds to a key by that script.
async fn count(link: &RedisLink, key: &str, more: &str) -> Result<Value, LinkError> {
    let slot = slot_of(key.as_bytes());
    link.eval(slot, &counting(), &[key.as_bytes()], &[more.as_bytes()])
        .await
}
