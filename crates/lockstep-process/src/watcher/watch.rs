//! The watcher's own process: it prepares, waits, sends the death notice, and ends.
//!
//! Two threads wait, one on the mutex and one for the end of the process, and the first to wake sends the
//! notice. The mutex is handed over before the memory of the dead process is torn down, and it also sees a
//! thread end whose process lives on; the process's end is seen even if the mutex is not. Nothing is looked
//! up, allocated or opened between the wait and the first datagram.

use super::page::{MutexHandover, NOTICE_LEN_MAX, Page, Readiness};
use crate::confinement::{self, Becomes};
use crate::cpu::{self, SchedulingClass};
use crate::limits::WATCHER_OOM_SCORE;
use lockstep_io::udp::socket_address;
use lockstep_io::{Effective, IoError, capabilities};
use std::fmt;
use std::fs::File;
use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::parent_id;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// How long the watcher pauses after each datagram: three at once, one 200 us and one 1 ms after the
/// first. A datagram may be lost, and what a full queue drops is most often its neighbours.
const PAUSES: [Duration; 5] =
    [Duration::ZERO, Duration::ZERO, Duration::from_micros(200), Duration::from_micros(800), Duration::ZERO];
/// How often a kernel without pidfds is asked whether the process still exists.
const POLL_PERIOD: Duration = Duration::from_millis(50);
/// Two threads that call half a dozen functions.
const STACK_BYTES: usize = 128 << 10;

/// Which of the two waits ended first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeathSource {
    /// The mutex was handed over: the stamping thread has ended.
    Mutex,
    /// The process has ended.
    Process,
}

/// Why a watcher ended.
#[derive(Debug)]
pub enum ProcessEnd {
    /// The sequencer stopped in order.
    InOrder,
    /// The stamping thread is gone.
    ByDeath {
        /// The party that noticed.
        by: DeathSource,
        /// Bytes of the notice; 0 if there was nothing to announce.
        len: usize,
        /// How often it was sent.
        sent: usize,
        /// The last send's failure, if one failed.
        error: Option<Error>,
    },
}

impl fmt::Display for ProcessEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::ByDeath { by, len, sent, error } = self else {
            return f.write_str("the sequencer stopped in order");
        };
        let by = match by {
            DeathSource::Mutex => "mutex",
            DeathSource::Process => "process",
        };
        write!(f, "the stamping thread is gone (seen by: {by}); ")?;
        match (len, error) {
            (0, _) => f.write_str("it did not lead, and nothing was announced"),
            (len, None) => write!(f, "its {len} bytes of notice were sent {sent} times"),
            (len, Some(error)) => {
                write!(f, "its {len} bytes of notice were sent {sent} times, then: {error}")
            }
        }
    }
}

/// Waits for the end of the stamping thread of the sequencer that made `page`, and announces it through
/// `socket`, which leads to the control group.
///
/// # Errors
/// This is not a process that a sequencer started, or it has no room for two threads.
pub fn watch(page: OwnedFd, socket: OwnedFd) -> Result<ProcessEnd, IoError> {
    let page = Page::inherited(&File::from(page))?;
    let socket = UdpSocket::from(socket);
    let targets: Vec<_> = page.targets().into_iter().map(socket_address).collect();
    let leads_to_group = matches!(socket.peer_addr(), Ok(SocketAddr::V4(peer)) if peer.ip().is_multicast());
    if targets.is_empty() && !leads_to_group {
        let doing = "find the socket of the control group on stdout";
        return Err(IoError::because(doing, ErrorKind::InvalidData, "it leads to no group"));
    }
    // The class first: a session of its own may get a share of the cores of its own, and a small one.
    let readiness = settle(&page.cores());
    leave_hot_core();
    prepare(page)?;
    let (sender, receiver) = channel();
    let sender = Arc::new(NoticeSender {
        page,
        socket,
        leads_to_group,
        targets,
        sender,
        spoken: AtomicBool::new(false),
    });
    page.set_readiness(Some(readiness));
    // It opens nothing but what every daemon reads.
    confinement::begin(&[]);
    start_wait(&sender, "lockstep-mutex", Page::await_hand_over, DeathSource::Mutex)?;
    start_wait(&sender, "lockstep-process", await_process, DeathSource::Process)?;
    drop(sender);
    // Its readiness is on the page; the sequencer that started it says what is in force for both.
    let _ = confinement::complete(&[], Becomes::Other);
    let ended = receiver.recv();
    cpu::lower_priority(std::process::id());
    ended.map_err(|_| {
        IoError::because("watch the stamping thread", ErrorKind::Other, "both threads ended without a word")
    })
}

/// Starts a thread that sends the notice when `wait` has ended.
fn start_wait(
    notice_sender: &Arc<NoticeSender>,
    name: &str,
    wait: fn(Page) -> MutexHandover,
    source: DeathSource,
) -> Result<(), IoError> {
    let sender = Arc::clone(notice_sender);
    let work = move || match wait(sender.page) {
        MutexHandover::InOrder => sender.end(ProcessEnd::InOrder),
        MutexHandover::ByDeath => sender.speak(source),
    };
    let builder = std::thread::Builder::new().name(name.into()).stack_size(STACK_BYTES);
    let thread = capabilities::spawn(builder, work);
    thread.map_err(|error| IoError::new("start the watcher's threads", error))?;
    Ok(())
}

/// The sending end that both threads share; the first one sends.
struct NoticeSender {
    page: Page,
    socket: UdpSocket,
    /// Whether a group is notified, and which nodes are notified one by one.
    leads_to_group: bool,
    targets: Vec<libc::sockaddr_in>,
    sender: Sender<ProcessEnd>,
    spoken: AtomicBool,
}

impl NoticeSender {
    /// Announces the death, unless the other thread does.
    fn speak(&self, by: DeathSource) {
        if self.spoken.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut notice = [0; NOTICE_LEN_MAX];
        let len = self.page.notice(&mut notice);
        let (first, later) = PAUSES.split_at(1);
        let (sent, error) = self.say(&notice[..len], first);
        // Once the notice is sent: the process that takes over gets the core that the dead one would
        // occupy. The number of a process that has ended may be another's.
        if by == DeathSource::Mutex {
            cpu::lower_priority(self.page.process());
        }
        let (again, failed) = self.say(&notice[..len], later);
        let (sent, error) = (sent + again, failed.or(error));
        let _ = self.sender.send(ProcessEnd::ByDeath { by, len, sent, error }); // main waits for nothing else
    }

    fn say(&self, notice: &[u8], pauses: &[Duration]) -> (usize, Option<Error>) {
        say(self.socket.as_fd(), self.leads_to_group, &self.targets, notice, pauses)
    }

    fn end(&self, ended: ProcessEnd) {
        if !self.spoken.swap(true, Ordering::AcqRel) {
            let _ = self.sender.send(ended); // as above
        }
    }
}

/// Sends `notice` once per pause, each time to where the socket leads and to all `targets`; nothing if it is
/// empty. Returns how many datagrams left, and the last failure.
fn say(
    socket: BorrowedFd<'_>,
    leads_to_group: bool,
    targets: &[libc::sockaddr_in],
    notice: &[u8],
    pauses: &[Duration],
) -> (usize, Option<Error>) {
    let (mut sent, mut failed) = (0, None);
    let mut sender = |target: Option<&libc::sockaddr_in>| {
        let (name, len) = match target {
            Some(target) => (std::ptr::from_ref(target).cast(), size_of::<libc::sockaddr_in>()),
            None => (std::ptr::null(), 0),
        };
        // SAFETY: the notice and the address live across the call, which only reads them; their lengths are
        // stated.
        let taken = unsafe {
            libc::sendto(
                socket.as_raw_fd(),
                notice.as_ptr().cast(),
                notice.len(),
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                name,
                len as libc::socklen_t,
            )
        };
        if taken < 0 {
            failed = Some(Error::last_os_error());
        } else {
            sent += 1;
        }
    };
    for pause in pauses.iter().filter(|_| !notice.is_empty()) {
        if leads_to_group {
            sender(None);
        }
        targets.iter().for_each(|target| sender(Some(target)));
        if !pause.is_zero() {
            std::thread::sleep(*pause);
        }
    }
    (sent, failed)
}

/// Does the later work once, into a socket without a reader: its code is then in memory, and locked there.
fn prepare(page: Page) -> Result<(), IoError> {
    let (near, far) = UnixDatagram::pair()
        .map_err(|error| IoError::new("open the two sockets of the watcher's self-test", error))?;
    let mut notice = [0; NOTICE_LEN_MAX];
    page.notice(&mut notice);
    say(near.as_fd(), true, &[], &notice[..64], &[Duration::from_micros(1)]);
    drop(far);
    Ok(())
}

/// A session of its own, which does not receive the signals of a terminal or a service manager to the
/// sequencer's group: the watcher ends after the sequencer, whatever ended that.
fn leave_hot_core() {
    let deaf = [
        libc::SIGTERM,
        libc::SIGINT,
        libc::SIGHUP,
        libc::SIGQUIT,
        libc::SIGPIPE,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGALRM,
    ];
    // SAFETY: calls without pointers but a C string that is a constant. They fail only if it is as asked
    // already (a session leader), or not at all.
    unsafe {
        libc::setsid();
        for signal in deaf {
            libc::signal(signal, libc::SIG_IGN);
        }
        libc::prctl(libc::PR_SET_NAME, c"lockstep-watch".as_ptr());
    }
}

/// Core, class, memory: none is needed, each may be refused. Reports which were granted.
fn settle(cores: &[usize]) -> Readiness {
    if !cores.is_empty() {
        cpu::allow(cores);
    }
    let granted = |effective: Effective| effective.got == effective.requested;
    let mut bits = Readiness::WAITS;
    if granted(cpu::schedule(SchedulingClass::Fifo(1))) {
        bits |= Readiness::REAL_TIME;
    }
    if std::fs::write("/proc/self/oom_score_adj", WATCHER_OOM_SCORE).is_ok() {
        bits |= Readiness::SPARED;
    }
    if granted(cpu::lock_touched_memory()) {
        bits |= Readiness::LOCKED;
    }
    Readiness(bits)
}

/// Waits until the sequencer's process has ended.
fn await_process(page: Page) -> MutexHandover {
    let process = page.process();
    let pidfd = open_pidfd(process);
    // Our parent's number cannot be another's as long as it is our parent: now the pidfd is its own.
    match pidfd {
        Ok(pidfd) if parent_id() == process => await_readable(pidfd.as_fd()),
        _ => {
            while parent_id() == process {
                std::thread::sleep(POLL_PERIOD);
            }
        }
    }
    MutexHandover::ByDeath
}

fn open_pidfd(process: u32) -> Result<OwnedFd, Error> {
    // SAFETY: a call without pointers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) };
    if fd < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the call has just opened `fd`, and it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn await_readable(fd: BorrowedFd<'_>) {
    let mut asked = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    loop {
        // SAFETY: one entry, which lives across the call.
        let ready = unsafe { libc::poll(&raw mut asked, 1, -1) };
        if ready > 0 {
            return;
        }
        // An interrupted wait begins anew, and any other failure must not spin.
        if Error::last_os_error().kind() != ErrorKind::Interrupted {
            std::thread::sleep(POLL_PERIOD);
        }
    }
}
