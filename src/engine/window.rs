//! A publisher's window: the messages that are not yet known to be committed, in the very datagrams in
//! which they were sent. Each datagram is built in its slot, sent from it, and sent again from it.
//!
//! ```text
//!   slots:   head ──────── sent ────────▶ tail (open)
//!            [5/15 left] [15 left] [3..]     a slot is free again when all its messages have their fate
//! ```

use super::ports::Burst;
use super::store::touched;
use crate::wire::{EntryHeader, Header, Nanos, OpenFrame, PublisherSeq, seal};
use std::collections::VecDeque;

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
    resends: u16,
    /// Sent again at the next turn, whatever its time.
    due: bool,
    sent_at: Nanos,
}

/// One message without a fate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Pending {
    publisher_seq: PublisherSeq,
    slot: u32,
    /// The next one of the same publisher.
    next: u32,
}

/// A publisher's messages without a fate, oldest first: a list through the window's memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Outstanding {
    head: u32,
    tail: u32,
}

impl Default for Outstanding {
    fn default() -> Self {
        Self { head: NONE, tail: NONE }
    }
}

/// When what was sent is sent again: RFC 6298's estimator without its second-long floor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ResendTimer {
    min_ns: Nanos,
    max_ns: Nanos,
    smoothed_ns: Nanos,
    variation_ns: Nanos,
}

impl ResendTimer {
    /// Between these bounds; before the first sample it waits ten times the minimum.
    pub fn new(min_ns: Nanos, max_ns: Nanos) -> Self {
        Self { min_ns, max_ns, smoothed_ns: 0, variation_ns: 0 }
    }

    /// A datagram that was sent once took this long to be committed.
    fn on_sample(&mut self, took_ns: Nanos) {
        if self.smoothed_ns == 0 {
            (self.smoothed_ns, self.variation_ns) = (took_ns, took_ns / 2);
        } else {
            self.variation_ns = (3 * self.variation_ns + self.smoothed_ns.abs_diff(took_ns)) / 4;
            self.smoothed_ns = (7 * self.smoothed_ns + took_ns) / 8;
        }
    }

    /// How long to wait for a datagram that was sent again `resends` times.
    fn delay_ns(&self, resends: u16) -> Nanos {
        let first = match self.smoothed_ns {
            0 => self.min_ns * 10,
            smoothed => (smoothed + 4 * self.variation_ns).max(self.min_ns),
        };
        first.saturating_mul(1 << resends.min(10)).min(self.max_ns)
    }
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SubmitWindow {
    memory: Vec<u8>,
    stride: usize,
    slots: Vec<Slot>,
    /// Slots are counted without end; `% slots.len()` is their place.
    head: u64,
    unsent: u64,
    tail: u64,
    open: OpenFrame,
    pending: Vec<Pending>,
    free: Vec<u32>,
    resend: VecDeque<u64>,
    /// Slots that are due before their time.
    hurried: u32,
    timer: ResendTimer,
}

/// Most datagrams that one turn sends again.
const RESENDS_PER_TURN: usize = 8;

impl SubmitWindow {
    /// Room for `entries` messages in `datagrams` datagrams of at most `datagram_len_max` bytes.
    pub fn new(entries: u32, datagrams: u32, datagram_len_max: usize, timer: ResendTimer) -> Self {
        Self {
            memory: touched(datagrams as usize * datagram_len_max),
            stride: datagram_len_max,
            slots: vec![Slot::default(); datagrams as usize],
            head: 0,
            unsent: 0,
            tail: 0,
            open: OpenFrame::default(),
            pending: vec![Pending { publisher_seq: 0, slot: 0, next: NONE }; entries as usize],
            free: (0..entries).rev().collect(),
            resend: VecDeque::with_capacity(RESENDS_PER_TURN),
            hurried: 0,
            timer,
        }
    }

    fn place(&self, slot: u64) -> usize {
        (slot % self.slots.len() as u64) as usize
    }

    /// Whether a message of this length could be pushed now.
    pub fn has_room(&self, payload_len: usize) -> bool {
        let free_slots = self.slots.len() as u64 - (self.tail - self.head);
        // The open datagram stands in the slot at `tail`; a message that does not fit it needs one more.
        let needed = if self.open.fits(payload_len, self.stride) { 1 } else { 2 };
        !self.free.is_empty() && free_slots >= needed
    }

    /// Makes room for a message behind the others in the open datagram, or in the next one if it is full,
    /// and returns its payload to be filled in. The caller has asked [`SubmitWindow::has_room`].
    #[inline]
    pub fn claim(&mut self, list: &mut Outstanding, entry: EntryHeader, payload_len: usize) -> &mut [u8] {
        if !self.open.fits(payload_len, self.stride) {
            self.end_datagram();
        }
        let place = self.place(self.tail);
        let index = self.free.pop().unwrap_or(NONE);
        self.pending[index as usize] =
            Pending { publisher_seq: entry.publisher_seq, slot: place as u32, next: NONE };
        if list.tail == NONE {
            list.head = index;
        } else {
            self.pending[list.tail as usize].next = index;
        }
        list.tail = index;
        self.slots[place].left += 1;
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

    /// A leader is gone that may have heard the messages of `list` numbered above `stamped`: what was sent
    /// of them is sent again at the next turns, in order and a few at a time, and then as if for the
    /// first time.
    pub fn hurry(&mut self, list: &Outstanding, stamped: PublisherSeq) {
        let mut index = list.head;
        while let Some(&Pending { publisher_seq, slot: place, next }) = self.pending.get(index as usize) {
            index = next;
            let behind_head = (u64::from(place) + self.slots.len() as u64 - self.place(self.head) as u64)
                % self.slots.len() as u64;
            let slot = &mut self.slots[place as usize];
            if publisher_seq > stamped && !slot.due && self.head + behind_head < self.unsent {
                slot.due = true;
                slot.resends = 0;
                self.hurried += 1;
            }
        }
    }

    /// What is to be sent now: datagrams never sent, and those whose time is over. Seals each under
    /// `header` with the next `number`. Returns how many there are; [`SubmitWindow::burst`] hands
    /// them out.
    pub fn prepare(&mut self, now: Nanos, header: Header, number: &mut u64) -> usize {
        self.resend.clear();
        for slot in self.head..self.unsent {
            let place = self.place(slot);
            let Slot { left, resends, sent_at, due, .. } = self.slots[place];
            if left == 0 {
                continue;
            }
            let waits = !due && now < sent_at + self.timer.delay_ns(resends);
            if waits && self.hurried > 0 {
                continue;
            }
            if waits || self.resend.len() == RESENDS_PER_TURN {
                break;
            }
            self.resend.push_back(slot);
        }
        for index in 0..self.resend.len() {
            self.seal(self.resend[index], header, number);
        }
        for slot in self.unsent..self.tail {
            self.seal(slot, header, number);
        }
        self.resend.len() + (self.tail - self.unsent) as usize
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
            && slot + 1 < self.tail
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
        }
        self.resend.clear();
        for _ in again..count {
            let place = self.place(self.unsent);
            self.slots[place].sent_at = now;
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
    pub fn pop(&mut self, now: Nanos, list: &mut Outstanding) -> Option<PublisherSeq> {
        let pending = *self.pending.get(list.head as usize)?;
        self.free.push(list.head);
        list.head = pending.next;
        if list.head == NONE {
            list.tail = NONE;
        }
        let slot = &mut self.slots[pending.slot as usize];
        slot.left -= 1;
        if slot.left == 0 {
            let hurried = std::mem::take(&mut slot.due);
            self.hurried -= u32::from(hurried);
            if slot.resends == 0 && slot.sent_at != 0 && !hurried {
                self.timer.on_sample(now.saturating_sub(slot.sent_at));
            }
        }
        self.free_slots();
        Some(pending.publisher_seq)
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
