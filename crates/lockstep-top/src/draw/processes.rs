//! The tables of gateways and feeds, and of publishers and readers.

use super::canvas::Tone;
use super::nodes::absence;
use super::table::{Column, SEQ_DIGITS, known, left, right, seq, unwanted};
use crate::figures::{brief, compact, rate};
use lockstep_operations::top::{GatewayLine, HandleLine};

/// Columns of gateways and feeds.
pub const GATEWAYS: [Column<GatewayLine>; 9] = [
    left("GATEWAY", 15, 0, |gateway| (gateway.name.clone(), Tone::Plain)),
    left("STATE", 13, 1, |gateway| {
        absence(gateway.presence, gateway.absent_ns).unwrap_or_else(|| match gateway.is_ready {
            true => ("ready".to_owned(), Tone::Good),
            false => ("NOT READY".to_owned(), Tone::Warn),
        })
    }),
    right("CLIENTS", 7, 2, |gateway| known(gateway.clients, compact)),
    right("IN/s", 5, 3, |gateway| known(gateway.in_per_second, rate)),
    right("OUT/s", 5, 4, |gateway| known(gateway.out_per_second, rate)),
    right("REFUSED", 7, 5, |gateway| unwanted(gateway.refused)),
    right("CUT", 5, 6, |gateway| unwanted(gateway.cut)),
    right("BLOCKED", 7, 7, |gateway| known(gateway.blocked, compact)),
    right("DENIED", 7, 8, |gateway| unwanted(gateway.logins_refused)),
];

/// Columns of publishers and readers.
pub const HANDLES: [Column<HandleLine>; 11] = [
    left("PROCESS", 15, 0, |handle| (handle.process.clone(), Tone::Plain)),
    left("KIND", 9, 2, |handle| (handle.kind.to_owned(), Tone::Plain)),
    left("STATE", 13, 1, |handle| {
        absence(handle.presence, handle.absent_ns).unwrap_or_else(|| match handle.is_connected {
            true => ("connected".to_owned(), Tone::Good),
            false => ("NO LEADER".to_owned(), Tone::Warn),
        })
    }),
    right("NEXT", SEQ_DIGITS as u16, 10, |handle| known(handle.next, seq)),
    right("LAG", 5, 3, |handle| known(handle.lag, compact)),
    right("ENT/s", 5, 7, |handle| known(handle.entries_per_second, rate)),
    right("GAPS", 5, 8, |handle| unwanted(handle.gaps)),
    right("RESENT", 6, 9, |handle| known(handle.resends, compact)),
    right("P50", 5, 6, |handle| known(handle.latency.p50_ns, brief)),
    right("P99", 5, 4, |handle| known(handle.latency.p99_ns, brief)),
    right("MAX", 5, 5, |handle| known(handle.latency.longest_ns, brief)),
];
