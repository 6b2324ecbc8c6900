//! The operator: changes the membership as the commands do. A change is a submission to the present leader,
//! repeated until the members show it; the death of one of two is a query to the other. The operator sees
//! the present state in the status, here in the leader's own log.

mod rejoining;

use crate::check::Violation;
use crate::context::{OPERATOR, RunContext};
use crate::coverage::Event;
use crate::engines::address;
use crate::keys;
use crate::kinds::FaultNode;
use crate::machine::CLUSTER;
use crate::machines::Machines;
use crate::operator::rejoining::Rejoiners;
use crate::plan::pursued_ns;
use crate::story::Happening;
use bytemuck::Zeroable;
use lockstep_core::engine::ports::Group;
use lockstep_wire::{
    Change, CommandReject, Datagram, EntryHeader, EntryKind, Epoch, HEADER_LEN, Header, Identity, Kind,
    MEMBERSHIP_LEN_MAX, MemberBody, Nanos, ORDER_PROOF_LEN, OperatorOrder, OrderProof, OrderStatement,
    QueryKind, SMALL_LEN_MAX, Seq, VERSION, named_arguments, write_entry, write_membership, write_order,
    write_query,
};
use std::collections::VecDeque;
use std::net::SocketAddrV4;

/// The node whose keys the operator has.
const HOST: usize = 0;

/// One step of an operator; the next one waits for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OperatorStep {
    /// The identity at this node becomes a member; with `patient`, it first stores the whole stream.
    Add { node: usize, witness: bool, patient: bool },
    /// This one leaves the membership.
    Remove(Identity),
    /// The identity at this node takes the place of the identity that this replica had.
    Swap { node: usize, patient: bool },
    /// The journal at this node is formatted anew.
    Renew(usize),
    /// The replica at this node, whose journal is lost, looks until it may rejoin.
    Rejoin(usize),
    /// The survivor (a node) continues without the dead one.
    Declare { survivor: usize, dead: Identity, truly: bool },
}

/// A change that was commanded: the membership that it follows, the change, the member, and the datagram.
pub(crate) type Command = (Seq, Change, Identity, Vec<u8>);

/// Steps in order, and the time until which they are pursued.
#[derive(Clone)]
struct Errand {
    steps: VecDeque<OperatorStep>,
    next_at: Nanos,
    until: Nanos,
    /// Steps after which the command's process dies.
    left: usize,
}

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct SimOperator {
    errands: Vec<Errand>,
    /// Every change that was ever commanded.
    pub(crate) commands: Vec<Command>,
    /// Survivor and dead, as commanded.
    declared: Vec<(Identity, Identity)>,
    /// By token: whether the member declared dead was alive.
    asked: Vec<bool>,
    /// How many orders were signed.
    signed: u64,
    /// Those who rejoin by themselves.
    pub(crate) rejoiners: Rejoiners,
}

impl SimOperator {
    /// The time of the next action.
    pub(crate) fn next_at(&self) -> Nanos {
        self.errands.iter().map(|errand| errand.next_at).min().unwrap_or(Nanos::MAX)
    }

    /// Whether the journal at a node is to be formatted anew.
    pub(crate) fn renews(&self, node: usize) -> bool {
        self.errands.iter().any(|errand| errand.steps.contains(&OperatorStep::Renew(node)))
    }

    /// The number of the next order that is signed.
    fn nonce(&mut self) -> u64 {
        self.signed += 1;
        self.signed
    }

    /// The token of the next query; whether a member that it declares dead is alive.
    fn token(&mut self, lives: bool) -> u64 {
        self.asked.push(lives);
        self.asked.len() as u64 - 1
    }

    /// Does nothing for so long: all commands go on afterwards.
    pub(crate) fn sleep(&mut self, lasting: Nanos) {
        for errand in &mut self.errands {
            (errand.next_at, errand.until) = (errand.next_at + lasting, errand.until + lasting);
        }
    }

    /// The process of the command that was begun last dies after so many of its steps.
    pub(crate) fn end_last_after(&mut self, steps: usize) {
        if let Some(errand) = self.errands.last_mut() {
            errand.left = steps;
        }
    }

    /// Gives no more commands.
    pub(crate) fn rest(&mut self) {
        self.errands.clear();
    }
}

/// An order about the log, where the stream's time is `time`: what it names, what shows its effect, and what
/// it is.
fn log_order(query_kind: QueryKind, time: Nanos) -> (String, QueryKind, Event, &'static str) {
    match query_kind {
        QueryKind::Time => {
            (time.to_string(), QueryKind::Times, Event::TimesOrdered, "is to set the stream's time back")
        }
        _ => {
            let what = "is to let the log rise to the newest version";
            (VERSION.to_string(), QueryKind::Release, Event::UpgradesOrdered, what)
        }
    }
}

impl SimOperator {
    /// Begins these steps, the first one after a while.
    pub(crate) fn order(&mut self, ctx: &mut RunContext, steps: &[OperatorStep], after: Nanos) {
        self.command_until(ctx, steps, after, ctx.now + pursued_ns(&ctx.plan));
    }

    /// The same, pursued until `until`.
    pub(crate) fn command_until(
        &mut self,
        ctx: &mut RunContext,
        steps: &[OperatorStep],
        after: Nanos,
        until: Nanos,
    ) {
        ctx.tell(0, || Happening::Fault(format!("the operator begins {steps:?}")));
        let next_at = ctx.now + after;
        let steps: VecDeque<_> = steps.iter().copied().collect();
        self.errands.push(Errand { left: steps.len(), steps, next_at, until });
    }

    /// The operator's turn.
    pub(crate) fn operate(&mut self, ctx: &mut RunContext, machines: &mut Machines) -> Result<(), Violation> {
        let now = ctx.now;
        let mut errands = std::mem::take(&mut self.errands);
        for errand in errands.iter_mut().filter(|errand| errand.next_at <= now) {
            errand.next_at = now + ctx.plan.timeout_ns / 4;
            if let Some(step) = errand.steps.front()
                && self.try_step(ctx, machines, *step)?
            {
                errand.steps.pop_front();
                errand.left -= 1;
            }
        }
        errands.retain(|errand| errand.left > 0 && now < errand.until);
        self.errands.append(&mut errands);
        Ok(())
    }

    /// Takes the present action for a step. Returns whether the step has ended.
    fn try_step(
        &mut self,
        ctx: &mut RunContext,
        machines: &mut Machines,
        step: OperatorStep,
    ) -> Result<bool, Violation> {
        match step {
            // A journal that the cluster may have heard of is not formatted again.
            OperatorStep::Renew(node) if machines.lost >> node & 1 == 0 => Ok(true),
            OperatorStep::Renew(node) => machines.renew(ctx, node).map(|()| true),
            OperatorStep::Rejoin(node) => self.gives_up(ctx, machines, node),
            OperatorStep::Declare { survivor, dead, truly } => {
                Ok(self.declare(ctx, machines, survivor, dead, truly))
            }
            OperatorStep::Remove(identity) => {
                Ok(self.change(ctx, machines, Change::Remove, identity, false, 0))
            }
            OperatorStep::Swap { node, patient } => {
                let Some(identity) = machines.identity_at(node) else { return Ok(true) };
                if patient && machines.stored_next(&ctx.oracle, node) < ctx.oracle.facts.commit_next() {
                    return Ok(false);
                }
                Ok(self.change(ctx, machines, Change::Replace, identity, false, 0))
            }
            OperatorStep::Add { node, witness, patient } => {
                let Some(identity) = machines.identity_at(node) else { return Ok(true) };
                let holds = machines.stored_next(&ctx.oracle, node) >= ctx.oracle.facts.commit_next();
                if patient && !holds {
                    return Ok(false);
                }
                Ok(self.change(ctx, machines, Change::Add, identity, witness, u64::from(!holds)))
            }
        }
    }

    /// Whether the replica at `node` gives its journal up now; it looks again where it does not. Of one whose
    /// journal somebody else has renewed there is nothing to be given up.
    fn gives_up(
        &mut self,
        ctx: &mut RunContext,
        machines: &Machines,
        node: usize,
    ) -> Result<bool, Violation> {
        if machines.lost >> node & 1 == 0 {
            return Ok(true);
        }
        self.ask_all(ctx, machines, QueryKind::Status);
        let begins = self.rejoiners.may_begin(node, ctx.now, ctx.plan.timeout_ns)?;
        if begins {
            ctx.count(Event::Rejoins);
        }
        Ok(begins)
    }

    fn change(
        &mut self,
        ctx: &mut RunContext,
        machines: &Machines,
        change: Change,
        identity: Identity,
        witness: bool,
        early: u64,
    ) -> bool {
        let Some(status) = machines.status(ctx) else { return false };
        let (after, is_listed) = (status.members_seq, status.members.contains(&identity));
        if is_listed == (change != Change::Remove) {
            // Seen committed, or seen again.
            return ctx.oracle.facts.commit_next() > after;
        }
        let home = address(identity.replica as usize - 1);
        let member = match witness {
            true => MemberBody::witness(identity, home),
            false => MemberBody::full(identity, home),
        };
        let (state, nonce) = ((status.epoch, after), self.nonce());
        let out = Self::change_order(ctx, machines, state, change, member, |order| {
            keys::operator_key().prove(order, nonce)
        });
        for _ in 0..early {
            ctx.count(Event::LearnersAdded);
        }
        ctx.oracle.logs.on_command(after, identity);
        self.commands.push((after, change, identity, out.clone()));
        ctx.post_all(Some(Group::Submit), &out);
        self.ask_all(ctx, machines, QueryKind::Status);
        false
    }

    /// The datagram that orders a change of the membership, for an epoch and a membership.
    pub(crate) fn change_order(
        ctx: &RunContext,
        machines: &Machines,
        (epoch, after): (Epoch, Seq),
        change: Change,
        member: MemberBody,
        prove: impl FnOnce(&OrderStatement<'_>) -> OrderProof,
    ) -> Vec<u8> {
        let mut payload = [0; MEMBERSHIP_LEN_MAX + ORDER_PROOF_LEN];
        let length = write_membership(&mut payload, after, change, member, &[]);
        let proof = prove(&OrderStatement {
            order: OperatorOrder::Membership,
            history: ctx.oracle.facts.history(),
            epoch,
            membership_seq: after,
            subject: Some(member.identity()),
            arguments: &payload[..length],
        });
        payload[length..length + ORDER_PROOF_LEN].copy_from_slice(bytemuck::bytes_of(&proof));
        let mut out = [0; SMALL_LEN_MAX];
        let entry = EntryHeader { kind: EntryKind::Membership as u8, ..EntryHeader::zeroed() };
        let written = write_entry(&mut out[HEADER_LEN..], entry, &payload[..length + ORDER_PROOF_LEN]);
        let out = &mut out[..HEADER_LEN + written.unwrap_or_default()];
        let (history, epoch) = (ctx.oracle.facts.history(), epoch.0);
        machines.nodes[HOST]
            .host
            .keys
            .operator
            .seal(out, Header { history, epoch, count: 1, ..header(Kind::Submission) });
        out.to_vec()
    }

    /// The datagram that orders what a query does, for an epoch and a membership.
    pub(crate) fn query_order(
        &mut self,
        ctx: &RunContext,
        machines: &Machines,
        (epoch, membership_seq): (Epoch, Seq),
        lives: bool,
        (query_kind, name): (QueryKind, &str),
        prove: impl FnOnce(&OrderStatement<'_>) -> OrderProof,
    ) -> Vec<u8> {
        let proof = query_kind.order().map(|order| {
            prove(&OrderStatement {
                order,
                history: ctx.oracle.facts.history(),
                epoch,
                membership_seq,
                subject: name.parse().ok(),
                arguments: &named_arguments(order, name),
            })
        });
        let mut out = [0; SMALL_LEN_MAX];
        let token = self.token(lives);
        let header = Header { epoch: epoch.0, first_seq: membership_seq, ..header(Kind::Query) };
        let query = (query_kind, name);
        let length = write_order(
            &mut out,
            &machines.nodes[HOST].host.keys.operator,
            header,
            token,
            query,
            proof.as_ref(),
        );
        out[..length].to_vec()
    }

    /// The operator orders what the leader does to its log: that it rises to the newest version, or that time
    /// goes back from where its log has it.
    pub(crate) fn order_log(&mut self, ctx: &mut RunContext, machines: &Machines, query_kind: QueryKind) {
        let leader = machines.resolve(FaultNode::Leader);
        let state = machines.status(ctx).map(|stem| (stem.epoch, stem.members_seq, stem.timestamp));
        let (Some(leader), Some((epoch, after, time))) = (leader, state) else { return };
        let (name, ask, event, what) = log_order(query_kind, time);
        let nonce = self.nonce();
        let prove = |order: &OrderStatement<'_>| keys::operator_key().prove(order, nonce);
        let bytes = self.query_order(ctx, machines, (epoch, after), true, (query_kind, &name), prove);
        ctx.post(leader, None, &bytes);
        self.ask_all(ctx, machines, ask);
        ctx.count(event);
        ctx.tell(leader, || Happening::Fault(what.to_string()));
    }

    /// Copies of a past command arrive.
    pub(crate) fn command_late(&mut self, ctx: &mut RunContext) {
        let at = ctx.rng.below(self.commands.len() as u64) as usize;
        if let Some((.., bytes)) = self.commands.get(at).cloned() {
            ctx.count(Event::OrdersLate);
            ctx.post_all(Some(Group::Submit), &bytes);
        }
    }

    /// Asks all of them; of those for the status each fourth asks for events, by a query of the same length.
    fn ask_all(&mut self, ctx: &mut RunContext, machines: &Machines, query_kind: QueryKind) {
        let mut out = [0; SMALL_LEN_MAX];
        let token = self.token(false);
        let is_fourth = query_kind == QueryKind::Status && token % 4 == 3;
        let query_kind = if is_fourth { QueryKind::Events } else { query_kind };
        let length = write_query(
            &mut out,
            &machines.nodes[HOST].host.keys.replica,
            header(Kind::Query),
            token,
            query_kind,
            "",
        );
        ctx.post_all(None, &out[..length]);
    }

    /// A reply to the operator arrives.
    pub(crate) fn answer(&mut self, ctx: &mut RunContext, machines: &Machines, bytes: &[u8]) {
        let coverage = &mut ctx.oracle.facts.coverage;
        let denied = match Datagram::decode(bytes, &machines.nodes[HOST].host.keys.replica) {
            Ok(Datagram::Status(header, body, rows, ..)) => {
                self.rejoiners.note(ctx.now, header, &body, rows);
                body.denied
            }
            Ok(Datagram::Events(_, _, rows)) => {
                if rows.iter().len() > 0 {
                    coverage.count(Event::EventPages);
                }
                0
            }
            Ok(Datagram::CommandResult(_, body)) => {
                let lives = self.asked.get(body.token as usize);
                if body.reject == 0 {
                    coverage.count(if lives == Some(&true) {
                        Event::LivingDeclared
                    } else {
                        Event::DeadDeclared
                    });
                }
                body.reject
            }
            _ => 0,
        };
        match CommandReject::from_u32(denied) {
            Some(CommandReject::Leads) => coverage.count(Event::LeaderRemovalsDenied),
            Some(_) => coverage.count(Event::OrdersDenied),
            None => {}
        }
    }

    fn declare(
        &mut self,
        ctx: &mut RunContext,
        machines: &Machines,
        survivor: usize,
        dead: Identity,
        truly: bool,
    ) -> bool {
        let Some(one) = machines.identity_at(survivor) else { return true };
        let tip = ctx.oracle.facts.log_tip(survivor).map(|tip| ctx.oracle.facts.tree.stem(tip));
        // The state that the order is given for, as the survivor's status has it.
        let state = tip.map_or((Epoch::NONE, 0), |stem| (stem.epoch, stem.members_seq));
        if tip.is_some_and(|stem| !stem.members.contains(&dead)) && machines.nodes[survivor].led.is_some() {
            return true;
        }
        // If each of two members received the command that the other is dead, both would stop: an operator
        // may not do that.
        if self.declared.contains(&(dead, one)) {
            return true;
        }
        if !self.declared.contains(&(one, dead)) {
            self.declared.push((one, dead));
        }
        // Its command result may be lost.
        ctx.oracle.facts.reference.on_declared(one, dead);
        let (name, nonce) = (dead.to_string(), self.nonce());
        let order = (QueryKind::DeclareDead, name.as_str());
        let out = self.query_order(ctx, machines, state, !truly, order, |order| {
            keys::operator_key().prove(order, nonce)
        });
        ctx.post(survivor, None, &out);
        false
    }

    /// A member leaves, any one.
    pub(crate) fn remove(&mut self, ctx: &mut RunContext, machines: &Machines, target: FaultNode) {
        if let Some(identity) = machines.resolve(target).and_then(|node| machines.identity_at(node)) {
            self.order(ctx, &[OperatorStep::Remove(identity)], 0);
        }
    }
}

fn header(kind: Kind) -> Header {
    let identity = Identity { replica: 3_000, incarnation: 1 };
    Header {
        cluster: CLUSTER,
        sender: identity.replica,
        incarnation: identity.incarnation,
        ..Header::new(kind)
    }
}

/// Whether a datagram to this address is for the operator.
pub(crate) fn is_operator(to: SocketAddrV4) -> bool {
    to == address(OPERATOR)
}
