//! Datagrams that are refused: the operator learns whose the first one was.

use lockstep_core::engine::event::{RefusedSender, ReplicaEvent};
use lockstep_memory::cluster::SoloReplica;
use lockstep_memory::log::written;
use lockstep_memory::world::*;
use lockstep_wire::*;

#[test]
fn the_first_datagram_that_is_refused_for_a_reason_is_reported_with_its_sender_and_no_other_one_is() {
    let mut node = SoloReplica::new(start(blank_tail(1, 64 << 10), replica_limits(1, 3)).unwrap());
    node.wait(1_000_000);
    node.events();
    let other = CLUSTER + 1;
    let me = identity(7);
    let header = Header {
        cluster: other,
        sender: me.replica,
        incarnation: me.incarnation,
        ..Header::new(Kind::Query)
    };
    let query = written(|out| write_query(out, &Keyring::none(other), header, 0, QueryKind::Node, ""));
    for _ in 0..100 {
        node.replica.net_mut().unicast.push_back((query.clone(), Some(address(9))));
        node.wait(1_000_000);
    }
    let refused = |event| match event {
        ReplicaEvent::Rejected { reject, sender } => Some((reject, sender)),
        _ => None,
    };
    let refused: Vec<_> = node.events().into_iter().filter_map(refused).collect();
    let sender = RefusedSender { identity: me, address: Some(address(9)), generation: None };
    assert_eq!(refused, [(Reject::Cluster { seen: other }, Some(sender))]);
}
