//! Load: requests over connections that are kept, one under way on each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How an answer ends.
#[derive(Clone, Copy, Debug)]
pub enum Framing {
    /// A length before the message.
    Thrift,
    /// A header with `content-length`.
    Http,
    /// Redis' own protocol: a bulk string.
    Resp,
}

/// One kind of request, sent many times.
#[derive(Clone)]
pub struct Load {
    /// Where to.
    pub address: String,
    /// The request.
    pub frame: Vec<u8>,
    /// How its answer ends.
    pub framing: Framing,
    /// Over how many connections.
    pub connections: usize,
    /// How often.
    pub requests: usize,
}

impl Load {
    /// Runs once. Errors: an answer is not what a success looks like.
    ///
    /// All connections are served by one thread that does nothing else, as `redis-benchmark` does it: a client that wakes
    /// several threads would take from the server what the peer's client leaves to its.
    pub async fn run(&self) -> Result<Sample> {
        let load = self.clone();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()?;
            runtime.block_on(load.run_here())
        };
        tokio::task::spawn_blocking(run).await?
    }

    async fn run_here(&self) -> Result<Sample> {
        let mut streams = Vec::new();
        for _ in 0..self.connections {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let left = Arc::new(AtomicUsize::new(self.requests));
        let began = Instant::now();
        let mut workers = JoinSet::new();
        for stream in streams {
            workers.spawn(work(stream, self.clone(), Arc::clone(&left)));
        }
        finish(workers, self.requests, began).await
    }
}

/// What one round showed.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Requests a second.
    pub per_second: f64,
    /// The latency that half of the requests stayed below, in milliseconds.
    pub p50_ms: f64,
}

/// Waits for all workers and sums up their latencies in microseconds.
async fn finish(
    mut workers: JoinSet<Result<Vec<u32>>>,
    requests: usize,
    began: Instant,
) -> Result<Sample> {
    let mut micros = Vec::with_capacity(requests);
    while let Some(worker) = workers.join_next().await {
        micros.extend(worker??);
    }
    let requests = u32::try_from(requests).unwrap_or(u32::MAX);
    let per_second = f64::from(requests) / began.elapsed().as_secs_f64();
    micros.sort_unstable();
    let middle = micros.get(micros.len() / 2).copied().unwrap_or_default();
    Ok(Sample {
        per_second,
        p50_ms: f64::from(middle) / 1_000.0,
    })
}

/// Takes one request from what is left.
fn take(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(1)
    })
    .is_ok()
}

/// The latencies in microseconds.
async fn work(mut stream: TcpStream, load: Load, left: Arc<AtomicUsize>) -> Result<Vec<u32>> {
    let mut micros = Vec::new();
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    while take(&left) {
        let asked = Instant::now();
        stream.write_all(&load.frame).await?;
        let mut filled = 0;
        loop {
            let room = answer.get_mut(filled..).unwrap_or_default();
            let read = stream.read(room).await?;
            ensure!(read > 0, "the server closed the connection");
            filled += read;
            let seen = answer.get(..filled).unwrap_or_default();
            if let Some(length) = length(seen, load.framing)?
                && filled >= length
            {
                break;
            }
        }
        micros.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    Ok(micros)
}

/// The length of an answer, once it can be told. Errors: the answer is no success.
fn length(seen: &[u8], framing: Framing) -> Result<Option<usize>> {
    match framing {
        Framing::Thrift => {
            let Some((head, body)) = seen.split_first_chunk::<4>() else {
                return Ok(None);
            };
            // A reply begins with 0x80 0x01 0x00 0x02; an exception of the protocol ends with 3.
            if let Some(kind) = body.get(3)
                && *kind != 2
            {
                bail!("the server answered with an exception");
            }
            Ok(Some(4 + usize::try_from(u32::from_be_bytes(*head))?))
        }
        Framing::Http => {
            let Some(end) = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                return Ok(None);
            };
            let header = seen.get(..end).unwrap_or_default();
            ensure!(
                header.starts_with(b"HTTP/1.1 200"),
                "the server answered {}",
                String::from_utf8_lossy(seen)
            );
            let length = header
                .split(|byte| *byte == b'\n')
                .find_map(content_length)
                .context("an answer without its length")?;
            Ok(Some(end + 4 + length))
        }
        Framing::Resp => {
            let Some(end) = seen.windows(2).position(|bytes| bytes == b"\r\n") else {
                return Ok(None);
            };
            let head = std::str::from_utf8(seen.get(..end).unwrap_or_default())?;
            let length: usize = head
                .strip_prefix('$')
                .and_then(|length| length.parse().ok())
                .with_context(|| format!("the server answered {head}"))?;
            // The string stands between two ends of a line.
            Ok(Some(end + 2 + length + 2))
        }
    }
}

/// The length that a line of a header names, where it is that line.
fn content_length(line: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let (name, value) = line.split_at_checked(NAME.len())?;
    if !name.eq_ignore_ascii_case(NAME) {
        return None;
    }
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// Runs a call many times, so many at once, and measures them.
pub async fn concurrently<F, Fut>(at_once: usize, calls: usize, call: F) -> Result<Sample>
where
    F: Fn(usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<()>> + Send,
{
    let left = Arc::new(AtomicUsize::new(calls));
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..at_once {
        let (left, call) = (Arc::clone(&left), call.clone());
        workers.spawn(async move {
            let mut micros = Vec::new();
            while take(&left) {
                let asked = Instant::now();
                call(left.load(Ordering::Relaxed)).await?;
                micros.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            Ok::<_, anyhow::Error>(micros)
        });
    }
    finish(workers, calls, began).await
}
