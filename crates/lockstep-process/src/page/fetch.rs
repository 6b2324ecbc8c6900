//! Asks for a page of another process.

use super::{HEAD_MAX, HEADERS_MAX, header};
use lockstep_io::IoError;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What a page has answered.
#[derive(Debug)]
pub struct FetchedPage {
    /// The number of its status.
    pub status: u16,
    /// The age of its content, in seconds; 0 where the answer has none.
    pub age: u64,
    /// The content, all of it.
    pub content: Vec<u8>,
}

/// Asks for a page, and waits `wait` for all of its answer, of `content_max` bytes at most. `more` is further
/// lines of the head, each with its end; a `body` makes it a `POST`.
///
/// # Errors
/// No answer comes in time, or it is no page, or it is longer.
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

    #[test]
    fn an_answer_that_is_cut_short_or_none_at_all_is_not_taken() {
        let whole = b"HTTP/1.1 200 x\r\nContent-Length: 3\r\nAge: 7\r\n\r\nabc";
        let page = fetched(whole.to_vec()).expect("an answer");
        assert_eq!((page.status, page.age, &page.content[..]), (200, 7, &b"abc"[..]));
        for end in 0..whole.len() {
            assert!(fetched(whole[..end].to_vec()).is_err(), "{end}");
        }
    }
}
