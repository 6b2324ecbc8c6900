//! What `dev` runs beside the replicas, checked before anything is started: programs that can be executed,
//! an address that is free, the operators' program.

use super::DevArgs;
use super::app::AppCommand;
use lockstep_daemon::Failure;
use lockstep_daemon::failure::{NOT_READY, USAGE};
use lockstep_io::IoError;
use lockstep_io::udp::free_port;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::{SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};

/// See the module.
pub struct Beforehand {
    pub found: Found,
    pub page: Option<Page>,
    pub apps: Vec<AppCommand>,
}

/// The page of `lockstep web`.
pub struct Page {
    /// The program that serves it.
    pub program: PathBuf,
    pub address: SocketAddrV4,
}

impl Beforehand {
    /// Checks what was asked for.
    ///
    /// # Errors
    /// It cannot be run as it was asked for: why, and what to do.
    pub fn of(args: &DevArgs) -> Result<Self, Failure> {
        let apps = args.app.iter().map(|app| AppCommand::of(app));
        let mut apps = apps.collect::<Result<Vec<_>, _>>().map_err(|why| Failure::new(USAGE, why))?;
        number(&mut apps);
        let found = Found::by(std::env::current_exe().ok().as_deref(), std::env::var_os("PATH").as_deref());
        let page = args.web.map(|address| page(&found, address)).transpose()?;
        Ok(Self { found, page, apps })
    }
}

/// Numbers those that have one name: `counter-1`, `counter-2`.
fn number(apps: &mut [AppCommand]) {
    let mut copies = BTreeMap::<String, u32>::new();
    for app in &*apps {
        *copies.entry(app.name.clone()).or_default() += 1;
    }
    copies.retain(|_, count| *count > 1);
    // From the last one, so that the count is the number.
    for app in apps.iter_mut().rev() {
        if let Some(left) = copies.get_mut(&app.name) {
            app.name = format!("{}-{left}", app.name);
            *left -= 1;
        }
    }
}

/// The page at this address, which nobody else may have; port 0 is one that is free.
fn page(found: &Found, address: SocketAddrV4) -> Result<Page, Failure> {
    let program = found.lockstep.clone().ok_or_else(|| {
        let why = "--web runs `lockstep web`, and there is no `lockstep` beside this program or in the PATH: \
                   `cargo build --release` in the clone makes it";
        Failure::new(NOT_READY, why)
    })?;
    if address.port() == 0 {
        let port = free_port(*address.ip())?;
        return Ok(Page { program, address: SocketAddrV4::new(*address.ip(), port) });
    }
    let wrong = |error| IoError::of_bind(format!("listen on {address} (--web)"), error);
    TcpListener::bind(address).map_err(wrong)?;
    Ok(Page { program, address })
}

/// How a shell finds the operators' commands.
#[derive(PartialEq, Eq, Debug)]
pub struct Found {
    /// The folder that has to be added to its path.
    pub folder: Option<PathBuf>,
    /// The program `lockstep`, beside this one or in the path; where the demo alone is built there is none.
    pub lockstep: Option<PathBuf>,
}

impl Found {
    /// With this program in its place, and the shell's path.
    fn by(program: Option<&Path>, path: Option<&OsStr>) -> Self {
        let lies_in = |folder: &Path| Some(folder.join("lockstep")).filter(|file| file.is_file());
        let known = std::env::split_paths(path.unwrap_or_default()).find_map(|folder| lies_in(&folder));
        let beside = program.and_then(Path::parent);
        let lockstep = beside.and_then(lies_in).or_else(|| known.clone());
        // `cargo run` leaves the program where no shell looks for it.
        Self { folder: beside.filter(|_| known.is_none()).map(Path::to_owned), lockstep }
    }

    /// The path of a program that finds them as that shell does.
    pub fn path(&self) -> OsString {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = self.folder.clone().into_iter().chain(std::env::split_paths(&path));
        std::env::join_paths(folders).unwrap_or(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_where_the_demo_alone_is_built_lacks_the_operators_program() {
        let missing = Path::new("/nonexistent");
        let found = Found::by(Some(&missing.join("lockstep-demo")), Some(OsStr::new("/nonexistent/bin")));
        assert_eq!(found, Found { folder: Some(missing.to_owned()), lockstep: None });
    }

    #[test]
    fn programs_of_one_name_are_numbered_in_their_order_and_others_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let app =
            |text: &str| AppCommand { name: text.to_owned(), path: folder.path().into(), args: Vec::new() };
        let mut apps = ["one", "two", "one", "one"].map(app);
        number(&mut apps);
        assert_eq!(apps.map(|app| app.name), ["one-1", "two", "one-2", "one-3"]);
    }
}
