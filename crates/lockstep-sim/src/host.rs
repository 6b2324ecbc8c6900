//! A host of the network, and what the world needs of the process on it, whatever that is. A kind of process
//! is a type with [`SimProcess`] in a room of its own: the world asks when it is due, hands it what arrives,
//! and puts what it sends into the network. Its room starts it and calls it.

use crate::device::SimDevice;
use crate::keys::HostKeys;
use crate::kinds::SimClock;
use crate::net::SimNet;
use crate::plan::Plan;
use lockstep_wire::Nanos;

/// A deadline that is due again so soon behind a turn is due at once.
const AT_ONCE_NS: Nanos = 100_000;
/// No state of a process is due at once for so many turns that find nothing to do.
const VAIN_TURNS_MAX: u32 = 5_000;

/// What every host has.
#[derive(Clone)]
pub(crate) struct Host {
    /// The keys of its processes.
    pub(crate) keys: HostKeys,
    /// Stopped (SIGSTOP) until then; its sockets continue to fill.
    pub(crate) paused_until: Nanos,
    /// The fault of its device.
    pub(crate) device: SimDevice,
    /// The next turn.
    pub(crate) wake_at: Nanos,
    /// It had no work for this long, and so polls less often.
    pub(crate) idle_ns: Nanos,
    /// So many turns in a row had no work, and were called at once for a deadline.
    vain_turns: u32,
}

impl Host {
    /// A host of a run with this plan, whose first turn is at `now`.
    pub(crate) fn new(plan: &Plan, now: Nanos) -> Self {
        Self {
            keys: HostKeys::of(plan),
            paused_until: 0,
            device: SimDevice::default(),
            wake_at: now,
            idle_ns: 0,
            vain_turns: 0,
        }
    }

    /// The next turn of a process behind one that did `work` at `now`, which wants it by `deadline`, at
    /// `earliest` or later.
    ///
    /// # Panics
    /// The deadlines of thousands of turns brought no work: one that has passed stays, and a process that
    /// sleeps until its next deadline never sleeps.
    pub(crate) fn wake_by(&mut self, deadline: Nanos, (now, work): (Nanos, usize), earliest: Nanos) {
        self.wake_at = self.wake_at.min(deadline.max(earliest));
        let in_vain = work == 0 && deadline <= now + AT_ONCE_NS;
        self.vain_turns = if in_vain { self.vain_turns + 1 } else { 0 };
        assert!(
            self.vain_turns < VAIN_TURNS_MAX,
            "DEADLINE: {VAIN_TURNS_MAX} turns in vain until {deadline} ns"
        );
    }
}

/// The things of a room by node number. They are looked at many times in each step: the numbers are small,
/// so a table finds the place, and all lie one behind the other.
#[derive(Clone)]
pub(crate) struct ByNode<T> {
    /// The place of each node's in `all`.
    places: Vec<Option<usize>>,
    all: Vec<(usize, T)>,
}

impl<T> Default for ByNode<T> {
    fn default() -> Self {
        Self { places: Vec::new(), all: Vec::new() }
    }
}

impl<T> ByNode<T> {
    /// One more, at a node above all that have one.
    ///
    /// # Panics
    /// The node is not above them.
    pub(crate) fn add(&mut self, node: usize, one: T) {
        assert!(self.places.len() <= node, "nodes are added in their order: {node}");
        self.places.resize(node, None);
        self.places.push(Some(self.all.len()));
        self.all.push((node, one));
    }

    fn place(&self, node: usize) -> Option<usize> {
        self.places.get(node).copied().flatten()
    }

    /// That of a node.
    pub(crate) fn get(&self, node: usize) -> Option<&T> {
        self.place(node).map(|place| &self.all[place].1)
    }

    /// That of a node.
    pub(crate) fn get_mut(&mut self, node: usize) -> Option<&mut T> {
        self.place(node).map(|place| &mut self.all[place].1)
    }

    /// All of them with their nodes, in the order of these.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.all.iter().map(|(node, one)| (*node, one))
    }
}

/// The process of a host: of a replica, a client, the edge. What only some kinds have is nothing for others.
pub(crate) trait SimProcess {
    /// Its host.
    fn host(&self) -> &Host;

    /// Its host.
    fn host_mut(&mut self) -> &mut Host;

    /// Whether it runs.
    fn runs(&self) -> bool;

    /// The time of its next start, where it does not run; never, if none will run here again.
    fn starts_at(&self) -> Nanos;

    /// The device of its first handle, or of its second one, while it runs.
    fn net_mut(&mut self, handle: usize) -> Option<&mut SimNet>;

    /// Panics with the rule that its state breaks.
    fn invariants(&self);

    /// The time of its next turn or its start.
    fn ready_at(&self) -> Nanos {
        let at = if self.runs() { self.host().wake_at } else { self.starts_at() };
        at.max(self.host().paused_until)
    }

    /// Whether it receives nothing any more.
    fn is_over(&self) -> bool {
        false
    }

    /// Whether its next turn delivers or reports something although nothing arrives.
    fn is_left(&self) -> bool {
        false
    }

    /// Whether it must be called again soon, whatever arrives.
    fn is_work_pending(&self) -> bool {
        false
    }

    /// The time at which a client must act, whatever arrives: to submit, to request or to resend.
    fn client_deadline(&self, _clock: SimClock) -> Option<Nanos> {
        None
    }

    /// The latest time of its next poll.
    fn next_deadline(&self) -> Option<Nanos> {
        None
    }
}
