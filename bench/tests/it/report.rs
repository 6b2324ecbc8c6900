//! The page and the pictures of results.

use lockstep_bench::results::{Facts, Results, Round, Row, Series, Unit};
use lockstep_bench::stats::Latencies;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use tempfile::TempDir;

const HOSTILE: &str = "<script>alert('1')</script>\"&";

fn row(case: &str, subject: &str, floor: bool, rate: f64) -> Row {
    let mut latencies = Latencies::new().expect("bounds that fit");
    (1..=2_000).for_each(|ns| latencies.record(ns * 10));
    let mut round = Round::of(&latencies).expect("a histogram");
    (round.target, round.achieved) = (Some(rate), Some(rate * 0.99));
    Row {
        case: case.into(),
        subject: subject.into(),
        words: format!("{subject} in words"),
        floor,
        unit: Unit::Nanos,
        axes: BTreeMap::from([("rate".into(), rate)]),
        rounds: vec![round.clone(), round],
    }
}

/// Two rates of two subjects, and a takeover.
fn results() -> Results {
    let mut results =
        Results::begin("latency", "publish to delivery", Facts::from([("cpu".into(), "a fast one".into())]));
    for rate in [10_000.0, 20_000.0] {
        let case = format!("stamped, 64 B, {rate}/s");
        results.rows.extend([row(&case, "io", true, rate), row(&case, "lockstep", false, rate)]);
    }
    results.series.push(Series {
        name: "p99 of each second".into(),
        unit: Unit::Nanos,
        points: (0..20).map(|second| (f64::from(second), 1e4 + f64::from(second))).collect(),
        marks: vec![(7.0, "takeover".into())],
    });
    results
}

/// The same, with a text in every place that a file has for one.
fn hostile() -> Results {
    let text = || HOSTILE.to_owned();
    let mut results = results();
    (results.measure, results.title, results.began) = (text(), text(), text());
    results.command.push(text());
    results.environment.insert(text(), text());
    results.method.insert(text(), text());
    results.notes.push(text());
    results.wrongs.push(text());
    results.counts.insert(text(), 1);
    for row in &mut results.rows {
        (row.case, row.subject, row.words) = (format!("{HOSTILE}, {}", row.case), text(), text());
        row.axes.insert(text(), 1.0);
        row.axes.insert("knee".into(), 1.0);
        row.rounds[0].marks.push(text());
    }
    for series in &mut results.series {
        series.name = text();
        series.marks.push((3.0, text()));
    }
    results
}

fn file(folder: &TempDir, name: &str, results: &Results) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, serde_json::to_vec(results).expect("results are JSON")).expect("a file");
    path
}

fn report(files: &[PathBuf], more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep-bench"));
    command.arg("report").args(files).args(more).output().expect("the bench runs")
}

/// The page of `results`.
fn page(results: &Results) -> String {
    let folder = TempDir::new().expect("a folder");
    let output = report(&[file(&folder, "results.json", results)], &["-o", "-"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_page_tells_what_was_found_how_and_where() {
    let mut results = results();
    results.wrongs.push("message 7 was lost".into());
    let page = page(&results);
    for text in [
        "publish to delivery",
        "stamped, 64 B, 10000/s",
        "lockstep in words",
        "over io",
        "a fast one",
        "WRONG: message 7 was lost",
        "latency over load",
        "latency over percentile",
        "p50 of each round",
        "takeover",
        "messages per second",
    ] {
        assert!(page.contains(text), "{text}");
    }
    // The median of 10, 20 … 20,000 ns.
    assert!(page.contains("10.0"), "no median");
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    let page = page(&results());
    for text in ["src=", "<link", "<script", "@import", "url(", "href=\"http"] {
        assert!(!page.contains(text), "{text}");
    }
}

#[test]
fn what_a_file_says_is_text_and_never_markup() {
    let page = page(&hostile());
    assert!(page.contains("&lt;script&gt;alert("), "the texts are not on the page");
    assert!(!page.contains("<script"), "a text of the file is markup");
    assert!(!page.contains("\"&\""), "a text of the file ends an attribute");
}

#[test]
fn every_picture_is_written_as_svg_and_as_png_into_the_folder_alone() {
    let folder = TempDir::new().unwrap();
    let [svg, png] = ["svg", "png"].map(|name| folder.path().join(name));
    let mut results = hostile();
    results.measure = "../../latency".into();
    let file = file(&folder, "results.json", &results);
    let page = folder.path().join("page.html").display().to_string();
    let [to_svg, to_png] = [&svg, &png].map(|path| path.display().to_string());
    let output = report(&[file], &["-o", &page, "--svg", &to_svg, "--png", &to_png]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = |folder| -> Vec<PathBuf> {
        let mut names: Vec<PathBuf> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    };
    let (svgs, pngs) = (names(&svg), names(&png));
    // Latency over load, two cases with two pictures each, one series.
    assert_eq!(svgs.len(), 6, "{svgs:?}");
    let stems = |names: &[PathBuf]| -> Vec<_> {
        names.iter().map(|path| path.file_stem().map(ToOwned::to_owned)).collect()
    };
    assert_eq!(stems(&svgs), stems(&pngs));
    for (svg, png) in svgs.iter().zip(&pngs) {
        let text = fs::read_to_string(svg).unwrap();
        assert!(
            text.contains("<svg") && text.contains("</svg>") && !text.contains("<script"),
            "{}",
            svg.display()
        );
        assert!(fs::read(png).unwrap().starts_with(b"\x89PNG"), "{}", png.display());
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
}

#[test]
fn several_files_are_one_page_with_a_list_of_them() {
    let folder = TempDir::new().unwrap();
    let mut other = results();
    other.title = "another title".into();
    let files = [file(&folder, "a.json", &results()), file(&folder, "b.json", &other)];
    let output = report(&files, &["-o", "-"]);
    let page = String::from_utf8(output.stdout).unwrap();
    for (link, section, title) in
        [("#r1", "id=\"r1\"", "publish to delivery"), ("#r2", "id=\"r2\"", "another title")]
    {
        assert!(page.contains(link) && page.contains(section) && page.contains(title), "{link}");
    }
}

#[test]
fn a_file_that_holds_no_results_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("other.json");
    fs::write(&path, "{}").unwrap();
    let output = report(&[path], &["-o", "-"]);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && why.contains("other.json") && why.contains("no schema"), "{why}");
}
