//! What a program may conclude from a turn without work: it sleeps behind one.

/// The rule of an idle turn: a turn that returns 0 work, although its application takes something (`limit`),
/// leaves nothing that the next turn would deliver or report although nothing arrives and no deadline passes.
/// A program that sleeps behind it misses nothing. Engines check it in builds with debug assertions, the
/// simulator in all builds and behind the whole turn of a process.
///
/// # Panics
/// If `is_left`, which looks only where the turn was idle.
pub fn check_idle_turn(work: usize, limit: usize, is_left: impl FnOnce() -> bool) {
    assert!(
        work > 0 || limit == 0 || !is_left(),
        "IDLE-TURN: a turn returned 0 and left messages to deliver or outcomes to report: who sleeps behind it \
         misses them"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_with_work_or_of_an_application_that_takes_nothing_may_leave_something() {
        check_idle_turn(1, 8, || true);
        check_idle_turn(0, 0, || true);
        check_idle_turn(0, 8, || false);
    }

    #[test]
    #[should_panic(expected = "IDLE-TURN")]
    fn a_turn_without_work_that_leaves_something_breaks_the_rule() {
        check_idle_turn(0, 1, || true);
    }
}
