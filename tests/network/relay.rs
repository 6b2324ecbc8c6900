//! What the owner of a card hands on to the other processes of its host, on a veth pair with real programs,
//! where every datagram of the far end really crosses the wire.

use crate::xdp::{KINDS, Pair, SENT_AT_ONCE, Speaker, UNICAST_PORT, all};
use std::time::{Duration, Instant};

/// The far end says something to each group; the owner takes it from the card, if there is one, and all of
/// `near` hear it once.
fn all_hear(far: &mut Speaker, near: &mut [Speaker]) {
    for group in 0..KINDS.len() {
        let sent = far.ask(&format!("send {group} {SENT_AT_ONCE} {}", 200 + group));
        assert_eq!(sent, SENT_AT_ONCE.to_string());
    }
    let count = KINDS.len() * SENT_AT_ONCE;
    assert_eq!(
        far.ask(&format!("hear {count}")),
        all(count),
        "the kernel brings it back to the far end itself"
    );
    for (number, speaker) in near.iter_mut().enumerate() {
        assert_eq!(speaker.ask(&format!("hear {count}")), all(count), "speaker {number}");
    }
}

#[test]
fn all_processes_of_a_host_hear_a_card_that_one_of_them_owns_and_hear_on_when_that_one_is_killed() {
    let Some(pair) = Pair::new(1500) else { return };
    let place = pair.place(0);
    let mut far = Speaker::open(pair.place(1), "udp-cut");
    let (mut plain, _) = Speaker::open_at(place, "shm+udp", UNICAST_PORT + 10);
    for mode in ["xdp-native", "xdp-generic"] {
        let (mut owner, _) = Speaker::open_at(place, &format!("shm+{mode}"), UNICAST_PORT + 11);
        let (served, reply) = Speaker::open_at(place, "shm+xdp-native", UNICAST_PORT + 12);
        let why = format!("transport udp (asked xdp): xdp: served by pid {} through", owner.child.id());
        assert!(reply.contains(&why), "{reply}");
        // An owner takes nothing from anybody before it looks itself.
        let mut early = [served, plain];
        all_hear(&mut far, &mut early);
        assert_eq!(owner.ask("hear 180"), all(180));
        assert_eq!(owner.number("by-card"), 0);
        let [served, plain_still] = early;
        let mut near = [owner, served, plain_still];
        all_hear(&mut far, &mut near);
        assert_eq!(near.each_mut().map(|speaker| speaker.number("owners")), [0, 1, 1]);
        // Whatever the owner listens to itself.
        near[0].ask("leave 1");
        assert_eq!([far.ask("send 1 30 100"), far.ask("hear 30")], ["30".to_owned(), all(30)]);
        assert_eq!(near[0].ask("hear 0"), all(0));
        assert_eq!([1, 2].map(|index: usize| near[index].ask("hear 30")), [all(30), all(30)]);
        // A message sent here is heard here by memory, there by the wire, each once.
        for speaker in 0..near.len() {
            assert_eq!(near[speaker].ask("send 2 20 90"), "20");
            assert_eq!(far.ask("hear 20"), all(20));
            for other in (0..near.len()).filter(|other| *other != speaker) {
                assert_eq!(near[other].ask("hear 20"), all(20), "{other} hears {speaker}");
            }
        }
        // Unicast never goes by another's hands.
        for (number, port) in (11..).take(2).enumerate() {
            assert_eq!(far.ask(&format!("tell 0 10 {}", UNICAST_PORT + port)), "10");
            assert_eq!(near[number].ask("hear-unicast 10 1"), all(10));
        }
        let relayed = [1, 2].map(|index: usize| near[index].number("relayed-in"));
        assert!(relayed.iter().all(|count| *count >= 210), "{relayed:?}");
        let [owner, served, still] = near;
        drop(owner); // kill -9
        let begun = Instant::now();
        while pair.has_program(0) {
            assert!(begun.elapsed() < Duration::from_secs(20), "a program was left");
        }
        let mut near = [served, still];
        all_hear(&mut far, &mut near);
        let [served, still] = near;
        drop(served);
        plain = still;
    }
}

#[test]
fn an_owner_that_does_not_hand_on_serves_nobody_and_the_refusal_says_what_would_do() {
    let Some(pair) = Pair::new(1500) else { return };
    let first = Speaker::open(pair.place(0), "xdp-generic");
    let refused = Speaker::refusal(pair.place(0), "shm+xdp-native", 1472);
    let owner = format!("process {} of lockstep uses it already", first.child.id());
    assert!(refused.contains(&owner) && refused.contains("set `network.shm = true` for both"), "{refused}");
}
