//! Text in cells. A tone is a colour and a modifier, so that it is visible without colours too.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

/// The emphasis of a text. The text means the same without it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// No emphasis.
    Plain,
    /// Titles of columns.
    Head,
    /// A good state.
    Good,
    /// A warning.
    Warn,
    /// A fault.
    Alarm,
    /// Less important.
    Dim,
}

/// The cells of a screen.
pub struct Canvas<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
    color: bool,
}

impl<'a> Canvas<'a> {
    pub fn new(buffer: &'a mut Buffer, area: Rect, color: bool) -> Self {
        Self { buffer, area, color }
    }

    pub fn width(&self) -> u16 {
        self.area.width
    }

    pub fn height(&self) -> u16 {
        self.area.height
    }

    fn style(&self, tone: Tone) -> Style {
        let (color, modifier) = match tone {
            Tone::Plain => (None, Modifier::empty()),
            Tone::Head => (Some(Color::Cyan), Modifier::BOLD),
            Tone::Good => (Some(Color::Green), Modifier::empty()),
            Tone::Warn => (Some(Color::Yellow), Modifier::BOLD),
            Tone::Alarm => (Some(Color::Red), Modifier::BOLD | Modifier::REVERSED),
            Tone::Dim => (None, Modifier::DIM),
        };
        let style = Style::new().add_modifier(modifier);
        color.filter(|_| self.color).map_or(style, |color| style.fg(color))
    }

    /// Writes `text` at a column of a line, cut off at `width` columns.
    pub fn text(&mut self, (x, y): (u16, u16), width: u16, text: &str, tone: Tone) {
        if y >= self.area.height || x >= self.area.width {
            return;
        }
        let width = width.min(self.area.width - x);
        let style = self.style(tone);
        let (x, y) = (self.area.x + x, self.area.y + y);
        self.buffer.set_stringn(x, y, cut(text, width.into()), width.into(), style);
    }

    /// Writes `text` at the right end of a line.
    pub fn right(&mut self, y: u16, text: &str, tone: Tone) {
        let width = text.chars().count() as u16;
        self.text((self.area.width.saturating_sub(width), y), width, text, tone);
    }

    /// A whole line that separates the screen's parts.
    pub fn bar(&mut self, y: u16, text: &str) {
        self.text((0, y), self.area.width, text, Tone::Plain);
        self.highlight(y);
    }

    /// Shows a line as the selected one.
    pub fn highlight(&mut self, y: u16) {
        let line = Rect::new(self.area.x, self.area.y + y, self.area.width, 1);
        self.buffer.set_style(line, Style::new().add_modifier(Modifier::REVERSED));
    }

    /// Writes `text` in at most `lines` lines from `y` on, and returns how many it took.
    pub fn wrapped(&mut self, y: u16, lines: u16, text: &str, tone: Tone) -> u16 {
        let lines = wrap(text, self.area.width.into(), lines.into());
        for (line, text) in lines.iter().enumerate() {
            self.text((0, y + line as u16), self.area.width, text, tone);
        }
        lines.len() as u16
    }
}

/// The text, with an ellipsis where it is longer than `width` columns.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let part = text.chars().take(width.saturating_sub(1));
    part.chain((width > 0).then_some('…')).collect()
}

/// The text in lines of `width` columns, broken between words; the last line has an ellipsis where text is
/// left out.
pub fn wrap(text: &str, width: usize, lines_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let fits = |line: &String| line.chars().count() + 1 + word.chars().count() <= width;
        let is_full = lines.len() == lines_max;
        match lines.last_mut() {
            Some(line) if fits(line) => {
                line.push(' ');
                line.push_str(word);
            }
            Some(line) if is_full => {
                *line = cut(&format!("{line} …"), width);
                break;
            }
            _ if is_full => break,
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words_and_what_is_left_out_is_shown() {
        assert_eq!(wrap("one two three", 7, 3), ["one two", "three"]);
        assert_eq!(wrap("one two three four", 7, 2), ["one two", "three …"]);
        assert_eq!(wrap("one seven two", 9, 1), ["one seve…"]);
        assert!(wrap("one", 7, 0).is_empty() && wrap("", 7, 1).is_empty());
        assert_eq!([cut("abc", 3), cut("abcd", 3), cut("abcd", 0)], ["abc", "ab…", ""]);
    }
}
