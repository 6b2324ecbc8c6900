//! A picture: lines over two axes, marks, and a legend below them; as SVG.

use super::axis::Axis;
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Pictures are drawn at twice their size, as the library places points on whole pixels.
const FINE: u32 = 2;
const HEIGHT: u32 = 360;
const WIDTH: u32 = 580;
const WIDTH_WIDE: u32 = 1_160;
/// Of letters, and how wide one is on average, as a share of it: a little more than it is.
const LETTER: u32 = 13;
const LETTER_WIDTH: f64 = 0.57;
/// The library writes letters smaller by this than it is told.
const LETTER_SHRINK: f64 = 1.24;
const FAMILY: &str = "system-ui, sans-serif";
const MARGIN: u32 = 12;
/// A row of text.
const ROW: u32 = 20;
/// A legend's piece of line, and the room around it.
const SAMPLE: u32 = 26;
const GAP: u32 = 8;
/// A dash of a broken line.
const DASH: u32 = 5 * FINE;
/// Rows that a legend, and the labels of marks, have at most.
const LEGEND_MAX: usize = 5;
const MARK_ROWS: usize = 2;

const INK: RGBColor = RGBColor(0x22, 0x26, 0x2b);
const SOFT: RGBColor = RGBColor(0x5a, 0x62, 0x6c);
const GRID: RGBColor = RGBColor(0xe3, 0xe6, 0xea);
const MARK: RGBColor = RGBColor(0xb3, 0x26, 0x1e);
/// Colours that those who see few of them tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
];
const GREYS: [RGBColor; 3] =
    [RGBColor(0x70, 0x76, 0x7d), RGBColor(0xa4, 0xaa, 0xb2), RGBColor(0x4a, 0x4f, 0x55)];

/// The subject of a line: places in their palettes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pen {
    /// A subject's colour.
    Subject(usize),
    /// A floor's grey, and thinner.
    Floor(usize),
}

impl Pen {
    fn colour(self) -> RGBColor {
        match self {
            Self::Subject(index) => COLOURS[index % COLOURS.len()],
            Self::Floor(index) => GREYS[index % GREYS.len()],
        }
    }

    fn style(self) -> ShapeStyle {
        let width = match self {
            Self::Subject(_) => 2 * FINE,
            Self::Floor(_) => FINE + FINE / 2,
        };
        self.colour().stroke_width(width)
    }
}

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    /// As the legend has it.
    pub name: String,
    /// How it looks.
    pub pen: Pen,
    /// Broken, to be told from another of the same pen.
    pub dashed: bool,
    /// With a dot at each point.
    pub dots: bool,
    /// In the units of the axes.
    pub points: Vec<(f64, f64)>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What a file of it is called.
    pub name: String,
    /// Its first line.
    pub title: String,
    /// Its second one.
    pub subtitle: String,
    /// From left to right.
    pub x: Axis,
    /// From below.
    pub y: Axis,
    /// In the order of the legend.
    pub lines: Vec<Line>,
    /// Places on the x axis, and what happened there.
    pub marks: Vec<(f64, String)>,
    /// Takes the whole width of a page.
    pub wide: bool,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What the axes span.
type Plotted<'a> = DrawingArea<SVGBackend<'a>, Cartesian2d<Axis, Axis>>;

fn text_width(text: &str, size: u32) -> u32 {
    (text.chars().count() as f64 * f64::from(size) * LETTER_WIDTH).ceil() as u32
}

/// As much of a text as `width` has room for.
fn fit(text: &str, width: u32, size: u32) -> String {
    let room = (f64::from(width) / (f64::from(size) * LETTER_WIDTH)) as usize;
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(room.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

fn font(size: u32, colour: &'static RGBColor) -> TextStyle<'static> {
    let size = f64::from(size * FINE) * LETTER_SHRINK;
    TextStyle::from((FAMILY, size).into_font()).color(colour)
}

fn at(x: u32, y: u32) -> (i32, i32) {
    ((x * FINE) as i32, (y * FINE) as i32)
}

impl Chart {
    fn width(&self) -> u32 {
        if self.wide { WIDTH_WIDE } else { WIDTH }
    }

    /// The rows of the legend: lines beside each other as they fit.
    fn legend(&self) -> Vec<Vec<&Line>> {
        let room = self.width() - 2 * MARGIN;
        let mut rows: Vec<Vec<&Line>> = Vec::new();
        let mut used = room;
        for line in &self.lines {
            let width = SAMPLE + 3 * GAP + text_width(&line.name, LETTER).min(room / 2);
            if used + width > room {
                rows.push(Vec::new());
                used = 0;
            }
            used += width;
            if let Some(row) = rows.last_mut() {
                row.push(line);
            }
        }
        rows.truncate(LEGEND_MAX);
        rows
    }

    /// The picture as a file of its own.
    ///
    /// # Errors
    /// The library's, which does not happen in memory.
    pub fn svg(&self) -> Result<String, String> {
        let legend = self.legend();
        let height = HEIGHT + legend.len() as u32 * ROW + if self.marks.is_empty() { 0 } else { ROW };
        let mut text = String::new();
        {
            let size = (self.width() * FINE, height * FINE);
            let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
            self.draw(&root, &legend, height).map_err(|error| format!("drawing {}: {error}", self.title))?;
            root.present().map_err(|error| format!("drawing {}: {error}", self.title))?;
        }
        Ok(text)
    }

    fn draw(
        &self,
        root: &Area<'_>,
        legend: &[Vec<&Line>],
        height: u32,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let room = self.width() - 2 * MARGIN;
        root.fill(&WHITE)?;
        root.draw_text(&fit(&self.title, room, LETTER + 2), &font(LETTER + 2, &INK), at(MARGIN, MARGIN))?;
        root.draw_text(&fit(&self.subtitle, room, LETTER), &font(LETTER, &SOFT), at(MARGIN, MARGIN + ROW))?;
        let (_, below) = root.split_vertically(((MARGIN + 2 * ROW) * FINE) as i32);
        let plot_height = height - MARGIN - 2 * ROW - legend.len() as u32 * ROW - MARGIN;
        let (plot, _) = below.split_vertically((plot_height * FINE) as i32);
        let plotted = self.draw_lines(&plot)?;
        self.draw_marks(root, &plotted)?;
        self.draw_legend(root, legend, height)
    }

    /// The axes and the lines; returns the area that they span.
    fn draw_lines<'a>(&self, plot: &Area<'a>) -> Result<Plotted<'a>, Box<dyn std::error::Error>> {
        let top = if self.marks.is_empty() { GAP } else { MARK_ROWS as u32 * ROW };
        let mut chart = ChartBuilder::on(plot)
            .margin_left(MARGIN * FINE)
            .margin_right(2 * MARGIN * FINE)
            .margin_top(top * FINE)
            .set_label_area_size(LabelAreaPosition::Left, 80 * FINE)
            .set_label_area_size(LabelAreaPosition::Bottom, 44 * FINE)
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        chart
            .configure_mesh()
            .bold_line_style(GRID.stroke_width(FINE / 2))
            .light_line_style(TRANSPARENT)
            .axis_style(SOFT.stroke_width(FINE))
            .label_style(font(LETTER, &INK))
            .axis_desc_style(font(LETTER, &SOFT))
            .x_desc(self.x.name.as_str())
            .y_desc(self.y.name.as_str())
            .draw()?;
        // The first of the legend lies above the others.
        for line in self.lines.iter().rev() {
            let points = line.points.iter().copied();
            if line.dashed {
                chart.draw_series(DashedLineSeries::new(points.clone(), DASH, DASH, line.pen.style()))?;
            } else {
                chart.draw_series(LineSeries::new(points.clone(), line.pen.style()))?;
            }
            if line.dots {
                let dot = |point| Circle::new(point, (3 * FINE) as i32, line.pen.colour().filled());
                chart.draw_series(points.map(dot))?;
            }
        }
        Ok(chart.plotting_area().clone())
    }

    /// A line for each mark, and its label in the first row that has room.
    fn draw_marks(&self, root: &Area<'_>, plotted: &Plotted<'_>) -> Result<(), Box<dyn std::error::Error>> {
        let ys = plotted.get_pixel_range().1;
        // Where the last label of each row ends.
        let mut ends = [i32::MIN; MARK_ROWS];
        let right = ((self.width() - MARGIN) * FINE) as i32;
        for (x, label) in &self.marks {
            let x = plotted.map_coordinate(&(*x, 0.0)).0;
            root.draw(&PathElement::new([(x, ys.start), (x, ys.end)], MARK.mix(0.6).stroke_width(FINE / 2)))?;
            let label = fit(label, self.width() / 3, LETTER);
            let half = (text_width(&label, LETTER) * FINE / 2) as i32;
            let middle = x.clamp(half, (right - half).max(half));
            let free = ends.iter().position(|end| *end + (GAP * FINE) as i32 <= middle - half);
            // A label without room is left out; its line stays, and the page has a list.
            let Some(row) = free else { continue };
            ends[row] = middle + half;
            let y = ys.start - ((row as u32 * ROW + GAP) * FINE) as i32;
            let style = font(LETTER, &MARK).pos(Pos::new(HPos::Center, VPos::Bottom));
            root.draw_text(&label, &style, (middle, y))?;
        }
        Ok(())
    }

    fn draw_legend(
        &self,
        root: &Area<'_>,
        legend: &[Vec<&Line>],
        height: u32,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let room = self.width() - 2 * MARGIN;
        for (index, row) in legend.iter().enumerate() {
            let y = height - MARGIN / 2 - (legend.len() - index) as u32 * ROW + ROW / 2;
            let mut x = MARGIN;
            for line in row {
                let pieces: &[(u32, u32)] =
                    if line.dashed { &[(0, 7), (10, 17), (20, 26)] } else { &[(0, SAMPLE)] };
                for (from, to) in pieces {
                    root.draw(&PathElement::new([at(x + from, y), at(x + to, y)], line.pen.style()))?;
                }
                let label = fit(&line.name, room / 2, LETTER);
                let left = font(LETTER, &INK).pos(Pos::new(HPos::Left, VPos::Center));
                root.draw_text(&label, &left, at(x + SAMPLE + GAP, y))?;
                x += SAMPLE + 3 * GAP + text_width(&label, LETTER);
            }
        }
        Ok(())
    }
}
