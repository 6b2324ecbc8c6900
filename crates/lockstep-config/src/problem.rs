//! The errors of a configuration, and how it is shown.
//!
//! A problem names the key, quotes the value, states the rule and what to write instead, and points at its
//! place. Its code is stable: scripts and manuals may rely on it. Problems are collected, never returned
//! one at a time, because a file is corrected faster when all of them are seen.

use super::Origin;
use annotate_snippets::{AnnotationKind, Level, Origin as Place, Renderer, Snippet};
use std::fmt::{self, Display, Formatter};
use std::ops::Range;
use std::path::PathBuf;

/// Declares the codes with their meaning, which `docs/CONFIGURATION.md` repeats.
macro_rules! codes {
    ($($name:ident = $code:literal, $meaning:literal;)+) => {
        /// The stable code of a problem.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code { $(#[doc = $meaning] $name,)+ }

        impl Code {
            /// All codes, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// As printed, e.g. `LS0102`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// The common meaning of the problems of this code.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),+ }
            }
        }
    };
}

codes! {
    Unreadable = "LS0100", "The file cannot be read.";
    Syntax = "LS0101", "The file is not TOML.";
    UnknownKey = "LS0102", "A key that does not exist.";
    Missing = "LS0103", "A required key is missing.";
    Type = "LS0104", "A value of the wrong type.";
    Unit = "LS0105", "A duration or a size without a unit, or with a wrong one.";
    Word = "LS0106", "A word that is not one of the choices.";
    Range = "LS0107", "A number outside its range.";
    Address = "LS0108", "An address, interface or path that cannot be used as one.";
    Group = "LS0109", "A group that is not a usable multicast address.";
    Ports = "LS0110", "Groups and ports that do not go together.";
    Lines = "LS0111", "The number of lines.";
    Replicas = "LS0112", "The number of replicas, or one that does not exist.";
    DuplicateId = "LS0113", "An id that is used twice.";
    DuplicateAddress = "LS0114", "A unicast address that is used twice.";
    DuplicatePath = "LS0115", "A file or directory that is used twice on one host.";
    GroupPort = "LS0116", "Unicast to a port of the groups.";
    Window = "LS0118", "Windows and buffers that cannot work together.";
    Timing = "LS0119", "Times that cannot work together.";
    MessageLength = "LS0120", "Messages longer than what carries them.";
    Profile = "LS0121", "A setting that the profile refuses.";
    Reach = "LS0122", "Replicas that this interface, TTL or transport cannot reach.";
    Override = "LS0123", "A flag or variable that names no key of this configuration.";
    Keys = "LS0124", "The keys of the cluster: a file that is missing, wrong, or open to others.";
    Stream = "LS0125", "A stream of a set that does not exist, was not chosen, or shares what each has for itself.";
    Coordinators = "LS0126", "The coordinators of a set: their number, their host, or a file without a set.";
}

/// One problem.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Stable code.
    pub code: Code,
    /// The key, e.g. `stream.window_bytes`; empty for the file as a whole.
    pub key: String,
    /// The offending text, empty where something is missing.
    pub value: String,
    /// The error.
    pub rule: String,
    /// What to write instead.
    pub hint: String,
    /// The origin of the value; none for the file as a whole.
    pub origin: Option<Origin>,
    /// Bytes of the file that it is about.
    pub(super) span: Option<Range<usize>>,
    /// Other relevant bytes of the file, each with a description.
    pub(super) related: Vec<(Range<usize>, String)>,
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.code.as_str())?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.rule, self.hint)?;
        match &self.origin {
            Some(origin) => write!(f, " ({origin})"),
            None => Ok(()),
        }
    }
}

/// As [`Display`]: this is what a `main` prints that returns it.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigError {}

/// All problems of a configuration, in the order of the file; what is not in the file comes last.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    path: PathBuf,
    text: String,
    errors: Vec<ConfigError>,
}

impl ConfigErrors {
    pub(super) fn new(path: PathBuf, text: String, mut errors: Vec<ConfigError>) -> Self {
        errors
            .sort_by_key(|error| error.span.as_ref().map_or((usize::MAX, 0), |span| (span.start, span.end)));
        Self { path, text, errors }
    }

    /// The problems. There is at least one.
    pub fn problems(&self) -> &[ConfigError] {
        &self.errors
    }

    /// A line for each problem, with its place: for readers that have no room for the lines of the file.
    #[doc(hidden)]
    pub fn lines(&self) -> Vec<String> {
        let line = |error: &ConfigError| match &error.origin {
            Some(_) => error.to_string(),
            None => format!("{}: {error}", self.path.display()),
        };
        self.errors.iter().map(line).collect()
    }

    /// All problems as text, with the offending lines; in colour for a terminal.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let path = self.path.display().to_string();
        let mut out = String::new();
        for error in &self.errors {
            out.push_str(&renderer.render(&[self.group(error, &path)]));
            out.push_str("\n\n");
        }
        let count = self.errors.len();
        out.push_str(&format!("{path}: {count} problem{}", if count == 1 { "" } else { "s" }));
        out
    }

    fn group<'a>(&'a self, error: &'a ConfigError, path: &'a str) -> annotate_snippets::Group<'a> {
        let title = match error.key.as_str() {
            "" => error.rule.clone(),
            key => format!("{key}: {}", error.rule),
        };
        let title = Level::ERROR.primary_title(title).id(error.code.as_str());
        let group = match (&error.span, &error.origin) {
            (Some(span), _) => {
                let primary = AnnotationKind::Primary.span(span.clone());
                let related = error
                    .related
                    .iter()
                    .map(|(span, label)| AnnotationKind::Context.span(span.clone()).label(label.as_str()));
                title.element(Snippet::source(&self.text).path(path).annotation(primary).annotations(related))
            }
            (None, Some(origin)) => title.element(Place::path(origin.to_string())),
            (None, None) => title.element(Place::path(path)),
        };
        group.element(Level::HELP.message(error.hint.as_str()))
    }
}

impl From<Box<ConfigError>> for ConfigErrors {
    fn from(error: Box<ConfigError>) -> Self {
        let path = match &error.origin {
            Some(Origin::File { path, .. }) => path.clone(),
            _ => PathBuf::from("configuration"),
        };
        Self::new(path, String::new(), vec![*error])
    }
}

impl Display for ConfigErrors {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// As [`Display`], below what stands in front of it: this is what a `main` prints that returns it.
impl fmt::Debug for ConfigErrors {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is refused\n{self}")
    }
}

impl std::error::Error for ConfigErrors {}
