//! Messages to clients, and the timers of connections.

use super::{Gateway, GatewayError, GatewayStream, Leaving, OUT_MAX};
use crate::gateway::protocol::Protocol;
use lockstep_core::engine::clients::{Clients, DisconnectReason, close_payload};
use lockstep_core::engine::ports::Backlog;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::Nanos;
use soupbintcp::End;

impl<B: Backlog> Gateway<B> {
    /// Moves messages from the ledger into a connection's output, as many as fit.
    pub(super) fn fill(&mut self, now: Nanos, index: usize) {
        let Self { conns, ledger, message, counts, failed, work, ready, .. } = self;
        let Some((_, conn)) = conns.get_mut(index).and_then(Option::as_mut) else { return };
        if conn.protocol.is_fix() {
            return self.fill_fix(now, index);
        }
        if !conn.is_open() || conn.takes_nothing {
            return;
        }
        if conn.waiting() == 0 {
            conn.stalled_at = now;
        }
        let is_cut_short = conn.day_is_over && planted(Mutation::EndBeforeRest);
        let Protocol::Soup(server) = &mut conn.protocol else { return };
        while conn.out.len() - conn.sent < OUT_MAX && !is_cut_short {
            if work.is_spent() {
                ready.insert(index);
                break;
            }
            match ledger.next(&mut conn.place, message) {
                Ok(true) => {
                    work.on_read(message.len());
                    if server.sequenced(now, message, &mut conn.out).is_err() {
                        return;
                    }
                    counts.sent += 1;
                }
                Ok(false) => break,
                Err(error) => {
                    *failed = Some(GatewayError::Backlog(error));
                    return;
                }
            }
        }
        if conn.day_is_over && (ledger.is_at_end(&conn.place) || is_cut_short) {
            let _ = server.end_session(now, &mut conn.out); // it is open
            self.end(now, index, DisconnectReason::DayEnd, "");
        }
    }

    pub(super) fn scan(&mut self, now: Nanos, stream: &mut impl GatewayStream, index: usize) {
        let stall_ns = self.limits.stall_ns;
        let Some(conn) = self.conn(index) else { return };
        if conn.is_over() {
            return;
        }
        let is_slow = conn.is_open() && conn.waiting() > 0 && now >= conn.stalled_at + stall_ns;
        let blocked = conn.blocked;
        let ended = match &mut conn.protocol {
            Protocol::Soup(server) => server.on_timer(now, &mut conn.out),
            Protocol::Fix(_) => return self.scan_fix(now, stream, index, is_slow),
        };
        if conn.takes_nothing {
            conn.drop_output();
        }
        match ended {
            Some(end) => {
                let reason =
                    if end == End::Silent { DisconnectReason::Silent } else { DisconnectReason::Broken };
                self.end(now, index, reason, &end.to_string());
            }
            None if is_slow => {
                self.counts.cut += 1;
                self.end(
                    now,
                    index,
                    DisconnectReason::Slow,
                    "you do not read what is sent to you: log in again",
                );
            }
            None if blocked => self.take(now, stream, index),
            None => {}
        }
    }
}

/// Closes the clients that have left and whose grace has passed, and forgets those that are closed.
pub(super) fn stamp_disconnects(
    now: Nanos,
    stream: &mut impl GatewayStream,
    leaving: &mut Vec<Leaving>,
    clients: &Clients,
) {
    leaving.retain_mut(|leaving| {
        if planted(Mutation::DisconnectForgotten) {
            return true;
        }
        let client = clients.get(leaving.publisher);
        let has_it = client.is_some_and(|client| client.nonce == leaving.nonce && client.open);
        // It is closed, or another login has it again, here or elsewhere.
        if leaving.seen && !has_it {
            return false;
        }
        if has_it && !leaving.fenced && !leaving.closing && now >= leaving.due {
            // A close that is refused now is tried again, until the stream shows its outcome.
            let reason = close_payload(leaving.reason, leaving.cancels);
            leaving.closing = stream.close(leaving.publisher, &reason).is_ok();
        }
        true
    });
}
