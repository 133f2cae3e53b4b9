//! Private Redis servers: one alone (plain and TLS), one primary with two replicas under three sentinels, and a cluster of
//! three primaries.
//!
//! The processes of a group belong together: where one is missing, the rest is ended and the group begins anew, empty. The
//! user `plinth` may do everything, the user `default` is off.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::host::{self, Place, output_of};
use super::papers::Papers;
use super::state::{Running, State};

/// The program; Debian's package also brings its sentinel mode.
const SERVER: &str = "/usr/bin/redis-server";
/// The client that asks whether a server answers.
const CLIENT: &str = "/usr/bin/redis-cli";
/// The Debian package that brings both.
const PACKAGE: &str = "redis-server";
/// The user that the package runs as.
const USER: &str = "redis";
/// The name of the primary at the sentinels.
const PRIMARY_NAME: &str = "plinth";
/// How many sentinels must agree that the primary is gone.
const QUORUM: u32 = 2;
/// After how long without an answer a server counts as gone, in milliseconds; a busy test machine is slow.
const DOWN_AFTER_MS: u32 = 5_000;
/// Slots of a cluster.
const SLOTS: u32 = 16_384;
/// How long a cluster may take to agree, in looks of 100 ms.
const LOOKS_MAX: u32 = 300;

/// The port beside the plain one on which the single server speaks TLS, under a name of its own in the record.
const TLS_NAME: &str = "redis-tls";

/// Servers that are started and ended together, in this order.
struct Group {
    members: &'static [&'static str],
    role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Single,
    Replicated,
    Cluster,
}

const GROUPS: [Group; 3] = [
    Group {
        members: &["redis"],
        role: Role::Single,
    },
    Group {
        members: &[
            "redis-primary",
            "redis-replica-1",
            "redis-replica-2",
            "redis-sentinel-1",
            "redis-sentinel-2",
            "redis-sentinel-3",
        ],
        role: Role::Replicated,
    },
    Group {
        members: &["redis-cluster-1", "redis-cluster-2", "redis-cluster-3"],
        role: Role::Cluster,
    },
];

/// The package, where it is missing.
pub(super) fn missing_package() -> Option<&'static str> {
    let installed = [SERVER, CLIENT].iter().all(|path| Path::new(path).exists());
    (!installed).then_some(PACKAGE)
}

/// Starts every group that does not run whole.
pub(super) fn up(state: &mut State) -> Result<()> {
    GROUPS.iter().try_for_each(|group| group.up(state))
}

/// The URL of the server that stands alone, which is started where it does not run.
pub(super) fn single_url(state: &mut State) -> Result<String> {
    let single = GROUPS.iter().find(|group| group.role == Role::Single);
    let single = single.context("no Redis stands alone")?;
    single.up(state)?;
    let name = single.members.first().context("it has no server")?;
    let running = state.running(name).context("it does not run")?;
    let password = state.password()?;
    Ok(single_at(&password, running.port))
}

fn single_at(password: &str, port: u16) -> String {
    format!("redis://plinth:{password}@127.0.0.1:{port}")
}

/// Ends every group.
pub(super) fn down(state: &mut State) -> Result<()> {
    GROUPS.iter().try_for_each(|group| group.end(state))
}

/// Says what runs and where.
pub(super) fn status(state: &State) {
    for name in GROUPS.iter().flat_map(|group| group.members) {
        match state.running(name) {
            Some(running) => println!(
                "{name}: runs on 127.0.0.1:{}, process {}",
                running.port, running.pid
            ),
            None => println!("{name}: does not run"),
        }
    }
}

/// Appends the variables by which tests find the groups that run.
pub(super) fn environment(state: &State, text: &mut String) {
    let Ok(password) = state.password() else {
        return;
    };
    let mut export = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "export {name}='{value}'");
    };
    for group in GROUPS.iter().filter(|group| group.runs(state)) {
        let addresses = |prefix: &str| -> String {
            let ports: Vec<_> = group
                .members
                .iter()
                .filter(|name| name.starts_with(prefix))
                .filter_map(|name| state.running(name))
                .map(|running| format!("127.0.0.1:{}", running.port))
                .collect();
            ports.join(",")
        };
        match group.role {
            Role::Single => {
                let named = group.members.iter().find_map(|name| state.running(name));
                if let Some(plain) = named {
                    export("PLINTH_TEST_REDIS_URL", single_at(&password, plain.port));
                }
                if let Some(tls) = state.running(TLS_NAME) {
                    export(
                        "PLINTH_TEST_REDIS_TLS_URL",
                        format!("rediss://plinth:{password}@127.0.0.1:{}", tls.port),
                    );
                    let authority = state.home().join("papers/ca.pem");
                    export("PLINTH_TEST_REDIS_CA", authority.display().to_string());
                }
            }
            Role::Replicated => export(
                "PLINTH_TEST_REDIS_SENTINEL_URL",
                format!(
                    "redis+sentinel://plinth:{password}@{}/{PRIMARY_NAME}",
                    addresses("redis-sentinel")
                ),
            ),
            Role::Cluster => export(
                "PLINTH_TEST_REDIS_CLUSTER_URL",
                format!("redis+cluster://plinth:{password}@{}", addresses("redis")),
            ),
        }
    }
}

impl Group {
    fn runs(&self, state: &State) -> bool {
        self.members
            .iter()
            .all(|name| state.running(name).is_some())
    }

    fn up(&self, state: &mut State) -> Result<()> {
        if self.runs(state) {
            println!("{}: already runs", self.members.join(", "));
            return Ok(());
        }
        self.end(state)?;
        let papers = Papers::issue(&state.home().join("papers"))?;
        for (index, name) in self.members.iter().enumerate() {
            self.start(index, name, state, &papers)?;
            state.save()?;
        }
        if self.role == Role::Cluster {
            join(state, self.members)?;
        }
        Ok(())
    }

    fn end(&self, state: &mut State) -> Result<()> {
        // The sentinels first, so that none of them sees a primary die.
        for name in self.members.iter().rev() {
            if let Some(running) = state.running(name) {
                host::end(running.pid, running.started_ticks, "TERM")
                    .with_context(|| format!("ending {name}"))?;
                println!("{name}: ended");
            }
            state.stopped(name);
        }
        if self.role == Role::Single {
            state.stopped(TLS_NAME);
        }
        state.save()
    }

    fn start(&self, index: usize, name: &str, state: &mut State, papers: &Papers) -> Result<()> {
        let place = state.place(name, USER)?;
        let password = state.password()?;
        let port = port(state, name, self.role)?;
        let mut settings = common(&place, port, &password);
        let is_sentinel = name.starts_with("redis-sentinel");
        let mut tls_port = None;
        clear(&place.data)?;
        match self.role {
            Role::Single => {
                let port = host::free_port(state.last_port(TLS_NAME))?;
                papers.copy_to(&place)?;
                settings += &tls(&place, port);
                tls_port = Some(port);
            }
            Role::Replicated if is_sentinel => settings += &watching(primary(state)?, &password),
            Role::Replicated if index > 0 => {
                settings += &format!("replicaof 127.0.0.1 {}\n", primary(state)?);
            }
            Role::Replicated => {}
            Role::Cluster => settings += "cluster-enabled yes\ncluster-node-timeout 5000\n",
        }
        let file = place.data.join("redis.conf");
        host::write_for(&place, &file, settings.as_bytes())?;
        let mut command = place.command(SERVER);
        command.arg(&file);
        if is_sentinel {
            command.arg("--sentinel");
        }
        let child = host::spawn(command, &place)?;
        let started = host::wait_until(child, &place, || {
            ask(&place, port, &password, &["PING"]).is_ok_and(|answer| answer == "PONG")
        })
        .with_context(|| format!("starting {name}; see {}", place.log.display()))?;
        let running = |port| Running {
            pid: started.pid,
            started_ticks: started.ticks,
            port,
        };
        state.remember(name, running(port));
        if let Some(port) = tls_port {
            state.remember(TLS_NAME, running(port));
        }
        println!(
            "{name}: started on 127.0.0.1:{port}, process {}",
            started.pid
        );
        Ok(())
    }
}

/// What every server has: loopback only, the user `plinth` only, nothing on disk.
fn common(place: &Place, port: u16, password: &str) -> String {
    format!(
        "bind 127.0.0.1\nport {port}\ndir {}\ndaemonize no\nsave \"\"\nappendonly no\n\
         user default off\nuser plinth on >{password} ~* &* +@all\n\
         masteruser plinth\nmasterauth {password}\nrepl-diskless-sync-delay 0\n",
        place.data.display()
    )
}

fn tls(place: &Place, port: u16) -> String {
    let data = place.data.display();
    format!(
        "tls-port {port}\ntls-cert-file {data}/server.pem\ntls-key-file {data}/server.key\n\
         tls-ca-cert-file {data}/ca.pem\ntls-auth-clients no\n"
    )
}

fn watching(primary: u16, password: &str) -> String {
    format!(
        "sentinel monitor {PRIMARY_NAME} 127.0.0.1 {primary} {QUORUM}\n\
         sentinel auth-user {PRIMARY_NAME} plinth\nsentinel auth-pass {PRIMARY_NAME} {password}\n\
         sentinel down-after-milliseconds {PRIMARY_NAME} {DOWN_AFTER_MS}\n\
         sentinel sentinel-user plinth\nsentinel sentinel-pass {password}\n"
    )
}

fn primary(state: &State) -> Result<u16> {
    let running = state.running("redis-primary");
    Ok(running.context("the primary does not run")?.port)
}

/// A free port, the last one where it may be. A node of a cluster also listens on the port 10,000 above.
fn port(state: &State, name: &str, role: Role) -> Result<u16> {
    const BUS_ABOVE: u16 = 10_000;
    const TRIES_MAX: u32 = 200;
    let last = state.last_port(name);
    if role != Role::Cluster {
        return host::free_port(last);
    }
    let is_free = |port: u16| Ok::<_, anyhow::Error>(host::free_port(Some(port))? == port);
    if let Some(port) = last
        && is_free(port)?
        && is_free(port.saturating_add(BUS_ABOVE))?
    {
        return Ok(port);
    }
    for _ in 0..TRIES_MAX {
        // The machine hands out ports of the upper half, so there is room below.
        let port = host::free_port(None)?.saturating_sub(BUS_ABOVE);
        if port > 1_024 && is_free(port)? {
            return Ok(port);
        }
    }
    bail!("no two free ports 10,000 apart")
}

/// Removes what an earlier start left: a group begins empty, and a node of a cluster forgets the others.
fn clear(data: &Path) -> Result<()> {
    for entry in fs::read_dir(data)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// Gives each node a share of the slots and lets them meet.
fn join(state: &State, members: &[&str]) -> Result<()> {
    let password = state.password()?;
    let mut nodes = Vec::new();
    for name in members {
        let running = state.running(name).context("a node does not run")?;
        nodes.push((state.place(name, USER)?, running.port));
    }
    let count = u32::try_from(nodes.len())?;
    let Some((first_place, first_port)) = nodes.first() else {
        bail!("a cluster has nodes");
    };
    for (index, (place, port)) in (0_u32..).zip(&nodes) {
        let first = SLOTS * index / count;
        let last = SLOTS * (index + 1) / count - 1;
        let range = [first.to_string(), last.to_string()];
        ask(
            place,
            *port,
            &password,
            &["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]],
        )?;
        let epoch = (index + 1).to_string();
        ask(
            place,
            *port,
            &password,
            &["CLUSTER", "SET-CONFIG-EPOCH", &epoch],
        )?;
        if index == 0 {
            continue;
        }
        let port = port.to_string();
        ask(
            first_place,
            *first_port,
            &password,
            &["CLUSTER", "MEET", "127.0.0.1", &port],
        )?;
    }
    for _ in 0..LOOKS_MAX {
        let mut agreed = true;
        for (place, port) in &nodes {
            agreed &=
                ask(place, *port, &password, &["CLUSTER", "INFO"])?.contains("cluster_state:ok");
        }
        if agreed {
            return Ok(());
        }
        host::pause();
    }
    bail!("the cluster does not come together")
}

fn ask(place: &Place, port: u16, password: &str, words: &[&str]) -> Result<String> {
    output_of(
        place
            .command(CLIENT)
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "--user",
                "plinth",
                "-e",
            ])
            .args(words)
            .env("REDISCLI_AUTH", password),
    )
}
