//! The gaps as files: a distribution that HdrHistogram's plotter reads, and a picture.

use super::report::Report;
use lockstep::wire::Nanos;
use std::fmt::Write as _;
use std::path::Path;

/// Writes the distribution of the gaps: value in milliseconds, percentile, count, 1/(1-percentile).
///
/// # Errors
/// The file cannot be written.
pub fn write_hgrm(path: &Path, report: &Report) -> Result<(), String> {
    let [(_, gaps), _] = report.gaps();
    write(path, &hgrm(&gaps))
}

/// Draws both distributions: the share of takeovers, and of windows without, whose gap was no longer.
///
/// # Errors
/// The file cannot be written.
pub fn write_svg(path: &Path, report: &Report) -> Result<(), String> {
    write(path, &svg(&report.gaps()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("writing {}: {error}", path.display()))
}

fn ms(ns: Nanos) -> f64 {
    ns as f64 / 1e6
}

/// One line for each value, the ascending `values` being what there is.
fn hgrm(values: &[Nanos]) -> String {
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let all = values.len();
    for (count, value) in (1..).zip(values) {
        let share = count as f64 / all as f64;
        let _ = write!(text, "{:12.3} {share:2.12} {count:10}", ms(*value));
        // The last line has no odds: nothing lies above it.
        let _ = if count < all { writeln!(text, " {:14.2}", 1.0 / (1.0 - share)) } else { writeln!(text) };
    }
    let mean = values.iter().map(|value| ms(*value)).sum::<f64>() / all.max(1) as f64;
    let deviation =
        (values.iter().map(|value| (ms(*value) - mean).powi(2)).sum::<f64>() / all.max(1) as f64).sqrt();
    let max = values.last().map_or(0.0, |value| ms(*value));
    let _ = writeln!(text, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {all:12}]");
    text
}

/// The picture's size and the frame in it.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 50.0;
/// With a takeover, and without.
const COLOURS: [&str; 2] = ["#c0392b", "#7f8c8d"];

/// Steps of the share over the logarithm of the gap.
fn svg(curves: &[(&'static str, Vec<Nanos>)]) -> String {
    let values = || curves.iter().flat_map(|(_, values)| values).map(|value| ms((*value).max(1)));
    let (least, greatest) =
        values().fold((f64::MAX, 0.0_f64), |(min, max), value| (min.min(value), max.max(value)));
    let (first, last) =
        if least > greatest { (-1.0, 1.0) } else { (least.log10().floor(), greatest.log10().ceil()) };
    let last = last.max(first + 1.0);
    let x = |ms: f64| LEFT + (ms.max(1e-6).log10() - first) / (last - first) * (WIDTH - LEFT - RIGHT);
    let y = |share: f64| HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    for decade in first as i32..=last as i32 {
        let value = 10_f64.powi(decade);
        let at = x(value);
        let _ = writeln!(
            text,
            "<line x1=\"{at:.1}\" y1=\"{:.1}\" x2=\"{at:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" \
             y=\"{:.1}\" text-anchor=\"middle\">{value} ms</text>",
            y(1.0),
            y(0.0),
            y(0.0) + 18.0
        );
    }
    for share in [0.0, 0.5, 0.9, 1.0] {
        let at = y(share);
        let _ = writeln!(
            text,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" \
             y=\"{:.1}\" text-anchor=\"end\">{} %</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
            share * 100.0
        );
    }
    for (index, (name, values)) in curves.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let mut points = String::new();
        let all = values.len() as f64;
        for (count, value) in values.iter().enumerate() {
            let at = x(ms(*value));
            let _ = write!(
                points,
                "{at:.1},{:.1} {at:.1},{:.1} ",
                y(count as f64 / all),
                y((count + 1) as f64 / all)
            );
        }
        let _ = writeln!(
            text,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
        let _ = writeln!(
            text,
            "<text x=\"{LEFT}\" y=\"{:.1}\" fill=\"{colour}\">{name} ({})</text>",
            20.0 + 16.0 * index as f64,
            values.len()
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">largest gap in committed delivery</text>\n</svg>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 8.0
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_has_a_line_for_each_value_and_no_odds_for_the_last() {
        let text = hgrm(&[1_000_000, 2_000_000, 4_000_000, 8_000_000]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[3].split_whitespace().collect::<Vec<_>>(), ["2.000", "0.500000000000", "2", "2.00"]);
        assert_eq!(lines[5].split_whitespace().collect::<Vec<_>>(), ["8.000", "1.000000000000", "4"]);
        assert!(text.contains("Max     =        8.000, Total count    =            4"), "{text}");
    }

    #[test]
    fn the_picture_has_both_curves_inside_of_its_frame() {
        let text = svg(&[("with", vec![500_000, 9_000_000]), ("without", vec![60_000, 70_000])]);
        assert_eq!(text.matches("<polyline").count(), 2);
        let points = text.split("points=\"").skip(1).filter_map(|rest| rest.split('"').next());
        for point in points.flat_map(|points| points.split_whitespace()) {
            let (x, y) = point.split_once(',').expect("a pair");
            let (x, y): (f64, f64) = (x.parse().expect("x"), y.parse().expect("y"));
            assert!((LEFT..=WIDTH - RIGHT).contains(&x) && (TOP..=HEIGHT - BOTTOM).contains(&y), "{point}");
        }
        assert!(svg(&[("with", vec![]), ("without", vec![])]).contains("</svg>"));
    }
}
