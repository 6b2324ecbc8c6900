//! Go.

use super::requests::{answered_late, answered_while_leaders_are_killed};
use super::{Installed, finished, greets_twice, installed, root, run_s, takeovers, with_cluster};
use lockstep_testkit::processes::{Cluster, run};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

fn has_go() -> bool {
    Command::new("go").arg("version").output().is_ok_and(|output| output.status.success())
}

/// `go` in our module, with the library where pkg-config finds it, and without a network.
fn go(installed: &Installed, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("go");
    command.current_dir(root().join("bindings/go")).args(arguments);
    command.env("PKG_CONFIG_PATH", installed.library().join("pkgconfig"));
    command.env("LD_LIBRARY_PATH", installed.library());
    command.env("GOCACHE", folder.join("cache")).env("GOPATH", folder.join("path"));
    command.env("GOFLAGS", "-buildvcs=false").env("GOPROXY", "off").env("GOTOOLCHAIN", "local");
    command.env("CGO_ENABLED", "1");
    command
}

/// Where the programs of Go are built; `None` where there is no Go.
fn programs() -> Option<&'static (TempDir, &'static Installed)> {
    static PROGRAMS: OnceLock<Result<(TempDir, &'static Installed), &'static str>> = OnceLock::new();
    let programs = PROGRAMS.get_or_init(|| {
        if !has_go() {
            return Err("Go is not installed");
        }
        if !super::has("pkg-config") {
            return Err("pkg-config is not installed");
        }
        let installed = installed().ok_or("there is no compiler of C")?;
        let folder = tempfile::tempdir().expect("a folder");
        let hello = folder.path().join("hello").display().to_string();
        let merged = folder.path().join("merged").display().to_string();
        let check = folder.path().join("check").display().to_string();
        run(go(installed, folder.path(), &["build", "-o", &hello, "./examples/hello"]), b"").with_code(0);
        run(go(installed, folder.path(), &["build", "-o", &merged, "./examples/merged"]), b"").with_code(0);
        run(go(installed, folder.path(), &["test", "-c", "-o", &check, "."]), b"").with_code(0);
        Ok((folder, installed))
    });
    if let Err(why) = programs {
        println!("SKIPPED: {why}");
    }
    programs.as_ref().ok()
}

fn program(name: &str) -> Option<Command> {
    let (folder, installed) = programs()?;
    let mut command = Command::new(folder.path().join(name));
    command.env("LD_LIBRARY_PATH", installed.library());
    Some(command)
}

/// The example that reads the merged order of a set.
pub(super) fn merged() -> Option<Command> {
    program("merged")
}

/// The program that commits misuses.
pub(super) fn misuses() -> Option<Command> {
    let mut check = program("check")?;
    check.args(["-test.run", "^TestMisuses$", "-test.timeout", "60s"]);
    Some(check)
}

#[test]
fn each_message_of_go_has_one_outcome_and_what_is_wrong_is_refused() {
    let Some(mut check) = program("check") else { return };
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    // Freed memory has other bytes: a call that reads it is seen.
    check.env("MALLOC_PERTURB_", "90").args(["-test.v", "-test.timeout", &format!("{}s", run_s())]);
    let outcome = finished(with_cluster(check, &cluster)).with_code(0);
    println!("{}", outcome.out.trim_end());
    for test in ["TestEachMessageHasOneOutcome", "TestAHandleIsClosedBesideACall"] {
        assert!(outcome.out.contains(&format!("--- PASS: {test}")), "{}", outcome.out);
    }
}

/// The program that runs one test of requests.
fn requests(test: &str) -> Option<Command> {
    let mut check = program("check")?;
    check.env("LOCKSTEP_BINDINGS_TAKEOVERS", takeovers());
    check.args(["-test.v", "-test.run", &format!("^{test}$"), "-test.timeout", &format!("{}s", run_s())]);
    Some(check)
}

#[test]
fn each_request_of_go_has_its_answer_and_each_event_comes_once_although_leaders_die() {
    let Some(check) = requests("TestEachRequestHasItsAnswer") else { return };
    answered_while_leaders_are_killed(check);
}

#[test]
fn a_request_of_go_that_is_not_answered_in_time_says_so_and_its_answer_is_a_later_event() {
    let Some(check) = requests("TestALateAnswerIsAnEventOfALaterCall") else { return };
    answered_late(check);
}

#[test]
fn the_example_of_go_is_built_as_its_users_build_it() {
    let Some((folder, installed)) = programs() else { return };
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    greets_twice(&cluster, || program("hello").expect("it is built"));
    run(go(installed, folder.path(), &["vet", "./..."]), b"").with_code(0);
    let mut format = Command::new("gofmt");
    format.arg("-l").arg(root().join("bindings/go"));
    assert_eq!(run(format, b"").with_code(0).out, "", "files that gofmt would change");
}
