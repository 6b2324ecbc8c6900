//! A handover is a promise: it ends within its time, either when the named replica leads or when the leader
//! resumes; until then nothing is stamped. That the named replica has the whole log is checked where the
//! leader reports that it steps down (`check::answers`).

use crate::check::Violation;
use crate::context::RunContext;
use crate::machines::MachineNode;
use lockstep_wire::{Epoch, Identity, Nanos, Seq};

/// How long a handover may take, in timeouts.
const TIMEOUTS: u64 = 16;

/// A leader that is to hand over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Draining {
    led: Epoch,
    /// The end of its log; `None` where a frame was open, which is stamped all the same.
    end: Option<Seq>,
    until: Nanos,
    /// Its first turn after that.
    late: Option<Nanos>,
}

impl MachineNode {
    /// The replica at `index` was commanded to hand over, to this identity or to the one with the longest
    /// log.
    pub(crate) fn watch_handover(&mut self, ctx: &mut RunContext, index: usize, to: Option<Identity>) {
        let machine = &self.machine;
        let until = machine.clock.at(ctx.now) + TIMEOUTS * machine.configured.timeout_ns;
        let Some(replica) = machine.replica() else { return };
        let end = replica.tables().map(|_| replica.tail().end().next);
        let led = replica.tail().end().epoch;
        ctx.oracle.datagrams.answers.on_handover(index, to);
        self.draining = Some(Draining { led, end, until, late: None });
    }

    /// HANDOVER: nothing is stamped meanwhile, and it is over in time.
    pub(crate) fn check_handover(&mut self, ctx: &RunContext, index: usize) -> Result<(), Violation> {
        let MachineNode { machine, draining, .. } = self;
        let (Some(drain), Some(replica)) = (draining.as_mut(), machine.replica()) else {
            *draining = None;
            return Ok(());
        };
        let end = replica.tail().end();
        if !replica.hands_over() || end.epoch != drain.led {
            *draining = None;
            return Ok(());
        }
        // The entry that records the commit of a change may be stamped all the same.
        let stood =
            |stood: Seq| ctx.oracle.facts.tree.only_records_commit(ctx.oracle.facts.log_tip(index), stood);
        if drain.end.is_some_and(|end| !stood(end)) {
            return Err(format!(
                "HANDOVER: replica {index} hands over, and stamps up to {}: {drain:?}",
                end.next
            ));
        }
        // By its own clock.
        let now = machine.clock.at(ctx.now);
        if now >= drain.until {
            let late = *drain.late.get_or_insert(now);
            if now > late + 4 * machine.configured.heartbeat.interval_ns {
                return Err(format!("HANDOVER: replica {index} still hands over at {now}: {drain:?}"));
            }
        }
        Ok(())
    }
}
