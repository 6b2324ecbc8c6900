//! Node.

use super::requests::{answered_late, answered_while_leaders_are_killed};
use super::{
    Installed, bounded, finished, greets_twice, has, installed, root, run_s, takeovers, with_cluster,
};
use lockstep_testkit::processes::{Cluster, run};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// `build.sh` with a folder for its results.
fn build(out: &Path, prefix: &Path) -> Command {
    let mut command = Command::new(root().join("bindings/node/build.sh"));
    command.arg(out).arg(prefix);
    command
}

/// The folder of the module that the tests share; `None` where there is no Node, or where it has no headers.
fn module() -> Option<&'static (TempDir, &'static Installed)> {
    static MODULE: OnceLock<Result<(TempDir, &'static Installed), &'static str>> = OnceLock::new();
    let module = MODULE.get_or_init(|| {
        if !has("node") {
            return Err("Node is not installed");
        }
        let installed = installed().ok_or("there is no compiler of C")?;
        let folder = tempfile::tempdir().expect("a folder");
        let built = run(build(folder.path(), installed.prefix()), b"");
        if built.err.contains("node_api.h is missing") {
            return Err("Node is installed without its headers");
        }
        built.with_code(0);
        Ok((folder, installed))
    });
    if let Err(why) = module {
        println!("SKIPPED: {why}");
    }
    module.as_ref().ok()
}

fn node(out: &Path, script: &str) -> Command {
    let mut command = bounded(run_s(), "node");
    command.env("NODE_PATH", out).arg(root().join("bindings/node").join(script));
    command
}

/// The example that reads the merged order of a set.
pub(super) fn merged() -> Option<Command> {
    let (out, _) = module()?;
    Some(node(out.path(), "examples/merged.js"))
}

/// The program that commits misuses.
pub(super) fn misuses() -> Option<Command> {
    let (out, _) = module()?;
    Some(node(out.path(), "tests/misuses.js"))
}

#[test]
fn each_message_of_node_has_one_outcome_and_what_is_wrong_is_refused() {
    let Some((out, _)) = module() else { return };
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let outcome = finished(with_cluster(node(out.path(), "tests/check.js"), &cluster)).with_code(0);
    println!("{}", outcome.out.trim_end());
    assert!(outcome.out.contains(" messages, each with one outcome"), "{}", outcome.out);
}

#[test]
fn each_request_of_node_has_its_answer_and_each_event_comes_once_although_leaders_die() {
    let Some((out, _)) = module() else { return };
    let mut requests = node(out.path(), "tests/requests.js");
    requests.args(["load", takeovers()]);
    answered_while_leaders_are_killed(requests);
}

#[test]
fn a_request_of_node_that_is_not_answered_in_time_says_so_and_its_answer_is_a_later_event() {
    let Some((out, _)) = module() else { return };
    let mut requests = node(out.path(), "tests/requests.js");
    requests.arg("late");
    answered_late(requests);
}

#[test]
fn the_example_of_node_is_built_as_its_users_build_it() {
    let Some((out, _)) = module() else { return };
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    greets_twice(&cluster, || node(out.path(), "examples/hello.js"));
}

#[test]
fn the_build_of_node_names_what_is_missing() {
    let Some((out, installed)) = module() else { return };
    let out = out.path().join("nothing");
    let refused = |command: Command, words: &str| {
        let outcome = run(command, b"");
        assert_ne!(outcome.code, Some(0), "not refused: {words}");
        assert!(outcome.err.contains(words), "'{words}' is not in: {}", outcome.err);
    };
    refused(build(&out, Path::new("/nowhere")), "/nowhere/include/lockstep.h is missing");
    let mut without_headers = build(&out, installed.prefix());
    without_headers.env("NODE_INCLUDE", "/nowhere");
    refused(without_headers, "/nowhere/node_api.h is missing: it is in Debian's package libnode-dev");
}
