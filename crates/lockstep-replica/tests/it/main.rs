//! A replica and its journal in memory, datagram by datagram.
//! Which of these tests shows which fault stands in `docs/FAULTS.md`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod ages;
mod ahead;
mod alive;
mod behind_foundings;
mod bounds;
mod catch_up;
mod clock;
mod exchange;
mod found;
#[cfg(debug_assertions)]
mod found_by;
mod founding;
mod full;
mod histories;
mod histories_cursors;
mod idle;
mod ingress;
mod install;
mod large;
mod membership;
mod multicast;
mod names;
mod notices;
mod opens;
mod proofs;
mod redundancy;
mod refounded;
mod refused;
mod repair;
mod replayed;
mod replica;
mod rights;
mod roles;
mod scripts;
mod shipped;
mod takeover;
mod time_order;
mod upgrade;
mod witness;
