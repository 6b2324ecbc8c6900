//! What a handle does while no group brings it the leader (MCAST-1): it asks replicas by unicast, each in its
//! turn.

use super::counters::{Counter, Counters};
use super::ports::Net;
use super::receiver::Receiver;
use crate::proto::unicast_probe::UnicastProbe;
use lockstep_wire::{Header, Nanos, QueryKind, SMALL_LEN_MAX, write_query};

/// Asks the next replica under `header`.
#[cold]
pub(super) fn ask_for_unicast_probe(
    net: &mut impl Net,
    now: Nanos,
    rx: &Receiver,
    unicast_probe: &mut UnicastProbe,
    counters: &mut Counters,
    header: Header,
) {
    let mut out = [0; SMALL_LEN_MAX];
    let length = write_query(&mut out, rx.keys(), header, 0, QueryKind::Probe, "");
    let asked = counters.get(Counter::UnicastProbesOut);
    if let Some(to) = rx.requests.address_at(asked) {
        net.send_unicast(to, [&out[..length], &[]]);
        counters.add(Counter::UnicastProbesOut, 1);
    }
    if unicast_probe.detects_loss(now) {
        counters.add(Counter::MulticastLost, 1);
    }
}
