//! The command line, as a person uses it: real processes on loopback, their output and their exit codes.

mod ack;
mod archiver;
mod backup;
mod beside;
mod bundle;
mod check;
mod counters;
mod drill;
mod events;
mod files;
mod health;
mod idle;
mod journal;
mod killed;
mod leaderless;
mod losses;
mod metrics;
mod operators;
mod recover;
mod refusals;
mod reload;
mod rolling;
mod rolling_keys;
mod rot;
mod schema;
mod service;
mod stall;
mod starts;
pub mod streams;
mod takeovers;
pub mod time;
mod top;
mod users;
mod vanished;
mod wait;
mod watcher;
mod web;

use lockstep_testkit::processes::{Cluster, command, cpu_shares, example, payloads, run};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn lines(count: usize) -> String {
    (1..=count).map(|number| format!("order {number}\n")).collect()
}

#[test]
fn what_is_published_is_read_in_both_modes_with_one_digest_and_a_clean_stop_is_opened_again() {
    let cluster = Cluster::new(3, "");
    (1..=3).for_each(|id| drop(cluster.format(id)));
    // Two wait, blank; the third asks them who they are.
    let mut replicas = vec![cluster.start_replica(2), cluster.start_replica(3)];
    let output = cluster.run(&["bootstrap", "--replica", "1"], b"").with_code(0).out;
    assert!(output.starts_with("history ") && output.matches("\nmember ").count() == 3, "{output}");
    replicas.insert(0, cluster.start_replica(1));
    replicas[0].await_log("-> leader");

    let published = cluster.publish(&lines(500)).saying(&["500 published, 500 committed"]);
    assert_eq!(published.out, "", "data alone belongs on stdout");
    let committed = cluster.read(&["--committed"]).saying(&["messages 500, gaps "]);
    let stamped = cluster.read(&["--stamped"]);
    assert_eq!(payloads(&committed.out), lines(500).lines().collect::<Vec<_>>());
    assert_eq!((&stamped.out, stamped.digest()), (&committed.out, committed.digest()));

    // A standby stops in order, misses something, and has it afterwards.
    let standby = replicas.pop().expect("three");
    assert_eq!(standby.terminate(), Some(0));
    assert!(std::fs::read_to_string(cluster.path("replica-3.log")).unwrap().contains("marked clean"));
    cluster.publish("while one was away\n");
    replicas.push(cluster.start_replica(3));
    replicas[2].await_log("-> standby");
    let all = cluster.read(&[]);
    assert_eq!(payloads(&all.out).len(), 501);

    // The leader that stopped has handed over, and follows when it is back.
    assert_eq!(replicas.remove(0).terminate(), Some(0));
    replicas.insert(0, cluster.start_replica(1));
    replicas[0].await_log("role=\"standby\"");
    cluster.publish("under another leader\n");
    assert_eq!(payloads(&cluster.read(&[]).out).len(), 502);

    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
    for id in ["1", "2", "3"] {
        let verified = cluster.run(&["format", "--replica", id, "--verify"], b"").with_code(0);
        assert!(verified.out.contains("no damage"), "{}", verified.out);
    }
}

#[test]
fn a_line_longer_than_a_datagram_is_published_and_read_as_one_message() {
    let cluster = Cluster::new(3, "");
    let _replicas = cluster.found();
    let long: String =
        (0..13_000).map(|number| format!("{number:04} ")).collect::<String>()[..60_000].to_owned();
    cluster.publish(&format!("before\n{long}\nbehind\n")).saying(&["3 published, 3 committed"]);
    for mode in ["--committed", "--stamped"] {
        let read = cluster.read(&[mode]).saying(&["messages 3, gaps "]);
        assert_eq!(payloads(&read.out), ["before", &long, "behind"]);
    }
    let too_long = cluster.run(&["publish", "--name", "orders"], "x".repeat(65_537).as_bytes());
    assert_ne!(too_long.code, Some(0));
    too_long.saying(&["65537", "65536", "stream.message_len_max"]);
}

#[test]
fn each_form_of_output_says_the_same_and_each_spelling_of_input_is_read() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    cluster.publish("a\tb\n\n");
    let hex = cluster.run(&["publish", "--name", "orders", "--hex", "--destination", "7"], b"00 ff\n");
    hex.with_code(0).saying(&["1 published, 1 committed"]);

    let text = cluster.read(&[]).out;
    let columns: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(
        columns.iter().map(|row| (row[2], row[3])).collect::<Vec<_>>(),
        [("0", "a\\tb"), ("0", ""), ("7", "\\u{0}\\xff")]
    );

    let json = cluster.read(&["--json", "--text"]).out;
    let rows: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(rows.iter().all(|row| row["schema"] == "lockstep.message/2"), "{json}");
    assert_eq!((&rows[0]["payload_text"], &rows[0]["payload_hex"]), (&"a\tb".into(), &"610962".into()));
    assert_eq!((&rows[2]["payload_text"], &rows[2]["payload_hex"]), (&Value::Null, &"00ff".into()));
    assert!(rows[0]["timestamp_ns"].as_u64() <= rows[2]["timestamp_ns"].as_u64());

    // With --events no seq is left out, and each has one line.
    let all = cluster.read(&["--json", "--events"]).out;
    let all: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let seqs: Vec<_> = all.iter().map(|row| row["seq"].as_u64().expect("a seq")).collect();
    assert_eq!(seqs, (1..=*seqs.last().expect("a stream")).collect::<Vec<_>>());
    let schemas: Vec<_> = all.iter().filter_map(|row| row["schema"].as_str()).collect();
    assert!(all.iter().any(|row| row["schema"] == "lockstep.epoch/1" && row["members"] == 1), "{all:?}");
    for schema in ["passed", "epoch", "opened", "message"] {
        assert!(
            schemas.iter().any(|known| known.starts_with(&format!("lockstep.{schema}/"))),
            "{schema}: {schemas:?}"
        );
    }

    // What --raw prints, --length-prefixed publishes.
    let args = cluster.args(&["subscribe", "--until-end", "--raw"]);
    let raw = command(&args.iter().map(String::as_str).collect::<Vec<_>>()).output().expect("a run").stdout;
    assert_eq!(raw, b"\x03\0\0\0a\tb\0\0\0\0\x02\0\0\0\x00\xff");
    cluster.run(&["publish", "--name", "copies", "--length-prefixed"], &raw).with_code(0);
    let seq = columns[2][0].parse::<u64>().expect("a seq") + 1;
    let again = cluster.read(&["--from", &seq.to_string()]).out;
    assert_eq!(payloads(&again), ["a\\tb", "", "\\u{0}\\xff"]);
    let first = cluster.run(&["subscribe", "--count", "1"], b"").with_code(0).out;
    assert_eq!(payloads(&first), ["a\\tb"]);
}

#[test]
fn a_subscription_prints_the_messages_that_were_chosen_and_counts_those() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let publish = |name: &str, destination: &str, lines: &str| {
        let args = ["publish", "--name", name, "--destination", destination];
        cluster.run(&args, lines.as_bytes()).with_code(0);
    };
    publish("orders", "0", "buy 1\nsell 2\nbuy 3\n");
    publish("quotes", "7", "buy 4\nsell 5\n");
    let table: [(&[&str], &[&str]); 6] = [
        (&["--publisher", "orders"], &["buy 1", "sell 2", "buy 3"]),
        (&["--publisher", "2"], &["buy 4", "sell 5"]),
        (&["--destination", "7", "--grep", "buy"], &["buy 4"]),
        (&["--grep", "sell"], &["sell 2", "sell 5"]),
        (&["--grep", "buy", "--count", "2"], &["buy 1", "buy 3"]),
        (&["--publisher", "nobody"], &[]),
    ];
    for (flags, wanted) in table {
        let read = cluster.read(flags);
        assert_eq!(payloads(&read.out), wanted, "{flags:?}");
        assert!(read.err.contains(&format!("messages {},", wanted.len())), "{}", read.err);
        assert_eq!(
            read.err.contains("no entry that was read opens the name 'nobody'"),
            flags[1] == "nobody",
            "{}",
            read.err
        );
    }
    cluster.run(&["subscribe", "--grep", ""], b"").with_code(2);
}

#[test]
fn a_live_subscription_begins_with_what_comes_and_a_reader_that_leaves_is_no_error() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    cluster.publish("before\n");
    // One that reads all waits for more; when nobody reads it any more, it ends with 0.
    let mut reader = cluster.start("reader", &["subscribe", "--json"]);
    let begins = reader.read_stdout(20);
    assert_eq!(begins, b"{\"destination\":0,\"pa");
    let mut live =
        cluster.start("live", &["subscribe", "--from", "live", "--count", "1", "--timeout", "40s"]);
    // A live reader begins when it has heard the stream: something comes until it has its message.
    for number in 0.. {
        cluster.publish(&format!("after {number}\n"));
        if live.log().contains("messages 1") {
            break;
        }
        assert!(number < 200, "nothing was delivered live:\n{}", live.log());
    }
    let line = live.read_all();
    assert!(line.contains("\tafter ") && line.lines().count() == 1, "{line}");
    assert_eq!((live.wait().code(), reader.wait().code()), (Some(0), Some(0)), "{}", reader.log());
}

#[test]
fn a_publisher_whose_name_is_opened_anew_is_fenced_with_exit_code_5() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let mut older = cluster.start("older", &["publish", "--name", "orders"]);
    use std::io::Write;
    older.stdin().as_mut().expect("piped").write_all(b"first\n").expect("a write");
    let first = cluster.run(&["subscribe", "--count", "1", "--timeout", "30s"], b"").with_code(0).out;
    assert_eq!(payloads(&first), ["first"]);
    cluster.publish("second\n");
    // It learns so when it reads the stream, and whether it has more to publish does not matter.
    assert_eq!(older.wait().code(), Some(5), "{}", older.log());
    assert!(
        older.log().contains("fenced") && older.log().contains("1 published, 1 committed"),
        "{}",
        older.log()
    );
}

#[test]
fn a_sequencer_ends_with_the_pipe_that_it_was_told_to_watch_and_prints_its_events_when_asked() {
    let cluster = Cluster::new(1, "");
    drop(cluster.found());
    let mut replica = cluster.start("watched", &["sequencer", "--replica", "1", "--until-stdin-ends"]);
    replica.await_log("settings that are not the default");
    // What was set is one line; a start's log has what happens, and not ninety settings.
    let log = replica.log();
    let lines = |word: &str| log.lines().filter(|line| line.contains(word)).count();
    assert_eq!((lines("settings that are not the default"), lines("timing.nack_delay")), (1, 0), "{log}");
    assert!(log.contains("journal.segment_size = 1MiB (") && log.lines().count() < 40, "{log}");
    replica.signal("USR1");
    replica.await_log("flight recorder");
    *replica.stdin() = None;
    assert_eq!(replica.wait().code(), Some(0), "{}", replica.log());
    assert!(replica.log().contains("marked clean"));
}

#[test]
fn log_lines_are_json_when_they_shall_be_and_a_flag_beats_a_variable_beats_the_file() {
    let cluster = Cluster::new(1, "[log]\nlevel = \"error\"\n");
    cluster.format(1);
    let args = cluster.args(&["sequencer", "--replica", "1", "--log-format", "json"]);
    let mut command = command(&args.iter().map(String::as_str).collect::<Vec<_>>());
    command.env("LOCKSTEP_LOG_FORMAT", "text").env("LOCKSTEP_LOG_LEVEL", "debug");
    let mut replica = cluster.start_command("json", command);
    replica.await_log("\"key\":\"log.level\"");
    replica.signal("TERM");
    assert_eq!(replica.wait().code(), Some(0), "{}", replica.log());
    let log = replica.log();
    let rows: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let origin = |key: &str| rows.iter().find(|row| row["key"] == key).map(|row| row["origin"].clone());
    assert_eq!(origin("log.format"), Some("flag --log-format".into()));
    // What ends it is a log line as well.
    std::fs::remove_dir_all(cluster.path("journal-1")).expect("a journal");
    let refused = cluster.run(&["sequencer", "--replica", "1", "--log-format", "json"], b"").with_code(2);
    let row: Value = serde_json::from_str(&refused.err).expect("JSON");
    assert!(row["level"] == "ERROR" && row["exit_code"] == 2, "{row}");
    assert_eq!(origin("log.level"), Some("env LOCKSTEP_LOG_LEVEL".into()));
}

fn commands_page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/COMMANDS.md")).expect("it is there")
}

#[test]
fn commands_md_has_every_command_and_every_exit_code_as_the_program_prints_them() {
    let help = run(command(&["--help"]), b"").with_code(0).out;
    let (_, commands) = help.split_once("Commands:").expect("a list");
    let (commands, codes) = commands.split_once("Exit codes:").expect("a table");
    let (commands, _) = commands.split_once("Options:").expect("an end");
    let page = commands_page();
    // A value longer than a line goes on further to the right.
    let names = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    assert!(names.len() > 15 && names.contains(&"status"), "{names:?}");
    for name in names.iter().filter(|name| **name != "help") {
        let rows = [format!("| `lockstep {name}`"), format!("| `lockstep {name} ")];
        assert!(rows.iter().any(|row| page.contains(row.as_str())), "docs/COMMANDS.md lacks {name}");
    }
    let codes: Vec<_> = codes.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    for code in &codes {
        let (number, means) = code.split_once("  ").expect("two columns");
        let row = format!("| {number} | {means} |");
        assert!(page.contains(&row), "docs/COMMANDS.md lacks '{row}'");
    }
    let (_, table) = page.split_once("| exit code | means |\n|---|---|\n").expect("a table");
    assert_eq!(table.lines().take_while(|line| line.starts_with('|')).count(), codes.len());
}

#[test]
fn help_tells_the_exit_codes() {
    for args in [&["--help"][..], &["help", "exit-codes"], &["exit-codes"]] {
        let output = run(command(args), b"").with_code(0).out;
        assert!(output.contains("4  not ready in time") && output.contains("5  fenced"), "{output}");
    }
}

#[test]
fn the_examples_publish_and_read_a_cluster_of_the_demos_kind() {
    let (Some(publish), Some(subscribe)) = (example("publish"), example("subscribe")) else { return };
    let cluster = Cluster::new(3, "");
    let _replicas = cluster.found();
    let run_example = |program: &Path, more: &[&str]| {
        let mut command = Command::new(program);
        command.arg(cluster.config()).args(more);
        run(command, b"").with_code(0).out
    };
    let published = run_example(&publish, &[]);
    assert!(published.lines().count() == 100 && published.starts_with("1 is seq "), "{published}");
    // One that waits for more sleeps until it comes.
    let mut command = Command::new(&subscribe);
    command.arg(cluster.config()).arg("1000");
    let idle = cluster.start_command("idle", command);
    let shares = cpu_shares([&idle], Duration::from_secs(1));
    assert!(shares[0].1 < 0.2, "an idle reader uses {:.0} % of a core", shares[0].1 * 100.0);
    let read = run_example(&subscribe, &["100"]);
    let messages = read.lines().filter(|line| line.contains(" buy ")).count();
    assert!(
        messages == 100 && read.lines().last().is_some_and(|line| line.ends_with(" buy 99 at 42")),
        "{read}"
    );
}

/// Programs with the library print what is wrong, and not how we keep it; and hear the variables that
/// commands hear.
#[test]
fn the_examples_say_what_is_wrong_with_a_configuration_and_hear_the_same_variables() {
    let Some(publish) = example("publish") else { return };
    let cluster = Cluster::new(1, "");
    let with = |name: &str, value: &str| {
        let mut command = Command::new(&publish);
        command.arg(cluster.config()).env(name, value);
        run(command, b"").with_code(1)
    };
    let output = with("LOCKSTEP_TIMING_HEARTBEAT_INTERVAL", "5");
    assert!(output.err.starts_with("Error: the configuration is refused\n"), "{}", output.err);
    output.saying(&["LS0105", "timing.heartbeat_interval", "env LOCKSTEP_TIMING_HEARTBEAT_INTERVAL"]);
    let output = with("LOCKSTEP_LINES_1_INTERFACE", "nowhere7");
    assert!(output.err.contains("nowhere7") && !output.err.contains("Os {"), "{}", output.err);
}

#[test]
fn check_reads_the_file_and_the_same_layers_as_every_command() {
    let cluster = Cluster::new(1, "");
    let good = cluster
        .run(&["check", "--effective", "--set", "timing.heartbeat_interval=7ms"], b"")
        .with_code(0)
        .out;
    assert!(
        good.contains("timing.heartbeat_interval")
            && good.contains("7ms")
            && good.contains("flag --set timing.heartbeat_interval"),
        "{good}"
    );
    assert!(good.ends_with("profile shared, replicas 1\n"), "{good}");
    let bad = cluster.run(&["check", "--idle", "sleep"], b"").with_code(2);
    assert!(bad.out.contains("LS0106") && !bad.out.contains('\u{1b}'), "no colour in a pipe: {}", bad.out);
    let file = cluster.config().display().to_string();
    run(command(&["check", &file, "--json"]), b"").with_code(0);
}
