//! The page of keys, columns and sources.

use super::canvas::{Canvas, Tone};

const LINES: [(&str, &str); 21] = [
    ("j k, arrows", "select a line; g G, Home End, PgUp PgDn too"),
    ("Enter, Esc", "into the selected node or process, and back"),
    ("s, S", "sort nodes by another column; the other way round"),
    ("p, space", "pause the figures"),
    ("z", "within a process: show or hide counters that are 0"),
    ("q, Ctrl-C", "quit"),
    ("STATE", "role; ! a condition holds; ? one query without answer"),
    ("", "SILENT two queries without, HANGS, ENDED: since when"),
    ("END LAG", "end of its log; entries of the leader's that it lacks"),
    ("IN/s OUT/s", "datagrams a second; INB/s and OUTB/s are bytes"),
    ("DROPS", "since it began, of all causes; select it for the causes"),
    ("BUSY", "share of passes of its hot thread that found work"),
    ("STALL", "longest time between two passes, of the last 10 s"),
    ("P50 P99 MAX", "of a reader from stamp to delivery, of a publisher"),
    ("", "from sending to commit, of the last 10 s"),
    ("DENIED", "logins refused; REFUSED: messages of clients refused"),
    ("needs", "STATE to LAG: a query to each node, a key as for status"),
    ("", "all others: counters files of this host; – is not known"),
    ("--local", "counters files alone, without key and network"),
    ("--file FILE", "one counters file, also of a dead process"),
    ("--once --json", "one screen as text; all its figures as JSON"),
];

/// Draws the page between title and keys.
pub fn draw(canvas: &mut Canvas<'_>) {
    let width = canvas.width();
    for (line, (key, text)) in LINES.iter().enumerate() {
        let y = 1 + line as u16;
        // the last line is for the keys
        if y + 1 >= canvas.height() {
            return;
        }
        canvas.text((1, y), 14, key, Tone::Head);
        canvas.text((15, y), width.saturating_sub(15), text, Tone::Plain);
    }
}
