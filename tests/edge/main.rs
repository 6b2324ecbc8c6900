//! # Other people's protocols: the promises of `edge`
//!
//! Every vector and every trap that is known of the protocols' implementations has its test. A comment names
//! it: `soup 6` is the sixth disagreement about SoupBinTCP, `mold 6` that about MoldUDP64, `vector` one of
//! the golden bytes, `negative` one of those that must be refused.

mod feed;
mod fuzz;
mod mold_client;
mod mold_packet;
mod mold_server;
mod soup_client;
mod soup_connection;
mod soup_packet;
mod soup_server;

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

fn mold_session(name: &str) -> moldudp64::Session {
    moldudp64::Session::new(name.as_bytes()).expect("a name that fits")
}

const SECOND: u64 = 1_000_000_000;
