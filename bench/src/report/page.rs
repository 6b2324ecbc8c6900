//! The page: HTML in which everything that comes from a result is escaped.

use super::Section;
use super::chart::Chart;
use crate::results::{FIGURES, Facts, Ratio, Results, Row, digits, scale, sent};
use crate::stats::Spread;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("page.css");
/// Pictures of single points that are shown without being asked for.
const POINTS_SHOWN: usize = 4;
/// What stands where nothing was found.
const NOTHING: &str = "–";

/// The whole page.
///
/// # Errors
/// A picture cannot be drawn.
pub fn render(sections: &[Section]) -> Result<String, String> {
    let title = match sections {
        [one] => format!("{}: {}", one.results.measure, one.results.title),
        _ => format!("{} results", sections.len()),
    };
    let bodies = (1..).zip(sections).map(|(index, section)| one(index, section));
    let bodies = bodies.collect::<Result<Vec<_>, String>>()?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "lockstep-bench: " (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.kind { "lockstep-bench report" }
                    h1 { (title) }
                    (contents(sections))
                }
                main { @for body in &bodies { (body) } }
            }
        }
    };
    Ok(page.into_string())
}

/// The content of the page, with what is wrong with it.
fn contents(sections: &[Section]) -> Markup {
    html! {
        table.contents {
            thead { tr { th { "result" } th { "begun" } th { "cases" } th { "verdict" } } }
            tbody {
                @for (index, section) in (1..).zip(sections) {
                    @let results = &section.results;
                    tr {
                        td { a href=(format!("#r{index}")) { (results.measure) ": " (results.title) } }
                        td { (results.began.split(['.', 'Z']).next().unwrap_or_default()) }
                        td.number { (results.cases().len()) }
                        td { (conclusion(results)) }
                    }
                }
            }
        }
    }
}

fn conclusion(results: &Results) -> Markup {
    let marked = results.rows.iter().filter(|row| !row.marks().is_empty()).count();
    html! {
        @if let Some(conclusion) = results.method.get("verdict") { strong { (conclusion) } ", " }
        @match (results.wrongs.len(), marked) {
            (0, 0) => span.well { "nothing wrong" },
            // A row that is marked is to be doubted: that is not well.
            (0, _) => span.marked { "no rule broken" },
            (wrong, _) => span.wrong { (wrong) " wrong" },
        }
        @if marked > 0 { ", " span.marked { (marked) " of " (results.rows.len()) " rows marked" } }
    }
}

fn one(index: usize, section: &Section) -> Result<Markup, String> {
    let (results, pictures) = (&section.results, &section.pictures);
    let over_axes = figures(&pictures.over_axes)?;
    let of_cases = figures(&pictures.of_cases)?;
    let over_time = figures(&pictures.over_time)?;
    let few = pictures.of_points.len() <= POINTS_SHOWN;
    let of_points = figures(&pictures.of_points)?;
    let marks = results.series.iter().filter(|series| !series.marks.is_empty());
    Ok(html! {
        section id=(format!("r{index}")) {
            h2 { (results.measure) ": " (results.title) }
            p.meta { (section.file) " · " (results.began) " · " (conclusion(results)) }
            pre.command { (results.command.join(" ")) }
            @for wrong in &results.wrongs { p.wrong { "WRONG: " (wrong) } }
            @for note in &results.notes { p.note { (note) } }
            @if !results.counts.is_empty() {
                p.counts {
                    "In the whole run: "
                    @for (index, (name, count)) in results.counts.iter().enumerate() {
                        @if index > 0 { ", " }
                        (count) " " (name)
                    }
                    "."
                }
            }
            (over_axes)
            @if !results.rows.is_empty() { (table(results)) }
            (over_time)
            @for series in marks {
                details {
                    summary { (series.name) ": " (series.marks.len()) " marks" }
                    table.facts { @for (at, what) in &series.marks {
                        tr { td.number { (format!("{at:.3} s")) } td { (what) } }
                    } }
                }
            }
            (of_cases)
            @if few { (of_points) } @else {
                details { summary { "Percentiles and rounds of each case" } (of_points) }
            }
            div.facts {
                (facts("Method", &results.method))
                (facts("Environment", &results.environment))
            }
        }
    })
}

fn figures(charts: &[Chart]) -> Result<Markup, String> {
    let drawn = charts.iter().map(|chart| Ok((chart, chart.svg()?))).collect::<Result<Vec<_>, String>>()?;
    Ok(html! {
        @if !drawn.is_empty() {
            div.pictures {
                @for (chart, svg) in &drawn {
                    figure.wide[chart.wide] role="img" aria-label=(format!("{}, {}", chart.title, chart.subtitle)) {
                        // The library has escaped the texts in it.
                        (PreEscaped(svg))
                    }
                }
            }
        }
    })
}

fn facts(title: &str, facts: &Facts) -> Markup {
    html! {
        @if !facts.is_empty() {
            table.facts {
                caption { (title) }
                @for (name, value) in facts { tr { th { (name) } td { (value) } } }
            }
        }
    }
}

fn cell(spread: Option<Spread>, by: f64, digits: usize) -> Markup {
    let Some(spread) = spread.map(|spread| spread.scaled(1.0 / by)) else {
        return html! { td.number { (NOTHING) } };
    };
    html! {
        td.number {
            (format!("{:.digits$}", spread.median))
            @if spread.min < spread.max {
                " " span.spread { (format!("[{:.digits$}–{:.digits$}]", spread.min, spread.max)) }
            }
        }
    }
}

/// All cases: those of one are compared.
fn table(results: &Results) -> Markup {
    let ratios = results.ratios();
    let has = |name: &str| results.rows.iter().any(|row| row.figures().contains(&name));
    let columns: Vec<&str> = FIGURES.into_iter().filter(|name| has(name)).collect();
    let rounds = || results.rows.iter().flat_map(|row| &row.rounds);
    let paced = rounds().any(|round| round.target.is_some());
    let losing = rounds().any(|round| round.lost + round.repaired > 0);
    let width = 2 + columns.len() + usize::from(paced) + usize::from(losing);
    html! {
        div.scroll {
            table.results {
                caption { "Median over the rounds [least–greatest]. " (NOTHING) ": too few samples tell it." }
                thead {
                    tr {
                        th { "who" }
                        th { "rounds" }
                        @for column in &columns { th { (column) } }
                        @if paced { th { "sent of target" } }
                        @if losing { th { "lost / repaired" } }
                    }
                }
                @for case in results.cases() {
                    @let rows = results.of_case(case).collect::<Vec<_>>();
                    @let (by, unit) = scale(&rows);
                    tbody {
                        tr.case { th colspan=(width) { (case) span.unit { (if unit == "us" { "µs" } else { unit }) } } }
                        @for row in &rows {
                            (line(row, &columns, by, [paced, losing]))
                            @for ratio in ratios.iter().filter(|one| one.case == case && one.subject == row.subject) {
                                (over(ratio, &columns, width))
                            }
                            @for mark in row.marks() { tr.mark { td colspan=(width) { "! " (mark) } } }
                        }
                    }
                }
            }
        }
    }
}

fn line(row: &Row, columns: &[&str], by: f64, [paced, losing]: [bool; 2]) -> Markup {
    let lost: u64 = row.rounds.iter().map(|round| round.lost).sum();
    let repaired: u64 = row.rounds.iter().map(|round| round.repaired).sum();
    html! {
        tr.floor[row.floor] {
            td { (row.words) @if row.axes.contains_key("knee") { " " span.knee { "knee" } } }
            td.number { (row.rounds.len()) }
            @for column in columns {
                @let spread = row.spread(column);
                (cell(spread, by, digits(spread.map(|spread| spread.scaled(1.0 / by)))))
            }
            @if paced { (cell(sent(row), 1.0, 3)) }
            @if losing { td.number { (lost) " / " (repaired) } }
        }
    }
}

fn over(ratio: &Ratio, columns: &[&str], width: usize) -> Markup {
    html! {
        tr.ratio {
            td colspan="2" { "over " (ratio.floor) }
            @for column in columns { (cell(ratio.figures.get(column).copied(), 1.0, 2)) }
            @if width > 2 + columns.len() { td colspan=(width - 2 - columns.len()) {} }
        }
    }
}
