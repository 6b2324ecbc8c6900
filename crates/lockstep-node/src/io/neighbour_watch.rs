//! The thread that asks the other nodes of the file all the time: some datagrams a second from a socket of
//! its own. The hot thread answers the questions of others, and reads the results of this thread.
//!
//! ```text
//!  thread ──status?──▶ unicast port of each neighbour     every ROUND
//!         ◀──status───
//!         ──▶ NeighboursSeen (atomics) ──▶ hot thread, with its other conditions
//! ```

mod cards;
mod connects;
mod rounds;

pub use rounds::Neighbour;

use lockstep_io::clock::random_u64;
use lockstep_io::udp::never_fragment;
use lockstep_io::{IoError, capabilities};
use lockstep_replica::replica::NodeSet;
use lockstep_wire::{
    AgreedOwner, AgreedRow, Datagram, Header, Keys, Kind, NEIGHBOURS_MAX, STATUS_LONG_LEN_MAX, WayRow,
    write_status_query,
};
use rounds::{NeighbourAnswer, Neighbours, RoundResult};
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The time from one round to the next.
const ROUND: Duration = Duration::from_millis(500);
/// The same while something was missed that may be lost.
const ROUND_OF_DOUBT: Duration = Duration::from_millis(250);
/// A question without an answer is repeated after this time.
const AGAIN: Duration = Duration::from_millis(50);
/// A question is given up this long after the round's questions.
const PATIENCE: Duration = Duration::from_millis(200);
/// A connection that is not established after this time is given up.
const CONNECT_PATIENCE: Duration = Duration::from_millis(200);
/// Bytes that IP and UDP add to a datagram.
const IP_UDP_LEN: usize = 28;

/// The settings of a watch.
#[derive(Clone, Debug)]
pub struct NeighbourSettings {
    /// The cluster, and the keys of a replica.
    pub keys: Keys,
    /// This node.
    pub own: AgreedOwner,
    /// Its unicast address.
    pub unicast: SocketAddrV4,
    /// The keys that all files must have alike, as this process has them.
    pub agreed: Vec<AgreedRow>,
    /// The other nodes of the file.
    pub neighbours: Vec<Neighbour>,
    /// Bytes of the largest IP packet.
    pub mtu: usize,
}

/// The latest results of the thread.
#[derive(Debug, Default)]
pub struct NeighboursSeen {
    /// The numbers of the condition: the key (0: no key differs), and its value here.
    differs: [AtomicU64; 2],
    /// The address that two nodes have (0: none), and its card.
    twice: [AtomicU64; 2],
    /// The path from each neighbour, as a row packed into a number.
    ways: [AtomicU64; NEIGHBOURS_MAX],
    /// The number of neighbours.
    way_count: AtomicU64,
    /// From the hot thread: the nodes that have asked since this was last read.
    asked: [AtomicU64; 4],
    /// How often the hot thread has reported them.
    polls: AtomicU64,
}

impl NeighboursSeen {
    /// The key for which this node has another value than most, and that value.
    pub fn differs(&self) -> Option<(u64, u64)> {
        load(&self.differs)
    }

    /// The address that two nodes have, and the card that answers there.
    pub fn twice(&self) -> Option<(u64, u64)> {
        load(&self.twice)
    }

    /// What this node receives from each of the others.
    pub fn ways(&self) -> impl Iterator<Item = WayRow> {
        let count = self.way_count.load(Ordering::Acquire) as usize;
        self.ways.iter().take(count).map(|row| bytemuck::cast(row.load(Ordering::Relaxed)))
    }

    /// The hot thread turns, and these nodes have asked it.
    pub fn on_poll(&self, asked: NodeSet) {
        for (bits, asked) in self.asked.iter().zip(asked) {
            if asked != 0 {
                bits.fetch_or(asked, Ordering::AcqRel);
            }
        }
        self.polls.fetch_add(1, Ordering::AcqRel);
    }

    fn take_asked(&self) -> NodeSet {
        self.asked.each_ref().map(|bits| bits.swap(0, Ordering::AcqRel))
    }

    fn store(&self, neighbours: &Neighbours) {
        store(&self.differs, neighbours.differs());
        store(&self.twice, neighbours.twice());
        let mut count = 0;
        for (slot, row) in self.ways.iter().zip(neighbours.ways()) {
            slot.store(bytemuck::cast(row), Ordering::Relaxed);
            count += 1;
        }
        self.way_count.store(count, Ordering::Release);
    }
}

fn load(numbers: &[AtomicU64; 2]) -> Option<(u64, u64)> {
    let [a, b] = numbers.each_ref().map(|number| number.load(Ordering::Acquire));
    (a != 0).then_some((a, b))
}

fn store(numbers: &[AtomicU64; 2], is: Option<(u64, u64)>) {
    let (a, b) = is.unwrap_or((0, 0));
    numbers[1].store(b, Ordering::Release);
    numbers[0].store(a, Ordering::Release);
}

/// The thread, which ends when this is dropped.
#[derive(Debug)]
pub struct NeighbourWatch {
    seen: Arc<NeighboursSeen>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NeighbourWatch {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system grants no socket or starts no thread.
    pub fn start(settings: NeighbourSettings) -> Result<Self, IoError> {
        let seen = Arc::new(NeighboursSeen::default());
        let stop = Arc::new(AtomicBool::new(false));
        let mut asker = Asker::open(settings, Arc::clone(&seen))?;
        let theirs = Arc::clone(&stop);
        let builder = std::thread::Builder::new().name("neighbours".to_string());
        let thread = capabilities::spawn(builder, move || asker.run(&theirs))
            .map_err(|error| IoError::new("starting the thread that asks the other nodes", error))?;
        Ok(Self { seen, stop, thread: Some(thread) })
    }

    /// The latest results.
    pub fn seen(&self) -> &NeighboursSeen {
        &self.seen
    }
}

impl Drop for NeighbourWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join(); // its panic was printed
        }
    }
}

/// The state of the thread.
struct Asker {
    settings: NeighbourSettings,
    socket: UdpSocket,
    neighbours: Neighbours,
    seen: Arc<NeighboursSeen>,
    /// Distinguishes the runs of this thread, in place of an incarnation.
    life: u32,
    /// The number of its last datagram.
    number: u64,
    /// The number of rounds so far.
    rounds: u64,
    /// The token of the next question; those of a round are consecutive.
    token: u64,
    /// A datagram, aligned as its header requires.
    buffer: Vec<u64>,
}

/// The answers of a round, in the order of the neighbours.
struct RoundAnswers {
    short: Vec<Option<NeighbourAnswer>>,
    /// Whether it answered a large question; `None`: there was none.
    large: Vec<Option<bool>>,
}

impl Asker {
    fn open(settings: NeighbourSettings, seen: Arc<NeighboursSeen>) -> Result<Self, IoError> {
        let own = *settings.unicast.ip();
        let fails =
            |error| IoError::new(format!("opening a socket at {own} that asks the other nodes"), error);
        let socket = UdpSocket::bind(SocketAddrV4::new(own, 0)).map_err(fails)?;
        never_fragment(socket.as_fd(), "set IP_MTU_DISCOVER of the socket that asks the other nodes")?;
        let neighbours = Neighbours::new(settings.own, settings.agreed.clone(), &settings.neighbours);
        let (life, token) = (random_u64()? as u32, random_u64()? >> 1);
        let buffer = vec![0; settings.mtu.max(STATUS_LONG_LEN_MAX).div_ceil(8)];
        Ok(Self { settings, socket, neighbours, seen, life, number: 0, rounds: 0, token, buffer })
    }

    /// Runs rounds until `stop` is set. A question is a sign of life, so none is sent while the hot thread
    /// stands still.
    fn run(&mut self, stop: &AtomicBool) {
        let mut polls = 0;
        while !stop.load(Ordering::Acquire) {
            let turned = self.seen.polls.load(Ordering::Acquire);
            if turned == polls {
                std::thread::park_timeout(AGAIN);
                continue;
            }
            polls = turned;
            let begun = Instant::now();
            self.round(stop);
            let lasts = if self.neighbours.has_doubt() { ROUND_OF_DOUBT } else { ROUND };
            while !stop.load(Ordering::Acquire) && begun.elapsed() < lasts {
                std::thread::park_timeout(lasts.saturating_sub(begun.elapsed()));
            }
        }
    }

    fn round(&mut self, stop: &AtomicBool) {
        self.seen.take_asked();
        // In every second round, healthy paths are tested completely.
        self.rounds += 1;
        let is_whole = self.neighbours.has_doubt() || self.rounds.is_multiple_of(2);
        let RoundAnswers { short, large } = self.ask(stop, is_whole);
        let addresses: Vec<_> = self.settings.neighbours.iter().map(|other| other.address).collect();
        let replay = if is_whole {
            connects::try_connects(&addresses, CONNECT_PATIENCE)
        } else {
            vec![None; addresses.len()]
        };
        let asked = self.seen.take_asked();
        let known = cards::known_cards();
        let card =
            |address: &SocketAddrV4| known.iter().find(|(ip, _)| ip == address.ip()).map(|(_, card)| *card);
        let all = short.into_iter().zip(large).zip(replay).zip(&self.settings.neighbours);
        let results: Vec<_> = all
            .map(|(((answer, large), replay), other)| RoundResult {
                answer,
                large,
                replay,
                card: card(&other.address),
                asked: holds(asked, other.owner.number),
            })
            .collect();
        self.neighbours.on_round(&results);
        self.seen.store(&self.neighbours);
    }

    /// A round of questions: a short one to each node, and in a complete round a large one.
    fn ask(&mut self, stop: &AtomicBool, is_whole: bool) -> RoundAnswers {
        let count = self.settings.neighbours.len();
        let mut answers =
            RoundAnswers { short: vec![None; count], large: vec![is_whole.then_some(false); count] };
        self.token = self.token.wrapping_add(2 * count as u64);
        let begun = Instant::now();
        let mut asked = 0;
        let is_open = |answers: &RoundAnswers| {
            answers.short.iter().any(Option::is_none) || answers.large.contains(&Some(false))
        };
        while is_open(&answers) && !stop.load(Ordering::Acquire) {
            let is_over = begun.elapsed() >= PATIENCE;
            if !is_over && begun.elapsed() >= AGAIN * asked {
                asked += 1;
                for index in 0..count {
                    if answers.short[index].is_none() {
                        self.send(index, index, STATUS_LONG_LEN_MAX);
                    }
                    if answers.large[index] == Some(false) {
                        let largest = (self.settings.mtu - IP_UDP_LEN) / 8 * 8;
                        self.send(index, count + index, largest);
                    }
                }
            }
            let due = (AGAIN * asked).min(PATIENCE).saturating_sub(begun.elapsed());
            match self.receive(due) {
                Some((place, answer)) if place < count => answers.short[place] = Some(answer),
                Some((place, _)) if place < 2 * count => answers.large[place - count] = Some(true),
                // A datagram that waits in the socket was in time, however late this thread is.
                None if is_over => break,
                _ => {}
            }
        }
        answers
    }

    /// Asks the neighbour with this index; `place` is the question's index in its round.
    fn send(&mut self, index: usize, place: usize, len: usize) {
        self.number += 1;
        let header = Header {
            cluster: self.settings.keys.cluster(),
            sender: self.settings.own.number,
            incarnation: self.life,
            number: self.number,
            ..Header::new(Kind::Query)
        };
        let (token, to) = (self.token.wrapping_add(place as u64), self.settings.neighbours[index].address);
        let out: &mut [u8] = bytemuck::cast_slice_mut(&mut self.buffer);
        let length = write_status_query(out, &self.settings.keys, header, token, len);
        // A question that the system does not send has no answer.
        let _ = self.socket.send_to(&out[..length], to);
    }

    /// An answer to a question of this round, with the question's index; `None` if there is none within
    /// `patience`.
    fn receive(&mut self, patience: Duration) -> Option<(usize, NeighbourAnswer)> {
        self.socket.set_read_timeout(Some(patience.max(Duration::from_millis(1)))).ok()?;
        let buffer: &mut [u8] = bytemuck::cast_slice_mut(&mut self.buffer);
        let length = self.socket.recv(buffer).ok()?;
        let Ok(Datagram::Status(_, body, .., parts)) =
            Datagram::decode(&buffer[..length], &self.settings.keys)
        else {
            return None;
        };
        let place = usize::try_from(body.token.checked_sub(self.token)?).ok()?;
        let ways = parts.ways().into_iter().flatten().collect();
        let (agreed, process) = (parts.agreed().map(Iterator::collect), body.process_nonce);
        Some((place, NeighbourAnswer { agreed, process, ways }))
    }
}

fn holds(set: NodeSet, number: u32) -> bool {
    set.get(number as usize / 64).is_some_and(|bits| bits & (1 << (number % 64)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_wire::{
        HEADER_LEN, Keyring, STATUS_LEN_MAX, StatusBody, StatusPartKind, write_status, write_status_part,
    };

    const CLUSTER: u64 = 7;

    fn rows(control: &str) -> Vec<AgreedRow> {
        AgreedRow::new("lines.1.control", control).into_iter().collect()
    }

    /// Answers one question at `socket`, as a node whose file has this group.
    fn answer(socket: &UdpSocket, control: &str) {
        let mut buffer = vec![0u64; 256];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut buffer);
        let keys = Keyring::none(CLUSTER);
        let (length, from) = socket.recv_from(bytes).expect("a question");
        let Ok(Datagram::Query(_, asked, ..)) = Datagram::decode(&bytes[..length], &keys) else {
            panic!("a question")
        };
        assert!([STATUS_LONG_LEN_MAX, 1_472].contains(&length), "it leaves room for all parts: {length}");
        let mut part = [0; 64];
        let end = write_status_part(&mut part, StatusPartKind::Agreed, &rows(control));
        let mut out = [0; STATUS_LEN_MAX + 64];
        let header = Header { cluster: CLUSTER, sender: 2, ..Header::new(Kind::Status) };
        let body = StatusBody { token: asked.token, ..bytemuck::Zeroable::zeroed() };
        let length = write_status(&mut out, &keys, header, body, (&[], &[]), &part[..end]);
        assert!(length > HEADER_LEN);
        socket.send_to(&out[..length], from).expect("sent");
    }

    #[test]
    fn a_neighbours_other_value_is_seen_while_it_lasts_and_the_thread_ends_when_it_is_dropped() {
        let there = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let Ok(std::net::SocketAddr::V4(address)) = there.local_addr() else { panic!("an address") };
        let neighbour = Neighbour { owner: AgreedOwner { number: 2, is_archiver: false }, address };
        let own = rows("239.77.1.3:7700");
        let settings = NeighbourSettings {
            keys: Keyring::none(CLUSTER).into(),
            own: AgreedOwner { number: 1, is_archiver: false },
            unicast: "127.0.0.1:0".parse().expect("an address"),
            agreed: own.clone(),
            neighbours: vec![neighbour],
            mtu: 1_500,
        };
        let watch = NeighbourWatch::start(settings).expect("a thread");
        let until = |control: &str, holds: bool| {
            while watch.seen().differs().is_some() != holds {
                watch.seen().on_poll([0; 4]);
                answer(&there, control);
            }
        };
        until("239.77.1.4:7700", true);
        assert_eq!(watch.seen().differs(), Some((u64::from(own[0].place()), own[0].number())));
        until("239.77.1.3:7700", false);
        let row = || watch.seen().ways().next().filter(|row| row.unanswered == 0 && row.large == 0);
        while row().is_none() {
            watch.seen().on_poll([0; 4]);
            answer(&there, "239.77.1.3:7700");
        }
        assert_eq!(row().map(|row| row.peer), Some(2));
        drop(watch);
    }
}
