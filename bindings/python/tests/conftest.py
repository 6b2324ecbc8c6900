"""The cluster of LOCKSTEP_CONFIG, which tests/foreign/bindings/python.rs starts: one replica, whose journal and program are in
LOCKSTEP_TEST_JOURNAL and LOCKSTEP_TEST_PROGRAM."""

import os
import re
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import lockstep
import pytest

PATIENCE_S = 60.0
_NAMES = count(1)


@pytest.fixture
def endpoint() -> lockstep.Endpoint:
    return lockstep.Endpoint.from_env()


@pytest.fixture
def name() -> str:
    """A name that no other test has."""
    return f"test-{next(_NAMES)}-{os.getpid()}"


@pytest.fixture
def participant(endpoint: lockstep.Endpoint) -> Iterator[lockstep.Participant]:
    """One that has begun at the end of the stream."""
    with lockstep.Participant(endpoint) as participant:
        participant.begin(PATIENCE_S)
        yield participant


@pytest.fixture
def silent_config(tmp_path: Path) -> Path:
    """The file of a cluster that does not run: other groups, and addresses at which nobody answers."""
    text = Path(os.environ["LOCKSTEP_CONFIG"]).read_text()
    text = re.sub(r'"239\.(\d+)\.', lambda group: f'"239.{int(group[1]) ^ 128}.', text)
    text = re.sub(r'unicast = "127.0.0.1:\d+"', 'unicast = "127.0.0.1:9"', text)
    path = tmp_path / "silent.toml"
    path.write_text(text)
    return path


def eventually(what: str, is_so: Callable[[], bool]) -> None:
    """Looks until it is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"not in {PATIENCE_S} s: {what}"


def publish_all(handle: lockstep.Publisher | lockstep.Participant, publisher: int, payloads: list[bytes]) -> list[int]:
    """Publishes all, and waits for their commit; their numbers."""
    numbers = [handle.publish(publisher, payload, timeout=PATIENCE_S) for payload in payloads]
    assert handle.drain(PATIENCE_S)
    return numbers
