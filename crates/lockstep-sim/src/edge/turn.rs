//! One turn of one process of the edge, of one client, of one receiver.

use super::Edges;
use super::copy::CopyEnd;
use super::fix_trader::COMP_ID;
use super::pipe::Link;
use super::process::{CopyProcess, EdgeHandle, EdgeNode, EdgeProcess, FeedProcess, GatewayProcess, What};
use super::receiver::FeedReceiver;
use super::trader::TraderEvent;
use crate::check::Violation;
use crate::context::RunContext;
use crate::coverage::Event;
use crate::engines::plain_publisher;
use crate::host::ByNode;
use crate::machines::Machines;
use crate::story::Happening;
use lockstep_core::engine::publisher::PublisherEvent;
use lockstep_core::engine::subscriber::SubscriberEvent;
use lockstep_gateway::gateway::core::GatewayError;
use lockstep_wire::{Nanos, Wall};
use std::net::SocketAddr;
use std::ops::ControlFlow;

/// Events of the stream in one turn.
const BATCH: usize = 24;
/// A process that ends by itself is started again after so long.
const AGAIN_NS: Nanos = 3_000_000;

/// Whether a process continues behind its turn.
pub(crate) enum EdgeTurn {
    /// It does, and did so much work.
    On(usize),
    /// It ends by itself, for this reason.
    Ends(String),
}

impl Edges {
    /// Retention has removed the range with which the process at `node` was to begin: it ends, and its
    /// successor requests no whole stream.
    fn ends_without_beginning(&mut self, ctx: &mut RunContext, node: usize) -> EdgeTurn {
        if let Some(edge) = self.nodes.get_mut(node) {
            edge.lacks_beginning = true;
            if matches!(edge.what, What::Gateway(_)) {
                ctx.count(Event::GatewaysLate);
            }
        }
        EdgeTurn::Ends("the stream's beginning is gone".into())
    }

    /// Calls the process of the edge at `node`. Returns the work that it did, or why it ends.
    pub(crate) fn turn(
        &mut self,
        ctx: &mut RunContext,
        machines: &mut Machines,
        node: usize,
        draws: [u64; 2],
    ) -> Result<EdgeTurn, Violation> {
        let Some(edge) = self.nodes.get_mut(node) else { return Ok(EdgeTurn::On(0)) };
        let (run, mut process) = (edge.run, edge.process.take());
        let turned = match &mut process {
            Some(EdgeProcess::Gateway(process)) => {
                self.turn_gateway((ctx, machines), (node, run), process, draws)
            }
            Some(EdgeProcess::Copy(process)) => self.turn_copy((ctx, machines), node, process, draws),
            Some(EdgeProcess::Feed(process)) => self.turn_feed((ctx, machines), node, process, draws),
            Some(EdgeProcess::Calendar(process)) => {
                let (now, wall) = (ctx.now, ctx.now + ctx.plan.wall_ns);
                let work =
                    process.publisher.poll(now, Wall(wall), 8, |event| process.order.on_publisher(&event));
                Ok(match process.order.turn(&mut process.publisher.core, None) {
                    None => EdgeTurn::On(work),
                    Some(marked) => EdgeTurn::Ends(format!("{marked:?}")),
                })
            }
            None => Ok(EdgeTurn::On(0)),
        };
        if let Some(edge) = self.nodes.get_mut(node) {
            edge.process = process;
        }
        turned
    }

    /// A process has ended by itself: its supervisor starts it again.
    pub(crate) fn on_ended(&mut self, ctx: &mut RunContext, node: usize, why: String) {
        let (now, is_calm) = (ctx.now, ctx.is_calm());
        let Some(edge) = self.nodes.get_mut(node) else { return };
        let again = match edge.what {
            What::Calendar => {
                let is_marked = !why.contains("Unknown");
                if is_marked {
                    edge.order = None;
                    ctx.count(Event::DaysMarked);
                }
                if is_marked { Nanos::MAX } else { now + AGAIN_NS }
            }
            // A stopped gateway starts again at the time of its fault.
            What::Gateway(_) if why == STOPPED && !is_calm => edge.restart_at.max(now),
            _ => now + AGAIN_NS,
        };
        self.end_process(now, node, again);
        ctx.tell(node, || Happening::Note(format!("ends: {why}")));
    }

    fn turn_gateway(
        &mut self,
        (ctx, machines): (&mut RunContext, &mut Machines),
        (node, run): (usize, u64),
        process: &mut GatewayProcess,
        draws: [u64; 2],
    ) -> Result<EdgeTurn, Violation> {
        let (now, wall) = (ctx.now, ctx.now + ctx.plan.wall_ns);
        machines.read_journal(ctx, node, &mut process.subscriber.core, &mut process.source);
        let GatewayProcess { publisher, subscriber, core, rng, source, whole, has_begun, .. } = process;
        core.set_clock(wall);
        let mut events = Vec::new();
        let mut work = publisher.poll(now, Wall(wall), BATCH, |event| events.push(event));
        for event in events {
            if event == PublisherEvent::OutcomesUnknown {
                ctx.count(Event::PublishersLost);
                return Ok(EdgeTurn::Ends("its publisher is lost".into()));
            }
            ctx.oracle.clients.on_edge_outcome(&ctx.oracle.facts, node, &event)?;
            core.on_publisher(now, &mut EdgeHandle(&mut publisher.core, rng), &event);
        }
        let (mut ended, mut lacks_beginning, mut retracts) = (None, false, 0);
        let mut hear = |event: SubscriberEvent<'_>| {
            match event {
                SubscriberEvent::CaughtUp { .. } => *has_begun = true,
                SubscriberEvent::Abandoned { .. } if *whole && !*has_begun => lacks_beginning = true,
                SubscriberEvent::Abandoned { .. } | SubscriberEvent::Refused { .. } => {
                    ended = Some(format!("{event:?}"));
                }
                SubscriberEvent::Retract { .. } => retracts += 1,
                _ => {}
            }
            core.on_stream(now, &mut EdgeHandle(&mut publisher.core, rng), &event);
            if ended.is_none() && !lacks_beginning {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        work += subscriber.poll(now, 1 + (draws[0] % BATCH as u64) as usize, &mut hear);
        let used = subscriber.core.on_replay(now, &source.buffered, &mut hear);
        source.buffered.drain(..used);
        work += used;
        (0..retracts).for_each(|_| ctx.count(Event::GatewayRetracts));
        if lacks_beginning {
            return Ok(self.ends_without_beginning(ctx, node));
        }
        if let Some(why) = ended {
            return Ok(EdgeTurn::Ends(why));
        }
        self.serve(ctx, (node, run), process, draws)?;
        let GatewayProcess { publisher, core, rng, touched, .. } = process;
        core.turn(now, &mut EdgeHandle(&mut publisher.core, rng), touched);
        work += self.write(ctx, process);
        process.publisher.flush(now, Wall(wall));
        if let Some(error) = process.core.take_failure() {
            let event = match error {
                GatewayError::NameTaken(_) => Event::NamesTaken,
                GatewayError::Fenced(_) => Event::GatewaysFenced,
                error => return Err(format!("EDGE: {error}")),
            };
            ctx.count(event);
            return Ok(EdgeTurn::Ends(error.to_string()));
        }
        let is_stopped = process.core.has_left() && process.publisher.core.is_drained();
        match process.stops {
            Some(deadline) if is_stopped || now >= deadline => Ok(EdgeTurn::Ends(STOPPED.into())),
            _ => Ok(EdgeTurn::On(work)),
        }
    }

    /// Clients connect and are read; passwords are checked.
    fn serve(
        &mut self,
        ctx: &RunContext,
        (node, run): (usize, u64),
        process: &mut GatewayProcess,
        draws: [u64; 2],
    ) -> Result<(), Violation> {
        let now = ctx.now;
        let GatewayProcess { publisher, core, rng, links, checks, touched, .. } = process;
        while checks.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, check)) = checks.pop_front()
        {
            core.on_checked(now, &mut EdgeHandle(&mut publisher.core, rng), &check, true);
            touched.push(check.conn.0);
        }
        for (number, link) in self.links.iter_mut() {
            if (link.gateway, link.run) != (node, run) || link.gateway_gone {
                continue;
            }
            let Some(index) = link.conn else {
                let peer = SocketAddr::from(([10, 1, 0, link.trader as u8], 9));
                let accepted = match core.may_accept(now) {
                    true if link.is_fix => core.accept_fix(now, peer, COMP_ID),
                    true => core.accept(now, peer),
                    false => None,
                };
                let Some((index, _)) = accepted else {
                    link.gateway_gone = true;
                    link.down.close(now, 1);
                    continue;
                };
                link.conn = Some(index);
                if links.len() <= index {
                    links.resize(index + 1, None);
                }
                links[index] = Some(*number);
                continue;
            };
            link.own = core.own().or(link.own);
            if core.wants(index) {
                // In arbitrary pieces, as a network delivers them.
                let most =
                    if draws[1].is_multiple_of(4) { 1 + (draws[1] >> 8) as usize % 40 } else { 16 << 10 };
                let bytes = link.up.read(now, most);
                if !bytes.is_empty() {
                    core.on_bytes(now, &mut EdgeHandle(&mut publisher.core, rng), index, &bytes);
                    touched.push(index);
                }
            }
            if link.up.is_over(now) {
                close(core, now, links, link);
            }
        }
        while let Some(check) = core.next_check() {
            checks.push_back((now + rng.below(1_000_000), check));
        }
        self.sweep();
        Ok(())
    }

    /// Writes the core's data for its clients, as far as their connections take it.
    fn write(&mut self, ctx: &RunContext, process: &mut GatewayProcess) -> usize {
        let now = ctx.now;
        let GatewayProcess { core, links, .. } = process;
        process.touched.clear();
        let mut work = 0;
        for index in 0..links.len() {
            let Some(link) = links[index].and_then(|number| self.links.get_mut(&number)) else { continue };
            let out = core.out(index);
            let len = out.len().min(link.down.room());
            if len > 0 {
                let latency_ns = self.plan.latency_ns + self.rng.below(self.plan.latency_ns / 2 + 1);
                link.down.write(now, latency_ns, &out[..len]);
                core.on_sent(now, index, len);
                work += 1;
            }
            if core.is_done(now, index) {
                close(core, now, links, link);
            }
        }
        self.sweep();
        work
    }

    fn turn_copy(
        &mut self,
        (ctx, machines): (&mut RunContext, &mut Machines),
        node: usize,
        process: &mut CopyProcess,
        draws: [u64; 2],
    ) -> Result<EdgeTurn, Violation> {
        let (now, wall) = (ctx.now, ctx.now + ctx.plan.wall_ns);
        machines.read_journal(ctx, node, &mut process.subscriber.core, &mut process.source);
        let CopyProcess { publisher, subscriber, source, copy, rng } = &mut *process;
        let mut end = None;
        let mut hear = |event: SubscriberEvent<'_>| match copy.on_event(now, &event) {
            Ok(()) => ControlFlow::Continue(()),
            Err(why) => {
                end.get_or_insert(why);
                ControlFlow::Break(())
            }
        };
        let limit = if draws[0].is_multiple_of(8) { 1 } else { BATCH };
        let mut work = subscriber.poll(now, limit, &mut hear);
        let used = subscriber.core.on_replay(now, &source.buffered, &mut hear);
        source.buffered.drain(..used);
        work += used;
        if let Some(end) = end {
            return self.end_copy(ctx, node, end).map(EdgeTurn::Ends);
        }
        if copy.is_final() {
            self.judge_copy(node, copy.as_ref())?;
        }
        if copy.is_shadow() && rng.below(64) == 0 {
            copy.take_over();
            ctx.count(Event::CopyTakeovers);
        }
        (0..copy.take_fired()).for_each(|_| ctx.count(Event::TimersFired));
        let mut is_lost = false;
        let (mut has_diverged, mut broken) = (false, Ok(()));
        work += publisher.poll(now, Wall(wall), BATCH, |event| {
            is_lost |= event == PublisherEvent::OutcomesUnknown;
            has_diverged |= matches!(event, PublisherEvent::Diverged { .. });
            if broken.is_ok() {
                broken = ctx.oracle.clients.on_edge_outcome(&ctx.oracle.facts, node, &event);
            }
            copy.on_publisher(&event);
        });
        broken?;
        if is_lost {
            // Its state goes on with a new handle.
            ctx.count(Event::PublishersLost);
            if let Some(edge) = self.nodes.get(node) {
                *publisher = plain_publisher(&ctx.plan, node, &edge.host.keys.publisher, rng);
            }
            copy.begin_open(&mut publisher.core, [rng.next_u64(), rng.next_u64()]);
            return Ok(EdgeTurn::On(work));
        }
        if has_diverged {
            return Err(format!("MACHINE: copy {node} has published another message under a number"));
        }
        work += copy
            .turn(now, &mut publisher.core)
            .map_err(|fault| format!("MACHINE: copy {node} ends: {fault}"))?;
        publisher.flush(now, Wall(wall));
        if rng.below(256) == 0 {
            self.store_snapshot(ctx, node, process);
        }
        Ok(EdgeTurn::On(work))
    }

    /// A copy stores a snapshot on its disk, if it may.
    fn store_snapshot(&mut self, ctx: &mut RunContext, node: usize, process: &mut CopyProcess) {
        if let Some(snapshot) = process.snapshot()
            && let Some(edge) = self.nodes.get_mut(node)
        {
            if let Some(from) = edge.store(snapshot) {
                process.copy.needs_from(from);
            }
            ctx.count(Event::Snapshots);
        }
    }

    /// A copy does not read on: why, unless a rule is broken.
    fn end_copy(&mut self, ctx: &mut RunContext, node: usize, end: CopyEnd) -> Result<String, Violation> {
        match end {
            CopyEnd::Broken(violation) => Err(violation),
            CopyEnd::Stream(why) => {
                if let Some(edge) = self.nodes.get_mut(node) {
                    edge.snapshots.clear();
                }
                Ok(why)
            }
            CopyEnd::Retracted => {
                ctx.count(Event::CopyRetracts);
                Ok("what it has applied was taken back".into())
            }
        }
    }

    fn turn_feed(
        &mut self,
        (ctx, machines): (&mut RunContext, &mut Machines),
        node: usize,
        process: &mut FeedProcess,
        draws: [u64; 2],
    ) -> Result<EdgeTurn, Violation> {
        let now = ctx.now;
        machines.read_journal(ctx, node, &mut process.subscriber.core, &mut process.source);
        let FeedProcess { subscriber, source, feed, whole, has_begun } = process;
        let is_calm = ctx.is_calm();
        let Self { receivers, rng, plan, .. } = self;
        let mut sent = 0;
        let mut send = |datagram: &[u8]| {
            sent += 1;
            for receiver in receivers.iter_mut() {
                if is_calm || !rng.chance(plan.loss) {
                    let late = if rng.below(8) == 0 { rng.below(1_000_000) } else { 0 };
                    receiver.send(now + 1 + rng.below(20_000) + late, datagram);
                }
            }
        };
        let (mut ended, mut failed, mut lacks_beginning) = (None, None, false);
        let mut hear = |event: SubscriberEvent<'_>| {
            match event {
                SubscriberEvent::CaughtUp { .. } => *has_begun = true,
                SubscriberEvent::Abandoned { .. } if *whole && !*has_begun => lacks_beginning = true,
                SubscriberEvent::Abandoned { .. } | SubscriberEvent::Refused { .. } => {
                    ended = Some(format!("{event:?}"));
                }
                _ => {}
            }
            if let Err(error) = feed.on_stream(now, &event, &mut send) {
                failed = Some(format!("EDGE: a feed fails: {error}"));
            }
            if ended.is_none() && !lacks_beginning {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        let mut work = subscriber.poll(now, 1 + (draws[0] % BATCH as u64) as usize, &mut hear);
        let used = subscriber.core.on_replay(now, &source.buffered, &mut hear);
        source.buffered.drain(..used);
        work += used;
        if let Some(failed) = failed {
            return Err(failed);
        }
        if lacks_beginning {
            return Ok(self.ends_without_beginning(ctx, node));
        }
        if let Some(why) = ended {
            return Ok(EdgeTurn::Ends(why));
        }
        feed.turn(now, &mut send);
        if sent > 0 {
            ctx.count(Event::FeedDatagrams);
        }
        Ok(EdgeTurn::On(work))
    }

    /// The number of the gateway's process at this node, if it takes connections.
    fn serving_run(nodes: &ByNode<EdgeNode>, now: Nanos, node: usize) -> Option<u64> {
        let edge = nodes.get(node)?;
        match &edge.process {
            Some(EdgeProcess::Gateway(process)) if process.stops.is_none() => Some(edge.run),
            _ => None,
        }
        .filter(|_| edge.host.paused_until <= now)
    }

    /// A client of FIX connects, reads, sends, or finds its connection gone.
    pub(super) fn turn_fix_trader(&mut self, ctx: &mut RunContext, at: usize) -> Result<(), Violation> {
        let (now, wall) = (ctx.now, ctx.now + ctx.plan.wall_ns);
        let gateways = self.plan.gateway_nodes() / super::HANDLES;
        let latency_ns = self.plan.latency_ns + self.rng.below(self.plan.latency_ns / 2 + 1);
        let Self { fix_traders, links, linked, rng, first, books, nodes, .. } = self;
        let trader = &mut fix_traders[at];
        let Some(number) = trader.link else {
            if now < trader.retry_at {
                return Ok(());
            }
            let node = *first + super::HANDLES * (trader.gateway % gateways);
            let Some(run) = Self::serving_run(nodes, now, node) else {
                trader.disconnect(now, gateways);
                return Ok(());
            };
            *linked += 1;
            let out = trader.log_in(now, wall, *linked, rng);
            let mut link = Link::new(trader.user, (node, run), true);
            link.up.write(now, latency_ns, &out);
            links.insert(*linked, link);
            return Ok(());
        };
        let Some(link) = links.get_mut(&number) else {
            trader.disconnect(now, gateways);
            return Ok(());
        };
        let coverage = &mut ctx.oracle.facts.coverage;
        let mut out = Vec::new();
        if trader.reads(now) {
            let most = if rng.below(4) == 0 { 1 + rng.below(80) as usize } else { 16 << 10 };
            let bytes = link.down.read(now, most);
            let (model, day) = (books.fix(trader.user), books.open_day());
            out = trader.on_bytes((now, wall), &bytes, model, day, rng, |event| coverage.count(event))?;
        }
        out.extend(trader.say((now, wall), books.fix(trader.user).next_in, rng));
        link.up.write(now, latency_ns, &out);
        if link.close_by_client(now, latency_ns, trader.ended(now)) {
            if let Some(until) = trader.leaves_until.take() {
                trader.retry_at = until;
            }
            trader.disconnect(now, gateways);
            self.sweep();
        }
        Ok(())
    }

    /// A client connects, reads, sends, or finds its connection gone.
    pub(super) fn turn_trader(&mut self, ctx: &mut RunContext, at: usize) -> Result<(), Violation> {
        let now = ctx.now;
        let gateways = self.plan.gateway_nodes() / super::HANDLES;
        let latency_ns = self.plan.latency_ns + self.rng.below(self.plan.latency_ns / 2 + 1);
        let Self { traders, links, linked, rng, first, books, machine, nodes, .. } = self;
        let trader = &mut traders[at];
        let Some(number) = trader.link else {
            if now < trader.retry_at {
                return Ok(());
            }
            let node = *first + super::HANDLES * (trader.gateway % gateways);
            let Some(run) = Self::serving_run(nodes, now, node) else {
                trader.disconnect(now, gateways);
                return Ok(());
            };
            *linked += 1;
            let out = trader.log_in(now, *linked, rng)?;
            let mut link = Link::new(at, (node, run), false);
            link.up.write(now, latency_ns, &out);
            links.insert(*linked, link);
            return Ok(());
        };
        let Some(link) = links.get_mut(&number) else {
            trader.disconnect(now, gateways);
            return Ok(());
        };
        let coverage = &mut ctx.oracle.facts.coverage;
        if trader.reads(now) {
            let most = if rng.below(4) == 0 { 1 + rng.below(40) as usize } else { 16 << 10 };
            let bytes = link.down.read(now, most);
            trader.on_bytes(now, &bytes, books, link.own, rng, |event| {
                coverage.count(match event {
                    TraderEvent::Accepted => Event::Logins,
                    TraderEvent::Refused => Event::LoginsRefused,
                    TraderEvent::Message => Event::ClientMessages,
                    TraderEvent::Early => Event::ClientMessagesEarly,
                    TraderEvent::SessionEnded => Event::SessionsEnded,
                });
            })?;
        }
        let out = trader.say(now, machine.as_ref(), rng)?;
        link.up.write(now, latency_ns, &out);
        if link.close_by_client(now, latency_ns, trader.ended(now)) {
            if let Some(until) = trader.leaves_until.take() {
                trader.retry_at = until;
            }
            trader.disconnect(now, gateways);
            self.sweep();
        }
        Ok(())
    }

    /// A receiver takes the datagrams that have arrived, and requests those that it lacks.
    pub(super) fn turn_receiver(&mut self, ctx: &mut RunContext, at: usize) -> Result<(), Violation> {
        let now = ctx.now;
        let is_calm = ctx.is_calm();
        let Self { receivers, books, plan, rng, first, nodes, .. } = self;
        let receiver: &mut FeedReceiver = &mut receivers[at];
        let before = receiver.received;
        receiver.hear(now, books, plan.feeds_channel)?;
        for _ in before..receiver.received {
            ctx.count(Event::FeedMessages);
        }
        let Some((server, request)) = receiver.ask(now) else { return Ok(()) };
        let node = *first + plan.nodes() - super::CALENDARS - plan.feeds + server as usize;
        let reaches = is_calm || !rng.chance(plan.loss);
        let Some(edge) = nodes.get_mut(node) else { return Ok(()) };
        if let Some(EdgeProcess::Feed(process)) = &mut edge.process
            && reaches
        {
            let from = SocketAddr::from(([10, 2, 0, at as u8], 9));
            let answer = process.feed.on_request(now, from, &request);
            if let Some(answer) = answer.map_err(|error| format!("EDGE: a feed fails: {error}"))? {
                ctx.count(Event::FeedRequests);
                if is_calm || !rng.chance(plan.loss) {
                    receiver.send(now + 1 + rng.below(50_000), &answer);
                }
            }
        }
        Ok(())
    }
}

/// The reason for which a gateway ends that was requested to stop.
const STOPPED: &str = "stopped in order";

/// The gateway's end of a connection is closed: by the core, or because its client is gone.
fn close(
    core: &mut lockstep_gateway::gateway::core::Gateway<lockstep_core::engine::ports::MemoryBacklog>,
    now: Nanos,
    links: &mut [Option<u64>],
    link: &mut Link,
) {
    if let Some(index) = link.conn.take() {
        core.on_closed(now, index);
        links[index] = None;
    }
    link.gateway_gone = true;
    link.down.close(now, 1);
}
