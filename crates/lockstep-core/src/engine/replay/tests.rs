//! Which source is asked, and when one is given up.

use super::*;
use lockstep_wire::{seal, write_replay};

fn replay(sources: u8) -> ReplayReader {
    let sources = (1..=sources).map(|last| SocketAddrV4::new([10, 0, 0, last].into(), 7)).collect();
    let me = Identity { replica: 9, incarnation: 0 };
    ReplayReader::new(ReplayLimits::new(Keyring::none(7).into(), me, sources))
}

fn body(end: u32, oldest_seq: Seq) -> ReplayBody {
    ReplayBody { next: 1, oldest_seq, end, reserved: 0 }
}

fn opened(replay: &mut ReplayReader, now: Nanos) -> u8 {
    match replay.poll(now) {
        Some(ReplayStep::Open(to)) => to.ip().octets()[3],
        other => panic!("{other:?}"),
    }
}

fn header() -> Header {
    Header { cluster: 7, ..Header::new(Kind::ReplayMark) }
}

#[test]
fn a_source_that_dies_in_the_middle_is_followed_by_the_next_one() {
    let mut replay = replay(3);
    replay.begin(100);
    assert_eq!(opened(&mut replay, 100), 1);
    assert!(replay.on_answer(100, &body(0, 1)) && replay.is_reading());
    assert!(replay.on_frame(110));
    replay.on_lost(120);
    assert_eq!(opened(&mut replay, 120), 2, "at once");
    assert_eq!(replay.poll(121 + 5_000_000_000), Some(ReplayStep::Close), "who says nothing is given up");
    assert_eq!(opened(&mut replay, 121 + 5_000_000_000), 3);
    assert_eq!(replay.failed(), None);
}

#[test]
fn it_fails_when_every_source_has_said_why_and_the_most_telling_reason_stands_for_all() {
    let mut replay = replay(2);
    replay.begin(0);
    opened(&mut replay, 0);
    replay.on_answer(0, &body(ReplayEndReason::TooOld as u32, 70));
    assert_eq!(replay.failed(), None, "the other one may have it");
    opened(&mut replay, 0);
    replay.on_answer(0, &body(ReplayEndReason::TooOld as u32, 40));
    assert_eq!(replay.failed(), Some(ReplayFailed { why: Some(ReplayEndReason::TooOld), oldest_seq: 40 }));
}

#[test]
fn what_passes_by_itself_is_waited_for_and_the_wait_doubles() {
    let mut replay = replay(1);
    replay.begin(0);
    let mut now = 0;
    let mut waits = Vec::new();
    for _ in 0..9 {
        opened(&mut replay, now);
        replay.on_answer(now, &body(ReplayEndReason::TooMany as u32, 1));
        assert_eq!(replay.failed(), None);
        let since = now;
        while !matches!(replay.state, ReplayState::Waiting { until } if until <= now) {
            replay.poll(now);
            now += 10_000_000;
        }
        waits.push((now - since) / 10_000_000);
    }
    assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]) && *waits.last().unwrap() == 100, "{waits:?}");
}

#[test]
fn a_source_that_lies_behind_itself_is_followed_by_the_next_one_and_the_wait_doubles() {
    let mut replay = replay(2);
    replay.begin(0);
    assert_eq!(opened(&mut replay, 0), 1);
    assert!(replay.on_answer(0, &body(0, 1)) && replay.on_frame(0));
    replay.on_behind(0);
    assert!(replay.is_reading(), "it still gives");
    let (mut now, mut waits) = (1, Vec::new());
    for round in 0..6 {
        replay.on_mark(now, &body(0, 1));
        let since = now;
        replay.on_behind(now);
        let to = loop {
            match replay.poll(now) {
                Some(ReplayStep::Open(to)) => break to.ip().octets()[3],
                _ => now += 1_000_000,
            }
        };
        assert_eq!(to, if round % 2 == 0 { 2 } else { 1 });
        assert!(replay.on_answer(now, &body(0, 1)));
        assert_eq!(replay.failed(), None, "it may have more a moment later");
        waits.push((now - since) / 1_000_000);
    }
    assert_eq!(waits, [0, 20, 0, 40, 0, 80]);
    assert!(replay.on_frame(now), "the one that has it");
    replay.on_mark(now, &body(0, 1));
    replay.on_behind(now);
    opened(&mut replay, now);
}

/// Four of five say that they do not have it, and the fifth is gone, in each way in which it may be: the
/// reader goes on without it, after seconds, and not before a process could restart.
#[test]
fn one_source_that_is_gone_does_not_outweigh_all_that_refuse() {
    for (is_silent, at_least, at_most) in
        [(false, 2_000_000_000, 4_000_000_000), (true, 5_000_000_000, 11_000_000_000)]
    {
        for gone in 1..=5 {
            let (mut replay, mut now) = (replay(5), 0);
            replay.begin(0);
            while replay.failed().is_none() {
                match replay.poll(now) {
                    Some(ReplayStep::Open(to)) if to.ip().octets()[3] != gone => {
                        replay.on_answer(now, &body(ReplayEndReason::TooOld as u32, 40 + now));
                    }
                    Some(ReplayStep::Open(_)) if !is_silent => replay.on_lost(now),
                    _ => now += 1_000_000,
                }
                assert!(now < 60_000_000_000, "{replay:?}");
            }
            assert!((at_least..=at_most).contains(&now), "{gone} {is_silent}: {now}");
            let failed = replay.failed().expect("a reason");
            assert_eq!(failed.why, Some(ReplayEndReason::TooOld), "the others' reason stands");
        }
    }
}

/// Two nodes that hold nothing are sources of each other. Each says that it does not have as much, by a
/// refusal or by giving nothing; what the others have removed neither will ever have.
#[test]
fn sources_that_lie_behind_do_not_wait_for_each_other_where_the_rest_has_removed_it() {
    for gives_nothing in [false, true] {
        for behind in 1..=5_usize {
            let (mut replay, mut now) = (replay(5), 0);
            replay.begin(0);
            let mut failed = None;
            while now < 20_000_000_000 && failed.is_none() {
                match replay.poll(now) {
                    Some(ReplayStep::Open(to)) if usize::from(to.ip().octets()[3]) > behind => {
                        replay.on_answer(now, &body(ReplayEndReason::TooOld as u32, 40));
                    }
                    Some(ReplayStep::Open(_)) if gives_nothing => {
                        assert!(replay.on_answer(now, &body(0, 1)));
                        replay.on_mark(now, &body(0, 1));
                        replay.on_behind(now);
                    }
                    Some(ReplayStep::Open(_)) => {
                        replay.on_answer(now, &body(ReplayEndReason::Ahead as u32, 0));
                    }
                    _ => now += 1_000_000,
                }
                failed = replay.failed();
            }
            let why = failed.and_then(|failed| failed.why);
            let expected = (behind < 5).then_some(ReplayEndReason::TooOld);
            assert_eq!(why, expected, "{behind} of 5 lie behind, {gives_nothing}: more may come there");
        }
    }
}

/// Two members that were formatted anew join at the same time: each is a source of the other, and the third
/// has removed the beginning. Eight rounds of pauses would pass before either asked for a checkpoint.
#[test]
fn a_source_that_holds_nothing_is_not_waited_for_where_the_rest_has_removed_it() {
    for empty in 1..=5_usize {
        let mut replay = replay(5);
        replay.begin(0);
        for _ in 0..5 {
            let mut steps = std::iter::from_fn(|| replay.poll(0));
            let Some(ReplayStep::Open(to)) = steps.find(|step| *step != ReplayStep::Close) else {
                panic!("{empty}: no source is asked");
            };
            let holds = usize::from(to.ip().octets()[3]) > empty;
            let (why, oldest) =
                if holds { (ReplayEndReason::TooOld, 40) } else { (ReplayEndReason::Ahead, 0) };
            replay.on_answer(0, &body(why as u32, oldest));
        }
        let expected =
            (empty < 5).then_some(ReplayFailed { why: Some(ReplayEndReason::TooOld), oldest_seq: 40 });
        assert_eq!(replay.failed(), expected, "{empty} of 5 hold nothing: they may be given it where all do");
    }
}

/// The reader stands where nothing more is committed yet, and the followers say only that they do not have as
/// much. A source that stays in a former history, whose disk is damaged (seed 94046002) or that leads and
/// leaves replays to others says nothing of what they will have.
#[test]
fn sources_that_say_nothing_of_it_do_not_outweigh_those_that_follow() {
    use ReplayEndReason::{Ahead, Damaged, IsLeader, OtherHistory, TooOld};
    for excuse in [OtherHistory, Damaged, IsLeader] {
        for (excused, has_removed) in (1..=5).flat_map(|excused| [(excused, false), (excused, true)]) {
            let (mut replay, mut now) = (replay(5), 0);
            replay.begin(0);
            let mut failed = None;
            while now < 20_000_000_000 && failed.is_none() {
                match replay.poll(now) {
                    Some(ReplayStep::Open(to)) => {
                        let (why, oldest) = match to.ip().octets()[3] {
                            source if source <= excused => (excuse, 0),
                            5 if has_removed => (TooOld, 40),
                            _ => (Ahead, 1),
                        };
                        replay.on_answer(now, &body(why as u32, oldest));
                    }
                    _ => now += 1_000_000,
                }
                failed = replay.failed();
            }
            let expected = match (excused, has_removed) {
                (5, _) => Some(excuse),
                (_, true) => Some(TooOld),
                (_, false) => None,
            };
            let why = failed.and_then(|failed| failed.why);
            assert_eq!(why, expected, "{excused} of 5 {excuse:?}, {has_removed}");
        }
    }
}

/// A replica mends its segment from its peers within seconds. A reader that can reach no other journal
/// meanwhile waits for it as for one that is gone (seed 94046002).
#[test]
fn a_damaged_journal_is_asked_again_until_its_peers_have_mended_it() {
    let read = |is_found_at_once: bool, mended_at: Nanos| {
        let (mut replay, mut now, mut has_frame) = (replay(3), 0, false);
        replay.begin(0);
        while !has_frame && replay.failed().is_none() {
            match replay.poll(now) {
                Some(ReplayStep::Open(to)) if to.ip().octets()[3] == 1 => {
                    let end = if now < mended_at { ReplayEndReason::Damaged as u32 } else { 0 };
                    if is_found_at_once || end == 0 {
                        replay.on_answer(now, &body(end, 0));
                    } else {
                        replay.on_answer(now, &body(0, 1));
                        replay.on_mark(now, &body(end, 1));
                    }
                    has_frame = replay.on_frame(now);
                }
                Some(ReplayStep::Open(_)) => replay.on_lost(now),
                _ => now += 1_000_000,
            }
        }
        (replay.failed().map(|failed| failed.why), now)
    };
    for is_found_at_once in [true, false] {
        assert_eq!(read(is_found_at_once, 1_500_000_000).0, None, "it is read where it is mended");
        let (why, at) = read(is_found_at_once, 60_000_000_000);
        assert_eq!(why, Some(Some(ReplayEndReason::Damaged)), "what is not mended is named");
        assert!((2_000_000_000..=5_000_000_000).contains(&at), "{at}");
    }
}

#[test]
fn nobody_there_is_told_after_some_rounds() {
    let mut replay = replay(2);
    replay.begin(0);
    let mut now = 0;
    while replay.failed().is_none() {
        if let Some(ReplayStep::Open(_)) = replay.poll(now) {
            replay.on_lost(now);
        }
        now += 1_000_000;
        assert!(now < 60_000_000_000, "{replay:?}");
    }
    assert_eq!(replay.failed(), Some(ReplayFailed { why: None, oldest_seq: 0 }));
    replay.finish();
    assert_eq!((replay.is_active(), replay.failed()), (false, None));
}

#[test]
fn garbage_is_refused_and_a_part_is_waited_for() {
    let mut mark = [0; REPLAY_LEN];
    write_replay(&mut mark, &Keyring::none(7), header(), body(0, 1));
    for len in 0..REPLAY_LEN {
        assert!(matches!(piece(&mark[..len], &Keyring::none(7)), Ok(None)), "{len}");
    }
    assert!(matches!(piece(&mark, &Keyring::none(7)), Ok(Some((ReplayItem::Mark(..), REPLAY_LEN)))));
    assert!(matches!(piece(&[7; 200], &Keyring::none(7)), Err(Reject::Magic)));
    assert!(matches!(piece(&mark, &Keyring::none(8)), Err(Reject::Cluster { .. })));
    let mut long = mark;
    long[24..28].copy_from_slice(&(1u32 << 20).to_le_bytes());
    assert!(matches!(piece(&long, &Keyring::none(7)), Err(Reject::Length)));
    let mut other = [0; HEADER_LEN];
    seal(&mut other, Header { cluster: 7, ..Header::new(Kind::Stage) });
    assert!(
        matches!(piece(&other, &Keyring::none(7)), Err(Reject::Kind)),
        "a record of a journal is no frame"
    );
}

/// Behind a recovery a node may still run in the history before: its refusal says nothing of the reader's own
/// history, whose sources have removed what it asks for, and tell where the oldest begins.
#[test]
fn a_source_that_stayed_in_another_history_does_not_outweigh_one_of_the_own() {
    for stayed in 1..=3_u64 {
        let mut replay = replay(3);
        replay.begin(0);
        let mut now = 0;
        while replay.failed().is_none() && now < 10_000_000_000 {
            match replay.poll(now) {
                Some(ReplayStep::Open(to)) if u64::from(to.ip().octets()[3]) == stayed => {
                    replay.on_answer(now, &body(ReplayEndReason::OtherHistory as u32, 0));
                }
                Some(ReplayStep::Open(_)) => {
                    replay.on_answer(now, &body(ReplayEndReason::TooOld as u32, 40));
                }
                _ => now += 1_000_000,
            }
        }
        let failed = replay.failed().expect("a reason");
        assert_eq!((failed.why, failed.oldest_seq), (Some(ReplayEndReason::TooOld), 40), "{stayed}");
    }
}
