//! `lockstep gateway user`: the file of the users, written whole or not at all.

use super::read_private;
use crate::Failure;
use crate::args::ClusterArgs;
use crate::config::Config;
use crate::failure::{FAILED, USAGE};
use clap::{Args, Subcommand};
use lockstep_gateway::gateway::passwords;
use lockstep_gateway::gateway::users::{Recipient, User, Users, user_name};
use lockstep_io::clock::random_u64;
use lockstep_operations::acting;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Longest password: SoupBinTCP's field.
const PASSWORD_LEN_MAX: usize = 10;

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum UserCommand {
    /// Adds a user, or puts it in the place of the one with its name; the password is read from stdin
    Add(AddArgs),
    /// Keeps a user from logging in, and cuts it off
    Disable(NameArgs),
    /// Lets a user that was disabled log in again
    Enable(NameArgs),
    /// Removes a user, and cuts it off
    Remove(NameArgs),
    /// Lists the users
    List(ListArgs),
}

/// The users' file.
#[derive(Args, Debug)]
pub struct FileArgs {
    /// File of the users; the configuration's gateway.users if it is not given
    #[arg(long, value_name = "FILE")]
    pub users: Option<PathBuf>,
    /// The cluster's file.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Flags of `user list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Which users' file.
    #[command(flatten)]
    pub file: FileArgs,
}

/// Flags of `user disable` and `user remove`.
#[derive(Args, Debug)]
pub struct NameArgs {
    /// Which users' file.
    #[command(flatten)]
    pub file: FileArgs,
    /// The user
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Flags of `user add`.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// Which users' file.
    #[command(flatten)]
    pub file: FileArgs,
    /// The user: 1 to 6 letters and digits
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Whose messages are its sequence: self, everybody, client:NAME, channel:NUMBER; repeatable; self if
    /// none is given
    #[arg(long, value_name = "WHOM")]
    pub hear: Vec<Recipient>,
    /// The destination of its messages
    #[arg(long, value_name = "WHOM", default_value = "everybody")]
    pub to: Recipient,
    /// It logs in by FIX, and by that alone; its SenderCompID is its name
    #[arg(long, conflicts_with_all = ["numbered", "early", "hear"])]
    pub fix: bool,
    /// Its messages begin with a number of its own, by which each is stamped exactly once
    #[arg(long)]
    pub numbered: bool,
    /// It is sent each message when it is stamped too, as Unsequenced Data behind eight bytes with its
    /// number; needs gateway.delivery = "stamped"
    #[arg(long)]
    pub early: bool,
    /// How long it may be away before its disconnect is stamped, in milliseconds; 2000 if not given
    #[arg(long, value_name = "MS")]
    pub grace_ms: Option<u32>,
    /// The application is asked to cancel its orders when it disconnects
    #[arg(long)]
    pub cancel_on_disconnect: bool,
    /// Messages a second that are taken of it; 10000 if not given
    #[arg(long, value_name = "COUNT")]
    pub rate: Option<u32>,
}

impl FileArgs {
    fn path(&self) -> Result<PathBuf, Failure> {
        match &self.users {
            Some(path) => Ok(path.clone()),
            None => Ok(self.cluster.load(&[])?.gateway.users),
        }
    }

    /// As [`Self::path`], for a command that writes the file.
    fn path_to_change(&self) -> Result<PathBuf, Failure> {
        let path = self.path()?;
        acting::not_as_root_in(&path)?;
        Ok(path)
    }
}

/// Runs the command that the arguments select.
pub(super) fn run(command: &UserCommand) -> Result<u8, Failure> {
    match command {
        UserCommand::Add(args) => {
            let path = args.file.path_to_change()?;
            let name = user_name(&args.name).map_err(|what| Failure::new(USAGE, what))?;
            let mut user = User::new(name, hashed()?);
            (user.destination, user.numbered, user.early) = (args.to.clone(), args.numbered, args.early);
            (user.cancel_on_disconnect, user.fix) = (args.cancel_on_disconnect, args.fix);
            user.grace_ms = args.grace_ms.unwrap_or(user.grace_ms);
            user.rate = args.rate.unwrap_or(user.rate);
            if !args.hear.is_empty() {
                user.hear.clone_from(&args.hear);
            }
            let _lock = lock(&path)?;
            let mut users = read_or_none(&path)?;
            users.insert(user);
            change_file(&path, &users)
        }
        UserCommand::Disable(args) => {
            change(args, |users, name| users.get_mut(name).map(|user| user.disabled = true).is_some())
        }
        UserCommand::Enable(args) => {
            change(args, |users, name| users.get_mut(name).map(|user| user.disabled = false).is_some())
        }
        UserCommand::Remove(args) => change(args, |users, name| users.remove(name)),
        UserCommand::List(args) => {
            let mut out = std::io::stdout().lock();
            for user in read(&args.file.path()?)?.iter() {
                writeln!(out, "{}", row(user))?;
            }
            Ok(0)
        }
    }
}

/// A user, without its password.
fn row(user: &User) -> String {
    let hear: Vec<_> = user.hear.iter().map(ToString::to_string).collect();
    let state = if user.disabled { "disabled" } else { "enabled" };
    let (hear, to, grace_ms, rate) = (hear.join(","), &user.destination, user.grace_ms, user.rate);
    let numbered = match (user.fix, user.numbered) {
        (true, _) => " FIX",
        (_, true) => " numbered",
        _ => "",
    };
    let cancels = if user.cancel_on_disconnect { " cancel-on-disconnect" } else { "" };
    let name = &user.name;
    format!(
        "{name:6} {state:8} hears {hear} publishes to {to} grace {grace_ms} ms rate {rate}{numbered}{cancels}"
    )
}

fn change(args: &NameArgs, change: impl Fn(&mut Users, &str) -> bool) -> Result<u8, Failure> {
    let path = args.file.path_to_change()?;
    let _lock = lock(&path)?;
    let mut users = read(&path)?;
    if !change(&mut users, &args.name.to_ascii_lowercase()) {
        let what = format!(
            "{} has no user '{}'; `lockstep gateway user list` shows them",
            path.display(),
            args.name
        );
        return Err(Failure::new(USAGE, what));
    }
    change_file(&path, &users)
}

/// The password on stdin, hashed.
fn hashed() -> Result<String, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprint!("password (1 to {PASSWORD_LEN_MAX} characters without blanks; it is shown): ");
    }
    let mut text = String::new();
    if stdin.is_terminal() {
        stdin.read_line(&mut text)?;
    } else {
        stdin.lock().take(1_024).read_to_string(&mut text)?;
    }
    let password = text.trim_end_matches(['\r', '\n']);
    let fits = (1..=PASSWORD_LEN_MAX).contains(&password.len())
        && password.bytes().all(|byte| byte.is_ascii_graphic());
    if !fits {
        let what = format!(
            "the password on stdin does not fit: SoupBinTCP has room for 1 to {PASSWORD_LEN_MAX} printable \
             characters without blanks, and does not tell upper from lower case"
        );
        return Err(Failure::new(USAGE, what));
    }
    hash(password.as_bytes())
}

/// A password's hash, salted by the kernel.
///
/// # Errors
/// The kernel has no random numbers, or the password cannot be hashed.
pub fn hash(password: &[u8]) -> Result<String, Failure> {
    let drawn = [random_u64()?.to_le_bytes(), random_u64()?.to_le_bytes()];
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&drawn[0]);
    salt[8..].copy_from_slice(&drawn[1]);
    passwords::hash(password, salt).map_err(|what| Failure::new(FAILED, what))
}

/// Makes other changes of the file wait until this is dropped: each begins with the result of the one before.
/// The folder is locked, because the file is replaced at each change.
fn lock(path: &Path) -> Result<File, Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let locked = File::open(folder).and_then(|folder| folder.lock().map(|()| folder));
    locked.map_err(|error| {
        let what = "cannot lock the folder of the users' file";
        let hint = "make it, or name another file with --users";
        Failure::new(FAILED, format!("{what}, {}: {error}; {hint}", folder.display()))
    })
}

/// Reads the file, which only its owner may read.
pub(super) fn read(path: &Path) -> Result<Users, Failure> {
    let text = read_private(path, "write it by `lockstep gateway user add NAME`")?;
    Users::parse(&text).map_err(|what| Failure::new(USAGE, format!("{}: {what}", path.display())))
}

fn read_or_none(path: &Path) -> Result<Users, Failure> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Users::default()),
        _ => read(path),
    }
}

fn change_file(path: &Path, users: &Users) -> Result<u8, Failure> {
    write(path, users)?;
    eprintln!("{} is written: running gateways read it at SIGHUP", path.display());
    Ok(0)
}

/// Writes the users beside the file and renames: a reader sees the old file or the new one.
///
/// # Errors
/// A gateway would refuse them, or they cannot be written.
pub fn write(path: &Path, users: &Users) -> Result<(), Failure> {
    let text = users.write();
    // A file that a gateway would refuse is not written.
    Users::parse(&text).map_err(|what| Failure::new(USAGE, what))?;
    let wrong =
        |error: std::io::Error| Failure::new(FAILED, format!("cannot write {}: {error}", path.display()));
    let beside = path.with_extension("toml.new");
    let _ = fs::remove_file(&beside); // left by a command that was killed
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(wrong)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)?;
    fs::rename(&beside, path).map_err(wrong)
}

/// The path that a run reads: the flag's, or the configuration's.
pub(super) fn path(flag: Option<&Path>, config: &Config) -> PathBuf {
    flag.map_or_else(|| config.gateway.users.clone(), Path::to_path_buf)
}
