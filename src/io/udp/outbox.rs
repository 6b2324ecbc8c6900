//! The send side of a socket: one `sendmmsg`, headers for life, the caller's memory sent from.
//!
//! A burst of several datagrams is one message that the kernel (or the card) cuts up: UDP_SEGMENT.
//! What lies behind its limits becomes more messages of the same call.

use super::UdpCounts;
use crate::engine::ports::Burst;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Most messages of one call. What is beyond stays with the caller, who offers it again.
const MESSAGES_MAX: usize = 256;
/// Most datagrams of one message: kernels before 6.9 stop at 64, later ones at 128.
pub(in crate::io) const SEGMENTS_MAX: usize = 64;
/// Most bytes of one message: 65,535 less the headers of IPv4 and UDP.
pub(in crate::io) const MESSAGE_BYTES_MAX: usize = 65_535 - 28;

/// Room for the UDP_SEGMENT size, aligned as `cmsghdr` asks.
pub(in crate::io) type Control = [u64; 3];

/// Headers of the messages of one call, made once and filled for each.
pub(super) struct Outbox {
    headers: Vec<libc::mmsghdr>,
    iovecs: Vec<libc::iovec>,
    controls: Vec<Control>,
}

// SAFETY: between calls the pointers are never followed; each call writes those that it uses.
unsafe impl Send for Outbox {}

/// What became of one call.
#[derive(Default)]
pub(super) struct Sent {
    /// Datagrams that the device took, counted from the first offered.
    pub datagrams: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Whether a message with UDP_SEGMENT was among them.
    pub segmented: bool,
    /// Whether the first message that was not taken carried UDP_SEGMENT; `None` when all were taken.
    pub stopped_at_segmented: Option<bool>,
    /// Why none was taken.
    pub error: Option<io::Error>,
}

impl Outbox {
    /// Headers for the largest call.
    pub fn new() -> Self {
        // SAFETY: both are plain integers and pointers; all zero is a value of them.
        let (header, iovec): (libc::mmsghdr, libc::iovec) = unsafe { std::mem::zeroed() };
        Self {
            headers: vec![header; MESSAGES_MAX],
            iovecs: vec![iovec; MESSAGES_MAX],
            controls: vec![[0; 3]; MESSAGES_MAX],
        }
    }

    /// One `sendmmsg` of `bursts` without their first `skip` datagrams. Bursts are within the limits
    /// of a datagram (the caller has checked).
    pub fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        to: SocketAddrV4,
        bursts: &[Burst<'_>],
        mut skip: usize,
        segmenting: bool,
    ) -> Sent {
        let mut name = socket_address(to);
        let mut built = 0;
        'bursts: for burst in bursts {
            let count = burst.count();
            if skip >= count {
                skip -= count;
                continue;
            }
            let bytes = &burst.bytes[skip * burst.stride..];
            skip = 0;
            let each = if segmenting { SEGMENTS_MAX.min(MESSAGE_BYTES_MAX / burst.stride).max(1) } else { 1 };
            for message in bytes.chunks(each * burst.stride) {
                if built == MESSAGES_MAX {
                    break 'bursts;
                }
                let segment = (message.len() > burst.stride).then_some(burst.stride as u16);
                self.write(built, message, segment, &raw mut name);
                built += 1;
            }
        }
        if built == 0 {
            return Sent::default();
        }
        // SAFETY: the first `built` headers lead to `name`, to slices that `bursts` borrows and to
        // control messages of `self`, all alive across the call; the kernel only reads them.
        let taken = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), built as _, libc::MSG_DONTWAIT as _)
        };
        let error = (taken < 0).then(io::Error::last_os_error);
        self.outcome(bursts, built, taken.max(0) as usize, error)
    }

    /// Writes message `index`: whence, whither, and into what size it is to be cut.
    fn write(&mut self, index: usize, bytes: &[u8], segment: Option<u16>, name: *mut libc::sockaddr_in) {
        let iovec = &mut self.iovecs[index];
        *iovec = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let header = &mut self.headers[index].msg_hdr;
        header.msg_name = name.cast();
        header.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        header.msg_iov = iovec;
        header.msg_iovlen = 1;
        header.msg_control = std::ptr::null_mut();
        header.msg_controllen = 0;
        let Some(segment) = segment else { return };
        set_segment(header, &mut self.controls[index], segment);
    }

    /// Adds up the first `taken` of `built` messages.
    fn outcome(&self, bursts: &[Burst<'_>], built: usize, taken: usize, error: Option<io::Error>) -> Sent {
        let mut sent = Sent { error, ..Sent::default() };
        for (header, iovec) in self.headers.iter().zip(&self.iovecs).take(taken) {
            sent.datagrams += self.datagrams(header, iovec);
            sent.bytes += iovec.iov_len;
            sent.segmented |= header.msg_hdr.msg_controllen != 0;
        }
        debug_assert!(sent.datagrams <= bursts.iter().map(Burst::count).sum());
        sent.stopped_at_segmented = (taken < built).then(|| self.headers[taken].msg_hdr.msg_controllen != 0);
        sent
    }

    /// How many datagrams a written message is.
    fn datagrams(&self, header: &libc::mmsghdr, iovec: &libc::iovec) -> usize {
        if header.msg_hdr.msg_controllen == 0 {
            return 1;
        }
        // SAFETY: a header with control bytes was given a UDP_SEGMENT message by `write`.
        let segment = unsafe {
            let first = libc::CMSG_FIRSTHDR(&header.msg_hdr);
            libc::CMSG_DATA(first).cast::<u16>().read_unaligned()
        };
        iovec.iov_len.div_ceil(usize::from(segment))
    }
}

/// Says by `control` into what size a message is to be cut.
pub(in crate::io) fn set_segment(header: &mut libc::msghdr, control: &mut Control, segment: u16) {
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
pub(in crate::io) fn send_counted(
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

/// One `sendmmsg` of a single datagram in two parts: the same call as for groups, so that a hot
/// thread needs no third one.
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

/// `to` as the kernel reads it.
pub(in crate::io) fn socket_address(to: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*to.ip()).to_be() },
        sin_zero: [0; 8],
    }
}
