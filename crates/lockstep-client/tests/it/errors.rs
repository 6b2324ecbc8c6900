//! An error that `main` returns is printed by `Debug`. Each error of the crate prints the same text by
//! `Debug` as by `Display`, with its sources.

use lockstep_client::{
    EVERYBODY, Endpoint, IoError, OpenError, Outputs, PublishError, Publisher, SubscriberEvent,
};
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

fn is_fit_to_be_read(error: &(dyn Error + 'static)) {
    let text = error.to_string();
    assert_eq!(format!("{error:?}"), text, "`main` prints Debug");
    assert!(text.contains(' ') && !text.contains("{ "), "it is prose: {text}");
    let mut source = error.source();
    while let Some(inner) = source {
        assert!(text.contains(&inner.to_string()), "{text} does not say that {inner}");
        source = inner.source();
    }
}

/// An endpoint on loopback with groups that no process uses.
fn nobody_there() -> Endpoint {
    let group = |last| Ipv4Addr::new(239, 99, 9, last);
    let builder = Endpoint::builder().cluster(u64::MAX >> 1).without_keys().interface("127.0.0.1").ttl(0);
    let builder = builder.groups([group(1), group(2), group(3)], 47_391);
    builder.member(1, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 47_392)).build().expect("it is complete")
}

#[test]
fn each_error_prints_for_main_what_it_prints_for_readers() {
    let io = || IoError::new("open a thing; close another first", std::io::Error::other("no room"));
    is_fit_to_be_read(&io());
    is_fit_to_be_read(&OpenError::Io(io()));
    is_fit_to_be_read(&OpenError::Name(String::new()));
    is_fit_to_be_read(&OpenError::TimedOut("orders".into(), Duration::from_secs(5)));
    is_fit_to_be_read(&OpenError::TableFull("orders".into(), 1_000));
    for error in [
        PublishError::Backpressure,
        PublishError::NotOpen,
        PublishError::TooLong { len: 9, max: 8 },
        PublishError::TooLongFor { destination: EVERYBODY, len: 9, max: 8 },
        PublishError::Ahead { number: 9, next: 8 },
        PublishError::Fenced,
        PublishError::Closed,
    ] {
        is_fit_to_be_read(&error);
    }

    let mut outputs = Outputs::new("exchange");
    let opened = SubscriberEvent::Opened {
        seq: 2,
        timestamp: 0,
        publisher: 1,
        incarnation: 1,
        nonce: [1, 2],
        last: 0,
        name: "exchange",
    };
    assert_eq!(outputs.on_event(&opened), Ok(true));
    let message = lockstep_client::Message {
        seq: 3,
        publisher: 1,
        publisher_seq: 1,
        destination: EVERYBODY,
        timestamp: 0,
        payload: b"never produced",
    };
    assert!(outputs.is_own(&message));
    is_fit_to_be_read(
        &outputs.on_event(&SubscriberEvent::Message(message)).expect_err("it was not produced"),
    );
}

#[test]
fn a_program_without_a_cluster_is_told_where_to_look() {
    let mut publisher = Publisher::connect(&nobody_there()).unwrap_or_else(|error| panic!("{error}"));
    let error = publisher.open("orders", Duration::from_millis(20)).expect_err("no cluster is there");
    assert!(error.to_string().contains("no leader is received"), "{error}");
    is_fit_to_be_read(&error);

    let swapped = publisher.try_publish(EVERYBODY, 1, b"id and destination are swapped");
    assert_eq!(swapped, Err(PublishError::NotOpen));
}

#[test]
fn a_live_subscription_that_no_leader_begins_says_so() {
    use lockstep_client::{Delivery, Start, Subscriber};
    use std::ops::ControlFlow;

    let mut live = Subscriber::connect(&nobody_there(), Delivery::Committed, Start::Live)
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(!live.has_begun());
    let error = live
        .begin(Duration::from_millis(20), |_| ControlFlow::Continue(()))
        .expect_err("no cluster is there");
    assert!(error.to_string().contains("no leader was received"), "{error}");
    is_fit_to_be_read(&error);
}
