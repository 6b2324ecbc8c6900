//! Every flag of every subcommand. Flags that are keys of the configuration become its strongest layer.

mod membership;
pub mod operator;
#[cfg(test)]
mod tests;

use super::failure::exit_codes;
use super::filter::FilterArgs;
use super::schema::FieldsArgs;
use clap::{Args, Parser, Subcommand};
pub use lockstep_daemon::args::{ArchiverArgs, ClusterArgs, SequencerArgs, WatchArgs};
use lockstep_daemon::config;
use lockstep_wire::{Cursor, Destination, Identity, Seq};
pub use membership::{
    AckArgs, DeclareDeadArgs, HandoverArgs, MembershipAddArgs, MembershipArgs, MembershipCommand,
    MembershipRemoveArgs, MembershipReplaceArgs, TimeArgs, UpgradeArgs,
};
pub use operator::OperatorArgs;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// lockstep: a low-latency multicast sequencer. Many publishers, one order for everybody.
#[derive(Parser, Debug)]
#[command(name = "lockstep", version, after_help = exit_codes())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Creates a replica's journal and prints the identity that it drew
    Format(FormatArgs),
    /// Looks at what a journal still holds, and founds a new history on it: when a quorum is lost for good
    Recover(RecoverArgs),
    /// Starts a history: once in the life of a cluster, on one node
    Bootstrap(BootstrapArgs),
    /// Lists, prints, checks, compares and exports what the files of a journal hold, also while its node runs
    Journal(super::journal::JournalArgs),
    /// Copies the committed log of a node that runs or is stopped into a backup, or checks one
    Backup(super::backup::BackupArgs),
    /// Begins a new history with a backup: on one replica, when no journal is left or all are to be replaced
    Restore(super::restore::RestoreArgs),
    /// Runs a replica until SIGTERM
    Sequencer(SequencerArgs),
    /// Runs an archiver until SIGTERM: it keeps the whole stream, repairs and replays it, and never votes
    Archiver(ArchiverArgs),
    /// Runs a gateway until SIGTERM: SoupBinTCP clients on the stream
    Gateway(Box<super::gateway::GatewayArgs>),
    /// Multicasts the committed stream as MoldUDP64 until SIGTERM, and answers requests for what was missed
    Feed(super::feed::FeedArgs),
    /// Copies the committed stream into PostgreSQL, NATS JetStream or files until SIGTERM
    #[command(disable_help_flag = true)]
    Bridge(super::beside::PassedArgs),
    /// A sequencer's watcher: started by it, with what it needs on stdin and stdout
    #[command(hide = true)]
    Watch(WatchArgs),
    /// Publishes the messages of a file or of stdin, and waits until all are committed
    Publish(PublishArgs),
    /// Prints the stream
    Subscribe(SubscribeArgs),
    /// Tells whether the cluster is healthy, who leads, since when, and where each replica stands
    Status(StatusArgs),
    /// Tells what stands behind the first line of `status`: each cause, who sees whom, and what mends it
    Why(super::why::WhyArgs),
    /// Does what mends a cause, step by step, asking before each
    Fix(super::why::FixArgs),
    /// Grades the cluster for a monitor: Nagios, text, JSON; exits 0, 1, 2 or 3 as Nagios plugins do
    Health(super::health::HealthArgs),
    /// Waits until something holds: a leader, a quorum, caught-up members, a committed seq, a trading day
    Wait(super::wait::WaitArgs),
    /// Checks this host and, with --probe, the network between hosts, and prints what mends each fault
    Doctor(super::doctor::DoctorArgs),
    /// Restarts, reloads or upgrades the nodes of all hosts, one after another, and stops at the first doubt
    Rolling(super::rolling::RollingArgs),
    /// Rehearses failovers on a running cluster, measures them, and writes a report
    Drill(Box<super::drill::DrillArgs>),
    /// Gathers what support needs to see into one file without secrets, or reads such a file
    Bundle(super::bundle::BundleArgs),
    /// Shows the cluster on one screen, refreshed live
    Top(Box<super::top::TopArgs>),
    /// Serves a page that shows the cluster and the newest messages in a browser, read only
    Web(Box<super::web::WebArgs>),
    /// Shows what was missing at this host's replicas, why, who repaired it and after how long
    Losses(super::losses::LossesArgs),
    /// Shows everything that the processes of this host count, by group, with unit and meaning
    Counters(super::counters::CountersArgs),
    /// Shows the events of all nodes in the order of time: roles, suspicions, elections, conditions
    Events(super::events::EventsArgs),
    /// Lets the daemons of this host read configuration, keys, users and certificates again
    Reload(super::reload::ReloadArgs),
    /// Checks a schema of payloads, or prints sources and a script of Wireshark for it
    Schema(super::schema::SchemaArgs),
    /// Explains a code of the log, of a configuration or of an exit, and what to do
    Explain(super::explain::ExplainArgs),
    /// Lists all metrics
    Metrics(super::metrics::MetricsArgs),
    /// Prints what a shell completes
    Completions(super::completions::CompletionsArgs),
    /// Shows or changes who votes
    Membership(MembershipArgs),
    /// Ends a condition that is a note of something past
    Ack(AckArgs),
    /// Tells the leader to give its place to another
    Handover(HandoverArgs),
    /// Shows which versions the nodes speak, and ends an upgrade that was made node by node
    Upgrade(UpgradeArgs),
    /// Shows the stream's time beside the nodes' clocks, and sets it back where it ran ahead
    Time(TimeArgs),
    /// Makes the keys of a cluster, gives them to processes, and changes them while the stream runs
    Keys(super::keys::KeysArgs),
    /// Marks where a trading day begins or ends
    Day(super::day::DayArgs),
    /// Prints who ordered what, and when, as the stream has it
    Audit(super::audit::AuditArgs),
    /// Signs what the committed stream was until SIGTERM, and publishes the signatures into it
    Notary(super::notary::NotaryArgs),
    /// Proves that one entry stood at its place, or checks such a proof
    Prove(super::prove::ProveArgs),
    /// Two nodes without a witness: lets the survivor go on alone. Only if the other is gone for good
    DeclareDead(DeclareDeadArgs),
    /// Judges a configuration: all problems at once
    Check(CheckArgs),
    /// Runs a whole cluster on this host, by default on its loopback, and shows that everybody ends with one
    /// digest
    #[command(disable_help_flag = true)]
    Demo(super::beside::PassedArgs),
    /// Runs three replicas on this host until Ctrl-C, and prints their file: for writing programs
    #[command(disable_help_flag = true)]
    Dev(super::beside::PassedArgs),
    /// Judges the protocol: the whole cluster over a virtual network, disk and clock, thousands of times
    #[command(disable_help_flag = true)]
    Sim(super::beside::PassedArgs),
    /// Shows what loss costs receivers and the network, as a table in virtual time
    #[command(disable_help_flag = true)]
    Netsim(super::beside::PassedArgs),
    /// Protocols of the theory: explored, broken, priced and drawn, beside lockstep itself
    #[command(disable_help_flag = true)]
    Lab(super::beside::PassedArgs),
    /// Makes a project with a replicated state machine, a test of it, and its trial under faults
    New(super::new::NewArgs),
    /// Tells what each exit code means
    #[command(after_help = exit_codes())]
    ExitCodes,
}

/// Flags of `format`.
#[derive(Args, Debug)]
pub struct FormatArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Which replica of the configuration this is
    #[arg(long, value_name = "N", env = "LOCKSTEP_REPLICA", required_unless_present = "archiver")]
    pub replica: Option<u32>,
    /// Which archiver of the configuration this is, instead
    #[arg(long, value_name = "N", env = "LOCKSTEP_ARCHIVER")]
    pub archiver: Option<u32>,
    /// Reads every record of an existing journal instead; damage exits 3 and is named
    #[arg(long)]
    pub verify: bool,
    /// Checks the journal against what notaries have signed as well; the file `notaries` of security.keys
    /// lists those that count
    #[arg(long, requires = "verify")]
    pub attested: bool,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `recover`.
#[derive(Args, Debug)]
pub struct RecoverArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Which replica of the configuration this is; its sequencer must not run
    #[arg(long, value_name = "N", env = "LOCKSTEP_REPLICA")]
    pub replica: Option<u32>,
    /// Which archiver of the configuration this is, instead: to look at its journal
    #[arg(long, value_name = "N", env = "LOCKSTEP_ARCHIVER", conflicts_with = "replica")]
    pub archiver: Option<u32>,
    /// Looks at the journal in this folder instead, an archiver's or a copy of any; with --accept-loss the
    /// replica gets a copy of it
    #[arg(long, value_name = "DIR", requires = "replica")]
    pub from: Option<PathBuf>,
    /// Founds a new history behind the last entry of this journal. What it lacks is lost for good
    #[arg(long, requires = "replica")]
    pub accept_loss: bool,
    /// Judges what `recover --json` printed on several hosts: which journal holds most
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["from", "accept_loss"])]
    pub compare: Vec<PathBuf>,
    /// How long to look for a leader before a history is founded
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = config::duration, env = "LOCKSTEP_TIMEOUT")]
    pub timeout: Duration,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `bootstrap`.
#[derive(Args, Debug)]
pub struct BootstrapArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Which replica of the configuration this is; its sequencer must not run
    #[arg(long, value_name = "N", env = "LOCKSTEP_REPLICA")]
    pub replica: u32,
    /// What `format` printed for another replica, like 2:0a3f9c1; repeatable. Those not given are asked
    /// over the network, and so must run already
    #[arg(long, value_name = "IDENTITY")]
    pub identity: Vec<Identity>,
    /// The version in which the log begins; the newest of this release, unless a node has an older one
    #[arg(long, value_name = "VERSION")]
    pub log_version: Option<u8>,
    /// How long to ask the others
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = config::duration, env = "LOCKSTEP_TIMEOUT")]
    pub timeout: Duration,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `publish`.
#[derive(Args, Debug)]
pub struct PublishArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The publisher's name: bound to one id for the life of the stream. Opening it fences whoever had it
    #[arg(long, value_name = "NAME", env = "LOCKSTEP_NAME")]
    pub name: String,
    /// Messages: one a line, unless a flag says otherwise; - is stdin
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// Each message follows its length, 4 bytes little-endian, as `subscribe --raw` prints them
    #[arg(long, conflicts_with = "hex")]
    pub length_prefixed: bool,
    /// Each line is a message in hexadecimal digits
    #[arg(long)]
    pub hex: bool,
    /// The destination of the messages; 0 is everybody
    #[arg(long, value_name = "N", default_value_t = 0, env = "LOCKSTEP_DESTINATION")]
    pub destination: Destination,
    /// Prints a line for each message that is committed, as soon as it is: its number in the input, counted
    /// from 1, and its seq
    #[arg(long)]
    pub outcomes: bool,
    /// One JSON object for each of those
    #[arg(long, requires = "outcomes")]
    pub json: bool,
    /// How long to wait for the name to be opened, and then for the next message to be committed
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = config::duration, env = "LOCKSTEP_TIMEOUT")]
    pub timeout: Duration,
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug)]
pub enum Beginning {
    /// With this seq.
    Seq(Seq),
    /// With what is stamped from now on.
    Live,
    /// With the oldest that any journal holds.
    Oldest,
    /// Where another subscription ended.
    Cursor(Cursor),
}

impl FromStr for Beginning {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "live" => Ok(Self::Live),
            "oldest" => Ok(Self::Oldest),
            _ if text.contains(':') => text.parse().map(Self::Cursor),
            _ => match text.parse() {
                Ok(seq) if seq > 0 => Ok(Self::Seq(seq)),
                _ => Err("write a seq, the first is 1, or oldest, or live, or a cursor".to_owned()),
            },
        }
    }
}

/// Flags of `subscribe`.
#[derive(Args, Debug)]
pub struct SubscribeArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Delivers when the leader's datagram arrives: earlier, and not final
    #[arg(long, conflicts_with = "committed")]
    pub stamped: bool,
    /// Delivers what is final (the default)
    #[arg(long)]
    pub committed: bool,
    /// Delivers what a notary has signed; the file `notaries` of security.keys lists those that count
    #[arg(long, conflicts_with_all = ["stamped", "committed"])]
    pub attested: bool,
    /// The first seq, oldest, live, or the cursor that an earlier run printed
    #[arg(long, value_name = "SEQ|oldest|live|CURSOR", default_value = "1", env = "LOCKSTEP_FROM")]
    pub from: Beginning,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Ends after so many messages are printed
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Ends at the commit that the replicas tell at the start
    #[arg(long)]
    pub until_end: bool,
    /// Exits 4 when nothing was delivered for so long; without it only the end is waited for, 10s
    #[arg(long, value_name = "TIME", value_parser = config::duration, env = "LOCKSTEP_TIMEOUT")]
    pub timeout: Option<Duration>,
    /// One JSON object a line, payloads in hexadecimal digits
    #[arg(long, conflicts_with = "raw")]
    pub json: bool,
    /// Each payload as text too, null where it is none
    #[arg(long, requires = "json")]
    pub text: bool,
    #[command(flatten)]
    pub fields: FieldsArgs,
    /// Names in the place of numbers, as far as their opens were read: publishers, everybody, channel:N
    #[arg(long, conflicts_with_all = ["json", "raw"])]
    pub names: bool,
    /// A line for everything else that has a seq: opens, closes, trading days, epochs
    #[arg(long, conflicts_with = "raw")]
    pub events: bool,
    /// Payloads, each behind its length, 4 bytes little-endian
    #[arg(long, conflicts_with = "schema")]
    pub raw: bool,
}

/// Flags of `status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How long to look for a leader; a takeover lasts some milliseconds
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = config::duration)]
    pub timeout: Duration,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The file, instead of --config
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Prints each value with its origin
    #[arg(long)]
    pub effective: bool,
    /// Prints each key that differs between two files, and what the change needs: nothing, a reload,
    /// restarts, a command, a stop. Variables and other flags do not count
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with_all = ["file", "effective"])]
    pub diff: Vec<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}
