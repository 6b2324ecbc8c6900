//! Which datagrams are sent again, and when.

use super::{Slot, SubmitWindow, UnsettledMessages};
use lockstep_wire::{Nanos, PublisherSeq};

impl SubmitWindow {
    /// A leader is gone that may have heard the messages of `list` numbered above `stamped`: what was sent
    /// of them is sent again at the next turns, in order and a few at a time, and then as if for the
    /// first time.
    pub fn hurry(&mut self, list: &UnsettledMessages, stamped: PublisherSeq) {
        self.timer.on_leader_changed();
        let mut index = list.head;
        while let Some(&run) = self.runs.get(index as usize) {
            index = run.next;
            if run.end() > stamped + 1 && self.is_sent(run.slot) {
                self.make_due(run.slot);
                self.slots[run.slot as usize].resends = 0;
            }
        }
    }

    /// The leader misses the messages of `list` numbered `from..to`: what was sent of them is sent again
    /// at the next turns, unless it may still be under way.
    pub fn on_missing(&mut self, now: Nanos, list: &UnsettledMessages, from: PublisherSeq, to: PublisherSeq) {
        let guard_ns = self.timer.smoothed_ns() / 2;
        let from = from.max(list.unstamped);
        let mut index = list.unstamped_run;
        while let Some(&run) = self.runs.get(index as usize)
            && run.first < to
        {
            index = run.next;
            let sent_at = self.slots[run.slot as usize].sent_at;
            if run.end() > from && self.is_sent(run.slot) && now >= sent_at + guard_ns {
                self.make_due(run.slot);
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

    /// When something is to be sent again; `Nanos::MAX` while nothing waits for its fate.
    pub fn next_deadline(&self) -> Nanos {
        if self.is_empty() {
            Nanos::MAX
        } else if self.hurried > 0 {
            0
        } else {
            self.next_due
        }
    }

    /// Chooses what is sent again: what is due before its time; then those whose time is over for the first
    /// time, and those whose time is over once more, as far as those that were sent again leave room.
    #[cold]
    pub(super) fn choose_resends(&mut self, now: Nanos) {
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
}
