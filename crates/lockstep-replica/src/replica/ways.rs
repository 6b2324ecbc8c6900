//! What this node gets from each of the others, for its status: its process asks them, and the engine sees
//! their questions arrive.

use lockstep_wire::{ASKED_NEVER, Header, LOST_ROUNDS, NEIGHBOURS_MAX, Nanos, WayRow};

const MS: Nanos = 1_000_000;

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Ways {
    /// As the process has counted; `asked_ms` is filled in here.
    rows: Vec<WayRow>,
    /// The neighbours whose questions have come, each with the time of its last one.
    asked: Vec<(u8, Nanos)>,
}

impl Default for Ways {
    fn default() -> Self {
        Self { rows: Vec::with_capacity(NEIGHBOURS_MAX), asked: Vec::with_capacity(NEIGHBOURS_MAX) }
    }
}

impl Ways {
    /// A question for a status has come. A node asks under its own number, and no handle under such a one.
    pub(super) fn on_query(&mut self, now: Nanos, header: &Header) {
        let Ok(number @ 1..) = u8::try_from(header.sender) else { return };
        if let Some((_, at)) = self.asked.iter_mut().find(|(known, _)| *known == number) {
            *at = now;
        } else if self.asked.len() < NEIGHBOURS_MAX {
            self.asked.push((number, now));
        }
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

    /// The first way that is lost to a node that lives, as the two numbers of its condition.
    pub fn lost(&self, now: Nanos) -> Option<(u64, u64)> {
        self.rows.iter().find_map(|row| {
            let row = WayRow { asked_ms: self.asked_ms(now, row.peer), ..*row };
            let is_lost = |rounds: u8| rounds >= LOST_ROUNDS;
            let way = match row {
                _ if is_lost(row.unanswered) => (row.lives == 1 || row.asks()).then_some(1),
                // The case above has one that does not answer.
                _ if row.unanswered > 0 => None,
                _ if is_lost(row.large) => Some(2),
                _ if is_lost(row.replay) => Some(3),
                _ => None,
            };
            way.map(|way| (u64::from(row.peer), way))
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
    fn a_way_is_lost_after_some_rounds_and_to_a_node_that_lives() {
        let well = WayRow::zeroed();
        assert_eq!(of(well).lost(0), None);
        assert_eq!(of(WayRow { large: 2, ..well }).lost(0), None, "less is chance");
        assert_eq!(of(WayRow { large: 3, ..well }).lost(0), Some((2, 2)));
        assert_eq!(of(WayRow { replay: 3, ..well }).lost(0), Some((2, 3)));
        let silent = WayRow { unanswered: 3, large: 3, replay: 3, ..well };
        assert_eq!(of(silent).lost(0), None, "it may be down");
        assert_eq!(of(WayRow { lives: 1, ..silent }).lost(0), Some((2, 1)));
        let mut asks = of(silent);
        asks.on_query(7 * MS, &Header { sender: 2, ..Header::new(Kind::Query) });
        assert_eq!(asks.lost(8 * MS), Some((2, 1)), "its questions arrive");
        assert_eq!(asks.lost(5_000 * MS), None, "they did");
    }

    #[test]
    fn a_row_tells_how_long_ago_its_node_asked_and_handles_are_no_neighbours() {
        let mut ways = of(WayRow::zeroed());
        let mut out = [WayRow::zeroed(); NEIGHBOURS_MAX];
        ways.on_query(MS, &Header { sender: 1 << 31, ..Header::new(Kind::Query) });
        assert_eq!((ways.rows(9 * MS, &mut out), out[0].asked_ms), (1, ASKED_NEVER));
        ways.on_query(MS, &Header { sender: 2, ..Header::new(Kind::Query) });
        assert_eq!((ways.rows(9 * MS, &mut out), out[0].asked_ms), (1, 8));
        assert_eq!((ways.rows(900_000 * MS, &mut out), out[0].asked_ms), (1, ASKED_NEVER));
    }
}
