//! One queue of a card as a socket: its memory (UMEM), its four rings, and the few system calls around them.
//!
//! ```text
//!  a received frame:  fill ring ─▶ card ─▶ received ring ─▶ lent ─▶ fill ring
//!  a sent one:        free ─▶ send ring ─▶ card ─▶ completed ring ─▶ free
//! ```
//!
//! The memory is cut into frames of one size, some for receiving and some for sending. A frame is in exactly
//! one of these places: the slices that are lent from it rely on that.

use super::ring::{Consumer, Offsets, Producer, XdpRing};
use crate::IoError;
use memmap2::{MmapOptions, MmapRaw};
use std::io::{Error, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// The room that the kernel reserves in front of each received frame (`XDP_PACKET_HEADROOM`).
const HEADROOM: usize = 256;
/// Frames are half a page or a whole one: the kernel takes powers of two up to its page.
const FRAME_BYTES_MIN: usize = 2048;
const FRAME_BYTES_MAX: usize = 4096;
/// Fewer frames are useless, and more would not fit a ring.
const FRAMES_MIN: usize = 512;
const FRAMES_MAX: usize = 16_384;
/// Raises the number of frames that one call sends in generic and native mode from 32 (Linux 6.18).
const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;
/// The number of frames that one call sends where that option does not exist.
const SENT_PER_CALL: u32 = 32;
/// Frames that one busy poll takes from the card.
const BUSY_POLL_BUDGET: libc::c_int = 64;
/// A killed predecessor holds its queue some tens of milliseconds longer than it lives, and seconds on a host
/// that is busy with other work.
pub(super) const BUSY_PATIENCE: Duration = Duration::from_secs(3);
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// Bytes of the frame for datagrams that need `bytes` with all headers.
///
/// # Errors
/// No frame is that large: the most bytes possible.
pub(super) fn frame_bytes(bytes: usize) -> Result<usize, usize> {
    let needed = (bytes + HEADROOM).next_power_of_two().max(FRAME_BYTES_MIN);
    if needed <= FRAME_BYTES_MAX { Ok(needed) } else { Err(FRAME_BYTES_MAX - HEADROOM) }
}

/// Tries again while a predecessor still holds the resource.
pub(super) fn when_free<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    error: impl Fn(&E) -> &IoError,
) -> Result<T, E> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(why)
                if error(&why).source.raw_os_error() == Some(libc::EBUSY)
                    && begun.elapsed() < BUSY_PATIENCE =>
            {
                std::thread::sleep(BUSY_PAUSE);
            }
            done => return done,
        }
    }
}

/// How to open a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueSettings {
    pub card: u32,
    pub queue: u32,
    /// From [`frame_bytes`].
    pub frame_bytes: usize,
    pub receive_bytes: usize,
    /// 0 for a queue that only receives.
    pub send_bytes: usize,
    pub zero_copy: bool,
    pub busy_poll_us: Option<u32>,
}

/// A received frame: the offset of its bytes in the memory, and their number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct XdpFrame {
    pub at: u64,
    pub len: u32,
}

/// One open queue.
pub(super) struct Queue {
    socket: OwnedFd,
    memory: MmapRaw,
    frame_bytes: usize,
    fill: Producer<u64>,
    received: Consumer<libc::xdp_desc>,
    sender: Option<Sender>,
    polls_busily: bool,
    /// Whether a frame was taken or returned that is not yet published to the kernel.
    unpublished: bool,
}

/// The half of a queue that sends.
struct Sender {
    ring: Producer<libc::xdp_desc>,
    completed: Consumer<u64>,
    /// Frames that are not in use.
    free: Vec<u64>,
    /// The most calls that a full ring may need.
    calls_max: u32,
}

/// The results of the calls that send.
#[derive(Debug, Default)]
pub(super) struct WakeOutcome {
    /// The number of calls.
    pub calls: u64,
    /// The error of the last one, if it failed.
    pub error: Option<Error>,
    /// Frames that still wait in the ring: the next call takes them.
    pub waiting: u32,
}

impl Queue {
    /// Opens the socket of a queue and binds it. Nothing is received before the program knows it.
    ///
    /// # Errors
    /// The kernel's error; for a missing right, locked memory and an occupied queue with the remedy.
    pub fn open(settings: &QueueSettings, name: &str) -> Result<Self, IoError> {
        when_free(|| Self::try_open(settings, name), |error| error)
    }

    fn try_open(settings: &QueueSettings, name: &str) -> Result<Self, IoError> {
        // SAFETY: a call without pointers.
        let socket = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if socket < 0 {
            return Err(IoError::last("open an XDP socket"));
        }
        // SAFETY: the descriptor is new, valid, and has no other owner.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        let receive = frames(settings.receive_bytes, settings.frame_bytes);
        let send =
            if settings.send_bytes == 0 { 0 } else { frames(settings.send_bytes, settings.frame_bytes) };
        let memory = register(&socket, (receive + send) as usize, settings.frame_bytes)?;
        let fill = fill_places(receive);
        for (ring, count, name) in [
            (libc::XDP_UMEM_FILL_RING, fill, "fill"),
            (libc::XDP_UMEM_COMPLETION_RING, send.max(FRAMES_MIN as u32), "completed"),
            (libc::XDP_RX_RING, receive, "received"),
            (libc::XDP_TX_RING, send, "send"),
        ] {
            if count > 0 {
                set(&socket, libc::SOL_XDP, ring, &count, &format!("size the {name} ring"))?;
            }
        }
        let offsets = offsets(&socket)?;
        let fd = socket.as_fd();
        let fill =
            Producer::new(XdpRing::map(fd, libc::XDP_UMEM_PGOFF_FILL_RING, offsets.fr.into(), fill, "fill")?);
        let received = Consumer::new(XdpRing::map(
            fd,
            libc::XDP_PGOFF_RX_RING as u64,
            Offsets::from(offsets.rx),
            receive,
            "received",
        )?);
        let sender = if send == 0 { None } else { Some(sender(&socket, &offsets, receive, send, settings)?) };
        let polls_busily = settings.busy_poll_us.is_some_and(|us| polls_busily(&socket, us));
        bind(&socket, settings, name)?;
        let mut queue = Self {
            socket,
            memory,
            frame_bytes: settings.frame_bytes,
            fill,
            received,
            sender,
            polls_busily,
            unpublished: false,
        };
        for frame in 0..u64::from(receive) {
            queue.fill.put(frame * queue.frame_bytes as u64);
        }
        queue.fill.tell();
        queue.wake();
        Ok(queue)
    }

    /// The socket.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether receives poll the card themselves.
    pub fn polls_busily(&self) -> bool {
        self.polls_busily
    }

    /// Takes the oldest received frame, if there is one. It is ours until it is returned.
    #[inline]
    pub fn take(&mut self) -> Option<XdpFrame> {
        let entry = self.received.take()?;
        self.unpublished = true;
        Some(XdpFrame { at: entry.addr, len: entry.len })
    }

    /// The bytes of a frame that was taken and not returned.
    #[inline]
    pub fn bytes(&self, frame: XdpFrame) -> &[u8] {
        self.slice(frame.at, frame.len as usize)
    }

    #[inline]
    fn slice(&self, at: u64, len: usize) -> &[u8] {
        let whole = (at as usize).checked_add(len).is_some_and(|end| end <= self.memory.len());
        debug_assert!(whole, "the kernel names frames inside of the memory");
        if !whole {
            return &[];
        }
        // SAFETY: it lies inside the memory; the frame is in none of the rings, so nothing writes to it, and
        // only a mutable borrow of `self` returns it there.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(at as usize), len) }
    }

    /// Returns a received frame to be filled again; [`Queue::tell`] publishes it to the kernel.
    #[inline]
    pub fn give_back(&mut self, at: u64) {
        self.unpublished = true;
        let put = self.fill.put(at & !(self.frame_bytes as u64 - 1));
        debug_assert!(put, "more frames than there are");
    }

    /// Publishes the taken and returned frames to the kernel: without a system call, unless the card waits
    /// for one.
    #[inline]
    pub fn tell(&mut self) {
        if self.unpublished {
            self.unpublished = false;
            self.received.tell();
            self.fill.tell();
        }
        if self.fill.wants_call() {
            self.wake();
        }
    }

    /// Makes the card look for frames: if it asks for that, or with busy polling.
    pub fn wake(&self) {
        let (none, no_address, no_length) =
            (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: an XDP socket takes no buffer here and writes to none.
        unsafe {
            libc::recvfrom(self.socket.as_raw_fd(), none, 0, libc::MSG_DONTWAIT, no_address, no_length)
        };
    }

    /// Puts a frame to be sent, filled by `write`, which returns its length; [`Queue::wake_kernel`] sends it.
    /// Returns whether there was a free frame and `write` filled it.
    #[inline]
    pub fn put(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let Some(sender) = &mut self.sender else { return false };
        if sender.free.is_empty() {
            sender.reclaim();
        }
        if sender.ring.room(1) == 0 {
            return false;
        }
        let Some(at) = sender.free.pop() else { return false };
        // SAFETY: a free frame lies inside the memory and is in no ring; `self` is borrowed mutably, so no
        // slice of it is lent.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().add(at as usize), self.frame_bytes)
        };
        match write(bytes) {
            Some(len) => sender.ring.put(libc::xdp_desc { addr: at, len: len as u32, options: 0 }),
            None => {
                sender.free.push(at);
                false
            }
        }
    }

    /// Makes the card send the frames that were put. Usually it is one call if the card needs one; more if a
    /// call takes only a part of the ring.
    pub fn wake_kernel(&mut self) -> WakeOutcome {
        let Some(sender) = &mut self.sender else { return WakeOutcome::default() };
        sender.ring.tell();
        let mut kicked = WakeOutcome::default();
        let mut before = sender.ring.waiting();
        if !sender.ring.wants_call() {
            // It is sending. The next call shows whether it takes all of it without a system call.
            kicked.waiting = before;
            return kicked;
        }
        while before > 0 && kicked.calls < u64::from(sender.calls_max) {
            // SAFETY: an XDP socket takes no buffer here.
            let done = unsafe {
                libc::sendto(
                    self.socket.as_raw_fd(),
                    std::ptr::null(),
                    0,
                    libc::MSG_DONTWAIT,
                    std::ptr::null(),
                    0,
                )
            };
            kicked.error = (done < 0).then(Error::last_os_error);
            kicked.calls += 1;
            kicked.waiting = sender.ring.waiting();
            if kicked.waiting == before {
                // Nothing moved: the next call finds it.
                break;
            }
            before = kicked.waiting;
        }
        // The call has taken all frames, and the next frame to send is written where it is still in the
        // cache.
        sender.reclaim();
        kicked
    }
}

impl Sender {
    /// Takes back the frames that have been sent: no system call.
    fn reclaim(&mut self) {
        while let Some(at) = self.completed.take() {
            self.free.push(at);
        }
        self.completed.tell();
    }
}

/// The number of frames that hold `bytes`: a power of two, as rings require.
fn frames(bytes: usize, frame_bytes: usize) -> u32 {
    (bytes / frame_bytes).clamp(FRAMES_MIN, FRAMES_MAX).next_power_of_two() as u32
}

/// Places of the fill ring of a queue that receives into `frames` frames. The kernel publishes a frame that
/// it filled before it publishes that it took it from the fill ring (`xsk_flush`): for that moment each frame
/// may stand there twice.
fn fill_places(frames: u32) -> u32 {
    2 * frames
}

/// Makes the memory and registers it.
fn register(socket: &OwnedFd, frames: usize, frame_bytes: usize) -> Result<MmapRaw, IoError> {
    let bytes = frames * frame_bytes;
    let doing = || format!("make {bytes} bytes of memory for frames");
    let memory = MmapOptions::new().len(bytes).populate().map_anon();
    let memory = MmapRaw::from(memory.map_err(|error| IoError::new(doing(), error))?);
    // SAFETY: plain integers; all zero is a value of it.
    let mut region: libc::xdp_umem_reg = unsafe { std::mem::zeroed() };
    region.addr = memory.as_mut_ptr() as u64;
    region.len = bytes as u64;
    region.chunk_size = frame_bytes as u32;
    let done = set(socket, libc::SOL_XDP, libc::XDP_UMEM_REG, &region, &doing());
    done.map_err(|error| match error.source.raw_os_error() {
        Some(libc::ENOBUFS) => IoError::new(
            format!(
                "{}: no more memory may be locked; raise `ulimit -l` (LimitMEMLOCK= of a unit) to {} KiB, or configure \
                 a smaller receive_buffer and send_buffer",
                error.doing,
                bytes.div_ceil(1024)
            ),
            error.source,
        ),
        _ => error,
    })?;
    Ok(memory)
}

fn sender(
    socket: &OwnedFd,
    offsets: &libc::xdp_mmap_offsets,
    receive: u32,
    send: u32,
    settings: &QueueSettings,
) -> Result<Sender, IoError> {
    // The kernel makes a packet of its own from each frame, and counts it against the send buffer: without
    // this it takes some hundred at a time.
    let bytes = settings.send_bytes.min(i32::MAX as usize / 2) as libc::c_int;
    set(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &bytes, "size the send buffer of the XDP socket")?;
    let budget = set(socket, libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &send, "raise the frames of one call");
    let calls_max = if budget.is_ok() { 2 } else { send.div_ceil(SENT_PER_CALL) + 1 };
    let fd = socket.as_fd();
    let completion = libc::XDP_UMEM_PGOFF_COMPLETION_RING;
    let first = u64::from(receive);
    Ok(Sender {
        ring: Producer::new(XdpRing::map(
            fd,
            libc::XDP_PGOFF_TX_RING as u64,
            offsets.tx.into(),
            send,
            "send",
        )?),
        completed: Consumer::new(XdpRing::map(fd, completion, offsets.cr.into(), send, "completed")?),
        free: (first..first + u64::from(send)).map(|frame| frame * settings.frame_bytes as u64).collect(),
        calls_max,
    })
}

fn bind(socket: &OwnedFd, settings: &QueueSettings, name: &str) -> Result<(), IoError> {
    let mode = if settings.zero_copy { libc::XDP_ZEROCOPY } else { libc::XDP_COPY };
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: mode | libc::XDP_USE_NEED_WAKEUP,
        sxdp_ifindex: settings.card,
        sxdp_queue_id: settings.queue,
        sxdp_shared_umem_fd: 0,
    };
    let bytes = size_of::<libc::sockaddr_xdp>() as libc::socklen_t;
    // SAFETY: the address lives across the call, and its size is stated.
    let failed = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), bytes) } != 0;
    if !failed {
        return Ok(());
    }
    let error = Error::last_os_error();
    let remedy = match error.raw_os_error() {
        Some(libc::EBUSY) => {
            ": another program has that queue; end it, or configure another queue or interface"
        }
        Some(libc::EINVAL) => ": the card has no such queue, or its driver refuses",
        _ => "",
    };
    Err(IoError::new(format!("bind an XDP socket to queue {} of {name}{remedy}", settings.queue), error))
}

/// Asks for busy polling. Returns whether the kernel does it.
fn polls_busily(socket: &OwnedFd, us: u32) -> bool {
    let us = us.min(i32::MAX as u32) as libc::c_int;
    let options = [
        (libc::SO_PREFER_BUSY_POLL, 1),
        (libc::SO_BUSY_POLL, us),
        (libc::SO_BUSY_POLL_BUDGET, BUSY_POLL_BUDGET),
    ];
    options
        .iter()
        .all(|(option, value)| set(socket, libc::SOL_SOCKET, *option, value, "ask for busy polling").is_ok())
}

fn offsets(socket: &OwnedFd) -> Result<libc::xdp_mmap_offsets, IoError> {
    // SAFETY: plain integers; all zero is a value of it.
    let mut offsets: libc::xdp_mmap_offsets = unsafe { std::mem::zeroed() };
    get(socket.as_fd(), libc::XDP_MMAP_OFFSETS, &mut offsets)
        .map_err(|error| IoError::new("ask where the rings of an XDP socket lie", error))?;
    Ok(offsets)
}

/// Frames for this node that the card or the kernel dropped on this socket for want of room.
pub(super) fn dropped(socket: BorrowedFd<'_>) -> std::io::Result<u64> {
    // SAFETY: plain integers; all zero is a value of it.
    let mut counts: libc::xdp_statistics = unsafe { std::mem::zeroed() };
    get(socket, libc::XDP_STATISTICS, &mut counts)?;
    Ok(counts.rx_dropped + counts.rx_ring_full)
}

/// Sets an option of a socket; `doing` states the purpose.
fn set<T>(
    socket: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
    doing: &str,
) -> Result<(), IoError> {
    let bytes = size_of::<T>() as libc::socklen_t;
    let value = std::ptr::from_ref(value).cast();
    // SAFETY: the value lives across the call, and its size is stated.
    let failed = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, bytes) } != 0;
    if failed { Err(IoError::last(doing)) } else { Ok(()) }
}

/// Reads an option of an XDP socket: plain integers.
fn get<T>(socket: BorrowedFd<'_>, option: libc::c_int, value: &mut T) -> std::io::Result<()> {
    let mut bytes = size_of::<T>() as libc::socklen_t;
    let to = std::ptr::from_mut(value).cast();
    // SAFETY: the value lives across the call, and its size is stated.
    let failed =
        unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_XDP, option, to, &raw mut bytes) } != 0;
    match failed {
        true => Err(Error::last_os_error()),
        false if bytes as usize != size_of::<T>() => Err(ErrorKind::Unsupported.into()),
        false => Ok(()),
    }
}
