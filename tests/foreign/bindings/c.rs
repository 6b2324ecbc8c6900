//! C and C++.

use super::requests::{answered_late, answered_while_leaders_are_killed};
use super::{
    Installed, RETRACTIONS, built, greets_twice, has, installed, messages, root, stays_flat, takeovers,
    while_leaders_are_cut_off, while_leaders_are_killed, with_cluster,
};
use lockstep_testkit::processes::{Cluster, run};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

impl Installed {
    /// Compiler and flags of a strict build.
    fn compile(&self, compiler: &str, more: &[&str], source: &Path, program: &str) -> PathBuf {
        let path = self.prefix().join(program);
        let mut command = Command::new(compiler);
        command.args(["-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-g", "-I"]);
        command.arg(self.prefix().join("include")).arg("-o").arg(&path).arg(source).args(more);
        run(command, b"").with_code(0);
        path
    }

    /// The same with the library inside.
    pub(super) fn compile_whole(
        &self,
        compiler: &str,
        more: &[&str],
        source: &Path,
        program: &str,
    ) -> PathBuf {
        let library = self.library().join("liblockstep_c.a").display().to_string();
        let libraries = [&library, "-lgcc_s", "-lpthread", "-ldl", "-lm"];
        self.compile(compiler, &[more, &libraries].concat(), source, program)
    }
}

/// A program below `bindings/c` under AddressSanitizer, with the library inside.
pub(super) fn sanitized(
    built: &OnceLock<PathBuf>,
    compiler: &str,
    standard: &str,
    source: &str,
) -> Option<PathBuf> {
    let installed = installed()?;
    if !has(compiler) {
        println!("SKIPPED: there is no compiler of C++");
        return None;
    }
    let build = || {
        let path = root().join("bindings/c").join(source);
        let flags = [standard, "-fsanitize=address,undefined"];
        installed.compile_whole(compiler, &flags, &path, &source.replace(['.', '/'], "-"))
    };
    Some(built.get_or_init(build).clone())
}

/// The programs that hold the promises of both headers, by the names of their languages.
fn checks() -> Vec<(&'static str, PathBuf)> {
    static C: OnceLock<PathBuf> = OnceLock::new();
    static CPP: OnceLock<PathBuf> = OnceLock::new();
    let c = sanitized(&C, "cc", "-std=c11", "tests/check.c").map(|program| ("from-c", program));
    let cpp = sanitized(&CPP, "c++", "-std=c++17", "tests/check.cpp").map(|program| ("from-cpp", program));
    c.into_iter().chain(cpp).collect()
}

/// The programs that commit misuses.
pub(super) fn misuses() -> Vec<(&'static str, Command)> {
    static C: OnceLock<PathBuf> = OnceLock::new();
    static CPP: OnceLock<PathBuf> = OnceLock::new();
    let c = sanitized(&C, "cc", "-std=c11", "tests/misuses.c").map(|program| ("C", program));
    let cpp = sanitized(&CPP, "c++", "-std=c++17", "tests/misuses.cpp").map(|program| ("C++", program));
    let programs = c.into_iter().chain(cpp);
    programs
        .map(|(language, program)| (language, check(&program, &[&format!("misuses-{language}")])))
        .collect()
}

/// The programs that make requests.
fn requests() -> Vec<(&'static str, PathBuf)> {
    static C: OnceLock<PathBuf> = OnceLock::new();
    static CPP: OnceLock<PathBuf> = OnceLock::new();
    let c = sanitized(&C, "cc", "-std=c11", "tests/requests.c").map(|program| ("from-c", program));
    let cpp = sanitized(&CPP, "c++", "-std=c++17", "tests/requests.cpp").map(|program| ("from-cpp", program));
    c.into_iter().chain(cpp).collect()
}

/// The examples that read the merged order of a set.
pub(super) fn merged() -> Vec<(&'static str, Command)> {
    static C: OnceLock<PathBuf> = OnceLock::new();
    static CPP: OnceLock<PathBuf> = OnceLock::new();
    let c = sanitized(&C, "cc", "-std=c11", "examples/merged.c").map(|program| ("C", program));
    let cpp = sanitized(&CPP, "c++", "-std=c++17", "examples/merged.cpp").map(|program| ("C++", program));
    let programs = c.into_iter().chain(cpp);
    programs.map(|(language, program)| (language, check(&program, &[]))).collect()
}

fn check(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

#[test]
fn c_and_cpp_refuse_what_is_wrong_by_code_and_text() {
    for (_, program) in checks() {
        run(check(&program, &["refusals"]), b"").with_code(0);
    }
}

#[test]
fn each_message_of_c_and_cpp_has_one_outcome_and_one_place_whoever_leads() {
    for (name, program) in checks() {
        let cluster = Cluster::new(3, "");
        let mut replicas = cluster.found();
        let outcome =
            while_leaders_are_killed(&cluster, &mut replicas, check(&program, &["load", name, takeovers()]));
        assert!(outcome.out.contains("messages, each with one outcome"), "{}", outcome.out);
    }
}

#[test]
fn what_a_takeover_retracts_from_c_and_cpp_is_delivered_anew() {
    for (name, program) in checks() {
        while_leaders_are_cut_off(check(&program, &["stamped", name, RETRACTIONS]));
    }
}

#[test]
fn c_and_cpp_are_refused_a_message_while_the_window_is_full_and_go_on_when_it_is_not() {
    for (name, program) in checks() {
        let cluster = Cluster::new(1, "");
        let _replicas = cluster.found();
        run(with_cluster(check(&program, &["full", name]), &cluster), b"").with_code(0);
    }
}

#[test]
fn a_callback_of_c_and_cpp_publishes_and_closes_and_all_else_is_refused() {
    for (name, program) in checks() {
        let cluster = Cluster::new(1, "");
        let _replicas = cluster.found();
        let outcome = run(with_cluster(check(&program, &["callbacks", name]), &cluster), b"").with_code(0);
        assert!(outcome.out.contains("answers in callbacks"), "{}", outcome.out);
    }
}

#[test]
fn c_and_cpp_tell_what_became_of_messages_and_refuse_a_number_that_nobody_reaches() {
    for (name, program) in checks() {
        let cluster = Cluster::new(1, "");
        let _replicas = cluster.found();
        run(with_cluster(check(&program, &["outcomes", name]), &cluster), b"").with_code(0);
    }
}

#[test]
fn each_request_of_c_and_cpp_has_its_answer_and_each_event_comes_once_although_leaders_die() {
    for (name, program) in requests() {
        answered_while_leaders_are_killed(check(&program, &["load", name, takeovers()]));
    }
}

#[test]
fn a_request_of_c_and_cpp_that_is_not_answered_in_time_says_so_and_its_answer_is_a_later_event() {
    for (name, program) in requests() {
        answered_late(check(&program, &["late", name]));
    }
}

#[test]
fn a_child_of_a_fork_is_refused_the_handles_of_its_parent_and_harms_it_nothing() {
    for (name, program) in checks().into_iter().filter(|(name, _)| *name == "from-c") {
        let cluster = Cluster::new(1, "");
        let _replicas = cluster.found();
        let outcome = run(with_cluster(check(&program, &["fork", name]), &cluster), b"").with_code(0);
        assert!(outcome.out.contains("21 outcomes beside a child"), "{}", outcome.out);
    }
}

#[test]
fn c_and_cpp_allocate_nothing_more_while_messages_pass() {
    for (name, program) in checks() {
        stays_flat(&check(&program, &["flat", name, &messages()]));
    }
}

/// `bindings/c/install.sh` where the loader searches `searched`: whether its cache was renewed, and the line
/// on stderr. The loader is a stand-in: that of this machine is not touched.
fn install_where_the_loader_searches(searched: Option<&Path>) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let (prefix, programs) = (folder.path().join("prefix"), folder.path().join("programs"));
    let renewed = folder.path().join("renewed");
    std::fs::create_dir_all(prefix.join("lib")).expect("a folder");
    std::fs::create_dir_all(&programs).expect("a folder");
    let stand_in =
        "#!/bin/sh\nif [ $# = 0 ]; then echo >\"$RENEWED\"; else echo \"$SEARCHED: (from a file)\"; fi\n";
    std::fs::write(programs.join("ldconfig"), stand_in).expect("a script");
    std::fs::set_permissions(programs.join("ldconfig"), Permissions::from_mode(0o755)).expect("a script");
    let own = prefix.join("lib").canonicalize().expect("a folder");
    let mut path = programs.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").expect("a PATH"));
    let mut command = Command::new(root().join("bindings/c/install.sh"));
    command.arg(&prefix).arg(built()).env("PATH", path);
    command.env("RENEWED", &renewed).env("SEARCHED", searched.unwrap_or(&own));
    let hint = run(command, b"").with_code(0).err;
    (renewed.exists(), hint)
}

#[test]
fn the_installation_of_c_renews_the_loaders_cache_or_says_how_the_library_is_found() {
    let (is_renewed, hint) = install_where_the_loader_searches(None);
    assert!(is_renewed, "the cache lacks what was installed: {hint}");
    assert!(!hint.contains("loader"), "{hint}");
    let (is_renewed, hint) = install_where_the_loader_searches(Some(Path::new("/elsewhere")));
    assert!(!is_renewed, "a folder that the loader does not search is none of its cache");
    assert!(hint.contains("the loader does not search") && hint.contains("LD_LIBRARY_PATH="), "{hint}");
}

/// [`greets_twice`] for a program that the loader finds the library for.
fn program_greets_twice(program: &Path, cluster: &Cluster, library: &Path) {
    greets_twice(cluster, || {
        let mut command = Command::new(program);
        command.env("LD_LIBRARY_PATH", library);
        command
    });
}

#[test]
fn the_examples_of_c_and_cpp_are_built_as_their_users_build_them() {
    let Some(installed) = installed() else { return };
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let examples = root().join("bindings/c/examples");
    let library = installed.library();
    let flag = format!("-L{}", library.display());
    if has("pkg-config") {
        let mut command = Command::new("pkg-config");
        command.env("PKG_CONFIG_PATH", library.join("pkgconfig")).args(["--cflags", "--libs", "lockstep"]);
        let flags = run(command, b"").with_code(0).out;
        let flags: Vec<_> = ["-std=c11"].into_iter().chain(flags.split_whitespace()).collect();
        let program = installed.compile("cc", &flags, &examples.join("hello.c"), "hello-pkg-config");
        program_greets_twice(&program, &cluster, &library);
    } else {
        println!("SKIPPED: pkg-config is not installed");
    }
    if has("c++") {
        let source = examples.join("cmake/hello.cpp");
        let program = installed.compile("c++", &["-std=c++17", &flag, "-llockstep_c"], &source, "hello-cpp");
        program_greets_twice(&program, &cluster, &library);
    } else {
        println!("SKIPPED: there is no compiler of C++");
    }
    if has("cmake") && has("c++") {
        let build = installed.prefix().join("build");
        let mut configure = Command::new("cmake");
        configure.arg("-S").arg(examples.join("cmake")).arg("-B").arg(&build);
        configure.arg(format!("-DCMAKE_PREFIX_PATH={}", installed.prefix().display()));
        run(configure, b"").with_code(0);
        let mut make = Command::new("cmake");
        make.arg("--build").arg(&build);
        run(make, b"").with_code(0);
        program_greets_twice(&build.join("hello"), &cluster, &library);
    } else {
        println!("SKIPPED: CMake is not installed");
    }
}
