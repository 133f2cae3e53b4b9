//! One table of scenarios for both transports: each runs over HTTP and over Thrift, and both must tell the same.

mod access;
mod audit;
mod cache;
mod db;
mod lock;
mod monitor;
mod queue;

use anyhow::{Context as _, Result, ensure};
use futures::future::BoxFuture;
use plinth_client::{Client, ClientError};
use serde::Serialize;
use serde_json::{Value, json};

/// What a scenario works with.
pub struct Rig {
    /// A client of one transport, with the role `owner`.
    pub client: Client,
    /// The transport's name, to keep names of the two runs apart: `http`, `thrift`.
    pub transport: &'static str,
    /// Where the server listens for HTTP and Thrift, for scenarios that need a client with another key.
    pub addresses: (String, String),
}

impl Rig {
    /// A name that the other run does not use.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        format!("{name}.{}", self.transport)
    }

    /// A client of the same transport with another key.
    pub fn client_with(&self, key: &str) -> Result<Client> {
        use plinth_client::ClientSettings;
        let settings = match self.transport {
            "thrift" => ClientSettings::thrift(self.addresses.1.clone(), key),
            _ => ClientSettings::http(self.addresses.0.clone(), key),
        };
        Ok(Client::connect(settings)?)
    }
}

/// What a scenario saw, without times, ids and names of the transport.
#[derive(Debug, Default)]
pub struct Log(Vec<Value>);

impl Log {
    /// Notes a fact.
    pub fn note(&mut self, fact: impl Serialize) {
        // What a scenario notes is made of text and numbers; a fact that cannot be written shows as null and differs.
        self.0.push(serde_json::to_value(fact).unwrap_or_default());
    }

    /// Notes how a call ended: the fact made of its answer, or its refusal.
    pub fn outcome<T, F: Serialize>(
        &mut self,
        outcome: Result<T, ClientError>,
        fact: impl FnOnce(T) -> F,
    ) {
        match outcome {
            Ok(answer) => self.note(fact(answer)),
            Err(error) => self.refusal(&error),
        }
    }

    /// Notes a refusal: its number, what is known of the effect, and the fields.
    pub fn refusal(&mut self, error: &ClientError) {
        let fields: Vec<&str> = error
            .violations
            .iter()
            .map(|violation| violation.field.as_str())
            .collect();
        self.0.push(json!({
            "code": error.code, "reason": error.reason, "outcome": error.outcome,
            "retriable": error.retriable, "fields": fields,
        }));
    }
}

/// A refusal as [`Log::refusal`] notes it, for expectations.
#[must_use]
pub fn refused(code: u16, reason: &str, fields: &[&str]) -> Value {
    json!({ "code": code, "reason": reason, "outcome": "not_applied", "retriable": false, "fields": fields })
}

/// What a scenario does.
pub type Run = for<'run> fn(&'run Rig, &'run mut Log) -> BoxFuture<'run, Result<()>>;

/// One row of the table.
pub struct Scenario {
    /// Its name, the block first: `cache: a set is read back`.
    pub name: &'static str,
    /// What it does.
    pub run: Run,
    /// What it must see.
    pub expect: fn() -> Value,
}

/// The whole table.
#[must_use]
pub fn all() -> Vec<Scenario> {
    [
        cache::scenarios(),
        queue::scenarios(),
        monitor::scenarios(),
        audit::scenarios(),
        db::scenarios(),
        lock::scenarios(),
        access::scenarios(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Runs a scenario over one transport and compares what it saw with what it must see.
pub async fn check(scenario: &Scenario, rig: &Rig) -> Result<()> {
    let mut log = Log::default();
    (scenario.run)(rig, &mut log)
        .await
        .with_context(|| format!("{} over {}", scenario.name, rig.transport))?;
    let (seen, expected) = (Value::Array(log.0), (scenario.expect)());
    ensure!(
        seen == expected,
        "{} over {}\n  expected {expected:#}\n  saw      {seen:#}",
        scenario.name,
        rig.transport
    );
    Ok(())
}
