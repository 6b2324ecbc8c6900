//! The counters of xdp.

use lockstep_core::engine::counters::counter_group;

counter_group! {
    /// The counts of an [`Xdp`](super::Xdp) beside [`UdpCounts`](crate::udp::UdpCounts).
    pub struct XdpCounts {
        mode gauge "xdp_mode" "3 zero-copy, 2 native, 1 generic, 0 no xdp.",
        queues gauge "xdp_queues" "Queues that are used.",
        busiest_queue gauge "xdp_busiest_queue" "The queue by which most datagrams came.",
        busiest_queue_in count "xdp_busiest_queue_in" "How many those were.",
        unexpected_in count "xdp_rejected_in" "Frames that were no whole datagram, or of a group that is not joined.",
        kernel_in count "xdp_kernel_in" "Datagrams that came by the ordinary sockets.",
        kernel_out count "xdp_kernel_out" "Datagrams that left by them.",
        neighbours gauge "xdp_neighbours" "Neighbours whose card address is known.",
        relayed_out count "xdp_relayed_out" "Datagrams forwarded to the other processes of this host.",
        relayed_in count "xdp_relayed_in" "Datagrams that the owner of the card has forwarded to us.",
        relay_dropped count "xdp_relay_dropped" "Of those the ones that were overwritten before we read them.",
        owners gauge "xdp_owners" "Owners that this process receives from: on each line one or none.",
    }
}

impl XdpCounts {
    /// The sum of these counts and those of another line: the lesser of the modes, the busier of the queues.
    pub fn and(&self, other: &Self) -> Self {
        let mode = if self.mode == 0 || other.mode == 0 {
            self.mode.max(other.mode)
        } else {
            self.mode.min(other.mode)
        };
        let Self { busiest_queue, busiest_queue_in, .. } =
            *if self.busiest_queue_in >= other.busiest_queue_in { self } else { other };
        Self { mode, busiest_queue, busiest_queue_in, ..self.sum(other) }
    }
}
