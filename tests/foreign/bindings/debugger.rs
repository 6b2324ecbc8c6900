//! The debugger over machines of other languages: it steps them along the recorded stream, forward and back,
//! while a copy runs, and publishes nothing. The stream is that of a cluster, or of a journal's folder.

use super::machines::{counter, machine, totals};
use super::{java, python, root, with_cluster};
use lockstep_testkit::processes::{Cluster, Outcome, PATIENCE, Process, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A cluster of one replica with three messages and the answers of a counter to them, the counter of
/// docs/APPLY.md; and the counter's command.
struct Recorded {
    cluster: Cluster,
    replicas: Vec<Process>,
    counter: Command,
}

impl Recorded {
    fn of(program: &Command) -> Self {
        let cluster = Cluster::new(1, "");
        let replicas = cluster.found();
        let mut counter = Command::new(program.get_program());
        counter.args(program.get_args());
        let recorded = Self { cluster, replicas, counter };
        let cluster = &recorded.cluster;
        cluster.publish("one\ntwo\nthree\n");
        let mut copy = cluster.start_command("counter", recorded.command(&["1"]));
        let began = Instant::now();
        while totals(cluster) != [1, 2, 3] {
            assert!(copy.ended().is_none() && began.elapsed() < PATIENCE, "{}", copy.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        copy.signal("TERM");
        copy.wait();
        recorded
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.counter.get_program());
        command.args(self.counter.get_args()).args(arguments).current_dir(self.cluster.path(""));
        with_cluster(command, &self.cluster)
    }

    /// The folder of the replica's journal.
    fn journal(&self) -> PathBuf {
        let config = lockstep_client::Config::from_file(self.cluster.config()).expect("the configuration");
        config.replicas[0].journal.clone()
    }

    /// Ends the cluster: what it has recorded stays.
    fn end(&mut self) {
        for replica in &mut self.replicas {
            replica.signal("TERM");
            replica.wait();
        }
    }

    /// What the debugger prints to a script, over the stream that `of` names.
    fn stepped(&self, of: &Path, script: &str) -> Outcome {
        let mut debugger = self.command(&["1"]);
        debugger.env("LOCKSTEP_DEBUG", of);
        run(debugger, script.as_bytes())
    }
}

/// The lines of the command `t`.
fn traced(printed: &str) -> Vec<&str> {
    printed.lines().filter(|line| line.starts_with("trace\t") || line.starts_with("end\t")).collect()
}

/// Steps a counter along the stream of a cluster, and along the same one in the journal of one that runs, and
/// of one that does not.
fn is_stepped_along_the_stream(program: &Command) {
    const SCRIPT: &str = "o total 2\np\ns\nb\np\nt\n";
    let mut recorded = Recorded::of(program);
    let printed = recorded.stepped(Path::new("1"), SCRIPT).with_code(0).out;
    let steps: Vec<_> = printed.split("\ninput ").collect();
    assert!(steps[0].contains("\"two\" to everybody\n    publishes \"total 2\" to channel 1\n"), "{printed}");
    assert!(
        steps[1].contains("\"three\" to everybody\n    publishes \"total 3\" to channel 1\n"),
        "{printed}"
    );
    let (state, _) = steps[0].split_once("state, by its snapshot, ").expect("a state");
    let back = steps[2].split_once("state, by its snapshot, ").expect("a state").0;
    assert_eq!(state.trim_start_matches("input "), back, "back is where it was: {printed}");
    let lines = traced(&printed);
    assert_eq!(lines.iter().filter(|line| line.contains("publishes")).count(), 3, "{printed}");
    assert!(!printed.contains("differs") && printed.contains("\nend\t"), "{printed}");
    assert_eq!(totals(&recorded.cluster), [1, 2, 3], "it publishes nothing");
    let journal = recorded.journal();
    let while_it_runs = recorded.stepped(&journal, SCRIPT).with_code(0).out;
    recorded.end();
    let behind_its_end = recorded.stepped(&journal, SCRIPT).with_code(0).out;
    for of_journal in [&while_it_runs, &behind_its_end] {
        // What the cluster's end has stamped is no input, and a name that was closed by then may be one.
        assert_eq!(traced(of_journal)[..lines.len() - 1], lines[..lines.len() - 1], "{of_journal}");
        let same = |text: &str| text.split("trace\t").next().map(str::to_owned);
        assert_eq!(same(of_journal), same(&printed), "each step is the same");
    }
}

#[test]
fn a_machine_of_cpp_is_stepped_forward_and_back() {
    let Some(counter) = counter() else { return };
    is_stepped_along_the_stream(&Command::new(counter));
}

#[test]
fn a_machine_of_java_is_stepped_forward_and_back() {
    let Some(counter) = java::program_of("Counter") else { return };
    is_stepped_along_the_stream(&counter);
}

#[test]
fn a_machine_of_python_is_stepped_forward_and_back() {
    let Some(counter) = python::program_of("../examples/counter.py", &[]) else { return };
    is_stepped_along_the_stream(&counter);
}

#[test]
fn the_state_of_a_machine_is_printed_by_its_own_words_in_each_language() {
    let Some(counter) = counter() else { return };
    let recorded = Recorded::of(&Command::new(counter));
    let folder = recorded.cluster.path("worded").display().to_string();
    let debugged = |mut program: Command| {
        program.args(["debug", &folder]);
        program
    };
    let counter_of_python = root().join("bindings/python/examples/counter.py").display().to_string();
    let of_python = python::program_of("worded.py", &[&counter_of_python]);
    let programs =
        [machine().map(Command::new).map(debugged), java::program_of("MachineCheck").map(debugged)];
    for mut program in programs.into_iter().chain([of_python]).flatten() {
        program.env("LOCKSTEP_DEBUG", "1");
        let program = with_cluster(program, &recorded.cluster);
        let printed = run(program, b"o\np\no\np\no\np\nx\n").with_code(0).out;
        for words in ["\nstate of 10 bytes:\n  1 messages\n", "\nstate of 10 bytes:\n  2 messages\n"] {
            assert!(printed.contains(words), "{printed}");
        }
        assert!(
            printed.contains("state_text fails: ") && printed.contains("there are no words for it"),
            "{printed}"
        );
    }
}

#[test]
fn a_journal_that_is_none_or_is_damaged_is_named_by_the_debugger() {
    let Some(counter) = counter() else { return };
    let mut recorded = Recorded::of(&Command::new(counter));
    recorded.end();
    let none = recorded.stepped(&recorded.cluster.path(""), "s\n");
    assert_ne!(none.code, Some(0));
    assert!(none.err.contains("it is no journal: name the folder of a replica's"), "{}", none.err);
    let journal = recorded.journal();
    let segment = journal.join("segments/0000000001.seg");
    let mut bytes = fs::read(&segment).expect("a segment");
    let at = bytes.windows(3).position(|part| part == b"two").expect("a message in the segment");
    bytes[at] ^= 1;
    fs::write(&segment, bytes).expect("a segment");
    let damaged = recorded.stepped(&journal, "g 1000000\n").with_code(0).out;
    assert!(damaged.contains("error: ") && damaged.contains(&journal.display().to_string()), "{damaged}");
    assert!(damaged.contains("0000000001.seg"), "the damage is named: {damaged}");
}
