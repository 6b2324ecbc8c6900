//! The flags of the demo, and those that it passes to its children.

use crate::dev::DevArgs;
use clap::{Args, Parser, Subcommand, ValueEnum};
use lockstep_daemon::args::{SequencerArgs, WatchArgs};
use lockstep_daemon::config;
use lockstep_daemon::coordinator::CoordinatorArgs;
use lockstep_daemon::feed::FeedArgs;
use lockstep_daemon::gateway::GatewayArgs;
use std::path::PathBuf;
use std::time::Duration;

/// The commands of this program. Each is one of `lockstep` to whoever reads its help.
#[derive(Parser, Debug)]
#[command(name = "lockstep", bin_name = "lockstep", version)]
pub struct DemoCli {
    /// What to do.
    #[command(subcommand)]
    pub command: DemoCommand,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum DemoCommand {
    /// Runs a whole cluster on this host, by default on its loopback, and shows that everybody ends with one
    /// digest
    Demo(DemoArgs),
    /// Runs three replicas on this host until Ctrl-C, and prints their file: for writing programs
    Dev(DevArgs),
    /// The clients of the demo's gateways
    #[command(hide = true)]
    DemoClients(DemoSenderArgs),
    /// The application of the demo
    #[command(hide = true)]
    DemoExchange(DemoChildArgs),
    /// A publisher of the demo
    #[command(hide = true)]
    DemoPublisher(DemoPublisherArgs),
    /// A subscriber of the demo
    #[command(hide = true)]
    DemoSubscriber(DemoSubscriberArgs),
    /// A replica, as production runs it
    #[command(hide = true)]
    Sequencer(SequencerArgs),
    /// A gateway, as production runs it
    #[command(hide = true)]
    Gateway(Box<GatewayArgs>),
    /// A feed, as production runs it
    #[command(hide = true)]
    Feed(FeedArgs),
    /// A coordinator of a set, as production runs it
    #[command(hide = true)]
    Coordinator(CoordinatorArgs),
    /// A replica's watcher, which it starts itself
    #[command(hide = true)]
    Watch(WatchArgs),
}

/// Flags of `demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Orders in all (200000, or more where what is killed needs it); the recorded flow is repeated as often
    /// as that takes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub messages: Option<u64>,
    /// Orders per second in all; 0 is as fast as possible
    #[arg(long, value_name = "R", default_value_t = 20_000)]
    pub rate: u64,
    /// Publishes the orders without gateways, clients and answers: what the stream alone carries
    #[arg(long)]
    pub direct: bool,
    #[command(flatten)]
    pub wire: WireArgs,
    #[command(flatten)]
    pub fault_injection: FaultInjectionArgs,
    /// Takes the leader away so many times while orders flow: by turns kill -9 and restart, stop and resume
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub kill_leader: u32,
    /// Kills a gateway so many times while orders flow, by turns: its clients go on at the other one
    #[arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        default_value_t = 0,
        default_missing_value = "1",
        conflicts_with = "direct"
    )]
    pub kill_gateway: u32,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
    /// Keeps the folder with configuration, journals and logs, and says where it is
    #[arg(long)]
    pub keep: bool,
}

impl DemoArgs {
    /// Orders in all: a leader that is struck and what follows take up to two seconds, and a gateway
    /// likewise.
    pub fn messages(&self) -> u64 {
        self.messages.unwrap_or_else(|| self.needed().max(200_000))
    }

    /// Orders during which everything can be struck that is to be struck; 0 where the rate is not known.
    fn needed(&self) -> u64 {
        let strikes = u64::from(self.kill_leader) + u64::from(self.kill_gateway);
        strikes.saturating_mul(self.rate).saturating_mul(2)
    }

    /// Refuses a flow that would be over before everything was struck.
    ///
    /// # Errors
    /// It would: with how many orders, or at which rate, it would not.
    pub fn check(&self) -> Result<(), String> {
        let (published, needed) = (self.messages(), self.needed());
        if published >= needed {
            return Ok(());
        }
        let slower = published * self.rate / needed;
        let rate = if slower > 0 { format!(", or --rate {slower}") } else { String::new() };
        Err(format!(
            "--messages {published} at --rate {} is over after {:.1} s, before the leader is taken away {} times and a gateway \
             {} times: that takes 2 s each; give --messages {needed}{rate}",
            self.rate,
            published as f64 / self.rate as f64,
            self.kill_leader,
            self.kill_gateway
        ))
    }
}

/// What carries the datagrams of the demo.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub enum Carrier {
    /// The kernel's sockets.
    Udp,
    /// The kernel's sockets, without multicast.
    Unicast,
    /// The best of them that works.
    Auto,
    /// Memory.
    Shm,
    /// A card by AF_XDP, which one process owns and hands on to the others by memory.
    Xdp,
}

impl Carrier {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Unicast => "unicast",
            Self::Auto => "auto",
            Self::Shm => "shm",
            Self::Xdp => "xdp",
        }
    }
}

/// By which way they go.
#[derive(Args, Debug)]
pub struct WireArgs {
    /// What carries the datagrams from process to process
    #[arg(long, value_enum, value_name = "WORD", default_value_t = Carrier::Udp)]
    pub transport: Carrier,
    /// The interface of the groups, by name or address; on any but the loopback they leave this host
    #[arg(long, value_name = "NAME", default_value = "127.0.0.1")]
    pub interface: String,
}

/// A network that is worse than the loopback.
#[derive(Args, Debug)]
pub struct FaultInjectionArgs {
    /// Every process loses this share of what it receives (fault_injection.loss)
    #[arg(long, value_name = "PERCENT", value_parser = config::share)]
    pub loss: Option<String>,
    /// receives this share twice (fault_injection.duplication)
    #[arg(long, value_name = "PERCENT", value_parser = config::share)]
    pub duplicate: Option<String>,
    /// receives this share behind later ones (fault_injection.reordering)
    #[arg(long, value_name = "PERCENT", value_parser = config::share)]
    pub reorder: Option<String>,
    /// and everything so late (fault_injection.delay)
    #[arg(long, value_name = "TIME", value_parser = config::duration)]
    pub delay: Option<Duration>,
    /// Decides which datagrams those are (fault_injection.seed)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub loss_seed: Option<u64>,
}

impl FaultInjectionArgs {
    /// The keys of `[fault_injection]` that are asked for, each with its value as a file has it.
    pub fn keys(&self) -> Vec<(&'static str, String)> {
        let delay = self.delay.map(|delay| format!("{}ns", delay.as_nanos()));
        let shares = [("loss", &self.loss), ("duplication", &self.duplicate), ("reordering", &self.reorder)];
        let shares = shares.map(|(key, value)| (key, value.clone()));
        let texts = shares.into_iter().chain([("delay", delay)]);
        let mut keys: Vec<_> =
            texts.filter_map(|(key, value)| value.map(|value| (key, format!("\"{value}\"")))).collect();
        keys.extend(self.loss_seed.map(|seed| ("seed", seed.to_string())));
        keys
    }
}

/// What the demo tells each of its children.
#[derive(Args, Debug)]
pub struct DemoChildArgs {
    /// The demo's configuration.
    #[arg(long)]
    pub config: PathBuf,
    /// Orders of all publishers.
    #[arg(long)]
    pub messages: u64,
    /// Core to be pinned to.
    #[arg(long)]
    pub core: Option<usize>,
}

/// What the demo tells whoever sends orders.
#[derive(Args, Debug)]
pub struct DemoSenderArgs {
    #[command(flatten)]
    pub child: DemoChildArgs,
    /// Orders per second of all publishers.
    #[arg(long)]
    pub rate: u64,
}

/// What the demo tells a publisher.
#[derive(Args, Debug)]
pub struct DemoPublisherArgs {
    #[command(flatten)]
    pub sender: DemoSenderArgs,
    /// Which of the publishers it is, from 0.
    #[arg(long)]
    pub number: u16,
}

/// What the demo tells a subscriber.
#[derive(Args, Debug)]
pub struct DemoSubscriberArgs {
    #[command(flatten)]
    pub child: DemoChildArgs,
    /// Whether it delivers what is stamped.
    #[arg(long)]
    pub stamped: bool,
    /// Whether each order is answered.
    #[arg(long)]
    pub answered: bool,
    /// So many orders come first, at a low rate.
    #[arg(long)]
    pub quiet: u64,
}
