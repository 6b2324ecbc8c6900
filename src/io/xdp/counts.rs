//! What only xdp does, counted.

/// What an [`Xdp`](super::Xdp) has done beside what [`UdpCounts`](crate::io::udp::UdpCounts) tell.
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
    pub strange_in: u64,
    /// Datagrams that came by the ordinary sockets.
    pub kernel_in: u64,
    /// Datagrams that left by them.
    pub kernel_out: u64,
    /// Neighbours whose card address is known.
    pub neighbours: u64,
}

impl XdpCounts {
    /// The names of [`XdpCounts::values`], in their order.
    pub const NAMES: [&'static str; 8] = [
        "xdp_mode",
        "xdp_queues",
        "xdp_busiest_queue",
        "xdp_busiest_queue_in",
        "xdp_strange_in",
        "xdp_kernel_in",
        "xdp_kernel_out",
        "xdp_neighbours",
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
            strange_in: self.strange_in + other.strange_in,
            kernel_in: self.kernel_in + other.kernel_in,
            kernel_out: self.kernel_out + other.kernel_out,
            neighbours: self.neighbours + other.neighbours,
        }
    }

    /// All counts, for a counters file.
    pub fn values(&self) -> [u64; 8] {
        let Self {
            mode,
            queues,
            busiest_queue,
            busiest_queue_in,
            strange_in,
            kernel_in,
            kernel_out,
            neighbours,
        } = *self;
        [mode, queues, busiest_queue, busiest_queue_in, strange_in, kernel_in, kernel_out, neighbours]
    }
}
