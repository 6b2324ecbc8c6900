//! The kernel's notices of links and addresses: rtnetlink(7), the groups LINK and IPV4_IFADDR.

use crate::IoError;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::time::Duration;

/// Bytes of one read: the kernel's own buffers are no larger.
const READ_BYTES: usize = 32 << 10;
/// `struct nlmsghdr`: length, type, flags, sequence, port.
const HEADER_LEN: usize = 16;
/// The offset of `ifi_index` in `struct ifinfomsg`, which follows the header.
const INDEX_AT: usize = HEADER_LEN + 4;

/// The interfaces that were removed since the last notice.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Removed {
    /// The interfaces of these indices.
    Some(Vec<u32>),
    /// Notices were lost: any interface may have been removed.
    Any,
}

impl Removed {
    pub fn contains(&self, index: u32) -> bool {
        match self {
            Self::Some(indices) => indices.contains(&index),
            Self::Any => true,
        }
    }
}

/// A socket that receives notices.
pub(super) struct Notices(Socket);

impl Notices {
    /// Receives notices from now on.
    ///
    /// # Errors
    /// The kernel refuses them to this process.
    pub fn open() -> Result<Self, IoError> {
        let fails = |error| IoError::new("ask the kernel for notices of interfaces (rtnetlink)", error);
        let domain = Domain::from(libc::AF_NETLINK);
        let socket =
            Socket::new(domain, Type::RAW, Some(Protocol::from(libc::NETLINK_ROUTE))).map_err(fails)?;
        // SAFETY: `storage` has room for a `sockaddr_nl`, which is plain integers, and the length is that of
        // the struct.
        let ((), address) = unsafe {
            SockAddr::try_init(|storage, len| {
                let address = storage.cast::<libc::sockaddr_nl>();
                (*address).nl_family = libc::AF_NETLINK as libc::sa_family_t;
                (*address).nl_groups = (libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR) as u32;
                *len = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
                Ok(())
            })
        }
        .map_err(fails)?;
        socket.bind(&address).map_err(fails)?;
        Ok(Self(socket))
    }

    /// Waits for notices, or until `limit` has passed, and reads all of them.
    pub fn wait(&self, limit: Option<Duration>) -> Removed {
        let mut removed = Vec::new();
        let mut room = [MaybeUninit::uninit(); READ_BYTES];
        let _ = self.0.set_read_timeout(limit); // without a timeout it waits for the next notice
        let mut flags = 0;
        loop {
            match self.0.recv_with_flags(&mut room, flags) {
                Ok(len) => {
                    // SAFETY: the kernel has written these bytes.
                    let bytes = unsafe { std::slice::from_raw_parts(room.as_ptr().cast::<u8>(), len) };
                    removed.extend(removed_links(bytes));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Removed::Some(removed),
                Err(error) => {
                    // ENOBUFS: there were more notices than the socket holds. Any other error may recur at
                    // once.
                    if error.raw_os_error() != Some(libc::ENOBUFS) {
                        std::thread::sleep(super::LOOK_AGAIN);
                    }
                    return Removed::Any;
                }
            }
            flags = libc::MSG_DONTWAIT;
        }
    }
}

/// The indices of the links that these messages report as removed.
fn removed_links(mut bytes: &[u8]) -> Vec<u32> {
    let number = |bytes: &[u8], at: usize| {
        bytes.get(at..at + 4).map(|bytes| u32::from_ne_bytes(bytes.try_into().expect("four bytes")))
    };
    let mut removed = Vec::new();
    while let (Some(len), Some(kind)) = (number(bytes, 0), bytes.get(4..6)) {
        let kind = u16::from_ne_bytes([kind[0], kind[1]]);
        if kind == libc::RTM_DELLINK
            && let Some(index) = number(bytes, INDEX_AT)
        {
            removed.push(index);
        }
        // Messages are aligned to four bytes.
        let next = (len as usize).max(HEADER_LEN).next_multiple_of(4);
        let Some(rest) = bytes.get(next..) else { break };
        bytes = rest;
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, index: u32, more: usize) -> Vec<u8> {
        let len = (HEADER_LEN + 16 + more) as u32;
        let mut bytes =
            [&len.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], &[0; 4], &index.to_ne_bytes()].concat();
        bytes.resize((len as usize).next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn links_that_were_removed_are_found_among_other_notices_and_cut_messages_are_none() {
        let bytes = [
            message(libc::RTM_NEWLINK, 3, 5),
            message(libc::RTM_DELLINK, 4, 3),
            message(libc::RTM_DELLINK, 9, 0),
        ];
        let bytes = bytes.concat();
        assert_eq!(removed_links(&bytes), [4, 9]);
        assert_eq!(removed_links(&bytes[..bytes.len() - 12]), [4]);
        for len in 0..bytes.len() {
            assert!([4, 9].starts_with(&removed_links(&bytes[..len])), "{len}");
        }
        assert_eq!(removed_links(&[0; 64]), [0; 0], "a length of zero ends");
    }

    #[test]
    fn a_wait_ends_at_its_limit() {
        let notices = Notices::open().expect("rtnetlink");
        assert_eq!(notices.wait(Some(Duration::from_millis(1))), Removed::Some(vec![]));
    }
}
