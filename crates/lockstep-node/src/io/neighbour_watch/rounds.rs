//! What a node learns about the other nodes by asking them: rounds of questions and answers, without a socket
//! or a clock.
//!
//! ```text
//!  a round: a question to each ─▶ answers ─▶ Neighbours ─▶ what differs, for the node's conditions
//! ```

use bytemuck::Zeroable;
use lockstep_wire::{AgreedOwner, AgreedRow, LOST_ROUNDS, WayRow, differences};
use std::collections::BTreeMap;
use std::net::SocketAddrV4;

/// The answers of a node that is silent for this many rounds are forgotten.
const FORGOTTEN_ROUNDS: u8 = 4;
/// An address counts as held by two nodes for this many rounds after the last sign of it: half a minute.
const TWICE_ROUNDS: u32 = 40;

/// Another node of the cluster's file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// The node's number.
    pub owner: AgreedOwner,
    /// Its unicast address.
    pub address: SocketAddrV4,
}

/// A neighbour's answer in a round.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct NeighbourAnswer {
    /// The keys that all files must have alike; `None` if its release does not report them.
    pub agreed: Option<Vec<AgreedRow>>,
    /// The number of its process.
    pub process: u64,
    /// What it receives from each of the others.
    pub ways: Vec<WayRow>,
}

/// The result of a round for one neighbour.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RoundResult {
    /// The answer to the short question.
    pub answer: Option<NeighbourAnswer>,
    /// Whether the question of the size of `mtu` was answered; `None`: there was none.
    pub large: Option<bool>,
    /// Whether its replay port accepted or refused a connection; `None`: it was not tried.
    pub replay: Option<bool>,
    /// The card at its address, as this host's kernel knows it.
    pub card: Option<u64>,
    /// Whether a question from it arrived in this round.
    pub asked: bool,
}

/// The present holder of an address and the former one, each identified by a number.
#[derive(Clone, Copy, Default, Debug)]
struct Holders {
    present: Option<u64>,
    previous: Option<u64>,
    /// The holder from which the node answered last.
    answered: Option<u64>,
    /// Rounds since a former holder came back; at the bound if none did.
    since: u32,
}

impl Holders {
    fn new() -> Self {
        Self { since: TWICE_ROUNDS, ..Self::default() }
    }

    fn on_round(&mut self, holder: Option<u64>, answers: bool) {
        self.since = (self.since + 1).min(TWICE_ROUNDS);
        let Some(holder) = holder else { return };
        if self.present != Some(holder) {
            // One change means a new machine or a new process; a change back means two of them.
            if self.previous == Some(holder) {
                self.since = 0;
            }
            (self.previous, self.present) = (self.present, Some(holder));
        }
        if answers {
            self.answered = Some(holder);
        }
    }

    fn came_back(&self) -> bool {
        self.since < TWICE_ROUNDS
    }
}

#[derive(Debug)]
struct Peer {
    neighbour: Neighbour,
    agreed: Option<Vec<AgreedRow>>,
    row: WayRow,
    /// Consecutive rounds without an answer.
    missed: u8,
    /// The rounds among them without any sign of life.
    silent: u8,
    cards: Holders,
    processes: Holders,
}

impl Peer {
    fn new(neighbour: &Neighbour) -> Self {
        let row = WayRow { peer: neighbour.owner.number as u8, ..WayRow::zeroed() };
        let (cards, processes) = (Holders::new(), Holders::new());
        Self { neighbour: *neighbour, agreed: None, row, missed: 0, silent: 0, cards, processes }
    }

    /// `lives`: something other than an answer has shown in this round that it lives.
    fn on_round(&mut self, result: &RoundResult, lives: bool) {
        let answers = result.answer.is_some();
        self.cards.on_round(result.card, answers);
        self.processes.on_round(result.answer.as_ref().map(|answer| answer.process), answers);
        match &result.answer {
            Some(answer) => {
                self.agreed.clone_from(&answer.agreed);
                self.on_answer(result);
            }
            None => self.on_silence(lives),
        }
    }

    fn on_answer(&mut self, result: &RoundResult) {
        let missed = |rounds: u8, is_well: bool| if is_well { 0 } else { rounds.saturating_add(1) };
        (self.missed, self.silent) = (0, 0);
        let row = &mut self.row;
        row.answered = row.answered.wrapping_add(1);
        row.unanswered = 0;
        row.large = result.large.map_or(row.large, |is_well| missed(row.large, is_well));
        row.replay = result.replay.map_or(row.replay, |is_well| missed(row.replay, is_well));
    }

    /// A node that is down answers no question, so only rounds in which it lives say something about the
    /// path.
    fn on_silence(&mut self, lives: bool) {
        self.missed = self.missed.saturating_add(1);
        self.silent = if lives { 0 } else { self.silent.saturating_add(1) };
        let row = &mut self.row;
        (row.large, row.replay) = (0, 0);
        if lives {
            row.unanswered = row.unanswered.saturating_add(1);
        } else if self.silent >= LOST_ROUNDS {
            row.unanswered = 0;
        }
        if self.missed >= FORGOTTEN_ROUNDS {
            self.agreed = None;
        }
    }

    /// Whether the next rounds will show if something is lost.
    fn is_in_doubt(&self) -> bool {
        let is_open = |rounds: u8| (1..LOST_ROUNDS).contains(&rounds);
        let WayRow { unanswered, large, replay, .. } = self.row;
        let is_silent = unanswered < LOST_ROUNDS && (1..3 * LOST_ROUNDS).contains(&self.missed);
        is_silent || is_open(large) || is_open(replay)
    }

    /// Whether two nodes have its address: one of them came back, or the node lives and is not reached since
    /// another card took the address.
    fn twice(&self) -> Option<(u64, u64)> {
        let address = u64::from(self.neighbour.address.ip().to_bits());
        let Holders { present, answered, .. } = self.cards;
        let is_taken = self.row.unanswered >= LOST_ROUNDS && answered.is_some() && present != answered;
        if self.cards.came_back() || is_taken {
            return Some((address, present.unwrap_or(0)));
        }
        self.processes.came_back().then_some((address, 0))
    }
}

/// The neighbours: see the module.
#[derive(Debug)]
pub struct Neighbours {
    own: AgreedOwner,
    agreed: Vec<AgreedRow>,
    peers: Vec<Peer>,
    /// How often each node had answered the other, as the first one reported: by the reporting node and the
    /// other.
    answered_before: BTreeMap<(u8, u8), u8>,
}

impl Neighbours {
    /// The neighbours of the node `own`, whose process has these values.
    pub fn new(own: AgreedOwner, agreed: Vec<AgreedRow>, neighbours: &[Neighbour]) -> Self {
        Self {
            own,
            agreed,
            peers: neighbours.iter().map(Peer::new).collect(),
            answered_before: BTreeMap::new(),
        }
    }

    /// Handles the end of a round: the results of the neighbours, in their order.
    pub fn on_round(&mut self, results: &[RoundResult]) {
        let seen = self.seen_by_others(results);
        for (peer, result) in self.peers.iter_mut().zip(results) {
            peer.on_round(result, result.asked || seen.contains(&peer.row.peer));
        }
    }

    /// The nodes whose answers other nodes have received since those were last asked.
    fn seen_by_others(&mut self, results: &[RoundResult]) -> Vec<u8> {
        let mut seen = Vec::new();
        for (peer, result) in self.peers.iter().zip(results) {
            for row in result.answer.iter().flat_map(|answer| &answer.ways) {
                let before = self.answered_before.insert((peer.row.peer, row.peer), row.answered);
                if before.is_some_and(|before| before != row.answered) {
                    seen.push(row.peer);
                }
            }
        }
        seen
    }

    /// What this node receives from each of the others.
    pub fn ways(&self) -> impl Iterator<Item = WayRow> {
        self.peers.iter().map(|peer| peer.row)
    }

    /// Whether something was missed in the last round that is not lost yet: the next round will show.
    pub fn has_doubt(&self) -> bool {
        self.peers.iter().any(Peer::is_in_doubt)
    }

    /// An address that two nodes have, as the two numbers of its condition.
    pub fn twice(&self) -> Option<(u64, u64)> {
        self.peers.iter().find_map(Peer::twice)
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

    fn answers(controls: [Option<&str>; 2]) -> [RoundResult; 2] {
        let answer = |control| NeighbourAnswer { agreed: Some(rows(control)), ..NeighbourAnswer::default() };
        controls.map(|control| RoundResult { answer: control.map(answer), ..RoundResult::default() })
    }

    const USUAL: &str = "239.77.1.3:7700";
    const OTHER: &str = "239.77.1.4:7700";

    #[test]
    fn the_node_that_differs_from_most_says_so_and_the_others_do_not() {
        let mut usual = of(USUAL);
        usual.on_round(&answers([Some(USUAL), Some(OTHER)]));
        assert_eq!(usual.differs(), None);
        let mut other = of(OTHER);
        assert_eq!(other.differs(), None, "nobody has answered");
        other.on_round(&answers([Some(USUAL), Some(USUAL)]));
        let row = rows(OTHER)[0];
        assert_eq!(other.differs(), Some((u64::from(row.place()), row.number())));
        other.on_round(&answers([Some(OTHER), Some(OTHER)]));
        assert_eq!(other.differs(), None, "the others were corrected");
    }

    #[test]
    fn of_two_that_differ_both_say_so_until_one_is_gone_for_long() {
        let mut one = of(USUAL);
        one.on_round(&answers([Some(OTHER), None]));
        assert!(one.differs().is_some());
        for _ in 1..FORGOTTEN_ROUNDS {
            one.on_round(&answers([None, None]));
            assert!(one.differs().is_some(), "a round or two are lost");
        }
        one.on_round(&answers([None, None]));
        assert_eq!(one.differs(), None);
    }

    #[test]
    fn a_release_that_does_not_say_is_not_compared() {
        let mut one = of(USUAL);
        let answer = Some(NeighbourAnswer::default());
        let result = RoundResult { answer, ..RoundResult::default() };
        one.on_round(&[result.clone(), result]);
        assert_eq!(one.differs(), None);
    }

    /// A round without loss, with the first neighbour's card and process.
    fn well(card: u64, process: u64) -> [RoundResult; 2] {
        let answer = Some(NeighbourAnswer { process, ..NeighbourAnswer::default() });
        let result =
            RoundResult { answer, large: Some(true), replay: Some(true), card: Some(card), asked: true };
        [result.clone(), RoundResult { card: Some(99), ..result }]
    }

    fn row(of: &Neighbours) -> WayRow {
        of.ways().next().expect("a neighbour")
    }

    #[test]
    fn each_way_counts_its_rounds_without_a_success_and_one_success_ends_that() {
        let mut one = of(USUAL);
        let [first, second] = well(7, 1);
        for rounds in 1..=4 {
            let blocked = RoundResult { large: Some(false), replay: Some(false), ..first.clone() };
            one.on_round(&[blocked, second.clone()]);
            assert_eq!((row(&one).unanswered, row(&one).large, row(&one).replay), (0, rounds, rounds));
        }
        one.on_round(&[RoundResult { replay: None, ..first.clone() }, second.clone()]);
        assert_eq!((row(&one).large, row(&one).replay), (0, 4), "a way that is not tried stays as it was");
        one.on_round(&[RoundResult { asked: true, ..RoundResult::default() }, second]);
        assert_eq!((row(&one).unanswered, row(&one).large, row(&one).replay), (1, 0, 0));
    }

    /// The third node's answer, which has received `answered` answers of the second one.
    fn third_with(answered: u8) -> RoundResult {
        let ways = vec![WayRow { peer: 2, answered, ..WayRow::zeroed() }];
        let answer = Some(NeighbourAnswer { ways, ..NeighbourAnswer::default() });
        RoundResult { answer, large: Some(true), replay: Some(true), ..RoundResult::default() }
    }

    #[test]
    fn a_node_that_is_down_or_begins_is_no_lost_way() {
        let mut one = of(USUAL);
        let silent = RoundResult::default;
        for _ in 0..50 {
            one.on_round(&[silent(), third_with(9)]);
            assert_eq!(row(&one).unanswered, 0, "it gives no sign of life");
        }
        assert!(!one.has_doubt(), "it is looked at in calm");
        one.on_round(&[RoundResult { asked: true, ..silent() }, third_with(9)]);
        assert_eq!(row(&one).unanswered, 1, "it began behind the last question of the round");
        one.on_round(&[well(7, 1)[0].clone(), third_with(10)]);
        assert_eq!(row(&one).unanswered, 0);
    }

    #[test]
    fn a_node_that_lives_and_does_not_answer_is_lost_until_it_answers_or_falls_silent() {
        for by_third in [false, true] {
            let mut one = of(USUAL);
            one.on_round(&[well(7, 1)[0].clone(), third_with(0)]);
            let mut rounds = 0;
            while row(&one).unanswered < LOST_ROUNDS {
                rounds += 1;
                assert!(rounds < 3 * LOST_ROUNDS, "too late");
                let (asked, answered) = if by_third { (false, rounds / 2) } else { (true, 0) };
                one.on_round(&[RoundResult { asked, ..RoundResult::default() }, third_with(answered)]);
                assert!(row(&one).unanswered >= LOST_ROUNDS || one.has_doubt(), "the next round is soon");
            }
            for _ in 0..=LOST_ROUNDS {
                one.on_round(&[RoundResult::default(), third_with(0)]);
            }
            assert_eq!(row(&one).unanswered, 0, "it died");
        }
    }

    #[test]
    fn a_card_or_a_process_that_comes_back_is_a_second_one_and_a_new_one_is_not() {
        let address = u64::from(u32::from_be_bytes([10, 0, 0, 2]));
        let mut one = of(USUAL);
        for (card, process, twice) in
            [(7, 1, None), (8, 2, None), (8, 2, None), (7, 2, Some((address, 7))), (7, 2, Some((address, 7)))]
        {
            one.on_round(&well(card, process));
            assert_eq!(one.twice(), twice);
        }
        for _ in 0..TWICE_ROUNDS {
            one.on_round(&well(7, 2));
        }
        assert_eq!(one.twice(), None, "it is over");
        one.on_round(&well(7, 1));
        assert_eq!(one.twice(), Some((address, 0)), "a process came back");
    }

    #[test]
    fn a_node_that_falls_silent_when_another_card_takes_its_address_has_lost_it() {
        let mut one = of(USUAL);
        let [_, second] = well(7, 1);
        one.on_round(&well(7, 1));
        for rounds in 1..=LOST_ROUNDS {
            let silent = RoundResult { card: Some(8), asked: true, ..RoundResult::default() };
            one.on_round(&[silent, second.clone()]);
            assert_eq!(one.twice().is_some(), rounds == LOST_ROUNDS);
        }
        one.on_round(&well(8, 5));
        assert_eq!(one.twice(), None, "it was a new machine");
        for _ in 0..20 {
            let [_, second] = well(8, 5);
            one.on_round(&[RoundResult { card: Some(9), ..RoundResult::default() }, second]);
            assert_eq!(one.twice(), None, "a host that is down gets a new card");
        }
    }
}
