//! Commands that read the files of a journal beside the node that writes them.

use crate::cli::streams::{SMALL, lines};
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::Cluster;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What an operator's cron jobs and hands ask of a journal.
const COMMANDS: [&[&str]; 6] = [
    &["journal", "verify"],
    &["journal", "info"],
    &["journal", "ls"],
    &["journal", "grep", "order"],
    &["journal", "dump"],
    &["backup"],
];

/// Each command beside each node of a cluster, one after the other. A night does it for some minutes.
#[test]
fn a_journal_that_is_being_written_is_whole_to_each_command_that_reads_it() {
    let cluster = Cluster::new(3, SMALL);
    cluster.add_archiver(101, "compression = \"lz4\"\n");
    let _replicas = cluster.found();
    let _archiver = cluster.start_archiver(101);
    let (stop, published) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let from = published.load(Ordering::Relaxed);
                let orders = lines(from, from + 40);
                // A busy machine may be too slow for one: the next one goes on.
                let outcome = cluster.run(&["publish", "--name", "orders"], orders.as_bytes());
                published.fetch_add(40 * usize::from(outcome.code == Some(0)), Ordering::Relaxed);
            }
        });
        // The publisher ends with this thread, however that ends.
        let ends = Ends(&stop);
        let nodes = [["--replica", "1"], ["--replica", "2"], ["--replica", "3"], ["--archiver", "101"]];
        for round in 0..amount(1, 60) {
            for (which, node) in nodes.iter().enumerate() {
                for command in COMMANDS {
                    let backup = cluster.path(&format!("backup-{which}")).display().to_string();
                    let mut args = [command, node].concat();
                    if command == ["backup"] {
                        args.extend(["--to", &backup, "--segment-size", "1MiB"]);
                    }
                    let outcome = cluster.run(&args, b"");
                    let case = format!("round {round}, {}", args.join(" "));
                    assert_eq!(outcome.code, Some(0), "{case}: {}", outcome.err);
                    assert!(!outcome.err.contains("damage"), "{case}: {}", outcome.err);
                }
            }
        }
        drop(ends);
    });
    assert!(published.load(Ordering::Relaxed) >= 40, "it was written meanwhile");
}

/// Tells the publisher to end.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
