//! # MoldUDP64: what the codec, the packer, the receiver and the request server promise
//!
//! Every vector and every trap that is known of the protocol's implementations has its test. A comment names
//! it: `mold 6` is the sixth disagreement about MoldUDP64, `vector` one of the golden bytes, `negative` one
//! of those that must be refused.

mod client;
#[path = "../../../soupbintcp/tests/it/drawn.rs"]
mod drawn;
mod fuzz;
mod packet;
mod server;

use moldudp64::Session;

/// Bytes of a hex text; blanks are for the eye.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn session(name: &str) -> Session {
    Session::new(name.as_bytes()).expect("a name that fits")
}

const SECOND: u64 = 1_000_000_000;
