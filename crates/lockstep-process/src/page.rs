//! Pages of a process over HTTP: metrics, snapshots, queries. One thread without capabilities serves many
//! connections at once, so that the thread that works takes no notice of it, and no client waits for another.
//!
//! The head of a request has 4 KiB at most, its body as much as the owner says, and all of it two seconds;
//! what cannot be parsed is refused by its number. Every request is judged before its page sees it: a foreign
//! page in the browser of a user who may reach this one reads nothing here, and gives no order.

mod fetch;
mod server;
mod table;

pub use fetch::{FetchedPage, fetch};
pub use server::{PageServer, PageSettings};

use std::fs::File;
use std::net::IpAddr;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// Bytes of a request's head at most, and the time until it is whole.
const HEAD_MAX: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(2);
/// Headers at most.
const HEADERS_MAX: usize = 64;

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest<'a> {
    /// `GET`, `POST`.
    pub method: &'a str,
    /// What it asks for, without what follows a `?`.
    pub path: &'a str,
    /// The address of the client.
    pub peer: IpAddr,
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
    std::str::from_utf8(values(headers, name).next()?).ok()
}

/// The values of all headers of this name.
fn values<'a, 'b>(headers: &'b [httparse::Header<'a>], name: &'b str) -> impl Iterator<Item = &'a [u8]> + 'b {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

/// The content of an answer.
#[derive(Debug)]
pub enum PageContent {
    /// These bytes.
    Bytes(Vec<u8>),
    /// So many bytes of a file, from where it stands.
    File(File, u64),
    /// Another thread gives the whole answer within this time; others are served meanwhile.
    Later(Receiver<PageAnswer>, Duration),
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

    /// What another thread answers within `wait`.
    pub fn later(answer: Receiver<PageAnswer>, wait: Duration) -> Self {
        Self { status: "200 OK", kind: BYTES, content: PageContent::Later(answer, wait), age: None }
    }

    /// The content, where it is bytes.
    pub fn content(&self) -> &[u8] {
        match &self.content {
            PageContent::Bytes(bytes) => bytes,
            PageContent::File(..) | PageContent::Later(..) => &[],
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// Which requests a page takes.
#[derive(Clone, Copy, Debug)]
pub struct PageRules<'a> {
    /// Bytes of a body at most; 0: the pages are read by GET alone.
    pub body_max: usize,
    /// Names of this host by which the page may be asked for, beside localhost and addresses.
    pub hosts: &'a [String],
}

/// The answer to a request of `peer`; `None` of one that is not whole.
pub fn answer_to(
    bytes: &[u8],
    peer: IpAddr,
    rules: PageRules<'_>,
    answer: impl FnOnce(&PageRequest<'_>) -> PageAnswer,
) -> Option<PageAnswer> {
    let PageRules { body_max, hosts } = rules;
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
    if let Err(why) = judge(request.headers, hosts) {
        return refused("403 Forbidden", why);
    }
    if values(request.headers, "transfer-encoding").next().is_some() {
        return refused("411 Length Required", "a body is taken with its Content-Length alone");
    }
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
    Some(answer(&PageRequest { method, path, peer, headers: request.headers, body }))
}

/// Whether the user of a browser opened this page, by the two headers that a page which the browser shows
/// cannot forge. A foreign page may let a name of its own resolve to this host ("DNS rebinding") and would
/// read what this one shows: then `Host` has that name. It may also send a form here: then `Origin` has its
/// address. Addresses, localhost and the names in `hosts` cannot be made to resolve to another host. Every
/// browser sends `Host`; a prober that sends neither is no browser.
fn judge(headers: &[httparse::Header<'_>], hosts: &[String]) -> Result<(), &'static str> {
    let mut named = values(headers, "host");
    let host = match (named.next(), named.next()) {
        (Some(host), None) => host,
        (None, _) if values(headers, "origin").next().is_none() => return Ok(()),
        (None, _) => return Err("the request names an origin and no host"),
        (Some(_), Some(_)) => return Err("the request names two hosts"),
    };
    let host = std::str::from_utf8(host).unwrap_or_default().trim();
    if !is_own(host, hosts) {
        return Err(
            "this is another host's name: ask by an address or localhost, or give the page this name (metrics.hosts; \
             `lockstep web --host`; `hosts` of an application)",
        );
    }
    let of_own = |origin: &[u8]| {
        let origin = std::str::from_utf8(origin).unwrap_or_default().trim();
        let from = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        from.is_some_and(|from| from.eq_ignore_ascii_case(host))
    };
    if values(headers, "origin").all(of_own) {
        Ok(())
    } else {
        Err("a page of another origin asks: its requests are not answered")
    }
}

/// Whether a value of `Host` is an address, localhost, or one of `hosts`.
fn is_own(host: &str, hosts: &[String]) -> bool {
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let is_whole = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return is_whole && address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    name.parse::<std::net::Ipv4Addr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(request: &str) -> Option<PageAnswer> {
        let answer = |request: &PageRequest<'_>| PageAnswer::text("200 OK", request.path.to_owned());
        let hosts = ["risk-1".to_owned(), "risk.example".to_owned()];
        let rules = PageRules { body_max: 8, hosts: &hosts };
        answer_to(request.as_bytes(), IpAddr::from([127, 0, 0, 1]), rules, answer)
    }

    fn status(request: &str) -> Option<&'static str> {
        asked(request).map(|answer| answer.status)
    }

    #[test]
    fn a_request_is_answered_once_it_is_whole_and_never_grows_without_end() {
        assert_eq!((status(""), status("GET /a HTTP/1.1\r\n")), (None, None));
        assert_eq!(status("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"), Some("200 OK"));
        let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(HEAD_MAX));
        assert_eq!(status(&long), Some("431 Request Header Fields Too Large"));
        let post = |len: usize, body: &str| {
            status(&format!("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}\r\n\r\n{body}"))
        };
        assert_eq!((post(3, "ab"), post(3, "abc")), (None, Some("200 OK")));
        assert_eq!(post(9, ""), Some("413 Content Too Large"));
        let chunked = "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(status(chunked), Some("411 Length Required"));
    }

    #[test]
    fn what_is_no_request_or_has_another_method_is_refused_by_its_number() {
        assert_eq!(status("\x16\x03\x01\0\0"), Some("400 Bad Request"));
        assert_eq!(status("DELETE /a HTTP/1.1\r\nHost: localhost\r\n\r\n"), Some("405 Method Not Allowed"));
        let answer = |_: &PageRequest<'_>| PageAnswer::text("200 OK", String::new());
        let (peer, rules) = (IpAddr::from([127, 0, 0, 1]), PageRules { body_max: 0, hosts: &[] });
        let post = answer_to(b"POST /a HTTP/1.1\r\nHost: 1.2.3.4\r\n\r\n", peer, rules, answer);
        assert_eq!(post.map(|answer| answer.status), Some("405 Method Not Allowed"));
    }

    #[test]
    fn a_page_of_another_name_or_origin_neither_reads_nor_orders() {
        let own = [
            "127.0.0.1:9480",
            "[::1]:9480",
            "[::1]",
            "10.1.2.3",
            "localhost:9480",
            "LOCALHOST",
            "RISK-1:9480",
            "risk.example",
        ];
        for method in ["GET", "POST"] {
            let head = |host: &str, more: &str| {
                status(&format!("{method} /a HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"))
            };
            for own in own {
                assert_eq!(head(own, ""), Some("200 OK"), "{own}");
                let origin = format!("Origin: http://{own}\r\n");
                assert_eq!(head(own, &origin), Some("200 OK"), "{own}");
            }
            let foreign = [
                "evil.example",
                "risk-1.evil.example:9480",
                "localhost.evil.example",
                "",
                ":80",
                "[::1].evil.example",
                "127.0.0.1.evil.example",
                "evil.example:80:80",
                "[evil.example]",
            ];
            for foreign in foreign {
                assert_eq!(head(foreign, ""), Some("403 Forbidden"), "{foreign}");
            }
            let origins = [
                "http://evil.example",
                "null",
                "http://127.0.0.1:8080",
                "file://",
                "http://127.0.0.1:9480.evil.example",
                "",
                "http://127.0.0.1:9480\r\nOrigin: http://evil.example",
            ];
            for origin in origins {
                let more = format!("Origin: {origin}\r\n");
                assert_eq!(head("127.0.0.1:9480", &more), Some("403 Forbidden"), "{origin}");
            }
            assert_eq!(head("127.0.0.1", "Host: evil.example\r\n"), Some("403 Forbidden"), "two hosts");
            for version in ["HTTP/1.0", "HTTP/1.1"] {
                // A prober that names no host is no browser.
                assert_eq!(status(&format!("{method} /a {version}\r\n\r\n")), Some("200 OK"));
                let from = format!("{method} /a {version}\r\nOrigin: http://evil.example\r\n\r\n");
                assert_eq!(status(&from), Some("403 Forbidden"));
            }
        }
    }
}
