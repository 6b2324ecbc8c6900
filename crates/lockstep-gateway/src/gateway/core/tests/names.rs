//! Gateways that start, run, stop, and contend for one name.

use super::*;

/// A gateway that starts under a name that is open in the stream.
fn beginning(delivery: Delivery) -> (Gateway<MemoryBacklog>, Recorder) {
    let (gateway, _, _) = opening_of(delivery);
    let ledger = Ledger::new(MemoryBacklog::new(1 << 20), true, false);
    let (mut gateway, mut stream) =
        (Gateway::new("1", gateway.limits.clone(), Users::default(), ledger), Recorder::default());
    let previous = SubscriberEvent::Opened {
        seq: 1,
        timestamp: 0,
        publisher: OWN,
        incarnation: 1,
        nonce: [5, 5],
        last: 0,
        name: "gateway/1",
    };
    gateway.on_stream(0, &mut stream, &previous);
    gateway.on_stream(
        0,
        &mut stream,
        &SubscriberEvent::GatewayHeartbeat { seq: 2, timestamp: 0, publisher: OWN, payload: b"" },
    );
    gateway.on_stream(0, &mut stream, &SubscriberEvent::CaughtUp { next: 3 });
    gateway.on_stream(0, &mut stream, &SubscriberEvent::Committed { next: 3 });
    (gateway, stream)
}

#[test]
fn a_gateway_whose_name_another_one_lives_under_is_refused() {
    for delivery in [Delivery::Committed, Delivery::Stamped] {
        let (mut gateway, mut stream) = beginning(delivery);
        for (seq, at) in (3..).zip([100, 600, 1_100]) {
            gateway.on_stream(
                at * MS,
                &mut stream,
                &SubscriberEvent::GatewayHeartbeat { seq, timestamp: 0, publisher: OWN, payload: b"" },
            );
            gateway.on_stream(at * MS, &mut stream, &SubscriberEvent::Committed { next: seq + 1 });
            gateway.turn(at * MS, &mut stream, &mut Vec::new());
            assert!(stream.opens.is_empty() && !gateway.is_ready());
        }
        assert_eq!(gateway.take_failure(), Some(GatewayError::NameTaken("1".into())), "{delivery:?}");
    }
}

#[test]
fn clients_of_a_gateway_that_is_silent_are_disconnected_whatever_delivery_the_other_one_has() {
    const OTHER: PublisherId = 30;
    for delivery in [Delivery::Committed, Delivery::Stamped] {
        let (mut gateway, mut stream, _) = opening_of(delivery);
        let opened = |seq, publisher, nonce, name: &'static str| SubscriberEvent::Opened {
            seq,
            timestamp: 0,
            publisher,
            incarnation: 1,
            nonce,
            last: 0,
            name,
        };
        gateway.on_stream(0, &mut stream, &opened(20, OTHER, [1, 1], "gateway/2"));
        let bobs = lockstep_core::engine::clients::nonce(OTHER, false, [9, 9]);
        gateway.on_stream(0, &mut stream, &opened(21, 31, bobs, "client/bob"));
        gateway.on_stream(
            0,
            &mut stream,
            &SubscriberEvent::GatewayHeartbeat { seq: 22, timestamp: 0, publisher: OTHER, payload: b"" },
        );
        for seq in 23..23 + 8 {
            let now = seq * 500 * MS;
            assert!(stream.opens.iter().all(|(name, _)| name != "client/bob"), "it may live: {seq}");
            gateway.on_stream(
                now,
                &mut stream,
                &SubscriberEvent::GatewayHeartbeat { seq, timestamp: 0, publisher: OWN, payload: b"" },
            );
            gateway.on_stream(now, &mut stream, &SubscriberEvent::Committed { next: seq + 1 });
            if seq < 29 {
                gateway.turn(now, &mut stream, &mut Vec::new());
            }
        }
        for turn in 0..8 {
            gateway.turn((40 + turn) * 1_000 * MS, &mut stream, &mut Vec::new());
        }
        assert!(stream.opens.iter().any(|(name, _)| name == "client/bob"), "{delivery:?}");
    }
}

#[test]
fn a_gateway_takes_the_name_of_one_that_is_silent_and_waits_for_none_that_was_closed() {
    let (mut gateway, mut stream) = beginning(Delivery::Committed);
    gateway.on_stream(
        MS,
        &mut stream,
        &SubscriberEvent::GatewayHeartbeat { seq: 3, timestamp: 0, publisher: OWN, payload: b"" },
    );
    for at in [10, 1_000, 1_500] {
        gateway.turn(at * MS, &mut stream, &mut Vec::new());
        assert!(stream.opens.is_empty() && gateway.is_listening());
    }
    gateway.turn(1_520 * MS, &mut stream, &mut Vec::new());
    assert_eq!((stream.opens.len(), gateway.take_failure()), (1, None));
    let (mut gateway, mut stream) = beginning(Delivery::Committed);
    gateway.on_stream(
        0,
        &mut stream,
        &SubscriberEvent::Closed { seq: 3, timestamp: 0, publisher: OWN, reason: b"" },
    );
    gateway.turn(10 * MS, &mut stream, &mut Vec::new());
    assert_eq!(stream.opens.len(), 1);
}

#[test]
fn of_two_gateways_that_open_one_name_the_first_ends_and_says_why() {
    let (mut gateway, mut stream, _) = opening();
    let open = |nonce| SubscriberEvent::Opened {
        seq: 5,
        timestamp: 0,
        publisher: OWN,
        incarnation: 2,
        nonce,
        last: 0,
        name: "gateway/1",
    };
    gateway.on_stream(0, &mut stream, &open([77, 77]));
    let failure = gateway.take_failure();
    assert_eq!(failure, Some(GatewayError::Fenced("1".into())));
    assert!(failure.unwrap().to_string().contains("--name of its own"));
}

#[test]
fn a_gateway_that_stops_closes_its_name_behind_its_clients() {
    let (mut gateway, mut stream, index) = opening();
    entry_delivered(&mut gateway, &mut stream, ALICE);
    handle_opened(&mut gateway, &mut stream, ALICE);
    gateway.stop(0);
    assert!(gateway.out(index).ends_with(b"log in at another one"));
    gateway.turn(20 * MS, &mut stream, &mut Vec::new());
    assert_eq!(stream.closes, [ALICE]);
    gateway.on_stream(
        0,
        &mut stream,
        &SubscriberEvent::Closed { seq: 9, timestamp: 0, publisher: ALICE, reason: b"" },
    );
    gateway.turn(40 * MS, &mut stream, &mut Vec::new());
    gateway.turn(60 * MS, &mut stream, &mut Vec::new());
    assert_eq!((stream.closes.as_slice(), gateway.has_left()), (&[ALICE, OWN][..], false));
    gateway.on_stream(
        0,
        &mut stream,
        &SubscriberEvent::Closed { seq: 10, timestamp: 0, publisher: OWN, reason: b"" },
    );
    assert!(gateway.has_left());
}

/// It could not count the messages that were addressed to that name before: simulator seed 20261127003978.
#[test]
fn a_gateway_that_has_not_read_every_name_refuses_who_receives_one_that_it_does_not_know() {
    for whole in [true, false] {
        let (gateway, _, _) = opening();
        let ledger = Ledger::new(MemoryBacklog::new(1 << 20), whole, false);
        let mut users = Users::default();
        let mut alice = User::new("alice".into(), "hash".into());
        alice.hear = vec![Recipient::Own, Recipient::Client("bob".into())];
        users.insert(alice);
        let mut gateway = Gateway::new("1", gateway.limits.clone(), users, ledger);
        let mut stream = Recorder::default();
        let mark = DayMark { is_start: true, name: "DAY1" };
        gateway.on_stream(0, &mut stream, &SubscriberEvent::Day { seq: 7, timestamp: 0, mark });
        gateway.on_stream(0, &mut stream, &SubscriberEvent::CaughtUp { next: 8 });
        gateway.on_stream(0, &mut stream, &SubscriberEvent::Committed { next: 8 });
        gateway.turn(0, &mut stream, &mut Vec::new());
        entry_delivered(&mut gateway, &mut stream, OWN);
        handle_opened(&mut gateway, &mut stream, OWN);
        let opens = stream.opens.len();
        let index = log_in(&mut gateway, &mut stream, b"");
        let sent = String::from_utf8_lossy(gateway.out(index)).into_owned();
        assert_eq!(stream.opens.len() - opens, usize::from(whole), "{sent}");
        assert_eq!(sent.contains("does not know bob yet"), !whole, "{sent}");
        assert_eq!(sent.ends_with("JS"), !whole, "{sent}");
        let (publisher, name, nonce) = (30, "client/bob", [1 << 56, 30 << 32]);
        let bob =
            SubscriberEvent::Opened { seq: 9, timestamp: 0, publisher, incarnation: 2, nonce, last: 0, name };
        gateway.on_stream(0, &mut stream, &bob);
        let opens = stream.opens.len();
        log_in(&mut gateway, &mut stream, b"");
        assert_eq!(stream.opens.len() - opens, 1, "bob is known");
    }
}
