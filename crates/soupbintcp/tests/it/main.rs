//! # SoupBinTCP: what the codec and its state machines promise
//!
//! Every vector and every trap that is known of the protocol's implementations has its test. A comment names
//! it: `soup 6` is the sixth disagreement about SoupBinTCP, `vector` one of the golden bytes, `negative` one
//! of those that must be refused.

mod client;
mod connection;
mod drawn;
mod fuzz;
mod packet;
mod server;

use soupbintcp::{Field, Session};

/// Bytes of a hex text; blanks are for the eye.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn field<const N: usize>(text: &[u8]) -> Field<N> {
    Field::new(text).expect("a text that fits its field")
}

fn session(name: &str) -> Session {
    field(name.as_bytes())
}

const SECOND: u64 = 1_000_000_000;
