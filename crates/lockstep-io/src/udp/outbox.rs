//! The send side of a socket: one `sendmmsg` from the caller's memory, with headers that are made once; one
//! `sendto` for a single datagram.
//!
//! Datagrams of one size, of which the last may be shorter, are one message that the kernel (or the card)
//! cuts up: UDP_SEGMENT. They need not be contiguous: a message gathers bursts as long as their sizes fit.
//! Bursts that exceed its limits become more messages of the same call.
//!
//! ```text
//!   bursts     [a a a][a][a b] [b][c]      a, b, c: sizes, from the largest to the smallest
//!   messages   a a a a a b  │  b c         pieces of memory: 2, 2
//! ```

use super::UdpCounts;
use lockstep_core::engine::ports::Burst;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The most pieces of memory that one call sends from, and so the most messages. The caller offers the rest
/// again.
const PIECES_MAX: usize = 256;
/// The most datagrams of one message: kernels before 6.9 stop at 64, later ones at 128.
pub(crate) const SEGMENTS_MAX: usize = 64;
/// Most bytes of one message: 65,535 less the headers of IPv4 and UDP.
pub(crate) const MESSAGE_BYTES_MAX: usize = 65_535 - 28;

/// Room for the UDP_SEGMENT size, aligned as `cmsghdr` asks.
pub(crate) type Control = [u64; 3];

/// Headers of the messages of one call, made once and filled for each.
pub(super) struct UdpOutbox {
    headers: Vec<libc::mmsghdr>,
    iovecs: Vec<libc::iovec>,
    controls: Vec<Control>,
    /// The messages of the present call, and the pieces from which they are sent.
    messages: Vec<Message>,
    pieces: usize,
}

// SAFETY: between calls the pointers are never followed; each call writes those that it uses.
unsafe impl Send for UdpOutbox {}

/// Datagrams that leave as one message.
#[derive(Clone, Copy)]
struct Message {
    datagrams: usize,
    bytes: usize,
    /// Bytes of each datagram but the last.
    stride: usize,
    /// Whether no datagram may follow: the last one was shorter, or datagrams are sent one by one.
    is_ended: bool,
}

impl Message {
    /// A message of the front of `bytes`, which are datagrams of `stride` bytes, of which the last may be
    /// shorter.
    fn new(bytes: &[u8], stride: usize, segmenting: bool) -> Self {
        let stride = stride.min(bytes.len());
        let empty = Self { datagrams: 0, bytes: 0, stride, is_ended: false };
        let first = Self { datagrams: 1, bytes: stride, stride, is_ended: !segmenting };
        if bytes.len() > stride && segmenting { empty.and(bytes, stride).unwrap_or(first) } else { first }
    }

    /// This message extended by as much of the front of `bytes` as fits; `None` if nothing fits.
    fn and(self, bytes: &[u8], stride: usize) -> Option<Self> {
        let (datagrams, room) = (self.datagrams, MESSAGE_BYTES_MAX - self.bytes);
        let is_one = bytes.len() <= stride;
        let size = if is_one { bytes.len() } else { stride };
        let goes_on = size == self.stride || is_one && size < self.stride;
        if self.is_ended || !goes_on || datagrams == SEGMENTS_MAX || size > room {
            return None;
        }
        let taken =
            if is_one { size } else { bytes.len().min(size * (room / size).min(SEGMENTS_MAX - datagrams)) };
        Some(Self {
            datagrams: datagrams + if is_one { 1 } else { taken.div_ceil(size) },
            bytes: self.bytes + taken,
            is_ended: if is_one { size < self.stride } else { !taken.is_multiple_of(size) },
            ..self
        })
    }

    fn is_segmented(&self) -> bool {
        self.datagrams > 1
    }
}

/// The result of one call.
#[derive(Default)]
pub(super) struct UdpSent {
    /// Datagrams that the device took, counted from the first offered.
    pub datagrams: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Whether a message with UDP_SEGMENT was among them.
    pub segmented: bool,
    /// Whether the first message that was not taken carried UDP_SEGMENT; `None` when all were taken.
    pub stopped_at_segmented: Option<bool>,
    /// Why no datagram was taken.
    pub error: Option<io::Error>,
}

impl UdpOutbox {
    /// Headers for the largest call.
    pub fn new() -> Self {
        // SAFETY: both are plain integers and pointers; all zero is a value of them.
        let (header, iovec): (libc::mmsghdr, libc::iovec) = unsafe { std::mem::zeroed() };
        Self {
            headers: vec![header; PIECES_MAX],
            iovecs: vec![iovec; PIECES_MAX],
            controls: vec![[0; 3]; PIECES_MAX],
            messages: Vec::with_capacity(PIECES_MAX),
            pieces: 0,
        }
    }

    /// Makes one `sendmmsg` of `bursts` without their first `skip` datagrams. The caller has checked that the
    /// datagrams are within the limit.
    pub fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        to: SocketAddrV4,
        bursts: &[Burst<'_>],
        skip: usize,
        segmenting: bool,
    ) -> UdpSent {
        if let ([burst], 0) = (bursts, skip)
            && burst.bytes.len() <= burst.stride
        {
            return send_single(socket, to, burst.bytes);
        }
        let mut name = socket_address(to);
        self.write(bursts, skip, segmenting, &raw mut name);
        let built = self.messages.len();
        if built == 0 {
            return UdpSent::default();
        }
        // SAFETY: the first `built` headers point to `name`, and to pieces and control messages of `self`;
        // the pieces point to slices that `bursts` borrows. All are alive across the call; the kernel only
        // reads them.
        let taken = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), built as _, libc::MSG_DONTWAIT as _)
        };
        let error = (taken < 0).then(io::Error::last_os_error);
        self.outcome(taken.max(0) as usize, error)
    }

    /// Writes the messages of a call: source, destination, and the size into which each is cut.
    fn write(
        &mut self,
        bursts: &[Burst<'_>],
        mut skip: usize,
        segmenting: bool,
        name: *mut libc::sockaddr_in,
    ) {
        self.messages.clear();
        self.pieces = 0;
        for burst in bursts {
            let mut bytes = burst.bytes;
            if skip > 0 {
                let skipped = skip.min(burst.count());
                skip -= skipped;
                bytes = bytes.get(skipped * burst.stride..).unwrap_or_default();
            }
            while !bytes.is_empty() {
                if self.pieces == PIECES_MAX {
                    return;
                }
                let taken = self.put(bytes, burst.stride, segmenting, name);
                bytes = &bytes[taken..];
            }
        }
    }

    /// Writes the front of `bytes` as a piece of the last message, or as the first piece of another one. The
    /// caller has checked that there is room. Returns the number of bytes written.
    fn put(&mut self, bytes: &[u8], stride: usize, segmenting: bool, name: *mut libc::sockaddr_in) -> usize {
        let joined = self.messages.last().and_then(|last| Some((last.bytes, last.and(bytes, stride)?)));
        let (before, message) = joined.unwrap_or_else(|| (0, Message::new(bytes, stride, segmenting)));
        let taken = message.bytes - before;
        let piece = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: taken };
        let pieces = &mut self.iovecs[self.pieces..];
        pieces[0] = piece;
        self.pieces += 1;
        if before > 0 {
            self.messages.pop();
            self.headers[self.messages.len()].msg_hdr.msg_iovlen += 1;
        } else {
            let header = &mut self.headers[self.messages.len()].msg_hdr;
            header.msg_name = name.cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            header.msg_iov = pieces.as_mut_ptr();
            header.msg_iovlen = 1;
            header.msg_control = std::ptr::null_mut();
            header.msg_controllen = 0;
        }
        let index = self.messages.len();
        self.messages.push(message);
        let header = &mut self.headers[index].msg_hdr;
        if message.is_segmented() && header.msg_controllen == 0 {
            set_segment(header, &mut self.controls[index], message.stride as u16);
        }
        taken
    }

    /// Adds up the first `taken` messages of the call.
    fn outcome(&self, taken: usize, error: Option<io::Error>) -> UdpSent {
        let mut sent = UdpSent { error, ..UdpSent::default() };
        for message in self.messages.iter().take(taken) {
            sent.datagrams += message.datagrams;
            sent.bytes += message.bytes;
            sent.segmented |= message.is_segmented();
        }
        sent.stopped_at_segmented = self.messages.get(taken).map(Message::is_segmented);
        sent
    }
}

/// Sends a single datagram by the call with the least overhead: `sendmmsg` takes a tenth longer.
fn send_single(socket: BorrowedFd<'_>, to: SocketAddrV4, bytes: &[u8]) -> UdpSent {
    let name = socket_address(to);
    // SAFETY: the name and the bytes are alive across the call, and their lengths are stated; the kernel only
    // reads them.
    let taken = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_DONTWAIT,
            (&raw const name).cast(),
            size_of::<libc::sockaddr_in>() as libc::socklen_t,
        )
    };
    if taken < 0 {
        let error = Some(io::Error::last_os_error());
        return UdpSent { error, stopped_at_segmented: Some(false), ..UdpSent::default() };
    }
    UdpSent { datagrams: 1, bytes: bytes.len(), ..UdpSent::default() }
}

/// Sets in `control` the size into which a message is cut.
pub(crate) fn set_segment(header: &mut libc::msghdr, control: &mut Control, segment: u16) {
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of::<Control>() as _;
    // SAFETY: `control` has room for one header and two bytes (24 bytes in all), aligned to 8, and
    // `msg_control` was just set to it, so CMSG_FIRSTHDR is its start.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(header);
        (*first).cmsg_level = libc::SOL_UDP;
        (*first).cmsg_type = libc::UDP_SEGMENT;
        (*first).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as _;
        libc::CMSG_DATA(first).cast::<u16>().write_unaligned(segment);
    }
}

/// Sends one datagram in two parts, and counts it. Returns whether it was taken.
pub(crate) fn send_counted(
    socket: BorrowedFd<'_>,
    to: SocketAddrV4,
    parts: [&[u8]; 2],
    counts: &mut UdpCounts,
) -> bool {
    counts.unicast_sends += 1;
    match send_parts(socket, to, parts) {
        Ok(()) => {
            counts.on_sent(1, parts[0].len() + parts[1].len());
            true
        }
        Err(error) => {
            counts.on_failed_send(&error);
            false
        }
    }
}

/// Sends a single datagram in two parts by one `sendmmsg`.
fn send_parts(socket: BorrowedFd<'_>, to: SocketAddrV4, parts: [&[u8]; 2]) -> io::Result<()> {
    let mut name = socket_address(to);
    let mut iovecs =
        parts.map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
    // SAFETY: plain integers and pointers; all zero is a value of it.
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_name = (&raw mut name).cast();
    header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    header.msg_hdr.msg_iov = iovecs.as_mut_ptr();
    header.msg_hdr.msg_iovlen = iovecs.len() as _;
    // SAFETY: name, vectors and both parts are alive across the call; the kernel only reads them.
    let taken = unsafe { libc::sendmmsg(socket.as_raw_fd(), &raw mut header, 1, libc::MSG_DONTWAIT as _) };
    if taken == 1 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `to` in the kernel's layout.
pub fn socket_address(to: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*to.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages for datagrams of these sizes, each in a burst of its own: the sizes in each message.
    fn gathered(sizes: &[usize], segmenting: bool) -> Vec<Vec<usize>> {
        let memory = vec![0; 2048];
        let bursts: Vec<_> =
            sizes.iter().map(|size| Burst { bytes: &memory[..*size], stride: *size }).collect();
        let mut outbox = UdpOutbox::new();
        outbox.write(&bursts, 0, segmenting, std::ptr::null_mut());
        let mut pieces = outbox.iovecs.iter().map(|piece| piece.iov_len);
        let messages = outbox.messages.iter().zip(&outbox.headers);
        messages
            .map(|(message, header)| {
                let lengths: Vec<usize> = pieces.by_ref().take(header.msg_hdr.msg_iovlen).collect();
                assert_eq!(message.datagrams, lengths.len());
                assert_eq!(message.bytes, lengths.iter().sum::<usize>());
                assert_eq!(header.msg_hdr.msg_controllen > 0, lengths.len() > 1, "a size where it is cut");
                lengths
            })
            .collect()
    }

    #[test]
    fn datagrams_of_one_size_are_one_message_wherever_they_lie_and_a_shorter_one_ends_it() {
        assert_eq!(gathered(&[800, 800, 800], true), [vec![800, 800, 800]]);
        assert_eq!(gathered(&[800, 800, 20, 800, 900], true), [vec![800, 800, 20], vec![800], vec![900]]);
        assert_eq!(gathered(&[20, 800, 20, 20], true), [vec![20], vec![800, 20], vec![20]]);
        assert_eq!(gathered(&[800, 800], false), [[800], [800]], "one by one where the kernel cuts nothing");
    }

    #[test]
    fn a_message_keeps_the_limits_of_the_kernel_and_a_call_those_of_its_memory() {
        let lengths =
            |sizes: &[usize]| -> Vec<usize> { gathered(sizes, true).iter().map(Vec::len).collect() };
        assert_eq!(lengths(&[100; 130]), [64, 64, 2], "datagrams");
        assert_eq!(lengths(&[1416; 100]), [46, 46, 8], "bytes");
        assert_eq!(lengths(&[100; 300]).iter().sum::<usize>(), PIECES_MAX);
    }

    #[test]
    fn what_was_taken_before_is_not_sent_again() {
        let memory = [0; 2500];
        let bursts = [Burst { bytes: &memory, stride: 1000 }, Burst { bytes: &memory[..1000], stride: 1000 }];
        let mut outbox = UdpOutbox::new();
        let mut sizes = |skip| -> Vec<(usize, usize)> {
            outbox.write(&bursts, skip, true, std::ptr::null_mut());
            outbox.messages.iter().map(|message| (message.datagrams, message.bytes)).collect()
        };
        assert_eq!(sizes(0), [(3, 2500), (1, 1000)]);
        assert_eq!(sizes(2), [(1, 500), (1, 1000)]);
        assert_eq!(sizes(3), [(1, 1000)]);
        assert_eq!(sizes(4), []);
    }
}
