"""The merged order of the set that the file of one cluster is: one stream. tests/foreign/bindings/merged.rs has several."""

import lockstep
import numpy as np
import pytest
from conftest import PATIENCE_S, publish_all
from lockstep import Kind

PAYLOADS = [str(number).encode() for number in range(20)]


@pytest.fixture
def orders(participant: lockstep.Participant, name: str) -> int:
    """The id of a publisher, all of whose messages are committed."""
    orders = participant.open(name)
    publish_all(participant, orders, PAYLOADS)
    return orders


def messages_of(merged: lockstep.MergedSubscriber, publisher: int, count: int) -> list[lockstep.MergedEvent]:
    """The next messages of a publisher."""
    found: list[lockstep.MergedEvent] = []
    while len(found) < count:
        place = merged.next_event(PATIENCE_S)
        assert place is not None, f"{len(found)} of {count} messages"
        if place.event.kind == Kind.MESSAGE and place.event.publisher == publisher:
            found.append(place)
    return found


def test_a_merged_reader_goes_on_behind_the_event_that_it_received_last(orders: int) -> None:
    with lockstep.MergedSubscriber(start="beginning") as merged:
        first = messages_of(merged, orders, 7)
        cursor, next_number = merged.cursor, merged.next_number
        # What is received in a batch is received as well.
        merged.poll_batch(4)
    with lockstep.MergedSubscriber(start=cursor) as merged:
        assert merged.next_number == next_number == first[-1].number + 1
        rest = messages_of(merged, orders, len(PAYLOADS) - 7)
    both = first + rest
    assert [place.event.payload for place in both] == PAYLOADS
    # Of one stream the merged number of an entry is its seq.
    assert [place.number for place in both] == [place.event.seq for place in both]
    times = [place.time for place in both]
    assert times == sorted(times) and times[0] >= both[0].event.timestamp > 0


def test_places_and_rows_are_read_in_place(endpoint: lockstep.Endpoint, orders: int) -> None:
    with lockstep.MergedSubscriber(start="beginning") as merged:
        messages_of(merged, orders, 1)
        batch = merged.poll_batch(8, timeout=PATIENCE_S)
        assert merged.stream_name(endpoint.cluster) == "" and merged.stream_name(12345) == ""
    places = np.frombuffer(batch, dtype=lockstep.PLACE_DTYPE)  # type: ignore[call-overload]  # of numpy
    rows = np.frombuffer(batch.batch, dtype=lockstep.EVENT_DTYPE)  # type: ignore[call-overload]
    assert places.dtype.itemsize == 24 and len(places) == len(rows) == len(batch) > 0
    events = list(batch)
    assert [place.number for place in events] == places["number"].tolist()
    assert [place.event.seq for place in events] == rows["seq"].tolist()
    assert set(places["stream"].tolist()) == {endpoint.cluster}
    assert batch[-1].event.payload == events[-1].event.payload == bytes(batch.batch.payload(-1))
    with pytest.raises(IndexError):
        batch[len(batch)]


def test_a_merged_start_that_is_none_is_refused_and_the_words_say_what_to_write() -> None:
    with pytest.raises(lockstep.ArgumentError, match="write live, beginning, or a merged cursor"):
        lockstep.MergedSubscriber(start="here")
    with pytest.raises(lockstep.ConfigError, match=r"nowhere\.toml"):
        lockstep.MergedSubscriber(path="/nowhere.toml", start="beginning")
    with lockstep.MergedSubscriber(start="live", timeout=PATIENCE_S) as merged:
        assert not merged.is_ended and merged.cursor.startswith("merged:1;")
    assert merged.closed
