//! ZooKeeper: data set on nodes of the tree in turn, one recursive watch of them all, and a read of what it
//! tells. More nodes than messages under way, so that none is set anew before it was read.

use crate::daemons::{Daemons, again};
use crate::ground::{CLIENT, Ground, NODES};
use crate::peer::{Adapter, Payload, Peer, System, Tuning, package};
use crate::turns::Turns;
use std::collections::VecDeque;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::pin::Pin;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zookeeper_client::{
    Acls, AddWatchMode, Client, CreateMode, Error, EventType, PersistentWatcher, SessionState, Stat,
};

/// See [`crate::adapters::ADAPTERS`].
pub const ADAPTER: Adapter = Adapter { name: "zookeeper", version, systems };

const PORT: u16 = 2181;
/// Where Debian's packages put it.
const JARS: [&str; 3] = ["zookeeper.jar", "slf4j-log4j12.jar", "log4j-1.2.jar"];
const JAR_FOLDER: &str = "/usr/share/java";
const LOG4J: &str = "log4j.rootLogger=WARN, CONSOLE\nlog4j.appender.CONSOLE=org.apache.log4j.ConsoleAppender\n\
                     log4j.appender.CONSOLE.layout=org.apache.log4j.PatternLayout\n\
                     log4j.appender.CONSOLE.layout.ConversionPattern=%d %p %m%n\n";
/// Above all nodes of the tree that are set.
const ROOT: &str = "/peers";
/// Nodes of the tree: as many as messages may be under way, and then some.
const SLOTS: usize = 4_096;
/// How long the ensemble may take to begin: three JVMs.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a server may take to say how it is.
const ASK_FOR: Duration = Duration::from_millis(200);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

fn version() -> Result<String, String> {
    for jar in JARS {
        let path = Path::new(JAR_FOLDER).join(jar);
        if !path.exists() {
            return Err(format!("{} is not there; `bench/peers/run --install` installs it", path.display()));
        }
    }
    let java = crate::peer::stdout_of("java", &["-version"])?;
    Ok(format!(
        "zookeeper {}, {java}",
        package("zookeeper").unwrap_or_else(|| String::from("of unknown version"))
    ))
}

fn systems() -> Vec<System> {
    let system = |tuning, settings| System {
        name: ADAPTER.name,
        tuning,
        settings,
        delivered: "the persistent watch on the client's server tells the change, and its data is read",
        start,
        // A JVM compiles what runs often: its first seconds are not it.
        warm_up: Duration::from_secs(8),
        has_leader: true,
        is_floor: false,
    };
    vec![
        system(
            Tuning::Default,
            "zoo_sample.cfg: tickTime 2000, initLimit 10, syncLimit 5; data on the disk, each change synced",
        ),
        system(
            Tuning::Tuned,
            "tickTime 100, initLimit 50, syncLimit 10, zookeeper.fastleader.minNotificationInterval 50; data on a tmpfs",
        ),
    ]
}

fn start(ground: &Ground, tuning: Tuning) -> Result<Box<dyn Peer>, String> {
    let mut daemons = Daemons::new(ground, again(commands(ground, tuning)?));
    daemons.start_all()?;
    let began = Instant::now();
    while modes().iter().any(Option::is_none) {
        daemons.check()?;
        if began.elapsed() > PATIENCE {
            return Err(format!("no ensemble within {PATIENCE:?}{}", daemons.all_last_words()));
        }
        std::thread::sleep(PAUSE);
    }
    let turns = Turns::new()?;
    let address = format!("{}:{PORT}", Ground::address(CLIENT));
    let opened = turns.finish(PATIENCE, "opening a session", open(&address))?;
    let client = opened.map_err(|error| format!("opening a session: {error}{}", daemons.all_last_words()))?;
    let watched =
        turns.finish(PATIENCE, "watching", client.watch(ROOT, AddWatchMode::PersistentRecursive))?;
    let watcher = watched.map_err(|error| format!("watching: {error}"))?;
    let (to, changes) = unbounded_channel();
    turns.runtime().spawn(follow(client.clone(), watcher, to));
    Ok(Box::new(ZooKeeper { client, changes, reads: VecDeque::new(), slot: 0, turns, daemons }))
}

/// The commands of the servers, whose files are written.
fn commands(ground: &Ground, tuning: Tuning) -> Result<Vec<Command>, String> {
    let tuned = tuning == Tuning::Tuned;
    let folder = if tuned { ground.memory() } else { ground.disk() };
    let limits = if tuned {
        "tickTime=100\ninitLimit=50\nsyncLimit=10"
    } else {
        "tickTime=2000\ninitLimit=10\nsyncLimit=5"
    };
    let servers: String = (1..=NODES)
        .map(|node| format!("server.{}={}:2888:3888\n", id(node), Ground::address(node)))
        .collect();
    let log4j = ground.write("log4j.properties", LOG4J)?;
    let jars: Vec<String> = JARS.iter().map(|jar| format!("{JAR_FOLDER}/{jar}")).collect();
    let mut commands = Vec::new();
    for node in 1..=NODES {
        let data = folder.join(format!("zookeeper-{node}"));
        let made = std::fs::create_dir_all(&data)
            .and_then(|()| std::fs::write(data.join("myid"), id(node).to_string()));
        made.map_err(|error| format!("writing {}/myid: {error}", data.display()))?;
        let text = format!(
            "{limits}\ndataDir={}\nclientPort={PORT}\nclientPortAddress={}\nadmin.enableServer=false\n\
             4lw.commands.whitelist=srvr\n{servers}",
            data.display(),
            Ground::address(node)
        );
        let path = ground.write(&format!("zoo-{node}.cfg"), &text)?;
        let mut command = ground.command(node, "java");
        command.args(["-cp", &jars.join(":")]).arg(format!("-Dlog4j.configuration=file:{}", log4j.display()));
        if tuned {
            command.arg("-Dzookeeper.fastleader.minNotificationInterval=50");
        }
        command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(path);
        commands.push(command);
    }
    Ok(commands)
}

/// Begins a read of each node that the watch names, until the session or whoever measures ends.
async fn follow(reader: Client, mut watcher: PersistentWatcher, to: UnboundedSender<Change>) {
    loop {
        let event = watcher.changed().await;
        if event.event_type == EventType::NodeDataChanged {
            // The request leaves with this call, its answer is waited for by whoever measures.
            let change: Change = Box::pin(reader.get_data(&event.path));
            if to.send(change).is_err() {
                return;
            }
        } else if event.session_state.is_terminated() {
            return;
        } else if event.event_type == EventType::Session
            && event.session_state == SessionState::SyncConnected
            && let Ok(anew) = reader.watch(ROOT, AddWatchMode::PersistentRecursive).await
        {
            // The client re-arms other watches by itself on a new connection, but not this kind (0.11.2).
            watcher = anew;
        }
    }
}

/// A session, and the nodes of the tree.
async fn open(address: &str) -> Result<Client, Error> {
    let connector = Client::connector().with_session_timeout(Duration::from_secs(10));
    let client = connector.connect(address).await?;
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.create(ROOT, b"", &options).await?;
    let mut created = Vec::new();
    for slot in 0..SLOTS {
        let path = path(slot);
        let (client, options) = (client.clone(), options.clone());
        created.push(async move { client.create(&path, b"", &options).await.map(drop) });
    }
    futures_util::future::try_join_all(created).await?;
    Ok(client)
}

fn path(slot: usize) -> String {
    format!("{ROOT}/{slot}")
}

/// A server's number: the client's has the lowest, as the highest leads among equals.
fn id(node: usize) -> usize {
    NODES + 1 - node
}

/// Whether each server leads; `None` for one that is not in the ensemble.
fn modes() -> [Option<bool>; NODES] {
    std::array::from_fn(|index| {
        let address = SocketAddr::from((Ground::address(index + 1), PORT));
        let mut stream = TcpStream::connect_timeout(&address, ASK_FOR).ok()?;
        stream.set_read_timeout(Some(ASK_FOR)).ok()?;
        stream.write_all(b"srvr").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let mode = text.lines().find_map(|line| line.strip_prefix("Mode: "))?;
        match mode {
            "leader" => Some(true),
            "follower" => Some(false),
            _ => None,
        }
    })
}

/// A read under way.
type Change = Pin<Box<dyn Future<Output = Result<(Vec<u8>, Stat), Error>> + Send>>;

struct ZooKeeper {
    client: Client,
    changes: UnboundedReceiver<Change>,
    reads: VecDeque<Change>,
    slot: usize,
    turns: Turns,
    daemons: Daemons,
}

impl Peer for ZooKeeper {
    fn submit(&mut self, payload: &Payload) -> Result<bool, String> {
        self.slot = (self.slot + 1) % SLOTS;
        let answer = self.client.set_data(&path(self.slot), payload, None);
        // One that fails while nobody leads is lost: the watch does not tell it.
        self.turns.runtime().spawn(async move { answer.await.map(drop) });
        Ok(true)
    }

    fn turn(&mut self, wait: Duration, deliver: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        let Self { changes, reads, turns, .. } = self;
        let next = async {
            if reads.is_empty() {
                reads.extend(changes.recv().await);
            }
            while let Ok(change) = changes.try_recv() {
                reads.push_back(change);
            }
            match reads.front_mut() {
                Some(read) => Some(read.await),
                None => None,
            }
        };
        match turns.within(wait, next)? {
            None => Ok(()),
            Some(None) => Err(String::from("the session has ended")),
            Some(Some(read)) => {
                reads.pop_front();
                // A read that fails while nobody leads is lost with its message.
                if let Ok((data, _)) = read {
                    deliver(&data);
                }
                Ok(())
            }
        }
    }

    fn leader(&mut self) -> Result<Option<usize>, String> {
        let modes = modes();
        if modes.iter().any(Option::is_none) {
            return Ok(None);
        }
        let Some(leader) = modes.iter().position(|mode| *mode == Some(true)) else { return Ok(None) };
        if leader + 1 == CLIENT {
            // ZooKeeper cannot be told who leads. Its client finds the server again.
            self.daemons.kill(CLIENT)?;
            self.daemons.start(CLIENT)?;
            return Ok(None);
        }
        Ok(Some(leader + 1))
    }

    fn daemons(&mut self) -> &mut Daemons {
        &mut self.daemons
    }
}
