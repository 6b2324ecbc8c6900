//! Pages of a process over HTTP: metrics, snapshots, queries. One thread without capabilities answers one
//! request at a time, so that the thread that works takes no notice of it.
//!
//! The head of a request has 4 KiB at most, its body as much as the owner says, and all of it two seconds;
//! what cannot be parsed is refused by its number.

use lockstep_io::{IoError, capabilities};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes of a request's head at most, and the time until it is whole.
const HEAD_MAX: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(2);
/// Headers at most.
const HEADERS_MAX: usize = 64;
/// A thread whose socket fails again and again rests so long between two looks.
const REST: Duration = Duration::from_millis(10);

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest<'a> {
    /// `GET`, `POST`.
    pub method: &'a str,
    /// What it asks for, without what follows a `?`.
    pub path: &'a str,
    headers: &'a [httparse::Header<'a>],
    /// What follows the head.
    pub body: &'a [u8],
}

impl PageRequest<'_> {
    /// The value of a header, if there is one.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(self.headers, name)
    }
}

fn header<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a str> {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(header.value).ok()
}

/// The content of an answer.
#[derive(Debug)]
pub enum PageContent {
    /// These bytes.
    Bytes(Vec<u8>),
    /// So many bytes of a file, from where it stands.
    File(File, u64),
}

/// An answer.
#[derive(Debug)]
pub struct PageAnswer {
    /// Number and reason: `200 OK`.
    pub status: &'static str,
    /// The type of the content.
    pub kind: &'static str,
    /// The content.
    pub content: PageContent,
    /// Its age in seconds, where that counts (RFC 9111, section 5.1).
    pub age: Option<u64>,
}

impl PageAnswer {
    /// A text, with this number and reason.
    pub fn text(status: &'static str, text: String) -> Self {
        Self { status, kind: TEXT, content: PageContent::Bytes(text.into_bytes()), age: None }
    }

    /// Bytes of no type that has a name.
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self { status: "200 OK", kind: BYTES, content: PageContent::Bytes(bytes), age: None }
    }

    /// The rest of a file from `from` on, of `len` bytes in all (RFC 9110, section 14).
    pub fn part(file: File, from: u64, len: u64) -> Self {
        let status = if from == 0 { "200 OK" } else { "206 Partial Content" };
        Self { status, kind: BYTES, content: PageContent::File(file, len - from), age: None }
    }

    /// The content, where it is bytes.
    pub fn content(&self) -> &[u8] {
        match &self.content {
            PageContent::Bytes(bytes) => bytes,
            PageContent::File(..) => &[],
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// Pages that are served until this is dropped.
#[derive(Debug)]
pub struct PageServer {
    address: SocketAddrV4,
    /// The listening socket once more, as one that can be shut down.
    socket: TcpStream,
    is_over: Arc<AtomicBool>,
}

impl PageServer {
    /// Begins to serve at `address`, which the setting `key` names, on a thread called `thread`. Bodies have
    /// `body_max` bytes at most.
    ///
    /// # Errors
    /// The address is taken, or there is no thread.
    pub fn start(
        (key, address): (&str, SocketAddrV4),
        thread: &str,
        body_max: usize,
        answer: impl Fn(&PageRequest<'_>) -> PageAnswer + Send + 'static,
    ) -> Result<Self, IoError> {
        let wrong = |error| IoError::of_bind(format!("listen on {address} ({key})"), error);
        let listener = TcpListener::bind(address).map_err(wrong)?;
        let socket = TcpStream::from(OwnedFd::from(listener.try_clone().map_err(wrong)?));
        let served = Self { address, socket, is_over: Arc::default() };
        let is_over = Arc::clone(&served.is_over);
        let work = move || {
            for client in listener.incoming() {
                match client {
                    // A client that goes away needs no answer.
                    Ok(client) => drop(serve(client, body_max, &answer)),
                    Err(_) if is_over.load(Ordering::Acquire) => return,
                    // No descriptor is left, for instance: that passes.
                    Err(_) => std::thread::sleep(REST),
                }
            }
        };
        let thread = capabilities::spawn(std::thread::Builder::new().name(thread.to_owned()), work);
        thread.map_err(|error| IoError::new(format!("start the thread of {key}"), error))?;
        Ok(served)
    }

    /// Where they are served.
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }
}

impl Drop for PageServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // The thread waits for a client: nobody can come any more.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Reads a request and answers it.
fn serve(
    mut client: TcpStream,
    body_max: usize,
    answer: &impl Fn(&PageRequest<'_>) -> PageAnswer,
) -> std::io::Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    let answer = loop {
        if let Some(answer) = answer_to(&bytes, body_max, answer) {
            break answer;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        client.set_read_timeout(Some(left))?;
        let mut part = [0; 4096];
        match client.read(&mut part)? {
            0 => return Ok(()),
            len => bytes.extend_from_slice(&part[..len]),
        }
    };
    let PageAnswer { status, kind, content, age } = answer;
    let len = match &content {
        PageContent::Bytes(bytes) => bytes.len() as u64,
        PageContent::File(_, len) => *len,
    };
    let age = age.map(|age| format!("Age: {age}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n{age}Connection: close\r\n\r\n"
    );
    client.set_write_timeout(Some(PATIENCE))?;
    client.write_all(head.as_bytes())?;
    match content {
        PageContent::Bytes(bytes) => client.write_all(&bytes)?,
        PageContent::File(file, len) => drop(std::io::copy(&mut file.take(len), &mut client)?),
    }
    client.shutdown(Shutdown::Write)
}

/// The answer to a request; `None` of one that is not whole.
pub fn answer_to(
    bytes: &[u8],
    body_max: usize,
    answer: impl FnOnce(&PageRequest<'_>) -> PageAnswer,
) -> Option<PageAnswer> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let refused = |status, why: &str| Some(PageAnswer::text(status, format!("{why}\n")));
    let head = match request.parse(bytes) {
        Ok(httparse::Status::Partial) if bytes.len() > HEAD_MAX => {
            return refused("431 Request Header Fields Too Large", "a request has 4096 bytes at most");
        }
        Ok(httparse::Status::Partial) => return None,
        Ok(httparse::Status::Complete(head)) => head,
        Err(error) => return refused("400 Bad Request", &format!("this is no request of HTTP/1.1: {error}")),
    };
    let len = match header(request.headers, "content-length").map(str::parse::<usize>) {
        None => 0,
        Some(Ok(len)) if len <= body_max => len,
        Some(_) => return refused("413 Content Too Large", &format!("a body has {body_max} bytes at most")),
    };
    let body = bytes[head..].get(..len)?;
    let method = request.method.unwrap_or_default();
    if method != "GET" && (method != "POST" || body_max == 0) {
        return refused("405 Method Not Allowed", "the pages here are read by GET");
    }
    let path = request.path.unwrap_or("/").split('?').next().unwrap_or("/");
    Some(answer(&PageRequest { method, path, headers: request.headers, body }))
}

/// What a page has answered.
#[derive(Debug)]
pub struct FetchedPage {
    /// The number of its status.
    pub status: u16,
    /// The age of its content, in seconds; 0 where none was said.
    pub age: u64,
    /// The content, all of it.
    pub content: Vec<u8>,
}

/// Asks for a page, and waits `wait` for all of its answer, of `content_max` bytes at most. `more` is further
/// lines of the head, each with its end; a `body` makes it a `POST`.
///
/// # Errors
/// Nobody answers in time, or with something else, or with more.
pub fn fetch(
    (address, path): (SocketAddr, &str),
    (more, body): (&str, Option<&[u8]>),
    (wait, content_max): (Duration, usize),
) -> Result<FetchedPage, IoError> {
    let doing = || format!("fetch http://{address}{path}");
    let bytes = exchanged((address, path), (more, body), (Instant::now() + wait, content_max));
    let bytes = bytes.map_err(|error| IoError::new(doing(), error))?;
    fetched(bytes).map_err(|why| IoError::because(doing(), ErrorKind::InvalidData, why))
}

fn exchanged(
    (address, path): (SocketAddr, &str),
    (more, body): (&str, Option<&[u8]>),
    (until, content_max): (Instant, usize),
) -> std::io::Result<Vec<u8>> {
    let left = || match until.saturating_duration_since(Instant::now()) {
        left if left.is_zero() => Err(std::io::Error::from(ErrorKind::TimedOut)),
        left => Ok(left),
    };
    let mut stream = TcpStream::connect_timeout(&address, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    let method = if body.is_some() { "POST" } else { "GET" };
    let body = body.unwrap_or_default();
    let len = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len}\r\n{more}Connection: close\r\n\r\n"
    )?;
    stream.write_all(body)?;
    let (mut bytes, mut part) = (Vec::new(), vec![0; 64 << 10]);
    while bytes.len() <= HEAD_MAX + content_max {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut part)? {
            0 => return Ok(bytes),
            len => bytes.extend_from_slice(&part[..len]),
        }
    }
    Err(ErrorKind::FileTooLarge.into())
}

/// The answer with these bytes.
fn fetched(mut bytes: Vec<u8>) -> Result<FetchedPage, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(head)) = response.parse(&bytes) else {
        return Err("it is no answer of HTTP/1.1");
    };
    let number = |name| header(response.headers, name).and_then(|value| value.trim().parse::<u64>().ok());
    let (len, age) = (number("content-length").ok_or("it has no length")?, number("age").unwrap_or(0));
    let status = response.code.unwrap_or_default();
    if len != (bytes.len() - head) as u64 {
        return Err("it is cut short");
    }
    Ok(FetchedPage { status, age, content: bytes.split_off(head) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(request: &str) -> Option<&'static str> {
        let answer = |request: &PageRequest<'_>| PageAnswer::text("200 OK", request.path.to_owned());
        answer_to(request.as_bytes(), 8, answer).map(|answer| answer.status)
    }

    #[test]
    fn a_request_is_answered_once_it_is_whole_and_never_grows_without_end() {
        assert_eq!((status(""), status("GET /a HTTP/1.1\r\n")), (None, None));
        assert_eq!(status("GET /a HTTP/1.1\r\n\r\n"), Some("200 OK"));
        let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(HEAD_MAX));
        assert_eq!(status(&long), Some("431 Request Header Fields Too Large"));
        let post = |len: usize, body: &str| {
            status(&format!("POST /a HTTP/1.1\r\nContent-Length: {len}\r\n\r\n{body}"))
        };
        assert_eq!((post(3, "ab"), post(3, "abc")), (None, Some("200 OK")));
        assert_eq!(post(9, ""), Some("413 Content Too Large"));
    }

    #[test]
    fn what_is_no_request_or_has_another_method_is_refused_by_its_number() {
        assert_eq!(status("\x16\x03\x01\0\0"), Some("400 Bad Request"));
        assert_eq!(status("DELETE /a HTTP/1.1\r\n\r\n"), Some("405 Method Not Allowed"));
        let answer = |_: &PageRequest<'_>| PageAnswer::text("200 OK", String::new());
        let post = answer_to(b"POST /a HTTP/1.1\r\n\r\n", 0, answer).map(|answer| answer.status);
        assert_eq!(post, Some("405 Method Not Allowed"));
    }

    #[test]
    fn an_answer_that_is_cut_short_or_none_at_all_is_not_taken() {
        let whole = b"HTTP/1.1 200 x\r\nContent-Length: 3\r\nAge: 7\r\n\r\nabc";
        let page = fetched(whole.to_vec()).expect("an answer");
        assert_eq!((page.status, page.age, &page.content[..]), (200, 7, &b"abc"[..]));
        for end in 0..whole.len() {
            assert!(fetched(whole[..end].to_vec()).is_err(), "{end}");
        }
    }

    #[test]
    fn a_page_is_fetched_from_where_it_was_broken_off_and_its_server_ends_with_its_handle() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, b"0123456789").expect("a file");
        let address = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let SocketAddr::V4(address) = address.expect("a port") else { panic!("IPv4") };
        let answer = move |request: &PageRequest<'_>| {
            use std::io::Seek;
            let from = request
                .header("range")
                .map_or(0, |range| range["bytes=".len()..range.len() - 1].parse().expect("a number"));
            let mut file = File::open(&path).expect("it is there");
            file.seek(std::io::SeekFrom::Start(from)).expect("a place");
            PageAnswer::part(file, from, 10)
        };
        let server = PageServer::start(("a test", address), "page", 0, answer).expect("a server");
        let get = |more| {
            fetch((address.into(), "/"), (more, None), (Duration::from_secs(5), 100))
                .map(|page| (page.status, page.content))
        };
        assert_eq!(get("").expect("a page"), (200, b"0123456789".to_vec()));
        assert_eq!(get("Range: bytes=7-\r\n").expect("a page"), (206, b"789".to_vec()));
        drop(server);
        assert!(get("").is_err());
    }
}
