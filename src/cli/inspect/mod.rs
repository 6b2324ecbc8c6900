//! The state of a cluster, its past, and its faults.

pub mod audit;
pub mod bundle;
pub mod check;
pub mod counters;
pub mod doctor;
pub mod events;
pub mod explain;
pub mod health;
pub mod losses;
pub mod metrics;
pub mod prove;
pub mod status;
pub mod top;
pub mod wait;
pub mod web;
pub mod why;
