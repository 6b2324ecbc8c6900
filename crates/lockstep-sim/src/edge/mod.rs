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
pub(super) use process::EdgeNode;

use super::check::Violation;
use super::context::RunPhase;
use super::coverage::Event;
use super::rng::Rng;
use super::story::Happening;
use super::wire::NodeSet;
use super::world::{Actor, SimNode, World};
use books::EdgeModel;
use fix_trader::FixTrader;
use lockstep_wire::{Nanos, Seq};
use pipe::Link;
use plan::{CALENDARS, HANDLES};
use process::{EdgeProcess, What};
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

impl World {
    /// Adds the nodes of the edge.
    pub(super) fn place_edges(&mut self, machine: Rc<dyn MachineUnderTest>) {
        let Some(plan) = self.ctx.plan.edges.clone() else { return };
        let mut rng = Rng::new(self.ctx.plan.seed ^ 0x5ea7);
        let first = self.nodes.len();
        let gateways = plan.gateway_nodes() / HANDLES;
        let now = self.ctx.now;
        let kinds = (0..gateways).map(What::Gateway);
        let kinds = kinds.chain((1..=plan.copies).map(|copy| What::Copy(copy as u8)));
        let kinds: Vec<_> = kinds.chain((0..plan.feeds).map(What::Feed)).collect();
        for (number, what) in kinds.into_iter().enumerate() {
            let node = self.nodes.len();
            // The duplicate starts later, and so may a copy.
            let at = match what {
                What::Gateway(gateway) if gateway == plan.stamped.len() => Nanos::MAX,
                What::Copy(_) if number > gateways && rng.below(2) == 0 => {
                    now + rng.below(self.ctx.plan.fault_phase_ns)
                }
                _ => now,
            };
            self.node(Actor::Edge(Box::new(EdgeNode::new(what, at))), format!("{what:?}"));
            if !matches!(what, What::Feed(_)) {
                self.node(Actor::Handle(node), format!("{what:?}, its reader"));
            }
        }
        for _ in 0..CALENDARS {
            let node = EdgeNode::new(What::Calendar, Nanos::MAX);
            self.node(Actor::Edge(Box::new(node)), "calendar".to_string());
        }
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
        self.edges = Some(Box::new(Edges {
            plan,
            rng,
            first,
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
        }));
    }

    /// The time of the next action of a client or a receiver.
    pub(super) fn next_edge_at(&self) -> Nanos {
        let Some(edges) = &self.edges else { return Nanos::MAX };
        let traders = edges.traders.iter().map(|trader| {
            let link = trader.link.and_then(|link| edges.links.get(&link));
            let come = link.map_or(Nanos::MAX, |link| link.down.next_at());
            let come = if come < Nanos::MAX { come.max(trader.deaf_until) } else { come };
            trader.next_at().min(come)
        });
        let of_fix = edges.fix_traders.iter().map(|trader| {
            let link = trader.link.and_then(|link| edges.links.get(&link));
            let come = link.map_or(Nanos::MAX, |link| link.down.next_at());
            let come = if come < Nanos::MAX { come.max(trader.deaf_until) } else { come };
            trader.next_at().min(come)
        });
        let receivers = edges.receivers.iter().map(FeedReceiver::next_at);
        traders.chain(of_fix).chain(receivers).min().unwrap_or(Nanos::MAX).max(self.ctx.dawn)
    }

    /// Clients and receivers have their turns.
    pub(super) fn act_edges(&mut self) -> Result<(), Violation> {
        let Some(mut edges) = self.edges.take() else { return Ok(()) };
        let outcome = self.judge_books(&mut edges).and_then(|()| self.act_with(&mut edges));
        self.edges = Some(edges);
        outcome
    }

    /// Brings the books up to the committed log, if there are any.
    pub(super) fn check_model(&mut self) -> Result<(), Violation> {
        let Some(mut edges) = self.edges.take() else { return Ok(()) };
        let outcome = self.judge_books(&mut edges);
        self.edges = Some(edges);
        outcome
    }

    /// Brings the books up to the committed log.
    fn judge_books(&mut self, edges: &mut Edges) -> Result<(), Violation> {
        edges.books.fold(&self.ctx.oracle.tree, self.ctx.oracle.reference.tip())?;
        let large = edges.books.large.drain(..);
        self.ctx.oracle.whole.extend(large);
        for _ in 0..std::mem::take(&mut edges.books.reaped) {
            self.ctx.oracle.coverage.count(Event::Reaped);
        }
        Ok(())
    }

    fn act_with(&mut self, edges: &mut Edges) -> Result<(), Violation> {
        let now = self.ctx.now;
        for trader in 0..edges.traders.len() {
            let link = edges.traders[trader].link.and_then(|link| edges.links.get(&link));
            let come = link.map_or(Nanos::MAX, |link| link.down.next_at());
            if edges.traders[trader].next_at().min(come) <= now {
                self.turn_trader(edges, trader)?;
            }
        }
        for trader in 0..edges.fix_traders.len() {
            let link = edges.fix_traders[trader].link.and_then(|link| edges.links.get(&link));
            let come = link.map_or(Nanos::MAX, |link| link.down.next_at());
            if edges.fix_traders[trader].next_at().min(come) <= now {
                self.turn_fix_trader(edges, trader)?;
            }
        }
        for receiver in 0..edges.receivers.len() {
            if edges.receivers[receiver].next_at() <= now {
                self.turn_receiver(edges, receiver)?;
            }
        }
        Ok(())
    }

    fn edge(&mut self, place: EdgePlace) -> Option<(usize, &mut EdgeNode)> {
        let node = self.edges.as_ref()?.first + place;
        match &mut self.nodes.get_mut(node)?.actor {
            Actor::Edge(edge) => Some((node, edge)),
            _ => None,
        }
    }

    /// A fault strikes the edge.
    pub(super) fn befall(&mut self, fault: EdgeFault) {
        let now = self.ctx.now;
        self.ctx.tell(0, || Happening::Fault(format!("edge: {fault:?}")));
        match fault {
            EdgeFault::Kill(place, lasting) => {
                if let Some((node, edge)) = self.edge(place)
                    && edge.process.is_some()
                {
                    let what = edge.what;
                    self.end_process(node, now + lasting);
                    let event = match what {
                        What::Gateway(_) => Some(Event::GatewaysKilled),
                        What::Copy(_) => Some(Event::CopiesKilled),
                        What::Feed(_) => Some(Event::FeedsKilled),
                        // Rare, and not counted: a command does not take long.
                        What::Calendar => None,
                    };
                    event.into_iter().for_each(|event| self.ctx.oracle.coverage.count(event));
                }
            }
            EdgeFault::Stop(place, lasting) => {
                if let Some((_, edge)) = self.edge(place)
                    && let Some(EdgeProcess::Gateway(process)) = &mut edge.process
                    && process.stops.is_none()
                {
                    process.core.stop(now);
                    process.stops = Some(now + 20_000_000);
                    edge.restart_at = now + lasting;
                    self.ctx.oracle.coverage.count(Event::GatewaysStopped);
                }
            }
            EdgeFault::Duplicate => {
                let Some(edges) = &self.edges else { return };
                let place = edges.plan.gateway_nodes() - HANDLES;
                if edges.plan.duplicate
                    && let Some((_, edge)) = self.edge(place)
                    && edge.process.is_none()
                {
                    edge.restart_at = now;
                    self.ctx.oracle.coverage.count(Event::GatewayDuplicates);
                }
            }
            EdgeFault::Break(trader) => {
                if let Some(mut edges) = self.edges.take() {
                    if let Some(link) = edges.link_of(trader).filter(|link| edges.links.contains_key(link)) {
                        edges.cut(now, link);
                        self.ctx.oracle.coverage.count(Event::ConnectionsBroken);
                    }
                    self.edges = Some(edges);
                }
            }
            EdgeFault::Deaf(trader, lasting) => {
                if let Some(edges) = &mut self.edges {
                    edges.be_deaf(trader, now + lasting);
                    self.ctx.oracle.coverage.count(Event::ClientsDeaf);
                }
            }
            EdgeFault::Leave(trader, lasting) => {
                if let Some(edges) = &mut self.edges {
                    edges.leave(trader, now + lasting);
                    self.ctx.oracle.coverage.count(Event::ClientsLeft);
                }
            }
            EdgeFault::Day(twice) => self.mark_day(twice),
        }
    }

    /// The operator begins a day, or ends the open one, as far as the operator knows; another one may do the
    /// same.
    fn mark_day(&mut self, twice: bool) {
        let Some(edges) = &mut self.edges else { return };
        // No operator began the first day: it ends when another begins.
        let begins = edges.books.open_day().is_none_or(|day| day == 0);
        let order = begins.then(String::new);
        let calendars = edges.first + edges.plan.nodes() - CALENDARS;
        let now = self.ctx.now;
        for number in 0..if twice { CALENDARS } else { 1 } {
            let late = if number == 0 { 0 } else { self.ctx.rng.below(4_000_000) };
            if let Actor::Edge(edge) = &mut self.nodes[calendars + number].actor
                && edge.process.is_none()
            {
                (edge.order, edge.restart_at) = (Some(order.clone()), now + late);
                self.ctx.oracle.coverage.count(Event::DaysOrdered);
            }
        }
    }

    /// The process at `node` has ended; the next one starts then.
    fn end_process(&mut self, node: usize, restart_at: Nanos) {
        let now = self.ctx.now;
        let Actor::Edge(edge) = &mut self.nodes[node].actor else { return };
        edge.process = None;
        edge.restart_at = restart_at;
        let run = edge.run;
        if let Some(edges) = &mut self.edges {
            let is_of = |link: &Link| link.gateway == node && link.run == run && !link.gateway_gone;
            let gone: Vec<_> =
                edges.links.iter().filter(|(_, link)| is_of(link)).map(|(at, _)| *at).collect();
            gone.into_iter().for_each(|link| edges.cut(now, link));
            edges.links.values_mut().filter(|link| is_of(link)).for_each(|link| link.gateway_gone = true);
            edges.sweep();
        }
    }

    /// A process of the edge starts.
    pub(super) fn start_edge(&mut self, node: usize) {
        let Some(mut edges) = self.edges.take() else { return };
        if let SimNode { actor: Actor::Edge(edge), keys, .. } = &mut self.nodes[node] {
            // A day's name is used once: a late command, and a repeated one, has another.
            if let Some(Some(name)) = &mut edge.order {
                edges.days += 1;
                *name = format!("DAY{}", edges.days);
            }
            let machine = Rc::clone(&edges.machine);
            // Now and then journals retain the newest day alone, and a little before it.
            let day = edges.books.newest_day_at().filter(|_| edges.plan.fix_traders > 0);
            let retained = day.filter(|_| matches!(edge.what, What::Gateway(_)) && edges.rng.below(3) == 0);
            if let Some(day) = retained {
                edge.begins_at = Some(day.saturating_sub(edges.rng.below(12)).max(2));
                self.ctx.oracle.coverage.count(Event::GatewaysLate);
            }
            let place = (node, &*keys);
            edge.start((&self.ctx.plan, &edges.plan), machine.as_ref(), place, self.ctx.now, &mut edges.rng);
        }
        self.edges = Some(edges);
        self.nodes[node].wake_at = self.ctx.now;
        self.ctx.tell(node, || Happening::Note("begins".to_string()));
    }

    /// The fault phase has ended: the healed part of the edge continues, and the rest never returns.
    /// `healthy` has a bit for each node.
    pub(super) fn heal_edges(&mut self, healthy: NodeSet) {
        let Some(edges) = &mut self.edges else { return };
        let (first, nodes) = (edges.first, edges.plan.nodes());
        for trader in &mut edges.traders {
            (trader.left, trader.deaf_until) = (trader.left.min(LEFT_MAX) + 1, 0);
            trader.retry_at = trader.retry_at.min(self.ctx.now + 1_000_000);
        }
        for trader in &mut edges.fix_traders {
            (trader.left, trader.deaf_until) = (trader.left.min(LEFT_MAX) + 1, 0);
            trader.retry_at = trader.retry_at.min(self.ctx.now + 1_000_000);
        }
        let now = self.ctx.now;
        for node in first..first + nodes {
            let is_healthy = healthy >> node & 1 == 1;
            let Actor::Edge(edge) = &mut self.nodes[node].actor else { continue };
            match (is_healthy, edge.what) {
                (false, _) => self.end_process(node, Nanos::MAX),
                (true, What::Calendar) => {}
                (true, What::Gateway(_)) if edge.restart_at == Nanos::MAX => {}
                (true, _) if edge.process.is_none() => edge.restart_at = now,
                _ => {}
            }
        }
    }

    /// The healed nodes of the edge: at least a gateway, a copy and a calendar.
    pub(super) fn draw_healthy_edges(&mut self) -> NodeSet {
        let Some(edges) = &self.edges else { return 0 };
        let (first, nodes) = (edges.first, edges.plan.nodes());
        let mut healthy = 0;
        let (mut gateway, mut copy) = (false, false);
        for node in first..first + nodes {
            let bit = match &self.nodes[node].actor {
                Actor::Edge(edge) => {
                    let is_first = match edge.what {
                        What::Gateway(_) => !std::mem::replace(&mut gateway, true),
                        What::Copy(_) => !std::mem::replace(&mut copy, true),
                        What::Calendar => true,
                        What::Feed(_) => false,
                    };
                    is_first || self.ctx.rng.below(4) > 0
                }
                Actor::Handle(owner) => healthy >> owner & 1 == 1,
                _ => false,
            };
            healthy |= NodeSet::from(bit) << node;
        }
        healthy
    }

    /// The work of the edge that is not done yet, in words; `None` if everything is.
    pub(super) fn edge_lacks(&mut self, healthy: NodeSet) -> Result<Option<String>, Violation> {
        let Some(mut edges) = self.edges.take() else { return Ok(None) };
        let outcome = self.judge_books(&mut edges).and_then(|()| {
            let lacks = edges.lacks();
            if lacks.is_none() && !edges.is_left {
                edges.traders.iter().try_for_each(|trader| trader.judge(&edges.books))?;
                let Edges { fix_traders, books, .. } = edges.as_mut();
                fix_traders.iter_mut().try_for_each(|trader| trader.judge(books.fix(trader.user)))?;
            }
            Ok(lacks)
        });
        let first_feed = edges.first + edges.plan.nodes() - CALENDARS - edges.plan.feeds;
        let feeds_live = (first_feed..first_feed + edges.plan.feeds).any(|node| healthy >> node & 1 == 1);
        let lacks = outcome.map(|lacks| {
            lacks.or_else(|| {
                let channel = edges.plan.feeds_channel;
                let behind = |receiver: &FeedReceiver| receiver.lacks(&edges.books, channel);
                edges.receivers.iter().filter(|_| feeds_live).find_map(behind)
            })
        });
        let lacks = lacks.map(|lacks| lacks.or_else(|| self.pending_timers(healthy)));
        let is_done = lacks == Ok(None) && !edges.is_left;
        let (needs_day, calendars) =
            (edges.books.open_day().is_none(), edges.first + edges.plan.nodes() - CALENDARS);
        self.edges = Some(edges);
        // The last command of the fault phase may end a day.
        let is_idle = |node: usize| match &self.nodes[node].actor {
            Actor::Edge(edge) => edge.process.is_none() && edge.restart_at == Nanos::MAX,
            _ => true,
        };
        if needs_day && (calendars..calendars + CALENDARS).all(is_idle) {
            self.mark_day(false);
        }
        if is_done {
            self.leave_edges(healthy);
            return Ok(Some("the clients are gone, and connected in the stream".to_string()));
        }
        lacks
    }

    /// A copy of the machine that waits for a timer, in words: replicas stamp ticks where nobody publishes. A
    /// timer waits while the leader's clock is behind it.
    fn pending_timers(&self, healthy: NodeSet) -> Option<String> {
        let of = |node: usize| Some(&self.nodes[node].actor).filter(|_| healthy >> node & 1 == 1);
        let wall = |node| match of(node)? {
            Actor::Replica(machine) => Some(machine.wall(self.ctx.now)),
            _ => None,
        };
        let behind = (0..self.nodes.len()).filter_map(wall).min().unwrap_or(0);
        let pending = |node| match of(node)? {
            Actor::Edge(edge) => match &edge.process {
                Some(EdgeProcess::Copy(process)) => process.copy.next_timer().filter(|due| *due < behind),
                _ => None,
            },
            _ => None,
        };
        let due = (0..self.nodes.len()).find_map(pending)?;
        Some(format!("a timer that is due at {due} has not fired"))
    }

    /// All clients leave for good, and a gateway with them, where another one runs.
    fn leave_edges(&mut self, healthy: NodeSet) {
        let now = self.ctx.now;
        let Some(edges) = &mut self.edges else { return };
        edges.is_left = true;
        for at in 0..edges.traders.len() {
            edges.traders[at].retry_at = Nanos::MAX;
            if let Some(link) = edges.traders[at].link {
                edges.cut(now, link);
            }
        }
        for at in 0..edges.fix_traders.len() {
            edges.fix_traders[at].retry_at = Nanos::MAX;
            if let Some(link) = edges.fix_traders[at].link {
                edges.cut(now, link);
            }
        }
        let (first, gateways) = (edges.first, edges.plan.gateway_nodes());
        let runs = |node: &usize| match &self.nodes[*node].actor {
            Actor::Edge(edge) => {
                healthy >> *node & 1 == 1
                    && matches!(&edge.process, Some(EdgeProcess::Gateway(gateway)) if gateway.core.is_ready())
            }
            _ => false,
        };
        let running: Vec<_> = (first..first + gateways).filter(runs).collect();
        if let [one, .., _] = running[..] {
            self.end_process(one, Nanos::MAX);
        }
    }

    /// Whether the fault phase has ended.
    fn is_calm(&self) -> bool {
        self.ctx.phase != RunPhase::Storm
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
