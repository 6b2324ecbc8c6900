//! The result of a check: the present state, the wanted one, the reason, and the command that corrects it.

use std::fmt;
use std::path::PathBuf;

/// The severity of a finding, the gravest last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FindingLevel {
    /// As it should be.
    Good,
    /// It could not be determined here.
    Unknown,
    /// It works, at a cost of latency, redundancy or safety.
    Warning,
    /// It does not work as configured.
    Error,
}

impl FindingLevel {
    /// The name, as JSON and the report have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A file of the kernel and the text to be written into it: `--apply` changes nothing else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KernelChange {
    /// The file, below `/proc` or `/sys`.
    pub path: PathBuf,
    /// The text.
    pub text: String,
    /// Whether the file lists all choices, with the one in force in brackets.
    pub is_choice: bool,
}

/// The remedy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remedy {
    /// The command, or the line of a file, that corrects it.
    pub command: String,
    /// Files that `--apply` writes, if it is permitted to.
    pub changes: Vec<KernelChange>,
}

impl Remedy {
    /// A remedy that is left to the operator.
    pub fn by_hand(command: impl Into<String>) -> Self {
        Self { command: command.into(), changes: Vec::new() }
    }

    /// A kernel setting, by its name in sysctl(8).
    pub fn sysctl(name: &str, value: impl fmt::Display) -> Self {
        let path = PathBuf::from(sysctl_path(name));
        let change = KernelChange { path, text: value.to_string(), is_choice: false };
        Self { command: format!("sysctl -w {name}={value}"), changes: vec![change] }
    }

    /// A text that is written into files of the kernel.
    pub fn write(paths: impl IntoIterator<Item = String>, text: &str, is_choice: bool) -> Self {
        let change = |path: String| KernelChange { path: path.into(), text: text.to_owned(), is_choice };
        let changes: Vec<_> = paths.into_iter().map(change).collect();
        let paths: Vec<_> = changes.iter().map(|change| change.path.display().to_string()).collect();
        let command = match paths.as_slice() {
            [one] => format!("echo {text} > {one}"),
            all => format!("for file in {}; do echo {text} > $file; done", all.join(" ")),
        };
        Self { command, changes }
    }
}

/// The file of a setting of sysctl(8).
pub fn sysctl_path(name: &str) -> String {
    format!("/proc/sys/{}", name.replace('.', "/"))
}

/// The result of one check of one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The check, by a name that does not change.
    pub check: &'static str,
    /// The thing that was checked: a core, an interface, a folder, a node; may be empty.
    pub about: String,
    /// Its severity.
    pub level: FindingLevel,
    /// The state that was found.
    pub now: String,
    /// The state that should be.
    pub wanted: String,
    /// The cost of the state that was found.
    pub why: String,
    /// Measurements of this host.
    pub measured: Option<String>,
    /// The remedy.
    pub mend: Option<Remedy>,
}

impl Finding {
    /// A check whose result is good, unless a method below changes it.
    pub fn new(check: &'static str, about: impl Into<String>, now: impl Into<String>) -> Self {
        Self {
            check,
            about: about.into(),
            level: FindingLevel::Good,
            now: now.into(),
            wanted: String::new(),
            why: String::new(),
            measured: None,
            mend: None,
        }
    }

    /// Sets the level, the wanted state and the reason.
    #[must_use]
    pub fn level(self, level: FindingLevel, wanted: impl Into<String>, why: impl Into<String>) -> Self {
        Self { level, wanted: wanted.into(), why: why.into(), ..self }
    }

    /// A warning if `is_wrong`.
    #[must_use]
    pub fn warn_if(self, is_wrong: bool, wanted: impl Into<String>, why: impl Into<String>) -> Self {
        let level = if is_wrong { FindingLevel::Warning } else { self.level };
        self.level(level, wanted, why)
    }

    /// An error if `is_wrong`.
    #[must_use]
    pub fn fail_if(self, is_wrong: bool, wanted: impl Into<String>, why: impl Into<String>) -> Self {
        let level = if is_wrong { FindingLevel::Error } else { self.level };
        self.level(level, wanted, why)
    }

    /// Adds measurements of this host.
    #[must_use]
    pub fn measured(self, text: Option<String>) -> Self {
        Self { measured: text, ..self }
    }

    /// Adds the remedy; a good finding has none.
    #[must_use]
    pub fn mend(self, mend: Remedy) -> Self {
        let mend = (self.level > FindingLevel::Good).then_some(mend);
        Self { mend, ..self }
    }
}

/// The width of a text in the report, after the names of the parts.
const TEXT_COLUMNS: usize = 100;

/// Breaks a text into lines of at most `columns`; a longer word has a line of its own.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The text of a finding in the report: one line if it is good, else one line for each part.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, about, now, .. } = self;
        let name = self.level.name();
        if self.level == FindingLevel::Good {
            let about = if about.is_empty() { String::new() } else { format!("{about}: ") };
            let measured = self.measured.as_ref().map_or(String::new(), |text| format!(" ({text})"));
            return write!(f, "{name:7}  {check:22}  {about}{now}{measured}");
        }
        let head = format!("{:7}  {check:22}  {about}", name.to_uppercase());
        f.write_str(head.trim_end())?;
        let parts = [
            ("now", Some(now)),
            ("wanted", Some(&self.wanted)),
            ("why", Some(&self.why)),
            ("measured", self.measured.as_ref()),
            ("mend", self.mend.as_ref().map(|mend| &mend.command)),
        ];
        for (name, text) in parts {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                // a command is to be copied, and therefore takes one line
                let width = if name == "mend" { usize::MAX } else { TEXT_COLUMNS };
                for (place, line) in wrapped(text, width).iter().enumerate() {
                    let name = if place == 0 { name } else { "" };
                    write!(f, "\n         {name:9} {line}")?;
                }
            }
        }
        Ok(())
    }
}

/// All findings of a run.
#[derive(Clone, Default, Debug)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// The number of findings of a level.
    pub fn count(&self, level: FindingLevel) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }

    /// 0: nothing to correct; 1: warnings; 2: errors. A check that could not be made counts as neither.
    pub fn exit_code(&self) -> u8 {
        match self.0.iter().map(|finding| finding.level).max() {
            Some(FindingLevel::Error) => 2,
            Some(FindingLevel::Warning) => 1,
            _ => 0,
        }
    }

    /// The findings in the order of a report: the gravest last, next to the summary.
    pub fn by_level(&self) -> Vec<&Finding> {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by_key(|finding| finding.level);
        all
    }

    /// One line.
    pub fn summary(&self) -> String {
        let plural = |count: usize, word: &str| match count {
            1 => format!("1 {word}"),
            _ => format!("{count} {word}s"),
        };
        let good = self.count(FindingLevel::Good);
        let (errors, warnings) = (self.count(FindingLevel::Error), self.count(FindingLevel::Warning));
        let unknown = match self.count(FindingLevel::Unknown) {
            0 => String::new(),
            count => format!(", {count} could not be determined"),
        };
        let of = plural(self.0.len(), "check");
        match (errors, warnings) {
            (0, 0) => format!("nothing to mend: {good} of {of} are as they should be{unknown}"),
            _ => format!("{}, {} of {of}{unknown}", plural(errors, "error"), plural(warnings, "warning")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(level: FindingLevel) -> Finding {
        Finding::new("a.check", "core 2", "now").level(level, "wanted", "why").mend(Remedy::sysctl("a.b", 7))
    }

    #[test]
    fn the_exit_code_is_that_of_the_gravest_and_what_could_not_be_seen_is_no_fault() {
        let all = [FindingLevel::Good, FindingLevel::Unknown, FindingLevel::Warning, FindingLevel::Error];
        let code = |count: usize| Findings(all[..count].iter().map(|level| finding(*level)).collect());
        assert_eq!([0, 1, 2, 3, 4].map(|count| code(count).exit_code()), [0, 0, 0, 1, 2]);
        assert_eq!(
            code(2).summary(),
            "nothing to mend: 1 of 2 checks are as they should be, 1 could not be determined"
        );
        assert_eq!(code(4).summary(), "1 error, 1 warning of 4 checks, 1 could not be determined");
        let order: Vec<_> = code(4).by_level().iter().map(|finding| finding.level).collect();
        assert_eq!(order, all, "the gravest stands next to the summary");
    }

    #[test]
    fn what_is_good_takes_one_line_and_a_fault_all_of_its_parts() {
        assert_eq!(finding(FindingLevel::Good).to_string(), "ok       a.check                 core 2: now");
        let fault = finding(FindingLevel::Error).to_string();
        let lines: Vec<_> = fault.lines().map(str::trim_start).collect();
        let expected = [
            "ERROR    a.check                 core 2",
            "now       now",
            "wanted    wanted",
            "why       why",
            "mend      sysctl -w a.b=7",
        ];
        assert_eq!(lines, expected);
        assert_eq!(finding(FindingLevel::Good).mend, None, "nothing is to be mended");
    }

    #[test]
    fn a_long_text_is_wrapped_between_words_and_loses_none() {
        let lines = wrapped("one two three four", 9);
        assert_eq!(lines, ["one two", "three", "four"]);
        assert_eq!(wrapped("  spaced   out ", 100), ["spaced out"]);
    }

    #[test]
    fn a_text_that_goes_into_several_files_is_one_command() {
        let mend = Remedy::write(["/sys/a".to_owned(), "/sys/b".to_owned()], "performance", false);
        assert_eq!(mend.command, "for file in /sys/a /sys/b; do echo performance > $file; done");
        assert_eq!(mend.changes.len(), 2);
        assert_eq!(sysctl_path("net.core.rmem_max"), "/proc/sys/net/core/rmem_max");
    }
}
