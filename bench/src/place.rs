//! Where a process runs: on this host, or on a node of a network of namespaces whose paths can be cut.
//!
//! This process holds the network and is on its last node itself: the thread that makes the network enters
//! that node, and with it the threads that it starts from then on. All is gone with the last [`Place`].

use crate::hosts::{Entered, enter};
use lockstep_process::child::ChildGuard;
use lockstep_testkit::netns::{Network, unsupported};
use std::cell::RefCell;
use std::ffi::OsStr;
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::rc::Rc;

/// A network, and this thread on its last node.
#[derive(Debug)]
struct Lab {
    _entered: Entered,
    /// `nft`, which changes the rules of the network's bridge from one packet to the next.
    rules: RefCell<ChildGuard>,
    network: Network,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Place(Option<(usize, Rc<Lab>)>);

/// Places and their addresses.
pub type Nodes = (Vec<Place>, Vec<Ipv4Addr>);

impl Place {
    /// `count` times this host.
    pub fn hosts(count: usize) -> Vec<Self> {
        vec![Self(None); count]
    }

    /// So many nodes of a new network, and their addresses; this thread is on one more. Where there can be no
    /// such network `what` is SKIPPED, and there are none.
    ///
    /// # Errors
    /// `nft` does not start, or the node cannot be entered.
    pub fn nodes(count: usize, what: &str) -> Result<Option<Nodes>, String> {
        if let Some(reason) = unsupported() {
            println!("SKIPPED: {what}: {reason}");
            return Ok(None);
        }
        let network = Network::new(count + 1);
        let mut nft = network.switch().place().command("nft");
        let nft = nft.arg("-i").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let rules = RefCell::new(ChildGuard::from(nft.map_err(|error| format!("starting nft: {error}"))?));
        let lab = Rc::new(Lab { _entered: enter(network.node(count + 1))?, rules, network });
        let node = |number| (Self(Some((number, Rc::clone(&lab)))), Network::address(number));
        Ok(Some((1..=count).map(node).unzip()))
    }

    /// `program` here, without arguments yet. It becomes the child itself: what enters turns into it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match &self.0 {
            None => Command::new(program),
            Some((number, lab)) => lab.network.node(*number).place().command(program),
        }
    }

    /// Nothing passes from or to this place any more.
    ///
    /// # Errors
    /// It is no node of a network.
    pub fn cut(&self) -> Result<(), String> {
        let rule = |side: &str, number| format!("add rule bridge lockstep cuts {side} \"p{number}\" drop");
        self.change(|number| format!("{}; {}\n", rule("iifname", number), rule("oifname", number)))
    }

    /// So many of a million packets get lost on their way to this place.
    ///
    /// # Errors
    /// As for [`Place::cut`].
    pub fn lose(&self, per_million: u32) -> Result<(), String> {
        let lost = lost(per_million);
        self.change(|number| format!("add rule bridge lockstep cuts oifname \"p{number}\" {lost}\n"))
    }

    /// So many of a million packets get lost on their way to anybody.
    ///
    /// # Errors
    /// As for [`Place::cut`].
    pub fn lose_everywhere(&self, per_million: u32) -> Result<(), String> {
        self.change(|_| format!("add rule bridge lockstep cuts {}\n", lost(per_million)))
    }

    /// Everything passes again.
    ///
    /// # Errors
    /// As for [`Place::cut`].
    pub fn heal(&self) -> Result<(), String> {
        self.change(|_| "flush chain bridge lockstep cuts\n".to_owned())
    }

    /// Gives `nft` the line that `of` makes for this node.
    fn change(&self, of: impl FnOnce(usize) -> String) -> Result<(), String> {
        let (number, lab) = self.0.as_ref().ok_or("paths of loopback cannot be cut")?;
        let mut rules = lab.rules.borrow_mut();
        let to = rules.stdin.as_mut().ok_or("nft has no input")?;
        to.write_all(of(*number).as_bytes()).map_err(|error| format!("writing to nft: {error}"))
    }
}

fn lost(per_million: u32) -> String {
    format!("numgen random mod 1000000 < {per_million} drop")
}
