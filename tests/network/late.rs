//! Daemons that begin before their network is there, as at a boot.

use lockstep_testkit::gateways;
use lockstep_testkit::netns::{Namespace, unsupported};
use lockstep_testkit::processes::{Cluster, Ground, Process};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 9, 1);

/// A host without the card of its configuration, and a founded cluster of one there.
fn host_without_card(wait: &str) -> Option<(Namespace, Cluster)> {
    if let Some(reason) = unsupported() {
        println!("SKIPPED: {reason}");
        return None;
    }
    let host = Namespace::of_network();
    let place = host.place().clone();
    let ground = Ground {
        interface: "eth9".into(),
        ttl: 1,
        addresses: vec![ADDRESS],
        places: vec![place.clone()],
        clients: place,
        ..Ground::loopback(1)
    };
    let more =
        if wait.is_empty() { String::new() } else { format!("[network]\ninterface_wait = \"{wait}\"\n") };
    let cluster = Cluster::on(ground, &more);
    cluster.format(1);
    cluster.run(&["bootstrap", "--replica", "1"], b"").with_code(0);
    gateways::add_user(&cluster, "anna", "secret", &[]);
    cluster.run(&["notary", "key", "n"], b"").with_code(0);
    Some((host, cluster))
}

/// Every daemon.
fn start_all(cluster: &Cluster) -> Vec<Process> {
    let users = cluster.path("users.toml").display().to_string();
    let cursor = cluster.path("notary.cursor").display().to_string();
    let address = ADDRESS.to_string();
    vec![
        cluster.start_replica(1),
        cluster.start("gateway", &["gateway", "--name", "a", "--users", &users, "--listen", "127.0.0.1:0"]),
        cluster
            .start("feed", &["feed", "--group", "239.77.9.9:7900", "--requests", &format!("{address}:7901")]),
        cluster.start("notary", &["notary", "--name", "n", "--cursor", &cursor]),
    ]
}

#[test]
fn every_daemon_waits_for_an_interface_that_is_missing_down_or_without_address() {
    let Some((host, cluster)) = host_without_card("5min") else { return };
    let mut daemons = start_all(&cluster);
    for daemon in &mut daemons {
        daemon.await_log("the network is not there yet, and is waited for");
    }
    // Missing, down, without an address: none of them ends, and none goes on.
    for step in ["ip link add eth9 type veth peer name eth8", "ip link set eth8 up && ip link set eth9 up"] {
        host.shell(step);
        std::thread::sleep(Duration::from_millis(300));
        for daemon in &mut daemons {
            assert!(daemon.ended().is_none(), "{step}: {}", daemon.log());
            assert!(!daemon.log().contains("the network is there"), "{step}: {}", daemon.log());
        }
    }
    host.shell(&format!("ip addr add {ADDRESS}/24 dev eth9"));
    for daemon in &mut daemons {
        daemon.await_log("the network is there after");
    }
    daemons[0].await_log("-> leader");
    cluster.publish("one\n");
    daemons[1].await_log("clients may log in");
    // What a daemon follows lives as long as it.
    for daemon in daemons.into_iter().rev() {
        let log = daemon.log();
        assert_eq!(log.matches("is waited for").count(), 1, "it says so once: {log}");
        let name = daemon.name().to_owned();
        let path = cluster.path(&format!("{name}.log"));
        let code = daemon.terminate();
        assert_eq!(code, Some(0), "{name}: {}", std::fs::read_to_string(path).unwrap());
    }
}

#[test]
fn a_daemon_that_waits_ends_by_sigterm_and_tells_its_service_manager_what_it_waits_for() {
    let Some((_host, cluster)) = host_without_card("") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = cluster.command_at(cluster.clients(), &["sequencer", "--replica", "1"]);
    command.env("NOTIFY_SOCKET", &path);
    let replica = cluster.start_command("replica-1", command);
    let mut bytes = [0; 4096];
    let len = manager.recv(&mut bytes).expect("a report");
    let report = String::from_utf8_lossy(&bytes[..len]).into_owned();
    assert!(report.contains("STATUS=waits for the network: ") && report.contains("eth9"), "{report}");
    assert!(report.contains("EXTEND_TIMEOUT_USEC="), "{report}");
    assert_eq!(replica.terminate(), Some(0));
}

#[test]
fn a_daemon_whose_time_of_waiting_is_over_fails_and_names_the_interface() {
    let Some((_host, cluster)) = host_without_card("200ms") else { return };
    for mut daemon in start_all(&cluster) {
        assert_eq!(daemon.wait().code(), Some(1), "{}", daemon.log());
        let log = daemon.log();
        assert!(log.contains("eth9") && log.contains("network.interface_wait is over"), "{log}");
    }
}
