//! `lockstep reload` and `lockstep check --diff`: a configuration that changes while its processes run.

use lockstep_testkit::processes::{Cluster, free_address};
use lockstep_testkit::trader::{Trader, login_of};
use lockstep_testkit::{feeds, gateways};
use moldudp64::{Request, Session};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// The cluster's file, and the same with another text in it.
fn change(cluster: &Cluster, from: &str, to: &str) {
    let path = cluster.path("cluster.toml");
    let text = std::fs::read_to_string(&path).expect("the cluster's file");
    assert!(text.contains(from), "{from} in {text}");
    std::fs::write(&path, text.replacen(from, to, 1)).expect("the cluster's file");
}

#[test]
fn a_reload_puts_in_force_what_it_can_and_names_what_it_cannot() {
    let cluster = Cluster::new(2, "[log]\nlevel = \"info\"\n[journal]\nretention_size = \"1GiB\"\n");
    let mut replicas = cluster.found();
    let output = cluster.run(&["reload"], b"").with_code(0).out;
    for id in ["1", "2"] {
        assert!(output.contains(&format!("replica-{id}: the key file ")), "{output}");
        assert!(
            output.contains(&format!("replica-{id}: the configuration was read again: nothing")),
            "{output}"
        );
    }

    change(&cluster, "level = \"info\"", "level = \"debug\"");
    change(&cluster, "1GiB", "2GiB");
    let output = cluster.run(&["reload", "replica-2"], b"").with_code(0).out;
    let lines: Vec<_> = output.lines().collect();
    assert!(lines.contains(&"replica-2: log.level: info -> debug: in force"), "{output}");
    let stays = "replica-2: journal.retention_size: 1GiB stays in force: 2GiB needs a rolling restart: one node after another";
    assert!(lines.contains(&stays) && !output.contains("replica-1"), "{output}");
    replicas[1].await_log("log.level: info -> debug: in force");
    assert!(!replicas[0].log().contains("log.level: "), "{}", replicas[0].log());
    // A second reload says what still waits, and nothing else.
    let again = cluster.run(&["reload", "replica-2", "--json"], b"").with_code(0).out;
    let again: Value = serde_json::from_str(&again).expect("JSON");
    let answer = again["processes"][0]["answer"].as_array().expect("lines");
    assert!(again["processes"][0]["ok"] == true && answer.len() == 2, "{again}");
    assert!(
        answer[1].as_str().is_some_and(|line| line.starts_with("journal.retention_size: 1GiB stays")),
        "{again}"
    );

    // A wrong file changes nothing, and is named with its place: by the command, and by a process that is
    // asked without it.
    change(&cluster, "level = \"debug\"", "level = \"loud\"");
    cluster.run(&["reload"], b"").with_code(2).saying(&["log.level", "loud"]);
    replicas[1].signal("HUP");
    replicas[1].await_log("the configuration stays as it is: LS0106: log.level");
    assert!(replicas[1].log().contains("cluster.toml:"), "{}", replicas[1].log());
    change(&cluster, "level = \"loud\"", "level = \"warn\"");
    let output = cluster.run(&["reload", "replica-2"], b"").with_code(0).out;
    assert!(output.contains("replica-2: log.level: debug -> warn: in force"), "{output}");
    replicas[1].await_log("log.level: debug -> warn: in force");

    replicas.remove(0).terminate();
    let output = cluster.run(&["reload"], b"").with_code(0).out;
    assert!(output.contains("replica-1: it ended ") && output.contains("replica-2: "), "{output}");
}

#[test]
fn a_gateways_limits_change_by_a_reload() {
    let cluster = Cluster::new(1, "[gateway]\nclients = 5\n");
    let _replicas = cluster.found();
    gateways::add_user(&cluster, "alice", "secret", &[]);
    let gateway = gateways::start(&cluster, "a");
    change(&cluster, "clients = 5", "clients = 0");
    cluster.run(&["reload"], b"").with_code(2).saying(&["gateway.clients"]);
    change(&cluster, "clients = 0", "clients = 1\nspool_size = \"1GiB\"");
    let output = cluster.run(&["reload", "gateway"], b"").with_code(0).out;
    for line in [
        "gateway-a: users read again",
        "gateway-a: gateway.clients: 5 -> 1: in force",
        "gateway-a: gateway.spool_size: 16GiB stays in force: 1GiB needs a restart of the processes that \
         use it",
    ] {
        assert!(output.lines().any(|known| known == line), "{line} in {output}");
    }
    // The second client finds no room.
    let connect = || TcpStream::connect(gateway.address).expect("a gateway");
    let _first = connect();
    let second = connect();
    second.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    let mut bytes = Vec::new();
    (&second).read_to_end(&mut bytes).expect("it is closed");
}

#[test]
fn a_gateways_tunnels_change_by_a_reload() {
    let cluster = Cluster::new(1, "[gateway]\ntunnels = \"127.0.0.9\"\n");
    let _replicas = cluster.found();
    gateways::add_user(&cluster, "alice", "secret", &[]);
    let mut gateway = gateways::start(&cluster, "a");
    Trader::log_in(gateway.address, login_of("alice", "secret", "", 1)).expect("this host is no tunnel");
    change(&cluster, "127.0.0.9", "127.0.0.1");
    let output = cluster.run(&["reload", "gateway"], b"").with_code(0).out;
    let line = "gateway-a: gateway.tunnels: 127.0.0.9 -> 127.0.0.1: in force";
    assert!(output.lines().any(|known| known == line), "{output}");
    let mut client = TcpStream::connect(gateway.address).expect("a gateway");
    client.write_all(b"no header of a tunnel").expect("a connection");
    gateway.process.await_log("begins without a PROXY header");
}

#[test]
fn a_feed_answers_the_networks_of_the_newest_file() {
    let cluster = Cluster::new(1, "[feed]\nallow = \"127.0.0.1\"\n");
    let _replicas = cluster.found();
    let feed = feeds::start(&cluster, "1", "everybody");
    cluster.publish("one\n");
    let request = Request { session: Session::new(b"FIRST").expect("a name"), seq: 1, count: 1 }.encode();
    let socket = |host: u8| {
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, host), 0)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time");
        socket
    };
    let is_answered = |from: &UdpSocket| {
        from.send_to(&request, feed.requests).expect("it is sent");
        from.recv_from(&mut [0; 2_048]).is_ok()
    };
    let (first, second) = (socket(1), socket(2));
    // What it multicast it has read; and it reads its port in order.
    assert!((0..200).any(|_| is_answered(&first)));
    assert!(!is_answered(&second) && is_answered(&first));
    change(&cluster, "allow = \"127.0.0.1\"", "allow = \"127.0.0.2\"");
    let output = cluster.run(&["reload", "feed"], b"").with_code(0).out;
    assert!(output.contains(": feed.allow: 127.0.0.1 -> 127.0.0.2: in force\n"), "{output}");
    assert!((0..200).any(|_| is_answered(&second)));
    assert!(!is_answered(&first) && is_answered(&second));
}

#[test]
fn a_page_moves_by_a_reload_and_stays_where_the_new_address_is_taken() {
    let [first, second] = [free_address(), free_address()];
    let cluster = Cluster::new(1, &format!("[metrics]\nlisten = \"{first}\"\n"));
    let mut replicas = cluster.found();
    replicas[0].await_log("metrics at http://");
    let is_served = |address: SocketAddr| {
        let Ok(mut stream) = TcpStream::connect(address) else { return false };
        let mut answer = String::new();
        let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n");
        asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 ")
    };
    assert!(is_served(first) && !is_served(second));
    let set = |old: &str, new: &str| {
        change(&cluster, &format!("listen = \"{old}\""), &format!("listen = \"{new}\""))
    };
    set(&first.to_string(), &second.to_string());
    let output = cluster.run(&["reload"], b"").with_code(0).out;
    assert!(
        output.contains(&format!("replica-1: metrics.listen: {first} -> {second}: in force\n")),
        "{output}"
    );
    assert!(!is_served(first) && is_served(second));

    let taken = TcpListener::bind(first).expect("nobody has it any more");
    set(&second.to_string(), &first.to_string());
    let output = cluster.run(&["reload"], b"").with_code(1).out;
    assert!(
        output.contains("replica-1: metrics.listen stays as it is: ") && !output.contains("in force"),
        "{output}"
    );
    assert!(is_served(second));
    // Nobody has it any more: the next reload takes it.
    drop(taken);
    cluster.run(&["reload"], b"").with_code(0);
    assert!(is_served(first) && !is_served(second));
}

#[test]
fn a_diff_names_each_key_with_what_its_change_needs() {
    let cluster = Cluster::new(2, "[log]\nlevel = \"warn\"\n");
    let file = |name: &str| cluster.path(name).display().to_string();
    let (old, new) = (file("cluster.toml"), file("new.toml"));
    let text = std::fs::read_to_string(&old).expect("the cluster's file");
    let output = cluster.run(&["check", "--diff", &old, &old], b"").with_code(0).out;
    assert_eq!(output, "no key differs\n");
    let text = text.replace("[stream]\n", "[stream]\ndurability = \"power\"\n");
    let more = "[gateway]\nspool_size = \"1GiB\"\n[network]\nshm = true\n";
    std::fs::write(&new, text.replace("level = \"warn\"", "level = \"info\"") + more).expect("a file");
    let output = cluster.run(&["check", "--diff", &old, &new], b"").with_code(0).out;
    for line in [
        "log.level: warn -> info: needs a reload: `lockstep reload`, or SIGHUP",
        "stream.durability: process -> power: needs a rolling restart: one node after another",
        "gateway.spool_size: 16GiB -> 1GiB: needs a restart of the processes that use it",
        "network.shm: false -> true: needs a restart of all processes of a host at once, one host after another",
    ] {
        assert!(output.lines().any(|known| known == line), "{line} in {output}");
    }
    assert!(output.contains("\nall of it needs: a reload: "), "{output}");
    let json = cluster.run(&["check", "--diff", &old, &new, "--json"], b"").with_code(0).out;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["schema"], "lockstep.check_diff/1");
    let needs: Vec<_> = json["needs"].as_array().expect("needs").iter().filter_map(Value::as_str).collect();
    assert!(
        ["reload", "restart", "rolling_restart", "restart_by_host"].iter().all(|need| needs.contains(need))
    );
    std::fs::write(&new, "cluster = ").expect("a file");
    cluster.run(&["check", "--diff", &old, &new], b"").with_code(2).saying(&["new.toml"]);
}
