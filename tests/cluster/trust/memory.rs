//! Where the keys of a daemon are in its memory, and that they are gone from it afterwards: its memory is
//! read, all of it.

use lockstep_io::key_file::{KeyFile, REPLICA_FILE};
use lockstep_testkit::gateways;
use lockstep_testkit::processes::{Cluster, Process, is_root};
use lockstep_wire::mac::MacKey;
use std::fs::{File, read_to_string};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::FileExt;

/// A mapping of a process's memory, and whether it is locked.
struct Mapping {
    from: u64,
    to: u64,
    is_locked: bool,
}

/// The memory that a process writes and shares with nobody.
fn mappings(process: u32) -> Vec<Mapping> {
    let text = read_to_string(format!("/proc/{process}/smaps")).expect("its mappings");
    let mut mappings: Vec<Mapping> = Vec::new();
    let mut is_private = false;
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let range = words[0]
            .split_once('-')
            .map(|(from, to)| (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16)));
        match (range, words.as_slice()) {
            (Some((Ok(from), Ok(to))), [_, mode, ..]) => {
                is_private = mode.starts_with("rw") && mode.ends_with('p');
                if is_private {
                    mappings.push(Mapping { from, to, is_locked: false });
                }
            }
            (_, ["VmFlags:", flags @ ..]) if is_private => {
                mappings.last_mut().expect("a mapping").is_locked = flags.contains(&"lo");
            }
            _ => {}
        }
    }
    mappings
}

/// Where in the memory of a process each of these is: in locked memory, and elsewhere.
fn places(process: u32, secrets: &[Vec<u8>]) -> Vec<(usize, usize)> {
    const PIECE: usize = 1 << 20;
    const PAGE: usize = 4096;
    const EMPTY: [u8; PAGE] = [0; PAGE];
    let memory = File::open(format!("/proc/{process}/mem")).expect("root reads its memory");
    let longest = secrets.iter().map(Vec::len).max().unwrap_or(1);
    // Most bytes begin no secret: one pass over the memory looks for all of them.
    let mut begins_one = [false; 256];
    secrets.iter().for_each(|secret| begins_one[usize::from(secret[0])] = true);
    let mut found = vec![(0, 0); secrets.len()];
    for Mapping { from, to, is_locked } in mappings(process) {
        let mut bytes = vec![0; PIECE + longest];
        for at in (from..to).step_by(PIECE) {
            let len = ((to - at) as usize).min(bytes.len());
            // Guard pages and the kernel's own cannot be read.
            let Ok(len) = memory.read_at(&mut bytes[..len], at) else { continue };
            // Most pages were never written, and a comparison of slices is fast without optimization too.
            let is_empty =
                |at: &usize| !begins_one[0] && bytes[*at..len.min(at + PAGE)] == EMPTY[..PAGE.min(len - at)];
            let pages = (0..len.min(PIECE)).step_by(PAGE).filter(|at| !is_empty(at));
            let begins = pages.flat_map(|at| at..len.min(PIECE).min(at + PAGE));
            let begins = begins.filter(|at| begins_one[usize::from(bytes[*at])]);
            for rest in begins.map(|at| &bytes[at..len]) {
                for (secret, (locked, elsewhere)) in secrets.iter().zip(&mut found) {
                    *if is_locked { locked } else { elsewhere } += usize::from(rest.starts_with(secret));
                }
            }
        }
    }
    found
}

/// A key in the forms in which a process may have it: as its file has it, as bytes, and expanded.
struct Forms {
    name: String,
    text: Vec<u8>,
    bytes: Vec<u8>,
    expanded: Vec<u8>,
}

fn forms(name: String, key: &[u8; 16]) -> Forms {
    let expanded = MacKey::new(key);
    let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    Forms {
        name,
        text: text.into_bytes(),
        bytes: key.to_vec(),
        expanded: (0..8).flat_map(|at| expanded.block(at)).flat_map(u64::to_ne_bytes).collect(),
    }
}

/// All keys of a cluster, by generation and class.
fn keys(cluster: &Cluster) -> Vec<Forms> {
    let file = KeyFile::read(&cluster.path("keys").join(REPLICA_FILE)).expect("its keys");
    let of = |row: &lockstep_io::key_file::GenerationRow| {
        let name = |class: &str| format!("{class} of generation {}", row.number);
        let publishers = row.publishers.iter().map(|one| forms(name("publisher"), &one.key));
        let replica = row.replica.iter().map(|key| forms(name("replica"), key));
        replica.chain([forms(name("reader"), &row.reader)]).chain(publishers).collect::<Vec<_>>()
    };
    file.generations.iter().flat_map(of).collect()
}

/// How often a process has the expanded keys in its memory; it has them in locked memory alone, and their
/// files and bytes nowhere.
fn expanded(process: &Process, keys: &[Forms]) -> Vec<usize> {
    let forms = keys.iter().flat_map(|key| [&key.expanded, &key.text, &key.bytes].map(Vec::clone));
    let found = places(process.pid(), &forms.collect::<Vec<_>>());
    let of = |(key, found): (&Forms, &[(usize, usize)])| {
        let [(locked, elsewhere), text, bytes] = *found else { panic!("three forms a key: {found:?}") };
        let what = format!("{} in {}", key.name, process.name());
        assert_eq!(
            (elsewhere, text, bytes),
            (0, (0, 0), (0, 0)),
            "{what}: outside locked memory, text, bytes"
        );
        locked
    };
    keys.iter().zip(found.chunks(3)).map(of).collect()
}

#[test]
fn keys_are_in_locked_memory_alone_and_the_text_of_their_files_is_nowhere() {
    if !is_root() {
        println!("SKIPPED: the memory of another process needs root");
        return;
    }
    let cluster = Cluster::new(1, "");
    let mut daemons = cluster.found();
    gateways::add_user(&cluster, "alice", "secret", &[]);
    let gateway = gateways::start(&cluster, "gw1");
    let group = SocketAddrV4::new(Ipv4Addr::new(239, 77, 7, 9), 7_907);
    let feed = cluster.start("feed", &["feed", "--group", &group.to_string(), "--requests", "127.0.0.1:0"]);
    cluster.publish("one\n");
    let keys = keys(&cluster);
    // Replica's, readers', publisher's: each process has those of its class.
    let of =
        |process: &Process| expanded(process, &keys).into_iter().map(|count| count > 0).collect::<Vec<_>>();
    assert_eq!(of(&daemons[0]), [true, true, true]);
    assert_eq!(of(&gateway.process), [false, true, true]);
    assert_eq!(of(&feed), [false, true, true], "a feed takes the publisher's file where there is one");
    super::all_run(&mut daemons);
}

#[test]
fn a_retired_publishers_key_and_all_keys_of_a_forgotten_generation_are_gone_from_memory() {
    if !is_root() {
        println!("SKIPPED: the memory of another process needs root");
        return;
    }
    let cluster = Cluster::new(1, "");
    let mut daemons = cluster.found();
    let first = keys(&cluster);
    let has = |daemons: &[Process]| {
        expanded(&daemons[0], &first).into_iter().map(|count| count > 0).collect::<Vec<_>>()
    };
    assert_eq!(has(&daemons), [true, true, true], "so that the others can fail");
    let mut times = 0;
    for (step, expected) in [
        (["rotate", ""], [true, true, true]),
        (["seal", "1"], [true, true, true]),
        (["retire", "0"], [true, true, false]),
        (["forget", "0"], [false, false, false]),
    ] {
        let step: Vec<_> = ["keys"].into_iter().chain(step).filter(|word| !word.is_empty()).collect();
        cluster.run(&step, b"").with_code(0);
        super::rotation::reload(&mut daemons, &mut times);
        cluster.publish("a message\n");
        assert_eq!(has(&daemons), expected, "after {step:?}");
        assert!(expanded(&daemons[0], &keys(&cluster)).iter().all(|count| *count > 0), "those of the file");
    }
    super::all_run(&mut daemons);
}
