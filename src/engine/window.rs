//! A publisher's window: the messages that are not yet known to be committed, in the very datagrams in
//! which they were sent. Each datagram is built in its slot, sent from it, and sent again from it.
//!
//! What is sent again is only what is missing: a datagram whose time is over, or in which the leader names a
//! number that it misses, and of which something was not seen stamped. How many go again follows what became of
//! the ones before: one more for each that helped, half as many when one did not. So many in one turn of those that
//! are named; and of those whose time is over, which a leader that was stalled may have, so many at all until they
//! are seen stamped: it names the others.
//!
//! What was never sent waits while as much is under way as the leader's socket may hold: see [`Flight`].
//!
//! ```text
//!   slots:   head ──────── sent ────────▶ tail (open)
//!            [5/15 left] [15 left] [3..]     a slot is free again when all its messages have their fate
//! ```

mod flight;
mod timer;

use super::ports::Burst;
use super::store::touched;
use crate::journal::place_in;
use crate::wire::{
    Entry, EntryHeader, Header, Nanos, OpenFrame, PART_MORE, PublisherSeq, entry_digest, seal,
};
pub use flight::Flight;
use std::collections::VecDeque;
pub use timer::ResendTimer;

/// No index.
const NONE: u32 = u32::MAX;

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

/// One message without a fate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Pending {
    publisher_seq: PublisherSeq,
    slot: u32,
    /// Where its entry lies in the slot.
    at: u32,
    /// The next one of the same publisher.
    next: u32,
}

/// A publisher's messages without a fate, oldest first: a list through the window's memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Outstanding {
    head: u32,
    tail: u32,
    /// The oldest that was not seen stamped.
    unstamped: u32,
}

impl Default for Outstanding {
    fn default() -> Self {
        Self { head: NONE, tail: NONE, unstamped: NONE }
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
    /// What is prepared ends here.
    ready: u64,
    tail: u64,
    open: OpenFrame,
    pending: Vec<Pending>,
    free: Vec<u32>,
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
            pending: vec![Pending { publisher_seq: 0, slot: 0, at: 0, next: NONE }; entries as usize],
            free: (0..entries).rev().collect(),
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
        let free_slots = self.slots.len() as u64 - (self.tail - self.head);
        // The open datagram stands in the slot at `tail`; a message that does not fit it needs one more.
        let needed = if self.open.fits(payload_len, self.stride) { 1 } else { 2 };
        !self.free.is_empty() && free_slots >= needed
    }

    /// Whether a message of so many parts, each as long as a datagram allows, could be pushed now.
    pub fn has_room_for_parts(&self, parts: usize) -> bool {
        let free_slots = self.slots.len() as u64 - (self.tail - self.head);
        self.free.len() >= parts && free_slots > parts as u64
    }

    /// Makes room for a message behind the others in the open datagram, or in the next one if it is full,
    /// and returns its payload to be filled in. The caller has asked [`SubmitWindow::has_room`]. `is_stamped`
    /// says that a copy of its publisher had it stamped already, and so all before it.
    #[inline]
    pub fn claim(
        &mut self,
        list: &mut Outstanding,
        entry: EntryHeader,
        payload_len: usize,
        is_stamped: bool,
    ) -> &mut [u8] {
        if !self.open.fits(payload_len, self.stride) {
            self.end_datagram();
        }
        let place = self.place(self.tail);
        let index = self.free.pop().unwrap_or(NONE);
        let at = self.open.len() as u32;
        self.pending[index as usize] =
            Pending { publisher_seq: entry.publisher_seq, slot: place as u32, at, next: NONE };
        if list.tail == NONE {
            list.head = index;
        } else {
            self.pending[list.tail as usize].next = index;
        }
        list.tail = index;
        if list.unstamped == NONE && !is_stamped {
            list.unstamped = index;
        }
        self.slots[place].left += 1;
        self.slots[place].unstamped += u16::from(!is_stamped);
        let memory = &mut self.memory[place * self.stride..][..self.stride];
        self.open.claim(memory, entry, payload_len).unwrap_or_else(|| {
            panic!("a message of {payload_len} bytes does not fit a datagram of {}", self.stride)
        })
    }

    /// Ends the open datagram, if it has messages: it waits to be sent.
    pub fn end_datagram(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let place = self.place(self.tail);
        let open = std::mem::take(&mut self.open);
        // The header is written in `prepare`, with the number of each sending.
        let slot = &mut self.slots[place];
        (slot.length, slot.count, slot.resends, slot.sent_at) = (open.len() as u32, open.count(), 0, 0);
        slot.due = false;
        self.tail += 1;
    }

    /// Whether the datagram at this place was sent.
    fn is_sent(&self, place: u32) -> bool {
        let slots = self.slots.len() as u64;
        let behind_head = (u64::from(place) + slots - self.place(self.head) as u64) % slots;
        self.head + behind_head < self.unsent
    }

    /// A leader is gone that may have heard the messages of `list` numbered above `stamped`: what was sent
    /// of them is sent again at the next turns, in order and a few at a time, and then as if for the
    /// first time.
    pub fn hurry(&mut self, list: &Outstanding, stamped: PublisherSeq) {
        self.timer.on_leader_changed();
        let mut index = list.head;
        while let Some(&Pending { publisher_seq, slot: place, next, .. }) = self.pending.get(index as usize) {
            index = next;
            if publisher_seq > stamped && self.is_sent(place) {
                self.make_due(place);
                self.slots[place as usize].resends = 0;
            }
        }
    }

    /// The leader misses the messages of `list` numbered `from..to`: what was sent of them is sent again
    /// at the next turns, unless it may still be under way.
    pub fn on_missing(&mut self, now: Nanos, list: &Outstanding, from: PublisherSeq, to: PublisherSeq) {
        let guard_ns = self.timer.smoothed_ns() / 2;
        let mut index = list.unstamped;
        while let Some(&Pending { publisher_seq, slot: place, next, .. }) = self.pending.get(index as usize) {
            index = next;
            if publisher_seq >= to {
                return;
            }
            let sent_at = self.slots[place as usize].sent_at;
            if publisher_seq >= from && self.is_sent(place) && now >= sent_at + guard_ns {
                self.make_due(place);
                self.flight.on_loss(now, sent_at);
            }
        }
    }

    fn make_due(&mut self, place: u32) {
        let slot = &mut self.slots[place as usize];
        self.hurried += u32::from(!std::mem::replace(&mut slot.due, true));
    }

    /// Whether the cluster takes anything at present.
    pub fn set_throttled(&mut self, throttled: bool) {
        self.throttled = throttled;
    }

    /// The messages of `list` up to number `stamped` were seen stamped: whoever leads holds them.
    #[inline]
    pub fn on_stamped(&mut self, now: Nanos, list: &mut Outstanding, stamped: PublisherSeq) {
        while let Some(&Pending { publisher_seq, slot: place, next, .. }) =
            self.pending.get(list.unstamped as usize)
            && publisher_seq <= stamped
        {
            list.unstamped = next;
            if self.count_down(place) {
                self.on_datagram_stamped(now, place);
            }
        }
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

    /// One message less at this place has to be stamped. Returns whether it was the last one, of a datagram
    /// that was not due before its time.
    #[inline]
    fn count_down(&mut self, place: u32) -> bool {
        let slot = &mut self.slots[place as usize];
        slot.unstamped -= 1;
        slot.unstamped == 0 && self.land(place)
    }

    /// The same, of the last one: once for each datagram, and kept apart from what is done for each message.
    #[inline(never)]
    fn land(&mut self, place: u32) -> bool {
        let slot = &mut self.slots[place as usize];
        let hurried = std::mem::take(&mut slot.due);
        if std::mem::take(&mut slot.flying) {
            self.flight.on_landed();
        }
        self.hurried -= u32::from(hurried);
        !hurried
    }

    /// A takeover took back the places of the messages of `list` numbered above `stamped`.
    pub fn on_unstamped(&mut self, list: &mut Outstanding, stamped: PublisherSeq) {
        let (mut index, was) = (list.head, list.unstamped);
        list.unstamped = NONE;
        while let Some(&Pending { publisher_seq, slot: place, next, .. }) = self.pending.get(index as usize) {
            if publisher_seq > stamped && list.unstamped == NONE {
                list.unstamped = index;
            }
            if index == was {
                break;
            }
            self.slots[place as usize].unstamped += u16::from(publisher_seq > stamped);
            index = next;
        }
        self.next_due = 0;
    }

    /// What is to be sent now: datagrams never sent, as many as may be under way, and, if anything may be sent
    /// `again`, those whose time was over at `now`. Seals each under `header` with the next `number`. Returns how
    /// many there are; [`SubmitWindow::burst`] hands them out.
    pub fn prepare(&mut self, now: Nanos, again: bool, header: Header, number: &mut u64) -> usize {
        self.resend.clear();
        if again && (self.hurried > 0 || now >= self.next_due) {
            self.choose_resends(now);
        }
        for index in 0..self.resend.len() {
            self.seal(self.resend[index], header, number);
        }
        self.ready = self.unsent + self.flight.admit(self.tail - self.unsent);
        for slot in self.unsent..self.ready {
            self.seal(slot, header, number);
        }
        self.resend.len() + (self.ready - self.unsent) as usize
    }

    /// Chooses what is sent again: what is due before its time; then those whose time is over for the first time,
    /// and those whose time is over once more, as far as those that were sent again leave room.
    #[cold]
    fn choose_resends(&mut self, now: Nanos) {
        self.next_due = Nanos::MAX;
        let budget = if self.throttled { 1 } else { self.budget };
        let mut under_way = 0;
        for number in self.head..self.unsent {
            let slot = self.slots[self.place(number)];
            let due_at = self.due_at(&slot);
            if slot.unstamped == 0 {
                continue;
            } else if slot.due && self.resend.len() < budget {
                self.resend.push_back(number);
            } else if slot.due {
                self.next_due = now;
            } else if now < due_at {
                self.next_due = self.next_due.min(due_at);
                under_way += usize::from(slot.resends > 0);
            }
        }
        let mut timed_out: Option<u16> = None;
        for once_more in [false, true] {
            for number in self.head..self.unsent {
                if under_way + self.resend.len() >= budget {
                    break;
                }
                let slot = self.slots[self.place(number)];
                let is_late = slot.unstamped > 0 && !slot.due && now >= self.due_at(&slot);
                if is_late && (slot.resends > 0) == once_more {
                    self.resend.push_back(number);
                    self.flight.on_loss(now, slot.sent_at);
                    timed_out = timed_out.max(Some(slot.resends));
                }
            }
        }
        self.resend.make_contiguous().sort_unstable();
        if let Some(resends) = timed_out {
            self.timer.on_timeout(resends);
            if resends > 0 {
                self.budget = (self.budget / 2).max(1);
            }
        }
    }

    /// When the time of a datagram that was sent is over.
    fn due_at(&self, slot: &Slot) -> Nanos {
        slot.sent_at + self.timer.delay_ns(slot.resends)
    }

    /// How often in a row something was sent again and not seen stamped, although the cluster takes more.
    pub fn timeouts(&self) -> u16 {
        if self.throttled { 0 } else { self.timer.timeouts() }
    }

    /// How many of the prepared datagrams are sent again.
    pub fn resends(&self) -> usize {
        self.resend.len()
    }

    fn seal(&mut self, slot: u64, header: Header, number: &mut u64) {
        let place = self.place(slot);
        let Slot { length, count, .. } = self.slots[place];
        *number += 1;
        let bytes = &mut self.memory[place * self.stride..][..length as usize];
        seal(bytes, Header { count, number: *number, ..header });
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
    }

    /// Slots at the head whose messages all have their fate are free. One that was never sent waits for
    /// that: a copy of this publisher had its messages stamped.
    fn free_slots(&mut self) {
        while self.head < self.unsent && self.slots[self.place(self.head)].left == 0 {
            self.head += 1;
        }
    }

    /// The oldest message of `list` has its fate. Returns its number.
    pub fn pop(&mut self, list: &mut Outstanding) -> Option<PublisherSeq> {
        let pending = *self.pending.get(list.head as usize)?;
        self.free.push(list.head);
        if list.unstamped == list.head {
            // It ended without a place.
            list.unstamped = pending.next;
            self.count_down(pending.slot);
        }
        list.head = pending.next;
        if list.head == NONE {
            list.tail = NONE;
        }
        self.slots[pending.slot as usize].left -= 1;
        self.free_slots();
        Some(pending.publisher_seq)
    }

    /// The entry of a message, as it was handed in.
    #[inline]
    fn entry(&self, index: u32) -> Option<Entry<'_>> {
        let pending = self.pending.get(index as usize)?;
        let bytes = &self.memory[pending.slot as usize * self.stride + pending.at as usize..];
        Entry::split(bytes).map(|(entry, _)| entry)
    }

    /// Whether the oldest message of `list` that was not seen stamped says what `entry` says, if it is that one.
    #[inline]
    pub fn says(&self, list: &Outstanding, entry: &Entry<'_>) -> bool {
        self.entry(list.unstamped).is_none_or(|own| {
            let (own_header, header) = (&own.header, &entry.header);
            own_header.publisher_seq != header.publisher_seq
                || (own_header.destination, own_header.flags) == (header.destination, header.flags)
                    && own.payload == entry.payload
        })
    }

    /// Whether the oldest message of `list` is a part behind which others follow.
    #[inline]
    pub fn is_part(&self, list: &Outstanding) -> bool {
        self.entry(list.head).is_some_and(|own| own.header.flags & PART_MORE != 0)
    }

    /// What the oldest message of `list` says, as [`entry_digest`] tells it.
    #[cold]
    pub fn digest(&self, list: &Outstanding) -> Option<u32> {
        self.entry(list.head).map(|own| entry_digest(own.header, own.payload))
    }

    /// The number of the oldest message of `list` that has no fate.
    pub fn oldest(&self, list: &Outstanding) -> Option<PublisherSeq> {
        self.pending.get(list.head as usize).map(|pending| pending.publisher_seq)
    }

    /// Whether nothing waits: no open datagram, nothing unsent, nothing without a fate.
    pub fn is_empty(&self) -> bool {
        self.free.len() == self.pending.len() && self.open.is_empty()
    }
}
