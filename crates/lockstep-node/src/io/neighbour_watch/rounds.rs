//! What a node knows of the other nodes by asking them: rounds of questions and answers, without a socket or
//! a clock.
//!
//! ```text
//!  a round: a question to each ─▶ answers ─▶ Neighbours ─▶ what differs, for the node's conditions
//! ```

use lockstep_wire::{AgreedOwner, AgreedRow, differences};
use std::net::SocketAddrV4;

/// What a node that has not answered for so many rounds said is forgotten.
const FORGOTTEN_ROUNDS: u8 = 4;

/// Another node of the cluster's file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// Who.
    pub owner: AgreedOwner,
    /// Where it answers.
    pub address: SocketAddrV4,
}

/// What a neighbour has answered in a round.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct NeighbourAnswer {
    /// The keys that all files must have alike; `None` of a release that does not say.
    pub agreed: Option<Vec<AgreedRow>>,
}

#[derive(Debug)]
struct Peer {
    neighbour: Neighbour,
    agreed: Option<Vec<AgreedRow>>,
    missed: u8,
}

/// See the module.
#[derive(Debug)]
pub struct Neighbours {
    own: AgreedOwner,
    agreed: Vec<AgreedRow>,
    peers: Vec<Peer>,
}

impl Neighbours {
    /// Of the node `own`, whose process has these values.
    pub fn new(own: AgreedOwner, agreed: Vec<AgreedRow>, neighbours: &[Neighbour]) -> Self {
        let peer = |neighbour: &Neighbour| Peer { neighbour: *neighbour, agreed: None, missed: 0 };
        Self { own, agreed, peers: neighbours.iter().map(peer).collect() }
    }

    /// A round is over: what each neighbour has answered, in their order.
    pub fn on_round(&mut self, answers: Vec<Option<NeighbourAnswer>>) {
        for (peer, answer) in self.peers.iter_mut().zip(answers) {
            match answer {
                Some(answer) => (peer.agreed, peer.missed) = (answer.agreed, 0),
                None => {
                    peer.missed = peer.missed.saturating_add(1);
                    if peer.missed >= FORGOTTEN_ROUNDS {
                        peer.agreed = None;
                    }
                }
            }
        }
    }

    /// The first key for which this node has another value than most, as the two numbers of its condition.
    pub fn differs(&self) -> Option<(u64, u64)> {
        let peers =
            self.peers.iter().filter_map(|peer| Some((peer.neighbour.owner, peer.agreed.as_deref()?)));
        let files: Vec<_> = std::iter::once((self.own, &self.agreed[..])).chain(peers).collect();
        let differences = differences(&files);
        let own = differences.iter().find(|difference| difference.culprits().contains(&self.own))?;
        let value = self.agreed.iter().find(|row| row.place() == own.place);
        Some((u64::from(own.place), value.map_or(0, AgreedRow::number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(number: u32) -> AgreedOwner {
        AgreedOwner { number, is_archiver: false }
    }

    fn rows(control: &str) -> Vec<AgreedRow> {
        let pairs = [("lines.1.control", control), ("lines.1.mtu", "1500")];
        pairs.iter().filter_map(|(path, value)| AgreedRow::new(path, value)).collect()
    }

    fn of(own: &str) -> Neighbours {
        let neighbour = |number| Neighbour {
            owner: owner(number),
            address: SocketAddrV4::new([10, 0, 0, number as u8].into(), 7701),
        };
        Neighbours::new(owner(1), rows(own), &[2, 3].map(neighbour))
    }

    fn answers(controls: [Option<&str>; 2]) -> Vec<Option<NeighbourAnswer>> {
        controls.map(|control| control.map(|control| NeighbourAnswer { agreed: Some(rows(control)) })).into()
    }

    const USUAL: &str = "239.77.1.3:7700";
    const OTHER: &str = "239.77.1.4:7700";

    #[test]
    fn the_node_that_differs_from_most_says_so_and_the_others_do_not() {
        let mut usual = of(USUAL);
        usual.on_round(answers([Some(USUAL), Some(OTHER)]));
        assert_eq!(usual.differs(), None);
        let mut other = of(OTHER);
        assert_eq!(other.differs(), None, "nobody has answered");
        other.on_round(answers([Some(USUAL), Some(USUAL)]));
        let row = rows(OTHER)[0];
        assert_eq!(other.differs(), Some((u64::from(row.place()), row.number())));
        other.on_round(answers([Some(OTHER), Some(OTHER)]));
        assert_eq!(other.differs(), None, "the others were corrected");
    }

    #[test]
    fn of_two_that_differ_both_say_so_until_one_is_gone_for_long() {
        let mut one = of(USUAL);
        one.on_round(answers([Some(OTHER), None]));
        assert!(one.differs().is_some());
        for _ in 1..FORGOTTEN_ROUNDS {
            one.on_round(answers([None, None]));
            assert!(one.differs().is_some(), "a round or two are lost");
        }
        one.on_round(answers([None, None]));
        assert_eq!(one.differs(), None);
    }

    #[test]
    fn a_release_that_does_not_say_is_not_compared() {
        let mut one = of(USUAL);
        one.on_round(vec![Some(NeighbourAnswer::default()), Some(NeighbourAnswer::default())]);
        assert_eq!(one.differs(), None);
    }
}
