//! The Plinth that the flow runs on: one that is there, or one of its own that it may kill.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use plinth_client::ClientSettings;
use plinth_testkit::process::{Announcement, Server, ServerOptions};

use crate::arguments::{Arguments, TransportName};

/// Where a Plinth that stays up listens: the places that its documents name.
const STAY_ADDRESSES: (&str, &str) = ("127.0.0.1:7400", "127.0.0.1:7401");
/// How often the progress of the flow is looked at before the kill.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The Plinth of this run.
pub(crate) enum Stage {
    /// It was there before.
    Given,
    /// It belongs to this run.
    Own(Box<Own>),
}

/// A Plinth that belongs to this run.
pub(crate) struct Own {
    program: PathBuf,
    options: ServerOptions,
    key: String,
    announcement: Announcement,
    server: Option<Server>,
    /// Removed at the end of the run.
    _temporary: Option<tempfile::TempDir>,
}

impl Stage {
    /// Starts a Plinth where one is to be started.
    pub(crate) async fn set(arguments: &Arguments) -> Result<Self> {
        let Some(program) = &arguments.plinth else {
            return Ok(Self::Given);
        };
        let (directory, temporary) = match &arguments.data_dir {
            Some(directory) => (directory.clone(), None),
            None => {
                let temporary = tempfile::tempdir()?;
                (temporary.path().join("plinth-data"), Some(temporary))
            }
        };
        let addresses = arguments.stay.then(|| {
            let (http, thrift) = STAY_ADDRESSES;
            (http.to_owned(), thrift.to_owned())
        });
        let mut settings = vec![("PLINTH__LOG__FILTER", "warn".to_owned())];
        if let Some(url) = &arguments.redis {
            settings.extend([
                ("PLINTH__CACHE__BACKEND", "redis".to_owned()),
                ("PLINTH__LOCK__BACKEND", "redis".to_owned()),
                ("PLINTH__REDIS__URL", url.clone()),
            ]);
        }
        let named = |(name, value): (&str, String)| (name.to_owned(), value);
        let mut options = ServerOptions {
            data_dir: Some(directory),
            addresses,
            settings: settings.into_iter().map(named).collect(),
        };
        let server = Server::start(program, &options).await?;
        let announcement = server.announcement().clone();
        let key = server
            .first_key()
            .context("name an empty --data-dir")?
            .to_owned();
        // After the kill it must be found where it was.
        options.addresses = Some((announcement.http.clone(), announcement.thrift.clone()));
        Ok(Self::Own(Box::new(Own {
            program: program.clone(),
            options,
            key,
            announcement,
            server: Some(server),
            _temporary: temporary,
        })))
    }

    /// How the service reaches it.
    pub(crate) fn settings(&self, arguments: &Arguments) -> Result<ClientSettings> {
        let (address, key) = match self {
            Self::Given => (
                arguments.server.clone().context("--server is missing")?,
                arguments.key.clone().context("--key is missing")?,
            ),
            Self::Own(own) => {
                let told = &own.announcement;
                let address = match arguments.transport {
                    TransportName::Thrift => &told.thrift,
                    TransportName::Http => &told.http,
                };
                (address.clone(), own.key.clone())
            }
        };
        Ok(match arguments.transport {
            TransportName::Thrift => ClientSettings::thrift(address, key),
            TransportName::Http => ClientSettings::http(address, key),
        })
    }

    /// Kills Plinth when half of the applications are through, and starts it again on the same files and addresses. Says
    /// whether it did.
    pub(crate) async fn disturb(
        &mut self,
        arguments: &Arguments,
        applications: usize,
        finished: &Arc<AtomicU64>,
    ) -> Result<bool> {
        let Self::Own(own) = self else {
            return Ok(false);
        };
        if !arguments.kill_plinth {
            return Ok(false);
        }
        let half = u64::try_from(applications / 2)?;
        while finished.load(Ordering::Acquire) < half {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        own.server
            .take()
            .context("Plinth is not running")?
            .kill()
            .await?;
        own.server = Some(Server::start(&own.program, &own.options).await?);
        Ok(true)
    }

    /// Stays up where asked to, then ends the Plinth of this run.
    pub(crate) async fn leave(&mut self, arguments: &Arguments) -> Result<()> {
        let Self::Own(own) = self else {
            return Ok(());
        };
        let Some(server) = own.server.take() else {
            bail!("Plinth is not running");
        };
        if arguments.stay {
            println!("\nlook around, then press Ctrl-C:");
            println!("  docs     {}/docs", own.announcement.http);
            println!("  http     {}", own.announcement.http);
            println!("  thrift   {}", own.announcement.thrift);
            println!("  key      {}", own.key);
            println!(
                "  try      PLINTH_KEY={} {} queue list",
                own.key,
                own.program.display()
            );
            tokio::signal::ctrl_c().await?;
        }
        server.stop().await
    }
}
