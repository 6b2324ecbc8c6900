//! The side thread of an xdp device: work for which the pinned thread must not wait.
//!
//! It maintains the neighbour table, reads how many frames were dropped, and waits on the ordinary sockets.
//! These receive the datagrams that did not come by the card: from processes of this host, or in a shape that
//! the program leaves to the kernel. They are rare, so the pinned thread reads these sockets only when this
//! thread reports a datagram.

use super::neighbours::{NeighbourThread, Neighbours};
use super::socket::dropped;
use crate::{IoError, capabilities};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Interval between two readings of the neighbours; shorter while one is wanted.
const ROUND: Duration = Duration::from_secs(1);
/// Interval between two readings of the count of discarded frames.
const POLL_PERIOD: Duration = Duration::from_millis(50);

/// State that both threads share.
#[derive(Default)]
pub(super) struct XdpSideShared {
    pub neighbours: Neighbours,
    /// Whether the ordinary sockets have a datagram: groups, unicast. Initially true.
    pub by_kernel: [AtomicBool; 2],
    /// Frames dropped for want of room since the device was opened.
    pub dropped: AtomicU64,
    stop: AtomicBool,
}

/// The thread, which ends when this is dropped.
pub(super) struct XdpSideThread {
    pub shared: Arc<XdpSideShared>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl XdpSideThread {
    /// Starts it for the neighbours of `card`, on the ordinary sockets and those of the queues.
    pub fn start(
        card: String,
        ordinary: [BorrowedFd<'_>; 2],
        queues: Vec<BorrowedFd<'_>>,
    ) -> Result<Self, IoError> {
        let fails = |error| IoError::new("start the side thread of an XDP device", error);
        let own = |fd: &BorrowedFd<'_>| fd.try_clone_to_owned();
        let ordinary: Vec<OwnedFd> = ordinary.iter().map(own).collect::<Result<_, _>>().map_err(fails)?;
        let queues: Vec<OwnedFd> = queues.iter().map(own).collect::<Result<_, _>>().map_err(fails)?;
        let poll = Poll::new().map_err(fails)?;
        for (token, socket) in ordinary.iter().enumerate() {
            let source = &mut SourceFd(&socket.as_raw_fd());
            poll.registry().register(source, Token(token), Interest::READABLE).map_err(fails)?;
        }
        let waker = Waker::new(poll.registry(), Token(ordinary.len())).map_err(fails)?;
        let shared = Arc::new(XdpSideShared::default());
        // Datagrams that came before the first wait are read at once.
        shared.by_kernel.iter().for_each(|flag| flag.store(true, Ordering::Relaxed));
        let work = Work { shared: shared.clone(), poll, _ordinary: ordinary, queues, card };
        let thread = capabilities::spawn(std::thread::Builder::new().name("xdp-side".into()), || work.run())
            .map_err(fails)?;
        Ok(Self { shared, waker, thread: Some(thread) })
    }
}

impl Drop for XdpSideThread {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // Without the waker the thread ends a moment later by itself.
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The state of the thread.
struct Work {
    shared: Arc<XdpSideShared>,
    poll: Poll,
    /// Duplicates of the device's sockets: the registered descriptors stay open.
    _ordinary: Vec<OwnedFd>,
    queues: Vec<OwnedFd>,
    card: String,
}

impl Work {
    fn run(mut self) {
        let mut events = Events::with_capacity(8);
        let (mut keeper, mut round) = (NeighbourThread::default(), Instant::now());
        while !self.shared.stop.load(Ordering::Acquire) {
            // Edge-triggered: a socket is reported once for all datagrams since it was last empty or
            // reported.
            if self.poll.poll(&mut events, Some(POLL_PERIOD)).is_err() {
                std::thread::sleep(POLL_PERIOD);
            }
            for event in &events {
                if let Some(flag) = self.shared.by_kernel.get(event.token().0) {
                    flag.store(true, Ordering::Release);
                }
            }
            let all = self.queues.iter().map(|queue| dropped(queue.as_fd()).unwrap_or(0)).sum();
            self.shared.dropped.store(all, Ordering::Relaxed);
            if Instant::now() >= round {
                let table = std::fs::read_to_string("/proc/thread-self/net/arp").unwrap_or_default();
                let waits = keeper.look(&self.shared.neighbours, &table, &self.card);
                round = Instant::now() + if waits { POLL_PERIOD } else { ROUND };
            } else if self.shared.neighbours.is_wanted() {
                round = Instant::now();
            }
        }
    }
}
