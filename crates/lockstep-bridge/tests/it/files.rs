//! Files of the bridge beside a cluster of real processes: equal bytes whatever was killed, and what other
//! people's programs read of them.
//!
//! `LOCKSTEP_BRIDGE_KILLS=200` kills more often than CI does; `LOCKSTEP_BRIDGE_SEED` repeats its draws.

#![allow(clippy::unwrap_used, reason = "a test ends there")]

use crate::itch;
use crate::load::{self, Load, draws, number_of};
use itch50::Message;
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::{Cluster, Process, run};
use lockstep_testkit::python::{Python, bytes_of};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const FORMATS: [&str; 6] = ["csv", "length-prefixed", "binary-file", "pcap", "pcapng", "parquet"];
const DUCKDB: &str = "duckdb==1.5.6";
const ITCHFEED: &str = "itchfeed==1.6.4";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/files/read.py");
const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/bridge/itch50.toml");
/// The manifest's name.
const MANIFEST: &str = "manifest.json";

fn bridge(cluster: &Cluster, format: &str, folder: &Path, more: &[&str]) -> Command {
    let mut command = load::bridge();
    command.args(["file", "--format", format]).arg("--folder").arg(folder);
    command.args(more).arg("--config").arg(cluster.config());
    command
}

/// Names and bytes of a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let file = |entry: std::fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
    };
    entries.map(file).collect()
}

/// The files of a folder that its manifest lists, oldest first.
fn listed(folder: &Path) -> Vec<PathBuf> {
    let text = std::fs::read(folder.join(MANIFEST)).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let rows = manifest["files"].as_array().unwrap();
    rows.iter().map(|row| folder.join(row["file"].as_str().unwrap())).collect()
}

fn seqs(cluster: &Cluster) -> Vec<u64> {
    let stream = cluster.read(&[]).out;
    stream.lines().map(|line| line.split('\t').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn the_same_range_gives_the_same_bytes_in_every_format_whatever_was_killed() {
    let cluster = Cluster::new(3, "");
    let _replicas = cluster.found();
    let limits = ["--rows-per-file", "700", "--bytes-per-file", "100KiB"];
    let kills = number_of("LOCKSTEP_BRIDGE_KILLS", amount(6, 12));
    let mut draws = draws();
    let load = Load::start(&cluster, Duration::from_micros(400));
    for kill in 0..kills {
        let format = FORMATS[kill as usize % FORMATS.len()];
        let folder = cluster.path(&format!("killed-{format}"));
        let mut running = cluster.start_command("bridge", bridge(&cluster, format, &folder, &limits));
        std::thread::sleep(Duration::from_millis(draws.below(600)));
        assert!(running.ended().is_none(), "it ended by itself:\n{}", running.log());
        running.signal("KILL");
        running.wait();
    }
    load.end();
    let seqs = seqs(&cluster);
    let to = seqs.last().unwrap().to_string();
    let bounded = [&limits[..], &["--to", &to]].concat();
    for format in FORMATS {
        let [killed, whole] = ["killed", "whole"].map(|name| cluster.path(&format!("{name}-{format}")));
        for folder in [&killed, &whole] {
            run(bridge(&cluster, format, folder, &bounded), b"").with_code(0);
        }
        let (killed, whole) = (files(&killed), files(&whole));
        assert_eq!(killed.keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>(), "{format}");
        for (name, bytes) in &whole {
            assert!(killed[name] == *bytes, "{format}: {name} differs");
        }
        assert!(whole.len() > 2 && !whole.keys().any(|name| name.ends_with(".part")), "{:?}", whole.keys());
        let manifest: serde_json::Value = serde_json::from_slice(&whole[MANIFEST]).unwrap();
        let rows = manifest["files"].as_array().unwrap();
        assert_eq!(rows.iter().map(|row| row["rows"].as_u64().unwrap()).sum::<u64>(), seqs.len() as u64);
        assert_eq!(rows.len() + 1, whole.len());
    }
    println!("{kills} kills, {} messages: equal bytes in {} formats", seqs.len(), FORMATS.len());
}

/// A bridge that ends behind each message and begins again has the names of one that never ended: what it
/// has read of them is in the manifest.
#[test]
fn files_have_the_names_that_were_opened_before_a_message_however_often_a_bridge_begins_again() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    // The second one is addressed before it has a name.
    for (name, to, lines) in [("desk", "2", "a\nb\n"), ("risk", "1", "c\nd\n"), ("late", "2", "e\nf\n")] {
        cluster.run(&["publish", "--name", name, "--destination", to], lines.as_bytes()).with_code(0);
    }
    let seqs: Vec<String> = seqs(&cluster).iter().map(u64::to_string).collect();
    for format in ["csv", "parquet"] {
        let [whole, often] = ["whole", "often"].map(|name| cluster.path(&format!("names-{name}-{format}")));
        let flags = ["--names", "--rows-per-file", "1"];
        let copy = |folder: &Path, to: &str| {
            run(bridge(&cluster, format, folder, &[&flags[..], &["--to", to]].concat()), b"").with_code(0);
        };
        copy(&whole, seqs.last().unwrap());
        seqs.iter().for_each(|seq| copy(&often, seq));
        assert!(files(&whole) == files(&often), "{format}: equal bytes");
        let text = String::from_utf8(files(&whole).remove(MANIFEST).unwrap()).unwrap();
        assert!(text.contains("\"names\"") && text.contains("\"risk\""), "{text}");
        let other = run(bridge(&cluster, format, &whole, &["--rows-per-file", "1"]), b"").with_code(2);
        other.saying(&["--names yes", "name another --folder"]);
    }
    let names: Vec<String> = listed(&cluster.path("names-whole-csv"))
        .into_iter()
        .map(|file| std::fs::read_to_string(file).unwrap().lines().nth(1).unwrap().to_owned())
        .map(|line| line.split(',').skip(6).collect::<Vec<_>>().join(","))
        .collect();
    let wanted = ["a,desk,", "b,desk,", "c,risk,desk", "d,risk,desk", "e,late,risk", "f,late,risk"];
    assert_eq!(names, wanted);
    let refused = run(bridge(&cluster, "pcap", &cluster.path("names-pcap"), &["--names"]), b"").with_code(2);
    refused.saying(&["--names is for --format csv or parquet"]);
}

/// A publisher of messages of 20,000 bytes, sixteen parts each, one after each pause.
fn publish_in_parts(
    cluster: &Cluster,
    name: &'static str,
    count: u64,
) -> (Process, std::thread::JoinHandle<()>) {
    let args = ["publish", "--name", name, "--length-prefixed", "--timeout", "50s"];
    let mut publisher = cluster.start(name, &args);
    let mut stdin = publisher.stdin().take().unwrap();
    let writer = std::thread::spawn(move || {
        for number in 0..count {
            let message = format!("{name} {number:06} {}", ".".repeat(20_000));
            stdin.write_all(&prefixed(&[message.into_bytes()])).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    (publisher, writer)
}

/// The seqs of the files of CSV, in their order, and how many files end while a message is unfinished.
fn csv_seqs(folder: &Path) -> (Vec<u64>, usize) {
    let text = std::fs::read(folder.join(MANIFEST)).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let resumes_before = |row: &&serde_json::Value| {
        let resume = row["resume"].as_str().unwrap().split(':').nth(1).unwrap().parse::<u64>().unwrap();
        resume <= row["last_seq"].as_u64().unwrap()
    };
    let unfinished = manifest["files"].as_array().unwrap().iter().filter(resumes_before).count();
    let texts = listed(folder).into_iter().map(|file| std::fs::read_to_string(file).unwrap());
    let seqs = texts.flat_map(|text| {
        let rows = text.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap());
        rows.collect::<Vec<_>>()
    });
    (seqs.collect(), unfinished)
}

/// By a timer, by kills, and behind each of many seqs: parts of several publishers stand across the end.
#[test]
fn messages_in_parts_are_in_the_files_once_wherever_a_bridge_ends() {
    let cluster = Cluster::new(3, "");
    let _replicas = cluster.found();
    let publishers = ["a", "b", "c", "d"].map(|name| publish_in_parts(&cluster, name, amount(60, 400)));
    let few = ["--rows-per-file", "5"];
    let [timed, killed, bounded] = ["timed", "killed", "bounded"].map(|name| cluster.path(name));
    let until_end = [&few[..], &["--until-end"]].concat();
    let mut draws = draws();
    while publishers.iter().any(|(_, writer)| !writer.is_finished()) {
        run(bridge(&cluster, "csv", &timed, &until_end), b"").with_code(0);
        let mut running = cluster.start_command("bridge", bridge(&cluster, "csv", &killed, &few));
        std::thread::sleep(Duration::from_millis(draws.below(300)));
        running.signal("KILL");
        running.wait();
    }
    for (mut publisher, writer) in publishers {
        writer.join().unwrap();
        assert!(publisher.wait().success(), "{}", publisher.log());
    }
    // One run behind the other, each a few entries further.
    let stream = seqs(&cluster);
    let first = stream[stream.len() / 2];
    for to in (first..).step_by(3).take(amount(12, 100) as usize) {
        let to = to.to_string();
        run(bridge(&cluster, "csv", &bounded, &[&few[..], &["--to", &to]].concat()), b"").with_code(0);
    }
    let mut unfinished = 0;
    for folder in [&timed, &killed, &bounded] {
        run(bridge(&cluster, "csv", folder, &until_end), b"").with_code(0);
        let (seqs, across) = csv_seqs(folder);
        assert_eq!(seqs, stream, "{}", folder.display());
        unfinished += across;
    }
    assert!(unfinished > 0, "no file ended within a message of somebody");
    // One that begins late has the same messages from there on, whose first parts lie before it.
    for from in first..first + amount(3, 40) {
        let (folder, seq) = (cluster.path(&format!("late-{from}")), from.to_string());
        run(bridge(&cluster, "csv", &folder, &["--from", &seq, "--until-end"]), b"").with_code(0);
        let later: Vec<_> = stream.iter().copied().filter(|seq| *seq >= from).collect();
        assert_eq!(csv_seqs(&folder).0, later, "from {from}");
    }
    println!("{} messages, {unfinished} files ended within a message", stream.len());
}

#[test]
fn a_second_bridge_and_another_setting_are_refused_and_sigterm_ends_the_first() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let folder = cluster.path("files");
    let command = || bridge(&cluster, "csv", &folder, &["--rows-per-file", "2"]);
    let mut first = cluster.start_command("bridge", command());
    cluster.publish("a\nb\nc\n");
    let began = std::time::Instant::now();
    while !folder.join(MANIFEST).exists() || listed(&folder).is_empty() {
        assert!(
            began.elapsed() < lockstep_testkit::processes::PATIENCE,
            "no file is complete:\n{}",
            first.log()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    run(command(), b"").with_code(5).saying(&["another bridge writes into it"]);
    first.signal("TERM");
    assert_eq!(first.wait().code(), Some(0));
    assert_eq!(listed(&folder).len(), 1, "the rest is no whole file");
    let other = run(bridge(&cluster, "csv", &folder, &["--rows-per-file", "3"]), b"");
    other.with_code(2).saying(&["was written with --rows-per-file 2, and 3 is asked for"]);
    let wrong = run(bridge(&cluster, "csv", &folder, &["--compression", "lz4"]), b"");
    wrong.with_code(2).saying(&["--compression is for --format parquet, and --format is csv"]);
    let wrong = run(bridge(&cluster, "parquet", &folder, &["--schema", "/nonexistent"]), b"");
    wrong.with_code(2).saying(&["--schema /nonexistent: No such file"]);
    run(bridge(&cluster, "csv", &folder, &["--rows-per-file", "2", "--until-end"]), b"").with_code(0);
    let files = listed(&folder);
    let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let payloads = text.lines().filter(|line| !line.starts_with("seq,"));
    let payloads: Vec<_> = payloads.map(|line| line.rsplit(',').next().unwrap()).collect();
    assert_eq!((files.len(), payloads), (2, vec!["a", "b", "c"]));
}

/// A stream with a recorded day of ITCH, and its messages.
struct ItchDay {
    cluster: Cluster,
    _replicas: Vec<Process>,
    messages: Vec<Vec<u8>>,
}

impl ItchDay {
    fn publish() -> Self {
        let cluster = Cluster::new(1, "");
        let replicas = cluster.found();
        let messages = itch::recorded();
        let input = prefixed(&messages);
        run(
            cluster.command_at(cluster.clients(), &["publish", "--name", "feed", "--length-prefixed"]),
            &input,
        )
        .with_code(0);
        Self { cluster, _replicas: replicas, messages }
    }

    /// The files of the whole stream.
    fn write(&self, format: &str, more: &[&str]) -> Vec<PathBuf> {
        let folder = self.cluster.path(format);
        let more = [more, &["--until-end"]].concat();
        run(bridge(&self.cluster, format, &folder, &more), b"").with_code(0);
        listed(&folder)
    }

    /// Count, and sums of seqs, timestamps, numbers of the publisher and payload bytes.
    fn totals(&self) -> String {
        let read = self.cluster.read(&["--json"]).out;
        let lines = read.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let lines: Vec<_> = lines.filter(|line| line.get("payload_hex").is_some()).collect();
        let sum = |key: &str| lines.iter().map(|line| u128::from(line[key].as_u64().unwrap())).sum::<u128>();
        let bytes: usize = lines.iter().map(|line| line["payload_hex"].as_str().unwrap().len() / 2).sum();
        let (seqs, times, numbers) = (sum("seq"), sum("timestamp_ns"), sum("publisher_seq"));
        format!("total {} {seqs} {times} {numbers} {bytes}", lines.len())
    }
}

fn prefixed(messages: &[Vec<u8>]) -> Vec<u8> {
    let prefixed =
        messages.iter().map(|message| [&(message.len() as u32).to_le_bytes()[..], message].concat());
    prefixed.collect::<Vec<_>>().concat()
}

fn python(package: &str, unavailable: &str) -> Option<Python> {
    Python::with(package).map_err(|why| println!("SKIPPED: {unavailable}: {why}")).ok()
}

fn read(python: &Python, what: &str, files: &[PathBuf]) -> String {
    let files = files.iter().map(|file| file.to_str().unwrap());
    python.run(SCRIPT, &[what].into_iter().chain(files).collect::<Vec<_>>(), "")
}

#[test]
fn length_prefixed_files_are_what_publish_read() {
    let day = ItchDay::publish();
    let files = day.write("length-prefixed", &["--bytes-per-file", "64KiB"]);
    let bytes: Vec<u8> = files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect();
    assert!(files.len() > 3 && bytes == prefixed(&day.messages), "{} files", files.len());
}

// The day ends with the event at which itchfeed stops to read; the length of 0 behind it is for others.
#[test]
fn itchfeed_reads_a_binary_file_of_the_recorded_day() {
    let unavailable = "the Python package itchfeed cannot be had";
    let Some(python) = python(ITCHFEED, unavailable) else { return };
    let day = ItchDay::publish();
    let files = day.write("binary-file", &[]);
    let digest = day.messages.iter().fold(0u64, |digest, message| {
        let sum: u64 = message.iter().map(|byte| u64::from(*byte)).sum();
        ((u128::from(digest) * 31 + u128::from(sum)) % (1 << 61)) as u64
    });
    assert_eq!(read(&python, "binary-file", &files), format!("total {} {digest}\n", day.messages.len()));
}

#[test]
fn duckdb_finds_in_csv_and_parquet_the_counts_and_sums_of_the_stream() {
    let unavailable = "the Python package duckdb cannot be had";
    let Some(python) = python(DUCKDB, unavailable) else { return };
    let day = ItchDay::publish();
    let totals = day.totals();
    let csv = day.write("csv", &["--payload", "hex", "--rows-per-file", "5000"]);
    assert_eq!(read(&python, "csv", &csv), format!("{totals}\n"));
    let files = day.write("parquet", &["--rows-per-file", "5000", "--schema", SCHEMA]);
    assert!(files.len() > 1);
    let mut expected = format!("{totals}\ncolumns 75\n");
    let types = itch_types(&day.messages);
    types.iter().for_each(|line| writeln!(expected, "{line}").unwrap());
    assert_eq!(read(&python, "parquet", &files), expected);
}

/// What DuckDB is to find of the schema's columns: by type, and by stock.
fn itch_types(messages: &[Vec<u8>]) -> Vec<String> {
    let mut types: BTreeMap<&str, (u64, u64, u64, u128)> = BTreeMap::new();
    let mut stocks: BTreeMap<String, u64> = BTreeMap::new();
    for bytes in messages {
        let (name, shares, price, reference, stock) = match Message::parse(bytes).unwrap() {
            Message::AddOrder(m) => ("add_order", m.shares.into(), m.price.0, m.reference, Some(m.stock)),
            Message::OrderDelete(m) => ("order_delete", 0, 0, m.reference, None),
            Message::OrderExecuted(m) => ("order_executed", 0, 0, m.reference, None),
            Message::OrderExecutedAtPrice(m) => ("order_executed_with_price", 0, 0, m.reference, None),
            Message::OrderCancel(m) => ("order_cancel", 0, 0, m.reference, None),
            Message::OrderReplace(m) => ("order_replace", m.shares.into(), m.price.0, m.original, None),
            Message::AttributedOrder(m) => {
                ("add_order_with_mpid", m.shares.into(), m.price.0, m.reference, Some(m.stock))
            }
            Message::Trade(m) => ("trade", m.shares.into(), m.price.0, m.reference, Some(m.stock)),
            Message::CrossTrade(m) => ("cross_trade", m.shares, 0, 0, Some(m.stock)),
            Message::StockDirectory(m) => ("stock_directory", 0, 0, 0, Some(m.stock)),
            Message::TradingAction(m) => ("stock_trading_action", 0, 0, 0, Some(m.stock)),
            Message::ShortSaleRestriction(m) => ("reg_sho_restriction", 0, 0, 0, Some(m.stock)),
            Message::ParticipantPosition(m) => ("market_participant_position", 0, 0, 0, Some(m.stock)),
            Message::Imbalance(m) => ("net_order_imbalance", 0, 0, 0, Some(m.stock)),
            Message::DeclineLevels(_) => ("mwcb_decline_level", 0, 0, 0, None),
            Message::SystemEvent(_) => ("system_event", 0, 0, 0, None),
            Message::BrokenTrade(_) => ("broken_trade", 0, 0, 0, None),
            other => panic!("the recorded day has no {other:?}"),
        };
        let row = types.entry(name).or_default();
        *row = (row.0 + 1, row.1 + shares, row.2 + u64::from(price), row.3 + u128::from(reference));
        if let Some(stock) = stock {
            *stocks.entry(String::from_utf8(stock.text().to_vec()).unwrap()).or_default() += 1;
        }
    }
    let of_type = |(name, (count, shares, price, reference)): (_, (_, _, u64, _))| {
        let has_price = ["add_order", "add_order_with_mpid", "order_replace", "trade"].contains(&name);
        let price = match has_price {
            true => format!("{}.{:04}", price / 10_000, price % 10_000),
            // Of no price the sum is the zero that the query has in its place.
            false => "0.0000".to_owned(),
        };
        format!("type {name} {count} {shares} {price} {reference}")
    };
    let types = types.into_iter().map(of_type);
    types.chain(stocks.into_iter().map(|(stock, count)| format!("stock {stock} {count}"))).collect()
}

/// What tshark says of a file.
fn tshark(file: &Path, args: &[&str]) -> String {
    let mut command = Command::new("tshark");
    // Nobody's preferences, no names asked for, and checksums looked at.
    command.env("HOME", "/nonexistent").args(["-n", "-r"]).arg(file);
    command.args(["-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]);
    command.args(["-d", "udp.port==26477,moldudp64"]).args(args);
    run(command, b"").with_code(0).out
}

#[test]
fn tshark_reads_captures_as_moldudp64_with_numbers_without_holes_and_checksums_that_are_right() {
    if Command::new("tshark").arg("--version").output().is_err() {
        println!("SKIPPED: tshark is not installed");
        return;
    }
    let day = ItchDay::publish();
    for format in ["pcap", "pcapng"] {
        let files = day.write(format, &["--rows-per-file", "4000"]);
        assert!(files.len() > 1);
        let (mut next, mut payloads) = (1u64, Vec::new());
        for file in &files {
            let wrong = "_ws.malformed || _ws.expert.severity == \"Error\" || moldudp64.count.invalid || \
                         udp.checksum.status != 1 || ip.checksum.status != 1";
            assert_eq!(tshark(file, &["-Y", wrong]), "", "{format}");
            let fields = ["moldudp64.sequence", "moldudp64.count", "moldudp64.msgdata"];
            let fields: Vec<_> = fields.iter().flat_map(|field| ["-e", field]).collect();
            for line in tshark(file, &[&["-T", "fields"], &fields[..]].concat()).lines() {
                let [seq, count, data] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
                assert_eq!(seq.parse(), Ok(next), "{format}");
                next += count.parse::<u64>().unwrap();
                payloads.extend(data.split(',').map(bytes_of));
            }
        }
        assert!(next == day.messages.len() as u64 + 1 && payloads == day.messages, "{format}: {next}");
        let times = tshark(&files[0], &["-T", "fields", "-e", "frame.time_epoch", "-c", "1"]);
        let read = day.cluster.read(&["--json"]).out;
        let first: serde_json::Value = serde_json::from_str(read.lines().next().unwrap()).unwrap();
        let stamped = first["timestamp_ns"].as_u64().unwrap();
        let expected = format!("{}.{:09}", stamped / 1_000_000_000, stamped % 1_000_000_000);
        assert_eq!(times.trim_end(), expected, "{format}: the stamped time, in nanoseconds");
    }
}
