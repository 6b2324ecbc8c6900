"""The messages of a handle."""

import time
from collections.abc import Iterator

from lockstep._kinds import Kind
from lockstep._native import Event, Participant, Subscriber


def messages(handle: Subscriber | Participant, timeout: float | None = None) -> Iterator[Event]:
    """The messages of a subscription, without its other events, until it ends, or until no message has come for
    `timeout` seconds, whatever else does. A `stamped` subscription has to look at retracts, and iterates over its
    events instead: a retract raises RuntimeError here."""
    while (event := _next_message(handle, timeout)) is not None:
        yield event


def _next_message(handle: Subscriber | Participant, timeout: float | None) -> Event | None:
    """The next message; None when the time is over, or nothing more comes."""
    deadline = None if timeout is None else time.monotonic() + timeout
    left = timeout
    while (event := handle.next_event(left)) is not None:
        if event.kind == Kind.MESSAGE:
            return event
        if event.kind == Kind.RETRACT:
            raise RuntimeError(f"messages from seq {event.seq} on are retracted: iterate over the events of the handle")
        if deadline is not None:
            left = max(0.0, deadline - time.monotonic())
    return None
