//! A gateway that follows no leader at present.

use super::*;

/// The text that was sent to a connection from `at` on.
fn sent(gateway: &Gateway<MemoryBacklog>, index: usize, at: usize) -> String {
    String::from_utf8_lossy(&gateway.out(index)[at..]).into_owned()
}

/// From `now` on its handles follow a leader, or none; returns the connections with output.
fn follow(
    gateway: &mut Gateway<MemoryBacklog>,
    stream: &mut Recorder,
    now: Nanos,
    follows: bool,
) -> Vec<usize> {
    gateway.leader.follows = follows;
    let mut touched = Vec::new();
    gateway.turn(now, stream, &mut touched);
    touched
}

#[test]
fn a_client_is_told_at_once_that_no_leader_is_followed_and_that_one_is_again() {
    let (mut gateway, mut stream, index) = opening();
    entry_delivered(&mut gateway, &mut stream, ALICE);
    handle_opened(&mut gateway, &mut stream, ALICE);
    gateway.turn(0, &mut stream, &mut Vec::new());
    let mut at = gateway.out(index).len();
    for (follows, words) in
        [(false, "follows no leader: what you send waits"), (true, "follows a leader again")]
    {
        assert!(follow(&mut gateway, &mut stream, MS, follows).contains(&index));
        let text = sent(&gateway, index, at);
        assert!(text[2..].starts_with('+') && text.ends_with(words), "{text:?}");
        at = gateway.out(index).len();
        follow(&mut gateway, &mut stream, 2 * MS, follows);
        assert_eq!(gateway.out(index).len(), at, "once");
    }
    assert_eq!(gateway.open_count(), 1, "it stays");
}

#[test]
fn a_login_without_a_leader_is_refused_with_the_reason_and_one_under_way_is_told_and_waits() {
    let (mut gateway, mut stream, waits) = opening();
    follow(&mut gateway, &mut stream, 0, false);
    assert!(!gateway.is_ready());
    assert!(sent(&gateway, waits, 0).ends_with("follows no leader: what you send waits"));
    let refused = begin_login(&mut gateway, &mut stream, b"");
    let text = sent(&gateway, refused, 0);
    assert!(text.contains("the gateway follows no leader: try again in a moment"), "{text:?}");
    assert!(text.ends_with("\0\u{2}JS") && gateway.next_check().is_none(), "{text:?}");
    // The leader is back.
    follow(&mut gateway, &mut stream, MS, true);
    entry_delivered(&mut gateway, &mut stream, ALICE);
    handle_opened(&mut gateway, &mut stream, ALICE);
    assert!(sent(&gateway, waits, 0).ends_with("A     FIRST                   1"));
    begin_login(&mut gateway, &mut stream, b"");
    assert!(gateway.next_check().is_some());
}
