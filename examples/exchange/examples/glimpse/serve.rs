//! The listener: a thread for each session, of which there is a bounded number, and the file of the users.

use crate::session::{self, Ends};
use lockstep_gateway::gateway::passwords::Passwords;
use lockstep_gateway::gateway::users::{Users, user_name};
use lockstep_io::clock::random_u64;
use soupbintcp::LoginRequest;
use std::error::Error;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Sessions at once; each may have a snapshot of its own.
pub const SESSIONS_MAX: usize = 32;
/// Connections at once: those behind the sessions are refused by a letter, and those behind these are closed.
pub const CONNECTIONS_MAX: usize = 2 * SESSIONS_MAX;
/// Behind an `accept` that failed, as no descriptor was left.
const PAUSE: Duration = Duration::from_millis(100);

/// A session that waits for a snapshot.
pub type Waiting = Sender<Arc<[u8]>>;

/// All that sessions have in common.
pub struct Shared {
    users: PathBuf,
    /// One password is checked at a time, so that a flood of logins takes one core at most.
    passwords: Mutex<Passwords>,
    sessions: AtomicUsize,
    connections: AtomicUsize,
    snapshots: Sender<Waiting>,
}

/// One of a number that is bounded; it ends with this.
pub struct Admission<'a>(&'a AtomicUsize);

impl<'a> Admission<'a> {
    fn to(count: &'a AtomicUsize, max: usize) -> Option<Self> {
        let one_more = |count: usize| (count < max).then_some(count + 1);
        count.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok().map(|_| Self(count))
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    /// Room for another session.
    pub fn admit(&self) -> Option<Admission<'_>> {
        Admission::to(&self.sessions, SESSIONS_MAX)
    }

    /// Whether this is a user with its password. The file is read each time, so that changes hold at once.
    pub fn is_right(&self, login: &LoginRequest) -> Result<bool, String> {
        let text = std::fs::read_to_string(&self.users)
            .map_err(|error| format!("{}: {error}", self.users.display()))?;
        let users = Users::parse(&text).map_err(|error| format!("{}: {error}", self.users.display()))?;
        let name = std::str::from_utf8(login.username.as_bytes()).unwrap_or_default();
        let user = user_name(name).ok().and_then(|name| users.get(&name)).filter(|user| !user.disabled);
        let password = login.password.as_bytes().to_ascii_lowercase();
        let passwords = self.passwords.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(passwords.is_right(&password, user.map(|user| user.password.as_str())))
    }

    /// Asks for a snapshot, which comes out of what is returned.
    pub fn ask(&self) -> Receiver<Arc<[u8]>> {
        let (sender, snapshot) = channel();
        let _ = self.snapshots.send(sender); // the replica has ended: nothing comes
        snapshot
    }
}

/// See the module.
pub struct GlimpseServer {
    address: SocketAddr,
    waiting: Receiver<Waiting>,
}

impl GlimpseServer {
    /// Listens.
    pub fn start(address: SocketAddr, users: PathBuf) -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind(address).map_err(|error| format!("listen at {address}: {error}"))?;
        let address = listener.local_addr()?;
        let mut drawn = [0; 16];
        drawn[..8].copy_from_slice(&random_u64()?.to_le_bytes());
        drawn[8..].copy_from_slice(&random_u64()?.to_le_bytes());
        let (snapshots, waiting) = channel();
        let shared = Shared {
            users,
            passwords: Mutex::new(Passwords::new(drawn)?),
            sessions: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            snapshots,
        };
        let shared = Arc::new(shared);
        thread::Builder::new().name("glimpse".into()).spawn(move || accept(&listener, &shared))?;
        Ok(Self { address, waiting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sessions that wait for a snapshot.
    pub fn waiting(&self) -> impl Iterator<Item = Waiting> + '_ {
        self.waiting.try_iter()
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let accepted = listener.accept().and_then(|(stream, peer)| start(shared, stream, peer));
        if let Err(error) = accepted {
            eprintln!("glimpse: a connection could not be served: {error}");
            thread::sleep(PAUSE);
        }
    }
}

/// Starts the thread of a connection; closes it if there are too many.
fn start(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) -> std::io::Result<()> {
    let shared = Arc::clone(shared);
    let serve = move || {
        let Some(_connection) = Admission::to(&shared.connections, CONNECTIONS_MAX) else { return };
        match session::serve(&shared, stream) {
            Ok(Ends { user, end }) => eprintln!("glimpse: {peer} {user}: {end}"),
            Err(error) => eprintln!("glimpse: {peer}: {error}"),
        }
    };
    thread::Builder::new().name("glimpse-session".into()).spawn(serve).map(drop)
}
