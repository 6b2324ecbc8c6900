"""Handles against a cluster of one replica."""

import asyncio
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import lockstep
import lockstep.aio
import numpy as np
import pytest
from conftest import PATIENCE_S, eventually, publish_all
from lockstep import Delivery, Kind

# ---------------------------------------------------------------------------- messages and outcomes


def test_a_message_has_one_place_and_one_outcome(participant: lockstep.Participant, name: str) -> None:
    orders = participant.open(name)
    number = participant.publish(orders, b"buy 100 at 42", destination=lockstep.EVERYBODY)
    events: list[lockstep.Event] = []

    def is_done() -> bool:
        events.extend(participant.events())
        return participant.is_drained and any(event.kind == Kind.MESSAGE for event in events)

    eventually("delivered", is_done)
    messages = [event for event in events if event.kind == Kind.MESSAGE]
    outcomes = [event for event in events if event.kind == Kind.OUTCOME_COMMITTED]
    assert [(m.publisher, m.publisher_seq, m.payload) for m in messages] == [(orders, number, b"buy 100 at 42")]
    assert [(o.publisher, o.publisher_seq, o.seq) for o in outcomes] == [(orders, number, messages[0].seq)]
    assert messages[0].kind is Kind.MESSAGE
    assert abs(messages[0].timestamp - time.time_ns()) < 3600 * 10**9
    opened = [event for event in events if event.kind == Kind.NAME_OPENED]
    assert [(event.publisher, event.value) for event in opened] == [(orders, 0)]
    assert "MESSAGE" in repr(messages[0]) and f"seq={messages[0].seq}" in repr(messages[0])


def test_payloads_are_any_buffer_of_bytes(participant: lockstep.Participant, name: str) -> None:
    orders = participant.open(name)
    payloads: list[Any] = [b"a", bytearray(b"bc"), memoryview(b"def"), np.arange(4, dtype=np.uint8), b""]
    payloads += [np.arange(4), np.ones((2, 3), dtype=np.float32)]
    for payload in payloads:
        participant.publish(orders, payload)
    got = [message.payload for message in islice(lockstep.messages(participant), len(payloads))]
    assert got == [bytes(payload) for payload in payloads]
    for wrong in ["text", 7, None, [1, 2], np.arange(8)[::2], memoryview(b"abcd")[::2]]:
        with pytest.raises(TypeError, match="a payload is bytes"):
            participant.publish(orders, wrong)  # type: ignore[arg-type]
    for wrong in [-1, 1 << 32]:
        with pytest.raises(OverflowError):
            participant.publish(wrong, b"")


def test_wrong_publications_are_refused_by_class(participant: lockstep.Participant, name: str) -> None:
    orders = participant.open(name)
    with pytest.raises(lockstep.TooLongError):
        participant.publish(orders, bytes(participant.message_len_max() + 1))
    with pytest.raises(lockstep.NotOpenError):
        participant.publish(orders + 1, b"")
    with pytest.raises(lockstep.NameRefusedError):
        participant.open("")
    with pytest.raises(lockstep.NameRefusedError):
        participant.open("x" * 1000)
    for day in ["", "no day", "x" * 17]:
        with pytest.raises(ValueError, match="is no name"):
            participant.start_day(orders, day)
    assert participant.publish_at(orders, 1, b"first") == 1
    with pytest.raises(lockstep.AheadOfNumberError):
        participant.publish_at(orders, 7, b"")
    assert participant.drain(PATIENCE_S)
    # Nothing is under way, and nobody publishes what lies between.
    with pytest.raises(lockstep.AheadOfNumberError, match="number 100 .* 2 is the next"):
        participant.publish_at(orders, 100, b"")
    participant.publish_at(orders, 1, b"first")
    numbers = [event.publisher_seq for event in participant.events() if event.kind == Kind.MESSAGE]
    eventually("delivered once", lambda: bool(participant.drain(PATIENCE_S)))
    numbers += [event.publisher_seq for event in participant.events() if event.kind == Kind.MESSAGE]
    assert numbers.count(1) == 1


def test_the_newest_process_of_a_name_fences_the_others(endpoint: lockstep.Endpoint, name: str) -> None:
    with lockstep.Publisher(endpoint) as first, lockstep.Publisher(endpoint) as second:
        orders = first.open(name)
        publish_all(first, orders, [b"of the first"])
        assert second.open(name) == orders
        opened = [event for event in second.events() if event.kind == Kind.NAME_OPENED]
        assert [event.value for event in opened] == [1], "the number of the last committed message"

        def is_fenced() -> bool:
            try:
                first.publish(orders, b"late")
            except lockstep.FencedError:
                return True
            except lockstep.BackpressureError:
                pass
            return any(event.kind == Kind.OUTCOME_FENCED for event in first.events())

        eventually("the first is fenced", is_fenced)


def test_drain_tells_what_became_of_the_messages(endpoint: lockstep.Endpoint, name: str) -> None:
    with lockstep.Publisher(endpoint) as first, lockstep.Publisher(endpoint) as second:
        orders = first.open(name)
        numbers = [first.publish(orders, payload) for payload in [b"one", b"two"]]
        outcomes = first.drain(PATIENCE_S)
        assert outcomes and outcomes.committed == len(numbers) and outcomes == first.outcomes
        assert first.drain(PATIENCE_S).committed == 0, "nothing was published since"
        second.open(name)
        # The handle does not know yet that it is fenced.
        first.publish(orders, b"late")
        late = first.drain(PATIENCE_S)
        assert not late and (late.committed, late.fenced, late.open) == (0, 1, 0), late
        assert repr(late) == "<Outcomes: 0 committed, 1 fenced>"
        assert first.is_drained and (first.outcomes.committed, first.outcomes.fenced) == (2, 1)


def test_copies_with_one_nonce_do_not_fence_each_other(endpoint: lockstep.Endpoint, name: str) -> None:
    with lockstep.Publisher(endpoint) as first, lockstep.Publisher(endpoint) as second:
        orders = first.open(name, nonce=(3, 4))
        assert second.open(name, nonce=(3, 4)) == orders
        for copy in [first, second]:
            assert copy.publish_at(orders, 1, b"of both") == 1
        assert first.drain(PATIENCE_S) and second.drain(PATIENCE_S)


def event_of(participant: lockstep.Participant, kind: Kind) -> lockstep.Event:
    """The next event of this kind."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        event = participant.next_event(PATIENCE_S)
        assert event is not None and time.monotonic() < deadline, f"no {kind!r}"
        if event.kind == kind:
            return event


def test_the_end_of_a_publisher_is_an_event_with_its_reason(participant: lockstep.Participant, name: str) -> None:
    orders = participant.open(name)
    participant.publish(orders, b"the last message")
    participant.close_name(orders, b"done")
    closed = event_of(participant, Kind.CLOSED)
    assert (closed.publisher, closed.payload) == (orders, b"done")
    with pytest.raises(lockstep.ClosedError):
        participant.publish(orders, b"after the end")


def test_a_day_that_the_key_does_not_allow_is_an_event(participant: lockstep.Participant, name: str) -> None:
    orders = participant.open(name)
    number = participant.start_day(orders, "MON1")
    refused = event_of(participant, Kind.NOT_ALLOWED)
    assert (refused.publisher, refused.publisher_seq) == (orders, number)


def test_backpressure_is_reported_and_ends(endpoint: lockstep.Endpoint, name: str) -> None:
    with lockstep.Publisher(endpoint) as publisher:
        orders = publisher.open(name)
        published = 0
        with pytest.raises(lockstep.BackpressureError, match="window|poll"):
            while True:
                publisher.publish(orders, b"12345678")
                published += 1
        assert published > 0 and not publisher.is_drained
        assert publisher.drain(PATIENCE_S) and publisher.is_drained
        outcomes = [event for event in publisher.poll_batch(1 << 20) if event.kind == Kind.OUTCOME_COMMITTED]
        assert [outcome.publisher_seq for outcome in outcomes] == list(range(1, published + 1))
        publish_all(publisher, orders, [b"after"])


def test_publish_with_a_timeout_waits_for_room_and_loses_no_event(endpoint: lockstep.Endpoint, name: str) -> None:
    with lockstep.Publisher(endpoint) as publisher:
        orders = publisher.open(name)
        payload = bytes(1_000)
        # Some windows full: without the timeout most of them are refused.
        numbers = [publisher.publish(orders, payload, timeout=PATIENCE_S) for _ in range(16_000)]
        assert numbers == list(range(1, 16_001)) and publisher.drain(PATIENCE_S)
        outcomes = [event for event in publisher.poll_batch(1 << 20) if event.kind == Kind.OUTCOME_COMMITTED]
        assert [outcome.publisher_seq for outcome in outcomes] == numbers
        assert publisher.publish_at(orders, 16_001, b"the next", timeout=None) == 16_001
        with pytest.raises(lockstep.ArgumentError, match="timeout -1"):
            publisher.publish(orders, b"never", timeout=-1.0)


def test_publish_with_a_timeout_gives_up_where_no_room_comes(silent_config: Path, name: str) -> None:
    with lockstep.Publisher(lockstep.Endpoint.from_file(silent_config)) as publisher:
        with pytest.raises(lockstep.TimedOutError):
            publisher.open(name, 0.1)
        began = time.monotonic()
        with pytest.raises(lockstep.PublishError):
            publisher.publish(1, b"nobody opened this", timeout=PATIENCE_S)
        assert time.monotonic() - began < PATIENCE_S / 2, "what never has room is refused at once"


def test_messages_end_when_none_has_come_for_the_timeout_whatever_else_does(
    endpoint: lockstep.Endpoint, participant: lockstep.Participant, name: str
) -> None:
    has_ended = threading.Event()

    def open_names() -> None:
        with lockstep.Publisher(endpoint) as other:
            for number in range(600):
                if has_ended.wait(0.1):
                    return
                other.open(f"{name}-{number}", PATIENCE_S)

    thread = threading.Thread(target=open_names)
    thread.start()
    got = list(lockstep.messages(participant, timeout=1.0))
    has_ended.set()
    thread.join()
    opened = [event for event in participant.events(1000) if event.kind == Kind.OPENED]
    assert got == [] and len(opened) < 600, "it ends before the names do"


def test_the_module_for_event_loops_needs_no_import_of_its_own() -> None:
    program = "import lockstep; print(lockstep.aio.messages.__name__); lockstep.nothing"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.stdout == "messages\n" and "module 'lockstep' has no attribute 'nothing'" in run.stderr


# ---------------------------------------------------------------------------- positions


def test_a_reader_goes_on_behind_the_event_that_it_received_last(endpoint: lockstep.Endpoint, name: str) -> None:
    payloads = [str(number).encode() for number in range(300)]
    with lockstep.Participant(endpoint) as participant:
        participant.begin()
        seq, cursor = participant.deliver_next, participant.cursor
        orders = participant.open(name)
        publish_all(participant, orders, payloads)
        assert participant.cursor == cursor, "the program has received nothing yet"
    received: list[bytes] = []
    start: int | lockstep.Cursor = seq
    for step in [1, 2, 3, 50, 100, 143, 1]:
        with lockstep.Subscriber(endpoint, start=start) as subscriber:
            for message in lockstep.messages(subscriber):
                received.append(message.payload)
                step -= 1
                if step == 0:
                    break
            assert subscriber.cursor is not None
            assert subscriber.cursor.seq == message.seq + 1
            start = lockstep.Cursor.parse(str(subscriber.cursor))
    assert received == payloads


def test_batches_and_iteration_go_on_where_the_other_stopped(endpoint: lockstep.Endpoint, name: str) -> None:
    payloads = [str(number).encode() for number in range(200)]
    with lockstep.Participant(endpoint) as participant:
        participant.begin()
        start = participant.deliver_next
        publish_all(participant, participant.open(name), payloads)
    with lockstep.Subscriber(endpoint, start=start) as subscriber:
        received = [message.payload for message in islice(lockstep.messages(subscriber), 50)]
        while len(received) < len(payloads):
            batch = subscriber.poll_batch(7, timeout=PATIENCE_S)
            assert 0 < len(batch)
            received += [event.payload for event in batch if event.kind == Kind.MESSAGE]
            event = subscriber.next_event(PATIENCE_S) if len(received) < len(payloads) else None
            received += [event.payload] if event is not None and event.kind == Kind.MESSAGE else []
    assert received == payloads


def test_starts_that_are_none_are_refused(endpoint: lockstep.Endpoint) -> None:
    for start in ["newest", "", 0, -1, 1 << 64]:
        with pytest.raises(ValueError, match="start"):
            lockstep.Subscriber(endpoint, start=start)  # type: ignore[arg-type]
    for wrong in [None, 1.5, b"live"]:
        with pytest.raises(TypeError, match="start .* is invalid: write 'live', 'oldest', a seq or a Cursor"):
            lockstep.Subscriber(endpoint, start=wrong)  # type: ignore[arg-type]
    for delivery in [2, 7]:
        with pytest.raises(ValueError, match="lockstep.Delivery"):
            lockstep.Subscriber(endpoint, delivery=delivery)


def test_a_cursor_of_another_history_ends_the_subscription_with_the_reason(endpoint: lockstep.Endpoint) -> None:
    with lockstep.Subscriber(endpoint, start=lockstep.Cursor(1, 1, 1)) as subscriber:
        kinds = [event.kind for event in subscriber]
        assert kinds[-1] in lockstep.ENDING_KINDS, kinds
        assert subscriber.is_ended and subscriber.next_event() is None


def test_a_cursor_file_begins_where_it_was_saved_and_never_anew_in_another_stream(
    endpoint: lockstep.Endpoint, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "reader.cursor"
    with lockstep.CursorFile(path) as file, lockstep.Participant(endpoint, file.start_or("live")) as participant:
        participant.begin(PATIENCE_S)
        publish_all(participant, participant.open(name), [b"one", b"two"])
        first = next(lockstep.messages(participant, PATIENCE_S))
        assert participant.cursor is not None
        file.save(participant.cursor)
    with lockstep.CursorFile(path) as file, lockstep.Subscriber(endpoint, file.start_or("live")) as subscriber:
        second = next(lockstep.messages(subscriber, PATIENCE_S))
    assert (first.payload, second.payload) == (b"one", b"two")
    path.write_text(f"{lockstep.Cursor(1, 1, 1)}\n")
    with lockstep.CursorFile(path) as file, lockstep.Subscriber(endpoint, file.start_or("oldest")) as subscriber:
        kinds = [event.kind for event in subscriber]
        assert kinds[-1] in lockstep.ENDING_KINDS and Kind.MESSAGE not in kinds, kinds


@contextmanager
def application(endpoint: lockstep.Endpoint, name: str, go_on: threading.Event) -> Iterator[None]:
    """An application in a thread, which answers each message for everybody once it may go on."""
    is_over = threading.Event()
    with lockstep.Participant(endpoint) as participant:
        participant.begin(PATIENCE_S)
        answers = participant.open(name, PATIENCE_S)

        def run() -> None:
            while not is_over.is_set():
                event = participant.next_event(0.01)
                if event is not None and event.kind == Kind.MESSAGE and event.destination == lockstep.EVERYBODY:
                    assert go_on.wait(PATIENCE_S)
                    participant.publish(answers, b"answer to %d" % event.publisher_seq, event.publisher)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            go_on.set()
            thread.join()


def test_a_request_has_its_answer_or_its_end_and_takes_no_event_of_others(endpoint: lockstep.Endpoint, name: str) -> None:
    go_on = threading.Event()
    seen: list[lockstep.Event] = []

    def answer(event: lockstep.Event, number: int) -> bytes | None:
        seen.append(event)
        is_answer = event.kind == Kind.MESSAGE and event.destination == asks
        return event.payload if is_answer and event.payload == b"answer to %d" % number else None

    with application(endpoint, f"{name}-application", go_on), lockstep.Participant(endpoint) as participant:
        participant.begin(PATIENCE_S)
        asks = participant.open(name, PATIENCE_S)
        with pytest.raises(lockstep.TimedOutError, match="request 1 has no answer within 0.3 s: it may be answered later"):
            lockstep.request(participant, asks, b"ask", answer, timeout=0.3)
        go_on.set()
        late = [event for event in islice(lockstep.messages(participant, PATIENCE_S), 1)]
        assert [event.payload for event in late] == [b"answer to 1"], "an event of a later call"
        for number in range(2, 20):
            assert lockstep.request(participant, asks, b"ask", answer) == b"answer to %d" % number
        with pytest.raises(lockstep.NotOpenError):
            lockstep.request(participant, asks + 1, b"ask", answer)
        assert participant.drain(PATIENCE_S)
        seen += participant.events()
        places = [event.seq for event in seen + late if event.kind == Kind.MESSAGE]
        assert len(set(places)) == len(places) == 2 * 19, "requests and answers, each once"
        committed = [event.publisher_seq for event in seen if event.kind == Kind.OUTCOME_COMMITTED]
        assert committed == list(range(1, 20))
        # A newer process opens the name.
        with lockstep.Participant(endpoint) as newer:
            newer.begin(PATIENCE_S)
            newer.open(name, PATIENCE_S)
            with pytest.raises(lockstep.FencedError, match="request 20 has no answer: a newer process"):
                lockstep.request(participant, asks, b"ask", answer, timeout=PATIENCE_S)
    with lockstep.Participant(endpoint, lockstep.Cursor(1, 1, 1)) as ended:
        asks = ended.open(name, PATIENCE_S)
        while not ended.is_ended:
            ended.next_event(0.01)
        with pytest.raises(lockstep.UnansweredError, match="was not published: the subscription has ended"):
            lockstep.request(ended, asks, b"ask", answer)


def test_a_stamped_subscription_is_bounded_by_commits(endpoint: lockstep.Endpoint, name: str) -> None:
    with (
        lockstep.Subscriber(endpoint, delivery=Delivery.STAMPED) as subscriber,
        lockstep.Publisher(endpoint) as publisher,
    ):
        subscriber.begin(PATIENCE_S)
        publish_all(publisher, publisher.open(name), [b"stamped"])
        seq = final = 0
        while not final > seq > 0:
            event = subscriber.next_event(PATIENCE_S)
            assert event is not None
            if event.kind == Kind.MESSAGE:
                seq = event.seq
            elif event.kind == Kind.COMMITTED:
                assert event.seq > final
                final = event.seq


# ---------------------------------------------------------------------------- batches


def batch_of(endpoint: lockstep.Endpoint, name: str, payloads: list[bytes]) -> lockstep.Batch:
    with lockstep.Participant(endpoint) as participant:
        participant.begin()
        orders = participant.open(name)
        participant.events()
        publish_all(participant, orders, payloads)
        time.sleep(0.01)
        return participant.poll_batch(1 << 16)


def test_rows_and_payloads_are_read_in_place(endpoint: lockstep.Endpoint, name: str) -> None:
    payloads = [bytes([number]) * number for number in range(100)]
    batch = batch_of(endpoint, name, payloads)
    rows = np.frombuffer(batch, dtype=lockstep.EVENT_DTYPE)  # type: ignore[call-overload]  # of numpy
    assert rows.dtype.itemsize == 64 and len(rows) == len(batch)
    by_format = np.asarray(memoryview(batch))
    assert by_format.dtype.names == rows.dtype.names and (by_format == rows).all()
    assert by_format.ctypes.data == rows.ctypes.data, "no copy"
    events = list(batch)
    assert [event.kind for event in events] == rows["kind"].tolist()
    assert [event.seq for event in events] == rows["seq"].tolist()
    messages = np.flatnonzero(rows["kind"] == Kind.MESSAGE).tolist()
    assert [bytes(batch.payload(at)) for at in messages] == payloads
    assert [batch[at].payload for at in messages] == payloads
    assert batch[-1].seq == events[-1].seq and batch.payload(-1) == events[-1].payload
    whole = np.frombuffer(batch.payloads, dtype=np.uint8)
    assert whole.sum() == sum(sum(payload) for payload in payloads)
    last = batch.payload(messages[-1])
    assert np.frombuffer(last, dtype=np.uint8).ctypes.data == whole.ctypes.data + int(rows["payload_at"][messages[-1]])
    for wrong in [len(batch), -len(batch) - 1, 1 << 40]:
        with pytest.raises(IndexError):
            batch[wrong]
        with pytest.raises(IndexError):
            batch.payload(wrong)
    copy = rows.copy()
    del batch, by_format, events, last
    batch_of(endpoint, name, payloads)  # would write where these were
    assert (rows == copy).all(), "a view holds the memory"


def test_a_batch_cannot_be_written_to(endpoint: lockstep.Endpoint, name: str) -> None:
    batch = batch_of(endpoint, name, [b"final"])
    assert memoryview(batch).readonly and batch.payloads.readonly
    with pytest.raises(ValueError):
        np.frombuffer(memoryview(batch), dtype=lockstep.EVENT_DTYPE)["seq"] = 0
    with pytest.raises(TypeError):
        memoryview(batch).cast("B")[0] = 1
    with pytest.raises((BufferError, TypeError)):
        open(os.devnull, "rb").readinto(batch)


def test_an_empty_batch_is_a_buffer_too(participant: lockstep.Participant) -> None:
    participant.events()
    batch = participant.poll_batch(1, timeout=0.0)
    if len(batch) == 0:
        assert memoryview(batch).nbytes == 0 and batch.payloads.nbytes == 0 and list(batch) == []
    with pytest.raises(ValueError, match="limit 0"):
        participant.poll_batch(0)


# ---------------------------------------------------------------------------- ends, threads, signals


CALLS: list[Callable[[Any], object]] = [
    lambda handle: handle.open("x"),
    lambda handle: handle.publish(1, b""),
    lambda handle: handle.publish_at(1, 1, b""),
    lambda handle: handle.close_name(1),
    lambda handle: handle.end_day(1),
    lambda handle: handle.flush(),
    lambda handle: handle.drain(),
    lambda handle: handle.is_drained,
    lambda handle: handle.is_connected,
    lambda handle: handle.message_len_max(),
    lambda handle: handle.begin(),
    lambda handle: handle.cursor,
    lambda handle: handle.deliver_next,
    lambda handle: handle.commit_next,
    lambda handle: handle.has_begun,
    lambda handle: handle.is_ended,
    lambda handle: next(iter(handle)),
    lambda handle: handle.events(),
    lambda handle: handle.poll_batch(),
    lambda handle: handle.next_event(),
    lambda handle: handle.wait(),
    lambda handle: handle.fileno(),
    lambda handle: handle.due(),
    lambda handle: handle.__enter__(),
]


@pytest.mark.parametrize("handle_class", [lockstep.Subscriber, lockstep.Publisher, lockstep.Participant])
def test_use_after_close_is_refused(endpoint: lockstep.Endpoint, handle_class: Any) -> None:
    with handle_class(endpoint) as handle:
        assert not handle.closed
    assert handle.closed
    handle.close()
    refused = 0
    for call in CALLS:
        try:
            call(handle)
        except lockstep.ClosedHandleError as error:
            assert handle_class.__name__ in str(error)
            refused += 1
        except (AttributeError, TypeError):  # a method of another handle
            pass
        else:
            pytest.fail("not refused")
    assert refused >= 14


@pytest.mark.parametrize("handle_class", [lockstep.Subscriber, lockstep.Publisher, lockstep.Participant])
def test_a_handle_of_another_process_is_refused_and_closing_it_harms_nobody(
    endpoint: lockstep.Endpoint, handle_class: Any, name: str
) -> None:
    handle = handle_class(endpoint)
    publisher = handle.open(name) if hasattr(handle, "open") else None
    kid = os.fork()
    if kid == 0:
        refused = 0
        for call in CALLS:
            try:
                call(handle)
            except lockstep.OtherProcessError:
                refused += 1
            except (AttributeError, TypeError):  # a method of another handle
                pass
            else:
                os._exit(2)
        handle.close()
        handle.close()
        del handle
        # A handle of the child's own works, by the endpoint that it has inherited.
        own = handle_class(endpoint)
        own.fileno()
        own.close()
        os._exit(0 if refused >= 14 else 3)
    assert os.waitpid(kid, 0)[1] == 0
    # The parent goes on.
    if publisher is not None:
        numbers = [handle.publish(publisher, b"behind the fork %d" % number) for number in range(20)]
        assert handle.drain(PATIENCE_S)
        outcomes = [event for event in handle.events() if event.kind == Kind.OUTCOME_COMMITTED]
        assert [event.publisher_seq for event in outcomes] == numbers
    handle.close()


def test_a_second_thread_is_refused_while_the_first_waits(endpoint: lockstep.Endpoint) -> None:
    with lockstep.Publisher(endpoint) as publisher:
        ends = threading.Event()

        def waits() -> None:
            while not ends.is_set():
                publisher.wait(0.05)

        thread = threading.Thread(target=waits)
        thread.start()
        try:

            def is_refused() -> bool:
                try:
                    publisher.flush()
                except lockstep.InUseError as error:
                    assert "one thread at a time" in str(error)
                    return True
                return False

            eventually("refused", is_refused)
        finally:
            ends.set()
            thread.join()
        publisher.flush()


def test_times_that_are_none_are_refused(participant: lockstep.Participant) -> None:
    for wrong in [-1.0, float("nan"), -float("inf")]:
        with pytest.raises(ValueError, match="timeout"):
            participant.wait(wrong)
    participant.wait(0.0)
    assert participant.next_event(0.0) is None or True
    with pytest.raises(TypeError):
        participant.wait("soon")  # type: ignore[arg-type]


WAITS = {
    "wait": "while True: handle.wait(None)",
    "next_event": "while True: handle.next_event()",
    "poll_batch": "while True: handle.poll_batch(timeout=None)",
    "open": "handle.open('nobody', timeout=None)",
    "begin": "handle.begin(timeout=None)",
}


@pytest.mark.parametrize("call", WAITS)
def test_ctrl_c_ends_a_wait(silent_config: Path, call: str) -> None:
    code = f"""
import signal, lockstep
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process ignores it
handle = lockstep.Participant(lockstep.Endpoint.from_env())
print("waits", flush=True)
try:
    {WAITS[call]}
except KeyboardInterrupt:
    print("interrupted", flush=True)
    handle.close()
"""
    environment = {**os.environ, "LOCKSTEP_CONFIG": str(silent_config)}
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "waits\n"
        time.sleep(0.2)  # it may wait by now; where it does not yet, it is interrupted all the same
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=PATIENCE_S)
        assert out == "interrupted\n" and child.returncode == 0
    finally:
        child.kill()
        child.wait()


def test_a_timeout_of_begin_and_open_says_what_to_check(silent_config: Path) -> None:
    silent = lockstep.Endpoint.from_file(silent_config)
    with lockstep.Participant(silent) as participant:
        with pytest.raises(lockstep.TimedOutError, match="no leader"):
            participant.begin(0.1)
        with pytest.raises(lockstep.TimedOutError, match="no leader"):
            participant.open("nobody", 0.1)
        assert participant.cursor is None and participant.next_event(0.01) is None
    with pytest.raises(lockstep.TimedOutError, match="no node answered"):
        lockstep.status(silent, 0.2)


# ---------------------------------------------------------------------------- event loops


def test_an_event_loop_reads_and_publishes(endpoint: lockstep.Endpoint, name: str) -> None:
    payloads = [str(number).encode() for number in range(2000)]

    async def run() -> list[bytes]:
        with lockstep.Participant(endpoint) as participant:
            participant.begin()
            orders = participant.open(name)

            async def publish() -> None:
                for payload in payloads:
                    while True:
                        try:
                            participant.publish(orders, payload)
                            break
                        except lockstep.BackpressureError:
                            await asyncio.sleep(0.001)
                    if payload.endswith(b"00"):
                        participant.flush()
                        await asyncio.sleep(0)
                participant.flush()

            publishing = asyncio.create_task(publish())
            received = []
            async for message in lockstep.aio.messages(participant):
                received.append(message.payload)
                if len(received) == len(payloads):
                    break
            await publishing
            return received

    assert asyncio.run(asyncio.wait_for(run(), PATIENCE_S)) == payloads


def test_an_idle_iteration_leaves_the_loop_to_others(endpoint: lockstep.Endpoint) -> None:
    async def run() -> int:
        turns = 0
        with lockstep.Subscriber(endpoint) as subscriber:

            async def read() -> None:
                async for _ in lockstep.aio.events(subscriber):
                    pass

            reading = asyncio.create_task(read())
            for _ in range(50):
                await asyncio.sleep(0.002)
                turns += 1
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert await lockstep.aio.wait(subscriber, 0.0) in (True, False)
        return turns

    assert asyncio.run(asyncio.wait_for(run(), PATIENCE_S)) == 50


def test_the_descriptor_is_readable_when_messages_arrive(endpoint: lockstep.Endpoint, name: str) -> None:
    with lockstep.Subscriber(endpoint) as subscriber, lockstep.Publisher(endpoint) as publisher:
        subscriber.begin()
        publish_all(publisher, publisher.open(name), [b"wake up"])
        readable, _, _ = select.select([subscriber], [], [], PATIENCE_S)
        assert readable == [subscriber]
        assert subscriber.due() >= 0.0


# ---------------------------------------------------------------------------- status, metrics, journal


def test_the_status_is_that_of_the_command(endpoint: lockstep.Endpoint) -> None:
    program = os.environ["LOCKSTEP_TEST_PROGRAM"]
    printed = subprocess.run([program, "status", "--json"], capture_output=True, text=True, timeout=PATIENCE_S)
    expected = json.loads(printed.stdout)
    status: Any = lockstep.status(endpoint)
    assert status.keys() == expected.keys()
    assert [replica.keys() for replica in status["replicas"]] == [replica.keys() for replica in expected["replicas"]]
    for key in expected.keys() - {"replicas", "summary"}:
        assert status[key] == expected[key], key
    replica, same = status["replicas"][0], expected["replicas"][0]
    for key in ["address", "answers", "identity", "role", "member", "member_address", "accepted", "generation"]:
        assert replica[key] == same[key], key


def test_metrics_are_those_of_the_counters_files(endpoint: lockstep.Endpoint) -> None:
    metrics = lockstep.metrics(endpoint)
    replica = metrics["replica-1"]
    assert replica["life"] == "runs" and replica["kind"] == "replica" and replica["pid"] > 0
    assert replica["counters"]["role"]["state"] == "leader"
    assert any(counter["kind"] == "histogram" and counter["times"] for counter in replica["counters"].values())
    assert lockstep.metrics(endpoint, "replica-1").keys() == {"replica-1"}
    with pytest.raises(ValueError, match="'gateway'; there are replica-1"):
        lockstep.metrics(endpoint, "gateway")
    text = lockstep.metrics_text(endpoint)
    assert text.endswith("# EOF\n") and 'process="replica-1"' in text


def test_a_journal_has_the_messages_that_were_delivered(endpoint: lockstep.Endpoint, name: str) -> None:
    folder = os.environ["LOCKSTEP_TEST_JOURNAL"]
    payloads = [bytes([number % 256]) * (number * 97 % 30_000) for number in range(300)]
    with lockstep.Participant(endpoint) as participant:
        participant.begin()
        start = participant.deliver_next
        orders = participant.open(name)
        delivered: list[lockstep.Event] = []
        for payload in payloads:
            publish_all(participant, orders, [payload])
            delivered += [event for event in participant.events(1 << 16) if event.kind == Kind.MESSAGE]
        while len(delivered) < len(payloads):
            event = participant.next_event(PATIENCE_S)
            assert event is not None
            delivered += [event] if event.kind == Kind.MESSAGE else []
    end = delivered[-1].seq + 1

    def is_stored() -> bool:
        with lockstep.Journal(folder) as journal:
            return journal.end_seq >= end

    eventually("the journal has them", is_stored)

    def fields(event: lockstep.Event) -> tuple[object, ...]:
        return (event.kind, event.seq, event.publisher, event.publisher_seq, event.timestamp, event.payload)

    with lockstep.Journal(folder, from_seq=start) as journal:
        stored = [fields(message) for message in journal if message.seq < end]
        assert stored == [fields(message) for message in delivered]
        assert journal.publishers[orders] == name and journal.damage is None
        assert journal.oldest_seq == 1 and journal.commit_next <= journal.end_seq
        assert next(journal, None) is None and len(journal.read_batch()) == 0
    with lockstep.Journal(folder, from_seq=start) as journal:
        first = [next(journal).payload for _ in range(10)]
        while len(batch := journal.read_batch()) > 0:
            first += [event.payload for event in batch if event.seq < end]
        assert first == payloads
    with pytest.raises(lockstep.ClosedHandleError):
        next(journal)
    with pytest.raises(ValueError, match="oldest seq"):
        lockstep.Journal(folder, from_seq=0)
    assert list(lockstep.Journal(folder, from_seq=1 << 40)) == []


def test_damage_ends_the_iteration_of_a_journal_with_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    shutil.copytree(os.environ["LOCKSTEP_TEST_JOURNAL"], folder, ignore=shutil.ignore_patterns("lock", "spare"))
    with lockstep.Journal(folder) as journal:
        whole = len(list(journal))
    newest = max((folder / "segments").glob("*.seg"))
    content = bytearray(newest.read_bytes())
    used = len(content.rstrip(b"\0"))
    content[used // 2] ^= 1
    newest.write_bytes(content)
    with lockstep.Journal(folder) as journal:
        assert journal.damage is not None and newest.name in journal.damage
        read = 0
        with pytest.raises(lockstep.JournalError, match="is damaged at byte"):
            for _ in journal:
                read += 1
        assert read < whole


def test_an_abandoned_journal_ends_its_thread(endpoint: lockstep.Endpoint) -> None:
    before = len(os.listdir("/proc/self/task"))
    for _ in range(50):
        next(lockstep.Journal(os.environ["LOCKSTEP_TEST_JOURNAL"]), None)
    eventually("their threads end", lambda: len(os.listdir("/proc/self/task")) <= before)
