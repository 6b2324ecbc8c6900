//! Counters of processes on other hosts, from their pages (`metrics.listen`): a side thread of theirs
//! answers, and no hot thread takes notice.

use crate::cli::counters::process::Process;
use crate::config::Config;
use lockstep_io::IoError;
use lockstep_io::counters::CountersReader;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

/// Bytes of an answer at most: a counters file has at most its table of 512 KiB and 64 Ki values.
const ANSWER_MAX: usize = 2 << 20;
/// Headers of an answer at most.
const HEADERS_MAX: usize = 64;

/// Where the pages of the configuration's nodes are: at the address of each node, with the port of
/// `metrics.listen`. None where that is an address of one host alone.
pub fn of_nodes(config: &Config) -> Vec<SocketAddrV4> {
    let Some(listen) = config.metrics.listen.filter(|listen| listen.ip().is_unspecified()) else {
        return Vec::new();
    };
    let replicas = config.replicas.iter().map(|replica| replica.unicast);
    let nodes = replicas.chain(config.archivers.iter().map(|archiver| archiver.unicast));
    nodes.map(|address| SocketAddrV4::new(*address.ip(), listen.port())).collect()
}

/// The processes whose pages answer in time, each asked on a thread of its own.
pub fn fetch(pages: &[SocketAddrV4], wait: Duration) -> Vec<Process> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = pages.iter().map(|page| scope.spawn(move || process(*page, wait))).collect();
        asked.into_iter().filter_map(|asked| asked.join().ok()?.ok()).collect()
    })
}

/// The process of a page.
///
/// # Errors
/// It does not answer in time, or with something else.
fn process(page: SocketAddrV4, wait: Duration) -> Result<Process, IoError> {
    let doing = || format!("fetch http://{page}/counters");
    let bytes = answer(page, Instant::now() + wait).map_err(|error| IoError::new(doing(), error))?;
    let wrong = |why: &str| IoError::because(doing(), ErrorKind::InvalidData, why);
    let (silent, content) = content(&bytes).map_err(wrong)?;
    Ok(Process::of_page(&CountersReader::from_bytes(&page.to_string(), content)?, silent))
}

/// All bytes that the page answers until `until`.
fn answer(page: SocketAddrV4, until: Instant) -> std::io::Result<Vec<u8>> {
    let left = || match until.saturating_duration_since(Instant::now()) {
        left if left.is_zero() => Err(std::io::Error::from(ErrorKind::TimedOut)),
        left => Ok(left),
    };
    let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(page), left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    write!(stream, "GET /counters HTTP/1.1\r\nHost: {page}\r\nConnection: close\r\n\r\n")?;
    let (mut bytes, mut part) = (Vec::new(), [0; 16 << 10]);
    while bytes.len() <= ANSWER_MAX {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut part)? {
            0 => return Ok(bytes),
            len => bytes.extend_from_slice(&part[..len]),
        }
    }
    Err(ErrorKind::FileTooLarge.into())
}

/// How old the values are, and the counters file.
fn content(bytes: &[u8]) -> Result<(Duration, &[u8]), &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(head)) = response.parse(bytes) else {
        return Err("it is no answer of HTTP/1.1");
    };
    if response.code != Some(200) {
        return Err("the page refuses it: does it belong to this release of lockstep?");
    }
    let header = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()?.trim().parse::<u64>().ok()
    };
    match (header("content-length"), header("age")) {
        (Some(len), Some(age)) if len == (bytes.len() - head) as u64 => {
            Ok((Duration::from_secs(age), &bytes[head..]))
        }
        (Some(_), Some(_)) => Err("it is cut short"),
        _ => Err("it has no length or no age"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;
    use std::path::Path;

    fn pages(listen: &str) -> Vec<SocketAddrV4> {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/production.toml"));
        let listen = ("metrics.listen".to_owned(), listen.to_owned(), Origin::Flag("--set".to_owned()));
        of_nodes(&Config::load(Some(path), &[listen]).expect("a configuration"))
    }

    #[test]
    fn a_page_on_every_address_is_looked_for_at_each_node_and_one_of_one_host_is_not() {
        let pages = |listen| pages(listen).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            pages("0.0.0.0:9464"),
            ["10.20.0.1:9464", "10.20.0.2:9464", "10.20.0.3:9464", "10.20.0.9:9464"]
        );
        assert!(pages("127.0.0.1:9464").is_empty());
    }

    #[test]
    fn an_answer_that_is_cut_short_refused_or_none_at_all_is_no_counters_file() {
        let whole = b"HTTP/1.1 200 x\r\nContent-Length: 3\r\nAge: 7\r\n\r\nabc";
        assert_eq!(content(whole), Ok((Duration::from_secs(7), &b"abc"[..])));
        for end in 0..whole.len() {
            assert!(content(&whole[..end]).is_err(), "{end}");
        }
        assert!(content(b"HTTP/1.1 404 x\r\nContent-Length: 0\r\nAge: 0\r\n\r\n").is_err());
        assert!(content(b"HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n").is_err());
    }
}
