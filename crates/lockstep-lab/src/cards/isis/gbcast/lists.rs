//! Part 3 of GBCAST: the CBCASTs that come before a failure.

use super::{Gbcast, GbcastMessage, deliver};
use crate::cards::isis::Packet;
use crate::cards::isis::cbcast::Copies;
use crate::{Deliver, Out, Pid, Protocol, Value};

impl Gbcast {
    /// Steps 3.2 and 3.3: what this process has delivered, and what it has of the dead one.
    pub(super) fn send_list(&self, failed: Pid, out: &mut Out<Self>) {
        let final_list = self.done.get(&failed).cloned();
        let is_final = final_list.is_some();
        let list = final_list.unwrap_or_else(|| {
            let mut copies = self.cbcast.copies();
            let waits = |from, message| self.waiting.contains(&Deliver { from, message });
            copies.retain(|(_, (from, value)), _| *from == failed || !waits(*from, *value));
            Packet::of(copies)
        });
        out.send(self.coordinator, GbcastMessage::IdList(failed, self.failed, list, is_final));
    }

    /// Step 3.4, of the coordinator: once the lists of all that live are here.
    pub(super) fn merge(&mut self, out: &mut Out<Self>) {
        let Some(failed) = self.current.filter(|_| self.is_coordinator()) else { return };
        let any = self.process.lacks("restart");
        let list_of = |pid| {
            let list = self.lists.get(&(failed, pid));
            list.filter(|(seen, ..)| *seen == self.failed || any).map(|(_, list, is_final)| (list, *is_final))
        };
        let lists: Vec<_> = self.living().iter().filter_map(list_of).collect();
        if lists.len() < self.living().len() {
            return;
        }
        let known = lists.iter().find(|(_, is_final)| *is_final).map(|(list, _)| Packet::clone(list));
        let before = known.unwrap_or_else(|| {
            let mut all = Copies::new();
            lists.iter().for_each(|(list, _)| list.add_to(&mut all));
            Packet::of(all)
        });
        out.each(self.living(), &GbcastMessage::Before(failed, before));
    }

    /// Steps 4.1 to 4.4: those of the before list, the failure, and the rest.
    pub(super) fn finish(&mut self, from: Pid, failed: Pid, before: Packet<Value>, out: &mut Out<Self>) {
        let ids: Vec<_> = before.ids().collect();
        let cbcast = &mut self.cbcast;
        let copies = before.clone();
        let new = out.below(cbcast, GbcastMessage::Cbcast, |below, out| below.receive(from, copies, out));
        self.waiting.extend(new);
        let is_before = |delivery: &Deliver<Value>| ids.contains(&(delivery.from, delivery.message));
        let (first, rest) = std::mem::take(&mut self.waiting).into_iter().partition(is_before);
        self.waiting = rest;
        let first: Vec<_> = first;
        first.into_iter().for_each(|delivery| deliver(delivery, out));
        self.done.insert(failed, before);
        self.current = None;
        self.install(failed, out);
    }
}
