//! The send side: each message to each destination, as many as one call takes, by headers that are made once.
//!
//! ```text
//!   messages  [burst 1][burst 2]        iovecs, filled for each call
//!   headers   1→a 1→b 1→c 2→a 2→b 2→c   in this order: the first in the list wait for nothing behind them
//! ```

use crate::udp::outbox::{Control, MESSAGE_BYTES_MAX, SEGMENTS_MAX, set_segment};
use lockstep_core::engine::ports::Burst;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Most headers of one call: the kernel's limit (`UIO_MAXIOV`).
const HEADERS_MAX: usize = 1024;
/// The most messages of one send; the caller offers the rest again.
const MESSAGES_MAX: usize = 64;

/// The result of one send.
#[derive(Default, Debug)]
pub(crate) struct FanoutSent {
    /// System calls.
    pub calls: usize,
    /// Datagrams that count as sent, from the first one offered: at least one destination has each.
    pub datagrams: usize,
    /// Datagrams to single destinations that the device took, and their bytes.
    pub deliveries: usize,
    pub delivered_bytes: usize,
    /// Copies that the device did not take, of datagrams that count as sent.
    pub unsent: usize,
    /// The last error that concerned one destination alone.
    pub refused: Option<io::Error>,
    /// The number of such errors.
    pub refusals: usize,
    /// Whether the device had no more room.
    pub is_full: bool,
    /// Whether the kernel refused to cut messages: none of them was sent.
    pub segment_refused: bool,
}

/// One message: its position, and its number of datagrams.
#[derive(Clone, Copy)]
struct FanoutMessage {
    iovec: libc::iovec,
    segment: Option<u16>,
    datagrams: usize,
}

/// An iovec of bytes that the kernel only reads.
fn iovec(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// One message to one target, by their indices.
#[derive(Default)]
struct Delivery {
    message: usize,
    target: usize,
}

/// Headers of the messages of one call, made once and filled for each.
pub(crate) struct FanoutOutbox {
    headers: Vec<libc::mmsghdr>,
    messages: Vec<FanoutMessage>,
    controls: Vec<Control>,
}

// SAFETY: between calls the pointers are never followed; each call writes those that it uses.
unsafe impl Send for FanoutOutbox {}

impl FanoutOutbox {
    /// Headers for the largest call.
    pub fn new() -> Self {
        // SAFETY: plain integers and pointers; all zero is a value of it.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        Self {
            headers: vec![header; HEADERS_MAX],
            messages: Vec::with_capacity(MESSAGES_MAX),
            controls: vec![[0; 3]; MESSAGES_MAX],
        }
    }

    /// Sends `bursts` to each of `targets`. The caller has checked that the bursts' datagrams are within the
    /// limit.
    pub fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        targets: &[libc::sockaddr_in],
        bursts: &[Burst<'_>],
        segmenting: bool,
    ) -> FanoutSent {
        self.cut(bursts, segmenting);
        let mut sent = FanoutSent::default();
        if targets.is_empty() {
            // No process listens, as in an empty group.
            sent.datagrams = self.messages.iter().map(|message| message.datagrams).sum();
            return sent;
        }
        let whole = self.messages.len() * targets.len();
        let mut next = Delivery::default();
        // The next delivery, and the headers that are written and not sent yet.
        let (mut at, mut written) = (0, 0..0);
        while at < whole {
            if written.is_empty() {
                written = 0..self.write_headers(&mut next, targets);
            }
            match self.call(socket, written.clone(), &mut sent) {
                Ok(taken) => {
                    written.start += taken;
                    at += taken;
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN | libc::ENOBUFS | libc::EINTR) => {
                        sent.is_full = true;
                        break;
                    }
                    Some(libc::EIO | libc::EINVAL | libc::EOPNOTSUPP)
                        if at == 0 && self.messages[0].segment.is_some() =>
                    {
                        sent.segment_refused = true;
                        return sent;
                    }
                    // One destination that cannot be reached delays no other.
                    _ => {
                        sent.refused = Some(error);
                        sent.refusals += 1;
                        written.start += 1;
                        at += 1;
                    }
                },
            }
        }
        self.add_up(&mut sent, at, targets.len());
        sent
    }

    /// Writes a header for each delivery from `next` on, as many as fit. Returns their number.
    fn write_headers(&mut self, next: &mut Delivery, targets: &[libc::sockaddr_in]) -> usize {
        let mut built = 0;
        while built < HEADERS_MAX && next.message < self.messages.len() {
            self.write(built, next.message, &targets[next.target]);
            built += 1;
            next.target += 1;
            if next.target == targets.len() {
                *next = Delivery { message: next.message + 1, target: 0 };
            }
        }
        built
    }

    /// Makes one system call for the headers of `written`. Returns how many of them the kernel took.
    fn call(
        &mut self,
        socket: BorrowedFd<'_>,
        written: Range<usize>,
        sent: &mut FanoutSent,
    ) -> io::Result<usize> {
        let headers = &mut self.headers[written];
        // SAFETY: the headers point to the targets and the slices of bursts that the caller of `send`
        // borrows, and to control messages of `self`. All are alive across the call; the kernel only reads
        // them.
        let taken = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as _,
                libc::MSG_DONTWAIT as _,
            )
        };
        sent.calls += 1;
        if taken <= 0 {
            return Err(io::Error::last_os_error());
        }
        for header in &headers[..taken as usize] {
            // SAFETY: `write` has set it to a vector of `messages`.
            sent.delivered_bytes += unsafe { (*header.msg_hdr.msg_iov).iov_len };
        }
        Ok(taken as usize)
    }

    /// Splits a send into messages.
    fn cut(&mut self, bursts: &[Burst<'_>], segmenting: bool) {
        self.messages.clear();
        for burst in bursts.iter().filter(|burst| !burst.bytes.is_empty()) {
            // Most bursts are one datagram, and need no division.
            if burst.bytes.len() <= burst.stride {
                if self.messages.len() == MESSAGES_MAX {
                    return;
                }
                self.messages.push(FanoutMessage { iovec: iovec(burst.bytes), segment: None, datagrams: 1 });
                continue;
            }
            let each = if segmenting { SEGMENTS_MAX.min(MESSAGE_BYTES_MAX / burst.stride).max(1) } else { 1 };
            for bytes in burst.bytes.chunks(each * burst.stride) {
                if self.messages.len() == MESSAGES_MAX {
                    return;
                }
                self.messages.push(FanoutMessage {
                    iovec: iovec(bytes),
                    segment: (bytes.len() > burst.stride).then_some(burst.stride as u16),
                    datagrams: bytes.len().div_ceil(burst.stride),
                });
            }
        }
    }

    /// Writes header `index`: message `message` to `target`.
    fn write(&mut self, index: usize, message: usize, target: &libc::sockaddr_in) {
        let header = &mut self.headers[index].msg_hdr;
        header.msg_name = std::ptr::from_ref(target).cast_mut().cast();
        header.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        let what = &mut self.messages[message];
        header.msg_iov = &raw mut what.iovec;
        header.msg_iovlen = 1;
        header.msg_control = std::ptr::null_mut();
        header.msg_controllen = 0;
        if let Some(segment) = what.segment {
            set_segment(header, &mut self.controls[message], segment);
        }
    }

    /// Adds up a send that has processed the first `at` deliveries, refused ones included.
    fn add_up(&self, sent: &mut FanoutSent, at: usize, targets: usize) {
        let mut left = at;
        for message in &self.messages {
            if left == 0 {
                break;
            }
            let reached = left.min(targets);
            sent.datagrams += message.datagrams;
            sent.deliveries += reached * message.datagrams;
            sent.unsent += (targets - reached) * message.datagrams;
            left -= reached;
        }
        // A refused delivery is a whole message, whose size is not stored: most are single datagrams.
        sent.unsent += sent.refusals;
        sent.deliveries -= sent.refusals.min(sent.deliveries);
    }
}
