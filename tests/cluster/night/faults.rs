//! The faults of the night, each with its words.

use super::clocks::under_clock;
use super::device::device_stands_still;
use super::keys::{expire_keys, with_older_keys};
use super::{ARCHIVER, DESK, Fault, INTRUDER, Mend, Night};
use lockstep_testkit::netns::{CardLife, Cut, LINE_A, Network};
use lockstep_testkit::processes::PATIENCE;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

pub const fn fault(
    name: &'static str,
    (says, code): (&'static str, i32),
    (step, alert): (&'static str, &'static str),
    plant: fn(&mut Night) -> Mend,
) -> Fault {
    Fault { name, says, code, step, alert, plant }
}

/// `degraded`.
const SIX: i32 = 6;
const START_S: &str = "systemctl start lockstep-sequencer@{s}";
const CLOCK: (&str, i32) = ("replica {s}: its clock is ", SIX);
const CLOCK_OF_LEADER: (&str, i32) = ("replica {l}: its clock is ", SIX);
const TIME: (&str, &str) = ("timedatectl status", "LockstepClockApart");
const PROBE: &str = "lockstep doctor --probe";

pub const FAULTS: &[Fault] = &[
    fault(
        "a standby is killed",
        ("replica {s} does not answer", SIX),
        (START_S, "LockstepProcessDown"),
        |night| killed(night, night.standbys[0]),
    ),
    fault(
        "the leader is killed",
        ("replica {l} does not answer", SIX),
        ("systemctl start lockstep-sequencer@{l}", "LockstepProcessDown"),
        |night| killed(night, night.leader),
    ),
    fault(
        "a standby stands still",
        ("replica {s} does not answer", SIX),
        (START_S, "LockstepProcessDown"),
        |night| stopped(night, night.standbys[0]),
    ),
    fault(
        "the leader stands still",
        ("replica {l} does not answer", SIX),
        ("systemctl start lockstep-sequencer@{l}", "LockstepProcessDown"),
        |night| stopped(night, night.leader),
    ),
    fault(
        "the archiver is killed",
        ("archiver 101 does not answer", SIX),
        ("lockstep-archiver@101", "LockstepProcessDown"),
        |night| killed(night, ARCHIVER),
    ),
    fault(
        "the archiver stands still",
        ("archiver 101 does not answer", SIX),
        ("lockstep-archiver@101", "LockstepProcessDown"),
        |night| stopped(night, ARCHIVER),
    ),
    fault(
        "a cut from one standby to the other",
        ("nothing passes by unicast from {s} to {t}; the reverse direction works", SIX),
        (PROBE, "LockstepPathLost"),
        |night| {
            let [s, t] = night.standbys.map(|id| id as usize);
            cut(night, vec![Cut::one_way(&[s], &[t])])
        },
    ),
    fault(
        "a cut between both standbys",
        ("nothing passes by unicast between {s} and {t}", SIX),
        (PROBE, "LockstepPathLost"),
        |night| {
            let [s, t] = night.standbys.map(|id| id as usize);
            cut(night, Cut::between(&[s], &[t]).to_vec())
        },
    ),
    fault(
        "a filtered replay port",
        ("the TCP port of {s} for replay is not reached from", SIX),
        (PROBE, "LockstepPathLost"),
        |night| filtered(night, night.standbys[0], "tcp dport != 9464 tcp flags & (syn|ack) == syn"),
    ),
    fault(
        "a small MTU in front of a standby",
        ("datagrams of the size of mtu do not pass from", SIX),
        (PROBE, "LockstepPathLost"),
        |night| filtered(night, night.standbys[0], "ip length 1401-65535"),
    ),
    fault(
        "an address that two have",
        ("replica {s}: another machine has the address 10.77.0.", SIX),
        ("ip neigh", "LockstepAddressTwice"),
        twice,
    ),
    fault(
        "no multicast reaches a standby",
        ("replica {s}: multicast is lost, unicast is not", SIX),
        (PROBE, "LockstepMulticastLost"),
        |night| filtered(night, night.standbys[0], "ip daddr 224.0.0.0/4"),
    ),
    fault(
        "nothing of the leader reaches a standby",
        ("replica {s} receives nothing from the leader {l}, which others follow", SIX),
        (PROBE, "LockstepFollowsNoLeader"),
        |night| {
            let rule = format!("ip saddr {}", Network::address(night.leader as usize));
            filtered(night, night.standbys[0], &rule)
        },
    ),
    fault(
        "nothing of a standby reaches the leader",
        ("nothing passes by unicast from {s} to {l}", SIX),
        (PROBE, "LockstepPathLost"),
        |night| {
            let rule = format!("ip saddr {}", Network::address(night.standbys[0] as usize));
            filtered(night, night.leader, &rule)
        },
    ),
    fault(
        "another group of acks in one file",
        ("replica {s}: lines.1.control is ", SIX),
        ("lockstep-sequencer@{s}", "LockstepFilesDiffer"),
        |night| moved_group(night, 2),
    ),
    fault(
        "another group of frames in one file",
        ("replica {s}: lines.1.data is ", SIX),
        ("lockstep-sequencer@{s}", "LockstepFilesDiffer"),
        |night| moved_group(night, 1),
    ),
    fault(
        "another group of submissions in one file",
        ("replica {s}: lines.1.submit is ", SIX),
        ("lockstep-sequencer@{s}", "LockstepFilesDiffer"),
        |night| moved_group(night, 0),
    ),
    fault(
        "another mtu in one file",
        ("replica {s}: lines.1.mtu is 1400", SIX),
        ("lockstep-sequencer@{s}", "LockstepFilesDiffer"),
        |night| other_file(night, "lines.1.mtu=1400"),
    ),
    fault(
        "another durability in one file",
        ("replica {s}: its durability differs from its leader's", SIX),
        ("", "LockstepDurabilityMixed"),
        |night| other_file(night, "stream.durability=power"),
    ),
    fault(
        "a standby's card is down",
        ("replica {s} does not answer", SIX),
        (START_S, "LockstepProcessDown"),
        |night| disturbed(night, CardLife::Down),
    ),
    fault(
        "a standby's card has lost its address",
        ("replica {s} does not answer", SIX),
        (START_S, "LockstepProcessDown"),
        |night| disturbed(night, CardLife::WithoutAddress),
    ),
    fault(
        "a standby's card is taken out",
        ("replica {s} does not answer", SIX),
        (START_S, "LockstepProcessDown"),
        |night| disturbed(night, CardLife::Removed),
    ),
    fault(
        "a standby's cable is pulled",
        ("replica {s} does not answer", SIX),
        (START_S, "LockstepProcessDown"),
        |night| unplugged(night, night.standbys[0]),
    ),
    fault(
        "the leader's cable is pulled",
        ("replica {l} does not answer", SIX),
        ("systemctl start lockstep-sequencer@{l}", "LockstepProcessDown"),
        |night| unplugged(night, night.leader),
    ),
    fault(
        "a standby's disk is full",
        ("replica 3: the disk is full", SIX),
        ("lockstep doctor", "LockstepDiskFull"),
        |night| {
            let other = night.leader == 3;
            if other {
                hand_over(night, 1);
            }
            full(night, 3)
        },
    ),
    fault(
        "the leader's disk is full",
        ("replica 2: the disk is full", SIX),
        ("lockstep doctor", "LockstepDiskFull"),
        |night| {
            hand_over(night, 2);
            full(night, 2)
        },
    ),
    fault(
        "few bytes are left on a disk",
        ("replica 3: few bytes of the journal's disk", SIX),
        ("", "LockstepRoomLow"),
        |night| filled(night, 3, 2),
    ),
    fault(
        "few inodes are left on a disk",
        ("replica 3: few inodes of the journal's disk", SIX),
        ("", "LockstepRoomLow"),
        |night| without_inodes(night, 3),
    ),
    fault(
        "few descriptors are left",
        ("replica {s}: few descriptors of the process", SIX),
        ("", "LockstepRoomLow"),
        |night| {
            let (id, pid) = (night.standbys[0], night.processes[&night.standbys[0]].pid());
            night
                .network
                .node(id as usize)
                .shell(&format!("prlimit --pid {pid} --nofile=$(($(ls /proc/{pid}/fd | wc -l) + 4)):"));
            Box::new(move |night: &mut Night| {
                night.network.node(id as usize).shell(&format!("prlimit --pid {pid} --nofile=4096:"));
            })
        },
    ),
    fault(
        "a watcher stands still",
        ("replica {s}: a signal has stopped the watcher", SIX),
        ("systemctl restart lockstep-sequencer@{s}", "LockstepWatcherGone"),
        |night| {
            let watcher = watcher_of(night, night.standbys[0]);
            shell(&format!("kill -STOP {watcher}"));
            Box::new(move |_: &mut Night| shell(&format!("kill -CONT {watcher}")))
        },
    ),
    fault(
        "the leader's watcher stands still",
        ("replica {l}: a signal has stopped the watcher", SIX),
        ("systemctl restart lockstep-sequencer@{l}", "LockstepWatcherGone"),
        |night| {
            let watcher = watcher_of(night, night.leader);
            shell(&format!("kill -STOP {watcher}"));
            Box::new(move |_: &mut Night| shell(&format!("kill -CONT {watcher}")))
        },
    ),
    fault(
        "a reader with a cursor of its own making",
        ("a reader at 10.77.0.4:", SIX),
        ("lockstep ack LS1017", "LockstepReaderAhead"),
        |night| {
            let read = night.cluster.read(&["--from", "oldest", "--count", "2"]);
            let cursor = crate::cli::streams::cursor(&read.err);
            let history = cursor.split(':').next().unwrap_or_default();
            let wrong = format!("{history}:9999999:0123456789abcdef");
            night.cluster.run(&["subscribe", "--from", &wrong], b"").with_code(3);
            Box::new(|night: &mut Night| drop(night.cluster.run(&["ack", "LS1017"], b"").with_code(0)))
        },
    ),
    fault(
        "a standby begins anew with an empty journal",
        ("replica {t} ", SIX),
        ("lockstep membership replace", "LockstepNoQuorumToSpare"),
        blank,
    ),
    fault(
        "no quorum is left",
        ("no quorum", 4),
        ("systemctl start lockstep-sequencer@{s}", "LockstepNoLeader"),
        without_quorum,
    ),
    fault(
        "no replica is left",
        ("no quorum", 4),
        ("systemctl start lockstep-sequencer@{l}", "LockstepNoLeader"),
        |night| {
            (1..=3).for_each(|id| night.end(id, "KILL"));
            Box::new(|night: &mut Night| (1..=3).for_each(|id| night.start(id, &[])))
        },
    ),
    fault(
        "a standby is away for its address in the file",
        ("replica {s} does not answer", SIX),
        (START_S, "LockstepProcessDown"),
        |night| {
            let id = night.standbys[0];
            night.end(id, "TERM");
            Box::new(move |night: &mut Night| night.start(id, &[]))
        },
    ),
    fault(
        "another group in the operator's own file",
        ("the file of this host: lines.1.data is ", SIX),
        ("", ""),
        |night| {
            let other = other_group(night, 1);
            night.asks_with = vec!["--set".to_owned(), format!("lines.1.data={other}")];
            Box::new(|night: &mut Night| night.asks_with.clear())
        },
    ),
    fault(
        "a damaged segment that nobody can mend",
        ("replica {s}: ", SIX),
        ("lockstep journal verify --replica {s}", "LockstepPathLost LockstepSegmentsDamaged"),
        damaged,
    ),
    fault(
        "another group of frames in the archiver's file",
        ("archiver 101: lines.1.data is ", SIX),
        ("lockstep-archiver@101", "LockstepFilesDiffer"),
        |night| {
            let set = format!("lines.1.data={}", other_group(night, 1));
            other_file_of(night, ARCHIVER, &["--set", &set])
        },
    ),
    fault(
        "no multicast of the leader passes the switch",
        ("multicast is lost, unicast is not", SIX),
        (PROBE, "LockstepMulticastLost"),
        |night| {
            let leader = night.leader as usize;
            let others: Vec<_> = (1..=4).filter(|node| *node != leader).collect();
            cut(night, vec![Cut::one_way(&[leader], &others).of_multicast()])
        },
    ),
    fault(
        "watchers that are killed one after the other",
        ("replica {s}: it has no working watcher", SIX),
        ("systemctl restart lockstep-sequencer@{s}", "LockstepWatcherGone"),
        |night| {
            let id = night.standbys[0];
            let began = std::time::Instant::now();
            while !night.status().out.contains("no working watcher") && began.elapsed() < PATIENCE {
                if let Some(watcher) = child_of(night, id) {
                    shell(&format!("kill -KILL {watcher} 2>/dev/null || true"));
                }
            }
            started_anew(id)
        },
    ),
    fault(
        "leaders that fail again and again",
        ("within ten minutes", SIX),
        ("lockstep events --code LS1004", "LockstepTakeoversTooOften"),
        |night| {
            for _ in 0..4 {
                let failed = night.cluster.leader();
                night.signal(failed, "STOP");
                while night.cluster.leader() == failed {}
                night.signal(failed, "CONT");
                while night.cluster.run(&["wait", "--for", "caught-up"], b"").code != Some(0) {}
            }
            // What a process counts ends with it.
            Box::new(|night: &mut Night| {
                for id in 1..=3 {
                    night.end(id, "TERM");
                    night.start(id, &[]);
                    night.cluster.run(&["wait", "--for", "caught-up", "--timeout", "1min"], b"").with_code(0);
                }
            })
        },
    ),
    fault(
        "keys whose day is over",
        ("the keys that seal were to be replaced ", SIX),
        ("lockstep keys rotate", "LockstepKeysExpire"),
        |night| {
            expire_keys(night, "2020-01-01");
            Box::new(|night: &mut Night| expire_keys(night, "never"))
        },
    ),
    fault(
        "a publisher that has not read its new keys",
        ("publisher key 0 ", SIX),
        ("lockstep keys show", "LockstepOlderKeys"),
        with_older_keys,
    ),
    fault("a standby's clock is an hour ahead", CLOCK, TIME, |night| {
        under_clock(night, night.standbys[0], "+3600")
    }),
    fault("a standby's clock is a day behind", CLOCK, TIME, |night| {
        under_clock(night, night.standbys[0], "-86400")
    }),
    fault("the leader starts anew, and its clock is fifteen years ahead", CLOCK_OF_LEADER, TIME, |night| {
        under_clock(night, night.leader, "+473040000")
    }),
    fault(
        "a standby's device stands still",
        ("replica {s}: the journal's device confirms nothing", SIX),
        ("lockstep doctor", "LockstepDeviceStalled"),
        |night| device_stands_still(night, night.standbys[0]),
    ),
    fault(
        "the leader's device stands still",
        ("replica {l}: the journal's device confirms nothing", SIX),
        ("lockstep handover", "LockstepDeviceStalled"),
        |night| device_stands_still(night, night.leader),
    ),
];

fn shell(script: &str) {
    let status = std::process::Command::new("sh").args(["-ec", script]).status();
    assert!(status.is_ok_and(|status| status.success()), "{script}");
}

pub fn killed(night: &mut Night, id: u32) -> Mend {
    night.end(id, "KILL");
    Box::new(move |night| night.start(id, &[]))
}

/// Both standbys are killed.
pub fn without_quorum(night: &mut Night) -> Mend {
    let standbys = night.standbys;
    standbys.iter().for_each(|id| night.end(*id, "KILL"));
    Box::new(move |night| standbys.iter().for_each(|id| night.start(*id, &[])))
}

pub fn stopped(night: &mut Night, id: u32) -> Mend {
    night.signal(id, "STOP");
    Box::new(move |night| night.signal(id, "CONT"))
}

fn cut(night: &mut Night, cuts: Vec<Cut>) -> Mend {
    night.network.cut(&cuts);
    Box::new(|night| night.network.cut(&[]))
}

/// What comes to a node and fits the rule is dropped.
fn filtered(night: &mut Night, id: u32, rule: &str) -> Mend {
    let node = id as usize;
    night.network.node(node).shell(&format!(
        "nft add table ip planted
         nft add chain ip planted input '{{ type filter hook input priority 0; }}'
         nft 'add rule ip planted input {rule} drop'"
    ));
    Box::new(move |night| drop(night.network.node(node).shell("nft delete table ip planted")))
}

/// A second machine takes a standby's address and speaks. The desk keeps the standby's card: Prometheus would
/// miss the standby as well, with an alert of its own, where the desk takes the other one.
fn twice(night: &mut Night) -> Mend {
    let standby = night.standbys[0] as usize;
    let (address, own) = (Network::address(standby), Network::address(INTRUDER));
    let card = night.network.node(standby).shell("cat /sys/class/net/eth0/address");
    let desk = format!("ip neigh replace {address} lladdr {} dev eth0 nud permanent", card.trim());
    night.network.node(DESK).shell(&desk);
    night
        .network
        .node(INTRUDER)
        .shell(&format!("ip addr del {own}/24 dev eth0 && ip addr add {address}/24 dev eth0"));
    let leader = Network::address(night.leader as usize);
    night.network.node(INTRUDER).within(move || {
        let socket = UdpSocket::bind((address, 0)).expect("a socket at the address");
        let _ = socket.send_to(b"here", (leader, 9));
    });
    Box::new(move |night| {
        night
            .network
            .node(INTRUDER)
            .shell(&format!("ip addr del {address}/24 dev eth0 && ip addr add {own}/24 dev eth0"));
        night.network.node(DESK).shell(&format!("ip neigh del {address} dev eth0"));
    })
}

/// A standby that starts with another value of a key, until it starts with that of its file.
fn other_file(night: &mut Night, set: &str) -> Mend {
    other_file_of(night, night.standbys[0], &["--set", set])
}

/// The same of any process, with flags that set keys.
pub fn other_file_of(night: &mut Night, id: u32, flags: &[&str]) -> Mend {
    night.end(id, "TERM");
    night.start(id, flags);
    started_anew(id)
}

/// A process is stopped, and started as its file has it.
pub fn started_anew(id: u32) -> Mend {
    Box::new(move |night| {
        night.end(id, "TERM");
        night.start(id, &[]);
    })
}

/// Another group in the place of one.
pub fn other_group(night: &Night, place: usize) -> SocketAddrV4 {
    let group = night.cluster.groups()[place];
    let [a, b, c, d] = group.ip().octets();
    SocketAddrV4::new(Ipv4Addr::new(a, b, c, d ^ 0x40), group.port())
}

fn moved_group(night: &mut Night, place: usize) -> Mend {
    let (key, other) = (["submit", "data", "control"][place], other_group(night, place));
    other_file(night, &format!("lines.1.{key}={other}"))
}

fn disturbed(night: &mut Night, life: CardLife) -> Mend {
    let node = night.standbys[0] as usize;
    let index = night.network.card_index(node);
    night.network.disturb(node, life);
    Box::new(move |night| night.network.mend(node, life, index))
}

fn unplugged(night: &mut Night, id: u32) -> Mend {
    night.network.plug(LINE_A, &[id as usize], false);
    Box::new(move |night| night.network.plug(LINE_A, &[id as usize], true))
}

fn hand_over(night: &mut Night, to: u32) {
    if night.cluster.leader() != to {
        night.cluster.run(&["handover", "--to", &to.to_string(), "--timeout", "1min"], b"").with_code(0);
    }
    night.await_calm();
}

/// Fills a replica's disk but for so many mebibytes.
fn filled(night: &mut Night, id: u32, left_mib: u64) -> Mend {
    let folder = night.cluster.path(&format!("journal-{id}")).display().to_string();
    let node = id as usize;
    night.network.node(node).shell(&format!(
        "free=$(df --output=avail -k {folder} | tail -n 1); fallocate -l $((free - {left_mib} * 1024))KiB {folder}/filler"
    ));
    Box::new(move |night| drop(night.network.node(node).shell(&format!("rm {folder}/filler"))))
}

/// No byte is left, and the stream goes on.
fn full(night: &mut Night, id: u32) -> Mend {
    let mend = filled(night, id, 0);
    night.publish(4_000);
    mend
}

fn without_inodes(night: &mut Night, id: u32) -> Mend {
    let folder = night.cluster.path(&format!("journal-{id}")).display().to_string();
    let node = id as usize;
    night.network.node(node).shell(&format!(
        "mkdir {folder}/many; left=$(df --output=iavail {folder} | tail -n 1); \
         for i in $(seq 1 $((left - 3))); do : >{folder}/many/$i; done"
    ));
    Box::new(move |night| drop(night.network.node(node).shell(&format!("rm -r {folder}/many"))))
}

fn watcher_of(night: &Night, id: u32) -> u32 {
    child_of(night, id).expect("a watcher")
}

fn child_of(night: &Night, id: u32) -> Option<u32> {
    let pid = night.processes[&id].pid();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let children: String = children.collect();
    children.split_whitespace().next().and_then(|child| child.parse().ok())
}

/// A standby's folder is moved away, and it begins with an empty journal under a new identity.
fn blank(night: &mut Night) -> Mend {
    let id = night.standbys[1];
    night.end(id, "TERM");
    let (old, new) = moved_away(night, id);
    night.start(id, &[]);
    Box::new(move |night| {
        let replace = ["membership", "replace", &old, &new, "--timeout", "1min"];
        night.cluster.run(&replace, b"").with_code(0);
    })
}

/// Moves the journal of a replica that does not run away, and formats a new one. Returns both identities.
pub fn moved_away(night: &Night, id: u32) -> (String, String) {
    let status = night.cluster.run(&["membership", "show"], b"").out;
    let old = status.split_whitespace().find(|word| word.starts_with(&format!("{id}:"))).map(str::to_owned);
    let old = old.unwrap_or_else(|| panic!("no member {id} in\n{status}"));
    for name in ["journal", "tail"] {
        let from = night.cluster.path(&format!("{name}-{id}")).display().to_string();
        night
            .network
            .node(id as usize)
            .shell(&format!("mkdir -p {from}.old; mv {from}/* {from}.old/ || true"));
    }
    (old, night.cluster.format(id))
}

/// A byte of a stored segment is flipped, and no other journal is reached.
fn damaged(night: &mut Night) -> Mend {
    let id = night.standbys[0];
    night.publish(4_000);
    let mend = filtered(night, id, "tcp sport != { 9464, 9465 } tcp dport != { 9464, 9465 }");
    let folder = night.cluster.path(&format!("journal-{id}")).display().to_string();
    night.network.node(id as usize).shell(&format!(
        "segment=$(ls {folder}/segments/*.seg* | head -n 1)
         byte=$(od -An -tu1 -j 5000 -N 1 $segment | tr -d ' ')
         printf \"\\\\$(printf %03o $((byte ^ 1)))\" | dd of=$segment bs=1 seek=5000 conv=notrunc status=none"
    ));
    mend
}
