//! The commands of an operator's three pages, in code style and in blocks, each in the situation that it is
//! for.

use super::identity_of;
use super::page::{Elsewhere, Page};
use lockstep_testkit::processes::{Cluster, Process, signal_all};
use std::fs;
use std::thread::sleep;
use std::time::Duration;

const PAGES: [&str; 3] = ["docs/RUN.md", "docs/CHANGE.md", "docs/RECOVER.md"];
/// Names of commands, which need arguments to be run.
const NAMES: [&str; 13] = [
    "lockstep backup",
    "lockstep bootstrap",
    "lockstep check",
    "lockstep drill",
    "lockstep journal",
    "lockstep recover",
    "lockstep rolling",
    "lockstep rolling reload",
    "lockstep rolling upgrade",
    "lockstep sequencer",
    "lockstep wait",
    "lockstep watch",
    "lockstep netsim",
];

/// Commands that want a ground of their own.
const ELSEWHERE: [Elsewhere; 7] = [
    Elsewhere {
        command: "lockstep bundle",
        file: "tests/cluster/cli/bundle.rs",
        test: "a_bundle_has_what_every_command_tells_and_no_secret_from_wherever_it_was_planted",
    },
    Elsewhere {
        command: "lockstep drill --times 20",
        file: "tests/cluster/cli/drill.rs",
        test: "a_healthy_cluster_passes_and_the_report_has_every_round",
    },
    Elsewhere {
        command: "lockstep drill --kind stop --kind kill --kind freeze --times 5 --stop-with",
        file: "tests/cluster/cli/drill.rs",
        test: "replicas_are_reached_by_commands_where_the_operator_gives_them",
    },
    Elsewhere {
        command: "lockstep rolling restart",
        file: "tests/cluster/cli/rolling.rs",
        test: "a_rolling_restart_takes_the_leader_last_and_no_message_is_lost",
    },
    Elsewhere {
        command: "lockstep rolling upgrade --to 0.3.0 --install",
        file: "tests/cluster/cli/rolling.rs",
        test: "a_rolling_upgrade_installs_between_stop_and_start_and_wants_the_release_of_each_node",
    },
    Elsewhere {
        command: "lockstep demo --loss 1%",
        file: "crates/lockstep-demo/tests/it/demo.rs",
        test: "on_a_network_that_loses_repeats_and_reorders_nothing_is_lost_doubled_or_out_of_order",
    },
    Elsewhere {
        command: "lockstep web",
        file: "tests/cluster/cli/web.rs",
        test: "a_page_has_the_figures_of_top_the_newest_messages_and_a_takeover",
    },
];

const FILE: &str = "/etc/lockstep/lockstep.toml";

#[test]
fn each_command_of_the_operators_pages_runs_and_does_what_its_section_says() {
    let mut page = Page::read_ours(&PAGES, &NAMES, &ELSEWHERE);
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    looks(&mut page, &cluster);
    reads_journals(&mut page, &cluster);
    replaces_a_dead_member(&mut page, &cluster, &mut replicas);
    keeps_an_archive(&mut page, &cluster);
    backs_up(&mut page, &cluster);
    let restored = restores(&mut page, &cluster, replicas);
    recovers(&mut page, &cluster, restored);
    goes_on_without_the_other_of_two(&mut page);
    ends_an_upgrade(&mut page);
    page.all_have_run();
}

/// A cluster in good health, what it shows, and what moves its leadership.
fn looks(page: &mut Page, cluster: &Cluster) {
    cluster.publish("one\n");
    let mut shows = |command: &str, texts: &[&str]| page.run(cluster, command).with_code(0).showing(texts);
    shows("lockstep wait --for caught-up", &[]);
    shows("lockstep wait --for caught-up --replica 3 --timeout 10min", &[]);
    shows("lockstep status", &["healthy: 3 of 3 members"]);
    shows("lockstep health", &["OK"]);
    shows("lockstep health --format nagios", &["LOCKSTEP OK - ", "lag=0;", "members=3;"]);
    shows("lockstep counters", &["replica-1", "accept_next"]);
    shows("lockstep events", &["-> leader"]);
    shows("lockstep losses", &["replica 3"]);
    shows("lockstep membership show", &["leads"]);
    shows("lockstep reload", &["replica-1: the key file ", "replica-3: "]);
    shows("lockstep reload replica-2", &["replica-2: the configuration was read again"]);
    shows("lockstep upgrade", &["log is of version"]);
    shows("lockstep time", &["nothing to correct"]);
    shows("lockstep check cluster.toml", &[]);
    shows("lockstep drill --restore", &[]);
    let file = cluster.config().display().to_string();
    let changed = fs::read_to_string(&file).expect("the file") + "\n[log]\nlevel = \"debug\"\n";
    fs::write(cluster.path("new.toml"), changed).expect("a file");
    let diff =
        page.run_with(cluster, &format!("lockstep check --diff {FILE} new.toml"), &[(FILE, &file)], "");
    diff.with_code(0).showing(&["log.level: info -> debug: needs a reload"]);
    let screen = page.run_with(cluster, "lockstep top", &[], " --once --interval 200ms").with_code(0);
    screen.showing(&["healthy: 3 of 3"]);
    let figures = page.run_with(cluster, "lockstep top --json", &[], " --interval 200ms").with_code(0);
    figures.showing(&["lockstep.top/1"]);
    page.run_with(cluster, "lockstep doctor", &[], " --measure none")
        .with_one_of(&[0, 1, 2])
        .showing(&["file.nodes"]);
    let probed = page.run_with(cluster, "lockstep doctor --probe", &[], " --for 1s --measure none");
    probed.with_one_of(&[0, 1, 2]).saying(&["probing "]);
    // A stream that is ahead has a test of its own (`tests/cluster/cli/time.rs`).
    page.run(cluster, "lockstep time --correct").with_code(1).saying(&["there is nothing to set back"]);
    page.run(cluster, "lockstep handover --to 2").with_code(0);
    page.run_with(cluster, "lockstep handover --to N", &[("N", "3")], "").with_code(0);
    page.run(cluster, "lockstep handover").with_code(0);
}

/// A day with orders, and the journals of the replicas that stored them.
fn reads_journals(page: &mut Page, cluster: &Cluster) {
    page.run_with(cluster, "lockstep day start NAME", &[("NAME", "20261121")], "").with_code(0);
    let orders: String = (1..=3_000).map(|number| format!("buy 100 ACME limit {number}\n")).collect();
    cluster.publish(&orders);
    let message = b"\x03\0\0\0abc";
    let publish = "lockstep publish --name NAME --length-prefixed";
    page.run_fed(cluster, publish, &[("NAME", "copies")], "", message).with_code(0).saying(&["1 committed"]);
    page.is_another_form_of("lockstep publish --length-prefixed", publish);
    let read = page.run_with(cluster, "lockstep subscribe --from 1", &[], " --until-end").with_code(0);
    read.showing(&["buy 100 ACME limit 3000", "abc"]);
    cluster.run(&["wait", "--for", "caught-up"], b"").with_code(0);
    let mut shows = |command: &str, texts: &[&str]| page.run(cluster, command).with_code(0).showing(texts);
    shows("lockstep journal ls --replica 2", &["segment", "active"]);
    shows(
        "lockstep journal info --replica 2",
        &["publisher  1 orders: 3001 messages here", "20261121", "open"],
    );
    shows("lockstep journal dump --replica 2 --from 5 --to 7", &["\n6\t"]);
    shows("lockstep journal dump --replica 2 --publisher orders --from 10 --to 10 --format hex", &[]);
    shows("lockstep journal grep \"limit 2999\" --replica 2", &["buy 100 ACME limit 2999"]);
    shows("lockstep journal verify --replica 2", &["no damage"]);
    shows("lockstep journal diff journal-1 journal-2", &["equal from seq 1 to "]);
    page.run_with(cluster, "lockstep journal verify DIR", &[("DIR", "journal-3")], "").with_code(0);
    page.run(cluster, "lockstep audit").with_code(0).showing(&["day start 20261121"]);
    page.run(cluster, "lockstep day end").with_code(0);
}

fn replaces_a_dead_member(page: &mut Page, cluster: &Cluster, replicas: &mut Vec<Process>) {
    let (mut dead, identity) = (replicas.pop().expect("three"), identity_of(cluster, 3));
    dead.signal("KILL");
    dead.wait();
    // Until then its leader has received from it a moment ago.
    sleep(Duration::from_millis(400));
    let why = page.run(cluster, "lockstep why").with_code(6);
    why.showing(&["silent: replica 3 does not answer", "lockstep membership replace", "who sees whom"]);
    // Nothing of it can be done from here.
    let fix = page.run_with(cluster, "lockstep fix NAME", &[("NAME", "silent")], "").with_code(6);
    fix.showing(&["systemctl start lockstep-sequencer@3", "are yours"]);
    move_away(cluster, 3);
    let new = page.run(cluster, "lockstep format --replica 3").with_code(0).out().trim().to_owned();
    replicas.push(cluster.start_replica(3));
    let replace = "lockstep membership replace 3:0a3f9c1 3:0b4e8d2";
    page.run_with(cluster, replace, &[("3:0a3f9c1", &identity), ("3:0b4e8d2", &new)], "").with_code(0);
    page.run(cluster, "lockstep status").showing(&["3 of 3 members", &new]);
}

/// The journal and the tail of a replica are elsewhere.
fn move_away(cluster: &Cluster, id: u32) {
    let journal = cluster.path(&format!("journal-{id}"));
    let mut places = (0..).map(|number| cluster.path(&format!("lost-{number}-{id}")));
    let place = places.find(|path| !path.exists()).expect("a name");
    fs::rename(journal, place).expect("a journal");
    let _ = fs::remove_file(cluster.path(&format!("tail-{id}"))); // a node that never ran has none
}

/// An archiver that is formatted, fetches the stream, and is stopped.
fn keeps_an_archive(page: &mut Page, cluster: &Cluster) {
    // Its journal is formatted by this, and again as the document does.
    cluster.add_archiver(101, "");
    move_away(cluster, 101);
    page.run(cluster, "lockstep format --archiver 101").with_code(0).showing(&["101:"]);
    let mut archiver = page.start(cluster, "archiver-101", "archiver --archiver 101");
    archiver.await_log("-> learner");
    cluster.run(&["wait", "--for", "caught-up", "--timeout", "1min"], b"").with_code(0);
    assert_eq!(archiver.terminate(), Some(0));
    page.run(cluster, "lockstep format --archiver 101 --verify").with_code(0).showing(&["no damage"]);
}

/// Where a backup of the document lies here.
fn backup(cluster: &Cluster) -> String {
    cluster.path("backup").display().to_string()
}

fn backs_up(page: &mut Page, cluster: &Cluster) {
    fs::create_dir(cluster.path("backup")).expect("a folder");
    let here = backup(cluster);
    let mut makes = |command: &str, texts: &[&str]| {
        page.run_with(cluster, command, &[("/backup", &here)], "").with_code(0).showing(texts);
    };
    makes("lockstep backup --replica 2 --to /backup/stream", &["seqs 1 to ", " new entries"]);
    makes("lockstep backup --replica 3 --to /backup/stream", &["seqs 1 to "]);
    makes("lockstep backup verify /backup/stream", &["no damage"]);
    makes("lockstep backup --replica 2 --to /backup/20261126.tar", &["seqs 1 to "]);
}

/// All replicas are lost: the backup is the beginning of a new history, and a second replica joins.
fn restores(page: &mut Page, cluster: &Cluster, mut replicas: Vec<Process>) -> Vec<Process> {
    signal_all("KILL", &replicas);
    for (id, replica) in (1..).zip(&mut replicas) {
        replica.wait();
        move_away(cluster, id);
    }
    let here = backup(cluster);
    let restore = "lockstep restore /backup/stream --replica 1";
    let restored = page.run_with(cluster, restore, &[("/backup", &here)], "").with_code(0);
    restored.showing(&["founded at seq ", "member 1:"]);
    page.is_another_form_of("lockstep restore BACKUP --replica 1", restore);
    let mut first = page.start(cluster, "replica-1", "sequencer --replica 1");
    first.await_log("-> leader");
    let second = page.run(cluster, "lockstep format --replica 2").with_code(0).out().trim().to_owned();
    let mut joins = page.start(cluster, "replica-2", "sequencer --replica 2");
    joins.await_log("-> learner");
    let add = "lockstep membership add 2:64508e2";
    page.run_with(cluster, add, &[("2:64508e2", &second)], "").with_code(0).showing(&[&second, "committed"]);
    let diff = "lockstep journal diff /backup/stream /var/lib/lockstep/journal-2";
    let journal = cluster.path("journal-2").display().to_string();
    let names = [("/backup", &*here), ("/var/lib/lockstep/journal-2", &*journal)];
    page.run_with(cluster, diff, &names, "")
        .with_code(0)
        .showing(&["equal from seq 1 to ", "continues to seq "]);
    vec![first, joins]
}

/// The journals of stopped processes are judged, and each of two founds a history.
fn recovers(page: &mut Page, cluster: &Cluster, replicas: Vec<Process>) {
    for replica in replicas.into_iter().rev() {
        assert_eq!(replica.terminate(), Some(0));
    }
    let look = "lockstep recover --replica 1 --json > 1.json";
    page.run(cluster, look).with_code(0);
    page.run_with(cluster, look, &[("replica 1", "replica 2"), ("1.json", "2.json")], "").with_code(0);
    let names = [("replica 1", "archiver 101"), ("1.json", "101.json")];
    page.run_with(cluster, look, &names, "").with_code(0);
    let compared = page.run(cluster, "lockstep recover --compare 1.json 2.json 101.json").with_code(0);
    compared.showing(&["holds most"]);
    page.run(cluster, "lockstep recover --replica 2 --accept-loss").with_code(0).saying(&["membership add"]);
    let copy = "copy-of-journal-1";
    fs::rename(cluster.path("journal-1"), cluster.path(copy)).expect("a journal");
    // Each founder is on a host of its own, and sees the journals of that one alone.
    let (other, elsewhere) = (cluster.path("journal-2"), cluster.path("journal-2-of-another-host"));
    fs::rename(&other, &elsewhere).expect("a journal");
    let from = "lockstep recover --replica 1 --from DIR --accept-loss";
    page.run_with(cluster, from, &[("DIR", copy)], "").with_code(0).saying(&["membership add"]);
    fs::rename(elsewhere, other).expect("a journal");
}

fn goes_on_without_the_other_of_two(page: &mut Page) {
    let cluster = Cluster::new(2, "");
    let mut replicas = cluster.found();
    cluster.publish("of two\n");
    let dead = identity_of(&cluster, 1);
    replicas[0].signal("KILL");
    replicas[0].wait();
    let declare = "lockstep declare-dead 1:0a3f9c1";
    page.run_with(&cluster, declare, &[("1:0a3f9c1", &dead)], "").with_code(0);
    cluster.publish("of one\n");
}

/// A log of the version before, until the operator's word.
fn ends_an_upgrade(page: &mut Page) {
    let cluster = Cluster::new(1, "");
    cluster.format(1);
    let bootstrap = "lockstep bootstrap --log-version 3";
    page.run_with(&cluster, bootstrap, &[], " --replica 1").with_code(0).showing(&["history "]);
    let mut replica = cluster.start_replica(1);
    replica.await_log("-> leader");
    page.run(&cluster, "lockstep upgrade").with_code(0).showing(&["log is of version 3"]);
    page.run(&cluster, "lockstep upgrade --finish").with_code(0);
    page.run(&cluster, "lockstep upgrade").with_code(0).showing(&["log is of version 4"]);
}
