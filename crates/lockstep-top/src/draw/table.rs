//! Tables whose columns do not move: their widths are constants, and only the width of the screen determines
//! which columns are shown.

use super::canvas::{Canvas, Tone};
use crate::figures::{UNKNOWN, compact};

/// The most digits of a seq that a column shows; a longer one is abbreviated.
pub const SEQ_DIGITS: usize = 13;

/// A column.
pub struct Column<T> {
    pub title: &'static str,
    pub width: u16,
    /// Whether it is aligned left: names are, figures are not.
    pub is_left: bool,
    /// The columns with the lowest ranks are shown if there is no room for all.
    pub rank: u8,
    pub cell: fn(&T) -> (String, Tone),
}

/// A column of names.
pub const fn left<T>(title: &'static str, width: u16, rank: u8, cell: fn(&T) -> (String, Tone)) -> Column<T> {
    Column { title, width, is_left: true, rank, cell }
}

/// A column of figures.
pub const fn right<T>(
    title: &'static str,
    width: u16,
    rank: u8,
    cell: fn(&T) -> (String, Tone),
) -> Column<T> {
    Column { title, width, is_left: false, rank, cell }
}

/// The columns that fit into `width`, each with its place.
pub fn chosen<T>(columns: &[Column<T>], width: u16) -> Vec<(u16, &Column<T>)> {
    let mut by_rank: Vec<_> = (0..columns.len()).collect();
    by_rank.sort_by_key(|index| columns[*index].rank);
    let (mut fits, mut used) = (vec![false; columns.len()], 0);
    for index in by_rank {
        let gap = u16::from(used > 0);
        if used + gap + columns[index].width <= width {
            (fits[index], used) = (true, used + gap + columns[index].width);
        }
    }
    let mut x = 0;
    let mut places = Vec::new();
    for (column, _) in columns.iter().zip(fits).filter(|(_, fits)| *fits) {
        places.push((x, column));
        x += column.width + 1;
    }
    places
}

/// Draws titles and rows in the lines from `y` to `y + height`; the selected rows are always among those that
/// are drawn.
pub fn draw<T>(
    canvas: &mut Canvas<'_>,
    (y, height): (u16, u16),
    columns: &[Column<T>],
    rows: &[&T],
    is_selected: impl Fn(&T) -> bool,
) {
    let Some(room) = usize::from(height).checked_sub(1).filter(|room| *room > 0) else { return };
    let selected = rows.iter().rposition(|row| is_selected(row)).unwrap_or(0);
    let first = (selected + 1).saturating_sub(room);
    let shown = &rows[first..rows.len().min(first + room)];
    for (index, (x, column)) in chosen(columns, canvas.width()).into_iter().enumerate() {
        let title = match index {
            // at the end: the last shown row, and the number of rows
            0 if shown.len() < rows.len() => {
                format!("{} {}/{}", column.title, first + shown.len(), rows.len())
            }
            _ => column.title.to_owned(),
        };
        put(canvas, (x, y), column, (title, Tone::Head));
        for (line, row) in shown.iter().enumerate() {
            put(canvas, (x, y + 1 + line as u16), column, (column.cell)(row));
        }
    }
    for (line, _) in shown.iter().enumerate().filter(|(_, row)| is_selected(row)) {
        canvas.highlight(y + 1 + line as u16);
    }
}

fn put<T>(canvas: &mut Canvas<'_>, (x, y): (u16, u16), column: &Column<T>, (text, tone): (String, Tone)) {
    let width = usize::from(column.width);
    let text = if column.is_left { text } else { format!("{text:>width$}") };
    canvas.text((x, y), column.width, &text, tone);
}

/// The cell of a figure, which may be unknown.
pub fn known<T>(figure: Option<T>, text: impl FnOnce(T) -> String) -> (String, Tone) {
    match figure {
        Some(figure) => (text(figure), Tone::Plain),
        None => (UNKNOWN.to_owned(), Tone::Dim),
    }
}

/// The cell of a figure that should be 0.
pub fn unwanted(figure: Option<u64>) -> (String, Tone) {
    match figure {
        Some(1..) => (figure.map(compact).unwrap_or_default(), Tone::Warn),
        figure => known(figure, compact),
    }
}

/// A seq with all its digits, or abbreviated if there are too many.
pub fn seq(seq: u64) -> String {
    let digits = seq.to_string();
    if digits.len() <= SEQ_DIGITS { digits } else { compact(seq) }
}
