//! Listens to the demo's clients while it runs: who is ready, how far they are, how much memory everybody
//! holds, and what they say at the end.

use super::memory::Memory;
use super::process::Process;
use super::said::{Delivered, Published, Said};
use super::strike::Striker;
use super::{PATIENCE, PUBLISHERS, check, say};
use crate::cli::Failure;
use crate::cli::failure::{FAILED, NOT_READY};
use crate::io::clock::Clock;
use crate::wire::{Epoch, Nanos, Seq};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often memory is sampled: seldom enough that looking costs nothing.
const SAMPLE_NS: Nanos = 250_000_000;
/// How often a terminal is told how far it is, and how often a file.
const TELL_NS: [Nanos; 2] = [200_000_000, 5_000_000_000];
/// The demo is over if nothing moves for so long.
const STALL: Duration = Duration::from_secs(30);
/// Longest wait for a word before everybody is looked after.
const LOOK: Duration = Duration::from_millis(50);

/// What the clients said at the end.
pub struct Clients {
    /// The publishers, in their order.
    pub published: Vec<(String, Published, Memory)>,
    /// The subscribers, `stamped` first.
    pub delivered: Vec<(String, Delivered, Memory)>,
    /// The epochs that the `committed` one noticed.
    pub epochs: Vec<EpochSeen>,
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

/// A client, and how far it is.
struct Client {
    process: Process,
    is_ready: bool,
    messages: u64,
    reached: Option<Seq>,
    epochs: Vec<EpochSeen>,
    published: Option<Published>,
    delivered: Option<Delivered>,
}

/// A line of a client, or its end.
enum Heard {
    Said(Said),
    /// A line that is none of ours, and why.
    Unknown(String),
    /// It says no more: it has ended, rightly or not.
    End,
}

/// See the module.
pub struct Watch {
    all: u64,
    stop: Arc<AtomicBool>,
    is_terminal: bool,
    clients: Vec<Client>,
    to: Sender<(usize, Heard)>,
    heard: Receiver<(usize, Heard)>,
    memory: BTreeMap<u32, Memory>,
    clock: Clock,
    sampled_at: Nanos,
    told: (Nanos, u64),
    moved: (Nanos, u64),
}

impl Watch {
    /// Over a flow of `all` messages.
    pub fn new(all: u64, stop: Arc<AtomicBool>, is_terminal: bool) -> Self {
        let (to, heard) = channel();
        let clock = Clock::start();
        let now = clock.now();
        let (clients, memory) = (Vec::new(), BTreeMap::new());
        let (told, moved) = ((now, 0), (now, 0));
        Self { all, stop, is_terminal, clients, to, heard, memory, clock, sampled_at: 0, told, moved }
    }

    /// Listens to one more client.
    pub fn add(&mut self, mut process: Process) {
        let (index, to) = (self.clients.len(), self.to.clone());
        if let Some(stdout) = process.take_stdout() {
            // It ends with the client's stdout, and so at the latest when the client is dropped.
            std::thread::spawn(move || listen(index, stdout, &to));
        }
        self.clients.push(Client {
            process,
            is_ready: false,
            messages: 0,
            reached: None,
            epochs: Vec::new(),
            published: None,
            delivered: None,
        });
    }

    /// Waits until every client is ready.
    pub fn until_ready(&mut self, replicas: &mut [Process]) -> Result<(), Failure> {
        let deadline = self.clock.now() + PATIENCE.as_nanos() as Nanos;
        while let Some(late) = self.clients.iter().find(|client| !client.is_ready) {
            if self.clock.now() > deadline {
                let what = format!("{} was not ready within {PATIENCE:?}", late.process.name());
                return Err(Failure::new(NOT_READY, what));
            }
            self.hear(replicas)?;
        }
        Ok(())
    }

    /// Tells the publishers something.
    pub fn tell_publishers(&mut self, line: &str) -> Result<(), Failure> {
        let now = self.clock.now();
        (self.told, self.moved) = ((now, 0), (now, 0));
        let publishers = self.clients.iter_mut().rev().take(usize::from(PUBLISHERS));
        publishers.map(|client| &mut client.process).try_for_each(|process| process.tell(line))
    }

    /// Waits until everything is published and delivered everywhere, and returns the seq behind it. Meanwhile
    /// leaders are struck, if somebody is there who does.
    pub fn until_done(
        &mut self,
        replicas: &mut [Process],
        mut striker: Option<&mut Striker>,
    ) -> Result<Seq, Failure> {
        while !self.clients.iter().all(|client| client.reached.is_some() || client.published.is_some()) {
            self.hear(replicas)?;
            if let Some(striker) = &mut striker {
                striker.step(replicas)?;
            }
            self.sample(replicas);
            self.tell_progress();
            self.check_movement()?;
        }
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
        // Whoever was struck last is to be back before journals are compared.
        while let Some(striker) = striker.as_mut().filter(|striker| striker.is_under_way()) {
            striker.step(replicas)?;
            self.hear(replicas)?;
        }
        Ok(self.clients.iter().filter_map(|client| client.reached).max().unwrap_or(0))
    }

    /// Lets the subscribers end, and returns what everybody said.
    pub fn finish(&mut self) -> Result<Clients, Failure> {
        self.clients.iter_mut().for_each(|client| client.process.close_stdin());
        let deadline = self.clock.now() + PATIENCE.as_nanos() as Nanos;
        let is_open = |client: &Client| client.published.is_none() && client.delivered.is_none();
        while let Some(late) = self.clients.iter().find(|client| is_open(client)) {
            if self.clock.now() > deadline {
                let what = format!("{} had no summary within {PATIENCE:?}", late.process.name());
                return Err(Failure::new(NOT_READY, what));
            }
            self.hear(&mut [])?;
        }
        let mut all = Clients { published: Vec::new(), delivered: Vec::new(), epochs: Vec::new() };
        for client in &mut self.clients {
            client.process.await_good_end(PATIENCE)?;
            let pid = client.process.pid();
            let memory = self.memory.get(&pid).copied().unwrap_or_default();
            let name = client.process.name().to_owned();
            all.published.extend(client.published.take().map(|said| (name.clone(), said, memory)));
            if client.delivered.as_ref().is_some_and(|said| !said.stamped) {
                all.epochs.append(&mut client.epochs);
            }
            all.delivered.extend(client.delivered.take().map(|said| (name, said, memory)));
        }
        Ok(all)
    }

    /// The samples of process `pid`.
    pub fn memory(&self, pid: u32) -> Memory {
        self.memory.get(&pid).copied().unwrap_or_default()
    }

    /// Takes what was said, or looks after the replicas when nothing is.
    fn hear(&mut self, replicas: &mut [Process]) -> Result<(), Failure> {
        match self.heard.recv_timeout(LOOK) {
            Ok((index, heard)) => self.on_heard(index, heard)?,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => check(&self.stop, replicas)?,
        }
        check(&self.stop, &mut [])
    }

    fn on_heard(&mut self, index: usize, heard: Heard) -> Result<(), Failure> {
        let client = &mut self.clients[index];
        let said = match heard {
            Heard::Said(said) => said,
            Heard::Unknown(line) => {
                let what = format!("{} said what nobody understands: {line}", client.process.name());
                return Err(Failure::new(FAILED, what));
            }
            Heard::End if client.published.is_some() || client.delivered.is_some() => return Ok(()),
            Heard::End => return Err(client.process.await_death(PATIENCE)),
        };
        match said {
            Said::Ready => client.is_ready = true,
            Said::Epoch { epoch, at, gap_ns } => {
                client.epochs.push(EpochSeen { epoch: Epoch(epoch), at, gap_ns });
            }
            Said::Progress { messages } => client.messages = messages,
            Said::Reached { next } => {
                client.reached = Some(next);
                client.messages = self.all;
            }
            Said::Published(published) => client.published = Some(published),
            Said::Delivered(delivered) => client.delivered = Some(delivered),
        }
        Ok(())
    }

    /// Messages that are delivered everywhere.
    fn done(&self) -> u64 {
        let subscribers = &self.clients[..self.clients.len() - usize::from(PUBLISHERS)];
        subscribers.iter().map(|client| client.messages).min().unwrap_or(0)
    }

    fn sample(&mut self, replicas: &[Process]) {
        let now = self.clock.now();
        if now < self.sampled_at + SAMPLE_NS {
            return;
        }
        self.sampled_at = now;
        let (done, all) = (self.done(), self.all);
        let clients = self.clients.iter().filter(|client| client.published.is_none());
        for pid in replicas.iter().map(Process::pid).chain(clients.map(|client| client.process.pid())) {
            self.memory.entry(pid).or_default().sample(pid, done, all);
        }
    }

    fn tell_progress(&mut self) {
        let (now, done) = (self.clock.now(), self.done());
        let (told_at, told_done) = self.told;
        let took_ns = now - told_at;
        if took_ns < TELL_NS[usize::from(!self.is_terminal)] {
            return;
        }
        self.told = (now, done);
        let rate = done.saturating_sub(told_done) as f64 * 1e9 / took_ns as f64;
        let percent = done as f64 * 100.0 / self.all as f64;
        let line = format!("{percent:5.1} %, {done} of {} messages delivered, {rate:.0}/s", self.all);
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
        let sum =
            self.clients.iter().map(|client| client.messages + u64::from(client.published.is_some())).sum();
        if sum > self.moved.1 {
            self.moved = (now, sum);
        }
        if now < self.moved.0 + STALL.as_nanos() as Nanos {
            return Ok(());
        }
        let state = |client: &Client| {
            let is_done = client.published.is_some() || client.reached.is_some();
            let what = if is_done { "done".to_owned() } else { format!("{} messages", client.messages) };
            format!("{}: {what}", client.process.name())
        };
        let states: Vec<_> = self.clients.iter().map(state).collect();
        let what = format!("nothing moved for {STALL:?}; {}; --keep keeps their logs", states.join(", "));
        Err(Failure::new(NOT_READY, what))
    }
}

/// Passes on what client `index` says, and that it says no more.
fn listen(index: usize, stdout: ChildStdout, to: &Sender<(usize, Heard)>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let heard = match serde_json::from_str(&line) {
            Ok(said) => Heard::Said(said),
            Err(error) => Heard::Unknown(format!("{line} ({error})")),
        };
        if to.send((index, heard)).is_err() {
            return; // nobody listens any more
        }
    }
    let _ = to.send((index, Heard::End)); // likewise
}
