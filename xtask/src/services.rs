//! `cargo xtask services`: a private PostgreSQL, a private MariaDB and private Redis servers for the tests.
//!
//! All listen on free loopback ports with a password of their own, keep their data below `target/services` (or, where
//! their users may not go there, in a private folder under `/var/tmp` that is remembered), and are ended by the process
//! ids that were remembered when they were started, never by name. PostgreSQL and MariaDB speak
//! plain and TLS; see [`tls`].

mod host;
mod mariadb;
mod papers;
mod postgres;
mod redis;
mod state;
mod tls;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Subcommand;

use host::Place;
use state::{Running, State};

/// What to do with the services.
#[derive(Clone, Copy, Subcommand)]
pub(crate) enum ServicesCommand {
    /// Installs what is missing, starts what is not running, and waits until all answer.
    Up,
    /// Ends all; the data of the databases stay.
    Down,
    /// Says what runs and where.
    Status,
    /// Prints the variables by which the tests find them.
    Env,
}

/// One product: how it is found, set up, started and asked.
trait Product {
    /// Its name, and that of its folders and log.
    fn name(&self) -> &'static str;
    /// The Debian package that brings it.
    fn package(&self) -> &'static str;
    /// The user that it runs as where this tool runs as root.
    fn user(&self) -> &'static str;
    /// The variable by which tests find it.
    fn variable(&self) -> &'static str;
    /// Whether its programs are there.
    fn is_installed(&self) -> bool;
    /// Creates its data once; does nothing where they exist.
    fn initialize(&self, place: &Place, password: &str) -> Result<()>;
    /// The command that runs it in the foreground.
    fn command(&self, place: &Place, port: u16, password: &str) -> Result<std::process::Command>;
    /// Whether it answers queries.
    fn answers(&self, place: &Place, port: u16, password: &str) -> bool;
    /// What is left to do once it answers; by default nothing.
    fn complete(&self, _place: &Place, _port: u16, _password: &str) -> Result<()> {
        Ok(())
    }
    /// The signal that ends it in good order.
    fn end_signal(&self) -> &'static str;
    /// The URL for the tests.
    fn url(&self, port: u16, password: &str) -> String;
}

const PRODUCTS: [&dyn Product; 2] = [&postgres::Postgres, &mariadb::MariaDb];

/// Runs one of the commands.
pub(crate) fn run(command: ServicesCommand) -> Result<()> {
    let folder = folder();
    let _lock = locked(&folder)?;
    let mut state = State::load(&folder)?;
    match command {
        ServicesCommand::Up => up(&mut state)?,
        ServicesCommand::Down => down(&mut state)?,
        ServicesCommand::Status => status(&state),
        ServicesCommand::Env => print!("{}", environment(&state)),
    }
    Ok(())
}

/// The URL of the single Redis, which is started where it does not run.
pub(crate) fn redis_url() -> Result<String> {
    let folder = folder();
    let _lock = locked(&folder)?;
    let mut state = State::load(&folder)?;
    let missing: Vec<_> = redis::missing_package().into_iter().collect();
    host::install(&missing)?;
    state.settle_places()?;
    redis::single_url(&mut state)
}

/// One at a time: two `up` at once would start everything twice.
fn locked(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock()
        .context("waiting for another `cargo xtask services`")?;
    Ok(lock)
}

/// `target/services`.
fn folder() -> PathBuf {
    crate::workspace::root().join("target/services")
}

fn up(state: &mut State) -> Result<()> {
    let missing: Vec<_> = PRODUCTS
        .iter()
        .filter(|product| !product.is_installed())
        .map(|product| product.package())
        .chain(redis::missing_package())
        .collect();
    host::install(&missing)?;
    state.settle_places()?;
    for product in PRODUCTS {
        if state.running(product.name()).is_some() {
            println!("{}: already runs", product.name());
            continue;
        }
        start(product, state)?;
        state.save()?;
    }
    redis::up(state)?;
    let path = folder().join("env");
    host::write_private(&path, environment(state).as_bytes())
        .with_context(|| format!("writing {}", path.display()))?;
    status(state);
    println!("variables for the tests: . {}", path.display());
    Ok(())
}

fn start(product: &dyn Product, state: &mut State) -> Result<()> {
    let name = product.name();
    let place = state.place(name, product.user())?;
    let password = state.password()?;
    product
        .initialize(&place, &password)
        .with_context(|| format!("creating the data of {name}"))?;
    let port = host::free_port(state.last_port(name))?;
    let command = product.command(&place, port, &password)?;
    let child = host::spawn(command, &place)?;
    let started = host::wait_until(child, &place, || product.answers(&place, port, &password))
        .with_context(|| format!("starting {name}; see {}", place.log.display()))?;
    state.remember(
        name,
        Running {
            pid: started.pid,
            started_ticks: started.ticks,
            port,
        },
    );
    product.complete(&place, port, &password)?;
    println!(
        "{name}: started on 127.0.0.1:{port}, process {}",
        started.pid
    );
    Ok(())
}

fn down(state: &mut State) -> Result<()> {
    for product in PRODUCTS {
        let name = product.name();
        match state.running(name) {
            Some(running) => {
                host::end(running.pid, running.started_ticks, product.end_signal())
                    .with_context(|| format!("ending {name}"))?;
                println!("{name}: ended");
            }
            None => println!("{name}: does not run"),
        }
        state.stopped(name);
    }
    redis::down(state)?;
    let path = folder().join("env");
    if path.exists() {
        fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    state.save()
}

fn status(state: &State) {
    for product in PRODUCTS {
        let name = product.name();
        match state.running(name) {
            Some(running) => println!(
                "{name}: runs on 127.0.0.1:{}, process {}, data in {}",
                running.port,
                running.pid,
                state.home().join(name).display()
            ),
            None => println!("{name}: does not run"),
        }
    }
    redis::status(state);
}

/// One `export` line for each service that runs.
fn environment(state: &State) -> String {
    let mut text = String::new();
    for product in PRODUCTS {
        if let (Some(running), Ok(password)) = (state.running(product.name()), state.password()) {
            // Writing to a String cannot fail.
            let _infallible = writeln!(
                text,
                "export {}='{}'",
                product.variable(),
                product.url(running.port, &password)
            );
        }
    }
    redis::environment(state, &mut text);
    text.push_str(&tls::environment());
    text
}
