"""The messages of a handle."""

from collections.abc import Iterator

from lockstep._kinds import Kind
from lockstep._native import Event, Participant, Subscriber


def messages(handle: Subscriber | Participant, timeout: float | None = None) -> Iterator[Event]:
    """The messages of a subscription, without its other events, until it ends, or until none has come for `timeout`
    seconds. A `stamped` subscription has to look at retracts, and iterates over its events instead: a retract raises
    RuntimeError here."""
    while (event := handle.next_event(timeout)) is not None:
        if event.kind == Kind.MESSAGE:
            yield event
        elif event.kind == Kind.RETRACT:
            raise RuntimeError(f"messages from seq {event.seq} on are retracted: iterate over the events of the handle")
