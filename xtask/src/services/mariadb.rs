//! A private MariaDB.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::Product;
use super::host::{self, Place, output_of};
use super::tls::{ServerFiles, TLS_USER};

/// MariaDB.
pub(super) struct MariaDb;

impl Product for MariaDb {
    fn name(&self) -> &'static str {
        "mariadb"
    }

    fn package(&self) -> &'static str {
        "mariadb-server"
    }

    fn user(&self) -> &'static str {
        "mysql"
    }

    fn variable(&self) -> &'static str {
        "PLINTH_TEST_MARIADB_URL"
    }

    fn is_installed(&self) -> bool {
        server().is_some() && Path::new("/usr/bin/mariadb-install-db").exists()
    }

    fn initialize(&self, place: &Place, _password: &str) -> Result<()> {
        if place.data.join("mysql").exists() {
            return Ok(());
        }
        output_of(
            place
                .command("/usr/bin/mariadb-install-db")
                .arg("--no-defaults")
                .arg(argument("datadir", &place.data))
                .args(["--skip-test-db", "--auth-root-authentication-method=socket"]),
        )?;
        Ok(())
    }

    fn command(&self, place: &Place, port: u16, password: &str) -> Result<Command> {
        // Runs as root of the server at each start, before connections are taken.
        let user = place.sockets.join("user.sql");
        let sql = format!(
            "CREATE DATABASE IF NOT EXISTS plinth;\n\
             CREATE USER IF NOT EXISTS 'plinth'@'127.0.0.1' IDENTIFIED BY '{password}';\n\
             GRANT ALL PRIVILEGES ON *.* TO 'plinth'@'127.0.0.1' WITH GRANT OPTION;\n\
             CREATE USER IF NOT EXISTS '{TLS_USER}'@'127.0.0.1' IDENTIFIED BY '{password}' REQUIRE SSL;\n\
             GRANT ALL PRIVILEGES ON *.* TO '{TLS_USER}'@'127.0.0.1';\n"
        );
        host::write_for(place, &user, sql.as_bytes())?;
        let files = ServerFiles::at(place)?;
        let mut command = place.command(server().context("MariaDB is not installed")?);
        command
            .arg("--no-defaults")
            .arg(argument("datadir", &place.data))
            .arg(argument("socket", &place.sockets.join("sock")))
            .arg(argument("pid-file", &place.sockets.join("pid")))
            .arg(argument("init-file", &user))
            .arg(argument("ssl-ca", &files.ca))
            .arg(argument("ssl-cert", &files.certificate))
            .arg(argument("ssl-key", &files.key))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve"])
            .arg(format!("--port={port}"))
            .args(["--max-connections=200", "--innodb-buffer-pool-size=64M"])
            .args(["--character-set-server=utf8mb4", "--skip-log-bin"])
            // Test data need not survive the machine.
            .args(["--innodb-flush-log-at-trx-commit=0"]);
        Ok(command)
    }

    fn answers(&self, place: &Place, port: u16, password: &str) -> bool {
        output_of(
            place
                .command("mariadb")
                .args(["--no-defaults", "--skip-ssl", "-h", "127.0.0.1"])
                .args(["-u", "plinth"])
                .args(["-P", &port.to_string(), "plinth", "-N", "-e", "SELECT 1"])
                .env("MYSQL_PWD", password),
        )
        .is_ok()
    }

    fn end_signal(&self) -> &'static str {
        "TERM"
    }

    fn url(&self, port: u16, password: &str) -> String {
        format!("mysql://plinth:{password}@127.0.0.1:{port}/plinth")
    }
}

fn server() -> Option<PathBuf> {
    ["/usr/sbin/mariadbd", "/usr/bin/mariadbd"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

fn argument(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}
