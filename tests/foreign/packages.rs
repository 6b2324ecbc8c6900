//! What a package brings: units that systemd takes, a sandbox in which the daemons can work, manual pages and
//! completions of every command. And what programs of other languages install: a wheel, a jar, a library for
//! C.

mod installed;
mod jar;
mod library;
mod release;
mod wheel;

use lockstep_testkit::processes::{self, Cluster, program};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use tools::package;

/// The exposure that `systemd-analyze security` may find at most, in tenths.
const EXPOSURE_MAX: &str = "25";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program of the system, or tells that it is not there.
fn run(program: &str, args: &[&str]) -> Option<Output> {
    match Command::new(program).args(args).env("LC_ALL", "C").output() {
        Ok(output) => Some(output),
        Err(_) => {
            println!("SKIPPED: a program that looks at packages is not installed: {program}");
            None
        }
    }
}

/// The units, by the name of the daemon.
fn units() -> Vec<(String, String)> {
    let folder = root().join("contrib/systemd");
    let files = fs::read_dir(folder).expect("the units").map(|entry| entry.expect("an entry").path());
    let unit = |path: PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).expect("a unit"))
    };
    let mut units: Vec<_> = files.map(unit).collect();
    units.sort();
    assert_eq!(units.len(), 6, "sequencer, archiver, gateway, feed, notary, coordinator");
    units
}

/// The values of all lines with this key.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines()
        .filter_map(|line| line.split_once('=').filter(|(name, _)| *name == key))
        .map(|(_, value)| value)
        .collect()
}

#[test]
fn systemd_takes_every_unit_and_finds_it_confined() {
    let folder = TempDir::new().expect("a folder");
    let bridge = include_str!("../../contrib/bridge/lockstep-bridge@.service")
        .replace("lockstep-bridge $ARGS", "lockstep");
    let bridge = ("lockstep-bridge@.service".to_owned(), bridge);
    for (name, text) in units().into_iter().chain([bridge]) {
        let path = folder.path().join(name.replace('@', "@1"));
        let here = text.replace("/usr/bin/lockstep", &program().display().to_string());
        fs::write(&path, here).expect("a unit");
        let path = path.display().to_string();
        let Some(verified) = run("systemd-analyze", &["verify", "--man=no", &path]) else { return };
        let words = String::from_utf8_lossy(&verified.stderr).into_owned();
        let ours: Vec<_> = words.lines().filter(|line| line.contains("lockstep")).collect();
        assert!(ours.is_empty(), "{name}: {words}");
        let args = ["security", "--offline=true", "--threshold", EXPOSURE_MAX, &path];
        let Some(judged) = run("systemd-analyze", &args) else { return };
        assert!(judged.status.success(), "{name}: {}", String::from_utf8_lossy(&judged.stdout));
    }
}

#[test]
fn every_unit_starts_a_command_that_exists_with_flags_that_it_has() {
    for (name, text) in units() {
        // The flags that the unit's own comment shows.
        let shown =
            text.lines().find_map(|line| line.split_once(", e.g. ARGS=")).map_or("", |(_, flags)| flags);
        let command = values(&text, "ExecStart")[0].replace("%i", "1").replace("$ARGS", shown);
        let args: Vec<_> = command.split_whitespace().skip(1).collect();
        let mut started = Command::new(program());
        started.args(&args).args(["--config", "/nonexistent/lockstep.toml"]);
        processes::run(started, b"").with_code(2).saying(&["/nonexistent/lockstep.toml"]);
        assert_eq!(values(&text, "RestartPreventExitStatus"), ["2 3 5"], "{name}");
        assert_eq!(values(&text, "Type"), ["notify"], "{name}");
    }
}

/// The system calls of a group, with those of the groups in it.
fn calls_of(group: &str, calls: &mut BTreeSet<String>) {
    let Some(output) = run("systemd-analyze", &["syscall-filter", group]) else { return };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in text.lines().skip(1).map(str::trim).filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        match word.starts_with('@') {
            true => calls_of(word, calls),
            false => _ = calls.insert(word.to_owned()),
        }
    }
}

/// The system calls that a unit allows.
fn allowed(unit: &str) -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for line in values(unit, "SystemCallFilter") {
        let (denies, words) = line.strip_prefix('~').map_or((false, line), |words| (true, words));
        let mut named = BTreeSet::new();
        for word in words.split_whitespace() {
            match word.starts_with('@') {
                true => calls_of(word, &mut named),
                false => _ = named.insert(word.to_owned()),
            }
        }
        match denies {
            true => allowed = &allowed - &named,
            false => allowed.append(&mut named),
        }
    }
    allowed
}

#[test]
fn a_replica_makes_no_system_call_that_its_unit_denies() {
    let (_, unit) =
        units().into_iter().find(|(name, _)| name.starts_with("lockstep-sequencer")).expect("a unit");
    let cluster = Cluster::new(1, "");
    cluster.format(1);
    cluster.run(&["bootstrap", "--replica", "1"], b"").with_code(0);
    let traced = cluster.path("calls");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "signal=none", "-o"]).arg(&traced).arg(program());
    command.args(cluster.args(&["sequencer", "--replica", "1"]));
    if run("strace", &["--version"]).is_none() {
        return;
    }
    let allowed = allowed(&unit);
    if allowed.is_empty() {
        return;
    }
    let mut replica = cluster.start_command("replica-1", command);
    replica.await_log("-> leader");
    cluster.publish("a\nb\n");
    // strace itself does not hand the signal on.
    let children = format!("/proc/{0}/task/{0}/children", replica.pid());
    let children = fs::read_to_string(children).expect("strace runs");
    let own = children.split_whitespace().next().expect("its child");
    assert!(run("kill", &["-s", "TERM", own]).is_some_and(|killed| killed.status.success()));
    assert!(replica.wait().success());
    let text = fs::read_to_string(&traced).expect("what strace wrote");
    let name = |line: &str| {
        let call = line.split_once(' ')?.1.trim_start();
        let call = call.strip_prefix("<... ").map_or(call, |resumed| resumed);
        let end = call.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')?;
        (end > 0).then(|| call[..end].to_owned())
    };
    let made: BTreeSet<_> = text.lines().filter_map(name).collect();
    assert!(made.contains("sendmmsg") || made.contains("sendto") || made.contains("sendmsg"), "{made:?}");
    let denied: Vec<_> = made.difference(&allowed).collect();
    assert!(denied.is_empty(), "the unit denies {denied:?}");
}

#[test]
fn every_command_has_a_manual_page_and_shells_take_the_completions() {
    let folder = TempDir::new().expect("a folder");
    let (manual, completions) = (folder.path().join("man"), folder.path().join("completions"));
    package::manual(&manual).expect("pages");
    package::completions(&program(), &completions).expect("completions");
    for command in lockstep::cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let page = manual.join(format!("lockstep-{}.1", command.get_name()));
        let text = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        assert!(text.contains(".TH"), "{}", page.display());
    }
    let bash = completions.join("lockstep.bash").display().to_string();
    let Some(judged) = run("bash", &["-n", &bash]) else { return };
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
}

#[test]
fn every_file_that_the_package_takes_in_exists_or_is_made_by_the_release() {
    let text = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let manifest: toml::Table = text.parse().expect("TOML");
    let deb = &manifest["package"]["metadata"]["deb"];
    let assets = deb["assets"].as_array().expect("assets");
    for asset in assets {
        let from = asset[0].as_str().expect("a path");
        if from.starts_with("target/") {
            continue;
        }
        let folder = root().join(from).parent().expect("a folder").to_owned();
        let suffix = from.rsplit('*').next().expect("a name");
        let is_it = |path: &Path| match from.contains('*') {
            true => path.display().to_string().ends_with(suffix),
            false => path == root().join(from),
        };
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        assert!(files.flatten().any(|entry| is_it(&entry.path())), "{from}");
    }
    let scripts = root().join(deb["maintainer-scripts"].as_str().expect("a folder"));
    for script in package::MAINTAINER_SCRIPTS {
        let Some(judged) = run("sh", &["-n", &scripts.join(script).display().to_string()]) else { return };
        assert!(judged.status.success(), "{script}: {}", String::from_utf8_lossy(&judged.stderr));
    }
}

#[test]
fn the_package_has_the_version_of_the_program() {
    let text = fs::read_to_string(root().join("contrib/debian/changelog")).expect("a changelog");
    let first = format!("lockstep ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(text.starts_with(&first), "contrib/debian/changelog does not begin with '{first}'");
}

#[test]
fn the_containers_run_the_replicas_of_their_file() {
    let folder = root().join("contrib/container");
    let mut check = Command::new(program());
    check.arg("check").arg(folder.join("lockstep.toml"));
    processes::run(check, b"").with_code(0);
    let compose = fs::read_to_string(folder.join("compose.yaml")).expect("a compose file");
    for id in 1..=3 {
        assert!(compose.contains(&format!("command: [\"sequencer\", \"--replica\", \"{id}\"]")), "{id}");
    }
}
