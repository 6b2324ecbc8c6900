//! `--streams K`: the file of one cluster becomes that of a set, a cluster runs for each of its streams, and
//! coordinators make one order of them.

use crate::PATIENCE;
use crate::local::{LocalCluster, start_own};
use lockstep_daemon::Failure;
use lockstep_daemon::config::Config;
use lockstep_daemon::failure::FAILED;
use lockstep_io::clock::random_u64;
use lockstep_io::key_file::KeyFile;
use lockstep_node::local::Folders;
use lockstep_operations::keys::add_coordinators;
use lockstep_operations::streams::change_list;
use lockstep_set::SetRow;
use lockstep_trial::process::{TrialProcess, Wiring};
use std::fs;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use toml::{Table, Value};

/// Most streams of `dev`: each has three replicas on this host.
pub const STREAMS_MAX: i64 = 8;
/// Coordinators of a set: one of them works, and the other one takes its place.
const COORDINATORS: u32 = 2;

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
    let first = (random_u64()? >> 2).max(1);
    let mut streams = Vec::new();
    for (cluster, name) in (first..).zip(names) {
        let number = i64::try_from(cluster).map_err(|why| failed(&why))?;
        let rows = [("name", Value::from(name.as_str())), ("cluster", Value::from(number))];
        streams.push(Value::Table(rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()));
    }
    document.insert("streams".to_owned(), Value::Array(streams));
    let address = document.get("replicas").and_then(|list| list.get(0)?.get("unicast")?.as_str());
    let host = address.and_then(|address| address.parse().ok()).map(|address: SocketAddrV4| *address.ip());
    let host = host.ok_or_else(|| failed(&"it has no replica with an address"))?.to_string();
    let coordinator = |id: u32| {
        let rows = [("id", Value::from(id)), ("host", Value::from(host.as_str()))];
        Value::Table(rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    let coordinators = (1..=COORDINATORS).map(coordinator).collect();
    document.insert("coordinators".to_owned(), Value::Array(coordinators));
    // Patient as its other timings: on a busy host the second coordinator else publishes cuts as well.
    let set = document.entry("set").or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(set) = set {
        set.entry("cut_interval").or_insert_with(|| Value::from("1ms"));
    }
    let text = toml::to_string(&document).map_err(|why| failed(&why))?;
    let head = format!("# Made by `lockstep dev --streams {}`. It ends with it.\n", names.len());
    fs::write(&path, head + &text)?;
    for name in names {
        let config = Config::load(Some(&path), &[Config::choice_of_stream(name)])?;
        let mut file = KeyFile::draw(config.cluster)?;
        if let Some(set) = config.set.as_ref().filter(|set| set.index == 0) {
            add_coordinators(&mut file, set)?;
        }
        file.write_folder(&config.security.keys)?;
    }
    Ok(())
}

/// Starts the coordinators of a set, and gives it the list of all its streams: their merged order begins with
/// the first entry of each.
///
/// # Errors
/// A process does not start, or the list is not committed.
pub fn coordinate(
    all: &[DevStream<'_>],
    mut flags: impl FnMut(&str) -> Result<Vec<String>, Failure>,
) -> Result<Vec<TrialProcess>, Failure> {
    let [home, others @ ..] = all else { return Ok(Vec::new()) };
    let Some(set) = home.cluster.config.set.as_ref().filter(|_| !others.is_empty()) else {
        return Ok(Vec::new());
    };
    let rows = set.streams[1..].iter();
    let rows: Vec<_> =
        rows.map(|one| SetRow { stream: one.cluster, from: 1, name: one.name.clone() }).collect();
    change_list(&home.cluster.config, set, PATIENCE, |view| Ok((view.number() == 0).then(|| rows.clone())))?;
    let start = |id: u32| {
        let name = format!("coordinator-{id}");
        let file = home.cluster.folder.config().display().to_string();
        let args = ["coordinator", "--until-stdin-ends", "--config", &file, "--id", &id.to_string()];
        let args: Vec<String> = args.into_iter().map(str::to_owned).chain(flags(&name)?).collect();
        start_own(&name, &args, home.cluster.folder.disk(), Wiring::Silent)
    };
    set.coordinators.iter().map(|one| one.id).map(start).collect()
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
