//! # edge: the processes around the core, in the simulated world
//!
//! Gateways with their clients, copies of an application, feeds with their receivers, and operators who mark
//! days: the cores that production runs, over the handles that production has. A client's connection is two
//! streams of bytes that may end at any byte; a receiver loses datagrams; each process dies and is started
//! again, and is stopped cleanly.
//!
//! ```text
//!   traders ══ pipes ══▶ gateways ─▶ stream ─▶ copies ─▶ stream ─▶ gateways ══ pipes ══▶ traders
//!                                       └─▶ feeds ── datagrams, some lost ──▶ receivers
//!   books: a fold of the committed log; everything that clients and receivers receive is compared with it
//! ```
//! Judged end to end: each order is stamped once and in its client's order, each answer is sent once and in
//! order by whichever gateway, feeds are equal at all receivers, the outputs of all copies appear once, and
//! a client that is gone is disconnected in the stream.

mod books;
mod copy;
mod fix_books;
mod fix_reports;
mod fix_trader;
pub mod fix_wire;
mod pipe;
mod plan;
mod process;
mod receiver;
mod reminded;
mod trader;
mod turn;
mod users;
mod venue;

pub(super) use copy::{CopyOf, JudgeOf, MachineCopy, MachineUnderTest, OwnMachine};
pub(super) use plan::CLASSES;
pub use plan::{EdgeFault, EdgePlace, EdgePlan};
pub(super) use turn::EdgeTurn;

use crate::check::Violation;
use crate::context::RunContext;
use crate::coverage::Event;
use crate::host::{ByNode, Host, SimProcess};
use crate::machines::Machines;
use crate::rng::Rng;
use crate::story::Happening;
use crate::wire::NodeSet;
use books::EdgeModel;
use fix_trader::FixTrader;
use lockstep_wire::{Nanos, Seq};
use pipe::Link;
use plan::{CALENDARS, HANDLES};
use process::{EdgeNode, EdgeProcess, HandleNode, What};
use receiver::FeedReceiver;
use std::collections::BTreeMap;
use std::rc::Rc;
use trader::Trader;

/// Everything of the edge that is not a process on the cluster's network.
pub(super) struct Edges {
    plan: EdgePlan,
    rng: Rng,
    /// The first node of the edge.
    first: usize,
    /// Its processes, by node number, ...
    nodes: ByNode<EdgeNode>,
    /// ... and the nodes of their second handles.
    handles: ByNode<HandleNode>,
    traders: Vec<Trader>,
    fix_traders: Vec<FixTrader>,
    links: BTreeMap<u64, Link>,
    linked: u64,
    receivers: Vec<FeedReceiver>,
    books: EdgeModel,
    machine: Rc<dyn MachineUnderTest>,
    /// The digest that the copies have had at each place of the stream.
    copies: BTreeMap<Seq, u64>,
    /// Days that were commanded.
    days: u64,
    /// All other work is done, and the clients are gone for good: they must be disconnected in the stream.
    is_left: bool,
}

/// Orders of a client that are left at the end of the fault phase.
const LEFT_MAX: u64 = 3;

/// The nodes of an edge, those of second handles, and the names of all of them.
type Placed = (ByNode<EdgeNode>, ByNode<HandleNode>, Vec<String>);

/// The nodes of the edge from `first` on.
fn placed(ctx: &RunContext, plan: &EdgePlan, first: usize, rng: &mut Rng) -> Placed {
    let (mut nodes, mut handles, mut names) = (ByNode::default(), ByNode::default(), Vec::new());
    let host = || Host::new(&ctx.plan, ctx.now);
    let gateways = plan.gateway_nodes() / HANDLES;
    let now = ctx.now;
    let kinds = (0..gateways).map(What::Gateway);
    let kinds = kinds.chain((1..=plan.copies).map(|copy| What::Copy(copy as u8)));
    let kinds: Vec<_> = kinds.chain((0..plan.feeds).map(What::Feed)).collect();
    for (number, what) in kinds.into_iter().enumerate() {
        let node = first + names.len();
        // The duplicate starts later, and so may a copy.
        let at = match what {
            What::Gateway(gateway) if gateway == plan.stamped.len() => Nanos::MAX,
            What::Copy(_) if number > gateways && rng.below(2) == 0 => {
                now + rng.below(ctx.plan.fault_phase_ns)
            }
            _ => now,
        };
        nodes.add(node, EdgeNode::new(host(), what, at));
        names.push(format!("{what:?}"));
        if !matches!(what, What::Feed(_)) {
            handles.add(node + 1, HandleNode { host: host(), owner: node });
            names.push(format!("{what:?}, its reader"));
        }
    }
    for _ in 0..CALENDARS {
        nodes.add(first + names.len(), EdgeNode::new(host(), What::Calendar, Nanos::MAX));
        names.push("calendar".to_string());
    }
    (nodes, handles, names)
}

impl Edges {
    /// The edge of a plan, with its nodes from `first` on, and their names; `None` if the plan has none.
    pub(crate) fn of_plan(
        ctx: &RunContext,
        first: usize,
        machine: Rc<dyn MachineUnderTest>,
    ) -> Option<(Box<Self>, Vec<String>)> {
        let plan = ctx.plan.edges.clone()?;
        let mut rng = Rng::new(ctx.plan.seed ^ 0x5ea7);
        let (nodes, handles, names) = placed(ctx, &plan, first, &mut rng);
        let traders = (0..plan.traders).map(|user| Trader::new(user, plan.orders, plan.every_ns)).collect();
        let judges_answers = machine.message(0, 1).is_none();
        // Another machine than the world's answers no OUCH 5.0.
        let begins = plan.fix_versions.map(|version| ["FIX.4.2", "FIX.4.4", "FIXT.1.1"][version as usize]);
        let begins = begins.into_iter().take(if judges_answers { plan.fix_traders } else { 0 });
        let of_fix = |(user, begin)| FixTrader::new(user, begin, (plan.orders, plan.every_ns));
        let fix_traders = (users::FIX_FIRST..).zip(begins).map(of_fix).collect();
        let feeds = plan.feeds;
        let receivers =
            (0..if feeds > 0 { plan.receivers } else { 0 }).map(|_| FeedReceiver::new(feeds)).collect();
        let edge = Self {
            plan,
            rng,
            first,
            nodes,
            handles,
            traders,
            fix_traders,
            links: BTreeMap::new(),
            linked: 0,
            receivers,
            books: EdgeModel::new(judges_answers),
            machine,
            copies: BTreeMap::new(),
            days: 0,
            is_left: false,
        };
        Some((Box::new(edge), names))
    }

    /// The process at a node, or the node of its second handle.
    pub(crate) fn node(&self, index: usize) -> Option<&dyn SimProcess> {
        let handle = self.handles.get(index).map(|node| node as &dyn SimProcess);
        self.nodes.get(index).map(|node| node as &dyn SimProcess).or(handle)
    }

    /// The time of the next turn at each node, and the node. Second handles have none of their own.
    pub(crate) fn ready(&self) -> impl Iterator<Item = (Nanos, usize)> {
        self.nodes.iter().map(|(index, node)| (node.ready_at(), index))
    }

    /// The process at a node, or the node of its second handle.
    pub(crate) fn node_mut(&mut self, index: usize) -> Option<&mut dyn SimProcess> {
        let handle = self.handles.get_mut(index).map(|node| node as &mut dyn SimProcess);
        self.nodes.get_mut(index).map(|node| node as &mut dyn SimProcess).or(handle)
    }

    /// The node of the process whose second handle is at `index`.
    pub(crate) fn owner(&self, index: usize) -> Option<usize> {
        self.handles.get(index).map(|node| node.owner)
    }

    /// Whether a process waits for the stream's beginning, which was removed.
    pub(crate) fn lacks_beginning(&self) -> bool {
        self.nodes.iter().any(|(_, node)| node.lacks_beginning())
    }

    /// The state of the process at a node, in words.
    pub(crate) fn described(&self, index: usize) -> Option<String> {
        self.nodes.get(index).map(EdgeNode::to_string)
    }

    /// The time of the next action of a client or a receiver.
    pub(crate) fn next_at(&self, ctx: &RunContext) -> Nanos {
        let traders = self.traders.iter().map(|trader| {
            let link = trader.link.and_then(|link| self.links.get(&link));
            let come = link.map_or(Nanos::MAX, |link| link.down.next_at());
            let come = if come < Nanos::MAX { come.max(trader.deaf_until) } else { come };
            trader.next_at().min(come)
        });
        let of_fix = self.fix_traders.iter().map(|trader| {
            let link = trader.link.and_then(|link| self.links.get(&link));
            let come = link.map_or(Nanos::MAX, |link| link.down.next_at());
            let come = if come < Nanos::MAX { come.max(trader.deaf_until) } else { come };
            trader.next_at().min(come)
        });
        let receivers = self.receivers.iter().map(FeedReceiver::next_at);
        traders.chain(of_fix).chain(receivers).min().unwrap_or(Nanos::MAX).max(ctx.dawn)
    }

    /// Clients and receivers have their turns.
    pub(crate) fn act(&mut self, ctx: &mut RunContext) -> Result<(), Violation> {
        self.judge_books(ctx)?;
        self.act_with(ctx)
    }

    /// Brings the books up to the committed log.
    pub(crate) fn judge_books(&mut self, ctx: &mut RunContext) -> Result<(), Violation> {
        self.books.fold(&ctx.oracle.facts.tree, ctx.oracle.facts.reference.tip())?;
        let large = self.books.large.drain(..);
        ctx.oracle.clients.whole.extend(large);
        for _ in 0..std::mem::take(&mut self.books.reaped) {
            ctx.count(Event::Reaped);
        }
        Ok(())
    }

    fn act_with(&mut self, ctx: &mut RunContext) -> Result<(), Violation> {
        let now = ctx.now;
        for trader in 0..self.traders.len() {
            let link = self.traders[trader].link.and_then(|link| self.links.get(&link));
            let come = link.map_or(Nanos::MAX, |link| link.down.next_at());
            if self.traders[trader].next_at().min(come) <= now {
                self.turn_trader(ctx, trader)?;
            }
        }
        for trader in 0..self.fix_traders.len() {
            let link = self.fix_traders[trader].link.and_then(|link| self.links.get(&link));
            let come = link.map_or(Nanos::MAX, |link| link.down.next_at());
            if self.fix_traders[trader].next_at().min(come) <= now {
                self.turn_fix_trader(ctx, trader)?;
            }
        }
        for receiver in 0..self.receivers.len() {
            if self.receivers[receiver].next_at() <= now {
                self.turn_receiver(ctx, receiver)?;
            }
        }
        Ok(())
    }

    fn edge(&mut self, place: EdgePlace) -> Option<(usize, &mut EdgeNode)> {
        let node = self.first + place;
        self.nodes.get_mut(node).map(|edge| (node, edge))
    }

    /// A fault strikes the edge.
    pub(crate) fn befall(&mut self, ctx: &mut RunContext, fault: EdgeFault) {
        let now = ctx.now;
        ctx.tell(0, || Happening::Fault(format!("edge: {fault:?}")));
        match fault {
            EdgeFault::Kill { place, lasting } => {
                if let Some((node, edge)) = self.edge(place)
                    && edge.process.is_some()
                {
                    let what = edge.what;
                    self.end_process(now, node, now + lasting);
                    let event = match what {
                        What::Gateway(_) => Some(Event::GatewaysKilled),
                        What::Copy(_) => Some(Event::CopiesKilled),
                        What::Feed(_) => Some(Event::FeedsKilled),
                        // Rare, and not counted: a command does not take long.
                        What::Calendar => None,
                    };
                    event.into_iter().for_each(|event| ctx.count(event));
                }
            }
            EdgeFault::Stop { place, lasting } => {
                if let Some((_, edge)) = self.edge(place)
                    && let Some(EdgeProcess::Gateway(process)) = &mut edge.process
                    && process.stops.is_none()
                {
                    process.core.stop(now);
                    process.stops = Some(now + 20_000_000);
                    edge.restart_at = now + lasting;
                    ctx.count(Event::GatewaysStopped);
                }
            }
            EdgeFault::Duplicate => {
                let place = self.plan.gateway_nodes() - HANDLES;
                if self.plan.duplicate
                    && let Some((_, edge)) = self.edge(place)
                    && edge.process.is_none()
                {
                    edge.restart_at = now;
                    ctx.count(Event::GatewayDuplicates);
                }
            }
            EdgeFault::Break { trader } => {
                if let Some(link) = self.link_of(trader).filter(|link| self.links.contains_key(link)) {
                    self.cut(now, link);
                    ctx.count(Event::ConnectionsBroken);
                }
            }
            EdgeFault::Deaf { trader, lasting } => {
                self.be_deaf(trader, now + lasting);
                ctx.count(Event::ClientsDeaf);
            }
            EdgeFault::Leave { trader, lasting } => {
                self.leave(trader, now + lasting);
                ctx.count(Event::ClientsLeft);
            }
            EdgeFault::Day { twice } => self.mark_day(ctx, twice),
        }
    }

    /// The operator begins a day, or ends the open one, as far as the operator knows; another one may do the
    /// same.
    fn mark_day(&mut self, ctx: &mut RunContext, twice: bool) {
        // No operator began the first day: it ends when another begins.
        let begins = self.books.open_day().is_none_or(|day| day == 0);
        let order = begins.then(String::new);
        let calendars = self.first + self.plan.nodes() - CALENDARS;
        let now = ctx.now;
        for number in 0..if twice { CALENDARS } else { 1 } {
            let late = if number == 0 { 0 } else { ctx.rng.below(4_000_000) };
            if let Some(edge) = self.nodes.get_mut(calendars + number)
                && edge.process.is_none()
            {
                (edge.order, edge.restart_at) = (Some(order.clone()), now + late);
                ctx.count(Event::DaysOrdered);
            }
        }
    }

    /// The process at `node` has ended; the next one starts then.
    fn end_process(&mut self, now: Nanos, node: usize, restart_at: Nanos) {
        let Some(edge) = self.nodes.get_mut(node) else { return };
        edge.process = None;
        edge.restart_at = restart_at;
        let run = edge.run;
        let is_of = |link: &Link| link.gateway == node && link.run == run && !link.gateway_gone;
        let gone: Vec<_> = self.links.iter().filter(|(_, link)| is_of(link)).map(|(at, _)| *at).collect();
        gone.into_iter().for_each(|link| self.cut(now, link));
        self.links.values_mut().filter(|link| is_of(link)).for_each(|link| link.gateway_gone = true);
        self.sweep();
    }

    /// A process of the edge starts.
    pub(crate) fn start(&mut self, ctx: &mut RunContext, node: usize) {
        let Some(edge) = self.nodes.get_mut(node) else { return };
        // A day's name is used once: a late command, and a repeated one, has another.
        if let Some(Some(name)) = &mut edge.order {
            self.days += 1;
            *name = format!("DAY{}", self.days);
        }
        // Now and then journals retain the newest day alone, and a little before it.
        let day = self.books.newest_day_at().filter(|_| self.plan.fix_traders > 0);
        let retained = day.filter(|_| matches!(edge.what, What::Gateway(_)) && self.rng.below(3) == 0);
        if let Some(day) = retained {
            edge.begins_at = Some(day.saturating_sub(self.rng.below(12)).max(2));
            ctx.count(Event::GatewaysLate);
        }
        edge.start((&ctx.plan, &self.plan), self.machine.as_ref(), node, ctx.now, &mut self.rng);
        edge.host.wake_at = ctx.now;
        ctx.tell(node, || Happening::Note("begins".to_string()));
    }

    /// The fault phase has ended: the healed part of the edge continues, and the rest never returns.
    /// `healthy` has a bit for each node.
    pub(crate) fn heal(&mut self, ctx: &RunContext, healthy: NodeSet) {
        let (first, nodes) = (self.first, self.plan.nodes());
        for trader in &mut self.traders {
            (trader.left, trader.deaf_until) = (trader.left.min(LEFT_MAX) + 1, 0);
            trader.retry_at = trader.retry_at.min(ctx.now + 1_000_000);
        }
        for trader in &mut self.fix_traders {
            (trader.left, trader.deaf_until) = (trader.left.min(LEFT_MAX) + 1, 0);
            trader.retry_at = trader.retry_at.min(ctx.now + 1_000_000);
        }
        let now = ctx.now;
        for node in first..first + nodes {
            let is_healthy = healthy >> node & 1 == 1;
            let Some(edge) = self.nodes.get_mut(node) else { continue };
            match (is_healthy, edge.what) {
                (false, _) => self.end_process(now, node, Nanos::MAX),
                (true, What::Calendar) => {}
                (true, What::Gateway(_)) if edge.restart_at == Nanos::MAX => {}
                (true, _) if edge.process.is_none() => edge.restart_at = now,
                _ => {}
            }
        }
    }

    /// The healed nodes of the edge: at least a gateway, a copy and a calendar.
    pub(crate) fn draw_healthy(&self, ctx: &mut RunContext) -> NodeSet {
        let (first, nodes) = (self.first, self.plan.nodes());
        let mut healthy = 0;
        let (mut gateway, mut copy) = (false, false);
        for node in first..first + nodes {
            let bit = match self.nodes.get(node) {
                Some(edge) => {
                    let is_first = match edge.what {
                        What::Gateway(_) => !std::mem::replace(&mut gateway, true),
                        What::Copy(_) => !std::mem::replace(&mut copy, true),
                        What::Calendar => true,
                        What::Feed(_) => false,
                    };
                    is_first || ctx.rng.below(4) > 0
                }
                None => self.owner(node).is_some_and(|owner| healthy >> owner & 1 == 1),
            };
            healthy |= NodeSet::from(bit) << node;
        }
        healthy
    }

    /// The work of the edge that is not done yet, in words; `None` if everything is.
    pub(crate) fn lacking(
        &mut self,
        ctx: &mut RunContext,
        machines: &Machines,
        healthy: NodeSet,
    ) -> Result<Option<String>, Violation> {
        let outcome = self.judge_books(ctx).and_then(|()| {
            let lacks = self.lacks();
            if lacks.is_none() && !self.is_left {
                self.traders.iter().try_for_each(|trader| trader.judge(&self.books))?;
                let Self { fix_traders, books, .. } = &mut *self;
                fix_traders.iter_mut().try_for_each(|trader| trader.judge(books.fix(trader.user)))?;
            }
            Ok(lacks)
        });
        let first_feed = self.first + self.plan.nodes() - CALENDARS - self.plan.feeds;
        let feeds_live = (first_feed..first_feed + self.plan.feeds).any(|node| healthy >> node & 1 == 1);
        let lacks = outcome.map(|lacks| {
            lacks.or_else(|| {
                let channel = self.plan.feeds_channel;
                let behind = |receiver: &FeedReceiver| receiver.lacks(&self.books, channel);
                self.receivers.iter().filter(|_| feeds_live).find_map(behind)
            })
        });
        let lacks = lacks.map(|lacks| lacks.or_else(|| self.pending_timers(ctx, machines, healthy)));
        let is_done = lacks == Ok(None) && !self.is_left;
        let (needs_day, calendars) =
            (self.books.open_day().is_none(), self.first + self.plan.nodes() - CALENDARS);
        // The last command of the fault phase may end a day.
        let is_idle = |node: usize| {
            self.nodes.get(node).is_none_or(|edge| edge.process.is_none() && edge.restart_at == Nanos::MAX)
        };
        if needs_day && (calendars..calendars + CALENDARS).all(is_idle) {
            self.mark_day(ctx, false);
        }
        if is_done {
            self.leave_edges(ctx.now, healthy);
            return Ok(Some("the clients are gone, and connected in the stream".to_string()));
        }
        lacks
    }

    /// A copy of the machine that waits for a timer, in words: replicas stamp ticks where nobody publishes. A
    /// timer waits while the leader's clock is behind it.
    fn pending_timers(&self, ctx: &RunContext, machines: &Machines, healthy: NodeSet) -> Option<String> {
        let is_healthy = |node: usize| healthy >> node & 1 == 1;
        let walls = machines.nodes.iter().enumerate().filter(|(node, _)| is_healthy(*node));
        let behind = walls.map(|(_, node)| node.machine.wall(ctx.now)).min().unwrap_or(0);
        let pending = |(_, edge): (usize, &EdgeNode)| match &edge.process {
            Some(EdgeProcess::Copy(process)) => process.copy.next_timer().filter(|due| *due < behind),
            _ => None,
        };
        let due = self.nodes.iter().filter(|(node, _)| is_healthy(*node)).find_map(pending)?;
        Some(format!("a timer that is due at {due} has not fired"))
    }

    /// All clients leave for good, and a gateway with them, where another one runs.
    fn leave_edges(&mut self, now: Nanos, healthy: NodeSet) {
        self.is_left = true;
        for at in 0..self.traders.len() {
            self.traders[at].retry_at = Nanos::MAX;
            if let Some(link) = self.traders[at].link {
                self.cut(now, link);
            }
        }
        for at in 0..self.fix_traders.len() {
            self.fix_traders[at].retry_at = Nanos::MAX;
            if let Some(link) = self.fix_traders[at].link {
                self.cut(now, link);
            }
        }
        let (first, gateways) = (self.first, self.plan.gateway_nodes());
        let is_ready = |edge: &EdgeNode| matches!(&edge.process, Some(EdgeProcess::Gateway(gateway)) if gateway.core.is_ready());
        let runs = |node: &usize| healthy >> node & 1 == 1 && self.nodes.get(*node).is_some_and(is_ready);
        let running: Vec<_> = (first..first + gateways).filter(runs).collect();
        if let [one, .., _] = running[..] {
            self.end_process(now, one, Nanos::MAX);
        }
    }
}

/// Places at which the copies are compared: a copy that reads the stream again is judged by its newest part.
const COPIES_MAX: usize = 8_192;

impl Edges {
    /// A copy has applied the stream up to here: every copy has had this state here.
    fn judge_copy(&mut self, node: usize, copy: &dyn MachineCopy) -> Result<(), Violation> {
        let (next, digest) = (copy.next(), copy.digest());
        if self.copies.len() >= COPIES_MAX && !self.copies.contains_key(&next) {
            self.copies.pop_first();
        }
        let others = *self.copies.entry(next).or_insert(digest);
        if others != digest {
            return Err(format!(
                "MACHINE: copy {node} has the digest {digest:016x} before {next}, another one {others:016x}"
            ));
        }
        Ok(())
    }

    /// The connection of a client; behind those of SoupBinTCP stand those of FIX.
    fn link_of(&self, trader: usize) -> Option<u64> {
        match trader.checked_sub(self.traders.len()) {
            None => self.traders[trader].link,
            Some(at) => self.fix_traders.get(at)?.link,
        }
    }

    /// A client reads nothing until then.
    fn be_deaf(&mut self, trader: usize, until: Nanos) {
        match trader.checked_sub(self.traders.len()).map(|at| self.fix_traders.get_mut(at)) {
            None => self.traders[trader].deaf_until = until,
            Some(Some(trader)) => trader.deaf_until = until,
            Some(None) => {}
        }
    }

    /// A client logs out, and returns then.
    fn leave(&mut self, trader: usize, until: Nanos) {
        match trader.checked_sub(self.traders.len()).map(|at| self.fix_traders.get_mut(at)) {
            None => self.traders[trader].leaves_until = Some(until),
            Some(Some(trader)) => trader.leaves_until = Some(until),
            Some(None) => {}
        }
    }

    /// A connection breaks, in both directions.
    fn cut(&mut self, now: Nanos, link: u64) {
        let (latency_ns, rng) = (self.plan.latency_ns, &mut self.rng);
        if let Some(link) = self.links.get_mut(&link) {
            link.up.cut(now, latency_ns, rng);
            link.down.cut(now, latency_ns, rng);
        }
    }

    /// Drops links that neither side has any more.
    fn sweep(&mut self) {
        self.links.retain(|_, link| !(link.client_gone && link.gateway_gone));
    }

    /// What clients and the application still lack, in words.
    fn lacks(&self) -> Option<String> {
        if self.is_left {
            let stays = (0..users::USERS).find(|user| self.books.is_connected(*user));
            return stays.map(|user| format!("{} is gone, and connected in the stream", users::name(user)));
        }
        let trader = self.traders.iter().find_map(|trader| trader.is_done(&self.books).err());
        let (books, day) = (&self.books, self.books.open_day());
        let mut of_fix = self.fix_traders.iter();
        let trader =
            trader.or_else(|| of_fix.find_map(|trader| trader.is_done(books.fix(trader.user), day).err()));
        let unanswered = self.books.unanswered();
        trader.or_else(|| (unanswered > 0).then(|| format!("{unanswered} orders are not answered"))).or_else(
            || {
                let fix_end = users::FIX_FIRST + self.fix_traders.len();
                let mut away = (self.traders.len()..users::FIX_FIRST).chain(fix_end..users::USERS);
                let away = away.find(|user| self.books.is_connected(*user));
                away.map(|user| format!("{} is connected, and never was", users::name(user)))
            },
        )
    }
}
