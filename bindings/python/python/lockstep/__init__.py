"""Publish into a lockstep cluster's stream, and subscribe to it.

The handles (`Subscriber`, `Publisher`, `Participant`) are those of lockstep's Rust client, inside this process. A handle
belongs to one thread at a time, has no thread of its own, and works when it is polled or waits.

Every event is an `Event`, whatever its kind; `Kind` lists the fields of each. `poll_batch` brings many events in one
call: `numpy.frombuffer(batch, dtype=lockstep.EVENT_DTYPE)` reads their rows in place.

`CursorFile` stores how far a program has read, for its next start; `request` publishes a message and awaits its answer.

`MergedSubscriber` reads the streams of a set in their one order.

`Machine` is the base of replicated state machines: `run` runs a copy of one on a cluster, `App` the same without a loop;
`debug` steps one along the stream, `trial` and `twice` judge one.

`Schema` decodes payloads into fields.

`lockstep.aio` iterates in an event loop; `Journal` reads the messages of a journal's folder; `status` and `metrics` show
how the cluster does.
"""

import importlib
from typing import TYPE_CHECKING

from lockstep._errors import (
    AheadOfNumberError,
    ArgumentError,
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
    ReplicaError,
    TableFullError,
    TimedOutError,
    TooLongError,
    TrialError,
    UnansweredError,
)
from lockstep._kinds import ENDING_KINDS, EVENT_DTYPE, PLACE_DTYPE, Delivery, DisconnectReason, InputKind, Kind
from lockstep._machine import Machine
from lockstep._messages import messages
from lockstep._native import (
    CHANNELS,
    EVERYBODY,
    App,
    Batch,
    Cursor,
    CursorFile,
    Endpoint,
    Event,
    Input,
    Journal,
    MergedBatch,
    MergedEvent,
    MergedSubscriber,
    Outcomes,
    Output,
    Participant,
    Publisher,
    Schema,
    Subscriber,
    TrialCoverage,
    TrialReport,
    __version__,
    debug,
    metrics,
    metrics_text,
    run,
    status,
    twice,
)
from lockstep._request import request

__all__ = [
    "CHANNELS",
    "ENDING_KINDS",
    "EVENT_DTYPE",
    "EVERYBODY",
    "PLACE_DTYPE",
    "AheadOfNumberError",
    "App",
    "ArgumentError",
    "BackpressureError",
    "Batch",
    "ClosedError",
    "ClosedHandleError",
    "ConfigError",
    "Cursor",
    "CursorFile",
    "Delivery",
    "DisconnectReason",
    "Endpoint",
    "Event",
    "FencedError",
    "InUseError",
    "Input",
    "InputKind",
    "IoError",
    "Journal",
    "JournalError",
    "Kind",
    "LockstepError",
    "Machine",
    "MergedBatch",
    "MergedEvent",
    "MergedSubscriber",
    "NameRefusedError",
    "NotAllowedError",
    "NotOpenError",
    "OtherProcessError",
    "Outcomes",
    "Output",
    "PanicError",
    "Participant",
    "PublishError",
    "Publisher",
    "ReplicaError",
    "Schema",
    "Subscriber",
    "TableFullError",
    "TimedOutError",
    "TooLongError",
    "TrialCoverage",
    "TrialError",
    "TrialReport",
    "UnansweredError",
    "__version__",
    "debug",
    "messages",
    "metrics",
    "metrics_text",
    "request",
    "run",
    "status",
    "trial",
    "twice",
]

if TYPE_CHECKING:
    from lockstep import aio as aio
    from lockstep._trial import trial as trial
else:

    def __getattr__(name: str) -> object:
        """`lockstep.aio` needs no import of its own, and asyncio is loaded for those who use it; multiprocessing for those
        who try a machine."""
        if name == "aio":
            return importlib.import_module("lockstep.aio")
        if name == "trial":
            return importlib.import_module("lockstep._trial").trial
        raise AttributeError(f"module 'lockstep' has no attribute '{name}'")
