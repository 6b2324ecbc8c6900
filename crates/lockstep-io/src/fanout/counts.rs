//! What only a fan-out does, counted.

/// What a fan-out has done beside what [`UdpCounts`](crate::udp::UdpCounts) tell.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FanoutCounts {
    /// The present destinations: nodes of the file, and leases.
    pub members: u64,
    /// Leases alone.
    pub leases: u64,
    /// Leases that began.
    pub joins: u64,
    /// Members that left by their own word.
    pub leaves: u64,
    /// Leases that ended in silence.
    pub expired: u64,
    /// Joins that found no room.
    pub refused: u64,
    /// 1 while that has happened in the last seconds.
    pub is_refusing: u64,
    /// Joins from an address that was not proven yet.
    pub unproven: u64,
    /// Joins and leases of another cluster, malformed, or not for us.
    pub unexpected: u64,
    /// Datagrams for single members that the device did not take; who lacks them asks for them.
    pub unsent: u64,
    /// Nodes that send to us by lease now.
    pub lessors: u64,
    /// Nodes that refuse to, now.
    pub refused_by: u64,
    /// Times that a node began to refuse.
    pub refusals: u64,
}

impl FanoutCounts {
    /// The names of [`FanoutCounts::values`], in their order.
    pub const NAMES: [&'static str; 13] = [
        "fanout_members",
        "fanout_leases",
        "fanout_joins",
        "fanout_leaves",
        "fanout_expired",
        "fanout_refused",
        "fanout_is_refusing",
        "fanout_unproven",
        "fanout_rejected",
        "fanout_unsent",
        "fanout_lessors",
        "fanout_refused_by",
        "fanout_refusals",
    ];

    /// These and those of another line together.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            members: self.members + other.members,
            leases: self.leases + other.leases,
            joins: self.joins + other.joins,
            leaves: self.leaves + other.leaves,
            expired: self.expired + other.expired,
            refused: self.refused + other.refused,
            is_refusing: self.is_refusing + other.is_refusing,
            unproven: self.unproven + other.unproven,
            unexpected: self.unexpected + other.unexpected,
            unsent: self.unsent + other.unsent,
            lessors: self.lessors + other.lessors,
            refused_by: self.refused_by + other.refused_by,
            refusals: self.refusals + other.refusals,
        }
    }

    /// All counts, for a counters file.
    pub fn values(&self) -> [u64; 13] {
        [
            self.members,
            self.leases,
            self.joins,
            self.leaves,
            self.expired,
            self.refused,
            self.is_refusing,
            self.unproven,
            self.unexpected,
            self.unsent,
            self.lessors,
            self.refused_by,
            self.refusals,
        ]
    }
}
