//! # report: results as a page, and as pictures
//!
//! One page that holds everything it needs, so that it opens offline and can be kept, mailed and printed; and
//! the same pictures as files for papers. All of it is made from the [`Results`] that `--json` wrote, and
//! whatever comes from there is escaped.

pub mod axis;
mod chart;
mod page;
pub mod pictures;
mod raster;

use crate::results::Results;
use pictures::Pictures;
use std::fs;
use std::path::{Path, PathBuf};

/// Renders results as one page that opens offline, and as pictures.
///
/// A result's section has its verdicts, a table of all cases, latency over load (rows that differ in an axis
/// like `rate` are a line, rows with the axis `knee` are marked), percentile curves, the rounds beside each
/// other, what was found over time, and the environment and the method.
#[derive(clap::Args)]
pub struct Arguments {
    /// What `--json=FILE` wrote.
    #[arg(required = true, value_name = "RESULTS.json")]
    files: Vec<PathBuf>,
    /// The page; - is standard output.
    #[arg(short, long, value_name = "FILE.html", default_value = "report.html")]
    output: PathBuf,
    /// Writes each picture as SVG into this folder.
    #[arg(long, value_name = "FOLDER")]
    svg: Option<PathBuf>,
    /// Writes each picture as PNG into this folder.
    #[arg(long, value_name = "FOLDER")]
    png: Option<PathBuf>,
}

/// A result and its pictures.
struct Section {
    /// The file's name.
    file: String,
    results: Results,
    pictures: Pictures,
}

impl Section {
    fn of(file: String, results: Results) -> Result<Self, String> {
        let pictures = Pictures::of(&results).map_err(|error| format!("{file}: {error}"))?;
        Ok(Self { file, results, pictures })
    }
}

/// A page of results that are in memory, each with its name.
///
/// # Errors
/// A histogram is damaged.
pub(crate) fn page_of(named: Vec<(String, Results)>) -> Result<String, String> {
    let sections = named.into_iter().map(|(file, results)| Section::of(file, results));
    page::render(&sections.collect::<Result<Vec<_>, String>>()?)
}

/// Reads, renders, writes.
///
/// # Errors
/// A file that holds no results, or cannot be written.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let section = |path: &PathBuf| {
        let name = path.file_name().unwrap_or(path.as_os_str());
        Section::of(name.to_string_lossy().into_owned(), Results::read(path)?)
    };
    let sections = arguments.files.iter().map(section).collect::<Result<Vec<_>, String>>()?;
    for (folder, ending) in [(&arguments.svg, "svg"), (&arguments.png, "png")] {
        let Some(folder) = folder else { continue };
        fs::create_dir_all(folder).map_err(|error| format!("creating {}: {error}", folder.display()))?;
        for (index, section) in (1..).zip(&sections) {
            for (number, chart) in (1..).zip(section.pictures.all()) {
                let svg = chart.svg()?;
                let bytes = if ending == "png" { raster::png(&svg)? } else { svg.into_bytes() };
                let name = format!("{index}-{number:02}-{}-{}", section.results.measure, chart.name);
                write(&folder.join(format!("{}.{ending}", file_name(&name))), &bytes)?;
            }
        }
    }
    let page = page::render(&sections)?;
    if arguments.output == Path::new("-") {
        print!("{page}");
        return Ok(());
    }
    write(&arguments.output, page.as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("writing {}: {error}", path.display()))
}

/// Letters, digits and hyphens: what comes from a result leads into no other folder.
fn file_name(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("-");
    name.chars().take(120).collect()
}
