//! The commands of the runbook and of the operators' pages: each is taken out of its document and run against
//! a live cluster, where it does what its section says. A command that no scene runs fails its test.

mod operations;
mod page;
mod timers;

use lockstep_testkit::gateways::{self, add_user};
use lockstep_testkit::processes::{Cluster, Ground, Process, command, run};
use page::{Elsewhere, Host, Page};
use std::collections::BTreeSet;
use std::fs;
use tempfile::TempDir;

/// Words of the runbook in code style that are no commands, though they could be names of programs.
const WORDS: [&str; 15] = [
    "blank",
    "candidacies",
    "exposed",
    "runs without its metrics page",
    "is whole again",
    "isolcpus",
    "learner",
    "no history",
    "no leader",
    "no quorum",
    "rejected",
    "socket",
    "stall",
    "steal",
    "unicast",
];

/// Commands of the runbook for a host, beside those that a scene runs on a process or a file of a cluster.
const HOST: [Host; 8] = [
    Host {
        command: "nft list ruleset",
        understood: &["Operation not permitted"],
        why: "it comes with the package nftables",
    },
    Host { command: "ip neigh", understood: &[], why: "it comes with the package iproute2" },
    Host { command: "df -h /var/lib/lockstep", understood: &[], why: "every host has it" },
    Host { command: "df -i /var/lib/lockstep", understood: &[], why: "every host has it" },
    Host {
        command: "openssl x509 -noout -enddate -in /etc/lockstep/gateway.pem",
        understood: &[],
        why: "it comes with the package openssl",
    },
    Host {
        command: "chronyc tracking",
        understood: &["Cannot talk to daemon"],
        why: "it asks a daemon of the host that keeps its clock",
    },
    Host {
        command: "timedatectl",
        understood: &["System has not been booted with systemd", "Failed to connect to bus"],
        why: "it asks systemd, which a container has not",
    },
    Host { command: "iostat -dx 1 3", understood: &[], why: "it comes with the package sysstat" },
];

/// Commands about a set of streams.
const OF_SETS: [Elsewhere; 5] = [
    of_sets("lockstep counters coordinator-1 --stream HOME"),
    of_sets("lockstep doctor --stream NAME"),
    of_sets("lockstep keys show --stream HOME"),
    of_sets("lockstep status --stream NAME"),
    of_sets("lockstep streams show"),
];

const fn of_sets(command: &'static str) -> Elsewhere {
    let file = "crates/lockstep-demo/tests/it/coordinators.rs";
    Elsewhere { command, file, test: "what_the_runbook_asks_of_a_set_is_answered" }
}

/// Three replicas with a publisher's key.
fn founded() -> (Cluster, Vec<Process>) {
    let folder = TempDir::new().expect("a temporary folder");
    let users = folder.path().join("users.toml");
    let more = format!("[gateway]\nusers = \"{}\"\n", users.display());
    let cluster = Cluster::within(folder, Ground::loopback(3), &more);
    let replicas = cluster.found();
    cluster.run(&["keys", "add", "orders", "--names", "orders"], b"").with_code(0);
    cluster.publish("one\ntwo\n");
    cluster.run(&["wait", "--for", "caught-up"], b"").with_code(0);
    (cluster, replicas)
}

#[test]
fn each_command_of_the_runbook_runs_and_does_what_its_section_says() {
    let mut page = Page::read("docs/RUNBOOK.md", &WORDS, &HOST);
    page.leave_out(&OF_SETS);
    let (cluster, mut replicas) = founded();
    looks(&mut page, &cluster);
    asks_a_gateway_and_a_notary(&mut page, &cluster);
    changes_keys(&mut page, &cluster);
    judges_the_host(&mut page, &cluster);
    continues_a_stopped_leader(&mut page, &cluster, &replicas);
    replaces_a_dead_member(&mut page, &cluster, &mut replicas);
    compares_journals_of_stopped_replicas(&mut page, &cluster, replicas);
    page.all_have_run();
}

/// On a cluster in good health, all that looks has something to show.
fn looks(page: &mut Page, cluster: &Cluster) {
    let mut shows = |command: &str, texts: &[&str]| page.run(cluster, command).with_code(0).showing(texts);
    shows("lockstep status", &["healthy: 3 of 3 members answer and hold the log, 1 may crash"]);
    shows("lockstep events", &["-> leader", "LS1001", "replica-3"]);
    shows("lockstep explain exposed", &["means", "full standby"]);
    shows("lockstep explain disk_full", &["means", "room"]);
    shows("lockstep explain room_low", &["means", "LS1108", "retention_size"]);
    shows("lockstep counters --group room", &["replica-1", "room_free_bytes", "room_left_ns"]);
    shows("lockstep exit-codes", &["0  done", "5  fenced"]);
    shows("lockstep counters", &["replica-1", "accept_next", "stall_ns", "written_next"]);
    shows("lockstep counters --all", &["candidacies", "nack_retries", "refusals_in", "repairs_in"]);
    shows("lockstep counters --rates", &["accept_next", "commit_latency_ns"]);
    shows("lockstep counters --group lines", &["replica-1"]);
    shows("lockstep counters --group unicast", &["replica-1"]);
    shows("lockstep losses", &["replica 1", "replica 3"]);
    shows("lockstep why", &["healthy: 3 of 3 members"]);
    // Where a reader is ahead is a test of its own (`tests/cluster/cli/ack.rs`).
    shows("lockstep ack LS1017", &["no node that answers has LS1017 active"]);
    shows("lockstep time", &["stream ", "by leader ", "nothing to correct"]);
    shows("lockstep membership show", &["1:", "full", "leads"]);
    shows("lockstep journal verify --replica 3", &["no damage"]);
    // A stream that is ahead has a test of its own (`tests/cluster/cli/time.rs`).
    page.run(cluster, "lockstep time --correct").with_code(1).saying(&["there is nothing to set back"]);
    let file = cluster.config().display().to_string();
    let effective = "lockstep check /etc/lockstep/lockstep.toml --effective";
    let checked = page.run_with(cluster, effective, &[("/etc/lockstep/lockstep.toml", &file)], "");
    checked.with_code(0).showing(&["stream.durability", "process"]);
    let diff = "lockstep check --diff FILE FILE";
    page.run_with(cluster, diff, &[("FILE", &file)], "").with_code(0);
    // On a terminal it is looked at by a test of its own (`tests/cluster/cli/top.rs`).
    let screen = page.run_with(cluster, "lockstep top", &[], " --once --interval 200ms");
    screen.with_code(0).showing(&["healthy: 3 of 3", "replica-1", "leader"]);
}

/// What runs beside the replicas: its users, its files, its counters.
fn asks_a_gateway_and_a_notary(page: &mut Page, cluster: &Cluster) {
    add_user(cluster, "alice", "secret", &[]);
    let _gateway = gateways::start(cluster, "a");
    page.run(cluster, "lockstep gateway user list").with_code(0).showing(&["alice"]);
    page.run(cluster, "lockstep reload gateway").with_code(0).showing(&["gateway-a: users read again"]);
    cluster.run(&["notary", "key", "notary"], b"").with_code(0);
    let cursor = cluster.path("notary.cursor").display().to_string();
    let mut notary = cluster.start("notary", &["notary", "--cursor", &cursor]);
    notary.await_log("effective capabilities");
    let counted = page.run(cluster, "lockstep counters notary --rates").with_code(0);
    counted.showing(&["notary_attested_next", "notary_seen_next"]);
}

/// The keys: shown, allowed more, given a day, and rotated; the stream goes on.
fn changes_keys(page: &mut Page, cluster: &Cluster) {
    page.run(cluster, "lockstep keys show").with_code(0).showing(&["orders", "generation"]);
    page.run(cluster, "lockstep keys allow orders --names 'orders/*'").with_code(0);
    page.run(cluster, "lockstep keys show").with_code(0).showing(&["orders/*"]);
    page.run(cluster, "lockstep keys expire 0 2027-03-31").with_code(0);
    page.run(cluster, "lockstep keys show").with_code(0).showing(&["2027-03-31"]);
    page.run(cluster, "lockstep keys rotate").with_code(0);
    cluster.run(&["reload"], b"").with_code(0);
    cluster.publish("with the keys of two generations\n");
}

/// The state of this machine decides how the doctor ends; every check of the runbook is in its report.
fn judges_the_host(page: &mut Page, cluster: &Cluster) {
    let found = page.run(cluster, "lockstep doctor").with_one_of(&[0, 1, 2]);
    found.showing(&["socket.receive_buffer", "clock.synchronised", "limit.watcher"]);
    let probed = page.run_with(cluster, "lockstep doctor --probe", &[], " --for 2s --measure none");
    probed.with_one_of(&[0, 1, 2]).showing(&[" checks"]).saying(&["probing "]);
    let folder = cluster.path("").display().to_string();
    let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/tls/first.pem");
    page.run_on_host(&[("/var/lib/lockstep", &folder), ("/etc/lockstep/gateway.pem", certificate)]);
}

/// A leader that stands still is missed, continued, and follows; then the leadership is handed over.
fn continues_a_stopped_leader(page: &mut Page, cluster: &Cluster, replicas: &[Process]) {
    replicas[0].signal("STOP");
    cluster.publish("under another leader\n");
    page.run(cluster, "lockstep status").with_code(6).showing(&[
        "degraded: replica",
        "does not answer",
        "2 of 3 hold the log",
    ]);
    let counted = page.run(cluster, "lockstep counters --group engine").with_code(0);
    counted.showing(&["candidacies", "suspicions"]);
    page.run(cluster, "lockstep events --code LS1004").with_code(0).showing(&["LS1004"]);
    let pid = replicas[0].pid().to_string();
    page.run_with(cluster, "kill -s CONT 4711", &[("4711", &pid)], "").with_code(0);
    cluster.run(&["wait", "--for", "caught-up"], b"").with_code(0);
    let leader = || {
        let shown = cluster.run(&["membership", "show"], b"").with_code(0).out;
        shown.lines().find(|line| line.ends_with("leads")).map(str::to_owned).expect("a leader")
    };
    let before = leader();
    page.run(cluster, "lockstep handover").with_code(0);
    assert_ne!(before, leader());
}

/// Replica 3 is lost with its journal: its successor takes its place; later it is removed, and added again.
fn replaces_a_dead_member(page: &mut Page, cluster: &Cluster, replicas: &mut Vec<Process>) {
    let (mut dead, identity) = (replicas.pop().expect("three"), identity_of(cluster, 3));
    dead.signal("KILL");
    dead.wait();
    let status = page.run(cluster, "lockstep status").with_code(6);
    status.showing(&["degraded: replica", "2 of 3 hold the log", &identity]);
    fs::rename(cluster.path("journal-3"), cluster.path("journal-3.old")).expect("a journal");
    fs::remove_file(cluster.path("tail-3")).expect("a tail");
    let new = page.run(cluster, "lockstep format --replica 3").with_code(0).out().trim().to_owned();
    replicas.push(cluster.start_replica(3));
    let replace = "lockstep membership replace 3:0a3f9c1 3:0b4e8d2";
    let names = [("3:0a3f9c1", &*identity), ("3:0b4e8d2", &*new)];
    page.run_with(cluster, replace, &names, "").with_code(0).showing(&[&new, "committed"]);
    page.run(cluster, "lockstep status").showing(&["3 of 3 members", &new]);
    cluster.run(&["membership", "remove", &new], b"").with_code(0);
    page.run(cluster, "lockstep status").showing(&["learner"]);
    let add = page.run_with(cluster, "lockstep membership add 3:0b4e8d2", &[("3:0b4e8d2", &new)], "");
    add.with_code(0).showing(&[&new, "committed"]);
    cluster.publish("with the new member\n");
}

/// The identity of a replica, as the runbook tells to find it.
fn identity_of(cluster: &Cluster, id: u32) -> String {
    let shown = cluster.run(&["membership", "show"], b"").with_code(0).out;
    let mut words = shown.split_whitespace();
    words.find(|word| word.starts_with(&format!("{id}:"))).map(str::to_owned).expect("a member")
}

/// All stop in order: their journals are whole and of one history, and no recovery is needed.
fn compares_journals_of_stopped_replicas(page: &mut Page, cluster: &Cluster, replicas: Vec<Process>) {
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
    page.run(cluster, "lockstep status").with_code(4).showing(&["no quorum: 0 of 3 answer"]);
    page.run(cluster, "lockstep format --replica 3 --verify").with_code(0).showing(&["no damage"]);
    let look = "lockstep recover --replica 3 --json > 3.json";
    for id in ["1", "2", "3"] {
        let one = page.run_with(
            cluster,
            look,
            &[("replica 3", &format!("replica {id}")), ("3.json", &format!("{id}.json"))],
            "",
        );
        one.with_code(0);
        assert!(
            fs::read_to_string(cluster.path(&format!("{id}.json")))
                .is_ok_and(|text| text.contains("history"))
        );
    }
    let compared = page.run(cluster, "lockstep recover --compare 1.json 2.json 3.json").with_code(0);
    compared.showing(&["3 of 3 members are complete", "no history needs to be founded"]);
}

#[test]
fn each_counter_and_condition_that_the_runbook_names_exists() {
    let list = |args: &[&str]| run(command(args), b"").with_code(0).out;
    let (metrics, codes) = (list(&["metrics", "list"]), list(&["explain", "--json"]));
    let text = page::text("docs/RUNBOOK.md");
    let is_name =
        |word: &&str| word.contains('_') && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let names: BTreeSet<&str> = text.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        let counted = format!("lockstep_{}", name.trim_end_matches("_ns"));
        assert!(
            metrics.contains(&counted) || codes.contains(name),
            "`{name}` is neither counted nor a condition"
        );
    }
}
