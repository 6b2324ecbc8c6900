//! A client of a gateway as a trading firm would write it: SoupBinTCP over a socket, or over what encrypts
//! for one, with what it was sent.

use crate::processes::PATIENCE;
use soupbintcp::Field;
use soupbintcp::{ClientEnd, ClientEvent, ClientLimits, Connection, LoginRequest, Timeout};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What carries a trader's bytes, and never waits.
pub trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

/// One connection, and what came of it.
pub struct Trader {
    connection: Connection<Box<dyn Wire>>,
    began: Instant,
    /// Sequenced messages with their numbers.
    pub messages: Vec<(u64, Vec<u8>)>,
    /// Unsequenced ones.
    pub unsequenced: Vec<Vec<u8>>,
    /// The gateway's debug texts.
    pub debug: Vec<String>,
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
        let wire: Box<dyn Wire> = Box::new(wire);
        let mut trader = Self {
            connection: Connection::log_in(0, wire, login, limits).unwrap_or_else(|error| panic!("{error}")),
            began: Instant::now(),
            messages: Vec::new(),
            unsequenced: Vec::new(),
            debug: Vec::new(),
            accepted: None,
        };
        trader.poll();
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
            if let Some(end) = self.ended() {
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
        self.connection.client().next_seq()
    }

    /// Why it is over, if it is.
    pub fn ended(&self) -> Option<ClientEnd> {
        self.connection.client().ended()
    }

    /// Sends an unsequenced message.
    pub fn send(&mut self, message: &[u8]) {
        let now = self.now();
        // One that has ended loses what it sends, like any client.
        let _ = self.connection.unsequenced(now, message);
        self.poll();
    }

    /// Whether everything that was to be sent is with the kernel.
    pub fn has_sent(&self) -> bool {
        self.connection.waiting() == 0
    }

    /// Logs out.
    pub fn log_out(&mut self) {
        let now = self.now();
        let _ = self.connection.log_out(now); // it may have ended already
        self.poll();
    }

    /// Sends bytes that are no packet of its own making.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.poll();
        let _ = self.connection.stream_mut().write_all(bytes); // a gateway that has closed hears nothing
        self.poll();
    }

    /// Sends and receives what can be; never waits.
    pub fn poll(&mut self) {
        let now = self.now();
        let Self { connection, messages, unsequenced, debug, accepted, .. } = self;
        connection.poll(now, |event| match event {
            ClientEvent::Accepted { session, next_seq, .. } => {
                let session = String::from_utf8_lossy(session.as_bytes()).into_owned();
                *accepted = Some((session, next_seq));
            }
            ClientEvent::Message { seq, bytes } => messages.push((seq, bytes.to_vec())),
            ClientEvent::Unsequenced(bytes) => unsequenced.push(bytes.to_vec()),
            ClientEvent::Debug(text) => debug.push(String::from_utf8_lossy(text).into_owned()),
            ClientEvent::Ended(_) => {}
        });
    }

    /// Polls until `done` says so.
    ///
    /// # Panics
    /// It does not say so for twenty seconds.
    pub fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            self.poll();
            let (state, count) = (self.connection.client().state(), self.messages.len());
            assert!(Instant::now() < deadline, "{what}: {state:?}, {count} messages, said {:?}", self.debug);
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Waits for so many sequenced messages in all.
    pub fn await_messages(&mut self, count: usize) {
        self.until(&format!("{count} messages"), |trader| trader.messages.len() >= count);
    }
}
