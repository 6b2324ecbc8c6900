//! `lockstep feed`: the committed stream, or the merged order of a set, as MoldUDP64, until SIGTERM.

mod reading;

use crate::args::ClusterArgs;
use crate::config::{Channel, Config, KeyUse};
use crate::coordinator::{choice, place, streams_of};
use crate::ended::{ReadingEnd, serve_whole_or_oldest};
use crate::failure::{FAILED, USAGE};
use crate::follows::FollowsLog;
use crate::observed::Observed;
use crate::reloader::{Daemon, ReloadAnswers, Reloader};
use crate::sequencer::{log_effective, stop_with_stdin};
use crate::{Failure, confined, counters_or_warning, log, network_wait, signals};
use clap::Args;
use lockstep_client::{Counted, Endpoint};
use lockstep_core::engine::networks::Networks;
use lockstep_gateway::feed::{Feed, FeedCounts, FeedError, FeedSource};
use lockstep_gateway::gateway::users::Recipient;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_io::multicast;
use lockstep_io::output::{self, OutputStream};
use lockstep_io::spool::Spool;
use lockstep_operations::acting;
use lockstep_process::confinement::{self, Becomes, Reach};
use lockstep_process::limits;
use lockstep_process::watcher::forbid_core_dumps;
use moldudp64::{RequestServer, ServerLimits};
use reading::FeedReading;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

/// The most messages of the stream in one turn.
const BATCH: usize = 256;
/// The most requests in one turn, so that a flood of them leaves time for the stream.
const REQUESTS_PER_TURN: usize = 32;
/// Longest sleep: a request for missing frames may be due.
const PAUSE_NS: u64 = 1_000_000;

/// The argument of `--of`.
#[derive(Clone, Debug)]
pub struct Of(FeedSource);

impl FromStr for Of {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self(FeedSource::All)),
            "self" => {
                Err("'self' is for users only: write all, everybody, client:NAME or channel:NUMBER".into())
            }
            _ => Recipient::from_str(text).map(|whom| Self(FeedSource::For(whom))),
        }
    }
}

/// Flags of `feed`.
#[derive(Args, Debug)]
pub struct FeedArgs {
    /// The cluster's file.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The group that the feed is sent to, on the interface of the first line
    #[arg(long, value_name = "IP:PORT")]
    pub group: SocketAddrV4,
    /// Where missing messages are asked for
    #[arg(long, value_name = "IP:PORT")]
    pub requests: SocketAddr,
    /// What it carries: all, everybody, client:NAME, channel:NUMBER
    #[arg(long, value_name = "WHOM", default_value = "all")]
    pub of: Of,
    /// Carries all streams of the set, in their merged order; days are the home stream's
    #[arg(long)]
    pub merged: bool,
    /// Ends when stdin does: for whoever starts it as a child
    #[arg(long, hide = true)]
    pub until_stdin_ends: bool,
}

/// Runs until it must stop.
pub fn run(args: &FeedArgs) -> Result<u8, Failure> {
    log::begin_daemon();
    let (configs, chosen) = configs(args)?;
    let config = &configs[0];
    acting::not_as_root(config)?;
    log::start(&config.log);
    if !args.group.ip().is_multicast() {
        return Err(Failure::new(
            USAGE,
            format!("--group {}: no group; write one from 224.0.0.0/4", args.group),
        ));
    }
    // The process has the readers' key in memory.
    log_effective(&forbid_core_dumps());
    limits::in_place_of_capabilities();
    let reloader = Reloader::new(Daemon::Feed, &args.cluster, &chosen, config)?;
    let reach = confined::of_feed(&configs, reloader.file());
    confinement::begin(&reach);
    let stop = signals::stop_flag()?;
    if args.until_stdin_ends {
        stop_with_stdin(Arc::clone(&stop))?;
    }
    let until_then = "the feed waits for the start of a trading day";
    let mut needed = network_wait::of_handles(config, [args.requests]);
    needed.extend(configs[1..].iter().flat_map(|other| network_wait::of_handles(other, [])));
    if !network_wait::wait(&needed, config, &stop)? {
        return Ok(0);
    }
    let observed = reloader.observed();
    observed.begin(config);
    let endpoints: Vec<_> = configs.iter().map(Endpoint::from_config).collect::<Result<_, _>>()?;
    let (changed, changes) = channel();
    let answers = reloader.start_for_all(KeyUse::Handle, (&configs, &endpoints), move |config| {
        let _ = changed.send(config.feed.allow.clone()); // a feed that is ending does not take it
    })?;
    let mut allowed = Allowed { networks: config.feed.allow.clone(), changes };
    let names = configs.iter().map(|config| config.stream_name().to_owned());
    let streams: Vec<_> = names.zip(endpoints).collect();
    serve_whole_or_oldest(until_then, |reading| {
        let process = (config, &*streams, &observed, &answers);
        serve(args, process, (&reach, &stop), &mut allowed, reading)
    })
}

/// A key of the file that is set, with the word for where.
type Chosen = (&'static str, String, String);

/// The configurations of the streams that it reads, and the choice of the first one.
fn configs(args: &FeedArgs) -> Result<(Vec<Config>, Vec<Chosen>), Failure> {
    if !args.merged {
        return Ok((vec![args.cluster.load(&[])?], Vec::new()));
    }
    if matches!(args.of.0, FeedSource::For(Recipient::Client(_))) {
        let what = "--of client: a client has an id in each stream of its own; feed one stream, or a channel";
        return Err(Failure::new(USAGE, what));
    }
    let configs = streams_of(&args.cluster)?;
    let chosen = choice(&place(&configs[0]).home().name);
    Ok((configs, vec![chosen]))
}

/// The networks whose requests are answered, and those of the last reload.
struct Allowed {
    networks: Option<Networks>,
    changes: Receiver<Option<Networks>>,
}

impl Allowed {
    /// Whether they have changed.
    fn has_changed(&mut self) -> bool {
        let Some(newest) = self.changes.try_iter().last() else { return false };
        self.networks = newest;
        true
    }
}

fn failed(error: FeedError) -> Failure {
    Failure::new(FAILED, error)
}

/// A message that does not fit a datagram has no number, and no receiver learns of it. A channel that allows
/// such messages is refused; for any other source there is a warning, as its messages may be as long as the
/// stream's.
fn judge_lengths(source: &FeedSource, config: &Config, takes: usize) -> Result<(), Failure> {
    if let FeedSource::For(Recipient::Channel(number)) = source {
        let fits = |channel: &Channel| channel.message_len_max as usize <= takes;
        if !config.channel(*number).is_some_and(fits) {
            let what = format!(
                "--of channel:{number}: no limit keeps its messages within the {takes} bytes of a datagram, \
                 and longer ones would be skipped; add [[channels]] with id = {number} to the file, here \
                 and on each host that publishes for it"
            );
            return Err(Failure::new(USAGE, what));
        }
    } else if config.stream.message_len_max as usize > takes {
        tracing::warn!(
            takes,
            stream_message_len_max = config.stream.message_len_max,
            "messages longer than a datagram are skipped: lower stream.message_len_max, or publish the \
             feed's messages on a channel, and feed that"
        );
    }
    Ok(())
}

/// The feed, with disk spools for two sessions.
fn open_feed(
    args: &FeedArgs,
    config: &Config,
    mtu: usize,
    reading: &ReadingEnd,
) -> Result<Feed<Spool>, Failure> {
    let (spool, len) = (&config.gateway.spool, config.gateway.spool_size_bytes);
    let spools = [Spool::open(spool, len)?, Spool::open(spool, len)?];
    let server = RequestServer::new(ServerLimits::default());
    // The headers of IPv4 and UDP.
    let len_max = mtu - 28;
    let feed = Feed::new(args.of.0.clone(), len_max, spools, reading.is_whole(), server).map_err(failed)?;
    judge_lengths(&args.of.0, config, feed.message_len_max())?;
    Ok(feed)
}

/// The things that were reported already: each is reported once.
#[derive(Default)]
struct Reported {
    live: bool,
    too_long: bool,
}

impl Reported {
    fn report(&mut self, args: &FeedArgs, feed: &Feed<Spool>, requests: &UdpSocket, reach: &[Reach]) {
        if !self.too_long && feed.counts.too_long > 0 {
            self.too_long = true;
            tracing::warn!("a message is longer than a datagram: such messages have no number");
        }
        if !self.live && feed.is_live() {
            self.live = true;
            // Until now it may have had to open its sockets again.
            confined::complete(reach, Becomes::Other);
            let at = feed.next_number().map_or_else(String::new, |(session, next)| {
                format!(" session {} next {next}", String::from_utf8_lossy(session.as_bytes()))
            });
            let (group, requests) = (args.group, requests.local_addr().unwrap_or(args.requests));
            output::write_line(OutputStream::Out, format_args!("feeding {group} requests {requests}{at}"));
        }
    }
}

/// Serves until a stop is requested, or `reading` is over.
fn serve(
    args: &FeedArgs,
    (config, streams, observed, answers): (&Config, &[(String, Endpoint)], &Observed, &ReloadAnswers),
    (reach, stop): (&[Reach], &AtomicBool),
    allowed: &mut Allowed,
    reading: &mut ReadingEnd,
) -> Result<(), Failure> {
    let ttl = config.lines.first().map_or(1, |line| line.ttl);
    let group = multicast::sender(args.group, &config.udp().interface, ttl)?;
    let requests = multicast::requests(args.requests)?;
    let endpoint = &streams[0].1;
    let mut feed = open_feed(args, config, endpoint.mtu(), reading)?;
    feed.set_allowed(allowed.networks.clone());
    let mut handle = FeedReading::connect(streams, args.merged, reading)?;
    let mut send = |datagram: &[u8]| {
        // A datagram that is not sent is requested, like one that is lost.
        if let Err(error) = group.send(datagram) {
            tracing::debug!("a datagram was not sent: {error}");
        }
    };
    let name = format!("{}-{}", args.group.ip(), args.group.port());
    let created =
        Counted::create_daemon(endpoint, ("feed", &name), FeedCounts::ROWS, None, handle.counted_mut());
    let mut counted = counters_or_warning(observed, created);
    answers.begin_beside(counted.as_ref());
    let (clock, mut buffer, mut reported) = (Clock::start(), [0; 64], Reported::default());
    let mut follows = FollowsLog::new("its readers receive nothing new", endpoint.leaderless_ns_max());
    while !stop.load(Ordering::Acquire) {
        let now = clock.now();
        if allowed.has_changed() {
            feed.set_allowed(allowed.networks.clone());
        }
        let mut failure = None;
        let mut work = handle.poll(BATCH, |event| {
            failure = failure.take().or_else(|| reading.on_event(event));
            failure = failure.take().or_else(|| feed.on_stream(now, event, &mut send).map_err(failed).err());
            if failure.is_none() && !reading.lacks_beginning() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        if reading.lacks_beginning() {
            return Ok(());
        }
        feed.turn(now, &mut send);
        work += answer(&mut feed, &requests, &mut buffer, now)?;
        let is_connected = handle.is_connected();
        follows.look(now, is_connected);
        feed.counts.ready = u64::from(is_connected && feed.is_live());
        if let Some(counted) = &mut counted {
            counted.publish(now, &feed.counts.values(), None, handle.counted());
        }
        reported.report(args, &feed, &requests, reach);
        if work == 0 && endpoint.idle() != Idle::Spin {
            handle.wait(endpoint.idle(), &requests, PAUSE_NS)?;
        }
    }
    tracing::info!(counts = ?feed.counts, "stopped");
    Ok(())
}

fn answer(
    feed: &mut Feed<Spool>,
    requests: &UdpSocket,
    buffer: &mut [u8],
    now: u64,
) -> Result<usize, Failure> {
    for count in 0..REQUESTS_PER_TURN {
        let Ok((len, from)) = requests.recv_from(buffer) else { return Ok(count) };
        if let Some(datagram) = feed.on_request(now, from, &buffer[..len]).map_err(failed)? {
            let _ = requests.send_to(&datagram, from); // a receiver that does not get it asks again
        }
    }
    Ok(REQUESTS_PER_TURN)
}
