//! The audit log of a gateway: lines of its log with a field `audit`. They report logins, refusals with their
//! reasons, and the ends of sessions, each with user and address.
//!
//! Names of unknown users are their senders' text: a log line shows them quoted, with control characters
//! escaped. A flood is limited to a number of lines a second; the number of lines left out is reported by a
//! line of its own and by the counters.

use super::allowance::Allowance;
use super::core::GatewayCounts;
use lockstep_wire::Nanos;
use std::net::IpAddr;

/// The most lines in a second, a tenth of which may come at once.
const LINES: u32 = 1_000;

/// The event of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Audited {
    /// A client has logged in.
    LoggedIn,
    /// A login was refused.
    Refused,
    /// A logged-in client left, or was disconnected.
    Left,
    /// A logged-in client was disconnected because it violated the protocol, or was silent.
    CutOff,
    /// A connection ended before it requested a login, or before its login was decided.
    NoLogin,
    /// A connection was closed at once, because there were too many.
    TurnedAway,
    /// A connection was closed at once, because its address may not connect.
    AddressRefused,
    /// The leader does not stamp a client's message, because the gateway's key does not allow it.
    NotAllowed,
}

impl Audited {
    /// The value of the field `audit`.
    pub fn name(self) -> &'static str {
        match self {
            Self::LoggedIn => "login",
            Self::Refused => "login_refused",
            Self::Left | Self::CutOff => "left",
            Self::NoLogin => "no_login",
            Self::TurnedAway => "turned_away",
            Self::AddressRefused => "address_refused",
            Self::NotAllowed => "not_allowed",
        }
    }
}

/// The audit log: see the module.
#[derive(Debug)]
pub(super) struct Audit {
    allowance: Allowance,
    suppressed: u64,
}

impl Default for Audit {
    fn default() -> Self {
        Self { allowance: Allowance::new(0), suppressed: 0 }
    }
}

impl Audit {
    /// Writes a line about the client with this user's name and address, or counts it as left out.
    pub fn tell(
        &mut self,
        counts: &mut GatewayCounts,
        now: Nanos,
        what: Audited,
        (user, address): (&str, IpAddr),
        why: &str,
    ) {
        match what {
            Audited::Left | Audited::CutOff => counts.left += 1,
            Audited::NoLogin => counts.no_login += 1,
            _ => {}
        }
        if !self.allowance.take(now, LINES) {
            self.suppressed += 1;
            counts.audit_suppressed += 1;
            return;
        }
        if self.suppressed > 0 {
            let lines = std::mem::take(&mut self.suppressed);
            tracing::warn!(audit = "suppressed", lines, "as many lines of the audit log were left out");
        }
        let audit = what.name();
        match what {
            Audited::LoggedIn | Audited::Left => tracing::info!(audit, user, %address, "{why}"),
            _ => tracing::warn!(audit, user, %address, "{why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_a_thousand_lines_a_second_and_the_rest_is_counted() {
        let (mut audit, mut counts) = (Audit::default(), GatewayCounts::default());
        let (eve, second) = (("eve", IpAddr::from([127, 0, 0, 1])), 1_000_000_000);
        for number in 0..5_000 {
            let now = second + number * second / 5_000;
            audit.tell(&mut counts, now, Audited::Refused, eve, "a wrong password");
        }
        let left_out = counts.audit_suppressed;
        assert!((3_800..=4_000).contains(&left_out), "{left_out} of 5,000");
    }
}
