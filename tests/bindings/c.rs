//! C and C++.

use super::{TAKEOVERS, root, while_leaders_are_killed, with_cluster};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;
use tools::processes::{Cluster, run};

/// Where `bindings/c/install.sh` has put library, headers, pkg-config file and CMake package.
struct Installed {
    folder: TempDir,
}

impl Installed {
    fn prefix(&self) -> &Path {
        self.folder.path()
    }

    fn library(&self) -> PathBuf {
        self.prefix().join("lib")
    }

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

/// Where cargo has put the libraries of `lockstep-c`, of which this package's tests depend.
fn built() -> PathBuf {
    assert_eq!(lockstep_c::lockstep_abi_version(), lockstep_c::LOCKSTEP_ABI_VERSION);
    Path::new(env!("CARGO_BIN_EXE_lockstep")).with_file_name("deps")
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The installation that the tests share; `None` where there is no compiler of C.
fn installed() -> Option<&'static Installed> {
    static INSTALLED: OnceLock<Option<Installed>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        if !has("cc") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(root().join("bindings/c/install.sh"));
        command.arg(folder.path()).arg(built());
        run(command, b"").with_code(0);
        Some(Installed { folder })
    });
    if installed.is_none() {
        println!("SKIPPED: there is no compiler of C");
    }
    installed.as_ref()
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
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let mut command = Command::new(check);
    command.args(["stamped", "from-c", TAKEOVERS]);
    while_leaders_are_killed(&cluster, &mut replicas, command);
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

/// Runs the example twice: the second run goes on behind the first.
fn greets_twice(program: &Path, cluster: &Cluster, library: &Path) {
    let hello = |cursor: Option<&str>| {
        let mut command = Command::new(program);
        command.env("LD_LIBRARY_PATH", library).args(cursor);
        run(with_cluster(command, cluster), b"").with_code(0).out
    };
    let first = hello(None);
    let cursor = first.lines().find_map(|line| line.strip_prefix("resume with ")).expect("a cursor");
    assert_eq!(first.matches("buy 100 at 42").count(), 1, "{first}");
    assert!(first.contains("committed at seq "), "{first}");
    let second = hello(Some(cursor));
    assert_eq!(second.matches("buy 100 at 42").count(), 1, "it went on: {second}");
    let mut wrong = Command::new(program);
    wrong.env("LD_LIBRARY_PATH", library).arg("here");
    let refused = run(with_cluster(wrong, cluster), b"");
    assert_ne!(refused.code, Some(0));
    assert!(refused.err.contains("'here' is no cursor"), "{}", refused.err);
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
        greets_twice(&program, &cluster, &library);
    } else {
        println!("SKIPPED: pkg-config is not installed");
    }
    if has("c++") {
        let source = examples.join("cmake/hello.cpp");
        let program = installed.compile("c++", &["-std=c++17", &flag, "-llockstep_c"], &source, "hello-cpp");
        greets_twice(&program, &cluster, &library);
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
        greets_twice(&build.join("hello"), &cluster, &library);
    } else {
        println!("SKIPPED: CMake is not installed");
    }
}
