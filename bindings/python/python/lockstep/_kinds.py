"""Kinds of events, and the layout of their rows."""

from enum import IntEnum


class Delivery(IntEnum):
    """When a message is delivered."""

    # Written from bindings/api.toml: deliveries.
    STAMPED = 0
    """When the leader's datagram arrives; a takeover may retract it."""

    COMMITTED = 1
    """When a quorum holds it; final."""
    # End of what is written from bindings/api.toml.


class Kind(IntEnum):
    """What an event reports. A later version may add kinds: ignore a number that is none of these. Fields that a kind
    does not list are 0."""

    # Written from bindings/api.toml: kinds of events.
    MESSAGE = 1
    """The next message: seq, publisher, publisher_seq, destination, timestamp; the payload."""

    COMMITTED = 2
    """Everything below seq is final (stamped subscriptions, once per poll)."""

    RETRACT = 3
    """What was reported from seq on did not survive a takeover (stamped subscriptions)."""

    EPOCH = 4
    """A new leadership begins at seq; value is the epoch."""

    MEMBERSHIP = 5
    """The membership from seq on has value members."""

    OPENED = 6
    """A name is opened: seq, timestamp, publisher; publisher_seq is the number of its last message, detail its
    incarnation, value and value2 its nonce; the payload is the name."""

    CLOSED = 7
    """A publisher is closed: seq, timestamp, publisher; the payload is the reason that its owner gave."""

    GATEWAY_HEARTBEAT = 8
    """A gateway reports to other gateways that it runs: seq, publisher."""

    FRAME = 9
    """The frame whose last entry was reported before; the payload is its bytes."""

    FILTERED = 10
    """An entry without meaning for applications: seq; detail is the entry's kind."""

    DAY = 11
    """A trading day begins (detail 1) or ends (0): seq, timestamp; the payload is the day's name."""

    ORDERED = 12
    """The leader carries out an operator's order: seq, timestamp; detail is the order; the payload is the name of the
    operator's key. Of an order of time (6), which sets the stream's time back to timestamp, value is the time
    before."""

    GAP = 13
    """Messages from seq to below value are missing, and requested."""

    ABANDONED = 14
    """The subscription has ended: nobody sends what is missing from seq on. value is the oldest seq that can be had,
    detail the reason."""

    PARTS_DISCARDED = 15
    """A message in parts that began at seq is discarded, and the subscription goes on: publisher; detail is 1 for the
    bytes that are unfinished, 2 for its length, 3 for the entries behind its first part, value the limit; or 4 if it
    began before the subscription did, then seq is where it ended."""

    MULTICAST = 16
    """No multicast group brings the leader any more (detail 1), or they do again (0)."""

    CAUGHT_UP = 17
    """Everything below seq that was seen is delivered."""

    REPLAYING = 18
    """Entries from seq on that nobody has in memory are read from a journal over TCP."""

    REFUSED = 19
    """The subscription has ended: it cannot begin, or continue, at seq. detail is the reason, 0 if no journal could be
    reached."""

    FOUNDED = 20
    """From seq on the stream is of the history value, founded on the history value2."""

    HISTORY_LOST = 21
    """The subscription has ended, or the publisher's outcomes are unknown: the history value was founded at seq, below
    what was final here, value2."""

    AHEAD = 22
    """The subscription has ended: the leader's log ends at value, and seq would be next here; value2 is the epoch."""

    LAG = 23
    """Commit has lagged behind stamping by value entries for value2 nanoseconds."""

    DIVERGED = 24
    """The subscription has ended: log and cluster differ at seq."""

    MACHINE_REPORT = 25
    """A replica of a state machine reports to the others of that machine: seq, publisher."""

    SET_NOTE = 26
    """A coordinator or an operator writes about the streams of a set: seq, publisher."""

    NAME_OPENED = 65
    """A publisher's name is open: publisher; publisher_seq is the number of its next message, value that of its last
    committed one, detail the ticket of the call that opened it."""

    NAME_REFUSED = 66
    """The leader refuses a name: detail is its ticket; value is 1 if the table of publishers is full (then value2 is
    its size), 2 if the key of this process does not allow the name."""

    NOT_ALLOWED = 67
    """The key of this process does not allow a message: publisher, publisher_seq. It is sent again until the key's
    rights change."""

    OUTCOME_STAMPED = 68
    """A message has its place: publisher, publisher_seq, seq. A takeover may take it back."""

    OUTCOME_UNSTAMPED = 69
    """The reported place of a message did not survive a takeover; it is sent again by itself: publisher,
    publisher_seq."""

    OUTCOME_COMMITTED = 70
    """A message has its place for ever: publisher, publisher_seq, seq."""

    THROTTLED = 71
    """The cluster's window is full: messages wait here."""

    UNTHROTTLED = 72
    """The cluster takes messages again."""

    OUTCOME_DIVERGED = 73
    """Another message stands under a number that was published here: publisher, publisher_seq, seq."""

    OUTCOME_FENCED = 74
    """A newer process has opened the name: nothing from publisher_seq on is stamped: publisher."""

    OUTCOME_CLOSED = 75
    """The publisher is closed: nothing from publisher_seq on is stamped: publisher."""

    OUTCOMES_UNKNOWN = 76
    """Outcomes are unknown and the handle is of no more use: open the names in a new one."""

    OUTCOME_DISCARDED = 77
    """A message in parts has its place for ever, and no reader delivers it, as its publisher was held up between its
    parts: publisher, publisher_seq, seq. Publish it again, if it still holds."""
    # End of what is written from bindings/api.toml.


class InputKind(IntEnum):
    """What an input of a machine is. Each has seq and time. Fields that a kind does not list are 0, empty or None."""

    # Written from bindings/api.toml: kinds of inputs.
    MESSAGE = 1
    """A message of anybody but the machine: publisher, publisher_seq, destination, payload; user where the publisher is
    a client of a gateway."""

    CONNECTED = 2
    """A client has logged in at a gateway: user, publisher."""

    DISCONNECTED = 3
    """A client is gone: user, publisher, reason; cancels: its user wants its orders to be cancelled then."""

    OPENED = 4
    """A name that is no gateway's client is opened: publisher, incarnation, name. A process that had it is fenced."""

    CLOSED = 5
    """A publisher that is no gateway's client is closed: publisher."""

    DAY_START = 6
    """A trading day begins: name."""

    DAY_END = 7
    """The trading day ends."""

    TIMER = 8
    """A timer of the machine is due: key, due, payload."""

    TIME = 9
    """The stream's time has moved, and nothing else."""

    TIME_SET_BACK = 10
    """The stream's time, which ran ahead, is set back to the input's time: before is the time before."""

    MEMBERSHIP = 11
    """The cluster has so many members from here on: members."""
    # End of what is written from bindings/api.toml.


class DisconnectReason(IntEnum):
    """Why a client left."""

    LOGOUT = 1
    """It logged out."""

    BROKEN = 2
    """Its connection broke, and it did not come back in time."""

    SILENT = 3
    """It was silent for too long."""

    FAULT = 4
    """It broke the protocol."""

    SLOW = 5
    """It did not take what it was sent."""

    DISABLED = 6
    """Its user was disabled or removed."""

    DAY_END = 7
    """The trading day ended."""

    STOPPED = 8
    """Its gateway stopped in order."""

    GATEWAY_LOST = 9
    """Its gateway died."""


ENDING_KINDS = frozenset({
    Kind.ABANDONED,
    Kind.AHEAD,
    Kind.DIVERGED,
    Kind.HISTORY_LOST,
    Kind.OUTCOMES_UNKNOWN,
    Kind.REFUSED,
})
"""Kinds behind which a subscription, or a publisher's handle, does not go on."""

EVENT_DTYPE = [
    ("seq", "<u8"),
    ("publisher_seq", "<u8"),
    ("timestamp", "<u8"),
    ("value", "<u8"),
    ("value2", "<u8"),
    ("publisher", "<u4"),
    ("destination", "<u4"),
    ("payload_at", "<u4"),
    ("payload_len", "<u4"),
    ("kind", "<u4"),
    ("detail", "<u4"),
]
"""The fields of a row of 64 bytes, for numpy.frombuffer(batch, dtype=EVENT_DTYPE)."""

PLACE_DTYPE = [("number", "<u8"), ("time", "<u8"), ("stream", "<u8")]
"""The fields of a place of 24 bytes, for numpy.frombuffer(merged_batch, dtype=PLACE_DTYPE)."""
