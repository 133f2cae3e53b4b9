//! A TCP proxy that loses one answer: it hands a chosen request to the server, waits for the answer, and cuts the connection
//! instead of passing it on. It reads requests as bytes, so they must not be encrypted.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// When the proxy cuts; see [`CutProxy::cut`].
#[derive(Clone, Copy)]
struct Cut {
    text: &'static str,
    requests_later: usize,
}

/// A way to a server that can be cut. It ends with the value, its connections included.
pub struct CutProxy {
    address: SocketAddr,
    cut: Arc<Mutex<Option<Cut>>>,
    task: JoinHandle<()>,
}

impl Drop for CutProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl CutProxy {
    /// Listens on a free loopback port in front of a server.
    pub async fn to(server: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let cut = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&cut);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let cut = Arc::clone(&shared);
                connections.spawn(async move { carry(client, server, &cut).await });
            }
        });
        Ok(Self { address, cut, task })
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts a connection at the request that follows, by so many, the next one that holds the text. The server still gets
    /// that request and answers it; the client never hears.
    pub fn cut(&self, text: &'static str, requests_later: usize) {
        *self.cut.lock() = Some(Cut {
            text,
            requests_later,
        });
    }
}

/// Carries bytes both ways until one side ends or the cut is reached.
async fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    cut: &Mutex<Option<Cut>>,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let (mut from_client, mut from_server) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            count = client.read(&mut from_client) => {
                let request = from_client.get(..count?).unwrap_or_default();
                server.write_all(request).await?;
                if request.is_empty() {
                    return Ok(());
                }
                if is_reached(cut, request) {
                    // The server has done its part when it answers.
                    let _answered = server.read(&mut from_server).await?;
                    return Ok(());
                }
            }
            count = server.read(&mut from_server) => {
                let reply = from_server.get(..count?).unwrap_or_default();
                if reply.is_empty() {
                    return Ok(());
                }
                client.write_all(reply).await?;
            }
        }
    }
}

fn is_reached(cut: &Mutex<Option<Cut>>, request: &[u8]) -> bool {
    let mut armed = cut.lock();
    let Some(Cut {
        text,
        requests_later,
    }) = *armed
    else {
        return false;
    };
    let holds = request
        .windows(text.len().max(1))
        .any(|window| window == text.as_bytes());
    // An empty text stands for "seen before".
    if !holds && !text.is_empty() {
        return false;
    }
    *armed = requests_later.checked_sub(1).map(|requests_later| Cut {
        text: "",
        requests_later,
    });
    armed.is_none()
}
