//! Aeron's transport, with its C media driver: an echo, and a sequencer made by hand.
//!
//! ```text
//!   aeron-echo   client ─unicast─▶ echo ─unicast─▶ client
//!   aeron        client ─unicast─▶ sequencer: 8 bytes ─multicast─▶ client
//! ```
//! Neither keeps a copy anywhere: it is the transport that is measured. Aeron's own consensus (Aeron Cluster)
//! is Java, and not here; so nobody is killed.

use crate::daemons::{Daemons, again};
use crate::ground::{CLIENT, Ground};
use crate::peer::{Adapter, PAYLOAD_LEN, Payload, Peer, System, Tuning};
use rusteron_media_driver::bindings::aeron_threading_mode_enum::AERON_THREADING_MODE_INVOKER;
use rusteron_media_driver::{
    Aeron, AeronCError, AeronContext, AeronDriver, AeronDriverContext, AeronExclusivePublication,
    AeronSubscription, Handlers,
};
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The sequencer's shape; see [`crate::adapters::ADAPTERS`].
pub const SEQUENCER: Adapter = Adapter { name: "aeron", version, systems: sequencer };
/// The echo.
pub const ECHO: Adapter = Adapter { name: "aeron-echo", version, systems: echo };

/// Where the sequencer or the echo runs.
const NODE: usize = 1;
/// Of messages on their way in and out.
const STREAMS: [i32; 2] = [1001, 1002];
/// Fragments of one poll.
const FRAGMENTS: usize = 64;
/// Bytes of a socket's receive buffer, and of a receiver's window, as tuned.
const BUFFER: usize = 2 << 20;
/// Where the sequencer writes its number.
const STAMP: usize = 16;
/// How long driver and ends may take to find each other.
const PATIENCE: Duration = Duration::from_secs(20);

fn version() -> Result<String, String> {
    Ok(format!("{}, C media driver and client, by rusteron-media-driver 0.2.16", Aeron::version_full()))
}

fn system(name: &'static str, tuning: Tuning, start: crate::peer::Start) -> System {
    System {
        name,
        tuning,
        settings: match tuning {
            Tuning::Default => {
                "a media driver's process on each node: threading DEDICATED, idle backoff, sparse terms of 16 MiB, \
                 SO_RCVBUF and window 128 KiB; the ends yield when idle"
            }
            Tuning::Tuned => {
                "threading INVOKER: driver, client and application are one spinning thread on each node; terms not \
                 sparse, SO_RCVBUF, SO_SNDBUF and window 2 MiB"
            }
        },
        delivered: "the fragment is polled; no copy is kept anywhere",
        start,
        warm_up: Duration::from_millis(500),
        has_leader: false,
        is_floor: false,
    }
}

fn sequencer() -> Vec<System> {
    [Tuning::Default, Tuning::Tuned]
        .map(|tuning| {
            system(SEQUENCER.name, tuning, |ground, tuning| start(ground, tuning, Shape::Sequencer))
        })
        .into()
}

fn echo() -> Vec<System> {
    [Tuning::Default, Tuning::Tuned]
        .map(|tuning| system(ECHO.name, tuning, |ground, tuning| start(ground, tuning, Shape::Echo)))
        .into()
}

/// What stands between the client and itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, clap::ValueEnum)]
enum Shape {
    Sequencer,
    #[default]
    Echo,
}

impl Shape {
    fn channel_in() -> String {
        format!("aeron:udp?endpoint={}:7300", Ground::address(NODE))
    }

    fn channel_out(self) -> String {
        match self {
            Self::Echo => format!("aeron:udp?endpoint={}:7301", Ground::address(CLIENT)),
            // A subscriber's messages go to the odd address, its own to the next one.
            Self::Sequencer => String::from("aeron:udp?endpoint=224.0.1.77:7302|interface=10.77.0.0/24"),
        }
    }
}

/// The hidden ways of this program to be one of Aeron's processes.
#[derive(Clone, Default, clap::Args)]
pub struct Process {
    /// A media driver in this folder.
    #[arg(long, hide = true)]
    aeron_driver: Option<PathBuf>,
    /// The sequencer or the echo, with the driver in this folder.
    #[arg(long, hide = true)]
    aeron_forward: Option<PathBuf>,
    /// With it: which.
    #[arg(long, hide = true, value_enum, default_value = "echo")]
    aeron_shape: Shape,
    /// With it: its driver is its own.
    #[arg(long, hide = true)]
    aeron_invoker: bool,
}

impl Process {
    /// Runs as such a process, until it is killed. `None`: this one is none.
    ///
    /// # Errors
    /// What Aeron says.
    pub fn run(&self) -> Option<Result<(), String>> {
        if let Some(folder) = &self.aeron_driver {
            return Some(drive(folder).map_err(|error| message_of(&error)));
        }
        let folder = self.aeron_forward.as_ref()?;
        Some(self.forward(folder))
    }

    fn forward(&self, folder: &Path) -> Result<(), String> {
        let node = Node::open(folder, self.aeron_invoker)?;
        let incoming = node.subscribe(&Shape::channel_in(), STREAMS[0])?;
        let outgoing = node.publish(&self.aeron_shape.channel_out(), STREAMS[1])?;
        let mut stamped: u64 = 0;
        let mut waiting = std::collections::VecDeque::new();
        loop {
            let mut work = node.work()?;
            work += incoming
                .poll_fn(
                    |fragment, _| {
                        stamped += 1;
                        let mut payload = [0; PAYLOAD_LEN];
                        if fragment.len() == PAYLOAD_LEN {
                            payload.copy_from_slice(fragment);
                            payload[STAMP..STAMP + 8].copy_from_slice(&stamped.to_le_bytes());
                            waiting.push_back(payload);
                        }
                    },
                    FRAGMENTS,
                )
                .map_err(|error| message_of(&error))?;
            while let Some(payload) = waiting.front() {
                match outgoing.offer(payload) {
                    Ok(_) => drop(waiting.pop_front()),
                    Err(error) if error.is_retryable() => break,
                    Err(error) => return Err(format!("offering: {error}")),
                }
            }
            if work == 0 {
                node.idle();
            }
        }
    }
}

fn message_of(error: &AeronCError) -> String {
    format!("aeron: {error}: {}", Aeron::errmsg())
}

fn text(words: &str) -> Result<CString, String> {
    CString::new(words).map_err(|_| format!("'{words}' has a zero in it"))
}

/// A driver's process as it comes.
fn drive(folder: &Path) -> Result<(), AeronCError> {
    let context = AeronDriverContext::new()?;
    context.set_dir(&CString::new(folder.as_os_str().as_encoded_bytes()).unwrap_or_default())?;
    context.set_dir_delete_on_start(true)?;
    let driver = AeronDriver::new(&context)?;
    driver.start(true)?;
    loop {
        driver.main_idle_strategy(driver.main_do_work()?);
    }
}

/// An end's client of Aeron, with the driver where that is its own. In the order in which they have to go.
struct Node {
    aeron: Aeron,
    driver: Option<AeronDriver>,
}

impl Node {
    fn open(folder: &Path, is_invoker: bool) -> Result<Self, String> {
        let directory = text(&folder.display().to_string())?;
        let driver =
            is_invoker.then(|| Self::invoker(&directory)).transpose().map_err(|error| message_of(&error))?;
        let began = Instant::now();
        loop {
            if let Some(driver) = &driver {
                driver.main_do_work().map_err(|error| message_of(&error))?;
            }
            match Self::connect(&directory, is_invoker) {
                Ok(aeron) => return Ok(Self { aeron, driver }),
                Err(error) if began.elapsed() > PATIENCE => return Err(message_of(&error)),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn invoker(directory: &CString) -> Result<AeronDriver, AeronCError> {
        let context = AeronDriverContext::new()?;
        context.set_dir(directory)?;
        context.set_dir_delete_on_start(true)?;
        context.set_threading_mode(AERON_THREADING_MODE_INVOKER)?;
        context.set_term_buffer_sparse_file(false)?;
        context.set_socket_so_rcvbuf(BUFFER)?;
        context.set_socket_so_sndbuf(BUFFER)?;
        context.set_rcv_initial_window_length(BUFFER)?;
        let driver = AeronDriver::new(&context)?;
        driver.start(true)?;
        Ok(driver)
    }

    fn connect(directory: &CString, is_invoker: bool) -> Result<Aeron, AeronCError> {
        let context = AeronContext::new()?;
        context.set_dir(directory)?;
        context.set_use_conductor_agent_invoker(is_invoker)?;
        let aeron = Aeron::new(&context)?;
        aeron.start()?;
        Ok(aeron)
    }

    /// What driver and client have to do, where no threads of theirs do it.
    fn work(&self) -> Result<i32, String> {
        let Some(driver) = &self.driver else { return Ok(0) };
        let work = driver.main_do_work().and_then(|work| Ok(work + self.aeron.main_do_work()?));
        work.map_err(|error| message_of(&error))
    }

    fn idle(&self) {
        if self.driver.is_some() { std::hint::spin_loop() } else { std::thread::yield_now() }
    }

    /// Waits for what Aeron makes by and by.
    fn finish<T>(&self, what: &str, poll: impl Fn() -> Result<Option<T>, AeronCError>) -> Result<T, String> {
        let began = Instant::now();
        loop {
            self.work()?;
            if let Some(done) = poll().map_err(|error| message_of(&error))? {
                return Ok(done);
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("aeron: no {what} within {PATIENCE:?}"));
            }
            self.idle();
        }
    }

    fn publish(&self, channel: &str, stream: i32) -> Result<AeronExclusivePublication, String> {
        let asked = self
            .aeron
            .async_add_exclusive_publication(&text(channel)?, stream)
            .map_err(|error| message_of(&error))?;
        self.finish("publication", || asked.poll())
    }

    fn subscribe(&self, channel: &str, stream: i32) -> Result<AeronSubscription, String> {
        let asked =
            self.aeron.async_add_subscription(&text(channel)?, stream, Handlers::NONE, Handlers::NONE);
        let asked = asked.map_err(|error| message_of(&error))?;
        self.finish("subscription", || asked.poll())
    }
}

fn start(ground: &Ground, tuning: Tuning, shape: Shape) -> Result<Box<dyn Peer>, String> {
    let itself = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let is_invoker = tuning == Tuning::Tuned;
    let folder = |node: usize| ground.memory().join(format!("aeron-{node}"));
    // The driver of the client's node is the third one's daemon, the forwarder the second's place: it has no
    // other.
    let mut forwarder = ground.command(NODE, &itself);
    forwarder.arg("--aeron-forward").arg(folder(NODE));
    forwarder.arg(if shape == Shape::Echo { "--aeron-shape=echo" } else { "--aeron-shape=sequencer" });
    if is_invoker {
        forwarder.arg("--aeron-invoker");
    }
    let driver = |node| {
        let mut command = ground.command(node, &itself);
        command.arg("--aeron-driver").arg(folder(node));
        command
    };
    let mut daemons = Daemons::new(ground, again(vec![driver(NODE), forwarder, driver(CLIENT)]));
    if !is_invoker {
        daemons.start(NODE)?;
        daemons.start(CLIENT)?;
    }
    daemons.start(FORWARDER)?;
    let node = Node::open(&folder(CLIENT), is_invoker)
        .map_err(|error| format!("{error}{}", daemons.all_last_words()))?;
    let incoming = node.subscribe(&shape.channel_out(), STREAMS[1])?;
    let outgoing = node.publish(&Shape::channel_in(), STREAMS[0])?;
    let mut client = Client { outgoing, incoming, node, daemons };
    let began = Instant::now();
    let mut answered = false;
    while !answered {
        if began.elapsed() > PATIENCE {
            return Err(format!("the {shape:?} does not answer{}", client.daemons.all_last_words()));
        }
        client.submit(&[0; PAYLOAD_LEN])?;
        client.turn(Duration::from_millis(10), &mut |_| answered = true)?;
    }
    Ok(Box::new(client))
}

/// The place of the forwarder among the daemons; the drivers have those of their nodes.
const FORWARDER: usize = 2;

struct Client {
    // In the order in which they have to go.
    outgoing: AeronExclusivePublication,
    incoming: AeronSubscription,
    node: Node,
    daemons: Daemons,
}

impl Peer for Client {
    fn submit(&mut self, payload: &Payload) -> Result<bool, String> {
        match self.outgoing.offer(payload) {
            Ok(_) => Ok(true),
            Err(error) if error.is_retryable() => Ok(false),
            Err(error) => Err(format!("offering: {error}")),
        }
    }

    fn turn(&mut self, wait: Duration, deliver: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        let until = Instant::now() + wait;
        loop {
            let work = self.node.work()?;
            let polled = self.incoming.poll_fn(|fragment, _| deliver(fragment), FRAGMENTS);
            let came = polled.map_err(|error| message_of(&error))?;
            if came > 0 || Instant::now() >= until {
                return Ok(());
            }
            if work == 0 {
                self.node.idle();
            }
        }
    }

    fn leader(&mut self) -> Result<Option<usize>, String> {
        Ok(Some(NODE))
    }

    fn daemons(&mut self) -> &mut Daemons {
        &mut self.daemons
    }
}
