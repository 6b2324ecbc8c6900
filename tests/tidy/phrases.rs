//! Phrases that make a reader guess who does what: their share of the lines of comments may only fall.

use super::prose::all_sources;
use super::source::{line_comments, word_offsets};

/// Each leaves out the subject or the object, or takes a word of speech for what a datagram does.
const PHRASES: [&str; 9] =
    ["nobody", "somebody", "is none", "of which", "told", "said", "heard", "goes on", "by who"];

/// Lines of comments, and how many have such a phrase.
fn count(text: &str) -> (usize, usize) {
    let (mut lines, mut hits) = (0, 0);
    for (_, comment) in line_comments(text) {
        let comment = comment.to_lowercase();
        let has = |phrase: &&str| {
            // "by who" stands for "by whom" and "by whoever" as well.
            if *phrase == "by who" {
                comment.contains(" by who")
            } else {
                word_offsets(&comment, phrase).next().is_some()
            }
        };
        lines += 1;
        hits += usize::from(PHRASES.iter().any(has));
    }
    (lines, hits)
}

/// The share in a thousand lines, rounded up, for `ratchets.toml`.
pub fn measured() -> Vec<(&'static str, String, usize)> {
    let sources = all_sources();
    let counts = sources.iter().map(|(_, text)| count(text));
    let (lines, hits) = counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    assert!(lines > 10_000, "the comments are read: {lines}");
    vec![("phrases", "in 1000 lines of comments".to_owned(), (hits * 1000).div_ceil(lines))]
}

#[test]
fn the_phrases_of_comments_are_counted() {
    let text = "// Nobody is told: one line.\nlet x = \"// said\"; // by whoever\n/// goes on\n// unsaid, retold\nnobody();";
    assert_eq!(count(text), (4, 3));
}
