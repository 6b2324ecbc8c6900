//! One session on its socket.

use crate::serve::{SESSIONS_MAX, Shared};
use lockstep_exchange::GlimpseSession;
use soupbintcp::{End, LoginRequest, RejectReason, ServerLimits, Session};
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// The name of all sessions: each has a snapshot, and none is resumed.
const SESSION: &[u8] = b"GLIMPSE";
/// Bytes of the snapshot that wait for the socket.
const OUT_LEN: usize = 64 << 10;
/// A client that takes nothing for so long is cut, ...
const STALL_MAX: Duration = Duration::from_secs(15);
/// ... and one that takes its time with all of it too.
const SESSION_MAX: Duration = Duration::from_secs(300);
/// How long the replica may take for a snapshot.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(10);
/// How long the client may take to close, once it was sent everything.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(1);

/// The user of a session that is over, and why it is.
pub struct Ends {
    pub user: String,
    pub end: End,
}

struct Served<'a> {
    shared: &'a Shared,
    stream: TcpStream,
    session: GlimpseSession,
    began: Instant,
    inbox: Vec<u8>,
    out: Vec<u8>,
    user: String,
}

/// Serves a connection to its end.
pub fn serve(shared: &Shared, stream: TcpStream) -> Result<Ends, Box<dyn Error>> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let session = GlimpseSession::new(0, ServerLimits::default());
    let (began, user) = (Instant::now(), String::new());
    let mut served = Served { shared, stream, session, began, inbox: Vec::new(), out: Vec::new(), user };
    served.run()?;
    served.close();
    let end = served.session.ended().unwrap_or(End::Closed);
    Ok(Ends { user: served.user, end })
}

impl Served<'_> {
    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// Until the session is over and everything of it was sent.
    fn run(&mut self) -> Result<(), Box<dyn Error>> {
        // It counts from its login on.
        let mut admission = None;
        let mut moved = Instant::now();
        while self.session.ended().is_none() || !self.out.is_empty() {
            let mut work = self.read()?;
            let now = self.now();
            let (taken, login) = self.session.on_bytes(now, &self.inbox, &mut self.out);
            self.inbox.drain(..taken);
            if let Some(login) = login {
                admission = self.shared.admit();
                self.decide(&login, admission.is_some())?;
            }
            let now = self.now();
            self.session.fill(now, OUT_LEN, &mut self.out)?;
            work |= self.write()?;
            self.session.on_timer(now, &mut self.out);
            if work {
                moved = Instant::now();
                continue;
            }
            let is_stalled = !self.out.is_empty() && moved.elapsed() > STALL_MAX;
            if is_stalled || self.began.elapsed() > SESSION_MAX {
                return Err("it did not take what it was sent".into());
            }
            thread::sleep(LOOK);
        }
        drop(admission);
        Ok(())
    }

    fn decide(&mut self, login: &LoginRequest, is_admitted: bool) -> Result<(), Box<dyn Error>> {
        let session = Session::new(SESSION)?;
        self.user = String::from_utf8_lossy(login.username.as_bytes()).into_owned();
        let refused = match self.shared.is_right(login) {
            _ if !is_admitted => {
                let why = format!("{SESSIONS_MAX} sessions run already: come again");
                Some((RejectReason::SessionNotAvailable, why))
            }
            Err(why) => {
                eprintln!("glimpse: {why}");
                Some((
                    RejectReason::SessionNotAvailable,
                    "the users cannot be read: call the operator".into(),
                ))
            }
            Ok(false) => Some((RejectReason::NotAuthorized, "no such user, or another password".into())),
            Ok(true) => GlimpseSession::is_available(login, &session).err().map(|reason| {
                (
                    reason,
                    "a snapshot has one session, from its first message: ask for session blank and 1".into(),
                )
            }),
        };
        if let Some((reason, why)) = refused {
            return Ok(self.session.refuse(reason, &why, &mut self.out)?);
        }
        let snapshot = self.shared.ask().recv_timeout(SNAPSHOT_WAIT);
        let now = self.now();
        match snapshot {
            Ok(snapshot) => self.session.begin(now, session, snapshot, &mut self.out)?,
            Err(_) => {
                let why = "the replica has no snapshot in time: come again";
                self.session.refuse(RejectReason::SessionNotAvailable, why, &mut self.out)?;
            }
        }
        Ok(())
    }

    /// Reads what is there; whether something was.
    fn read(&mut self) -> Result<bool, Box<dyn Error>> {
        let mut buffer = [0; 4_096];
        match self.stream.read(&mut buffer) {
            Ok(0) => {
                self.session.close();
                self.out.clear();
                Ok(false)
            }
            Ok(len) => {
                self.inbox.extend_from_slice(&buffer[..len]);
                Ok(true)
            }
            Err(error) if is_for_later(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends what the socket takes; whether it took something.
    fn write(&mut self) -> Result<bool, Box<dyn Error>> {
        if self.out.is_empty() {
            return Ok(false);
        }
        match self.stream.write(&self.out) {
            Ok(len) => {
                self.out.drain(..len);
                Ok(len > 0)
            }
            Err(error) if is_for_later(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads until the client closes: a socket that is closed with something unread takes back what was sent.
    fn close(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write); // the client may be gone
        let (closing, mut buffer) = (Instant::now(), [0; 4_096]);
        while closing.elapsed() < CLOSE_WAIT {
            match self.stream.read(&mut buffer) {
                Err(error) if is_for_later(&error) => thread::sleep(LOOK),
                Ok(len) if len > 0 => {}
                _ => return,
            }
        }
    }
}

fn is_for_later(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
