//! What differs between two configurations, and how each difference takes effect.

use super::{Config, schema};
use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

/// How a changed key takes effect, in the order of what that costs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ChangeNeed {
    /// No process has it.
    Nothing,
    /// The processes read the file again.
    Reload,
    /// The processes that it is for are restarted.
    Restart,
    /// All processes are restarted, one node after another.
    Rolling,
    /// All processes of a host are stopped and started again, one host after another.
    ByHost,
    /// An operator's command changes it, and the file follows.
    Command(&'static str),
    /// As [`ChangeNeed::Rolling`] between `udp` and `xdp`, else as [`ChangeNeed::Stop`].
    Transport,
    /// All processes of the cluster must agree: all stop, then all start.
    Stop,
}

impl ChangeNeed {
    /// The words for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Reload => "reload",
            Self::Restart => "restart",
            Self::Rolling => "rolling_restart",
            Self::ByHost => "restart_by_host",
            Self::Command(_) => "command",
            Self::Transport | Self::Stop => "stop",
        }
    }

    /// The words for people.
    pub fn what(self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Reload => "a reload: `lockstep reload`, or SIGHUP".to_owned(),
            Self::Restart => "a restart of the processes that use it".to_owned(),
            Self::Rolling => "a rolling restart: one node after another".to_owned(),
            Self::ByHost => "a restart of all processes of a host at once, one host after another".to_owned(),
            Self::Command(command) => format!("a command: {command}"),
            Self::Transport | Self::Stop => "a stop of all processes: all must agree".to_owned(),
        }
    }

    /// The same where the value changes from `old` to `new`.
    fn between(self, old: Option<&str>, new: Option<&str>) -> Self {
        let has_group = |value: Option<&str>| matches!(value, Some("udp" | "xdp"));
        match self {
            Self::Transport if has_group(old) && has_group(new) => Self::Rolling,
            Self::Transport => Self::Stop,
            other => other,
        }
    }
}

/// As the reference prints it.
impl Display for ChangeNeed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Reload => f.write_str("reload"),
            Self::Restart => f.write_str("restart"),
            Self::Rolling => f.write_str("rolling restart"),
            Self::ByHost => f.write_str("restart, by host"),
            Self::Command(command) => write!(f, "command: {command}"),
            Self::Transport => f.write_str("rolling restart between udp and xdp, else whole stop"),
            Self::Stop => f.write_str("whole stop"),
        }
    }
}

/// A key that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyChange {
    /// The key, e.g. `replicas.2.core`.
    pub key: String,
    /// Its value; `None` where it has none.
    pub old: Option<String>,
    /// The other value.
    pub new: Option<String>,
    /// How the change takes effect.
    pub need: ChangeNeed,
}

/// What was, what is, and what the change needs.
impl Display for KeyChange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(not set)".to_owned());
        write!(f, "{}: {} -> {}: needs {}", self.key, shown(&self.old), shown(&self.new), self.need.what())
    }
}

impl Config {
    /// The keys whose value in `new` is another one, in the order of the reference; defaults count as values.
    pub fn changes(&self, new: &Self) -> Vec<KeyChange> {
        let value = |config: &Self, key: &str| {
            config.effective().iter().find(|(known, ..)| known == key).map(|(_, value, _)| value.clone())
        };
        let mut seen = BTreeSet::new();
        let keys = new.effective().iter().chain(self.effective()).map(|(key, ..)| key);
        keys.filter(|key| seen.insert(key.as_str()))
            .filter_map(|key| {
                let (old, new) = (value(self, key), value(new, key));
                let (row, _) = schema::row_of_instance(key).filter(|_| old != new)?;
                let need = row.need.between(old.as_deref(), new.as_deref());
                Some(KeyChange { key: key.clone(), old, new, need })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const FILE: &str = include_str!("../../../configs/production.toml");

    fn read(text: &str) -> Config {
        Config::parse(Path::new("cluster.toml"), text, &[]).unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn each_key_that_differs_is_named_with_both_values_and_what_it_needs() {
        let (old, debug) = (read(FILE), Config::parse(Path::new("x"), FILE, &[set("log.level", "debug")]));
        assert_eq!(old.changes(&old), []);
        let debug = debug.unwrap_or_else(|errors| panic!("{errors}"));
        let changes = old.changes(&debug);
        let [change] = &changes[..] else { panic!("one: {changes:?}") };
        assert_eq!(
            change.to_string(),
            "log.level: info -> debug: needs a reload: `lockstep reload`, or SIGHUP"
        );
        // A value that is set in one file only.
        let paced = Config::parse(Path::new("x"), FILE, &[set("metrics.listen", "127.0.0.1:9464")]);
        let paced = paced.unwrap_or_else(|errors| panic!("{errors}"));
        let names = |from: &Config, to: &Config| -> Vec<_> {
            from.changes(to).into_iter().map(|change| (change.key, change.old, change.new)).collect()
        };
        let (key, address) = ("metrics.listen".to_owned(), Some("127.0.0.1:9464".to_owned()));
        assert_eq!(names(&old, &paced), [(key.clone(), None, address.clone())]);
        assert_eq!(names(&paced, &old), [(key, address, None)]);
    }

    fn set(key: &str, value: &str) -> crate::Override {
        (key.to_owned(), value.to_owned(), crate::Origin::Flag("--set".to_owned()))
    }

    #[test]
    fn a_transport_changes_by_a_rolling_restart_where_groups_stay() {
        let between = |old, new| ChangeNeed::Transport.between(Some(old), new);
        assert_eq!(between("udp", Some("xdp")), ChangeNeed::Rolling);
        assert_eq!(between("udp", Some("unicast")), ChangeNeed::Stop);
        assert_eq!(between("auto", None), ChangeNeed::Stop);
        assert_eq!(ChangeNeed::Stop.between(Some("1"), Some("2")), ChangeNeed::Stop);
    }

    /// A key whose change needs a whole stop is one that the nodes compare all day, and no other one is.
    #[test]
    fn the_keys_that_all_must_have_alike_are_those_that_a_status_carries() {
        let needs_stop = |need| matches!(need, ChangeNeed::Stop | ChangeNeed::Transport);
        let stop: Vec<_> = schema::keys().filter(|key| needs_stop(key.need)).map(|key| key.path).collect();
        let carried: Vec<_> = lockstep_wire::AgreedKey::ALL.iter().map(|key| key.path()).collect();
        assert_eq!(stop, carried);
        let rows: Vec<_> = read(FILE).agreed().iter().map(|row| (row.path(), row.text())).collect();
        for (key, value, _) in read(FILE).effective() {
            let (row, _) = schema::row_of_instance(key).expect("a key");
            let known = rows.iter().find(|(path, _)| path.as_deref() == Some(key));
            assert_eq!(known.is_some(), needs_stop(row.need), "{key}");
            let text = if value == "udp" { "udp or xdp" } else { value };
            assert!(known.is_none_or(|(_, known)| known == text), "{known:?}");
        }
    }

    #[test]
    fn a_key_that_a_reload_changes_is_one_that_a_running_process_takes() {
        // The log's level, and the page: every daemon. `gateway.tunnels`: a gateway's arrivals. `feed.allow`:
        // a feed. The others: `Gateway::set_limits`.
        let reloads: Vec<_> = schema::keys().filter(|key| key.need == ChangeNeed::Reload).collect();
        let taken = ["log.level", "metrics.listen", "metrics.hosts", "feed.allow"];
        assert!(reloads.iter().all(|key| taken.contains(&key.path) || key.path.starts_with("gateway.")));
        assert_eq!(reloads.len(), 15);
    }
}
