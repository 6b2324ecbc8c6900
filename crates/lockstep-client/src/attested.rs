//! A subscriber that delivers only what a notary has signed.

use super::endpoint::Endpoint;
use super::subscriber::Subscriber;
use lockstep_core::engine::parts::PartsLimits;
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::{Delivery, FrameDelivery, SubscriberEvent};
use lockstep_io::IoError;
use lockstep_io::device::Device;
use lockstep_notary::{Checker, ENTRIES_MAX, Forged, NotaryKey, has_signatures_alone};
use lockstep_wire::{Cursor, FrameView, Seq};
use std::collections::VecDeque;
use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

/// Why nothing more is delivered to an [`AttestedSubscriber`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AttestationEnd {
    /// The received entries are not those that a notary has signed. None of them was delivered.
    Forged(Forged),
    /// The cursor of the start belongs to another log than this one.
    OtherLog {
        /// The cursor's seq.
        seq: Seq,
    },
    /// No notary has signed the entry `seq`, and the entries behind it fill the buffer.
    Unattested {
        /// The next seq.
        seq: Seq,
        /// The buffer (`subscriber.buffer`).
        buffer_bytes: usize,
    },
}

impl fmt::Display for AttestationEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forged(forged) => forged.fmt(f),
            Self::OtherLog { seq } => write!(
                f,
                "the log before seq {seq} is not the one that was read before: begin with the oldest entry, and forget what was \
                 derived from the other one"
            ),
            Self::Unattested { seq, buffer_bytes } => write!(
                f,
                "no trusted notary has signed the entry of seq {seq}, and the entries after it fill \
                 subscriber.buffer ({buffer_bytes} bytes): run `lockstep notary`, and list its public key; \
                 begin after the entries that no notary has signed"
            ),
        }
    }
}

impl std::error::Error for AttestationEnd {}

/// Delivers the committed stream once a notary has signed it (`lockstep notary`): some ten milliseconds
/// later. A holder of a reader's key can send forged frames to other readers; this one delivers none of them.
///
/// It begins with the first range that is signed as a whole. With [`Start::From`] and [`Start::Cursor`] it
/// reads from 65,536 entries before, and delivers from that seq on; with the others, from the first seq of
/// that range on.
#[derive(Debug)]
pub struct AttestedSubscriber {
    subscriber: Subscriber<Device>,
    checker: Checker,
    delivery: FrameDelivery,
    /// Committed frames that are not delivered yet, in order.
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    bytes_max: usize,
    /// Whether frames before the first signed one are skipped.
    skips: bool,
    /// The position of an earlier subscription, until its log was compared with this one.
    cursor: Option<Cursor>,
    end: Option<AttestationEnd>,
}

impl AttestedSubscriber {
    /// Opens the sockets and joins the groups, as [`Subscriber::connect`]. It trusts `notaries`.
    ///
    /// # Errors
    /// The device cannot be opened: which interface, which call, and the remedy.
    pub fn connect(endpoint: &Endpoint, start: Start, notaries: Vec<NotaryKey>) -> Result<Self, IoError> {
        let from = match start {
            Start::From(seq) => Some(seq),
            Start::Cursor(cursor) => Some(cursor.seq),
            _ => None,
        };
        let before = from.map(|seq| Start::From(seq.saturating_sub(ENTRIES_MAX).max(1)));
        let mut subscriber = Subscriber::connect(endpoint, Delivery::Committed, before.unwrap_or(start))?;
        subscriber.report_frames();
        let parts = PartsLimits { spare_bytes: endpoint.subscriber_parts_bytes, ..PartsLimits::default() };
        Ok(Self {
            subscriber,
            checker: Checker::new(notaries),
            delivery: FrameDelivery::new(from.unwrap_or(0), parts),
            frames: VecDeque::new(),
            bytes: 0,
            bytes_max: endpoint.subscriber_buffer_bytes,
            skips: from.is_none(),
            cursor: match start {
                Start::Cursor(cursor) => Some(cursor),
                _ => None,
            },
            end: None,
        })
    }

    /// One turn, as [`Subscriber::poll`]: `f` receives signed entries in the order of the stream, and events
    /// of the subscription itself at once.
    ///
    /// # Errors
    /// It has ended: each later poll fails with the same error.
    pub fn poll(
        &mut self,
        limit: usize,
        mut f: impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) -> Result<usize, AttestationEnd> {
        let Self { subscriber, checker, frames, bytes, bytes_max, end, .. } = self;
        let mut work = 0;
        if end.is_none() {
            work = subscriber.poll(usize::MAX, |event| match event {
                SubscriberEvent::Frame { bytes: frame } => {
                    let judged = FrameView::known(frame).map_or(Ok(()), |frame| checker.on_frame(&frame));
                    *end = end.or(judged.err().map(AttestationEnd::Forged));
                    *bytes += frame.len();
                    frames.push_back(frame.to_vec());
                    let has_room = *bytes < *bytes_max && end.is_none();
                    if has_room { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                }
                // Entries are delivered from their frames, and the read position is not the delivered one.
                SubscriberEvent::CaughtUp { .. } | SubscriberEvent::Lag { .. } => ControlFlow::Continue(()),
                event if event.seq().is_some() => ControlFlow::Continue(()),
                event => f(event),
            });
        }
        work += self.deliver(limit, &mut f);
        let is_full = self.bytes >= self.bytes_max;
        if is_full && self.front().is_some_and(|first| !self.checker.is_attested(first)) {
            let seq = self.delivery.next().max(self.front().unwrap_or(0));
            self.end = self.end.or(Some(AttestationEnd::Unattested { seq, buffer_bytes: self.bytes_max }));
        }
        match self.end {
            // Entries that were signed before are delivered first.
            Some(end) if work == 0 || !self.front().is_some_and(|first| self.checker.is_attested(first)) => {
                Err(end)
            }
            _ => Ok(work),
        }
    }

    /// The first seq of the oldest frame that is not delivered.
    fn front(&self) -> Option<Seq> {
        self.frames.front().and_then(|frame| FrameView::known(frame)).map(|frame| frame.header.first_seq)
    }

    fn deliver(&mut self, limit: usize, f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>) -> usize {
        let (mut left, mut work) = (limit, 0);
        while let Some(bytes) = self.frames.front()
            && let Some(frame) = FrameView::known(bytes)
            && left > 0
        {
            let header = frame.header;
            let is_before = header.next_seq() <= self.delivery.next();
            let is_skipped = self.skips && self.checker.first_attested().is_some();
            let is_attested = self.checker.is_attested(header.first_seq);
            if is_attested
                && let Some(cursor) = self.cursor.take_if(|cursor| header.next_seq() > cursor.seq)
                && cursor.chain != header.chain
            {
                self.end = Some(AttestationEnd::OtherLog { seq: cursor.seq });
                // None of them is delivered, also not by a later poll.
                self.frames.clear();
                return work;
            }
            if is_attested || (!self.skips && has_signatures_alone(&frame)) {
                self.skips &= !is_attested;
                let (messages, is_done) = self.delivery.deliver(&frame, left, f);
                (left, work) = (left - messages, work + 1);
                if !is_done {
                    if self.delivery.next() < header.next_seq() {
                        break;
                    }
                    // The application stopped behind its last entry.
                    left = 0;
                }
            } else if !is_before && !is_skipped {
                break;
            }
            self.bytes -= bytes.len();
            self.frames.pop_front();
        }
        work
    }

    /// Sleeps after a poll that returned 0, as [`Subscriber::wait`].
    ///
    /// # Errors
    /// As [`Subscriber::wait`].
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, IoError> {
        self.subscriber.wait(timeout)
    }

    /// The next seq to be delivered; 0 before the first signed range was seen.
    pub fn deliver_next(&self) -> Seq {
        self.delivery.next()
    }

    /// The number of valid attestations so far.
    pub fn attestations(&self) -> u64 {
        self.checker.attestations()
    }

    /// The subscriber below: its counters, its sockets, and how far it has read.
    pub fn subscriber(&self) -> &Subscriber<Device> {
        &self.subscriber
    }
}
