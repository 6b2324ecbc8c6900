//! Faults of keys: their day is over, or a program has not read the new ones.

use super::{ARCHIVER, Mend, Night};
use crate::joining::until;
use std::io::Write;
use std::time::Duration;

/// The number of a publisher among the processes.
const PUBLISHER: u32 = 301;

/// Gives the keys a day, and lets all nodes read it.
pub fn expire_keys(night: &mut Night, day: &str) {
    night.cluster.run(&["keys", "expire", "0", day], b"").with_code(0);
    read_keys(night);
}

/// All nodes read their key files again.
fn read_keys(night: &Night) {
    (1..=3).chain([ARCHIVER]).for_each(|id| night.signal(id, "HUP"));
}

/// A publisher opens with the new generation, and goes on to seal with the one before.
pub fn with_older_keys(night: &mut Night) -> Mend {
    let keys =
        |night: &Night, args: &[&str]| night.cluster.run(&[&["keys"], args].concat(), b"").with_code(0).out;
    let new = keys(night, &["rotate"]).trim().to_owned();
    read_keys(night);
    let mut publisher = night.cluster.start("publisher", &["publish", "--name", "rotated"]);
    let mut lines = publisher.stdin().take().expect("its input");
    std::thread::spawn(move || {
        while writeln!(lines, "with older keys").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    night.processes.insert(PUBLISHER, publisher);
    until("its first message", || night.cluster.read(&["--from", "oldest"]).out.contains("with older keys"));
    keys(night, &["seal", &new]);
    read_keys(night);
    Box::new(|night| {
        night.end(PUBLISHER, "KILL");
        // It is named for a minute behind its last message.
        std::thread::sleep(Duration::from_secs(40));
    })
}
