//! What a client of FIX receives, and which entries took its numbers: both compared with the books.

use super::{COMP_ID, FixStage, FixText, FixTrader, SentMessage};
use crate::check::Violation;
use crate::coverage::Event;
use crate::edge::fix_books::{FixModel, FixModelMessage, FixTaker};
use crate::edge::fix_wire::{utc, value};
use crate::rng::Rng;
use lockstep_wire::Nanos;

type Fields = Vec<(u32, String)>;

/// Fields of the header, and the text for people.
const NOT_COMPARED: [u32; 8] = [34, 43, 49, 52, 56, 58, 122, 1137];

impl FixTrader {
    fn wrong(&self, message: &FixText, why: &str) -> Violation {
        let shown: Vec<_> = message.fields.iter().map(|(tag, value)| format!("{tag}={value}")).collect();
        format!(
            "EDGE: {} is sent {} and counts {} of {:?}: {why}",
            self.who(),
            shown.join("|"),
            self.next_in,
            self.session
        )
    }

    /// The next message of its connection.
    pub(super) fn on_message(
        &mut self,
        at: (Nanos, Nanos),
        message: &FixText,
        (model, open_day): (&FixModel, Option<usize>),
        rng: &mut Rng,
        out: &mut Vec<u8>,
        notify: &mut impl FnMut(Event),
    ) -> Result<(), Violation> {
        let is_to_it = message.get(49) == Some(COMP_ID) && message.get(56) == Some(self.who());
        let number = message.number(34).filter(|_| is_to_it && message.begin == self.begin);
        let Some(number) = number else {
            return Err(self.wrong(message, "the header is none of its session"));
        };
        if self.stage == FixStage::Asking {
            return self.on_answer(at, message, number, model, out, notify);
        }
        if message.get(43) == Some("Y") {
            return self.on_again(message, number, model, notify);
        }
        if self.is_end_of_day(message, number, model, open_day) {
            notify(Event::SessionsEnded);
            self.begin_anew();
            self.stage = FixStage::Over;
            return Ok(());
        }
        self.compare(message, number, model)?;
        if number < self.next_in {
            return Err(self.wrong(message, "it has that number already, and it is not marked as sent again"));
        }
        if number > self.next_in {
            if self.asked_to < self.next_in {
                self.asked_to = number;
                out.extend(self.ask_again(at, self.next_in));
            }
            // Both sides may lack something.
            if message.kind() == "2" {
                self.answer_request(at, message, rng, out, notify);
            }
            return Ok(());
        }
        self.next_in += 1;
        self.on_next(at, message, rng, out, notify)
    }

    /// Behind the last message of a day that is over.
    fn is_end_of_day(
        &self,
        message: &FixText,
        number: u64,
        model: &FixModel,
        open_day: Option<usize>,
    ) -> bool {
        let Some(series) = self.session.and_then(|session| model.series.get(session)) else { return false };
        let is_behind_last = number == series.messages.len() as u64 + 1;
        let is_over = message.kind() == "5" && open_day != Some(series.day);
        // What it has asked for and has not got ends with the day.
        is_over && is_behind_last && (number == self.next_in || self.asked_to >= self.next_in)
    }

    fn on_next(
        &mut self,
        at: (Nanos, Nanos),
        message: &FixText,
        rng: &mut Rng,
        out: &mut Vec<u8>,
        notify: &mut impl FnMut(Event),
    ) -> Result<(), Violation> {
        match message.kind() {
            "0" => {
                let answers = message.get(112).map(str::to_owned);
                if answers.is_some() && std::mem::take(&mut self.tested) != answers {
                    return Err(self.wrong(message, "it has sent no such Test Request"));
                }
            }
            "1" => {
                let id = message.get(112).unwrap_or_default().to_owned();
                out.extend(self.admin(at, "0", vec![(112, id)]));
            }
            "2" => self.answer_request(at, message, rng, out, notify),
            "3" | "j" => notify(Event::FixRejects),
            "8" | "9" => notify(Event::FixReports),
            "5" => {
                if message.get(58).is_some_and(|text| text.starts_with("MsgSeqNum too low")) {
                    return Err(self.wrong(message, "it has left out no number of its own"));
                }
                if self.stage == FixStage::Open && rng.below(2) == 0 {
                    out.extend(self.admin(at, "5", Fields::new()));
                }
                self.stage = FixStage::Over;
            }
            _ => return Err(self.wrong(message, "no message of that type belongs here")),
        }
        Ok(())
    }

    fn answer_request(
        &mut self,
        at: (Nanos, Nanos),
        message: &FixText,
        rng: &mut Rng,
        out: &mut Vec<u8>,
        notify: &mut impl FnMut(Event),
    ) {
        if let (Some(from), Some(to)) = (message.number(7), message.number(16)) {
            notify(Event::FixAskedAgain);
            out.extend(self.send_again(at, (from, to), rng, notify));
        }
    }

    /// The answer to its Logon: the series of its numbers is the one where the books have that answer.
    fn on_answer(
        &mut self,
        at: (Nanos, Nanos),
        message: &FixText,
        number: u64,
        model: &FixModel,
        out: &mut Vec<u8>,
        notify: &mut impl FnMut(Event),
    ) -> Result<(), Violation> {
        if message.kind() == "5" {
            return self.on_refusal(message, number, model);
        }
        let place = model.logon(&self.heartbeat().to_string());
        let Some((series, _)) = place.filter(|(_, own)| message.kind() == "A" && *own == number) else {
            return Err(self.wrong(message, &format!("the answer to its Logon is {place:?}")));
        };
        let is_reset = message.get(141) == Some("Y");
        if is_reset != self.resets || is_reset && number != 1 {
            return Err(self.wrong(message, "a reset begins both numbers anew, and nothing else does"));
        }
        notify(Event::FixLogons);
        if std::mem::take(&mut self.resets) {
            notify(Event::FixResets);
        }
        if self.answered_by.replace(self.gateway).is_some_and(|before| before != self.gateway) {
            notify(Event::FixMoved);
        }
        // A day has begun, or an older Logon of its own has reset the numbers: it begins anew.
        if self.session.is_some_and(|session| session != series) {
            if self.session > Some(series) {
                return Err(self.wrong(message, "the numbers are those of a session of before"));
            }
            let day_of = |series: Option<usize>| model.series.get(series?).map(|series| series.day);
            self.resets = day_of(self.session) == day_of(Some(series)) || self.logons.is_multiple_of(2);
            self.begin_anew();
            self.stage = FixStage::Over;
            return Ok(());
        }
        self.session = Some(series);
        self.compare(message, number, model)?;
        if number < self.next_in {
            return Err(self.wrong(message, "it has that number already"));
        }
        self.stage = FixStage::Open;
        if number > self.next_in {
            self.asked_to = number;
            out.extend(self.ask_again(at, self.next_in));
        } else {
            self.next_in += 1;
        }
        Ok(())
    }

    /// Its Logon is answered by a Logout: its number was too low, or the gateway stops.
    fn on_refusal(&mut self, message: &FixText, number: u64, model: &FixModel) -> Result<(), Violation> {
        let is_low = message.get(58).is_some_and(|text| text.starts_with("MsgSeqNum too low"));
        let newest = model.newest();
        if is_low && (self.resets || self.session == Some(newest)) {
            return Err(self.wrong(message, "it has left out no number of its own"));
        }
        let has_it =
            |series| model.message(series, number).is_some_and(|known| is_same(known, message, self.begin));
        if !(0..=newest).any(has_it) {
            return Err(self.wrong(message, "the books have no such message"));
        }
        // What it knows is of another session.
        self.resets |= is_low;
        self.stage = FixStage::Over;
        Ok(())
    }

    /// The books have this message under this number, and it says when it was stamped.
    fn compare(&self, message: &FixText, number: u64, model: &FixModel) -> Result<(), Violation> {
        let expected = self.session.and_then(|session| model.message(session, number));
        let Some(expected) = expected else {
            return Err(self.wrong(message, "the committed log has no message of that number"));
        };
        let tag = if message.get(43) == Some("Y") { 122 } else { 52 };
        let stamped = utc(expected.time);
        let is_late = message.get(52).is_some_and(|sent| *sent >= *stamped);
        // One that is sent behind an order of time has no time that is still to come: that of its sending.
        let is_set_back = !is_late && expected.time <= model.set_back_from;
        let is_timed = match is_set_back {
            true => message.get(tag) == message.get(52),
            false => is_late && message.get(tag) == Some(&stamped),
        };
        if !is_same(expected, message, self.begin) || !is_timed {
            return Err(
                self.wrong(message, &format!("the committed log has {stamped} {:?}", expected.fields))
            );
        }
        Ok(())
    }

    /// A message that was sent before, or may have been: of a resend that it asked for.
    fn on_again(
        &mut self,
        message: &FixText,
        number: u64,
        model: &FixModel,
        notify: &mut impl FnMut(Event),
    ) -> Result<(), Violation> {
        if self.resends.front() == Some(&number) {
            self.resends.pop_front();
        } else if self.resent_next != number {
            return Err(self.wrong(message, &format!("a resend goes on with {}", self.resent_next)));
        }
        if message.kind() != "4" {
            let is_admin = self.session.and_then(|session| model.message(session, number));
            if is_admin.is_some_and(|known| known.is_admin) {
                return Err(self.wrong(message, "a message of the session itself is sent again"));
            }
            self.compare(message, number, model)?;
            notify(Event::FixReportsAgain);
            self.resent_next = number + 1;
        } else {
            let next = message.number(36).filter(|next| *next > number && message.get(123) == Some("Y"));
            let Some(next) = next else { return Err(self.wrong(message, "it is no Gap Fill")) };
            let known = |number| self.session.and_then(|session| model.message(session, number));
            if let Some(left_out) =
                (number..next).find(|number| known(*number).is_none_or(|known| !known.is_admin))
            {
                return Err(self.wrong(message, &format!("{left_out} is a report, or was never stamped")));
            }
            notify(Event::FixGapsReceived);
            self.resent_next = next;
        }
        if number > self.next_in {
            return Err(self.wrong(message, "a resend leaves out what it lacks"));
        }
        self.next_in = self.next_in.max(self.resent_next);
        Ok(())
    }

    /// The entries that took its numbers are what it sent under them. Those of a series that it has not
    /// learnt of wait, unless it is the end.
    pub(super) fn judge_taken(&mut self, model: &FixModel, is_end: bool) -> Result<(), Violation> {
        while let Some(taken) = model.taken.get(self.judged) {
            if !is_end && self.session.is_none_or(|session| session < taken.series) {
                break;
            }
            let sent = self.sent_in(taken.series);
            let of = |number: u64| sent.and_then(|sent| sent.get(&number));
            for number in taken.from..taken.to {
                let is_right = match (&taken.by, of(number)) {
                    (FixTaker::Request(letter, name, quantity), Some(sent)) => match sent {
                        SentMessage::Request {
                            name: own,
                            letter: kind,
                            quantity: shares,
                            is_dropped,
                            ..
                        } => !is_dropped && (own, kind, shares) == (name, letter, quantity),
                        SentMessage::Admin => false,
                    },
                    (FixTaker::Request(..), None) => false,
                    (FixTaker::Note(_), Some(SentMessage::Admin)) => true,
                    (
                        FixTaker::Note(answer),
                        Some(SentMessage::Request { name, is_dropped, is_stepped_over, .. }),
                    ) => *is_dropped || *is_stepped_over || is_answer(answer, number, name),
                    // A Logon whose answer never came, so that it began anew.
                    (FixTaker::Note(_), None) => sent.is_none(),
                };
                if !is_right {
                    return Err(format!(
                        "EDGE: {} sent {:?} as {number} of {}, and the stream has {:?}",
                        self.who(),
                        of(number),
                        taken.series,
                        taken.by
                    ));
                }
            }
            self.judged += 1;
        }
        Ok(())
    }
}

/// Whether a note's message answers the request with this number and ClOrdID.
fn is_answer(answer: &[(u32, String)], number: u64, name: &str) -> bool {
    match value(answer, 35) {
        Some("3" | "j") => value(answer, 45).is_some_and(|refers| refers.parse() == Ok(number)),
        Some("8" | "9") => value(answer, 11) == Some(name),
        _ => false,
    }
}

/// Whether FIX 4.2 has this code of CxlRejReason, OrdRejReason, SessionRejectReason or ExecRestatementReason,
/// as its specification lists them; clients of it are sent no other.
fn is_code_of_42(tag: u32, value: &str) -> bool {
    let known = match tag {
        102 => 0..=3,
        103 => 0..=8,
        373 => 0..=11,
        378 => 0..=5,
        _ => return true,
    };
    value.parse().is_ok_and(|code: u32| known.contains(&code))
}

/// Whether a message is the one that the books have, as this version of FIX has it.
fn is_same(known: &FixModelMessage, message: &FixText, begin: &str) -> bool {
    let is_report = value(&known.fields, 35) == Some("8");
    let mut expected: Fields = known.fields.clone();
    if begin == "FIX.4.2" {
        expected.retain(|(tag, value)| is_code_of_42(*tag, value));
    }
    if begin == "FIX.4.2" && is_report {
        let exec_type = value(&expected, 150).unwrap_or_default().to_owned();
        let status = value(&expected, 39).unwrap_or_default().to_owned();
        expected.retain(|(tag, _)| !matches!(tag, 527 | 851));
        for (_, value) in expected.iter_mut().filter(|(tag, _)| *tag == 150) {
            if matches!(exec_type.as_str(), "F" | "H") {
                value.clone_from(&status);
            }
        }
        expected.push((20, u8::from(exec_type == "H").to_string()));
    }
    let is_compared = |tag: u32| !NOT_COMPARED.contains(&tag);
    expected.retain(|(tag, _)| is_compared(*tag));
    let mut got: Fields = message.fields.iter().filter(|(tag, _)| is_compared(*tag)).cloned().collect();
    expected.sort();
    got.sort();
    expected == got
}
