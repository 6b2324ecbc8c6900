//! The exchange on the stream: OUCH 5.0 in, OUCH 5.0 and ITCH 5.0 out.

#[path = "machine/books.rs"]
mod books;
#[path = "machine/days.rs"]
mod days;
#[path = "machine/flow.rs"]
mod flow;
#[path = "machine/malformed.rs"]
mod malformed;
#[path = "machine/operators.rs"]
mod operators;
#[path = "machine/session.rs"]
mod session;
#[path = "machine/snapshots.rs"]
mod snapshots;
#[path = "machine/venue.rs"]
mod venue;
