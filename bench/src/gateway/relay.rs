//! The floor of the gateway and the feed: a process that waits as they do, and has no stream.
//!
//! ```text
//!   echo   TCP ─▶ read, write ─▶ the same connection
//!   in     TCP ─▶ read, send ──▶ group                      what any way from a client to a stream has to do
//!   out    MoldUDP64 ─▶ receive, write ──▶ SoupBinTCP       what any way back has to do
//!   feed   MoldUDP64 ─▶ receive, send ───▶ MoldUDP64
//! ```

use crate::cluster::load;
use crate::taps::join;
use clap::ValueEnum;
use lockstep_io::idle::Idle;
use lockstep_io::links::FollowingSocket;
use lockstep_io::multicast;
use mio::net::{TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token};
use moldudp64::Session;
use moldudp64::packer::DATAGRAM_LEN;
use moldudp64::{Downstream, Packer, Push};
use soupbintcp::Packet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

/// Which protocol is relayed to which.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Way {
    /// A client's bytes back to it.
    Echo,
    /// A client's bytes to a group.
    In,
    /// The messages of a MoldUDP64 group to a client, as SoupBinTCP's sequenced ones.
    Out,
    /// The messages of a MoldUDP64 group to another one.
    Feed,
}

/// Fills MoldUDP64's datagrams.
///
/// # Errors
/// Never with this session.
pub fn packer() -> Result<Packer, String> {
    let session = Session::new(b"BENCH").map_err(|error| error.to_string())?;
    Packer::new(session, DATAGRAM_LEN).map_err(|error| error.to_string())
}

/// The hidden subcommand.
#[derive(clap::Args)]
pub struct RelayArguments {
    /// From where to where.
    #[arg(value_enum)]
    way: Way,
    /// The cluster's file: its interface.
    #[arg(long)]
    config: PathBuf,
    /// What to do when there is nothing to do.
    #[arg(long)]
    idle: Idle,
    /// The group that is heard.
    #[arg(long)]
    from: Option<SocketAddrV4>,
    /// The group that is sent to.
    #[arg(long)]
    to: Option<SocketAddrV4>,
}

enum End {
    Client(TcpStream),
    Received(UdpSocket),
    Spoken(FollowingSocket),
}

impl End {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Client(socket) => (&*socket).read(buffer),
            Self::Received(socket) => socket.recv(buffer),
            Self::Spoken(_) => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Client(socket) => (&*socket).write(bytes),
            Self::Received(socket) => socket.send(bytes),
            Self::Spoken(socket) => socket.send(bytes),
        }
    }
}

/// What becomes of what was read.
struct Writer {
    way: Way,
    packer: Packer,
    packets: Vec<u8>,
}

impl Writer {
    fn pass(&mut self, read: &[u8], sink: &End) -> Result<(), String> {
        let Self { way, packer, packets } = self;
        let fails = |error: io::Error| format!("the relay writes: {error}");
        if matches!(way, Way::Echo | Way::In) {
            return sink.send(read).map(drop).map_err(fails);
        }
        let Downstream::Messages(messages) = Downstream::decode(read).map_err(|error| error.to_string())?
        else {
            return Ok(()); // a heartbeat: nobody here counts
        };
        packets.clear();
        for (seq, message) in messages {
            if *way == Way::Out {
                Packet::Sequenced(message).append(packets).map_err(|error| error.to_string())?;
            } else if packer.push(seq, message).map_err(|error| error.to_string())? == Push::Full {
                return Err(String::from("the relay got a datagram that is longer than its own"));
            }
        }
        let written = if *way == Way::Out { Some(&packets[..]) } else { packer.flush() };
        written.map(|bytes| sink.send(bytes)).transpose().map(drop).map_err(fails)
    }
}

/// Relays until standard input ends.
///
/// # Errors
/// In words, what could not be opened, read or written.
pub fn relay(arguments: &RelayArguments) -> Result<(), String> {
    std::thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new()); // an error is an end too
        std::process::exit(0);
    });
    let fails = |error: io::Error| format!("the relay: {error}");
    let RelayArguments { way, config, idle, from, to } = arguments;
    let interface = load(config)?.udp().interface;
    let received = from.map(join).transpose()?.map(|socket| End::Received(UdpSocket::from_std(socket)));
    let spoken = to.map(|group| multicast::sender(group, &interface, 0).map(End::Spoken));
    let spoken = spoken.transpose().map_err(|error| error.to_string())?;
    let client = if *way == Way::Feed {
        println!("listening on nothing");
        None
    } else {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(fails)?;
        println!("listening on {}", listener.local_addr().map_err(fails)?);
        let (socket, _) = listener.accept().map_err(fails)?;
        socket.set_nodelay(true).map_err(fails)?;
        socket.set_nonblocking(true).map_err(fails)?;
        Some(End::Client(TcpStream::from_std(socket)))
    };
    let (mut source, sink) = match way {
        Way::Echo => (client, None),
        Way::In => (client, spoken),
        Way::Out => (received, client),
        Way::Feed => (received, spoken),
    };
    let mut poll = Poll::new().map_err(fails)?;
    match &mut source {
        Some(End::Client(socket)) => poll.registry().register(socket, Token(0), Interest::READABLE),
        Some(End::Received(socket)) => poll.registry().register(socket, Token(0), Interest::READABLE),
        _ => return Err(String::from("the relay: --from names a group where no client is read")),
    }
    .map_err(fails)?;
    let source = source.as_ref().ok_or("the relay has nothing to read")?;
    let sink = sink.as_ref().unwrap_or(source);
    let mut writer = Writer { way: *way, packer: packer()?, packets: Vec::new() };
    let timeout = (*idle != Idle::Park).then_some(Duration::ZERO);
    let (mut events, mut buffer) = (Events::with_capacity(16), vec![0; 16 << 10]);
    loop {
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(fails(error)),
            _ => {}
        }
        if events.is_empty() {
            match idle {
                Idle::Yield => std::thread::yield_now(),
                _ => std::hint::spin_loop(),
            }
            continue;
        }
        loop {
            match source.receive(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(len) => writer.pass(&buffer[..len], sink)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(fails(error)),
            }
        }
    }
}
