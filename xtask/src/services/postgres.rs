//! A private PostgreSQL.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::Product;
use super::host::{self, Place, output_of};
use super::tls::{ServerFiles, TLS_USER};

/// PostgreSQL of the newest version that is installed.
pub(super) struct Postgres;

impl Product for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn package(&self) -> &'static str {
        "postgresql"
    }

    fn user(&self) -> &'static str {
        "postgres"
    }

    fn variable(&self) -> &'static str {
        "PLINTH_TEST_POSTGRES_URL"
    }

    fn is_installed(&self) -> bool {
        programs().is_some()
    }

    fn initialize(&self, place: &Place, password: &str) -> Result<()> {
        if place.data.join("PG_VERSION").exists() {
            return Ok(());
        }
        let password_file = place.sockets.join("password");
        host::write_for(place, &password_file, password.as_bytes())?;
        let programs = programs().context("PostgreSQL is not installed")?;
        output_of(
            place
                .command(programs.join("initdb"))
                .arg("--pgdata")
                .arg(&place.data)
                .arg("--pwfile")
                .arg(&password_file)
                .args(["--username=plinth", "--auth=scram-sha-256"])
                .args(["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]),
        )?;
        fs::remove_file(password_file)?;
        Ok(())
    }

    fn command(&self, place: &Place, port: u16, _password: &str) -> Result<Command> {
        let programs = programs().context("PostgreSQL is not installed")?;
        let files = ServerFiles::at(place)?;
        let rules = place.sockets.join("pg_hba.conf");
        host::write_for(place, &rules, access_rules().as_bytes())?;
        let mut command = place.command(programs.join("postgres"));
        command
            .arg("-D")
            .arg(&place.data)
            .arg("-k")
            .arg(&place.sockets)
            .args(["-h", "127.0.0.1", "-p", &port.to_string()])
            .args(setting("hba_file", &rules))
            .args(["-c", "ssl=on"])
            .args(setting("ssl_cert_file", &files.certificate))
            .args(setting("ssl_key_file", &files.key))
            // Test data need not survive the machine; the engine's own durability is not what these tests are about.
            .args(["-c", "fsync=off", "-c", "full_page_writes=off"])
            .args(["-c", "max_connections=200", "-c", "shared_buffers=64MB"]);
        Ok(command)
    }

    fn answers(&self, place: &Place, port: u16, password: &str) -> bool {
        query(place, port, password, "SELECT 1").is_ok()
    }

    fn complete(&self, place: &Place, port: u16, password: &str) -> Result<()> {
        let found = query(
            place,
            port,
            password,
            "SELECT count(*) FROM pg_database WHERE datname = 'plinth'",
        )?;
        if found == "0" {
            query(place, port, password, "CREATE DATABASE plinth")?;
        }
        let find = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{TLS_USER}'");
        if query(place, port, password, &find)? == "0" {
            let create = format!("CREATE ROLE {TLS_USER} LOGIN SUPERUSER PASSWORD '{password}'");
            query(place, port, password, &create)?;
        }
        Ok(())
    }

    fn end_signal(&self) -> &'static str {
        // "Fast shutdown": sessions are ended, the data are consistent.
        "INT"
    }

    fn url(&self, port: u16, password: &str) -> String {
        format!("postgres://plinth:{password}@127.0.0.1:{port}/plinth")
    }
}

/// Who may come in, and how (`pg_hba.conf`): everybody with a password, one user over TLS alone.
fn access_rules() -> String {
    format!(
        "local all all scram-sha-256\n\
         hostnossl all {TLS_USER} 127.0.0.1/32 reject\n\
         host all all 127.0.0.1/32 scram-sha-256\n"
    )
}

fn setting(name: &str, path: &Path) -> [String; 2] {
    ["-c".to_owned(), format!("{name}={}", path.display())]
}

/// Debian keeps each version's programs in a folder of its own.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse::<u32>().ok()?,
                entry.path(),
            ))
        })
        .map(|(version, path)| (version, path.join("bin")))
        .filter(|(_, path)| path.join("postgres").exists() && path.join("initdb").exists())
        .max()
        .map(|(_, path)| path)
}

fn query(place: &Place, port: u16, password: &str, sql: &str) -> Result<String> {
    output_of(
        place
            .command("psql")
            .args(["-h", "127.0.0.1", "-p", &port.to_string()])
            .args([
                "-U", "plinth", "-d", "postgres", "-X", "-A", "-t", "-c", sql,
            ])
            .env("PGPASSWORD", password),
    )
}
