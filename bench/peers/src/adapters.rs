//! All adapters: the one list that knows each of them.

use crate::peer::Adapter;

/// All, in the table's order.
pub const ADAPTERS: [Adapter; 8] = [
    crate::raw::ADAPTER,
    crate::aeron::ECHO,
    crate::aeron::SEQUENCER,
    crate::lockstep::ADAPTER,
    crate::corosync::ADAPTER,
    crate::nats::ADAPTER,
    crate::etcd::ADAPTER,
    crate::zookeeper::ADAPTER,
];
