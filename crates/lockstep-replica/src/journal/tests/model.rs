//! The journal against a list of frames: under any operations, crashes and restarts, it equals that list.

use super::*;
use crate::journal::{Checkpoint, Retention, verify};
use proptest::prelude::*;

/// What may happen to a journal.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Append { count: u64, len: usize },
    Keep { count: u64, len: usize },
    Stage { back: usize },
    StageFrames { count: u64, len: usize },
    Switch,
    Copy { groups: u8 },
    Kill,
    Stop,
    StopAndReboot,
    PowerReboot,
    OpenPublisher,
    Retain,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => (1u64..6, 0usize..600).prop_map(|(count, len)| Deed::Append { count, len }),
        8 => (1u64..6, 0usize..600).prop_map(|(count, len)| Deed::Keep { count, len }),
        3 => (0usize..40).prop_map(|back| Deed::Stage { back }),
        5 => (1u64..8, 0usize..300).prop_map(|(count, len)| Deed::StageFrames { count, len }),
        3 => Just(Deed::Switch),
        4 => (1u8..4).prop_map(|groups| Deed::Copy { groups }),
        3 => Just(Deed::Kill),
        1 => Just(Deed::Stop),
        1 => Just(Deed::StopAndReboot),
        1 => Just(Deed::PowerReboot),
        1 => Just(Deed::OpenPublisher),
        1 => Just(Deed::Retain),
    ]
}

struct Model {
    journal: Journal,
    settings: Settings,
    log: Vec<Frame>,
    /// The log's length in frames below the staging, and the staged frames.
    staged: Option<(usize, Vec<Frame>)>,
    round: u32,
}

impl Model {
    fn new() -> Self {
        let settings = Settings { segment_len: 48 << 10, ..settings() };
        let mut store = MemoryStore::default();
        format(&mut store, CLUSTER, IDENTITY, BOOT).unwrap();
        let journal = Journal::open(store, MemoryTail::new(24 << 10), settings);
        let mut model = Self { journal, settings, log: Vec::new(), staged: None, round: 1 };
        model.append(epoch_start(&LogEnd::BLANK, epoch(0), 3));
        model.append(epoch_start(&end_of(&model.log), epoch(1), 3));
        model.append(publisher_open(&end_of(&model.log), 1, "gateway"));
        model
    }

    fn append(&mut self, frame: Frame) {
        let view = FrameView::from_prefix(&frame).unwrap();
        if self.journal.opened.tail.append(&view).is_err() {
            self.journal.drain();
            self.journal.opened.tail.append(&view).unwrap();
        }
        self.log.push(frame);
        self.staged = None;
    }

    fn keep(&mut self, frame: Frame) {
        if self.journal.tail().room().is_err() {
            self.journal.drain();
        }
        self.journal.tail().room().unwrap()[..frame.len()].copy_from_slice(&frame);
        self.journal.tail().pin(&Header::peek(&frame).unwrap());
        self.log.push(frame);
        self.staged = None;
    }

    fn stage(&mut self, back: usize) {
        let below = self.log.len().saturating_sub(back).max(1);
        let from = end_of(&self.log[..below]).next;
        let oldest = self.journal.opened.tail.oldest_seq();
        self.journal.drain();
        match self.journal.tail().stage(from, epoch(self.round + 1)) {
            Ok(()) => {
                self.round += 1;
                self.staged = Some((below, Vec::new()));
            }
            Err(error) => assert!(from <= oldest, "{error:?} from {from} with {oldest} in the ring"),
        }
    }

    fn stage_frame(&mut self, len: usize) {
        let Some((below, staged)) = &mut self.staged else { return };
        let end = end_of(&[&self.log[..*below], &staged[..]].concat());
        let frame =
            if staged.is_empty() { epoch_start(&end, epoch(self.round), 2) } else { messages(&end, 2, len) };
        let view = FrameView::from_prefix(&frame).unwrap();
        if self.journal.opened.tail.stage_frame(&view).is_err() {
            self.journal.drain();
            self.journal.opened.tail.stage_frame(&view).unwrap();
        }
        staged.push(frame);
    }

    fn switch(&mut self) {
        let switched = self.journal.tail().switch().is_ok();
        let ready = self.staged.as_ref().is_some_and(|(_, staged)| !staged.is_empty());
        assert_eq!(switched, ready, "in this model only an empty staging, or none, is refused");
        if let Some((below, staged)) = self.staged.take_if(|_| switched) {
            self.log.truncate(below);
            self.log.extend(staged);
        }
    }

    fn reopen(&mut self, take: impl FnOnce(Journal) -> (MemoryStore, MemoryTail), reboot: bool) {
        let empty = Journal::fresh();
        let (store, memory) = take(std::mem::replace(&mut self.journal, empty));
        let memory = if reboot { MemoryTail::new(24 << 10) } else { memory };
        self.settings.boot[0] += u64::from(reboot);
        self.journal = Journal::open(store, memory, self.settings);
        let mut checkpoint = Checkpoint::default();
        for frame in &self.log {
            checkpoint.apply(&FrameView::from_prefix(frame).unwrap()).unwrap();
        }
        assert_eq!(self.journal.opened.checkpoint, checkpoint);
        // A ring that is recovered may begin behind the commit; it is made anew then, without what was staged
        // in it. That is fetched again.
        if reboot || self.journal.opened.tail.staged_end().is_none() {
            self.staged = None;
        }
    }

    fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Append { count, len } => {
                (0..count).for_each(|_| self.append(messages(&end_of(&self.log), 2, len)))
            }
            Deed::Keep { count, len } => {
                (0..count).for_each(|_| self.keep(messages(&end_of(&self.log), 2, len)))
            }
            Deed::Stage { back } => self.stage(back),
            Deed::StageFrames { count, len } => (0..count).for_each(|_| self.stage_frame(len)),
            Deed::Switch => {
                self.journal.drain();
                self.switch();
            }
            Deed::Copy { groups } => {
                let Journal { store, opened } = &mut self.journal;
                for _ in 0..groups {
                    copy_behind(opened.tail.memory_mut(), &mut opened.writer, store, false).unwrap();
                }
            }
            Deed::Kill => self.reopen(Journal::kill, false),
            Deed::Stop => self.reopen(Journal::stop, false),
            Deed::StopAndReboot => self.reopen(Journal::stop, true),
            Deed::PowerReboot => {
                // A run in `power` drains before it acknowledges, and loses nothing of that.
                self.settings.power = true;
                self.reopen(Journal::stop, false);
                self.journal.drain();
                self.reopen(Journal::kill, true);
                self.settings.power = false;
                self.reopen(Journal::stop, false);
            }
            Deed::Retain => {
                let oldest = self.journal.tail().oldest_seq();
                self.journal.retain(Retention { bytes_max: 100_000, age_ns_max: 0 }, oldest, false);
            }
            Deed::OpenPublisher => {
                let id = 2 + self.log.len() as u32;
                self.append(publisher_open(&end_of(&self.log), id, &format!("publisher {id}")));
            }
        }
    }

    fn check(&mut self) {
        self.journal.tail().invariants();
        assert_eq!(self.journal.end(), end_of(&self.log));
        let retained = self.journal.frames_in_tail();
        assert_eq!(retained, self.log[self.log.len() - retained.len()..]);
        for frame in retained.iter().step_by(5) {
            let header = Header::peek(frame).unwrap();
            let span = self.journal.opened.tail.find(header.next_seq() - 1).unwrap();
            assert_eq!(*self.journal.opened.tail.bytes(span), **frame);
        }
        let staged =
            self.staged.as_ref().map(|(below, staged)| end_of(&[&self.log[..*below], &staged[..]].concat()));
        assert_eq!(self.journal.opened.tail.staged_end(), staged);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn whatever_happens_the_journal_is_the_log(deeds in prop::collection::vec(deed(), 1..160)) {
        let mut model = Model::new();
        for deed in deeds {
            model.act(deed);
            model.check();
        }
        model.journal.drain();
        let stored = model.journal.frames_in_segments(1);
        let gone = model.log.len() - stored.len();
        prop_assert_eq!(&stored, &model.log[gone..]);
        prop_assert!(stored.len() >= model.journal.frames_in_tail().len(), "what the tail has is not removed");
        prop_assert_eq!(verify(&model.journal.store).unwrap().damage, []);
        let middle = gone + stored.len() / 2;
        let from = end_of(&model.log[..middle]).next;
        prop_assert_eq!(&model.journal.frames_in_segments(from), &model.log[middle..]);
    }
}
