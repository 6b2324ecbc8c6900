//! Listens to the demo's children while it runs: who is ready, how far they are, how much memory everybody
//! holds, and what they say at the end.

use crate::gateways::{Killer, Step};
use crate::leader_faults::FailureDriver;
use crate::local::check;
use crate::memory::Memory;
use crate::report_lines::{Answered, ChildCommand, ChildReport, Delivered, Published, Whereabouts};
use crate::{GATEWAYS, PATIENCE, Servers, say};
use lockstep_daemon::Failure;
use lockstep_daemon::failure::{FAILED, NOT_READY};
use lockstep_io::clock::Clock;
use lockstep_trial::process::TrialProcess;
use lockstep_wire::{Epoch, Nanos, Seq};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often memory is sampled: seldom enough that looking costs nothing.
const SAMPLE_NS: Nanos = 250_000_000;
/// How often progress is printed to a terminal, and how often to a file.
const REPORT_NS: [Nanos; 2] = [200_000_000, 5_000_000_000];
/// The demo is over if nothing moves for so long.
const STALL: Duration = Duration::from_secs(60);
/// Longest wait for a word before everybody is looked after.
const POLL_PERIOD: Duration = Duration::from_millis(50);

/// What the children said.
#[derive(Default)]
pub struct Summaries {
    /// The publishers, in their order.
    pub published: Vec<(String, Published, Memory)>,
    /// The clients of the gateways.
    pub answered: Option<(String, Answered, Memory)>,
    /// The application: orders and answers.
    pub exchanged: Option<(String, [u64; 2], Memory)>,
    /// The subscribers, `stamped` first.
    pub delivered: Vec<(String, Delivered, Memory)>,
    /// The epochs that the `committed` one noticed.
    pub epochs: Vec<EpochSeen>,
    /// Waits of clients whose connection broke: when they ended, and how long they were.
    pub waits: Vec<(Nanos, Nanos)>,
}

/// A new epoch, as a subscriber noticed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpochSeen {
    /// Which.
    pub epoch: Epoch,
    /// When its first message was delivered.
    pub at: Nanos,
    /// Since the last message before.
    pub gap_ns: Nanos,
}

/// What a child does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// It reads the stream, until a command names its end.
    Subscriber,
    /// It answers orders, until its stdin ends.
    Exchange,
    /// It sends orders, and ends by itself.
    Sender,
}

/// A child, and how far it is.
struct Child {
    process: TrialProcess,
    part: Part,
    is_ready: bool,
    orders: u64,
    epochs: Vec<EpochSeen>,
    summary: Option<ChildReport>,
}

/// An event of a child.
enum WatchEvent {
    Report(usize, Box<ChildReport>),
    /// A line of a child's that is none of ours, and why.
    Unknown(usize, String),
    /// A child says no more: it has ended, rightly or not.
    End(usize),
    /// A gateway listens.
    Listening(usize, SocketAddr),
}

/// See the module.
pub struct Watch {
    all: u64,
    stop: Arc<AtomicBool>,
    is_terminal: bool,
    children: Vec<Child>,
    to: Sender<WatchEvent>,
    events: Receiver<WatchEvent>,
    /// Where the gateways listen.
    listening: [Option<SocketAddr>; GATEWAYS],
    /// Where the clients are.
    clients: Whereabouts,
    waits: Vec<(Nanos, Nanos)>,
    memory: BTreeMap<u32, Memory>,
    clock: Clock,
    sampled_at: Nanos,
    last_progress: (Nanos, u64),
    moved: (Nanos, u64),
}

impl Watch {
    /// Over a flow of `all` orders.
    pub fn new(all: u64, stop: Arc<AtomicBool>, is_terminal: bool) -> Self {
        let (to, events) = channel();
        let clock = Clock::start();
        let now = clock.now();
        Self {
            all,
            stop,
            is_terminal,
            children: Vec::new(),
            to,
            events,
            listening: [None; GATEWAYS],
            clients: Whereabouts::default(),
            waits: Vec::new(),
            memory: BTreeMap::new(),
            clock,
            sampled_at: 0,
            last_progress: (now, 0),
            moved: (now, 0),
        }
    }

    /// Listens to one more child. One that sends receives the gateways' addresses.
    pub fn add(&mut self, mut process: TrialProcess, part: Part) -> Result<(), Failure> {
        let (index, to) = (self.children.len(), self.to.clone());
        if let Some(stdout) = process.take_stdout() {
            // It ends with the child's stdout, and so at the latest when the child is dropped.
            std::thread::spawn(move || listen(index, stdout, &to));
        }
        let (epochs, summary) = (Vec::new(), None);
        self.children.push(Child { process, part, is_ready: false, orders: 0, epochs, summary });
        for (number, address) in self.listening.into_iter().enumerate() {
            if let Some(address) = address.filter(|_| part == Part::Sender) {
                self.tell(part, &ChildCommand::Gateway { number, address })?;
            }
        }
        Ok(())
    }

    /// Listens to a gateway that was started.
    pub fn add_gateway(&mut self, number: usize, process: &mut TrialProcess) {
        let to = self.to.clone();
        if let Some(stdout) = process.take_stdout() {
            std::thread::spawn(move || listen_to_gateway(number, stdout, &to));
        }
    }

    /// Waits until every gateway listens.
    pub fn until_listening(&mut self, servers: &mut Servers) -> Result<(), Failure> {
        let deadline = self.clock.now() + PATIENCE.as_nanos() as Nanos;
        while let Some(late) =
            servers.gateways.iter().zip(&self.listening).find(|(_, listening)| listening.is_none())
        {
            if self.clock.now() > deadline {
                let what = format!("{} did not listen within {PATIENCE:?}", late.0.name());
                return Err(Failure::new(NOT_READY, what));
            }
            self.hear(servers)?;
        }
        Ok(())
    }

    /// Waits until every child is ready.
    pub fn until_ready(&mut self, servers: &mut Servers) -> Result<(), Failure> {
        let what = format!("was not ready within {PATIENCE:?}");
        self.until(servers, &what, |child| child.is_ready)
    }

    /// Waits until all children are so.
    fn until(
        &mut self,
        servers: &mut Servers,
        what: &str,
        is_so: impl Fn(&Child) -> bool,
    ) -> Result<(), Failure> {
        let deadline = self.clock.now() + PATIENCE.as_nanos() as Nanos;
        while let Some(late) = self.children.iter().find(|child| !is_so(child)) {
            if self.clock.now() > deadline {
                return Err(Failure::new(NOT_READY, format!("{} {what}", late.process.name())));
            }
            self.hear(servers)?;
        }
        Ok(())
    }

    /// Tells all senders when the first order is due, and whether the flow lasts until somebody was struck.
    pub fn begin(&mut self, at: Nanos, lasts: bool) -> Result<(), Failure> {
        let now = self.clock.now();
        (self.last_progress, self.moved) = ((now, 0), (now, 0));
        self.tell(Part::Sender, &ChildCommand::Begin { at, lasts })
    }

    fn tell(&mut self, part: Part, command: &ChildCommand) -> Result<(), Failure> {
        let line = command.line()?;
        let open = |child: &&mut Child| child.part == part && child.summary.is_none();
        self.children.iter_mut().filter(open).try_for_each(|child| child.process.tell(&line))
    }

    /// Waits until everything is sent, and committed or answered. Meanwhile leaders and gateways are struck,
    /// if somebody is there who does; the flow ends when they are back.
    pub fn until_done(
        &mut self,
        servers: &mut Servers,
        mut striker: Option<&mut FailureDriver>,
        mut killer: Option<&mut Killer>,
    ) -> Result<(), Failure> {
        let sends = |child: &Child| child.part == Part::Sender && child.summary.is_none();
        let mut lasts = striker.is_some() || killer.is_some();
        while self.children.iter().any(sends) {
            self.hear(servers)?;
            if let Some(striker) = &mut striker {
                striker.step(&mut servers.replicas)?;
            }
            if let Some(killer) = &mut killer {
                self.step(killer, servers)?;
            }
            let struck = striker.as_ref().is_none_or(|striker| striker.is_done());
            if lasts && struck && killer.as_ref().is_none_or(|killer| killer.is_done()) {
                lasts = false;
                self.tell(Part::Sender, &ChildCommand::Finish)?;
            }
            self.sample(servers);
            self.report_progress();
            self.check_movement()?;
        }
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
        Ok(())
    }

    fn step(&mut self, killer: &mut Killer, servers: &mut Servers) -> Result<(), Failure> {
        match killer.step(&mut servers.gateways, &self.listening, self.clients)? {
            Step::Waits => {}
            Step::Killed(number) => self.listening[number] = None,
            Step::Started(number) => self.add_gateway(number, &mut servers.gateways[number]),
        }
        Ok(())
    }

    /// Lets the application end: nobody asks it any more.
    pub fn end_exchange(&mut self, servers: &mut Servers) -> Result<(), Failure> {
        let exchanges = self.children.iter_mut().filter(|child| child.part == Part::Exchange);
        exchanges.for_each(|child| child.process.close_stdin());
        let what = format!("had no summary within {PATIENCE:?}");
        self.until(servers, &what, |child| child.part != Part::Exchange || child.summary.is_some())
    }

    /// Lets the subscribers end at `next`, behind the last entry, and returns what everybody said.
    pub fn finish(&mut self, servers: &mut Servers, next: Seq) -> Result<Summaries, Failure> {
        self.tell(Part::Subscriber, &ChildCommand::End { next })?;
        let what = format!("had no summary within {PATIENCE:?}");
        self.until(servers, &what, |child| child.summary.is_some())?;
        let mut all = Summaries { waits: std::mem::take(&mut self.waits), ..Summaries::default() };
        for child in &mut self.children {
            child.process.close_stdin();
            child.process.await_good_end(PATIENCE)?;
            let memory = self.memory.get(&child.process.pid()).copied().unwrap_or_default();
            let name = child.process.name().to_owned();
            match child.summary.take() {
                Some(ChildReport::Published(summary)) => all.published.push((name, summary, memory)),
                Some(ChildReport::Answered(summary)) => all.answered = Some((name, summary, memory)),
                Some(ChildReport::Exchanged { orders, answers }) => {
                    all.exchanged = Some((name, [orders, answers], memory));
                }
                Some(ChildReport::Delivered(summary)) => {
                    if !summary.stamped {
                        all.epochs.append(&mut child.epochs);
                    }
                    all.delivered.push((name, summary, memory));
                }
                _ => {}
            }
        }
        Ok(all)
    }

    /// The samples of process `pid`.
    pub fn memory(&self, pid: u32) -> Memory {
        self.memory.get(&pid).copied().unwrap_or_default()
    }

    /// Takes what was said, or looks after the servers when nothing is.
    fn hear(&mut self, servers: &mut Servers) -> Result<(), Failure> {
        match self.events.recv_timeout(POLL_PERIOD) {
            Ok(WatchEvent::Report(index, report)) => self.on_report(index, *report),
            Ok(WatchEvent::Unknown(index, line)) => {
                let name = self.children[index].process.name();
                return Err(Failure::new(FAILED, format!("{name} said what nobody understands: {line}")));
            }
            Ok(WatchEvent::End(index)) if self.children[index].summary.is_some() => {}
            Ok(WatchEvent::End(index)) => return Err(self.children[index].process.await_death(PATIENCE)),
            Ok(WatchEvent::Listening(number, address)) => {
                self.listening[number] = Some(address);
                self.tell(Part::Sender, &ChildCommand::Gateway { number, address })?;
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => servers.check_alive()?,
        }
        check(&self.stop)
    }

    fn on_report(&mut self, index: usize, report: ChildReport) {
        let child = &mut self.children[index];
        match report {
            ChildReport::Ready => child.is_ready = true,
            ChildReport::Epoch { epoch, at, gap_ns } => {
                child.epochs.push(EpochSeen { epoch: Epoch(epoch), at, gap_ns });
            }
            ChildReport::Progress { orders } => child.orders = orders,
            ChildReport::Clients(clients) => self.clients = clients,
            ChildReport::Resumed { at, wait_ns } => self.waits.push((at, wait_ns)),
            ChildReport::Published(_)
            | ChildReport::Answered(_)
            | ChildReport::Exchanged { .. }
            | ChildReport::Delivered(_) => {
                child.summary = Some(report);
            }
        }
    }

    /// Orders that are delivered everywhere.
    fn done(&self) -> u64 {
        let subscribers = self.children.iter().filter(|child| child.part == Part::Subscriber);
        subscribers.map(|child| child.orders).min().unwrap_or(0)
    }

    fn sample(&mut self, servers: &Servers) {
        let now = self.clock.now();
        if now < self.sampled_at + SAMPLE_NS {
            return;
        }
        self.sampled_at = now;
        let (done, all) = (self.done(), self.all);
        let children = self.children.iter().filter(|child| child.summary.is_none());
        let servers = servers.replicas.iter().chain(&servers.gateways);
        for pid in servers.chain(children.map(|child| &child.process)).map(TrialProcess::pid) {
            self.memory.entry(pid).or_default().sample(pid, done, all);
        }
    }

    fn report_progress(&mut self) {
        let (now, done) = (self.clock.now(), self.done());
        let (progress_at, progress_done) = self.last_progress;
        let took_ns = now - progress_at;
        if took_ns < REPORT_NS[usize::from(!self.is_terminal)] {
            return;
        }
        self.last_progress = (now, done);
        let rate = done.saturating_sub(progress_done) as f64 * 1e9 / took_ns as f64;
        let percent = done as f64 * 100.0 / self.all as f64;
        let line = format!("{percent:5.1} %, {done} of {} orders delivered, {rate:.0}/s", self.all);
        match self.is_terminal {
            true => {
                eprint!("\r\x1b[Kdemo: {line}");
                let _ = std::io::stderr().flush(); // a progress that is not seen harms nobody
            }
            false => say(&line),
        }
    }

    fn check_movement(&mut self) -> Result<(), Failure> {
        let now = self.clock.now();
        let sum = self.children.iter().map(|child| child.orders + u64::from(child.summary.is_some())).sum();
        if sum > self.moved.1 {
            self.moved = (now, sum);
        }
        if now < self.moved.0 + STALL.as_nanos() as Nanos {
            return Ok(());
        }
        let state = |child: &Child| {
            let what = match child.part {
                _ if child.summary.is_some() => "done".to_owned(),
                Part::Subscriber => format!("{} orders", child.orders),
                Part::Exchange | Part::Sender => "not done".to_owned(),
            };
            format!("{}: {what}", child.process.name())
        };
        let states: Vec<_> = self.children.iter().map(state).collect();
        let what = format!("nothing moved for {STALL:?}; {}; --keep keeps their logs", states.join(", "));
        Err(Failure::new(NOT_READY, what))
    }
}

/// Passes on what child `index` says, and that it says no more.
fn listen(index: usize, stdout: ChildStdout, to: &Sender<WatchEvent>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let event = match serde_json::from_str(&line) {
            Ok(report) => WatchEvent::Report(index, Box::new(report)),
            Err(error) => WatchEvent::Unknown(index, format!("{line} ({error})")),
        };
        if to.send(event).is_err() {
            return; // nobody listens any more
        }
    }
    let _ = to.send(WatchEvent::End(index)); // likewise
}

/// Passes on where gateway `number` listens. That it ends is seen by whoever looks after it.
fn listen_to_gateway(number: usize, stdout: ChildStdout, to: &Sender<WatchEvent>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let address = line.strip_prefix("listening on ").and_then(|address| address.parse().ok());
        if let Some(address) = address
            && to.send(WatchEvent::Listening(number, address)).is_err()
        {
            return; // nobody listens any more
        }
    }
}
