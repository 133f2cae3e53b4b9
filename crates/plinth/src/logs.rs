//! Logs: for people on a terminal, as JSON otherwise; the level of each module can change while running.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogSettings {
    /// Levels by module: `info`, `warn,plinth_queue=debug`. Read again on SIGHUP.
    pub(crate) filter: String,
    /// `auto`: for people on a terminal, JSON otherwise; `human`; `json`.
    pub(crate) format: LogFormat,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            filter: "info,sea_orm_migration=warn,sqlx=warn".to_owned(),
            format: LogFormat::Auto,
        }
    }
}

impl LogSettings {
    /// Checks the filter. Errors: it cannot be parsed.
    pub(crate) fn parse_filter(&self) -> Result<EnvFilter> {
        EnvFilter::try_new(&self.filter)
            .with_context(|| format!("log.filter: `{}` is no list of levels", self.filter))
    }
}

/// The log of the process; changes its levels while running.
pub(crate) struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Logs {
    /// Begins to log to standard error.
    ///
    /// Errors: the filter cannot be parsed, or the process logs already.
    pub(crate) fn start(settings: &LogSettings) -> Result<Self> {
        let (filter, handle) = reload::Layer::new(settings.parse_filter()?);
        let human = match settings.format {
            LogFormat::Auto => std::io::stderr().is_terminal(),
            LogFormat::Human => true,
            LogFormat::Json => false,
        };
        let registry = tracing_subscriber::registry().with(filter);
        if human {
            let colours = std::io::stderr().is_terminal();
            registry
                .with(fmt::layer().with_writer(std::io::stderr).with_ansi(colours))
                .try_init()
        } else {
            registry
                .with(
                    fmt::layer()
                        .json()
                        .flatten_event(true)
                        .with_writer(std::io::stderr),
                )
                .try_init()
        }
        .context("cannot start the log")?;
        Ok(Self { filter: handle })
    }

    /// Changes the levels. Errors: the filter cannot be parsed; the old one stays.
    pub(crate) fn change(&self, settings: &LogSettings) -> Result<()> {
        self.filter
            .reload(settings.parse_filter()?)
            .context("cannot change the levels of the log")
    }
}
