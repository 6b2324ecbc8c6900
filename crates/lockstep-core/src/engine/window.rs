//! A publisher's window: the messages that are not yet known to be committed, in the very datagrams in
//! which they were sent. Each datagram is built in its slot, sent from it, and sent again from it.
//!
//! A resend carries only what is missing: a datagram whose time is over, or in which the leader names a
//! number that it misses, and of which something was not seen stamped. How many go again follows what became
//! of the ones before: one more for each that helped, half as many when one did not. So many in one turn of
//! those that are named; and of those whose time is over, which a leader that was stalled may have, so many
//! at all until they are seen stamped: it names the others.
//!
//! What was never sent waits while as much is under way as the leader's socket may hold: see [`Flight`].
//!
//! ```text
//!   slots:   head ──────── sent ────────▶ tail (open)
//!            [5/15 left] [15 left] [3..]     a slot is free again when all its messages have their fate
//! ```

mod flight;
mod invariants;
mod resend;
mod timer;

use super::ports::Burst;
use super::store::touched;
use crate::proto::planted::{Mutation, planted};
use crate::ring::place_in;
pub use flight::Flight;
use lockstep_wire::{
    Entries, Entry, EntryHeader, Header, Keyring, Nanos, OpenFrame, PART_MORE, PublisherSeq, entry_digest,
    entry_len,
};
use std::collections::VecDeque;
use std::ops::Range;
pub use timer::ResendTimer;

/// No index.
const NONE: u32 = u32::MAX;
/// No datagram is open with a run. It differs from [`NONE`], which is the last run of an empty list.
const NO_RUN_IS_OPEN: u32 = NONE - 1;

/// One datagram of submissions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Slot {
    length: u32,
    /// Messages in it.
    count: u16,
    /// Messages without a fate.
    left: u16,
    /// Messages that were not seen stamped.
    unstamped: u16,
    resends: u16,
    /// Sent again at the next turn, whatever its time.
    due: bool,
    /// Counted by [`Flight`].
    flying: bool,
    sent_at: Nanos,
}

/// Messages of one publisher that lie one behind the other in a datagram, at least one of them without a
/// fate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct MessageRun {
    /// The number of the first one; the others follow without a hole.
    first: PublisherSeq,
    count: u32,
    slot: u32,
    /// Where the entry of the first one lies in the slot.
    at: u32,
    /// The next run of the same publisher, whose numbers go on.
    next: u32,
}

impl MessageRun {
    const NONE: Self = Self { first: 0, count: 0, slot: 0, at: 0, next: NONE };

    /// The number behind the last one.
    fn end(&self) -> PublisherSeq {
        self.first + u64::from(self.count)
    }
}

/// A publisher's messages without a fate, oldest first: a list of runs through the window's memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UnsettledMessages {
    head: u32,
    tail: u32,
    /// The number of the oldest message.
    oldest: PublisherSeq,
    /// The number of the oldest one that was not seen stamped, ...
    unstamped: PublisherSeq,
    /// ... its run, or none if all were, ...
    unstamped_run: u32,
    /// ... and where its entry lies.
    unstamped_at: u32,
}

impl Default for UnsettledMessages {
    fn default() -> Self {
        Self { head: NONE, tail: NONE, oldest: 0, unstamped: 0, unstamped_run: NONE, unstamped_at: 0 }
    }
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SubmitWindow {
    memory: Vec<u8>,
    stride: usize,
    slots: Vec<Slot>,
    /// Slots are counted without end; [`place_in`] the list is where one stands.
    head: u64,
    unsent: u64,
    /// The prepared part ends here.
    ready: u64,
    tail: u64,
    open: OpenFrame,
    /// Where the open datagram's slot stands in the list.
    open_place: usize,
    /// The last run of the open datagram.
    open_run: u32,
    runs: Vec<MessageRun>,
    free: Vec<u32>,
    /// Messages without a fate.
    pending: u32,
    resend: VecDeque<u64>,
    /// Slots that are due before their time.
    hurried: u32,
    /// No other slot's time is over before.
    next_due: Nanos,
    /// Most datagrams that a turn sends again now.
    budget: usize,
    /// The cluster takes no more: one datagram a turn asks whether it does again.
    throttled: bool,
    timer: ResendTimer,
    flight: Flight,
}

/// Datagrams that a turn sends again before anything is known, ...
const BUDGET_FIRST: usize = 8;
/// ... and at the most: what one send call takes.
const BUDGET_MAX: usize = 64;

impl SubmitWindow {
    /// Room for `entries` messages in `datagrams` datagrams of at most `datagram_len_max` bytes.
    pub fn new(
        entries: u32,
        datagrams: u32,
        datagram_len_max: usize,
        timer: ResendTimer,
        flight: Flight,
    ) -> Self {
        Self {
            memory: touched(datagrams as usize * datagram_len_max),
            stride: datagram_len_max,
            slots: vec![Slot::default(); datagrams as usize],
            head: 0,
            unsent: 0,
            ready: 0,
            tail: 0,
            open: OpenFrame::default(),
            open_place: 0,
            open_run: NO_RUN_IS_OPEN,
            runs: vec![MessageRun::NONE; entries as usize],
            free: (0..entries).rev().collect(),
            pending: 0,
            resend: VecDeque::with_capacity(BUDGET_MAX),
            hurried: 0,
            next_due: Nanos::MAX,
            budget: BUDGET_FIRST,
            throttled: false,
            timer,
            flight,
        }
    }

    fn place(&self, slot: u64) -> usize {
        place_in(self.slots.len() as u64, slot) as usize
    }

    /// Whether a message of this length could be pushed now.
    pub fn has_room(&self, payload_len: usize) -> bool {
        (self.pending as usize) < self.runs.len() && (self.takes(payload_len) || self.has_slot())
    }

    /// Whether the open datagram has messages, and room for this one.
    fn takes(&self, payload_len: usize) -> bool {
        !self.open.is_empty() && self.open.fits(payload_len, self.stride)
    }

    /// Whether a slot is free for another datagram, beside that of the open one.
    fn has_slot(&self) -> bool {
        let used = self.tail - self.head + u64::from(!self.open.is_empty());
        used < self.slots.len() as u64
    }

    /// Whether a message of so many parts, each as long as a datagram allows, could be pushed now.
    pub fn has_room_for_parts(&self, parts: usize) -> bool {
        let free_slots = self.slots.len() as u64 - (self.tail - self.head);
        self.runs.len() - self.pending as usize >= parts && free_slots > parts as u64
    }

    /// Makes room for a message behind the others in the open datagram, or in the next one if it is full, and
    /// returns its payload to be filled in; `None` where there is none ([`SubmitWindow::has_room`]).
    /// `is_stamped` says that a copy of its publisher had it stamped already, and so all before it.
    #[inline]
    pub fn claim(
        &mut self,
        list: &mut UnsettledMessages,
        entry: EntryHeader,
        payload_len: usize,
        is_stamped: bool,
    ) -> Option<&mut [u8]> {
        let goes_on = list.tail == self.open_run && self.open.fits(payload_len, self.stride);
        if self.pending as usize == self.runs.len()
            || !goes_on && !self.begin_run(list, entry.publisher_seq, payload_len)
        {
            return None;
        }
        self.runs[self.open_run as usize].count += 1;
        let slot = &mut self.slots[self.open_place];
        slot.left += 1;
        if !is_stamped {
            slot.unstamped += 1;
            if list.unstamped_run == NONE {
                (list.unstamped, list.unstamped_run) = (entry.publisher_seq, self.open_run);
                list.unstamped_at = self.open.len() as u32;
            }
        }
        self.pending += 1;
        let memory = &mut self.memory[self.open_place * self.stride..][..self.stride];
        Some(self.open.claim(memory, entry, payload_len).unwrap_or_else(|| {
            panic!("a message of {payload_len} bytes does not fit a datagram of {}", self.stride)
        }))
    }

    /// The next messages are those of `list`, from number `first` on, of which the first one has this length:
    /// they lie in the open datagram, or in the next one. Returns whether there is room for it.
    #[inline(never)]
    fn begin_run(&mut self, list: &mut UnsettledMessages, first: PublisherSeq, payload_len: usize) -> bool {
        if !self.has_room(payload_len) {
            return false;
        }
        if !self.takes(payload_len) {
            self.end_datagram();
        }
        let run = self.free.pop().unwrap_or(NONE);
        let (slot, at) = (self.open_place as u32, self.open.len() as u32);
        self.runs[run as usize] = MessageRun { first, count: 0, slot, at, next: NONE };
        match self.runs.get_mut(list.tail as usize) {
            Some(tail) => tail.next = run,
            None => (list.head, list.oldest) = (run, first),
        }
        (list.tail, self.open_run) = (run, run);
        true
    }

    /// Ends the open datagram, if it has messages: it waits to be sent.
    pub fn end_datagram(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let open = std::mem::take(&mut self.open);
        // The header is written in `seal`, with the number of each sending.
        let slot = &mut self.slots[self.open_place];
        (slot.length, slot.count) = (open.len() as u32, open.count());
        self.tail += 1;
        (self.open_place, self.open_run) = (self.place(self.tail), NO_RUN_IS_OPEN);
    }

    /// Whether the datagram at this place was sent.
    fn is_sent(&self, place: u32) -> bool {
        let slots = self.slots.len() as u64;
        let behind_head = (u64::from(place) + slots - self.place(self.head) as u64) % slots;
        self.head + behind_head < self.unsent
    }

    /// The messages of `list` up to number `stamped` were seen stamped: whoever leads holds them.
    #[inline]
    pub fn on_stamped(&mut self, now: Nanos, list: &mut UnsettledMessages, stamped: PublisherSeq) {
        while list.unstamped <= stamped
            && let Some(&run) = self.runs.get(list.unstamped_run as usize)
        {
            if self.pass(list, &run, run.end().min(stamped + 1)) {
                self.on_datagram_stamped(now, run.slot);
            }
        }
    }

    /// The messages of `list` below number `to`, which lies in the first `run` with unstamped ones or ends
    /// it, need not be stamped any more. Returns whether its datagram had no others, and was not due before
    /// its time.
    #[inline]
    fn pass(&mut self, list: &mut UnsettledMessages, run: &MessageRun, to: PublisherSeq) -> bool {
        let count = to - list.unstamped;
        list.unstamped = to;
        if to == run.end() {
            list.unstamped_run = run.next;
            list.unstamped_at = self.runs.get(run.next as usize).map_or(0, |next| next.at);
        } else {
            list.unstamped_at = self.entry_behind(run.slot, list.unstamped_at, count);
        }
        let slot = &mut self.slots[run.slot as usize];
        slot.unstamped -= count as u16;
        slot.unstamped == 0 && self.land(run.slot)
    }

    /// Where the entry lies that stands `count` behind the one at `at`.
    fn entry_behind(&self, slot: u32, at: u32, count: u64) -> u32 {
        let entries = self.entries(slot, at, count as u16);
        at + entries.map(|entry| entry_len(entry.payload.len()) as u32).sum::<u32>()
    }

    /// The `count` entries from `at` on.
    #[inline]
    fn entries(&self, slot: u32, at: u32, count: u16) -> Entries<'_> {
        Entries::known(&self.memory[slot as usize * self.stride..][..self.stride][at as usize..], count)
    }

    /// All of the datagram at this place was seen stamped, which was not due before its time.
    #[inline(never)]
    fn on_datagram_stamped(&mut self, now: Nanos, place: u32) {
        let Slot { resends, sent_at, .. } = self.slots[place as usize];
        if resends > 0 {
            self.budget = (self.budget + 1).min(BUDGET_MAX);
            self.next_due = 0;
        } else if sent_at != 0 {
            // Karn: what was sent twice measures nothing.
            self.timer.on_sample(now.saturating_sub(sent_at));
        }
    }

    /// No message at this place has to be stamped any more: once for each datagram, and kept apart from what
    /// is done for each run. Returns whether it was not due before its time.
    #[inline(never)]
    fn land(&mut self, place: u32) -> bool {
        let slot = &mut self.slots[place as usize];
        let hurried = std::mem::take(&mut slot.due);
        if std::mem::take(&mut slot.flying) {
            self.flight.on_landed();
        }
        if !planted(Mutation::DueLeaks) {
            self.hurried -= u32::from(hurried);
        }
        !hurried
    }

    /// A takeover took back the places of the messages of `list` numbered above `stamped`.
    pub fn on_unstamped(&mut self, list: &mut UnsettledMessages, stamped: PublisherSeq) {
        self.next_due = 0;
        let from = list.oldest.max(stamped + 1);
        let to = if list.unstamped_run == NONE { PublisherSeq::MAX } else { list.unstamped };
        let mut index = list.head;
        while let Some(&run) = self.runs.get(index as usize) {
            let taken_back = run.end().min(to).saturating_sub(run.first.max(from));
            self.slots[run.slot as usize].unstamped += taken_back as u16;
            index = run.next;
        }
        if from < to {
            list.unstamped = from;
            (list.unstamped_run, list.unstamped_at) = self.find(list, from);
        }
    }

    /// The run of `list` with the message of this number, not below its oldest, and where the entry lies; no
    /// run if there is no such message.
    fn find(&self, list: &UnsettledMessages, number: PublisherSeq) -> (u32, u32) {
        let mut index = list.head;
        while let Some(run) = self.runs.get(index as usize) {
            if number < run.end() {
                return (index, self.entry_behind(run.slot, run.at, number - run.first));
            }
            index = run.next;
        }
        (NONE, 0)
    }

    /// Chooses what is to be sent now: datagrams never sent, as many as may be under way, and, if anything
    /// may be sent `again`, those whose time was over at `now`. Returns how many they are;
    /// [`SubmitWindow::seal`] makes them ready, and [`SubmitWindow::burst`] hands them out.
    #[inline]
    pub fn prepare(&mut self, now: Nanos, again: bool) -> usize {
        self.resend.clear();
        if again && (self.hurried > 0 || now >= self.next_due) {
            self.choose_resends(now);
        }
        self.ready = self.unsent + self.flight.admit(self.tail - self.unsent);
        self.resend.len() + (self.ready - self.unsent) as usize
    }

    /// Seals what is prepared under `header`, each with the next `number`.
    pub fn seal(&mut self, keys: &Keyring, header: &Header, number: &mut u64) {
        for index in 0..self.resend.len() {
            self.seal_slot(self.resend[index], keys, header, number);
        }
        for slot in self.unsent..self.ready {
            self.seal_slot(slot, keys, header, number);
        }
    }

    fn seal_slot(&mut self, slot: u64, keys: &Keyring, header: &Header, number: &mut u64) {
        let place = self.place(slot);
        let Slot { length, count, .. } = self.slots[place];
        *number += 1;
        let bytes = &mut self.memory[place * self.stride..][..length as usize];
        keys.seal(bytes, Header { count, number: *number, ..*header });
    }

    /// The prepared datagrams from the `index`th on that lie one behind the other without a gap, all but
    /// the last of them full, as one burst.
    pub fn burst(&self, index: usize) -> Burst<'_> {
        if let Some(&slot) = self.resend.get(index) {
            let place = self.place(slot);
            let length = self.slots[place].length as usize;
            return Burst { bytes: &self.memory[place * self.stride..][..length], stride: length };
        }
        let first = self.unsent + (index - self.resend.len()) as u64;
        let start = self.place(first);
        let (mut slot, mut bytes) = (first, self.slots[start].length as usize);
        let stride = bytes;
        while stride == self.stride
            && slot + 1 < self.ready
            && self.place(slot + 1) > start
            && self.slots[self.place(slot)].length as usize == stride
        {
            slot += 1;
            bytes += self.slots[self.place(slot)].length as usize;
        }
        Burst { bytes: &self.memory[start * self.stride..][..bytes], stride }
    }

    /// The device took the first `count` prepared datagrams.
    pub fn on_sent(&mut self, now: Nanos, count: usize) {
        let again = count.min(self.resend.len());
        for index in 0..again {
            let place = self.place(self.resend[index]);
            let slot = &mut self.slots[place];
            self.hurried -= u32::from(std::mem::take(&mut slot.due));
            slot.resends = slot.resends.saturating_add(1);
            slot.sent_at = now;
            self.next_due = self.next_due.min(now + self.timer.delay_ns(slot.resends));
        }
        if again < self.resend.len() {
            self.next_due = now;
        }
        self.resend.clear();
        if count > again {
            self.next_due = self.next_due.min(now + self.timer.delay_ns(0));
        }
        for _ in again..count {
            let place = self.place(self.unsent);
            let slot = &mut self.slots[place];
            slot.sent_at = now;
            // A copy of this publisher may have had all of it stamped.
            if slot.unstamped > 0 {
                slot.flying = true;
                self.flight.on_sent();
            }
            self.unsent += 1;
        }
        self.free_slots();
        if count > again {
            self.warm();
        }
    }

    /// Has the place of the next datagram in the cache, as far as the last one reached in its own. A thread
    /// that writes to memory just before a system call waits there until it has come.
    fn warm(&mut self) {
        let is_free = self.open.is_empty() && self.tail - self.head < self.slots.len() as u64;
        if is_free && let Some(last) = self.tail.checked_sub(1) {
            let length = self.slots[self.place(last)].length as usize;
            let at = self.place(self.tail) * self.stride;
            self.memory[at..at + length].iter_mut().step_by(64).for_each(|byte| *byte = 0);
        }
    }

    /// Slots at the head whose messages all have their fate are free, and blank. One that was never sent
    /// waits for that: a copy of this publisher had its messages stamped.
    #[inline]
    fn free_slots(&mut self) {
        while self.head < self.unsent {
            let place = self.place(self.head);
            let slot = &mut self.slots[place];
            if slot.left > 0 {
                return;
            }
            self.hurried -= u32::from(slot.due);
            *slot = Slot::default();
            self.head += 1;
        }
    }

    /// The `count` oldest messages of `list`, or as many as there are, have their fate. Returns their
    /// numbers.
    #[inline]
    pub fn pop(&mut self, list: &mut UnsettledMessages, count: u64) -> Range<PublisherSeq> {
        let first = list.oldest;
        let mut left = count;
        while left > 0
            && let Some(&run) = self.runs.get(list.head as usize)
        {
            let next = run.end().min(list.oldest.saturating_add(left));
            if list.unstamped_run == list.head && list.unstamped < next {
                // They ended without a place.
                self.pass(list, &run, next);
            }
            let popped = next - std::mem::replace(&mut list.oldest, next);
            left -= popped;
            self.pending -= popped as u32;
            self.slots[run.slot as usize].left -= popped as u16;
            if next == run.end() {
                let free = std::mem::replace(&mut list.head, run.next);
                if !planted(Mutation::RunLeaks) {
                    self.free.push(free);
                }
            }
        }
        if list.head == NONE {
            list.tail = NONE;
        }
        self.free_slots();
        first..list.oldest
    }

    /// The oldest message of `list` that was not seen stamped, and those behind it that lie in the same
    /// datagram, as they were handed in.
    #[inline]
    pub fn unstamped(&self, list: &UnsettledMessages) -> Entries<'_> {
        self.runs.get(list.unstamped_run as usize).map_or(Entries::NONE, |run| {
            self.entries(run.slot, list.unstamped_at, (run.end() - list.unstamped) as u16)
        })
    }

    /// The oldest message of `list`, as it was handed in.
    #[cold]
    fn oldest_entry(&self, list: &UnsettledMessages) -> Option<Entry<'_>> {
        let (run, at) = self.find(list, list.oldest);
        self.entries(self.runs.get(run as usize)?.slot, at, 1).next()
    }

    /// Whether the oldest message of `list` is a part behind which others follow.
    pub fn is_part(&self, list: &UnsettledMessages) -> bool {
        self.oldest_entry(list).is_some_and(|own| own.header.flags & PART_MORE != 0)
    }

    /// What the oldest message of `list` says, as [`entry_digest`] tells it.
    pub fn digest(&self, list: &UnsettledMessages) -> Option<u32> {
        self.oldest_entry(list).map(|own| entry_digest(own.header, own.payload))
    }

    /// The number of the oldest message of `list` that has no fate.
    pub fn oldest(&self, list: &UnsettledMessages) -> Option<PublisherSeq> {
        (list.head != NONE).then_some(list.oldest)
    }

    /// Whether nothing waits: no open datagram, nothing unsent, nothing without a fate.
    pub fn is_empty(&self) -> bool {
        self.pending == 0 && self.open.is_empty()
    }
}
