//! The ways on which lockstep and its floors take turns in one run: a transport each, and what joins the
//! hosts.

use crate::hosts::{Hosts, Over};
use crate::results::{Results, Round, Row, Unit};
use crate::transport::Transport;
use lockstep::config::SecurityMode;
use std::rc::Rc;

/// Which ways.
#[derive(Clone, clap::Args)]
pub struct WaysArguments {
    /// How datagrams go, those of lockstep and those of its floors; several take turns, and are told over the
    /// first.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "udp")]
    transport: Vec<Transport>,
    /// What joins the hosts of udp and unicast; shm has one host, and xdp cables. By default veth if xdp
    /// takes part.
    #[arg(long, value_enum)]
    over: Option<Over>,
    /// Whether datagrams of lockstep have a MAC; several take turns, and are told over the first.
    #[arg(long, value_delimiter = ',', value_parser = security, default_value = "keys", value_name = "MODE")]
    security: Vec<SecurityMode>,
}

fn security(text: &str) -> Result<SecurityMode, String> {
    SecurityMode::from_word(text).ok_or_else(|| "write keys or none".to_owned())
}

impl WaysArguments {
    /// Whether there is another way than the kernel's multicast on loopback.
    pub fn leaves_loopback(&self) -> bool {
        self.over == Some(Over::Veth) || self.transport.iter().any(|one| *one != Transport::Udp)
    }
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Way {
    /// How datagrams go.
    pub transport: Transport,
    /// Where everybody is.
    pub hosts: Rc<Hosts>,
    /// Whether datagrams have a MAC.
    pub security: SecurityMode,
}

impl Default for Way {
    /// The kernel's multicast on this host.
    fn default() -> Self {
        Self { transport: Transport::Udp, hosts: Rc::new(Hosts::here()), security: SecurityMode::Keys }
    }
}

impl Way {
    /// What `case` is called on this way.
    pub fn of(&self, case: &str) -> String {
        let keys = if self.security == SecurityMode::None { ", no keys" } else { "" };
        let case = format!("{case}{keys}");
        match self.transport {
            Transport::Udp if !self.hosts.are_apart() => case,
            Transport::Shm | Transport::ShmBeside => format!("{case}, {}", self.transport.name()),
            _ => format!("{case}, {} over {}", self.transport.name(), self.hosts.words()),
        }
    }

    /// What it is called.
    pub fn name(&self) -> String {
        match self.security {
            SecurityMode::Keys => self.transport.name().to_owned(),
            SecurityMode::None => format!("{} without keys", self.transport.name()),
        }
    }
}

/// All of a run. Hosts are made when they are first needed, and are there until the run ends.
pub struct Ways {
    arguments: WaysArguments,
    over: Over,
    here: Rc<Hosts>,
    /// Without a standby, and with one; or why there are none.
    behind_cables: [Option<Result<Rc<Hosts>, String>>; 2],
}

impl Ways {
    /// None yet.
    ///
    /// # Errors
    /// Xdp over loopback, a transport twice.
    pub fn new(arguments: &WaysArguments) -> Result<Self, String> {
        let has_xdp = arguments.transport.contains(&Transport::Xdp);
        if has_xdp && arguments.over == Some(Over::Loopback) {
            return Err(
                "--transport xdp --over loopback: xdp takes an Ethernet card; leave --over out, or say veth"
                    .to_owned(),
            );
        }
        if arguments.transport.iter().enumerate().any(|(at, one)| arguments.transport[..at].contains(one)) {
            return Err("--transport: each one once".to_owned());
        }
        let over = arguments.over.unwrap_or(if has_xdp { Over::Veth } else { Over::Loopback });
        let here = Rc::new(Hosts::here());
        Ok(Self { arguments: arguments.clone(), over, here, behind_cables: [None, None] })
    }

    /// Those that there are, in the order in which they were asked for. What cannot be here is noted as
    /// SKIPPED.
    ///
    /// # Errors
    /// A transport that the cluster's file has no word for.
    pub fn open(&mut self, has_standby: bool, results: &mut Results) -> Result<Vec<Way>, String> {
        let mut ways = Vec::new();
        for transport in self.arguments.transport.clone() {
            let hosts = match self.hosts(transport, has_standby) {
                Ok(hosts) => hosts,
                Err(reason) => {
                    results.notes.push(format!("SKIPPED: transport {}: {reason}", transport.name()));
                    continue;
                }
            };
            if transport == Transport::Xdp
                && let Err(reason) = hosts.try_transport(transport)
            {
                results.notes.push(format!("SKIPPED: transport xdp: {reason}"));
                continue;
            }
            let ways_of = self.arguments.security.iter().map(|security| Way {
                transport,
                hosts: Rc::clone(&hosts),
                security: *security,
            });
            ways.extend(ways_of);
        }
        results.notes.dedup();
        Ok(ways)
    }

    fn hosts(&mut self, transport: Transport, has_standby: bool) -> Result<Rc<Hosts>, String> {
        if matches!(transport, Transport::Shm | Transport::ShmBeside) || self.over == Over::Loopback {
            return Ok(Rc::clone(&self.here));
        }
        let make = || Hosts::new(Over::Veth, has_standby).map(Rc::new);
        self.behind_cables[usize::from(has_standby)].get_or_insert_with(make).clone()
    }
}

/// Adds what each subject is of itself on another way, round by round: the first of `cases` of the second.
pub fn compare(results: &mut Results, cases: [&str; 2], names: [&str; 2]) {
    let name = format!("{}: of {}", cases[0], names[1]);
    let rows: Vec<Row> = results.of_case(cases[0]).cloned().collect();
    for row in rows {
        let Some(other) = results.of_case(cases[1]).find(|other| other.subject == row.subject).cloned()
        else {
            continue;
        };
        for (over, under) in row.rounds.iter().zip(&other.rounds) {
            let quotient =
                |(figure, value): (&String, &f64)| Some((figure.clone(), value / under.figures.get(figure)?));
            let figures = over.figures.iter().filter_map(quotient).collect();
            let round =
                Round { at_s: over.at_s, seconds: over.seconds, figures, samples: 1, ..Round::default() };
            let words = format!("{}, {} of {}", row.subject, names[0], names[1]);
            results.add(Row::new(&name, &row.subject, &words, Unit::Ratio), round);
        }
    }
}
