//! A notary signs the stream: a forged archive is found, a proof convinces a program of its own, and a reader
//! cannot deceive another one that delivers what is signed.

use super::attacker::{self, Attacker};
use lockstep_testkit::processes::{Cluster, Process, payloads};
use lockstep_wire::{
    ENTRY_HEADER_LEN, EntryKind, FrameView, HEADER_LEN, Header, Kind, chain_after, open_prefix, seal,
};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A cluster that a notary signs.
struct Signed {
    cluster: Cluster,
    replicas: Vec<Process>,
    notary: Process,
}

fn start_notary(cluster: &Cluster, name: &str) -> Process {
    let cursor = cluster.path(&format!("{name}.cursor"));
    let mut notary = cluster.start(name, &["notary", "--name", name, "--cursor", &cursor.to_string_lossy()]);
    notary.await_log("effective capabilities");
    notary
}

fn start(replicas: u32) -> Signed {
    let cluster = Cluster::new(replicas, "");
    let replicas = cluster.found();
    let public = cluster.run(&["notary", "key", "first"], b"").with_code(0).out;
    assert_eq!(public.trim().len(), 64, "{public}");
    let notary = start_notary(&cluster, "first");
    Signed { cluster, replicas, notary }
}

/// All that is committed now, once it is signed.
fn read_attested(cluster: &Cluster) -> String {
    cluster.run(&["subscribe", "--attested", "--until-end", "--timeout", "60s"], b"").with_code(0).out
}

fn end(processes: Vec<Process>) {
    for process in processes {
        assert_eq!(process.terminate(), Some(0));
    }
}

/// The frames in a segment's file, as places and lengths.
fn frames(segment: &[u8]) -> Vec<(usize, usize)> {
    let (mut at, mut frames) = (0, Vec::new());
    while at + HEADER_LEN <= segment.len() {
        match open_prefix(&segment[at..]).map(|header| (header.kind, header.length as usize)) {
            Ok((kind, length)) => {
                if kind == Kind::Frame as u8 {
                    frames.push((at, length));
                }
                at += length;
            }
            Err(_) => at += 8,
        }
    }
    frames
}

/// Changes `from` to `to` in the first frame of `segment` that has it, and computes every checksum and chain
/// from there on anew. Returns the chain behind the last frame: as it was, and as it is now.
fn forge(segment: &mut [u8], from: &[u8], to: &[u8]) -> [u64; 2] {
    let (mut chain, mut before) = (None, 0);
    for (at, length) in frames(segment) {
        let bytes = &mut segment[at..at + length];
        let place = bytes.windows(from.len()).position(|window| window == from);
        if let Some(place) = place.filter(|_| chain.is_none()) {
            bytes[place..place + to.len()].copy_from_slice(to);
        } else if chain.is_none() {
            continue;
        }
        let header = Header::peek(bytes).expect("a header");
        before = chain_after(&header);
        if bytes[HEADER_LEN] == EntryKind::EpochStart as u8 {
            // Epoch and base are before it.
            let place = HEADER_LEN + ENTRY_HEADER_LEN + 16;
            bytes[place..place + 8].copy_from_slice(&chain.unwrap_or(header.chain).to_le_bytes());
        }
        seal(bytes, Header { chain: chain.unwrap_or(header.chain), ..header });
        chain = Some(FrameView::from_prefix(bytes).expect("a frame").chain_after());
    }
    [before, chain.expect("a frame has what is to be changed")]
}

/// Changes `from` to `to` in both copies of the superblock, with their checksums.
fn forge_superblock(path: &Path, [from, to]: [u64; 2]) {
    let mut superblock = std::fs::read(path).expect("a superblock");
    for block in superblock.chunks_mut(4_096) {
        let place = block.windows(8).position(|word| word == from.to_le_bytes());
        if let Some(place) = place {
            block[place..place + 8].copy_from_slice(&to.to_le_bytes());
            let checksum = crc32c::crc32c_append(crc32c::crc32c(&block[..12]), &block[16..]);
            block[12..16].copy_from_slice(&checksum.to_le_bytes());
        }
    }
    std::fs::write(path, superblock).expect("a superblock");
}

fn segments(journal: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(journal.join("segments")).expect("a journal");
    let mut segments: Vec<_> = files.map(|entry| entry.expect("a file").path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.sort();
    segments
}

#[test]
fn a_journal_is_proven_by_the_signatures_in_it_and_a_change_is_found_whatever_was_computed_anew() {
    let Signed { cluster, replicas, notary } = start(3);
    let lines: String = (1..=200).map(|number| format!("order {number}\n")).collect();
    cluster.publish(&lines);
    let signed = read_attested(&cluster);
    assert_eq!(signed, cluster.read(&["--committed"]).out, "signed is what is committed");
    assert_eq!(payloads(&signed).len(), 200);
    end(vec![notary]);
    end(replicas);
    let verify = || cluster.run(&["format", "--replica", "1", "--verify", "--attested"], b"");
    let proven = verify().with_code(0).out;
    assert!(proven.contains("signatures by notaries prove seqs 1 to "), "{proven}");

    let config = lockstep::config::Config::load(Some(&cluster.config()), &[]).expect("the cluster's file");
    let journal = config.replicas[0].journal.clone();
    let files = segments(&journal);
    assert_eq!(files.len(), 1, "{files:?}");
    let good = std::fs::read(&files[0]).expect("a segment");
    let mut forged = good.clone();
    let chains = forge(&mut forged, b"order 77", b"order 78");
    forge_superblock(&journal.join("superblock"), chains);
    std::fs::write(&files[0], &forged).expect("the forged segment");
    let plain = cluster.run(&["format", "--replica", "1", "--verify"], b"");
    assert!(plain.with_code(0).out.contains("no damage"), "the attacker computed everything anew");
    let found = verify().with_code(3).err;
    assert!(found.contains("are not those that notary"), "{found}");
}

#[test]
fn a_proof_convinces_a_program_of_its_own_and_a_changed_one_does_not() {
    let Signed { cluster, replicas, notary } = start(1);
    cluster.publish("buy 5\nsell 7\n");
    // A cursor of this log goes on, and one of another log is refused.
    let ended = cluster.run(&["subscribe", "--count", "1", "--until-end"], b"").with_code(0).err;
    let cursor = ended.lines().find_map(|line| line.strip_prefix("cursor ")).expect("a cursor").to_owned();
    let go_on = |cursor: &str| {
        cluster.run(&["subscribe", "--attested", "--from", cursor, "--count", "1", "--timeout", "30s"], b"")
    };
    assert_eq!(payloads(&go_on(&cursor).with_code(0).out), ["sell 7"]);
    let (place, chain) = cursor.rsplit_once(':').expect("a chain");
    let other = format!("{place}:{:016x}", !u64::from_str_radix(chain, 16).expect("digits"));
    let why = go_on(&other).with_code(3).err;
    assert!(why.contains("is not the one that was read before"), "{why}");

    let line = cluster.run(&["subscribe", "--count", "2", "--json"], b"").with_code(0).out;
    let seqs: Vec<u64> = line
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["seq"].as_u64().expect("a seq"))
        .collect();
    let proof = cluster.run(&["prove", &seqs[1].to_string()], b"").with_code(0).out;
    let path = cluster.path("proof.json");
    std::fs::write(&path, &proof).expect("a file");
    let check = || cluster.run(&["prove", "--check", &path.to_string_lossy()], b"");
    let shown = check().with_code(0).out;
    assert!(shown.contains(&format!("seq {} of history", seqs[1])) && shown.contains("sell 7"), "{shown}");

    let key = std::fs::read_to_string(cluster.path("keys/notaries")).expect("the public key");
    let key = key.split_whitespace().next().expect("a key");
    let foreign = |path: &Path| {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/verify_proof.py");
        Command::new("python3").args([program, key]).arg(path).output()
    };
    let has_python = match foreign(&path) {
        Ok(output) => {
            let out = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{output:?}");
            assert!(out.contains(&format!("seq {}", seqs[1])) && out.contains("sell 7"), "{out}");
            true
        }
        Err(error) => {
            println!("SKIPPED: the proof's foreign program needs python3: {error}");
            false
        }
    };
    let parsed: Value = serde_json::from_str(&proof).expect("JSON");
    for (field, changed) in [
        (
            "frame",
            Value::from(parsed["frame"].as_str().expect("digits").replace("73656c6c2037", "73656c6c2039")),
        ),
        ("seq", Value::from(seqs[1] + 7)),
        ("attestation", Value::from(format!("00{}", &parsed["attestation"].as_str().expect("digits")[2..]))),
    ] {
        let mut wrong = parsed.clone();
        assert_ne!(wrong[field], changed);
        wrong[field] = changed;
        std::fs::write(&path, wrong.to_string()).expect("a file");
        let refused = check().with_code(3).err;
        assert!(refused.contains("it proves nothing"), "{field}: {refused}");
        if has_python {
            let output = foreign(&path).expect("python3");
            assert!(!output.status.success(), "{field}: {output:?}");
        }
    }
    end(vec![notary]);
    end(replicas);
}

/// Readers share the key by which they check frames: one of them can send what another one takes for the
/// leader's. A signature it cannot make.
#[test]
fn a_reader_that_forges_deceives_no_reader_of_what_is_signed() {
    let Signed { cluster, mut replicas, notary } = start(3);
    cluster.publish("before\n");
    read_attested(&cluster);
    let [mut reader, mut deceived] = ["--attested", "--committed"].map(|delivery| {
        cluster.start(&delivery[2..], &["subscribe", delivery, "--count", "2", "--timeout", "30s"])
    });
    let [mut out, mut deceived_out] = [&mut reader, &mut deceived].map(|reader| {
        let (mut out, mut line) = (BufReader::new(reader.take_stdout()), String::new());
        out.read_line(&mut line).expect("a line");
        assert!(line.ends_with("before\n"), "{line}");
        out
    });
    let attacker = Attacker::near(&cluster).with_readers_keys(&cluster);
    let read = attacker.read(2);
    let (leader, _) = read.heartbeat;
    let header = attacker::header(&leader, Kind::Frame, leader.identity());
    let forged = attacker::frame(header, EntryKind::Message, b"forged");
    attacker.to_data(&forged);
    let chain = FrameView::from_prefix(&forged).expect("a frame").chain_after();
    for (seen, body) in read.acks.values() {
        let header = Header { first_seq: leader.first_seq + 1, chain, ..*seen };
        attacker.to_control(&attacker::ack(header, body.process_nonce));
    }
    // The test's attacker succeeds where nothing is signed.
    let mut line = String::new();
    deceived_out.read_line(&mut line).expect("a line");
    assert!(line.contains("forged"), "{line}{}", deceived.log());
    cluster.publish("after\n");
    let rest = |out: &mut BufReader<_>| {
        let mut rest = String::new();
        out.read_to_string(&mut rest).expect("its output");
        rest
    };
    assert!(!rest(&mut out).contains("forged"));
    println!("the reader of what is signed ended with {:?}: {}", reader.wait().code(), reader.log());
    // Another one begins anew.
    assert_eq!(payloads(&read_attested(&cluster)), ["before", "after"]);
    super::all_run(&mut replicas);
    end(vec![notary]);
    end(replicas);
}

#[test]
fn a_notary_that_is_killed_goes_on_where_it_was_and_a_second_one_signs_meanwhile() {
    let Signed { cluster, replicas, mut notary } = start(1);
    cluster.run(&["notary", "key", "second"], b"").with_code(0);
    let second = start_notary(&cluster, "second");
    cluster.publish("one\n");
    read_attested(&cluster);
    notary.signal("KILL");
    notary.wait();
    cluster.publish("two\n");
    assert_eq!(payloads(&read_attested(&cluster)), ["one", "two"]);
    end(vec![second]);
    let notary = start_notary(&cluster, "first");
    cluster.publish("three\n");
    assert_eq!(payloads(&read_attested(&cluster)), ["one", "two", "three"]);
    end(vec![notary]);
    end(replicas);
    cluster.run(&["format", "--replica", "1", "--verify", "--attested"], b"").with_code(0);
}

#[test]
fn a_notary_needs_its_key_and_the_replicas_and_says_so() {
    let cluster = Cluster::new(1, "");
    let cursor = cluster.path("x.cursor").to_string_lossy().into_owned();
    let run = |args: &[&str]| cluster.run(args, b"");
    let why = run(&["notary", "--cursor", &cursor]).with_code(2).err;
    assert!(why.contains("notary.notary") && why.contains("`lockstep notary key notary` makes it"), "{why}");
    run(&["notary", "key", "notary"]).with_code(0);
    let why = run(&["notary", "key", "notary"]).with_code(1).err;
    assert!(why.contains("this notary has its key"), "{why}");
    let why = run(&["notary", "key", "../x"]).with_code(2).err;
    assert!(why.contains("a notary's name is at most 16 letters"), "{why}");
    std::fs::write(&cursor, "what is this\n").expect("a file");
    let why = run(&["notary", "--cursor", &cursor]).with_code(2).err;
    assert!(why.contains("it has no whole cursor") && why.contains("name another file at --cursor"), "{why}");
    std::fs::remove_file(cluster.path("keys/replica.keys")).expect("a file");
    std::fs::remove_file(&cursor).expect("a file");
    let why = run(&["notary", "--cursor", &cursor]).with_code(2).err;
    assert!(why.contains("replica.keys"), "{why}");
    std::fs::write(cluster.path("keys/notaries"), "abc\n").expect("a file");
    let why = run(&["prove", "5"]).with_code(2).err;
    assert!(why.contains("line 1: 'abc' is no public key"), "{why}");
}

/// Two notaries with one file would each pass over what the other one has read, and a file of which the last
/// digits are gone has a chain of no stream.
#[test]
fn a_notarys_cursor_file_has_a_whole_cursor_and_one_process() {
    let Signed { cluster, replicas, notary } = start(1);
    cluster.publish("one\n");
    read_attested(&cluster);
    let file = cluster.path("first.cursor");
    let path = file.to_string_lossy().into_owned();
    cluster.run(&["notary", "key", "second"], b"").with_code(0);
    let second = || cluster.run(&["notary", "--name", "second", "--cursor", &path], b"").with_code(2).err;
    let why = second();
    assert!(why.contains(&format!("process {} has it open", notary.pid())), "{why}");
    assert!(!notary.log().contains("is not written"), "{}", notary.log());
    end(vec![notary]);
    let whole = std::fs::read_to_string(&file).expect("a cursor");
    let cut = &whole[..whole.len() - 3];
    std::fs::write(&file, cut).expect("a file");
    let why = second();
    assert!(why.contains("it has no whole cursor") && why.contains("--cursor"), "{why}");
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), cut, "it is left to its owner");
    // As the release before has written it.
    std::fs::write(&file, &whole).expect("a file");
    let again = start_notary(&cluster, "first");
    cluster.publish("two\n");
    assert_eq!(payloads(&read_attested(&cluster)), ["one", "two"]);
    assert!(!again.log().contains("is not written"), "{}", again.log());
    end(vec![again]);
    end(replicas);
}
