//! Random orders of a client's requests, broken connections, gateways that die and restart, stalls of the
//! stream and full windows: each request is stamped once and in order, and each message to the client arrives
//! once.

use super::place::FixPlace;
use super::trader::is_request;
use crate::fix::codec::{FixFields, Framed, next_frame, seal};
use crate::fix::tags;
use crate::gateway::core::tests::MS;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A FIX engine by the specification, with a store that is never damaged.
#[derive(Default)]
struct Engine {
    conn: Option<(usize, usize)>,
    is_logged_on: bool,
    inbox: Vec<u8>,
    /// Sent messages by number; `None` for messages of the session.
    sent: BTreeMap<u64, Option<String>>,
    expected: u64,
    asked_to: u64,
    /// Reports in their order: ExecID, or the request that a cancel reject answers.
    reports: Vec<String>,
    names: Vec<String>,
}

impl Engine {
    fn new() -> Self {
        Self { expected: 1, ..Self::default() }
    }

    fn next(&self) -> u64 {
        self.sent.len() as u64 + 1
    }

    fn write(&mut self, place: &mut FixPlace, number: u64, text: &str, is_again: bool) {
        let Some((gateway, conn)) = self.conn else { return };
        let (time, (kind, rest)) = (place.time_text(), text.split_once('|').expect("a type"));
        let again = if is_again { format!("43=Y|122={time}|") } else { String::new() };
        let stamp = if is_request(kind) { format!("60={time}|") } else { String::new() };
        let header = format!("{kind}|34={number}|49=alice|56=LOCKSTEP|52={time}|{again}{stamp}");
        let mut bytes = Vec::new();
        seal("FIX.4.4", format!("{header}{rest}").replace('|', "\x01").as_bytes(), &mut bytes);
        place.on_bytes(gateway, conn, &bytes);
    }

    fn send_admin(&mut self, place: &mut FixPlace, text: &str) {
        let number = self.next();
        self.sent.insert(number, None);
        self.write(place, number, text, false);
    }

    /// Sends a message, or stores it until it is requested.
    fn send(&mut self, place: &mut FixPlace, text: String) {
        let number = self.next();
        self.sent.insert(number, Some(text.clone()));
        if self.is_logged_on {
            self.write(place, number, &text, false);
        }
    }

    fn connect(&mut self, place: &mut FixPlace, gateway: usize) {
        self.close(place);
        if let Some(conn) = place.accept(gateway) {
            self.conn = Some((gateway, conn));
            self.send_admin(place, "35=A|98=0|108=30|554=secret|");
        }
    }

    fn close(&mut self, place: &mut FixPlace) {
        if let Some((gateway, conn)) = self.conn.take() {
            place.on_closed(gateway, conn);
        }
        self.is_logged_on = false;
        self.asked_to = 0;
        self.inbox.clear();
    }

    fn turn(&mut self, place: &mut FixPlace) {
        let Some((gateway, conn)) = self.conn else { return };
        let Some((bytes, is_done)) = place.take_out(gateway, conn) else { return self.close(place) };
        self.inbox.extend_from_slice(&bytes);
        while let Framed::Whole { body, len, .. } = next_frame(&self.inbox.clone()) {
            self.inbox.drain(..len);
            let (fields, fault) = FixFields::parse(body);
            assert_eq!(fault, None);
            self.on_message(place, &fields);
        }
        if is_done {
            self.close(place);
        }
    }

    fn on_message(&mut self, place: &mut FixPlace, fields: &FixFields<'_>) {
        let number = fields.number(tags::MSG_SEQ_NUM).expect("a number");
        let is_again = fields.get(tags::POSS_DUP_FLAG) == Some(b"Y");
        self.is_logged_on |= fields.kind() == tags::LOGON;
        // Whatever its number is: otherwise each side would wait for the other.
        if fields.kind() == tags::RESEND_REQUEST && !is_again {
            self.resend(place, fields.number(tags::BEGIN_SEQ_NO).expect("a number"));
        }
        if number < self.expected {
            assert!(is_again, "{number} is sent for the first time, and {} is expected", self.expected);
            return;
        }
        if number > self.expected {
            if fields.kind() != tags::LOGOUT && self.asked_to < self.expected {
                self.asked_to = number;
                let text = format!("35=2|7={}|16=0|", self.expected);
                self.send_admin(place, &text);
            }
            return;
        }
        self.expected += 1;
        match fields.kind() {
            tags::SEQUENCE_RESET => {
                let next = fields.number(tags::NEW_SEQ_NO).expect("a number");
                assert!(next > number, "{number} is filled up to {next}");
                self.expected = next;
            }
            tags::EXECUTION_REPORT => {
                let id = fields.get(tags::EXEC_ID).expect("an ExecID");
                self.reports.push(String::from_utf8_lossy(id).into_owned());
            }
            tags::ORDER_CANCEL_REJECT => {
                let of = String::from_utf8_lossy(fields.get(tags::CL_ORD_ID).expect("a name")).into_owned();
                self.reports.push(format!("reject {of}"));
            }
            tags::TEST_REQUEST => {
                let id = String::from_utf8_lossy(fields.get(tags::TEST_REQ_ID).expect("an id")).into_owned();
                self.send_admin(place, &format!("35=0|112={id}|"));
            }
            tags::REJECT | tags::BUSINESS_MESSAGE_REJECT => panic!("{fields:?}"),
            _ => {}
        }
    }

    fn resend(&mut self, place: &mut FixPlace, from: u64) {
        let all: Vec<_> = self.sent.range(from..).map(|(number, text)| (*number, text.clone())).collect();
        for (number, text) in all {
            let text = text.unwrap_or_else(|| format!("35=4|123=Y|36={}|", number + 1));
            self.write(place, number, &text, true);
        }
    }
}

/// One step of a walk.
#[derive(Clone, Copy, Debug)]
enum Step {
    Order(u32),
    Cancel(usize),
    Connect(usize),
    Break,
    Kill(usize),
    Start(usize),
    Stall(bool),
    Fill(bool),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (5_u32..15).prop_map(Step::Order),
        3 => (0_usize..8).prop_map(Step::Cancel),
        4 => (0_usize..2).prop_map(Step::Connect),
        1 => Just(Step::Break),
        2 => (0_usize..2).prop_map(Step::Kill),
        2 => (0_usize..2).prop_map(Step::Start),
        2 => any::<bool>().prop_map(Step::Stall),
        1 => any::<bool>().prop_map(Step::Fill),
        6 => (1_u64..20).prop_map(|tens| Step::Pass(tens * 10)),
        1 => (1_u64..40).prop_map(|seconds| Step::Pass(seconds * 1_000)),
    ]
}

fn walk(steps: &[Step]) {
    let (mut place, mut alice) = (FixPlace::new(), Engine::new());
    for (index, step) in steps.iter().enumerate() {
        match *step {
            Step::Order(quantity) => {
                let name = format!("o{index}");
                alice.send(&mut place, format!("35=D|11={name}|55=ABC|54=1|38={quantity}|40=2|44=10|"));
                alice.names.push(name);
            }
            Step::Cancel(back) => {
                if let Some(of) = alice.names.iter().rev().nth(back).cloned() {
                    alice.send(&mut place, format!("35=F|11=c{index}|41={of}|55=ABC|54=1|"));
                }
            }
            Step::Connect(gateway) => alice.connect(&mut place, gateway),
            Step::Break => alice.close(&mut place),
            Step::Kill(gateway) => place.kill(gateway),
            Step::Start(gateway) => place.start(gateway),
            Step::Stall(is_stalled) => place.hold(is_stalled),
            Step::Fill(is_full) => place.fill_window(is_full),
            Step::Pass(ms) => place.advance(ms * MS),
        }
        place.advance(MS);
        alice.turn(&mut place);
    }
    // Everything is repaired: then all messages arrive.
    place.hold(false);
    place.fill_window(false);
    (0..2).for_each(|gateway| place.start(gateway));
    place.advance(5_000 * MS);
    alice.connect(&mut place, 1);
    for _ in 0..400 {
        place.advance(10 * MS);
        alice.turn(&mut place);
    }
    assert!(alice.is_logged_on);
    let stamped: Vec<_> = place.orders().into_iter().filter(|order| order.starts_with('o')).collect();
    assert_eq!(stamped, alice.names, "each order once, in the order in which they were sent");
    let cancels = alice.sent.values().flatten().filter(|text| text.starts_with("35=F")).count();
    let stamped = place.orders().iter().filter(|order| order.starts_with('X')).count();
    assert_eq!(stamped, cancels, "each cancel once");
    let mut reports = alice.reports.clone();
    reports.sort();
    reports.dedup();
    assert_eq!(reports.len(), alice.reports.len(), "each report once");
    let executions = alice.reports.iter().filter(|report| !report.starts_with("reject")).count();
    assert_eq!(executions, place.answers(), "each answer of the application is reported");
    let rejects = alice.reports.len() - executions;
    assert_eq!(rejects + place.canceled(), cancels, "each cancel is answered");
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_dies_each_request_is_stamped_once_and_each_report_comes_once(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        walk(&steps);
    }
}
