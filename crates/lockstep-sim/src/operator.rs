//! The operator: changes the membership as the commands do. A change is a submission to the present leader,
//! repeated until the members show it; the death of one of two is a query to the other. The operator sees
//! the present state in the status, here in the leader's own log.

use super::check::log_tree::Stem;
use super::coverage::Event;
use super::keys;
use super::machine::{CLUSTER, Machine, MachineState};
use super::plan::{EndPlan, FaultNode};
use super::populate::address;
use super::rejoining::Rejoiners;
use super::story::Happening;
use super::wire::{ALL_TRAFFIC, Broken, Route};
use super::world::{Actor, World};
use super::year::pursued_ns;
use crate::check::Violation;
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

/// The operator's node number in the network: no process has it.
pub(super) const OPERATOR: usize = 31;
/// The node whose keys the operator has.
const HOST: usize = 0;

/// One step of an operator; the next one waits for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OperatorStep {
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
pub(super) struct SimOperator {
    errands: Vec<Errand>,
    /// Every change that was ever commanded: the membership that it follows, the change, the member, and the
    /// datagram.
    pub(super) commands: Vec<(Seq, Change, Identity, Vec<u8>)>,
    /// Survivor and dead, as commanded.
    declared: Vec<(Identity, Identity)>,
    /// By token: whether the member declared dead was alive.
    asked: Vec<bool>,
    /// How many orders were signed.
    signed: u64,
    /// Those who rejoin by themselves.
    pub(super) rejoiners: Rejoiners,
}

impl SimOperator {
    /// The time of the next action.
    pub(super) fn next_at(&self) -> Nanos {
        self.errands.iter().map(|errand| errand.next_at).min().unwrap_or(Nanos::MAX)
    }

    /// Whether the journal at a node is to be formatted anew.
    pub(super) fn renews(&self, node: usize) -> bool {
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
    pub(super) fn sleep(&mut self, lasting: Nanos) {
        for errand in &mut self.errands {
            (errand.next_at, errand.until) = (errand.next_at + lasting, errand.until + lasting);
        }
    }

    /// The process of the command that was begun last dies after so many of its steps.
    pub(super) fn end_last_after(&mut self, steps: usize) {
        if let Some(errand) = self.errands.last_mut() {
            errand.left = steps;
        }
    }

    /// Gives no more commands.
    pub(super) fn rest(&mut self) {
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

impl World {
    /// Begins these steps, the first one after a while.
    pub(super) fn order(&mut self, steps: &[OperatorStep], after: Nanos) {
        self.command_until(steps, after, self.ctx.now + pursued_ns(&self.ctx.plan));
    }

    /// The same, pursued until `until`.
    pub(super) fn command_until(&mut self, steps: &[OperatorStep], after: Nanos, until: Nanos) {
        self.ctx.tell(0, || Happening::Fault(format!("the operator begins {steps:?}")));
        let next_at = self.ctx.now + after;
        let steps: VecDeque<_> = steps.iter().copied().collect();
        self.operator.errands.push(Errand { left: steps.len(), steps, next_at, until });
    }

    /// The operator's turn.
    pub(super) fn operate(&mut self) -> Result<(), Violation> {
        let now = self.ctx.now;
        let mut errands = std::mem::take(&mut self.operator.errands);
        for errand in errands.iter_mut().filter(|errand| errand.next_at <= now) {
            errand.next_at = now + self.ctx.plan.timeout_ns / 4;
            if let Some(step) = errand.steps.front()
                && self.try_step(*step)?
            {
                errand.steps.pop_front();
                errand.left -= 1;
            }
        }
        errands.retain(|errand| errand.left > 0 && now < errand.until);
        self.operator.errands.append(&mut errands);
        Ok(())
    }

    /// Takes the present action for a step. Returns whether the step has ended.
    fn try_step(&mut self, step: OperatorStep) -> Result<bool, Violation> {
        match step {
            // A journal that the cluster may have heard of is not formatted again.
            OperatorStep::Renew(node) if self.lost >> node & 1 == 0 => Ok(true),
            OperatorStep::Renew(node) => self.renew(node).map(|()| true),
            OperatorStep::Rejoin(node) => gives_up(self, node),
            OperatorStep::Declare { survivor, dead, truly } => Ok(self.declare(survivor, dead, truly)),
            OperatorStep::Remove(identity) => Ok(self.change(Change::Remove, identity, false, 0)),
            OperatorStep::Swap { node, patient } => {
                let Some(identity) = self.identity_at(node) else { return Ok(true) };
                if patient && self.stored_next(node) < self.ctx.oracle.commit_next() {
                    return Ok(false);
                }
                Ok(self.change(Change::Replace, identity, false, 0))
            }
            OperatorStep::Add { node, witness, patient } => {
                let Some(identity) = self.identity_at(node) else { return Ok(true) };
                let holds = self.stored_next(node) >= self.ctx.oracle.commit_next();
                if patient && !holds {
                    return Ok(false);
                }
                Ok(self.change(Change::Add, identity, witness, u64::from(!holds)))
            }
        }
    }

    /// The identity at a node that is not lost.
    pub(super) fn identity_at(&self, node: usize) -> Option<Identity> {
        match &self.nodes[node].actor {
            Actor::Replica(machine) if self.lost >> node & 1 == 0 => Some(machine.identity),
            _ => None,
        }
    }

    /// The node of this identity, if it is not lost.
    pub(super) fn node_of(&self, identity: Identity) -> Option<usize> {
        (0..self.ctx.plan.replicas).find(|node| self.identity_at(*node) == Some(identity))
    }

    /// The end of the leader's log.
    pub(super) fn status(&self) -> Option<&Stem> {
        let leader = self.resolve(FaultNode::Leader)?;
        self.ctx.oracle.log_tip(leader).map(|tip| self.ctx.oracle.tree.stem(tip))
    }

    fn change(&mut self, change: Change, identity: Identity, witness: bool, early: u64) -> bool {
        let Some(status) = self.status() else { return false };
        let (after, is_listed) = (status.members_seq, status.members.contains(&identity));
        if is_listed == (change != Change::Remove) {
            // Seen committed, or seen again.
            return self.ctx.oracle.commit_next() > after;
        }
        let home = address(identity.replica as usize - 1);
        let member = match witness {
            true => MemberBody::witness(identity, home),
            false => MemberBody::full(identity, home),
        };
        let (state, nonce) = ((status.epoch, after), self.operator.nonce());
        let out = self.change_order(state, change, member, |order| keys::operator_key().prove(order, nonce));
        for _ in 0..early {
            self.ctx.oracle.coverage.count(Event::LearnersAdded);
        }
        self.ctx.oracle.on_command(after, identity);
        self.operator.commands.push((after, change, identity, out.clone()));
        self.post_all(Some(Group::Submit), &out);
        self.ask_all(QueryKind::Status);
        false
    }

    /// The datagram that orders a change of the membership, for an epoch and a membership.
    pub(super) fn change_order(
        &self,
        (epoch, after): (Epoch, Seq),
        change: Change,
        member: MemberBody,
        prove: impl FnOnce(&OrderStatement<'_>) -> OrderProof,
    ) -> Vec<u8> {
        let mut payload = [0; MEMBERSHIP_LEN_MAX + ORDER_PROOF_LEN];
        let length = write_membership(&mut payload, after, change, member, &[]);
        let proof = prove(&OrderStatement {
            order: OperatorOrder::Membership,
            history: self.ctx.oracle.history(),
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
        let (history, epoch) = (self.ctx.oracle.history(), epoch.0);
        self.nodes[HOST]
            .keys
            .operator
            .seal(out, Header { history, epoch, count: 1, ..header(Kind::Submission) });
        out.to_vec()
    }

    /// The datagram that orders what a query does, for an epoch and a membership.
    pub(super) fn query_order(
        &mut self,
        (epoch, membership_seq): (Epoch, Seq),
        lives: bool,
        (query_kind, name): (QueryKind, &str),
        prove: impl FnOnce(&OrderStatement<'_>) -> OrderProof,
    ) -> Vec<u8> {
        let proof = query_kind.order().map(|order| {
            prove(&OrderStatement {
                order,
                history: self.ctx.oracle.history(),
                epoch,
                membership_seq,
                subject: name.parse().ok(),
                arguments: &named_arguments(order, name),
            })
        });
        let mut out = [0; SMALL_LEN_MAX];
        let token = self.operator.token(lives);
        let header = Header { epoch: epoch.0, first_seq: membership_seq, ..header(Kind::Query) };
        let query = (query_kind, name);
        let length =
            write_order(&mut out, &self.nodes[HOST].keys.operator, header, token, query, proof.as_ref());
        out[..length].to_vec()
    }

    /// The operator orders what the leader does to its log: that it rises to the newest version, or that time
    /// goes back from where its log has it.
    pub(super) fn order_log(&mut self, query_kind: QueryKind) {
        let leader = self.resolve(FaultNode::Leader);
        let state = self.status().map(|stem| (stem.epoch, stem.members_seq, stem.timestamp));
        let (Some(leader), Some((epoch, after, time))) = (leader, state) else { return };
        let (name, ask, event, what) = log_order(query_kind, time);
        let nonce = self.operator.nonce();
        let prove = |order: &OrderStatement<'_>| keys::operator_key().prove(order, nonce);
        let bytes = self.query_order((epoch, after), true, (query_kind, &name), prove);
        self.post(leader, None, &bytes);
        self.ask_all(ask);
        self.ctx.count(event);
        self.ctx.tell(leader, || Happening::Fault(what.to_string()));
    }

    /// Copies of a past command arrive.
    pub(super) fn command_late(&mut self) {
        let at = self.ctx.rng.below(self.operator.commands.len() as u64) as usize;
        if let Some((.., bytes)) = self.operator.commands.get(at).cloned() {
            self.ctx.oracle.coverage.count(Event::OrdersLate);
            self.post_all(Some(Group::Submit), &bytes);
        }
    }

    /// Asks all of them; of those for the status each fourth asks for events, by a query of the same length.
    fn ask_all(&mut self, query_kind: QueryKind) {
        let mut out = [0; SMALL_LEN_MAX];
        let token = self.operator.token(false);
        let is_fourth = query_kind == QueryKind::Status && token % 4 == 3;
        let query_kind = if is_fourth { QueryKind::Events } else { query_kind };
        let length =
            write_query(&mut out, &self.nodes[HOST].keys.replica, header(Kind::Query), token, query_kind, "");
        self.post_all(None, &out[..length]);
    }

    pub(super) fn post_all(&mut self, group: Option<Group>, bytes: &[u8]) {
        (0..self.ctx.plan.replicas).for_each(|to| self.post(to, group, bytes));
    }

    pub(super) fn post(&mut self, to: usize, group: Option<Group>, bytes: &[u8]) {
        self.ctx.network.next_number();
        let route = Route { from: OPERATOR, to, group };
        self.ctx.network.send(&self.ctx.plan.network, self.ctx.now, route, bytes, &mut self.ctx.oracle.coverage);
    }

    /// A reply to the operator arrives.
    pub(super) fn answer(&mut self, bytes: &[u8]) {
        let coverage = &mut self.ctx.oracle.coverage;
        let denied = match Datagram::decode(bytes, &self.nodes[HOST].keys.replica) {
            Ok(Datagram::Status(header, body, rows, ..)) => {
                self.operator.rejoiners.note(self.ctx.now, header, &body, rows);
                body.denied
            }
            Ok(Datagram::Events(_, _, rows)) => {
                if rows.iter().len() > 0 {
                    coverage.count(Event::EventPages);
                }
                0
            }
            Ok(Datagram::CommandResult(_, body)) => {
                let lives = self.operator.asked.get(body.token as usize);
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

    fn declare(&mut self, survivor: usize, dead: Identity, truly: bool) -> bool {
        let Some(one) = self.identity_at(survivor) else { return true };
        let tip = self.ctx.oracle.log_tip(survivor).map(|tip| self.ctx.oracle.tree.stem(tip));
        // The state that the order is given for, as the survivor's status has it.
        let state = tip.map_or((Epoch::NONE, 0), |stem| (stem.epoch, stem.members_seq));
        if tip.is_some_and(|stem| !stem.members.contains(&dead)) && self.nodes[survivor].led.is_some() {
            return true;
        }
        // If each of two members received the command that the other is dead, both would stop: an operator
        // may not do that.
        if self.operator.declared.contains(&(dead, one)) {
            return true;
        }
        if !self.operator.declared.contains(&(one, dead)) {
            self.operator.declared.push((one, dead));
        }
        // Its command result may be lost.
        self.ctx.oracle.reference.on_declared(one, dead);
        let (name, nonce) = (dead.to_string(), self.operator.nonce());
        let order = (QueryKind::DeclareDead, name.as_str());
        let out = self.query_order(state, !truly, order, |order| keys::operator_key().prove(order, nonce));
        self.post(survivor, None, &out);
        false
    }

    /// A new journal, with a new incarnation, for a machine whose old one is lost for good.
    fn renew(&mut self, node: usize) -> Result<(), Violation> {
        let (plan, now) = (&self.ctx.plan, self.ctx.now);
        let Actor::Replica(machine) = &mut self.nodes[node].actor else { return Ok(()) };
        self.ctx.oracle.on_forgotten(machine.identity);
        self.ctx.oracle.on_renewed(node);
        let old = machine.identity;
        **machine =
            Machine::new(plan, machine.configured, Identity { incarnation: old.incarnation + 0x100, ..old })?;
        if let MachineState::Down(_, until) = &mut machine.state {
            *until = now + plan.timeout_ns / 2;
        }
        self.lost &= !(1 << node);
        (self.nodes[node].led, self.nodes[node].notice) = (None, Vec::new());
        self.ctx.tell(node, || Happening::Fault(format!("is formatted anew, it was {old}")));
        Ok(())
    }

    /// A member leaves, any one.
    pub(super) fn remove(&mut self, target: FaultNode) {
        if let Some(identity) = self.resolve(target).and_then(|node| self.identity_at(node)) {
            self.order(&[OperatorStep::Remove(identity)], 0);
        }
    }

    /// Of two members one dies for long, or is cut off; and the other receives the command that it is dead.
    pub(super) fn remove_declared_dead(&mut self, first: bool, truly: bool) -> Result<(), Violation> {
        let members = self.members_in_force();
        let nodes: Vec<_> = members.iter().filter_map(|member| self.node_of(*member)).collect();
        let &[one, other] = &nodes[..] else { return Ok(()) };
        let (survivor, gone) = if first { (one, other) } else { (other, one) };
        let (Some(dead), timeout_ns) = (self.identity_at(gone), self.ctx.plan.timeout_ns) else { return Ok(()) };
        let declare = OperatorStep::Declare { survivor, dead, truly };
        if truly {
            self.crash(FaultNode::Replica(gone), EndPlan::Clean, 30 * timeout_ns)?;
            self.lost |= 1 << gone;
            let add = OperatorStep::Add { node: gone, witness: false, patient: true };
            self.order(&[declare, OperatorStep::Renew(gone), add], 2 * timeout_ns);
            return Ok(());
        }
        let until = self.ctx.now + 12 * timeout_ns;
        let cut = |from, to| Broken { from, to, traffic: ALL_TRAFFIC, until, clogged: false };
        self.ctx.network.break_path(cut(1 << gone, !(1 << gone)));
        self.ctx.network.break_path(cut(!(1 << gone), 1 << gone));
        self.order(&[declare], 2 * timeout_ns);
        Ok(())
    }
}

/// Whether the replica at `node` gives its journal up now; it looks again where it does not. Of one whose
/// journal somebody else has renewed there is nothing to be given up.
fn gives_up(world: &mut World, node: usize) -> Result<bool, Violation> {
    if world.lost >> node & 1 == 0 {
        return Ok(true);
    }
    world.ask_all(QueryKind::Status);
    let (now, timeout_ns) = (world.ctx.now, world.ctx.plan.timeout_ns);
    let begins = world.operator.rejoiners.may_begin(node, now, timeout_ns)?;
    if begins {
        world.ctx.count(Event::Rejoins);
    }
    Ok(begins)
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
pub(super) fn is_operator(to: SocketAddrV4) -> bool {
    to == address(OPERATOR)
}
