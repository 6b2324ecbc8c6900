//! The bench: every measure, short, as a program of its own, and what its parts compute.

mod compare;
mod day;
mod failover;
mod fanout;
mod floor;
mod gateway;
mod journal;
mod languages;
mod latency;
mod merge;
mod micro;
mod parts;
mod report;
mod results;
mod support;
