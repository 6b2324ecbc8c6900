//! Random steps of clients, of the stream and of time, in any order, at two gateways.
//!
//! ```text
//!  peers ── bytes in any pieces, some of them wrong ──▶ two gateways ──▶ what they publish, stamped or not
//!    ▲                                                   │       ▲                       │
//!    └────────────── as many as are taken ───────────────┘       └── the stream, late ◀──┘
//! ```
//! One gateway reads committed entries, and the other one stamped ones; takeovers take back what is not
//! committed. Each peer numbers its own messages: the gateway reports which of them the stream has, and the
//! test judges that.

mod place;

use super::model::{BOB, Log, MESSAGE_LEN_MAX, NOBODY, Sent, USERS};
use super::*;
use crate::gateway::ledger::FIRST_DAY;
use lockstep_core::engine::subscriber::Delivery;
use place::{Place, users};
use soupbintcp::{
    Client, ClientEnd, ClientEvent, ClientLimits, ClientState, Field, LoginRequest, Packet, Timeout,
};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{catch_unwind, set_hook, take_hook};

const MS: Nanos = 1_000_000;
/// Longest piece in which bytes arrive.
const PIECE_MAX: usize = 70_000;
/// The user of each peer: some have two.
const PEERS: [usize; 7] = [0, 0, 1, 1, 2, 3, 3];
const CHECKS_MAX: usize = 3;
const CLIENTS_MAX: usize = 6;

/// A connection, from the client's side.
struct Link {
    place: usize,
    index: usize,
    client: Client,
    up: Vec<u8>,
    inbox: Vec<u8>,
    /// The session and the first number that the gateway reported, for the requested login.
    asked: (String, u64),
    is_garbled: bool,
    session: String,
    /// The next number of a peer that numbers its messages, once it knows which of them the stream has.
    payload: Option<u64>,
    /// The early messages that were only stamped, by number.
    early: BTreeMap<u64, Vec<u8>>,
    /// Whether its client has closed the socket without reading everything: what it had sent still arrives.
    broken: bool,
}

#[derive(Default)]
struct Peer {
    link: Option<Link>,
    session: String,
    next: u64,
    received: u64,
}

struct World {
    now: Nanos,
    log: Log,
    places: [Place; 2],
    peers: Vec<Peer>,
    /// The numbers that each user has given to its messages.
    published: [u64; USERS.len()],
    /// Bob's published and pending messages, by session.
    orders: BTreeMap<String, Vec<Vec<u8>>>,
    /// Submissions under way of gateways that have ended.
    late: VecDeque<Sent>,
    made: u64,
    days: u64,
}

fn field<const N: usize>(text: &str) -> Field<N> {
    Field::new(text.as_bytes()).unwrap()
}

impl World {
    fn new() -> Self {
        let peers = PEERS.iter().map(|_| Peer { next: 1, ..Peer::default() }).collect();
        let places = [Place::new(0, 0), Place::new(1, 1)];
        let (log, late, orders) = (Log::new(FIRST_DAY), VecDeque::new(), BTreeMap::new());
        Self { now: MS, log, places, peers, published: [0; USERS.len()], orders, late, made: 2, days: 0 }
    }

    /// Connects and logs in; `wrong` changes a byte of the login.
    fn connect(&mut self, peer: usize, place: usize, login: (String, u64), wrong: Option<(usize, u8)>) {
        self.disconnect(peer);
        let address = SocketAddr::from(([10, 0, 0, peer as u8], 9));
        let Some((index, _)) = self.places[place].core.accept(self.now, address) else { return };
        let request = LoginRequest {
            username: field(USERS[PEERS[peer]]),
            password: field("secret"),
            session: field::<10>(&login.0),
            seq: login.1,
            timeout: Timeout::Absent,
        };
        let mut client = Client::new(self.now, request, ClientLimits::default());
        let mut up = Vec::new();
        client.login(self.now, &mut up).unwrap();
        if let Some((at, byte)) = wrong {
            let at = at % up.len();
            up[at] = byte;
        }
        let (inbox, session, is_garbled) = (Vec::new(), String::new(), wrong.is_some());
        self.peers[peer].link = Some(Link {
            place,
            index,
            client,
            up,
            inbox,
            asked: login,
            is_garbled,
            session,
            payload: None,
            early: BTreeMap::new(),
            broken: false,
        });
    }

    fn disconnect(&mut self, peer: usize) {
        if let Some(link) = self.peers[peer].link.take() {
            self.places[link.place].core.on_closed(self.now, link.index);
        }
    }

    fn say(&mut self, peer: usize, len: usize) {
        let user = PEERS[peer];
        let Some(link) = self.peers[peer].link.as_mut().filter(|link| !link.broken) else { return };
        if user == BOB {
            // A message that he has sent before is sent again unchanged.
            let Some(number) = link.payload else { return };
            let orders = self.orders.entry(link.session.clone()).or_default();
            if number as usize > orders.len() {
                // A message that is refused for its length would have no number.
                let len = len.min(MESSAGE_LEN_MAX - 8);
                orders.push([&number.to_be_bytes()[..], &vec![b'm'; len]].concat());
            }
            let message = &orders[number as usize - 1];
            if link.client.unsequenced(self.now, message, &mut link.up).is_ok() {
                link.payload = Some(number + 1);
            }
            return;
        }
        let number = self.published[user] + 1;
        let message = [&number.to_be_bytes()[..], &vec![b'm'; len]].concat();
        if link.client.unsequenced(self.now, &message, &mut link.up).is_ok() {
            self.published[user] = number;
        }
    }

    /// This many bytes of the client reach its gateway.
    fn up(&mut self, peer: usize, len: usize) {
        let Some(link) = &mut self.peers[peer].link else { return };
        if !link.broken {
            link.client.on_timer(self.now, &mut link.up);
        }
        let place = &mut self.places[link.place];
        if place.core.wants(link.index) && !link.up.is_empty() {
            let piece: Vec<u8> = link.up.drain(..len.clamp(1, PIECE_MAX).min(link.up.len())).collect();
            place.core.on_bytes(self.now, &mut place.handle, link.index, &piece);
        }
        if link.broken && link.up.is_empty() && place.core.wants(link.index) {
            self.disconnect(peer);
        }
    }

    /// The gateway's next write fails.
    fn break_output(&mut self, peer: usize) {
        if let Some(link) = &mut self.peers[peer].link {
            link.broken = true;
            self.places[link.place].core.on_output_broken(link.index);
        }
    }

    /// This many bytes of the gateway reach the client.
    fn down(&mut self, peer: usize, len: usize) {
        let Some(link) = &mut self.peers[peer].link else { return };
        let core = &mut self.places[link.place].core;
        let out = core.out(link.index);
        let len = len.min(out.len());
        link.inbox.extend_from_slice(&out[..len]);
        core.on_sent(self.now, link.index, len);
        let is_done = core.is_done(self.now, link.index);
        self.hear(peer);
        if is_done {
            self.disconnect(peer);
        }
    }

    /// What a client receives follows from the committed log alone.
    fn hear(&mut self, peer: usize) {
        let user = PEERS[peer];
        let fixed = &self.log.fixed;
        let Peer { link: Some(link), session: had, next, received } = &mut self.peers[peer] else { return };
        loop {
            let taken = link.client.on_bytes(self.now, &link.inbox);
            let more = taken.event.is_some();
            match taken.event {
                Some(ClientEvent::Accepted { session, next_seq, .. }) => {
                    link.session = String::from_utf8_lossy(session.as_bytes()).into_owned();
                    if !link.is_garbled {
                        let (session, seq) = &link.asked;
                        assert!(*seq == 0 || next_seq == *seq, "{seq} asked, {next_seq} accepted");
                        assert!(session.is_empty() || *session == link.session);
                    }
                    (*had, *next) = (link.session.clone(), next_seq);
                }
                Some(ClientEvent::Message { seq, bytes }) => {
                    let sequence = fixed.sequences.get(&(link.session.clone(), user));
                    let expected = sequence.and_then(|all| all.get(seq as usize - 1));
                    assert_eq!(expected.map(Vec::as_slice), Some(bytes), "{} {seq}", USERS[user]);
                    assert_eq!(seq, *next, "in order, each once");
                    (*next, *received) = (seq + 1, *received + 1);
                }
                Some(ClientEvent::Unsequenced(bytes)) if user == BOB && link.payload.is_none() => {
                    let last = u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
                    let own = self.places[link.place].core.own.id.expect("it let somebody in");
                    let opens =
                        fixed.opens.iter().filter(|(who, gateway, _)| (*who, *gateway) == (user, own));
                    let of_a_login =
                        opens.map(|(.., published)| *published).any(|published| published == last);
                    assert!(of_a_login, "the stream has other than {last} of {}", USERS[user]);
                    let made = self.orders.get(&link.session).map_or(0, Vec::len);
                    assert!(last as usize <= made, "{last} told, {made} made");
                    // Some messages again, like a client that has forgotten what it sent.
                    link.payload = Some(last.saturating_sub(2) + 1);
                }
                Some(ClientEvent::Unsequenced(bytes)) => {
                    let (number, bytes) = bytes.split_first_chunk::<8>().expect("a number first");
                    let number = u64::from_be_bytes(*number);
                    assert!(number >= *next, "what is told early is told before");
                    link.early.insert(number, bytes.to_vec());
                    assert!(self.places[link.place].delivery == Delivery::Stamped, "or not at all");
                }
                Some(ClientEvent::Ended(ClientEnd::Fault(fault))) => panic!("{}: {fault}", USERS[user]),
                Some(ClientEvent::Ended(ClientEnd::EndOfSession)) => {
                    let all = fixed.sequences.get(&(link.session.clone(), user));
                    assert_eq!(*next as usize, 1 + all.map_or(0, Vec::len), "it had all of its day");
                }
                Some(ClientEvent::Debug(_) | ClientEvent::Ended(_)) | None => {}
            }
            link.inbox.drain(..taken.len);
            if !more {
                return;
            }
        }
    }

    fn stamp(&mut self, place: usize, count: usize) {
        for _ in 0..count {
            if let Some(sent) = self.places[place].handle.sent.pop_front() {
                self.log.stamp(self.places[place].handle.number, sent);
            }
        }
    }

    /// A gateway dies, and another one starts under its name. Its submissions under way arrive late, or
    /// never.
    fn kill(&mut self, place: usize, stamps: bool) {
        for peer in 0..PEERS.len() {
            if self.peers[peer].link.as_ref().is_some_and(|link| link.place == place) {
                self.peers[peer].link = None;
            }
        }
        self.made += 1;
        let dead = std::mem::replace(&mut self.places[place], Place::new(place, self.made));
        if stamps {
            let log = &self.log;
            self.late.extend(dead.handle.sent.into_iter().map(|sent| match sent {
                Sent::Open { name, nonce, .. } => {
                    Sent::Open { after: Some(log.incarnation(&name)), name, nonce }
                }
                sent => sent,
            }));
        }
    }

    /// The leader dies, and the log from `from` on is lost with it; each sender that waits for a part of it
    /// sends it again.
    fn retract(&mut self, from: usize) {
        for (owner, sent) in self.log.retract(from).into_iter().rev() {
            match self.places.iter_mut().find(|place| place.handle.number == owner) {
                Some(place) => place.handle.sent.push_front(sent),
                None => match sent {
                    // An open follows the incarnation that its sender had seen.
                    Sent::Open { name, nonce, .. } => {
                        let after = Some(self.log.incarnation(&name));
                        self.late.push_front(Sent::Open { name, nonce, after });
                    }
                    sent => self.late.push_front(sent),
                },
            }
        }
        let from = self.log.entries.len();
        self.places.iter_mut().for_each(|place| place.on_takeover(from));
    }

    /// A gateway that receives late heartbeats of its predecessor takes it for alive, and is started again.
    fn restart_deceived(&mut self) {
        for place in 0..2 {
            if self.places[place].core.failed.is_some() {
                self.kill(place, true);
            }
        }
    }

    /// Everything under way arrives, some time passes, and all have their turns.
    fn settle(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.now += 20 * MS;
            if let Some(sent) = self.late.pop_front() {
                self.log.stamp(NOBODY, sent);
            }
            for peer in 0..PEERS.len() {
                self.up(peer, PIECE_MAX);
            }
            for place in 0..2 {
                self.stamp(place, 100);
            }
            self.log.answer(0);
            self.log.commit(usize::MAX);
            for place in &mut self.places {
                place.read_outcomes(self.now, &self.log, usize::MAX);
                place.read_stream(self.now, &self.log, usize::MAX);
                place.check_passwords(self.now);
                place.turn(self.now);
            }
            self.restart_deceived();
            for peer in 0..PEERS.len() {
                self.down(peer, PIECE_MAX);
            }
            self.places.iter().for_each(Place::assert_bounded);
        }
    }
}

/// Packets of either direction: whole, cut short, or with a byte changed.
fn packet(kind: usize, change: &[u8]) -> Vec<u8> {
    let message = vec![0xAB; 300];
    let long = vec![0; MESSAGE_LEN_MAX + 1];
    let packets = [
        Packet::Unsequenced(&message),
        Packet::Unsequenced(b""),
        Packet::Unsequenced(&long),
        Packet::Debug(b"hello"),
        Packet::ClientHeartbeat,
        Packet::LogoutRequest,
        Packet::Sequenced(&message),
        Packet::EndOfSession,
        Packet::LoginAccepted { session: field("FIRST"), next_seq: 7 },
    ];
    let mut bytes = Vec::new();
    packets[kind % packets.len()].append(&mut bytes).unwrap();
    match *change {
        [] => {}
        [at] => bytes.truncate(usize::from(at)),
        [at, byte, ..] => {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
    }
    bytes
}

/// A step: its kind, its target, an amount, and some bytes.
type Step = (u8, u8, u16, Vec<u8>);

fn step(world: &mut World, (kind, whom, count, bytes): &Step) {
    let (whom, count) = (usize::from(*whom), usize::from(*count));
    let (peer, place) = (whom % PEERS.len(), whom % 2);
    let few = count % 12;
    world.now += MS / 10;
    match kind % 64 {
        0..=7 => {
            let Peer { session, next, .. } = &world.peers[peer];
            let login = match count % 6 {
                0 => (String::new(), 0),
                1 => (String::new(), 1),
                2 => (session.clone(), 1),
                3 => (session.clone(), next + (count as u64 % 3)),
                _ => (session.clone(), *next),
            };
            let is_hostile = USERS[PEERS[peer]] == "mally" && !bytes.is_empty();
            world.connect(peer, count % 2, login, is_hostile.then(|| (count, bytes[0])));
        }
        8..=19 => (0..few).for_each(|more| world.say(peer, more * count % 400)),
        20 => world.say(peer, MESSAGE_LEN_MAX - 8 + few),
        21..=23 => {
            // Only peers that are known for it send wrong bytes.
            if let Some(link) = world.peers[5 + peer % 2].link.as_mut() {
                link.up.extend(packet(count, bytes));
            }
        }
        24..=31 => world.up(peer, if few == 0 { PIECE_MAX } else { count % 200 }),
        32..=39 => world.down(peer, if few == 0 { PIECE_MAX } else { count % 5_000 }),
        40..=44 => {
            world.stamp(place, few);
            if count % 3 > 0 {
                world.log.commit(count % 7);
            }
        }
        45..=47 => world.log.answer(if few == 1 { 20_000 } else { few }),
        48..=50 => world.places[place].read_outcomes(world.now, &world.log, few),
        51..=54 => world.places[place].read_stream(world.now, &world.log, few),
        55 => world.places[place].check_passwords(world.now),
        56 => world.places[place].turn(world.now),
        57 => world.now += count as u64 * MS / 4,
        58 => match few {
            0 => world.disconnect(peer),
            1 => {
                if let Some(link) = world.peers[peer].link.as_mut() {
                    let _ = link.client.logout(world.now, &mut link.up); // it may not be logged in
                }
            }
            2 => world.kill(place, count % 24 < 12),
            3 => {
                world.places[place].core.stop(world.now);
                world.settle(5);
                world.kill(place, true);
            }
            4 => {
                let day = (world.log.day().is_none() || count % 24 < 12).then(|| {
                    world.days += 1;
                    format!("DAY{}", world.days)
                });
                world.log.stamp(NOBODY, Sent::Day(day));
            }
            5 => world.places.iter_mut().for_each(|place| {
                place.core.set_users(world.now, users(count % 24 < 12));
            }),
            6 => world.break_output(peer),
            _ => {}
        },
        59 => world.log.commit(few),
        60 | 61 => world.retract(world.log.entries.len().saturating_sub(few)),
        _ => world.settle(few),
    }
    world.places.iter().for_each(Place::assert_bounded);
}

/// Plays all steps, and checks what must hold once all have left.
fn play(steps: &[Step]) {
    let mut world = World::new();
    world.settle(10);
    for one in steps {
        step(&mut world, one);
    }
    // All leave, and their remains are cleared away.
    (0..PEERS.len()).for_each(|peer| world.disconnect(peer));
    world.settle(600);
    for place in &world.places {
        assert!(place.core.opens.is_empty(), "{:?}", place.core.opens);
        assert!(place.core.sessions.departures.is_empty(), "{:?}", place.core.sessions.departures);
        assert_eq!(place.core.clients().connected().count(), 0);
    }
    // A client that connects then receives all of the day, from either gateway.
    if world.log.day().is_none() {
        world.log.stamp(NOBODY, Sent::Day(Some("LAST".into())));
    }
    world.places.iter_mut().for_each(|place| place.core.set_users(world.now, users(false)));
    world.now += 61_000 * MS;
    world.settle(10);
    let day = world.log.day().clone().unwrap();
    for place in 0..2 {
        for peer in [0, 2, 4, 5] {
            world.connect(peer, place, (day.clone(), 1), None);
            world.settle(50);
            let link = world.peers[peer].link.as_ref();
            let is_open = link.is_some_and(|link| link.client.state() == ClientState::Open);
            assert!(is_open, "{} is logged in", USERS[PEERS[peer]]);
            (0..40).for_each(|_| world.say(peer, 5));
        }
        world.settle(150);
        for peer in [0, 2, 4, 5] {
            let all = world.log.fixed.sequences.get(&(day.clone(), PEERS[peer])).map_or(0, Vec::len);
            assert_eq!(world.peers[peer].next as usize, all + 1, "{} has all", USERS[PEERS[peer]]);
        }
        (0..PEERS.len()).for_each(|peer| world.disconnect(peer));
        world.settle(200);
    }
    // Bob's messages of each session stand in the stream as he sent them, from the beginning and each once.
    for (session, published) in world.log.fixed.published_by(BOB) {
        let orders = world.orders.get(session).map_or(&[][..], Vec::as_slice);
        assert!(
            orders.starts_with(published),
            "{session}: {} said, {} in the stream",
            orders.len(),
            published.len()
        );
        assert!(*session != day || published.len() == orders.len(), "all of the open session");
    }
}

/// The number of runs of the test.
const SEEDS: u64 = 200;
const STEPS_MAX: u64 = 300;

/// The steps of a seed.
fn steps_of(seed: u64) -> Vec<Step> {
    let mut state = seed;
    // SplitMix64, as in the simulator, which this room may not use.
    let mut draw = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let count = 1 + draw() % STEPS_MAX;
    let step = |_| {
        let [kind, whom, low, high, len, first, second, _] = draw().to_le_bytes();
        let bytes = [first, second][..usize::from(len % 3)].to_vec();
        (kind, whom, u16::from_le_bytes([low, high]), bytes)
    };
    (0..count).map(step).collect()
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// The steps without most of those that a failure does not need.
fn least_of(mut steps: Vec<Step>) -> Vec<Step> {
    let before = take_hook();
    set_hook(Box::new(move |info| {
        if !QUIET.get() {
            before(info);
        }
    }));
    QUIET.set(true);
    let mut size = steps.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < steps.len() {
            let end = (at + size).min(steps.len());
            let fewer = [&steps[..at], &steps[end..]].concat();
            if catch_unwind(|| play(&fewer)).is_err() {
                steps = fewer;
            } else {
                at = end;
            }
        }
        size /= 2;
    }
    QUIET.set(false);
    steps
}

#[test]
fn whatever_happens_each_client_has_each_message_once_and_in_order_and_nothing_grows() {
    let seeds = std::env::var("FUZZ_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let failing: Vec<_> =
        (0..seeds).filter(|seed| catch_unwind(|| play(&steps_of(*seed))).is_err()).take(3).collect();
    for seed in &failing {
        let least = least_of(steps_of(*seed));
        println!("seed {seed} fails, by these steps alone: {least:?}");
        let _ = catch_unwind(|| play(&least));
    }
    assert!(failing.is_empty(), "{failing:?}");
}
