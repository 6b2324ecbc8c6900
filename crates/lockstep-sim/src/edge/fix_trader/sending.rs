//! What a client of FIX sends by itself, and how it answers a Resend Request.

use super::{COMP_ID, FixStage, FixText, FixTrader, SentMessage};
use crate::coverage::Event;
use crate::edge::fix_wire::{decimal, utc};
use crate::edge::venue::{PRICE, SYMBOL};
use crate::rng::Rng;
use lockstep_wire::Nanos;

/// The requests that it sends at once.
const SENT_AT_ONCE: usize = 4;
/// Orders that it remembers.
const ORDERS_MAX: usize = 12;
/// Resends that it waits for.
const RESENDS_MAX: usize = 3;

type Fields = Vec<(u32, String)>;

impl FixTrader {
    /// The bytes of a message with this number; `again`: when it was sent first.
    fn numbered(
        &self,
        number: u64,
        wall: Nanos,
        kind: &str,
        fields: &[(u32, String)],
        again: Option<&str>,
    ) -> Vec<u8> {
        let mut all = vec![
            (35, kind.to_owned()),
            (49, self.who().to_owned()),
            (56, COMP_ID.to_owned()),
            (34, number.to_string()),
            (52, utc(wall)),
        ];
        if let Some(first) = again {
            all.extend([(43, "Y".to_owned()), (122, first.to_owned())]);
        }
        all.extend_from_slice(fields);
        FixText { begin: self.begin.to_owned(), fields: all }.encode()
    }

    /// The next message.
    pub(super) fn message(
        &mut self,
        now: Nanos,
        wall: Nanos,
        kind: &str,
        fields: Fields,
        sent: SentMessage,
    ) -> Vec<u8> {
        let bytes = self.numbered(self.next_out, wall, kind, &fields, None);
        self.sent.insert(self.next_out, sent);
        (self.next_out, self.sent_at) = (self.next_out + 1, now);
        bytes
    }

    pub(super) fn admin(&mut self, (now, wall): (Nanos, Nanos), kind: &str, fields: Fields) -> Vec<u8> {
        self.message(now, wall, kind, fields, SentMessage::Admin)
    }

    /// Asks for the messages from this number on.
    pub(super) fn ask_again(&mut self, at: (Nanos, Nanos), from: u64) -> Vec<u8> {
        self.resends.push_back(from);
        self.admin(at, "2", vec![(7, from.to_string()), (16, "0".to_owned())])
    }

    /// The messages that it sends now. `expected` is the number that the committed log expects of it.
    pub(in crate::edge) fn say(
        &mut self,
        (now, wall): (Nanos, Nanos),
        expected: u64,
        rng: &mut Rng,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        if self.stage != FixStage::Open {
            return out;
        }
        if self.leaves_until.is_some() {
            self.stage = FixStage::Parting;
            return self.admin((now, wall), "5", Fields::new());
        }
        if self.tested.is_none() && now >= self.test_at() {
            let id = format!("T{}", self.next_out);
            self.tested = Some(id.clone());
            out.extend(self.admin((now, wall), "1", vec![(112, id)]));
        }
        if now >= self.sent_at + self.interval_ns() {
            out.extend(self.admin((now, wall), "0", Fields::new()));
        }
        let mut count = 0;
        while self.left > 0 && now >= self.order_at && count < SENT_AT_ONCE {
            count += 1;
            self.left -= 1;
            self.order_at = now + self.every_ns / 2 + rng.below(self.every_ns);
            out.extend(self.request((now, wall), rng));
            // Now and then everything again, or a number that is left out.
            match rng.below(32) {
                0 if self.resends.len() < RESENDS_MAX => out.extend(self.ask_again((now, wall), 1)),
                1 => out.extend(self.step_over((now, wall), expected, 1 + rng.below(3))),
                // A type that no gateway knows.
                2 => out.extend(self.admin((now, wall), "AE", vec![(571, "1".to_owned())])),
                _ => {}
            }
        }
        out
    }

    /// A Sequence Reset in its mode of reset: the numbers before the new one are used for nothing, those
    /// among them that a gateway lacks.
    fn step_over(&mut self, (now, wall): (Nanos, Nanos), expected: u64, by: u64) -> Vec<u8> {
        for (_, sent) in self.sent.range_mut(expected..) {
            if let SentMessage::Request { is_stepped_over, .. } = sent {
                *is_stepped_over = true;
            }
        }
        let new = self.next_out + by;
        let fields = vec![(123, "N".to_owned()), (36, new.to_string())];
        let bytes = self.numbered(self.next_out, wall, "4", &fields, None);
        for number in self.next_out..new {
            self.sent.insert(number, SentMessage::Admin);
        }
        (self.next_out, self.sent_at) = (new, now);
        bytes
    }

    /// An order, a cancel or a replacement; now and then one that must be rejected.
    fn request(&mut self, (now, wall): (Nanos, Nanos), rng: &mut Rng) -> Vec<u8> {
        self.names += 1;
        let name = match rng.below(8) {
            0 => format!("{}-order-with-a-long-name-{}", self.who(), self.names),
            _ => format!("{}{}", &self.who()[..1], self.names),
        };
        let mut quantity = 1 + rng.below(200) as u32;
        let known = match rng.below(3) {
            0 if !self.orders.is_empty() => {
                Some(self.orders[rng.below(self.orders.len() as u64) as usize].clone())
            }
            _ => None,
        };
        let letter = match &known {
            Some(_) => rng.pick(&['F', 'G']),
            None => 'D',
        };
        let side = known.as_ref().map_or_else(|| rng.pick(&['1', '2']), |(_, side)| *side);
        let mut fields = vec![(11, name.clone())];
        if let Some((original, _)) = known {
            // An order that nobody knows is not canceled.
            let original = if rng.below(16) == 0 { "nobodys".to_owned() } else { original };
            fields.push((41, original));
        }
        // Without its symbol, an order is rejected.
        if letter != 'D' || rng.below(24) > 0 {
            fields.push((55, SYMBOL.to_owned()));
        }
        fields.extend([(54, side.to_string()), (60, utc(wall)), (38, quantity.to_string())]);
        if letter == 'F' {
            quantity = 0;
        } else {
            let price = PRICE + 25 * rng.below(8);
            let lives = rng.pick(&["0", "0", "3"]);
            fields.extend([(40, "2".to_owned()), (44, decimal(price.into(), 4)), (59, lives.to_owned())]);
            self.orders.push((name.clone(), side));
            if self.orders.len() > ORDERS_MAX {
                self.orders.remove(0);
            }
        }
        let sent_at = utc(wall);
        let copy = fields.clone();
        let sent = SentMessage::Request {
            name,
            letter,
            quantity,
            fields: copy,
            sent_at,
            is_dropped: false,
            is_stepped_over: false,
        };
        self.message(now, wall, &letter.to_string(), fields, sent)
    }

    /// Answers a Resend Request: requests go again, or their places are filled, as those of all others are.
    pub(super) fn send_again(
        &mut self,
        (now, wall): (Nanos, Nanos),
        (from, to): (u64, u64),
        rng: &mut Rng,
        mut notify: impl FnMut(Event),
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let end = if to == 0 { self.next_out } else { self.next_out.min(to + 1) };
        let (mut gap, mut number) = (None, from);
        self.sent_at = now;
        while number < end {
            let drops = rng.below(8) == 0;
            let again = match self.sent.get_mut(&number) {
                Some(SentMessage::Request { letter, fields, sent_at, is_dropped, .. }) => {
                    *is_dropped |= drops;
                    (!*is_dropped).then(|| (letter.to_string(), fields.clone(), sent_at.clone()))
                }
                _ => None,
            };
            match again {
                Some((kind, fields, first)) => {
                    if let Some(gap) = gap.take() {
                        out.extend(self.fill(wall, gap, number));
                        notify(Event::FixGapsFilled);
                    }
                    out.extend(self.numbered(number, wall, &kind, &fields, Some(&first)));
                    notify(Event::FixSentAgain);
                }
                None => {
                    gap.get_or_insert(number);
                }
            }
            number += 1;
        }
        if let Some(gap) = gap {
            out.extend(self.fill(wall, gap, end));
            notify(Event::FixGapsFilled);
        }
        out
    }

    fn fill(&self, wall: Nanos, from: u64, next: u64) -> Vec<u8> {
        let fields = [(123, "Y".to_owned()), (36, next.to_string())];
        self.numbered(from, wall, "4", &fields, Some(&utc(wall)))
    }
}
