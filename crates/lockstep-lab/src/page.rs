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
                @if !comparison.unpriced.is_empty() {
                    h2 { "Without a price" }
                    ul { @for it in &comparison.unpriced { li { (it.name) ": " (it.why) } } }
                }
                @for rows in comparison.protocols.chunk_by(|one, other| one.name == other.name) {
                    (runs(catalogue, rows, comparison.processes))
                }
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
                th.text rowspan="2" { "request" }
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
                    td.text { (row.request) }
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
                th.text { "request" } th.text { "from" } th.text { "to" } th.text { "adds" }
                th { "delays" } th { "datagrams" } th { "copies" }
            }
            @for step in &comparison.stronger {
                tr {
                    td.text { (step.request) } td.text { (step.from) } td.text { (step.to) }
                    td.text { (step.adds.join(", ")) }
                    @for more in [step.delays, step.datagrams, step.copies] { td.number { (format!("{more:+}")) } }
                }
            }
        }
    }
}

/// What a protocol does, and a run of each of its priced requests.
fn runs(catalogue: &Catalogue, rows: &[Row], n: u8) -> Markup {
    let Some(entry) = rows.first().and_then(|row| catalogue.get(row.name)) else { return html! {} };
    let prices = entry.card.prices.all().iter();
    let timings = prices.map(|price| Timing { has_story: true, ..Timing::of_price(price, n) });
    html! {
        h2 id=(entry.card.name) { (entry.card.name) }
        p { (entry.card.says) " (" (entry.card.source) ")" }
        @for story in timings.filter_map(|timing| entry.timed(&timing)?.story) {
            (PreEscaped(diagram::draw(&story)))
        }
    }
}
