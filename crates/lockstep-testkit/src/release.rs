//! # release: the release before this one, built from its commit
//!
//! A rolling upgrade is tested with the program that users run, not with what we remember of it. It is built
//! once and kept beside the other programs.

use lockstep_process::child::clear_settings;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The commit of the release before this one. It speaks version 3 of wire and log alone.
pub const PREVIOUS: &str = "fb4a776d1c948dd92c068554cc975320f3dc5bb2";

static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// The program of the release before this one: `LOCKSTEP_PREVIOUS` names one that exists, or it is built from
/// its commit, which takes some minutes the first time and is left to `.ci/night` and the chores of `tools`.
///
/// # Errors
/// Why it cannot be had: it is not built and shall not be now, there is no repository here, or a clone
/// without that commit.
///
/// # Panics
/// The commit is there and does not build.
pub fn previous(builds: bool) -> Result<PathBuf, String> {
    PROGRAM.get_or_init(|| found_or_built(builds)).clone()
}

/// Whether that is the program of the release before this one.
pub fn is_previous(program: &Path) -> bool {
    matches!(PROGRAM.get(), Some(Ok(previous)) if previous == program)
}

fn found_or_built(builds: bool) -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("LOCKSTEP_PREVIOUS") {
        return Ok(path.into());
    }
    let own = std::env::current_exe().expect("a program knows where it lies");
    let target = own.ancestors().find(|folder| folder.join("lockstep").exists()).expect("cargo's folder");
    let folder = target.join("previous").join(&PREVIOUS[..12]);
    let program = folder.join("target/debug/lockstep");
    if !program.exists() {
        if !builds {
            return Err("the release before this one is built by .ci/night".to_owned());
        }
        unpack(&folder)?;
        build(&folder);
    }
    Ok(program)
}

/// Writes the commit's files into `folder`.
fn unpack(folder: &Path) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace");
    let mut look = Command::new("git");
    look.arg("-C").arg(root).args(["cat-file", "-e", PREVIOUS]).stderr(Stdio::null());
    let has_commit = look.status();
    if !has_commit.is_ok_and(|status| status.success()) {
        return Err(format!(
            "no commit {} here: a whole clone has the release before this one",
            &PREVIOUS[..12]
        ));
    }
    std::fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut archive = Command::new("git");
    archive.arg("-C").arg(root).args(["archive", "--format=tar", PREVIOUS]).stdout(Stdio::piped());
    let mut archive = archive.spawn().expect("git, which found the commit");
    let mut tar = Command::new("tar");
    tar.arg("-x").arg("-C").arg(folder).stdin(archive.stdout.take().expect("piped"));
    let (unpacked, archived) = (tar.status().expect("tar"), archive.wait().expect("a child"));
    assert!(unpacked.success() && archived.success(), "git archive {PREVIOUS}: {archived}, tar: {unpacked}");
    Ok(())
}

fn build(folder: &Path) {
    let mut command = Command::new("cargo");
    command.args(["build", "--locked", "--bin", "lockstep"]).current_dir(folder);
    clear_settings(&mut command);
    // Cargo's variables in this process are about this workspace.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_") && name != "CARGO_HOME"
            || name == "RUSTFLAGS"
            || name == "RUSTC_WRAPPER"
        {
            command.env_remove(name);
        }
    }
    command.env("CARGO_TARGET_DIR", folder.join("target")).env("CARGO_INCREMENTAL", "0");
    // It is built for this one use: unoptimized it is there in half the time.
    command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_DEV_OPT_LEVEL", "0");
    let built = command.output().expect("cargo");
    assert!(built.status.success(), "{PREVIOUS}:\n{}", String::from_utf8_lossy(&built.stderr));
}
