//! The probe that never ends: each fault between nodes is named by the first line of `status`, with the time
//! that it took.

use lockstep_testkit::netns::{self, Cut, Network};
use lockstep_testkit::processes::{Cluster, PATIENCE, Process};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// Three replicas, the clients, and a machine that takes another one's address.
const REPLICAS: u32 = 3;
const INTRUDER: usize = 5;
const NODES: usize = 5;

/// A cluster whose files let a busy machine take its time, on a network, or none.
fn cluster() -> Option<(Network, Cluster, Vec<Process>)> {
    if let Some(reason) = netns::unsupported() {
        println!("SKIPPED: {reason}");
        return None;
    }
    let network = Network::new(NODES);
    let patient = "\n[timing]\nfailure_timeout = \"2s\"\nfailure_timeout_max = \"4s\"\n";
    let cluster = Cluster::on(network.ground(REPLICAS), patient);
    let replicas = cluster.found();
    await_health(&cluster);
    Some((network, cluster, replicas))
}

fn first_line(cluster: &Cluster) -> String {
    cluster.run(&["status"], b"").out.lines().next().unwrap_or_default().to_owned()
}

fn await_health(cluster: &Cluster) {
    let began = Instant::now();
    while !first_line(cluster).starts_with("healthy") {
        assert!(began.elapsed() < PATIENCE, "{}", cluster.run(&["why"], b"").out);
    }
}

/// Waits until `status` names the fault, and prints how long that took.
fn await_name(cluster: &Cluster, fault: &str, words: &str) {
    let began = Instant::now();
    loop {
        let line = first_line(cluster);
        if line.contains(words) {
            println!("{fault}: named after {:.1} s: {line}", began.elapsed().as_secs_f64());
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{fault}: {line}\n{}", cluster.run(&["why"], b"").out);
    }
}

/// The two replicas that follow: what is cut between them ends no leadership.
fn standbys(cluster: &Cluster) -> (usize, usize) {
    let leader = cluster.leader();
    let others: Vec<_> = (1..=REPLICAS).filter(|id| *id != leader).map(|id| id as usize).collect();
    (others[0], others[1])
}

/// A packet filter of a node's own.
fn filter(network: &Network, node: usize, rule: &str) {
    network.node(node).shell(&format!(
        "nft add table ip planted
         nft add chain ip planted input '{{ type filter hook input priority 0; }}'
         nft add rule ip planted input {rule} drop"
    ));
}

fn without_filter(network: &Network, node: usize) {
    network.node(node).shell("nft delete table ip planted");
}

#[test]
fn a_cut_in_one_direction_is_named_with_its_direction_and_its_end_is_seen() {
    let Some((network, cluster, _replicas)) = cluster() else { return };
    let (from, to) = standbys(&cluster);
    network.cut(&[Cut::one_way(&[from], &[to])]);
    let words = format!("nothing passes by unicast from {from} to {to}; the reverse direction works");
    await_name(&cluster, "a one-way cut", &words);
    let why = cluster.run(&["why"], b"").out;
    assert!(why.contains("answers LOST") && why.contains("path_lost: "), "{why}");
    network.cut(&[]);
    await_health(&cluster);
}

#[test]
fn a_replay_port_that_is_filtered_is_named() {
    let Some((network, cluster, mut replicas)) = cluster() else { return };
    let (one, other) = standbys(&cluster);
    filter(&network, one, "tcp dport 1-65535");
    await_name(
        &cluster,
        "a filtered replay port",
        &format!("the TCP port of {one} for replay is not reached"),
    );
    replicas[other - 1].await_log("LS1207");
    without_filter(&network, one);
    await_health(&cluster);
}

#[test]
fn a_way_that_takes_no_datagrams_of_full_size_is_named() {
    let Some((network, cluster, _replicas)) = cluster() else { return };
    let (one, _) = standbys(&cluster);
    filter(&network, one, "ip length 1401-65535");
    await_name(&cluster, "a small MTU", "datagrams of the size of mtu do not pass from ");
    without_filter(&network, one);
    await_health(&cluster);
}

#[test]
fn an_address_that_a_second_machine_takes_is_named() {
    let Some((network, cluster, _replicas)) = cluster() else { return };
    let (one, _) = standbys(&cluster);
    let address = Network::address(one);
    let own = Network::address(INTRUDER);
    network
        .node(INTRUDER)
        .shell(&format!("ip addr del {own}/24 dev eth0 && ip addr add {address}/24 dev eth0"));
    let leader = Network::address(cluster.leader() as usize);
    // The intruder speaks, and the others take its card for the node's.
    let speak = move || {
        let socket = UdpSocket::bind((address, 0)).expect("a socket at the address");
        let _ = socket.send_to(b"here", (leader, 9));
    };
    network.node(INTRUDER).within(speak);
    await_name(
        &cluster,
        "a duplicate address",
        &format!("replica {one}: another machine has the address {address}"),
    );
}

/// Packets, and their bytes, that a counter of a node's packet filter has seen.
fn counted(network: &Network, node: usize, chain: &str) -> (u64, u64) {
    let text = network.node(node).shell(&format!("nft list chain ip counted {chain}"));
    let number = |name: &str| {
        let rest = text.split(name).nth(1).and_then(|rest| rest.split_whitespace().next());
        rest.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    };
    (number("packets"), number("bytes"))
}

#[test]
fn in_calm_the_questions_are_some_tens_of_packets_a_second() {
    let Some((network, cluster, _replicas)) = cluster() else { return };
    let (node, _) = standbys(&cluster);
    let count = |chain: &str, hook: &str| {
        format!(
            "nft add chain ip counted {chain} '{{ type filter hook {hook} priority 0; }}'
             nft add rule ip counted {chain} ip daddr != 224.0.0.0/4 counter\n"
        )
    };
    let rules = count("received", "input") + &count("sent", "output");
    network.node(node).shell(&format!("nft add table ip counted\n{rules}"));
    let began = Instant::now();
    std::thread::sleep(Duration::from_secs(6));
    let seconds = began.elapsed().as_secs_f64();
    for chain in ["received", "sent"] {
        let (packets, bytes) = counted(&network, node, chain);
        let (packets, bytes) = (packets as f64 / seconds, bytes as f64 / seconds);
        println!("{chain} by a node of three in calm: {packets:.0} packets and {bytes:.0} bytes a second");
        assert!((2.0..60.0).contains(&packets), "{chain}: {packets:.1} packets a second");
    }
}
