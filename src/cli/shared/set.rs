//! The streams of the file that a command's flags name.

use lockstep_client::Endpoint;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config::Config;
use lockstep_daemon::coordinator::streams_of;
use lockstep_streams::StreamSet;

/// The set of a file's streams, and the configuration of its home stream.
///
/// # Errors
/// The file describes no set, a stream of it was chosen, or one of them cannot be read.
pub fn stream_set(cluster: &ClusterArgs) -> Result<(StreamSet, Config), Failure> {
    let mut configs = streams_of(cluster)?;
    let stream = |config: &Config| Ok((config.stream_name().to_owned(), Endpoint::from_config(config)?));
    let streams = configs.iter().map(stream).collect::<Result<_, Failure>>()?;
    Ok((StreamSet::new(streams)?, configs.swap_remove(0)))
}
