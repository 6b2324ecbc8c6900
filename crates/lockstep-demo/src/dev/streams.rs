//! `--streams K`: the file of one cluster becomes that of a set, and a cluster runs for each of its streams.

use crate::local::LocalCluster;
use lockstep_daemon::Failure;
use lockstep_daemon::config::Config;
use lockstep_daemon::failure::FAILED;
use lockstep_io::clock::random_u64;
use lockstep_io::key_file::KeyFile;
use lockstep_node::local::Folders;
use lockstep_trial::process::TrialProcess;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use toml::{Table, Value};

/// Most streams of `dev`: each has three replicas on this host.
pub const STREAMS_MAX: i64 = 8;

/// One stream of the set, or the only one.
pub struct DevStream<'a> {
    pub cluster: LocalCluster<'a>,
    pub replicas: Vec<TrialProcess>,
    pub leader: u32,
}

impl DevStream<'_> {
    /// What stands before its lines; nothing where there is one stream.
    pub fn prefix(&self) -> String {
        self.cluster.stream.as_ref().map_or_else(String::new, |name| format!("stream {name}: "))
    }

    /// The process that leads.
    pub fn leader_pid(&self) -> u32 {
        let ids = self.cluster.config.replicas.iter().map(|replica| replica.id);
        let leading = ids.zip(&self.replicas).find(|(id, _)| *id == self.leader);
        leading.map_or(0, |(_, process)| process.pid())
    }

    /// Waits for one leader and two standbys.
    pub fn await_leader(&mut self) -> Result<(), Failure> {
        let Self { cluster, replicas, leader } = self;
        *leader = cluster.await_roles(&mut || replicas.iter_mut().try_for_each(TrialProcess::check_alive))?;
        Ok(())
    }
}

/// The names of `count` streams; none of one that is alone.
pub fn names(count: u32) -> Vec<Option<String>> {
    match count {
        0 | 1 => vec![None],
        _ => (1..=count).map(|n| Some(format!("s{n}"))).collect(),
    }
}

/// Turns the file of one cluster into that of a set with these streams, and draws the keys of each.
///
/// # Errors
/// The file cannot be read or written, or the keys not be drawn.
pub fn write_set(folders: &Folders, names: &[String]) -> Result<(), Failure> {
    let path = folders.config();
    let failed = |why: &dyn std::fmt::Display| Failure::new(FAILED, format!("{}: {why}", path.display()));
    let mut document: Table =
        fs::read_to_string(&path)?.parse().map_err(|why: toml::de::Error| failed(&why))?;
    document.remove("cluster");
    let keys = document.get("security").and_then(|table| table.get("keys")).and_then(Value::as_str);
    let keys = keys.ok_or_else(|| failed(&"it names no keys"))?.to_owned();
    let first = (random_u64()? >> 2).max(1);
    let mut streams = Vec::new();
    for (cluster, name) in (first..).zip(names) {
        KeyFile::draw(cluster)?.write_folder(Path::new(&format!("{keys}-{name}")))?;
        let number = i64::try_from(cluster).map_err(|why| failed(&why))?;
        let rows = [("name", Value::from(name.as_str())), ("cluster", Value::from(number))];
        streams.push(Value::Table(rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()));
    }
    document.insert("streams".to_owned(), Value::Array(streams));
    let text = toml::to_string(&document).map_err(|why| failed(&why))?;
    Ok(fs::write(
        &path,
        format!("# Made by `lockstep dev --streams {}`. It ends with it.\n{text}", names.len()),
    )?)
}

/// Founds and starts the cluster of one stream; `flags` has further flags for the process of a name.
///
/// # Errors
/// The file is wrong, or the cluster does not start.
pub fn start<'a>(
    stop: &Arc<AtomicBool>,
    folder: &'a Folders,
    name: Option<&String>,
    flags: impl FnMut(&str) -> Result<Vec<String>, Failure>,
) -> Result<DevStream<'a>, Failure> {
    let choice = name.map(|name| Config::choice_of_stream(name));
    let config = Config::load(Some(&folder.config()), choice.as_slice())?;
    let cluster = LocalCluster { stop: Arc::clone(stop), config, folder, stream: name.cloned() };
    cluster.found()?;
    let replicas = cluster.start_replicas(flags)?;
    let mut stream = DevStream { cluster, replicas, leader: 0 };
    stream.await_leader()?;
    Ok(stream)
}
