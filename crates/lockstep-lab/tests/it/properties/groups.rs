use lockstep_lab::property::{
    CRASHED_LEAVE, History, LAST_VIEW, NOTHING_AFTER_FAILURE, Property, UNIFORM_VIEW_AGREEMENT,
    VIEW_ACCURACY, VIEW_AGREEMENT, VIEW_INCLUSION, VIEW_ORDER, VIEW_SYNCHRONY, VIEW_SYNCHRONY_OF_CORRECT,
};
use lockstep_lab::{Ask, Event, Fact, Pid, Pids, Value};

fn view(number: u32, members: &[Pid]) -> Event {
    Event::Did(Fact::View { number, members: members.iter().copied().collect() })
}

fn deliver(from: Pid, value: u8) -> Event {
    Event::Did(Fact::Deliver { from, value: Value(value) })
}

/// Whether `property` holds of three processes with these events, of which `crashed` have crashed.
fn holds(property: &Property, crashed: &[Pid], events: [&[Event]; 3]) -> bool {
    let crashed: Pids = crashed.iter().copied().collect();
    let history = History {
        n: 3,
        events: &events,
        order: &[],
        correct: Pids::first(3).without(crashed),
        crashed,
        liars: Pids::default(),
    };
    (property.holds)(&history).is_ok()
}

#[test]
fn views_with_one_number_are_one_view() {
    let [both, alone] = [[view(1, &[0, 1])], [view(1, &[1])]];
    for property in [&VIEW_AGREEMENT, &UNIFORM_VIEW_AGREEMENT] {
        assert!(holds(property, &[2], [&both, &both, &[]]));
        assert!(!holds(property, &[2], [&both, &alone, &[]]));
        assert!(!holds(property, &[2], [&[view(0, &[0, 1])], &[], &[]]), "view 0 has all founders");
    }
    // One that fails then counts where agreement is uniform.
    assert!(holds(&VIEW_AGREEMENT, &[0], [&both, &alone, &[]]));
    assert!(!holds(&UNIFORM_VIEW_AGREEMENT, &[0], [&both, &alone, &[]]));
}

#[test]
fn views_are_in_order_without_a_gap_and_of_members_only() {
    let [zero, one, two] = [view(0, &[0, 1, 2]), view(1, &[0, 1]), view(2, &[0])];
    let is_in_order = |events: &[Event]| holds(&VIEW_ORDER, &[], [events, &[], &[]]);
    assert!(is_in_order(&[zero, one.clone(), two.clone()]));
    assert!(is_in_order(&[one.clone(), two.clone()]));
    assert!(!is_in_order(std::slice::from_ref(&two)) && !is_in_order(&[one.clone(), one.clone()]));
    assert!(!is_in_order(&[one, view(2, &[1])]), "it is not in its view");
    assert!(is_in_order(&[Event::Asked(Ask::Join), two]), "it joined at view 2");
}

#[test]
fn the_crashed_are_out_of_the_last_view_and_all_in_it_have_it() {
    let one = [view(1, &[0, 1])];
    for property in [&CRASHED_LEAVE, &LAST_VIEW] {
        assert!(holds(property, &[2], [&one, &one, &[]]));
    }
    assert!(!holds(&CRASHED_LEAVE, &[2], [&[], &[], &[]]));
    assert!(!holds(&CRASHED_LEAVE, &[1], [&one, &[], &[]]));
    assert!(!holds(&LAST_VIEW, &[2], [&one, &[], &[]]));
    assert!(holds(&LAST_VIEW, &[1], [&one, &[], &[]]));
}

#[test]
fn only_the_crashed_leave() {
    let one = [view(1, &[0, 1])];
    assert!(holds(&VIEW_ACCURACY, &[2], [&one, &one, &[]]));
    assert!(!holds(&VIEW_ACCURACY, &[], [&one, &[], &[]]));
    assert!(holds(&VIEW_ACCURACY, &[], [&one, &[], &[Event::Asked(Ask::Leave)]]));
}

#[test]
fn nothing_comes_after_a_failure() {
    let one = view(1, &[0, 1]);
    assert!(holds(&NOTHING_AFTER_FAILURE, &[2], [&[deliver(2, 0), one.clone(), deliver(1, 1)], &[], &[]]));
    assert!(!holds(&NOTHING_AFTER_FAILURE, &[2], [&[one, deliver(2, 0)], &[], &[]]));
}

#[test]
fn a_view_is_left_with_the_same_messages() {
    let (message, one) = (deliver(2, 0), view(1, &[0, 1]));
    let [before, after] = [[message.clone(), one.clone()], [one, message]];
    assert!(holds(&VIEW_SYNCHRONY, &[2], [&before, &before, &[]]));
    assert!(holds(&VIEW_SYNCHRONY, &[2], [&before, &[], &[]]), "p2 has not left view 0");
    assert!(!holds(&VIEW_SYNCHRONY, &[2], [&before, &after, &[]]));
    // One that fails then counts where it is uniform.
    assert!(!holds(&VIEW_SYNCHRONY, &[0], [&before, &after, &[]]));
    assert!(holds(&VIEW_SYNCHRONY_OF_CORRECT, &[0], [&before, &after, &[]]));
    assert!(!holds(&VIEW_SYNCHRONY_OF_CORRECT, &[2], [&before, &after, &[]]));
}

#[test]
fn a_message_is_delivered_in_one_view() {
    let (message, one) = (deliver(1, 0), view(1, &[0, 1]));
    let [before, after] = [[message.clone(), one.clone()], [one, message.clone()]];
    assert!(holds(&VIEW_INCLUSION, &[2], [&before, &before, &[]]));
    assert!(holds(&VIEW_INCLUSION, &[2], [&after, &after, &[]]));
    assert!(!holds(&VIEW_INCLUSION, &[2], [&before, &after, &[]]));
    let without = [view(1, &[0, 2]), message];
    assert!(!holds(&VIEW_INCLUSION, &[1], [&without, &[], &[]]), "its sender is out");
}
