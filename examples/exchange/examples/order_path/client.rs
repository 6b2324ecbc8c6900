//! A client that measures: OUCH 5.0 over SoupBinTCP, orders one by one or at a rate.

use crate::machine::{is_buy, order};
use hdrhistogram::Histogram;
use lockstep_process::cpu;
use ouch50::Outbound;
use soupbintcp::{
    Client, ClientEvent, ClientLimits, ClientState, Field, LoginRequest, Packet, Session, Timeout,
};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub type Failure = Box<dyn Error + Send + Sync>;

/// The password of all users; the gateway listens on the loopback alone.
pub const PASSWORD: &str = "demo";
/// An answer that has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(30);
/// From the start of a thread that sends to its first order.
const LEAD: Duration = Duration::from_millis(1);
/// How much later than asked the kernel may end a sleep of the thread that sends.
const SLACK_NS: u64 = 1_000;

/// The times of one round.
pub struct Latencies {
    /// From an order to Accepted, in nanoseconds.
    pub accepted: Histogram<u64>,
    /// From an order that executes to its Executed.
    pub executed: Histogram<u64>,
    /// Messages of the server.
    pub answers: u64,
}

impl Latencies {
    pub fn new() -> Result<Self, Failure> {
        let histogram = || Histogram::new_with_bounds(1, PATIENCE.as_nanos() as u64, 3);
        Ok(Self { accepted: histogram()?, executed: histogram()?, answers: 0 })
    }
}

/// An answer to an order.
#[derive(Clone, Copy)]
struct Answer {
    number: u32,
    is_execution: bool,
}

/// One connection.
pub struct OrderClient {
    stream: TcpStream,
    client: Client,
    inbox: Vec<u8>,
    buffer: Vec<u8>,
    began: Instant,
    /// The number of the next order.
    next: u32,
    /// Whether orders are matched; if not, each has one answer.
    is_matched: bool,
}

fn login(user: &str) -> Result<LoginRequest, Failure> {
    Ok(LoginRequest {
        username: Field::new(user.as_bytes())?,
        password: Field::new(PASSWORD.as_bytes())?,
        session: Session::BLANK,
        seq: 1,
        timeout: Timeout::Absent,
    })
}

/// The answer in a message of the server; what concerns no order is none.
fn answer_of(message: &[u8]) -> Result<Option<Answer>, Failure> {
    match Outbound::parse(message)? {
        Outbound::Accepted(accepted) => {
            Ok(Some(Answer { number: accepted.user_ref_num, is_execution: false }))
        }
        Outbound::Executed(executed) => {
            Ok(Some(Answer { number: executed.user_ref_num, is_execution: true }))
        }
        Outbound::SystemEvent(_) => Ok(None),
        other => Err(format!("an order of the bench was answered by {other:?}").into()),
    }
}

impl OrderClient {
    /// Connects and logs in.
    pub fn log_in(address: SocketAddr, user: &str, is_matched: bool) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let (mut client, mut out) = (Client::new(0, login(user)?, ClientLimits::default()), Vec::new());
        client.login(0, &mut out)?;
        stream.write_all(&out)?;
        let (inbox, buffer) = (Vec::new(), vec![0; 1 << 16]);
        let mut logged_in =
            Self { stream, client, inbox, buffer, began: Instant::now(), next: 1, is_matched };
        while logged_in.client.state() == ClientState::LoginSent {
            logged_in.read(&mut |_| {})?;
        }
        Ok(logged_in)
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// Waits for bytes, and hands on the answers in them.
    fn read(&mut self, f: &mut impl FnMut(Answer)) -> Result<(), Failure> {
        let len = self.stream.read(&mut self.buffer).map_err(|error| format!("no answer came: {error}"))?;
        self.inbox.extend_from_slice(&self.buffer[..len]);
        let (now, mut at) = (self.now(), 0);
        loop {
            let taken = self.client.on_bytes(now, &self.inbox[at..]);
            at += taken.len;
            match taken.event {
                Some(ClientEvent::Message { bytes, .. }) => {
                    if let Some(answer) = answer_of(bytes)? {
                        f(answer);
                    }
                }
                Some(ClientEvent::Ended(end)) => return Err(format!("the session ended: {end:?}").into()),
                Some(_) => {}
                None => break,
            }
        }
        self.inbox.drain(..at);
        if len == 0 { Err("the server has closed the connection".into()) } else { Ok(()) }
    }

    /// How many answers the orders in `numbers` have.
    fn answers(&self, numbers: std::ops::Range<u32>) -> u64 {
        let executes = |number: &u32| self.is_matched && is_buy(*number);
        numbers.map(|number| if executes(&number) { 3 } else { 1 }).sum()
    }

    /// Reads until the orders from `first` on have all answers. `sent` is when an order was to be sent.
    fn await_answers(
        &mut self,
        first: u32,
        times: &mut Latencies,
        sent: impl Fn(u32) -> Instant,
    ) -> Result<(), Failure> {
        let mut awaited = self.answers(first..self.next);
        times.answers += awaited;
        while awaited > 0 {
            self.read(&mut |answer| {
                awaited = awaited.saturating_sub(1);
                // The execution of an order that rested is the other one's time.
                let histogram = match answer.is_execution {
                    true if is_buy(answer.number) => &mut times.executed,
                    true => return,
                    false => &mut times.accepted,
                };
                histogram.saturating_record(sent(answer.number).elapsed().as_nanos() as u64);
            })?;
        }
        Ok(())
    }

    fn take_number(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    /// Sends so many orders, each when the one before has all of its answers.
    pub fn closed_loop(&mut self, orders: u32, times: &mut Latencies) -> Result<(), Failure> {
        let (mut message, mut out) = (Vec::new(), Vec::new());
        for _ in 0..orders {
            let number = self.take_number();
            message.clear();
            out.clear();
            order(number).append(&mut message)?;
            let now = self.now();
            self.client.unsequenced(now, &message, &mut out)?;
            let sent = Instant::now();
            self.stream.write_all(&out)?;
            self.await_answers(number, times, |_| sent)?;
        }
        Ok(())
    }

    /// Sends so many orders at `rate` a second, whatever has been answered; times count from when an order
    /// was to be sent. The time from the last order's to the last answer.
    pub fn open_loop(&mut self, orders: u32, rate: u32, times: &mut Latencies) -> Result<Duration, Failure> {
        let first = self.next;
        self.next += orders;
        let mut stream = self.stream.try_clone()?;
        let begin = Instant::now() + LEAD;
        let due =
            move |number: u32| begin + Duration::from_secs_f64(f64::from(number - first) / f64::from(rate));
        std::thread::scope(|scope| {
            let sending = scope.spawn(move || send_at(&mut stream, first..first + orders, due));
            let read = self.await_answers(first, times, due);
            sending.join().map_err(|_| "the thread that sends has panicked")??;
            read
        })?;
        Ok(due(first + orders - 1).elapsed())
    }
}

/// Sends each order when it is due, and together those that became due meanwhile.
fn send_at(
    stream: &mut TcpStream,
    numbers: std::ops::Range<u32>,
    due: impl Fn(u32) -> Instant,
) -> Result<(), Failure> {
    cpu::timer_slack(SLACK_NS);
    let (mut message, mut out) = (Vec::new(), Vec::new());
    for number in numbers {
        let left = due(number).saturating_duration_since(Instant::now());
        if !left.is_zero() {
            stream.write_all(&out)?;
            out.clear();
            let left = due(number).saturating_duration_since(Instant::now());
            std::thread::sleep(left);
        }
        message.clear();
        order(number).append(&mut message)?;
        Packet::Unsequenced(&message).append(&mut out)?;
    }
    Ok(stream.write_all(&out)?)
}
