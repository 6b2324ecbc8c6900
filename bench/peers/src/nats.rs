//! NATS JetStream: a stream with three replicas, and a durable push consumer of it, with three as well.

use crate::daemons::{Daemons, again};
use crate::ground::{CLIENT, Ground, NODES};
use crate::peer::{Adapter, PAYLOAD_LEN, Payload, Peer, System, Tuning, stdout_of};
use crate::turns::Turns;
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{AckPolicy, push};
use async_nats::jetstream::stream::{Config, Info, StorageType};
use async_nats::{Client, ConnectOptions, Subscriber};
use futures_util::{FutureExt, StreamExt};
use std::time::{Duration, Instant};

/// See [`crate::adapters::ADAPTERS`].
pub const ADAPTER: Adapter = Adapter { name: "nats", version, systems };

const CLIENT_PORT: u16 = 4222;
const ROUTE_PORT: u16 = 6222;
const STREAM: &str = "peers";
const SUBJECT: &str = "peers.in";
const DELIVERED: &str = "delivered.peers";
/// How long the cluster may take to begin.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long a request may take: the servers' own patience with each other is longer.
const ASK_FOR: Duration = Duration::from_millis(500);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);
/// Messages delivered in one turn.
const BATCH: usize = 256;

fn version() -> Result<String, String> {
    // The program's own word: it may be newer than the package.
    stdout_of("nats-server", &["--version"])
}

fn systems() -> Vec<System> {
    let system = |tuning, settings| System {
        name: ADAPTER.name,
        tuning,
        settings,
        delivered: "the push consumer's message is there",
        start,
        warm_up: Duration::from_secs(1),
        has_leader: true,
        is_floor: false,
    };
    vec![
        system(
            Tuning::Default,
            "JetStream R3, file storage on the disk (not synced for each message), R3 durable consumer",
        ),
        system(Tuning::Tuned, "the same with memory storage; elections (4 to 9 s) have no setting"),
    ]
}

fn start(ground: &Ground, tuning: Tuning) -> Result<Box<dyn Peer>, String> {
    let routes: Vec<String> =
        Ground::addresses(ROUTE_PORT).iter().map(|address| format!("\"nats://{address}\"")).collect();
    let mut commands = Vec::new();
    for node in 1..=NODES {
        let (address, disk) = (Ground::address(node), ground.disk().display());
        let text = format!(
            "server_name: n{node}\nlisten: \"{address}:{CLIENT_PORT}\"\nreconnect_error_reports: 1000\njetstream {{ store_dir: \"{disk}/nats-{node}\" }}\n\
             cluster {{ name: peers, listen: \"{address}:{ROUTE_PORT}\", routes: [{}] }}\n",
            routes.join(", ")
        );
        let path = ground.write(&format!("nats-{node}.conf"), &text)?;
        let mut command = ground.command(node, "nats-server");
        command.arg("--config").arg(path);
        commands.push(command);
    }
    let mut daemons = Daemons::new(ground, again(commands));
    daemons.start_all()?;
    let turns = Turns::new()?;
    // Its own node's server alone, which nobody kills.
    let options = || {
        let pause = |_| PAUSE;
        ConnectOptions::new()
            .ignore_discovered_servers()
            .request_timeout(Some(ASK_FOR * 10))
            .reconnect_delay_callback(pause)
    };
    let began = Instant::now();
    let address = format!("nats://{}:{CLIENT_PORT}", Ground::address(CLIENT));
    let client = insist(&turns, began, &mut daemons, || options().connect(&address))?;
    let context = context(&turns, &client);
    let storage = if tuning == Tuning::Tuned { StorageType::Memory } else { StorageType::File };
    let config = Config {
        name: STREAM.into(),
        subjects: vec![SUBJECT.into()],
        num_replicas: NODES,
        storage,
        ..Config::default()
    };
    let stream = insist(&turns, began, &mut daemons, || context.get_or_create_stream(config.clone()))?;
    let delivered = turns.finish(ASK_FOR * 10, "subscribing", client.subscribe(DELIVERED))?;
    let delivered = delivered.map_err(|error| format!("subscribing: {error}"))?;
    let consumer = push::Config {
        durable_name: Some("reader".into()),
        deliver_subject: DELIVERED.into(),
        ack_policy: AckPolicy::None,
        memory_storage: tuning == Tuning::Tuned,
        ..push::Config::default()
    };
    insist(&turns, began, &mut daemons, || stream.create_consumer(consumer.clone()))?;
    let mut nats = Nats { client, context, delivered, turns, daemons };
    // The consumer may need a while until it delivers.
    let mut is_delivered = false;
    while !is_delivered {
        nats.submit(&[0; PAYLOAD_LEN])?;
        nats.turn(PAUSE, &mut |_| is_delivered = true)?;
        if began.elapsed() > PATIENCE {
            return Err(format!("the consumer delivers nothing{}", nats.daemons.all_last_words()));
        }
    }
    Ok(Box::new(nats))
}

/// Tries until it works, or patience is over.
fn insist<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>>(
    turns: &Turns,
    began: Instant,
    daemons: &mut Daemons,
    act: impl Fn() -> F,
) -> Result<T, String> {
    loop {
        let stdout_of = match turns.within(ASK_FOR * 10, act())? {
            Some(Ok(done)) => return Ok(done),
            Some(Err(error)) => error.to_string(),
            None => String::from("no answer"),
        };
        daemons.check()?;
        if began.elapsed() > PATIENCE {
            return Err(format!(
                "JetStream is not there after {PATIENCE:?}: {stdout_of}{}",
                daemons.all_last_words()
            ));
        }
        // The client's own tasks go on meanwhile.
        turns.within(PAUSE, std::future::pending::<()>())?;
    }
}

/// JetStream's side of a client, which spawns a task of its own.
fn context(turns: &Turns, client: &Client) -> Context {
    let _entered = turns.runtime().enter();
    async_nats::jetstream::new(client.clone())
}

struct Nats {
    client: Client,
    context: Context,
    delivered: Subscriber,
    turns: Turns,
    daemons: Daemons,
}

impl Peer for Nats {
    fn submit(&mut self, payload: &Payload) -> Result<bool, String> {
        // Without an acknowledgement of its own: that it is delivered says more.
        match self.client.publish(SUBJECT, payload.to_vec().into()).now_or_never() {
            None => Ok(false),
            Some(Ok(())) => Ok(true),
            Some(Err(error)) => Err(format!("publishing: {error}")),
        }
    }

    fn turn(&mut self, wait: Duration, deliver: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        let Some(first) = self.turns.within(wait, self.delivered.next())? else { return Ok(()) };
        let mut next = Some(first.ok_or("the subscription has ended")?);
        for _ in 0..BATCH {
            let Some(message) = next else { break };
            deliver(&message.payload);
            next = self.delivered.next().now_or_never().flatten();
        }
        if let Some(message) = next {
            deliver(&message.payload);
        }
        Ok(())
    }

    fn leader(&mut self) -> Result<Option<usize>, String> {
        let asked = self.turns.within(ASK_FOR, self.context.get_stream(STREAM))?;
        let Some(Ok(stream)) = asked else { return Ok(None) };
        let Some((leader, is_whole)) = state(stream.cached_info()) else { return Ok(None) };
        if !is_whole {
            return Ok(None);
        }
        if leader == CLIENT {
            let step_down = format!("$JS.API.STREAM.LEADER.STEPDOWN.{STREAM}");
            // Refused or unanswered, it is asked again with the next look.
            let _ = self.turns.within(ASK_FOR, self.client.request(step_down, "".into()))?;
            return Ok(None);
        }
        Ok(Some(leader))
    }

    fn daemons(&mut self) -> &mut Daemons {
        &mut self.daemons
    }
}

/// The stream's leader, and whether both others are with it.
fn state(info: &Info) -> Option<(usize, bool)> {
    let cluster = info.cluster.as_ref()?;
    let leader = cluster.leader.as_ref()?.strip_prefix('n')?.parse().ok()?;
    let current = cluster.replicas.iter().filter(|replica| replica.current && !replica.offline).count();
    Some((leader, current + 1 == NODES))
}
