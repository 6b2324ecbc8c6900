//! Gateways as processes, the file of their users, and the application behind them.

use crate::exchange::{Received, acknowledge};
use crate::processes::{Cluster, Process};
use crate::trader::Trader;
use lockstep_client::Endpoint;
use lockstep_config::Config;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

/// Adds a user with its password.
#[track_caller]
pub fn add_user(cluster: &Cluster, name: &str, password: &str, more: &[&str]) {
    let users = cluster.path("users.toml");
    let users = users.to_str().expect("a path of text");
    let mut args = vec!["gateway", "user", "add", name, "--users", users];
    args.extend(more);
    cluster.run(&args, password.as_bytes()).with_code(0);
}

/// A running gateway and where it listens.
pub struct Running {
    /// The process.
    pub process: Process,
    /// Where its clients connect.
    pub address: SocketAddr,
}

/// Starts a gateway and waits until clients may log in.
#[track_caller]
pub fn start(cluster: &Cluster, name: &str) -> Running {
    let (process, [address]) = start_on(cluster, name, ["--listen"], &[]);
    Running { process, address }
}

/// Starts a gateway with a listener for each of these flags, and waits until clients may log in; their
/// addresses.
#[track_caller]
pub fn start_on<const N: usize>(
    cluster: &Cluster,
    name: &str,
    listeners: [&str; N],
    more: &[&str],
) -> (Process, [SocketAddr; N]) {
    let users = cluster.path("users.toml");
    let users = users.to_str().expect("a path of text");
    // A trader that nobody polls, as another one's login takes its time, is not gone.
    let mut args = vec!["gateway", "--name", name, "--users", users, "--set", "gateway.silence=5min"];
    args.extend(listeners.iter().flat_map(|flag| [*flag, "127.0.0.1:0"]));
    args.extend(more);
    let mut process = cluster.start(&format!("gateway-{name}"), &args);
    let mut out = BufReader::new(process.take_stdout());
    let addresses = listeners.map(|_| {
        let mut line = String::new();
        let read = out.read_line(&mut line);
        let address = line.trim().strip_prefix("listening ").and_then(|rest| rest.rsplit(' ').next());
        let address = address.and_then(|address| address.parse().ok());
        address.unwrap_or_else(|| panic!("{read:?} {line:?}: {}", process.log()))
    });
    (process, addresses)
}

/// Alice is sent more by `bob` than the kernel's buffers and her gateway's hold, and reads nothing: she is
/// cut, and has the rest by its number at her next login.
#[track_caller]
pub fn is_cut_and_resumes_who_reads_nothing(
    gateway: &mut Process,
    mut bob: Trader,
    log_in_alice: impl Fn(u64) -> Trader,
) {
    let (payload, count) = (vec![7; 1_000], 12_000);
    let mut deaf = log_in_alice(1);
    for _ in 0..count {
        bob.send(&payload);
    }
    bob.until("everything to be sent", Trader::has_sent);
    // Nobody polls `deaf` meanwhile.
    gateway.await_log("it did not take what it was sent");
    deaf.until("to be cut", |deaf| deaf.ended().is_some());
    let had = deaf.messages.len();
    assert!(had < count, "{had}");
    let mut again = log_in_alice(1 + had as u64);
    again.await_messages(count - had);
    assert!(again.messages.iter().all(|(_, message)| *message == payload));
}

/// Runs `scene` beside an application that acknowledges every message, and returns what that heard.
pub fn with_exchange(cluster: &Cluster, scene: impl FnOnce()) -> Received {
    let config = Config::load(Some(&cluster.config()), &[]).unwrap_or_else(|errors| panic!("{errors}"));
    let (endpoint, stop) =
        (Endpoint::from_config(&config).unwrap_or_else(|errors| panic!("{errors}")), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let exchange = scope.spawn(|| acknowledge(&endpoint, &stop));
        let outcome = catch_unwind(AssertUnwindSafe(scene));
        stop.store(true, Ordering::Release);
        let received = exchange.join();
        outcome.unwrap_or_else(|why| resume_unwind(why));
        received.unwrap_or_else(|why| resume_unwind(why))
    })
}
