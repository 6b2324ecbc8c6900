//! The page of a daemon that Prometheus reads: `/metrics`, `/healthz`, `/readyz`; and `/counters`, its
//! counters file as it is, for `lockstep top` on another host.
//!
//! One thread without capabilities answers one request at a time, from the daemon's counters file: the hot
//! thread takes no notice of it. A request has 4 KiB and two seconds at most.

use super::readiness::{not_alive, not_ready};
use super::{Format, metrics};
use crate::cli::counters::process::{Process, Value};
use crate::cli::expiry::{CERTIFICATE_EXPIRY, KEY_EXPIRY, certificate_expiry, key_expiry};
use crate::cli::observed::Observed;
use lockstep_core::engine::counters::Described;
use lockstep_io::{IoError, capabilities};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes of a request at most, and how long it may take with its answer.
const REQUEST_MAX: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(2);
/// Headers of a request at most.
const HEADERS_MAX: usize = 64;

/// What a daemon without its page is told to do.
pub(in crate::cli) const OWN_ADDRESS: &str = "give each daemon of a host an address of its own, like \
    LOCKSTEP_METRICS_LISTEN=127.0.0.1:9465 or --set metrics.listen=127.0.0.1:9465";

/// A page that is served until this is dropped.
pub(in crate::cli) struct ServedPage {
    address: SocketAddrV4,
    /// The listening socket once more, as one that can be shut down.
    socket: TcpStream,
    is_over: Arc<AtomicBool>,
}

impl ServedPage {
    /// Begins to serve the page of this daemon.
    ///
    /// # Errors
    /// The address is taken, by another daemon of this host mostly, or there is no thread.
    pub(in crate::cli) fn start(address: SocketAddrV4, observed: &Observed) -> Result<Self, IoError> {
        let wrong = |error| IoError::of_bind(format!("listen on {address} (metrics.listen)"), error);
        let listener = TcpListener::bind(address).map_err(wrong)?;
        let socket = TcpStream::from(OwnedFd::from(listener.try_clone().map_err(wrong)?));
        let served = Self { address, socket, is_over: Arc::default() };
        let (observed, is_over) = (observed.clone(), Arc::clone(&served.is_over));
        let work = move || {
            for client in listener.incoming() {
                match client {
                    // A client that goes away needs no answer.
                    Ok(client) => drop(answer(client, &observed)),
                    Err(_) if is_over.load(Ordering::Acquire) => return,
                    Err(_) => {}
                }
            }
        };
        let thread = capabilities::spawn(std::thread::Builder::new().name("lockstep-metrics".into()), work);
        thread.map_err(|error| IoError::new("start the thread of the metrics page", error))?;
        tracing::info!(%address, "metrics at http://{address}/metrics");
        Ok(served)
    }

    /// Where it is served.
    pub(in crate::cli) fn address(&self) -> SocketAddrV4 {
        self.address
    }
}

impl Drop for ServedPage {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // The thread waits for a client: nobody can come any more.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// The same with what no counter has: the day of its keys, and the end of a gateway's certificates.
fn with_expiries(mut process: Process) -> Process {
    process.rows.push((Described::from(KEY_EXPIRY), Value::Number(key_expiry())));
    if process.kind == "gateway" {
        process.rows.push((Described::from(CERTIFICATE_EXPIRY), Value::Number(certificate_expiry())));
    }
    process
}

/// Status and reason, the type of the content, the content, and its age in seconds where that counts.
type Answer = (&'static str, &'static str, Vec<u8>, Option<u64>);

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// Reads a request and answers it.
fn answer(mut client: TcpStream, observed: &Observed) -> std::io::Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    let (status, kind, content, age) = loop {
        if let Some(answer) = answer_to(&bytes, observed) {
            break answer;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        client.set_read_timeout(Some(left))?;
        let mut part = [0; 1024];
        match client.read(&mut part)? {
            0 => return Ok(()),
            len => bytes.extend_from_slice(&part[..len]),
        }
    };
    // RFC 9111, section 5.1.
    let age = age.map(|age| format!("Age: {age}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{age}Connection: close\r\n\r\n",
        content.len()
    );
    client.set_write_timeout(Some(PATIENCE))?;
    client.write_all(head.as_bytes())?;
    client.write_all(&content)?;
    client.shutdown(Shutdown::Write)
}

/// The answer to a request; `None` of one that is not whole.
fn answer_to(bytes: &[u8], observed: &Observed) -> Option<Answer> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let refused = |status, why: &str| Some((status, TEXT, format!("{why}\n").into_bytes(), None));
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) if bytes.len() > REQUEST_MAX => {
            return refused("431 Request Header Fields Too Large", "a request has 4096 bytes at most");
        }
        Ok(httparse::Status::Partial) => return None,
        Ok(httparse::Status::Complete(_)) => {}
        Err(error) => return refused("400 Bad Request", &format!("this is no request of HTTP/1.1: {error}")),
    }
    if request.method != Some("GET") {
        return refused("405 Method Not Allowed", "the pages here are read by GET");
    }
    let path = request.path.unwrap_or("/").split('?').next().unwrap_or("/");
    let format = || {
        let accept = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("accept"));
        let is_openmetrics = |value: &[u8]| value.windows(11).any(|part| part == b"openmetrics");
        match accept.is_some_and(|header| is_openmetrics(header.value)) {
            true => Format::OpenMetrics,
            false => Format::Prometheus,
        }
    };
    let page = match path {
        "/" => {
            return Some(("200 OK", TEXT, b"lockstep: /metrics /healthz /readyz /counters\n".into(), None));
        }
        "/counters" => observed.counters().map(|(bytes, age)| ("200 OK", BYTES, bytes, Some(age.as_secs()))),
        "/metrics" => observed.process().map(|process| {
            let format = format();
            match metrics(&[with_expiries(process)], format) {
                Ok(text) => ("200 OK", format.content_type(), text.into_bytes(), None),
                Err(error) => ("500 Internal Server Error", TEXT, format!("{error}\n").into_bytes(), None),
            }
        }),
        "/healthz" => observed.process().map(|process| judged(&process, not_alive, "alive")),
        "/readyz" => observed.process().map(|process| judged(&process, not_ready, "ready")),
        _ => return refused("404 Not Found", "there are /metrics, /healthz, /readyz and /counters"),
    };
    page.or_else(|| refused("503 Service Unavailable", "this process begins, and counts nothing yet"))
}

/// 200 with this word, or 503 with the reason.
fn judged(process: &Process, not: fn(&Process) -> Option<String>, word: &str) -> Answer {
    let (status, text) = match not(process) {
        None => ("200 OK", format!("{} is {word}\n", process.name)),
        Some(reason) => ("503 Service Unavailable", format!("{} is not {word}: {reason}\n", process.name)),
    };
    (status, TEXT, text.into_bytes(), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_io::counters::{CountersFile, CountersReader};

    /// A replica that has just begun.
    fn observed() -> Observed {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, observed) = (folder.path().join("counters"), Observed::default());
        CountersFile::create(&path, &[("kind", "replica"), ("number", "1")], &[]).expect("a file");
        observed.show("replica-1", &path);
        observed
    }

    fn answer(request: &str) -> Option<(&'static str, &'static str, String)> {
        let (status, kind, content, _) = answer_to(request.as_bytes(), &observed())?;
        Some((status, kind, String::from_utf8_lossy(&content).into_owned()))
    }

    fn status(request: &str) -> Option<&'static str> {
        answer(request).map(|(status, ..)| status)
    }

    #[test]
    fn a_request_is_answered_once_it_is_whole_and_never_grows_without_end() {
        assert_eq!((status(""), status("GET /metrics HTTP/1.1\r\n")), (None, None));
        assert_eq!(status("GET /metrics HTTP/1.1\r\n\r\n"), Some("200 OK"));
        let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(REQUEST_MAX));
        assert_eq!(status(&long), Some("431 Request Header Fields Too Large"));
    }

    #[test]
    fn what_is_no_request_or_asks_for_something_else_is_refused_by_its_number() {
        assert_eq!(status("\x16\x03\x01\0\0"), Some("400 Bad Request"));
        assert_eq!(status("POST /metrics HTTP/1.1\r\n\r\n"), Some("405 Method Not Allowed"));
        assert_eq!(status("GET /nothing HTTP/1.1\r\n\r\n"), Some("404 Not Found"));
    }

    #[test]
    fn the_text_is_the_one_that_was_asked_for() {
        let kind = |accept: &str| {
            answer(&format!("GET /metrics?x=1 HTTP/1.1\r\nAccept: {accept}\r\n\r\n")).map(|(_, kind, _)| kind)
        };
        assert_eq!(
            kind("application/openmetrics-text;version=1.0.0,text/plain"),
            Some(Format::OpenMetrics.content_type())
        );
        assert_eq!(kind("text/plain"), Some(Format::Prometheus.content_type()));
    }

    #[test]
    fn the_counters_are_the_file_as_it_is_with_the_age_of_its_values() {
        let request = b"GET /counters HTTP/1.1\r\n\r\n";
        let (status, kind, bytes, age) = answer_to(request, &observed()).expect("an answer");
        assert_eq!((status, kind, age), ("200 OK", BYTES, Some(0)));
        let reader = CountersReader::from_bytes("the answer", &bytes).expect("a counters file");
        assert_eq!(reader.label("kind"), Some("replica"));
    }

    #[test]
    fn a_process_without_counters_is_not_alive_yet() {
        for page in ["healthz", "readyz", "metrics", "counters"] {
            let request = format!("GET /{page} HTTP/1.1\r\n\r\n");
            let answer = answer_to(request.as_bytes(), &Observed::default());
            assert_eq!(answer.map(|(status, ..)| status), Some("503 Service Unavailable"), "{page}");
        }
    }

    #[test]
    fn a_replica_without_history_is_alive_and_not_ready() {
        assert_eq!(status("GET /healthz HTTP/1.1\r\n\r\n"), Some("200 OK"));
        let (status, _, text) = answer("GET /readyz HTTP/1.1\r\n\r\n").expect("an answer");
        assert_eq!(status, "503 Service Unavailable");
        assert!(text.starts_with("replica-1 is not ready: it holds no history"), "{text}");
    }
}
