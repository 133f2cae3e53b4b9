//! An audit log and metrics that remember what they were told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use plinth_core::{AuditEvent, AuditOutcome, AuditSink, Error, ErrorCode, MetricSink, Result};

/// An audit log as lines: `begin access.create_key`, `complete access.create_key Succeeded`.
#[derive(Default)]
pub(crate) struct AuditLog {
    lines: Mutex<Vec<String>>,
    pub(crate) down: AtomicBool,
}

impl AuditLog {
    /// Takes the lines out.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock())
    }

    pub(crate) fn note(&self, line: impl Into<String>) {
        self.lines.lock().push(line.into());
    }

    fn write(&self, line: String) -> Result<()> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorCode::AuditLog, "disk full"));
        }
        self.note(line);
        Ok(())
    }
}

#[async_trait]
impl AuditSink for AuditLog {
    async fn begin(&self, event: &AuditEvent) -> Result<String> {
        self.write(format!("begin {}", event.operation))?;
        Ok(format!("intent of {}", event.operation))
    }

    async fn complete(
        &self,
        intent: &str,
        event: &AuditEvent,
        outcome: AuditOutcome,
    ) -> Result<()> {
        assert_eq!(intent, format!("intent of {}", event.operation));
        self.write(format!("complete {} {outcome:?}", event.operation))
    }

    async fn refused(&self, event: &AuditEvent, code: ErrorCode) -> Result<()> {
        self.write(format!("refused {} {}", event.operation, code.number()))
    }
}

/// Metrics as text: `name{label=value,…}` → count.
#[derive(Default)]
pub(crate) struct Metrics(Mutex<BTreeMap<String, u64>>);

impl Metrics {
    pub(crate) fn get(&self, series: &str) -> u64 {
        self.0.lock().get(series).copied().unwrap_or_default()
    }

    fn bump(&self, name: &str, labels: &[(&'static str, &str)], delta: u64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}={value}"))
            .collect();
        let series = format!("{name}{{{}}}", labels.join(","));
        *self.0.lock().entry(series).or_default() += delta;
    }
}

impl MetricSink for Metrics {
    fn add(&self, name: &'static str, labels: &[(&'static str, &str)], delta: u64) {
        self.bump(name, labels, delta);
    }

    fn observe(&self, name: &'static str, labels: &[(&'static str, &str)], _value: f64) {
        self.bump(name, labels, 1);
    }

    fn set(&self, name: &'static str, labels: &[(&'static str, &str)], _value: f64) {
        self.bump(name, labels, 1);
    }
}
