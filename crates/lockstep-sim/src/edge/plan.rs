//! The edge of a run, and its faults.

use crate::rng::Rng;
use lockstep_wire::Nanos;

/// The node of a process of the edge, counted from the first of them.
pub type EdgePlace = usize;

/// The edge of one run.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EdgePlan {
    /// Whether each gateway reads in the mode `stamped`.
    pub stamped: Vec<bool>,
    /// Whether a second process of the first gateway's name may be started.
    pub duplicate: bool,
    /// Copies of the application.
    pub copies: usize,
    /// Whether each copy reads in the mode `stamped`.
    pub stamped_copies: [bool; 2],
    /// Whether the last of two copies begins as a shadow, and takes over.
    pub has_shadow: bool,
    /// Feeds, all of one source.
    pub feeds: usize,
    /// The feeds carry the channel, or everything.
    pub feeds_channel: bool,
    /// Receivers of the feeds.
    pub receivers: usize,
    /// Clients; each is another user.
    pub traders: usize,
    /// Orders of each.
    pub orders: u64,
    /// Time between two orders of one.
    pub every_ns: Nanos,
    /// The approximate latency between client and gateway.
    pub latency_ns: Nanos,
    /// The loss of feeds' datagrams, requests and answers, in chances per million.
    pub loss: u32,
    /// Clients of FIX; each is another user, with orders as the others have them.
    pub fix_traders: usize,
    /// The version of FIX that each of them speaks: 4.2, 4.4 or FIXT 1.1.
    pub fix_versions: [u64; 2],
}

/// Nodes of one gateway, and of one copy of the application: each of their handles has an address.
pub(crate) const HANDLES: usize = 2;
/// Operators who mark days.
pub(crate) const CALENDARS: usize = 2;

/// A fault of the edge.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EdgeFault {
    /// A process dies, and is started again after a while.
    Kill {
        /// Its place.
        place: EdgePlace,
        /// The while.
        lasting: Nanos,
    },
    /// A gateway is stopped cleanly, and started again after a while.
    Stop {
        /// Its place.
        place: EdgePlace,
        /// The while.
        lasting: Nanos,
    },
    /// A second process of the first gateway's name is started.
    Duplicate,
    /// A client's connection breaks, at some byte. Behind those of SoupBinTCP stand those of FIX.
    Break {
        /// The client.
        trader: usize,
    },
    /// A client reads nothing for so long.
    Deaf {
        /// The client.
        trader: usize,
        /// How long.
        lasting: Nanos,
    },
    /// A client logs out, and returns later.
    Leave {
        /// The client.
        trader: usize,
        /// It returns after this.
        lasting: Nanos,
    },
    /// The operator begins a day, or ends the one that is open.
    Day {
        /// The command is repeated.
        twice: bool,
    },
}

impl EdgePlan {
    /// The edge of a seed; most have none.
    pub fn of_seed(seed: u64) -> Option<Self> {
        let mut rng = Rng::new(seed ^ 0xed9e);
        if rng.below(5) > 0 {
            return None;
        }
        let gateways = rng.pick(&[1, 2, 2, 2]);
        let mut plan = Self {
            stamped: (0..gateways).map(|_| rng.below(2) == 0).collect(),
            duplicate: rng.below(4) == 0,
            copies: rng.pick(&[1, 2, 2]),
            feeds: rng.pick(&[0, 1, 2, 2]),
            feeds_channel: rng.below(2) == 0,
            receivers: 1 + rng.below(2) as usize,
            traders: 1 + rng.below(4) as usize,
            orders: 3 + rng.below(30),
            every_ns: rng.pick(&[200_000, 500_000, 2_000_000]),
            latency_ns: rng.pick(&[5_000, 50_000, 400_000]),
            loss: rng.pick(&[0, 1_000, 50_000, 250_000]),
            stamped_copies: [false; 2],
            has_shadow: false,
            fix_traders: 0,
            fix_versions: [0; 2],
        };
        // Drawn last: seeds of before are what they were.
        plan.stamped_copies = [0; 2].map(|_: u64| rng.below(3) == 0);
        plan.has_shadow = plan.copies == 2 && rng.below(4) == 0;
        if rng.below(3) == 0 {
            plan.fix_traders = 1 + rng.below(2) as usize;
            plan.fix_versions = [0; 2].map(|_: u64| rng.below(3));
        }
        Some(plan)
    }

    /// Nodes of gateways, the duplicate's among them.
    pub(crate) fn gateway_nodes(&self) -> usize {
        HANDLES * (self.stamped.len() + usize::from(self.duplicate))
    }

    /// Nodes in all.
    pub fn nodes(&self) -> usize {
        self.gateway_nodes() + HANDLES * self.copies + self.feeds + CALENDARS
    }

    /// The place of a process that may die.
    fn process(&self, rng: &mut Rng) -> EdgePlace {
        let gateways = self.stamped.len();
        let one = rng.below((gateways + self.copies + self.feeds + CALENDARS) as u64) as usize;
        match one {
            _ if one < gateways => HANDLES * one,
            _ if one < gateways + self.copies => self.gateway_nodes() + HANDLES * (one - gateways),
            _ => self.gateway_nodes() + HANDLES * self.copies + (one - gateways - self.copies),
        }
    }

    /// One fault of the edge, of this duration.
    pub(crate) fn draw(&self, rng: &mut Rng, class: u64, lasting: Nanos) -> EdgeFault {
        let trader = rng.below((self.traders + self.fix_traders) as u64) as usize;
        let gateway = HANDLES * rng.below(self.stamped.len() as u64) as usize;
        match class {
            0 => EdgeFault::Kill { place: self.process(rng), lasting },
            1 => EdgeFault::Kill { place: gateway, lasting },
            2 => EdgeFault::Stop { place: gateway, lasting },
            3 => EdgeFault::Break { trader },
            4 => match rng.below(2) {
                0 => EdgeFault::Deaf { trader, lasting },
                _ => EdgeFault::Leave { trader, lasting },
            },
            5 => EdgeFault::Day { twice: rng.below(3) == 0 },
            _ if self.duplicate => EdgeFault::Duplicate,
            _ => EdgeFault::Kill { place: self.gateway_nodes(), lasting },
        }
    }
}

/// Classes of the edge's faults.
pub(crate) const CLASSES: u64 = 7;
