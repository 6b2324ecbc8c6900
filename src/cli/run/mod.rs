//! A cluster begins, and clients of its stream. Its processes are those of `lockstep_daemon`.

pub mod bootstrap;
pub mod format;
pub mod publish;
pub mod subscribe;
