"""Publish into a lockstep cluster's stream, and subscribe to it.

The handles (`Subscriber`, `Publisher`, `Participant`) are those of lockstep's Rust client, inside this process. A handle
belongs to one thread at a time, has no thread of its own, and works when it is polled or waits.

Every event is an `Event`, whatever its kind; `Kind` lists the fields of each. `poll_batch` brings many events in one
call: `numpy.frombuffer(batch, dtype=lockstep.EVENT_DTYPE)` reads their rows in place.

`lockstep.aio` iterates in an event loop; `Journal` reads the messages of a journal's folder; `status` and `metrics` show
how the cluster does.
"""

import importlib
from typing import TYPE_CHECKING

from lockstep._errors import (
    AheadOfNumberError,
    BackpressureError,
    ClosedError,
    ClosedHandleError,
    ConfigError,
    FencedError,
    InUseError,
    IoError,
    JournalError,
    LockstepError,
    NameRefusedError,
    NotAllowedError,
    NotOpenError,
    OtherProcessError,
    PanicError,
    PublishError,
    TableFullError,
    TimedOutError,
    TooLongError,
)
from lockstep._kinds import ENDING_KINDS, EVENT_DTYPE, Delivery, Kind
from lockstep._messages import messages
from lockstep._native import (
    CHANNELS,
    EVERYBODY,
    Batch,
    Cursor,
    Endpoint,
    Event,
    Journal,
    Outcomes,
    Participant,
    Publisher,
    Subscriber,
    __version__,
    metrics,
    metrics_text,
    status,
)

__all__ = [
    "CHANNELS",
    "ENDING_KINDS",
    "EVENT_DTYPE",
    "EVERYBODY",
    "AheadOfNumberError",
    "BackpressureError",
    "Batch",
    "ClosedError",
    "ClosedHandleError",
    "ConfigError",
    "Cursor",
    "Delivery",
    "Endpoint",
    "Event",
    "FencedError",
    "InUseError",
    "IoError",
    "Journal",
    "JournalError",
    "Kind",
    "LockstepError",
    "NameRefusedError",
    "NotAllowedError",
    "NotOpenError",
    "OtherProcessError",
    "Outcomes",
    "PanicError",
    "Participant",
    "PublishError",
    "Publisher",
    "Subscriber",
    "TableFullError",
    "TimedOutError",
    "TooLongError",
    "__version__",
    "messages",
    "metrics",
    "metrics_text",
    "status",
]

if TYPE_CHECKING:
    from lockstep import aio as aio
else:

    def __getattr__(name: str) -> object:
        """`lockstep.aio` needs no import of its own, and asyncio is loaded for those who use it."""
        if name == "aio":
            return importlib.import_module("lockstep.aio")
        raise AttributeError(f"module 'lockstep' has no attribute '{name}'")
