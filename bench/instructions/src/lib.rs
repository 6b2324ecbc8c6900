//! # instructions: what a message costs each role, to the instruction
//!
//! Time on a shared machine drifts by a third; instructions do not. Callgrind counts those of one
//! function and all that it calls, in a build by the profile `dist` for the baseline CPU, and the same binary
//! gives the same count every time. So a budget can be held to 2 %: `bench/instructions/budget.toml` has the
//! figures, and whoever raises one says why in the commit.
//!
//! ```text
//!   lockstep-instructions ──starts──▶ valgrind --toggle-collect=<role> lockstep-instructions turns <pattern>  ──▶ totals: N
//!        └── N / messages ── compared with ── bench/instructions/budget.toml
//! ```
//!
//! Behind the figures stands where a leader's instructions go, stage by stage ([`stages`]), and what each
//! stage takes alone in cycles of the CPU's counter ([`cycles`]).
//!
//! Not counted: the kernel, and the device, whose memory lies ready ([`desk::Desk`]). Valgrind shows
//! AVX2 and SSE 4.2 to code that looks for them at run time, so the checksum is counted on the path that
//! production takes.
//!
//! It is a crate of its own, so that a budget is checked without a build of the bench, which takes the same
//! [`world`] and [`frames`] for its own measures.

pub mod build;
mod cluster;
pub mod count;
pub mod cycles;
pub mod desk;
pub mod frames;
pub mod stages;
pub mod world;

/// Bytes of a message: the size that figures of lockstep are given for where nothing else is said.
pub const MESSAGE_LEN: usize = 64;
/// The network's MTU where nothing else is said: frames of 1,424 bytes, fifteen messages of 64.
pub const MTU: usize = 1500;
