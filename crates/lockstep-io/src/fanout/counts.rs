//! The counters of a fan-out.

use lockstep_core::engine::counters::counter_group;

counter_group! {
    /// The counts of a fan-out beside [`UdpCounts`](crate::udp::UdpCounts).
    pub struct FanoutCounts {
        members gauge "fanout_members" "Nodes that receive by unicast: those of the file, and leases.",
        leases gauge "fanout_leases" "Leases alone.",
        joins count "fanout_joins" "Leases that began.",
        leaves count "fanout_leaves" "Members that left by a leave datagram.",
        expired count "fanout_expired" "Leases that ended in silence.",
        refused count "fanout_refused" "Joins that were refused for lack of room.",
        is_refusing gauge "fanout_is_refusing" "1 while that has happened in the last seconds.",
        unproven count "fanout_unproven" "Joins from an address that was not proven yet.",
        unexpected count "fanout_rejected" "Joins and leases of another cluster, malformed, or not for us.",
        unsent count "fanout_unsent" "Datagrams for single members that the device did not take.",
        lessors gauge "fanout_lessors" "Nodes that send to this node by lease now.",
        refused_by gauge "fanout_refused_by" "Nodes that refuse a lease now.",
        refusals count "fanout_refusals" "Times that a node began to refuse.",
    }
}
