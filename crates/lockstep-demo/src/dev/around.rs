//! The processes around the replicas: a gateway, feeds and the page, each where a program finds it after a
//! restart.

use super::DevArgs;
use super::beforehand::Page;
use crate::cluster::users;
use crate::local::LocalCluster;
use lockstep_daemon::Failure;
use lockstep_daemon::gateway::user;
use lockstep_gateway::gateway::users::{User, Users};
use lockstep_io::IoError;
use lockstep_io::udp::free_port;
use lockstep_trial::process::{TrialProcess, Wiring};
use std::net::{Ipv4Addr, SocketAddr};

/// The users of the gateways, who have one password.
const USER: &str = "dev";
const FIX_USER: &str = "fixdev";
const PASSWORD: &str = "dev";

/// See the module.
pub struct Around {
    pub processes: Vec<TrialProcess>,
    /// Each with where it is reached.
    pub lines: Vec<String>,
}

impl Around {
    /// Starts what was asked for; `metrics` is where each process serves its own.
    pub fn start(
        args: &DevArgs,
        cluster: &LocalCluster<'_>,
        page: Option<&Page>,
        metrics: &mut Metrics,
    ) -> Result<Self, Failure> {
        let mut around = Self { processes: Vec::new(), lines: Vec::new() };
        if args.gateway || args.fix {
            around.start_gateway(args, cluster, metrics)?;
        }
        for channel in &args.feed {
            around.start_feed(*channel, cluster, metrics)?;
        }
        if let Some(Page { program, address }) = page {
            let flags = ["--listen".to_owned(), address.to_string()];
            around.lines.push(format!("the page of `lockstep web` at http://{address}/"));
            around.processes.push(cluster.start_daemon_of(program, "web", "web", flags)?);
        }
        Ok(around)
    }

    fn start_gateway(
        &mut self,
        args: &DevArgs,
        cluster: &LocalCluster<'_>,
        metrics: &mut Metrics,
    ) -> Result<(), Failure> {
        let mut users_of_dev = Users::default();
        let hash = user::hash(PASSWORD.as_bytes())?;
        users_of_dev.insert(User::new(USER.to_owned(), hash.clone()));
        let mut by_fix = User::new(FIX_USER.to_owned(), hash);
        by_fix.fix = true;
        users_of_dev.insert(by_fix);
        user::write(&users(cluster.folder), &users_of_dev)?;
        let mut flags = vec!["--name".to_owned(), "dev".to_owned()];
        if args.gateway {
            let at = free_address()?;
            flags.extend(["--listen".to_owned(), at.to_string()]);
            self.lines.push(format!("SoupBinTCP at {at}: user {USER}, password {PASSWORD}"));
        }
        if args.fix {
            let at = free_address()?;
            flags.extend(["--fix".to_owned(), at.to_string()]);
            self.lines.push(format!(
                "FIX at {at}: SenderCompID {FIX_USER}, TargetCompID LOCKSTEP, Password {PASSWORD}"
            ));
        }
        flags.extend(metrics.flags("gateway")?);
        self.processes.push(cluster.start_daemon("gateway", "gateway", flags, Wiring::Silent)?);
        Ok(())
    }

    fn start_feed(
        &mut self,
        channel: u32,
        cluster: &LocalCluster<'_>,
        metrics: &mut Metrics,
    ) -> Result<(), Failure> {
        let line = &cluster.config.lines[0];
        // Beside the groups of the cluster.
        let [a, b, c, d] = line.data.ip().octets();
        let group = Ipv4Addr::new(a, b, c ^ (1 + self.processes.len() as u8), d);
        let group = SocketAddr::from((group, free_port(Ipv4Addr::LOCALHOST)?));
        let requests = free_address()?;
        let flags = [
            ("--of", format!("channel:{channel}")),
            ("--group", group.to_string()),
            ("--requests", requests.to_string()),
        ];
        let flags = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
        self.lines.push(format!("MoldUDP64 of channel {channel} at {group}, requests at {requests}"));
        let name = format!("feed-{channel}");
        let flags = flags.chain(metrics.flags(&name)?);
        self.processes.push(cluster.start_daemon(&name, "feed", flags, Wiring::Silent)?);
        Ok(())
    }
}

/// Where each process serves its metrics, if that is asked for.
pub struct Metrics {
    is_asked: bool,
    /// Each with its process.
    pub lines: Vec<String>,
}

impl Metrics {
    /// Of no process yet.
    pub fn new(is_asked: bool) -> Self {
        Self { is_asked, lines: Vec::new() }
    }

    /// The flags of the process with this name.
    pub fn flags(&mut self, name: &str) -> Result<Vec<String>, Failure> {
        if !self.is_asked {
            return Ok(Vec::new());
        }
        let at = free_address()?;
        self.lines.push(format!("metrics of {name} at http://{at}/metrics"));
        Ok(vec!["--set".to_owned(), format!("metrics.listen={at}")])
    }
}

/// An address of this host that a process has again after each restart.
fn free_address() -> Result<SocketAddr, IoError> {
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(Ipv4Addr::LOCALHOST)?)))
}
