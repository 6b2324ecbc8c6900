//! Processes that serve clients, and a cluster without a leader: none is ready, each says so, and each is
//! ready again with the leader.

use lockstep_testkit::processes::{Cluster, PATIENCE, Process, free_address, page};
use lockstep_testkit::trader::{Trader, login_of};
use lockstep_testkit::{feeds, gateways};
use soupbintcp::{ClientEnd, RejectReason};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Calm hosts are not to be had here: a takeover is to end well within the bound, which is four seconds.
const CALM: &str =
    "\n[timing]\nheartbeat_interval = \"200ms\"\nfailure_timeout = \"1s\"\nfailure_timeout_max = \"2s\"\n";
const LOST: &str = "this process follows no leader";
const AGAIN: &str = "this process follows a leader again, after ";

/// A process that serves clients, and its page.
struct Served<'a> {
    process: &'a mut Process,
    address: SocketAddr,
}

impl Served<'_> {
    fn await_page(&self, path: &str, is_wanted: impl Fn(u16, &str) -> bool) {
        let until = Instant::now() + PATIENCE;
        loop {
            let (status, text) = page(self.address, path, "Accept: text/plain\r\n");
            if is_wanted(status, &text) {
                return;
            }
            let (name, log) = (self.process.name(), self.process.log());
            assert!(Instant::now() < until, "{name}: {path}: {status} {text}\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// It is not ready for the right reason, and has said so once more.
    fn await_lost(&mut self, times: usize) {
        self.await_page("/readyz", |status, text| status == 503 && text.contains("follows no leader"));
        self.await_page("/metrics", |_, text| {
            let gauges: Vec<_> =
                text.lines().filter(|line| line.starts_with("lockstep_connected{")).collect();
            !gauges.is_empty() && gauges.iter().any(|line| line.ends_with(" 0") || line.ends_with(" 0.0"))
        });
        self.process.await_log_times(LOST, times);
    }

    fn await_again(&mut self, times: usize) {
        self.await_page("/readyz", |status, _| status == 200);
        self.process.await_log_times(AGAIN, times);
        assert_eq!(self.process.log().matches(LOST).count(), times, "one line each time");
    }
}

fn log_in(address: SocketAddr) -> Result<Trader, ClientEnd> {
    Trader::log_in(address, login_of("alice", "secret", "", 1))
}

#[test]
fn a_gateway_and_a_feed_without_a_leader_are_not_ready_tell_their_clients_and_are_ready_again() {
    let cluster = Cluster::new(3, CALM);
    let mut replicas = cluster.found();
    cluster.run(&["day", "start", "D1"], b"").with_code(0);
    gateways::add_user(&cluster, "alice", "secret", &[]);
    let pages = [free_address(), free_address(), free_address()];
    let listen = pages.map(|page| format!("metrics.listen={page}"));
    let (mut gateway, [address]) = gateways::start_on(&cluster, "g", ["--listen"], &["--set", &listen[0]]);
    let group = feeds::new_group().to_string();
    let feed = ["feed", "--group", &group, "--requests", "127.0.0.1:0", "--set", &listen[1]];
    let mut feed = cluster.start("feed", &feed);
    let mut served = [
        Served { process: &mut gateway, address: pages[0] },
        Served { process: &mut feed, address: pages[1] },
    ];
    served.iter().for_each(|one| one.await_page("/readyz", |status, _| status == 200));
    let mut alice = log_in(address).expect("a gateway that is ready");

    // A takeover is no news.
    let leader = cluster.leader() as usize;
    replicas[leader - 1].signal("KILL");
    replicas[leader - 1].wait();
    cluster.publish("behind the takeover\n");
    replicas[leader - 1] = cluster.start_replica(leader as u32);
    for one in &served {
        assert!(!one.process.log().contains(LOST), "{}", one.process.log());
    }
    assert!(alice.debug.is_empty(), "{:?}", alice.debug);

    // No quorum: two that hang.
    let hang: Vec<_> = (0..3).filter(|index| index + 1 != leader).collect();
    hang.iter().for_each(|index| replicas[*index].signal("STOP"));
    served.iter_mut().for_each(|one| one.await_lost(1));
    alice.until("told of it", |alice| alice.debug.iter().any(|text| text.contains("follows no leader")));
    let refused = log_in(address).err();
    assert_eq!(refused, Some(ClientEnd::Rejected(RejectReason::SessionNotAvailable)));
    hang.iter().for_each(|index| replicas[*index].signal("CONT"));
    served.iter_mut().for_each(|one| one.await_again(1));
    alice.until("told of it", |alice| alice.debug.iter().any(|text| text.contains("follows a leader again")));
    drop(log_in(address).expect("a gateway that is ready again"));

    // The cluster is stopped, and a gateway starts before it.
    replicas.drain(..).for_each(|replica| _ = replica.terminate());
    served.iter_mut().for_each(|one| one.await_lost(2));
    let users = cluster.path("users.toml");
    let users = users.to_str().expect("a path of text");
    let args = ["gateway", "--name", "h", "--users", users, "--listen", "127.0.0.1:0", "--set", &listen[2]];
    let mut early = cluster.start("gateway-h", &args);
    let mut early = Served { process: &mut early, address: pages[2] };
    early.await_lost(1);
    replicas.extend((1..=3).map(|id| cluster.start_replica(id)));
    served.iter_mut().for_each(|one| one.await_again(2));
    early.await_again(1);
}
