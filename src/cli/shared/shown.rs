//! Names and payloads of others in the output of commands: shown, and not obeyed.

use std::io::{self, Write};

/// A name or a text that a stranger chose, in one line of output: control characters and backslashes as
/// escapes, so that it neither begins a line of its own nor speaks to the terminal.
pub fn shown(text: &str) -> String {
    shown_bytes(text.as_bytes())
}

/// The same of bytes, which need be no text.
pub fn shown_bytes(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    let _ = write_escaped(&mut out, bytes); // memory takes all
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether a character is shown otherwise than it is: it would end the line, be invisible, or turn around
/// what stands beside it.
fn is_hidden(char: char) -> bool {
    let is_direction = matches!(char, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    char.is_control() || is_direction || matches!(char, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Text as it is; backslashes, control characters and what is no UTF-8 as escapes, so that a message is
/// one line whatever it says.
pub fn write_escaped(out: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    for chunk in payload.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\\' => out.write_all(b"\\\\")?,
                char if is_hidden(char) => write!(out, "{}", char.escape_default())?,
                char => write!(out, "{char}")?,
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_name_neither_ends_a_line_nor_speaks_to_the_terminal() {
        for (name, line) in [
            ("plain ä", "plain ä"),
            ("a\nquorum ok", "a\\nquorum ok"),
            ("\u{1b}[2J\u{9b}31m", "\\u{1b}[2J\\u{9b}31m"),
            ("\r\u{8}\\", "\\r\\u{8}\\\\"),
            ("\u{202e}txt\u{2028}", "\\u{202e}txt\\u{2028}"),
        ] {
            assert_eq!(shown(name), line);
        }
    }
}
