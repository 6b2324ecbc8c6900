//! The streams of a set, as a program reaches them.

use lockstep_client::Endpoint;
use lockstep_io::IoError;
use lockstep_set::STREAMS_MAX;

/// The endpoints of a set's streams, the home stream first.
#[derive(Clone, Debug)]
pub struct StreamSet {
    streams: Vec<(String, Endpoint)>,
}

impl StreamSet {
    /// A set of these streams, each with its name; the first is the home stream.
    ///
    /// # Errors
    /// There is none, there are more than 32, or two of them are the same cluster.
    pub fn new(streams: Vec<(String, Endpoint)>) -> Result<Self, IoError> {
        let refused = |why: String| IoError::argument("use the streams of a set", why);
        if streams.is_empty() || streams.len() > STREAMS_MAX {
            let count = streams.len();
            return Err(refused(format!("there are {count} streams; a set has 1 to {STREAMS_MAX}")));
        }
        for (at, (name, endpoint)) in streams.iter().enumerate() {
            let cluster = endpoint.cluster();
            if let Some((other, _)) = streams[..at].iter().find(|(_, other)| other.cluster() == cluster) {
                return Err(refused(format!(
                    "'{other}' and '{name}' are both cluster {cluster}; each stream is a cluster of its own"
                )));
            }
        }
        Ok(Self { streams })
    }

    /// The streams of the file that `LOCKSTEP_CONFIG` names, or of `/etc/lockstep/lockstep.toml`, as by
    /// [`StreamSet::from_file`].
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "config")]
    pub fn from_env() -> Result<Self, lockstep_client::ConfigErrors> {
        Self::from_file(lockstep_config::file_of_this_process())
    }

    /// The streams of the set's file at `path`, in its order; of a file without `[[streams]]` its cluster.
    /// `LOCKSTEP_` variables apply, except `LOCKSTEP_STREAM`.
    ///
    /// # Errors
    /// All problems of the first stream that has any, with the lines of the file.
    #[cfg(feature = "config")]
    pub fn from_file(path: impl AsRef<std::path::Path>) -> Result<Self, lockstep_client::ConfigErrors> {
        use lockstep_config::{Config, from_this_process};
        let path = path.as_ref();
        let names = Config::streams_in(path);
        let load = |name: Option<&String>| -> Result<(String, Endpoint), lockstep_client::ConfigErrors> {
            let choice = name.map(|name| Config::choice_of_stream(name));
            let others = from_this_process().into_iter().filter(|(key, ..)| key != "stream");
            let overrides: Vec<_> = choice.into_iter().chain(others).collect();
            let config = Config::load(Some(path), &overrides)?;
            Ok((name.cloned().unwrap_or_default(), Endpoint::from_config(&config)?))
        };
        let streams = match names.is_empty() {
            true => vec![load(None)?],
            false => names.iter().map(|name| load(Some(name))).collect::<Result<_, _>>()?,
        };
        Ok(Self { streams })
    }

    /// The cluster of the home stream.
    pub fn home(&self) -> u64 {
        self.streams[0].1.cluster()
    }

    /// The endpoint of the home stream.
    pub fn home_endpoint(&self) -> &Endpoint {
        &self.streams[0].1
    }

    /// The name of the stream of a cluster; empty if the set has none.
    pub fn name_of(&self, cluster: u64) -> &str {
        self.of_cluster(cluster).map_or("", |(name, _)| name)
    }

    /// The endpoint of the stream of a cluster; `None`: the set has none.
    pub fn endpoint_of(&self, cluster: u64) -> Option<&Endpoint> {
        self.of_cluster(cluster).map(|(_, endpoint)| endpoint)
    }

    /// The name and the endpoint of the stream of a cluster.
    pub(crate) fn of_cluster(&self, cluster: u64) -> Option<&(String, Endpoint)> {
        self.streams.iter().find(|(_, endpoint)| endpoint.cluster() == cluster)
    }

    /// Names and endpoints, the home stream first.
    pub fn streams(&self) -> &[(String, Endpoint)] {
        &self.streams
    }
}
