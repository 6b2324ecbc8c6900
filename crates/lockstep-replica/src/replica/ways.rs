//! What this node gets from each of the others, for its status: its process asks them, and the engine sees
//! their questions arrive.

use lockstep_wire::{ASKED_NEVER, Header, LOST_ROUNDS, NEIGHBOURS_MAX, Nanos, WayRow};

const MS: Nanos = 1_000_000;

/// Numbers of nodes, one bit each.
pub type NodeSet = [u64; 4];

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Ways {
    /// As the process has counted; `asked_ms` is filled in here.
    rows: Vec<WayRow>,
    /// The neighbours whose questions have come, each with the time of its last one.
    asked: Vec<(u8, Nanos)>,
    /// Those of them that have asked since the process was told last.
    asked_since: NodeSet,
}

impl Default for Ways {
    fn default() -> Self {
        let (rows, asked) = (Vec::with_capacity(NEIGHBOURS_MAX), Vec::with_capacity(NEIGHBOURS_MAX));
        Self { rows, asked, asked_since: NodeSet::default() }
    }
}

impl Ways {
    /// A question for a status has come. A node asks under its own number, and nobody else under such a one.
    pub(super) fn on_query(&mut self, now: Nanos, header: &Header) {
        let Ok(number @ 1..) = u8::try_from(header.sender) else { return };
        self.asked_since[usize::from(number / 64)] |= 1 << (number % 64);
        if let Some((_, at)) = self.asked.iter_mut().find(|(known, _)| *known == number) {
            *at = now;
        } else if self.asked.len() < NEIGHBOURS_MAX {
            self.asked.push((number, now));
        }
    }

    /// The nodes that have asked since the last call.
    pub fn take_asked(&mut self) -> NodeSet {
        std::mem::take(&mut self.asked_since)
    }

    /// The process has counted this, of at most [`NEIGHBOURS_MAX`] neighbours.
    pub fn set(&mut self, rows: impl Iterator<Item = WayRow>) {
        self.rows.clear();
        self.rows.extend(rows.take(NEIGHBOURS_MAX));
    }

    /// The rows for a status at `now`: how many of `out` are used.
    pub(super) fn rows(&self, now: Nanos, out: &mut [WayRow; NEIGHBOURS_MAX]) -> usize {
        for (out, row) in out.iter_mut().zip(&self.rows) {
            *out = WayRow { asked_ms: self.asked_ms(now, row.peer), ..*row };
        }
        self.rows.len()
    }

    fn asked_ms(&self, now: Nanos, peer: u8) -> u16 {
        let asked = self.asked.iter().find(|(number, _)| *number == peer);
        asked.map_or(ASKED_NEVER, |(_, at)| (now.saturating_sub(*at) / MS).try_into().unwrap_or(ASKED_NEVER))
    }

    /// The first way that is lost, to a node that lives, as the two numbers of its condition.
    pub fn lost(&self) -> Option<(u64, u64)> {
        self.rows.iter().find_map(|row| {
            let ways = [(row.unanswered, 1), (row.large, 2), (row.replay, 3)];
            let (_, way) = ways.into_iter().find(|(rounds, _)| *rounds >= LOST_ROUNDS)?;
            Some((u64::from(row.peer), way))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use lockstep_wire::Kind;

    fn of(row: WayRow) -> Ways {
        let mut ways = Ways::default();
        ways.set([WayRow { peer: 2, ..row }].into_iter());
        ways
    }

    #[test]
    fn a_way_is_lost_after_some_rounds() {
        let well = WayRow::zeroed();
        assert_eq!(of(well).lost(), None);
        assert_eq!(of(WayRow { large: 2, ..well }).lost(), None, "less is chance");
        assert_eq!(of(WayRow { large: 3, ..well }).lost(), Some((2, 2)));
        assert_eq!(of(WayRow { replay: 3, ..well }).lost(), Some((2, 3)));
        assert_eq!(of(WayRow { unanswered: 3, ..well }).lost(), Some((2, 1)));
    }

    #[test]
    fn a_row_tells_how_long_ago_its_node_asked_and_handles_are_no_neighbours() {
        let mut ways = of(WayRow::zeroed());
        let mut out = [WayRow::zeroed(); NEIGHBOURS_MAX];
        ways.on_query(MS, &Header { sender: 1 << 31, ..Header::new(Kind::Query) });
        assert_eq!((ways.rows(9 * MS, &mut out), out[0].asked_ms), (1, ASKED_NEVER));
        assert_eq!(ways.take_asked(), [0; 4]);
        ways.on_query(MS, &Header { sender: 2, ..Header::new(Kind::Query) });
        ways.on_query(MS, &Header { sender: 255, ..Header::new(Kind::Query) });
        assert_eq!((ways.take_asked(), ways.take_asked()), ([1 << 2, 0, 0, 1 << 63], [0; 4]));
        assert_eq!((ways.rows(9 * MS, &mut out), out[0].asked_ms), (1, 8));
        assert_eq!((ways.rows(900_000 * MS, &mut out), out[0].asked_ms), (1, ASKED_NEVER));
    }
}
