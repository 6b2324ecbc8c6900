//! What this host has for a test: free addresses, memory, its rights, and the pages that processes serve.

use lockstep_io::udp::free_port;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use tempfile::TempDir;

/// Free memory that is room enough for the files of a cluster.
const ROOM_BYTES: u64 = 2 << 30;

/// An address of the loopback that was free a moment ago, and is nobody else's.
pub fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(Ipv4Addr::LOCALHOST).expect("a free port")))
}

/// A page that a process serves, asked for with these lines of a head (each with its end): its status and its
/// text; 0 of a process that does not listen yet.
pub fn page(address: SocketAddr, path: &str, head: &str) -> (u16, String) {
    let Ok(mut stream) = TcpStream::connect(address) else { return (0, String::new()) };
    write!(stream, "GET {path} HTTP/1.1\r\n{head}\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, text.to_owned())
}

/// A temporary folder in memory, or on the disk where memory has no room (`/dev/shm` of a container).
pub fn memory_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let has_room = lockstep_node::io::tail::free_bytes(memory).is_ok_and(|bytes| bytes > ROOM_BYTES);
    let made = if has_room { TempDir::new_in(memory) } else { TempDir::new() };
    made.expect("a temporary folder")
}

/// Whether this process may make namespaces and mount: it needs root.
pub fn is_root() -> bool {
    Path::new("/proc/self").exists()
        && std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
            status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
        })
}
