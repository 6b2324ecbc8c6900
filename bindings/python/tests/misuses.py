"""Commits each misuse of docs/BINDINGS.md that Python can express, beside a cluster, and prints its name and the name of the
status that answers it: `fork<TAB>OTHER_PROCESS`. tests/foreign/bindings/misuses.rs compares them with the table."""

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lockstep

TIMEOUT_S = 10.0


def word_of(call: Callable[[], object]) -> str:
    """The status of what the call raises, by the one rule that the errors have."""
    try:
        call()
    except Exception as error:
        return str(getattr(error, "status", type(error).__name__))
    return "OK"


def answer(misuse: str, call: Callable[[], object]) -> None:
    print(f"{misuse}\t{word_of(call)}", flush=True)


def in_child(call: Callable[[], object]) -> str:
    """The word of a call in a child of this process."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writes, word_of(call).encode())
        os._exit(0)
    os.close(writes)
    os.waitpid(child, 0)
    with os.fdopen(reads) as pipe:
        return pipe.read()


def beside_a_thread(poll: Callable[[], object], call: Callable[[], object]) -> str:
    """The word of a call while another thread is in one."""

    is_over = threading.Event()

    def waits() -> None:
        while not is_over.is_set():
            try:
                poll()
            except lockstep.InUseError:
                pass  # the other one was first

    thread = threading.Thread(target=waits)
    thread.start()
    word, tries = "OK", 0
    while word == "OK" and tries < 1000:
        time.sleep(0.001)
        word, tries = word_of(call), tries + 1
    is_over.set()
    thread.join()
    return word


def cursor_files(folder: Path) -> None:
    path, damaged = folder / "cursor", folder / "damaged"
    damaged.write_text("here")
    position = lockstep.Cursor(1, 1, 0)
    with lockstep.CursorFile(path) as file:
        answer("file-in-use", lambda: lockstep.CursorFile(path))
        answer("file-damaged", lambda: lockstep.CursorFile(damaged))
        answer("file-nowhere", lambda: file.save(lockstep.Cursor(1, 0, 0)))
        print(f"file-fork\t{in_child(lambda: file.save(position))}", flush=True)
    answer("file-closed", lambda: file.save(position))


def requests(endpoint: lockstep.Endpoint, participant: lockstep.Participant, orders: int) -> None:
    def request(asking: lockstep.Participant, publisher: int, timeout: float) -> None:
        lockstep.request(asking, publisher, b"ask", lambda _event, _number: None, timeout=timeout)

    answer("request-late", lambda: request(participant, orders, 0.001))
    answer("request-negative", lambda: request(participant, orders, -0.001))
    with lockstep.Participant(endpoint) as first, lockstep.Participant(endpoint) as second:
        fenced = first.open("fenced", TIMEOUT_S)
        second.open("fenced", TIMEOUT_S)
        answer("request-fenced", lambda: request(first, fenced, TIMEOUT_S))
    with lockstep.Participant(endpoint, start=lockstep.Cursor(1, 1, 1)) as elsewhere:
        while not elsewhere.is_ended:
            elsewhere.poll_batch(timeout=0.001)
        answer("request-ended", lambda: request(elsewhere, orders, TIMEOUT_S))


def merged_order() -> None:
    """Of the file of one cluster, which is a set of one stream."""
    answer("merged-start", lambda: lockstep.MergedSubscriber(start="here"))
    answer("merged-negative-connect", lambda: lockstep.MergedSubscriber(timeout=-0.001))
    with lockstep.MergedSubscriber(start="beginning") as merged:
        print(f"merged-fork\t{in_child(merged.poll_batch)}", flush=True)
        word = beside_a_thread(lambda: merged.wait(0.2), lambda: merged.next_number)
        print(f"merged-two-threads\t{word}", flush=True)
        answer("merged-negative-wait", lambda: merged.wait(-0.001))
        answer("merged-negative-limit", lambda: merged.events(-1))
    answer("merged-closed", merged.poll_batch)
    answer("merged-close-twice", merged.close)


def main() -> None:
    endpoint = lockstep.Endpoint.from_env()
    participant = lockstep.Participant(endpoint)
    participant.begin(TIMEOUT_S)
    orders = participant.open("misuses-python", TIMEOUT_S)
    untyped: Any = lockstep.Subscriber
    print(f"fork\t{in_child(lambda: participant.publish(orders, b'child'))}", flush=True)
    word = beside_a_thread(lambda: participant.poll_batch(timeout=0.2), participant.flush)
    print(f"two-threads\t{word}", flush=True)
    answer("unknown-id", lambda: participant.publish(12345, b"x"))
    too_long = bytes(endpoint.message_len_max() + 1)
    answer("too-long", lambda: participant.publish(orders, too_long))
    answer("ahead", lambda: participant.publish_at(orders, 1000, b"x"))
    answer("empty-name", lambda: participant.open(""))
    answer("long-name", lambda: participant.open("x" * 65))
    answer("zero-in-name", lambda: participant.open("a\0b"))
    answer("start-zero", lambda: untyped(endpoint, start=0))
    answer("start-negative", lambda: untyped(endpoint, start=-1))
    answer("start-fraction", lambda: untyped(endpoint, start=1.5))
    answer("start-text", lambda: untyped(endpoint, start="here"))
    answer("negative-wait", lambda: participant.wait(-0.001))
    answer("negative-open", lambda: participant.open("another", -0.001))
    answer("negative-limit", lambda: participant.events(-1))
    requests(endpoint, participant, orders)
    merged_order()
    with tempfile.TemporaryDirectory() as folder:
        cursor_files(Path(folder))
    participant.close()
    answer("use-after-close", lambda: participant.publish(orders, b"x"))
    answer("close-twice", participant.close)


main()
