//! Users, folders, ports and processes of this machine.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long a product may take to start or to end, in seconds.
const PATIENCE_S_MAX: u64 = 60;
/// Between two looks at a product that starts or ends, in milliseconds.
const LOOK_EVERY_MS: u64 = 50;

/// The folders of one product and the user that owns them.
pub(super) struct Place {
    /// The data.
    pub data: PathBuf,
    /// The unix socket.
    pub sockets: PathBuf,
    /// What it prints.
    pub log: PathBuf,
    /// The user to run as; `None` where this tool is not root and runs everything as itself.
    user: Option<User>,
}

#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl Place {
    /// A command that runs as the user of this place.
    pub(super) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        // Where this tool was started may be closed to the user.
        command.current_dir("/").stdin(Stdio::null());
        if let Some(user) = self.user {
            // Also drops the supplementary groups of root.
            command.uid(user.uid).gid(user.gid);
        }
        command
    }
}

/// Runs a command to its end. Errors: with its output where it fails.
pub(super) fn output_of(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("running {:?}", command.get_program()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!(
            "{:?} ended with {}: {text}{}",
            command.get_program(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(text.trim().to_owned())
}

fn is_root() -> Result<bool> {
    Ok(output_of(Command::new("id").arg("-u"))? == "0")
}

fn user(name: &str) -> Result<Option<User>> {
    if !is_root()? {
        return Ok(None);
    }
    let id = |flag: &str| -> Result<u32> {
        let text = output_of(Command::new("id").args([flag, name]))
            .with_context(|| format!("looking up the user {name}"))?;
        Ok(text.parse()?)
    };
    Ok(Some(User {
        uid: id("-u")?,
        gid: id("-g")?,
    }))
}

/// Installs Debian packages. Errors: with the command to run by hand where this tool is not root.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    if !is_root()? {
        bail!(
            "missing packages; run: sudo apt-get install {}",
            packages.join(" ")
        );
    }
    println!("installing {} …", packages.join(", "));
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // In run level 1 invoke-rc.d starts no service: the packages' own servers are not wanted.
            .env("RUNLEVEL", "1");
        output_of(&mut command)
    };
    apt(&["update"])?;
    apt(&[&["install", "-y", "--no-install-recommends"], packages].concat())?;
    Ok(())
}

/// Where the data go: `target/services`, or a private folder under `/var/tmp` where the products' users may not pass.
pub(super) fn home(folder: &Path) -> Result<PathBuf> {
    const OTHERS_MAY_PASS: u32 = 0o001;
    let mut open = true;
    for above in folder.ancestors() {
        open &= fs::metadata(above)?.permissions().mode() & OTHERS_MAY_PASS != 0;
    }
    if open || !is_root()? {
        return Ok(folder.to_owned());
    }
    private_folder(Path::new("/var/tmp"))
}

/// Creates a new folder with a random name that others may pass but not list.
pub(super) fn private_folder(below: &Path) -> Result<PathBuf> {
    let path = below.join(format!("plinth-{}", random_hex()?.get(..12).unwrap_or("x")));
    fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o711))?;
    Ok(path)
}

/// Creates the folders of a product and gives them to its user.
pub(super) fn place(data: &Path, sockets: &Path, log: &Path, user_name: &str) -> Result<Place> {
    let user = user(user_name)?;
    for folder in [data, sockets] {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        if let Some(user) = user {
            std::os::unix::fs::chown(folder, Some(user.uid), Some(user.gid))?;
        }
    }
    Ok(Place {
        data: data.to_owned(),
        sockets: sockets.to_owned(),
        log: log.to_owned(),
        user,
    })
}

/// Writes a file that only its owner may read.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    Ok(file.write_all(bytes)?)
}

/// Writes a file that only the user of a place may read.
pub(super) fn write_for(place: &Place, path: &Path, bytes: &[u8]) -> Result<()> {
    write_private(path, bytes)?;
    if let Some(user) = place.user {
        std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))?;
    }
    Ok(())
}

/// 32 random hexadecimal digits.
pub(super) fn random_hex() -> Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A free port on loopback: the wished one where it is free.
pub(super) fn free_port(wished: Option<u16>) -> Result<u16> {
    if let Some(port) = wished
        && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
    {
        return Ok(port);
    }
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// Starts a product in a process group of its own, so that Ctrl-C here does not reach it.
pub(super) fn spawn(mut command: Command, place: &Place) -> Result<Child> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&place.log)
        .with_context(|| format!("opening {}", place.log.display()))?;
    command
        .process_group(0)
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("running {:?}", command.get_program()))
}

/// A process that answers.
pub(super) struct Started {
    /// Its id.
    pub pid: u32,
    /// When it began, in clock ticks since boot.
    pub ticks: u64,
}

/// Waits until a started product answers. Errors: it ended, or took too long; it is then ended.
pub(super) fn wait_until(
    mut child: Child,
    place: &Place,
    answers: impl Fn() -> bool,
) -> Result<Started> {
    let pid = child.id();
    let until = Instant::now() + Duration::from_secs(PATIENCE_S_MAX);
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            bail!("it ended with {status}:\n{}", last_lines(&place.log));
        }
        if answers() {
            let ticks = start_ticks(pid).context("the process has just gone")?;
            return Ok(Started { pid, ticks });
        }
        pause();
    }
    child.kill()?;
    child.wait()?;
    bail!("it did not answer within {PATIENCE_S_MAX} s")
}

fn last_lines(log: &Path) -> String {
    const LINES: usize = 10;
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}

/// Whether the process that was remembered still runs, and not another one under its id.
pub(super) fn is_alive(pid: u32, started_ticks: u64) -> bool {
    start_ticks(pid) == Some(started_ticks)
}

/// Ends a process by its id: in good order, and by force where that takes too long.
pub(super) fn end(pid: u32, started_ticks: u64, signal: &str) -> Result<()> {
    for signal in [signal, "KILL"] {
        output_of(Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]))?;
        let until = Instant::now() + Duration::from_secs(PATIENCE_S_MAX);
        while Instant::now() < until {
            if !is_alive(pid, started_ticks) {
                return Ok(());
            }
            pause();
        }
    }
    bail!("process {pid} does not end")
}

/// When a process began: field 22 of `/proc/<pid>/stat` (proc(5)). `None` for one that is gone or a zombie.
fn start_ticks(pid: u32) -> Option<u64> {
    const STATE_FIELD: usize = 0;
    const START_FIELD: usize = 19;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the program's name in parentheses, may hold blanks and parentheses itself.
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<_> = after_name.split_whitespace().collect();
    if *fields.get(STATE_FIELD)? == "Z" {
        return None;
    }
    fields.get(START_FIELD)?.parse().ok()
}

/// Waits between two looks.
#[expect(
    clippy::disallowed_methods,
    reason = "another program's start and end give no event to wait for, and no runtime runs here"
)]
pub(super) fn pause() {
    std::thread::sleep(Duration::from_millis(LOOK_EVERY_MS));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_move_where_the_products_users_may_not_pass() -> Result<()> {
        let closed = private_folder(Path::new("/var/tmp"))?;
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700))?;
        let chosen = home(&closed)?;
        if is_root()? {
            assert!(chosen.starts_with("/var/tmp") && chosen != closed);
            assert_eq!(fs::metadata(&chosen)?.permissions().mode() & 0o777, 0o711);
            fs::remove_dir(&chosen)?;
        } else {
            assert_eq!(chosen, closed);
        }
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o711))?;
        assert_eq!(home(&closed)?, closed);
        Ok(fs::remove_dir(&closed)?)
    }

    #[test]
    fn a_process_is_told_from_a_later_one_with_its_id() -> Result<()> {
        let mut child = Command::new("sleep").arg("60").spawn()?;
        let ticks = start_ticks(child.id()).context("runs")?;
        assert!(is_alive(child.id(), ticks));
        assert!(!is_alive(child.id(), ticks + 1));
        child.kill()?;
        child.wait()?;
        assert!(!is_alive(child.id(), ticks));
        Ok(())
    }

    #[test]
    fn a_port_is_kept_while_it_is_free() -> Result<()> {
        // Another program may take a free port at any moment, but hardly twenty times in a row.
        let is_kept = || -> Result<bool> {
            let port = free_port(None)?;
            Ok(free_port(Some(port))? == port)
        };
        assert!((0..20).any(|_| is_kept().is_ok_and(|kept| kept)));
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = taken.local_addr()?.port();
        assert_ne!(free_port(Some(port))?, port);
        Ok(())
    }
}
