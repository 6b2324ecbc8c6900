//! A TCP connection between a client and a gateway: two streams of bytes, each in order, each of which may
//! end at any byte.

use crate::rng::Rng;
use lockstep_wire::{Nanos, PublisherId};
use std::collections::VecDeque;

/// The bytes that one direction buffers before its reader has read them.
const ROOM: usize = 6 << 10;

/// One direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Pipe {
    under_way: VecDeque<(Nanos, Vec<u8>)>,
    last_at: Nanos,
    /// Arrived and not read.
    came: VecDeque<u8>,
    buffered: usize,
    /// The writer is gone; its reader learns it behind the bytes under way, or never.
    end: Option<Nanos>,
}

impl Pipe {
    /// The bytes that it can take now.
    pub(super) fn room(&self) -> usize {
        if self.end.is_some() { 0 } else { ROOM.saturating_sub(self.buffered) }
    }

    /// Takes bytes, whether there is room or not: a client's machine does not hold bytes back.
    pub(super) fn write(&mut self, now: Nanos, latency_ns: Nanos, bytes: &[u8]) {
        if self.end.is_none() && !bytes.is_empty() {
            self.last_at = self.last_at.max(now + latency_ns);
            self.buffered += bytes.len();
            self.under_way.push_back((self.last_at, bytes.to_vec()));
        }
    }

    /// At most `most` of the bytes that have arrived.
    pub(super) fn read(&mut self, now: Nanos, most: usize) -> Vec<u8> {
        while self.under_way.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, bytes)) = self.under_way.pop_front()
        {
            self.came.extend(bytes);
        }
        let count = most.min(self.came.len());
        self.buffered -= count;
        self.came.drain(..count).collect()
    }

    /// The writer closes it: its reader reads all that was written.
    pub(super) fn close(&mut self, now: Nanos, latency_ns: Nanos) {
        if self.end.is_none() {
            self.last_at = self.last_at.max(now + latency_ns);
            self.end = Some(self.last_at);
        }
    }

    /// The connection breaks: some of the bytes under way are lost, from some byte on; the reader may never
    /// learn it.
    pub(super) fn cut(&mut self, now: Nanos, latency_ns: Nanos, rng: &mut Rng) {
        let all: usize = self.under_way.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut lost = rng.below(all as u64 + 1) as usize;
        self.buffered -= lost;
        while lost > 0
            && let Some((_, bytes)) = self.under_way.back_mut()
        {
            let rest = bytes.len().saturating_sub(lost);
            lost -= bytes.len() - rest;
            bytes.truncate(rest);
            if rest == 0 {
                self.under_way.pop_back();
            }
        }
        self.end = None;
        self.close(now, latency_ns);
        if rng.below(4) == 0 {
            self.end = Some(Nanos::MAX);
        }
    }

    /// Whether everything was read, and its end was received.
    pub(super) fn is_over(&self, now: Nanos) -> bool {
        self.came.is_empty() && self.under_way.is_empty() && self.end.is_some_and(|end| end <= now)
    }

    /// The time of the next arrival.
    pub(super) fn next_at(&self) -> Nanos {
        let come = if self.came.is_empty() { Nanos::MAX } else { 0 };
        let first = self.under_way.front().map_or(Nanos::MAX, |(at, _)| *at);
        come.min(first).min(self.end.unwrap_or(Nanos::MAX))
    }
}

/// Both directions, and both ends.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) trader: usize,
    /// Its client speaks FIX.
    pub(super) is_fix: bool,
    /// The gateway's node, and the number of its process.
    pub(super) gateway: usize,
    pub(super) run: u64,
    /// The gateway's index of it, once it has accepted it.
    pub(super) conn: Option<usize>,
    /// Bytes to the gateway, and from it.
    pub(super) up: Pipe,
    pub(super) down: Pipe,
    /// The client's end is closed, and the gateway's.
    pub(super) client_gone: bool,
    /// The gateway's id, once it has one.
    pub(super) own: Option<PublisherId>,
    pub(super) gateway_gone: bool,
}

impl Link {
    pub(super) fn new(trader: usize, (gateway, run): (usize, u64), is_fix: bool) -> Self {
        Self {
            trader,
            is_fix,
            gateway,
            run,
            conn: None,
            up: Pipe::default(),
            down: Pipe::default(),
            client_gone: false,
            own: None,
            gateway_gone: false,
        }
    }

    /// Closes the client's end if the client wants to, or if nothing more can come. Returns whether it did.
    pub(super) fn close_by_client(&mut self, now: Nanos, latency_ns: Nanos, wants: bool) -> bool {
        let is_cut = self.gateway_gone && self.down.next_at() == Nanos::MAX;
        let is_closed = wants || is_cut || self.down.is_over(now);
        if is_closed {
            self.up.close(now, latency_ns);
            self.client_gone = true;
        }
        is_closed
    }
}
