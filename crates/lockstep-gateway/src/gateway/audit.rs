//! The audit log of a gateway: lines of its log with a field `audit`. They say who logged in, who was refused
//! and why, who left or was cut, each with user and address.
//!
//! Names of users that nobody knows are their senders' words: a log line shows them quoted, control
//! characters escaped. A flood leaves at most so many lines a second; how many were left out stands in a line
//! of its own and in the counters.

use super::allowance::Allowance;
use super::core::GatewayCounts;
use lockstep_wire::Nanos;
use std::net::IpAddr;

/// Most lines in a second, a tenth of which may come at once.
const LINES: u32 = 1_000;

/// What a line tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Audited {
    /// A client has logged in.
    LoggedIn,
    /// A login was refused.
    Refused,
    /// A client that was logged in left, or was cut.
    Left,
    /// The same, for what it did against the protocol, or did not do.
    CutOff,
    /// A connection ended before a login was asked for, or decided.
    NoLogin,
    /// A connection was closed at once: too many were there.
    TurnedAway,
    /// A connection was closed at once: its address may not connect.
    AddressRefused,
    /// The leader does not stamp what a client has sent: the gateway's key does not allow it.
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

/// See the module.
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
    /// Writes a line about the client with this user's name and address, or counts that it does not.
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
