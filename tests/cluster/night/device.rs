//! A device that answers no write: the journal's thread hangs in its next call to the kernel, and all others
//! go on.

use super::{Mend, Night};
use std::fs;
use std::process::{Command, Stdio};

/// What holds the thread.
const TRACER: &str = "strace";

/// Whether this machine can do that.
pub fn can_stand_still() -> bool {
    Command::new(TRACER).arg("--version").output().is_ok_and(|version| version.status.success())
}

/// The thread of the journal of node `id`.
fn journal_thread(night: &Night, id: u32) -> u32 {
    let pid = night.processes[&id].pid();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").flatten();
    let mut named = tasks.filter(|task| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "journal")
    });
    let task = named.next().expect("a journal's thread").file_name();
    task.to_string_lossy().parse().expect("a number")
}

pub fn device_stands_still(night: &mut Night, id: u32) -> Mend {
    let thread = journal_thread(night, id).to_string();
    let mut tracer = Command::new(TRACER);
    tracer.args(["-qq", "-p", &thread, "-e", "trace=all", "-e", "inject=all:delay_enter=600000000"]);
    let mut tracer =
        tracer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect(TRACER);
    night.publish(8);
    Box::new(move |_| {
        tracer.kill().expect("it runs");
        tracer.wait().expect("a child");
    })
}
