//! Measurements of this host that take some milliseconds: the jitter of a core, the time of a flush, the cost
//! of a hop.

use crate::facts::Host;
use crate::probe::device::ProbeDevice;
use crate::scope::{LocalLine, Scope};
use lockstep_config::Transport;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_io::clock::{Clock, random_u64};
use lockstep_process::cpu;
use socket2::{Domain, Socket, Type};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Which measurements are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MeasureChoice {
    /// Those that do not disturb a running node.
    Quiet,
    /// All: a node that runs on a measured core or disk is delayed.
    All,
    /// None.
    Nothing,
}

/// The jitter of a thread that only reads the clock.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Jitter {
    /// The longest time for which it did not run.
    pub longest_ns: u64,
    /// The number of interruptions of more than [`STUMBLE_NS`].
    pub stumbles: u64,
    /// The sum of these interruptions.
    pub lost_ns: u64,
    /// How long the thread ran.
    pub watched_ns: u64,
}

/// A thread that did not run for so long was interrupted.
pub const STUMBLE_NS: u64 = 5_000;
const WATCHED_NS: u64 = 250_000_000;

/// How long writes of a block and their flush took.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FlushTimes {
    /// Half of them took less.
    pub p50_ns: u64,
    /// The longest.
    pub longest_ns: u64,
    /// How many there were.
    pub count: usize,
    /// Whether the file system takes writes past its page cache (O_DIRECT).
    pub is_direct: bool,
}

/// The number of blocks that are written, and the time limit.
const FLUSHES: usize = 48;
const FLUSHING_NS_MAX: u64 = 1_000_000_000;
const BLOCK: usize = 4096;

/// The part of a burst that a socket stored while no thread read it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct BurstStored {
    /// Datagrams of the burst, as many as the configured buffer is sized for.
    pub sent: usize,
    /// Those that could be read afterwards.
    pub stored: usize,
}

/// A larger buffer is not tested: filling it would take too long.
const BURST_BYTES_MAX: usize = 64 << 20;

/// Own multicast datagrams that came back by an interface.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct LoopTimes {
    /// Datagrams sent.
    pub sent: usize,
    /// Those that came back.
    pub returned: usize,
    /// Half of those that came back took less.
    pub p50_ns: u64,
    /// The error, if the measurement failed.
    pub error: Option<String>,
}

const LOOP_ROUNDS: usize = 200;
const LOOP_WAIT_NS: u64 = 10_000_000;
/// The measurement ends after so many datagrams that did not come back.
const LOOP_LOST_MAX: usize = 10;
const HOPS: usize = 1_000;
const CLOCK_READS: u64 = 20_000;

/// All measurements.
#[derive(Clone, Default, Debug)]
pub struct Measured {
    /// By core.
    pub jitter: BTreeMap<usize, Jitter>,
    /// By folder of a journal.
    pub flushes: BTreeMap<PathBuf, FlushTimes>,
    /// By table of the line.
    pub bursts: BTreeMap<String, BurstStored>,
    /// By table of the line.
    pub loops: BTreeMap<String, LoopTimes>,
    /// One reading of the clock.
    pub clock_read_ns: Option<u64>,
    /// From a send call to the end of the receive call, on the loopback, in one thread.
    pub hop_ns: Option<u64>,
}

/// Takes all measurements: about half a second, and as much for each core.
pub fn measure(scope: &Scope<'_>, host: &Host, choice: MeasureChoice) -> Measured {
    let mut measured = Measured::default();
    if choice == MeasureChoice::Nothing {
        return measured;
    }
    let may_disturb = choice == MeasureChoice::All;
    // the cores and disks of a node of another file are not known here: a running node excludes all
    if may_disturb || host.daemons.is_empty() {
        let online = host.cores("/sys/devices/system/cpu/online");
        for (core, _) in scope.cores().filter(|(core, _)| online.contains(core)) {
            if !measured.jitter.contains_key(&core) {
                measured.jitter.extend(jitter(core).map(|jitter| (core, jitter)));
            }
        }
        for node in &scope.nodes {
            let Some(folder) = host.folders.get(&node.journal) else { continue };
            let times = flushes(&folder.existing);
            measured.flushes.extend(times.ok().map(|times| (node.journal.clone(), times)));
        }
    }
    for line in &scope.lines {
        let datagram = usize::from(line.line.mtu) - 28;
        let stored = burst(line.line.receive_buffer_bytes as usize, datagram);
        measured.bursts.extend(stored.ok().map(|stored| (line.table.clone(), stored)));
        if line.transport != Transport::Unicast {
            measured.loops.insert(line.table.clone(), multicast_loop(scope, line));
        }
    }
    measured.clock_read_ns = Some(clock_read());
    measured.hop_ns = hop().ok();
    measured
}

/// Spins on a core. `None` if this process may not run there.
fn jitter(core: usize) -> Option<Jitter> {
    let spin = move || {
        if cpu::pin(core).note.is_some() {
            return None;
        }
        let clock = Clock::start();
        let (mut jitter, begun) = (Jitter::default(), clock.now());
        let mut last = begun;
        while last < begun + WATCHED_NS {
            let now = clock.now();
            let gap = now - last;
            if gap > STUMBLE_NS {
                jitter.stumbles += 1;
                jitter.lost_ns += gap;
            }
            jitter.longest_ns = jitter.longest_ns.max(gap);
            last = now;
        }
        jitter.watched_ns = last - begun;
        Some(jitter)
    };
    std::thread::spawn(spin).join().ok().flatten()
}

/// A block aligned as O_DIRECT requires.
#[repr(align(4096))]
struct Block([u8; BLOCK]);

/// Writes blocks of a file without a name, so that nothing remains.
fn flushes(folder: &Path) -> io::Result<FlushTimes> {
    let open = |flags: i32| {
        OpenOptions::new().write(true).mode(0o600).custom_flags(libc::O_TMPFILE | flags).open(folder)
    };
    let block = Block([0; BLOCK]);
    let direct = open(libc::O_DIRECT).and_then(|file| file.write_all_at(&block.0, 0).map(|()| file));
    let is_direct = direct.is_ok();
    let file = direct.or_else(|_| open(0))?;
    let clock = Clock::start();
    let (begun, mut times) = (clock.now(), Vec::with_capacity(FLUSHES));
    for number in 0..FLUSHES as u64 {
        let before = clock.now();
        file.write_all_at(&block.0, number * BLOCK as u64)?;
        file.sync_data()?;
        times.push(clock.now() - before);
        if clock.now() > begun + FLUSHING_NS_MAX {
            break;
        }
    }
    times.sort_unstable();
    let longest_ns = times.last().copied().unwrap_or(0);
    Ok(FlushTimes { p50_ns: times[times.len() / 2], longest_ns, count: times.len(), is_direct })
}

/// Sends `asked` bytes to a socket that asked for a buffer of that size and does not read.
fn burst(asked: usize, datagram: usize) -> io::Result<BurstStored> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), None)?;
    socket.set_recv_buffer_size(asked)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into())?;
    let to = socket.local_addr()?;
    let sender = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let payload = vec![0; datagram];
    let sent = asked.min(BURST_BYTES_MAX) / datagram;
    for _ in 0..sent {
        sender.send_to(&payload, &to)?;
    }
    let (mut room, mut stored, mut socket) = (vec![0; datagram], 0, &socket);
    while stored < sent && socket.read(&mut room).is_ok() {
        stored += 1;
    }
    Ok(BurstStored { sent, stored })
}

fn clock_read() -> u64 {
    let clock = Clock::start();
    let begun = clock.now();
    let mut last = begun;
    for _ in 0..CLOCK_READS {
        last = clock.now();
    }
    (last - begun) / CLOCK_READS
}

fn median(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or(0)
}

fn hop() -> io::Result<u64> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (to, clock) = (socket.local_addr()?, Clock::start());
    let mut times = Vec::with_capacity(HOPS);
    let mut room = [0; 64];
    for _ in 0..HOPS {
        let before = clock.now();
        socket.send_to(&[7; 64], to)?;
        socket.recv_from(&mut room)?;
        times.push(clock.now() - before);
    }
    Ok(median(times))
}

/// Sends datagrams to the probe's first group, which this host has joined itself.
fn multicast_loop(scope: &Scope<'_>, line: &LocalLine<'_>) -> LoopTimes {
    let fails = |error: String| LoopTimes { error: Some(error), ..LoopTimes::default() };
    let own = scope.nodes.first().map(|node| *node.unicast.ip()).filter(|_| line.place == 0);
    let mut net = match ProbeDevice::open(scope.config, line.place, own) {
        Ok(device) => device.net,
        Err(error) => return fails(error.to_string()),
    };
    let Ok(nonce) = random_u64() else { return fails("no random number".to_owned()) };
    let (clock, mut times, mut sent) = (Clock::start(), Vec::new(), 0_usize);
    let payload = nonce.to_le_bytes();
    while sent < LOOP_ROUNDS && sent < times.len() + LOOP_LOST_MAX {
        let begun = clock.now();
        let round = [payload, (sent as u64).to_le_bytes()].concat();
        net.send_group(Group::Submit, &[Burst { bytes: &round, stride: round.len() }]);
        sent += 1;
        // one more receive after the deadline: this thread may have been delayed itself
        loop {
            let now = clock.now();
            let count = net.recv_groups();
            if (0..count).any(|index| net.group_datagram(index) == round) {
                times.push(clock.now() - begun);
                break;
            }
            if now > begun + LOOP_WAIT_NS {
                break;
            }
        }
    }
    LoopTimes { sent, returned: times.len(), p50_ns: median(times), error: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::DaemonFacts;
    use crate::gather::{ThisKernel, gather};
    use crate::scope::ChosenNode;
    use lockstep_config::Config;

    #[test]
    fn a_folder_is_as_it_was_after_its_flushes_were_timed() {
        let folder = tempfile::tempdir().unwrap();
        let times = flushes(folder.path()).unwrap();
        assert!(times.count > 0 && times.p50_ns <= times.longest_ns, "{times:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_socket_that_got_its_buffer_stores_the_burst_and_a_small_one_does_not() {
        let large = burst(64 << 10, 1472).unwrap();
        assert_eq!((large.sent, large.stored), (44, 44));
        // four times what the kernel grants, whatever its limit is
        let granted = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap();
        let granted: usize = granted.trim().parse().unwrap();
        let short = burst((4 * granted).min(BURST_BYTES_MAX), 1472).unwrap();
        assert!(short.stored < short.sent || granted >= BURST_BYTES_MAX / 2, "{short:?}");
    }

    #[test]
    fn a_clock_is_read_and_a_hop_is_made_in_some_time() {
        assert!(clock_read() > 0);
        assert!(hop().unwrap() > 0);
        let core = cpu::cores()[0];
        let jitter = jitter(core).expect("a core that this process may use");
        assert!(jitter.watched_ns >= WATCHED_NS && jitter.longest_ns > 0, "{jitter:?}");
    }

    #[test]
    fn a_core_and_a_disk_are_left_alone_while_a_node_runs_here_unless_all_is_asked_for() {
        let (folder, core) = (tempfile::tempdir().unwrap(), cpu::cores()[0]);
        let journal = folder.path().display();
        let text = format!(
            "cluster = 7\nprofile = \"shared\"\n[[lines]]\nsubmit = \"239.7.7.1:9700\"\ndata = \"239.7.7.2:9700\"\n\
             control = \"239.7.7.3:9700\"\ninterface = \"lo\"\nttl = 0\n[[replicas]]\nid = 1\ncore = {core}\n\
             unicast = \"127.0.0.1:9701\"\njournal = \"{journal}\"\n"
        );
        let config =
            Config::parse(Path::new("x.toml"), &text, &[]).unwrap_or_else(|errors| panic!("{errors}"));
        let mut host = gather(Path::new("/"), &config, ChosenNode::ByAddress, &ThisKernel);
        let scope = Scope::new(&config, ChosenNode::ByAddress, "", "");
        host.daemons = vec![DaemonFacts::default()];
        let quiet = measure(&scope, &host, MeasureChoice::Quiet);
        assert!(quiet.jitter.is_empty() && quiet.flushes.is_empty(), "{quiet:?}");
        let looped = &quiet.loops["lines.1"];
        assert_eq!((looped.returned, &looped.error), (LOOP_ROUNDS, &None));
        assert!(measure(&scope, &host, MeasureChoice::Nothing).hop_ns.is_none());
        for (daemons, choice) in [(1, MeasureChoice::All), (0, MeasureChoice::Quiet)] {
            host.daemons.truncate(daemons);
            let all = measure(&scope, &host, choice);
            assert!(all.jitter.contains_key(&core) && all.flushes.len() == 1, "{choice:?}: {all:?}");
        }
    }
}
