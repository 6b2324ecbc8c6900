//! The exchange on the stream: OUCH 5.0 in, OUCH 5.0 and ITCH 5.0 out.

mod books;
mod days;
mod flow;
mod malformed;
mod operators;
mod session;
mod snapshots;
mod venue;
