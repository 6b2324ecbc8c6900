//! lockstep's handles for C and C++.
//!
//! `include/lockstep.h` is written from these sources, and a test compares them. Conventions:
//!
//! * A function that may fail returns a [`lockstep_status`]; [`lockstep_error`] gives the text of the last
//!   failure of the calling thread.
//! * Functions that do work return how much of it as a number of 64 bits, or a failure as a negative
//!   [`lockstep_status`].
//! * A handle belongs to one thread at a time. Two handles may be used by two threads at once. An endpoint
//!   may be used by any number of threads.
//! * A handle belongs to the process that has connected it: in a child of a fork each call returns
//!   `LOCKSTEP_STATUS_OTHER_PROCESS`, but for `…_close`, which harms nobody. Connect a handle of the child's
//!   own; an endpoint may be used for that.
//! * `…_close` takes the address of the handle and sets it to NULL; a NULL handle is refused with
//!   `LOCKSTEP_STATUS_CLOSED_HANDLE`, and closing it again does nothing.
//! * Bytes that a callback or a batch receives are valid until the callback returns, or until the next call
//!   with the handle of the batch.
//! * No panic crosses: a function that would panic returns `LOCKSTEP_STATUS_PANIC`, and its handle refuses
//!   all further calls with it.

#![allow(non_camel_case_types)] // names of C

mod app;
mod cursor_file;
mod endpoint;
mod foreign;
mod guard;
mod machine;
mod merged;
mod participant;
mod publisher;
mod request;
mod status;
mod subscriber;
mod trial;
mod types;

pub use app::*;
pub use cursor_file::*;
pub use endpoint::*;
pub use machine::*;
pub use merged::*;
pub use participant::*;
pub use publisher::*;
pub use request::*;
pub use status::*;
pub use subscriber::*;
pub use trial::*;
pub use types::*;
