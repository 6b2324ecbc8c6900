//! What a storm of logins does to clients who are there, and to the stream.
//!
//! ```text
//!   traders ─ orders ─▶ gateway ─▶ stream ─▶ application ─▶ stream ─▶ gateway ─ answers ─▶ traders
//!   quiet clients ◀─ signs of life ─▶ gateway ◀─ logins ─ storm        application ─▶ stream ─▶ application
//!
//!   ── quiet ──┬── storm ──┬── flood ──┬── quiet ──┬── storm …
//! ```
//! One run; each ratio is that of neighbours. The load is open: an order waits for no answer. Its latency
//! runs from its write, or from when it was due if the gateway held it up, until the kernel has the answer
//! for its client.

use super::client_pool::{Answer, Answers, ClientPool, LoginLoad, Storm};
use super::market::Market;
use super::site::{Site, log_in, users};
use super::{AIM, Plan};
use crate::harness::Run;
use crate::load::SLACK_NS;
use crate::results::{Results, Round, Row, Series, Unit};
use crate::stats::Latencies;
use crate::taps::{Tap, wall, write_mark};
use lockstep_gateway::gateway::users::Recipient;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Waiter;
use lockstep_process::cpu;
use lockstep_wire::Nanos;
use soupbintcp::Packet;
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;

/// Of the clients who do not storm, so many trade.
const TRADERS: usize = 8;
/// Nothing is counted before, ...
const WARM_UP_NS: Nanos = 1_000_000_000;
/// ... nor until all have logged in, at most so often.
const WARM_UPS_MAX: usize = 30;
/// Between two windows: who has dropped its connection is disconnected two seconds later.
const BETWEEN_NS: Nanos = 2_500_000_000;
/// How long the last answers may take.
const DRAIN_NS: Nanos = 10_000_000_000;

/// Replica, gateway, application, traders, storm.
pub const THREADS: usize = 5;
/// The case that has as many samples as there were orders.
const ORDERS: &str = "orders, to their answers";
const LOGIN_LOADS: [LoginLoad; 3] = [LoginLoad::Calm, LoginLoad::Storm, LoginLoad::Flood];

/// Measures, and tells what was found.
///
/// # Errors
/// In words, what did not start; an order without an answer; a client that was cut.
pub fn measure(plan: &Plan, run: &mut Run) -> Result<(), String> {
    cpu::timer_slack(SLACK_NS);
    let name = |letter: char, number: usize| format!("{letter}{number:05}");
    let quiet: Vec<_> = (0..plan.clients - plan.storm).map(|number| name('q', number)).collect();
    let storm: Vec<_> = (0..plan.storm).map(|number| name('s', number)).collect();
    let mut site = Site::start(&users(&quiet, &Recipient::Everybody, &storm)?, plan.idle, || {})?;
    run.results.configure(&site.config);
    let windows = 1 + plan.rounds as usize * LOGIN_LOADS.len();
    let market = Market::start(&site.endpoint, windows)?;
    let mut traders = log_in(site.address, &quiet)?;
    let client_pool = traders.split_off(TRADERS.min(traders.len()));
    let quiet = client_pool.len();
    let client_pool = ClientPool::start(client_pool)?;
    let storm = Storm::start(site.address, storm, plan.logins)?;
    run.show(&format!("storm: {} clients are connected", quiet + traders.len()));
    let mut desk = Desk::open(plan, traders, windows)?;
    // A client of the storm has logged in before, like any client that comes back.
    storm.set(LoginLoad::Storm);
    for _ in 0..WARM_UPS_MAX {
        desk.trade(0, WARM_UP_NS)?;
        if storm.answers()[Answer::Accepted as usize] >= 2 * plan.storm as u64 {
            break;
        }
    }
    storm.set(LoginLoad::Calm);
    let mut answers = [Answers::default(); LOGIN_LOADS.len()];
    for round in 0..plan.rounds as usize {
        for (place, login_load) in LOGIN_LOADS.into_iter().enumerate() {
            let window = 1 + round * LOGIN_LOADS.len() + place;
            desk.trade(0, BETWEEN_NS)?;
            storm.set(login_load);
            desk.trade(0, BETWEEN_NS / 5)?;
            let before = storm.answers();
            desk.began_s.push(run.at_s());
            market.set_window(window);
            desk.trade(window, (plan.seconds * 1e9) as Nanos)?;
            market.set_window(0);
            for (count, (now, before)) in answers[place].iter_mut().zip(storm.answers().iter().zip(before)) {
                *count += now - before;
            }
            storm.set(LoginLoad::Calm);
        }
        site.check_alive()?;
        if market.has_ended() {
            market.end()?;
            return Err(String::from("the application has ended by itself"));
        }
        if storm.has_ended() {
            storm.end()?;
            return Err(String::from("the storm has ended by itself"));
        }
        run.show(&format!("storm: round {} of {}", round + 1, plan.rounds));
    }
    desk.drain()?;
    storm.end()?;
    let stream = market.end()?;
    let left = client_pool.end()?;
    if left < quiet {
        return Err(format!("{} of {quiet} quiet clients were cut", quiet - left));
    }
    desk.fill(&stream, answers, &mut run.results)
}

/// The traders.
struct Desk<'a> {
    plan: &'a Plan,
    sockets: Vec<TcpStream>,
    taps: Vec<Tap>,
    clock: Clock,
    waiter: Waiter,
    /// When each order was written, and in which window.
    orders: Vec<(Nanos, u16)>,
    answered: usize,
    due: Nanos,
    latencies: Vec<Latencies>,
    late: Vec<Latencies>,
    /// When windows began, that which counts nothing left out: seconds since the results did.
    began_s: Vec<f64>,
    packet: Vec<u8>,
    message: Vec<u8>,
    /// Bytes of an order that its socket has not taken yet.
    unwritten: Vec<u8>,
}

impl<'a> Desk<'a> {
    fn open(plan: &'a Plan, sockets: Vec<TcpStream>, windows: usize) -> Result<Self, String> {
        let descriptors: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        let waiter = plan.idle.waiter(&descriptors).map_err(|error| error.to_string())?;
        let share = |socket: &TcpStream| {
            Tap::wire(socket.try_clone().map_err(|error| format!("sharing a socket: {error}"))?)
        };
        let taps = sockets.iter().map(share).collect::<Result<_, _>>()?;
        let latencies = || (0..windows).map(|_| Latencies::new()).collect::<Result<Vec<_>, _>>();
        let clock = Clock::start();
        Ok(Self {
            plan,
            taps,
            clock,
            waiter,
            orders: Vec::new(),
            answered: 0,
            due: clock.now(),
            latencies: latencies()?,
            late: latencies()?,
            began_s: Vec::new(),
            packet: Vec::new(),
            message: vec![0x5a; plan.size],
            unwritten: Vec::new(),
            sockets,
        })
    }

    /// Orders at the rate, for so long.
    fn trade(&mut self, window: usize, lasting: Nanos) -> Result<(), String> {
        let interval_ns = 1_000_000_000 / self.plan.rate;
        let until = self.clock.now() + lasting;
        loop {
            let now = self.clock.now();
            if now >= until {
                return Ok(());
            }
            let was_delayed = !self.unwritten.is_empty();
            let is_due = now >= self.due && self.write_rest()?;
            if is_due {
                let late = now - self.due;
                self.late[window].record(late);
                // What the gateway held up counts from when it was due.
                let sent = wall() - if was_delayed { late } else { 0 };
                self.order(sent, window)?;
                self.due += interval_ns;
            }
            if self.hear()? == 0 && !is_due {
                self.waiter.wait(self.due.saturating_sub(now));
            }
        }
    }

    /// Waits for the answers that are under way.
    fn drain(&mut self) -> Result<(), String> {
        let until = self.clock.now() + DRAIN_NS;
        while self.answered < self.orders.len() {
            if self.clock.now() > until {
                let (answered, all) = (self.answered, self.orders.len());
                return Err(format!("{answered} of {all} orders were answered"));
            }
            self.write_rest()?;
            self.hear()?;
            self.waiter.wait(0);
        }
        Ok(())
    }

    fn order(&mut self, sent: Nanos, window: usize) -> Result<(), String> {
        write_mark(&mut self.message, self.orders.len() as u64);
        self.packet.clear();
        Packet::Unsequenced(&self.message).append(&mut self.packet).map_err(|error| error.to_string())?;
        self.orders.push((sent, window as u16));
        self.unwritten.extend_from_slice(&self.packet);
        self.write_rest().map(|_| ())
    }

    /// Writes what the last order's socket did not take. Returns whether it has all of it.
    fn write_rest(&mut self) -> Result<bool, String> {
        let index = self.orders.len() % self.sockets.len();
        while !self.unwritten.is_empty() {
            match self.sockets[index].write(&self.unwritten) {
                Ok(len) => drop(self.unwritten.drain(..len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(format!("a trader's connection: {error}")),
            }
        }
        Ok(true)
    }

    fn hear(&mut self) -> Result<usize, String> {
        let Self { taps, orders, latencies, answered, .. } = self;
        let mut work = 0;
        for tap in taps {
            work += tap.hear(|number, seen| {
                if let Some((sent, window)) = orders.get(number as usize) {
                    *answered += 1;
                    latencies[*window as usize].record(seen.saturating_sub(*sent));
                }
            })?;
        }
        Ok(work)
    }

    /// Tells what was found: of orders, of the stream, and of the load that was to be.
    fn fill(
        &self,
        stream: &[Latencies],
        answers: [Answers; LOGIN_LOADS.len()],
        results: &mut Results,
    ) -> Result<(), String> {
        self.tell(results);
        for (windows, case) in [
            (&self.latencies[..], ORDERS),
            (stream, "stream, publish to committed"),
            (&self.late, "load, from due to written"),
        ] {
            self.add_rows(windows, case, results)?;
        }
        let words =
            format!("p99 of orders in the storm, and of the stream in the flood, at most {AIM} of quiet");
        results.aim(&words, |ratio| {
            let speaks = [("orders", LoginLoad::Storm), ("stream", LoginLoad::Flood)]
                .iter()
                .any(|(case, login_load)| ratio.case.starts_with(case) && ratio.subject == login_load.key());
            ratio.median("p99").filter(|_| speaks).map(|p99| p99 > AIM)
        });
        results.series.push(self.over_time());
        results.counts.insert("orders".to_owned(), self.orders.len() as u64);
        self.count_answers(answers, results);
        Ok(())
    }

    /// The conditions of the measure.
    fn tell(&self, results: &mut Results) {
        let Plan { clients, storm, rate, size, seconds, logins, idle, .. } = *self.plan;
        let limit = logins.map_or_else(String::new, |logins| format!(", at most {logins} logins a second"));
        results.tell(
            "storm",
            format!(
                "{clients} clients, of which {storm} connect, log in and drop in a loop{limit}; {TRADERS} others \
                 send {rate} orders/s of {size} B; windows of {seconds} s"
            ),
        );
        results.tell("storm, cores", format!("{THREADS} threads on {}", cpu::cores().len()));
        results.tell("storm, idle", idle);
        results.tell("storm, warm-up", "until every stormer has logged in twice, 30 s at most");
    }

    /// A row for each window of a case; the first of `windows` is that which counts nothing.
    fn add_rows(&self, windows: &[Latencies], case: &str, results: &mut Results) -> Result<(), String> {
        let Plan { clients, storm, rate, size, seconds, .. } = *self.plan;
        let words = ["quiet".to_owned(), format!("{storm} storm"), "wrong passwords flood".to_owned()];
        let axes = [("clients", clients as f64), ("rate", rate as f64), ("bytes", size as f64)];
        for (window, (at_s, latencies)) in self.began_s.iter().zip(&windows[1..]).enumerate() {
            let login_load = LOGIN_LOADS[window % LOGIN_LOADS.len()];
            let mut round = Round { at_s: *at_s, seconds, ..Round::of(latencies)? };
            if case == ORDERS {
                let orders = self.orders.iter().filter(|(_, its)| usize::from(*its) == window + 1).count();
                round = round.sent(rate as f64, orders as f64 / seconds);
            }
            let row = Row::new(case, login_load.key(), &words[login_load as usize], Unit::Nanos).over(axes);
            results.add(row.as_floor(login_load == LoginLoad::Calm), round);
        }
        Ok(())
    }

    /// What became of the logins, and whether there was a storm and a flood at all.
    fn count_answers(&self, answers: [Answers; LOGIN_LOADS.len()], results: &mut Results) {
        let Plan { rounds, seconds, .. } = *self.plan;
        let per_second = |count: u64| count as f64 / (rounds as f64 * seconds);
        for (login_load, answers) in LOGIN_LOADS.into_iter().zip(answers).skip(1) {
            let key = login_load.key();
            let [accepted, refused, turned_away, unanswered] = answers.map(per_second);
            for (what, rate) in [("accepted", accepted), ("refused", refused), ("turned_away", turned_away)] {
                results.counts.insert(format!("{key}_{what}_per_second"), rate.round() as u64);
            }
            results.notes.push(format!(
                "{key}: logins a second: {accepted:.0} accepted, {refused:.0} refused, {turned_away:.0} turned \
                 away as too many waited, {unanswered:.1} not answered"
            ));
        }
        let [_, stormed, flooded] = answers;
        for (what, is_wrong) in [
            ("nobody of the storm was accepted", stormed[Answer::Accepted as usize] == 0),
            ("no password of the flood was refused", flooded[Answer::Refused as usize] == 0),
        ] {
            if is_wrong {
                let why = "what checks passwords had no core; let the machine be quiet";
                results.wrongs.push(format!("{what}: {why}"));
            }
        }
    }

    /// The median order of each window; the login_load is marked.
    fn over_time(&self) -> Series {
        let (mut points, mut marks) = (Vec::new(), Vec::new());
        for (window, (at_s, latencies)) in self.began_s.iter().zip(&self.latencies[1..]).enumerate() {
            points.extend(latencies.at(50.0).map(|ns| (*at_s, ns as f64)));
            marks.push((*at_s, LOGIN_LOADS[window % LOGIN_LOADS.len()].key().to_owned()));
        }
        Series { name: "p50 of orders in each window".to_owned(), unit: Unit::Nanos, points, marks }
    }
}
