//! The streams of the file that a command's flags name.

use lockstep_client::Endpoint;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config::Config;
use lockstep_daemon::failure::USAGE;
use lockstep_streams::StreamSet;

/// The set of a file's streams, and the configuration of its home stream.
///
/// # Errors
/// The file describes no set, a stream of it was chosen, or one of them cannot be read.
pub fn stream_set(cluster: &ClusterArgs) -> Result<(StreamSet, Config), Failure> {
    let names: Vec<String> = Config::streams_in(&cluster.config);
    if names.is_empty() {
        // A file that cannot be read has its own message.
        cluster.load(&[])?;
        let file = cluster.config.display();
        let what = format!("{file} describes one stream: a merged order is that of a set, with [[streams]]");
        return Err(Failure::new(USAGE, what));
    }
    if cluster.stream.is_some() {
        return Err(Failure::new(
            USAGE,
            "--stream chooses one stream, and a merged order is that of all: leave it out",
        ));
    }
    let mut streams = Vec::new();
    let mut home = None;
    for name in names {
        let config = cluster.load(&[("--stream", "stream".to_owned(), name.clone())])?;
        streams.push((name, Endpoint::from_config(&config)?));
        home.get_or_insert(config);
    }
    Ok((StreamSet::new(streams)?, home.expect("a set has a home stream")))
}
