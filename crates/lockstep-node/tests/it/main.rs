//! A node and its files on this machine.

mod journal;
