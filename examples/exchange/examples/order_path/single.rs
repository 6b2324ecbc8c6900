//! The same exchange in one process: its engine behind a TCP socket that speaks the same SoupBinTCP and OUCH
//! 5.0. No order is stamped, none survives the process, and the market is published to nobody.

use crate::client::Failure;
use crate::founding;
use lockstep_app::{EVERYBODY, Input, InputEvent, Output, StateMachine};
use lockstep_exchange::ExchangeMachine;
use soupbintcp::{Event, Server, ServerLimits, Session};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The account of the one client.
const CLIENT: u32 = 1;
const USER: &str = "match";

struct SingleExchange {
    machine: ExchangeMachine,
    server: Server,
    output: Output,
    seq: u64,
    out: Vec<u8>,
}

impl SingleExchange {
    /// Applies an input, and sends what its client is to get.
    fn apply(&mut self, now: u64, event: InputEvent<'_>) -> Result<(), Failure> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
        self.seq += 1;
        self.output.begin(time);
        self.machine.apply(&Input { seq: self.seq, time, event }, &mut self.output);
        for (_, message) in self.output.published().filter(|(destination, _)| *destination == CLIENT) {
            self.server.sequenced(now, message, &mut self.out)?;
        }
        Ok(())
    }

    /// Takes the first packet of `bytes`; how many were taken, and whether more may be.
    fn take(&mut self, now: u64, bytes: &[u8]) -> Result<(usize, bool), Failure> {
        let taken = self.server.on_bytes(now, bytes);
        match taken.event {
            Some(Event::Login(_)) => {
                self.server.accept(now, Session::new(b"SINGLE")?, 1, &mut self.out)?;
                self.apply(now, InputEvent::Connected { user: USER, publisher: CLIENT })?;
            }
            Some(Event::Message(payload)) => {
                let (publisher, publisher_seq, destination) = (CLIENT, self.seq, EVERYBODY);
                let user = Some(USER);
                self.apply(
                    now,
                    InputEvent::Message { publisher, publisher_seq, destination, user, payload },
                )?;
            }
            Some(Event::Fault(fault)) => return Err(fault.into()),
            Some(Event::Logout | Event::Debug(_)) => {}
            None => return Ok((taken.len, false)),
        }
        Ok((taken.len, true))
    }
}

fn serve_client(mut stream: TcpStream) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let machine = founding::founded(None).map_err(|error| error.to_string())?;
    let server = Server::new(0, ServerLimits::default());
    let (output, out) = (Output::default(), Vec::new());
    let mut exchange = SingleExchange { machine, server, output, seq: 0, out };
    let (began, mut inbox, mut buffer) = (Instant::now(), Vec::new(), vec![0; 1 << 16]);
    loop {
        let len = stream.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        inbox.extend_from_slice(&buffer[..len]);
        let (now, mut at, mut goes_on) = (began.elapsed().as_nanos() as u64, 0, true);
        while goes_on {
            let (taken, more) = exchange.take(now, &inbox[at..])?;
            (at, goes_on) = (at + taken, more);
        }
        inbox.drain(..at);
        stream.write_all(&exchange.out)?;
        exchange.out.clear();
    }
}

/// Serves one client until it is gone; the first line on stdout says where.
pub fn serve() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening {}", listener.local_addr()?);
    serve_client(listener.accept()?.0)
}
