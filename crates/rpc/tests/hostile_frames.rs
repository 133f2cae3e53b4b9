//! Mutated frames: whatever comes in, the codec answers, decodes only what it has inspected, and stays within its memory.
//!
//! The ordinary run takes 20,000 frames in process and 2,000 over sockets. `PLINTH_HOSTILE_FRAMES=1000000` and
//! `PLINTH_HOSTILE_SOCKET_FRAMES=50000` take more. The seed is printed and taken from `PLINTH_SEED`.

#![expect(
    clippy::expect_used,
    reason = "the helpers of a test fail by panicking, as the test does"
)]

#[cfg(test)]
mod support;

use std::time::Duration;

use plinth_rpc::RpcSettings;
use support::decoding::{Outcome, all, limits};
use support::mutation::{Random, corpus, frames, mutated, resident_bytes, seed};
use support::server::start;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What the process may grow by over all frames, in bytes.
const GROWTH_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Connections that send at once.
const SENDERS: usize = 8;
/// How long a server may take to answer a frame or close.
const ANSWER_MAX: Duration = Duration::from_secs(10);

#[tokio::test]
async fn mutated_frames_in_process() {
    let (count, seed) = (frames("PLINTH_HOSTILE_FRAMES", 20_000), seed());
    let corpus = corpus(seed);
    let mut random = Random(seed);
    let (before, _) = resident_bytes();
    let limits = limits();
    let (mut calls, mut refused, mut broken) = (0, 0, 0);
    for _ in 0..count {
        for outcome in all(mutated(&corpus, &mut random), limits.clone()).await {
            match outcome {
                Outcome::Call(_) => calls += 1,
                Outcome::Refused { .. } => refused += 1,
                Outcome::Broken(_) => broken += 1,
                Outcome::End => {}
            }
        }
    }
    let (after, peak) = resident_bytes();
    let megabytes = |bytes: usize| bytes / (1024 * 1024);
    println!(
        "{count} frames: {calls} calls, {refused} refused, {broken} broken; resident {} MiB before, {} MiB after, {} MiB at peak",
        megabytes(before),
        megabytes(after),
        megabytes(peak)
    );
    assert!(
        calls > 0 && refused > 0 && broken > 0,
        "mutations of every kind"
    );
    assert!(
        after.saturating_sub(before) < GROWTH_BYTES_MAX,
        "memory leaks"
    );
    assert!(
        peak.saturating_sub(before) < GROWTH_BYTES_MAX,
        "a frame took too much memory"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_frames_over_sockets() {
    let (count, seed) = (frames("PLINTH_HOSTILE_SOCKET_FRAMES", 2_000), seed());
    // A frame that ends early is waited for; not for long here.
    let server = start(RpcSettings {
        frame_timeout_ms: 1_000,
        ..RpcSettings::default()
    })
    .await;
    let corpus = std::sync::Arc::new(corpus(seed));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (corpus, address) = (corpus.clone(), server.address);
            let mut random = Random(seed ^ sender as u64);
            tokio::spawn(async move {
                for _ in 0..count / SENDERS {
                    let frame = mutated(&corpus, &mut random);
                    exchange(address, &frame).await;
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.expect("no answer within its time");
    }
    let (now, peak) = resident_bytes();
    println!(
        "{count} frames over sockets; resident {} KiB, {} KiB at peak",
        now / 1024,
        peak / 1024
    );
    // It still serves.
    let good = exchange(server.address, &corpus[0]).await;
    assert!(good.windows(6).any(|part| part == b"called"), "{good:?}");
    server.shutdown.cancel();
    server.ended.await.expect("no panic").expect("a clean end");
}

/// Sends a frame, says that no more will come, and reads what the server has to say until it closes.
async fn exchange(address: std::net::SocketAddr, frame: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server accepts");
    // The server may close before it has read everything.
    let _closed_early = stream.write_all(frame).await;
    let _closed_early = stream.shutdown().await;
    let mut answer = Vec::new();
    let read = timeout(ANSWER_MAX, stream.read_to_end(&mut answer)).await;
    let _reset = read.expect("an answer or an end");
    answer
}
