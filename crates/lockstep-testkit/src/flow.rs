//! Orders that flow: publishers that are fed at a rate, and what subscribers were given.
//!
//! A line says whose it is and which one: `a 17 …` is the 17th of publisher `a`, and has the publisher's
//! number 17 in the stream. So every line that a subscriber prints can be judged by itself, and a stream
//! in which nothing is lost, doubled or out of order is one whose numbers follow each other.

use crate::netns::Place;
use crate::processes::{Cluster, PATIENCE, Process};
use lockstep_node::io::store::DirStore;
use lockstep_replica::journal::read_segments;
use lockstep_wire::EntryKind;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::ChildStdin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks, and between two bursts of lines.
const LOOK: Duration = Duration::from_millis(1);
/// What fills a line up to the size of an order.
const FILL: &str = "................................................";

/// Line `number` of publisher `name`.
pub fn line(name: &str, number: u64) -> String {
    format!("{name} {number} {FILL}")
}

/// A message as the stream has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its place in the stream.
    pub seq: u64,
    /// Its publisher's id.
    pub publisher: u32,
    /// Its publisher's own number of it.
    pub publisher_seq: u64,
    /// What it says.
    pub payload: String,
}

impl Message {
    /// Reads a line of `subscribe`.
    fn parse(line: &str) -> Option<Self> {
        let mut columns = line.splitn(4, '\t');
        let seq = columns.next()?.parse().ok()?;
        let (publisher, publisher_seq) = columns.next()?.split_once(':')?;
        let payload = columns.nth(1)?.to_owned();
        Some(Self {
            seq,
            publisher: publisher.parse().ok()?,
            publisher_seq: publisher_seq.parse().ok()?,
            payload,
        })
    }

    /// Whose line it is.
    fn name(&self) -> &str {
        self.payload.split(' ').next().unwrap_or_default()
    }
}

/// The stream as one reader has it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Stream {
    /// What was delivered and not taken back, in its order.
    pub messages: Vec<Message>,
    /// Messages that were delivered and taken back.
    pub retracted: u64,
}

impl Stream {
    /// The messages that a journal's segments hold, as far as they can be read.
    pub fn of_journal(journal: &Path) -> Self {
        let store = DirStore::new(journal, false).unwrap_or_else(|error| panic!("{error}"));
        let mut reader = read_segments(&store, 1).unwrap_or_else(|error| panic!("{error}"));
        let mut stream = Self::default();
        // A torn end is no part of the log.
        while let Some(Ok(frame)) = reader.next().unwrap_or_else(|error| panic!("{error}")) {
            for (seq, entry) in (frame.header.first_seq..).zip(frame.entries()) {
                if entry.kind() == EntryKind::Message {
                    stream.messages.push(Message {
                        seq,
                        publisher: entry.header.publisher,
                        publisher_seq: entry.header.publisher_seq,
                        payload: String::from_utf8_lossy(entry.payload).into_owned(),
                    });
                }
            }
        }
        stream
    }

    /// What `subscribe` printed.
    pub fn of_text(text: &str) -> Self {
        let mut stream = Self::default();
        text.lines().for_each(|line| stream.take(line));
        stream
    }

    fn take(&mut self, line: &str) {
        if let Some(from) = line.strip_prefix("retract from ") {
            let from: u64 = from.parse().unwrap_or_else(|_| panic!("no seq: {line}"));
            let remaining = self.messages.partition_point(|message| message.seq < from);
            self.retracted += (self.messages.len() - remaining) as u64;
            self.messages.truncate(remaining);
            return;
        }
        self.messages.push(Message::parse(line).unwrap_or_else(|| panic!("no message: {line}")));
    }

    /// The last seq of a message, 0 without any.
    pub fn last(&self) -> u64 {
        self.messages.last().map_or(0, |message| message.seq)
    }

    /// How many lines of `name` it has.
    pub fn count_of(&self, name: &str) -> u64 {
        self.messages.iter().filter(|message| message.name() == name).count() as u64
    }

    /// Judges it by itself: places rise; the lines of each publisher are all there, once, in their order.
    ///
    /// # Errors
    /// The first line that is wrong, in words.
    pub fn judge(&self) -> Result<(), String> {
        let (mut last, mut counts) = (0, BTreeMap::new());
        for message in &self.messages {
            let Message { seq, publisher, publisher_seq, payload } = message;
            if *seq <= last {
                return Err(format!("seq {seq} comes behind {last}"));
            }
            last = *seq;
            let count = counts.entry(*publisher).or_insert(0);
            *count += 1;
            if *publisher_seq != *count || *payload != line(message.name(), *count) {
                return Err(format!(
                    "at seq {seq} line {count} of publisher {publisher} was due: {message:?}"
                ));
            }
        }
        Ok(())
    }

    /// Judges it beside another reader's: as far as both reach, they are the same.
    ///
    /// # Errors
    /// The first place where they differ, in words.
    pub fn agrees_with(&self, other: &Self) -> Result<(), String> {
        let pairs = self.messages.iter().zip(&other.messages);
        match pairs.into_iter().find(|(ours, theirs)| ours != theirs) {
            Some((ours, theirs)) => Err(format!("two readers differ: {ours:?} and {theirs:?}")),
            None => Ok(()),
        }
    }
}

/// A subscriber process, and what it has printed so far.
pub struct View {
    process: Process,
    stream: Arc<Mutex<Stream>>,
    /// When its last line came, and the longest time between two of them.
    pauses: Arc<Mutex<(Instant, Duration)>>,
    reader: JoinHandle<()>,
}

impl View {
    /// Starts `subscribe` with these flags, from the first seq on.
    pub fn start(cluster: &Cluster, place: &Place, name: &str, flags: &[&str]) -> Self {
        let args: Vec<&str> = ["subscribe"].iter().chain(flags).copied().collect();
        let mut process = cluster.start_command(name, cluster.command_at(place, &args));
        let stream = Arc::new(Mutex::new(Stream::default()));
        let pauses = Arc::new(Mutex::new((Instant::now(), Duration::ZERO)));
        let (out, to) = (BufReader::new(process.take_stdout()), Arc::clone(&stream));
        let measured = Arc::clone(&pauses);
        let reader = std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let now = Instant::now();
                let mut measured = measured.lock().expect("a test that did not panic");
                *measured = (now, measured.1.max(now - measured.0));
                drop(measured);
                to.lock().expect("a reader that did not panic").take(&line);
            }
        });
        Self { process, stream, pauses, reader }
    }

    /// The longest time between two of its messages since the last call.
    pub fn longest_pause(&self) -> Duration {
        let mut pauses = self.pauses.lock().expect("a reader that did not panic");
        let longest = pauses.1.max(pauses.0.elapsed());
        *pauses = (Instant::now(), Duration::ZERO);
        longest
    }

    /// What it has by now.
    pub fn so_far(&self) -> Stream {
        self.stream.lock().expect("a reader that did not panic").clone()
    }

    /// How many messages it has by now.
    pub fn count(&self) -> usize {
        self.stream.lock().expect("a reader that did not panic").messages.len()
    }

    /// Waits until it has `count` messages.
    #[track_caller]
    pub fn await_count(&mut self, count: usize) {
        let began = Instant::now();
        while self.count() < count {
            let ended = self.process.ended();
            let (name, log) = (self.process.name(), self.process.log());
            assert!(ended.is_none(), "{name} ended with {} messages: {ended:?}\n{log}", self.count());
            assert!(began.elapsed() < PATIENCE, "{name} has {} messages, not {count}\n{log}", self.count());
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until nothing has come for `quiet`.
    pub fn await_quiet(&self, quiet: Duration) {
        let mut seen = (self.count(), Instant::now());
        while seen.1.elapsed() < quiet {
            std::thread::sleep(LOOK);
            if self.count() != seen.0 {
                seen = (self.count(), Instant::now());
            }
        }
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it, and returns all that it had printed.
    #[track_caller]
    pub fn finish(self) -> Stream {
        self.finish_at().0
    }

    /// The same, and the cursor at which another reader continues.
    #[track_caller]
    pub fn finish_at(mut self) -> (Stream, String) {
        self.process.signal("TERM");
        let (status, log) = (self.process.wait(), self.process.log());
        assert!(status.success(), "{} ended with {status}:\n{log}", self.process.name());
        self.reader.join().expect("a reader that did not panic");
        let cursor = log.lines().find_map(|line| line.strip_prefix("cursor ")).unwrap_or_default();
        (std::mem::take(&mut self.stream.lock().expect("a reader that did not panic")), cursor.to_owned())
    }
}

/// The outcomes of a publisher's messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeedResult {
    /// Messages that it took from its input.
    pub published: u64,
    /// Of them committed: the first so many.
    pub committed: u64,
    /// Its exit code.
    pub code: Option<i32>,
    /// All that it said.
    pub log: String,
}

/// A publisher process that is fed with its lines, 1 first.
pub struct Feed {
    process: Process,
    name: String,
    stop: Arc<AtomicBool>,
    writer: JoinHandle<()>,
}

impl Feed {
    /// Starts `publish` and feeds `per_second` lines to it. It waits `timeout` for a commit.
    pub fn start(cluster: &Cluster, place: &Place, name: &str, per_second: u64, timeout: &str) -> Self {
        let args = ["publish", "--name", name, "--timeout", timeout];
        let mut process =
            cluster.start_command(&format!("publisher-{name}"), cluster.command_at(place, &args));
        let stop = Arc::new(AtomicBool::new(false));
        let (stdin, stopped) = (process.stdin().take().expect("piped"), Arc::clone(&stop));
        let owner = name.to_owned();
        let writer = std::thread::spawn(move || write_lines(stdin, &owner, per_second, &stopped));
        Self { process, name: name.to_owned(), stop, writer }
    }

    /// Its publisher's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it said, if it has ended.
    pub fn ended(&mut self) -> Option<String> {
        self.process
            .ended()
            .map(|status| format!("'{}' ended with {status}: {}", self.name, self.process.log()))
    }

    /// Gives it no more, and waits until it has ended by itself.
    #[track_caller]
    pub fn finish(self) -> FeedResult {
        self.stop.store(true, Ordering::Release);
        self.into_result()
    }

    /// Tells it to stop, and waits until it has: what is out gets its fate, or its time is over.
    #[track_caller]
    pub fn terminate(self) -> FeedResult {
        self.stop.store(true, Ordering::Release);
        self.process.signal("TERM");
        self.into_result()
    }

    #[track_caller]
    fn into_result(mut self) -> FeedResult {
        let code = self.process.wait().code();
        self.writer.join().expect("a writer that did not panic");
        let log = self.process.log();
        // It also tells as it goes what is committed so far.
        let whole = log.lines().rfind(|line| line.contains(" published, ")).unwrap_or_default();
        let number = |word: &str| whole.split(word).next()?.rsplit(' ').next()?.parse().ok();
        match (number(" published,"), number(" committed")) {
            (Some(published), Some(committed)) => FeedResult { published, committed, code, log },
            _ if log.contains("was not opened within") => {
                FeedResult { published: 0, committed: 0, code, log }
            }
            _ => panic!("{} does not say what it did:\n{log}", self.name),
        }
    }
}

fn write_lines(mut stdin: ChildStdin, name: &str, per_second: u64, stop: &AtomicBool) {
    let (began, mut written) = (Instant::now(), 0);
    while !stop.load(Ordering::Acquire) {
        let due = (began.elapsed().as_secs_f64() * per_second as f64) as u64;
        let lines: String = (written + 1..=due).map(|number| line(name, number) + "\n").collect();
        if stdin.write_all(lines.as_bytes()).is_err() {
            return; // it has ended; why, its exit code says
        }
        written = due;
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(lines: &[(u64, u32, u64, &str)]) -> Stream {
        let mut stream = Stream::default();
        for (seq, publisher, number, payload) in lines {
            stream.take(&format!("{seq}\t{publisher}:{number}\t0\t{payload}"));
        }
        stream
    }

    #[test]
    fn a_hole_a_copy_a_wrong_order_and_another_ones_line_are_found() {
        let [a1, a2, b1] = [line("a", 1), line("a", 2), line("b", 1)];
        assert_eq!(stream(&[(3, 1, 1, &a1), (4, 2, 1, &b1), (7, 1, 2, &a2)]).judge(), Ok(()));
        assert!(stream(&[(3, 1, 2, &a2)]).judge().is_err_and(|why| why.contains("line 1 of publisher 1")));
        assert!(stream(&[(3, 1, 1, &a1), (4, 1, 1, &a1)]).judge().is_err());
        assert!(stream(&[(4, 1, 1, &a1), (4, 1, 2, &a2)]).judge().is_err_and(|why| why.contains("behind 4")));
        assert!(stream(&[(3, 1, 1, &a2)]).judge().is_err());
    }

    #[test]
    fn two_readers_agree_as_far_as_both_reach_and_what_is_retracted_is_gone() {
        let [a1, a2] = [line("a", 1), line("a", 2)];
        let mut long = stream(&[(3, 1, 1, &a1), (4, 1, 2, &a2)]);
        assert_eq!(long.agrees_with(&stream(&[(3, 1, 1, &a1)])), Ok(()));
        assert!(long.agrees_with(&stream(&[(3, 1, 1, &a1), (5, 1, 2, &a2)])).is_err());
        long.take("retract from 4");
        assert_eq!((long.messages.len(), long.retracted, long.count_of("a")), (1, 1, 1));
    }
}
