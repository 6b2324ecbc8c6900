"""The native module of lockstep."""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from os import PathLike
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias, TypedDict, TypeVar, Unpack, final

from typing_extensions import Buffer

from lockstep._kinds import Delivery, DisconnectReason, InputKind, Kind
from lockstep._machine import Machine

_M = TypeVar("_M", bound=Machine)

KINDS: Final[list[tuple[str, int]]]
"""The names and numbers of the kinds of events, as the library has them."""
INPUT_KINDS: Final[list[tuple[str, int]]]
"""The names and numbers of the kinds of inputs, as the library has them."""
DISCONNECT_REASONS: Final[list[tuple[str, int]]]
"""The names and numbers of the reasons why a client left."""
EVERYBODY: Final[int]
"""The destination of messages for everybody."""
CHANNELS: Final[int]
"""This plus the number of a channel is the channel's destination."""
__version__: Final[str]

@final
class Endpoint:
    """Which cluster, and how it is reached: from the cluster's file. Any number of handles may be made with it, by any
    number of threads."""

    @staticmethod
    def from_env() -> Endpoint:
        """The endpoint of the file that LOCKSTEP_CONFIG names, or of /etc/lockstep/lockstep.toml. Variables LOCKSTEP_…
        replace single keys, as for every command of lockstep."""
    @staticmethod
    def from_file(path: str | PathLike[str]) -> Endpoint:
        """The endpoint of the cluster's file at this path."""
    @property
    def cluster(self) -> int:
        """The cluster's number."""
    def message_len_max(self, destination: int = 0) -> int:
        """Bytes of the longest message for a destination."""

@final
class Cursor:
    """A position in a stream: history, next seq, and the chain over everything before it. As a text it is what
    `lockstep subscribe` prints."""

    def __new__(cls, history: int, seq: int, chain: int) -> Self: ...
    @staticmethod
    def parse(text: str) -> Cursor:
        """The cursor of a text, as str() writes it."""
    @property
    def history(self) -> int:
        """The history."""
    @property
    def seq(self) -> int:
        """The next seq."""
    @property
    def chain(self) -> int:
        """The chain over everything before it."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Cursor], tuple[int, int, int]]: ...

@final
class CursorFile:
    """The file in which a program stores the cursor behind what it has processed, for its next start. Each save replaces it
    as a whole, and one process has it at a time, by a lock on the file beside it whose name ends with `.lock`. What a
    program had processed since the last save comes again after a crash.

    A file that is absent has no cursor, and is created by the first save. InUseError: somebody else has it open.
    ArgumentError: it has anything but a whole cursor."""

    def __new__(cls, path: str | PathLike[str]) -> Self: ...
    @property
    def path(self) -> Path:
        """The file: its whole path."""
    @property
    def cursor(self) -> Cursor | None:
        """The cursor that was read or saved last; None if there is none so far."""
    def start_or(
        self, otherwise: int | Cursor | Literal["live", "oldest"]
    ) -> int | Cursor | Literal["live", "oldest"]:
        """Where a subscription begins: at the cursor, or at `otherwise` if there is none. A cursor of another history or
        log ends the subscription with an event, and never begins anew."""
    def save(self, cursor: Cursor) -> None:
        """Replaces the stored cursor. When it returns, the new one is on the disk: that takes up to some milliseconds. To
        save the cursor that is stored already costs nothing."""
    def close(self) -> None:
        """Gives the file to others, and saves nothing. Calls after it are refused; to close again does nothing."""
    @property
    def closed(self) -> bool:
        """Whether it is closed."""
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class Event:
    """An event of a handle, or a message of a journal. Fields that its kind does not use are 0; Kind lists them."""

    @property
    def kind(self) -> Kind | int:
        """What it reports: a Kind, or a number that a later version has added."""
    @property
    def seq(self) -> int:
        """The place in the stream, or a bound of it."""
    @property
    def publisher(self) -> int:
        """The publisher's id."""
    @property
    def publisher_seq(self) -> int:
        """The publisher's number of the message."""
    @property
    def destination(self) -> int:
        """The destination."""
    @property
    def timestamp(self) -> int:
        """When the entry was stamped: nanoseconds since the Unix epoch."""
    @property
    def value(self) -> int:
        """A number; see the kind."""
    @property
    def value2(self) -> int:
        """Another one; see the kind."""
    @property
    def detail(self) -> int:
        """A reason or a flag; see the kind."""
    @property
    def payload(self) -> bytes:
        """The payload."""

@final
class Payloads:
    """The payloads of a batch, as a buffer."""

    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, buffer: memoryview, /) -> None: ...

@final
class BatchEvents:
    """The events of a batch, one by one."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> Event: ...

@final
class Batch:
    """Events of a poll. It is a buffer of rows of 64 bytes, which numpy.frombuffer(batch, dtype=EVENT_DTYPE) reads in
    place, and a sequence of Event. It never changes; its memory is there as long as the batch or a view of it is."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Event: ...
    def __iter__(self) -> Iterator[Event]: ...
    @property
    def payloads(self) -> memoryview:
        """All payloads behind each other; payload_at and payload_len of a row say where its own is."""
    def payload(self, index: int) -> memoryview:
        """The payload of a row, in place."""
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, buffer: memoryview, /) -> None: ...

@final
class Outcomes:
    """What became of messages that were published, in numbers of messages. It is true where each of them is in the
    stream for ever."""

    @property
    def committed(self) -> int:
        """In the stream for ever."""
    @property
    def discarded(self) -> int:
        """In the stream, and delivered by no reader, as the process was held up between the parts of a message."""
    @property
    def diverged(self) -> int:
        """Another message stands under the number."""
    @property
    def fenced(self) -> int:
        """Never stamped, as a newer process has opened the name."""
    @property
    def closed(self) -> int:
        """Never stamped, as the publisher was closed before."""
    @property
    def unknown(self) -> int:
        """Nobody knows: OUTCOMES_UNKNOWN was reported."""
    @property
    def open(self) -> int:
        """Without an outcome so far."""
    def __bool__(self) -> bool: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

class _Handle:
    """What every handle has. A handle belongs to one thread at a time."""

    def events(self, limit: int = 256) -> list[Event]:
        """Events and outcomes that are there, as a list; never blocks. At most so many of each."""
    def poll_batch(self, limit: int = 4096, timeout: float | None = 0.0) -> Batch:
        """Events in a batch, at most so many messages: those that are there, or the first ones until the timeout in
        seconds. Without events it is empty."""
    def next_event(self, timeout: float | None = None) -> Event | None:
        """The next event, once there is one; None when the timeout in seconds is over, or the subscription has ended
        and each message has its outcome."""
    def wait(self, timeout: float | None = None) -> bool:
        """Sends what is written, and sleeps until there is something to poll for, or until the timeout in seconds;
        returns whether there is."""
    def fileno(self) -> int:
        """A descriptor that is readable while there is something to receive, for select, epoll and event loops."""
    def due(self) -> float:
        """Seconds until the handle must be polled, although nothing arrives."""
    def close(self) -> None:
        """Closes the sockets. Messages without an outcome may be stamped or not. Calls after it are refused; to close
        again does nothing."""
    @property
    def closed(self) -> bool:
        """Whether it is closed."""
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

class _Publishing(_Handle):
    """What every handle that publishes has."""

    def open(self, name: str, timeout: float | None = 10.0, nonce: tuple[int, int] | None = None) -> int:
        """Opens a name and returns the publisher's id, at most for the timeout in seconds. Another process that has
        the name open is fenced, unless it has the same nonce. Events of these polls are delivered by the next call;
        the value of NAME_OPENED is the number of the last committed message."""
    def publish(self, publisher: int, payload: Buffer, destination: int = 0, timeout: float | None = 0.0) -> int:
        """Copies a message into the open datagram and returns its number. The next flush, wait or poll sends it; its
        outcome is an event. Where the window is full it polls until there is room, for the timeout in seconds, and the
        events of these polls are delivered by the next call; BackpressureError when that is over: take events, and
        publish it again."""
    def publish_at(
        self, publisher: int, number: int, payload: Buffer, destination: int = 0, timeout: float | None = 0.0
    ) -> int:
        """Publishes a message under a number that the program derives from its own state: the stream skips a number
        that it has. AheadOfNumberError if numbers before it are missing. It waits as `publish` does."""
    def close_name(self, publisher: int, reason: Buffer | None = None) -> None:
        """Closes the publisher behind all of its messages; readers receive the reason. Its outcome is an event."""
    def start_day(self, publisher: int, day: str) -> int:
        """Marks the start of the trading day of this name, 1 to 16 ASCII letters and digits. The mark has a number and
        an outcome like a message."""
    def end_day(self, publisher: int) -> int:
        """Marks the end of the trading day. The mark has a number and an outcome like a message."""
    def flush(self) -> int:
        """Sends what is written; returns the number of datagrams."""
    def drain(self, timeout: float | None = None) -> Outcomes:
        """Polls until every message has its outcome, or the timeout in seconds is over. Returns what became of those
        that had none when the last drain returned: it is true where all of them are committed. Events of these polls
        are delivered by the next call."""
    @property
    def outcomes(self) -> Outcomes:
        """What became of all messages of this handle so far."""
    @property
    def is_drained(self) -> bool:
        """Whether every published message has its outcome, whichever."""
    @property
    def is_connected(self) -> bool:
        """Whether the handle follows a leader's stream."""
    def message_len_max(self, destination: int = 0) -> int:
        """Bytes of the longest message for a destination."""

@final
class Subscriber(_Handle):
    """Reads the stream of a cluster. A handle belongs to one thread at a time."""

    def __new__(
        cls,
        endpoint: Endpoint,
        start: int | Cursor | Literal["live", "oldest"] = "live",
        delivery: Delivery | int = 1,
    ) -> Self: ...
    def begin(self, timeout: float | None = 10.0) -> None:
        """Polls until the subscription has its position: a live one delivers what is published after it. Events of
        these polls are delivered by the next call."""
    @property
    def cursor(self) -> Cursor | None:
        """The position behind the last event that the program has received, as start of a later subscription; None until
        an event of the stream has come."""
    @property
    def deliver_next(self) -> int:
        """The next seq to be delivered; 0 before a live subscription has begun."""
    @property
    def commit_next(self) -> int:
        """The exclusive bound of what is final, as far as it was received here."""
    @property
    def has_begun(self) -> bool:
        """Whether the subscription has its position."""
    @property
    def is_ended(self) -> bool:
        """Whether the subscription has ended: the event before gave the reason."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> Event: ...

@final
class MergedEvent:
    """An event, and its place in the merged order of a set."""

    @property
    def number(self) -> int:
        """The merged number of the entry, from 1 without holes; 0 of an event that stands for no entry. What one entry
        says in several events has one number."""
    @property
    def time(self) -> int:
        """The merged time: the greatest timestamp so far, nanoseconds since the Unix epoch. It never falls."""
    @property
    def stream(self) -> int:
        """The number of the stream's cluster."""
    @property
    def event(self) -> Event:
        """The event, as the stream's own subscription reports it."""

@final
class MergedBatchEvents:
    """The events of a batch, one by one."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> MergedEvent: ...

@final
class MergedBatch:
    """Events of a poll in the merged order: a sequence of MergedEvent, and a buffer of places of 24 bytes, which
    numpy.frombuffer(batch, dtype=PLACE_DTYPE) reads in place. Those of `batch` are the rows of the events. It never changes;
    its memory is there as long as it or a view of it is."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> MergedEvent: ...
    def __iter__(self) -> Iterator[MergedEvent]: ...
    @property
    def batch(self) -> Batch:
        """The rows of the events, and their payloads."""
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, buffer: memoryview, /) -> None: ...

@final
class MergedSubscriber:
    """Reads the streams of a set in their merged order, as committed: each entry has a number there, from 1 without holes,
    which is the same for all readers. Each stream's own order is kept, and a stream that is idle or stalled holds up no
    other one. A program that reads one stream uses a Subscriber. A handle belongs to one thread at a time.

    The set is that of the file at `path`, by default the one that LOCKSTEP_CONFIG names, or /etc/lockstep/lockstep.toml. It
    begins `live`, a moment ago, which is looked for at most for the timeout in seconds; at the `beginning`, the first entry
    of the home stream; or at the `cursor` of an earlier handle."""

    def __new__(
        cls, path: str | PathLike[str] | None = None, start: str = "live", timeout: float | None = 10.0
    ) -> Self: ...
    def events(self, limit: int = 256) -> list[MergedEvent]:
        """Events that are there, as a list; never blocks. At most so many."""
    def poll_batch(self, limit: int = 4096, timeout: float | None = 0.0) -> MergedBatch:
        """Events in a batch, at most so many: those that are there, or the first ones until the timeout in seconds. Without
        events it is empty."""
    def next_event(self, timeout: float | None = None) -> MergedEvent | None:
        """The next event, once there is one; None when the timeout in seconds is over, or the order has ended."""
    def wait(self, timeout: float | None = None) -> bool:
        """Sleeps until there is something to poll for, or until the timeout in seconds; returns whether there is."""
    @property
    def cursor(self) -> str:
        """The place behind the last event that the program has received, as start of a later handle: a text of a few hundred
        characters."""
    @property
    def next_number(self) -> int:
        """The number that the next merged entry gets."""
    @property
    def is_ended(self) -> bool:
        """Whether the subscription of a stream has ended, and the merged order with it: the event before gave the reason."""
    def stream_name(self, stream: int) -> str:
        """The name of the stream of a cluster in the set's file; empty if the set has none."""
    def close(self) -> None:
        """Closes the sockets. Calls after it are refused; to close again does nothing."""
    @property
    def closed(self) -> bool:
        """Whether it is closed."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> MergedEvent: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class Publisher(_Publishing):
    """Publishes messages into the stream of a cluster; its events are outcomes. A handle belongs to one thread at a
    time."""

    def __new__(cls, endpoint: Endpoint) -> Self: ...

@final
class Participant(_Publishing):
    """Publishes messages into the stream and reads it, over one device: each datagram is received once. A handle belongs
    to one thread at a time."""

    def __new__(
        cls,
        endpoint: Endpoint,
        start: int | Cursor | Literal["live", "oldest"] = "live",
        delivery: Delivery | int = 1,
    ) -> Self: ...
    def begin(self, timeout: float | None = 10.0) -> None:
        """Polls until the subscription has its position: a live one delivers what is published after it. Events of
        these polls are delivered by the next call."""
    @property
    def cursor(self) -> Cursor | None:
        """The position behind the last event that the program has received, as start of a later subscription; None until
        an event of the stream has come."""
    @property
    def deliver_next(self) -> int:
        """The next seq to be delivered; 0 before a live subscription has begun."""
    @property
    def commit_next(self) -> int:
        """The exclusive bound of what is final, as far as it was received here."""
    @property
    def has_begun(self) -> bool:
        """Whether the subscription has its position."""
    @property
    def is_ended(self) -> bool:
        """Whether the subscription has ended: the event before gave the reason."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> Event: ...

@final
class Journal:
    """The whole messages of the journal of a replica or an archiver, or of a backup, from its folder alone: no process is
    asked, and one may write into it. It reads to the end that the log has when it is opened, or with `committed` to the
    end of what it knows to be committed. Messages in parts that began before from_seq are left out."""

    def __new__(cls, path: str | PathLike[str], from_seq: int | None = None, committed: bool = False) -> Self: ...
    @property
    def path(self) -> Path:
        """Its folder."""
    @property
    def oldest_seq(self) -> int:
        """The oldest seq that it has."""
    @property
    def end_seq(self) -> int:
        """The seq behind its last entry."""
    @property
    def commit_next(self) -> int:
        """Everything below is committed, as this journal knows; what follows may be too."""
    @property
    def publishers(self) -> dict[int, str]:
        """The names of publishers at its end, by id."""
    @property
    def damage(self) -> str | None:
        """Damage before its beginning or behind its end: what should be there is gone, or has changed, and may have been
        more of the log. The iteration raises it as a JournalError behind the last message. None without."""
    def read_batch(self) -> Batch:
        """The next messages in a batch; an empty one at the end."""
    def close(self) -> None:
        """Ends the reading. To close again does nothing."""
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Event: ...

_FieldValue: TypeAlias = int | float | bool | str | bytes | Decimal | list[str] | list[dict[str, _FieldValue]] | None

@final
class Schema:
    """A schema of payloads: TOML, or an XML of Simple Binary Encoding, as `lockstep schema check` takes it."""

    @staticmethod
    def load(path: str | PathLike[str]) -> Schema:
        """The schema of a file. ConfigError: it cannot be read, or is wrong: the text has the line."""
    @staticmethod
    def parse(text: str) -> Schema:
        """The schema of a text. ConfigError: it is wrong: the text has the line."""
    @property
    def name(self) -> str:
        """As the schema names itself."""
    @property
    def messages(self) -> list[str]:
        """The names of its messages."""
    def decode(self, payload: Buffer) -> dict[str, _FieldValue] | None:
        """The fields of a payload by their names, and the message's name as `message_type`; None of a payload that is no
        message of the schema. A price or decimal is a Decimal, a set a list of names, a group a list of dictionaries, data
        bytes or, where the schema names its characters, text, and a field without a value None."""
    def refusal(self, payload: Buffer) -> str | None:
        """Why a payload is no message of the schema; None if it is one."""

@final
class Input:
    """An input of a machine, at its place in the stream. Fields that its kind does not use are 0, empty or None; InputKind
    lists them. A test of a machine makes one by itself."""

    def __new__(
        cls,
        kind: InputKind | int,
        seq: int,
        time: int,
        *,
        publisher: int = 0,
        publisher_seq: int = 0,
        destination: int = 0,
        user: str | None = None,
        payload: Buffer = b"",
        key: int = 0,
        due: int = 0,
        name: str = "",
        incarnation: int = 0,
        reason: DisconnectReason | int = 0,
        cancels: bool = False,
        before: int = 0,
        members: int = 0,
    ) -> Self: ...
    @property
    def kind(self) -> InputKind:
        """What it is: an InputKind."""
    @property
    def seq(self) -> int:
        """The seq of its entry; of a timer, that of the entry at or behind the time when it is due."""
    @property
    def time(self) -> int:
        """The stream's time: when the leader stamped that entry, nanoseconds since the Unix epoch."""
    @property
    def publisher(self) -> int:
        """The publisher's id: the destination of an answer."""
    @property
    def publisher_seq(self) -> int:
        """The publisher's number of the message."""
    @property
    def destination(self) -> int:
        """The destination."""
    @property
    def user(self) -> str | None:
        """The user, where the publisher is a client of a gateway."""
    @property
    def payload(self) -> bytes:
        """The content of the message, or the bytes that the timer was set with."""
    @property
    def key(self) -> int:
        """The key of the timer."""
    @property
    def due(self) -> int:
        """When the timer was due, by the stream's time."""
    @property
    def name(self) -> str:
        """The name of the publisher that is opened, or of the trading day that begins."""
    @property
    def incarnation(self) -> int:
        """How often the name was opened."""
    @property
    def reason(self) -> int:
        """Why the client left: a DisconnectReason."""
    @property
    def cancels(self) -> bool:
        """Whether the user of a client that is gone wants its orders to be cancelled."""
    @property
    def before(self) -> int:
        """The stream's time before it was set back."""
    @property
    def members(self) -> int:
        """How many members the cluster has from here on."""

@final
class Output:
    """Collects the effects of an input, in order. It takes effects while its input is applied alone. A test of a machine
    makes one by itself, at an input's time."""

    def __new__(cls, time: int = 0) -> Self: ...
    def publish(self, payload: Buffer, destination: int = 0) -> None:
        """Publishes a message to a destination: EVERYBODY, a publisher, or a channel. It is in the stream once, whichever
        copies of the machine run."""
    def timer_at(self, key: int, at: int, payload: Buffer = b"") -> None:
        """The timer with this key is due at this time of the stream, nanoseconds since the Unix epoch, and at once if
        that has passed. It comes back as an input of kind TIMER, once, and never earlier. One with this key that is
        pending is replaced."""
    def timer_after(self, key: int, after: int, payload: Buffer = b"") -> None:
        """As timer_at, so many nanoseconds behind the input's time. Where the stream's time is set back, what is left of
        them stays."""
    def cancel(self, key: int) -> None:
        """The timer with this key is cancelled, if it is pending."""
    @property
    def published(self) -> list[tuple[bytes, int]]:
        """The messages so far, in order: the payload and the destination of each."""
    @property
    def timers(self) -> list[tuple[int, int, bytes]]:
        """The timers that were set so far, in order: the key of each, when it is due, and its payload."""
    @property
    def cancelled(self) -> list[int]:
        """The keys of the timers that were cancelled so far, in order."""

class AppSettings(TypedDict, total=False):
    """The settings of a replica; those that are not given have the defaults of the Rust library."""

    digest_every: int
    nonce: tuple[int, int]
    on_divergence: Literal["stop", "report"]
    is_shadow: bool
    delivery: Delivery | int
    snapshot_every: int
    snapshots: int
    snapshot_age: float
    snapshot_mode: Literal["pause", "never"]
    serve: str | None
    hosts: list[str]
    peers: list[str]
    proof_wait: float

@final
class App:
    """A replica of a machine on a cluster, without a loop: it works in turn(). It restores the newest snapshot of its
    folder, or of a peer, or begins with the factory's machine at the beginning of the stream, and opens its names. run()
    has the settings. An exception of the machine ends it, and is raised by the call in which it happened."""

    def __new__(
        cls,
        factory: Callable[[], Machine],
        name: str,
        number: int,
        folder: str | PathLike[str],
        *,
        endpoint: Endpoint | None = None,
        **settings: Unpack[AppSettings],
    ) -> Self: ...
    def turn(self) -> int:
        """One turn: reads on, applies, publishes, and sees to snapshots and queries. Never waits. Returns the work done;
        0: there was none."""
    def wait(self, timeout: float | None = None) -> None:
        """Sleeps after a turn that returned 0, until something can be read or is due, or until the timeout in seconds. It
        may return earlier."""
    def take_over(self) -> str:
        """Puts the version of this replica in force, from the entry on that it stamps now: replicas of other versions go
        on as shadows. Returns what it does, in words."""
    @property
    def machine(self) -> Machine:
        """The machine. To change it makes a copy that has parted from the others."""
    @property
    def next(self) -> int:
        """Every entry below is applied."""
    @property
    def time(self) -> int:
        """The stream's time."""
    @property
    def digest(self) -> int:
        """The digest of the state: machine, timers, and how many outputs there were. Replicas that have applied the same
        have the same."""
    @property
    def saved_next(self) -> int:
        """Every entry below is in the newest snapshot of this replica."""
    @property
    def partings(self) -> int:
        """How often another replica had another state."""
    @property
    def is_caught_up(self) -> bool:
        """Whether the stream was read up to its end once."""
    @property
    def is_shadow(self) -> bool:
        """Whether another version is in force, so that this replica publishes nothing."""
    @property
    def is_drained(self) -> bool:
        """Whether every output and every report is committed."""
    def close(self) -> None:
        """Closes the sockets. Calls after it are refused; to close again does nothing."""
    @property
    def closed(self) -> bool:
        """Whether it is closed."""
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

def run(
    factory: Callable[[], Machine],
    name: str,
    number: int,
    folder: str | PathLike[str],
    *,
    endpoint: Endpoint | None = None,
    **settings: Unpack[AppSettings],
) -> None:
    """Runs a replica of a machine until Ctrl-C (KeyboardInterrupt) or until it cannot go on. `factory` makes the machine at
    the beginning of the stream; `name` is that of the machine, under which all replicas publish; `number`, from 1, and
    `folder`, for its snapshots, are this replica's own. `endpoint` is by default that of the environment. Lines that say
    where it is go to stderr.

    Settings: digest_every (entries from one digest to the next, 1000), nonce, on_divergence ('stop' or 'report'),
    is_shadow, delivery, snapshot_every (entries, 100000), snapshots (3), snapshot_age (seconds), snapshot_mode ('pause' or
    'never'), serve ('address:port'), hosts, peers, proof_wait (seconds, 30).

    An exception of the machine ends the replica, and is raised here with its traceback: nothing of its input is published,
    and nothing more is applied. ReplicaError: stream, state or snapshots need an operator. Where the environment has
    LOCKSTEP_DEBUG it is debug instead."""

def debug(factory: Callable[[], Machine], name: str, *, endpoint: Endpoint | None = None) -> None:
    """Opens a terminal on stdin and stdout that steps a machine along the committed stream, forward and back, from its
    beginning; h lists its commands. It publishes nothing, and opens no name. It returns when stdin ends, or after the command
    x. `name` is that of the machine, and `endpoint` by default that of the environment.

    An exception of the machine is raised when the terminal has ended. ReplicaError: the stream cannot be read from its
    beginning."""

@final
class TrialCoverage:
    """How much of a machine was run: inputs and effects of all copies."""

    @property
    def messages(self) -> int:
        """Messages."""
    @property
    def sessions(self) -> int:
        """Clients that logged in, and that went."""
    @property
    def names(self) -> int:
        """Names that were opened or closed."""
    @property
    def days(self) -> int:
        """Trading days that began or ended."""
    @property
    def outputs(self) -> int:
        """Messages that were published."""
    @property
    def timers_set(self) -> int:
        """Timers that were set, and those among them that took the place of a pending one."""
    @property
    def timers_cancelled(self) -> int:
        """Timers that were cancelled while they were pending."""
    @property
    def timers_fired(self) -> int:
        """Timers that fired, those included to which time leapt."""
    @property
    def snapshots(self) -> int:
        """Snapshots that copies wrote to their disks."""
    @property
    def restored(self) -> int:
        """States that were restored from a snapshot, by copies that came back and by twins."""
    @property
    def takeovers(self) -> int:
        """Leaders that were replaced meanwhile."""

@final
class TrialReport:
    """What was judged, without a failure. As a text it is one line."""

    @property
    def seeds(self) -> int:
        """Seeds that were run."""
    @property
    def inputs_judged(self) -> int:
        """States that were judged."""
    @property
    def last_seed(self) -> int:
        """The last seed that was run: the next trial may begin behind it."""
    @property
    def coverage(self) -> TrialCoverage:
        """How much of the machine was run: what was not run was not judged."""

def run_trial(
    factory: Callable[[], _M],
    inputs: Callable[[int, int], bytes] | None,
    invariant: Callable[[_M], object] | None,
    plan: tuple[int, int, int],
    has_lines: bool,
) -> tuple[TrialReport, list[tuple[int, int]], list[str]]:
    """Runs one seed after the other: as many as plan says, the first one, and one in how many twice. lockstep.trial is this
    with a second process beside it. Returns the report, the digest of what each seed has applied, and with has_lines the
    lines of it."""

def apply_cost(factory: Callable[[], Machine] | None, messages: int) -> float:
    """Nanoseconds that a machine core takes for a message of 48 bytes and the output that follows from it, each one message
    to channel 1: of the factory's machine, or with None of the counter of docs/APPLY.md in Rust."""

def twice(
    factory: Callable[[], _M],
    inputs: Iterable[Input],
    *,
    invariant: Callable[[_M], object] | None = None,
    every: int = 1,
) -> TrialReport:
    """Applies inputs to a machine and its twin, which is restored from a snapshot of the machine after every so many of
    them, and compares outputs and states: it finds a clock, randomness, what lies outside the machine, the id of an object,
    and what snapshot or restore forget, at the first input at which it shows. Timers fire before the first input that is at
    or behind their time; in the end time leaps to those that are pending.

    `invariant` is called with the machine after each input, and raises where something does not hold. TrialError: the two
    differ, or timers were set and none has ever fired. An exception of the machine is raised as it is."""

class CounterTimes(TypedDict):
    """Quantiles of a distribution of times; None of none."""

    p50_ns: int | None
    p99_ns: int | None
    longest_ns: int | None

class CounterValue(TypedDict):
    """A counter: its value, and what it means."""

    value: int
    kind: str
    unit: str
    meaning: str
    state: str | None
    times: CounterTimes | None

class ProcessMetrics(TypedDict):
    """What a process counts."""

    kind: str
    release: str
    pid: int
    life: Literal["runs", "hangs", "ended"]
    silent_ns: int | None
    since_ns: int
    published_at_ns: int
    counters: dict[str, CounterValue]

class ClusterStatus(TypedDict):
    """The status of a cluster, with the fields of `lockstep status --json`."""

    schema: str
    health: Literal["healthy", "degraded", "no_leader", "no_quorum", "no_history"]
    summary: str
    reasons: list[str]
    keys_until: str | None
    keys_days_left: int | None
    version: int | None
    releases_differ: bool
    members_listed: int
    members_available: int
    quorum: int
    may_crash: int
    leader: str | None
    epoch: str | None
    epoch_since_ns: int | None
    history: str | None
    membership_seq: int | None
    membership_committed: bool | None
    members: list[dict[str, str]] | None
    replicas: list[dict[str, Any]]

def status(endpoint: Endpoint, timeout: float = 2.0) -> ClusterStatus:
    """The status of the cluster: health and the reasons for it, leader, members, and each replica; the fields are those
    of `lockstep status --json`. It looks for a leader until the timeout in seconds. TimedOutError if no node answers."""

def metrics(endpoint: Endpoint, process: str | None = None) -> dict[str, ProcessMetrics]:
    """What the processes of this cluster on this host count, by their names, like 'replica-1': of each its kind, release,
    pid, life ('runs', 'hangs', 'ended') and counters by name. It reads their counters files and asks nobody. With a text
    only processes whose name contains it."""

def metrics_text(endpoint: Endpoint, process: str | None = None) -> str:
    """The same as the text that Prometheus reads, in OpenMetrics 1.0."""
