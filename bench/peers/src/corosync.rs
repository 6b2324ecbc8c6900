//! corosync: a closed process group with agreed order, on the ring of three nodes.

use crate::daemons::{Daemons, again};
use crate::ground::{Ground, NODES};
use crate::peer::{Adapter, Payload, Peer, System, Tuning, package, stdout_of};
use crate::turns::Turns;
use rust_corosync::cpg::{self, Guarantee, Handle, Model1Data, Model1Flags, ModelData};
use rust_corosync::{CsError, DispatchFlags, NodeId, cmap};
use std::cell::RefCell;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// See [`crate::adapters::ADAPTERS`].
pub const ADAPTER: Adapter = Adapter { name: "corosync", version, systems };

const GROUP: &str = "peers";
/// Lowest id: the ring's representative. It is the leader as far as there is one.
const REPRESENTATIVE: usize = 1;
/// How long the ring may take to form: with default timers some seconds for each node.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

fn version() -> Result<String, String> {
    let stdout_of = stdout_of("corosync", &["-v"])?;
    Ok(package("corosync").map_or(stdout_of, |package| format!("corosync {package}")))
}

fn systems() -> Vec<System> {
    let system = |tuning, settings| System {
        name: ADAPTER.name,
        tuning,
        settings,
        delivered: "cpg_deliver_fn of an AGREED message at its sender; the kill is the ring's representative",
        start,
        warm_up: Duration::from_millis(500),
        has_leader: true,
        is_floor: false,
    };
    vec![
        system(
            Tuning::Default,
            "transport knet, token 3000 + 650, crypto none, sched_rr yes (as it comes: SCHED_RR 99)",
        ),
        system(
            Tuning::Tuned,
            "transport udp (multicast), token 60, token_retransmits_before_loss_const 1, token_coefficient 0, consensus \
             72, join 30, merge 50, crypto none, sched_rr yes",
        ),
    ]
}

fn text(tuning: Tuning) -> String {
    let totem = match tuning {
        Tuning::Default => "  transport: knet\n",
        Tuning::Tuned => {
            "  transport: udp\n  token: 60\n  token_retransmits_before_loss_const: 1\n  token_coefficient: 0\n  \
             consensus: 72\n  join: 30\n  merge: 50\n  interface {\n    bindnetaddr: 10.77.0.0\n    mcastaddr: \
             239.255.77.1\n    mcastport: 5405\n  }\n"
        }
    };
    let nodes: String = (1..=NODES)
        .map(|node| {
            format!(
                "  node {{\n    ring0_addr: {}\n    name: n{node}\n    nodeid: {node}\n  }}\n",
                Ground::address(node)
            )
        })
        .collect();
    format!(
        "totem {{\n  version: 2\n  cluster_name: peers\n  crypto_cipher: none\n  crypto_hash: none\n{totem}}}\nnodelist \
         {{\n{nodes}}}\nlogging {{\n  to_stderr: yes\n  to_logfile: no\n  to_syslog: no\n}}\nsystem {{\n  sched_rr: yes\n}}\n"
    )
}

/// corosync writes its number to /run and its ring's to /var/lib/corosync: each daemon gets its own of both.
const PRIVATE: &str = "mount -t tmpfs lockstep-peers /run && mkdir -p /var/lib/corosync && \
                       mount -t tmpfs lockstep-peers /var/lib/corosync && exec corosync -f -c \"$0\"";

fn start(ground: &Ground, tuning: Tuning) -> Result<Box<dyn Peer>, String> {
    let path = ground.write("corosync.conf", &text(tuning))?;
    let commands = (1..=NODES).map(|node| {
        let mut command = ground.command(node, "unshare");
        command.args(["--mount", "sh", "-c", PRIVATE]).arg(&path);
        command
    });
    let mut daemons = Daemons::new(ground, again(commands.collect()));
    daemons.start_all()?;
    let model = ModelData::ModelV1(Model1Data {
        flags: Model1Flags::None,
        deliver_fn: Some(keep),
        confchg_fn: None,
        totem_confchg_fn: None,
    });
    let began = Instant::now();
    let group = insist(&mut daemons, began, "cpg_initialize", || cpg::initialize(&model, 0))?;
    insist(&mut daemons, began, "cpg_join", || cpg::join(&group, GROUP))?;
    let map = insist(&mut daemons, began, "cmap_initialize", || cmap::initialize(cmap::Map::Icmap))?;
    let descriptor = cpg::fd_get(&group).map_err(|error| format!("cpg_fd_get: {error}"))?;
    let turns = Turns::new()?;
    let readable = {
        let _entered = turns.runtime().enter();
        #[expect(
            deprecated,
            reason = "libcpg tells a number and no more; it is open as long as the group is"
        )]
        AsyncFd::with_interest(descriptor, Interest::READABLE)
    };
    let readable = readable.map_err(|error| format!("waiting for corosync's descriptor: {error}"))?;
    Ok(Box::new(Corosync { readable, group, map, turns, daemons }))
}

/// Tries until it works, or patience is over.
fn insist<T>(
    daemons: &mut Daemons,
    began: Instant,
    what: &str,
    act: impl Fn() -> Result<T, CsError>,
) -> Result<T, String> {
    loop {
        match act() {
            Ok(done) => return Ok(done),
            Err(error) => {
                daemons.check()?;
                if began.elapsed() > PATIENCE {
                    return Err(format!("{what} within {PATIENCE:?}: {error}{}", daemons.all_last_words()));
                }
                std::thread::sleep(PAUSE);
            }
        }
    }
}

thread_local! {
    /// What the library has delivered to this thread and nobody has taken yet.
    static DELIVERED: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// The library's callback: within a dispatch, and so on the thread that measures.
fn keep(_: &Handle, _: String, _: NodeId, _: u32, message: &[u8], _: usize) {
    DELIVERED.with_borrow_mut(|delivered| delivered.push(message.to_vec()));
}

struct Corosync {
    // Before the handle that its descriptor belongs to, and before the runtime.
    readable: AsyncFd<RawFd>,
    group: Handle,
    map: cmap::Handle,
    turns: Turns,
    daemons: Daemons,
}

impl Corosync {
    /// Hands over what is there. Returns whether there was something.
    fn dispatch(&self, deliver: &mut dyn FnMut(&[u8])) -> Result<bool, String> {
        match cpg::dispatch(&self.group, DispatchFlags::All) {
            Ok(()) | Err(CsError::CsErrTryAgain) => {}
            Err(error) => return Err(format!("cpg_dispatch: {error}")),
        }
        let delivered = DELIVERED.take();
        delivered.iter().for_each(|message| deliver(message));
        Ok(!delivered.is_empty())
    }
}

impl Peer for Corosync {
    fn submit(&mut self, payload: &Payload) -> Result<bool, String> {
        match cpg::mcast_joined(&self.group, Guarantee::TypeAgreed, payload) {
            Ok(()) => Ok(true),
            Err(CsError::CsErrTryAgain) => Ok(false),
            Err(error) => Err(format!("cpg_mcast_joined: {error}")),
        }
    }

    fn turn(&mut self, wait: Duration, deliver: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        let until = Instant::now() + wait;
        while !self.dispatch(deliver)? {
            let now = Instant::now();
            if now >= until {
                break;
            }
            // Cleared before the next look, so that what comes in between is told anew.
            let come = self.turns.within(until - now, self.readable.readable())?;
            if let Some(ready) = come {
                ready.map_err(|error| format!("waiting for corosync: {error}"))?.clear_ready();
            }
        }
        Ok(())
    }

    fn leader(&mut self) -> Result<Option<usize>, String> {
        let has_joined = |node| {
            let status = cmap::get(&self.map, &format!("runtime.members.{node}.status"));
            matches!(status, Ok(cmap::Data::String(status)) if status == "joined")
        };
        Ok((1..=NODES).all(has_joined).then_some(REPRESENTATIVE))
    }

    fn daemons(&mut self) -> &mut Daemons {
        &mut self.daemons
    }
}

impl Drop for Corosync {
    fn drop(&mut self) {
        DELIVERED.take();
    }
}
