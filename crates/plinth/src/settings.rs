//! One tree of settings: a TOML file, then the environment (`PLINTH__SECTION__KEY`), checked whole before anything starts.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Subcommand;
use plinth_audit::AuditSettings;
use plinth_cache::CacheSettings;
use plinth_core::SecretUrl;
use plinth_database::{SQLITE_FILE_BYTES_DEFAULT, SQLITE_FILE_BYTES_MIN};
use plinth_gate::GateSettings;
use plinth_gate::access::AccessSettings;
use plinth_http::HttpSettings;
use plinth_lock::LockSettings;
use plinth_monitor::MonitorSettings;
use plinth_outbound::OutboundSettings;
use plinth_redis_link::RedisSettings;
use plinth_rpc::RpcSettings;
use plinth_security::tls::ServerTls;
use serde::{Deserialize, Serialize};

use crate::cli::Output;
use crate::logs::LogSettings;
use crate::traces::TraceSettings;

/// Where settings are read from when no file is named.
pub(crate) const FILE_DEFAULT: &str = "plinth.toml";
/// What names of environment variables begin with.
const ENVIRONMENT_PREFIX: &str = "PLINTH__";
/// Largest settings file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// How unlike an unknown key the known one may be that is suggested for it.
const SUGGESTION_DISTANCE_MAX: usize = 4;

/// Everything that can be set. What is left out has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Directory of all files that Plinth writes.
    pub(crate) data_dir: PathBuf,
    /// Where tenants, keys, roles and definitions are kept.
    pub(crate) control: ControlSettings,
    /// The HTTP edge.
    pub(crate) http: HttpSettings,
    /// The Thrift edge.
    pub(crate) thrift: RpcSettings,
    /// Credentials, limits and audit policy of every request.
    pub(crate) gate: GateSettings,
    /// How administration is handed out.
    pub(crate) access: AccessSettings,
    /// The cache.
    pub(crate) cache: CacheSettings,
    /// The metrics.
    pub(crate) monitor: MonitorSettings,
    /// The audit log.
    pub(crate) audit: AuditSettings,
    /// The databases.
    pub(crate) database: DatabaseFiles,
    /// The locks.
    pub(crate) lock: LockSettings,
    /// The Redis that blocks may stand on.
    pub(crate) redis: RedisSettings,
    /// Calls that leave the process: webhooks.
    pub(crate) outbound: OutboundSettings,
    /// The log of the process.
    pub(crate) log: LogSettings,
    /// Spans of requests.
    pub(crate) trace: TraceSettings,
    /// The end of the process.
    pub(crate) shutdown: ShutdownSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("plinth-data"),
            control: ControlSettings::default(),
            http: HttpSettings::default(),
            thrift: RpcSettings::default(),
            gate: GateSettings::default(),
            access: AccessSettings::default(),
            cache: CacheSettings::default(),
            monitor: MonitorSettings::default(),
            audit: AuditSettings::default(),
            database: DatabaseFiles::default(),
            lock: LockSettings::default(),
            redis: RedisSettings::default(),
            outbound: OutboundSettings::default(),
            log: LogSettings::default(),
            trace: TraceSettings::default(),
            shutdown: ShutdownSettings::default(),
        }
    }
}

/// Where the control plane is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ControlSettings {
    /// `postgres://…` or `mysql://…`, shared by all instances. Empty: a SQLite file in the data directory.
    pub(crate) url: SecretUrl,
}

/// Where SQLite databases that tenants register lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DatabaseFiles {
    /// The directory, with one below it for each tenant. Empty: `databases` in the data directory.
    pub(crate) sqlite_directory: PathBuf,
    /// Most bytes that one of these files may grow to; at least 1,048,576. A larger one is kept and does not grow.
    pub(crate) sqlite_file_bytes_max: u64,
}

impl Default for DatabaseFiles {
    fn default() -> Self {
        Self {
            sqlite_directory: PathBuf::new(),
            sqlite_file_bytes_max: SQLITE_FILE_BYTES_DEFAULT,
        }
    }
}

impl DatabaseFiles {
    fn validate(&self) -> Result<()> {
        if self.sqlite_file_bytes_max < SQLITE_FILE_BYTES_MIN {
            bail!(
                "database.sqlite_file_bytes_max: is {}, must be {SQLITE_FILE_BYTES_MIN} or more",
                self.sqlite_file_bytes_max
            );
        }
        Ok(())
    }
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ShutdownSettings {
    /// How long readiness is false before connections are refused, in milliseconds, so that balancers notice.
    pub(crate) notice_ms: u64,
    /// How long blocks may take to end their work and close their files, in milliseconds.
    pub(crate) close_timeout_ms: u64,
}

impl Default for ShutdownSettings {
    fn default() -> Self {
        Self {
            notice_ms: 0,
            close_timeout_ms: 20_000,
        }
    }
}

/// Which settings and which data directory a command works with.
#[derive(clap::Args)]
pub(crate) struct PlaceArguments {
    /// Settings file; without it plinth.toml, where there is one
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    /// Directory of all files that Plinth writes
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

impl PlaceArguments {
    /// The settings in force for the command. Errors: those of [`Settings::load`].
    pub(crate) fn load(&self) -> Result<Settings> {
        let mut settings = Settings::load(self.settings.as_deref())?;
        if let Some(data_dir) = &self.data_dir {
            settings.data_dir.clone_from(data_dir);
        }
        Ok(settings)
    }
}

/// The variables of the environment that are settings. Errors: one of them is not UTF-8.
fn environment() -> Result<Vec<(String, String)>> {
    std::env::vars_os()
        .filter(|(name, _)| name.to_string_lossy().starts_with(ENVIRONMENT_PREFIX))
        .map(|(name, value)| {
            let name = name.to_string_lossy().into_owned();
            match value.into_string() {
                Ok(value) => Ok((name, value)),
                Err(_) => bail!("{name}: is not UTF-8"),
            }
        })
        .collect()
}

impl Settings {
    /// Reads a file, where one is named or the default one exists, and the environment.
    ///
    /// Errors: the file cannot be read; a key is unknown (the nearest known one is named) or its value is wrong.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self> {
        let default = Path::new(FILE_DEFAULT);
        let file = file.or_else(|| default.is_file().then_some(default));
        let text = file.map(read).transpose()?.unwrap_or_default();
        let source = file.map_or_else(|| "settings".to_owned(), |file| file.display().to_string());
        Self::parse(&text, environment()?).with_context(|| source)
    }

    /// Parses the text of a file, changed by variables of the environment.
    pub(crate) fn parse(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        let mut tree: toml::Table = text.parse().context("is no TOML")?;
        for (name, value) in environment {
            override_with(&mut tree, &name, &value)?;
        }
        let settings: Self = serde_path_to_error::deserialize(toml::Value::Table(tree))
            .map_err(|error| anyhow!("{}", explain(&error.path().to_string(), error.inner())))?;
        settings.validate()?;
        Ok(settings)
    }

    /// Looks at the TLS files of the edges. Errors: 1001 naming the setting whose file cannot be used.
    pub(crate) fn check_tls(&self) -> Result<()> {
        for (setting, files) in [
            ("http.tls", &self.http.tls),
            ("thrift.tls", &self.thrift.tls),
        ] {
            if let Some(files) = files {
                ServerTls::load(setting, files, &[])?;
            }
        }
        Ok(())
    }

    fn validate(&self) -> Result<()> {
        self.gate.validate()?;
        self.cache.validate()?;
        self.lock.validate()?;
        crate::redis::check(self)?;
        self.monitor.validate()?;
        self.database.validate()?;
        self.audit.check()?;
        self.http.validate()?;
        self.thrift.validate()?;
        self.outbound.validate()?;
        self.log.parse_filter()?;
        self.trace.validate()?;
        let url = self.control.url.expose();
        if !url.is_empty() && !url.starts_with("postgres://") && !url.starts_with("mysql://") {
            bail!(
                "control.url: must begin with postgres:// or mysql://, or be left out for a file of its own"
            );
        }
        Ok(())
    }
}

fn read(file: &Path) -> Result<String> {
    let size = std::fs::metadata(file)
        .with_context(|| format!("cannot read the settings file {}", file.display()))?
        .len();
    if size > FILE_BYTES_MAX {
        bail!(
            "{} has {size} bytes, at most {FILE_BYTES_MAX} are read",
            file.display()
        );
    }
    std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the settings file {}", file.display()))
}

/// Puts `PLINTH__HTTP__LISTEN=…` at `http.listen`. A value that is TOML (a number, a list, true) is taken as such, every
/// other one as text.
fn override_with(tree: &mut toml::Table, name: &str, value: &str) -> Result<()> {
    let path = name
        .trim_start_matches(ENVIRONMENT_PREFIX)
        .to_ascii_lowercase();
    let (sections, key) = match path.rsplit_once("__") {
        Some((sections, key)) => (sections, key),
        None => ("", path.as_str()),
    };
    let mut place = tree;
    for section in sections.split("__").filter(|section| !section.is_empty()) {
        place = place
            .entry(section)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| anyhow!("{name}: `{section}` is no section"))?;
    }
    let parsed = format!("value = {value}").parse::<toml::Table>();
    let value = parsed
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    place.insert(key.to_owned(), value);
    Ok(())
}

/// Says where a setting is wrong, and which known key an unknown one may have meant.
fn explain(path: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    let prefix = if path == "." {
        String::new()
    } else {
        format!("{path}: ")
    };
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return format!("{prefix}{message}");
    };
    let mut names = rest.split('`').step_by(2);
    let Some(unknown) = names.next() else {
        return format!("{prefix}{message}");
    };
    let nearest = names
        .map(|known| (strsim::damerau_levenshtein(unknown, known), known))
        .min()
        .filter(|(distance, _)| *distance <= SUGGESTION_DISTANCE_MAX);
    let known = match nearest {
        Some((_, known)) => format!("; did you mean `{known}`?"),
        None => String::new(),
    };
    // The path of an unknown key ends with the key itself.
    let path = if path == "." { unknown } else { path };
    format!("{path}: no such setting{known}")
}

/// Check or show settings
#[derive(Subcommand)]
pub(crate) enum SettingsCommand {
    /// Check a settings file and the environment, and say what is wrong
    Check {
        /// The file
        #[arg(default_value = FILE_DEFAULT)]
        file: PathBuf,
    },
    /// Print the settings in force, defaults included, as TOML
    Show {
        /// The file; without it plinth.toml, where there is one
        file: Option<PathBuf>,
    },
}

impl SettingsCommand {
    pub(crate) fn run(self, output: Output) -> Result<()> {
        match self {
            Self::Check { file } => {
                Settings::load(Some(&file))?.check_tls()?;
                let answer = serde_json::json!({ "file": file, "valid": true });
                output.say(&answer, |_| format!("{} is valid", file.display()))
            }
            Self::Show { file } => {
                let settings = Settings::load(file.as_deref())?;
                if output.is_json() {
                    return output.json(&settings);
                }
                output.text(toml::to_string(&settings)?.trim_end())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let none: [(String, String); 0] = [];
        format!("{:#}", Settings::parse(text, none).expect_err("is refused"))
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        assert_eq!(
            refusal("[http]\nlistn = \"127.0.0.1:1\""),
            "http.listn: no such setting; did you mean `listen`?"
        );
        assert_eq!(
            refusal("[htpp]"),
            "htpp: no such setting; did you mean `http`?"
        );
        assert_eq!(
            refusal("[cache]\nqqqqqqqqqqqqq = 1"),
            "cache.qqqqqqqqqqqqq: no such setting"
        );
        assert!(refusal("[cache]\nbytes_max = \"many\"").starts_with("cache.bytes_max: "));
        assert!(refusal("[log]\nfilter = \"a=b=c\"").contains("log.filter"));
        assert!(refusal("[control]\nurl = \"oracle://x\"").contains("control.url"));
        assert!(refusal("[cache]\nbackend = \"redis\"").contains("redis.url"));
        let small = refusal("[database]\nsqlite_file_bytes_max = 1048575");
        assert!(small.contains("database.sqlite_file_bytes_max"), "{small}");
        assert!(refusal("[lock]\nbackend = \"redis\"").contains("lock.backend"));
        assert!(refusal("[lock]\nkey_prefix = \"a:b\"").contains("lock.key_prefix"));
        assert!(refusal("[redis]\nurl = \"http://x\"").contains("redis.url"));
        assert!(refusal("[http]\nidle_timeout_ms = 0").contains("http.idle_timeout_ms"));
        assert!(refusal("[outbound]\nattempt_ms_max = 0").contains("outbound.attempt_ms_max"));
        assert!(refusal("[[[").contains("TOML"));
    }

    #[test]
    fn the_environment_goes_over_the_file() {
        let variables = [
            ("PLINTH__CACHE__BYTES_MAX".to_owned(), "1024".to_owned()),
            ("PLINTH__DATA_DIR".to_owned(), "/tmp/x".to_owned()),
        ];
        let settings = Settings::parse("[cache]\nbytes_max = 5", variables).expect("parses");
        assert_eq!(settings.cache.bytes_max, 1_024);
        assert_eq!(settings.data_dir, PathBuf::from("/tmp/x"));
        let bad = [("PLINTH__CACHE__BYTES".to_owned(), "1".to_owned())];
        assert!(Settings::parse("", bad).is_err());
    }

    #[test]
    fn the_password_of_the_control_database_is_not_shown() {
        let none: [(String, String); 0] = [];
        let settings = "[control]\nurl = \"postgres://me:hush@host/plinth\"";
        let settings = Settings::parse(settings, none).expect("parses");
        let shown = [
            toml::to_string(&settings).expect("serialises"),
            serde_json::to_string(&settings).expect("serialises"),
            format!("{settings:?}"),
        ];
        for shown in shown {
            assert!(shown.contains("postgres://***@host/plinth"), "{shown}");
            assert!(!shown.contains("hush"), "{shown}");
        }
    }

    #[test]
    fn the_defaults_survive_their_own_text() {
        let text = toml::to_string(&Settings::default()).expect("serialises");
        let none: [(String, String); 0] = [];
        assert_eq!(
            Settings::parse(&text, none).expect("parses"),
            Settings::default()
        );
    }
}
