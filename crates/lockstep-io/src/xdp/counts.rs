//! What only xdp does, counted.

/// What an [`Xdp`](super::Xdp) has done beside what [`UdpCounts`](crate::udp::UdpCounts) tell.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct XdpCounts {
    /// 3 zero-copy, 2 native, 1 generic, 0 no xdp.
    pub mode: u64,
    /// Queues that are used.
    pub queues: u64,
    /// The queue by which most datagrams came.
    pub busiest_queue: u64,
    /// How many those were.
    pub busiest_queue_in: u64,
    /// Frames that were no whole datagram, or of a group that is not joined.
    pub unexpected_in: u64,
    /// Datagrams that came by the ordinary sockets.
    pub kernel_in: u64,
    /// Datagrams that left by them.
    pub kernel_out: u64,
    /// Neighbours whose card address is known.
    pub neighbours: u64,
    /// Datagrams that were handed on to the other processes of this host.
    pub relayed_out: u64,
    /// Datagrams that the owner of the card has handed on to us.
    pub relayed_in: u64,
    /// Of those the ones that were overwritten before we read them.
    pub relay_dropped: u64,
    /// Owners that we hear: on each line one or none.
    pub owners: u64,
}

impl XdpCounts {
    /// The names of [`XdpCounts::values`], in their order.
    pub const NAMES: [&'static str; 12] = [
        "xdp_mode",
        "xdp_queues",
        "xdp_busiest_queue",
        "xdp_busiest_queue_in",
        "xdp_rejected_in",
        "xdp_kernel_in",
        "xdp_kernel_out",
        "xdp_neighbours",
        "xdp_relayed_out",
        "xdp_relayed_in",
        "xdp_relay_dropped",
        "xdp_owners",
    ];

    /// These and those of another line together: of modes the lesser one, of queues the busier one.
    pub fn and(&self, other: &Self) -> Self {
        let mode = if self.mode == 0 || other.mode == 0 {
            self.mode.max(other.mode)
        } else {
            self.mode.min(other.mode)
        };
        let busiest = if self.busiest_queue_in >= other.busiest_queue_in { self } else { other };
        Self {
            mode,
            queues: self.queues + other.queues,
            busiest_queue: busiest.busiest_queue,
            busiest_queue_in: busiest.busiest_queue_in,
            unexpected_in: self.unexpected_in + other.unexpected_in,
            kernel_in: self.kernel_in + other.kernel_in,
            kernel_out: self.kernel_out + other.kernel_out,
            neighbours: self.neighbours + other.neighbours,
            relayed_out: self.relayed_out + other.relayed_out,
            relayed_in: self.relayed_in + other.relayed_in,
            relay_dropped: self.relay_dropped + other.relay_dropped,
            owners: self.owners + other.owners,
        }
    }

    /// All counts, for a counters file.
    pub fn values(&self) -> [u64; 12] {
        [
            self.mode,
            self.queues,
            self.busiest_queue,
            self.busiest_queue_in,
            self.unexpected_in,
            self.kernel_in,
            self.kernel_out,
            self.neighbours,
            self.relayed_out,
            self.relayed_in,
            self.relay_dropped,
            self.owners,
        ]
    }
}
