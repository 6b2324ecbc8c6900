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


@dataclass(frozen=True)
class DevCluster:
    """Three replicas on this host, of which one leads."""

    config: Path
    """The cluster's file, for LOCKSTEP_CONFIG of a program that is tested."""

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint of that file."""
        return Endpoint.from_file(self.config)


def _file_of(process: subprocess.Popen[str], timeout: float) -> str | None:
    """The cluster's file, once a replica leads; None if the process has ended before."""
    found: list[str] = []

    def read() -> None:
        assert process.stdout is not None
        lines = (line.strip() for line in process.stdout)
        found.extend(next(([line.removeprefix(_FILE)] for line in lines if line.startswith(_FILE)), []))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(timeout)
    if reader.is_alive():
        process.kill()  # its replicas end with it
        raise TimeoutError(f"no replica leads within {timeout} s; stderr says why")
    return found[0] if found else None


@contextmanager
def running_cluster(*flags: str, timeout: float = 60.0) -> Iterator[DevCluster]:
    """A cluster with a stream that begins, until the end of the `with`; `flags` are those of `lockstep dev`, e.g.
    `"--set", "stream.message_len_max=1024"`. What the replicas log goes to stderr. FileNotFoundError: the program
    `lockstep` is not in the PATH. RuntimeError: it runs no cluster here. TimeoutError: no replica leads within the timeout
    in seconds."""
    program = shutil.which("lockstep")
    if program is None:
        raise FileNotFoundError("the program `lockstep` is not in the PATH")
    command = [program, "dev", "--until-stdin-ends", *flags]
    # Its end closes stdin, with which the cluster ends, and waits.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        config = _file_of(process, timeout)
        if config is None:
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
