mod isolation;
mod session;

use lockstep_lab::property::{
    AUDITS_CONSERVED, History, MONEY_CONSERVED, NO_OVERDRAFT, Property, REPLICAS_AGREE, TRANSACTIONS_END,
};
use lockstep_lab::{Ask, Event, Fact, Pid, Pids};

pub const FIRST: Ask = Ask::Transfer { from: 0, to: 1, amount: 1 };
pub const SECOND: Ask = Ask::Transfer { from: 0, to: 2, amount: 1 };

pub fn transferred(commits: bool) -> Event {
    Event::Did(Fact::Transferred(commits))
}

pub fn saw<const N: usize>(balances: [i8; N]) -> Event {
    Event::Did(Fact::Balances(balances.to_vec()))
}

pub fn has(account: u8, balance: i8) -> Event {
    Event::Did(Fact::Balance { account, balance })
}

/// Whether `property` holds of three processes with these events, in this order of time.
pub fn holds(property: &Property, events: &[(Pid, Event)]) -> bool {
    let of = |pid: Pid| -> Vec<Event> {
        events.iter().filter(|(by, _)| *by == pid).map(|(_, event)| event.clone()).collect()
    };
    let (all, order) = ([of(0), of(1), of(2)], events.iter().map(|(pid, _)| *pid).collect::<Vec<_>>());
    let history = History {
        n: 3,
        events: &[&all[0], &all[1], &all[2]],
        order: if property.real_time { &order } else { &[] },
        correct: Pids::first(3),
        crashed: Pids::default(),
        liars: Pids::default(),
    };
    (property.holds)(&history).is_ok()
}

/// Account 0 has 1, and p1 and p2 both take it.
pub fn both(second_commits: bool) -> Vec<(Pid, Event)> {
    let asked = [(0, Event::Asked(FIRST)), (1, Event::Asked(SECOND))];
    asked.into_iter().chain([(0, transferred(true)), (1, transferred(second_commits))]).collect()
}

#[test]
fn money_is_conserved_where_the_stores_have_what_was_committed() {
    let run = |stores: &[(Pid, Event)]| holds(&MONEY_CONSERVED, &[&both(false), stores].concat());
    assert!(run(&[(0, has(0, 0)), (1, has(1, 2))]));
    assert!(!run(&[(0, has(0, 0))]), "half a transfer");
    assert!(!run(&[]), "a lost transfer");
    assert!(!run(&[(0, has(0, 0)), (1, has(1, 2)), (2, has(2, 2))]), "an aborted one has an effect");
    assert!(!run(&[(0, has(0, 0)), (1, has(1, 2)), (2, has(1, 1))]), "a replica without it");
    let open =
        |stores: &[(Pid, Event)]| holds(&MONEY_CONSERVED, &[&[(0, Event::Asked(FIRST))], stores].concat());
    assert!(open(&[]) && open(&[(0, has(0, 0)), (1, has(1, 2))]) && !open(&[(0, has(0, 0))]));
}

#[test]
fn an_overdraft_is_seen_in_stores_in_audits_and_in_what_is_committed() {
    assert!(holds(&NO_OVERDRAFT, &both(false)) && !holds(&NO_OVERDRAFT, &both(true)));
    assert!(!holds(&NO_OVERDRAFT, &[(0, has(0, -1))]));
    assert!(!holds(&NO_OVERDRAFT, &[(0, Event::Asked(Ask::Audit)), (0, saw([-1, 2, 2]))]));
    // The money may come from a transfer that has not ended.
    let open = [(0, Event::Asked(FIRST)), (1, Event::Asked(Ask::Transfer { from: 1, to: 2, amount: 2 }))];
    assert!(holds(&NO_OVERDRAFT, &[&open[..], &[(1, transferred(true))]].concat()));
}

#[test]
fn an_audit_of_the_middle_lacks_money() {
    let run = |balances| {
        let audit = [(2, Event::Asked(Ask::Audit)), (2, saw(balances))];
        holds(&AUDITS_CONSERVED, &[&both(false)[..], &audit].concat())
    };
    assert!(run([0, 2, 1]) && !run([0, 1, 1]));
}

#[test]
fn replicas_agree_or_not() {
    let one = |pid| [(pid, has(0, 0)), (pid, has(1, 2))];
    assert!(holds(&REPLICAS_AGREE, &[one(0), one(1), one(2)].concat()));
    assert!(!holds(&REPLICAS_AGREE, &[one(0), one(1)].concat()));
    let stores = [one(0), one(1), one(2)].concat();
    assert!(!holds(&REPLICAS_AGREE, &both(false)), "a committed transfer has no effect");
    assert!(holds(&REPLICAS_AGREE, &[both(false), stores].concat()));
}

#[test]
fn a_transaction_ends_or_its_client_left() {
    assert!(holds(&TRANSACTIONS_END, &both(false)));
    let open = [(0, Event::Asked(FIRST)), (0, Event::Asked(Ask::Leave))];
    assert!(!holds(&TRANSACTIONS_END, &open[..1]) && holds(&TRANSACTIONS_END, &open));
    let audit = [(0, Event::Asked(FIRST)), (0, Event::Asked(Ask::Audit)), (0, transferred(true))];
    assert!(!holds(&TRANSACTIONS_END, &audit));
}
