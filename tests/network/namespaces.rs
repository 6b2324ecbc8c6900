//! A cluster on a network of namespaces: real multicast over veth and a bridge, and paths that are cut.

use lockstep_io::clock::random_u64;
use lockstep_memory::rng::Rng;
use lockstep_testkit::cards;
use lockstep_testkit::flow::{Feed, Stream, View};
use lockstep_testkit::lane::amount;
use lockstep_testkit::netns::{self, Cut, Network};
use lockstep_testkit::processes::{Cluster, PATIENCE, page};
use lockstep_testkit::switch::{NetworkModel, Switch};
use lockstep_testkit::takeover::{
    cut_off, half_deaf, kill_leader, line_lost, multicast_dead, multicast_lost, stale_leader,
};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Three replicas, and behind them a node for publishers and one for a reader.
const NODES: usize = 5;
const REPLICAS: [usize; 3] = [1, 2, 3];
const READER: usize = 5;
/// Lines of each publisher in a second, and in all.
const LINES: u64 = 3_000;

/// A network, or none, which is said.
fn network() -> Option<Network> {
    if let Some(reason) = netns::unsupported() {
        println!("SKIPPED: {reason}");
        return None;
    }
    Some(Network::new(NODES))
}

/// A cluster on it.
fn cluster(network: &Network) -> Cluster {
    Cluster::on(network.ground(REPLICAS.len() as u32), "")
}

/// Feeds two publishers until both have some lines committed, ends them, and returns how many there are.
fn publish(cluster: &Cluster, seen: &mut View) -> Vec<(String, u64)> {
    let feeds = ["a", "b"].map(|name| Feed::start(cluster, cluster.clients(), name, LINES, "30s"));
    seen.await_count(2 * LINES as usize);
    let results = feeds.map(|feed| (feed.name().to_owned(), feed.finish()));
    for (name, results) in &results {
        assert_eq!(
            (results.code, results.published),
            (Some(0), results.committed),
            "{name}: {}",
            results.log
        );
    }
    results.into_iter().map(|(name, results)| (name, results.committed)).collect()
}

fn judge(stream: &Stream, published: &[(String, u64)]) {
    stream.judge().unwrap_or_else(|why| panic!("{why}"));
    for (name, count) in published {
        assert_eq!(stream.count_of(name), *count, "lines of '{name}'");
    }
}

/// Publishes, and reads it where the publishers are and on a node of its own: both have all of it, in one
/// order. `carried` judges the way when all has come.
fn read_near_and_far(network: &Network, cluster: &Cluster, carried: impl FnOnce()) {
    let mut near = View::start(cluster, cluster.clients(), "near", &[]);
    let mut far = View::start(cluster, network.node(READER).place(), "far", &["--stamped"]);
    let published = publish(cluster, &mut near);
    let all = published.iter().map(|(_, count)| count).sum::<u64>() as usize;
    far.await_count(all);
    near.await_count(all);
    carried();
    let (near, far) = (near.finish(), far.finish());
    judge(&near, &published);
    judge(&far, &published);
    near.agrees_with(&far).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn over_a_network_that_loses_packets_every_reader_has_every_message_in_one_order() {
    let Some(network) = network() else { return };
    let ground = || network.ground(REPLICAS.len() as u32);
    for ground in [ground(), ground().by_xdp(), ground().by_unicast()] {
        let cluster = Cluster::on(ground, "");
        network.cut(&[]);
        let _replicas = cluster.found();
        let everybody: Vec<usize> = (1..=NODES).collect();
        network.cut(&[Cut::one_way(&everybody, &everybody).per_mille(30)]);
        read_near_and_far(&network, &cluster, || {
            assert!(network.swallowed()[0] > 100, "the network lost packets: {:?}", network.swallowed());
        });
    }
}

#[test]
fn a_reader_that_hears_no_multicast_has_everything_by_repair() {
    let Some(network) = network() else { return };
    let cluster = cluster(&network);
    let _replicas = cluster.found();
    let mut near = View::start(&cluster, cluster.clients(), "near", &[]);
    let mut deaf = View::start(&cluster, network.node(READER).place(), "deaf", &[]);
    network.cut(&[Cut::one_way(&REPLICAS, &[READER]).of_multicast()]);
    let published = publish(&cluster, &mut near);
    let all = published.iter().map(|(_, count)| count).sum::<u64>() as usize;
    near.await_count(all);
    deaf.await_count(all);
    assert!(network.swallowed()[0] > 0, "it was deaf");
    let (near, deaf) = (near.finish(), deaf.finish());
    judge(&near, &published);
    judge(&deaf, &published);
    near.agrees_with(&deaf).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn a_leader_that_is_cut_off_stops_by_itself_and_what_it_stamped_alone_is_given_back_and_stamped_again() {
    let Some(network) = network() else { return };
    let shown = cut_off(&network, |side, others| Cut::between(side, others).to_vec());
    println!("{shown}");
    assert!(shown.retracted > 0, "the reader on its side was given something that did not survive");
}

#[test]
fn a_leader_that_nobody_hears_is_replaced_and_learns_it() {
    let Some(network) = network() else { return };
    println!("{}", cut_off(&network, |side, others| vec![Cut::one_way(side, others)]));
}

#[test]
fn a_leader_that_hears_nobody_stops_although_it_is_heard() {
    let Some(network) = network() else { return };
    println!("{}", cut_off(&network, |side, others| vec![Cut::one_way(others, side)]));
}

#[test]
fn a_leader_whose_multicast_is_lost_and_whose_unicast_passes_is_not_replaced_and_the_stream_goes_on() {
    let Some(network) = network() else { return };
    println!("{}", multicast_lost(&network));
}

#[test]
fn a_network_without_any_multicast_is_named_nobody_is_replaced_and_what_waits_is_committed_later() {
    let Some(network) = network() else { return };
    println!("{}", multicast_dead(&network));
}

#[test]
fn a_standby_that_does_not_hear_the_leader_deposes_nobody() {
    let Some(network) = network() else { return };
    println!("{}", half_deaf(&network, |cut| cut));
    println!("{}", half_deaf(&network, Cut::of_multicast));
}

#[test]
fn a_line_that_dies_is_an_alarm_and_nothing_else_whichever_it_is_and_whomever_it_leaves() {
    if let Some(reason) = netns::unsupported() {
        println!("SKIPPED: {reason}");
        return;
    }
    println!("{}", line_lost(&Network::of_two_lines(NODES)));
}

/// The switch draws from this, and says it when the test fails, with all else that it prints.
const SWITCH_SEED: u64 = 20_261_120;

#[test]
fn over_a_switch_that_delays_and_reorders_every_reader_has_every_message_in_one_order() {
    if let Some(reason) = netns::unsupported() {
        println!("SKIPPED: {reason}");
        return;
    }
    // The last node is the switch.
    let network = Network::new(NODES + 1);
    // A heartbeat may come 3 ms after it was due: no reason to miss anybody.
    let patient = "\n[timing]\nfailure_timeout = \"500ms\"\nfailure_timeout_max = \"500ms\"\n";
    let cluster = Cluster::on(network.ground(REPLICAS.len() as u32), patient);
    let network_model = NetworkModel { delay_us: 200, jitter_us: 3_000, seed: SWITCH_SEED };
    let switch = Switch::start(&network, &cluster.groups(), network_model);
    let _replicas = cluster.found();
    read_near_and_far(&network, &cluster, || {
        let carried = switch.carried();
        println!("{carried:?}");
        assert!(carried.overtaken > 100 && network.swallowed()[0] > 100, "{carried:?} in {network_model:?}");
    });
}

#[test]
fn a_cluster_whose_nodes_use_different_transports_gives_every_reader_every_message_in_one_order() {
    let Some(network) = network() else { return };
    let cluster = cluster(&network);
    let config = std::fs::read_to_string(cluster.config()).expect("the configuration");
    // The first leads: by xdp, as the third. The second is the kernel's, as all clients are.
    let config = config.replace("\nid = 1\n", "\nid = 1\ntransport = \"xdp\"\n");
    let config = config.replace("\nid = 3\n", "\nid = 3\ntransport = \"xdp\"\n");
    std::fs::write(cluster.config(), config).expect("writing the configuration");
    let mut replicas = cluster.found();
    for by_xdp in [0, 2] {
        replicas[by_xdp].await_log("effective transport xdp native on eth0");
    }
    read_near_and_far(&network, &cluster, || {});
}

#[test]
fn leaders_by_xdp_are_killed_and_nothing_is_lost_doubled_or_out_of_order() {
    let Some(network) = network() else { return };
    let times = amount(1, 3);
    let shown = kill_leader(network.ground(REPLICAS.len() as u32).by_xdp(), times);
    println!("{shown}");
    assert!(shown.rounds > u64::from(times), "each kill makes another leader");
}

#[test]
fn a_leader_by_xdp_that_was_stopped_and_goes_on_is_fenced_and_stops_by_itself() {
    let Some(network) = network() else { return };
    let mut rng = Rng::new(random_u64().expect("the kernel's chance"));
    let ground = network.ground(REPLICAS.len() as u32).by_xdp();
    println!("{}", stale_leader(&mut rng, ground, (1.0, 1_000.0), amount(1, 3)));
}

/// `cargo run --release -p tools -- kill-xdp` does it a thousand times.
#[test]
fn a_node_by_xdp_that_is_killed_leaves_nothing_on_its_card_and_is_back_at_once() {
    if let Some(reason) = netns::unsupported() {
        println!("SKIPPED: {reason}");
        return;
    }
    println!("{}", cards::killed(amount(2, 5)));
}

#[test]
fn leader_standby_and_readers_share_a_card_and_hear_on_when_its_owner_is_killed_while_the_wire_loses_packets()
{
    let Some(network) = network() else { return };
    println!("{}", cards::shared(&network, 10, amount(1, 2)));
}

/// The answer of a page of a process on a node.
fn page_at(network: &Network, number: usize, address: SocketAddr, path: &'static str) -> (u16, String) {
    network.node(number).within(move || page(address, path, "Accept: text/plain\r\n"))
}

#[test]
fn a_feed_whose_host_is_cut_off_is_not_ready_and_one_that_multicast_alone_does_not_reach_goes_on_by_unicast()
{
    let Some(network) = network() else { return };
    let cluster = cluster(&network);
    let _replicas = cluster.found();
    let address: SocketAddr = "127.0.0.1:9464".parse().expect("an address");
    let args = ["feed", "--group", "239.77.9.78:7778", "--requests", "127.0.0.1:7779"];
    let more = ["--set", "metrics.listen=127.0.0.1:9464"];
    let command = cluster.command_at(network.node(READER).place(), &[&args[..], &more].concat());
    let mut feed = cluster.start_command("feed", command);
    let await_page = |path, what: &str, is_wanted: &dyn Fn(u16, &str) -> bool| {
        let until = Instant::now() + PATIENCE;
        loop {
            let (status, text) = page_at(&network, READER, address, path);
            if is_wanted(status, &text) {
                return;
            }
            assert!(Instant::now() < until, "{what}: {status} {text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let await_ready =
        |what: &str, is_wanted: &dyn Fn(u16, &str) -> bool| await_page("/readyz", what, is_wanted);
    feed.await_log("metrics at http://");
    await_ready("it begins", &|status, _| status == 200);
    network.cut(&[Cut::one_way(&REPLICAS, &[READER]).of_multicast()]);
    cluster.publish("by unicast\n");
    await_page("/metrics", "it misses multicast", &|_, text| {
        text.lines().any(|line| line.starts_with("lockstep_multicast_lost") && !line.ends_with(" 0"))
    });
    await_ready("replicas answer by unicast", &|status, _| status == 200);
    network.cut(&Cut::between(&REPLICAS, &[READER]));
    await_ready("its host is cut off", &|status, text| status == 503 && text.contains("follows no leader"));
    feed.await_log("this process follows no leader");
    network.cut(&[]);
    await_ready("its host is back", &|status, _| status == 200);
    feed.await_log("this process follows a leader again, after ");
}
