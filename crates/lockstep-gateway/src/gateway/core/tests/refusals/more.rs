//! Rare causes: at the gateway's bounds, and within a FIX session.

use super::{ALICE, Cause, PEER, S, Scene, good, login_bytes, refused_open};
use crate::fix::codec::seal;
use crate::gateway::ledger::Ledger;
use crate::gateway::users::{Recipient, User};
use lockstep_core::engine::parts::PartsBound;
use lockstep_core::engine::ports::MemoryBacklog;
use lockstep_core::engine::publisher::{OpenRefusal, PublisherEvent};
use lockstep_core::engine::subscriber::{Message, SubscriberEvent};
use std::net::SocketAddr;

/// Sends a message of Anna within her session.
fn says(scene: &mut Scene, index: usize, begin: &str, text: &str) {
    let text = text.replace("49=|", "49=anna|56=LOCKSTEP|52=20261121-10:00:00|");
    let mut bytes = Vec::new();
    seal(begin, text.replace('|', "\x01").as_bytes(), &mut bytes);
    scene.send(index, &bytes);
}

/// She is logged on and sends this; then the time passes in which her Logout would be stamped.
fn after(scene: &mut Scene, begin: &str, texts: &[&str]) {
    let index = scene.logged_on();
    for text in texts {
        // Her rate allows one message in ten milliseconds.
        scene.now += S / 100;
        says(scene, index, begin, text);
    }
    scene.pass(2 * S);
}

fn fill_spool(scene: &mut Scene) {
    let payload = vec![0; 60_000];
    for seq in 2..40 {
        let (publisher, publisher_seq, destination, timestamp) = (9, seq, ALICE, 0);
        let message = Message { seq, publisher, publisher_seq, destination, timestamp, payload: &payload };
        scene.gateway.on_stream(scene.now, &mut scene.stream, &SubscriberEvent::Message(message));
    }
    assert!(scene.gateway.ledger().is_full());
}

pub(super) const MORE: [Cause; 25] = [
    ("too many logins wait", |scene| {
        scene.gateway.limits.checks_max = 1;
        let address = SocketAddr::from(([10, 9, 9, 9], 7));
        let (index, _) = scene.gateway.accept(scene.now, address).expect("room");
        scene.send(index, login_bytes("alice", "", 1).as_bytes());
        scene.mark();
        scene.login("alice", "", 1);
    }),
    ("has no room for more of this day", |scene| {
        scene.logged_in();
        fill_spool(scene);
        scene.pass(S);
        scene.mark();
        scene.login("alice", "", 1);
    }),
    ("its gateway stopped", |scene| {
        scene.logged_in();
        fill_spool(scene);
    }),
    ("does not know carol yet", |scene| {
        scene.gateway.state.ledger = Ledger::new(MemoryBacklog::new(1 << 20), false, false);
        scene.day(Some("20261122"));
        let mut user = User::new("dora".into(), "hash".into());
        user.destination = Recipient::Client("carol".into());
        scene.gateway.users.insert(user);
        scene.login("dora", "", 1);
        scene.checked(true);
    }),
    ("opened too many names", |scene| {
        scene.stream.takes_no_name = true;
        scene.login("alice", "", 1);
        scene.checked(true);
    }),
    ("does not allow this client's name", |scene| refused_open(scene, OpenRefusal::NotAllowed)),
    ("the trading day has just ended", |scene| {
        scene.login("alice", "", 1);
        scene.checked(true);
        scene.deliver(ALICE);
        scene.day(None);
        scene.opened(ALICE);
    }),
    ("began before the first entry that this gateway could read", |scene| {
        scene.gateway.state.ledger = Ledger::new(MemoryBacklog::new(1 << 20), false, false);
        scene.day(Some("20261122"));
        scene.login("alice", "", 1);
        let lacks = SubscriberEvent::PartsDiscarded { publisher: 9, from: 5, bound: PartsBound::Beginning };
        scene.gateway.on_stream(scene.now, &mut scene.stream, &lacks);
    }),
    ("its connection broke", |scene| {
        scene.logged_in();
        let event = PublisherEvent::Discarded { publisher: ALICE, publisher_seq: 1, seq: 9 };
        scene.gateway.on_publisher(scene.now, &mut scene.stream, &event);
    }),
    ("a second login request", |scene| {
        let index = scene.logged_in();
        scene.send(index, login_bytes("alice", "", 1).as_bytes());
    }),
    ("it was silent", |scene| {
        let index = scene.logged_in();
        // Heartbeats behind a length that is too long.
        scene.send(index, b"\xff\xffU");
        for _ in 0..16 {
            scene.pass(S);
            scene.send(index, b"\0\x01R");
        }
    }),
    ("too many failed logins", |scene| {
        for _ in 0..6 {
            scene.logon("FIX.4.4", &good(""));
            scene.checked(false);
        }
        scene.mark();
        scene.logon("FIX.4.4", &good(""));
    }),
    ("the user is disabled", |scene| {
        scene.logon("FIX.4.4", &good("49=gone"));
        scene.checked(true);
    }),
    ("it closed the connection before its login was whole", |scene| {
        let index = scene.fix();
        scene.send(index, b"8=FIX.4.4\x019=65\x0135=A\x01");
        scene.close(index);
    }),
    ("it closed the connection before its login was decided", |scene| {
        let index = scene.logon("FIX.4.4", &good(""));
        scene.close(index);
        scene.checked(true);
    }),
    ("in no network of gateway.allow", |scene| {
        scene.gateway.limits.allow = Some("192.0.2.0/24".parse().expect("a network"));
        let accepted = scene.gateway.accept_fix(scene.now, SocketAddr::from((PEER, 7)), "LOCKSTEP");
        assert!(accepted.is_none());
    }),
    ("MsgSeqNum too low, expecting 2 but received 1", |scene| {
        after(scene, "FIX.4.4", &["35=0|34=1|49=|"]);
    }),
    ("MsgSeqNum(34) is 0", |scene| after(scene, "FIX.4.4", &["35=0|34=0|49=|"])),
    ("BeginString is that of the Logon", |scene| after(scene, "FIX.4.2", &["35=0|34=2|49=|"])),
    ("CompIDs are those of the Logon", |scene| {
        after(scene, "FIX.4.4", &["35=0|34=2|49=other|56=LOCKSTEP|52=20261121-10:00:00|"]);
    }),
    ("too many resend requests wait", |scene| {
        after(scene, "FIX.4.4", &["35=2|34=9|49=|7=1|16=0|"; 9]);
    }),
    ("ResetSeqNumFlag=Y needs MsgSeqNum 1", |scene| {
        after(scene, "FIX.4.4", &["35=A|34=2|49=|98=0|108=30|141=Y|"]);
    }),
    ("it logged out", |scene| after(scene, "FIX.4.4", &["35=5|34=2|49=|"])),
    ("it did not take what it was sent", |scene| {
        scene.logged_on();
        let index = scene.gateway.sessions.index_of(ALICE).expect("it is logged in");
        scene.gateway.sessions.conns.get_mut(index).expect("it is here").out.extend(b"not taken");
        scene.reads = false;
        scene.pass(5 * S);
    }),
    ("its user was disabled", |scene| {
        scene.logged_on();
        scene.gateway.set_users(scene.now, Default::default());
        scene.pass(2 * S);
    }),
];
