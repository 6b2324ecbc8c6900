//! What the owner of a card relays to the other processes of its host, tested by its ring alone. The root's
//! tests of networks run it on a card.

use crate::beside::{Noted, groups};
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

/// The datagrams that it receives until `count` have come.
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
    for group in [Group::Submit, Group::Data, Group::Control] {
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
        // Its datagrams are received although it has left.
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
