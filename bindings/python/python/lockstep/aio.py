"""Handles in an event loop: the loop watches the handle's descriptor, and nothing blocks it.

    async for message in lockstep.aio.messages(participant):
        ...

A handle has one such iteration at a time. Other coroutines of the same loop may publish with it meanwhile: what they
write is sent when the iteration polls next, or by flush().
"""

import asyncio
from collections.abc import AsyncIterator

from lockstep._kinds import Kind
from lockstep._native import Event, Participant, Publisher, Subscriber

__all__ = ["events", "messages", "wait"]

_EVENTS_OF_A_TURN = 64
"""Events after which other coroutines have their turn."""


async def wait(handle: Subscriber | Publisher | Participant, timeout: float | None = None) -> bool:
    """Waits until the handle has something to poll for, at most for `timeout` seconds; whether it has."""
    if isinstance(handle, (Publisher, Participant)):
        handle.flush()
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    due = handle.due()
    descriptor = handle.fileno()
    loop.add_reader(descriptor, readable.set)
    try:
        async with asyncio.timeout(due if timeout is None else min(due, timeout)):
            await readable.wait()
    except TimeoutError:
        return timeout is None or due <= timeout
    finally:
        loop.remove_reader(descriptor)
    return True


def _is_over(handle: Subscriber | Publisher | Participant) -> bool:
    if isinstance(handle, Participant):
        return handle.is_ended and handle.is_drained
    return isinstance(handle, Subscriber) and handle.is_ended


async def events(handle: Subscriber | Publisher | Participant) -> AsyncIterator[Event]:
    """The events of a handle, in their order, until nothing more can come."""
    delivered = 0
    while True:
        event = handle.next_event(0.0)
        if event is not None:
            yield event
            delivered += 1
            if delivered % _EVENTS_OF_A_TURN == 0:
                await asyncio.sleep(0)
        elif _is_over(handle):
            return
        else:
            await wait(handle)


async def messages(handle: Subscriber | Participant) -> AsyncIterator[Event]:
    """The messages of a subscription, without its other events, until it ends. A `stamped` subscription has to look at
    retracts, and iterates over its events instead: a retract raises RuntimeError here."""
    async for event in events(handle):
        if event.kind == Kind.MESSAGE:
            yield event
        elif event.kind == Kind.RETRACT:
            raise RuntimeError(f"messages from seq {event.seq} on are retracted: iterate over the events of the handle")
