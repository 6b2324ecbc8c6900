//! Readers and publishers where a history was founded: who goes over to it, and who is ahead of it
//! (LINEAGE-2).

use super::{ClientCheck, ReaderModel};
use crate::check::Violation;
use crate::check::facts::OracleFacts;
use crate::coverage::Event;
use crate::engines::HISTORY;
use lockstep_core::engine::subscriber::Delivery;
use lockstep_wire::Seq;

impl ClientCheck {
    /// A history was founded at `next`: whose messages were reported as committed behind that is misled.
    pub(in crate::check) fn on_founding(&mut self, next: Seq) {
        for writer in self.writers.values_mut() {
            writer.misled = writer.delivered_next > next;
        }
    }

    /// LINEAGE-2: who has more than the new history for final does not go over to it.
    pub(super) fn check_reading(
        &mut self,
        facts: &OracleFacts,
        who: usize,
        history: u64,
    ) -> Result<(), Violation> {
        let Some(reader) = self.readers.get_mut(&who).filter(|reader| reader.history != history) else {
            return Ok(());
        };
        let before = std::mem::replace(&mut reader.history, history);
        let had = reader.commit_next.max(reader.resumed);
        match &facts.founding {
            Some(founded) if before == HISTORY && history == founded.history && had > founded.next => {
                Err(format!(
                    "LINEAGE-2: subscriber {who} has all below {had} for final, and goes on in a history that was founded at {}",
                    founded.next
                ))
            }
            _ => Ok(()),
        }
    }

    /// Whether a reader takes for final what the new history lacks: that must be reported to it.
    pub(super) fn must_end(&self, facts: &OracleFacts, reader: &ReaderModel) -> bool {
        let had =
            reader.commit_next.max(if reader.delivery == Delivery::Committed { reader.resumed } else { 1 });
        facts.founding.as_ref().is_some_and(|founded| reader.history == HISTORY && had > founded.next)
    }

    /// A subscriber passes the founding.
    pub fn on_went_over(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        history: u64,
        seq: Seq,
    ) -> Result<(), Violation> {
        let Some(reader) = self.readers.get_mut(&who) else { return Ok(()) };
        let last = reader.delivered.last().map_or(0, |(seq, _)| *seq);
        reader.past = true;
        match &facts.founding {
            Some(founded) if (founded.history, founded.next) == (history, seq) && last < seq => {
                facts.coverage.count(Event::ReadersWentOver);
                Ok(())
            }
            _ => Err(format!(
                "LINEAGE-2: subscriber {who}, which delivered {last}, is told that {history:x} was founded at {seq}"
            )),
        }
    }

    /// A subscriber receives the event that it is ahead of the new history, and ends.
    pub fn on_history_lost(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        history: u64,
        next: Seq,
        have: Seq,
    ) -> Result<(), Violation> {
        facts.check_forgotten(&format!("subscriber {who}"), history, next, have)?;
        facts.coverage.count(Event::ReadersForgotten);
        self.on_subscription_ended(who);
        Ok(())
    }

    /// A publisher's handle goes over to the new history: everything reported to it as committed is there.
    pub fn on_publisher_went_over(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        history: u64,
        seq: Seq,
    ) -> Result<(), Violation> {
        let Some(writer) = self.writers.get_mut(&who) else { return Ok(()) };
        writer.past = true;
        match &facts.founding {
            Some(founded)
                if (founded.history, founded.next) == (history, seq) && writer.delivered_next <= seq =>
            {
                facts.coverage.count(Event::PublishersWentOver);
                Ok(())
            }
            _ => Err(format!(
                "LINEAGE-2: publisher {who}, told of all below {}, goes on in {history:x} from {seq} on",
                writer.delivered_next
            )),
        }
    }

    /// A publisher's handle receives the event that it is ahead of the new history.
    pub fn on_publisher_forgotten(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        history: u64,
        next: Seq,
        have: Seq,
    ) -> Result<(), Violation> {
        facts.check_forgotten(&format!("publisher {who}"), history, next, have)?;
        facts.coverage.count(Event::PublishersForgotten);
        if let Some(writer) = self.writers.get_mut(&who) {
            writer.past = true;
        }
        Ok(())
    }

    /// Whether an entry was reported to a publisher as committed that the new history lacks, and nothing was
    /// reported since.
    pub fn lacks_datagram(&self, who: usize) -> bool {
        self.writers.get(&who).is_some_and(|writer| writer.misled && !writer.past)
    }
}
