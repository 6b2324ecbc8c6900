//! What the world must provide to an engine, in words. `io` is one such world (`io::udp`, `io::xdp`,
//! `io::fanout`, `io::shm`), `sim` another.

use lockstep_wire::Nanos;
use std::net::SocketAddrV4;

/// A thread that sleeps between the turns of an engine wakes at least this often, whatever deadline the
/// engine names.
pub const PARK_NS_MAX: Nanos = 10_000_000;

/// The three multicast groups of a cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Group {
    /// Publishers → replicas.
    Submit,
    /// Leader → all.
    Data,
    /// Replicas → all.
    Control,
}

impl Group {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Submit, Self::Data, Self::Control];
}

/// Datagrams of equal size one behind the other in memory, the last may be shorter: what one
/// `UDP_SEGMENT` send takes.
#[derive(Clone, Copy, Debug)]
pub struct Burst<'a> {
    /// All of them.
    pub bytes: &'a [u8],
    /// Bytes of each but the last.
    pub stride: usize,
}

impl Burst<'_> {
    /// How many datagrams it is.
    #[inline]
    pub fn count(&self) -> usize {
        // Mostly one, and that needs no division.
        if self.bytes.len() <= self.stride {
            usize::from(!self.bytes.is_empty())
        } else {
            self.bytes.len().div_ceil(self.stride.max(1))
        }
    }
}

/// A device that carries datagrams.
///
/// * It lends memory: what `recv_*` announced stays valid, and is read by index, until the next call
///   of the same `recv_*`. Nothing is copied for the caller.
/// * It never blocks. `recv_*` is at most one system call, and so is `send_group`: one for each line, and
///   where each member is sent to alone one for a thousand copies.
/// * Datagrams may be lost, repeated and reordered; one is delivered whole or not at all.
/// * Own datagrams may come back: the engines drop them by sender.
pub trait Net {
    /// One receive call on the socket of the joined groups. Returns how many datagrams are lent.
    fn recv_groups(&mut self) -> usize;
    /// Whether the last [`Net::recv_groups`] took all that there was: it had room for more. How many it lent
    /// does not say that: a device may ask for one only, and lend fewer than it took.
    fn is_drained(&self) -> bool;
    /// The `index`th datagram of the last [`Net::recv_groups`].
    fn group_datagram(&self, index: usize) -> &[u8];
    /// One receive call on the unicast socket.
    fn recv_unicast(&mut self) -> usize;
    /// The `index`th datagram of the last [`Net::recv_unicast`], and who sent it.
    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4);
    /// One send call of all `bursts`, in order. Returns how many datagrams the device took, counted
    /// from the front; the caller offers the rest again or leaves them to repair.
    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize;
    /// Sends one datagram made of two parts (the second may be empty). Returns whether the device took it;
    /// if not, the caller tries again.
    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool;
    /// Datagrams that were thrown away unread because there was no room for them, since the device was
    /// opened.
    fn dropped(&self) -> u64 {
        0
    }
    /// From now on datagrams of `group` are received, or no longer: a leader does not receive what it sends
    /// itself, a standby does. A device that cannot choose receives all groups.
    fn set_joined(&mut self, _group: Group, _joined: bool) {}
}

/// Memory for more than a process holds: records in the order in which they were appended. It may be lost
/// with the process, as the stream has everything. `io::spool` is one, in a file; [`MemoryBacklog`] another.
pub trait Backlog {
    /// Where the next record begins.
    fn len(&self) -> u64;
    /// Whether nothing is kept.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Whether a record of `len` bytes still finds room.
    fn has_room(&self, len: usize) -> bool;
    /// Appends a record of these parts, for which [`Backlog::has_room`], and returns where it begins.
    ///
    /// # Errors
    /// It cannot be written.
    fn append(&mut self, parts: [&[u8]; 2]) -> Result<u64, BacklogError>;
    /// Reads what stands at `at`; it has been appended.
    ///
    /// # Errors
    /// It cannot be read, or ends before.
    fn read(&self, at: u64, out: &mut [u8]) -> Result<(), BacklogError>;
    /// Forgets what stands from `at` on.
    ///
    /// # Errors
    /// It cannot be cut.
    fn cut(&mut self, at: u64) -> Result<(), BacklogError>;
}

/// Why a backlog does not work, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BacklogError(pub String);

impl std::fmt::Display for BacklogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BacklogError {}

/// A backlog in memory, bounded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemoryBacklog {
    bytes: Vec<u8>,
    len_max: u64,
}

impl MemoryBacklog {
    /// One of at most `len_max` bytes.
    pub fn new(len_max: u64) -> Self {
        Self { bytes: Vec::new(), len_max }
    }
}

impl Backlog for MemoryBacklog {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn has_room(&self, len: usize) -> bool {
        self.len() + len as u64 <= self.len_max
    }

    fn append(&mut self, parts: [&[u8]; 2]) -> Result<u64, BacklogError> {
        let at = self.len();
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        Ok(at)
    }

    fn read(&self, at: u64, out: &mut [u8]) -> Result<(), BacklogError> {
        let begin = usize::try_from(at).unwrap_or(usize::MAX);
        let stored = self.bytes.get(begin..begin.saturating_add(out.len()));
        let stored =
            stored.ok_or_else(|| BacklogError(format!("{} bytes at {at} are not kept", out.len())))?;
        out.copy_from_slice(stored);
        Ok(())
    }

    fn cut(&mut self, at: u64) -> Result<(), BacklogError> {
        self.bytes.truncate(usize::try_from(at).unwrap_or(usize::MAX));
        Ok(())
    }
}
