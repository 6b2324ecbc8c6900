//! The demo's result: a table for people, JSON for programs, and the verdict.

use super::memory::Memory;
use super::said::{Delivered, Latency, Published};
use super::strike::Strike;
use super::watch::EpochSeen;
use super::{BUSY_THREADS, PUBLISHERS};
use crate::io::idle::Idle;
use crate::wire::{Nanos, Seq};
use serde_json::{Value, json};
use std::fmt;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.demo/1";

/// A replica, by its counters.
pub struct ReplicaRow {
    /// Which.
    pub name: String,
    /// Datagrams received.
    pub datagrams_in: Option<u64>,
    /// Datagrams sent.
    pub datagrams_out: Option<u64>,
    /// Received by the kernel and thrown away, because the socket was full.
    pub dropped: Option<u64>,
    /// Lost on purpose.
    pub rehearsed_lost: Option<u64>,
    /// Frames repaired to it.
    pub repairs_in: Option<u64>,
    /// Frames repaired to others.
    pub repairs_out: Option<u64>,
    /// What it held.
    pub memory: Memory,
}

/// A journal, read after its replica has stopped.
pub struct JournalRow {
    /// Whose.
    pub name: String,
    /// Application messages in it.
    pub messages: u64,
    /// The seq behind the last that was read.
    pub next: Seq,
    /// Of these messages.
    pub digest: String,
}

/// Everything that is told.
pub struct Report {
    /// Messages asked for.
    pub messages: u64,
    /// Messages per second asked for; 0 is as fast as possible.
    pub rate: u64,
    /// How the network was to be worse than it is: keys of `[rehearse]`.
    pub rehearse: Vec<(&'static str, String)>,
    /// How often the leader was to be struck.
    pub strikes_asked: u32,
    /// What was done to leaders.
    pub strikes: Vec<Strike>,
    /// The epochs that the `committed` subscriber noticed.
    pub epochs: Vec<EpochSeen>,
    /// When the first message was due.
    pub began: Nanos,
    /// Cores of this machine.
    pub cores: usize,
    /// What idle threads did.
    pub idle: Idle,
    /// The publishers.
    pub publishers: Vec<(String, Published, Memory)>,
    /// The subscribers.
    pub subscribers: Vec<(String, Delivered, Memory)>,
    /// The replicas.
    pub replicas: Vec<ReplicaRow>,
    /// Their journals.
    pub journals: Vec<JournalRow>,
}

impl Report {
    /// Whether everybody has everything, once, in order, and equal.
    pub fn is_right(&self) -> bool {
        self.wrongs().is_empty()
    }

    /// What is wrong, or that nothing is.
    pub fn verdict(&self) -> String {
        let wrongs = self.wrongs();
        if wrongs.is_empty() {
            return format!(
                "equal digests at {} subscribers and {} journals, 0 lost, 0 duplicated, FIFO per publisher",
                self.subscribers.len(),
                self.journals.len()
            );
        }
        format!("{}; run it again with --keep and look at the journals and logs", wrongs.join("; "))
    }

    fn wrongs(&self) -> Vec<String> {
        let mut wrongs = Vec::new();
        for (name, seen, _) in &self.subscribers {
            let Delivered { messages, lost, duplicated, out_of_order, altered, publishers, .. } = seen;
            let faults = lost + duplicated + out_of_order + altered;
            if faults > 0 || *messages != self.messages || *publishers > usize::from(PUBLISHERS) {
                wrongs.push(format!(
                    "{name}: {messages} of {} messages of {publishers} publishers, {lost} lost, {duplicated} \
                     duplicated, {out_of_order} out of order, {altered} altered",
                    self.messages
                ));
            }
        }
        for (name, done, _) in self.publishers.iter().filter(|(_, done, _)| done.committed != done.messages) {
            wrongs.push(format!("{name}: {} of {} messages committed", done.committed, done.messages));
        }
        if (self.strikes.len() as u64) < u64::from(self.strikes_asked) {
            wrongs.push(format!(
                "the flow was over after {} of {} strikes: give more --messages, or a lower --rate",
                self.strikes.len(),
                self.strikes_asked
            ));
        }
        let mut digests = self.digests();
        if let Some((first, messages, digest)) = digests.next() {
            let others = digests.filter(|other| (other.1, other.2) != (messages, digest));
            wrongs.extend(others.map(|(name, count, other)| {
                format!(
                    "{name}: digest {other} over {count} messages, but {first} has {digest} over {messages}"
                )
            }));
        }
        wrongs
    }

    /// The longest that the `committed` subscriber waited for a message around this strike and before the
    /// next one.
    fn gap_ns(&self, index: usize) -> Option<Nanos> {
        let to = self.strikes.get(index + 1).map_or(Nanos::MAX, |next| next.at);
        let around = self.epochs.iter().filter(|seen| (self.strikes[index].at..to).contains(&seen.at));
        around.map(|seen| seen.gap_ns).max()
    }

    /// Name, messages and digest of everybody who has one.
    fn digests(&self) -> impl Iterator<Item = (&str, u64, &str)> {
        let seen =
            self.subscribers.iter().map(|(name, seen, _)| (&name[..], seen.messages, &seen.digest[..]));
        seen.chain(self.journals.iter().map(|row| (&row.name[..], row.messages, &row.digest[..])))
    }

    /// From the first due message to the last delivery, in seconds.
    fn seconds(&self) -> f64 {
        let last = self.subscribers.iter().map(|(_, seen, _)| seen.last_at).max().unwrap_or(self.began);
        last.saturating_sub(self.began).max(1) as f64 / 1e9
    }

    /// Why the latencies say little, if they do.
    fn doubt(&self) -> Option<String> {
        (BUSY_THREADS > self.cores).then(|| {
            format!(
                "{BUSY_THREADS} busy threads share {} cores: these latencies are mostly waiting for a core, and \
                 say little about lockstep",
                self.cores
            )
        })
    }

    /// What `--json` prints.
    pub fn json(&self) -> Value {
        let memory = |memory: &Memory| {
            json!({
                "first_quarter_bytes": memory.first_bytes(),
                "last_quarter_bytes": memory.last_bytes(),
                "growth_percent": memory.growth_percent(),
            })
        };
        let takeovers = self.strikes.iter().enumerate().map(|(index, strike)| {
            json!({
                "leader": strike.leader,
                "how": strike.how.name(),
                "epoch": strike.epoch.to_string(),
                "next_epoch": strike.next.map(|epoch| epoch.to_string()),
                "gap_ns": self.gap_ns(index),
            })
        });
        let replicas = self.replicas.iter().map(|row| {
            json!({
                "name": row.name,
                "datagrams_in": row.datagrams_in,
                "datagrams_out": row.datagrams_out,
                "dropped": row.dropped,
                "rehearsed_lost": row.rehearsed_lost,
                "repairs_in": row.repairs_in,
                "repairs_out": row.repairs_out,
                "memory": memory(&row.memory),
            })
        });
        let publishers = self
            .publishers
            .iter()
            .map(|(name, done, held)| json!({ "name": name, "summary": done, "memory": memory(held) }));
        let subscribers = self
            .subscribers
            .iter()
            .map(|(name, seen, held)| json!({ "name": name, "summary": seen, "memory": memory(held) }));
        let journals = self.journals.iter().map(|row| {
            json!({ "name": row.name, "messages": row.messages, "next": row.next, "digest": row.digest })
        });
        json!({
            "schema": SCHEMA,
            "ok": self.is_right(),
            "verdict": self.verdict(),
            "messages": self.messages,
            "rate_asked": self.rate,
            "rate": self.messages as f64 / self.seconds(),
            "seconds": self.seconds(),
            "cores": self.cores,
            "busy_threads": BUSY_THREADS,
            "idle": self.idle.to_string(),
            "doubt": self.doubt(),
            "rehearse": self.rehearse.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Value>(),
            "takeovers": takeovers.collect::<Value>(),
            "replicas": replicas.collect::<Value>(),
            "publishers": publishers.collect::<Value>(),
            "subscribers": subscribers.collect::<Value>(),
            "journals": journals.collect::<Value>(),
        })
    }

    fn write_latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<22}{:>10}{:>10}{:>10}{:>10}  us",
            "publish to delivery", "p50", "p99", "p99.9", "max"
        )?;
        for (_, Delivered { stamped, latency, .. }, _) in &self.subscribers {
            let Latency { p50_ns, p99_ns, p999_ns, max_ns } = *latency;
            write!(f, "  {:<20}", if *stamped { "stamped" } else { "committed" })?;
            for value in [p50_ns, p99_ns, p999_ns, max_ns] {
                write!(f, "{:>10}", cell(value.map(|ns| format!("{:.1}", ns as f64 / 1e3))))?;
            }
            writeln!(f)?;
        }
        if let Some(doubt) = self.doubt() {
            writeln!(f, "  ({doubt})")?;
        }
        Ok(())
    }

    fn write_rehearsal(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rehearse.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = self.rehearse.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        let lost: u64 = self.replicas.iter().filter_map(|row| row.rehearsed_lost).sum();
        writeln!(f, "rehearsed at every process: {}; the replicas lost {lost} datagrams\n", keys.join(", "))
    }

    fn write_takeovers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22}{:>10}{:>10}{:>16}", "takeover", "struck", "next", "gap, ms")?;
        for (index, strike) in self.strikes.iter().enumerate() {
            let gap = cell(self.gap_ns(index).map(|ns| format!("{:.1}", ns as f64 / 1e6)));
            let next = cell(strike.next.map(|epoch| epoch.leader().replica));
            let what = format!("leader {}", strike.how.name());
            writeln!(f, "  {what:<20}{:>10}{next:>10}{gap:>16}", strike.leader)?;
        }
        let retracted: u64 = self.subscribers.iter().map(|(_, seen, _)| seen.retracted).sum();
        writeln!(
            f,
            "  (gap: between two deliveries of committed messages; {retracted} stamped ones retracted)\n"
        )
    }

    fn write_processes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<22}{:>11}{:>11}{:>9}{:>9}{:>9}{:>9}{:>9}",
            "process", "dgrams in", "out", "dropped", "repairs", "MiB 1st", "last", "growth"
        )?;
        let mut row = |name: &str, counts: [Option<u64>; 4], memory: &Memory| {
            let [sent_in, sent_out, dropped, repairs] = counts.map(cell);
            write!(f, "  {name:<20}{sent_in:>11}{sent_out:>11}{dropped:>9}{repairs:>9}")?;
            let mib =
                |bytes: Option<u64>| cell(bytes.map(|bytes| format!("{:.1}", bytes as f64 / 1_048_576.0)));
            let growth = cell(memory.growth_percent().map(|percent| format!("{percent:+.1} %")));
            writeln!(f, "{:>9}{:>9}{growth:>9}", mib(memory.first_bytes()), mib(memory.last_bytes()))
        };
        for replica in &self.replicas {
            let ReplicaRow { datagrams_in, datagrams_out, dropped, repairs_in, .. } = *replica;
            row(&replica.name, [datagrams_in, datagrams_out, dropped, repairs_in], &replica.memory)?;
        }
        for (name, done, memory) in &self.publishers {
            let counts = [done.datagrams_in, done.datagrams_out, done.dropped, done.repairs];
            row(name, counts.map(Some), memory)?;
        }
        for (name, seen, memory) in &self.subscribers {
            let counts = [seen.datagrams_in, seen.datagrams_out, seen.dropped, seen.repairs];
            row(name, counts.map(Some), memory)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, rate) = (self.seconds(), self.messages as f64 / self.seconds());
        let asked =
            if self.rate == 0 { "as fast as possible".to_owned() } else { format!("{}/s", self.rate) };
        writeln!(
            f,
            "messages {}, {rate:.0}/s (asked: {asked}), {seconds:.2} s, idle threads {}",
            self.messages, self.idle
        )?;
        let resends: u64 = self.publishers.iter().map(|(_, done, _)| done.resends).sum();
        let full: u64 = self.publishers.iter().map(|(_, done, _)| done.backpressure).sum();
        writeln!(f, "publishers met a full window {full} times and sent {resends} datagrams again\n")?;
        self.write_rehearsal(f)?;
        if self.strikes_asked > 0 {
            self.write_takeovers(f)?;
        }
        self.write_latencies(f)?;
        writeln!(f)?;
        self.write_processes(f)?;
        writeln!(f, "\n{:<22}{:>10}  digest", "stream", "messages")?;
        for (name, messages, digest) in self.digests() {
            writeln!(f, "  {name:<20}{messages:>10}  {digest}")?;
        }
        writeln!(f, "\n{}", self.verdict())
    }
}

/// A cell of the table: `-` is what nobody knows.
fn cell(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
