//! What the owner of a card hands on to the other processes of its host: by its ring alone, and on a veth
//! pair with real programs, where every datagram of the far end really crosses the wire.

use crate::beside::{Noted, groups};
use crate::xdp::{KINDS, Pair, SENT_AT_ONCE, Speaker, UNICAST_PORT, all};
use lockstep_core::engine::ports::{Group, Net};
use lockstep_io::shm::{Relay, RelaySettings, Relayed};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::time::{Duration, Instant};

const CARD: u32 = 7;

fn settings(parent: &Path) -> RelaySettings {
    let group = SocketAddrV4::new(Ipv4Addr::new(239, 1, 2, 3), 7700);
    RelaySettings { parent: parent.into(), ring_bytes: 64 << 10, ..RelaySettings::new(CARD, group) }
}

fn owner(parent: &Path) -> Relay {
    Relay::open(&settings(parent)).unwrap_or_else(|error| panic!("{error}"))
}

fn listener(settings: &RelaySettings) -> Relayed<Noted> {
    Relayed::open(settings, Noted::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// What it hears until so many datagrams have come.
fn hear(listener: &mut Relayed<Noted>, count: usize) -> Vec<Vec<u8>> {
    let (mut received, begun) = (Vec::new(), Instant::now());
    while received.len() < count {
        received.extend(groups(listener));
        assert!(begun.elapsed() < Duration::from_secs(30), "{} of {count}", received.len());
    }
    received
}

#[test]
fn every_listener_hears_what_the_owner_hands_on_for_its_groups_and_what_its_own_network_brings() {
    let parent = tempfile::tempdir().unwrap();
    let mut owner = owner(parent.path());
    let joins = vec![Group::Data];
    let mut some = listener(&RelaySettings { joins, ..settings(parent.path()) });
    let mut everything = listener(&settings(parent.path()));
    for group in KINDS {
        assert!(owner.push(group, format!("{group:?}").as_bytes()));
    }
    assert!(!owner.push(Group::Data, &[0; 60_000]), "no ring was made for that");
    assert_eq!(hear(&mut some, 1), [b"Data"]);
    assert_eq!(hear(&mut everything, 3), [&b"Submit"[..], b"Data", b"Control"]);
    some.set_joined(Group::Control, true);
    assert_eq!(some.network().joined, [(Group::Control, true)], "and its sockets stay joined as it is");
    owner.push(Group::Control, b"later");
    assert_eq!(hear(&mut some, 1), [b"later"]);
    let counts = some.relay_counts();
    assert_eq!((counts.datagrams_in, counts.owners, counts.dropped), (2, 1, 0));
    assert_eq!(settings(parent.path()).owner(), Some(std::process::id()));
}

#[test]
fn who_listens_before_there_is_an_owner_hears_each_that_comes_from_its_first_datagram_on() {
    let parent = tempfile::tempdir().unwrap();
    let mut early = listener(&settings(parent.path()));
    assert_eq!(settings(parent.path()).owner(), None);
    for round in 0..3_u8 {
        let mut owner = owner(parent.path());
        let say = |owner: &mut Relay, number| assert!(owner.push(Group::Data, &[round, number]));
        (0..5).for_each(|number| say(&mut owner, number));
        let mut received = hear(&mut early, 5);
        // What it has said is heard though it has left.
        (5..10).for_each(|number| say(&mut owner, number));
        drop(owner);
        received.extend(hear(&mut early, 5));
        assert_eq!(received, (0..10).map(|number| vec![round, number]).collect::<Vec<_>>());
    }
    let begun = Instant::now();
    while early.relay_counts().owners > 0 {
        assert!(groups(&mut early).is_empty() && begun.elapsed() < Duration::from_secs(30));
    }
    drop(early);
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0, "the last one leaves nothing behind");
}

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
    let owner = format!("process {} of lockstep has it already", first.child.id());
    assert!(refused.contains(&owner) && refused.contains("set `network.shm = true` for both"), "{refused}");
}
