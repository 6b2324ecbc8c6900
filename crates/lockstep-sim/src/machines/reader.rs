//! Replay from journals to readers: the other end of `engine::replay`, as a replay server sends it.

use crate::context::RunContext;
use crate::coverage::Event;
use crate::engines::address;
use crate::machine::CLUSTER;
use crate::machine::replay::{ReplayChunk, answer, denial, next_request};
use crate::machines::{MachineNode, Machines};
use crate::wire::NodeSet;
use lockstep_core::engine::replay::ReplayStep;
use lockstep_core::engine::subscriber::SubscriberCore;
use lockstep_replica::replica::CatchUpPlan;
use lockstep_wire::{
    Datagram, Header, Identity, Keys, Kind, Nanos, REPLAY_CHAIN, REPLAY_LEN, ReplayBody, SMALL_LEN_MAX,
    write_replay,
};

/// The interval at which a reader that has everything is notified that it is still served.
const MARK_NS: Nanos = 500_000;

/// One reader's connection to a journal.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimReplaySource {
    /// The replay source.
    repairer: Option<usize>,
    order: Option<CatchUpPlan>,
    answered: bool,
    marked_at: Nanos,
    /// Arrived and not taken yet.
    pub(crate) buffered: Vec<u8>,
    /// The nodes that could not be reached when they were asked last: they may have what the others lack.
    pub(crate) unreached: NodeSet,
}

impl Machines {
    /// Moves everything that the source journal has for the reader at `index` to `source.kept`; the caller
    /// hands that to the reader.
    pub(crate) fn read_journal(
        &mut self,
        ctx: &mut RunContext,
        index: usize,
        core: &mut SubscriberCore,
        source: &mut SimReplaySource,
    ) {
        let (now, shown) = (ctx.now, ctx.plan.clock(index).at(ctx.now));
        match core.poll_replay(shown) {
            Some(ReplayStep::Open(to)) => {
                let mut request = [0; SMALL_LEN_MAX];
                let request = core.write_replay_request(&mut request).map(|len| request[..len].to_vec());
                let repairer = (0..ctx.plan.replicas).find(|node| address(*node) == to);
                let keys = repairer.map(|node| &self.nodes[node].host.keys.replica);
                source.close();
                match request.as_deref().zip(keys).map(|(bytes, keys)| Datagram::decode(bytes, keys)) {
                    Some(Ok(Datagram::ReplayRequest(header, body))) => {
                        let chain = (header.flags & REPLAY_CHAIN != 0).then_some(header.chain);
                        source.repairer = repairer;
                        source.order = Some(CatchUpPlan::new(header.history, body.from, chain));
                    }
                    _ => return core.on_replay_lost(shown),
                }
            }
            Some(ReplayStep::Close) => source.close(),
            None => {}
        }
        let (Some(repairer), Some(order)) = (source.repairer, source.order) else { return };
        if !source.buffered.is_empty() {
            return;
        }
        match source.note(repairer, self.ask(ctx, index, repairer, &order)) {
            None => {
                source.close();
                core.on_replay_lost(shown);
            }
            Some(ReplayChunk::Denied(end, seq)) => {
                ctx.count(Event::ReplaysDenied);
                source.say(sent_by(&self.nodes[repairer]), denial(order.from, end, seq));
                source.repairer = None;
            }
            // No subscriber asks for one.
            Some(ReplayChunk::Base(_)) => {}
            Some(ReplayChunk::Frames(bytes)) => {
                if !source.answered {
                    ctx.count(Event::ReaderReplays);
                    source.say(sent_by(&self.nodes[repairer]), answer(order.from));
                    source.answered = true;
                }
                match next_request(&bytes) {
                    Some(order) => source.order = Some(order),
                    None if now >= source.marked_at + MARK_NS => {
                        source.say(sent_by(&self.nodes[repairer]), answer(order.from));
                        source.marked_at = now;
                    }
                    None => {}
                }
                source.buffered.extend_from_slice(&bytes);
            }
        }
    }
}

/// The repairer at a node, the history of its log, and its keys.
fn sent_by(MachineNode { machine, host, .. }: &MachineNode) -> (Identity, u64, &Keys) {
    let history = machine.replica().map_or(0, |replica| replica.core.lineage().history());
    (machine.identity, history, &host.keys.replica)
}

impl SimReplaySource {
    /// The connection ends.
    fn close(&mut self) {
        *self = Self { unreached: self.unreached, ..Self::default() };
    }

    /// Notes whether this node could be reached.
    fn note(&mut self, repairer: usize, reply: Option<ReplayChunk>) -> Option<ReplayChunk> {
        self.unreached &= !(1 << repairer);
        self.unreached |= NodeSet::from(reply.is_none()) << repairer;
        reply
    }

    fn say(&mut self, (repairer, history, keys): (Identity, u64, &Keys), body: ReplayBody) {
        let kind = if self.answered { Kind::ReplayMark } else { Kind::ReplayAnswer };
        let header = Header {
            cluster: CLUSTER,
            history,
            sender: repairer.replica,
            incarnation: repairer.incarnation,
            first_seq: body.next,
            ..Header::new(kind)
        };
        let at = self.buffered.len();
        self.buffered.resize(at + REPLAY_LEN, 0);
        write_replay(&mut self.buffered[at..], keys, header, body);
    }
}
