//! The same hops between hosts with a cable between them, by the kernel's sockets and past them by AF_XDP:
//! what a transport is worth, in one run.
//!
//! The hosts are namespaces: for two hops a direct veth pair, for three a bridge of three ports. The sockets
//! of each host are one, as a card of xdp has one owner.

use super::{Plan, hops};
use crate::cluster::{Cluster, MESSAGE_LEN, Site};
use crate::contestant::Contestant;
use crate::harness::Run;
use crate::hosts::{Hosts, Over};
use crate::results::{Round, Row, Unit};
use crate::stats::Latencies;
use crate::transport::Transport;
use crate::ways::Way;
use lockstep_io::idle::Idle;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The forwarders: udp by plain calls and by lockstep's own, which are the floors of xdp.
const WAYS: [(Contestant, Transport, &str, &str); 3] = [
    (Contestant::Plain, Transport::Udp, "plain", "udp (recv, sendto)"),
    (Contestant::Io, Transport::Udp, "io", "udp (lockstep's io)"),
    (Contestant::Io, Transport::Xdp, "xdp", "xdp (lockstep's io)"),
];

/// Hosts for each number of hops; kept for all rounds.
pub struct Cables {
    of_hops: Vec<(usize, Rc<Hosts>)>,
}

impl Cables {
    /// For two hops and three.
    ///
    /// # Errors
    /// Why there can be none here.
    pub fn new() -> Result<Self, String> {
        let hosts = |hops: usize| Ok::<_, String>((hops, Rc::new(Hosts::new(Over::Veth, hops == 3)?)));
        let cables = Self { of_hops: vec![hosts(2)?, hosts(3)?] };
        for (_, hosts) in &cables.of_hops {
            hosts.try_transport(Transport::Xdp)?;
        }
        Ok(cables)
    }
}

/// Every number of hops in every way.
pub fn turn(run: &mut Run, plan: &Plan, cables: &Cables) -> Result<(), String> {
    for (hops, hosts) in &cables.of_hops {
        let idle = Idle::for_machine(*hops, plan.cores.len());
        for (contestant, transport, subject, words) in WAYS {
            let at = Instant::now();
            let way = Way { transport, hosts: Rc::clone(hosts), ..Way::default() };
            let site = Site { transport, ..hosts.site(if *hops == 3 { 3 } else { 1 }) };
            let cluster = Cluster::file(&site, idle)?;
            let case = format!("{}, {hops} hops, {MESSAGE_LEN} B", hosts.words());
            let found = hops::awake(contestant, &way, &cluster, plan, idle);
            let found = found.map_err(|error| format!("{case}, {words}: {error}"))?;
            let counted = plan.turn.saturating_sub(Duration::from_nanos(hops::WARM_UP_NS));
            let mut add = |case: &str, times: &Latencies| {
                let row = Row::new(case, subject, &format!("{words}, {idle}"), Unit::Nanos)
                    .over([("hops", *hops as f64)])
                    .as_floor(transport == Transport::Udp);
                run.record(row, at, counted, Round::of(times)?);
                Ok::<_, String>(())
            };
            add(&case, &found.latencies)?;
            if *hops == 2
                && let Some([there, _]) = &found.ways
            {
                add(&format!("{}, one way, {MESSAGE_LEN} B", hosts.words()), there)?;
            }
        }
    }
    Ok(())
}
