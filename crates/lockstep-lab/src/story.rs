//! A story: what a search or a timed run found, as rows of events and arrows between them, for text and for
//! pictures.

use crate::erased::Input;
use crate::protocol::{Detection, Pid};
use crate::space::{Lab, State, Step};
use crate::vocabulary::{Event, Fact};
use lockstep_sim::explore::Space;
use std::fmt;

/// The kinds of marks on a lane.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mark {
    /// A request.
    Asked,
    /// A delivery, a decision, a view, …
    Did,
    /// A suspicion, or trust in a leader.
    Detected,
    /// The end of a process.
    Crashed,
    /// It comes back.
    Recovered,
    /// A timer is over, or the clock ticks.
    Timer,
}

/// A place in a picture: the lane of a process, and a row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// The process.
    pub lane: Pid,
    /// The row, from 0 on: time goes down.
    pub row: usize,
}

/// A message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrow {
    /// Where it was sent.
    pub from: Place,
    /// Where it arrives, or is lost.
    pub to: Place,
    /// What it is.
    pub words: String,
    /// Whether it never arrives.
    pub lost: bool,
    /// Whether a liar sent it.
    pub lie: bool,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Story {
    /// Its title.
    pub title: String,
    /// The number of processes.
    pub n: u8,
    /// Each row in words.
    pub rows: Vec<String>,
    /// Marks on lanes, with their words.
    pub marks: Vec<(Place, Mark, String)>,
    /// Messages.
    pub arrows: Vec<Arrow>,
    /// The row from which the rest repeats for ever.
    pub loop_from: Option<usize>,
    /// How it ends.
    pub end: String,
    /// Whether that is as it should be.
    pub is_good: bool,
}

/// Facts of detectors are drawn as such.
fn mark_of(event: &Event) -> Mark {
    match event {
        Event::Asked(_) => Mark::Asked,
        Event::Did(Fact::Suspect(_) | Fact::Restore(_) | Fact::Leader(_)) => Mark::Detected,
        Event::Did(_) => Mark::Did,
    }
}

/// The mark of a step, whatever its process does then.
fn mark_of_step(step: Step) -> Option<(Mark, String)> {
    Some(match step {
        Step::Crash(_) => (Mark::Crashed, "crashes".to_owned()),
        Step::Recover(_) => (Mark::Recovered, "comes back".to_owned()),
        Step::Timeout(_, timer) => (Mark::Timer, format!("timer {timer}")),
        Step::Detect(_, detection) => (Mark::Detected, detection_words(detection)),
        _ => return None,
    })
}

impl Story {
    /// The story of these steps.
    pub(crate) fn of_steps(lab: &mut Lab, title: String, steps: &[Step], end: String) -> Self {
        let mut story = Self { title, n: lab.processes(), end, ..Self::default() };
        let mut state = lab.first();
        // Where each message that is under way was sent: of equal ones the first first.
        let mut sent: Vec<(u32, Place)> = Vec::new();
        for number in lab.under_way(&state) {
            sent.push((number, Place { lane: lab.sender(number), row: 0 }));
        }
        for step in steps {
            story.add(lab, &mut state, &mut sent, *step);
        }
        // What was sent and never arrived.
        for (number, from) in sent {
            let step = Step::Receive(number);
            let (Some((_, to)), Some(words)) = (lab.route(step), lab.message_words(step)) else { continue };
            if !state.crashed.has(to) {
                let to = Place { lane: to, row: story.rows.len().min(from.row + 1) };
                story.arrows.push(Arrow { from, to, words, lost: true, lie: false });
            }
        }
        story
    }

    /// One more step.
    fn add(&mut self, lab: &mut Lab, state: &mut State, sent: &mut Vec<(u32, Place)>, step: Step) {
        let row = self.rows.len();
        let mut before = lab.under_way(state);
        let ask = lab.ask_of(state, step);
        let mut words = ask.map_or_else(
            || lab.words(step),
            |ask| format!("p{} is asked: {ask:?}", lab.process_of(step).unwrap_or(0) + 1),
        );
        let pid = lab.process_of(step);
        let Some((next, events)) = lab.advance(state, step) else {
            // Of an endless run: what happens, and changes nothing.
            let mark = pid.zip(mark_of_step(step));
            self.marks.extend(mark.map(|(lane, (mark, words))| (Place { lane, row }, mark, words)));
            self.rows.push(words);
            return;
        };
        if let (Some((from, to)), Some(message)) = (lab.route(step), lab.message_words(step)) {
            let number = match step {
                Step::Receive(number) | Step::Repeat(number) | Step::Lose(number) => Some(number),
                _ => None,
            };
            let at = number.and_then(|number| sent.iter().position(|(other, _)| *other == number));
            let from_place = match at {
                Some(at) if matches!(step, Step::Repeat(_)) => sent[at].1,
                Some(at) => sent.remove(at).1,
                None => Place { lane: from, row: row.saturating_sub(1) },
            };
            self.arrows.push(Arrow {
                from: from_place,
                to: Place { lane: to, row },
                words: message,
                lost: matches!(step, Step::Lose(_)),
                lie: matches!(step, Step::Lie { .. }),
            });
        }
        if let Some(lane) = pid {
            let place = Place { lane, row };
            self.marks.extend(mark_of_step(step).map(|(mark, words)| (place, mark, words)));
            self.mark_events(place, &events, &mut words);
        }
        // A message that is under way now and was not before was sent here.
        for number in lab.under_way(&next) {
            match before.iter().position(|other| *other == number) {
                Some(at) => drop(before.swap_remove(at)),
                None => sent.push((number, Place { lane: lab.sender(number), row })),
            }
        }
        self.rows.push(words);
        *state = next;
    }
}

impl Story {
    /// A process crashes before it does anything.
    pub(crate) fn add_crash(&mut self, lane: Pid) {
        self.marks.push((Place { lane, row: self.rows.len() }, Mark::Crashed, "crashes".to_owned()));
        self.rows.push(format!("at 0: p{} crashes", lane + 1));
    }

    /// A process handles an input of a timed run. Of a message: the row at which it was sent.
    pub(crate) fn add_timed(
        &mut self,
        now: u64,
        lane: Pid,
        input: &Input,
        sent_row: Option<usize>,
        events: &[Event],
    ) {
        let place = Place { lane, row: self.rows.len() };
        let (mark, words) = match input {
            Input::Start => (None, "starts".to_owned()),
            Input::Ask(ask) => (None, format!("is asked: {ask:?}")),
            Input::Receive(from, message) => (None, format!("receives {message:?} of p{}", from + 1)),
            Input::Detect(detection) => (Some(Mark::Detected), detection_words(*detection)),
            Input::Timeout(timer) => (Some(Mark::Timer), format!("timer {timer}")),
            Input::Recover(_) => (Some(Mark::Recovered), "comes back".to_owned()),
        };
        if let (Input::Receive(from, message), Some(row)) = (input, sent_row) {
            let from = Place { lane: *from, row };
            let words = format!("{message:?}");
            self.arrows.push(Arrow { from, to: place, words, lost: false, lie: false });
        }
        self.marks.extend(mark.map(|mark| (place, mark, words.clone())));
        let mut row = format!("at {now}: p{} {words}", lane + 1);
        self.mark_events(place, events, &mut row);
        self.rows.push(row);
    }

    /// The events of a row: marks on the lane, and what the process did, added to the row's words.
    fn mark_events(&mut self, place: Place, events: &[Event], words: &mut String) {
        for event in events {
            let text = event_words(event);
            if let Event::Did(_) = event {
                *words += &format!("; p{} {text}", place.lane + 1);
            }
            self.marks.push((place, mark_of(event), text));
        }
    }
}

/// What a detector indicates, in words.
fn detection_words(detection: Detection) -> String {
    match detection {
        Detection::Suspect(pid) => format!("suspects p{}", pid + 1),
        Detection::Restore(pid) => format!("trusts p{} again", pid + 1),
        Detection::Leader(pid) => format!("leader: p{}", pid + 1),
    }
}

/// An event in words.
fn event_words(event: &Event) -> String {
    match event {
        Event::Asked(ask) => format!("{ask:?}"),
        Event::Did(fact) => match fact {
            Fact::Deliver { from, value } => format!("delivers {value:?} of p{}", from + 1),
            Fact::Collected { from, value } => format!("collects {value:?} of p{}", from + 1),
            Fact::SenderFailed(pid) => format!("delivers: p{} has failed", pid + 1),
            Fact::Decide(value) => format!("decides {value:?}"),
            Fact::Outcome(true) => "commits".to_owned(),
            Fact::Outcome(false) => "aborts".to_owned(),
            Fact::View { number, members } => format!("view {number} {members:?}"),
            Fact::Returned(value) => format!("reads {value:?}"),
            Fact::Written => "has written".to_owned(),
            Fact::Suspect(pid) => detection_words(Detection::Suspect(*pid)),
            Fact::Restore(pid) => detection_words(Detection::Restore(*pid)),
            Fact::Leader(pid) => detection_words(Detection::Leader(*pid)),
            Fact::Granted(token) => format!("has the lock, token {token}"),
            Fact::Transferred(true) => "transferred".to_owned(),
            Fact::Transferred(false) => "transfer aborted".to_owned(),
            Fact::Primary { epoch } => format!("is the primary of epoch {epoch}"),
            Fact::Sent { epoch, value } => format!("broadcasts {value:?} in epoch {epoch}"),
            Fact::Balances(balances) => format!("balances {balances:?}"),
            Fact::Balance { account, balance } => format!("has {balance} in account {account}"),
            Fact::Other(kind, number) => format!("indicates {kind}: {number}"),
        },
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for (row, words) in self.rows.iter().enumerate() {
            if self.loop_from == Some(row) {
                writeln!(f, "      from here on for ever:")?;
            }
            writeln!(f, "{:>4}  {words}", row + 1)?;
        }
        writeln!(f, "      {}", self.end)
    }
}
