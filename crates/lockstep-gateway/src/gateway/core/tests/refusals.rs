//! Each connection that is closed and each login that is refused, whatever the cause and the protocol, leaves
//! one line of the log at `info` or above, with the peer's address and the cause, and one counter.

mod lines;
mod more;

use super::{ALICE, OWN, Recorder};
use crate::fix::codec::seal;
use crate::fix::value::utc_text;
use crate::gateway::core::{Gateway, GatewayCounts, GatewayLimits};
use crate::gateway::ledger::Ledger;
use crate::gateway::locks::LockoutTimes;
use crate::gateway::users::{User, Users};
use lines::{Line, Lines};
use lockstep_core::engine::networks::Networks;
use lockstep_core::engine::ports::MemoryBacklog;
use lockstep_core::engine::publisher::{OpenRefusal, PublisherEvent};
use lockstep_core::engine::subscriber::{Delivery, SubscriberEvent};
use lockstep_wire::{DayMark, Nanos, PublisherId};
use more::MORE;
use soupbintcp::ServerLimits;
use std::net::SocketAddr;

const S: Nanos = 1_000_000_000;
/// The client's address of each cause.
const PEER: [u8; 4] = [10, 1, 2, 3];

/// A gateway that can decide logins, and the effects of a cause.
struct Scene {
    gateway: Gateway<MemoryBacklog>,
    stream: Recorder,
    now: Nanos,
    /// Whether its clients read their sockets.
    reads: bool,
    lines: Lines,
    counted: GatewayCounts,
}

impl Scene {
    fn new(lines: &Lines) -> Self {
        let mut scene = Self::reading(lines);
        scene.catch_up();
        scene
    }

    /// A gateway that has not read the stream to its end.
    fn reading(lines: &Lines) -> Self {
        let limits = GatewayLimits {
            delivery: Delivery::Committed,
            clients_max: 40,
            clients_per_address: 40,
            allow: None,
            accepts: 500,
            soup: ServerLimits::default(),
            fix: crate::fix::session::FixSessionLimits::default(),
            stall_ns: 3 * S,
            checks_max: 8,
            checks_per_address: 4,
            lockout: LockoutTimes::default(),
            scan_ns: 10_000_000,
            heartbeat_ns: S / 2,
            lost_heartbeats: 6,
        };
        let mut users = Users::default();
        for name in ["alice", "anna", "gone"] {
            let mut user = User::new(name.into(), "hash".into());
            (user.fix, user.disabled, user.grace_ms) = (name == "anna", name == "gone", 0);
            users.insert(user);
        }
        let ledger = Ledger::new(MemoryBacklog::new(1 << 20), true, false);
        let (gateway, stream) = (Gateway::new("1", limits, users, ledger), Recorder::default());
        Self { gateway, stream, now: S, reads: true, lines: lines.clone(), counted: GatewayCounts::default() }
    }

    fn catch_up(&mut self) {
        self.gateway.on_stream(self.now, &mut self.stream, &SubscriberEvent::CaughtUp { next: 1 });
        self.gateway.turn(self.now, &mut self.stream, &mut Vec::new());
        self.deliver(OWN);
        self.opened(OWN);
        self.mark();
    }

    /// From here on lines and counters belong to this cause.
    fn mark(&mut self) {
        self.lines.clear();
        self.counted = self.gateway.counts();
    }

    fn pass(&mut self, by: Nanos) {
        let until = self.now + by;
        while self.now < until {
            self.now += S / 20;
            let mut touched = Vec::new();
            self.gateway.turn(self.now, &mut self.stream, &mut touched);
            self.gateway.invariants();
            for index in touched.into_iter().filter(|_| self.reads) {
                let len = self.gateway.out(index).len();
                self.gateway.on_sent(self.now, index, len);
            }
        }
    }

    /// A connection, and the time in which the audit log's rate allows another line.
    fn soup(&mut self) -> usize {
        self.now += S / 100;
        self.gateway.accept(self.now, SocketAddr::from((PEER, 7))).expect("room").0
    }

    fn fix(&mut self) -> usize {
        self.gateway.accept_fix(self.now, SocketAddr::from((PEER, 7)), "LOCKSTEP").expect("room").0
    }

    fn send(&mut self, index: usize, bytes: &[u8]) {
        self.gateway.on_bytes(self.now, &mut self.stream, index, bytes);
    }

    fn login(&mut self, user: &str, session: &str, number: u64) -> usize {
        let index = self.soup();
        self.send(index, login_bytes(user, session, number).as_bytes());
        index
    }

    fn logon(&mut self, begin: &str, text: &str) -> usize {
        let index = self.fix();
        let mut bytes = Vec::new();
        seal(begin, text.replace('|', "\x01").as_bytes(), &mut bytes);
        self.send(index, &bytes);
        index
    }

    fn checked(&mut self, is_right: bool) {
        let check = self.gateway.next_check().expect("a password is checked");
        self.gateway.on_checked(self.now, &mut self.stream, &check, is_right);
    }

    /// The last open entry is delivered.
    fn deliver(&mut self, publisher: PublisherId) {
        self.now += S / 100;
        let (name, nonce) = self.stream.opens.last().cloned().expect("an open");
        let (seq, timestamp, incarnation, last, name) = (1, 0, 1, 0, name.as_str());
        let opened = SubscriberEvent::Opened { seq, timestamp, publisher, incarnation, nonce, last, name };
        self.gateway.on_stream(self.now, &mut self.stream, &opened);
    }

    /// The handle reports it as open.
    fn opened(&mut self, publisher: PublisherId) {
        self.now += S / 100;
        let ticket = self.stream.opens.len() - 1;
        let event = PublisherEvent::Opened { ticket, publisher, publisher_seq: 1, last: 0 };
        self.gateway.on_publisher(self.now, &mut self.stream, &event);
    }

    fn open(&mut self) {
        self.deliver(ALICE);
        self.opened(ALICE);
    }

    fn close(&mut self, index: usize) {
        self.gateway.on_closed(self.now, index);
    }

    /// A logged-in client.
    fn logged_in(&mut self) -> usize {
        let index = self.login("alice", "", 1);
        self.checked(true);
        self.open();
        self.mark();
        index
    }

    fn logged_on(&mut self) -> usize {
        let index = self.logon("FIX.4.4", &good(""));
        self.checked(true);
        self.open();
        self.mark();
        index
    }

    fn day(&mut self, name: Option<&str>) {
        let mark = DayMark { is_start: name.is_some(), name: name.unwrap_or_default() };
        self.gateway.on_stream(
            self.now,
            &mut self.stream,
            &SubscriberEvent::Day { seq: 9, timestamp: 0, mark },
        );
    }
}

fn login_bytes(user: &str, session: &str, number: u64) -> String {
    format!("\0\x2fL{user:<6}{:<10}{session:>10}{number:>20}", "secret")
}

const TIME: Nanos = 1_795_255_200_000_000_000;

/// A valid Logon, with these changes.
pub(super) fn good(changes: &str) -> String {
    let mut fields = vec![
        ("34", "1".to_owned()),
        ("49", "anna".to_owned()),
        ("56", "LOCKSTEP".to_owned()),
        ("52", utc_text(TIME)),
        ("98", "0".to_owned()),
        ("108", "30".to_owned()),
        ("554", "secret".to_owned()),
    ];
    for change in changes.split('|').filter(|change| !change.is_empty()) {
        let (tag, value) = change.split_once('=').expect("a field");
        match fields.iter_mut().find(|(known, _)| *known == tag) {
            Some((_, old)) => value.clone_into(old),
            None => fields.push((tag, value.to_owned())),
        }
    }
    fields.retain(|(_, value)| value != "-");
    let fields: String = fields.iter().map(|(tag, value)| format!("{tag}={value}|")).collect();
    format!("35=A|{fields}")
}

type Cause = (&'static str, fn(&mut Scene));

/// Bytes that end a SoupBinTCP connection before its login, and the reasons.
const SOUP_BYTES: [(&str, &[u8]); 5] = [
    ("packet", b"GET / HTTP/1.1\r\n\r\n"),
    ("packet", b"\0\0"),
    ("a message before the login", b"\0\x04Uyes"),
    ("only servers send it", b"\0\x01H"),
    ("length", b"\0\x05Labcd"),
];

/// Logons that name no user of this gateway, or not correctly: the connection is closed without a message,
/// because a Logout would take a number.
const CUT: [(&str, &str, &str); 15] = [
    ("TargetCompID", "FIX.4.4", "56=OTHER"),
    ("TargetCompID", "FIX.4.4", "56=-"),
    ("SenderCompID", "FIX.4.4", "49=-"),
    ("BeginString", "FIX.4.3", ""),
    ("BeginString", "FIX.5.0", ""),
    ("BeginString", "FIX.4.0", ""),
    ("no Password", "FIX.4.4", "554=-"),
    ("Username differ", "FIX.4.4", "553=other"),
    ("MsgSeqNum", "FIX.4.4", "34=-"),
    ("MsgSeqNum", "FIX.4.4", "34=0"),
    ("MsgSeqNum", "FIX.4.4", "34=x"),
    ("tag 384", "FIX.4.4", "384=2"),
    ("tag 96", "FIX.4.4", "95=6"),
    ("tag 95", "FIX.4.2", "554=-|96=secret"),
    ("tag 354", "FIXT.1.1", "354=x"),
];

/// Logons of an authenticated user that are answered by a Logout with these texts.
pub(super) const ANSWERED: [(&str, &str); 13] = [
    ("HeartBtInt(108)", "108=0"),
    ("HeartBtInt(108)", "108=7200"),
    ("HeartBtInt(108)", "108=-"),
    ("HeartBtInt(108)", "108=x"),
    ("EncryptMethod(98)", "98=1"),
    ("EncryptMethod(98)", "98=-"),
    ("a time is missing", "52=-"),
    ("a time is", "52=noon"),
    ("SendingTime is too far", "52=20261121-08:00:00"),
    ("SendingTime is too far", "52=20361121-10:00:00"),
    ("ResetSeqNumFlag=Y needs", "34=7|141=Y"),
    ("HeartBtInt(108)", "108=0|141=Y"),
    ("EncryptMethod(98)", "98=2|108=0"),
];

const CAUSES: [Cause; 47] = [
    ("a wrong password", |scene| {
        scene.login("alice", "", 1);
        scene.checked(false);
    }),
    ("a user that does not exist", |scene| {
        scene.login("nobody", "", 1);
        scene.checked(false);
    }),
    ("the user is disabled", |scene| {
        scene.login("gone", "", 1);
        scene.checked(true);
    }),
    ("the user speaks FIX", |scene| {
        scene.login("anna", "", 1);
        scene.checked(true);
    }),
    ("that session is not the open trading day", |scene| {
        scene.login("alice", "20991231", 1);
    }),
    ("no such number yet", |scene| {
        scene.login("alice", "", 9);
        scene.checked(true);
        scene.open();
    }),
    ("no trading day is open", |scene| {
        scene.day(None);
        scene.login("alice", "", 1);
    }),
    ("another trading day has begun", |scene| {
        scene.login("alice", "", 1);
        scene.checked(true);
        scene.deliver(ALICE);
        scene.day(Some("20261122"));
    }),
    ("too many failed logins", |scene| {
        for _ in 0..6 {
            scene.login("alice", "", 1);
            scene.checked(false);
        }
        scene.mark();
        scene.login("alice", "", 1);
    }),
    ("too many logins from your address wait", |scene| {
        for _ in 0..4 {
            scene.login("alice", "", 1);
        }
        scene.mark();
        scene.login("alice", "", 1);
    }),
    ("stream.publishers_max", |scene| refused_open(scene, OpenRefusal::TableFull { publishers_max: 3 })),
    ("another connection has logged in as this user", |scene| {
        scene.login("alice", "", 1);
        scene.checked(true);
        scene.deliver(ALICE);
        scene.login("alice", "", 1);
        scene.checked(true);
        scene.deliver(ALICE);
    }),
    ("no login request in time", |scene| {
        scene.soup();
        scene.pass(31 * S);
    }),
    ("it closed the connection before its login was whole", |scene| {
        let index = scene.soup();
        scene.send(index, b"\0\x2fLal");
        scene.close(index);
    }),
    ("it closed the connection before its login was decided", |scene| {
        let index = scene.login("alice", "", 1);
        scene.close(index);
        scene.checked(true);
    }),
    ("a wrong password", |scene| {
        let index = scene.login("alice", "", 1);
        scene.close(index);
        scene.checked(false);
    }),
    ("it closed the connection before its login was decided", |scene| {
        let index = scene.login("alice", "", 1);
        scene.checked(true);
        scene.close(index);
        scene.open();
    }),
    ("a second login request", |scene| {
        let index = scene.login("alice", "", 1);
        scene.send(index, login_bytes("alice", "", 1).as_bytes());
        scene.close(index);
        scene.checked(false);
    }),
    ("it begins like TLS", |scene| {
        let index = scene.soup();
        scene.gateway.on_fault(scene.now, index, "it begins like TLS, and here clients speak in the clear");
        scene.close(index);
    }),
    ("its TLS handshake was not over in time", |scene| {
        let index = scene.soup();
        scene.gateway.on_handshake(index, true);
        scene.pass(31 * S);
        scene.close(index);
    }),
    ("without a PROXY header", |scene| {
        let why = "it begins without a PROXY header";
        scene.gateway.on_turned_away(scene.now, SocketAddr::from((PEER, 7)), why);
    }),
    ("in no network of gateway.allow", |scene| {
        scene.gateway.limits.allow = Some("192.0.2.0/24".parse::<Networks>().expect("a network"));
        let peer = SocketAddr::from((PEER, 7));
        assert!(scene.gateway.accept(scene.now, peer).is_none());
    }),
    ("the limit gateway.clients is reached", |scene| {
        scene.gateway.limits.clients_max = 0;
        assert!(scene.gateway.accept(scene.now, SocketAddr::from((PEER, 7))).is_none());
        scene.gateway.limits.clients_max = 40;
    }),
    ("gateway.clients_per_address", |scene| {
        scene.gateway.limits.clients_per_address = 0;
        assert!(scene.gateway.accept_fix(scene.now, SocketAddr::from((PEER, 7)), "LOCKSTEP").is_none());
    }),
    ("the gateway still reads the stream", |scene| {
        *scene = Scene::reading(&scene.lines.clone());
        scene.login("alice", "", 1);
    }),
    ("the gateway stops", |scene| {
        scene.soup();
        scene.gateway.stop(scene.now);
    }),
    ("it logged out", |scene| {
        let index = scene.logged_in();
        scene.send(index, b"\0\x01O");
        scene.close(index);
    }),
    ("its connection broke", |scene| {
        let index = scene.logged_in();
        scene.close(index);
    }),
    ("it was silent", |scene| {
        scene.logged_in();
        scene.pass(16 * S);
    }),
    ("it did not take what it was sent", |scene| {
        scene.reads = false;
        scene.logged_in();
        scene.pass(5 * S);
    }),
    ("only servers send it", |scene| {
        let index = scene.logged_in();
        scene.send(index, b"\0\x01H");
    }),
    ("its user was disabled", |scene| {
        scene.logged_in();
        scene.gateway.set_users(scene.now, Users::default());
    }),
    ("its gateway stopped", |scene| {
        scene.logged_in();
        scene.gateway.stop(scene.now);
    }),
    ("the trading day ended", |scene| {
        scene.logged_in();
        scene.day(None);
        scene.pass(S);
    }),
    ("another connection has logged in as this user", |scene| {
        scene.logged_in();
        scene.login("alice", "", 1);
        scene.checked(true);
        scene.opened(ALICE);
    }),
    // By FIX.
    ("a wrong password", |scene| {
        scene.logon("FIX.4.4", &good(""));
        scene.checked(false);
    }),
    ("the user does not speak FIX", |scene| {
        scene.logon("FIX.4.4", &good("49=alice"));
        scene.checked(true);
    }),
    ("no message of FIX", |scene| {
        let index = scene.fix();
        scene.send(index, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03");
    }),
    ("no message of FIX", |scene| {
        let index = scene.fix();
        scene.send(index, b"8=FIX.4.4|9=65|35=A|34=1|49=anna|");
    }),
    ("its checksum is wrong", |scene| {
        let index = scene.fix();
        scene.send(index, b"8=FIX.4.4\x019=5\x0135=A\x0110=000\x01");
    }),
    ("its first message is no Logon", |scene| {
        scene.logon("FIX.4.4", "35=D|34=1|49=anna|56=LOCKSTEP|");
    }),
    ("no Logon in time", |scene| {
        scene.fix();
        scene.pass(31 * S);
    }),
    ("the gateway still reads the stream", |scene| {
        *scene = Scene::reading(&scene.lines.clone());
        scene.logon("FIX.4.4", &good(""));
        scene.pass(31 * S);
    }),
    ("the gateway stops", |scene| {
        *scene = Scene::reading(&scene.lines.clone());
        scene.logon("FIX.4.4", &good(""));
        scene.gateway.stop(scene.now);
    }),
    ("no trading day is open", |scene| {
        scene.day(None);
        scene.logon("FIX.4.4", &good(""));
    }),
    ("it was silent", |scene| {
        scene.logged_on();
        scene.pass(80 * S);
    }),
    ("MsgSeqNum(34) is missing", |scene| {
        let index = scene.logged_on();
        scene.send(index, b"8=FIX.4.4\x019=5\x0135=0\x0110=163\x01");
        scene.pass(2 * S);
    }),
];

fn refused_open(scene: &mut Scene, reason: OpenRefusal) {
    scene.login("alice", "", 1);
    scene.checked(true);
    let ticket = scene.stream.opens.len() - 1;
    scene.gateway.on_publisher(scene.now, &mut scene.stream, &PublisherEvent::Refused { ticket, reason });
}

/// Checks the line of one cause, and the one counter that it raises.
fn assert_logged(scene: &Scene, words: &str) {
    let lines = scene.lines.all();
    let address = "10.1.2.3";
    // Earlier logins, of another connection, and the gateway's own state are not part of the cause.
    let is_another =
        |line: &&Line| line.message == "logged in" || line.message.starts_with("the day is larger than");
    let about: Vec<_> = lines.iter().filter(|line| !is_another(line)).collect();
    let is_one = about.len() == 1 && about[0].message.contains(words);
    assert!(is_one && about[0].address.as_deref() == Some(address), "{words}: {lines:?}");
    let (now, before) = (scene.gateway.counts(), scene.counted);
    let of = |counts: GatewayCounts| {
        counts.rejected + counts.no_login + counts.left + counts.turned_away + counts.address_refused
    };
    let (others, failed) = (of(now) - of(before), now.logins_failed - before.logins_failed);
    assert!(others == 1 || others == 0 && failed == 1, "{words}: {now:?}");
}

#[test]
fn each_refused_or_closed_login_is_one_line_with_its_peer_and_its_cause_and_one_counter() {
    let lines = Lines::default();
    lines.record(|| {
        for (words, cause) in CAUSES.into_iter().chain(MORE) {
            let mut scene = Scene::new(&lines);
            cause(&mut scene);
            scene.gateway.turn(scene.now, &mut scene.stream, &mut Vec::new());
            assert_logged(&scene, words);
        }
        for (words, bytes) in SOUP_BYTES {
            let mut scene = Scene::new(&lines);
            let index = scene.soup();
            scene.send(index, bytes);
            scene.close(index);
            assert_logged(&scene, words);
        }
        for (words, begin, changes) in CUT {
            let mut scene = Scene::new(&lines);
            let index = scene.logon(begin, &good(changes));
            assert_eq!(scene.gateway.out(index), b"", "{changes}");
            scene.close(index);
            assert_logged(&scene, words);
        }
        for (words, changes) in ANSWERED {
            let mut scene = Scene::new(&lines);
            scene.gateway.state.clocks.stream = TIME;
            let index = scene.logon("FIX.4.4", &good(changes));
            scene.checked(true);
            scene.open();
            scene.pass(2 * S);
            scene.close(index);
            assert_logged(&scene, words);
        }
    });
}

/// A check whether a gateway is alive is no login.
#[test]
fn a_connection_that_says_nothing_and_is_closed_is_counted_and_leaves_no_line() {
    let lines = Lines::default();
    lines.record(|| {
        let mut scene = Scene::new(&lines);
        for index in [scene.soup(), scene.fix()] {
            scene.close(index);
        }
        assert_eq!(scene.gateway.counts().no_login, 2);
        assert!(lines.all().is_empty());
    });
}
