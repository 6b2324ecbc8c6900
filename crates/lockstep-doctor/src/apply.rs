//! Writes the changes that findings propose, and reads them back.

use crate::finding::{Findings, KernelChange};
use crate::parse;
use std::path::Path;

/// The outcome of one change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppliedChange {
    /// The change.
    pub change: KernelChange,
    /// The text of the file before the change.
    pub before: String,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// Writes all changes that `findings` propose, each once, into files below `root`.
pub fn apply(root: &Path, findings: &Findings) -> Vec<AppliedChange> {
    let mut changes: Vec<&KernelChange> = Vec::new();
    for change in findings.0.iter().filter_map(|finding| finding.mend.as_ref()).flat_map(|mend| &mend.changes)
    {
        match changes.iter_mut().find(|other| other.path == change.path) {
            // if two findings change one file, the later one wins: it contains the earlier change
            Some(other) => *other = change,
            None => changes.push(change),
        }
    }
    changes.into_iter().map(|change| apply_one(root, change)).collect()
}

fn apply_one(root: &Path, change: &KernelChange) -> AppliedChange {
    let place = root.join(change.path.strip_prefix("/").unwrap_or(&change.path));
    let read = || std::fs::read_to_string(&place).map(|text| text.trim_end().to_owned());
    let before = read().unwrap_or_default();
    let in_force = |text: &str| match change.is_choice {
        true => parse::chosen(text).to_owned(),
        false => text.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    let written = std::fs::write(&place, &change.text).and_then(|()| read());
    let error = match written {
        Ok(after) if in_force(&after) == change.text => None,
        Ok(after) => Some(format!("the kernel made it '{}'", in_force(&after))),
        Err(error) => Some(error.to_string()),
    };
    AppliedChange { change: change.clone(), before: in_force(&before), error }
}

/// The name that sysctl(8) has for a file, if it is one of its settings.
pub fn sysctl_name(path: &Path) -> Option<String> {
    Some(path.strip_prefix("/proc/sys").ok()?.to_str()?.replace('/', "."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Finding, FindingLevel, Remedy};

    #[test]
    fn a_change_is_written_once_and_read_back_and_a_refusal_is_reported() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("proc/sys/net/core");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("rmem_max"), "212992\n").unwrap();
        let fault = |name: &str, value: u64| {
            Finding::new("x", "", "").level(FindingLevel::Error, "", "").mend(Remedy::sysctl(name, value))
        };
        let good = Finding::new("x", "", "").mend(Remedy::sysctl("net.core.wmem_max", 7));
        let all = vec![
            fault("net.core.rmem_max", 1),
            fault("net.core.rmem_max", 4_194_304),
            fault("net.core.gone.x", 1),
            good,
        ];
        let applied = apply(root.path(), &Findings(all));
        assert_eq!(applied.len(), 2, "one change a file, and none of what is good");
        assert_eq!((applied[0].before.as_str(), &applied[0].error), ("212992", &None));
        assert_eq!(std::fs::read_to_string(folder.join("rmem_max")).unwrap(), "4194304");
        assert!(applied[1].error.is_some(), "{applied:?}");
        assert_eq!(sysctl_name(&applied[0].change.path).as_deref(), Some("net.core.rmem_max"));
    }
}
