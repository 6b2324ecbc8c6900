//! Clients that guess passwords, and clients that connect without end: how much they can take from others.

use super::tests::{Recorder, opening};
use super::*;
use lockstep_core::engine::ports::MemoryBacklog;

const S: Nanos = 1_000_000_000;

/// A connection from the address 10.0.0.`host` that has sent its login; `None` if it was closed at once.
fn begin(
    gateway: &mut Gateway<MemoryBacklog>,
    stream: &mut Recorder,
    now: Nanos,
    (host, user): (u8, &str),
) -> Option<usize> {
    let (index, _) = gateway.accept(now, SocketAddr::from(([10, 0, 0, host], 1)))?;
    let login = format!("\0\x2fL{user:<6}{:<10}{:<29}0", "secret", "");
    gateway.on_bytes(now, stream, index, login.as_bytes());
    Some(index)
}

/// A login with a right or wrong password; returns whether the gateway checked the password at all. The
/// connection is closed afterwards.
fn is_checked(
    gateway: &mut Gateway<MemoryBacklog>,
    stream: &mut Recorder,
    now: Nanos,
    (login, is_right): ((u8, &str), bool),
) -> bool {
    let index = begin(gateway, stream, now, login).expect("room");
    let check = gateway.next_check();
    if let Some(check) = &check {
        gateway.on_checked(now, stream, check, is_right);
    }
    gateway.on_closed(now, index);
    check.is_some()
}

#[test]
fn wrong_logins_from_elsewhere_do_not_lock_a_user_and_each_is_counted() {
    let (mut gateway, mut stream, _) = opening();
    for round in 0..15 {
        for host in 100..164 {
            is_checked(&mut gateway, &mut stream, round * S, ((host, "alice"), false));
        }
    }
    assert!(!is_checked(&mut gateway, &mut stream, 15 * S, ((100, "alice"), true)), "a guesser is locked");
    assert!(is_checked(&mut gateway, &mut stream, 15 * S, ((1, "alice"), true)));
    let counts = gateway.counts();
    assert_eq!(counts.logins_failed + counts.logins_locked, 15 * 64 + 1);
}

#[test]
fn wrong_logins_behind_one_address_lock_nobody_else_there() {
    let (mut gateway, mut stream, _) = opening();
    for user in ["mal1", "mal2", "mal1", "mal1", "mal1", "mal1", "mal1", "mal1"] {
        is_checked(&mut gateway, &mut stream, S, ((9, user), false));
    }
    assert!(!is_checked(&mut gateway, &mut stream, S, ((9, "mal1"), true)), "the guesser's own user is");
    assert!(is_checked(&mut gateway, &mut stream, S, ((9, "alice"), true)));
}

#[test]
fn an_address_from_which_a_user_logged_in_waits_no_longer_than_the_first_wait() {
    let (mut gateway, mut stream, _) = opening();
    assert!(is_checked(&mut gateway, &mut stream, 0, ((9, "alice"), true)));
    for second in 1..60 {
        is_checked(&mut gateway, &mut stream, second * S, ((9, "alice"), false));
    }
    assert!(is_checked(&mut gateway, &mut stream, 60 * S, ((9, "alice"), true)));
}

#[test]
fn a_user_at_an_address_that_is_known_does_not_wait_behind_guessers() {
    let (mut gateway, mut stream, _) = opening();
    assert!(is_checked(&mut gateway, &mut stream, 0, ((1, "alice"), true)));
    begin(&mut gateway, &mut stream, 0, (9, "mal1")).expect("room");
    begin(&mut gateway, &mut stream, 0, (1, "alice")).expect("room");
    let in_turn = [gateway.next_check(), gateway.next_check()].map(|check| check.map(|check| check.user));
    assert_eq!(in_turn, [Some("alice".to_owned()), Some("mal1".to_owned())]);
}

#[test]
fn one_address_holds_its_share_of_pending_checks_and_leaves_the_rest() {
    let (mut gateway, mut stream, _) = opening();
    let of_one = (0..6).filter(|_| {
        begin(&mut gateway, &mut stream, 0, (9, "alice")).expect("room");
        gateway.checks.waiting() <= 4 && gateway.checks.pending() <= 4
    });
    assert_eq!(of_one.count(), 6, "no more than its share is ever pending");
    assert_eq!(gateway.checks.pending(), 4);
    begin(&mut gateway, &mut stream, 0, (1, "alice")).expect("room");
    assert_eq!(gateway.checks.pending(), 5, "another address finds room");
    while let Some(check) = gateway.next_check() {
        gateway.on_checked(0, &mut stream, &check, false);
    }
    gateway.invariants();
    let index = begin(&mut gateway, &mut stream, 0, (9, "bob"));
    assert!(index.is_none() || gateway.checks.pending() == 1, "what was checked gives its room back");
}

#[test]
fn one_address_holds_its_share_of_connections_and_leaves_the_rest() {
    let (mut gateway, ..) = opening();
    gateway.limits.clients_per_address = 3;
    let mut accept = |host: u8| gateway.accept(0, SocketAddr::from(([10, 0, 0, host], 1)));
    let first = (0..3).map(|_| accept(9)).last().flatten().expect("room");
    assert_eq!((accept(9), accept(1).is_some()), (None, true));
    gateway.on_closed(0, first.0);
    assert!(gateway.accept(0, SocketAddr::from(([10, 0, 0, 9], 1))).is_some());
    gateway.invariants();
}
