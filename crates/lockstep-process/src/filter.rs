//! # filter: seccomp filters of threads
//!
//! The crate `seccompiler` writes the kernel's program and puts it on a thread. Its programs end the process
//! at a call of another architecture (a 32-bit one), which no program of ours makes.

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule, TargetArch};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};

/// The calls that a filter names, by their numbers. One with rules is meant where one of these holds.
pub(crate) type Calls = BTreeMap<i64, Vec<SeccompRule>>;

/// The architecture of this process, if the numbers of its system calls are known.
pub(crate) fn architecture() -> Result<TargetArch> {
    let unknown = |_| Error::new(ErrorKind::Unsupported, "its calls are not known on this architecture");
    TargetArch::try_from(std::env::consts::ARCH).map_err(unknown)
}

/// A filter that answers these calls with `named`, and all others with `others`.
pub(crate) fn program(calls: Calls, named: SeccompAction, others: SeccompAction) -> Result<BpfProgram> {
    let filter = SeccompFilter::new(calls, others, named, architecture()?);
    filter.and_then(BpfProgram::try_from).map_err(Error::other)
}

/// Puts a filter on this thread, for ever, and on those that it starts. The thread gains no rights from now
/// on, as seccomp demands.
pub(crate) fn apply(program: &BpfProgram) -> Result<()> {
    seccompiler::apply_filter(program).map_err(|error| match error {
        seccompiler::Error::Prctl(source) | seccompiler::Error::Seccomp(source) => source,
        other => Error::other(other),
    })
}
