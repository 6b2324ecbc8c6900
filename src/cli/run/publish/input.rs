//! Messages out of a file or stdin, in three spellings, read by a thread of its own.
//!
//! Reading stdin blocks, and a publisher must go on reading the stream: so a thread reads ahead, as far as
//! a bounded queue takes it. A wrong message ends the input; it is named by the number of its line.

use super::PublishArgs;
use lockstep_daemon::Failure;
use lockstep_daemon::failure::{FAILED, USAGE};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Messages that are read ahead.
const AHEAD: usize = 1024;

/// How messages are separated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spelling {
    /// One a line, without its end.
    Lines,
    /// One a line, in hexadecimal digits; blanks between them are passed over.
    Hex,
    /// Length in 4 bytes little-endian, then the message.
    LengthPrefixed,
}

impl Spelling {
    /// The one that the flags ask for.
    pub fn of(args: &PublishArgs) -> Self {
        match (args.hex, args.length_prefixed) {
            (true, _) => Self::Hex,
            (_, true) => Self::LengthPrefixed,
            _ => Self::Lines,
        }
    }

    /// What a message is called in errors.
    fn noun(self) -> &'static str {
        if self == Self::LengthPrefixed { "message" } else { "line" }
    }
}

/// How long a message may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// Its bytes at most.
    pub bytes: usize,
    /// The keys that say so.
    pub keys: &'static str,
}

/// A message, or what is wrong with the input.
pub type Item = Result<Vec<u8>, Failure>;

/// Starts to read `path` (`-` is stdin), whose messages are within `limit`. After an error there is no more.
///
/// # Errors
/// The file cannot be opened.
pub fn start(path: &Path, spelling: Spelling, limit: Limit) -> Result<Receiver<Item>, Failure> {
    let name = if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() };
    let source: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        let fails = |error| {
            let what = format!("opening {name} failed: {error}; name a file of messages, or - for stdin");
            Failure::new(USAGE, what)
        };
        Box::new(File::open(path).map_err(fails)?)
    };
    let (to, from) = sync_channel(AHEAD);
    let mut reader = Reader { source: BufReader::new(source), name, spelling, limit, number: 0 };
    // Never joined: it may be blocked in a read of stdin when everything else is over.
    std::thread::Builder::new()
        .name("lockstep-input".into())
        .spawn(move || reader.send_all(&to))
        .map_err(|error| Failure::new(FAILED, format!("starting the thread that reads failed: {error}")))?;
    Ok(from)
}

struct Reader<R> {
    source: BufReader<R>,
    name: String,
    spelling: Spelling,
    limit: Limit,
    /// Of the message that is being read, from 1.
    number: u64,
}

impl<R: Read> Reader<R> {
    fn send_all(&mut self, to: &SyncSender<Item>) {
        while let Some(item) = self.next() {
            let is_last = item.is_err();
            if to.send(item).is_err() || is_last {
                return; // nobody wants more
            }
        }
    }

    fn next(&mut self) -> Option<Item> {
        self.number += 1;
        match self.spelling {
            Spelling::LengthPrefixed => self.prefixed().transpose(),
            Spelling::Lines => self.line(self.limit.bytes).transpose(),
            Spelling::Hex => self.line(usize::MAX).and_then(|line| self.unhex(line)).transpose(),
        }
    }

    /// A line without its end. One longer than `len_max` is refused without being read whole.
    fn line(&mut self, len_max: usize) -> Result<Option<Vec<u8>>, Failure> {
        let mut line = Vec::new();
        let most = (len_max as u64).saturating_add(1);
        let read = (&mut self.source).take(most).read_until(b'\n', &mut line);
        let read = read.map_err(|error| self.fails(FAILED, format_args!("reading failed: {error}")))?;
        if read == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > len_max {
            let rest = self.rest_of_line();
            return Err(self.too_long(line.len() as u64 + rest));
        }
        Ok(Some(line))
    }

    /// How many bytes of the line are left.
    fn rest_of_line(&mut self) -> u64 {
        let mut count = 0;
        loop {
            let Ok(bytes) = self.source.fill_buf() else { return count };
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let here = end.unwrap_or(bytes.len());
            count += here as u64;
            if end.is_some() || here == 0 {
                return count;
            }
            self.source.consume(here);
        }
    }

    fn unhex(&self, line: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Failure> {
        let Some(line) = line else { return Ok(None) };
        let digits: Vec<u8> = line.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let value = |digit: u8| (digit as char).to_digit(16);
        if let Some(wrong) = digits.iter().find(|digit| value(**digit).is_none()) {
            return Err(self.fails(
                USAGE,
                format_args!("'{}' is no hexadecimal digit; write 0-9, a-f", wrong.escape_ascii()),
            ));
        }
        if !digits.len().is_multiple_of(2) {
            return Err(self
                .fails(USAGE, format_args!("{} hexadecimal digits; write two for each byte", digits.len())));
        }
        let bytes = digits.chunks_exact(2).filter_map(|pair| Some(value(pair[0])? * 16 + value(pair[1])?));
        let message: Vec<u8> = bytes.map(|byte| byte as u8).collect();
        if message.len() > self.limit.bytes {
            return Err(self.too_long(message.len() as u64));
        }
        Ok(Some(message))
    }

    fn prefixed(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(head) = self.exactly(4)? else { return Ok(None) };
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        if length as usize > self.limit.bytes {
            return Err(self.too_long(u64::from(length)));
        }
        match self.exactly(length as usize)? {
            None if length > 0 => Err(self.cut(length as usize, 0)),
            message => Ok(Some(message.unwrap_or_default())),
        }
    }

    /// So many bytes, or none at the input's end.
    fn exactly(&mut self, count: usize) -> Result<Option<Vec<u8>>, Failure> {
        let mut bytes = Vec::with_capacity(count);
        let read = (&mut self.source).take(count as u64).read_to_end(&mut bytes);
        let read = read.map_err(|error| self.fails(FAILED, format_args!("reading failed: {error}")))?;
        match read {
            0 => Ok(None),
            read if read < count => Err(self.cut(count, read)),
            _ => Ok(Some(bytes)),
        }
    }

    fn cut(&self, wanted: usize, read: usize) -> Failure {
        let what = format_args!("the input ends after {read} of {wanted} bytes; it was cut, send it whole");
        self.fails(USAGE, what)
    }

    fn too_long(&self, len: u64) -> Failure {
        let Limit { bytes: max, keys } = self.limit;
        let what = format_args!(
            "{len} bytes are too long for a message: the limit is {max} ({keys}); split it, or raise them"
        );
        self.fails(USAGE, what)
    }

    fn fails(&self, code: u8, what: std::fmt::Arguments<'_>) -> Failure {
        Failure::new(code, format!("{}, {} {}: {what}", self.name, self.spelling.noun(), self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spelling: Spelling, bytes: &[u8]) -> (Vec<Vec<u8>>, Option<String>) {
        let source = BufReader::new(bytes);
        let mut reader = Reader {
            source,
            name: "in".into(),
            spelling,
            limit: Limit { bytes: 4, keys: "that.key" },
            number: 0,
        };
        let mut messages = Vec::new();
        while let Some(item) = reader.next() {
            match item {
                Ok(message) => messages.push(message),
                Err(failure) => return (messages, Some(failure.to_string())),
            }
        }
        (messages, None)
    }

    fn good(messages: &[&[u8]]) -> (Vec<Vec<u8>>, Option<String>) {
        (messages.iter().map(|message| message.to_vec()).collect(), None)
    }

    #[test]
    fn a_line_is_a_message_and_the_last_needs_no_end() {
        assert_eq!(read(Spelling::Lines, b"ab\n\nabcd\nx"), good(&[b"ab", b"", b"abcd", b"x"]));
        assert_eq!(read(Spelling::Lines, b""), good(&[]));
    }

    #[test]
    fn a_line_that_is_too_long_is_named_with_its_length_and_the_limit() {
        let (messages, failure) = read(Spelling::Lines, b"ab\nabcdefg\nx");
        assert_eq!((messages.len(), failure.is_some()), (1, true));
        let text = failure.unwrap_or_default();
        assert!(text.starts_with("in, line 2: 7 bytes are too long for a message: the limit is 4"), "{text}");
        assert!(text.contains("(that.key); split it"), "{text}");
    }

    #[test]
    fn hex_is_two_digits_a_byte_and_blanks_do_not_count() {
        assert_eq!(read(Spelling::Hex, b"00 fF\n\n"), good(&[b"\x00\xff", b""]));
        for wrong in ["0", "0g", "0011223344", "a\u{e4}"] {
            assert!(read(Spelling::Hex, wrong.as_bytes()).1.is_some(), "{wrong}");
        }
    }

    #[test]
    fn a_length_comes_before_its_message_and_an_input_that_is_cut_is_refused() {
        let bytes = b"\x02\0\0\0ab\0\0\0\0\x01\0\0\0c";
        assert_eq!(read(Spelling::LengthPrefixed, bytes), good(&[b"ab", b"", b"c"]));
        for cut in 1..bytes.len() {
            let (messages, failure) = read(Spelling::LengthPrefixed, &bytes[..cut]);
            assert_eq!(failure.is_none(), cut == 6 || cut == 10, "cut at {cut}");
            assert!(messages.len() < 3);
        }
        assert!(
            read(Spelling::LengthPrefixed, b"\x05\0\0\0abcde")
                .1
                .is_some_and(|why| why.contains("limit is 4"))
        );
    }
}
