//! # idle: the behaviour of a duty cycle without work
//!
//! * `adapt` polls while traffic comes, and sleeps while none does ([`adaptive`]): right where nobody has
//!   measured better.
//! * `spin` keeps the core: the lowest latency, and right only with a core per hot thread.
//! * `yield` yields it to other threads between two polls: right when threads outnumber cores.
//! * `park` sleeps until a datagram or a deadline comes: ten times the latency, and no power.
//!
//! A thread that yields is runnable all the same: the kernel sees nothing but busy cores, moves no thread
//! between them, and a thread that has yielded its share so often waits for a whole tick (4 ms) behind the
//! first thread that computes, such as the end of a leader whose memory is torn down. A thread that parks
//! is woken by its datagram, on a free core or before the working thread.
//!
//! A park waits in a `mio::Poll`. Two things about that deserve care. Its timeout is whole milliseconds,
//! too coarse for heartbeats some 50 µs apart: a timer in the same poll gives nanoseconds. And it reports
//! edges: a datagram that came before and was not yet read would not end the wait, and the unicast socket
//! is read only every few turns. Registering anew before each wait makes the kernel check for datagrams
//! that are already there.

pub mod adaptive;

use super::IoError;
use super::clock::Clock;
use super::slice;
use adaptive::{Adaptive, IdlePass};
use lockstep_core::engine::ports::PARK_NS_MAX;
use lockstep_wire::Nanos;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A shorter sleep costs more than the wait that it spares.
pub const PARK_NS_MIN: Nanos = 20_000;

/// [`PARK_NS_MAX`] where datagrams arrive by memory, which no descriptor signals.
pub const PARK_MEMORY_NS_MAX: Nanos = 100_000;

/// How long a thread of this process parks at most.
static PARK_NS: AtomicU64 = AtomicU64::new(PARK_NS_MAX);

/// From now on a device of this process receives by memory: a parked thread polls it every
/// [`PARK_MEMORY_NS_MAX`].
pub(super) fn watches_memory() {
    PARK_NS.store(PARK_MEMORY_NS_MAX, Ordering::Relaxed);
}

/// The timer's place in the poll.
const TIMER: Token = Token(0);

/// The strategy, as configured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Idle {
    /// Keep the core.
    Spin,
    /// Offer the core after each empty turn.
    Yield,
    /// Sleep until there is something to do.
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
    /// The poll or its timer cannot be made (file descriptors are used up).
    pub fn waiter(self, sockets: &[BorrowedFd<'_>]) -> Result<Waiter, IoError> {
        let _ = slice::request_short(); // an older kernel has long ones
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
    /// Tells [`Idle::Adapt`] of traffic, before [`Waiter::wait`]: any number that moves with it, and with
    /// nothing else.
    #[inline]
    pub fn on_progress(&mut self, progress: u64) {
        if let Self::Adapt(waiter) = self {
            waiter.progress = progress;
        }
    }

    /// Passes an idle moment: at most until a datagram arrives or `wait_ns` have elapsed.
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

/// Sleeps until one of some sockets has something to read, or a time has elapsed.
#[derive(Debug)]
pub struct Parker {
    poll: Poll,
    events: Events,
    timer: OwnedFd,
    /// Duplicates of the caller's: they stay valid even if those are closed.
    sockets: Vec<OwnedFd>,
}

impl Parker {
    /// A parker on `sockets`.
    ///
    /// # Errors
    /// File descriptors are used up.
    pub fn new(sockets: &[BorrowedFd<'_>]) -> Result<Self, IoError> {
        let fails = |error| IoError::new("make the poll that an idle thread parks in", error);
        let poll = Poll::new().map_err(fails)?;
        // SAFETY: a call without pointers.
        let timer =
            unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        if timer < 0 {
            return Err(IoError::last("make the timer that an idle thread parks on"));
        }
        // SAFETY: the descriptor is new, valid, and nobody else's.
        let timer = unsafe { OwnedFd::from_raw_fd(timer) };
        let sockets: Vec<OwnedFd> =
            sockets.iter().map(BorrowedFd::try_clone_to_owned).collect::<Result<_, _>>().map_err(fails)?;
        // The timer comes first and so is 0, the sockets follow.
        for (token, descriptor) in std::iter::once(&timer).chain(&sockets).enumerate() {
            let source = &mut SourceFd(&descriptor.as_raw_fd());
            poll.registry().register(source, Token(token), Interest::READABLE).map_err(fails)?;
        }
        Ok(Self { poll, events: Events::with_capacity(sockets.len() + 1), timer, sockets })
    }

    /// Sleeps for `wait_ns`, at least [`PARK_NS_MIN`] and at most [`PARK_NS_MAX`] ([`PARK_MEMORY_NS_MAX`]
    /// beside memory), or until there is something to read, and returns whether there is. A failure of
    /// the kernel's shortens the sleep and is otherwise harmless.
    pub fn park(&mut self, wait_ns: Nanos) -> bool {
        let wait_ns = wait_ns.clamp(PARK_NS_MIN, PARK_NS.load(Ordering::Relaxed));
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let due = libc::timespec { tv_sec: 0, tv_nsec: wait_ns as libc::c_long };
        let setting = libc::itimerspec { it_interval: zero, it_value: due };
        // SAFETY: `setting` lives across the call, which may leave out where to write the old one.
        // Setting the timer also clears what it reported before, so it need not be read.
        unsafe { libc::timerfd_settime(self.timer.as_raw_fd(), 0, &raw const setting, std::ptr::null_mut()) };
        for (index, socket) in self.sockets.iter().enumerate() {
            let source = &mut SourceFd(&socket.as_raw_fd());
            if self.poll.registry().reregister(source, Token(index + 1), Interest::READABLE).is_err() {
                return true; // without it the wait might miss what is there
            }
        }
        // The poll's own time-out stands behind the timer, rounded up. A signal may end the wait early.
        let polled = self.poll.poll(&mut self.events, Some(Duration::from_nanos(wait_ns)));
        polled.is_ok() && self.events.iter().any(|event| event.token() != TIMER)
    }
}
