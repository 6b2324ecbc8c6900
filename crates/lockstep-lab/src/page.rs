//! The comparison as one HTML page, with a picture of a run of each protocol.

use crate::check::Catalogue;
use crate::compare::{Comparison, Row, conditions_in_words, latencies, or_dash, remarks};
use crate::diagram;
use crate::timed::Timing;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = "body { font: 15px/1.5 Helvetica, Arial, sans-serif; margin: 2em auto; max-width: 75em; color: #222 } \
    table { border-collapse: collapse; margin: 1em 0; font-size: 13px } \
    th, td { padding: 2px 9px; border-bottom: 1px solid #ddd; text-align: right; vertical-align: top } \
    td.text, th.text { text-align: left } td.number { font-variant-numeric: tabular-nums } \
    svg { max-width: 100%; height: auto; border: 1px solid #ddd }";

const HEADS: [&str; 11] = [
    "first",
    "most",
    "all",
    "multicast",
    "unicast",
    "multicast",
    "unicast",
    "process",
    "p50",
    "p99",
    "delays",
];

/// The page. Equal comparisons give equal bytes.
pub fn page(catalogue: &Catalogue, comparison: &Comparison) -> String {
    let title = format!("Protocols among {} processes", comparison.processes);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { (title) }
                style { (STYLE) }
            }
            body {
                h1 { (title) }
                p style="white-space: pre-line" { (conditions_in_words(comparison.processes)) }
                @for remark in remarks(&comparison.protocols) { p style="white-space: pre-line" { (remark) } }
                (costs(&comparison.protocols))
                h2 { "What the next stronger guarantee costs" }
                (stronger(comparison))
                @for row in &comparison.protocols { (run(catalogue, row, comparison.processes)) }
            }
        }
    }
    .into_string()
}

fn costs(rows: &[Row]) -> Markup {
    html! {
        table {
            tr {
                th.text rowspan="2" { "protocol" }
                th colspan="3" { "message delays" }
                th colspan="2" { "datagrams" }
                th colspan="2" { "bytes" }
                th { "busiest" }
                th colspan="2" { "latency, µs" }
                th { "gap" }
                th.text rowspan="2" { "promises" }
            }
            tr {
                @for head in HEADS { th { (head) } }
            }
            @for row in rows {
                tr {
                    td.text { a href={ "#" (row.name) } { (row.name) } }
                    @for delay in row.delays { td.number { (or_dash(delay)) } }
                    @for sent in [row.datagrams, row.bytes] {
                        td.number { (sent.multicast) }
                        td.number { (sent.unicast) }
                    }
                    td.number { (row.busiest) }
                    @for latency in latencies(row) { td.number { (latency) } }
                    td.number { (or_dash(row.gap)) }
                    td.text { (row.guarantees.iter().copied().collect::<Vec<_>>().join(", ")) }
                }
            }
        }
    }
}

fn stronger(comparison: &Comparison) -> Markup {
    html! {
        table {
            tr {
                th.text { "from" } th.text { "to" } th.text { "adds" }
                th { "delays to all" } th { "datagrams" } th { "copies" }
            }
            @for step in &comparison.stronger {
                tr {
                    td.text { (step.from) } td.text { (step.to) } td.text { (step.adds.join(", ")) }
                    @for more in [step.delays, step.datagrams, step.copies] { td.number { (format!("{more:+}")) } }
                }
            }
        }
    }
}

/// What a protocol does, and a run of it.
fn run(catalogue: &Catalogue, row: &Row, n: u8) -> Markup {
    let Some(entry) = catalogue.get(row.name) else { return html! {} };
    let timing = Timing { has_story: true, ..Timing::of_price(n) };
    let story = entry.timed(&timing).and_then(|run| run.story);
    html! {
        h2 id=(row.name) { (row.name) }
        p { (entry.card.says) " (" (row.source) ")" }
        @if let Some(story) = story { (PreEscaped(diagram::draw(&story))) }
    }
}
