"""Clusters for tests of programs: `lockstep dev` as a process, for as long as a test runs.

`pytest_plugins = ["lockstep.testing"]`, in a `conftest.py` or in a module of tests, gives the fixture `dev_cluster`.
"""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lockstep._native import Endpoint

_FILE = "export LOCKSTEP_CONFIG="
_START_TIMEOUT_S = 120.0
"""How long a start may take. `lockstep dev` itself waits for a leader half as long."""
_END_TIMEOUT_S = 5.0
"""How long a cluster that is late has to end by itself."""


@dataclass(frozen=True)
class DevCluster:
    """Three replicas on this host, of which one leads."""

    config: Path
    """The cluster's file, for LOCKSTEP_CONFIG of a program that is tested."""

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint of that file."""
        return Endpoint.from_file(self.config)


def _end(process: subprocess.Popen[str]) -> None:
    """Ends a cluster that nobody will have: it removes its folder, if it ends by itself."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()


@contextmanager
def running_cluster(*flags: str, timeout: float = _START_TIMEOUT_S) -> Iterator[DevCluster]:
    """A cluster with a stream that begins, until the end of the `with`; `flags` are those of `lockstep dev`, e.g.
    `"--set", "stream.message_len_max=1024"`. What the replicas log goes to stderr. FileNotFoundError: the program
    `lockstep` is not in the PATH. TimeoutError: no replica leads within `timeout` seconds. RuntimeError: it runs no
    cluster here."""
    program = shutil.which("lockstep")
    if program is None:
        raise FileNotFoundError("the program `lockstep` is not in the PATH")
    command = [program, "dev", "--until-stdin-ends", *flags]
    # Its end closes stdin, with which the cluster ends, and waits.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        is_late = threading.Event()

        def be_late() -> None:
            is_late.set()
            _end(process)

        timer = threading.Timer(timeout, be_late)
        timer.start()
        lines = (line.strip() for line in process.stdout)
        config = next((line.removeprefix(_FILE) for line in lines if line.startswith(_FILE)), None)
        timer.cancel()
        timer.join()
        if is_late.is_set():
            raise TimeoutError(f"`lockstep dev` has no leader after {timeout} s, and was ended; stderr says why")
        if config is None:
            _end(process)
            code = process.wait()
            raise RuntimeError(f"`lockstep dev` ended with code {code} before a replica led; stderr says why")
        yield DevCluster(Path(config))


@pytest.fixture
def dev_cluster() -> Iterator[DevCluster]:
    """A cluster of the test's own. Where the program `lockstep` is not in the PATH, the test is skipped."""
    if shutil.which("lockstep") is None:
        pytest.skip("the program `lockstep` is not in the PATH")
    with running_cluster() as cluster:
        yield cluster
