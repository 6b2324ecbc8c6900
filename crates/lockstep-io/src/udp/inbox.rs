//! The receive side of a socket: one `recvmmsg`, or one `recvmsg` for a single message, with buffers that are
//! made once.
//!
//! A receiver with UDP_GRO gets whole bursts: several datagrams of one size, of which the last may be
//! shorter, with the size in a control message. They are lent as slices of the same buffer.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Room for the UDP_GRO size (24 bytes) and the count of drops (24 bytes), aligned as `cmsghdr` requires.
type Control = [u64; 8];

/// The position of a datagram of the last receive.
#[derive(Clone, Copy)]
struct Slot {
    at: usize,
    len: usize,
    message: usize,
}

/// Buffers of one socket.
///
/// The pointers in `headers` and `iovecs` lead into the other vectors. Those never grow and live as
/// long as this struct, and a vector's memory stays where it is when the struct moves.
pub(crate) struct UdpInbox {
    bytes: Vec<u8>,
    /// Bytes from one buffer to the next: a multiple of a cache line, so that headers are aligned.
    pitch: usize,
    names: Vec<libc::sockaddr_in>,
    controls: Vec<Control>,
    /// The kernel reads them through `headers`.
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    slots: Vec<Slot>,
    /// Messages that the next receive asks for: one if the last receive found at most one, otherwise as many
    /// as there is room for. Looking for a second one in vain delays the first.
    asked: usize,
    /// Whether the last receive took everything.
    pub drained: bool,
    /// Buffers that the kernel dropped since the socket was opened because the socket was full.
    pub dropped: u64,
    /// Datagrams that were longer than a buffer, or more than there are slots: not lent.
    pub truncated: u64,
}

// SAFETY: the pointers lead only into memory that the struct owns (see above).
unsafe impl Send for UdpInbox {}

impl UdpInbox {
    /// Buffers for `messages` messages of `message_bytes`, each of at most `segments_max` datagrams. All
    /// memory is touched here, so that no receive causes a page fault. Only a `named` inbox learns the
    /// sender: that costs some 50 ns of a receive, and a datagram of a group names its sender itself.
    pub fn new(messages: usize, message_bytes: usize, segments_max: usize, named: bool) -> Self {
        // SAFETY: all of these are plain integers and pointers; all zero is a value of them.
        let (name, header): (libc::sockaddr_in, libc::mmsghdr) = unsafe { std::mem::zeroed() };
        let pitch = message_bytes.next_multiple_of(64);
        let mut inbox = Self {
            bytes: vec![1; messages * pitch],
            pitch,
            names: vec![name; messages],
            controls: vec![[0; 8]; messages],
            iovecs: Vec::with_capacity(messages),
            headers: vec![header; messages],
            slots: Vec::with_capacity(messages * segments_max),
            asked: messages,
            drained: true,
            dropped: 0,
            truncated: 0,
        };
        let (bytes, names) = (inbox.bytes.as_mut_ptr(), inbox.names.as_mut_ptr());
        let controls = inbox.controls.as_mut_ptr();
        for index in 0..messages {
            // SAFETY: `index * pitch` lies inside `bytes`, `index` inside `names` and `controls`.
            let (base, name, control) =
                unsafe { (bytes.add(index * pitch), names.add(index), controls.add(index)) };
            inbox.iovecs.push(libc::iovec { iov_base: base.cast(), iov_len: message_bytes });
            let header = &mut inbox.headers[index].msg_hdr;
            if named {
                header.msg_name = name.cast();
            }
            header.msg_control = control.cast();
            header.msg_iovlen = 1;
            rearm(header);
        }
        let iovecs = inbox.iovecs.as_mut_ptr();
        for (index, header) in inbox.headers.iter_mut().enumerate() {
            // SAFETY: one vector was pushed for each header.
            header.msg_hdr.msg_iov = unsafe { iovecs.add(index) };
        }
        inbox
    }

    /// Makes one call that never waits. Returns how many datagrams are lent, 0 when none was there.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.slots.clear();
        let asked = self.asked;
        let got = self.call(socket);
        let count = usize::try_from(got).unwrap_or(0);
        self.drained = count < asked;
        self.asked = if count <= 1 && self.drained { 1 } else { self.headers.len() };
        if got < 0 {
            return Err(io::Error::last_os_error());
        }
        for message in 0..count {
            self.split(message);
            rearm(&mut self.headers[message].msg_hdr);
        }
        Ok(self.slots.len())
    }

    /// Asks the kernel for `asked` messages. Returns how many came, or -1.
    #[inline]
    fn call(&mut self, socket: BorrowedFd<'_>) -> libc::c_int {
        let headers = self.headers.as_mut_ptr();
        if self.asked > 1 {
            let (most, flags) = (self.asked as _, libc::MSG_DONTWAIT as _);
            // SAFETY: each header points to a name, a buffer and a control buffer of the lengths that it
            // states, owned by `self`; nothing borrows them, since `self` is borrowed mutably.
            return unsafe { libc::recvmmsg(socket.as_raw_fd(), headers, most, flags, std::ptr::null_mut()) };
        }
        // SAFETY: as above, for the first header.
        let bytes =
            unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut (*headers).msg_hdr, libc::MSG_DONTWAIT) };
        if bytes < 0 {
            return -1;
        }
        self.headers[0].msg_len = bytes as libc::c_uint;
        1
    }

    /// Finds the datagrams in a received message.
    fn split(&mut self, message: usize) {
        let header = &self.headers[message];
        let received = (header.msg_len as usize).min(self.pitch);
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            self.truncated += 1;
            return;
        }
        let mut segment = received;
        // SAFETY: the kernel has written `msg_controllen` bytes of well-formed control messages to
        // `msg_control`, and the two macros stay inside them.
        let mut at = unsafe { libc::CMSG_FIRSTHDR(&header.msg_hdr) };
        // SAFETY: as above; a non-null pointer leads to a whole header.
        while let Some(control) = unsafe { at.as_ref() } {
            // SAFETY: both kinds of message carry an `int` behind their header.
            let value = || unsafe { libc::CMSG_DATA(at).cast::<i32>().read_unaligned() };
            match (control.cmsg_level, control.cmsg_type) {
                (libc::SOL_UDP, libc::UDP_GRO) => segment = value().max(0) as usize,
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    // A 32-bit counter that wraps: add the difference.
                    let seen = value() as u32;
                    self.dropped += u64::from(seen.wrapping_sub(self.dropped as u32));
                }
                _ => {}
            }
            // SAFETY: as above.
            at = unsafe { libc::CMSG_NXTHDR(&header.msg_hdr, at) };
        }
        let start = message * self.pitch;
        let mut done = 0;
        loop {
            if self.slots.len() == self.slots.capacity() {
                self.truncated += 1; // growing would allocate; the kernel makes no bursts this long
                return;
            }
            let len = segment.max(1).min(received - done);
            self.slots.push(Slot { at: start + done, len, message });
            done += len;
            if done >= received {
                return;
            }
        }
    }

    /// The `index`th datagram of the last receive; empty beyond its end.
    pub fn datagram(&self, index: usize) -> &[u8] {
        self.slots.get(index).map_or(&[], |slot| &self.bytes[slot.at..slot.at + slot.len])
    }

    /// The sender of the `index`th datagram of the last receive; 0.0.0.0:0 beyond its end.
    pub fn sender(&self, index: usize) -> SocketAddrV4 {
        self.slots.get(index).map_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), |slot| {
            let name = &self.names[slot.message];
            SocketAddrV4::new(u32::from_be(name.sin_addr.s_addr).into(), u16::from_be(name.sin_port))
        })
    }

    /// Bytes of all datagrams of the last receive.
    pub fn received_bytes(&self) -> usize {
        self.slots.iter().map(|slot| slot.len).sum()
    }
}

/// Sets the lengths again: the kernel overwrote them with those that it used.
fn rearm(header: &mut libc::msghdr) {
    let named = !header.msg_name.is_null();
    header.msg_namelen = if named { size_of::<libc::sockaddr_in>() as libc::socklen_t } else { 0 };
    header.msg_controllen = size_of::<Control>() as _;
    header.msg_flags = 0;
}
