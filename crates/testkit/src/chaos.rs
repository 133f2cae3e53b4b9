//! A TCP proxy that does to a connection what networks do: delays, cuts, black holes, drips, refusals.
//!
//! It listens on loopback, forwards to one address, and changes its behaviour at run time: [`ChaosProxy::set`] holds for
//! connections that are open and for those that come. What has begun to wait (a delay, a black hole) sees the change too.
//! It ends with the value: the listener and every connection close.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Most connections at once; one more waits in the listener's queue.
pub const CONNECTIONS_MAX: usize = 1_024;
/// What is forwarded at once, in bytes.
const CHUNK_BYTES: usize = 16 * 1_024;

/// What the proxy does to the bytes that pass it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chaos {
    /// Forwards at once.
    Calm,
    /// Forwards each chunk so many milliseconds late, in both directions.
    Latency {
        /// The delay.
        ms: u64,
    },
    /// Forwards one byte at a time, with so many milliseconds between two, from the server to the client.
    Drip {
        /// The pause.
        every_ms: u64,
    },
    /// Takes connections and bytes, and forwards nothing in either direction: the half-open link of a dead peer.
    BlackHole,
    /// Forwards what the client says and swallows what the server answers: a write that was done but not acknowledged.
    SwallowAnswers,
    /// Closes every connection, open and new ones: the peer's machine is there, its process is not.
    Refuse,
}

/// The running proxy.
pub struct ChaosProxy {
    address: SocketAddr,
    chaos: watch::Sender<Chaos>,
    cuts: watch::Sender<u64>,
    accepted: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ChaosProxy {
    /// Listens on a free loopback port in front of a server.
    pub async fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("no port for the proxy")?;
        let address = listener.local_addr()?;
        let (chaos, chaos_seen) = watch::channel(Chaos::Calm);
        let (cuts, cuts_seen) = watch::channel(0);
        let accepted = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(accept(
            listener,
            server,
            chaos_seen,
            cuts_seen,
            Arc::clone(&accepted),
        ));
        Ok(Self {
            address,
            chaos,
            cuts,
            accepted,
            task,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what happens from now on.
    pub fn set(&self, chaos: Chaos) {
        self.chaos.send_replace(chaos);
    }

    /// Closes the connections that are open now; new ones are welcome.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    chaos: watch::Receiver<Chaos>,
    cuts: watch::Receiver<u64>,
    accepted: Arc<AtomicU64>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Dropped with this task, which ends every connection.
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((client, _)) = listener.accept().await else {
            return;
        };
        accepted.fetch_add(1, Ordering::Relaxed);
        while connections.try_join_next().is_some() {}
        let link = Link {
            chaos: chaos.clone(),
            cuts: cuts.clone(),
        };
        connections.spawn(async move {
            let _place = place;
            link.run(client, server).await;
        });
    }
}

/// One connection through the proxy.
struct Link {
    chaos: watch::Receiver<Chaos>,
    cuts: watch::Receiver<u64>,
}

impl Link {
    async fn run(mut self, client: TcpStream, server: SocketAddr) {
        // Cuts before this connection do not concern it.
        self.cuts.mark_unchanged();
        let mut refusal = self.chaos.clone();
        tokio::select! {
            biased;
            _ = refusal.wait_for(|chaos| *chaos == Chaos::Refuse) => {}
            _ = self.cuts.changed() => {}
            () = forward(client, server, &self.chaos) => {}
        }
    }
}

async fn forward(client: TcpStream, server: SocketAddr, chaos: &watch::Receiver<Chaos>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    // Without this, small frames would be delayed by the proxy itself.
    let _unsupported = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(
        copy(from_client, to_server, chaos.clone(), Way::Up),
        copy(from_server, to_client, chaos.clone(), Way::Down),
    );
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// Copies one direction until either end closes.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut chaos: watch::Receiver<Chaos>,
    way: Way,
) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let Some(bytes) = buffer.get(..length) else {
            return;
        };
        if pass(bytes, &mut to, &mut chaos, way).await.is_err() {
            return;
        }
    }
    // The other end learns of the close as it would without the proxy.
    let _closed_already = to.shutdown().await;
}

async fn pass(
    bytes: &[u8],
    to: &mut OwnedWriteHalf,
    chaos: &mut watch::Receiver<Chaos>,
    way: Way,
) -> std::io::Result<()> {
    let now = *chaos.borrow_and_update();
    match now {
        Chaos::BlackHole => Ok(()),
        Chaos::SwallowAnswers if way == Way::Down => Ok(()),
        Chaos::Latency { ms } => {
            wait(ms, chaos).await;
            to.write_all(bytes).await
        }
        Chaos::Drip { every_ms } if way == Way::Down => {
            for byte in bytes {
                wait(every_ms, chaos).await;
                to.write_all(std::slice::from_ref(byte)).await?;
            }
            Ok(())
        }
        Chaos::Calm | Chaos::Refuse | Chaos::SwallowAnswers | Chaos::Drip { .. } => {
            to.write_all(bytes).await
        }
    }
}

/// Waits, but no longer than the behaviour lasts.
async fn wait(ms: u64, chaos: &mut watch::Receiver<Chaos>) {
    let _changed_or_late = tokio::time::timeout(Duration::from_millis(ms), chaos.changed()).await;
}
