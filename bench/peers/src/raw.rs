//! The raw floor: a client, and a forwarder that does nothing but forward. Two hops of the same bridge, and
//! neither order, nor copies, nor repair: what every system here stands on.

use crate::daemons::Daemons;
use crate::ground::Ground;
use crate::peer::{Adapter, Payload, Peer, System, Tuning};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

/// See [`crate::adapters::ADAPTERS`].
pub const ADAPTER: Adapter = Adapter { name: "raw", version, systems };

/// Where the forwarder listens, and where it runs.
const PORT: u16 = 7000;
const NODE: usize = 1;
/// Bytes that are asked for socket buffers, as lockstep asks for.
const BUFFER: usize = 4 << 20;
/// How long the forwarder may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(5);

fn version() -> Result<String, String> {
    Ok(env!("CARGO_PKG_VERSION").into())
}

fn systems() -> Vec<System> {
    let system = |tuning, settings| System {
        name: ADAPTER.name,
        tuning,
        settings,
        delivered: "the forwarder's datagram is back",
        start,
        warm_up: Duration::from_millis(300),
        has_leader: false,
        is_floor: tuning == Tuning::Default,
    };
    vec![
        system(Tuning::Default, "UDP, unicast there and back; both ends block; the floor of all ratios"),
        system(Tuning::Tuned, "the same; both ends spin"),
    ]
}

fn start(ground: &Ground, tuning: Tuning) -> Result<Box<dyn Peer>, String> {
    let spins = tuning == Tuning::Tuned;
    let itself = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let mut forwarder = ground.command(NODE, itself);
    forwarder.arg("--forward");
    if spins {
        forwarder.arg("--spin");
    }
    let mut daemons = Daemons::new(ground, crate::daemons::again(vec![forwarder]));
    daemons.start(NODE)?;
    let fails = |error: std::io::Error| format!("opening the client's socket: {error}");
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(fails)?;
    widen(&socket).map_err(fails)?;
    socket.connect((Ground::address(NODE), PORT)).map_err(fails)?;
    socket.set_nonblocking(true).map_err(fails)?;
    let mut raw = Raw { socket, spins, daemons };
    let began = Instant::now();
    let mut answered = false;
    while !answered {
        if began.elapsed() > PATIENCE {
            return Err(format!("the forwarder does not answer{}", raw.daemons.last_words(NODE)));
        }
        // Nobody listens yet: the next one comes soon. The message belongs to nobody.
        let _ = raw.submit(&[0; crate::peer::PAYLOAD_LEN]);
        let _ = raw.turn(Duration::from_millis(10), &mut |_| answered = true);
    }
    // What else was sent meanwhile comes back now.
    raw.turn(Duration::from_millis(20), &mut |_| {})?;
    raw.turn(Duration::from_millis(20), &mut |_| {})?;
    Ok(Box::new(raw))
}

struct Raw {
    socket: UdpSocket,
    spins: bool,
    daemons: Daemons,
}

impl Peer for Raw {
    fn submit(&mut self, payload: &Payload) -> Result<bool, String> {
        match self.socket.send(payload) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(format!("sending to the forwarder: {error}")),
        }
    }

    fn turn(&mut self, wait: Duration, deliver: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        let mut datagram = [0; 2048];
        let until = Instant::now() + wait;
        let mut came = false;
        loop {
            match self.socket.recv(&mut datagram) {
                Ok(len) => {
                    deliver(&datagram[..len]);
                    came = true;
                    continue;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(format!("receiving from the forwarder: {error}")),
            }
            let now = Instant::now();
            if came || now >= until {
                return Ok(());
            }
            if !self.spins {
                await_readable(&self.socket, until - now)?;
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

/// Room for as many datagrams as are under way: a floor repairs nothing.
fn widen(socket: &UdpSocket) -> std::io::Result<()> {
    let socket = socket2::SockRef::from(socket);
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_send_buffer_size(BUFFER)
}

/// Waits until there is something to receive, or `wait` is over.
fn await_readable(socket: &UdpSocket, wait: Duration) -> Result<(), String> {
    let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
    match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&wait)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(format!("waiting for a datagram: {error}")),
    }
}

/// The forwarder: it ends with the process that started it, which the kernel sees to.
///
/// # Errors
/// Its socket cannot be opened.
pub fn forward(spins: bool) -> Result<(), String> {
    let fails = |error: std::io::Error| format!("the forwarder's socket: {error}");
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).map_err(fails)?;
    widen(&socket).map_err(fails)?;
    socket.set_nonblocking(spins).map_err(fails)?;
    let mut datagram = [0; 2048];
    loop {
        match socket.recv_from(&mut datagram) {
            // A floor repairs nothing: what finds no room is lost, and the measurement says so.
            Ok((len, from)) => drop(socket.send_to(&datagram[..len], from)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::hint::spin_loop(),
            // The sender of the last one is gone.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(fails(error)),
        }
    }
}
