//! A client of a gateway as a trading firm would write it: SoupBinTCP over a socket, or over what encrypts for
//! one, with what it was sent.

use crate::processes::PATIENCE;
use lockstep::edge::Field;
use lockstep::edge::soup::{Client, ClientEnd, ClientEvent, ClientLimits, LoginRequest, Timeout};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What carries a trader's bytes, and never waits.
pub trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

/// One connection, and what came of it.
pub struct Trader {
    wire: Box<dyn Wire>,
    client: Client,
    began: Instant,
    inbox: Vec<u8>,
    out: Vec<u8>,
    /// Sequenced messages with their numbers.
    pub messages: Vec<(u64, Vec<u8>)>,
    /// Unsequenced ones.
    pub unsequenced: Vec<Vec<u8>>,
    /// What the gateway said in words.
    pub said: Vec<String>,
    accepted: Option<(String, u64)>,
}

/// A login request of version 3.0.
pub fn login_of(user: &str, password: &str, session: &str, seq: u64) -> LoginRequest {
    fn field<const N: usize>(text: &str) -> Field<N> {
        Field::new(text.as_bytes()).unwrap_or_else(|error| panic!("'{text}': {error}"))
    }
    LoginRequest {
        username: field(user),
        password: field(password),
        session: field(session),
        seq,
        timeout: Timeout::Absent,
    }
}

impl Trader {
    /// Connects and sends its login; the answer comes by [`Trader::poll`].
    ///
    /// # Errors
    /// Nobody listens.
    pub fn connect(gateway: SocketAddr, login: LoginRequest) -> std::io::Result<Self> {
        let socket = TcpStream::connect_timeout(&gateway, Duration::from_secs(5))?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Self::over(socket, login))
    }

    /// Sends its login over a connection that is there.
    pub fn over(wire: impl Wire + 'static, login: LoginRequest) -> Self {
        // Passwords are checked by a thread that yields to everything else on this machine.
        let limits = ClientLimits { answer_ns: PATIENCE.as_nanos() as u64, ..ClientLimits::default() };
        let mut trader = Self {
            wire: Box::new(wire),
            client: Client::new(0, login, limits),
            began: Instant::now(),
            inbox: Vec::new(),
            out: Vec::new(),
            messages: Vec::new(),
            unsequenced: Vec::new(),
            said: Vec::new(),
            accepted: None,
        };
        trader.client.login(0, &mut trader.out).unwrap_or_else(|error| panic!("{error}"));
        trader
    }

    /// Connects, logs in, and waits for the answer.
    ///
    /// # Errors
    /// The login was refused, or the connection ended.
    pub fn log_in(gateway: SocketAddr, login: LoginRequest) -> Result<Self, ClientEnd> {
        Self::connect(gateway, login).unwrap_or_else(|error| panic!("{gateway}: {error}")).logged_in()
    }

    /// Waits for the answer to its login.
    ///
    /// # Errors
    /// The login was refused, or the connection ended.
    pub fn logged_in(mut self) -> Result<Self, ClientEnd> {
        let deadline = Instant::now() + PATIENCE;
        while self.accepted.is_none() {
            self.poll();
            if let Some(end) = self.client.ended() {
                return Err(end);
            }
            assert!(Instant::now() < deadline, "no answer to a login");
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(self)
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// The session and the number with which its login was accepted.
    pub fn accepted(&self) -> Option<(&str, u64)> {
        self.accepted.as_ref().map(|(session, seq)| (session.as_str(), *seq))
    }

    /// Number of the message that it expects next.
    pub fn next_seq(&self) -> u64 {
        self.client.next_seq()
    }

    /// Why it is over, if it is.
    pub fn ended(&self) -> Option<ClientEnd> {
        self.client.ended()
    }

    /// Sends an unsequenced message.
    pub fn send(&mut self, message: &[u8]) {
        let now = self.now();
        // One that has ended loses what it sends, like any client.
        let _ = self.client.unsequenced(now, message, &mut self.out);
        self.poll();
    }

    /// Whether everything that was to be sent is with the kernel.
    pub fn has_sent(&self) -> bool {
        self.out.is_empty()
    }

    /// Logs out.
    pub fn log_out(&mut self) {
        let now = self.now();
        let _ = self.client.logout(now, &mut self.out); // it may have ended already
        self.poll();
    }

    /// Sends bytes that are no packet of its own making.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.poll();
    }

    /// Sends and receives what can be; never waits.
    pub fn poll(&mut self) {
        let now = self.now();
        while !self.out.is_empty() {
            match self.wire.write(&self.out) {
                Ok(len) => drop(self.out.drain(..len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.out.clear();
                    self.client.close();
                }
            }
        }
        let mut buffer = [0; 16 << 10];
        let mut is_over = false;
        loop {
            match self.wire.read(&mut buffer) {
                Ok(0) => is_over = true,
                Ok(len) => {
                    self.inbox.extend_from_slice(&buffer[..len]);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => is_over = true,
            }
            break;
        }
        self.take(now);
        if is_over {
            self.client.close();
        }
        let _ = self.client.on_timer(now, &mut self.out); // asked by `ended`
    }

    fn take(&mut self, now: u64) {
        let mut at = 0;
        loop {
            let taken = self.client.on_bytes(now, &self.inbox[at..]);
            at += taken.len;
            match taken.event {
                None => break,
                Some(ClientEvent::Accepted { session, next_seq, .. }) => {
                    let session = String::from_utf8_lossy(session.as_bytes()).into_owned();
                    self.accepted = Some((session, next_seq));
                }
                Some(ClientEvent::Message { seq, bytes }) => self.messages.push((seq, bytes.to_vec())),
                Some(ClientEvent::Unsequenced(bytes)) => self.unsequenced.push(bytes.to_vec()),
                Some(ClientEvent::Debug(text)) => self.said.push(String::from_utf8_lossy(text).into_owned()),
                Some(ClientEvent::Ended(_)) => break,
            }
        }
        self.inbox.drain(..at);
    }

    /// Polls until `done` says so.
    ///
    /// # Panics
    /// It does not say so for twenty seconds.
    pub fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            self.poll();
            let (state, count) = (self.client.state(), self.messages.len());
            assert!(Instant::now() < deadline, "{what}: {state:?}, {count} messages, said {:?}", self.said);
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Waits for so many sequenced messages in all.
    pub fn await_messages(&mut self, count: usize) {
        self.until(&format!("{count} messages"), |trader| trader.messages.len() >= count);
    }
}
