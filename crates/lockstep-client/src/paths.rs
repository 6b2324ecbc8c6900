//! Lost paths between nodes, found by combining what each node receives from the others.
//!
//! ```text
//!  1 asks 3, 3 does not answer ─┬─ 3 reports 1's questions: what 3 sends does not arrive
//!                               └─ 3 reports no question:  what 1 sends does not arrive
//! ```

use lockstep_wire::{LOST_ROUNDS, WayRow};
use std::fmt;

/// The kind of loss.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LostWay {
    /// Nothing passes in this direction, and the reverse direction is open.
    OneWay,
    /// Nothing passes in either direction.
    Both,
    /// Datagrams of the size of `mtu` do not pass, shorter ones do.
    Large,
    /// The same in both directions.
    LargeBoth,
    /// Connections to the replay port are not established.
    Replay,
}

/// A lost path from one node to another. Both live.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LostPath {
    /// The kind of loss.
    pub way: LostWay,
    /// The node that does not receive; of a path that is lost in both directions, the one that lacks more.
    pub to: u32,
    /// The node that sends.
    pub from: u32,
}

impl LostWay {
    /// `nothing passes by unicast from 1 and 2 to 3; the reverse direction works`.
    pub(crate) fn between(self, from: impl fmt::Display, to: impl fmt::Display) -> String {
        match self {
            Self::OneWay => {
                format!("nothing passes by unicast from {from} to {to}; the reverse direction works")
            }
            Self::Both => format!("nothing passes by unicast between {from} and {to}"),
            Self::Large => format!("datagrams of the size of mtu do not pass from {from} to {to}"),
            Self::LargeBoth => format!("datagrams of the size of mtu do not pass between {from} and {to}"),
            Self::Replay => format!("the TCP port of {to} for replay is not reached from {from}"),
        }
    }
}

/// `nothing passes by unicast from 1 to 3; the reverse direction works`.
impl fmt::Display for LostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.way.between(self.from, self.to))
    }
}

/// The lost paths between these nodes, each with its number and what it receives from the others.
pub fn lost_paths(nodes: &[(u32, &[WayRow])]) -> Vec<LostPath> {
    let row = |at: u32, of: u32| {
        let (_, rows) = nodes.iter().find(|(number, _)| *number == at)?;
        rows.iter().find(|row| u32::from(row.peer) == of)
    };
    let mut lost = Vec::new();
    for (at, rows) in nodes {
        for seen in rows.iter() {
            let (at, of) = (*at, u32::from(seen.peer));
            // A node that does not report what it receives is down, or of an older release.
            let Some(back) = row(of, at) else { continue };
            let is_lost = |rounds: u8| rounds >= LOST_ROUNDS;
            if is_lost(seen.unanswered) {
                lost.push(match (back.asks(), seen.asks()) {
                    // The questions arrive, or the other node's do not: what it sends is lost.
                    (true, false) => LostPath { way: LostWay::OneWay, from: of, to: at },
                    (false, true) => LostPath { way: LostWay::OneWay, from: at, to: of },
                    (false, false) => LostPath { way: LostWay::Both, from: at.min(of), to: at.max(of) },
                    // Nothing is lost: it answers late.
                    (true, true) => continue,
                });
            } else if is_lost(seen.large) {
                lost.push(LostPath { way: LostWay::Large, from: at, to: of });
            } else if is_lost(seen.replay) {
                lost.push(LostPath { way: LostWay::Replay, from: at, to: of });
            }
        }
    }
    lost.sort_unstable();
    lost.dedup();
    join_directions(&mut lost);
    lost
}

/// A fault of one port takes both directions, and those to all others: each pair is one path then, and ends
/// at the node that has most of them.
fn join_directions(lost: &mut Vec<LostPath>) {
    let is_back = |path: &LostPath, other: &LostPath| {
        (other.way, other.from, other.to) == (LostWay::Large, path.to, path.from)
    };
    let all = lost.clone();
    for path in lost.iter_mut().filter(|path| all.iter().any(|other| is_back(path, other))) {
        let (low, high) = (path.from.min(path.to), path.from.max(path.to));
        *path = LostPath { way: LostWay::LargeBoth, from: low, to: high };
    }
    let all = lost.clone();
    for path in lost.iter_mut().filter(|path| matches!(path.way, LostWay::Both | LostWay::LargeBoth)) {
        let of_way = || all.iter().filter(|other| other.way == path.way);
        let count = |node| of_way().filter(|other| other.from == node || other.to == node).count();
        if count(path.from) > count(path.to) {
            (path.from, path.to) = (path.to, path.from);
        }
    }
    lost.sort_unstable();
    lost.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: WayRow =
        WayRow { peer: 0, unanswered: 0, large: 0, replay: 0, answered: 9, reserved: 0, asked_ms: 20 };
    const DEAF: WayRow = WayRow { unanswered: 3, ..WELL };

    /// Three nodes: `at` has `row` for `of`; all other paths are open.
    fn found(changed: &[(u32, u32, WayRow)]) -> Vec<String> {
        let rows = |at: u32| -> Vec<WayRow> {
            let others = (1..=3).filter(|of| *of != at);
            let row =
                |of: u32| changed.iter().find(|one| (one.0, one.1) == (at, of)).map_or(WELL, |one| one.2);
            others.map(|of| WayRow { peer: of as u8, ..row(of) }).collect()
        };
        let all = [1, 2, 3].map(|at| (at, rows(at)));
        let nodes: Vec<_> = all.iter().map(|(at, rows)| (*at, &rows[..])).collect();
        lost_paths(&nodes).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_one_way_cut_is_named_with_its_direction_by_whichever_side_misses_answers() {
        assert!(found(&[]).is_empty());
        let never = WayRow { asked_ms: 1_500, ..DEAF };
        // Nothing that 1 sends reaches 3: neither its questions nor its answers.
        let cut = found(&[(1, 3, DEAF), (3, 1, never)]);
        assert_eq!(cut, ["nothing passes by unicast from 1 to 3; the reverse direction works"]);
        let both = found(&[(1, 3, never), (3, 1, never)]);
        assert_eq!(both, ["nothing passes by unicast between 1 and 3"]);
        assert!(found(&[(1, 3, WayRow { unanswered: 2, ..WELL })]).is_empty(), "less is chance");
        assert!(found(&[(1, 3, DEAF)]).is_empty(), "the questions of both arrive: it answers late");
    }

    #[test]
    fn a_filtered_port_and_a_small_mtu_are_named_in_their_direction() {
        let blocked = WayRow { replay: 3, ..WELL };
        let port = found(&[(1, 2, blocked), (3, 2, blocked)]);
        assert_eq!(
            port,
            [1, 3].map(|from| format!("the TCP port of 2 for replay is not reached from {from}"))
        );
        let large = found(&[(1, 3, WayRow { large: 4, ..WELL })]);
        assert_eq!(large, ["datagrams of the size of mtu do not pass from 1 to 3"]);
    }

    /// A small MTU at the port of one host is one cause, and not six.
    #[test]
    fn directions_that_are_lost_together_are_one_path_that_ends_at_the_node_with_most_of_them() {
        let small = WayRow { large: 4, ..WELL };
        for hub in 1..=3 {
            let pairs = [1, 2, 3].into_iter().filter(|other| *other != hub);
            let rows: Vec<_> = pairs.clone().flat_map(|of| [(hub, of, small), (of, hub, small)]).collect();
            let expected: Vec<_> = pairs
                .map(|of| format!("datagrams of the size of mtu do not pass between {of} and {hub}"))
                .collect();
            let mut lost = found(&rows);
            lost.sort();
            assert_eq!(lost, expected);
        }
    }

    #[test]
    fn a_node_that_does_not_say_what_it_gets_is_not_judged() {
        let rows = [WayRow { peer: 2, ..DEAF }];
        assert!(lost_paths(&[(1, &rows)]).is_empty());
    }
}
