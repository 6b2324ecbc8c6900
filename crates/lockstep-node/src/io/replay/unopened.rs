//! Requests that cannot be opened: a process whose keys are no longer accepted asks again and again. The log
//! has one line for each host and minute, which names the cause.

use lockstep_wire::{Datagram, Header, Keys, Nanos, Reject};
use std::net::IpAddr;

/// The least time between two lines about one host.
const AGAIN_NS: Nanos = 60_000_000_000;
/// The most hosts that are distinguished.
const HOSTS_MAX: usize = 64;

/// A host whose requests were not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Host {
    ip: IpAddr,
    logged_at: Nanos,
    /// The number of requests since its last line.
    since: u64,
}

/// The hosts: see the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct UnopenedRequests {
    hosts: Vec<Host>,
}

impl UnopenedRequests {
    /// A request of a host was not opened. If it is due for a line, returns how many requests before it had
    /// none.
    fn on_request(&mut self, now: Nanos, ip: IpAddr) -> Option<u64> {
        if let Some(host) = self.hosts.iter_mut().find(|host| host.ip == ip) {
            if now < host.logged_at.saturating_add(AGAIN_NS) {
                host.since += 1;
                return None;
            }
            host.logged_at = now;
            return Some(std::mem::take(&mut host.since));
        }
        if self.hosts.len() == HOSTS_MAX {
            self.hosts.remove(0);
        }
        self.hosts.push(Host { ip, logged_at: now, since: 0 });
        Some(0)
    }

    /// Reports that the request that begins with `asked` was not opened.
    pub fn report(&mut self, now: Nanos, ip: IpAddr, asked: &[u8], keys: &Keys) {
        let Some(more) = self.on_request(now, ip) else { return };
        tracing::warn!(peer = %ip, since_last_line = more, "replay refused: {}", cause(asked, keys));
    }
}

/// Why this request cannot be opened.
fn cause(asked: &[u8], keys: &Keys) -> String {
    let generation = Header::peek(asked).and_then(|header| header.key_generation());
    let sealed = generation.map_or("without a key".to_owned(), |number| format!("by generation {number}"));
    match Datagram::decode(asked, keys) {
        Err(reject @ (Reject::Tag | Reject::Key | Reject::Unkeyed | Reject::Generation)) => format!(
            "the request is sealed {sealed}, which is not accepted here ({reject}): give that host the keys that \
             `lockstep keys show` has here, and let its processes read them (`lockstep reload`, or start them again)"
        ),
        Err(reject) => format!("it is no request of this cluster ({reject})"),
        Ok(_) => "it is no request for a replay".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_io::key_file::KeyFile;
    use lockstep_wire::{Kind, QueryKind, SMALL_LEN_MAX, write_query};
    use std::net::Ipv4Addr;

    #[test]
    fn a_host_that_asks_again_and_again_has_one_line_a_minute() {
        let mut unopened = UnopenedRequests::default();
        let ip = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        let second = |at: u64| at * 1_000_000_000;
        let lines: Vec<_> = (0..180).filter_map(|at| unopened.on_request(second(at), ip(7))).collect();
        assert_eq!(lines, [0, 59, 59]);
        assert_eq!(unopened.on_request(second(180), ip(8)), Some(0), "another one");
        (0..=u8::MAX).for_each(|last| _ = unopened.on_request(0, ip(last)));
        assert_eq!(unopened.hosts.len(), HOSTS_MAX);
    }

    #[test]
    fn a_request_under_keys_that_are_not_accepted_names_them_as_the_cause() {
        let ring = |file: &KeyFile| Keys::from(file.ring());
        let (here, there) = (KeyFile::draw(7).expect("numbers"), KeyFile::draw(7).expect("numbers"));
        let mut out = [0; SMALL_LEN_MAX];
        let header = Header { cluster: 7, ..Header::new(Kind::Query) };
        let length = write_query(&mut out, &ring(&there), header, 1, QueryKind::Status, "");
        let words = cause(&out[..length], &ring(&here));
        assert!(words.contains("sealed by generation 0, which is not accepted here (tag"), "{words}");
        assert!(cause(&[0x55; 300], &ring(&here)).contains("no request of this cluster"));
    }
}
