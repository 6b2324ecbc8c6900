//! The gateway's limits, counts and errors.

use lockstep_core::engine::ports::BacklogError;
use lockstep_core::engine::subscriber::Delivery;
use lockstep_wire::Nanos;
use soupbintcp::ServerLimits;

/// A gateway's settings.
#[derive(Clone, Debug)]
pub struct GatewayLimits {
    /// What its subscription tells. Clients are told what is committed, whichever it is.
    pub delivery: Delivery,
    /// Most connections.
    pub clients_max: usize,
    /// Most that are accepted in a second.
    pub accepts: u32,
    /// Timers of the protocol.
    pub soup: ServerLimits,
    /// How long a client may take nothing of what waits for it.
    pub stall_ns: Nanos,
    /// Most logins whose passwords wait to be checked.
    pub checks_max: usize,
    /// Time between two looks at all timers; 10 ms.
    pub scan_ns: Nanos,
    /// Time between two signs of life to the other gateways.
    pub heartbeat_ns: Nanos,
    /// Another gateway is lost when so many of our own signs of life were delivered since its last.
    pub lost_heartbeats: u32,
}

/// What happened, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GatewayCounts {
    /// Logins that were accepted.
    pub accepted: u64,
    /// Logins that were refused.
    pub rejected: u64,
    /// Messages of clients that were submitted.
    pub submitted: u64,
    /// Messages of clients that were not taken, and told so.
    pub refused: u64,
    /// Numbered messages that were known already.
    pub duplicates: u64,
    /// Messages that were sent to clients.
    pub sent: u64,
    /// Messages that were sent to clients before they were final, in addition to `sent`.
    pub early: u64,
    /// Messages to clients that no packet takes: they have no number, at any gateway.
    pub too_long: u64,
    /// Connections that were cut by us.
    pub cut: u64,
    /// Times that a connection waited for the window or its rate.
    pub blocked: u64,
    /// Clients that were taken away from gateways that are gone.
    pub reaped: u64,
}

impl GatewayCounts {
    /// The names of [`GatewayCounts::values`], in their order.
    pub const NAMES: [&'static str; 11] = [
        "gateway_accepted",
        "gateway_rejected",
        "gateway_submitted",
        "gateway_refused",
        "gateway_duplicates",
        "gateway_sent",
        "gateway_early",
        "gateway_too_long",
        "gateway_cut",
        "gateway_blocked",
        "gateway_reaped",
    ];

    /// All counts, for a counters file.
    pub fn values(&self) -> [u64; 11] {
        let Self {
            accepted,
            rejected,
            submitted,
            refused,
            duplicates,
            sent,
            early,
            too_long,
            cut,
            blocked,
            reaped,
        } = *self;
        [accepted, rejected, submitted, refused, duplicates, sent, early, too_long, cut, blocked, reaped]
    }
}

/// Why a gateway ends by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GatewayError {
    /// Where its messages are kept: without that nothing can be counted.
    Backlog(BacklogError),
    /// Another gateway runs under its name.
    NameTaken(String),
    /// Another gateway was started under its name, and has it now.
    Fenced(String),
    /// Its name is a new one, and the cluster's table of publishers is full.
    NoRoom(String),
}

impl std::fmt::Display for GatewayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Backlog(error) => error.fmt(f),
            Self::NameTaken(name) => write!(
                f,
                "another gateway runs under the name '{name}' and gives signs of life: two of one name would take each \
                 other's clients; give each a --name of its own, or end the other one first"
            ),
            Self::NoRoom(name) => write!(
                f,
                "the gateway's name '{name}' is new to the cluster, whose table of publishers is full: raise \
                 `stream.publishers_max` in the files of all replicas and restart them one by one, or give it a --name \
                 that it had before"
            ),
            Self::Fenced(name) => write!(
                f,
                "another gateway was started under the name '{name}', and serves its clients from now on: give each \
                 gateway a --name of its own"
            ),
        }
    }
}

impl std::error::Error for GatewayError {}
