//! What gateway and feed add to the sockets that they stand on, beside processes that only read and write.
//!
//! ```text
//!   in     client's write ─▶ submission passes                  floor: TCP to group
//!   out    frame with the entry passes ─▶ client has its bytes  floor: MoldUDP64 to SoupBinTCP
//!   feed   frame with the entry passes ─▶ the feed's datagram   floor: MoldUDP64 to MoldUDP64
//!   trip   client's write ─▶ client has its own message         floor: TCP echo; there is no stream in it
//! ```
//! Who is not measured stands still (SIGSTOP), but for the replica, which idles beside everybody. The load is
//! open: it waits for no answer, and a message that came behind a stall counts from when it came itself. A
//! cluster of one replica has committed an entry when its frame is out. Times are the kernel's, but for the
//! client's write, which counts from the call.

use super::relay::{Way, packer};
use super::site::{Site, listening, log_in, users};
use super::{AIM, Plan};
use crate::harness::Run;
use crate::load::SLACK_NS;
use crate::results::{Round, Row, Unit};
use crate::stats::Latencies;
use crate::taps::{Tap, wall, write_mark};
use lockstep_client::Publisher;
use lockstep_gateway::gateway::users::Recipient;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Waiter;
use lockstep_io::links::FollowingSocket;
use lockstep_io::multicast;
use lockstep_io::udp::free_port;
use lockstep_process::cpu;
use lockstep_process::signal::Signal;
use lockstep_trial::process::TrialProcess;
use lockstep_wire::{Nanos, PublisherId};
use moldudp64::{Packer, Push};
use soupbintcp::Packet;
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

/// Share of a segment's messages before those that count.
const WARM_UP: f64 = 0.2;
/// A client that goes on has everything by then.
const PATIENCE_NS: Nanos = 30_000_000_000;
/// Between two attempts to be heard.
const AGAIN_NS: Nanos = 500_000_000;
/// How long a name may take to be opened.
const OPEN: Duration = Duration::from_secs(10);

/// Replica, contestant, load.
pub const THREADS: usize = 3;

/// Where something is seen to pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    /// Submissions, ...
    Submit,
    /// ... and frames with what was stamped.
    Data,
    /// What the feed sends.
    Feed,
    /// What each relay sends or is sent.
    RelayIn,
    ToRelayOut,
    ToRelayFeed,
    RelayFeed,
    /// What clients receive.
    Echo,
    RelayOut,
    Gateway,
}

impl At {
    const GROUPS: [Self; 7] = [
        Self::Submit,
        Self::Data,
        Self::Feed,
        Self::RelayIn,
        Self::ToRelayOut,
        Self::ToRelayFeed,
        Self::RelayFeed,
    ];
    const COUNT: usize = 10;
}

/// How a message sets out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    Echo,
    RelayIn,
    Gateway,
    ToRelayOut,
    ToRelayFeed,
    Stream,
}

/// The programs that run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Relay(Way),
    Gateway,
    Feed,
}

/// Something that is told: its case, whose first word is what `--fail-if` calls it and stands in no other,
/// who it is of, and in words.
pub struct Metric {
    /// See there.
    pub case: &'static str,
    subject: &'static str,
    words: &'static str,
    floor: bool,
}

const fn metric(case: &'static str, subject: &'static str, words: &'static str) -> Metric {
    Metric { case, subject, words, floor: false }
}

/// What it is compared with.
const fn floor(of: &Metric, subject: &'static str, words: &'static str) -> Metric {
    Metric { case: of.case, subject, words, floor: true }
}

/// The way in.
pub const IN: Metric = metric("in, from a client to what is sent", "gateway", "gateway, to its submission");
const RELAY_IN: Metric = floor(&IN, "relay", "TCP relay, to its datagram");
/// The way out.
pub const OUT: Metric =
    metric("out, from what is delivered to a client", "gateway", "gateway, from the entry");
const RELAY_OUT: Metric = floor(&OUT, "relay", "MoldUDP64 to SoupBinTCP");
/// The way through a feed.
pub const FEED: Metric =
    metric("feed, from what is delivered to a datagram", "lockstep", "feed, from the entry");
const RELAY_FEED: Metric = floor(&FEED, "relay", "MoldUDP64 relay");
/// All of the way.
pub const TRIP: Metric = metric("trip, from a client back to it", "gateway", "gateway, stream, gateway");
const ECHO: Metric = floor(&TRIP, "echo", "TCP echo");
/// A write.
pub const WRITE: Metric = metric("write, the client's call alone", "client", "into the TCP relay");
/// How late the load is.
pub const DUE: Metric = metric("due, until the load has written", "client", "into the gateway");

/// Measures, and tells what was found.
///
/// # Errors
/// In words, what did not start or did not come.
pub(super) fn measure(plan: &Plan, run: &mut Run) -> Result<(), String> {
    let cores = cpu::cores();
    cpu::timer_slack(SLACK_NS);
    // The replica shares the load's core; whoever is measured has the other.
    cpu::pin(cores[0]);
    let Plan { rate, size, seconds, idle, .. } = plan;
    run.tell("added", format!("{rate}/s of {size} B, one client, segments of {seconds} s"));
    run.tell("added, cores", format!("{THREADS} threads on {}", cores.len()));
    run.tell("added, idle", idle);
    run.tell("added, warm-up", format!("{WARM_UP} of each segment's messages"));
    let mut scene = Scene::open(plan, &cores)?;
    run.results.configure(&scene.site.config);
    cpu::pin(cores[0]);
    run.rounds(plan.rounds, |run, _| {
        scene.round(run)?;
        scene.site.check_alive()
    })?;
    let words =
        format!("p50 and p99 of in, out and feed at most {AIM} of their relays; an echo has no stream");
    run.results.aim(&words, |ratio| {
        let speaks = [IN, OUT, FEED].iter().any(|metric| metric.case == ratio.case);
        let p99 = ratio.median("p99").is_some_and(|p99| p99 > AIM);
        ratio.median("p50").filter(|_| speaks).map(|p50| p50 > AIM || p99)
    });
    cpu::allow(&cores);
    Ok(())
}

struct Scene<'a> {
    plan: &'a Plan,
    relays: Vec<(Way, TrialProcess)>,
    feed: TrialProcess,
    taps: Vec<(At, Tap)>,
    echo: TcpStream,
    relay_in: TcpStream,
    gateway: TcpStream,
    to_relay_out: FollowingSocket,
    to_relay_feed: FollowingSocket,
    publisher: Publisher,
    id: PublisherId,
    site: Site,
    clock: Clock,
    waiter: Waiter,
    message: Vec<u8>,
    packet: Vec<u8>,
    packer: Packer,
    number: u64,
}

/// When each message of a segment set out, and when it was seen where; 0 is never.
struct Times {
    sent: Vec<Nanos>,
    seen: Vec<Vec<Nanos>>,
    warm_up: usize,
    write: Latencies,
    late: Latencies,
    began: Instant,
    /// Messages per second that were sent.
    achieved: f64,
}

impl Times {
    /// From one place to another; `None` is where it set out.
    fn between(&self, from: Option<At>, to: At) -> Result<Latencies, String> {
        let from = from.map_or(&self.sent, |at| &self.seen[at as usize]);
        let mut latencies = Latencies::new()?;
        for (from, to) in from.iter().zip(&self.seen[to as usize]).skip(self.warm_up) {
            latencies.record(to.saturating_sub(*from));
        }
        Ok(latencies)
    }
}

/// Where the processes of a scene find each other.
struct Place<'a> {
    site: &'a Site,
    /// Of the relays' groups.
    port: u16,
}

impl Place<'_> {
    fn group(&self, at: At) -> SocketAddrV4 {
        let block = std::process::id() as u8;
        match at {
            At::Submit => self.site.submit,
            At::Data => self.site.data,
            at => SocketAddrV4::new(Ipv4Addr::new(239, 78, block, at as u8 + 1), self.port),
        }
    }

    /// A relay, and where it listens.
    fn start_relay(
        &self,
        plan: &Plan,
        way: Way,
        from: Option<At>,
        to: Option<At>,
    ) -> Result<(TrialProcess, String), String> {
        let way_name = clap::ValueEnum::to_possible_value(&way).map(|value| value.get_name().to_owned());
        let mut args = vec![String::from("relay"), way_name.unwrap_or_default()];
        args.extend(["--config".into(), self.site.path.display().to_string()]);
        args.extend(["--idle".into(), plan.idle.to_string()]);
        for (flag, at) in [("--from", from), ("--to", to)] {
            args.extend(at.into_iter().flat_map(|at| [flag.to_owned(), self.group(at).to_string()]));
        }
        listening("a relay", &args, &self.site.log)
    }

    fn start_feed(&self) -> Result<TrialProcess, String> {
        let path = &self.site.path;
        let requests = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut args: Vec<String> = ["lockstep", "feed", "--until-stdin-ends"].map(String::from).into();
        args.extend(["--config".into(), path.display().to_string()]);
        args.extend(["--group".into(), self.group(At::Feed).to_string()]);
        args.extend(["--requests".into(), requests.to_string()]);
        args.extend(["--set".into(), format!("gateway.spool={}", path.with_file_name("").display())]);
        listening("the feed", &args, &self.site.log).map(|(feed, _)| feed)
    }

    /// A socket that sends to a relay.
    fn speaker(&self, at: At) -> Result<FollowingSocket, String> {
        multicast::sender(self.group(at), &self.site.interface, 0).map_err(|error| error.to_string())
    }

    /// What listens to every group, and to the clients' connections.
    fn taps(
        &self,
        echo: &TcpStream,
        relay_out: TcpStream,
        gateway: &TcpStream,
    ) -> Result<Vec<(At, Tap)>, String> {
        let mut taps = Vec::new();
        for at in At::GROUPS {
            taps.push((at, Tap::group(self.group(at))?));
        }
        let shared =
            |socket: &TcpStream| socket.try_clone().map_err(|error| format!("sharing a socket: {error}"));
        taps.push((At::Echo, Tap::wire(shared(echo)?)?));
        taps.push((At::RelayOut, Tap::wire(relay_out)?));
        taps.push((At::Gateway, Tap::wire(shared(gateway)?)?));
        Ok(taps)
    }
}

/// A client of a relay.
/// Has a process stand still, so that it takes no time of any core, or go on.
fn send(process: &TrialProcess, signal: Signal) -> Result<(), String> {
    process.signal(signal).map_err(|failure| failure.to_string())
}

fn connect(listens: &str) -> Result<TcpStream, String> {
    let fails = |error: std::io::Error| format!("connecting to a relay at {listens}: {error}");
    let socket = TcpStream::connect(listens).map_err(fails)?;
    socket.set_nodelay(true).map_err(fails)?;
    socket.set_nonblocking(true).map_err(fails)?;
    Ok(socket)
}

impl<'a> Scene<'a> {
    fn open(plan: &'a Plan, cores: &[usize]) -> Result<Self, String> {
        let name = String::from("probe");
        let site =
            Site::start(&users(std::slice::from_ref(&name), &Recipient::Own, &[])?, plan.idle, || {
                cpu::allow(cores);
            })?;
        let port = free_port(Ipv4Addr::LOCALHOST).map_err(|error| error.to_string())?;
        let place = Place { site: &site, port };
        let (echo_relay, echo) = place.start_relay(plan, Way::Echo, None, None)?;
        let (in_relay, relay_in) = place.start_relay(plan, Way::In, None, Some(At::RelayIn))?;
        let (out_relay, relay_out) = place.start_relay(plan, Way::Out, Some(At::ToRelayOut), None)?;
        let (feed_relay, _) =
            place.start_relay(plan, Way::Feed, Some(At::ToRelayFeed), Some(At::RelayFeed))?;
        let (echo, relay_in, relay_out) = (connect(&echo)?, connect(&relay_in)?, connect(&relay_out)?);
        let gateway = log_in(site.address, &[name])?.pop().ok_or("nobody has logged in")?;
        let feed = place.start_feed()?;
        let (to_relay_out, to_relay_feed) = (place.speaker(At::ToRelayOut)?, place.speaker(At::ToRelayFeed)?);
        let taps = place.taps(&echo, relay_out, &gateway)?;
        let fails = |error: lockstep_io::IoError| error.to_string();
        let mut publisher = Publisher::connect(&site.endpoint).map_err(fails)?;
        let id = publisher.open("bench", OPEN).map_err(|error| error.to_string())?;
        let relays = vec![
            (Way::Echo, echo_relay),
            (Way::In, in_relay),
            (Way::Out, out_relay),
            (Way::Feed, feed_relay),
        ];
        for process in relays.iter().map(|(_, relay)| relay).chain([&feed, &site.gateway]) {
            send(process, Signal::Stop)?;
        }
        Ok(Self {
            plan,
            relays,
            feed,
            taps,
            echo,
            relay_in,
            gateway,
            to_relay_out,
            to_relay_feed,
            publisher,
            id,
            site,
            clock: Clock::start(),
            waiter: plan.idle.waiter(&[]).map_err(fails)?,
            message: vec![0x5a; plan.size],
            packet: Vec::new(),
            packer: packer()?,
            number: 0,
        })
    }

    /// Every segment once, those that are compared beside each other.
    fn round(&mut self, run: &mut Run) -> Result<(), String> {
        let Plan { rate, size, seconds, .. } = *self.plan;
        let mut add = |metric: Metric, times: &Times, latencies: &Latencies| -> Result<(), String> {
            let round = Round::of(latencies)?.sent(rate as f64, times.achieved);
            let axes = [("bytes", size as f64), ("rate", rate as f64)];
            let row = Row::new(metric.case, metric.subject, metric.words, Unit::Nanos).over(axes);
            run.record(row.as_floor(metric.floor), times.began, Duration::from_secs_f64(seconds), round);
            Ok(())
        };
        let times = self.segment(Who::Relay(Way::In), By::RelayIn, &[At::RelayIn])?;
        add(RELAY_IN, &times, &times.between(None, At::RelayIn)?)?;
        add(WRITE, &times, &times.write)?;
        let times = self.segment(Who::Gateway, By::Gateway, &[At::Submit, At::Data, At::Gateway])?;
        add(IN, &times, &times.between(None, At::Submit)?)?;
        add(OUT, &times, &times.between(Some(At::Data), At::Gateway)?)?;
        add(TRIP, &times, &times.between(None, At::Gateway)?)?;
        add(DUE, &times, &times.late)?;
        let times = self.segment(Who::Relay(Way::Out), By::ToRelayOut, &[At::ToRelayOut, At::RelayOut])?;
        add(RELAY_OUT, &times, &times.between(Some(At::ToRelayOut), At::RelayOut)?)?;
        let times = self.segment(Who::Relay(Way::Echo), By::Echo, &[At::Echo])?;
        add(ECHO, &times, &times.between(None, At::Echo)?)?;
        let times = self.segment(Who::Feed, By::Stream, &[At::Data, At::Feed])?;
        add(FEED, &times, &times.between(Some(At::Data), At::Feed)?)?;
        let times =
            self.segment(Who::Relay(Way::Feed), By::ToRelayFeed, &[At::ToRelayFeed, At::RelayFeed])?;
        add(RELAY_FEED, &times, &times.between(Some(At::ToRelayFeed), At::RelayFeed)?)
    }

    fn process(&self, who: Who) -> Result<&TrialProcess, String> {
        match who {
            Who::Gateway => Ok(&self.site.gateway),
            Who::Feed => Ok(&self.feed),
            Who::Relay(way) => self
                .relays
                .iter()
                .find(|(known, _)| *known == way)
                .map(|(_, process)| process)
                .ok_or_else(|| String::from("there is no such relay")),
        }
    }

    /// One goes on, is sent messages for a while, and stands still again.
    fn segment(&mut self, who: Who, by: By, at: &[At]) -> Result<Times, String> {
        send(self.process(who)?, Signal::Continue)?;
        self.await_received(by, at[at.len() - 1])?;
        let interval_ns = 1_000_000_000 / self.plan.rate;
        let counted = (self.plan.rate as f64 * self.plan.seconds) as usize;
        let warm_up = (counted as f64 * WARM_UP) as usize;
        let count = warm_up + counted;
        let first = self.number;
        let mut times = Times {
            sent: Vec::with_capacity(count),
            seen: vec![vec![0; count]; At::COUNT],
            warm_up,
            write: Latencies::new()?,
            late: Latencies::new()?,
            began: Instant::now(),
            achieved: 0.0,
        };
        let mut missing = count * at.len();
        let began = self.clock.now();
        let deadline = began + count as u64 * interval_ns + PATIENCE_NS;
        while missing > 0 {
            let now = self.clock.now();
            let due = began + times.sent.len() as u64 * interval_ns;
            let is_due = times.sent.len() < count && now >= due;
            if is_due {
                let sent = wall();
                self.send(by)?;
                times.sent.push(sent);
                times.write.record(wall().saturating_sub(sent));
                times.late.record(now - due);
                // Behind the last one, the next would be due an interval later.
                times.achieved = times.sent.len() as f64 * 1e9 / (now + interval_ns - began) as f64;
            }
            let work = self.hear(at, |at, number, seen| {
                let index = number.checked_sub(first).map_or(usize::MAX, |index| index as usize);
                if let Some(cell) = times.seen[at as usize].get_mut(index)
                    && *cell == 0
                {
                    *cell = seen;
                    missing -= 1;
                }
            })?;
            if now > deadline {
                let unseen = at.iter().map(|at| {
                    let unseen = times.seen[*at as usize].iter().filter(|seen| **seen == 0).count();
                    format!("{unseen} at {at:?}")
                });
                let unseen: Vec<_> = unseen.collect();
                return Err(format!("of {count} messages were not seen in time: {}", unseen.join(", ")));
            }
            if work == 0 && !is_due {
                self.waiter.wait(due.saturating_sub(now));
            }
        }
        send(self.process(who)?, Signal::Stop)?;
        Ok(times)
    }

    /// Speaks until it is heard at the other end.
    fn await_received(&mut self, by: By, at: At) -> Result<(), String> {
        let (first, began) = (self.number, self.clock.now());
        let (mut spoke_at, mut is_received) = (0, false);
        while !is_received {
            let now = self.clock.now();
            if now > began + PATIENCE_NS {
                return Err(format!("nothing comes to {at:?}"));
            }
            if spoke_at == 0 || now > spoke_at + AGAIN_NS {
                self.send(by)?;
                spoke_at = now;
            }
            self.hear(&[at], |_, number, _| is_received |= number >= first)?;
            self.waiter.wait(0);
        }
        // What the others left in their sockets is not looked at later.
        self.hear(&At::GROUPS, |_, _, _| {})?;
        Ok(())
    }

    fn hear(&mut self, at: &[At], mut f: impl FnMut(At, u64, Nanos)) -> Result<usize, String> {
        let mut work = self.publisher.poll(usize::MAX, |_| {});
        for (known, tap) in self.taps.iter_mut().filter(|(known, _)| at.contains(known)) {
            work += tap.hear(|number, seen| f(*known, number, seen))?;
        }
        Ok(work)
    }

    fn send(&mut self, by: By) -> Result<(), String> {
        write_mark(&mut self.message, self.number);
        self.number += 1;
        let Self { message, packet, packer, number, .. } = self;
        let mut spoken = |socket: &FollowingSocket| {
            let taken = packer.push(*number, message).map_err(|error| error.to_string())?;
            debug_assert_eq!(taken, Push::Taken, "every datagram has one message");
            let sent = packer.flush().map(|datagram| socket.send(datagram)).transpose();
            sent.map(drop).map_err(|error| format!("a datagram to a relay: {error}"))
        };
        match by {
            By::Echo => write(&self.echo, message),
            By::RelayIn => write(&self.relay_in, message),
            By::Gateway => {
                packet.clear();
                Packet::Unsequenced(message).append(packet).map_err(|error| error.to_string())?;
                write(&self.gateway, packet)
            }
            By::ToRelayOut => spoken(&self.to_relay_out),
            By::ToRelayFeed => spoken(&self.to_relay_feed),
            By::Stream => {
                self.publisher.try_publish(self.id, 0, message).map_err(|error| error.to_string())?;
                self.publisher.flush();
                Ok(())
            }
        }
    }
}

/// Writes all of it, however long that takes: what holds it up is the one that is measured.
fn write(mut socket: &TcpStream, bytes: &[u8]) -> Result<(), String> {
    let mut at = 0;
    while at < bytes.len() {
        match socket.write(&bytes[at..]) {
            Ok(len) => at += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => return Err(format!("a client's connection: {error}")),
        }
    }
    Ok(())
}
