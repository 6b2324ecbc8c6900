//! The thread that asks the other nodes of the file, all day: some datagrams a second from a socket of its
//! own, beside the hot thread, which answers those of others and takes over what this one has seen.
//!
//! ```text
//!  thread ──status?──▶ unicast port of each neighbour     every ROUND
//!         ◀──status───
//!         ──▶ NeighboursSeen (atomics) ──▶ hot thread, with its other conditions
//! ```

mod rounds;

pub use rounds::Neighbour;

use lockstep_io::clock::random_u64;
use lockstep_io::{IoError, capabilities};
use lockstep_wire::{
    AgreedOwner, AgreedRow, Datagram, Header, Keys, Kind, STATUS_LONG_LEN_MAX, write_status_query,
};
use rounds::{NeighbourAnswer, Neighbours};
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between the beginnings of two rounds.
const ROUND: Duration = Duration::from_millis(500);
/// A question that is not answered is repeated after so long, ...
const AGAIN: Duration = Duration::from_millis(100);
/// ... and given up at the end of the round's questions.
const PATIENCE: Duration = Duration::from_millis(400);

/// The settings of a watch.
#[derive(Clone, Debug)]
pub struct NeighbourSettings {
    /// The cluster, and the keys of a replica.
    pub keys: Keys,
    /// This node.
    pub own: AgreedOwner,
    /// Where it answers.
    pub unicast: SocketAddrV4,
    /// The keys that all files must have alike, as this process has them.
    pub agreed: Vec<AgreedRow>,
    /// The other nodes of the file.
    pub neighbours: Vec<Neighbour>,
}

/// What the thread has seen last.
#[derive(Debug, Default)]
pub struct NeighboursSeen {
    /// The numbers of the condition: the key (0: none differs), and its value here.
    differs: [AtomicU64; 2],
}

impl NeighboursSeen {
    /// The key for which this node has another value than most, and that value.
    pub fn differs(&self) -> Option<(u64, u64)> {
        let [place, value] = self.differs.each_ref().map(|number| number.load(Ordering::Acquire));
        (place != 0).then_some((place, value))
    }

    fn store(&self, neighbours: &Neighbours) {
        let (place, value) = neighbours.differs().unwrap_or((0, 0));
        self.differs[1].store(value, Ordering::Release);
        self.differs[0].store(place, Ordering::Release);
    }
}

/// The thread. Dropped, it ends.
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

    /// What it has seen last.
    pub fn seen(&self) -> &NeighboursSeen {
        &self.seen
    }
}

impl Drop for NeighbourWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join(); // its panic has been printed
        }
    }
}

/// The state of the thread.
struct Asker {
    settings: NeighbourSettings,
    socket: UdpSocket,
    neighbours: Neighbours,
    seen: Arc<NeighboursSeen>,
    /// The asker: a handle's number.
    me: u64,
    /// The number of its last datagram.
    number: u64,
    /// A question's token; the questions of a round have those from it on.
    token: u64,
    /// A datagram, aligned as its header has to be.
    buffer: Vec<u64>,
}

impl Asker {
    fn open(settings: NeighbourSettings, seen: Arc<NeighboursSeen>) -> Result<Self, IoError> {
        let own = *settings.unicast.ip();
        let fails =
            |error| IoError::new(format!("opening a socket at {own} that asks the other nodes"), error);
        let socket = UdpSocket::bind(SocketAddrV4::new(own, 0)).map_err(fails)?;
        let neighbours = Neighbours::new(settings.own, settings.agreed.clone(), &settings.neighbours);
        let (me, token) = (random_u64()?, random_u64()? >> 1);
        let buffer = vec![0; STATUS_LONG_LEN_MAX.div_ceil(8)];
        Ok(Self { settings, socket, neighbours, seen, me, number: 0, token, buffer })
    }

    /// Rounds until `stop` is set.
    fn run(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Acquire) {
            let begun = Instant::now();
            let answers = self.ask(stop);
            self.neighbours.on_round(answers);
            self.seen.store(&self.neighbours);
            while !stop.load(Ordering::Acquire) && begun.elapsed() < ROUND {
                std::thread::park_timeout(ROUND.saturating_sub(begun.elapsed()));
            }
        }
    }

    /// A round of questions: the answers, in the order of the neighbours.
    fn ask(&mut self, stop: &AtomicBool) -> Vec<Option<NeighbourAnswer>> {
        let mut answers = vec![None; self.settings.neighbours.len()];
        self.token = self.token.wrapping_add(answers.len() as u64);
        let begun = Instant::now();
        let mut asked = 0;
        while answers.iter().any(Option::is_none)
            && begun.elapsed() < PATIENCE
            && !stop.load(Ordering::Acquire)
        {
            if begun.elapsed() >= AGAIN * asked {
                asked += 1;
                for index in (0..answers.len()).filter(|index| answers[*index].is_none()) {
                    self.send(index);
                }
            }
            let due = (AGAIN * asked).min(PATIENCE).saturating_sub(begun.elapsed());
            if let Some((index, answer)) = self.receive(due)
                && let Some(slot) = answers.get_mut(index)
            {
                *slot = Some(answer);
            }
        }
        answers
    }

    fn send(&mut self, index: usize) {
        self.number += 1;
        let header = Header {
            cluster: self.settings.keys.cluster(),
            sender: (self.me >> 32) as u32 | 1 << 31,
            incarnation: self.me as u32,
            number: self.number,
            ..Header::new(Kind::Query)
        };
        let (token, to) = (self.token.wrapping_add(index as u64), self.settings.neighbours[index].address);
        let out: &mut [u8] = bytemuck::cast_slice_mut(&mut self.buffer);
        let length = write_status_query(out, &self.settings.keys, header, token, STATUS_LONG_LEN_MAX);
        // What the system does not send is not answered.
        let _ = self.socket.send_to(&out[..length], to);
    }

    /// An answer to a question of this round, with the place of its neighbour; none within `patience`.
    fn receive(&mut self, patience: Duration) -> Option<(usize, NeighbourAnswer)> {
        self.socket.set_read_timeout(Some(patience.max(Duration::from_millis(1)))).ok()?;
        let buffer: &mut [u8] = bytemuck::cast_slice_mut(&mut self.buffer);
        let length = self.socket.recv(buffer).ok()?;
        let Ok(Datagram::Status(_, body, .., parts)) =
            Datagram::decode(&buffer[..length], &self.settings.keys)
        else {
            return None;
        };
        let place = body.token.checked_sub(self.token)?;
        let agreed = parts.agreed().map(Iterator::collect);
        Some((usize::try_from(place).ok()?, NeighbourAnswer { agreed }))
    }
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

    /// Answers questions at `socket` as a node whose file has this group, until it is told otherwise.
    fn answer(socket: &UdpSocket, control: &str) {
        let mut buffer = vec![0u64; 256];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut buffer);
        let keys = Keyring::none(CLUSTER);
        let (length, from) = socket.recv_from(bytes).expect("a question");
        let Ok(Datagram::Query(_, asked, ..)) = Datagram::decode(&bytes[..length], &keys) else {
            panic!("a question")
        };
        assert_eq!(length, STATUS_LONG_LEN_MAX, "it leaves room for all parts");
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
        };
        let watch = NeighbourWatch::start(settings).expect("a thread");
        let until = |control: &str, holds: bool| {
            while watch.seen().differs().is_some() != holds {
                answer(&there, control);
            }
        };
        until("239.77.1.4:7700", true);
        assert_eq!(watch.seen().differs(), Some((u64::from(own[0].place()), own[0].number())));
        until("239.77.1.3:7700", false);
        drop(watch);
    }
}
