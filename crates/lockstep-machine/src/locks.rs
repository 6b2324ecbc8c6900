//! # locks: locks, registers and elections on the stream
//!
//! Programs that share a sequencer need no other coordination service: a lock is a function of the stream.
//! Requests are messages to one channel, each answered to its publisher; their order is the stream's. An
//! election is a lock whose holder leads.
//!
//! ```text
//!   lock NAME [LEASE_MS]       granted NAME TOKEN, or waits NAME PLACE until it is granted
//!   renew NAME                 renewed NAME TOKEN: a lease begins anew
//!   unlock NAME                released NAME
//!   holder NAME                holder NAME PUBLISHER TOKEN, or free NAME
//!   get NAME                   value NAME VERSION VALUE, or none NAME
//!   set NAME VALUE             set NAME VERSION
//!   cas NAME VERSION VALUE     set NAME VERSION, or conflict NAME VERSION; version 0: there is none
//!   delete NAME VERSION        deleted NAME, or conflict NAME VERSION
//!   anything else              refused and why
//! ```
//!
//! * **Fencing.** A token is the seq of the grant, a version the seq of the write: both only grow (Kleppmann
//!   2016). A resource that remembers the greatest token refuses a former holder that does not know yet that
//!   it has lost the lock.
//! * **Ephemeral.** A publisher that is closed, opened again, or disconnected by its gateway loses its locks
//!   and its places. One that dies without a close loses those with a lease when the lease ends, by the
//!   stream's time; the holder is sent `lost NAME`.
//! * **Reads.** A request is its own marker in the stream, so `get` and `holder` are linearizable. A query of
//!   a replica (`StateMachine::query`, the same two words) costs no entry, and is answered from what is
//!   committed there.

use crate::machine::{Input, InputEvent, StateMachine};
use crate::output::Output;
use lockstep_core::engine::saved::{put_bytes, take_text, take_u32, take_u64};
use lockstep_wire::{Destination, Nanos, PublisherId, Seq};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};

/// The most bytes of a name.
const NAME_MAX: usize = 128;
/// The most bytes of a value.
const VALUE_MAX: usize = 1 << 10;
/// The most locks, and the most registers.
const ROWS_MAX: usize = 1 << 16;
/// The most publishers that wait for one lock.
const WAITING_MAX: usize = 1 << 10;

/// A publisher that has a lock, or waits for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Claim {
    publisher: PublisherId,
    /// 0: the lock is held until it is released.
    lease_ns: Nanos,
    /// The seq of the grant; 0 while it waits.
    token: Seq,
}

/// The locks and registers: see the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LockTable {
    /// The destination of requests.
    requests: Destination,
    /// The first claim of a name holds its lock.
    locks: BTreeMap<String, VecDeque<Claim>>,
    registers: BTreeMap<String, (Seq, String)>,
}

impl LockTable {
    /// A table without locks. Requests are messages to `requests`, a channel of the cluster.
    pub fn new(requests: Destination) -> Self {
        Self { requests, locks: BTreeMap::new(), registers: BTreeMap::new() }
    }

    /// Answers a request; its effects on other publishers are in `output`.
    fn answer(
        &mut self,
        input: &Input<'_>,
        from: PublisherId,
        text: &str,
        output: &mut Output,
    ) -> Result<String, String> {
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (name, rest) = rest.split_once(' ').map_or((rest, None), |(name, rest)| (name, Some(rest)));
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(format!("write a name of 1 to {NAME_MAX} bytes behind '{verb}'"));
        }
        match (verb, rest) {
            ("lock", lease) => self.lock(input, (from, name), lease, output),
            ("renew", None) => self.renew((from, name), output),
            ("unlock", None) => self.unlock(input, (from, name), output),
            ("holder" | "get", None) => Ok(self.read(verb, name)),
            ("set", Some(value)) => self.set(input.seq, name, value),
            ("cas" | "delete", Some(rest)) => {
                let (version, value) =
                    rest.split_once(' ').map_or((rest, None), |(version, value)| (version, Some(value)));
                let version: Seq = version.parse().map_err(|_| format!("'{version}' is no version"))?;
                let present = self.registers.get(name).map_or(0, |(version, _)| *version);
                match (verb, value) {
                    _ if version != present => Ok(format!("conflict {name} {present}")),
                    ("cas", Some(value)) => self.set(input.seq, name, value),
                    ("delete", None) => {
                        self.registers.remove(name);
                        Ok(format!("deleted {name}"))
                    }
                    _ => Err("write cas NAME VERSION VALUE, or delete NAME VERSION".into()),
                }
            }
            _ => Err("write lock, renew, unlock, holder, get, set, cas or delete, and a name".into()),
        }
    }

    /// The requests that a query may make as well.
    fn read(&self, verb: &str, name: &str) -> String {
        match verb {
            "holder" => match self.locks.get(name).and_then(VecDeque::front) {
                Some(holder) => format!("holder {name} {} {}", holder.publisher, holder.token),
                None => format!("free {name}"),
            },
            _ => match self.registers.get(name) {
                Some((version, value)) => format!("value {name} {version} {value}"),
                None => format!("none {name}"),
            },
        }
    }

    fn set(&mut self, seq: Seq, name: &str, value: &str) -> Result<String, String> {
        if value.len() > VALUE_MAX {
            return Err(format!("a value has at most {VALUE_MAX} bytes"));
        }
        if self.registers.len() >= ROWS_MAX && !self.registers.contains_key(name) {
            return Err(format!("there are {ROWS_MAX} registers: delete one"));
        }
        self.registers.insert(name.to_owned(), (seq, value.to_owned()));
        Ok(format!("set {name} {seq}"))
    }

    fn lock(
        &mut self,
        input: &Input<'_>,
        (publisher, name): (PublisherId, &str),
        lease: Option<&str>,
        output: &mut Output,
    ) -> Result<String, String> {
        let lease_ms: u32 =
            lease.map_or(Ok(0), str::parse).map_err(|_| "a lease is a number of milliseconds".to_owned())?;
        if self.locks.len() >= ROWS_MAX && !self.locks.contains_key(name) {
            return Err(format!("{ROWS_MAX} locks are taken"));
        }
        let claims = self.locks.entry(name.to_owned()).or_default();
        if let Some(place) = claims.iter().position(|claim| claim.publisher == publisher) {
            let token = claims[place].token;
            return Ok(if place == 0 {
                format!("granted {name} {token}")
            } else {
                format!("waits {name} {place}")
            });
        }
        if claims.len() > WAITING_MAX {
            return Err(format!("{WAITING_MAX} wait for it already"));
        }
        claims.push_back(Claim { publisher, lease_ns: Nanos::from(lease_ms) * 1_000_000, token: 0 });
        if claims.len() > 1 {
            return Ok(format!("waits {name} {}", claims.len() - 1));
        }
        let token = self.grant(name, input.seq, output);
        Ok(format!("granted {name} {token}"))
    }

    /// Grants the lock to its first claim.
    fn grant(&mut self, name: &str, seq: Seq, output: &mut Output) -> Seq {
        let Some(claim) = self.locks.get_mut(name).and_then(VecDeque::front_mut) else { return 0 };
        claim.token = seq;
        set_lease(name, claim, output);
        seq
    }

    fn renew(
        &mut self,
        (publisher, name): (PublisherId, &str),
        output: &mut Output,
    ) -> Result<String, String> {
        match self.locks.get(name).and_then(VecDeque::front) {
            Some(claim) if claim.publisher == publisher => {
                set_lease(name, claim, output);
                Ok(format!("renewed {name} {}", claim.token))
            }
            _ => Err(format!("{name} is not yours")),
        }
    }

    fn unlock(
        &mut self,
        input: &Input<'_>,
        (publisher, name): (PublisherId, &str),
        output: &mut Output,
    ) -> Result<String, String> {
        if self.withdraw(input.seq, (publisher, name), output) {
            Ok(format!("released {name}"))
        } else {
            Err(format!("{name} is not yours, and you do not wait for it"))
        }
    }

    /// A publisher gives up a lock or its place; the next claim then holds the lock. Returns whether it had a
    /// claim.
    fn withdraw(&mut self, seq: Seq, (publisher, name): (PublisherId, &str), output: &mut Output) -> bool {
        let Some(claims) = self.locks.get_mut(name) else { return false };
        let Some(place) = claims.iter().position(|claim| claim.publisher == publisher) else { return false };
        claims.remove(place);
        if claims.is_empty() {
            self.locks.remove(name);
        }
        if place == 0 {
            output.cancel(lease_key(name));
            if let Some(next) = self.locks.get(name).and_then(VecDeque::front).map(|claim| claim.publisher) {
                let token = self.grant(name, seq, output);
                output.publish(next, format!("granted {name} {token}").as_bytes());
            }
        }
        true
    }

    /// A publisher has left, or another process has its name now.
    fn on_gone(&mut self, seq: Seq, publisher: PublisherId, output: &mut Output) {
        let has = |claims: &VecDeque<Claim>| claims.iter().any(|claim| claim.publisher == publisher);
        let names: Vec<_> =
            self.locks.iter().filter(|(_, claims)| has(claims)).map(|(name, _)| name.clone()).collect();
        for name in names {
            self.withdraw(seq, (publisher, &name), output);
        }
    }

    fn on_lease_end(&mut self, seq: Seq, name: &[u8], output: &mut Output) {
        let Ok(name) = std::str::from_utf8(name) else { return };
        let Some(holder) = self.locks.get(name).and_then(VecDeque::front).map(|claim| claim.publisher) else {
            return;
        };
        output.publish(holder, format!("lost {name}").as_bytes());
        self.withdraw(seq, (holder, name), output);
    }
}

/// The key of the timer of a lock's lease: a digest of its name, which is also the timer's payload.
fn lease_key(name: &str) -> u64 {
    crate::digest::StateDigest::of(name.as_bytes())
}

fn set_lease(name: &str, claim: &Claim, output: &mut Output) {
    if claim.lease_ns > 0 {
        output.timer_after(lease_key(name), claim.lease_ns, name.as_bytes());
    }
}

impl StateMachine for LockTable {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        match input.event {
            InputEvent::Message { publisher, destination, payload, .. } if destination == self.requests => {
                let text = std::str::from_utf8(payload).map_err(|_| "a request is UTF-8 text".to_owned());
                let answer = text.and_then(|text| self.answer(input, publisher, text.trim_end(), output));
                let answer = answer.unwrap_or_else(|why| format!("refused: {why}"));
                output.publish(publisher, answer.as_bytes());
            }
            InputEvent::Opened { publisher, .. }
            | InputEvent::Closed { publisher }
            | InputEvent::Connected { publisher, .. }
            | InputEvent::Disconnected { publisher, .. } => self.on_gone(input.seq, publisher, output),
            InputEvent::Timer { payload, .. } => self.on_lease_end(input.seq, payload, output),
            _ => {}
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&self.requests.to_le_bytes());
        bytes.extend_from_slice(&(self.locks.len() as u32).to_le_bytes());
        for (name, claims) in &self.locks {
            put_bytes(&mut bytes, name.as_bytes());
            bytes.extend_from_slice(&(claims.len() as u32).to_le_bytes());
            for claim in claims {
                bytes.extend_from_slice(&claim.publisher.to_le_bytes());
                [claim.lease_ns, claim.token]
                    .iter()
                    .for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
            }
        }
        bytes.extend_from_slice(&(self.registers.len() as u32).to_le_bytes());
        for (name, (version, value)) in &self.registers {
            put_bytes(&mut bytes, name.as_bytes());
            bytes.extend_from_slice(&version.to_le_bytes());
            put_bytes(&mut bytes, value.as_bytes());
        }
        out.write_all(&bytes)
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        restored(&mut &bytes[..]).ok_or_else(|| ErrorKind::InvalidData.into())
    }

    fn query(&self, request: &[u8], answer: &mut Vec<u8>) {
        let request = String::from_utf8_lossy(request);
        let mut text = String::new();
        let _infallible = match request.trim_end().split_once(' ') {
            Some((verb @ ("get" | "holder"), name)) => write!(text, "{}", self.read(verb, name)),
            _ => write!(text, "refused: write get NAME or holder NAME"),
        };
        answer.extend_from_slice(text.as_bytes());
    }
}

fn restored(rest: &mut &[u8]) -> Option<LockTable> {
    let mut machine = LockTable::new(take_u32(rest)?);
    for _ in 0..take_u32(rest)? {
        let (name, mut claims) = (take_text(rest)?, VecDeque::new());
        for _ in 0..take_u32(rest)? {
            claims.push_back(Claim {
                publisher: take_u32(rest)?,
                lease_ns: take_u64(rest)?,
                token: take_u64(rest)?,
            });
        }
        machine.locks.insert(name, claims);
    }
    for _ in 0..take_u32(rest)? {
        let name = take_text(rest)?;
        machine.registers.insert(name, (take_u64(rest)?, take_text(rest)?));
    }
    rest.is_empty().then_some(machine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{MachineCore, MachineSettings};
    use lockstep_core::engine::subscriber::{Message, SubscriberEvent};

    const REQUESTS: Destination = 1 << 31 | 1;

    /// A lock table on its own stream.
    struct Scene {
        core: MachineCore<LockTable>,
        seq: Seq,
        time: Nanos,
    }

    impl Scene {
        fn new() -> Self {
            let settings = MachineSettings { name: "locks".into(), digest_every: 1_000 };
            Self { core: MachineCore::new(settings, LockTable::new(REQUESTS)), seq: 0, time: 1_000 }
        }

        /// The messages that are published at the next event.
        fn at(&mut self, event: impl FnOnce(Seq, Nanos) -> SubscriberEvent<'static>) -> Vec<String> {
            self.seq += 1;
            let mut published = Vec::new();
            let event = event(self.seq, self.time);
            let mut observe = |_: &Input<'_>, output: &Output| {
                let text = |(to, payload): (Destination, &[u8])| {
                    format!("{to}: {}", String::from_utf8_lossy(payload))
                };
                published.extend(output.published().map(text));
            };
            self.core.on_event(&event, &mut observe).expect("no outputs come back");
            published
        }

        fn says(&mut self, publisher: PublisherId, text: &'static str) -> Vec<String> {
            self.at(|seq, timestamp| {
                let payload = text.as_bytes();
                SubscriberEvent::Message(Message {
                    seq,
                    publisher,
                    publisher_seq: seq,
                    destination: REQUESTS,
                    timestamp,
                    payload,
                })
            })
        }

        fn closes(&mut self, publisher: PublisherId) -> Vec<String> {
            self.at(|seq, timestamp| SubscriberEvent::Closed { seq, timestamp, publisher, reason: b"" })
        }
    }

    #[test]
    fn a_lock_has_one_holder_and_tokens_only_grow() {
        let mut scene = Scene::new();
        assert_eq!(scene.says(1, "lock a"), ["1: granted a 1"]);
        assert_eq!(scene.says(2, "lock a"), ["2: waits a 1"]);
        assert_eq!(scene.says(3, "lock a"), ["3: waits a 2"]);
        assert_eq!(scene.says(1, "lock a"), ["1: granted a 1"]);
        assert_eq!(scene.says(2, "unlock a"), ["2: released a"]);
        assert_eq!(scene.says(1, "unlock a"), ["3: granted a 6", "1: released a"]);
        assert_eq!(scene.says(2, "holder a"), ["2: holder a 3 6"]);
        assert_eq!(scene.says(1, "unlock a"), ["1: refused: a is not yours, and you do not wait for it"]);
    }

    #[test]
    fn a_publisher_that_is_closed_or_opened_again_loses_its_locks_and_its_places() {
        let mut scene = Scene::new();
        scene.says(1, "lock a");
        scene.says(1, "lock b");
        scene.says(2, "lock a");
        scene.says(3, "lock a");
        assert_eq!(scene.closes(2), [] as [&str; 0]);
        assert_eq!(scene.closes(1), ["3: granted a 6"]);
        let opened = |seq, timestamp| SubscriberEvent::Opened {
            seq,
            timestamp,
            publisher: 3,
            incarnation: 2,
            nonce: [0, 0],
            last: 0,
            name: "three",
        };
        assert_eq!(scene.at(opened), [] as [&str; 0]);
        assert_eq!(scene.says(4, "holder a"), ["4: free a"]);
    }

    #[test]
    fn a_lease_that_is_not_renewed_ends_by_the_streams_time() {
        let mut scene = Scene::new();
        scene.says(1, "lock a 5");
        scene.says(2, "lock a 5");
        scene.time += 4_000_000;
        assert_eq!(scene.says(1, "renew a"), ["1: renewed a 1"]);
        scene.time += 4_999_999;
        assert_eq!(scene.says(3, "holder a"), ["3: holder a 1 1"]);
        scene.time += 1;
        assert_eq!(scene.says(3, "holder a"), ["1: lost a", "2: granted a 5", "3: holder a 2 5"]);
        assert_eq!(scene.says(2, "unlock a"), ["2: released a"]);
        scene.time += 60_000_000_000;
        assert_eq!(scene.says(3, "holder a"), ["3: free a"]);
    }

    #[test]
    fn a_register_changes_only_from_the_version_that_was_read() {
        let mut scene = Scene::new();
        assert_eq!(scene.says(1, "get x"), ["1: none x"]);
        assert_eq!(scene.says(1, "cas x 0 one"), ["1: set x 2"]);
        assert_eq!(scene.says(2, "cas x 0 two"), ["2: conflict x 2"]);
        assert_eq!(scene.says(2, "cas x 2 two words"), ["2: set x 4"]);
        assert_eq!(scene.says(1, "get x"), ["1: value x 4 two words"]);
        assert_eq!(scene.says(1, "delete x 2"), ["1: conflict x 4"]);
        assert_eq!(scene.says(1, "delete x 4"), ["1: deleted x"]);
        let mut answer = Vec::new();
        scene.core.machine().query(b"get x\n", &mut answer);
        assert_eq!(answer, b"none x");
    }

    #[test]
    fn what_is_no_request_is_refused_with_the_words_that_are() {
        let mut scene = Scene::new();
        for text in ["", "lock", "lock ", "steal a", "lock a soon", "cas a b c", "get a b", "\u{0}"] {
            let published = scene.says(1, text);
            assert!(
                published.len() == 1 && published[0].starts_with("1: refused: "),
                "{text:?}: {published:?}"
            );
        }
    }

    #[test]
    fn a_snapshot_has_all_of_it_and_none_that_is_cut_short_is_taken() {
        let mut scene = Scene::new();
        scene.says(1, "lock a 5");
        scene.says(2, "lock a");
        scene.says(1, "set x one");
        let mut saved = Vec::new();
        scene.core.machine().snapshot(&mut saved).expect("memory");
        assert_eq!(LockTable::restore(&mut &saved[..]).ok().as_ref(), Some(scene.core.machine()));
        for end in 0..saved.len() {
            assert!(LockTable::restore(&mut &saved[..end]).is_err(), "{end} bytes");
        }
    }
}
