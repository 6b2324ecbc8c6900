//! # acknowledger: the simplest machine behind a gateway
//!
//! It acknowledges each message of a client to that client. It is the application of `lockstep demo` and of
//! the gateway's tests, and the baseline against which machines that do more are measured.

use crate::machine::{Input, InputEvent, StateMachine};
use crate::output::Output;
use std::io::{self, Read, Write};

/// The machine: see the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Acknowledger {
    /// The number of acknowledged messages.
    orders: u64,
}

impl Acknowledger {
    /// The beginning of an answer; the answered message follows.
    pub const PREFIX: &[u8] = b"ack ";
    /// The name under which the acknowledger of the demo and of tests publishes.
    pub const NAME: &str = "exchange";
    /// The nonce that its copies share.
    pub const NONCE: [u64; 2] = [7, 7];

    /// The number of acknowledged messages.
    pub fn orders(&self) -> u64 {
        self.orders
    }
}

impl StateMachine for Acknowledger {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        if let InputEvent::Message { publisher, user: Some(_), payload, .. } = input.event {
            self.orders += 1;
            output.publish_parts(publisher, &[Self::PREFIX, payload]);
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.orders.to_le_bytes())
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        let mut orders = [0; 8];
        from.read_exact(&mut orders)?;
        Ok(Self { orders: u64::from_le_bytes(orders) })
    }
}
