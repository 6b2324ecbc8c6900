//! Java.

use super::requests::{answered_late, answered_while_leaders_are_killed};
use super::{
    Installed, RETRACTIONS, greets_twice, has, installed, messages, root, stays_flat, takeovers,
    while_leaders_are_cut_off, while_leaders_are_killed, with_cluster,
};
use lockstep_testkit::processes::{Cluster, run};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// The package that `bindings/java/build.sh` has built, and the classes of the programs that use it.
struct Java {
    folder: TempDir,
    installed: &'static Installed,
}

impl Java {
    fn out(&self) -> &Path {
        self.folder.path()
    }

    fn jar(&self) -> PathBuf {
        self.out().join("lockstep.jar")
    }

    /// `java` with what it needs for a class of ours.
    fn command(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        let classes = [self.jar(), self.out().join("programs")];
        command.arg("-cp").arg(std::env::join_paths(classes).expect("paths"));
        command.arg(format!("-Djava.library.path={}", self.out().display())).arg(class);
        command
    }

    fn check(&self, arguments: &[&str]) -> Command {
        self.program("Check", arguments)
    }

    fn program(&self, class: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(class);
        command.args(arguments);
        command
    }
}

/// `build.sh` with a folder for its results.
fn build(out: &Path, prefix: &Path) -> Command {
    let mut command = Command::new(root().join("bindings/java/build.sh"));
    command.arg(out).arg(prefix);
    command
}

/// The package that the tests share; `None` where there is no JDK.
fn java() -> Option<&'static Java> {
    static JAVA: OnceLock<Option<Java>> = OnceLock::new();
    let java = JAVA.get_or_init(|| {
        if !has("javac") {
            return None;
        }
        let installed = installed()?;
        let folder = tempfile::tempdir().expect("a folder");
        run(build(folder.path(), installed.prefix()), b"").with_code(0);
        let java = Java { folder, installed };
        let mut compile = Command::new("javac");
        compile.args(["-encoding", "UTF-8", "--release", "17", "-Xlint:all", "-Werror"]);
        compile.arg("-cp").arg(java.jar()).arg("-d").arg(java.out().join("programs"));
        let sources = root().join("bindings/java");
        compile.arg(sources.join("tests/Check.java")).arg(sources.join("tests/Misuses.java"));
        compile.arg(sources.join("tests/Requests.java"));
        compile.arg(sources.join("examples/Hello.java")).arg(sources.join("examples/Counter.java"));
        compile.arg(sources.join("examples/ApplyCost.java")).arg(sources.join("tests/MachineCheck.java"));
        compile.arg(sources.join("tests/ClusterCheck.java")).arg(sources.join("examples/Merged.java"));
        run(compile, b"").with_code(0);
        Some(java)
    });
    if java.is_none() {
        println!("SKIPPED: there is no javac");
    }
    java.as_ref()
}

/// The jar that the tests share, or none.
pub(crate) fn shared_jar() -> Option<PathBuf> {
    java().map(Java::jar)
}

/// The example that reads the merged order of a set.
pub(super) fn merged() -> Option<Command> {
    Some(java()?.command("Merged"))
}

/// The program that commits misuses.
pub(super) fn misuses() -> Option<Command> {
    Some(java()?.command("Misuses"))
}

/// `java` as a path: a program may have another `PATH`.
pub(super) fn launcher() -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join("java")).find(|java| java.is_file());
    found.expect("java is in the PATH")
}

/// One of the programs.
pub(super) fn program_of(class: &str) -> Option<Command> {
    Some(java()?.command(class))
}

#[test]
fn the_enums_of_java_have_the_numbers_of_the_header() {
    let Some(java) = java() else { return };
    let header = java.installed.prefix().join("include/lockstep.h").display().to_string();
    run(java.check(&["numbers", &header]), b"").with_code(0);
}

#[test]
fn java_refuses_what_is_wrong_by_status_and_text() {
    let Some(java) = java() else { return };
    run(java.check(&["refusals"]), b"").with_code(0);
}

#[test]
fn each_message_of_java_has_one_outcome_and_one_place_whoever_leads() {
    let Some(java) = java() else { return };
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let command = java.check(&["load", "from-java", takeovers()]);
    let outcome = while_leaders_are_killed(&cluster, &mut replicas, command);
    assert!(outcome.out.contains("messages, each with one outcome"), "{}", outcome.out);
}

#[test]
fn each_request_of_java_has_its_answer_and_each_event_comes_once_although_leaders_die() {
    let Some(java) = java() else { return };
    answered_while_leaders_are_killed(java.program("Requests", &["load", "from-java", takeovers()]));
}

#[test]
fn a_request_of_java_that_is_not_answered_in_time_says_so_and_its_answer_is_a_later_event() {
    let Some(java) = java() else { return };
    let mut command = Command::new("java");
    command.arg("-Xcheck:jni").args(java.program("Requests", &["late", "from-java"]).get_args());
    answered_late(command);
}

#[test]
fn what_a_takeover_retracts_from_java_is_delivered_anew() {
    let Some(java) = java() else { return };
    while_leaders_are_cut_off(java.check(&["stamped", "from-java", RETRACTIONS]));
}

#[test]
fn java_goes_on_behind_a_full_window_and_with_one_thread_in_a_handle() {
    let Some(java) = java() else { return };
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    run(with_cluster(java.check(&["full", "from-java"]), &cluster), b"").with_code(0);
    run(with_cluster(java.check(&["threads"]), &cluster), b"").with_code(0);
}

#[test]
fn java_allocates_nothing_while_messages_pass() {
    let Some(java) = java() else { return };
    let out = stays_flat(&java.check(&["garbage", "from-java", &messages()]));
    assert!(out.contains(": 0 bytes allocated"), "{out}");
}

/// The virtual machine looks at each call of the native side: its arguments, exceptions, references.
#[test]
fn the_native_side_of_java_breaks_no_rule_of_jni() {
    let Some(java) = java() else { return };
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let checks = [&["refusals"][..], &["load", "from-java", "0"], &["threads"], &["full", "another"]];
    let checks = checks.map(|arguments| ("Check", arguments));
    let machine = ["fails", &cluster.path("failing").display().to_string()];
    let trial = ("MachineCheck", &["trial"][..]);
    let large = ["large", &cluster.path("parts").display().to_string()];
    let machines = ["MachineCheck"; 2].into_iter().zip([&machine[..], &large[..]]);
    let machines = machines.chain([trial, ("ApplyCost", &["1000", "1"][..])]);
    for (class, arguments) in checks.into_iter().chain(machines) {
        let mut command = Command::new("java");
        command.arg("-Xcheck:jni").args(java.command(class).args(arguments).get_args());
        let outcome = run(with_cluster(command, &cluster), b"").with_code(0);
        let all = format!("{}{}", outcome.out, outcome.err);
        // Behind "WARNING" or "FATAL ERROR"; from Java 24 on there are warnings of other things.
        let broken = ["in native method", "JNI local refs", "JNI call made"];
        assert!(!broken.iter().any(|words| all.contains(words)), "{arguments:?}: {all}");
    }
}

#[test]
fn the_example_of_java_is_built_as_its_users_build_it() {
    let Some(java) = java() else { return };
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    greets_twice(&cluster, || java.command("Hello"));
    // The library by its own property, and the example as a source file, on a stream of its own.
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    greets_twice(&cluster, || {
        let mut command = Command::new("java");
        command.arg("-cp").arg(java.jar());
        command.arg(format!("-Dlockstep.native={}", java.out().join("liblockstep_jni.so").display()));
        command.arg(root().join("bindings/java/examples/Hello.java"));
        command
    });
    let mut nowhere = Command::new("java");
    nowhere.arg("-Dlockstep.native=/nowhere/liblockstep_jni.so").arg("-cp").arg(java.jar());
    nowhere.arg(root().join("bindings/java/examples/Hello.java"));
    let refused = run(with_cluster(nowhere, &cluster), b"");
    assert_ne!(refused.code, Some(0));
    assert!(refused.err.contains("bindings/java/build.sh"), "{}", refused.err);
}

#[test]
fn the_build_of_java_names_what_is_missing() {
    let Some(java) = java() else { return };
    let prefix = java.installed.prefix();
    let refused = |command: Command, words: &str| {
        let outcome = run(command, b"");
        assert_ne!(outcome.code, Some(0), "not refused: {words}");
        assert!(outcome.err.contains(words), "'{words}' is not in: {}", outcome.err);
    };
    let out = java.out().join("nothing");
    refused(build(&out, Path::new("/nowhere")), "/nowhere/include/lockstep.h is missing");
    refused(Command::new(root().join("bindings/java/build.sh")), "build.sh OUT PREFIX");
    let mut without_jdk = build(&out, prefix);
    without_jdk.env("JAVA_HOME", "/nowhere");
    refused(without_jdk, "JAVA_HOME must name a JDK");
    let mut without_compiler = build(&out, prefix);
    without_compiler.env("CC", "no-such-compiler");
    refused(without_compiler, "no compiler of C called 'no-such-compiler'");
}

#[test]
fn each_public_item_of_java_has_its_javadoc() {
    let Some(java) = java() else { return };
    if !has("javadoc") {
        println!("SKIPPED: there is no javac with a javadoc");
        return;
    }
    let (sources, pages) = (root().join("bindings/java/src"), java.out().join("doc"));
    let mut command = Command::new("javadoc");
    command.args(["-quiet", "-Xdoclint:all", "-Werror", "-encoding", "UTF-8", "-subpackages", "io.lockstep"]);
    command.arg("--source-path").arg(sources).arg("-d").arg(&pages);
    run(command, b"").with_code(0);
    assert!(pages.join("io.lockstep/io/lockstep/Participant.html").exists(), "{}", pages.display());
}
