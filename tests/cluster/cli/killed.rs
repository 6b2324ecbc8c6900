//! Each command that changes files is killed before its system calls that do, and given again: what a node
//! acknowledged is there, a half is never taken for a whole, and an old copy of a journal stays refused.

use crate::cli::streams::{SMALL, json, lines};
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::{Cluster, Outcome, command_of, program, run};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The calls that change files, or what they are called.
const CALLS: &str = "openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,ftruncate,\
                     fallocate,mkdir,mkdirat,rmdir,copy_file_range,sendfile";

/// What must hold of a journal behind a kill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Promise {
    /// It is a complete journal with all of the log, at each moment.
    Whole,
    /// It is none yet, or one with all of the log.
    NoneOrWhole,
    /// It is an old copy, and refused at each moment.
    Refused,
    /// The command leaves the journal as it is, and its own output is whole or not there.
    Output,
}

/// A command and where it begins.
struct Case {
    name: &'static str,
    args: Vec<String>,
    /// Settings of this command.
    settings: Vec<(&'static str, &'static str)>,
    /// The state before: of the folder `base`, or without a journal.
    base: Option<&'static str>,
    promise: Promise,
}

/// Journals of which the commands begin, and the log's end.
struct Ground {
    cluster: Cluster,
    end: u64,
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::copy(from, to).expect("a copy");
        return;
    }
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

fn remove(path: &Path) {
    // It may not be there.
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

impl Ground {
    /// A stream of three segments: `stopped` in order, `killed`, and `old`, which is `stopped` beside the
    /// tail of a run behind it.
    fn new() -> Self {
        let cluster = Cluster::new(1, SMALL);
        let mut replicas = cluster.found();
        cluster.publish(&lines(0, 2_600));
        assert_eq!(replicas.remove(0).terminate(), Some(0));
        let ground = Self { cluster, end: 0 };
        ground.save("stopped");
        let mut replica = ground.cluster.start_replica(1);
        replica.await_log("-> leader");
        ground.cluster.publish(&lines(0, 400));
        replica.signal("KILL");
        replica.wait();
        ground.save("killed");
        let old = ground.cluster.path("old");
        copy(&ground.cluster.path("stopped/journal-1"), &old.join("journal-1"));
        copy(&ground.cluster.path("killed/tail-1"), &old.join("tail-1"));
        ground.reset(Some("stopped"));
        let end = ground.look().expect("it is complete");
        let (backup, log) =
            (text(&ground.cluster.path("base-backup")), text(&ground.cluster.path("log.json")));
        let back_up = ["backup", "--replica", "1", "--to", &backup, "--timeout", "10ms"];
        ground.cluster.run(&back_up, b"").with_code(0);
        let export = ["journal", "export", "--replica", "1", "--to-file", &log];
        ground.cluster.run(&export, b"").with_code(0);
        Self { end, ..ground }
    }

    fn save(&self, name: &str) {
        for file in ["journal-1", "tail-1"] {
            fs::create_dir_all(self.cluster.path(name)).expect("a folder");
            copy(&self.cluster.path(file), &self.cluster.path(name).join(file));
        }
    }

    /// The state of `base`, or none.
    fn reset(&self, base: Option<&str>) {
        for file in [
            "journal-1",
            "tail-1",
            "tail-1.new",
            "moved-tail",
            "out",
            "out.partial",
            "out.tar",
            "out.tar.files",
        ] {
            remove(&self.cluster.path(file));
        }
        let Some(base) = base else { return };
        for file in ["journal-1", "tail-1"] {
            copy(&self.cluster.path(base).join(file), &self.cluster.path(file));
        }
    }

    /// Where the log ends if the journal is complete; else why it is not.
    fn look(&self) -> Result<u64, String> {
        let outcome = self.cluster.run(&["recover", "--replica", "1", "--json"], b"");
        if outcome.code != Some(0) {
            return Err(outcome.err);
        }
        let value = json(&outcome.out);
        match value["complete"].as_bool() {
            Some(true) => Ok(value["next"].as_u64().expect("a seq")),
            _ => Err(value["why"].as_str().unwrap_or_default().to_owned()),
        }
    }

    /// Runs the command, perhaps behind strace with these flags.
    fn run(&self, case: &Case, strace: &[&str]) -> Outcome {
        let args = self.cluster.args(&case.args.iter().map(String::as_str).collect::<Vec<_>>());
        let mut command = match strace.is_empty() {
            true => command_of(Command::new(program()), &args),
            false => {
                let mut command = Command::new("strace");
                command.args(["-f", "-qq"]).args(strace).arg(program());
                command_of(command, &args)
            }
        };
        command.envs(case.settings.iter().copied());
        run(command, b"")
    }

    /// How often the command makes each call.
    fn calls(&self, case: &Case) -> BTreeMap<String, usize> {
        let trace = self.cluster.path("trace");
        self.reset(case.base);
        self.run(case, &["-o", &text(&trace), "-e", &format!("trace={CALLS}")]);
        let mut calls = BTreeMap::new();
        for line in fs::read_to_string(&trace).expect("a trace").lines() {
            // "4242 openat(AT_FDCWD, …": a call that goes on later has another line without its name in
            // front.
            let Some((_, call)) = line.split_once(' ') else { continue };
            let Some((name, rest)) = call.trim_start().split_once('(') else { continue };
            // A file that is only read does not change.
            if name == "openat" && !rest.contains("O_CREAT") && !rest.contains("O_TRUNC") {
                continue;
            }
            *calls.entry(name.to_owned()).or_default() += 1;
        }
        calls
    }

    /// What the promise says, at one moment.
    fn judge(&self, case: &Case, is_done: bool) {
        let outcome = self.look();
        let name = case.name;
        match case.promise {
            Promise::Whole | Promise::Output => {
                let next = outcome.unwrap_or_else(|why| panic!("{name}: not complete: {why}"));
                assert!(next >= self.end, "{name}: {next} of {}", self.end);
            }
            Promise::NoneOrWhole => match outcome {
                Ok(next) => {
                    assert!(next >= self.end || next == 1 && case.args[0] == "format", "{name}: {next}")
                }
                Err(why) => assert!(!is_done, "{name}: {why}"),
            },
            Promise::Refused => {
                let why = outcome.expect_err("an old copy");
                assert!(why.contains("tail"), "{name}: {why}");
            }
        }
    }
}

/// The commands, with what holds of each.
fn cases(ground: &Ground) -> Vec<Case> {
    let path = |name: &str| text(&ground.cluster.path(name));
    let case = |name, base, promise, args: &[&str]| Case {
        name,
        args: args.iter().map(|arg| (*arg).to_owned()).chain(["--replica".into(), "1".into()]).collect(),
        settings: Vec::new(),
        base,
        promise,
    };
    let (backup, log) = (path("base-backup"), path("log.json"));
    let trim = ["journal", "trim", "--before", "1500", "--accept-loss", "--yes"];
    let recover = ["recover", "--accept-loss", "--timeout", "10ms"];
    let (out, tar, from) = (path("out"), path("out.tar"), path("stopped/journal-1"));
    let larger = [("LOCKSTEP_JOURNAL_TAIL_SIZE", "4MiB")];
    let mut cases = vec![
        case("format", None, Promise::NoneOrWhole, &["format"]),
        case("trim", Some("stopped"), Promise::Whole, &trim),
        case("trim of a killed one", Some("killed"), Promise::Whole, &trim),
        case("trim with another tail", Some("stopped"), Promise::Whole, &trim),
        case("trim of an old copy", Some("old"), Promise::Refused, &trim),
        case("trim of an old copy with another tail", Some("old"), Promise::Refused, &trim),
        case("recover", Some("stopped"), Promise::Whole, &recover),
        case("recover of a killed one", Some("killed"), Promise::Whole, &recover),
        case("recover from", None, Promise::NoneOrWhole, &[&recover[..], &["--from", &from]].concat()),
        case("restore", None, Promise::NoneOrWhole, &["restore", &backup, "--timeout", "10ms"]),
        case(
            "import",
            None,
            Promise::NoneOrWhole,
            &["journal", "import", &log, "--yes", "--timeout", "10ms"],
        ),
        case("backup", Some("stopped"), Promise::Output, &["backup", "--to", &out, "--timeout", "10ms"]),
        case("archive", Some("stopped"), Promise::Output, &["backup", "--to", &tar, "--timeout", "10ms"]),
        case("export", Some("stopped"), Promise::Output, &["journal", "export", "--to-file", &out]),
    ];
    for case in cases.iter_mut().filter(|case| case.name.ends_with("another tail")) {
        case.settings = larger.to_vec();
    }
    cases
}

/// The calls that are chosen: spread over all of them, the first and the last among them.
fn chosen(calls: &BTreeMap<String, usize>, most: usize) -> Vec<(&str, usize)> {
    let all: Vec<(&str, usize)> =
        calls.iter().flat_map(|(name, count)| (1..=*count).map(move |at| (name.as_str(), at))).collect();
    if all.len() <= most {
        return all;
    }
    (0..most).map(|at| all[at * (all.len() - 1) / (most - 1).max(1)]).collect()
}

#[test]
fn a_command_that_is_killed_before_any_of_its_calls_loses_nothing_and_can_be_given_again() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("SKIPPED: killing commands before their system calls needs strace");
        return;
    }
    let ground = Ground::new();
    let mut kills = 0;
    for case in cases(&ground) {
        let calls = ground.calls(&case);
        for (call, at) in chosen(&calls, amount(4, usize::MAX)) {
            ground.reset(case.base);
            let (trace, inject) =
                (format!("trace={call}"), format!("inject={call}:signal=SIGKILL:when={at}"));
            let killed = ground.run(&case, &["-o", "/dev/null", "-e", &trace, "-e", &inject]);
            if killed.code.is_none() {
                kills += 1;
            }
            let place = format!("{} killed before {call} {at}", case.name);
            ground.judge(&case, false);
            let again = ground.run(&case, &[]);
            let is_done = match case.promise {
                Promise::Refused => again.code != Some(0),
                // One that was killed behind its last write is done, and says so.
                _ if again.code == Some(2) => ["already", "of the journal of", "nothing to remove", "exists"]
                    .iter()
                    .any(|word| again.err.contains(word)),
                _ => again.code == Some(0),
            };
            assert!(is_done, "{place}: {:?} {}", again.code, again.err);
            ground.judge(&case, true);
            if case.promise != Promise::Refused && case.args[0] != "format" {
                let verified = ground.cluster.run(&["journal", "verify", "--replica", "1"], b"");
                assert_eq!(verified.code, Some(0), "{place}: {}", verified.err);
            }
            let backup = ground.cluster.path(if case.name == "archive" { "out.tar" } else { "out" });
            if ["backup", "archive"].contains(&case.name) {
                let verified =
                    run(command_of(Command::new(program()), &["backup", "verify", &text(&backup)]), b"");
                assert_eq!(verified.code, Some(0), "{place}: {}", verified.err);
            }
        }
    }
    assert!(kills > 20, "{kills} commands were killed");
    println!("{kills} commands were killed and given again");
}
