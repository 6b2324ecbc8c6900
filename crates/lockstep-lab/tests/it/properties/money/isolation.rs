use super::{FIRST, SECOND, both, holds, saw, transferred};
use lockstep_lab::property::{
    ALONE_COMMITS, EXTERNAL_CONSISTENCY, ONE_STATE_MACHINE, SERIALIZABLE, SNAPSHOT_ISOLATION,
};
use lockstep_lab::{Ask, Event, Pid};

#[test]
fn both_accounts_of_an_owner_cover_a_transfer_once() {
    let asked = [
        (0, Event::Asked(Ask::Transfer { from: 0, to: 2, amount: 2 })),
        (1, Event::Asked(Ask::Transfer { from: 1, to: 3, amount: 2 })),
    ];
    let run = |commits| {
        holds(&SERIALIZABLE, &[&asked[..], &[(0, transferred(true)), (1, transferred(commits))]].concat())
    };
    assert!(run(false) && !run(true), "write skew");
}

#[test]
fn a_serial_order_keeps_real_time() {
    let first = [(0, Event::Asked(FIRST)), (0, transferred(true))];
    let audit = |balances| [(1, Event::Asked(Ask::Audit)), (1, saw(balances))];
    for property in [&EXTERNAL_CONSISTENCY, &ONE_STATE_MACHINE] {
        let run = |events: &[&[(Pid, Event)]]| holds(property, &events.concat());
        assert!(run(&[&first, &audit([0, 2])]) && !run(&[&first, &audit([1, 1])]));
        assert!(run(&[&audit([1, 1]), &first]) && !run(&[&audit([0, 2]), &first]));
        // One that is asked while another is open begins when that one has ended.
        let queued = [(0, Event::Asked(FIRST)), (0, Event::Asked(Ask::Audit)), (0, transferred(true))];
        assert!(run(&[&queued[..], &[(0, saw([0, 2]))]]) && !run(&[&queued[..], &[(0, saw([1, 1]))]]));
    }
    let needless = [(0, Event::Asked(FIRST)), (0, transferred(false))];
    assert!(holds(&EXTERNAL_CONSISTENCY, &needless) && !holds(&ONE_STATE_MACHINE, &needless));
}

#[test]
fn an_audit_sees_a_snapshot() {
    let first = [(0, Event::Asked(FIRST)), (0, transferred(true))];
    let [asked, other] = [1, 2].map(|pid| (pid, Event::Asked(Ask::Audit)));
    let run = |events: &[&[(Pid, Event)]]| holds(&SNAPSHOT_ISOLATION, &events.concat());
    assert!(run(&[&first, &[asked.clone(), (1, saw([0, 2]))]]));
    assert!(!run(&[&first, &[asked.clone(), (1, saw([1, 1]))]]), "too old");
    assert!(!run(&[&first, &[asked.clone(), (1, saw([0, 1]))]]), "half of it");
    // A transfer after another one, without that one.
    let later = [(2, Event::Asked(Ask::Transfer { from: 1, to: 2, amount: 1 })), (2, transferred(true))];
    let around = |balances| [&[asked.clone()][..], &first, &later, &[(1, saw(balances))]].concat();
    assert!(run(&[&around([0, 2, 1])]) && run(&[&around([0, 1, 2])]) && !run(&[&around([1, 0, 2])]));
    // Two transfers, and two audits that see one of them each.
    let two = [(0, Event::Asked(FIRST)), (1, Event::Asked(Ask::Audit))];
    let third = [(2, Event::Asked(Ask::Transfer { from: 1, to: 2, amount: 1 })), other];
    let end = [(0, transferred(true)), (1, saw([0, 2, 1])), (2, transferred(true))];
    assert!(run(&[&two, &third, &end, &[(2, saw([0, 1, 2]))]]));
    let apart = [(0, transferred(true)), (1, saw([0, 2, 1])), (2, transferred(true)), (2, saw([1, 0, 2]))];
    assert!(!run(&[&two, &third, &apart]));
}

#[test]
fn a_transfer_alone_commits() {
    let first = |commits| [(0, Event::Asked(FIRST)), (0, transferred(commits))];
    assert!(holds(&ALONE_COMMITS, &first(true)) && !holds(&ALONE_COMMITS, &first(false)));
    assert!(holds(&ALONE_COMMITS, &both(false)), "they overlap");
    let late = [(1, Event::Asked(SECOND)), (1, transferred(false))];
    assert!(holds(&ALONE_COMMITS, &[first(true), late].concat()), "it is not covered");
}
