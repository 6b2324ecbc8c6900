//! The packages of Debian with the library for C and C++, installed by dpkg over a copy of this machine's
//! root: programs are compiled and run there as their users do it.

use super::installed::{in_a_root, unsupported};
use super::root;
use crate::bindings::{built, has};
use lockstep_testkit::processes::{self, Cluster};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Installs both packages, compiles the examples that they bring, greets, and removes them. `/bin` stands
/// before `/usr/bin`: there CMake finds the package in `/lib`, which is a link.
const SCRIPT: &str = "
    export PATH=/bin:/sbin:/usr/bin:/usr/sbin
    mount -t proc -o ro proc /proc
    mkdir /tmp/program
    cd /tmp/program
    dpkg --force-unsafe-io -i /tmp/liblockstep*.deb >/dev/null
    examples=/usr/share/doc/liblockstep-dev/examples
    ldconfig -p | grep -c 'liblockstep_c.so.2 '
    if command -v pkg-config >/dev/null; then
        cc $examples/hello.c $(pkg-config --cflags --libs lockstep) -o hello
        ./hello
    else
        echo SKIPPED: pkg-config is not installed
    fi
    cc $examples/hello.c /usr/lib/liblockstep_c.a -lgcc_s -lpthread -ldl -lm -o static
    ./static
    if command -v cmake >/dev/null && command -v c++ >/dev/null; then
        cmake -S $examples/cmake -B build >/dev/null
        cmake --build build >/dev/null
        build/hello
    else
        echo SKIPPED: CMake is not installed
    fi
    dpkg -r liblockstep-dev liblockstep-c2 >/dev/null
    find /usr -xdev -name '*lockstep_c*' -o -name 'liblockstep*' | sed 's/^/removed, there is /'
    ldconfig -p | grep liblockstep_c || true
";

/// The packages with the libraries that the tests have built, in `folder`.
fn packages(folder: &Path) {
    let mut make = Command::new(root().join("bindings/c/package.sh"));
    // Compressed for one installation they take longer.
    make.arg(folder).arg(built()).env("DPKG_DEB_COMPRESSOR_TYPE", "none");
    processes::run(make, b"").with_code(0);
}

/// The value of a field of a package.
fn field(package: &Path, name: &str) -> String {
    let mut look = Command::new("dpkg-deb");
    look.arg("-f").arg(package).arg(name);
    processes::run(look, b"").with_code(0).out.trim().to_owned()
}

/// Commands that write the cluster's file and keys into another root, where they lie in this one.
fn files_of(cluster: &Cluster) -> String {
    let keys = fs::read_dir(cluster.path("keys")).expect("keys").flatten().map(|entry| entry.path());
    let write = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a text");
        let (folder, file) = (path.parent().expect("a folder").display(), path.display());
        format!("mkdir -p {folder}\ncat >{file} <<'END'\n{text}\nEND\nchmod 600 {file}\n")
    };
    let files: String = keys.chain([cluster.config()]).map(write).collect();
    format!("{files}export LOCKSTEP_CONFIG={}\n", cluster.config().display())
}

#[test]
fn programs_of_c_are_compiled_and_run_with_the_packages_of_the_library_alone() {
    if let Some(reason) = unsupported() {
        println!("SKIPPED: {reason}");
        return;
    }
    if !has("dpkg-shlibdeps") || !has("cc") {
        println!("SKIPPED: the packages of the library for C need dpkg-dev and a compiler of C");
        return;
    }
    let folder = TempDir::new().expect("a folder");
    packages(folder.path());
    let version = format!("{}-1", env!("CARGO_PKG_VERSION"));
    let names = fs::read_dir(folder.path()).expect("a folder").flatten().map(|entry| entry.path());
    let mut found: Vec<_> = names.map(|path| (field(&path, "Package"), path)).collect();
    found.sort();
    let [(runtime, library), (development, headers)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((runtime.as_str(), development.as_str()), ("liblockstep-c2", "liblockstep-dev"));
    assert_eq!([library, headers].map(|path| field(path, "Version")), [version.as_str(); 2]);
    assert!(field(library, "Depends").contains("libc6 (>= 2."), "{}", field(library, "Depends"));
    assert!(field(headers, "Depends").starts_with(&format!("liblockstep-c2 (= {version})")));

    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let printed = in_a_root(folder.path(), &[], &(files_of(&cluster) + SCRIPT));
    println!("{printed}");
    let skipped = printed.matches("SKIPPED").count();
    assert!(printed.starts_with("1\n"), "the loader does not know the library: {printed}");
    assert_eq!(printed.matches("committed at seq ").count(), 3 - skipped, "{printed}");
    assert_eq!(printed.matches("resume with ").count(), 3 - skipped, "{printed}");
    assert!(!printed.contains("removed, there is"), "{printed}");
    let last = printed.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("resume with ") || last.starts_with("SKIPPED"),
        "the loader knows it still: {last}"
    );
}
