//! Process 1 of a container: it forwards, collects and ends as its child does.

use lockstep_process::init;
use std::process::{Command, Stdio};

/// This binary as process 1 of a namespace, with a shell as its child. Signals from outside are forwarded
/// by a main thread only, which a test has none of: the command line's tests have a real one.
#[test]
fn process_1_collects_orphans_and_has_its_child_s_exit_code() {
    const TEST: &str = "init::process_1_collects_orphans_and_has_its_child_s_exit_code";
    const SCRIPT: &str = "LOCKSTEP_TEST_SCRIPT";
    if let Ok(script) = std::env::var(SCRIPT) {
        assert!(init::is_init());
        let mut command = Command::new("sh");
        command.args(["-c", &script]).env_remove(SCRIPT);
        std::process::exit(i32::from(init::run(command).unwrap()));
    }
    let namespace = || {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child"]);
        command
    };
    if !namespace().arg("true").status().is_ok_and(|status| status.success()) {
        println!("SKIPPED: a process 1 of our own needs root and a process namespace");
        return;
    }
    let begin = |script: &str| {
        let mut command = namespace();
        let itself = std::env::current_exe().unwrap();
        command.arg(itself).args(["--exact", TEST, "--nocapture"]);
        command.env(SCRIPT, script).stdout(Stdio::null()).spawn().unwrap()
    };
    assert_eq!(begin("exit 7").wait().unwrap().code(), Some(7));
    assert_eq!(begin("kill -9 $$").wait().unwrap().code(), Some(137));
    // An orphan that still has something to do when the child is gone: it is waited for.
    let file = tempfile::NamedTempFile::new().unwrap();
    let orphan = format!("(sleep 0.05; echo last > {}) & exit 3", file.path().display());
    assert_eq!(begin(&orphan).wait().unwrap().code(), Some(3));
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "last\n");
}
