//! Snapshots of the machine.

use super::flow::{Dice, Flow};
use super::venue::{OPERATORS, Venue, lines, machine, settings};
use lockstep_exchange::ExchangeMachine;
use lockstep_machine::{InputEvent, StateMachine};

/// A machine in the middle of a day.
fn walked(seed: u64) -> Venue<ExchangeMachine> {
    let mut venue = Venue::new(machine(), 3);
    let (mut flow, mut dice) = (Flow::new(3), Dice(seed));
    for _ in 0..120 {
        let (account, bytes) = flow.message(&mut dice);
        venue.bytes(account, &bytes);
        venue.wait(dice.below(1_000_000));
    }
    venue
}

fn bytes_of(machine: &ExchangeMachine) -> Vec<u8> {
    let mut bytes = Vec::new();
    machine.snapshot(&mut bytes).expect("memory can be written");
    bytes
}

#[test]
fn a_restored_machine_has_the_same_digest_and_bytes() {
    for seed in 0..20 {
        let venue = walked(seed);
        let bytes = bytes_of(&venue.machine);
        let rest = &mut &bytes[..];
        let again = ExchangeMachine::restore(rest).expect("its own snapshot");
        assert!(rest.is_empty());
        again.check().expect("a sound exchange");
        assert_eq!((again.digest(), bytes_of(&again)), (venue.machine.digest(), bytes), "seed {seed}");
    }
}

#[test]
fn a_cut_snapshot_is_refused_and_a_changed_one_is_refused_or_another_state() {
    let venue = walked(1);
    let bytes = bytes_of(&venue.machine);
    for len in 0..bytes.len() {
        assert!(ExchangeMachine::restore(&mut &bytes[..len]).is_err(), "{len} bytes");
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        if let Ok(machine) = ExchangeMachine::restore(&mut &changed[..]) {
            assert_ne!(machine.digest(), venue.machine.digest(), "byte {at}");
        }
    }
}

#[test]
fn the_opening_is_carried_out_once_also_behind_a_snapshot() {
    let mut opening = settings();
    opening.opening.push("phase NONE halted".to_owned());
    let machine = ExchangeMachine::new(opening).expect("rules");
    let mut venue = Venue::new(machine, 0);
    venue.machine = ExchangeMachine::restore(&mut &bytes_of(&venue.machine)[..]).expect("its own snapshot");
    let now = std::mem::take(&mut venue.now);
    let before = lines(&venue.input(InputEvent::Membership { members: 3 }));
    assert_eq!(before, [] as [&str; 0], "the stream has no time yet");
    venue.now = now;
    let founded = lines(&venue.input(InputEvent::Time));
    let refused = format!("{OPERATORS}: refused: no instrument NONE: phase NONE halted");
    assert_eq!(
        founded,
        ["feed: R ABC is 1", "feed: R XYZ is 2", "feed: H ABC Trading", "feed: H XYZ Trading", &refused]
    );
    venue.machine = ExchangeMachine::restore(&mut &bytes_of(&venue.machine)[..]).expect("its own snapshot");
    assert_eq!(lines(&venue.input(InputEvent::Time)), [] as [&str; 0]);
}
