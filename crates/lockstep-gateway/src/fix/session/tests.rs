//! One session without a gateway: which entries it queues, and when.

use super::incoming::RESENDS_MAX;
use super::*;
use crate::fix::client::FixClient;
use crate::fix::codec::seal;
use crate::fix::note::NAMES_NEXT;
use crate::fix::note::NOTE_LEN_MAX;
use crate::fix::record::FixVersion;
use crate::gateway::pending::tests::time_order;
use lockstep_wire::OrderView;
use proptest::prelude::*;

mod peers;

const TIME: Nanos = 1_795_255_200_000_000_000;
const CLOCKS: FixClocks = FixClocks { stream: TIME, gateway: 0 };

fn frame(begin: &str, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    seal(begin, text.replace('|', "\x01").as_bytes(), &mut out);
    out
}

fn session() -> FixSession {
    FixSession::new(0, FixSessionLimits::default(), "LOCKSTEP")
}

/// The account by which a session is accepted.
fn account(client: &FixClient) -> FixAccount<'_> {
    FixAccount { client, clocks: CLOCKS, rate: 10_000 }
}

fn offer(session: &mut FixSession, bytes: &[u8]) -> FixTaken {
    let orders = FixOrders::default();
    session.on_bytes(0, bytes, FixSurroundings { clocks: CLOCKS, orders: &orders, has_destination: true })
}

const LOGON_TEXT: &str = "35=A|34=1|49=Alice|56=LOCKSTEP|52=20261121-10:00:00|98=0|108=30|554=secret|";

#[test]
fn a_logon_names_version_user_and_password_in_each_version_s_way() {
    let old = LOGON_TEXT.replace("554=secret|", "95=6|96=secret|");
    for (begin, text, version) in [
        ("FIX.4.2", old.as_str(), FixVersion::Fix42),
        ("FIX.4.4", LOGON_TEXT, FixVersion::Fix44),
        ("FIXT.1.1", LOGON_TEXT, FixVersion::Fixt11),
    ] {
        let mut session = session();
        let bytes = frame(begin, text);
        let taken = offer(&mut session, &bytes);
        let Some(FixEvent::Logon(logon)) = taken.event else { panic!("{:?}", taken.event) };
        assert_eq!((taken.len, logon.ends.version, logon.user.as_str()), (bytes.len(), version, "alice"));
        assert_eq!((logon.password.as_slice(), logon.number, logon.heartbeat_s), (&b"secret"[..], 1, 30));
        assert!(!format!("{logon:?} {session:?}").contains("secret"), "a password is printed nowhere");
        // Until it is decided nothing more is taken.
        assert!(session.is_pending() && offer(&mut session, &bytes).event.is_none());
    }
    let mut session = session();
    let taken = offer(&mut session, &frame("FIX.4.3", LOGON_TEXT));
    assert!(matches!(taken.event, Some(FixEvent::Cut(why)) if why.contains("BeginString")));
}

#[test]
fn a_client_whose_clock_is_right_trades_whichever_of_the_streams_time_and_the_gateways_clock_is_wrong() {
    let sent = |session: &mut FixSession, clocks: FixClocks| {
        let orders = FixOrders::default();
        let test = frame("FIX.4.4", "35=1|34=2|49=Alice|56=LOCKSTEP|52=20261121-10:00:00|112=x|");
        session.on_bytes(0, &test, FixSurroundings { clocks, orders: &orders, has_destination: true });
        session.leaving().is_none()
    };
    let logged_on = |clocks: FixClocks| {
        let mut session = session();
        offer(&mut session, &frame("FIX.4.4", LOGON_TEXT));
        let refusal = session.accept(0, FixAccount { client: &FixClient::default(), clocks, rate: 10_000 });
        session.begin(1);
        refusal.is_none().then_some(session)
    };
    const HOUR: i64 = 3_600 * SECOND as i64;
    for step in [HOUR, 24 * HOUR, 15 * 365 * 24 * HOUR, -24 * HOUR] {
        let wrong = TIME.checked_add_signed(step).expect("a time");
        for (clocks, is_taken) in [
            (FixClocks { stream: wrong, gateway: TIME }, true),
            (FixClocks { stream: TIME, gateway: wrong }, true),
            (FixClocks { stream: TIME, gateway: 0 }, true),
            (FixClocks::default(), true),
            // The client's clock is wrong.
            (FixClocks { stream: wrong, gateway: wrong }, false),
            (FixClocks { stream: wrong, gateway: 0 }, false),
        ] {
            assert_eq!(logged_on(clocks).is_some(), is_taken, "{clocks:?}");
            let mut session = logged_on(CLOCKS).expect("right");
            assert_eq!(sent(&mut session, clocks), is_taken, "{clocks:?}");
        }
    }
}

#[test]
fn the_streams_time_rises_by_what_is_read_and_falls_by_an_operators_order_alone() {
    let mut clocks = FixClocks::default();
    let opened =
        |timestamp| SubscriberEvent::GatewayHeartbeat { seq: 1, timestamp, publisher: 3, payload: b"" };
    for (timestamp, stream) in [(5, 5), (90, 90), (89, 90)] {
        clocks.on_event(&opened(timestamp));
        assert_eq!(clocks.stream, stream);
    }
    let record = time_order(90);
    let order = OrderView::parse(&record).expect("our own bytes");
    clocks.on_event(&SubscriberEvent::Ordered { seq: 2, timestamp: 7, order });
    assert_eq!(clocks.stream, 7);
    clocks.on_event(&opened(8));
    assert_eq!(clocks.stream, 8);
}

#[test]
fn every_entry_takes_one_number_of_the_publisher_and_an_order_s_reference_is_the_number_of_its_entry() {
    let mut session = session();
    offer(&mut session, &frame("FIX.4.4", LOGON_TEXT));
    let mut client = FixClient::default();
    client.on_opened(41);
    session.accept(0, account(&client));
    session.begin(1);
    let order = |number: u64, name: &str| {
        let head = format!("35=D|34={number}|49=Alice|56=LOCKSTEP|52=20261121-10:00:00|");
        frame("FIX.4.4", &format!("{head}11={name}|55=ABC|54=1|38=10|40=2|44=10|60=20261121-10:00:00|"))
    };
    offer(&mut session, &order(2, "short"));
    offer(&mut session, &order(3, "longer-than-fourteen"));
    let mut entries = Vec::new();
    while let Some(entry) = session.next_entry().cloned() {
        entries.push(entry);
        session.on_published();
    }
    // The logon's answer is 42, an order 43, the ClOrdID of the next one 44, and that order 45.
    let numbers: Vec<_> = entries
        .iter()
        .filter(|entry| entry.target == FixTarget::Application)
        .map(|entry| match ouch50::Inbound::parse(&entry.payload) {
            Ok(ouch50::Inbound::EnterOrder(order)) => order.user_ref_num,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((entries.len(), numbers), (4, vec![43, 45]));
    let name = FixNote::decode(&entries[2].payload).expect("a note");
    assert_eq!((name.flags, name.next_in, name.body), (NAMES_NEXT, 0, &b"longer-than-fourteen"[..]));
}

#[test]
fn a_peer_that_counts_to_the_end_of_all_numbers_is_logged_out() {
    let mut session = session();
    offer(&mut session, &frame("FIX.4.4", LOGON_TEXT));
    session.accept(0, account(&FixClient::default()));
    for number in [u64::MAX, NUMBER_MAX, 0] {
        let head = format!("35=0|34={number}|49=Alice|56=LOCKSTEP|52=20261121-10:00:00|");
        offer(&mut session, &frame("FIX.4.4", &head));
        assert_eq!(session.leaving(), Some(DisconnectReason::Fault));
    }
}

proptest! {
    #[test]
    fn no_message_makes_a_session_panic_or_queue_without_a_bound(
        messages in prop::collection::vec(
            (0_usize..14, 0_u64..6, prop::collection::vec((1_u32..1_200, "[ -~]{1,12}"), 0..6)), 0..40),
    ) {
        let kinds = ["0", "1", "2", "3", "4", "5", "8", "A", "D", "F", "G", "j", "V", "AE"];
        let mut session = session();
        offer(&mut session, &frame("FIX.4.4", LOGON_TEXT));
        session.accept(0, account(&FixClient::default()));
        session.begin(1);
        session.on_sent(0, &FixRecord { flags: LOGON, timestamp: TIME, fields: b"35=A\x01" });
        for (kind, offset, fields) in messages {
            let number = (session.next_in() + offset).saturating_sub(2);
            let more: String = fields.iter().map(|(tag, value)| format!("{tag}={}|", value.replace('|', "/"))).collect();
            let text = format!("35={}|34={number}|49=Alice|56=LOCKSTEP|52=20261121-10:00:00|{more}", kinds[kind]);
            let before = session.next_in();
            offer(&mut session, &frame("FIX.4.4", &text));
            let resets = text.starts_with("35=A|") && session.next_in() == 2;
            prop_assert!(session.next_in() >= before || resets);
            let mut count = 0;
            while let Some(entry) = session.next_entry().cloned() {
                prop_assert!(entry.payload.len() <= NOTE_LEN_MAX);
                session.on_published();
                count += 1;
            }
            prop_assert!(count <= 3, "{count} entries of one message");
            prop_assert!(session.resends.len() <= RESENDS_MAX);
        }
    }
}
