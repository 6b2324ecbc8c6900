//! The checks' view of a source text: its code without comments and strings, its comments, paths and tests.

use std::ops::Range;

/// One blank per byte of comments, strings and characters; everything else, and each line break,
/// stays where it was, so that an offset means the same in both texts.
pub fn code_only(text: &str) -> String {
    let mut code = text.as_bytes().to_vec();
    for span in not_code(text) {
        for byte in &mut code[span] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8(code).expect("comments and strings are blanked whole")
}

/// The line comments of a text, each to the end of its line; `//` in a string is none.
pub fn line_comments(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let spans = not_code(text).into_iter().map(|span| (span.start, &text[span]));
    spans.filter(|(_, span)| span.starts_with("//"))
}

/// The strings of a text as a program has them, near enough: where each begins, joined lines, plain quotes.
pub fn string_texts(text: &str) -> Vec<(usize, String)> {
    let strings = not_code(text).into_iter().filter(|span| {
        let begin = text[span.clone()].trim_start_matches(['r', '#']);
        begin.starts_with('"')
    });
    let words = |span: Range<usize>| {
        let mut joined = String::new();
        for (index, part) in text[span].split("\\\n").enumerate() {
            joined.push_str(if index == 0 { part } else { part.trim_start() });
        }
        joined.replace("\\\"", "\"")
    };
    strings.map(|span| (span.start, words(span))).collect()
}

/// The comments, strings and characters of a text, in their order.
fn not_code(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut at, mut spans) = (0, Vec::new());
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at + 1),
            b'r' if !continues_a_name(bytes, at) => raw_string_end(bytes, at),
            b'\'' => char_end(bytes, at),
            _ => at,
        };
        if end > at {
            spans.push(at..end);
        }
        at = end.max(at + 1);
    }
    spans
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |len| at + len)
}

/// Block comments nest.
fn block_comment_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if bytes[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'"' {
        at += 1 + usize::from(bytes[at] == b'\\');
    }
    (at + 1).min(bytes.len())
}

/// A `b` or `c` before the `r` belongs to the literal; any other letter makes it the end of a name.
fn continues_a_name(bytes: &[u8], at: usize) -> bool {
    let is_name = |at: usize| bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_';
    let Some(before) = at.checked_sub(1).filter(|&before| is_name(before)) else { return false };
    !matches!(bytes[before], b'b' | b'c') || before.checked_sub(1).is_some_and(is_name)
}

/// `at` itself if no raw string begins there (it is a name with an r).
fn raw_string_end(bytes: &[u8], at: usize) -> usize {
    let hashes = bytes[at + 1..].iter().take_while(|&&byte| byte == b'#').count();
    if bytes.get(at + 1 + hashes) != Some(&b'"') {
        return at;
    }
    let closing = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let start = at + hashes + 2;
    let len = bytes[start..].windows(closing.len()).position(|window| window == closing);
    len.map_or(bytes.len(), |len| start + len + closing.len())
}

/// `at` itself for a lifetime, which is code.
fn char_end(bytes: &[u8], at: usize) -> usize {
    let escaped = bytes.get(at + 1) == Some(&b'\\');
    let quote = |from: usize| bytes.iter().skip(from).take(10).position(|&byte| byte == b'\'');
    match quote(at + 2 + usize::from(escaped)) {
        Some(len) if escaped => at + 3 + len + 1,
        // One character has at most four bytes; `<'a, 'b>` has a comma in between.
        Some(len)
            if std::str::from_utf8(&bytes[at + 1..at + 2 + len]).is_ok_and(|c| c.chars().count() == 1) =>
        {
            at + 2 + len + 1
        }
        _ => at,
    }
}

/// The line, from 1, of the byte `at`.
pub fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// Whether `c` can stand in a name.
pub fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands in `code` as a whole word.
pub fn word_offsets<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        !code[..at].ends_with(is_name_char) && !code[at + word.len()..].starts_with(is_name_char)
    })
}

/// What stands behind `root::` (as in `crate::wire` or `crate::{wire, io::udp}`): offset and first
/// name of each path.
pub fn paths_from(code: &str, root: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for at in word_offsets(code, root) {
        let Some(behind) = code[at + root.len()..].trim_start().strip_prefix("::") else { continue };
        let start = code.len() - behind.trim_start().len();
        match code[start..].strip_prefix('{') {
            None => paths.push((start, first_name(&code[start..]))),
            Some(group) => {
                let (mut depth, mut name_at) = (0, Some(start + 1));
                for (offset, c) in group.char_indices() {
                    if let Some(begins) = name_at.filter(|_| !c.is_whitespace() && c != '}') {
                        let begins = begins.max(start + 1 + offset);
                        paths.push((begins, first_name(&code[begins..])));
                        name_at = None;
                    }
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => name_at = Some(start + 1 + offset + 1),
                        _ => {}
                    }
                }
            }
        }
    }
    paths
}

/// The name in front, or the one sign that stands in its place.
fn first_name(code: &str) -> String {
    let end = code.find(|c| !is_name_char(c)).unwrap_or(code.len());
    code[..end.max(1).min(code.len())].to_owned()
}

/// The text of each item under `#[cfg(test)]`, comments included.
pub fn test_parts(text: &str) -> Vec<&str> {
    let code = code_only(text);
    let ends = |start: usize| {
        let mut depth = 0;
        for (offset, c) in code[start..].char_indices() {
            match c {
                ';' if depth == 0 => return start + offset,
                '{' => depth += 1,
                '}' if depth == 1 => return start + offset,
                '}' => depth -= 1,
                _ => {}
            }
        }
        code.len()
    };
    code.match_indices("#[cfg(test)]").map(|(at, _)| &text[at..ends(at)]).collect()
}

#[test]
fn comments_strings_and_characters_are_no_code() {
    let text = "a // unsafe\nb /* x /* unsafe */ y */ c \"un\\\"safe\" r#\"unsafe\"# '\"' 'x' <'a> \"d\"";
    let code = code_only(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "b", "c", "<'a>"]);
    let code = code_only("for x in br#\"unsafe\"# { var\"unsafe\" } '\\u{1f600}' 'é' &'static str");
    assert_eq!(
        code.split_whitespace().collect::<Vec<_>>(),
        "for x in b { var } &'static str".split(' ').collect::<Vec<_>>()
    );
}

#[test]
fn a_path_is_found_alone_in_a_group_and_across_lines() {
    let names = |code, root| paths_from(code, root).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
    assert_eq!(names("use crate::wire::Seq; $crate::io::x!()", "crate"), ["wire", "io"]);
    assert_eq!(names("use crate::{\n  wire::{Seq, Epoch},\n io::udp,\n};", "crate"), ["wire", "io"]);
    assert_eq!(names("pub(crate) fn mycrate::x; use crate::*;", "crate"), ["*"]);
    assert_eq!(names("use crate :: io", "crate"), ["io"]);
}

#[test]
fn the_tests_of_a_file_are_what_cfg_test_covers() {
    let text = "fn a() {} // S1\n#[cfg(test)]\nmod tests { fn b() { /* S2 */ } }\n// S3\n#[cfg(test)]\nmod more;\n// S4";
    let parts = test_parts(text);
    assert_eq!(parts.len(), 2);
    assert!(parts[0].contains("S2") && !parts[0].contains("S3"));
    assert!(!parts[1].contains("S4"));
}
