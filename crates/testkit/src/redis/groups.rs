//! Servers that belong together: a primary with replicas under a sentinel, and a cluster.

use anyhow::{Context as _, Result, bail};

use super::{PASSWORD, RedisProcess, free_port};

/// The name of the primary at the sentinel.
const PRIMARY_NAME: &str = "plinth";
/// After how long without an answer a server counts as gone, in milliseconds.
const DOWN_AFTER_MS: u32 = 1_000;
/// Slots of a cluster.
const SLOTS: usize = 16_384;
/// How far above its port a node of a cluster listens for the others.
const BUS_ABOVE: u16 = 10_000;

/// A primary, its replicas, and one sentinel that decides alone.
pub struct RedisSentinels {
    /// The servers; the first begins as primary.
    pub servers: Vec<RedisProcess>,
    /// The sentinel.
    pub sentinel: RedisProcess,
}

impl RedisSentinels {
    /// Starts a primary with so many replicas, and waits until the sentinel knows them all.
    pub async fn start(replicas: usize) -> Result<Self> {
        let primary = RedisProcess::start("").await?;
        let follow = format!("replicaof 127.0.0.1 {}", primary.port());
        let watch = format!(
            "sentinel monitor {PRIMARY_NAME} 127.0.0.1 {} 1\n\
             sentinel auth-user {PRIMARY_NAME} plinth\nsentinel auth-pass {PRIMARY_NAME} {PASSWORD}\n\
             sentinel down-after-milliseconds {PRIMARY_NAME} {DOWN_AFTER_MS}\n\
             sentinel failover-timeout {PRIMARY_NAME} 5000\n",
            primary.port()
        );
        let mut servers = vec![primary];
        for _ in 0..replicas {
            let replica = RedisProcess::start(&follow).await?;
            let linked = |text: &str| text.contains("master_link_status:up");
            replica.ask_until(&["INFO", "replication"], linked).await?;
            servers.push(replica);
        }
        let sentinel = RedisProcess::start_as(free_port()?, &watch, &["--sentinel"]).await?;
        let known = format!("num-slaves\n{replicas}\n");
        sentinel
            .ask_until(&["SENTINEL", "MASTER", PRIMARY_NAME], |text| {
                text.contains(&known)
            })
            .await?;
        Ok(Self { servers, sentinel })
    }

    /// The URL by which the primary is found.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "redis+sentinel://plinth:{PASSWORD}@{}/{PRIMARY_NAME}",
            self.sentinel.address()
        )
    }

    /// The place in `servers` of the primary of now, as the sentinel tells it.
    pub async fn primary(&self) -> Result<usize> {
        let answer = self
            .sentinel
            .ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY_NAME])
            .await?;
        let port = answer
            .lines()
            .nth(1)
            .context("the sentinel names no port")?;
        let found = self
            .servers
            .iter()
            .position(|server| server.port().to_string() == port);
        found.context("the primary is none of ours")
    }

    /// Makes a replica the primary, and waits until the sentinel tells so. Returns its place in `servers`.
    pub async fn fail_over(&self) -> Result<usize> {
        let before = self.primary().await?;
        // A sentinel that has just seen another failover, or whose replica has just come, takes the order a little later.
        let order = ["SENTINEL", "FAILOVER", PRIMARY_NAME];
        self.sentinel.ask_until(&order, |text| text == "OK").await?;
        self.wait_for_another_than(before).await
    }

    /// Waits until the primary is another one. Returns its place in `servers`.
    pub async fn wait_for_another_than(&self, before: usize) -> Result<usize> {
        let server = self.servers.get(before).context("no such server")?;
        let port = server.port().to_string();
        let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY_NAME];
        self.sentinel
            .ask_until(&question, |text| text.lines().nth(1) != Some(&port))
            .await?;
        let now = self.primary().await?;
        let server = self.servers.get(now).context("no such server")?;
        let promoted = |text: &str| text.starts_with("master");
        server.ask_until(&["ROLE"], promoted).await?;
        Ok(now)
    }
}

/// A cluster whose primaries share the slots evenly, in the order of `servers`; replicas follow after them.
pub struct RedisCluster {
    /// The nodes.
    pub servers: Vec<RedisProcess>,
}

impl RedisCluster {
    /// Starts primaries and, for the first of them, a replica each, and waits until all agree.
    pub async fn start(primaries: usize, replicas: usize) -> Result<Self> {
        let mut servers = Vec::new();
        for _ in 0..primaries + replicas {
            let settings = "cluster-enabled yes\ncluster-node-timeout 2000";
            servers.push(RedisProcess::start_as(free_pair()?, settings, &[]).await?);
        }
        let cluster = Self { servers };
        cluster.meet(primaries).await?;
        for (replica, primary) in cluster.servers.iter().skip(primaries).zip(&cluster.servers) {
            let id = primary.ask(&["CLUSTER", "MYID"]).await?;
            let order = ["CLUSTER", "REPLICATE", &id];
            replica.ask_until(&order, |text| text == "OK").await?;
            let linked = |text: &str| text.contains("master_link_status:up");
            replica.ask_until(&["INFO", "replication"], linked).await?;
        }
        // A replica is known to all only when its role has gone round.
        for server in &cluster.servers {
            let known = |text: &str| {
                text.matches(" slave ").count() + text.matches("myself,slave").count() == replicas
            };
            server.ask_until(&["CLUSTER", "NODES"], known).await?;
        }
        Ok(cluster)
    }

    async fn meet(&self, primaries: usize) -> Result<()> {
        let first = self.servers.first().context("a cluster has nodes")?;
        for (index, server) in self.servers.iter().enumerate() {
            if index < primaries {
                let from = (SLOTS * index / primaries).to_string();
                let to = (SLOTS * (index + 1) / primaries - 1).to_string();
                server
                    .ask(&["CLUSTER", "ADDSLOTSRANGE", &from, &to])
                    .await?;
            }
            let epoch = (index + 1).to_string();
            server.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await?;
            if index > 0 {
                let port = server.port().to_string();
                first.ask(&["CLUSTER", "MEET", "127.0.0.1", &port]).await?;
            }
        }
        for server in &self.servers {
            let agreed = |text: &str| text.contains("cluster_state:ok");
            server.ask_until(&["CLUSTER", "INFO"], agreed).await?;
        }
        Ok(())
    }

    /// The URL by which the cluster is found.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self
            .servers
            .iter()
            .map(|server| server.address().to_string())
            .collect();
        format!("redis+cluster://plinth:{PASSWORD}@{}", addresses.join(","))
    }

    /// Makes a replica take its primary's place, and waits until it has.
    pub async fn fail_over(&self, replica: usize) -> Result<()> {
        let server = self.servers.get(replica).context("no such server")?;
        server
            .ask_until(&["CLUSTER", "FAILOVER"], |text| text == "OK")
            .await?;
        let promoted = |text: &str| text.starts_with("master");
        server.ask_until(&["ROLE"], promoted).await?;
        Ok(())
    }
}

/// A free port whose port for the other nodes is free too.
fn free_pair() -> Result<u16> {
    const TRIES_MAX: u32 = 200;
    for _ in 0..TRIES_MAX {
        // The free one is for the other nodes; what lies below it is nobody's either.
        let port = free_port()?.saturating_sub(BUS_ABOVE);
        if port > 1_024 && std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no two free ports {BUS_ABOVE} apart")
}
