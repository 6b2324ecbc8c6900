//! The field of a measure with lockstep and its floors: a cluster of its own on each transport, or one that
//! runs already.
//!
//! `latency` and `throughput` differ in what they load it with and in what they record; the contestants, the
//! order of their turns and the comparison of transports are the same, and are here.

use crate::attached::Attached;
use crate::client::Ground;
use crate::client::{Measure, measure};
use crate::cluster::{Cluster, MESSAGE_LEN, Site};
use crate::contestant::{Contestant, Scheduled};
use crate::environment;
use crate::floor::MESSAGE_LEN_MIN;
use crate::harness::{Run, two_cores};
use crate::stage::Stage;
use crate::stalls::Stalls;
use crate::ways::{Way, Ways, WaysArguments, compare};
use lockstep_client::Delivery;
use lockstep_io::idle::Idle;
use lockstep_process::cpu;
use std::path::PathBuf;

/// Where and with which messages: the flags that such measures share.
#[derive(clap::Args)]
pub struct FieldArguments {
    /// Bytes of a message; several are measured one after the other.
    #[arg(long, value_delimiter = ',', value_name = "BYTES", default_values_t = [MESSAGE_LEN])]
    pub sizes: Vec<usize>,
    #[command(flatten)]
    pub ways: WaysArguments,
    /// Attaches to the cluster of this file instead of starting one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["transport", "over"])]
    pub config: Option<PathBuf>,
    /// With `--config`: the port at which `lockstep-bench reflect` is the floor; 50 above the cluster's by
    /// default.
    #[arg(long, requires = "config", value_name = "PORT")]
    floor_port: Option<u16>,
    /// What the hot threads of lockstep and its client do when there is nothing to do: `adapt`, `spin`,
    /// `yield` or `park`. By default `spin` where each has a core, and `yield` where not, as those of the
    /// floors.
    #[arg(long, value_name = "STRATEGY", conflicts_with = "config")]
    idle: Option<Idle>,
    /// The standby's core, by its place among ours.
    #[arg(long, default_value_t = 0)]
    pub standby_core: usize,
}

/// A contestant, and the way on which it takes part.
pub type Entrant = (Way, Contestant);

/// What kept the hot thread of each process, by its name.
pub type Stalled = Vec<(&'static str, Stalls)>;

/// See the module.
pub struct Field {
    /// The cluster to attach to.
    pub attached: Option<Attached>,
    /// Those of this process.
    pub cores: Vec<usize>,
    idle: Option<Idle>,
    ways: Ways,
}

impl Field {
    /// Opens it; `None` where this machine cannot measure: SKIPPED.
    ///
    /// # Errors
    /// A size that has no room for number and times, a file or a transport that is none.
    pub fn open(measure: &str, arguments: &FieldArguments) -> Result<Option<Self>, String> {
        let FieldArguments { sizes, ways, config, floor_port, idle, .. } = arguments;
        let cores = match config {
            None => two_cores(measure, "leader and client"),
            Some(_) => Some(cpu::cores()),
        };
        let Some(cores) = cores else { return Ok(None) };
        if let Some(short) = sizes.iter().find(|size| **size < MESSAGE_LEN_MIN) {
            return Err(format!(
                "--sizes: a message has number and times, {MESSAGE_LEN_MIN} bytes at least, not {short}"
            ));
        }
        let attached = config.as_deref().map(|path| Attached::open(path, *floor_port)).transpose()?;
        Ok(Some(Self { attached, cores, idle: *idle, ways: Ways::new(ways)? }))
    }

    /// Begins a run, with the device and the configuration that it depends on.
    ///
    /// # Errors
    /// No device can be opened here.
    pub fn begin(&self, measure: &'static str, title: &str) -> Result<Run, String> {
        let config = self.attached.as_ref().map(|attached| &attached.config);
        let mut run = Run::begin(measure, title, environment::with_device(config)?);
        if let Some(config) = config {
            run.results.configure(config);
        }
        Ok(run)
    }

    /// The core at `place` among ours, which `flag` names.
    ///
    /// # Errors
    /// There is none.
    pub fn core(&self, place: usize, flag: &str) -> Result<usize, String> {
        let core = self.cores.get(place).copied();
        core.ok_or_else(|| format!("{flag} {place}: this machine has {} cores", self.cores.len()))
    }

    /// The cores of leader and standby, by their places among ours; `flag` names the leader's. Those of a
    /// cluster that runs already are its own.
    ///
    /// # Errors
    /// There is no such core.
    pub fn places(&self, leader: usize, flag: &str, standby: usize) -> Result<[usize; 2], String> {
        match self.attached {
            Some(_) => Ok([0; 2]),
            None => Ok([self.core(leader, flag)?, self.core(standby, "--standby-core")?]),
        }
    }

    /// How the threads of a contestant wait of which so many poll without pause.
    pub fn idle(&self, threads: usize, contestant: Contestant) -> Idle {
        let own = self.idle.filter(|_| contestant == Contestant::Lockstep);
        match &self.attached {
            Some(attached) => attached.idle(),
            None => own.unwrap_or_else(|| Idle::for_machine(threads, self.cores.len())),
        }
    }

    /// The contestants that take part: of the floors of a cluster that runs already, those that answer with
    /// `message_len` bytes.
    ///
    /// # Errors
    /// A transport that the cluster's file has no word for; no socket can be opened here.
    pub fn entrants(
        &mut self,
        run: &mut Run,
        delivery: Delivery,
        message_len: usize,
    ) -> Result<Vec<Entrant>, String> {
        if let Some(attached) = &self.attached {
            let found = attached.contestants(delivery, message_len, &mut run.results.notes)?;
            return Ok(found.into_iter().map(|one| (Way::default(), one)).collect());
        }
        let ways = self.ways.open(delivery == Delivery::Committed, &mut run.results)?;
        // A floor has no keys: it takes part once.
        let first = ways.first().map(|way| way.security);
        let plays =
            move |way: &Way, one: Contestant| one == Contestant::Lockstep || Some(way.security) == first;
        let all = |way: Way| {
            let contestants = way.transport.contestants().iter().copied();
            contestants.filter(|one| plays(&way, *one)).map(|one| (way.clone(), one)).collect::<Vec<_>>()
        };
        Ok(ways.into_iter().flat_map(all).collect())
    }

    /// All rounds of a case: in each, `turn` is done once for every entrant, with the case's name on its way.
    /// At the end each way is told over the first.
    ///
    /// # Errors
    /// Those of a turn, with the case, the contestant and the round.
    pub fn rounds(
        run: &mut Run,
        rounds: u64,
        entrants: &[Entrant],
        case: impl Fn(&Way) -> String,
        mut turn: impl FnMut(&mut Run, &Entrant, &str) -> Result<(), String>,
    ) -> Result<(), String> {
        run.rounds(rounds, |run, number| {
            entrants.iter().try_for_each(|entrant| {
                let (case, name) = (case(&entrant.0), entrant.1.name());
                run.show(&format!("{case}, round {number} of {rounds}, {}", entrant.1.key()));
                turn(run, entrant, &case).map_err(|error| format!("{case}, {name}, round {number}: {error}"))
            })
        })?;
        let mut ways: Vec<&Way> = entrants.iter().map(|(way, _)| way).collect();
        ways.dedup_by_key(|way| way.name());
        if let Some((first, others)) = ways.split_first() {
            for other in others {
                let cases = [case(other), case(first)];
                compare(&mut run.results, [&cases[0], &cases[1]], [&other.name(), &first.name()]);
            }
        }
        Ok(())
    }

    /// A turn of a contestant: on a cluster of its own, `site` with its hosts and transport, or on the one
    /// that runs. Beside what the load found stands what kept the hot thread of each process, where the stage
    /// watches them.
    ///
    /// # Errors
    /// A process that did not start, and what the load returns.
    pub fn turn<M: Measure>(
        &self,
        run: &mut Run,
        stage: &Stage<'_>,
        (site, idle, message_len): (Site, Idle, usize),
        load: impl FnOnce(Ground<'_>) -> Result<M, String>,
    ) -> Result<(M::Found, Stalled), String> {
        if let Some(attached) = &self.attached {
            let _scheduled = Scheduled::new(stage.scheduling)?;
            let (ground, delivery) = (attached.ground(), stage.delivery);
            let found = measure(stage.contestant, ground, delivery, message_len, load(ground)?)?;
            return Ok((found, Vec::new()));
        }
        let place = stage.way.hosts.site(if stage.delivery == Delivery::Committed { 3 } else { 1 });
        let Site { loss, mtu, gso, .. } = site;
        let Way { transport, security, .. } = *stage.way;
        let site = Site { loss, mtu, gso, transport, security, ..place };
        let cluster = Cluster::of(stage.contestant, &site, idle)?;
        run.results.configure(&cluster.config);
        let (found, nodes) = stage.play(&cluster, message_len, load)?;
        // All have ended before the cluster's folders go.
        let nodes = nodes.into_iter().filter(|_| stage.stalls);
        let stalls = nodes.map(|(name, node)| Ok((name, node.end()?))).collect::<Result<_, String>>()?;
        Ok((found, stalls))
    }
}
