//! A client's messages to the stream, the stream's messages to a client, and the timers of connections.

use super::Sessions;
use crate::gateway::conn::Phase;
use crate::gateway::core::state::StreamState;
use crate::gateway::core::work::TurnReader;
use crate::gateway::core::{GatewayStream, OUT_MAX};
use crate::gateway::protocol::Protocol;
use lockstep_core::engine::clients::DisconnectReason;
use lockstep_core::engine::ports::{Backlog, BacklogError};
use lockstep_core::engine::publisher::PublishError;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::Nanos;
use soupbintcp::End;

impl Sessions {
    /// Publishes a message of a client of SoupBinTCP. `false`: it cannot be taken now.
    pub fn publish<B: Backlog>(
        &mut self,
        now: Nanos,
        stream: &mut impl GatewayStream,
        (index, message): (usize, &[u8]),
        state: &StreamState<B>,
    ) -> bool {
        let Some(conn) = self.conns.get_mut(index) else { return true };
        let destination = state.destination_of(conn);
        let (Phase::Open { publisher, .. }, Some(user)) = (&conn.phase, &conn.user) else { return true };
        let (publisher, numbered) = (*publisher, user.numbered);
        let Some(destination) = destination else {
            self.refuse(now, index, "the recipient of your messages has never logged in");
            return true;
        };
        let mut number = conn.last_number;
        if numbered {
            let sent = message.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
            match sent {
                Some(sent) if sent != 0 && sent <= number && !planted(Mutation::NumberTwiceTaken) => {
                    self.counts.duplicates += 1;
                    return true;
                }
                Some(sent) if sent == number + 1 => number = sent,
                Some(_) if planted(Mutation::NumberTwiceTaken) => {}
                _ => {
                    let why = "a message must begin with the next number: eight bytes, big-endian";
                    self.refuse(now, index, why);
                    return true;
                }
            }
        }
        if !conn.takes_credit(now) {
            return false;
        }
        match stream.publish(publisher, destination, message) {
            Ok(_) => {
                (conn.last_number, conn.reported) = (number, None);
                self.counts.submitted += 1;
                true
            }
            Err(PublishError::Backpressure) => {
                conn.allowance.give_back();
                false
            }
            Err(PublishError::TooLong { .. }) => {
                self.refuse(now, index, "a message exceeds the stream's limit (stream.message_len_max)");
                true
            }
            Err(PublishError::TooLongFor { .. }) => {
                let why = "a message exceeds its channel's limit (channels.*.message_len_max)";
                self.refuse(now, index, why);
                true
            }
            // Fenced, closed or not open: the stream reports that too, later.
            Err(_) => {
                self.drop_superseded(now, index);
                true
            }
        }
    }

    /// Refuses a message for good: the client receives the reason, once for consecutive equal reasons.
    fn refuse(&mut self, now: Nanos, index: usize, why: &'static str) {
        self.counts.refused += 1;
        if let Some(conn) = self.conns.get_mut(index)
            && conn.reported != Some(why)
        {
            conn.protocol.debug(now, why, &mut conn.out);
            conn.reported = Some(why);
        }
    }

    /// Moves messages from the ledger into a connection's output, as many as fit.
    pub fn fill<B: Backlog>(
        &mut self,
        now: Nanos,
        index: usize,
        state: &StreamState<B>,
        reader: &mut TurnReader,
    ) -> Result<(), BacklogError> {
        let Some(conn) = self.conns.get_mut(index) else { return Ok(()) };
        if !conn.is_open() || conn.takes_nothing {
            return Ok(());
        }
        if conn.waiting() == 0 {
            conn.stalled_at = now;
        }
        let is_cut_short = conn.day_is_over && planted(Mutation::EndBeforeRest);
        let Protocol::Soup(server) = &mut conn.protocol else {
            return self.fill_fix(now, index, state, reader);
        };
        let mut is_spent = false;
        while conn.out.len() - conn.sent < OUT_MAX && !is_cut_short {
            if reader.is_spent() {
                is_spent = true;
                break;
            }
            let Some(message) = reader.next(&state.ledger, &mut conn.place)? else { break };
            if server.sequenced(now, message, &mut conn.out).is_err() {
                return Ok(());
            }
            self.counts.sent += 1;
        }
        let is_over = conn.day_is_over && (state.ledger.is_at_end(&conn.place) || is_cut_short);
        if is_over {
            let _ = server.end_session(now, &mut conn.out); // it is open
        }
        if is_spent {
            self.conns.mark_ready(index);
        }
        if is_over {
            self.end(now, index, DisconnectReason::DayEnd, "");
        }
        Ok(())
    }

    /// Does what is due in a session of SoupBinTCP. Returns whether its inbox should be taken again.
    pub fn turn_soup(&mut self, now: Nanos, index: usize, is_slow: bool) -> bool {
        let Some(conn) = self.conns.get_mut(index) else { return false };
        let (blocked, takes_nothing) = (conn.blocked, conn.takes_nothing);
        let Some(server) = conn.protocol.soup() else { return false };
        let ended = server.on_timer(now, &mut conn.out);
        if takes_nothing {
            conn.drop_output();
        }
        match ended {
            Some(end) => {
                let is_silent = end == End::Silent;
                let reason = if is_silent { DisconnectReason::Silent } else { DisconnectReason::Broken };
                self.end(now, index, reason, &end.to_string());
            }
            None if is_slow => {
                let why = "you do not read what is sent to you: log in again";
                self.cut(now, index, DisconnectReason::Slow, why);
            }
            None => return blocked,
        }
        false
    }
}
