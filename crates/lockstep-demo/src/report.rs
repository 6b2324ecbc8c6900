//! The demo's result: a table for people, JSON for programs, and the verdict.

use crate::args::Carrier;
use crate::gateways::Kill;
use crate::leader_faults::InjectedFailure;
use crate::memory::Memory;
use crate::report_lines::{Answered, Delivered, Latency};
use crate::share::{QUIET_RATE, QuietPart};
use crate::watch::Summaries;
use crate::{PUBLISHERS, busy_threads};
use lockstep_io::idle::Idle;
use lockstep_wire::{Nanos, Seq};
use serde_json::{Value, json};
use std::fmt;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.demo/2";

/// A replica, by its counters.
pub struct ReplicaRow {
    /// Which.
    pub name: String,
    /// Datagrams received, by the network and by memory.
    pub datagrams_in: Option<u64>,
    /// Datagrams sent.
    pub datagrams_out: Option<u64>,
    /// Thrown away unread, as there was no room for them.
    pub dropped: Option<u64>,
    /// Lost on purpose.
    pub fault_injection_lost: Option<u64>,
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

/// The whole report.
pub struct Report {
    /// Orders asked for.
    pub messages: u64,
    /// Orders per second asked for; 0 is as fast as possible.
    pub rate: u64,
    /// Whether orders went past the gateways, and were not answered.
    pub direct: bool,
    /// What carried the datagrams.
    pub transport: Carrier,
    /// How the network was to be worse than it is: keys of `[fault_injection]`.
    pub fault_injection: Vec<(&'static str, String)>,
    /// What was done to leaders.
    pub strikes: Vec<InjectedFailure>,
    /// What was done to gateways.
    pub kills: Vec<Kill>,
    /// When the first order was due.
    pub began: Nanos,
    /// Cores of this machine.
    pub cores: usize,
    /// What idle threads did.
    pub idle: Idle,
    /// What publishers or clients, application and subscribers said.
    pub summaries: Summaries,
    /// The gateways, and what they held.
    pub gateways: Vec<(String, Memory)>,
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

    /// The errors, or that nothing is.
    pub fn conclusion(&self) -> String {
        let wrongs = self.wrongs();
        if !wrongs.is_empty() {
            return format!(
                "{}; run it again with --keep and look at the journals and logs",
                wrongs.join("; ")
            );
        }
        let each = if self.direct { "" } else { ", each answer once and in order at its client" };
        format!(
            "equal digests at {} subscribers and {} journals, 0 lost, 0 duplicated, FIFO per publisher{each}",
            self.summaries.delivered.len(),
            self.journals.len()
        )
    }

    fn wrongs(&self) -> Vec<String> {
        let mut wrongs = Vec::new();
        let (all, answers_all) = (self.messages, if self.direct { 0 } else { self.messages });
        for (name, seen, _) in &self.summaries.delivered {
            let Delivered { orders, answers, lost, duplicated, out_of_order, altered, publishers, .. } = seen;
            let faults = lost + duplicated + out_of_order + altered;
            if faults > 0
                || [*orders, *answers] != [all, answers_all]
                || *publishers > usize::from(PUBLISHERS)
            {
                wrongs.push(format!(
                    "{name}: {orders} of {all} orders of {publishers} publishers, {answers} of {answers_all} \
                     answers, {lost} lost, {duplicated} duplicated, {out_of_order} out of order, {altered} altered"
                ));
            }
        }
        for (name, done, _) in
            self.summaries.published.iter().filter(|(_, done, _)| done.committed != done.messages)
        {
            wrongs.push(format!("{name}: {} of {} orders committed", done.committed, done.messages));
        }
        if let Some((name, had, _)) = &self.summaries.answered {
            let Answered { orders, answers, lost, duplicated, out_of_order, altered, .. } = had;
            if [*orders, *answers, lost + duplicated + out_of_order + altered] != [all, all, 0] {
                wrongs.push(format!(
                    "{name}: {orders} of {all} orders sent, {answers} answers, {lost} lost, {duplicated} \
                     duplicated, {out_of_order} out of order, {altered} altered"
                ));
            }
        }
        if let Some((name, [orders, answers], _)) = &self.summaries.exchanged
            && [*orders, *answers] != [all, all]
        {
            wrongs.push(format!("{name}: {orders} orders heard and {answers} answered, of {all}"));
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
        let around =
            self.summaries.epochs.iter().filter(|seen| (self.strikes[index].at..to).contains(&seen.at));
        around.map(|seen| seen.gap_ns).max()
    }

    /// The longest that a client waited from an answer to the next one, whose connection this kill broke.
    fn wait_ns(&self, index: usize) -> Option<Nanos> {
        let to = self.kills.get(index + 1).map_or(Nanos::MAX, |next| next.at);
        let around = self.summaries.waits.iter().filter(|(at, _)| (self.kills[index].at..to).contains(at));
        around.map(|(_, wait_ns)| *wait_ns).max()
    }

    /// The longest wait of a client across any kill.
    fn wait_ns_max(&self) -> Option<Nanos> {
        self.summaries.waits.iter().map(|(_, wait_ns)| *wait_ns).max()
    }

    /// Name, messages and digest of everybody who has one.
    fn digests(&self) -> impl Iterator<Item = (&str, u64, &str)> {
        let seen = &self.summaries.delivered;
        let seen = seen.iter().map(|(name, seen, _)| (&name[..], seen.messages, &seen.digest[..]));
        seen.chain(self.journals.iter().map(|row| (&row.name[..], row.messages, &row.digest[..])))
    }

    /// From the first due order under load to the last order's delivery, in seconds.
    fn seconds(&self) -> f64 {
        let began = self.began + self.quiet().lasts_ns;
        let last = self.summaries.delivered.iter().map(|(_, seen, _)| seen.last_at).max().unwrap_or(began);
        last.saturating_sub(began).max(1) as f64 / 1e9
    }

    /// Orders a second, under load.
    fn rate_achieved(&self) -> f64 {
        (self.messages - self.quiet().orders) as f64 / self.seconds()
    }

    fn quiet(&self) -> QuietPart {
        QuietPart::of(self.messages, self.rate)
    }

    /// Why the latencies say little, if they do.
    fn doubt(&self) -> Option<String> {
        let busy_threads = busy_threads(self.direct);
        (busy_threads > self.cores).then(|| {
            format!(
                "{busy_threads} busy threads share {} cores: these latencies are mostly waiting for a core, and \
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
        let kills = self
            .kills
            .iter()
            .enumerate()
            .map(|(index, kill)| json!({ "gateway": kill.gateway + 1, "wait_ns": self.wait_ns(index) }));
        let gateways = self
            .gateways
            .iter()
            .map(|(name, memory_use)| json!({ "name": name, "memory": memory(memory_use) }));
        let replicas = self.replicas.iter().map(|row| {
            json!({
                "name": row.name,
                "datagrams_in": row.datagrams_in,
                "datagrams_out": row.datagrams_out,
                "dropped": row.dropped,
                "fault_injection_lost": row.fault_injection_lost,
                "repairs_in": row.repairs_in,
                "repairs_out": row.repairs_out,
                "memory": memory(&row.memory),
            })
        });
        let summaries = &self.summaries;
        let publishers = summaries.published.iter().map(
            |(name, done, memory_use)| json!({ "name": name, "summary": done, "memory": memory(memory_use) }),
        );
        let subscribers = summaries.delivered.iter().map(
            |(name, seen, memory_use)| json!({ "name": name, "summary": seen, "memory": memory(memory_use) }),
        );
        let clients = summaries.answered.as_ref().map(
            |(name, had, memory_use)| json!({ "name": name, "summary": had, "memory": memory(memory_use) }),
        );
        let exchange = summaries.exchanged.as_ref().map(|(name, [orders, answers], memory_use)| {
            json!({ "name": name, "orders": orders, "answers": answers, "memory": memory(memory_use) })
        });
        let journals = self.journals.iter().map(|row| {
            json!({ "name": row.name, "messages": row.messages, "next": row.next, "digest": row.digest })
        });
        json!({
            "schema": SCHEMA,
            "ok": self.is_right(),
            "verdict": self.conclusion(),
            "messages": self.messages,
            "rate_asked": self.rate,
            "rate": self.rate_achieved(),
            "quiet_orders": self.quiet().orders,
            "seconds": self.seconds(),
            "cores": self.cores,
            "busy_threads": busy_threads(self.direct),
            "idle": self.idle.to_string(),
            "doubt": self.doubt(),
            "transport": self.transport.name(),
            "fault_injection": self.fault_injection.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Value>(),
            "direct": self.direct,
            "takeovers": takeovers.collect::<Value>(),
            "gateway_kills": kills.collect::<Value>(),
            "wait_ns_max": self.wait_ns_max(),
            "gateways": gateways.collect::<Value>(),
            "clients": clients,
            "exchange": exchange,
            "replicas": replicas.collect::<Value>(),
            "publishers": publishers.collect::<Value>(),
            "subscribers": subscribers.collect::<Value>(),
            "journals": journals.collect::<Value>(),
        })
    }

    fn write_latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = "from order due until";
        writeln!(f, "{header:<22}{:>12}{:>12}{:>12}{:>12}  us", "p50", "p99", "p99.9", "max")?;
        let name = |stamped: bool| if stamped { "stamped" } else { "committed" };
        let delivered =
            self.summaries.delivered.iter().map(|(_, seen, _)| (name(seen.stamped).to_owned(), seen.latency));
        let quiet =
            self.summaries.delivered.iter().filter_map(|(_, seen, _)| {
                Some((format!("{}, quiet", name(seen.stamped)), seen.quiet_latency?))
            });
        let answered = self.summaries.answered.iter().map(|(_, had, _)| ("answered".to_owned(), had.latency));
        for (what, Latency { p50_ns, p99_ns, p999_ns, max_ns }) in quiet.chain(delivered).chain(answered) {
            write!(f, "  {what:<20}")?;
            for value in [p50_ns, p99_ns, p999_ns, max_ns] {
                write!(f, "{:>12}", cell(value.map(|ns| format!("{:.1}", ns as f64 / 1e3))))?;
            }
            writeln!(f)?;
        }
        let QuietPart { orders, .. } = self.quiet();
        if orders > 0 {
            note(f, &format!("(quiet: the first {orders} orders, {QUIET_RATE}/s)"))?;
        }
        if let Some(doubt) = self.doubt() {
            note(f, &format!("({doubt})"))?;
        }
        Ok(())
    }

    fn write_fault_injection(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fault_injection.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> =
            self.fault_injection.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        let lost: u64 = self.replicas.iter().filter_map(|row| row.fault_injection_lost).sum();
        wrapped(
            f,
            &format!("faults at every process: {}; the replicas lost {lost} datagrams", keys.join(", ")),
        )?;
        writeln!(f)
    }

    fn write_takeovers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22}{:>10}{:>10}{:>16}", "takeover", "struck", "next", "gap, ms")?;
        for (index, strike) in self.strikes.iter().enumerate() {
            let gap = cell(self.gap_ns(index).map(ms));
            let next = cell(strike.next.map(|epoch| epoch.leader().replica));
            let what = format!("leader {}", strike.how.name());
            writeln!(f, "  {what:<20}{:>10}{next:>10}{gap:>16}", strike.leader)?;
        }
        let retracted: u64 = self.summaries.delivered.iter().map(|(_, seen, _)| seen.retracted).sum();
        note(f, &format!("(gap: between two committed deliveries; {retracted} stamped ones retracted)"))?;
        writeln!(f)
    }

    fn write_kills(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22}{:>20}", "gateway killed", "longest wait, ms")?;
        for (index, kill) in self.kills.iter().enumerate() {
            let name = self.gateways.get(kill.gateway).map_or("gateway", |(name, _)| name);
            writeln!(f, "  {name:<20}{:>20}", cell(self.wait_ns(index).map(ms)))?;
        }
        note(
            f,
            "(wait: from an answer to the next one of a client that lost its gateway; meanwhile none of its \
             orders falls due)",
        )?;
        writeln!(f)
    }

    /// From the orders that were sent to the answers that came.
    fn write_flow(&self, f: &mut fmt::Formatter<'_>, had: &Answered) -> fmt::Result {
        let Answered { clients, orders, answers, lost, duplicated, out_of_order, logins, resent, .. } = had;
        let header = format!("{clients} clients, {} gateways", self.gateways.len());
        writeln!(f, "{header:<22}{:>12}{:>8}{:>12}{:>14}", "orders", "lost", "duplicated", "out of order")?;
        writeln!(f, "  {:<20}{orders:>12}", "sent")?;
        let mut row = |what: &str, count: u64, [lost, duplicated, out_of_order]: [u64; 3]| {
            writeln!(f, "  {what:<20}{count:>12}{lost:>8}{duplicated:>12}{out_of_order:>14}")
        };
        let committed = self.summaries.delivered.iter().map(|(_, seen, _)| seen).find(|seen| !seen.stamped);
        if let Some(seen) = committed {
            row("in the stream", seen.orders, [seen.lost, seen.duplicated, seen.out_of_order])?;
        }
        row("answered", *answers, [*lost, *duplicated, *out_of_order])?;
        if !self.kills.is_empty() {
            writeln!(
                f,
                "  {:<20}{resent:>12}  by clients that logged in again, {logins} times",
                "sent again"
            )?;
            let longest = cell(self.wait_ns_max().map(ms));
            writeln!(f, "  {:<20}{longest:>12}  ms, across a kill, for the next answer", "longest wait")?;
        }
        writeln!(f)
    }

    fn write_processes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<22}{:>10}{:>10}{:>8}{:>8}{:>7}{:>7}{:>8}",
            "process", "dgrams in", "out", "dropped", "repairs", "MiB", "last", "growth"
        )?;
        let mut row = |name: &str, counts: [Option<u64>; 4], memory: &Memory| {
            let [sent_in, sent_out, dropped, repairs] = counts.map(cell);
            write!(f, "  {name:<20}{sent_in:>10}{sent_out:>10}{dropped:>8}{repairs:>8}")?;
            let mib =
                |bytes: Option<u64>| cell(bytes.map(|bytes| format!("{:.1}", bytes as f64 / 1_048_576.0)));
            let growth = cell(memory.growth_percent().map(|percent| format!("{percent:+.1} %")));
            writeln!(f, "{:>7}{:>7}{growth:>8}", mib(memory.first_bytes()), mib(memory.last_bytes()))
        };
        for replica in &self.replicas {
            let ReplicaRow { datagrams_in, datagrams_out, dropped, repairs_in, .. } = *replica;
            row(&replica.name, [datagrams_in, datagrams_out, dropped, repairs_in], &replica.memory)?;
        }
        for (name, memory) in &self.gateways {
            row(name, [None; 4], memory)?;
        }
        let clients = self.summaries.answered.iter().map(|(name, _, memory)| (name, memory));
        for (name, memory) in
            clients.chain(self.summaries.exchanged.iter().map(|(name, _, memory)| (name, memory)))
        {
            row(name, [None; 4], memory)?;
        }
        for (name, done, memory) in &self.summaries.published {
            let counts = [done.datagrams_in, done.datagrams_out, done.dropped, done.repairs];
            row(name, counts.map(Some), memory)?;
        }
        for (name, seen, memory) in &self.summaries.delivered {
            let counts = [seen.datagrams_in, seen.datagrams_out, seen.dropped, seen.repairs];
            row(name, counts.map(Some), memory)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, rate) = (self.seconds(), self.rate_achieved());
        let asked =
            if self.rate == 0 { "as fast as possible".to_owned() } else { format!("{}/s", self.rate) };
        let word = if self.is_right() { "all right" } else { "WRONG" };
        wrapped(f, &format!("{word}: {}", self.conclusion()))?;
        wrapped(
            f,
            &format!(
                "orders {}, {rate:.0}/s (asked: {asked}), {seconds:.2} s, by {}, idle threads {}",
                self.messages,
                self.transport.name(),
                self.idle
            ),
        )?;
        if let Some((_, had, _)) = &self.summaries.answered {
            writeln!(f)?;
            self.write_flow(f, had)?;
        } else {
            let resends: u64 = self.summaries.published.iter().map(|(_, done, _)| done.resends).sum();
            let full: u64 = self.summaries.published.iter().map(|(_, done, _)| done.backpressure).sum();
            writeln!(f, "publishers met a full window {full} times and sent {resends} datagrams again\n")?;
        }
        self.write_fault_injection(f)?;
        if !self.strikes.is_empty() {
            self.write_takeovers(f)?;
        }
        if !self.kills.is_empty() {
            self.write_kills(f)?;
        }
        self.write_latencies(f)?;
        writeln!(f)?;
        self.write_processes(f)?;
        writeln!(f, "\n{:<22}{:>10}  digest, its first half", "stream", "messages")?;
        for (name, messages, digest) in self.digests() {
            let half = digest.get(..digest.len() / 2).unwrap_or_default();
            writeln!(f, "  {name:<20}{messages:>10}  {half}")?;
        }
        if !self.direct {
            writeln!(f, "  (orders, answers, and the signs of life of the gateways)")?;
        }
        writeln!(f, "\n{NEXT}")
    }
}

/// What to try behind this run.
const NEXT: &str = "\
next: lockstep demo --kill-leader 3   the same, its leader killed three times
      lockstep dev                    a cluster to write programs against
      docs/DEPLOY.md                  three hosts from nothing";

/// Columns of a terminal that nobody has widened.
const COLUMNS: usize = 80;

/// Text in lines of at most [`COLUMNS`], broken between words.
fn wrapped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    lines(f, text, "", "  ")
}

/// The same, as a remark under a table.
fn note(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    lines(f, text, "  ", "   ")
}

fn lines(f: &mut fmt::Formatter<'_>, text: &str, first: &str, rest: &str) -> fmt::Result {
    let mut line = first.to_owned();
    for word in text.split(' ') {
        let is_empty = line.trim().is_empty();
        if !is_empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            writeln!(f, "{line}")?;
            line = format!("{rest}{word}");
        } else if is_empty {
            line.push_str(word);
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    writeln!(f, "{line}")
}

/// Nanoseconds as milliseconds.
fn ms(ns: Nanos) -> String {
    format!("{:.1}", ns as f64 / 1e6)
}

/// A cell of the table: `-` is what nobody knows.
fn cell(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
