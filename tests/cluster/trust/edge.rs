//! What strangers take from a gateway's clients: attacks by many logins and many connections.

use lockstep_testkit::gateways::{Running, add_user, start_on};
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::{Cluster, PATIENCE, Process};
use lockstep_testkit::trader::{Trader, login_of};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A connection from 127.0.0.`host`.
pub fn connect_from(host: u8, gateway: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, host], 0)).into()).expect("an address of the loopback");
    socket.connect(&gateway.into()).expect("a gateway");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.into()
}

/// A wrong login that is sent, and not answered yet.
fn guess(host: u8, user: &str, gateway: SocketAddr) -> TcpStream {
    login_over(connect_from(host, gateway), user, "wrong")
}

/// A login that is sent over this connection, and not answered yet.
fn login_over(mut stream: TcpStream, user: &str, password: &str) -> TcpStream {
    let login = format!("\0\x2fL{user:<6}{password:<10}{:<29}1", "");
    stream.write_all(login.as_bytes()).expect("a connection");
    stream
}

/// What the gateway has answered when it closes the connection.
fn answer_on(mut stream: TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    // A connection closed before all that came was read ends by a reset.
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// Reads until the gateway closes the connection.
fn is_refused(stream: TcpStream) -> bool {
    answer_on(stream).windows(3).any(|bytes| bytes == b"\x02JA" || bytes == b"\x02JS")
}

pub fn counted(cluster: &Cluster, name: &str) -> u64 {
    let text = cluster.run(&["counters", "gateway-1", "--group", "gateway"], b"").with_code(0).out;
    // A count of 0 has no row.
    let Some(line) = text.lines().find(|line| line.contains(name)) else { return 0 };
    let after = line.split(name).nth(1).expect("a value behind the name");
    after.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

/// Waits until the counters show so many refused logins.
fn await_refused(cluster: &Cluster, refused: u64) {
    let until = Instant::now() + PATIENCE;
    let names = ["gateway_logins_failed", "gateway_logins_locked", "gateway_logins_crowded"];
    loop {
        let counts = names.map(|name| counted(cluster, name));
        if counts.iter().sum::<u64>() == refused {
            return println!("of {refused} wrong logins failed, locked, crowded: {counts:?}");
        }
        assert!(Instant::now() < until, "{counts:?} of {refused} are counted");
    }
}

/// A cluster, its replica, and a gateway with the user alice.
fn start(more: &[&str]) -> (Cluster, Vec<Process>, Running) {
    let cluster = Cluster::new(1, "");
    let replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &[]);
    let (process, [address]) = start_on(&cluster, "1", ["--listen"], more);
    (cluster, replicas, Running { process, address })
}

fn log_in_and_out(gateway: SocketAddr) -> Duration {
    let began = Instant::now();
    let mut alice = Trader::log_in(gateway, login_of("alice", "secret", "", 1)).expect("a right login");
    let took = began.elapsed();
    alice.log_out();
    alice.until("the connection to be closed", |alice| alice.ended().is_some());
    took
}

/// Attack 19.
#[test]
fn wrong_logins_from_elsewhere_lock_no_user_out_and_each_is_counted() {
    let (cluster, _replicas, gateway) = start(&[]);
    log_in_and_out(gateway.address);
    let (over, begun) = (AtomicBool::new(false), AtomicBool::new(false));
    let refused = std::thread::scope(|scope| {
        let attack = scope.spawn(|| {
            let mut guesses = Vec::new();
            while !over.load(Ordering::Acquire) {
                let host = 2 + (guesses.len() % 64) as u8;
                guesses.push(guess(host, "alice", gateway.address));
                begun.store(guesses.len() >= amount(64, 200), Ordering::Release);
                std::thread::sleep(Duration::from_millis(20));
            }
            guesses
        });
        while !begun.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(5));
        }
        println!(
            "under 50 wrong logins a second the user logged in within {:?}",
            log_in_and_out(gateway.address)
        );
        over.store(true, Ordering::Release);
        let guesses = attack.join().expect("the attack");
        let count = guesses.len() as u64;
        assert!(guesses.into_iter().all(is_refused), "each is refused");
        count
    });
    await_refused(&cluster, refused);
    log_in_and_out(gateway.address);
}

/// Attack 20.
#[test]
fn wrong_logins_behind_an_address_lock_no_other_user_there() {
    let (cluster, _replicas, gateway) = start(&[]);
    for _ in 0..8 {
        assert!(is_refused(guess(1, "mal", gateway.address)));
    }
    log_in_and_out(gateway.address);
    await_refused(&cluster, 8);
    assert!(counted(&cluster, "gateway_logins_locked") > 0, "the guesser is locked");
}

/// Attack 21: silent connections, and wrong logins at once.
#[test]
fn one_address_takes_its_share_of_a_gateway_and_others_are_served() {
    let more = ["--set", "gateway.clients=400", "--set", "gateway.accepts=100000"];
    let (cluster, _replicas, gateway) = start(&more);
    let silent: Vec<_> = (0..420).map(|_| connect_from(9, gateway.address)).collect();
    println!("beside 420 silent connections the user logged in within {:?}", log_in_and_out(gateway.address));
    let turned_away = || counted(&cluster, "gateway_turned_away");
    let until = Instant::now() + PATIENCE;
    while turned_away() != 420 - 50 {
        assert!(Instant::now() < until, "an eighth of 400 is 50: {} are turned away", turned_away());
    }
    drop(silent);
}

#[test]
fn wrong_logins_at_once_take_their_share_of_the_checks_and_others_are_served() {
    let more = ["--set", "gateway.clients_per_address=300", "--set", "gateway.accepts=100000"];
    let (cluster, _replicas, gateway) = start(&more);
    log_in_and_out(gateway.address);
    let resident = || {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", gateway.process.pid())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("KiB")
    };
    let before = resident();
    let guesses: Vec<_> = (0..256).map(|number| guess(9, &format!("u{number}"), gateway.address)).collect();
    let took = log_in_and_out(gateway.address);
    let grown = resident().saturating_sub(before);
    println!("beside 256 wrong logins at once the user logged in within {took:?}; {grown} KiB more");
    // Two threads check passwords, each in 19 MiB; the rest is what 256 connections and the first check need.
    assert!(grown < 64 << 10, "{grown} KiB");
    assert!(guesses.into_iter().all(is_refused), "each is refused");
    await_refused(&cluster, 256);
    assert!(
        counted(&cluster, "gateway_logins_crowded") > 0,
        "a share of the checks is all that one address has"
    );
}

/// Attack 22.
#[test]
fn each_login_refusal_and_departure_stands_in_the_audit_log_with_user_and_address() {
    let (cluster, replicas, gateway) = start(&["--log-format", "json"]);
    log_in_and_out(gateway.address);
    assert!(is_refused(guess(7, "alice", gateway.address)));
    assert!(is_refused(guess(8, "e\"\n", gateway.address)), "a name with a quote and a line feed");
    let Running { mut process, .. } = gateway;
    process.await_log_times("login_refused", 2);
    let log = process.log();
    assert_eq!(process.terminate(), Some(0));
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let audited: Vec<_> = lines
        .filter(|line| line["audit"].is_string())
        .map(|line| {
            ["audit", "user", "address", "message"].map(|field| line[field].as_str().unwrap_or("").to_owned())
        })
        .collect();
    let wrong = "a wrong password, or a user that does not exist";
    let expected = [
        ["login", "alice", "127.0.0.1", "logged in"],
        ["left", "alice", "127.0.0.1", "it logged out"],
        ["login_refused", "alice", "127.0.0.7", wrong],
        ["login_refused", "e\"\n", "127.0.0.8", wrong],
    ];
    assert_eq!(audited, expected, "{log}");
    assert!(!log.contains("secret") && !log.contains("wrong\""), "no password is in it");
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
    drop(cluster);
}

/// Attack 27.
#[test]
fn a_gateway_without_tls_listens_off_the_loopback_only_where_the_file_says_so() {
    let cluster = Cluster::new(1, "");
    let users = cluster.path("users.toml");
    add_user(&cluster, "alice", "secret", &[]);
    let users = users.to_string_lossy().into_owned();
    let args = ["gateway", "--name", "1", "--users", &users, "--listen", "192.0.2.7:9000"];
    let why = cluster.run(&args, b"").with_code(2).err;
    assert!(why.contains("would be sent in clear text") && why.contains("clear_text = true"), "{why}");
    // An address of documentation, which no host has: with the word it is tried.
    let why = cluster.run(&[&args[..], &["--set", "gateway.clear_text=true"]].concat(), b"").with_code(1).err;
    assert!(why.contains("listen on 192.0.2.7:9000"), "{why}");
}

/// A connection of the tunnel at 127.0.0.9, for a client at `client`.
fn through_tunnel(client: [u8; 4], gateway: SocketAddr) -> TcpStream {
    let mut stream = connect_from(9, gateway);
    let header =
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &client, &[127, 0, 0, 1, 0x30, 0x39, 0x23, 0x28]];
    stream.write_all(&header.concat()).expect("a connection");
    stream
}

/// Attack 20, where all clients have the address of their tunnel.
#[test]
fn behind_a_listed_tunnel_each_client_has_its_own_address() {
    let (cluster, replicas, gateway) = start(&["--set", "gateway.tunnels=127.0.0.9", "--log-format", "json"]);
    let login = |stream, password| login_over(stream, "alice", password);
    for _ in 0..7 {
        assert!(is_refused(login(through_tunnel([192, 0, 2, 21], gateway.address), "wrong")));
    }
    // Seven wrong passwords lock the user at that address, and nowhere else.
    let mut stream = login(through_tunnel([192, 0, 2, 22], gateway.address), "secret");
    let mut answer = [0; 3];
    loop {
        stream.read_exact(&mut answer).expect("an answer");
        match answer {
            [_, _, b'+'] => {
                let mut text = vec![0; usize::from(answer[1]) - 1];
                stream.read_exact(&mut text).expect("what is said meanwhile");
            }
            other => break assert_eq!(other[2], b'A', "{other:?}"),
        }
    }
    // A tunnel that names nobody, and somebody who is no tunnel and names another, are cut.
    assert!(!is_accepted(login(connect_from(9, gateway.address), "secret")));
    let mut other = connect_from(8, gateway.address);
    other
        .write_all(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x16\x7f\0\0\x01\x30\x39\x23\x28")
        .expect("sent");
    assert!(!is_accepted(login(other, "secret")));
    let Running { mut process, .. } = gateway;
    process.await_log("begins without a PROXY header");
    let log = process.log();
    assert!(
        log.contains("\"address\":\"192.0.2.21\"") && log.contains("\"address\":\"192.0.2.22\""),
        "{log}"
    );
    assert!(log.contains("begins without a PROXY header"), "{log}");
    drop(stream);
    assert_eq!(process.terminate(), Some(0));
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
    drop(cluster);
}

/// Whether the gateway accepts a login before it closes the connection.
fn is_accepted(stream: TcpStream) -> bool {
    answer_on(stream).windows(3).any(|bytes| bytes == b"\0\x1fA")
}
