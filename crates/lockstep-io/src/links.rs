//! # links: sockets follow their interface
//!
//! A card may be removed and made again while a process runs: a VLAN, a bond, a virtual function, a card that
//! is plugged in anew. The kernel then forgets the groups joined on it, a send by its old index fails with
//! ENODEV, and neither recovers by itself. So one thread of a process waits for the kernel's notices of links
//! and addresses (`notices`). It moves each socket back to its interface once that exists again: under
//! another index, with another address, or after it was down. It wakes for nothing else, and the threads that
//! send and receive are not involved.
//!
//! ```text
//!  there ──removed, down, no address──▶ away ──there again: groups joined, the way out chosen──▶ there
//! ```
//!
//! An interface that is only renamed keeps its index, and its sockets continue. The loopback is not followed:
//! it cannot be removed.

mod notices;

use crate::udp::Interface;
use crate::udp::interface::{self, Card};
use crate::{IoError, capabilities};
use notices::{Notices, Removed};
use std::net::{Ipv4Addr, UdpSocket};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The interval at which an interface that is away, or could not be used again, is looked for without a
/// notice.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What the owner of sockets shares with the thread that follows their interface.
pub(crate) struct Link {
    /// The index of the interface that the sockets use.
    pub card: AtomicU32,
    /// The groups that are joined, or will be when the interface exists, in the order of `Group`.
    pub joined: [AtomicBool; 3],
    /// Whether the interface does not exist, or is down.
    pub away: AtomicBool,
    /// How often the sockets were moved to an interface that existed again.
    pub moves: AtomicU64,
}

impl Link {
    /// The link of sockets that use the interface with this index, and have joined these groups.
    pub fn new(card: u32, joined: [bool; 3]) -> Arc<Self> {
        Arc::new(Self {
            card: card.into(),
            joined: joined.map(AtomicBool::new),
            away: AtomicBool::new(false),
            moves: AtomicU64::new(0),
        })
    }
}

/// Moves sockets to this interface, which exists again or has another address; the flag shows whether it was
/// removed meanwhile.
type Renew = Box<dyn FnMut(&Card, bool) -> Result<(), IoError> + Send>;

/// Sockets, and the interface that they follow.
struct Follower {
    asked: Interface,
    link: Arc<Link>,
    /// The address to which they are bound.
    address: Ipv4Addr,
    was_removed: bool,
    renew: Renew,
}

/// Ends the following when it is dropped. Drop it before the sockets.
pub(crate) struct Followed(Arc<Link>);

impl Drop for Followed {
    fn drop(&mut self) {
        followers().retain(|follower| !Arc::ptr_eq(&follower.link, &self.0));
    }
}

/// A socket that sends to a group, and follows its interface.
pub struct FollowingSocket {
    _followed: Option<Followed>,
    socket: UdpSocket,
}

impl FollowingSocket {
    pub(crate) fn new(followed: Option<Followed>, socket: UdpSocket) -> Self {
        Self { _followed: followed, socket }
    }
}

impl Deref for FollowingSocket {
    type Target = UdpSocket;

    fn deref(&self) -> &UdpSocket {
        &self.socket
    }
}

static FOLLOWERS: Mutex<Vec<Follower>> = Mutex::new(Vec::new());

fn followers() -> MutexGuard<'static, Vec<Follower>> {
    FOLLOWERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on the sockets that use `card` follow the interface `asked`: a thread of this process calls
/// `renew` whenever the interface exists again. `None` for the loopback.
///
/// # Errors
/// The kernel refuses the notices or the thread.
pub(crate) fn follow(
    asked: &Interface,
    card: &Card,
    link: Arc<Link>,
    renew: impl FnMut(&Card, bool) -> Result<(), IoError> + Send + 'static,
) -> Result<Option<Followed>, IoError> {
    static THREAD: OnceLock<Result<(), (String, i32)>> = OnceLock::new();
    if card.address.is_loopback() {
        return Ok(None);
    }
    // The notices are opened before the thread starts, because the thread may be confined.
    THREAD
        .get_or_init(begin)
        .clone()
        .map_err(|(doing, errno)| IoError::new(doing, std::io::Error::from_raw_os_error(errno)))?;
    followers().push(Follower {
        asked: asked.clone(),
        link: link.clone(),
        address: card.address,
        was_removed: false,
        renew: Box::new(renew),
    });
    Ok(Some(Followed(link)))
}

fn begin() -> Result<(), (String, i32)> {
    let errno = |error: &std::io::Error| error.raw_os_error().unwrap_or(libc::EIO);
    let notices = Notices::open().map_err(|error| (error.doing, errno(&error.source)))?;
    let builder = std::thread::Builder::new().name("lockstep-links".into());
    let thread = capabilities::spawn(builder, move || attend(&notices));
    thread.map(|_| ()).map_err(|error| ("start the thread that follows interfaces".into(), errno(&error)))
}

fn attend(notices: &Notices) {
    let mut is_settled = true;
    loop {
        let removed = notices.wait(if is_settled { None } else { Some(LOOK_AGAIN) });
        is_settled = true;
        for follower in followers().iter_mut() {
            is_settled &= follower.look(&removed);
        }
    }
}

impl Follower {
    /// Looks for the interface. Returns whether the sockets use it, so that only a notice can change that.
    fn look(&mut self, removed: &Removed) -> bool {
        let index = self.link.card.load(Ordering::SeqCst);
        if removed.contains(index) {
            self.was_removed = true;
            self.leave("it was removed");
        }
        let card = match interface::find(&self.asked) {
            Ok(card) => card,
            Err(_) if self.is_renamed(index) => return true,
            Err(error) => {
                self.leave(&error.to_string());
                return false;
            }
        };
        let is_away = self.link.away.load(Ordering::SeqCst);
        if !is_away && card.index == index && card.address == self.address {
            return true;
        }
        if !is_away && card.index == index && interface::has_address(index, self.address) {
            return true; // it has an additional address
        }
        if let Err(error) = (self.renew)(&card, self.was_removed) {
            self.leave(&error.to_string());
            return false;
        }
        (self.address, self.was_removed) = (card.address, false);
        self.link.away.store(false, Ordering::SeqCst);
        self.link.moves.fetch_add(1, Ordering::Relaxed);
        say(false, &format!("interface {} is there again: it is {} {}", self.asked, card.name, card.address));
        true
    }

    /// Whether the interface of this index is up under another name than the configured one.
    fn is_renamed(&self, index: u32) -> bool {
        matches!(self.asked, Interface::Name(_) | Interface::NameAt(..))
            && !self.link.away.load(Ordering::SeqCst)
            && interface::has_address(index, self.address)
    }

    fn leave(&self, why: &str) {
        if !self.link.away.swap(true, Ordering::SeqCst) {
            say(
                true,
                &format!(
                    "interface {}: {why}; it is waited for, and nothing is sent or received by it until then",
                    self.asked
                ),
            );
        }
    }
}

/// From now on `handler` is called for sockets that cannot follow their interface; the first choice of a
/// process stays. Without one, the log reports it. The handler must not wait for the owner of the sockets,
/// who waits for it.
pub fn at_stranded(handler: fn(&str)) {
    let _first = STRANDED.set(handler);
}

static STRANDED: OnceLock<fn(&str)> = OnceLock::new();

/// Reports that the sockets of a card owned as a whole, and its program, ended with it: only opening them
/// anew helps.
///
/// # Errors
/// As [`follow`].
pub(crate) fn follow_card(asked: &Interface, card: &Card) -> Result<Option<Followed>, IoError> {
    let (link, name, mut is_reported) = (Link::new(card.index, [false; 3]), asked.to_string(), false);
    let index = card.index;
    follow(asked, card, link, move |card, was_removed| {
        if !was_removed && card.index == index {
            return Ok(()); // it was down
        }
        let text = format!(
            "interface {name} was removed and made again: its xdp queues are gone with it, and a process that \
             starts again takes the new ones"
        );
        if !std::mem::replace(&mut is_reported, true) {
            STRANDED.get().copied().unwrap_or(|text| say(true, text))(&text);
        }
        Err(IoError::because(text, std::io::ErrorKind::NotConnected, "the interface is another one"))
    })
}

#[cfg(feature = "tracing")]
fn say(is_warning: bool, text: &str) {
    if is_warning { tracing::warn!("{text}") } else { tracing::info!("{text}") }
}

#[cfg(not(feature = "tracing"))]
fn say(_is_warning: bool, _text: &str) {}
