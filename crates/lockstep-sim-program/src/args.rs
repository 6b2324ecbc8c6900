//! The flags of the simulator.

use clap::{Args, Parser, Subcommand};
use lockstep_sim::year::MONTHS;
use lockstep_sim::{Plan, discards_unfinished, has_rejoiners};
use std::path::PathBuf;
use std::str::FromStr;

/// The commands of this program. Each is one of `lockstep` to whoever reads its help.
#[derive(Parser, Debug)]
#[command(name = "lockstep", bin_name = "lockstep", version)]
pub struct SimCli {
    /// What to do.
    #[command(subcommand)]
    pub command: SimCommand,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum SimCommand {
    /// Judges the protocol: the whole cluster over a virtual network, disk and clock, thousands of times
    Sim(SimArgs),
    /// Shows what loss costs receivers and the network, as a table in virtual time
    Netsim(NetsimArgs),
}

/// Flags of `netsim`.
#[derive(Args, Debug)]
pub struct NetsimArgs {
    /// Only rows whose name contains all of these words, e.g. "bursts 1 %"
    #[arg(long, value_name = "WORDS")]
    pub only: Option<String>,
    /// Prints the names of the rows and runs none
    #[arg(long)]
    pub names: bool,
    /// Instead: what readers of one of so many destinations would gain by delivery past gaps of the others
    #[arg(long, value_name = "DESTINATIONS", value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub past_gaps: Option<u64>,
    /// Threads
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub jobs: usize,
}

impl SimArgs {
    /// The plan of a seed; `None` where such seeds are passed over.
    pub fn plan_of(&self, seed: u64) -> Option<Plan> {
        if self.year {
            return Some(Plan::of_year(seed, MONTHS));
        }
        let plan = Plan::of_seed(seed);
        let is_wanted = (!self.joining || plan.has_joiners())
            && (!self.vanishing || plan.loses_files())
            && (!self.repeating || plan.repeats_orders())
            && (!self.rejoining || has_rejoiners(&plan))
            && (!self.restoring || plan.restores_late())
            && (!self.unfinished || discards_unfinished(&plan));
        is_wanted.then_some(plan)
    }

    /// Whether seeds of all kinds are run.
    pub fn runs_all(&self) -> bool {
        let Self { joining, vanishing, repeating, rejoining, restoring, unfinished, year, sets, .. } = *self;
        !(joining || vanishing || repeating || rejoining || restoring || unfinished || year || sets)
    }
}

impl NetsimArgs {
    /// Whether a row of this name is asked for.
    pub fn is_wanted(&self, name: &str) -> bool {
        let words: Vec<_> = name.split_whitespace().collect();
        self.only.as_deref().unwrap_or_default().split_whitespace().all(|word| words.contains(&word))
    }
}

/// Flags of `sim`.
#[derive(Args, Debug)]
pub struct SimArgs {
    /// How many seeds; 10000 without --seconds
    #[arg(long, value_name = "N")]
    pub seeds: Option<u64>,
    /// The first of them; without it one is drawn that nobody has run
    #[arg(long, value_name = "S")]
    pub first: Option<u64>,
    /// Ends after so many seconds
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,
    /// Of these seeds only those in which nodes join behind retention
    #[arg(long)]
    pub joining: bool,
    /// Of these seeds only those in which files of journals vanish
    #[arg(long)]
    pub vanishing: bool,
    /// Of these seeds only those in which orders are given half, or twice
    #[arg(long)]
    pub repeating: bool,
    /// Of these seeds only those in which replicas without a journal rejoin by themselves
    #[arg(long)]
    pub rejoining: bool,
    /// Of these seeds only those in which a history is founded on what retention has left
    #[arg(long)]
    pub restoring: bool,
    /// Of these seeds only those in which messages in parts are left unfinished and are discarded
    #[arg(long)]
    pub unfinished: bool,
    /// Each seed is a year of trading days
    #[arg(long, conflicts_with_all = ["joining", "vanishing", "repeating", "rejoining", "restoring", "unfinished"])]
    pub year: bool,
    /// Each seed is several clusters with one order over them
    #[arg(long, conflicts_with_all = ["joining", "vanishing", "repeating", "rejoining", "restoring", "unfinished", "year", "seed", "svg", "explore"])]
    pub sets: bool,
    /// Threads
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub jobs: usize,
    /// One seed only
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "first", "seconds", "joining", "vanishing", "repeating", "rejoining", "restoring", "unfinished"])]
    pub seed: Option<u64>,
    /// Prints what happens in that seed's run: faults, roles and events
    #[arg(long, requires = "seed")]
    pub verbose: bool,
    /// Prints every datagram as well
    #[arg(long, requires = "seed")]
    pub trace: bool,
    /// Draws the seed's run, or the first failure
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Weather that is switched off: loss, duplication, lateness, corruption
    #[arg(long, value_name = "WORD,…", value_delimiter = ',', requires = "seed")]
    pub calm: Vec<String>,
    /// Only these of the seed's faults, by number, or none
    #[arg(long, value_name = "N,…", requires = "seed")]
    pub faults: Option<FaultList>,
    /// Fewer messages of each publisher
    #[arg(long, value_name = "N", requires = "seed")]
    pub messages: Option<u64>,
    /// Looks at every interleaving of three replicas instead, and then with a reader of each kind
    #[arg(long, conflicts_with_all = ["seeds", "first", "seconds", "joining", "vanishing", "repeating", "rejoining", "restoring", "unfinished", "year", "seed", "svg"])]
    pub explore: bool,
    /// Steps in a row up to which all interleavings are looked at
    #[arg(long, value_name = "N", default_value_t = 7, requires = "explore")]
    pub depth: u32,
    /// Steps of random walks behind that, through the same space
    #[arg(long, value_name = "N", default_value_t = 1_000_000, requires = "explore")]
    pub walk: u64,
}

/// Which faults of a seed strike.
#[derive(Clone, Debug)]
pub struct FaultList(pub Vec<usize>);

impl FromStr for FaultList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        let numbers: Result<Vec<usize>, _> = text.split(',').map(str::parse).collect();
        numbers.map(Self).map_err(|_| "write numbers with commas between them, like 0,3, or none".to_owned())
    }
}
