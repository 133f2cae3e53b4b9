//! Mutated requests over sockets: the process stays, goes on answering, and keeps its memory.
//!
//! `PLINTH_HOSTILE_FRAMES` sets how many (default 2,000), `PLINTH_HOSTILE_SEED` repeats a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{PATIENCE, TestServer, get_of, post_as, post_json, routes, start};

const FRAMES_DEFAULT: u64 = 2_000;
const CONNECTIONS: u64 = 16;
/// Memory that the run may add to the process at its peak, in kibibytes: the bodies in flight and what unfolds of them.
const GROWTH_KIB_MAX: u64 = 256 * 1024;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Requests that reach every extractor, to begin from.
fn seeds() -> Vec<Vec<u8>> {
    let large = "x".repeat(20_000);
    let h2_preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x04\x01\x05\x00\x00\x00\x01\x82\x84\x86\x41\x01x";
    vec![
        get_of("/query?limit=5&cursor=abc%20d"),
        get_of("/name/a%2Fb"),
        get_of("/number/12"),
        b"GET /conditions HTTP/1.1\r\nhost: x\r\nif-match: \"12\"\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n".to_vec(),
        post_json(r#"{"items":[{"key":"a","ttl_ms":5},{"key":"b\u00e9"}],"note":null,"free":{"a":[1,2.5e3,true]}}"#),
        post_as("/bytes", "text/plain", large.as_bytes()),
        b"POST /bytes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec(),
        h2_preface.to_vec(),
    ]
}

fn mutate(bytes: &mut Vec<u8>, random: &mut StdRng) {
    for _ in 0..random.random_range(1..=6) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.random()),
            2 => {
                let end = bytes.len().min(at + random.random_range(0..40));
                bytes.drain(at..end);
            }
            3 => {
                let end = bytes.len().min(at + 200);
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => {
                let noise: Vec<u8> = (0..random.random_range(0..60))
                    .map(|_| random.random())
                    .collect();
                bytes.splice(at..at, noise);
            }
            5 => {
                let word: &[u8] = [
                    b"\r\n".as_slice(),
                    b"[[[[[[",
                    b"content-length: 99999999999\r\n",
                    b"\"",
                    b"%",
                    b"\0",
                ][random.random_range(0..6)];
                bytes.splice(at..at, word.iter().copied());
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.random_range(0..8);
                }
            }
        }
    }
}

/// Peak resident memory of this process so far, in kibibytes.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// Sends one frame and reads whatever comes until the server closes. Returns whether anything came.
async fn throw(server: &TestServer, frame: &[u8]) -> bool {
    let mut stream = server.connect().await;
    let _written = stream.write_all(frame).await;
    let _half = stream.shutdown().await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let _reset_or_end = read.expect("the server lets go");
    !answer.is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_requests_break_nothing() {
    let frames = setting("PLINTH_HOSTILE_FRAMES", FRAMES_DEFAULT);
    let seed = setting("PLINTH_HOSTILE_SEED", rand::random());
    println!("hostile http: {frames} frames, PLINTH_HOSTILE_SEED={seed}");
    let server = start(routes(), |settings| settings.header_timeout_ms = 2_000).await;
    let server = Arc::new(server);
    let before = peak_kib();
    let answered = Arc::new(AtomicU64::new(0));
    let throwers = (0..CONNECTIONS).map(|thrower| {
        let (server, answered) = (Arc::clone(&server), Arc::clone(&answered));
        tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed.wrapping_add(thrower));
            let seeds = seeds();
            for _ in 0..frames.div_ceil(CONNECTIONS) {
                let mut frame = seeds[random.random_range(0..seeds.len())].clone();
                mutate(&mut frame, &mut random);
                if throw(&server, &frame).await {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    });
    for thrower in futures::future::join_all(throwers).await {
        thrower.expect("every frame ends");
    }
    let grown = peak_kib().saturating_sub(before);
    println!(
        "hostile http: {} of {frames} were answered, peak {} KiB, {grown} KiB of it from the run",
        answered.load(Ordering::Relaxed),
        peak_kib()
    );
    assert_eq!(
        server.ask(get_of("/query?limit=5")).await.status,
        200,
        "it goes on"
    );
    assert!(!server.task.is_finished());
    assert!(grown <= GROWTH_KIB_MAX, "grew by {grown} KiB");
}
