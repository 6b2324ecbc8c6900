//! The jar, in a folder that has nothing else: the native library is inside.

use super::root;
use crate::bindings::java::shared_jar;
use crate::bindings::{greets_twice, is_refusal_of};
use lockstep_testkit::processes::{self, Cluster, Outcome};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Two applications of one virtual machine, each with the jar of its own.
const APPLICATIONS: &str = r#"
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;

final class Applications {
    public static void main(String[] arguments) throws Exception {
        URL[] jar = {Path.of("lockstep.jar").toUri().toURL()};
        ClassLoader platform = ClassLoader.getPlatformClassLoader();
        for (ClassLoader loader : new ClassLoader[] {new URLClassLoader(jar, platform), new URLClassLoader(jar, platform)}) {
            Class<?> lockstep = Class.forName("io.lockstep.Lockstep", true, loader);
            System.out.println(lockstep.getMethod("version").invoke(null));
        }
    }
}
"#;

/// A folder with the jar, one for temporary files, and this program, compiled.
fn folder(name: &str, source: &str) -> Option<TempDir> {
    let jar = shared_jar()?;
    let folder = TempDir::new().expect("a folder");
    fs::copy(jar, folder.path().join("lockstep.jar")).expect("the jar");
    fs::create_dir(folder.path().join("temporary")).expect("a folder");
    fs::write(folder.path().join(name), source).expect("a program");
    let mut compile = Command::new("javac");
    compile.args(["-encoding", "UTF-8", "-cp", "lockstep.jar", name]).current_dir(folder.path());
    processes::run(compile, b"").with_code(0);
    Some(folder)
}

/// `java` on a class of the folder, with no property but that of temporary files.
fn java(folder: &Path, temporary: &str, classes: &str, class: &str) -> Command {
    let mut command = Command::new("java");
    command.arg(format!("-Djava.io.tmpdir={temporary}")).args(["-cp", classes, class]).current_dir(folder);
    command
}

/// `java` on the example.
fn hello_command(folder: &Path, temporary: &str) -> Command {
    java(folder, temporary, "lockstep.jar:.", "Hello")
}

/// Copies of the library that are left over.
fn leftovers(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("temporary")).expect("a folder").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("lockstep")).collect()
}

fn hello() -> Option<TempDir> {
    let source = fs::read_to_string(root().join("bindings/java/examples/Hello.java")).expect("the example");
    folder("Hello.java", &source)
}

/// A start of the example that must fail, and what it says.
fn refused(command: Command) -> Outcome {
    let outcome = processes::run(command, b"");
    assert_ne!(outcome.code, Some(0), "{}", outcome.out);
    outcome
}

#[test]
fn a_jar_alone_greets_as_the_example_shows_and_leaves_no_file_behind() {
    let Some(folder) = hello() else { return };
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    greets_twice(&cluster, || hello_command(folder.path(), "temporary"));
    // On the module path: it is the library that finds no cursor.
    let damaged = folder.path().join("here");
    fs::write(&damaged, "here").expect("a file");
    let mut module = Command::new("java");
    module.args(["-Djava.io.tmpdir=temporary", "-p", "lockstep.jar", "--add-modules", "io.lockstep"]);
    module.args(["-cp", ".", "Hello", "here"]).current_dir(folder.path());
    let words = refused(module).err;
    assert!(is_refusal_of(&words, &damaged), "{words}");
    assert!(leftovers(folder.path()).is_empty(), "{:?}", leftovers(folder.path()));
}

#[test]
fn two_applications_of_one_jvm_may_each_have_the_jar() {
    let Some(folder) = folder("Applications.java", APPLICATIONS) else { return };
    // The jar is in the path of their own loaders alone.
    let command = java(folder.path(), "temporary", ".", "Applications");
    let out = processes::run(command, b"").with_code(0).out;
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(out, format!("{version}\n{version}\n"));
}

#[test]
fn a_library_inside_a_jar_that_cannot_be_loaded_is_no_riddle_and_leaves_no_file_behind() {
    let Some(folder) = hello() else { return };
    let words = refused(hello_command(folder.path(), "nowhere")).err;
    assert!(words.contains("inside lockstep.jar cannot be copied"), "{words}");
    assert!(words.contains("-Djava.io.tmpdir=FOLDER"), "{words}");
    // Of another architecture, as it were.
    let inside = format!("META-INF/native/linux-{}/liblockstep_jni.so", std::env::consts::ARCH);
    let path = folder.path().join(&inside);
    fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    fs::write(&path, "no library\n".repeat(1000)).expect("a file");
    let mut update = Command::new("jar");
    update.args(["--update", "--file", "lockstep.jar", &inside]).current_dir(folder.path());
    processes::run(update, b"").with_code(0);
    fs::remove_dir_all(folder.path().join("META-INF")).expect("folders");
    let words = refused(hello_command(folder.path(), "temporary")).err;
    assert!(words.contains("invalid ELF header") && words.contains("-Dlockstep.native=PATH"), "{words}");
    assert!(leftovers(folder.path()).is_empty(), "{:?}", leftovers(folder.path()));
}
