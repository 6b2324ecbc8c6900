//! lockstep itself: the sequencer that production runs, three of them, and the handle that applications use.

use crate::daemons::Daemons;
use crate::ground::{CLIENT, Ground, NODES};
use crate::peer::{Adapter, Payload, Peer, System, Tuning};
use ::lockstep::config::Config;
use lockstep::config::NodeConfig;
use lockstep_client::Endpoint;
use lockstep_client::internal::NodeState;
use lockstep_client::internal::QueryClient;
use lockstep_client::{Delivery, Participant, ParticipantEvent, PublishError, Start, SubscriberEvent};
use lockstep_core::engine::event::Role;
use lockstep_io::idle::{Idle, Waiter};
use lockstep_io::key_file::KeyFile;
use lockstep_wire::{MemberBody, PublisherId};
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// See [`crate::adapters::ADAPTERS`].
pub const ADAPTER: Adapter = Adapter { name: "lockstep", version, systems };

/// The groups' port, and the replicas' own.
/// The cluster's number.
const CLUSTER: u64 = 1;
const PORT: u16 = 7100;
const UNICAST: u16 = 7101;
/// How long the cluster may take to begin.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a question waits for the last answer.
const ASK_FOR: Duration = Duration::from_millis(50);
/// A standby that is no further behind than so many entries follows.
const BEHIND_MAX: u64 = 1_000;

fn version() -> Result<String, String> {
    Ok(env!("CARGO_PKG_VERSION").into())
}

fn systems() -> Vec<System> {
    let system = |tuning, settings| System {
        name: ADAPTER.name,
        tuning,
        settings,
        delivered: "committed: a quorum holds it in memory",
        start,
        warm_up: Duration::from_millis(500),
        has_leader: true,
        is_floor: false,
    };
    vec![
        system(
            Tuning::Default,
            "profile shared (idle adapt), durability process, journals on the disk, tails in memory",
        ),
        system(Tuning::Tuned, "the same; publisher.window 16384, buffer 16MiB"),
    ]
}

/// The cluster's file: what has to be said, and nothing else but what the settings change.
fn text(ground: &Ground, tuning: Tuning) -> Result<String, std::fmt::Error> {
    let mut text = format!(
        "cluster = {CLUSTER}\nprofile = \"shared\"\n\n[[lines]]\nsubmit = \"239.77.1.1:{PORT}\"\ndata = \"239.77.1.2:{PORT}\"\n\
         control = \"239.77.1.3:{PORT}\"\ninterface = \"eth0\"\nttl = 1\n"
    );
    let (disk, memory) = (ground.disk().display(), ground.memory().display());
    write!(text, "\n[security]\nkeys = \"{disk}/keys\"\n")?;
    for id in 1..=NODES {
        let address = Ground::address(id);
        write!(
            text,
            "\n[[replicas]]\nid = {id}\nunicast = \"{address}:{UNICAST}\"\njournal = \"{disk}/journal-{id}\"\n\
             tail = \"{memory}/tail-{id}\"\ncounters = \"{memory}/counters-{id}\"\n"
        )?;
    }
    if tuning == Tuning::Tuned {
        text += "\n[publisher]\nwindow = 16384\nbuffer = \"16MiB\"\n";
    }
    Ok(text)
}

fn start(ground: &Ground, tuning: Tuning) -> Result<Box<dyn Peer>, String> {
    let text = text(ground, tuning).map_err(|error| error.to_string())?;
    let path = ground.write("lockstep.toml", &text)?;
    let fails = |error: lockstep_io::IoError| error.to_string();
    KeyFile::draw(CLUSTER).and_then(|file| file.write_folder(&ground.disk().join("keys"))).map_err(fails)?;
    let config = Config::load(Some(&path), &[]).map_err(|errors| errors.to_string())?;
    let settings = |id: usize| config.node(id as u32).map_err(|error| error.to_string());
    let mut members = Vec::new();
    for id in 1..=NODES {
        let settings = settings(id)?;
        let identity = lockstep_node::format(&settings).map_err(|error| error.to_string())?;
        members.push(MemberBody::full(identity, settings.unicast));
    }
    lockstep_node::bootstrap(&settings(1)?, &members).map_err(|error| error.to_string())?;
    let itself = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let commands: Vec<_> = (1..=NODES)
        .map(|id| {
            let mut command = ground.command(id, &itself);
            command
                .args(["sequencer", "--until-stdin-ends", "--replica", &id.to_string(), "--config"])
                .arg(&path);
            command
        })
        .collect();
    let mut daemons = Daemons::new(ground, crate::daemons::again(commands));
    daemons.start_all()?;
    let endpoint = Endpoint::from_config(&config).map_err(|errors| errors.to_string())?;
    let fails = |error: lockstep_io::IoError| error.to_string();
    let mut participant =
        Participant::connect(&endpoint, Delivery::Committed, Start::From(1)).map_err(fails)?;
    let ignore = |_: ParticipantEvent<'_>| ControlFlow::Continue(());
    let id = participant
        .open("peers", PATIENCE, ignore)
        .map_err(|error| format!("{error}{}", daemons.all_last_words()))?;
    // The client waits as the replicas do.
    let waiter = {
        let idle = if tuning == Tuning::Tuned { Idle::Park } else { Idle::Yield };
        idle.waiter(&participant.sockets()).map_err(fails)?
    };
    let query_client = QueryClient::open(&endpoint).map_err(fails)?;
    Ok(Box::new(Lockstep { participant, id, waiter, query_client, config, daemons }))
}

struct Lockstep {
    participant: Participant,
    id: PublisherId,
    waiter: Waiter,
    query_client: QueryClient,
    config: Config,
    daemons: Daemons,
}

impl Peer for Lockstep {
    fn submit(&mut self, payload: &Payload) -> Result<bool, String> {
        match self.participant.try_publish(self.id, 0, payload) {
            Ok(_) => Ok(true),
            Err(PublishError::Backpressure) => Ok(false),
            Err(error) => Err(format!("publishing: {error:?}")),
        }
    }

    fn turn(&mut self, wait: Duration, deliver: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        self.participant.flush();
        let until = Instant::now() + wait;
        let mut came = false;
        loop {
            let work = self.participant.poll(usize::MAX, |event| {
                if let ParticipantEvent::Subscriber(SubscriberEvent::Message(message)) = event {
                    deliver(message.payload);
                    came = true;
                }
                ControlFlow::Continue(())
            });
            let now = Instant::now();
            if came || now >= until {
                return Ok(());
            }
            if work == 0 {
                // Timers of the handle, such as a resend, are looked at after each wait.
                let wait = (until - now).min(Duration::from_millis(1));
                self.waiter.on_progress(self.participant.deliver_next());
                self.waiter.wait(wait.as_nanos() as u64);
            }
        }
    }

    fn leader(&mut self) -> Result<Option<usize>, String> {
        let addresses: Vec<_> = self.config.replicas.iter().map(|replica| replica.unicast).collect();
        let states = self.query_client.nodes(&addresses, ASK_FOR);
        let Some(states) = states.into_iter().collect::<Option<Vec<NodeState>>>() else { return Ok(None) };
        let Some(leader) = states.iter().find(|state| state.role == Role::Leader) else { return Ok(None) };
        let follows = |state: &NodeState| {
            state.accepted == leader.accepted && state.accept_next + BEHIND_MAX >= leader.accept_next
        };
        if !states.iter().all(follows) {
            return Ok(None);
        }
        let node = leader.identity.replica as usize;
        if node == CLIENT {
            let query_kind = lockstep_wire::QueryKind::Handover;
            // Refused or unanswered, it is asked again with the next look.
            let status = self.query_client.statuses(&addresses[CLIENT - 1..CLIENT], ASK_FOR).pop().flatten();
            if let Some(status) = status {
                let _ = self.query_client.send_command(&status, query_kind, None, ASK_FOR);
            }
            return Ok(None);
        }
        Ok(Some(node))
    }

    fn daemons(&mut self) -> &mut Daemons {
        &mut self.daemons
    }
}
