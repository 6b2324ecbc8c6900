//! QuickFIX's own data dictionaries, by which it judges each message that it is sent: its fields, their types
//! and values, and those that the standard requires.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The release of QuickFIX's source on PyPI. Debian's package has no dictionaries.
const RELEASE: &str = "1.16.0";

/// Their folder; `None` where they cannot be had, which is said. They are fetched once.
pub fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = FOLDER.get_or_init(fetched);
    made.as_deref().map_err(|why| println!("SKIPPED: QuickFIX's data dictionaries cannot be had: {why}")).ok()
}

fn fetched() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("quickfix");
    let (source, spec) = (format!("quickfix-{RELEASE}"), folder.join(format!("quickfix-{RELEASE}/spec")));
    if spec.join("whole").exists() {
        return Ok(spec);
    }
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let done = |command: &mut Command| {
        let output = command.current_dir(&folder).output().map_err(|error| error.to_string())?;
        let words = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
        output.status.success().then_some(()).ok_or(words)
    };
    let package = format!("quickfix=={RELEASE}");
    done(
        Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--retries", "1", "--timeout", "10", "--no-deps"])
            .args(["--disable-pip-version-check", "--no-binary", ":all:", &package]),
    )?;
    done(Command::new("tar").args(["-xzf", &format!("{source}.tar.gz"), &format!("{source}/spec")]))?;
    fs::write(spec.join("whole"), "").map_err(|error| error.to_string())?;
    Ok(spec)
}
