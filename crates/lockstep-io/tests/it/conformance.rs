//! What the port [`Net`](lockstep_core::engine::ports::Net) promises, held by every transport alike: the
//! kernel's UDP, groups by unicast, shared memory, and one without any system call, which stands for those of
//! others. A card by AF_XDP is held to it by the root's tests of networks, the simulator's network by the
//! simulator's. `docs/PORTS.md` has the promises in words.
//!
//! A transport takes part by an [`Ether`](promises::Ether), and by one line below.

mod null;
mod openers;
pub mod promises;
pub mod sockets;

use openers::{Copies, Host, Kernel};
use promises::keeps_its_promises;

keeps_its_promises!(udp, Some(Kernel::new()));
keeps_its_promises!(unicast, Some(Copies::new()));
keeps_its_promises!(shm, Some(Host::new()));
keeps_its_promises!(without_system_calls, Some(null::Ether::default()));
