//! A story as a space-time picture (SVG): a lane for each process, time goes down, a line for each message.

use crate::story::{Arrow, Mark, Place, Story};
use std::fmt::{Display, Write as _};

const LANE: usize = 190;
const LEFT: usize = 60;
const TOP: usize = 84;
const ROW: usize = 34;
/// Letters of the words on a line of the legend.
const WORDS_MAX: usize = 110;

fn x(lane: u8) -> usize {
    LEFT + LANE * usize::from(lane) + LANE / 2
}

fn y(row: usize) -> usize {
    TOP + ROW * row
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The colours of lines and of the words beside marks.
fn ink(mark: Mark) -> &'static str {
    match mark {
        Mark::Asked => "#1f4e9c",
        Mark::Did => "#17702a",
        Mark::Detected => "#a05a00",
        Mark::Crashed => "#b00000",
        Mark::Recovered => "#6a1b9a",
        Mark::Timer => "#555555",
    }
}

/// The beginning of a picture: its size, a white ground, and its title.
pub(crate) fn begun(width: impl Display, height: impl Display, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"20\" y=\"28\" font-size=\"18\" font-weight=\"bold\">{}</text>\n",
        escaped(title)
    )
}

/// The picture. Equal stories give equal bytes.
pub fn draw(story: &Story) -> String {
    let rows = story.rows.len();
    let width = (LEFT + LANE * usize::from(story.n) + 40).max(900);
    let legend = y(rows) + 40;
    let height = legend + 18 * (rows + 3);
    let mut out = begun(width, height, &story.title);
    if let Some(row) = story.loop_from {
        let (top, tall) = (y(row) - ROW / 2, ROW * (rows - row));
        // Writing into a string cannot fail.
        let _ = writeln!(
            out,
            "<rect x=\"34\" y=\"{top}\" width=\"{}\" height=\"{tall}\" fill=\"#fff4d6\" stroke=\"#e0a800\"/>\n\
             <text x=\"40\" y=\"{}\" fill=\"#a05a00\">for ever</text>",
            width - 60,
            top + 14
        );
    }
    lanes(&mut out, story);
    story.arrows.iter().for_each(|arrow| line(&mut out, arrow));
    marks(&mut out, &story.marks);
    for (row, words) in story.rows.iter().enumerate() {
        let _ = writeln!(out, "<text x=\"16\" y=\"{}\" fill=\"#888888\">{}</text>", y(row) + 4, row + 1);
        let words: String = words.chars().take(WORDS_MAX).collect();
        let _ = writeln!(
            out,
            "<text x=\"20\" y=\"{}\" fill=\"#222222\">{}. {}</text>",
            legend + 18 * row,
            row + 1,
            escaped(&words)
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"20\" y=\"{}\" fill=\"{}\" font-weight=\"bold\">{}</text>\n</svg>",
        legend + 18 * (rows + 1),
        ink(if story.is_good { Mark::Did } else { Mark::Crashed }),
        escaped(&story.end)
    );
    out
}

/// A lane for each process, which ends where it crashes.
fn lanes(out: &mut String, story: &Story) {
    for lane in 0..story.n {
        let here = |wanted: Mark| {
            story.marks.iter().filter(move |(place, mark, _)| place.lane == lane && *mark == wanted)
        };
        let last = story.rows.len();
        let crash = here(Mark::Crashed).map(|(place, ..)| place.row).next();
        let end = if here(Mark::Recovered).next().is_some() { last } else { crash.unwrap_or(last) };
        let _ = writeln!(
            out,
            "<text x=\"{0}\" y=\"{1}\" text-anchor=\"middle\" font-size=\"15\" font-weight=\"bold\">p{2}</text>\n\
             <line x1=\"{0}\" y1=\"{3}\" x2=\"{0}\" y2=\"{4}\" stroke=\"#444444\" stroke-width=\"1.5\"/>",
            x(lane),
            TOP - 28,
            lane + 1,
            TOP - 20,
            y(end)
        );
    }
}

/// A message: dashed and with a cross at its end if it is lost, red if it is a lie.
fn line(out: &mut String, arrow: &Arrow) {
    let Arrow { from, to, words, lost, lie } = arrow;
    let (x1, y1, mut x2, mut y2) = (x(from.lane), y(from.row), x(to.lane), y(to.row));
    if *lost {
        (x2, y2) = ((x1 + x2) / 2, y1 + ROW / 2);
    }
    let colour = if *lie { "#b00000" } else { "#5577aa" };
    let dashes = if *lost { " stroke-dasharray=\"4 4\"" } else { "" };
    let _ = writeln!(
        out,
        "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" stroke=\"{colour}\"{dashes}><title>{}</title></line>",
        escaped(words)
    );
    if *lost {
        let _ = writeln!(out, "<text x=\"{}\" y=\"{}\" fill=\"{colour}\">×</text>", x2 - 4, y2 + 5);
        return;
    }
    let _ = writeln!(out, "<circle cx=\"{x2}\" cy=\"{y2}\" r=\"3.5\" fill=\"{colour}\"/>");
}

/// Marks of a row stand beside its lane, one below the other.
fn marks(out: &mut String, marks: &[(Place, Mark, String)]) {
    let mut last: Option<(Place, usize)> = None;
    for (place, mark, words) in marks {
        let below = match last {
            Some((other, below)) if other == *place => below + 1,
            _ => 0,
        };
        last = Some((*place, below));
        let (x, y) = (x(place.lane), y(place.row));
        let colour = ink(*mark);
        if *mark == Mark::Crashed {
            let _ = writeln!(
                out,
                "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" font-size=\"20\" fill=\"{colour}\">✕</text>",
                y + 7
            );
        }
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" fill=\"{colour}\">{}</text>",
            x + 9,
            y + 4 + 14 * below,
            escaped(words)
        );
    }
}
