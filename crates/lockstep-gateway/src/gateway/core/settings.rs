//! The gateway's limits, counts and errors.

use crate::fix::session::FixSessionLimits;
use crate::gateway::locks::LockoutTimes;
use lockstep_core::engine::counters::counter_group;
use lockstep_core::engine::networks::Networks;
use lockstep_core::engine::ports::BacklogError;
use lockstep_core::engine::subscriber::Delivery;
use lockstep_wire::Nanos;
use soupbintcp::ServerLimits;

/// A gateway's settings.
#[derive(Clone, Debug)]
pub struct GatewayLimits {
    /// The delivery mode of its subscription. Clients receive committed messages in either mode.
    pub delivery: Delivery,
    /// The networks from which clients may connect; `None`: all.
    pub allow: Option<Networks>,
    /// The most connections.
    pub clients_max: usize,
    /// The most connections of one address.
    pub clients_per_address: usize,
    /// The most connections accepted in a second.
    pub accepts: u32,
    /// The timers of SoupBinTCP.
    pub soup: ServerLimits,
    /// The timers of FIX; the time of a login is that of SoupBinTCP.
    pub fix: FixSessionLimits,
    /// How long a client may accept nothing of its waiting bytes.
    pub stall_ns: Nanos,
    /// The most logins whose passwords wait to be checked.
    pub checks_max: usize,
    /// The most of these of one address.
    pub checks_per_address: usize,
    /// How long a user that failed at an address must wait there.
    pub lockout: LockoutTimes,
    /// The interval of looking at all timers; 10 ms.
    pub scan_ns: Nanos,
    /// The interval of heartbeats to the other gateways.
    pub heartbeat_ns: Nanos,
    /// Another gateway counts as lost when this many of our own heartbeats were delivered since its last one.
    pub lost_heartbeats: u32,
}

counter_group! {
    /// The counts of a gateway.
    pub struct GatewayCounts {
        ready gauge "gateway_ready" "1 while clients may log in: the stream is read up to its end, and a leader is followed.",
        clients gauge "gateway_clients" "Connections of clients.",
        accepted count "gateway_accepted" "Logins that were accepted.",
        rejected count "gateway_rejected" "Logins that were refused.",
        logins_failed count "gateway_logins_failed" "Logins with a wrong password, or of a user that is unknown or disabled.",
        logins_locked count "gateway_logins_locked" "Logins refused unseen after too many failures of their user at their address.",
        logins_crowded count "gateway_logins_crowded" "Logins refused as too many passwords waited, in all or of their address.",
        no_login count "gateway_no_login" "Connections that ended before a login was requested or decided: silent, closed, or of an unknown protocol.",
        left count "gateway_left" "Clients that were logged in and left, or were cut.",
        turned_away count "gateway_turned_away" "Connections closed at once as too many were there, in all or of their address.",
        address_refused count "gateway_address_refused" "Connections closed at once as their address is in no network of gateway.allow.",
        audit_suppressed count "gateway_audit_suppressed" "Lines of the audit log that were left out: more than 1,000 came in a second.",
        not_allowed count "gateway_not_allowed" "Messages of clients that the leader does not stamp: the gateway's key does not allow them.",
        submitted count "gateway_submitted" "Messages of clients that were submitted.",
        refused count "gateway_refused" "Messages of clients that were refused, with a reply.",
        duplicates count "gateway_duplicates" "Numbered messages that were known already.",
        sent count "gateway_sent" "Messages sent to clients.",
        early count "gateway_early" "Messages sent to clients before they were final, in addition.",
        too_long count "gateway_too_long" "Messages to clients that are too long for a packet.",
        cut count "gateway_cut" "Connections that the gateway cut.",
        blocked count "gateway_blocked" "Times that a connection waited for the window or its rate.",
        fix_resent count "gateway_fix_resent" "Messages that clients of FIX asked for again, and were sent.",
        fix_garbled count "gateway_fix_garbled" "Bytes of clients of FIX that were no message, and were skipped.",
        fix_asked count "gateway_fix_asked" "Resend Requests to clients of FIX, for messages that they sent and that did not come.",
        fix_gaps_abandoned count "gateway_fix_gaps_abandoned" "Clients of FIX that were logged out, as they did not send again what they were asked for.",
        fix_untranslated count "gateway_fix_untranslated" "Messages to clients of FIX that are not OUCH 5.0, and were not sent.",
        reaped count "gateway_reaped" "Clients removed from gateways that are lost.",
    }
}

/// Why a gateway ends by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GatewayError {
    /// The store of its messages failed: without it no message can be numbered.
    Backlog(BacklogError),
    /// Another gateway runs under its name.
    NameTaken(String),
    /// Another gateway was started under its name, and has it now.
    Fenced(String),
    /// Its name is new, and the cluster's table of publishers is full.
    NoRoom(String),
    /// The gateway's key does not allow its name.
    NotAllowed(String),
}

impl std::fmt::Display for GatewayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Backlog(error) => error.fmt(f),
            Self::NameTaken(name) => write!(
                f,
                "another gateway runs under the name '{name}': two of one name would take each other's clients; give each a --name of its own, or end the other one first"
            ),
            Self::NoRoom(name) => write!(
                f,
                "the gateway's name '{name}' is new to the cluster, whose table of publishers is full: raise \
                 `stream.publishers_max` in the files of all replicas and restart them one by one, or give it a --name \
                 that it had before"
            ),
            Self::NotAllowed(name) => write!(
                f,
                "the key of this host does not allow the gateway's name '{name}': `lockstep keys show` on a replica's host \
                 lists what each key allows"
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
