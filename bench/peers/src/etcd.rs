//! etcd: puts to one key, and a watch of it. Every put is a revision, and the watch tells them all in order.

use crate::daemons::{Daemons, again};
use crate::ground::{CLIENT, Ground, NODES};
use crate::peer::{Adapter, Payload, Peer, System, Tuning, stdout_of};
use crate::turns::Turns;
use etcd_client::{Client, ConnectOptions, Error, WatchStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// See [`crate::adapters::ADAPTERS`].
pub const ADAPTER: Adapter = Adapter { name: "etcd", version, systems };

const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;
const KEY: &str = "peers";
/// Puts that wait for their answer, at most.
const PUTS_MAX: u64 = 2_048;
/// How long the cluster may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a member may take to say how it is.
const ASK_FOR: Duration = Duration::from_millis(300);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

fn version() -> Result<String, String> {
    // The program's own word: it may be newer than the package.
    stdout_of("etcd", &["--version"])
}

fn systems() -> Vec<System> {
    let system = |tuning, settings| System {
        name: ADAPTER.name,
        tuning,
        settings,
        delivered: "the watch on the client's member tells the put",
        start,
        warm_up: Duration::from_secs(1),
        has_leader: true,
        is_floor: false,
    };
    vec![
        system(
            Tuning::Default,
            "heartbeat-interval 100, election-timeout 1000; data on the disk, each put synced",
        ),
        system(
            Tuning::Tuned,
            "heartbeat-interval 10, election-timeout 50 (the least allowed); data on a tmpfs",
        ),
    ]
}

fn start(ground: &Ground, tuning: Tuning) -> Result<Box<dyn Peer>, String> {
    let folder = if tuning == Tuning::Tuned { ground.memory() } else { ground.disk() };
    let members: Vec<String> =
        (1..=NODES).map(|node| format!("n{node}=http://{}:{PEER_PORT}", Ground::address(node))).collect();
    let commands = (1..=NODES).map(|node| {
        let address = Ground::address(node);
        let (clients, peers) =
            (format!("http://{address}:{CLIENT_PORT}"), format!("http://{address}:{PEER_PORT}"));
        let mut command = ground.command(node, "etcd");
        command.args(["--name", &format!("n{node}"), "--data-dir"]).arg(folder.join(format!("etcd-{node}")));
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &members.join(","), "--initial-cluster-state", "new"]);
        if tuning == Tuning::Tuned {
            command.args(["--heartbeat-interval", "10", "--election-timeout", "50"]);
        }
        command
    });
    let mut daemons = Daemons::new(ground, again(commands.collect()));
    daemons.start_all()?;
    let turns = Turns::new()?;
    let mut members = Vec::new();
    for address in Ground::addresses(CLIENT_PORT) {
        let options = ConnectOptions::new().with_connect_timeout(ASK_FOR);
        let connected = Client::connect([format!("http://{address}")], Some(options));
        let connected = turns.finish(PATIENCE, "making a client of etcd", connected)?;
        members.push(connected.map_err(|error| format!("making a client of {address}: {error}"))?);
    }
    let client = &members[CLIENT - 1];
    let began = Instant::now();
    let watch = loop {
        let mut watcher = client.watch_client();
        let mut putter = client.kv_client();
        let tried = turns.within(ASK_FOR * 10, async move {
            // A watch is told as made once there is a leader; the first put shows that it is.
            putter.put(KEY, vec![0; crate::peer::PAYLOAD_LEN], None).await?;
            watcher.watch(KEY, None).await
        })?;
        match tried {
            Some(Ok(watch)) => break watch,
            _ if began.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            Some(Err(error)) => return Err(format!("no watch: {error}{}", daemons.all_last_words())),
            None => return Err(format!("no watch within {PATIENCE:?}{}", daemons.all_last_words())),
        }
        daemons.check()?;
    };
    let puts = Arc::new(AtomicU64::new(0));
    Ok(Box::new(Etcd { members, watch, puts, turns, daemons }))
}

struct Etcd {
    members: Vec<Client>,
    watch: WatchStream,
    /// Puts without an answer.
    puts: Arc<AtomicU64>,
    turns: Turns,
    daemons: Daemons,
}

impl Peer for Etcd {
    fn submit(&mut self, payload: &Payload) -> Result<bool, String> {
        if self.puts.load(Ordering::Relaxed) >= PUTS_MAX {
            return Ok(false);
        }
        self.puts.fetch_add(1, Ordering::Relaxed);
        let (mut putter, puts, payload) =
            (self.members[CLIENT - 1].kv_client(), Arc::clone(&self.puts), payload.to_vec());
        self.turns.runtime().spawn(async move {
            // One that fails while nobody leads is lost: the watch does not tell it.
            let _ = putter.put(KEY, payload, None).await;
            puts.fetch_sub(1, Ordering::Relaxed);
        });
        Ok(true)
    }

    fn turn(&mut self, wait: Duration, deliver: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        match self.turns.within(wait, self.watch.message())? {
            None => Ok(()),
            Some(Ok(Some(response))) if !response.canceled() => {
                response.events().iter().filter_map(|event| event.kv()).for_each(|kv| deliver(kv.value()));
                Ok(())
            }
            Some(Ok(response)) => Err(format!("the watch has ended: {response:?}")),
            Some(Err(error)) => Err(format!("the watch: {error}")),
        }
    }

    fn leader(&mut self) -> Result<Option<usize>, String> {
        let members = &self.members;
        let asked = self.turns.within(ASK_FOR, async {
            let mut found = Vec::new();
            for member in members {
                let status = member.maintenance_client().status().await?;
                found.push((status.header().map_or(0, |header| header.member_id()), status.leader()));
            }
            Ok::<_, Error>(found)
        })?;
        let Some(Ok(found)) = asked else { return Ok(None) };
        let leader = found[0].1;
        if leader == 0 || found.iter().any(|(_, other)| *other != leader) {
            return Ok(None);
        }
        let Some(node) = found.iter().position(|(id, _)| *id == leader) else { return Ok(None) };
        if node + 1 == CLIENT {
            let mut mover = members[CLIENT - 1].maintenance_client();
            // Refused or unanswered, it is asked again with the next look.
            let _ = self.turns.within(ASK_FOR, mover.move_leader(found[0].0))?;
            return Ok(None);
        }
        Ok(Some(node + 1))
    }

    fn daemons(&mut self) -> &mut Daemons {
        &mut self.daemons
    }
}
