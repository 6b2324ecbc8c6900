//! The commands, each with its line of help. A command's flags are its own; none imports this.

#[cfg(test)]
mod tests;

use crate::cli::{develop, inspect, operate, run, store};
use clap::{Parser, Subcommand};
use lockstep_daemon::args::{ArchiverArgs, SequencerArgs, WatchArgs};
use lockstep_daemon::failure::exit_codes;
use lockstep_daemon::{coordinator, feed, gateway, notary};

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
    Format(run::format::FormatArgs),
    /// Looks at what a journal still holds, and founds a new history on it: when a quorum is lost for good
    Recover(store::recover::RecoverArgs),
    /// Starts a history: once in the life of a cluster, on one node
    Bootstrap(run::bootstrap::BootstrapArgs),
    /// Lists, prints, checks, compares and exports what the files of a journal hold, also while its node runs
    Journal(store::journal::JournalArgs),
    /// Copies the committed log of a node that runs or is stopped into a backup, or checks one
    Backup(store::backup::BackupArgs),
    /// Begins a new history with a backup: on one replica, when no journal is left or all are to be replaced
    Restore(store::restore::RestoreArgs),
    /// Runs a replica until SIGTERM
    Sequencer(SequencerArgs),
    /// Runs an archiver until SIGTERM: it keeps the whole stream, repairs and replays it, and never votes
    Archiver(ArchiverArgs),
    /// Runs a gateway until SIGTERM: SoupBinTCP clients on the stream
    Gateway(Box<gateway::GatewayArgs>),
    /// Multicasts the committed stream as MoldUDP64 until SIGTERM, and answers requests for what was missed
    Feed(feed::FeedArgs),
    /// Copies the committed stream into PostgreSQL, NATS JetStream or files until SIGTERM
    #[command(disable_help_flag = true)]
    Bridge(develop::beside::PassedArgs),
    /// A sequencer's watcher: started by it, with what it needs on stdin and stdout
    #[command(hide = true)]
    Watch(WatchArgs),
    /// Publishes the messages of a file or of stdin, and waits until all are committed
    Publish(run::publish::PublishArgs),
    /// Prints the stream
    Subscribe(run::subscribe::SubscribeArgs),
    /// Tells whether the cluster is healthy, who leads, since when, and where each replica stands
    Status(inspect::status::StatusArgs),
    /// Tells what stands behind the first line of `status`: each cause, who sees whom, and what mends it
    Why(inspect::why::WhyArgs),
    /// Does what mends a cause, step by step, asking before each
    Fix(inspect::why::FixArgs),
    /// Grades the cluster for a monitor: Nagios, text, JSON; exits 0, 1, 2 or 3 as Nagios plugins do
    Health(inspect::health::HealthArgs),
    /// Waits until something holds: a leader, a quorum, caught-up members, a committed seq, a trading day
    Wait(inspect::wait::WaitArgs),
    /// Checks this host and, with --probe, the network between hosts, and prints what mends each fault
    Doctor(inspect::doctor::DoctorArgs),
    /// Restarts, reloads or upgrades the nodes of all hosts, one after another, and stops at the first doubt
    Rolling(operate::rolling::RollingArgs),
    /// Rehearses failovers on a running cluster, measures them, and writes a report
    Drill(Box<operate::drill::DrillArgs>),
    /// Gathers what support needs to see into one file without secrets, or reads such a file
    Bundle(inspect::bundle::BundleArgs),
    /// Shows the cluster on one screen, refreshed live
    Top(Box<inspect::top::TopArgs>),
    /// Serves a page that shows the cluster and the newest messages in a browser, read only
    Web(Box<inspect::web::WebArgs>),
    /// Shows what was missing at this host's replicas, why, who repaired it and after how long
    Losses(inspect::losses::LossesArgs),
    /// Shows everything that the processes of this host count, by group, with unit and meaning
    Counters(inspect::counters::CountersArgs),
    /// Shows the events of all nodes in the order of time: roles, suspicions, elections, conditions
    Events(inspect::events::EventsArgs),
    /// Lets the daemons of this host read configuration, keys, users and certificates again
    Reload(operate::reload::ReloadArgs),
    /// Checks a schema of payloads, or prints sources and a script of Wireshark for it
    Schema(develop::schema::SchemaArgs),
    /// Explains a code of the log, of a configuration or of an exit, and what to do
    Explain(inspect::explain::ExplainArgs),
    /// Lists all metrics
    Metrics(inspect::metrics::MetricsArgs),
    /// Prints what a shell completes
    Completions(develop::completions::CompletionsArgs),
    /// Shows or changes who votes
    Membership(operate::membership::MembershipArgs),
    /// Ends a condition that is a note of something past
    Ack(operate::ack::AckArgs),
    /// Tells the leader to give its place to another
    Handover(operate::handover::HandoverArgs),
    /// Shows which versions the nodes speak, and ends an upgrade that was made node by node
    Upgrade(operate::upgrade::UpgradeArgs),
    /// Shows the stream's time beside the nodes' clocks, and sets it back where it ran ahead
    Time(operate::time::TimeArgs),
    /// Makes the keys of a cluster, gives them to processes, and changes them while the stream runs
    Keys(operate::keys::KeysArgs),
    /// Marks where a trading day begins or ends
    Day(operate::day::DayArgs),
    /// Prints who ordered what, and when, as the stream has it
    Audit(inspect::audit::AuditArgs),
    /// Signs what the committed stream was until SIGTERM, and publishes the signatures into it
    Notary(notary::NotaryArgs),
    /// Reads all streams of a set until SIGTERM, and publishes the cuts that make one order of them
    Coordinator(coordinator::CoordinatorArgs),
    /// Shows or changes which streams of a set are merged into one order
    Streams(operate::streams::StreamsArgs),
    /// Proves that one entry stood at its place, or checks such a proof
    Prove(inspect::prove::ProveArgs),
    /// Two nodes without a witness: lets the survivor go on alone. Only if the other is gone for good
    DeclareDead(operate::declare_dead::DeclareDeadArgs),
    /// Judges a configuration: all problems at once
    Check(inspect::check::CheckArgs),
    /// Runs a whole cluster on this host, by default on its loopback, and shows that everybody ends with one
    /// digest
    #[command(disable_help_flag = true)]
    Demo(develop::beside::PassedArgs),
    /// Runs three replicas on this host until Ctrl-C, and prints their file: for writing programs
    #[command(disable_help_flag = true)]
    Dev(develop::beside::PassedArgs),
    /// Judges the protocol: the whole cluster over a virtual network, disk and clock, thousands of times
    #[command(disable_help_flag = true)]
    Sim(develop::beside::PassedArgs),
    /// Shows what loss costs receivers and the network, as a table in virtual time
    #[command(disable_help_flag = true)]
    Netsim(develop::beside::PassedArgs),
    /// Protocols of the theory: explored, broken, priced and drawn, beside lockstep itself
    #[command(disable_help_flag = true)]
    Lab(develop::beside::PassedArgs),
    /// Makes a project with a replicated state machine, a test of it, and its trial under faults
    New(develop::new::NewArgs),
    /// Tells what each exit code means
    #[command(after_help = exit_codes())]
    ExitCodes,
}
