//! The facts of a host, as they were read: texts of the kernel, and facts that no file shows.

use crate::measure::Measured;
use crate::parse;
use lockstep_io::ethtool::CardSettings;
use lockstep_io::host::{ClockState, FileSystem};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A folder that the configuration names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FolderFacts {
    /// The nearest folder that exists: itself, or one above it.
    pub existing: PathBuf,
    /// Its file system.
    pub fs: FileSystem,
}

/// A thread of a process, not of the kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ThreadFacts {
    /// Its process.
    pub process: u32,
    /// Its name.
    pub name: String,
    /// The cores that it may run on.
    pub allowed: Vec<usize>,
}

/// A running sequencer or archiver of this host.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DaemonFacts {
    /// Its process.
    pub process: u32,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its limits, as `/proc/PID/limits`.
    pub limits: String,
    /// The cores that its threads may run on, all together.
    pub allowed: Vec<usize>,
    /// Whether its program's file was replaced or removed since it started.
    pub is_replaced: bool,
}

/// A unit of systemd that starts a sequencer or archiver, with its drop-ins.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct UnitFacts {
    /// Its name.
    pub name: String,
    /// Its lines.
    pub text: String,
}

/// All facts of a host.
#[derive(Clone, Default, Debug)]
pub struct Host {
    /// Texts of files, by path.
    pub texts: BTreeMap<String, String>,
    /// The last component of a link's target, by path.
    pub links: BTreeMap<String, String>,
    /// The names in a folder, by path.
    pub names: BTreeMap<String, Vec<String>>,
    /// The folders of journals and memory files.
    pub folders: BTreeMap<PathBuf, FolderFacts>,
    /// Bytes of the memory files that already exist, by path.
    pub file_bytes: BTreeMap<PathBuf, u64>,
    /// The settings of the cards, by name.
    pub cards: BTreeMap<String, CardSettings>,
    /// The kernel's clock.
    pub clock: Option<ClockState>,
    /// Threads that may run on few cores only.
    pub threads: Vec<ThreadFacts>,
    /// The running nodes.
    pub daemons: Vec<DaemonFacts>,
    /// The cgroup folders (version 2) of the running nodes, or of this shell if there are none.
    pub groups: Vec<String>,
    /// The units of nodes.
    pub units: Vec<UnitFacts>,
    /// The measured times.
    pub measured: Measured,
}

impl Host {
    /// The text of a file, without the newline at its end; `None` where there is no such file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(|text| text.trim_end())
    }

    /// The number that is the only content of a file.
    pub fn number(&self, path: &str) -> Option<i64> {
        self.text(path)?.trim().parse().ok()
    }

    /// A kernel setting, by its name in sysctl(8).
    pub fn sysctl(&self, name: &str) -> Option<i64> {
        self.number(&crate::finding::sysctl_path(name))
    }

    /// A list of cores.
    pub fn cores(&self, path: &str) -> Vec<usize> {
        self.text(path).map(parse::list).unwrap_or_default()
    }

    /// The numbers of a card's interrupts: those that name the card, or the device below it.
    pub fn interrupts_of(&self, card: &str) -> BTreeSet<usize> {
        let table = self.text("/proc/interrupts").unwrap_or_default();
        let device = self.links.get(&format!("/sys/class/net/{card}/device"));
        let words = [Some(card), device.map(String::as_str)];
        let found = words.into_iter().flatten().flat_map(|word| parse::interrupts(table, word));
        found.map(|(number, _)| number).collect()
    }

    /// The names in a folder.
    pub fn names_in(&self, folder: &str) -> &[String] {
        self.names.get(folder).map_or(&[], Vec::as_slice)
    }

    /// The folder that is to contain `path`.
    pub fn folder_of(&self, path: &Path) -> Option<&FolderFacts> {
        self.folders.get(path.parent()?)
    }

    /// The running process of a node: `role` is `sequencer` or `archiver`.
    pub fn daemon(&self, role: &str, number: u32) -> Option<&DaemonFacts> {
        let (flag, number) =
            (if role == "sequencer" { "--replica" } else { "--archiver" }, number.to_string());
        self.daemons.iter().find(|daemon| {
            let words = &daemon.arguments;
            let joined = format!("{flag}={number}");
            let pair = words.windows(2).any(|pair| pair[0] == flag && pair[1] == number);
            words.get(1).is_some_and(|word| word == role) && (pair || words.contains(&joined))
        })
    }
}
