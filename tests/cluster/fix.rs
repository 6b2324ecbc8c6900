//! FIX at the gateways, by somebody else's engine: QuickFIX's C++ initiator trades the demo's order flow with
//! the reference exchange while leaders and gateways are killed.

mod desk;
mod dictionaries;
mod time;
mod trader;

use desk::{Desk, Flow, Request, entries_of};
use lockstep_testkit::gateways::{add_user, start_on};
use lockstep_testkit::processes::{Cluster, Process, busy, example, run};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// The channels of the exchange's operators and market, and gateways that notice each other's death soon.
const MORE: &str =
    "\n[[channels]]\nid = 1\n\n[[channels]]\nid = 2\n\n[gateway]\nheartbeat_interval = \"100ms\"\n";

/// QuickFIX's initiator, compiled into the cluster's folder.
fn initiator(cluster: &Cluster) -> Option<PathBuf> {
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !has("g++") || !Path::new("/usr/include/quickfix/Session.h").exists() {
        println!("SKIPPED: QuickFIX for C++ cannot be had: it needs g++ and Debian's libquickfix-dev");
        return None;
    }
    let program = cluster.path("initiator");
    let mut command = Command::new("g++");
    // Its headers have exception specifications, which C++17 has no more.
    command.args(["-std=c++14", "-w", "-o"]).arg(&program);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/fix/initiator.cpp"));
    run(
        {
            command.args(["-lquickfix", "-lpthread"]);
            command
        },
        b"",
    )
    .with_code(0);
    Some(program)
}

/// Two replicas of the exchange, whose instruments are those of the demo's flow.
fn start_exchanges(cluster: &Cluster, program: &Path) -> [Process; 2] {
    let opening = cluster.path("opening");
    let lines =
        ["ALC", "BOB", "CHAR"].map(|symbol| format!("instrument {symbol} tick 100 lot 1 reference 100000\n"));
    std::fs::write(&opening, lines.concat() + "phase * continuous\n").expect("a file");
    [1, 2].map(|number| {
        let mut command = Command::new(program);
        command.current_dir(cluster.path("")).env("LOCKSTEP_CONFIG", cluster.config());
        command.args([&number.to_string(), "127.0.0.1:0", "300"]).arg(&opening);
        cluster.start_command(&format!("exchange-{number}"), command)
    })
}

/// A cluster with two replicas of the exchange, whose instruments are those of the demo's flow.
struct Market {
    cluster: Arc<Cluster>,
    sequencers: Vec<Process>,
    _exchanges: [Process; 2],
    initiator: PathBuf,
}

impl Market {
    fn open() -> Option<Self> {
        let program = example("exchange")?;
        let cluster = Arc::new(Cluster::new(3, MORE));
        let initiator = initiator(&cluster)?;
        let sequencers = cluster.found();
        let exchanges = start_exchanges(&cluster, &program);
        for user in ["alice", "bob"] {
            add_user(&cluster, user, "secret", &["--fix", "--grace-ms", "0"]);
        }
        Some(Self { cluster, sequencers, _exchanges: exchanges, initiator })
    }

    fn gateway(&self, name: &str) -> (Process, u16) {
        let (process, [address]) = start_on(&self.cluster, name, ["--fix"], &[]);
        (process, address.port())
    }

    /// A gateway at this port, which may not listen yet.
    fn gateway_at(&self, name: &str, port: u16) -> Process {
        let (users, address) = (self.cluster.path("users.toml"), format!("127.0.0.1:{port}"));
        let users = users.to_str().expect("a path of text");
        let args = ["gateway", "--name", name, "--users", users, "--fix", &address];
        self.cluster.start(&format!("gateway-{name}"), &args)
    }

    /// Kills the leader, and starts it again.
    fn kill_leader(&mut self) {
        let leader = self.cluster.leader();
        let sequencer = &mut self.sequencers[leader as usize - 1];
        sequencer.signal("KILL");
        sequencer.wait();
        *sequencer = self.cluster.start_replica(leader);
    }

    fn desk(&self, user: &str, version: &str, flow: &Flow, ports: &[u16]) -> Desk {
        Desk::start(&self.cluster, &self.initiator, (user, version), flow, ports)
    }
}

/// Each request of a desk was stamped once and answered once, and each report came once and in order.
#[track_caller]
fn assert_whole(market: &Market, desk: &Desk, requests: &[Request]) {
    let entries = entries_of(&market.cluster, desk.user());
    let mut stamped: BTreeMap<String, u32> = BTreeMap::new();
    entries.orders.iter().for_each(|name| *stamped.entry(name.clone()).or_default() += 1);
    for request in requests {
        if !matches!(request, Request::Cancel { .. }) {
            assert_eq!(stamped.remove(request.name()), Some(1), "{request:?} is stamped once");
        }
    }
    assert_eq!(stamped, BTreeMap::new(), "nothing else was stamped");
    let cancels = requests.iter().filter(|request| matches!(request, Request::Cancel { .. })).count();
    assert_eq!(entries.cancels, cancels, "each cancel is stamped once");
    assert!(!desk.has_rejected(), "each message is one of the standard: {:?}", desk.lines());
    let messages = desk.messages();
    assert!(messages.windows(2).all(|pair| pair[0].number < pair[1].number), "in the order of their numbers");
    let reports: Vec<_> = messages.iter().filter(|message| message.kind == "8").collect();
    let mut ids: Vec<_> = reports.iter().map(|report| &report.exec_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), reports.len()), (entries.reports, entries.reports), "each report once");
    for request in requests {
        let answers = messages.iter().filter(|message| message.answers(request)).count();
        assert_eq!(answers, 1, "{request:?} is answered once: {:?}", desk.about(request.name()));
    }
}

#[test]
fn quickfix_trades_the_demos_flow_while_leaders_and_gateways_die() {
    let _place = busy();
    let Some(mut market) = Market::open() else { return };
    let ((first, first_port), (second, second_port)) = (market.gateway("1"), market.gateway("2"));
    let [flow_a, flow_b] = Flow::recorded(1_000);
    let mut alice = market.desk("alice", "FIX.4.4", &flow_a, &[first_port, second_port]);
    let mut bob = market.desk("bob", "FIXT.1.1", &flow_b, &[second_port, first_port]);
    alice.await_logons(1);
    bob.await_logons(1);
    let send = |alice: &mut Desk, bob: &mut Desk| {
        alice.begin_send(100);
        bob.begin_send(100);
    };
    send(&mut alice, &mut bob);
    market.kill_leader();
    alice.await_answers(&flow_a.requests()[..100]);
    send(&mut alice, &mut bob);
    // Her gateway dies in the middle of what she sends: the other one asks for what was not stamped, and for
    // what she has sent meanwhile.
    alice.await_answers(&flow_a.requests()[..120]);
    first.signal("KILL");
    alice.await_sent();
    alice.await_logons(2);
    alice.await_answers(&flow_a.requests()[..200]);
    assert!(alice.has_resend(), "{:?}", alice.lines());
    // One takes its place, a leader dies, and the other gateway stops.
    let _third = market.gateway_at("3", first_port);
    market.kill_leader();
    send(&mut alice, &mut bob);
    alice.await_answers(&flow_a.requests()[..220]);
    second.signal("TERM");
    let mut desks = [(&mut alice, &flow_a), (&mut bob, &flow_b)];
    for (desk, flow) in &mut desks {
        desk.send(flow.requests().len() - 300);
        desk.await_answers(flow.requests());
    }
    // An order of one trades with what the other has left in the book.
    for (desk, flow) in desks {
        desk.await_reports(entries_of(&market.cluster, desk.user()).reports);
        desk.log_out();
        assert_whole(&market, desk, flow.requests());
        println!(
            "{}: {} requests, {} messages, {} logons",
            desk.user(),
            flow.requests().len(),
            desk.messages().len(),
            desk.logons()
        );
    }
}

#[test]
fn quickfix_of_each_version_logs_in_trades_logs_out_and_goes_on_at_another_gateway() {
    let Some(market) = Market::open() else { return };
    let ((first, first_port), (second, second_port)) = (market.gateway("1"), market.gateway("2"));
    for user in ["user0", "user1", "user2"] {
        add_user(&market.cluster, user, "secret", &["--fix"]);
    }
    [&first, &second].into_iter().for_each(|gateway| gateway.signal("HUP"));
    for (index, version) in ["FIX.4.2", "FIX.4.4", "FIXT.1.1"].into_iter().enumerate() {
        let [flow, _] = Flow::recorded(40);
        let flow = flow.named(&format!("v{index}-a-name-of-more-than-fourteen-"));
        let user = format!("user{index}");
        let mut desk = market.desk(&user, version, &flow, &[first_port]);
        desk.await_logons(1);
        desk.send(10);
        desk.await_answers(&flow.requests()[..10]);
        desk.log_out();
        // The same numbers at the other gateway: its store is the session's.
        let mut desk = desk.restart(&[second_port]);
        desk.await_logons(1);
        let count = flow.requests().len() - 10;
        desk.skip(10);
        desk.send(count);
        desk.await_answers(&flow.requests()[10..]);
        desk.log_out();
        assert!(!desk.has_rejected(), "{version}: each message is one of the standard: {:?}", desk.lines());
        assert!(!desk.has_resend(), "neither side lacks a message: {:?}", desk.lines());
    }
}

/// A message with these fields, which `|` parts; `10` is right.
fn frame(begin: &str, fields: &str) -> Vec<u8> {
    let fields = fields.replace('|', "\x01");
    let mut bytes = format!("8={begin}\x019={}\x01{fields}", fields.len()).into_bytes();
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    bytes.extend(format!("10={sum:03}\x01").into_bytes());
    bytes
}

/// What a gateway answers to these bytes until it closes the connection.
fn answer(address: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).expect("a gateway");
    socket.write_all(bytes).expect("it takes them");
    let mut out = Vec::new();
    let _ = socket.read_to_end(&mut out); // a reset ends it as well
    String::from_utf8_lossy(&out).replace('\x01', "|")
}

#[test]
fn a_refused_logon_stands_in_the_log_once_with_its_address_and_who_has_shown_itself_is_told() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &["--fix"]);
    let (mut gateway, [address]) = start_on(&cluster, "1", ["--fix"], &["--log-format", "json"]);
    let logon = |begin: &str, more: &str| frame(begin, &format!("35=A|34=1|49=alice|56=LOCKSTEP|{more}"));
    let mut expected = Vec::new();
    for (bytes, words, is_answered) in [
        (logon("FIX.4.4", "98=0|108=0|554=secret|"), "HeartBtInt(108)", true),
        (logon("FIX.4.4", "98=1|108=30|554=secret|"), "EncryptMethod(98)", true),
        (logon("FIX.4.4", "98=0|108=30|554=secret|"), "a time is missing", true),
        (logon("FIX.4.3", "98=0|108=30|554=secret|"), "its BeginString", false),
        (logon("FIX.4.4", "98=0|108=30|"), "no Password(554)", false),
        (logon("FIX.4.4", "98=0|108=30|553=bob|554=secret|"), "Username differ", false),
        (logon("FIX.4.4", "98=0|108=30|554=secret|554=secret|"), "appears more than once", false),
        (frame("FIX.4.4", "35=D|34=1|49=alice|56=LOCKSTEP|"), "no Logon", false),
        (b"8=FIX.4.4|9=5|35=A|10=000|".to_vec(), "no message of FIX", false),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(), "it begins like TLS", false),
    ] {
        let sent = answer(address, &bytes);
        assert_eq!(sent.contains("|35=5|") && sent.contains(words), is_answered, "{words}: {sent}");
        expected.push(words);
    }
    gateway.await_log("it begins like TLS");
    let log = gateway.log();
    let refused: Vec<_> = log.lines().filter(|line| line.contains("\"audit\":")).collect();
    assert_eq!(refused.len(), expected.len(), "{log}");
    for (line, words) in refused.iter().zip(expected) {
        assert!(line.contains(words) && line.contains("\"address\":\"127.0.0.1\""), "{words}: {line}");
    }
}
