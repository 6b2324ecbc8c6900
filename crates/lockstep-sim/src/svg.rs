//! A run as a picture: time goes down, each process is a lane, each datagram a line from lane to lane in the
//! colour of its epoch. A datagram that arrived is drawn whole, a lost one as a stub.

use crate::story::{Happening, Moment, Story, short};
use lockstep_wire::{Epoch, Kind, Nanos};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The distance between two lanes.
const LANE: f64 = 150.0;
/// The margin left of the first lane: the clock.
const LEFT: f64 = 120.0;
/// The margin above the first moment: the names.
const TOP: f64 = 60.0;
/// The greatest height of a quiet time, so that a story of milliseconds can be read.
const QUIET: f64 = 24.0;
/// One colour for each round, in turn.
const COLOURS: [&str; 8] =
    ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2"];
/// The most moments of one picture: the last ones.
const MOMENTS_MAX: usize = 4_000;

fn colour(epoch: Epoch) -> &'static str {
    if epoch.round() == 0 { "#777777" } else { COLOURS[epoch.round() as usize % COLOURS.len()] }
}

fn lane_x(lane: usize) -> f64 {
    LEFT + LANE * (lane as f64 + 0.5)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The height of each moment: a nanosecond is a fixed height while something happens, a quiet time is short.
fn heights(times: &[Nanos]) -> BTreeMap<Nanos, f64> {
    let mut heights = BTreeMap::new();
    let (mut y, mut last) = (TOP, None);
    for &at in times {
        if let Some(before) = last {
            y += ((at - before) as f64 / 250.0).clamp(if at > before { 3.0 } else { 0.0 }, QUIET);
        }
        heights.insert(at, y);
        last = Some(at);
    }
    heights
}

/// The picture.
pub fn draw(story: &Story) -> String {
    let skipped = story.moments.len().saturating_sub(MOMENTS_MAX);
    let moments = &story.moments[skipped..];
    let mut times: Vec<Nanos> = moments.iter().map(|moment| moment.at_ns).collect();
    times.sort_unstable();
    times.dedup();
    let heights = heights(&times);
    let y = |at: Nanos| heights.range(..=at).next_back().map_or(TOP, |(_, y)| *y);
    let bottom = times.last().map_or(TOP, |last| y(*last)) + 60.0;
    let width = LEFT + LANE * story.lanes.len() as f64 + 260.0;
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{bottom}\" font-family=\"monospace\" \
         font-size=\"9\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    );
    for (lane, name) in story.lanes.iter().enumerate() {
        let x = lane_x(lane);
        let _ = writeln!(
            out,
            "<line x1=\"{x}\" y1=\"{TOP}\" x2=\"{x}\" y2=\"{bottom}\" stroke=\"#cccccc\"/>\n\
             <text x=\"{x}\" y=\"30\" text-anchor=\"middle\" font-size=\"12\" font-weight=\"bold\">{}</text>",
            escaped(name)
        );
    }
    draw_clock(&mut out, &times, &y);
    draw_reigns(&mut out, story, moments, &y, bottom);
    draw_datagrams(&mut out, moments, &y);
    draw_words(&mut out, moments, &y);
    out += "</svg>\n";
    out
}

fn draw_clock(out: &mut String, times: &[Nanos], y: &dyn Fn(Nanos) -> f64) {
    let mut next = 0.0;
    for &at in times {
        if y(at) >= next {
            let _ = writeln!(
                out,
                "<text x=\"8\" y=\"{}\" fill=\"#555555\">{:.3} ms</text>",
                y(at),
                at as f64 / 1e6
            );
            next = y(at) + 24.0;
        }
    }
}

/// A thick bar on the lane of the leader.
fn draw_reigns(out: &mut String, story: &Story, moments: &[Moment], y: &dyn Fn(Nanos) -> f64, bottom: f64) {
    for lane in 0..story.lanes.len() {
        let mut leads: Option<(Epoch, f64)> = None;
        let changes =
            moments.iter().filter(|moment| moment.lane == lane).filter_map(|moment| match &moment.what {
                Happening::Leads(epoch) => Some((moment.at_ns, *epoch)),
                _ => None,
            });
        let ends = changes.map(|(at, epoch)| (y(at), epoch)).chain(std::iter::once((bottom, None)));
        for (at, epoch) in ends {
            if let Some((reign, from)) = leads.take() {
                let x = lane_x(lane) - 3.0;
                let _ = writeln!(
                    out,
                    "<rect x=\"{x}\" y=\"{from}\" width=\"6\" height=\"{}\" fill=\"{}\" opacity=\"0.6\"/>\
                     <text x=\"{}\" y=\"{}\" font-weight=\"bold\" fill=\"{}\">leads {}</text>",
                    at - from,
                    colour(reign),
                    x + 9.0,
                    from + 8.0,
                    colour(reign),
                    short(reign)
                );
            }
            leads = epoch.map(|epoch| (epoch, at));
        }
    }
}

fn draw_datagrams(out: &mut String, moments: &[Moment], y: &dyn Fn(Nanos) -> f64) {
    let mut sent: BTreeMap<u64, (Epoch, Option<Kind>)> = BTreeMap::new();
    for Moment { at_ns, lane, what } in moments {
        match what {
            Happening::Sent { number, kind, epoch, text } => {
                sent.insert(*number, (*epoch, *kind));
                let (x, y) = (lane_x(*lane), y(*at_ns));
                let _ = writeln!(
                    out,
                    "<circle cx=\"{x}\" cy=\"{y}\" r=\"2\" fill=\"{}\"><title>#{number} {}</title></circle>",
                    colour(*epoch),
                    escaped(text)
                );
            }
            Happening::Arrived { number, from, sent_at } => {
                let (epoch, kind) = sent.get(number).copied().unwrap_or((Epoch::NONE, None));
                let dashes = match kind {
                    Some(Kind::Heartbeat | Kind::Ack) => " stroke-dasharray=\"2 3\"",
                    Some(Kind::Prepare | Kind::Promise | Kind::Refuse) => " stroke-width=\"2\"",
                    _ => "",
                };
                let _ = writeln!(
                    out,
                    "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"{}\" opacity=\"0.45\"{dashes}/>",
                    lane_x(*from),
                    y(*sent_at),
                    lane_x(*lane),
                    y(*at_ns),
                    colour(epoch)
                );
            }
            _ => {}
        }
    }
}

/// The texts of datagrams and events in the order of time; a text that would cover another moves down.
fn draw_words(out: &mut String, moments: &[Moment], y: &dyn Fn(Nanos) -> f64) {
    let mut free: BTreeMap<usize, f64> = BTreeMap::new();
    for Moment { at_ns, lane, what } in moments {
        let (text, fill, weight) = match what {
            Happening::Fault(text) => (text.as_str(), "#b00000", "bold"),
            Happening::Broken(text) => (text.as_str(), "#ff0000", "bold"),
            Happening::Note(text) => (text.as_str(), "#444444", "normal"),
            Happening::Sent { kind: Some(Kind::Heartbeat | Kind::Submission | Kind::Nack), .. } => continue,
            Happening::Sent { epoch, text, .. } => {
                (text.split(", commit").next().unwrap_or(text), colour(*epoch), "normal")
            }
            _ => continue,
        };
        let place = free.entry(*lane).or_default();
        let at = (y(*at_ns) + 3.0).max(*place);
        *place = at + 10.0;
        let text: String = text.chars().take(90).collect();
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{at}\" fill=\"{fill}\" font-weight=\"{weight}\">{}</text>",
            lane_x(*lane) + 6.0,
            escaped(&text)
        );
    }
}
