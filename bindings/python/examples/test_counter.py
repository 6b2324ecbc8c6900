"""Tests of the machine: inputs by hand, a twin that is restored from snapshots, and a trial under faults."""

import lockstep
from counter import Counter
from lockstep import Input, InputKind, Output

TOTALS = lockstep.CHANNELS + 1


def message(seq: int, publisher: int) -> Input:
    """A message to everybody, this one of the stream."""
    return Input(InputKind.MESSAGE, seq, seq * 10**6, publisher=publisher, publisher_seq=seq, payload=b"a message")


def test_each_message_is_counted_and_the_new_total_is_published() -> None:
    counter, output = Counter(), Output()
    for seq, publisher in [(1, 7), (2, 8), (3, 7)]:
        counter.apply(message(seq, publisher), output)
    assert output.published == [(b"total 1", TOTALS), (b"total 2", TOTALS), (b"total 3", TOTALS)]
    assert counter.counts == {7: 2, 8: 1}


def test_a_counter_that_comes_from_a_snapshot_goes_on_as_the_other_one() -> None:
    report = lockstep.twice(Counter, [message(seq, seq % 3) for seq in range(1, 21)])
    assert report.coverage.messages == 20, report


def sends(user: int, number: int) -> bytes:
    return b"message %d of %d" % (number, user)


def test_no_counter_ever_forgets_a_message() -> None:
    report = lockstep.trial(Counter, sends, seeds=20)
    assert report.coverage.restored > 0 and report.coverage.timers_fired > 0, report
