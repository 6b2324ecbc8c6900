//! Files of others are read up to a bound: a name may lead to a device, a pipe or a file without end.

use std::fs::File;
use std::io::{BufRead, Error, ErrorKind, Read, Result};
use std::path::Path;

/// The bytes of the file at `path`, at most `max`.
///
/// # Errors
/// It cannot be read, or is longer.
pub fn read_bytes(path: &Path, max: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it has more than {max} bytes")));
    }
    Ok(bytes)
}

/// The text of the file at `path`, which has at most `max` bytes.
///
/// # Errors
/// It cannot be read, is longer, or is no text.
pub fn read_text(path: &Path, max: u64) -> Result<String> {
    String::from_utf8(read_bytes(path, max)?)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "it is no text in UTF-8"))
}

/// The next line of `lines` without its end, in place of what `line` had; false at the end. It has at most
/// `max` bytes.
///
/// # Errors
/// It cannot be read, is longer, or is no text.
pub fn read_line(lines: &mut impl BufRead, line: &mut Vec<u8>, max: u64) -> Result<bool> {
    line.clear();
    if lines.take(max.saturating_add(1)).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    let ended = line.pop_if(|last| *last == b'\n').is_some();
    if !ended && line.len() as u64 > max {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("the line has more than {max} bytes")));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_refused_and_what_fits_is_read_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("text");
        std::fs::write(&path, b"12345").expect("written");
        assert_eq!(read_text(&path, 5).expect("it fits"), "12345");
        assert_eq!(read_text(&path, 4).expect_err("longer").kind(), ErrorKind::FileTooLarge);
        let endless = read_text(Path::new("/dev/zero"), 1 << 20).expect_err("without end");
        assert_eq!(endless.kind(), ErrorKind::FileTooLarge);
        std::fs::write(&path, b"\xff").expect("written");
        assert_eq!(read_text(&path, 5).expect_err("no text").kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let (mut line, mut text) = (Vec::new(), &b"abc\n\nd"[..]);
        for expected in [&b"abc"[..], b"", b"d"] {
            assert!(read_line(&mut text, &mut line, 3).expect("it fits"));
            assert_eq!(line, expected);
        }
        assert!(!read_line(&mut text, &mut line, 3).expect("the end"));
        let long = read_line(&mut &b"abcd\n"[..], &mut line, 3).expect_err("longer");
        assert_eq!(long.kind(), ErrorKind::FileTooLarge);
        let endless = read_line(&mut std::io::BufReader::new(std::io::repeat(0)), &mut line, 1 << 16);
        assert_eq!(endless.expect_err("without end").kind(), ErrorKind::FileTooLarge);
    }
}
