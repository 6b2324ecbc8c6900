//! The datagrams of replicas: each must be true, and must not contradict a promise.

use super::answers::{AnswerCheck, check_release, check_times};
use super::facts::{OracleFacts, ReplicaModel};
use super::log_tree::{Tree, TreeNode, frame_seal};
use super::{Check, Violation};
use crate::keys;
use crate::net::To;
use lockstep_core::proto::accept::NOTHING;
use lockstep_core::proto::commit::Durability;
use lockstep_wire::{ADDRESS_PROOF_RETURNED, BallotBody, Datagram, Epoch, FrameView, Header, RepairTrailer};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;

/// One datagram that a process sent, and its destination.
#[derive(Clone, Copy, Debug)]
pub struct SentDatagram<'a> {
    /// The destination.
    pub to: To,
    /// The address of the sender.
    pub from: SocketAddrV4,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// The rules of what replicas send.
#[derive(Clone, Debug, Default)]
pub struct DatagramCheck {
    /// The last proof that each process demanded of an address, ...
    proofs_demanded: BTreeMap<(usize, SocketAddrV4), u64>,
    /// ... and all that were returned, by address.
    proofs_returned: BTreeSet<(SocketAddrV4, u64)>,
    /// The rules of their contents beside the protocol.
    pub answers: AnswerCheck,
}

impl DatagramCheck {
    fn check_datagram(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        replica_model: &mut ReplicaModel,
        sent: &SentDatagram<'_>,
        datagram: &Datagram<'_>,
    ) -> Result<(), Violation> {
        let votes = matches!(
            datagram,
            Datagram::Ack(..) | Datagram::Promise(..) | Datagram::Prepare(..) | Datagram::Frame(_, None)
        );
        if votes && facts.forgotten.contains(&replica_model.identity) {
            return Err(format!(
                "S9: replica {who} may have forgotten something, and speaks as {}",
                replica_model.identity
            ));
        }
        match datagram {
            Datagram::Ack(header, body) => {
                self.answers.check_announced(who, replica_model, header)?;
                self.answers.check_nonce(who, replica_model, body.process_nonce)?;
                self.check_ack(facts, who, replica_model, header)?;
            }
            Datagram::Frame(frame, Some(trailer)) => {
                self.check_repair(facts, who, replica_model, sent, frame, trailer)?
            }
            Datagram::Frame(frame, None) => {
                let epoch = frame.header.epoch();
                self.check_level(who, replica_model, epoch, "sent a frame")?;
                let node = facts.tree.find(epoch, frame.header.first_seq);
                let has_tag = node.is_some_and(|node| facts.tree.stem(node).seal == frame_seal(frame.header));
                if !has_tag || !self.was_logged(facts, who, replica_model, node) {
                    return Err(format!(
                        "S1: replica {who} sent the frame at {} of {epoch}, which is not in its log",
                        { frame.header.first_seq }
                    ));
                }
                replica_model.epoch_sent = replica_model.epoch_sent.max(epoch);
            }
            Datagram::Heartbeat(header, body) => {
                self.check_level(who, replica_model, header.epoch(), "beat")?;
                self.check_position(facts, who, replica_model, header, "beats")?;
                self.answers.check_announced(who, replica_model, header)?;
                self.answers.check_nonce(who, replica_model, body.process_nonce)?;
                self.answers.check_heartbeat(facts, who, replica_model, header, body)?;
                facts.unicast_heartbeats.note(sent.to);
            }
            Datagram::Prepare(header, body) | Datagram::Promise(header, body) => {
                self.answers.check_announced(who, replica_model, header)?;
                self.answers.check_nonce(who, replica_model, body.process_nonce)?;
                self.check_ballot(
                    facts,
                    who,
                    replica_model,
                    header,
                    body,
                    matches!(datagram, Datagram::Prepare(..)),
                )?;
            }
            Datagram::Refuse(_, body)
                if Epoch(body.ballot) > replica_model.promised || body.about >= body.ballot =>
            {
                return Err(format!(
                    "S2: replica {who} refuses {} by {}, it promised {}",
                    Epoch(body.about),
                    Epoch(body.ballot),
                    replica_model.promised
                ));
            }
            Datagram::Refuse(_, body) => self.answers.check_nonce(who, replica_model, body.process_nonce)?,
            Datagram::PreVote(header, body) | Datagram::Grant(header, body) => {
                self.answers.check_announced(who, replica_model, header)?;
                self.check_position(
                    facts,
                    who,
                    replica_model,
                    header,
                    "asks for votes, or grants one, and says",
                )?;
                self.answers.check_nonce(who, replica_model, body.process_nonce)?;
                self.answers.check_query(
                    who,
                    replica_model,
                    body,
                    matches!(datagram, Datagram::PreVote(..)),
                )?;
            }
            Datagram::StepDown(header, body) => {
                self.answers.check_announced(who, replica_model, header)?;
                self.check_position(facts, who, replica_model, header, "stops, and says")?;
                self.answers.check_nonce(who, replica_model, body.process_nonce)?;
                self.answers.check_step_down(facts, who, replica_model, header, body)?;
                facts.stopped.insert(header.epoch());
            }
            Datagram::QueryReply(header, body) => {
                self.answers.check_announced(who, replica_model, header)?;
                self.check_position(facts, who, replica_model, header, "replies")?;
                self.answers.check_nonce(who, replica_model, body.process_nonce)?;
                self.answers.check_reply(facts, who, replica_model, sent, header, body)?;
            }
            Datagram::Release(header, body) => check_release(&facts.tree, who, replica_model, header, body)?,
            Datagram::Times(header, body) => check_times(&facts.tree, who, replica_model, header, body)?,
            Datagram::Status(header, body, members, ..) => {
                self.answers.check_announced(who, replica_model, header)?;
                self.check_position(facts, who, replica_model, header, "tells as its status")?;
                self.answers.check_nonce(who, replica_model, body.process_nonce)?;
                self.answers.check_status(facts, who, replica_model, header, body, members.iter())?;
            }
            Datagram::Events(header, ..) => self.answers.check_announced(who, replica_model, header)?,
            Datagram::CommandResult(header, body) => {
                self.answers.check_announced(who, replica_model, header)?;
                self.answers.check_command_result(who, body)?;
            }
            Datagram::RepairReject(header, body) => {
                self.answers.check_announced(who, replica_model, header)?;
                self.check_position(facts, who, replica_model, header, "refuses, and says")?;
                self.answers.check_repair_reject(who, sent, header, body)?;
            }
            Datagram::PublisherNotice(header, rows) => {
                self.answers.check_announced(who, replica_model, header)?;
                self.answers.check_notice(facts, who, replica_model, header, rows.iter())?;
            }
            Datagram::IdentityProbe(_, body) => {
                self.answers.check_nonce(who, replica_model, body.process_nonce)?
            }
            // A request is judged where it is answered.
            Datagram::Nack(..) | Datagram::Query(..) | Datagram::AddressProof(..) => {}
            // Sent by clients and watchers, requested of a device that has no groups, or carried by
            // connections.
            Datagram::Submission(..)
            | Datagram::DeathNotice(..)
            | Datagram::Join(..)
            | Datagram::Lease(..)
            | Datagram::ReplayRequest(..)
            | Datagram::ReplayAnswer(..)
            | Datagram::ReplayMark(..)
            | Datagram::ReplayCheckpoint(..) => {
                return Err(format!(
                    "WIRE: replica {who} says what no replica says: {:?}",
                    Header::peek(sent.bytes)
                ));
            }
        }
        Ok(())
    }

    /// PROOF-1: a proof that process `who` demands of an address, or that an address returns.
    fn on_address_proof(&mut self, who: usize, sent: &SentDatagram<'_>, header: &Header, proof: u64) {
        let To::Unicast(to) = sent.to else { return };
        if header.flags & ADDRESS_PROOF_RETURNED == 0 {
            self.proofs_demanded.insert((who, to), proof);
        } else {
            self.proofs_returned.insert((sent.from, proof));
        }
    }

    /// Whether `address` has returned the proof that this run of process `who` demanded.
    fn has_proved(&self, who: usize, address: SocketAddrV4) -> bool {
        let demanded = self.proofs_demanded.get(&(who, address));
        demanded.is_some_and(|proof| self.proofs_returned.contains(&(address, *proof)))
    }

    /// S2: nothing is said below the promise.
    fn check_level(
        &self,
        who: usize,
        replica_model: &ReplicaModel,
        epoch: Epoch,
        what: &str,
    ) -> Result<(), Violation> {
        if epoch < replica_model.level {
            return Err(format!("S2: replica {who} {what} in {epoch}, it promised {}", replica_model.level));
        }
        Ok(())
    }

    /// Whether a node was in the log of this replica model at some moment of its last turn.
    fn was_logged(
        &self,
        facts: &OracleFacts,
        who: usize,
        replica_model: &ReplicaModel,
        node: Option<TreeNode>,
    ) -> bool {
        let was_stored = |log: Option<TreeNode>| facts.tree.begins_with(log, node);
        was_stored(replica_model.tip)
            || was_stored(replica_model.tip_before)
            || facts.replaced_by(who).iter().any(|old| was_stored(Some(*old)))
    }

    /// The ends of this replica model's log during its last turn: an ack may come between two frames, or
    /// before a suffix replacement.
    fn ends(&self, facts: &OracleFacts, who: usize, replica_model: &ReplicaModel) -> Vec<TreeNode> {
        let mut ends: Vec<TreeNode> = replica_model.tip_before.into_iter().collect();
        let mut before = replica_model.tip_before;
        for now in facts.replaced_by(who).iter().copied().map(Some).chain([replica_model.tip]) {
            ends.extend(facts.tree.path(facts.tree.common(before, now), now));
            before = now;
        }
        ends
    }

    /// Whether the log of this replica model ended in `epoch` at some moment of its last turn.
    fn has_accepted(
        &self,
        facts: &OracleFacts,
        who: usize,
        replica_model: &ReplicaModel,
        epoch: Epoch,
    ) -> bool {
        self.ends(facts, who, replica_model).iter().any(|&node| facts.tree.stem(node).epoch == epoch)
    }

    /// The header names the end of the sender's log: the log must have ended there in this turn.
    fn check_position(
        &self,
        facts: &OracleFacts,
        who: usize,
        replica_model: &ReplicaModel,
        header: &Header,
        what: &str,
    ) -> Result<(), Violation> {
        let stands = |tree: &Tree, log: Option<TreeNode>| {
            let at = tree.cut(log, header.first_seq);
            let found = at.map_or((Epoch::NONE, 1, 0), |at| {
                let stem = tree.stem(at);
                (stem.epoch, stem.next, stem.chain)
            });
            found == (header.epoch(), header.first_seq, header.chain)
        };
        let exchanged = facts.replaced_by(who).iter().copied().map(Some);
        if [replica_model.tip, replica_model.tip_before]
            .into_iter()
            .chain(exchanged)
            .any(|log| stands(&facts.tree, log))
        {
            return Ok(());
        }
        Err(format!(
            "S3: replica {who} {what} that its log ends at {} in {} with chain {:#x}, it ends at {:?}",
            { header.first_seq },
            header.epoch(),
            { header.chain },
            replica_model.end
        ))
    }

    /// S2, S3: an ack names exactly the log of its epoch.
    fn check_ack(
        &self,
        facts: &OracleFacts,
        who: usize,
        replica_model: &mut ReplicaModel,
        header: &Header,
    ) -> Result<(), Violation> {
        let (epoch, next) = (header.epoch(), header.first_seq);
        self.check_level(who, replica_model, epoch, "acknowledged")?;
        let stored = match replica_model.configured {
            Durability::Process => replica_model.promised,
            Durability::Power => replica_model.promise_stored,
        };
        if next == NOTHING && stored >= epoch {
            return Ok(()); // it follows, and stores nothing of it yet
        }
        let log = self.ends(facts, who, replica_model).into_iter().find(|node| {
            let stem = facts.tree.stem(*node);
            stem.epoch == epoch && stem.next >= next
        });
        let at = facts.tree.cut(log, next);
        let chain = at.map_or(0, |at| facts.tree.stem(at).chain);
        let fits = facts.tree.next(at) == next && (header.chain == 0 || header.chain == chain);
        if log.is_none() || !fits {
            return Err(format!(
                "S3: replica {who} acknowledged {epoch} up to {next} with chain {:#x}, its log ends at {:?}",
                { header.chain },
                replica_model.end
            ));
        }
        let durable = replica_model.durable.max(replica_model.durable_before);
        if facts.rests_on(replica_model, epoch) == Durability::Power && next > durable {
            return Err(format!(
                "S3: replica {who} acknowledged {next}, its disk has everything below {durable}"
            ));
        }
        replica_model.acked = at;
        if at.is_some_and(|at| facts.tree.stem(at).epoch == epoch) {
            replica_model.epoch_sent = replica_model.epoch_sent.max(epoch);
        }
        Ok(())
    }

    /// S2, S5: a ballot is stored before it is said, and told with the log as it is.
    fn check_ballot(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        replica_model: &mut ReplicaModel,
        header: &Header,
        body: &BallotBody,
        prepares: bool,
    ) -> Result<(), Violation> {
        let ballot = Epoch(body.ballot);
        self.check_level(who, replica_model, ballot, if prepares { "prepared" } else { "promised" })?;
        let stored = match replica_model.configured {
            Durability::Process => replica_model.promised,
            Durability::Power => replica_model.promise_stored,
        };
        if stored < ballot {
            return Err(format!("S2: replica {who} speaks in {ballot}, but has stored {stored}"));
        }
        if prepares && ballot.leader() != replica_model.identity {
            return Err(format!("S1: replica {who} prepares {ballot}"));
        }
        self.check_position(facts, who, replica_model, header, "promises")?;
        replica_model.level = ballot;
        replica_model.epoch_sent = replica_model.epoch_sent.max(ballot);
        let log = (header.epoch(), header.first_seq);
        let promises = &mut facts.ballots.entry(ballot).or_default().promises;
        // In a repeated promise the log may have grown by salvage only: the first promise counts.
        promises.entry(replica_model.identity).or_insert(log);
        Ok(())
    }

    /// S11: what is repaired is in the giver's log, and what is not committed goes to its own followers.
    fn check_repair(
        &self,
        facts: &OracleFacts,
        who: usize,
        replica_model: &ReplicaModel,
        sent: &SentDatagram<'_>,
        frame: &FrameView<'_>,
        trailer: &RepairTrailer,
    ) -> Result<(), Violation> {
        let header = frame.header;
        let node = facts.tree.find(header.epoch(), header.first_seq);
        let same = node.is_some_and(|node| facts.tree.stem(node).seal == frame_seal(header));
        if !same || !self.was_logged(facts, who, replica_model, node) {
            return Err(format!(
                "S11: replica {who} repaired a frame at {} of {} that is not in its log",
                { header.first_seq },
                header.epoch()
            ));
        }
        let accepted = Epoch(trailer.accepted);
        if trailer.commit_next > replica_model.commit_next
            || !self.has_accepted(facts, who, replica_model, accepted)
        {
            return Err(format!(
                "S11: replica {who} repaired under ({accepted}, {}), which is not its own word",
                trailer.commit_next
            ));
        }
        let To::Unicast(to) = sent.to else {
            // To everybody, whatever epoch each follows.
            if header.next_seq() > trailer.commit_next {
                return Err(format!("S11: replica {who} repaired to a group what is not committed"));
            }
            return Ok(());
        };
        if trailer.token != 0 && !self.has_proved(who, to) {
            return Err(format!("PROOF-1: replica {who} repaired to {to}, which has not proved its address"));
        }
        let asked = self.answers.queried_by(to, sent.from, trailer.token);
        if header.next_seq() > trailer.commit_next
            && !asked.is_empty()
            && !asked.iter().any(|(epoch, start)| *epoch == accepted || *start && *epoch == header.epoch())
        {
            return Err(format!(
                "S11: replica {who} gave the frame at {} of {accepted}, not committed, to a follower of {asked:?}",
                { header.first_seq }
            ));
        }
        Ok(())
    }
}

impl Check for DatagramCheck {
    /// A datagram of process `who`. Of clients only requests matter.
    fn on_datagram(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        sent: &SentDatagram<'_>,
    ) -> Result<(), Violation> {
        let datagram = Datagram::decode(sent.bytes, keys::judge())
            .map_err(|reject| format!("WIRE: process {who} sent what it would refuse itself: {reject}"))?;
        match &datagram {
            Datagram::Nack(header, body, ranges) => {
                let starts = ranges.iter().len() == 0;
                self.answers.on_request(sent.from, body.token, (header.epoch(), starts));
            }
            Datagram::Query(_, body, name, _) => self.answers.on_query(sent, body.token, name),
            Datagram::AddressProof(header, body) => self.on_address_proof(who, sent, header, body.proof),
            _ => {}
        }
        let Some(mut replica_model) = facts.replicas.get(&who).copied() else {
            return match datagram {
                Datagram::Submission(_, entries) => self.answers.check_submission(facts, who, entries),
                Datagram::Nack(..) | Datagram::Query(..) | Datagram::AddressProof(..) => Ok(()),
                _ => {
                    Err(format!("WIRE: process {who} is no replica, and says {:?}", Header::peek(sent.bytes)))
                }
            };
        };
        self.check_datagram(facts, who, &mut replica_model, sent, &datagram)?;
        facts.replicas.insert(who, replica_model);
        Ok(())
    }
}
