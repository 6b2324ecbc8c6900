//! What each stage of a leader's turn takes alone, in cycles of the CPU's counter (TSC): the same calls in a
//! loop, everything in the cache. Beside them the whole turn of a replica, which is what counts: a stage
//! alone has no other one to run beside it, so their sum may be more than the turn, or less.

use crate::desk::Desk;
use crate::frames::{CLUSTER, PAYLOAD, entry, sealed};
use crate::stages::Stage;
use crate::world::{Pattern, Watched, World};
use crate::{MESSAGE_LEN, MTU};
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::publishers::{PublisherState, Publishers};
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::ports::{TailSource, Word};
use lockstep_replica::journal::{Tail, TailLabel};
use lockstep_wire::Keyring;
use lockstep_wire::*;
use std::hint::black_box;

/// Operations that are timed together, and how often; the median of these counts.
const BATCH: u64 = 100;
const BATCHES: usize = 2_000;
/// Turns of a world that do not count.
const WARM_UP: usize = 200;
/// A ring of some thousand frames, as long as that of a small node.
const RING_LEN: usize = 8 << 20;

/// The counter, if it runs at one speed.
pub struct Counter(quanta::Clock);

impl Counter {
    /// The counter of this CPU.
    ///
    /// # Errors
    /// It has none that is steady.
    pub fn new() -> Result<Self, String> {
        let clock = quanta::Clock::new();
        // Without one the library reads the kernel's clock, whose unit is the nanosecond.
        if clock.delta_as_nanos(0, 1_000_000) == 1_000_000 {
            return Err("the CPU has no steady counter (TSC)".to_owned());
        }
        Ok(Self(clock))
    }

    /// Ticks of a nanosecond.
    pub fn per_ns(&self) -> f64 {
        1e9 / self.0.delta_as_nanos(0, 1_000_000_000) as f64
    }

    /// Ticks of one `operation`: the median of batches.
    fn of(&self, mut operation: impl FnMut()) -> f64 {
        let batch = |_| {
            let began = self.0.raw();
            (0..BATCH).for_each(|_| operation());
            self.0.raw() - began
        };
        median((0..BATCHES).map(batch).collect()) / BATCH as f64
    }

    /// Ticks of a leader's turn, those of reading the counter taken off.
    fn of_turn(&self, pattern: Pattern) -> Result<f64, String> {
        let (mut world, mut turns) = (World::new()?, Vec::with_capacity(BATCHES));
        for step in 0..WARM_UP + BATCHES {
            world.step_watched(pattern, |role, turn| {
                let began = self.0.raw();
                turn();
                let took = self.0.raw() - began;
                if role == Watched::Leader && step >= WARM_UP {
                    turns.push(took);
                }
            });
        }
        let reading = self.of(|| {
            black_box(self.0.raw());
        });
        Ok((median(turns) - reading).max(0.0))
    }
}

/// The middle one; of none, 0.
fn median(mut ticks: Vec<u64>) -> f64 {
    let middle = ticks.len() / 2;
    if ticks.is_empty() { 0.0 } else { *ticks.select_nth_unstable(middle).1 as f64 }
}

/// Ticks of one message in each stage alone, and of the whole turn: of a leader that finds `pattern`.
///
/// # Errors
/// A world whose nodes did not meet.
pub fn of(counter: &Counter, pattern: Pattern) -> Result<(Vec<(Stage, f64)>, f64), String> {
    let per_message = |ticks: f64| ticks / pattern.messages() as f64;
    let mut stages: Vec<(Stage, f64)> = Vec::new();
    let mut add = |stage: Stage, ticks: f64| match stages.iter_mut().find(|(known, _)| *known == stage) {
        Some((_, sum)) => *sum += per_message(ticks),
        None => stages.push((stage, per_message(ticks))),
    };
    // Work that is alike for all submissions of so many messages is measured once and counted as often as
    // they come.
    let mut sizes: Vec<usize> = pattern.datagrams.to_vec();
    sizes.sort_unstable();
    sizes.dedup();
    for messages in sizes {
        let count = pattern.datagrams.iter().filter(|one| **one == messages).count() as f64;
        let submission = sealed(Kind::Submission, messages)?.1;
        // The checksum of what came is told with the other one.
        let payload = vec![0x5a; submission.len() - size_of::<Header>().min(submission.len())];
        let checksum = counter.of(|| {
            black_box(entry_digest(black_box(&entry(1, 1)), black_box(&payload)));
        });
        let view = counter.of(|| view(black_box(&submission)));
        add(Stage::ReceiveView, count * (view - checksum).max(0.0));
        add(Stage::Checksum, count * checksum);
    }
    for messages in frames(pattern.messages()) {
        let (header, mut frame) = sealed(Kind::Frame, messages)?;
        add(Stage::Ingress, ingress(counter, messages));
        let mut memory = vec![0; frame_len_max(MTU)];
        add(
            Stage::Stamp,
            counter.of(|| {
                let mut open = OpenFrame::default();
                (0..messages as u64).for_each(|number| {
                    black_box(open.push(black_box(&mut memory), entry(1, number), &PAYLOAD));
                });
            }),
        );
        add(Stage::Journal, journal(counter, header)?);
        add(
            Stage::Checksum,
            counter.of(|| {
                black_box(chain_after(&seal(black_box(&mut frame), black_box(header))));
            }),
        );
        let mut desk = Desk::default();
        add(
            Stage::Send,
            counter.of(|| {
                desk.send_group(Group::Data, &[Burst { bytes: black_box(&frame), stride: frame.len() }]);
            }),
        );
    }
    Ok((stages, per_message(counter.of_turn(pattern)?)))
}

/// The frames that so many messages make.
fn frames(messages: usize) -> Vec<usize> {
    let each = (frame_len_max(MTU) - HEADER_LEN) / entry_len(MESSAGE_LEN);
    let rest = messages % each;
    let full = std::iter::repeat_n(each, messages / each);
    full.chain((rest > 0).then_some(rest)).collect()
}

/// A look at a submission and each of its entries.
fn view(submission: &[u8]) {
    if let Ok(Datagram::Submission(_, entries)) = Datagram::decode(submission, &Keyring::none(CLUSTER)) {
        entries.for_each(|entry| {
            black_box(entry.payload);
        });
    }
}

/// Whose messages they are, and that each is the next.
fn ingress(counter: &Counter, messages: usize) -> f64 {
    let mut publishers = Publishers::new(4);
    publishers.restore("bench", PublisherState { id: 1, incarnation: 1, ..PublisherState::default() });
    let mut number = 0;
    counter.of(|| {
        for _ in 0..messages {
            number += 1;
            black_box(publishers.judge(black_box(1), 1, number));
            publishers.on_message(1, number);
        }
    })
}

/// A sealed frame kept at the end of a log; segments have everything, so that there is room.
fn journal(counter: &Counter, header: Header) -> Result<f64, String> {
    let label = TailLabel {
        cluster: CLUSTER,
        identity: Identity { replica: 1, incarnation: 1 },
        boot: [0; 2],
        generation: 1,
        record_len_max: frame_len_max(MTU) as u32,
    };
    let end = LogEnd { next: 1, epoch: header.epoch(), chain: 0, timestamp: 0 };
    let mut tail = Tail::blank(MemoryTail::new(RING_LEN), label, end)?;
    Ok(counter.of(|| {
        let LogEnd { next, chain, .. } = tail.end();
        black_box(tail.room().is_ok());
        tail.pin(&Header { first_seq: next, chain, ..header });
        let memory = tail.memory_mut();
        let published = memory.word(Word::PublishedPos);
        memory.set_word(Word::WrittenSeq, next);
        memory.set_word(Word::DurableSeq, next);
        memory.set_word(Word::WrittenPos, published);
    }))
}
