//! The configuration from the environment: the file, and the variables that override it.

use super::{Config, ConfigErrors, Origin, Override, schema, set};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Names the cluster's file.
const FILE_VARIABLE: &str = "LOCKSTEP_CONFIG";
/// Its default path.
const FILE: &str = "/etc/lockstep/lockstep.toml";

impl Config {
    /// The configuration as every command of `lockstep` reads it. The variable `LOCKSTEP_CONFIG` names the
    /// file, else it is `/etc/lockstep/lockstep.toml`. The variables `LOCKSTEP_…` of this process override
    /// it: one for each key, named by [`variable`], e.g. `LOCKSTEP_LINES_1_INTERFACE=eth2` for the
    /// interface of the first line.
    ///
    /// ```no_run
    /// let config = lockstep_config::Config::from_env()?;
    /// # Ok::<(), lockstep_config::ConfigErrors>(())
    /// ```
    ///
    /// # Errors
    /// All problems at once, with the lines of the file. A misspelt variable is one of them.
    pub fn from_env() -> Result<Self, ConfigErrors> {
        Self::load(Some(&file_of_this_process()), &from_this_process())
    }

    /// The configuration in the file at `path`, with the variables `LOCKSTEP_…` of this process laid over it
    /// as by [`Config::from_env`]. Only `LOCKSTEP_CONFIG` is not read.
    ///
    /// # Errors
    /// As [`Config::from_env`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigErrors> {
        Self::load(Some(path.as_ref()), &from_this_process())
    }
}

/// The file that `LOCKSTEP_CONFIG` names, else `/etc/lockstep/lockstep.toml`.
pub fn file_of_this_process() -> PathBuf {
    std::env::var_os(FILE_VARIABLE).map_or_else(|| PathBuf::from(FILE), PathBuf::from)
}

/// The overrides of this process's environment.
pub fn from_this_process() -> Vec<Override> {
    from_environment(std::env::vars_os())
}

/// The variable that sets `key`: `stream.durability` is `LOCKSTEP_STREAM_DURABILITY`, `replicas.2.core`
/// is `LOCKSTEP_REPLICAS_2_CORE`.
pub fn variable(key: &str) -> String {
    format!("LOCKSTEP_{}", key.replace('.', "_").to_uppercase())
}

/// Whether an orchestrator has made this variable for a service whose name begins with `lockstep`, and not an
/// operator: Kubernetes, as the container engines before it, tells each container by variables where each
/// service is. Of a service called `lockstep-gateway` they are
///
/// ```text
/// LOCKSTEP_GATEWAY_SERVICE_HOST  …_SERVICE_PORT  …_SERVICE_PORT_fix  …_PORT=tcp://10.0.0.7:9000
/// LOCKSTEP_GATEWAY_PORT_9000_TCP=tcp://10.0.0.7:9000  …_TCP_PROTO  …_TCP_PORT  …_TCP_ADDR
/// ```
///
/// No key of the configuration ends so.
pub fn is_service_link(name: &str, value: &str) -> bool {
    let name = name.to_uppercase();
    let Some(name) = name.strip_prefix("LOCKSTEP") else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_protocol = |text: &str| matches!(text, "TCP" | "UDP" | "SCTP");
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return true;
    }
    if name.ends_with("_PORT")
        && ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme))
    {
        return true;
    }
    let part = ["_PROTO", "_PORT", "_ADDR"].iter().find_map(|part| name.strip_suffix(part));
    let of_port = |name: &str| {
        let (rest, protocol) = name.rsplit_once('_')?;
        let (service, port) = rest.rsplit_once('_')?;
        Some(is_protocol(protocol) && is_number(port) && service.ends_with("_PORT"))
    };
    [Some(name), part].into_iter().flatten().any(|name| of_port(name).unwrap_or(false))
}

/// The variables of this process's environment that [`from_this_process`] leaves out, as they are
/// [service links](is_service_link) that would be taken for keys.
pub fn left_out_of_this_process() -> Vec<String> {
    let variables = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
    let is_left_out = |(name, value): &(String, String)| {
        let is_ours = name.strip_prefix("LOCKSTEP_").and_then(key_of_variable).is_some();
        is_ours && is_service_link(name, value)
    };
    let mut names: Vec<String> = variables.filter(is_left_out).map(|(name, _)| name).collect();
    names.sort();
    names
}

/// The overrides that an environment contains. A variable counts as ours if it is the name of a top-level
/// key or begins with a table's name; whether the rest of it is a key is judged with the file, so that a
/// misspelt variable is refused and an unrelated one (`LOCKSTEP_CONFIG`) is ignored. What an orchestrator
/// adds for a service of this name is left out. A part of name or value that is not UTF-8 becomes U+FFFD,
/// which no key and no value has: it is refused with the file as well.
pub fn from_environment<T: AsRef<OsStr>>(variables: impl IntoIterator<Item = (T, T)>) -> Vec<Override> {
    let mut found: Vec<_> = variables
        .into_iter()
        .filter_map(|(name, text)| {
            let name = name.as_ref().to_string_lossy().into_owned();
            let key = key_of_variable(name.strip_prefix("LOCKSTEP_")?)?;
            let text = text.as_ref().to_string_lossy().into_owned();
            (!is_service_link(&name, &text)).then_some((key, text, Origin::Env(name)))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn key_of_variable(name: &str) -> Option<String> {
    let name = name.to_lowercase();
    if schema::row(&name).is_some() || name == set::CHOICE {
        return Some(name);
    }
    let table = schema::SECTIONS.iter().find(|table| behind(&name, table).is_some());
    if let Some(table) = table {
        return Some(format!("{table}.{}", behind(&name, table)?));
    }
    let (table, rest) = name.split_once('_')?;
    let (item, key) = rest.split_once('_')?;
    schema::LISTS.contains(&table).then(|| format!("{table}.{item}.{key}"))
}

/// The part of a variable's name that follows the name of this table, which may contain `_` itself.
fn behind<'a>(name: &'a str, table: &str) -> Option<&'a str> {
    name.strip_prefix(table)?.strip_prefix('_')
}
