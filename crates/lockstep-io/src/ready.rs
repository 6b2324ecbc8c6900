//! # ready: one descriptor that stands for several sockets
//!
//! An epoll set is itself a descriptor that poll, epoll and their wrappers can watch: it is readable while
//! one of its sockets is. The sockets are registered level-triggered, so nothing is lost between two polls.

use super::IoError;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A descriptor that is readable while one of the watched sockets has something to read.
#[derive(Debug)]
pub struct ReadySet(OwnedFd);

impl ReadySet {
    /// A set that watches nothing yet.
    ///
    /// # Errors
    /// File descriptors are used up.
    pub fn new() -> Result<Self, IoError> {
        // SAFETY: a call without pointers.
        let set = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if set < 0 {
            return Err(IoError::last("make the descriptor that stands for a handle's sockets"));
        }
        // SAFETY: the descriptor is new, valid, and has no other owner.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(set) }))
    }

    /// Watches `sockets` as well. A socket leaves the set when its last descriptor is closed.
    ///
    /// # Errors
    /// The kernel watches no more descriptors for this user (`fs.epoll.max_user_watches`).
    pub fn watch(&self, sockets: &[BorrowedFd<'_>]) -> Result<(), IoError> {
        for (index, socket) in sockets.iter().enumerate() {
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
            // SAFETY: both descriptors are open, and `event` lives across the call.
            let added = unsafe {
                libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event)
            };
            if added < 0 {
                return Err(IoError::last("watch a handle's sockets; fs.epoll.max_user_watches bounds them"));
            }
        }
        Ok(())
    }
}

impl AsFd for ReadySet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn is_readable(set: &ReadySet) -> bool {
        let mut look = libc::pollfd { fd: set.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, which lives across the call.
        unsafe { libc::poll(&raw mut look, 1, 0) == 1 }
    }

    #[test]
    fn the_set_is_readable_until_each_socket_is_drained() {
        let sockets = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
        let set = ReadySet::new().expect("a set");
        set.watch(&sockets.each_ref().map(AsFd::as_fd)).expect("watched");
        assert!(!is_readable(&set));
        for socket in &sockets {
            socket.send_to(b"x", socket.local_addr().expect("bound")).expect("sent");
        }
        assert!(is_readable(&set) && is_readable(&set), "a look takes nothing away");
        sockets[0].recv(&mut [0; 8]).expect("received");
        assert!(is_readable(&set), "the other has something");
        sockets[1].recv(&mut [0; 8]).expect("received");
        assert!(!is_readable(&set));
    }
}
