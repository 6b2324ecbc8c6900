//! A FIX 4.4 client that judges each message that it is sent: its number, its checksum and its times.

use super::frame;
use lockstep_io::clock::Utc;
use lockstep_testkit::processes::PATIENCE;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A heartbeat of each side comes so often, in seconds.
pub const HEARTBEAT_S: u64 = 2;
/// Between two looks at the socket.
const LOOK: Duration = Duration::from_millis(5);
const MS: u64 = 1_000_000;

/// A message that the client was sent.
#[derive(Clone, Debug)]
pub struct FixMessage {
    fields: Vec<(u32, String)>,
    /// The host's clock when it came.
    pub received_at: u64,
}

impl FixMessage {
    pub fn text(&self, tag: u32) -> &str {
        self.fields.iter().find(|(name, _)| *name == tag).map_or("", |(_, value)| value)
    }

    pub fn number(&self) -> u64 {
        self.text(34).parse().expect("MsgSeqNum")
    }

    pub fn is_again(&self) -> bool {
        self.text(43) == "Y"
    }

    /// SendingTime, in nanoseconds since 1970.
    pub fn sending_time(&self) -> u64 {
        time_of(self.text(52))
    }

    /// OrigSendingTime, likewise.
    pub fn original_time(&self) -> u64 {
        time_of(self.text(122))
    }

    /// The report that an order was accepted.
    pub fn accepts(&self, name: &str) -> bool {
        self.text(35) == "8" && self.text(150) == "0" && self.text(11) == name
    }
}

/// The nanoseconds of `20261129-01:02:03.456`.
fn time_of(text: &str) -> u64 {
    let (day, rest) = text.split_once('-').unwrap_or_else(|| panic!("no time: {text:?}"));
    let day = Utc::day(&format!("{}-{}-{}", &day[..4], &day[4..6], &day[6..])).expect("a day").0;
    let number = |digits: &str| digits.parse::<u64>().unwrap_or_else(|_| panic!("no time: {text:?}"));
    let seconds = number(&rest[..2]) * 3_600 + number(&rest[3..5]) * 60 + number(&rest[6..8]);
    let ms = rest.get(9..).map_or(0, |digits| number(&format!("{digits:0<3}")[..3]));
    day + seconds * 1_000 * MS + ms * MS
}

/// A time as FIX writes it.
fn text_of(time: u64) -> String {
    let text = Utc(time).to_string();
    format!("{}-{}", text[..10].replace('-', ""), &text[11..23])
}

/// See the module.
pub struct FixTrader {
    user: String,
    socket: Option<TcpStream>,
    bytes: Vec<u8>,
    /// The number of the next message to the gateway, and of the next one from it.
    pub next_out: u64,
    pub next_in: u64,
    /// What was sent or stored, by its number: kind, body, and the time of the first sending.
    sent: Vec<(u64, String, String, u64)>,
    sent_at: Instant,
    /// All messages, in the order in which they came.
    pub messages: Vec<FixMessage>,
}

impl FixTrader {
    pub fn new(user: &str) -> Self {
        Self {
            user: user.to_owned(),
            socket: None,
            bytes: Vec::new(),
            next_out: 1,
            next_in: 1,
            sent: Vec::new(),
            sent_at: Instant::now(),
            messages: Vec::new(),
        }
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// Connects and logs in. Returns the answer; messages that were missed are asked for.
    pub fn log_on(&mut self, address: SocketAddr) -> FixMessage {
        let socket = TcpStream::connect(address).expect("a gateway");
        socket.set_read_timeout(Some(LOOK)).expect("a socket");
        (self.socket, self.bytes) = (Some(socket), Vec::new());
        let seen = self.messages.len();
        self.send("A", &format!("98=0|108={HEARTBEAT_S}|554=secret|"));
        self.until("the answer to its logon", |new| new.iter().any(|message| message.text(35) == "A"), seen);
        self.messages[seen..].iter().find(|message| message.text(35) == "A").expect("it came").clone()
    }

    /// Drops the connection without a word.
    pub fn disconnect(&mut self) {
        self.socket = None;
    }

    /// Buys or sells one lot of ABC.
    pub fn order(&mut self, name: &str, side: u8, price: &str) {
        let now = text_of(Utc::now().0);
        let body = format!("11={name}|21=1|55=ALC|54={side}|60={now}|38=1|40=2|44={price}|59=0|");
        self.send("D", &body);
    }

    /// Sends a message under the next number, or stores it where there is no connection.
    fn send(&mut self, kind: &str, body: &str) {
        let (number, now) = (self.next_out, Utc::now().0);
        self.next_out += 1;
        self.sent.push((number, kind.to_owned(), body.to_owned(), now));
        self.write(number, kind, "", body, now);
    }

    fn write(&mut self, number: u64, kind: &str, more: &str, body: &str, now: u64) {
        let head = format!("35={kind}|34={number}|49={}|56=LOCKSTEP|52={}|{more}", self.user, text_of(now));
        if let Some(socket) = &mut self.socket {
            socket.write_all(&frame("FIX.4.4", &format!("{head}{body}"))).expect("the gateway takes it");
            self.sent_at = Instant::now();
        }
    }

    /// Sends what the gateway asks for again: orders with PossDupFlag, a Gap Fill for the rest.
    fn resend(&mut self, from: u64) {
        let now = Utc::now().0;
        for (number, kind, body, sent_at) in
            self.sent.clone().into_iter().filter(|(number, ..)| *number >= from)
        {
            let again = format!("43=Y|122={}|", text_of(sent_at));
            if kind == "D" {
                self.write(number, &kind, &again, &body, now);
            } else {
                self.write(number, "4", &again, &format!("123=Y|36={}|", number + 1), now);
            }
        }
    }

    /// Takes what comes, and answers it. Sends a heartbeat when it is due.
    pub fn turn(&mut self) {
        let mut chunk = [0; 4096];
        match self.socket.as_mut().expect("a connection").read(&mut chunk) {
            Ok(0) => {
                panic!("{}: the gateway has closed the connection: {:#?}", self.user, self.messages.last())
            }
            Ok(count) => self.bytes.extend_from_slice(&chunk[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{}: {error}", self.user),
        }
        while let Some(message) = self.next() {
            self.take(message);
        }
        if self.sent_at.elapsed() >= Duration::from_secs(HEARTBEAT_S) {
            self.send("0", "");
        }
    }

    /// The next whole message.
    fn next(&mut self) -> Option<FixMessage> {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        let end = text.find("\x0110=")? + 8;
        if text.len() < end {
            return None;
        }
        let sum = text.as_bytes()[..end - 7].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        assert_eq!(&text[end - 4..end - 1], format!("{sum:03}"), "its checksum: {text:?}");
        self.bytes.drain(..end);
        let fields = text[..end - 1].split('\x01').map(|field| {
            let (tag, value) = field.split_once('=').unwrap_or_else(|| panic!("{field:?}"));
            (tag.parse().expect("a tag"), value.to_owned())
        });
        Some(FixMessage { fields: fields.collect(), received_at: Utc::now().0 })
    }

    fn take(&mut self, message: FixMessage) {
        let number = message.number();
        match message.text(35) {
            "3" | "5" | "j" => panic!("{}: refused: {message:#?}", self.user),
            // A Gap Fill.
            "4" if number == self.next_in => self.next_in = message.text(36).parse().expect("NewSeqNo"),
            _ if number > self.next_in => {
                // It is asked for once; what comes behind it comes again.
                let from = self.next_in;
                let is_asked = self
                    .sent
                    .iter()
                    .any(|(_, kind, body, _)| kind == "2" && body.starts_with(&format!("7={from}|")));
                if !is_asked {
                    self.send("2", &format!("7={from}|16=0|"));
                }
                if message.text(35) == "A" {
                    self.messages.push(message);
                }
                return;
            }
            kind => {
                assert_eq!(number, self.next_in, "{}: {message:#?}", self.user);
                self.next_in += 1;
                match kind {
                    "1" => self.send("0", &format!("112={}|", message.text(112))),
                    "2" => self.resend(message.text(7).parse().expect("BeginSeqNo")),
                    _ => {}
                }
            }
        }
        self.messages.push(message);
    }

    /// Runs until it holds of the messages from `seen` on.
    #[track_caller]
    pub fn until(&mut self, what: &str, is_so: impl Fn(&[FixMessage]) -> bool, seen: usize) {
        let began = Instant::now();
        while !is_so(&self.messages[seen..]) {
            assert!(began.elapsed() < PATIENCE, "{}: {what}: {:#?}", self.user, &self.messages[seen..]);
            self.turn();
        }
    }

    /// Runs until the orders with these names are accepted.
    #[track_caller]
    pub fn await_accepted(&mut self, names: &[String]) {
        let has =
            |messages: &[FixMessage], name: &String| messages.iter().any(|message| message.accepts(name));
        self.until("its answers", |messages| names.iter().all(|name| has(messages, name)), 0);
    }

    /// Runs until so many more heartbeats have come that no Test Request caused.
    #[track_caller]
    pub fn await_heartbeats(&mut self, count: usize) {
        let seen = self.messages.len();
        let is_heartbeat = |message: &&FixMessage| message.text(35) == "0" && message.text(112).is_empty();
        self.until("heartbeats", |new| new.iter().filter(is_heartbeat).count() >= count, seen);
    }

    /// Heartbeats that it has sent.
    pub fn heartbeats_sent(&self) -> usize {
        self.sent.iter().filter(|(_, kind, ..)| kind == "0").count()
    }
}
