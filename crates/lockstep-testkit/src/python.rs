//! Other people's Python packages: installed once, those that are used together into one virtual environment
//! below cargo's target folder, and fed through a script.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// Seconds that a registry may take; `timeout` ends what takes longer.
const INSTALL_S: &str = "120";
/// Seconds that a script may take.
const RUN_S: &str = "120";
/// Written when all of a package is there: half an installation is made anew.
const WHOLE: &str = "whole";
/// Tests run side by side; one installs, and packages that cannot be had are tried once: their names, and
/// why.
static REFUSED: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// An interpreter that has the packages.
pub struct Python {
    interpreter: PathBuf,
}

/// The folder in which tests may keep what they installed and built: `CARGO_TARGET_TMPDIR`, which cargo tells
/// test programs alone when it compiles them.
pub fn target_folder() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows where it lies");
    let mut folders = own.ancestors();
    let deps = folders.find(|folder| folder.ends_with("deps")).expect("cargo puts tests into deps");
    deps.ancestors().nth(2).expect("deps lies in target/debug").join("tmp")
}

/// A lock between processes, until it is dropped: another program of tests may install into the same folder.
pub fn locked(folder: &Path) -> File {
    std::fs::create_dir_all(folder).expect("a folder");
    let lock = File::create(folder.join("lock")).expect("a file");
    lock.lock().expect("a lock");
    lock
}

/// Runs a command; the last line that it printed if it failed.
fn install(program: &str, args: &[&str], folder: &Path) -> Result<(), String> {
    let mut command = Command::new("timeout");
    command.args([INSTALL_S, program]).args(args).current_dir(folder).stdin(Stdio::null());
    let outcome = command.output().map_err(|error| format!("{program}: {error}"))?;
    let output = [outcome.stderr, outcome.stdout].concat();
    let output = String::from_utf8_lossy(&output);
    let last = output.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it printed nothing");
    if outcome.status.success() { Ok(()) } else { Err(format!("{program} {}: {last}", args.join(" "))) }
}

impl Python {
    /// Installs this package of PyPI, `name==version`, unless it is there.
    pub fn with(package: &str) -> Result<Self, String> {
        Self::with_all(&package.replace("==", "-"), &[package])
    }

    /// Installs these packages into one environment called `name`, unless they are there.
    pub fn with_all(name: &str, packages: &[&str]) -> Result<Self, String> {
        let mut refused = REFUSED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, why)) = refused.iter().find(|(known, _)| known == name) {
            return Err(why.clone());
        }
        let folder = target_folder().join("python").join(name);
        let _lock = locked(&folder);
        let list = packages.join(" ");
        if !std::fs::read_to_string(folder.join(WHOLE)).is_ok_and(|whole| whole == list) {
            let _ = std::fs::remove_dir_all(folder.join("venv")); // it may not be there
            let _ = std::fs::remove_file(folder.join(WHOLE)); // likewise
            let flags = ["-m", "pip", "install", "--quiet", "--retries", "1", "--timeout", "10"];
            let pip = [&flags[..], &["--disable-pip-version-check"], packages].concat();
            let made = install("python3", &["-m", "venv", "venv"], &folder)
                .and_then(|()| install("venv/bin/python", &pip, &folder));
            if let Err(why) = made {
                refused.push((name.to_owned(), why.clone()));
                return Err(why);
            }
            std::fs::write(folder.join(WHOLE), list).expect("a file");
        }
        Ok(Self { interpreter: folder.join("venv/bin/python") })
    }

    /// Where the interpreter is; other programs of its packages lie beside it.
    pub fn interpreter(&self) -> &Path {
        &self.interpreter
    }

    /// A program that the package brings.
    pub fn program(&self, name: &str) -> PathBuf {
        self.interpreter.with_file_name(name)
    }

    /// What the script prints of this input; it must succeed.
    pub fn run(&self, script: &str, args: &[&str], input: &str) -> String {
        let mut command = Command::new("timeout");
        command.arg(RUN_S).arg(&self.interpreter).arg(script).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("timeout runs");
        let mut stdin = child.stdin.take().expect("piped");
        std::thread::scope(|scope| {
            // Beside the reader: both pipes may be full.
            scope.spawn(move || stdin.write_all(input.as_bytes()));
            let outcome = child.wait_with_output().expect("a child");
            let errors = String::from_utf8_lossy(&outcome.stderr);
            assert!(outcome.status.success(), "{script}: {errors}");
            String::from_utf8(outcome.stdout).expect("UTF-8")
        })
    }
}

/// Two hexadecimal digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits.
pub fn bytes_of(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("two digits")).collect()
}
