//! The memory of one host: rings between devices of this process, and between processes that are killed.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use crate::{LOCALHOST, burst, single};
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_io::clock;
use lockstep_io::shm::{Shm, ShmSettings};
use lockstep_testkit::child::{child_of, is_child_of, printed};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Names the folder to a child.
const PARENT: &str = "LOCKSTEP_TEST_PARENT";
/// The first group of every cluster here; only the folder differs.
const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 1, 2, 3), 7700);
/// Longest wait for another thread or process of this machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder in memory, if the host has one.
fn parent() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn settings(parent: &Path) -> ShmSettings {
    let address = SocketAddrV4::new(LOCALHOST, 0);
    ShmSettings { parent: parent.into(), ring_bytes: 64 << 10, ..ShmSettings::new(GROUP, address) }
}

fn open(settings: ShmSettings) -> Shm {
    Shm::open(settings).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(settings: ShmSettings) -> String {
    Shm::open(settings).err().expect("it was opened").to_string()
}

/// The one folder in `parent`.
fn folder(parent: &Path) -> PathBuf {
    std::fs::read_dir(parent).unwrap().next().unwrap().unwrap().path()
}

fn files(parent: &Path) -> usize {
    std::fs::read_dir(folder(parent)).unwrap().count()
}

fn received(net: &mut impl Net) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let count @ 1.. = net.recv_groups() {
        all.extend((0..count).map(|index| net.group_datagram(index).to_vec()));
    }
    all
}

fn received_unicast(net: &mut impl Net) -> Vec<(Vec<u8>, SocketAddrV4)> {
    let count = net.recv_unicast();
    let datagram = |index| {
        let (bytes, from) = net.unicast_datagram(index);
        (bytes.to_vec(), from)
    };
    (0..count).map(datagram).collect()
}

/// Waits until `look` returns something: another thread maps a process that has just joined.
fn awaited<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "it did not come to be");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until `shm` reads the rings of `members` others.
fn await_members(shm: &mut Shm, members: u64) {
    awaited(|| {
        shm.recv_groups();
        shm.recv_unicast();
        (shm.counts().members == members).then_some(())
    });
}

#[test]
fn datagrams_go_round_through_every_group_and_by_unicast_and_none_comes_back() {
    let parent = parent();
    let (mut a, mut b) = (open(settings(parent.path())), open(settings(parent.path())));
    assert_ne!(a.unicast_address(), b.unicast_address());
    for (group, text) in [(Group::Submit, "submit"), (Group::Data, "data"), (Group::Control, "control")] {
        assert_eq!(a.send_group(group, &single(text.as_bytes())), 1);
        assert_eq!(received(&mut b), [text.as_bytes()]);
        assert!(received(&mut a).is_empty());
    }
    assert!(a.send_unicast(b.unicast_address(), [b"head ", b"and tail"]));
    assert!(a.send_unicast(b.unicast_address(), [b"", b""]));
    assert!(a.send_unicast(SocketAddrV4::new(LOCALHOST, 1), [b"for nobody", b""]));
    let from = a.unicast_address();
    assert_eq!(received_unicast(&mut b), [(b"head and tail".to_vec(), from), (vec![], from)]);
    assert!(received_unicast(&mut b).is_empty());
    let (sent, got) = (a.counts(), b.counts());
    assert_eq!((sent.datagrams_out, sent.bytes_out), (6, 6 + 4 + 7 + 13 + 10));
    assert_eq!((got.datagrams_in, got.bytes_in, got.dropped, got.members), (5, 6 + 4 + 7 + 13, 0, 1));
}

#[test]
fn nothing_is_missed_of_what_a_newcomer_says_first_and_nothing_is_heard_of_what_was_said_before_one_came() {
    let parent = parent();
    let mut a = open(settings(parent.path()));
    assert_eq!(a.send_group(Group::Data, &single(b"before")), 1);
    let mut b = open(settings(parent.path()));
    assert!(received(&mut b).is_empty());
    assert!(b.send_unicast(a.unicast_address(), [b"first", b""]));
    for number in 0..5_u8 {
        assert_eq!(b.send_group(Group::Submit, &single(&[number])), 1);
    }
    let from = b.unicast_address();
    await_unicast(&mut a, b"first", from);
    assert_eq!(received(&mut a), (0..5).map(|number| vec![number]).collect::<Vec<_>>());
}

fn await_unicast(net: &mut impl Net, bytes: &[u8], from: SocketAddrV4) {
    assert_eq!(awaited(|| received_unicast(net).pop()), (bytes.to_vec(), from));
}

#[test]
fn who_leaves_is_heard_to_the_end_and_the_last_one_leaves_no_trace() {
    let parent = parent();
    let (mut a, mut b) = (open(settings(parent.path())), open(settings(parent.path())));
    await_members(&mut b, 1);
    await_members(&mut a, 1);
    assert_eq!(a.send_group(Group::Data, &single(b"last words")), 1);
    assert!(b.reaches(a.unicast_address()));
    let address = a.unicast_address();
    drop(a);
    assert_eq!(awaited(|| received(&mut b).pop()), b"last words");
    await_members(&mut b, 0);
    assert!(!b.reaches(address));
    assert_eq!(files(parent.path()), 1);
    drop(b);
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn a_node_receives_the_groups_that_it_has_joined_at_the_moment() {
    let parent = parent();
    let mut node = open(ShmSettings { joins: vec![Group::Data, Group::Control], ..settings(parent.path()) });
    let mut sender = open(settings(parent.path()));
    await_members(&mut node, 1);
    let mut received_kinds = |node: &mut Shm| {
        for (group, text) in [(Group::Submit, "s"), (Group::Data, "d"), (Group::Control, "c")] {
            assert_eq!(sender.send_group(group, &single(text.as_bytes())), 1);
        }
        received(node).concat()
    };
    assert_eq!(received_kinds(&mut node), b"dc");
    node.set_joined(Group::Submit, true);
    node.set_joined(Group::Data, false);
    assert_eq!(received_kinds(&mut node), b"sc", "a leader");
    node.set_joined(Group::Data, true);
    assert_eq!(received_kinds(&mut node), b"sdc", "a standby");
}

#[test]
fn bursts_arrive_whole_and_in_order_and_of_an_oversized_one_nothing() {
    let parent = parent();
    let ample = ShmSettings { ring_bytes: 1 << 20, ..settings(parent.path()) };
    let (mut a, mut b) = (open(ample.clone()), open(ample));
    for (count, stride) in [(100, 1416), (3, 1000), (200, 8)] {
        let bytes = burst(count, stride);
        let bursts = [single(b"first")[0], Burst { bytes: &bytes, stride }, single(b"last")[0]];
        assert_eq!(a.send_group(Group::Data, &bursts), count + 2);
        let mut expected: Vec<&[u8]> = vec![b"first"];
        expected.extend(bytes.chunks(stride));
        expected.push(b"last");
        assert!(received(&mut b) == expected, "{count} of {stride}");
    }
    let long = vec![0; 1473];
    assert_eq!(a.send_group(Group::Data, &[single(b"fits")[0], single(&long)[0], single(b"behind")[0]]), 1);
    assert_eq!(a.send_group(Group::Data, &[Burst { bytes: b"x", stride: 0 }]), 0);
    assert!(!a.send_unicast(b.unicast_address(), [&long, &[]]));
    assert!(!a.send_unicast(GROUP, [b"x", &[]]));
    assert_eq!(a.counts().forbidden_sends, 4);
    assert_eq!(received(&mut b), [b"fits"]);
}

#[test]
fn datagrams_of_all_sizes_up_to_the_largest_of_udp_pass() {
    let parent = parent();
    let large = ShmSettings { datagram_len_max: 65_507, ..settings(parent.path()) };
    let (mut a, mut b) = (open(large.clone()), open(large.clone()));
    for len in [1, 7, 8, 9, 63, 64, 65, 1472, 9000, 65_506, 65_507] {
        let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        for _ in 0..40 {
            assert_eq!(a.send_group(Group::Data, &single(&bytes)), 1);
            assert_eq!(received(&mut b), [&bytes[..]], "{len} bytes");
            assert!(a.send_unicast(b.unicast_address(), [&bytes[..len / 3], &bytes[len / 3..]]));
            assert_eq!(received_unicast(&mut b), [(bytes.clone(), a.unicast_address())], "{len} bytes");
        }
    }
    assert!(refusal(ShmSettings { datagram_len_max: 65_508, ..large }).contains("1 to 65507"));
}

#[test]
fn a_reader_that_is_too_slow_counts_what_it_lost_and_the_others_lose_nothing() {
    let parent = parent();
    let mut sender = open(settings(parent.path()));
    let (mut quick, mut slow) = (open(settings(parent.path())), open(settings(parent.path())));
    let sent = 5_000;
    let mut count = 0;
    for number in 0..sent {
        assert_eq!(sender.send_group(Group::Data, &single(&[number as u8; 100])), 1);
        count += received(&mut quick).len();
    }
    // It notices within some receives, whatever lies at its position.
    let late: usize = (0..200).map(|_| received(&mut slow).len()).sum();
    assert_eq!((count, quick.dropped()), (sent, 0));
    assert!(slow.dropped() > 0 && late > 0);
    assert_eq!(slow.dropped() + late as u64, sent as u64);
}

#[test]
fn a_datagram_in_memory_costs_no_allocation() {
    let parent = parent();
    let (mut a, mut b) = (open(settings(parent.path())), open(settings(parent.path())));
    let (bytes, to) = (burst(10, 100), b.unicast_address());
    let mut arrived = 0;
    let measured = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            a.send_group(Group::Data, &[Burst { bytes: &bytes, stride: 100 }]);
            a.send_unicast(to, [&bytes[..100], &[]]);
            arrived += b.recv_groups() + b.recv_unicast();
        }
    });
    assert_eq!((arrived, measured.count_total), (11_000, 0));
}

#[test]
fn an_address_belongs_to_one_process_and_is_free_again_when_that_ends() {
    let parent = parent();
    let fixed = ShmSettings { address: SocketAddrV4::new(LOCALHOST, 7701), ..settings(parent.path()) };
    let first = open(fixed.clone());
    let text = refusal(fixed.clone());
    assert!(text.contains("127.0.0.1:7701") && text.contains("running already"), "{text}");
    drop(first);
    open(fixed);
}

/// A ring's file of a process that appears to live: its lock is held here.
fn forged(parent: &Path, number: u64) -> (File, PathBuf) {
    let folder_lock = File::open(folder(parent)).unwrap();
    folder_lock.lock().unwrap();
    let from = std::fs::read_dir(folder(parent)).unwrap().next().unwrap().unwrap().path();
    let path = folder(parent).join(format!("ring-{number:016x}"));
    std::fs::copy(from, &path).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    file.lock().unwrap();
    (file, path)
}

#[test]
fn a_folder_takes_so_many_members_and_refuses_the_next_in_words() {
    let parent = parent();
    let mut first = open(settings(parent.path()));
    let more: Vec<_> = (1..64).map(|number| forged(parent.path(), number)).collect();
    let text = refusal(ShmSettings { address: SocketAddrV4::new(LOCALHOST, 1), ..settings(parent.path()) });
    assert!(text.contains("64 processes are in it") && text.contains("full"), "{text}");
    await_members(&mut first, 63);
    drop(more);
    open(ShmSettings { address: SocketAddrV4::new(LOCALHOST, 1), ..settings(parent.path()) });
    await_members(&mut first, 0);
}

/// A thread that looked for others while the last one left made the folder anew, and left it empty for ever.
#[test]
fn the_last_one_to_leave_leaves_nothing_behind() {
    let parent = parent();
    for round in 0..200 {
        let pair = [(); 2].map(|()| open(settings(parent.path())));
        drop(pair);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0, "round {round}");
    }
}

#[test]
fn files_of_other_releases_and_damaged_ones_are_refused_in_words_and_dead_ones_are_removed() {
    type Inject = fn(&mut File, &Path);
    let parent = parent();
    let mut living = open(settings(parent.path()));
    let spoilt: [(&str, Inject); 5] = [
        ("no ring file of lockstep", |file, _| overwrite(file, 0, b"something")),
        ("its version is 9, ours is 1", |file, _| overwrite(file, 8, &9_u32.to_le_bytes())),
        ("are not what it says", |file, _| file.set_len(4096).unwrap()),
        ("are not what it says", |file, _| overwrite(file, 24, &[0xff; 16])),
        ("mode 644", |_, path| std::fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap()),
    ];
    for (words, inject) in spoilt {
        let (mut file, path) = forged(parent.path(), 77);
        inject(&mut file, &path);
        let text = refusal(settings(parent.path()));
        assert!(text.contains(words) && text.contains("ring-000000000000004d"), "{text}");
        if words != "mode 644" {
            awaited(|| (living.counts().refused_members == 1).then_some(()));
            drop(file);
            drop(open(settings(parent.path())));
            assert!(!path.exists(), "its owner is dead");
        }
    }
    let other = folder(parent.path()).join("ring-000000000000004d");
    std::fs::remove_file(&other).unwrap();
    symlink("/etc/hostname", &other).unwrap();
    assert!(refusal(settings(parent.path())).contains("a plain file of this user alone"));
    std::fs::remove_file(&other).unwrap();
    std::fs::create_dir(&other).unwrap();
    assert!(refusal(settings(parent.path())).contains("of another kind: move it"));
    std::fs::remove_dir(&other).unwrap();
    std::fs::write(folder(parent.path()).join("notes"), "of somebody").unwrap();
    drop(open(settings(parent.path())));
    assert!(received(&mut living).is_empty());
}

fn overwrite(file: &mut File, at: u64, bytes: &[u8]) {
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_folder_that_others_may_touch_or_that_is_a_link_or_is_held_is_refused_in_words() {
    let parent = parent();
    let name = {
        let living = open(settings(parent.path()));
        let name = folder(parent.path());
        drop(living);
        name
    };
    std::fs::create_dir(&name).unwrap();
    std::fs::set_permissions(&name, Permissions::from_mode(0o755)).unwrap();
    let text = refusal(settings(parent.path()));
    assert!(text.contains("mode 755") && text.contains("`chmod go= "), "{text}");
    std::fs::set_permissions(&name, Permissions::from_mode(0o700)).unwrap();
    let locked = File::open(&name).unwrap();
    locked.lock().unwrap();
    assert!(refusal(settings(parent.path())).contains("is one stopped that has a file in it"));
    drop(locked);
    std::fs::remove_dir(&name).unwrap();
    symlink(parent.path(), &name).unwrap();
    assert!(refusal(settings(parent.path())).contains("no link to one"));
    std::fs::remove_file(&name).unwrap();
    std::fs::write(&name, "").unwrap();
    assert!(refusal(settings(parent.path())).contains("has to be a folder"));
}

const WRITER: &str = "shm::a_writer_speaks_until_it_is_killed";
const READER: &str = "shm::a_reader_listens_until_it_is_killed";

fn of_parent() -> ShmSettings {
    let address = SocketAddrV4::new(LOCALHOST, 7702);
    ShmSettings { address, ..settings(Path::new(&std::env::var_os(PARENT).unwrap())) }
}

#[test]
fn a_writer_speaks_until_it_is_killed() {
    if !is_child_of(WRITER) {
        return;
    }
    let mut shm = open(of_parent());
    for number in 0_u64.. {
        // Every byte follows from the number, and so does the length.
        let bytes = vec![number as u8; 8 + number as usize % 1400];
        shm.send_group(Group::Data, &single(&[&number.to_le_bytes(), &bytes[8..]].concat()));
        if number % 16 == 0 {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_reader_listens_until_it_is_killed() {
    if !is_child_of(READER) {
        return;
    }
    let mut shm = open(of_parent());
    println!("\nLISTENS");
    loop {
        received(&mut shm);
        received_unicast(&mut shm);
    }
}

fn child(test: &str, parent: &Path) -> Child {
    let mut command: Command = child_of(test);
    command.env(PARENT, parent).stdout(Stdio::piped()).spawn().unwrap()
}

/// kill -9.
fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Receives what is there; returns the number of the newest datagram.
fn check(shm: &mut Shm, newest: Option<u64>) -> Option<u64> {
    received(shm).iter().fold(newest, |newest, bytes| {
        let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert!(newest.is_none_or(|newest| number > newest), "{number} after {newest:?}");
        assert_eq!(bytes.len(), 8 + number as usize % 1400);
        assert!(bytes[8..].iter().all(|byte| *byte == number as u8), "torn");
        Some(number)
    })
}

#[test]
fn a_writer_that_is_killed_in_mid_flow_leaves_no_torn_datagram_and_its_successor_is_heard() {
    let parent = parent();
    let mut shm = open(settings(parent.path()));
    for _ in 0..10 {
        let child = child(WRITER, parent.path());
        let random = clock::random_u64().unwrap() % 3000;
        let mut newest = None;
        awaited(|| {
            newest = check(&mut shm, newest);
            newest.filter(|newest| *newest > random)
        });
        kill(child);
        awaited(|| {
            newest = check(&mut shm, newest);
            shm.recv_unicast();
            (shm.counts().members == 0).then_some(())
        });
        awaited(|| (files(parent.path()) == 1).then_some(()));
        // The receive in which the writer overtook us returns nothing, and the next one returns the rest.
        newest = check(&mut shm, newest);
        check(&mut shm, newest);
    }
    assert_eq!(shm.counts().broken_rings, 0);
}

#[test]
fn a_reader_that_is_killed_holds_up_nobody_and_its_file_is_removed() {
    let parent = parent();
    let (mut sender, mut other) = (open(settings(parent.path())), open(settings(parent.path())));
    let mut child = child(READER, parent.path());
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("LISTENS") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "{}", printed(&child.wait_with_output().unwrap()));
    }
    await_members(&mut sender, 2);
    let dead = SocketAddrV4::new(LOCALHOST, 7702);
    assert!(sender.reaches(dead));
    let mut child = Some(child);
    let mut count = 0;
    for number in 0..2_000_u64 {
        assert_eq!(sender.send_group(Group::Data, &single(&number.to_le_bytes())), 1);
        assert!(sender.send_unicast(dead, [&[1; 500], &[]]));
        if number == 1000 {
            kill(child.take().unwrap());
        }
        count += received(&mut other).len();
    }
    assert_eq!((count, other.dropped()), (2_000, 0));
    await_members(&mut sender, 1);
    assert!(!sender.reaches(dead));
    awaited(|| (files(parent.path()) == 2).then_some(()));
}
