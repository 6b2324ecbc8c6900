//! `lockstep coordinator`: reads all streams of a set, and publishes the cuts that make one order of them.
//!
//! ```text
//!  other streams ─ frames, as committed ─┐
//!  home stream ─── cuts, lists ──────────┴▶ lockstep_set::Coordinator ─ cut ─▶ home stream
//! ```
//!
//! One thread polls a handle of each stream. The process has no state of its own: it begins at the newest cut
//! of the home stream. Any number of coordinators run, ranked: the first publishes at once, each other one
//! when a cut is due for [`PATIENCE`] intervals more than before it.

mod counts;
mod home;
mod other;
mod rank;
mod run;
mod watch;

pub use counts::{CoordinatedCounts, CoordinatorCounts, counters};
pub use run::run;

use crate::Failure;
use crate::args::ClusterArgs;
use crate::config::{Config, CoordinatorConfig, SetPlace};
use crate::failure::USAGE;
use clap::Args;

/// Intervals for which a cut is due until the coordinator of the next rank publishes it.
pub const PATIENCE: u32 = 4;

/// Flags of `coordinator`.
#[derive(Args, Debug)]
pub struct CoordinatorArgs {
    /// Where the set's file is.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Which coordinator of the file this is; not needed where the file has one
    #[arg(long, value_name = "N", env = "LOCKSTEP_COORDINATOR")]
    pub id: Option<u32>,
    /// Ends when stdin does: for whoever starts it as a child
    #[arg(long, hide = true)]
    pub until_stdin_ends: bool,
}

/// The override that chooses this stream for a process that is about all of them.
pub fn choice(name: &str) -> (&'static str, String, String) {
    ("--stream", "stream".to_owned(), name.to_owned())
}

/// The configurations of all streams of the set, the home stream's first.
///
/// # Errors
/// The file is wrong, describes no set, or a stream of it was chosen.
pub fn streams_of(cluster: &ClusterArgs) -> Result<Vec<Config>, Failure> {
    if let Some(name) = &cluster.stream {
        let what = format!("--stream {name}: this is about all streams of the set; leave it out");
        return Err(Failure::new(USAGE, what));
    }
    let names = Config::streams_in(&cluster.config);
    if names.is_empty() {
        cluster.load(&[])?;
        let file = cluster.config.display();
        let what =
            format!("{file} describes one stream, and this is about a set: write its streams as [[streams]]");
        return Err(Failure::new(USAGE, what));
    }
    names.iter().map(|name| cluster.load(&[choice(name)])).collect()
}

/// The place in the set of a configuration that [`streams_of`] returned.
pub fn place(config: &Config) -> &SetPlace {
    config.set.as_ref().expect("a stream of a set")
}

/// The coordinator that a process is.
fn identify(place: &SetPlace, id: Option<u32>) -> Result<&CoordinatorConfig, Failure> {
    let all = &place.coordinators;
    let ids = all.iter().map(|one| one.id.to_string()).collect::<Vec<_>>().join(", ");
    let what = match (id, all.as_slice()) {
        (_, []) => {
            "the file has no coordinator: add [[coordinators]] with id and host above [[streams]]".to_owned()
        }
        (Some(id), _) => match place.coordinator(id) {
            Some(found) => return Ok(found),
            None => format!("no coordinator {id}; the file has {ids}: name one of them with --id"),
        },
        (None, [only]) => return Ok(only),
        (None, _) => format!("the file has the coordinators {ids}: name one of them with --id"),
    };
    Err(Failure::new(USAGE, what))
}
