//! A screen as a function of snapshot and view.
//!
//! ```text
//!  title                     title
//!  health, leader            process, conditions
//!  nodes                     counters by group
//!  the selected one          meaning of the selected one
//!  gateways, handles
//!  events
//!  keys                      keys
//! ```

mod canvas;
mod detail;
mod help;
mod nodes;
mod overview;
mod processes;
mod table;
#[cfg(test)]
mod tests;

use crate::figures::time_of_day;
use crate::view::{ViewPage, ViewState};
use canvas::{Canvas, Tone};
use lockstep_operations::top::{Snapshot, SnapshotSource};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Columns and lines of the smallest terminal in which the figures can be read.
pub const SIZE_MIN: (u16, u16) = (50, 12);

/// Draws a screen.
pub fn draw(frame: &mut Frame<'_>, snapshot: &Snapshot, view: &ViewState) {
    let area = frame.area();
    draw_in(frame.buffer_mut(), area, snapshot, view);
}

/// A screen of this size as lines of text, without empty ones at its end and without the line of keys.
pub fn text_of(snapshot: &Snapshot, view: &ViewState, (width, height): (u16, u16)) -> String {
    let area = Rect::new(0, 0, width, height.saturating_add(1));
    let mut buffer = Buffer::empty(area);
    draw_in(&mut buffer, area, snapshot, view);
    let mut text = String::new();
    for line in buffer.content().chunks(usize::from(width).max(1)).take(usize::from(height)) {
        let line: String = line.iter().map(|cell| cell.symbol()).collect();
        text += line.trim_end();
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn draw_in(buffer: &mut Buffer, area: Rect, snapshot: &Snapshot, view: &ViewState) {
    let mut canvas = Canvas::new(buffer, area, view.color);
    if area.width < SIZE_MIN.0 || area.height < SIZE_MIN.1 {
        let (width, height) = SIZE_MIN;
        let what =
            format!("{}x{} is too small: lockstep top needs {width}x{height}", area.width, area.height);
        canvas.wrapped(0, area.height, &what, Tone::Plain);
        return;
    }
    title(&mut canvas, snapshot, view);
    if view.shows_help {
        help::draw(&mut canvas);
        canvas.bar(area.height - 1, " any key goes back   q quit");
        return;
    }
    match &view.page {
        ViewPage::Overview => overview::draw(&mut canvas, snapshot, view),
        ViewPage::Detail(name) => detail::draw(&mut canvas, snapshot, view, name),
    }
    canvas.bar(area.height - 1, &keys(view));
}

fn title(canvas: &mut Canvas<'_>, snapshot: &Snapshot, view: &ViewState) {
    let source = match snapshot.source {
        SnapshotSource::Cluster => "",
        SnapshotSource::Local => " --local",
        SnapshotSource::File => " --file",
    };
    let (cluster, at) = (&snapshot.cluster.cluster, time_of_day(snapshot.at_ns));
    let mut text = format!(" lockstep top{source}  {at} UTC  cluster {cluster:<20}");
    if let Some(over) = snapshot.rates_over_ns.filter(|_| canvas.width() >= 80) {
        text += &format!("  rates of {:.1}s", over as f64 / 1e9);
    }
    canvas.bar(0, &text);
    if view.is_paused {
        canvas.right(0, " PAUSED ", Tone::Alarm);
    }
}

fn keys(view: &ViewState) -> String {
    match view.page {
        ViewPage::Overview => {
            let arrow = if view.is_reversed { "up" } else { "down" };
            let sort = view.sort.title();
            format!(" q quit  ? help  j/k Enter  p pause  s/S sort: {sort} {arrow}")
        }
        ViewPage::Detail(_) => {
            let back = if view.is_single { "q quit" } else { "Esc back" };
            let zeros = if view.shows_zeros { "z hide zeros" } else { "z show zeros" };
            format!(" {back}  ? help  j/k select  {zeros}  p pause")
        }
    }
}
