//! The page of a daemon that Prometheus reads: `/metrics`, `/healthz`, `/readyz`.
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

/// Status and reason, the type of the text, and the text.
type Answer = (&'static str, &'static str, String);

const TEXT: &str = "text/plain; charset=utf-8";

/// Reads a request and answers it.
fn answer(mut client: TcpStream, observed: &Observed) -> std::io::Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    let (status, kind, text) = loop {
        if let Some(answer) = answer_to(&bytes, || observed.process().map(with_expiries)) {
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
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    client.set_write_timeout(Some(PATIENCE))?;
    client.write_all(head.as_bytes())?;
    client.write_all(text.as_bytes())?;
    client.shutdown(Shutdown::Write)
}

/// The answer to a request; `None` of one that is not whole.
fn answer_to(bytes: &[u8], process: impl FnOnce() -> Option<Process>) -> Option<Answer> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let refused = |status, why: &str| Some((status, TEXT, format!("{why}\n")));
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
    let is_asked_for_openmetrics = || {
        let accept = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("accept"));
        accept.is_some_and(|header| header.value.windows(11).any(|part| part == b"openmetrics"))
    };
    if path == "/" {
        return Some(("200 OK", TEXT, "lockstep: /metrics /healthz /readyz\n".to_owned()));
    }
    if !["/metrics", "/healthz", "/readyz"].contains(&path) {
        return refused("404 Not Found", "there are /metrics, /healthz and /readyz");
    }
    let Some(process) = process() else {
        return refused("503 Service Unavailable", "this process begins, and counts nothing yet");
    };
    Some(match path {
        "/metrics" => {
            let format = if is_asked_for_openmetrics() { Format::OpenMetrics } else { Format::Prometheus };
            match metrics(&[process], format) {
                Ok(text) => ("200 OK", format.content_type(), text),
                Err(error) => return refused("500 Internal Server Error", &error.to_string()),
            }
        }
        "/healthz" => judged(&process, not_alive, "alive"),
        _ => judged(&process, not_ready, "ready"),
    })
}

/// 200 with this word, or 503 with the reason.
fn judged(process: &Process, not: fn(&Process) -> Option<String>, word: &str) -> Answer {
    match not(process) {
        None => ("200 OK", TEXT, format!("{} is {word}\n", process.name)),
        Some(reason) => {
            ("503 Service Unavailable", TEXT, format!("{} is not {word}: {reason}\n", process.name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::counters::process::Life;

    fn process() -> Option<Process> {
        Some(Process::of_rows(("replica", "replica-1"), Life::Runs, []))
    }

    fn status(request: &[u8]) -> Option<&'static str> {
        answer_to(request, process).map(|(status, ..)| status)
    }

    #[test]
    fn a_request_is_answered_once_it_is_whole_and_never_grows_without_end() {
        assert_eq!((status(b""), status(b"GET /metrics HTTP/1.1\r\n")), (None, None));
        assert_eq!(status(b"GET /metrics HTTP/1.1\r\n\r\n"), Some("200 OK"));
        let long = [b"GET / HTTP/1.1\r\nX: ", &[b'x'; REQUEST_MAX][..]].concat();
        assert_eq!(status(&long), Some("431 Request Header Fields Too Large"));
    }

    #[test]
    fn what_is_no_request_or_asks_for_something_else_is_refused_by_its_number() {
        assert_eq!(status(b"\x16\x03\x01\0\0"), Some("400 Bad Request"));
        assert_eq!(status(b"POST /metrics HTTP/1.1\r\n\r\n"), Some("405 Method Not Allowed"));
        assert_eq!(status(b"GET /nothing HTTP/1.1\r\n\r\n"), Some("404 Not Found"));
    }

    #[test]
    fn the_text_is_the_one_that_was_asked_for() {
        let kind = |accept: &str| {
            let request = format!("GET /metrics?x=1 HTTP/1.1\r\nAccept: {accept}\r\n\r\n");
            answer_to(request.as_bytes(), process).map(|(_, kind, _)| kind)
        };
        assert_eq!(
            kind("application/openmetrics-text;version=1.0.0,text/plain"),
            Some(Format::OpenMetrics.content_type())
        );
        assert_eq!(kind("text/plain"), Some(Format::Prometheus.content_type()));
    }

    #[test]
    fn a_process_without_counters_is_not_alive_yet() {
        let answer = answer_to(b"GET /healthz HTTP/1.1\r\n\r\n", || None);
        assert_eq!(answer.map(|(status, ..)| status), Some("503 Service Unavailable"));
    }

    #[test]
    fn a_replica_without_history_is_alive_and_not_ready() {
        assert_eq!(status(b"GET /healthz HTTP/1.1\r\n\r\n"), Some("200 OK"));
        let (status, _, text) = answer_to(b"GET /readyz HTTP/1.1\r\n\r\n", process).expect("an answer");
        assert_eq!(status, "503 Service Unavailable");
        assert!(text.starts_with("replica-1 is not ready: it holds no history"), "{text}");
    }
}
