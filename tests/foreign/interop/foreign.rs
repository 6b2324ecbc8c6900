//! Other people's clients: how each is had, and one connection of it.

use lockstep_testkit::gateways::Running;
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::run;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// Seconds that a registry may take; `timeout` ends what takes longer.
const INSTALL_S: u32 = 50;
/// Seconds that a compiler may take for some eighty crates.
const BUILD_S: u32 = 400;
/// Written when all of a client is there: half an installation is made anew.
const WHOLE: &str = "whole";
/// Tests run side by side; each client is installed once, and what cannot be had is tried once: its name, and
/// why.
static REFUSED: Mutex<Vec<(&str, String)>> = Mutex::new(Vec::new());

/// A client that is installed.
pub struct Foreign {
    interpreter: PathBuf,
    script: &'static str,
    node_path: Option<PathBuf>,
}

/// One connection.
#[derive(Clone, Copy, Default)]
pub struct Visit<'a> {
    pub user: &'a str,
    pub password: &'a str,
    pub session: &'a str,
    pub number: u64,
    /// First and last order that it sends; none by default.
    pub orders: (u64, u64),
    /// Messages that it waits for before it logs out, ...
    pub count: u64,
    /// ... and seconds that it stays idle in between.
    pub idle: u64,
    /// Orders begin with their number.
    pub numbered: bool,
}

/// What a client was told.
#[derive(Debug, Default)]
pub struct Taken {
    pub accepted: Option<(String, u64)>,
    pub refused: Option<String>,
    pub messages: Vec<(u64, Vec<u8>)>,
    pub unsequenced: Vec<Vec<u8>>,
    /// It was still connected when it logged out.
    pub stayed: bool,
}

impl Taken {
    pub fn texts(&self) -> Vec<(u64, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.messages.iter().map(|(number, bytes)| (*number, text(bytes))).collect()
    }
}

/// Runs a command; the last line that it said if it failed.
fn install(program: &str, args: &[&str], folder: &Path) -> Result<(), String> {
    install_within(INSTALL_S, program, args, folder)
}

fn install_within(seconds: u32, program: &str, args: &[&str], folder: &Path) -> Result<(), String> {
    let mut command = Command::new("timeout");
    command.args([&seconds.to_string(), program]).args(args).current_dir(folder).stdin(Stdio::null());
    // How our own tests are compiled is not how others are; and who is offline need not wait long.
    command.env_remove("RUSTFLAGS").env("CARGO_NET_RETRY", "1").env("CARGO_HTTP_TIMEOUT", "10");
    let outcome = command.output().map_err(|error| format!("{program}: {error}"))?;
    let output = [outcome.stderr, outcome.stdout].concat();
    let output = String::from_utf8_lossy(&output);
    // npm ends by where its log is.
    let tells = |line: &&str| !line.trim().is_empty() && !line.contains("complete log");
    let last = output.lines().rfind(tells).unwrap_or("it said nothing").trim().to_owned();
    if outcome.status.success() { Ok(()) } else { Err(format!("{program} {}: {last}", args.join(" "))) }
}

/// The folder of a client, in which `make` has installed it once.
fn folder(name: &'static str, make: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let mut refused = REFUSED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, why)) = refused.iter().find(|(known, _)| *known == name) {
        return Err(why.clone());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop").join(name);
    if !folder.join(WHOLE).exists() {
        let _ = std::fs::remove_dir_all(&folder); // it may not be there
        std::fs::create_dir_all(&folder).unwrap();
        if let Err(why) = make(&folder) {
            refused.push((name, why.clone()));
            return Err(why);
        }
        std::fs::write(folder.join(WHOLE), "").unwrap();
    }
    Ok(folder)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/interop").join(name)
}

/// The program of `mold_client.rs`, around the crate `moldudp`; `None` where that cannot be had, which is
/// said.
pub fn mold_client() -> Option<PathBuf> {
    let cargo = |seconds, args: &[&str], folder: &Path| {
        let args = [args, &["--quiet", "--target-dir", "target"]].concat();
        install_within(seconds, env!("CARGO"), &args, folder)
    };
    let made = folder("rust-moldudp-0.1.1", |folder| {
        if amount(true, false) {
            return Err("its eighty crates are compiled by .ci/night".to_owned());
        }
        let manifest = format!(
            "[package]\nname = \"mold_client\"\nedition = \"2024\"\n\n[[bin]]\nname = \"mold_client\"\npath = \
             {:?}\n\n[dependencies]\nmoldudp = \"=0.1.1\"\n\n[profile.dev]\ndebug = false\n\n[workspace]\n",
            script("mold_client.rs")
        );
        std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        install(env!("CARGO"), &["fetch", "--quiet"], folder)?;
        cargo(BUILD_S, &["build", "--offline"], folder)
    });
    // Ours may have changed since.
    let made = made.and_then(|folder| {
        cargo(INSTALL_S, &["build", "--offline"], &folder).map(|()| folder.join("target/debug/mold_client"))
    });
    made.map_err(|why| println!("SKIPPED: the Rust client moldudp cannot be had: {why}")).ok()
}

/// Installs this package of PyPI into a virtual environment `venv` of the folder.
fn install_python(package: &str, folder: &Path) -> Result<(), String> {
    install("python3", &["-m", "venv", "venv"], folder)?;
    let flags = ["-m", "pip", "install", "--quiet", "--retries", "1", "--timeout", "10"];
    install("venv/bin/python", &[&flags[..], &["--disable-pip-version-check", package]].concat(), folder)
}

/// `openmetrics.py` with the parser of `prometheus_client`; `None` where that cannot be had, which is said.
pub fn openmetrics_parser() -> Option<Command> {
    let made = folder("python-prometheus-client-0.26.0", |folder| {
        install_python("prometheus_client==0.26.0", folder)
    });
    let command = made.map(|folder| {
        let mut command = Command::new(folder.join("venv/bin/python"));
        command.arg(script("openmetrics.py"));
        command
    });
    command.map_err(|why| println!("SKIPPED: the Python package prometheus_client cannot be had: {why}")).ok()
}

impl Foreign {
    /// `nasdaq-protocols`; `None` where it cannot be had, which is said.
    pub fn python() -> Option<Self> {
        let made = folder("python-nasdaq-protocols-1.3.0", |folder| {
            install_python("nasdaq-protocols==1.3.0", folder)
        });
        let found = made.map(|folder| Self {
            interpreter: folder.join("venv/bin/python"),
            script: "soup_client.py",
            node_path: None,
        });
        found.map_err(|why| println!("SKIPPED: the Python client nasdaq-protocols cannot be had: {why}")).ok()
    }

    /// `soupbintcp`; `None` where it cannot be had, which is said.
    pub fn node() -> Option<Self> {
        let made = folder("node-soupbintcp-1.0.2", |folder| {
            install("node", &["--version"], folder)?;
            let flags = ["install", "--prefix", ".", "--no-audit", "--no-fund", "--fetch-retries", "1"];
            install("npm", &[&flags[..], &["soupbintcp@1.0.2"]].concat(), folder)
        });
        let found = made.map(|folder| Self {
            interpreter: "node".into(),
            script: "soup_client.js",
            node_path: Some(folder.join("node_modules")),
        });
        found.map_err(|why| println!("SKIPPED: the Node client soupbintcp cannot be had: {why}")).ok()
    }

    /// One connection, from its login to its end.
    pub fn visit(&self, gateway: &Running, visit: &Visit<'_>) -> Taken {
        let (first, last) = if visit.orders == (0, 0) { (1, 0) } else { visit.orders };
        let numbers = [visit.number, first, last, visit.count, visit.idle].map(|number| number.to_string());
        let address = (gateway.address.ip().to_string(), gateway.address.port().to_string());
        let mut command = Command::new(&self.interpreter);
        command.arg(script(self.script)).args([
            &address.0,
            &address.1,
            visit.user,
            visit.password,
            visit.session,
        ]);
        command.args(&numbers).args(visit.numbered.then_some("numbered"));
        command.envs(self.node_path.iter().map(|path| ("NODE_PATH", path)));
        let outcome = run(command, b"").with_code(0);
        let mut taken = Taken::default();
        let bytes = |hex: &str| -> Vec<u8> {
            let digits = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
            digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
        };
        for line in outcome.out.lines() {
            let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
            match (what, rest.split_once(' ')) {
                ("accepted", Some((session, number))) => {
                    taken.accepted = Some((session.to_owned(), number.parse().unwrap()));
                }
                ("message", Some((number, hex))) => {
                    taken.messages.push((number.parse().unwrap(), bytes(hex)))
                }
                ("unsequenced", None) => taken.unsequenced.push(bytes(rest)),
                ("refused", _) => taken.refused = Some(rest.to_owned()),
                ("still", _) => taken.stayed = true,
                ("done", None) => {}
                _ => panic!("{line}:\n{}\n{}", outcome.out, outcome.err),
            }
        }
        assert!(taken.accepted.is_some() || taken.refused.is_some(), "{}\n{}", outcome.out, outcome.err);
        taken
    }

    /// Whether a refusal, in this client's words, is the letter A.
    pub fn says_not_authorized(&self, why: &str) -> bool {
        if self.node_path.is_some() { why == "A" } else { why.contains("NOT_AUTHORIZED") }
    }

    /// Whether it is the letter S. The Python client takes the words before the letter for the refusal.
    pub fn says_no_session(&self, why: &str) -> bool {
        if self.node_path.is_some() { why == "S" } else { why.contains("no such number yet") }
    }
}
