//! One dialect: `bindings/api.toml` has the numbers, words and calls of all languages, once.
//!
//! ```text
//!  bindings/api.toml ──▶ constants of each language, tables of docs/BINDINGS.md (REWRITE=1 writes them)
//!         ▲
//!         └─ compared, call by call ◀── declarations of each language
//! ```

mod calls;
mod constants;
mod declarations;
pub(crate) mod description;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

const PAGE: &str = "docs/BINDINGS.md";
const REFRESH: &str = "write it anew and read the diff: REWRITE=1 cargo test --test foreign dialect::";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository.
fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// One test at a time rewrites a file: two write parts of one page.
static WRITER: Mutex<()> = Mutex::new(());

/// Compares what stands between the two comments of a part with `wanted`, or writes it anew.
fn part_of_file(file: &str, what: &str, wanted: &str, wrong: &mut Vec<String>) {
    let _writes = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
    let text = read(file);
    let Some((before, rest)) = text.split_once(&format!("Written from bindings/api.toml: {what}.")) else {
        wrong.push(format!("{file}: it has no part for {what}"));
        return;
    };
    let (comment, rest) = rest.split_once('\n').expect("the end of the comment");
    let end = rest.find("End of what is written from bindings/api.toml.").expect("the end of the part");
    let end = rest[..end].rfind('\n').map_or(0, |at| at + 1);
    if rest[..end] == *wanted {
        return;
    }
    if std::env::var_os("REWRITE").is_none() {
        let line = before.lines().count() + 1;
        wrong.push(format!("{file}:{line}: the part for {what} is not that of bindings/api.toml"));
        return;
    }
    let head = format!("{before}Written from bindings/api.toml: {what}.{comment}\n");
    std::fs::write(root().join(file), format!("{head}{wanted}{}", &rest[end..])).expect("a file");
}
