use super::holds;
use lockstep_lab::property::{
    EVENTUAL_ACCURACY, LEADER_ACCURACY, LEADER_AGREEMENT, STRONG_ACCURACY, STRONG_COMPLETENESS,
};
use lockstep_lab::{Event, Fact, Pid, Pids};

fn suspect(pid: Pid) -> Event {
    Event::Did(Fact::Suspect(pid))
}

fn restore(pid: Pid) -> Event {
    Event::Did(Fact::Restore(pid))
}

fn leader(pid: Pid) -> Event {
    Event::Did(Fact::Leader(pid))
}

#[test]
fn every_correct_process_suspects_each_crashed_one_for_ever() {
    let third = Pids::one(2);
    let complete = |events: [&[Event]; 3]| holds(&STRONG_COMPLETENESS, third, events);
    assert!(complete([&[suspect(2)], &[suspect(2)], &[]]));
    assert!(!complete([&[suspect(2)], &[], &[]]), "one never suspects it");
    assert!(!complete([&[suspect(2)], &[suspect(0)], &[]]), "one suspects another one");
    assert!(!complete([&[suspect(2)], &[suspect(2), restore(2)], &[]]), "one trusts it again");
    assert!(complete([&[suspect(2)], &[suspect(2), restore(2), suspect(2)], &[]]));
    assert!(holds(&STRONG_COMPLETENESS, Pids::default(), [&[], &[], &[]]), "nobody has crashed");
}

#[test]
fn accuracy_is_strong_if_nobody_is_suspected_who_has_not_crashed() {
    assert!(holds(&STRONG_ACCURACY, Pids::one(2), [&[suspect(2)], &[], &[]]));
    assert!(!holds(&STRONG_ACCURACY, Pids::one(2), [&[suspect(1)], &[], &[]]));
    assert!(!holds(&STRONG_ACCURACY, Pids::default(), [&[suspect(1), restore(1)], &[], &[]]));
    let of_the_dead = [&[][..], &[], &[suspect(1)]];
    assert!(!holds(&STRONG_ACCURACY, Pids::one(2), of_the_dead), "one that crashed later is judged too");
}

#[test]
fn accuracy_is_eventual_if_each_mistake_is_taken_back() {
    let none = Pids::default();
    assert!(holds(&EVENTUAL_ACCURACY, none, [&[suspect(1), restore(1)], &[], &[]]));
    assert!(!holds(&EVENTUAL_ACCURACY, none, [&[suspect(1)], &[], &[]]));
    assert!(!holds(&EVENTUAL_ACCURACY, none, [&[suspect(1), restore(1), suspect(1)], &[], &[]]));
    assert!(holds(&EVENTUAL_ACCURACY, Pids::one(1), [&[suspect(1)], &[suspect(0)], &[]]));
}

#[test]
fn leaders_are_correct_and_the_same_in_the_end() {
    let first = Pids::one(0);
    let both = |events: [&[Event]; 3]| {
        [&LEADER_ACCURACY, &LEADER_AGREEMENT].map(|property| holds(property, first, events))
    };
    assert_eq!(both([&[leader(0)], &[leader(0), leader(1)], &[leader(1)]]), [true; 2]);
    assert_eq!(both([&[], &[leader(1)], &[leader(2)]]), [true, false], "two leaders");
    assert_eq!(both([&[], &[leader(0)], &[leader(0)]]), [false, true], "a leader that has crashed");
    assert_eq!(both([&[], &[leader(1)], &[leader(1), leader(0)]]), [false; 2], "the last one counts");
    assert_eq!(both([&[], &[leader(1)], &[]]), [false, true], "one trusts nobody");
}
