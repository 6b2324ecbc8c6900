//! C and C++.

use super::{
    Installed, TAKEOVERS, greets_twice, has, installed, root, while_leaders_are_cut_off,
    while_leaders_are_killed, with_cluster,
};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tools::processes::{Cluster, run};

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
}

/// The program of `tests/check.c` under AddressSanitizer, with the library inside.
fn check() -> Option<PathBuf> {
    static CHECK: OnceLock<PathBuf> = OnceLock::new();
    let installed = installed()?;
    let build = || {
        let library = installed.library().join("liblockstep_c.a").display().to_string();
        let more =
            ["-std=c11", "-fsanitize=address,undefined", &library, "-lgcc_s", "-lpthread", "-ldl", "-lm"];
        installed.compile("cc", &more, &root().join("bindings/c/tests/check.c"), "check")
    };
    Some(CHECK.get_or_init(build).clone())
}

#[test]
fn c_refuses_what_is_wrong_by_code_and_text() {
    let Some(check) = check() else { return };
    let mut command = Command::new(check);
    command.arg("refusals");
    run(command, b"").with_code(0);
}

#[test]
fn each_message_of_c_has_one_outcome_and_one_place_whoever_leads() {
    let Some(check) = check() else { return };
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let mut command = Command::new(check);
    command.args(["load", "from-c", TAKEOVERS]);
    let outcome = while_leaders_are_killed(&cluster, &mut replicas, command);
    assert!(outcome.out.contains("messages, each with one outcome"), "{}", outcome.out);
}

#[test]
fn what_a_takeover_retracts_from_c_is_delivered_anew() {
    let Some(check) = check() else { return };
    let mut command = Command::new(check);
    command.args(["stamped", "from-c", TAKEOVERS]);
    while_leaders_are_cut_off(command);
}

#[test]
fn c_is_refused_a_message_while_the_window_is_full_and_goes_on_when_it_is_not() {
    let Some(check) = check() else { return };
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let mut command = Command::new(check);
    command.args(["full", "from-c"]);
    run(with_cluster(command, &cluster), b"").with_code(0);
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
