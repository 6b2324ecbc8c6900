//! `lockstep archiver`: stores the whole stream until SIGTERM.
//!
//! It is a replica that is never a member: it stores what it receives, fetches what it missed, and repairs
//! and replays to others, but no commit waits for it. There may be any number of archivers, each with a
//! retention of its own. The first SIGTERM or SIGINT marks a clean stop; another one a second later ends it
//! at once.

use crate::args::ArchiverArgs;
use crate::config::NodeConfig;
use crate::reloader::{Daemon, Reloader};
use crate::sequencer::serve;
use crate::{Failure, log};
use lockstep_operations::acting;

/// Runs until it must stop.
pub fn run(args: &ArchiverArgs) -> Result<u8, Failure> {
    log::begin_daemon();
    let key = format!("archivers.{}.core", args.archiver);
    let core = args.core.map(|core| ("--core", key, core.to_string()));
    let more: Vec<_> = core.into_iter().collect();
    let config = args.cluster.load(&more)?;
    acting::not_as_root(&config)?;
    let settings = config.archiver_node(args.archiver)?;
    let who = format!("archiver {} of {}", args.archiver, args.cluster.config.display());
    let reloader = Reloader::new(Daemon::Archiver(args.archiver), &args.cluster, &more, &config)?;
    serve(&config, reloader, &settings, &who, args.until_stdin_ends)
}
