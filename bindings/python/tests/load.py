"""Publishes and reads while leaders are killed, and checks each event; tests/foreign/bindings/python.rs runs it.

    load.py load NAME TAKEOVERS     by a participant: each message has one outcome and one place, in order
    load.py stamped NAME TAKEOVERS  by a publisher and a `stamped` subscriber, in batches that numpy looks at: what is
                                    retracted is delivered anew
"""

import struct
import sys
import time

import lockstep
import numpy as np
from lockstep import Delivery, Kind

PATIENCE_S = 25.0
"""Nothing that stands still for so long moves again."""
IN_A_TURN = 64
"""Messages that are published between two polls."""
NUMBER = struct.Struct("<Q")


class Progress:
    """Fails when no number of the state changes for too long."""

    def __init__(self) -> None:
        self.state: dict[str, object] = {}
        self.changed = time.monotonic()

    def look(self, **state: object) -> None:
        if state != self.state:
            self.state, self.changed = state, time.monotonic()
        elif time.monotonic() - self.changed > PATIENCE_S:
            sys.exit(f"nothing has moved for {PATIENCE_S} s: {state}")


def publish_some(handle: lockstep.Publisher | lockstep.Participant, publisher: int, following: int) -> int:
    """Publishes messages, each with its own number, until the window is full; returns the number that follows."""
    for number in range(following, following + IN_A_TURN):
        try:
            published = handle.publish(publisher, NUMBER.pack(number))
        except lockstep.BackpressureError:
            return number
        assert published == number, (published, number)
    return following + IN_A_TURN


def load(endpoint: lockstep.Endpoint, name: str, takeovers: int) -> None:
    progress = Progress()
    following = committed = delivered = 1
    last_seq = epochs = 0
    with lockstep.Participant(endpoint) as participant:
        participant.begin(20.0)
        publisher = participant.open(name, 20.0)
        while epochs < takeovers or committed < following or delivered < following:
            if epochs < takeovers:
                following = publish_some(participant, publisher, following)
            for event in participant.poll_batch(256, timeout=0.001):
                assert event.kind not in lockstep.ENDING_KINDS, event
                if event.kind == Kind.OUTCOME_COMMITTED:
                    assert (event.publisher, event.publisher_seq) == (publisher, committed), (event, committed)
                    committed += 1
                elif event.kind == Kind.MESSAGE:
                    assert event.seq > last_seq, (event, last_seq)
                    last_seq = event.seq
                    assert (event.publisher, event.publisher_seq) == (publisher, delivered), (event, delivered)
                    assert event.payload == NUMBER.pack(delivered), event
                    delivered += 1
                elif event.kind == Kind.EPOCH:
                    epochs += 1
            progress.look(
                following=following,
                committed=committed,
                delivered=delivered,
                epochs=epochs,
                is_connected=participant.is_connected,
                is_ended=participant.is_ended,
                deliver_next=participant.deliver_next,
            )
        assert participant.is_drained and not participant.is_ended
        cursor = participant.cursor
        assert cursor is not None and cursor.seq == participant.deliver_next
    print(f"{following - 1} messages, each with one outcome, {epochs} takeovers")


class Delivered:
    """What is delivered, by seq: a retract takes back its end."""

    def __init__(self, publisher: int) -> None:
        self.publisher = publisher
        self.seqs: list[int] = []
        self.retracts = self.epochs = 0

    def on_messages(self, rows: np.ndarray, payloads: memoryview) -> None:
        """Messages of ours, in one piece of a batch: message N is the Nth."""
        if len(rows) == 0:
            return
        numbers = np.arange(len(self.seqs) + 1, len(self.seqs) + 1 + len(rows))
        assert (rows["publisher_seq"] == numbers).all(), (rows["publisher_seq"], numbers)
        assert (np.diff(rows["seq"].astype(np.int64)) > 0).all()
        assert not self.seqs or rows["seq"][0] > self.seqs[-1], (rows["seq"][0], self.seqs[-1])
        assert (rows["payload_len"] == NUMBER.size).all()
        first = int(rows["payload_at"][0])
        contents = np.frombuffer(payloads, dtype="<u8", count=len(rows), offset=first)
        assert (contents == numbers).all()
        self.seqs.extend(rows["seq"].tolist())

    def on_batch(self, batch: lockstep.Batch) -> None:
        rows = np.frombuffer(memoryview(batch), dtype=lockstep.EVENT_DTYPE)
        is_message = (rows["kind"] == Kind.MESSAGE) & (rows["publisher"] == self.publisher)
        begin = 0
        for at in [*np.flatnonzero(~is_message).tolist(), len(rows)]:
            self.on_messages(rows[begin:at], batch.payloads)
            begin = at + 1
            if at == len(rows):
                break
            kind, seq = int(rows["kind"][at]), int(rows["seq"][at])
            assert kind not in lockstep.ENDING_KINDS, batch[at]
            if kind == Kind.EPOCH:
                self.epochs += 1
            elif kind == Kind.RETRACT:
                self.retracts += 1
                while self.seqs and self.seqs[-1] >= seq:
                    self.seqs.pop()


def stamped(endpoint: lockstep.Endpoint, name: str, takeovers: int) -> None:
    progress = Progress()
    following = 1
    with (
        lockstep.Subscriber(endpoint, start=1, delivery=Delivery.STAMPED) as subscriber,
        lockstep.Publisher(endpoint) as publisher,
    ):
        delivered = Delivered(publisher.open(name, 20.0))
        while delivered.epochs < takeovers or len(delivered.seqs) + 1 < following or not publisher.is_drained:
            if delivered.epochs < takeovers:
                following = publish_some(publisher, delivered.publisher, following)
            for event in publisher.events():
                assert event.kind not in lockstep.ENDING_KINDS, event
            batch = subscriber.poll_batch(4096)
            delivered.on_batch(batch)
            if len(batch) == 0:
                publisher.wait(0.001)
            progress.look(
                following=following,
                delivered=len(delivered.seqs),
                retracts=delivered.retracts,
                epochs=delivered.epochs,
                drained=publisher.is_drained,
                is_connected=publisher.is_connected,
                is_ended=subscriber.is_ended,
                deliver_next=subscriber.deliver_next,
                commit_next=subscriber.commit_next,
            )
    print(f"{following - 1} messages, {delivered.retracts} retracts, {delivered.epochs} takeovers")


def main() -> None:
    mode, name, takeovers = sys.argv[1:]
    {"load": load, "stamped": stamped}[mode](lockstep.Endpoint.from_env(), name, int(takeovers))


if __name__ == "__main__":
    main()
