"""A request, and the answer to it."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from lockstep._errors import ClosedError, FencedError, NotAllowedError, PublishError, TimedOutError, UnansweredError
from lockstep._kinds import ENDING_KINDS, Kind
from lockstep._native import EVERYBODY, Event, Participant

if TYPE_CHECKING:
    from typing_extensions import Buffer

_A = TypeVar("_A")

_LOST: dict[Kind, tuple[type[PublishError | UnansweredError | NotAllowedError], str]] = {
    Kind.OUTCOME_FENCED: (
        FencedError,
        "a newer process has opened the name, and the request will never be in the stream; open the name again and publish "
        "it anew, if this process is to have the name",
    ),
    Kind.OUTCOME_CLOSED: (ClosedError, "the publisher was closed before it, and it will never be in the stream"),
    Kind.NOT_ALLOWED: (
        NotAllowedError,
        "the key of this process does not allow it; it is sent again until the key's rights change, and may be answered then",
    ),
    Kind.OUTCOME_DIVERGED: (UnansweredError, "another message has its number"),
    Kind.OUTCOME_DISCARDED: (
        UnansweredError,
        "this process was delayed between its parts, and no reader delivers it; publish it again, if it still holds",
    ),
    Kind.OUTCOMES_UNKNOWN: (
        UnansweredError,
        "its outcome is unknown: it may be in the stream, and answered; open the name in a new handle",
    ),
}


def request(
    participant: Participant,
    publisher: int,
    payload: "Buffer",
    answer: Callable[[Event, int], _A | None],
    *,
    destination: int = EVERYBODY,
    timeout: float | None = 10.0,
) -> _A:
    """Publishes a request and returns the answer to it: what `answer` returns, once that is not None. `answer` receives
    every event until then and the request's number, as every event is the program's and none comes again; those behind the
    answer are delivered by the next call. The answering application says in its message which request it answers.

    A leader's death is no end: the request is sent again by itself, and is in the stream once. BackpressureError: the window
    was full for the whole timeout, and the request was not published. TimedOutError: no answer came within the timeout in
    seconds, and one may come later, as an event of a later call; a program that publishes the request anew makes a second
    one. FencedError, ClosedError and NotAllowedError are raised at once, and so is UnansweredError: the outcome is another
    one after which no answer is awaited, or the subscription has ended."""
    deadline = None if timeout is None else time.monotonic() + timeout

    def left() -> float | None:
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    if participant.is_ended:
        raise UnansweredError("the request was not published: the subscription has ended, and no answer would be read")
    participant.begin(timeout)
    number = participant.publish(publisher, payload, destination, left())
    while (event := participant.next_event(left())) is not None:
        found = answer(event, number)
        if found is not None:
            return found
        _raise_if_lost(event, publisher, number)
        if deadline is not None and time.monotonic() >= deadline:
            break
    raise TimedOutError(
        f"request {number} has no answer within {timeout} s: it may be answered later; `lockstep status` says how the cluster "
        "is"
    )


def _raise_if_lost(event: Event, publisher: int, number: int) -> None:
    """Raises if no answer is awaited behind this event."""
    kind = event.kind
    is_bound = kind in (Kind.OUTCOME_FENCED, Kind.OUTCOME_CLOSED) and event.publisher_seq <= number
    is_its = event.publisher == publisher and (is_bound or event.publisher_seq == number)
    if isinstance(kind, Kind) and kind in _LOST and (is_its or kind == Kind.OUTCOMES_UNKNOWN):
        error, why = _LOST[kind]
        raise error(f"request {number} has no answer: {why}")
    if kind in ENDING_KINDS and kind != Kind.OUTCOMES_UNKNOWN:
        raise UnansweredError(
            f"request {number} has no answer: the subscription has ended, and its last event gave the reason. It may be in "
            "the stream, and answered"
        )
