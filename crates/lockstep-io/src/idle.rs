//! # idle: how a duty cycle waits when it has no work
//!
//! * `adapt` polls while traffic comes, and sleeps while none does ([`adaptive`]): right unless another
//!   strategy was measured to be better.
//! * `spin` keeps the core: the lowest latency, and right only with a core per hot thread.
//! * `yield` offers the core to other threads between two polls: right when threads outnumber cores.
//! * `park` sleeps until a datagram or a deadline comes: ten times the latency, and no power.
//!
//! A thread that yields stays runnable: the kernel sees only busy cores, and moves no thread between them. A
//! thread that has yielded its share so often then waits for a whole tick (4 ms) behind the first thread that
//! computes, such as the end of a leader whose memory is torn down. A thread that parks is woken by its
//! datagram, on a free core or before the working thread.
//!
//! A park is one ppoll(2). It has nanoseconds, and it is level-triggered, so that an unread datagram ends it.
//! A timer and an epoll would take a call for each socket besides.

pub mod adaptive;

use super::IoError;
use super::clock::Clock;
use super::slice;
use adaptive::{Adaptive, IdlePass};
use lockstep_core::engine::ports::PARK_NS_MAX;
use lockstep_wire::Nanos;
use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

/// A shorter sleep costs more than the wait that it saves.
pub const PARK_NS_MIN: Nanos = 20_000;

/// As [`PARK_NS_MAX`], where datagrams arrive by memory, which no descriptor signals.
pub const PARK_MEMORY_NS_MAX: Nanos = 100_000;

/// The longest park of a thread of this process.
static PARK_NS: AtomicU64 = AtomicU64::new(PARK_NS_MAX);

/// A device of this process receives by memory from now on: a parked thread polls it every
/// [`PARK_MEMORY_NS_MAX`].
pub(super) fn watches_memory() {
    PARK_NS.store(PARK_MEMORY_NS_MAX, Ordering::Relaxed);
}

/// The strategy, as configured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Idle {
    /// Keep the core.
    Spin,
    /// Offer the core after each empty turn.
    Yield,
    /// Sleep until there is work.
    Park,
    /// Stay awake while traffic comes, and sleep while none does.
    Adapt,
}

impl Idle {
    /// The strategy for `hot_threads` hot threads on `cores` cores.
    pub fn for_machine(hot_threads: usize, cores: usize) -> Self {
        if hot_threads <= cores { Self::Spin } else { Self::Yield }
    }

    /// The object that carries out this strategy for the calling thread, which receives on `sockets` and asks
    /// for a short slice.
    ///
    /// # Errors
    /// File descriptors are used up.
    pub fn waiter(self, sockets: &[BorrowedFd<'_>]) -> Result<Waiter, IoError> {
        let _ = slice::request_short(); // an older kernel has only long slices
        Ok(match self {
            Self::Spin => Waiter::Spin,
            Self::Yield => Waiter::Yield,
            Self::Park => Waiter::Park(Parker::new(sockets)?),
            Self::Adapt => Waiter::Adapt(AdaptiveWaiter::new(sockets)?),
        })
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spin => "spin",
            Self::Yield => "yield",
            Self::Park => "park",
            Self::Adapt => "adapt",
        })
    }
}

impl FromStr for Idle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "spin" => Ok(Self::Spin),
            "yield" => Ok(Self::Yield),
            "park" => Ok(Self::Park),
            "adapt" => Ok(Self::Adapt),
            _ => Err(format!("'{text}' is no idle strategy: write adapt, spin, yield or park")),
        }
    }
}

/// A strategy and its resources.
pub enum Waiter {
    /// See [`Idle::Spin`].
    Spin,
    /// See [`Idle::Yield`].
    Yield,
    /// See [`Idle::Park`].
    Park(Parker),
    /// See [`Idle::Adapt`].
    Adapt(AdaptiveWaiter),
}

impl Waiter {
    /// Reports traffic to [`Idle::Adapt`], before [`Waiter::wait`]: `progress` is any number that changes
    /// with traffic, and with nothing else.
    #[inline]
    pub fn on_progress(&mut self, progress: u64) {
        if let Self::Adapt(waiter) = self {
            waiter.progress = progress;
        }
    }

    /// Passes an idle moment: it waits at most until a datagram arrives or `wait_ns` have elapsed.
    #[inline]
    pub fn wait(&mut self, wait_ns: Nanos) {
        match self {
            Self::Spin => std::hint::spin_loop(),
            Self::Yield => std::thread::yield_now(),
            Self::Park(parker) => {
                parker.park(wait_ns);
            }
            Self::Adapt(waiter) => waiter.wait(wait_ns),
        }
    }
}

impl Waiter {
    /// Which sockets had something to read when the last wait ended, by their places; `None` where that is
    /// not known: it did not sleep, or its time was over.
    pub fn readable(&self) -> Option<impl Fn(usize) -> bool + '_> {
        let Self::Park(parker) = self else { return None };
        let is_readable = |place: usize| parker.polled.get(place).is_some_and(|polled| polled.revents != 0);
        (0..parker.polled.len()).any(is_readable).then_some(is_readable)
    }
}

/// The strategy [`Idle::Adapt`] of one thread.
#[derive(Debug)]
pub struct AdaptiveWaiter {
    rule: Adaptive,
    progress: u64,
    clock: Clock,
    parker: Parker,
}

impl AdaptiveWaiter {
    fn new(sockets: &[BorrowedFd<'_>]) -> Result<Self, IoError> {
        let parker = Parker::new(sockets)?;
        Ok(Self { rule: Adaptive::default(), progress: 0, clock: Clock::start(), parker })
    }

    fn wait(&mut self, wait_ns: Nanos) {
        if self.rule.spins_on(self.progress) {
            return std::hint::spin_loop();
        }
        let now = self.clock.now();
        match self.rule.next(now, self.progress) {
            IdlePass::Spin => std::hint::spin_loop(),
            IdlePass::Yield => {
                std::thread::yield_now();
                self.rule.on_yield(self.clock.now() - now);
            }
            IdlePass::Park => {
                self.parker.park(wait_ns);
            }
        }
    }
}

/// Sleeps until one of its sockets has something to read, or a time has elapsed.
#[derive(Debug)]
pub struct Parker {
    /// Duplicates of the caller's sockets: they stay valid if those are closed.
    sockets: Vec<OwnedFd>,
    polled: Vec<libc::pollfd>,
}

impl Parker {
    /// A parker on `sockets`.
    ///
    /// # Errors
    /// File descriptors are used up.
    pub fn new(sockets: &[BorrowedFd<'_>]) -> Result<Self, IoError> {
        let fails = |error| IoError::new("duplicate the sockets that an idle thread waits for", error);
        let sockets: Vec<OwnedFd> =
            sockets.iter().map(BorrowedFd::try_clone_to_owned).collect::<Result<_, _>>().map_err(fails)?;
        let polled = sockets.iter().map(|socket| libc::pollfd {
            fd: socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        });
        Ok(Self { polled: polled.collect(), sockets })
    }

    /// Sleeps for `wait_ns`, at least [`PARK_NS_MIN`] and at most [`PARK_NS_MAX`] ([`PARK_MEMORY_NS_MAX`]
    /// with memory), or until there is something to read, and returns whether there is. An error of the
    /// kernel shortens the sleep, and does no other harm.
    pub fn park(&mut self, wait_ns: Nanos) -> bool {
        let wait_ns = wait_ns.clamp(PARK_NS_MIN, PARK_NS.load(Ordering::Relaxed));
        let due = libc::timespec { tv_sec: 0, tv_nsec: wait_ns as libc::c_long };
        debug_assert_eq!(self.polled.len(), self.sockets.len());
        // SAFETY: `polled` and `due` live across the call, and `polled` has that many rows; its descriptors
        // are open as long as `sockets`. Without a signal mask the call reads nothing else.
        let ready = unsafe {
            libc::ppoll(
                self.polled.as_mut_ptr(),
                self.polled.len() as libc::nfds_t,
                &raw const due,
                std::ptr::null(),
            )
        };
        ready > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Instant;

    #[test]
    fn a_park_ends_with_its_time_or_with_a_datagram_also_one_that_was_left_unread() {
        let (socket, other) = (UdpSocket::bind("127.0.0.1:0"), UdpSocket::bind("127.0.0.1:0"));
        let (socket, other) = (socket.expect("a port"), other.expect("a port"));
        let mut parker = Parker::new(&[other.as_fd(), socket.as_fd()]).expect("descriptors");
        let began = Instant::now();
        assert!(!parker.park(PARK_NS_MAX));
        assert!(began.elapsed().as_nanos() as Nanos >= PARK_NS_MAX, "nothing came");
        let to = socket.local_addr().expect("bound");
        assert_eq!(other.send_to(b"x", to).expect("sent"), 1);
        assert!(parker.park(PARK_NS_MAX) && parker.park(PARK_NS_MAX), "it is unread");
        assert_eq!(socket.recv(&mut [0; 8]).expect("it came"), 1);
        assert!(!parker.park(PARK_NS_MIN));
    }

    #[test]
    fn a_parker_outlives_the_sockets_that_it_was_made_of() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let to = socket.local_addr().expect("bound");
        let mut parker = Parker::new(&[socket.as_fd()]).expect("descriptors");
        let unread = socket.try_clone().expect("a descriptor");
        drop(socket);
        assert_eq!(unread.send_to(b"x", to).expect("sent"), 1);
        assert!(parker.park(PARK_NS_MAX));
    }
}
