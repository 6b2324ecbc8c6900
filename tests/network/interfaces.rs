//! Programs whose card goes down, loses its address, is renamed, gets another address, or is removed and made
//! again, hear and send by it when it is there again.

use lockstep_testkit::flow::{Feed, View};
use lockstep_testkit::netns::{self, CardLife, Network};
use lockstep_testkit::processes::{Cluster, PATIENCE};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

/// Three replicas, a node of publishers and a feed, one of a reader, one of a feed's receiver.
const STANDBY: usize = 3;
const CLIENTS: usize = 4;
const READER: usize = 5;
const RECEIVER: usize = 6;
/// Lines of the publisher in a second.
const LINES: u64 = 200;
/// Where the feed multicasts.
const FEED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 77, 9, 77), 7_777);

fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A socket of the receiver's node that is a member of the feed's group.
fn receiver(network: &Network) -> UdpSocket {
    network.node(RECEIVER).within(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, FEED.port())).expect("the feed's port");
        socket.join_multicast_v4(FEED.ip(), &Network::address(RECEIVER)).expect("the feed's group");
        socket.set_nonblocking(true).expect("a socket that does not block");
        socket
    })
}

/// Waits until `count` more lines are with the reader, the feed's receiver hears it, and the card of each of
/// these nodes receives the cluster's data group.
fn await_service(network: &Network, cluster: &Cluster, reader: &mut View, tap: &UdpSocket, nodes: &[usize]) {
    let data = cluster.groups()[1].ip().to_string();
    for number in nodes {
        await_that(&format!("node {number} has not joined {data}"), || {
            network.memberships(*number).split_whitespace().any(|word| word == data)
        });
    }
    reader.await_count(reader.count() + LINES as usize / 4);
    let mut buffer = [0; 2_048];
    while tap.recv(&mut buffer).is_ok() {}
    await_that("the feed's receiver hears it", || tap.recv(&mut buffer).is_ok());
}

#[test]
fn every_program_hears_and_sends_again_when_its_card_is_there_again() {
    if let Some(reason) = netns::unsupported() {
        println!("SKIPPED: {reason}");
        return;
    }
    let network = Network::new(RECEIVER);
    let cluster = Cluster::on(network.ground(STANDBY as u32), "");
    let mut replicas = cluster.found();
    let tap = receiver(&network);
    let (group, requests) = (FEED.to_string(), format!("{}:7778", Ipv4Addr::UNSPECIFIED));
    let args = ["feed", "--group", &group, "--requests", &requests, "--of", "everybody"];
    let mut feed = cluster.start_command("feed", cluster.command_at(network.node(CLIENTS).place(), &args));
    let mut reader = View::start(&cluster, network.node(READER).place(), "reader", &[]);
    let publisher = Feed::start(&cluster, network.node(CLIENTS).place(), "orders", LINES, "60s");
    reader.await_count(1);
    let disturbed = [STANDBY, CLIENTS, READER];
    for life in CardLife::ALL {
        // A replica's address stands in the file.
        let nodes = if life == CardLife::Readdressed { &disturbed[1..] } else { &disturbed[..] };
        let indices: Vec<u32> = nodes.iter().map(|node| network.card_index(*node)).collect();
        nodes.iter().for_each(|node| network.disturb(*node, life));
        std::thread::sleep(Duration::from_millis(300)); // so that programs meet the gap
        nodes.iter().zip(&indices).for_each(|(node, index)| network.mend(*node, life, *index));
        let began = Instant::now();
        await_service(&network, &cluster, &mut reader, &tap, nodes);
        println!("{life:?}: all hear and send again after {:?}", began.elapsed());
        assert!(feed.ended().is_none(), "{life:?}: the feed ended: {}", feed.log());
        assert!(replicas.iter_mut().all(|replica| replica.ended().is_none()), "{life:?}: a replica ended");
    }
    let published = publisher.finish();
    assert_eq!((published.code, published.published), (Some(0), published.committed), "{}", published.log);
    reader.await_count(published.committed as usize);
    let stream = reader.finish();
    stream.judge().unwrap_or_else(|why| panic!("{why}"));
    for words in ["it is waited for", "is there again"] {
        assert!(feed.log().contains(words), "the feed says of its interface: {words}: {}", feed.log());
    }
}

/// The queues of a card by xdp are gone with it, and cannot be moved: the process says so and ends, so that
/// it is started again.
#[test]
fn a_replica_by_xdp_whose_card_was_made_again_ends_with_1_and_a_start_takes_the_new_one() {
    if let Some(reason) = netns::unsupported() {
        println!("SKIPPED: {reason}");
        return;
    }
    let network = Network::new(CLIENTS);
    let cluster = Cluster::on(network.ground(STANDBY as u32).by_xdp(), "");
    let mut replicas = cluster.found();
    network.disturb(STANDBY, CardLife::Removed);
    network.mend(STANDBY, CardLife::Removed, 0);
    let status = replicas[STANDBY - 1].wait();
    let log = replicas[STANDBY - 1].log();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("was removed and made again"), "{log}");
    assert!(log.contains("stopped in order: the journal is marked clean"), "{log}");
    replicas[STANDBY - 1] = cluster.start_replica(STANDBY as u32);
    replicas[STANDBY - 1].await_log(" -> standby");
}
