//! The demo's gateways: their users, and `--kill-gateway`, which kills them by turns while orders flow, waits
//! until their clients have answers from the other one, starts them again, and begins anew.
//!
//! ```text
//!   Calm ──pause over──▶ Killed ──clients are served elsewhere──▶ Back ──it listens──▶ Calm
//! ```

use crate::report_lines::Whereabouts;
use crate::{GATEWAYS, PUBLISHERS, say};
use lockstep_daemon::Failure;
use lockstep_daemon::failure::{FAILED, NOT_READY};
use lockstep_daemon::gateway::user;
use lockstep_gateway::gateway::users::{User, Users};
use lockstep_io::clock::Clock;
use lockstep_process::signal::Signal;
use lockstep_trial::process::TrialProcess;
use lockstep_wire::Nanos;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// The users' password. It is in everybody's source, and the gateways listen on the loopback alone.
pub const PASSWORD: &str = "demo";
/// Messages a second that a gateway takes of one user: more than it can.
const USER_RATE: u32 = 100_000_000;
/// Between all being well and the next kill, and between a kill and the next start.
const PAUSE_NS: Nanos = 300_000_000;
/// No login and no start takes nearly so long.
const PATIENCE: Duration = Duration::from_secs(50);

/// The user of publisher `number`'s orders.
pub fn user_name(number: u16) -> String {
    format!("user{}", number + 1)
}

/// Writes the file of the users: one for each share of the order flow, whose orders are numbered.
pub fn write_users(path: &Path) -> Result<(), Failure> {
    let mut users = Users::default();
    let hash = user::hash(PASSWORD.as_bytes())?;
    for number in 0..PUBLISHERS {
        let mut user = User::new(user_name(number), hash.clone());
        (user.numbered, user.rate) = (true, USER_RATE);
        users.insert(user);
    }
    user::write(path, &users)
}

/// A kill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kill {
    /// Which gateway, from 0.
    pub gateway: usize,
    /// When, by the monotonic clock.
    pub at: Nanos,
}

/// What a step did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing yet.
    Waits,
    /// This gateway listens no more.
    Killed(usize),
    /// This gateway was started again.
    Started(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Calm { since: Nanos },
    Killed { since: Nanos, gateway: usize },
    Back { since: Nanos, gateway: usize },
}

/// See the module.
pub struct Killer {
    left: u32,
    phase: Phase,
    kills: Vec<Kill>,
    clock: Clock,
}

impl Killer {
    /// One that kills so many times.
    pub fn new(times: u32) -> Self {
        let clock = Clock::start();
        Self { left: times, phase: Phase::Calm { since: clock.now() }, kills: Vec::new(), clock }
    }

    /// Whether all kills are done, and the gateways back.
    pub fn is_done(&self) -> bool {
        self.left == 0 && matches!(self.phase, Phase::Calm { .. })
    }

    /// What was done.
    pub fn into_kills(self) -> Vec<Kill> {
        self.kills
    }

    /// Goes on as far as it can without waiting. `listening` says where each gateway is found.
    pub fn step(
        &mut self,
        gateways: &mut [TrialProcess],
        listening: &[Option<SocketAddr>],
        clients: Whereabouts,
    ) -> Result<Step, Failure> {
        let now = self.clock.now();
        match self.phase {
            Phase::Calm { since } => {
                let gateway = self.kills.len() % GATEWAYS;
                // A kill that meets nobody would show nothing.
                let may_kill = clients.at[gateway] > 0 && clients.unavailable == 0;
                if self.left == 0 || !may_kill || now < since + PAUSE_NS {
                    return Ok(Step::Waits);
                }
                process(gateways, gateway)?.strike(Signal::Kill)?;
                self.kills.push(Kill { gateway, at: self.clock.now() });
                self.left -= 1;
                self.phase = Phase::Killed { since: now, gateway };
                Ok(Step::Killed(gateway))
            }
            Phase::Killed { since, gateway } => {
                self.check(since, gateway, "its clients were served by the other one")?;
                if clients.at[gateway] > 0 || clients.unavailable > 0 || now < since + PAUSE_NS {
                    return Ok(Step::Waits);
                }
                process(gateways, gateway)?.revive()?;
                self.phase = Phase::Back { since: now, gateway };
                Ok(Step::Started(gateway))
            }
            Phase::Back { since, gateway } => {
                self.check(since, gateway, "it listened again")?;
                if listening.get(gateway).copied().flatten().is_some() {
                    let ms = (now - since) as f64 / 1e6;
                    say(&format!("gateway {} killed, and back {ms:.0} ms after its start", gateway + 1));
                    self.phase = Phase::Calm { since: now };
                }
                Ok(Step::Waits)
            }
        }
    }

    fn check(&self, since: Nanos, gateway: usize, what: &str) -> Result<(), Failure> {
        if self.clock.now() < since + PATIENCE.as_nanos() as Nanos {
            return Ok(());
        }
        let what = format!(
            "{PATIENCE:?} were not enough after the kill of gateway {} until {what}; --keep keeps the logs",
            gateway + 1
        );
        Err(Failure::new(NOT_READY, what))
    }
}

fn process(gateways: &mut [TrialProcess], index: usize) -> Result<&mut TrialProcess, Failure> {
    gateways.get_mut(index).ok_or_else(|| Failure::new(FAILED, format!("there is no gateway {}", index + 1)))
}
