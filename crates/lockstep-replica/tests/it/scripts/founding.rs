//! `lockstep recover` in a story: one journal that is left founds a new history.

use super::*;
use lockstep_core::proto::lineage::Lineage;
use lockstep_core::proto::window::Window;
use lockstep_replica::journal::Founding;
use lockstep_wire::Keyring;

impl Stage {
    /// The journal that is left of replica `number` founds a history that it alone is a member of, and runs.
    pub(super) fn recover(&mut self, number: u32, incarnation: u32) {
        let Some(Node::Down(old)) = self.nodes.remove(&number) else { panic!("crash {number} first") };
        let mut tail = self.blank_life(number, incarnation);
        let (mut lineage, mut epochs) = (Lineage::default(), Vec::new());
        let mut span = old.find(1);
        while let Some(found) = span {
            let frame = old.frame(found).expect("no damage");
            for (seq, entry) in (frame.header.first_seq..).zip(frame.entries()) {
                match entry.kind() {
                    EntryKind::Genesis => lineage = Lineage::of(frame.header.history),
                    EntryKind::EpochStart => {
                        let start = EpochStartView::parse(entry.payload).expect("a start");
                        lineage = Lineage::of_start(frame.header.history, &start);
                    }
                    _ => continue,
                }
                epochs.push(EpochBase { epoch: frame.header.epoch, base: seq });
            }
            tail.append(&frame).expect("room");
            span = old.after(found);
        }
        let founding = Founding {
            keys: &Keyring::none(CLUSTER).into(),
            history: HISTORY + 1,
            ancestor: &lineage,
            end: tail.end(),
            epochs: &epochs,
            promised: old.promised(),
            member: MemberBody::full(Identity { replica: number, incarnation }, address(number)),
            window: Window { entries: 1_000, bytes: 100_000 },
            durability: Durability::Process,
        };
        let bytes = founding.frame().expect("a log to found on");
        tail.append(&FrameView::from_prefix(&bytes).expect("sealed")).expect("room");
        self.node(number, tail);
    }
}
