//! The tests of the laboratory, one program.

mod cards;
mod causal;
mod compare;
mod own;
mod paxos_log;
mod pictures;
mod properties;
mod readers;
mod searches;
mod texts;
mod valence;
