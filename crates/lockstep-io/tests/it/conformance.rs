//! The promises of the port [`Net`](lockstep_core::engine::ports::Net), which every transport keeps: the
//! kernel's UDP, groups by unicast, shared memory, and one without any system call, which stands for those of
//! other libraries. The root's tests of networks check a card by AF_XDP, and the simulator's tests its own
//! network. `docs/PORTS.md` has the promises in words.
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
