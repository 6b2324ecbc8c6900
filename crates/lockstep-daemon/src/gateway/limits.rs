//! A gateway's limits: those of the cluster's file, and those that are not configurable.

use crate::config::{Config, share_of_address};
use lockstep_client::Delivery;
use lockstep_gateway::fix::session::FixSessionLimits;
use lockstep_gateway::gateway::core::GatewayLimits;
use lockstep_gateway::gateway::locks::LockoutTimes;
use lockstep_wire::Nanos;
use soupbintcp::ServerLimits;

/// The most logins whose passwords wait to be checked.
const CHECKS_MAX: u32 = 256;
/// The interval of looking at all timers.
const SCAN_NS: Nanos = 10_000_000;
/// The number of heartbeats that a gateway may miss.
const LOST_HEARTBEATS: u32 = 6;

/// The limits of the cluster's file, and those that are not configurable.
pub(super) fn gateway_limits(config: &Config, delivery: Delivery) -> GatewayLimits {
    let limits = &config.gateway;
    GatewayLimits {
        delivery,
        allow: limits.allow.clone(),
        clients_max: limits.clients_max as usize,
        clients_per_address: share_of_address(limits.clients_max, limits.clients_per_address),
        accepts: limits.accepts,
        soup: ServerLimits {
            login_ns: limits.login_timeout_ns,
            silence_ns: limits.silence_ns,
            ..ServerLimits::default()
        },
        fix: FixSessionLimits::default(),
        stall_ns: limits.stall_ns,
        checks_max: CHECKS_MAX as usize,
        checks_per_address: share_of_address(CHECKS_MAX, None),
        lockout: LockoutTimes {
            first_ns: limits.lockout_first_ns,
            longest_ns: limits.lockout_longest_ns,
            forgotten_ns: limits.lockout_forgotten_ns,
        },
        scan_ns: SCAN_NS,
        heartbeat_ns: limits.heartbeat_interval_ns,
        lost_heartbeats: LOST_HEARTBEATS,
    }
}
