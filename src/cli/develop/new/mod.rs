//! `lockstep new`: a project with a replicated state machine, a test of it and its trial under faults. The
//! machine is the counter of `docs/APPLY.md`: each file of it is an example of this repository, or a template
//! beside this file.

mod names;
mod project;

use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::failure::{FAILED, USAGE};
use project::{Language, NewFile};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Flags of `new`.
#[derive(Args, Debug)]
pub struct NewArgs {
    /// The project's name: its folder, its package, and the machine's name in the stream
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    language: LanguageFlags,
    /// The folder in which the project's own folder is made
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    into: PathBuf,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct LanguageFlags {
    /// A project of Rust, for cargo
    #[arg(long)]
    rust: bool,
    /// A project of Python, for pip and pytest
    #[arg(long)]
    python: bool,
    /// A project of C++17, for CMake
    #[arg(long)]
    cpp: bool,
    /// A project of Java 17, for make
    #[arg(long)]
    java: bool,
}

impl LanguageFlags {
    /// The one that is set: the command line refuses none and several.
    fn language(&self) -> Language {
        match self {
            Self { python: true, .. } => Language::Python,
            Self { cpp: true, .. } => Language::Cpp,
            Self { java: true, .. } => Language::Java,
            _ => Language::Rust,
        }
    }
}

/// Makes the project, and prints its files and what to type next.
pub fn run(args: &NewArgs) -> Result<u8, Failure> {
    let language = args.language.language();
    names::check(&args.name, language).map_err(|why| Failure::new(USAGE, why))?;
    let folder = args.into.join(&args.name);
    if !is_free(&folder) {
        let text = format!(
            "{} exists and is no empty folder: give another name, or by --into another folder",
            folder.display()
        );
        return Err(Failure::new(USAGE, text));
    }
    let files = project::files(&args.name, language);
    for file in &files {
        write(&folder, file)?;
    }
    let mut out = std::io::stdout().lock();
    for file in &files {
        writeln!(out, "made {}", folder.join(file.path).display())?;
    }
    writeln!(out, "\nnext, as {} says:", folder.join("README.md").display())?;
    writeln!(out, "  cd {}", folder.display())?;
    for line in project::next(&args.name, language) {
        writeln!(out, "  {line}")?;
    }
    Ok(0)
}

/// Whether nothing stands there yet, or an empty folder. What cannot be read is not free.
fn is_free(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => fs::symlink_metadata(folder).is_err(),
    }
}

fn write(folder: &Path, file: &NewFile) -> Result<(), Failure> {
    let path = folder.join(file.path);
    let above = path.parent().unwrap_or(folder);
    fs::create_dir_all(above).and_then(|()| fs::write(&path, &file.text)).map_err(|error| {
        let text = format!(
            "writing {}: {error}; mend that, remove what there is of {}, and try again",
            path.display(),
            folder.display()
        );
        Failure::new(FAILED, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(name: &str, into: &Path) -> NewArgs {
        let language = LanguageFlags { rust: false, python: true, cpp: false, java: false };
        NewArgs { name: name.to_owned(), language, into: into.to_owned() }
    }

    #[test]
    fn a_folder_with_anything_in_it_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let taken = folder.path().join("order-book");
        fs::create_dir(&taken).expect("a folder");
        fs::write(taken.join("mine"), "all of it").expect("a file");
        let failure = run(&args("order-book", folder.path())).expect_err("it has a file");
        let text = failure.to_string();
        assert!(
            failure.code() == USAGE && text.contains("order-book exists") && text.contains("--into"),
            "{text}"
        );
        assert_eq!(fs::read_dir(&taken).expect("a folder").count(), 1);
        fs::write(folder.path().join("file"), "no folder").expect("a file");
        assert!(run(&args("file", folder.path())).is_err_and(|failure| failure.code() == USAGE));
        let failure = run(&args("Order Book", folder.path())).expect_err("no name");
        assert!(failure.code() == USAGE && failure.to_string().contains("order-book, say"), "{failure}");
        assert!(!folder.path().join("Order Book").exists());
    }

    #[test]
    fn an_empty_folder_and_one_that_is_not_there_get_the_project() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("empty")).expect("a folder");
        for (name, into) in [("empty", folder.path().to_owned()), ("new", folder.path().join("a/b"))] {
            assert_eq!(run(&args(name, &into)).expect("a project"), 0);
            for file in project::files(name, Language::Python) {
                let made = fs::read_to_string(into.join(name).join(file.path)).expect("a file");
                assert_eq!(made, file.text);
            }
        }
    }

    #[test]
    fn a_project_that_cannot_be_written_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("file"), "no folder").expect("a file");
        let failure = run(&args("new", &folder.path().join("file"))).expect_err("no folder can be there");
        let text = failure.to_string();
        assert!(failure.code() == FAILED && text.contains("file/new/pyproject.toml"), "{text}");
    }
}
