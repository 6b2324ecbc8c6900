//! `lockstep archiver`: keeps the whole stream until SIGTERM.
//!
//! It is a replica that is never a member: it stores what it hears, fetches what it missed, repairs and
//! replays to others, and nobody waits for it. There may be as many as one likes, each with a retention of its
//! own. The first SIGTERM or SIGINT marks a clean stop, the second ends at once.

use super::args::ArchiverArgs;
use super::sequencer::{EVENTS_QUEUED, banner, stop_with_stdin};
use super::{Failure, log, signals};
use crate::config::Config;
use crate::io::events::Recorder;
use crate::node::{EVENT_KINDS, Node, NodeSettings};
use std::sync::Arc;

/// Runs until it is told to stop.
pub fn run(args: &ArchiverArgs) -> Result<u8, Failure> {
    let key = format!("archivers.{}.core", args.archiver);
    let core = args.core.map(|core| ("--core", key, core.to_string()));
    let config = args.cluster.load(&core.into_iter().collect::<Vec<_>>())?;
    let settings = config.archiver_node(args.archiver)?;
    log::start(&config.log);
    serve(args, &config, &settings).map_err(Failure::logged)
}

/// The same with a log: from here on stderr has log lines only.
fn serve(args: &ArchiverArgs, config: &Config, settings: &NodeSettings) -> Result<u8, Failure> {
    let stop = signals::stop_flag()?;
    if args.until_stdin_ends {
        stop_with_stdin(Arc::clone(&stop))?;
    }
    let recorder = Recorder::new(EVENT_KINDS, EVENTS_QUEUED);
    recorder.dump_on_panic();
    let events = recorder.start_log()?;
    let node = Node::open(settings)?;
    banner(config, &format!("archiver {} of {}", args.archiver, args.cluster.config.display()), &node);
    let outcome = node.run(&stop, &recorder);
    drop(events); // its lines stand before our last word
    outcome?;
    tracing::info!(archiver = args.archiver, "stopped in order: the journal is marked clean");
    Ok(0)
}
