"""Replicas of machines beside a cluster of one sequencer."""

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from socket import socket
from typing import Any

import lockstep
import pytest
from conftest import PATIENCE_S, eventually, publish_all
from lockstep import App, Input, InputKind, Kind, Machine, Output

APPLY = Path(__file__).parents[3] / "docs/APPLY.md"
TOTALS = lockstep.CHANNELS + 1
LINES_MAX = 25
CHANNELS = count(100 + os.getpid() % 10_000 * 100, 2)


def python_of(chapter: Path) -> list[str]:
    """The programs of Python in a document."""
    return re.findall(r"```python\n(.*?)```", chapter.read_text(), re.DOTALL)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The machine of the documentation, as a user copies it."""
    text = python_of(APPLY)[0]
    assert len(text.splitlines()) <= LINES_MAX
    path = tmp_path / "counter.py"
    path.write_text(text)
    return path


@contextmanager
def running(*command: object, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A replica in a process of its own; its lines go to a file, which `lines_of` reads."""
    log = cwd / "replica.log"
    with log.open("a") as lines:
        child = subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=cwd,
            stderr=lines,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def lines_of(folder: Path) -> str:
    return (folder / "replica.log").read_text()


def outputs(participant: lockstep.Participant, count: int) -> list[bytes]:
    """The next outputs of a counter, so many."""
    found: list[bytes] = []
    for message in lockstep.messages(participant, timeout=PATIENCE_S):
        if message.destination == TOTALS:
            found.append(message.payload)
        if len(found) == count:
            break
    return found


def total(output: bytes) -> int:
    return int(output.removeprefix(b"total "))


def messages_so_far(endpoint: lockstep.Endpoint) -> int:
    """Messages to everybody that other tests have published: a new machine counts them as well."""
    with lockstep.Subscriber(endpoint, start=1) as subscriber:
        kinds = iter(lambda: subscriber.next_event(PATIENCE_S), None)
        count = 0
        for event in kinds:
            count += event.kind == Kind.MESSAGE and event.destination == lockstep.EVERYBODY
            if event.kind == Kind.CAUGHT_UP:
                break
        return count


def turn_until(app: App, what: str, is_so: Callable[[], bool]) -> None:
    """Turns until it is so."""

    def has_turned() -> bool:
        if app.turn() == 0:
            app.wait(0.01)
        return is_so()

    eventually(what, has_turned)


# ---------------------------------------------------------------------------- run


def test_the_machine_of_the_documentation_runs_as_it_stands_there(
    endpoint: lockstep.Endpoint, participant: lockstep.Participant, program: Path, name: str
) -> None:
    orders = participant.open(name)
    with running(program, 1, cwd=program.parent) as child:
        expected = messages_so_far(endpoint) + 3
        publish_all(participant, orders, [b"1", b"2", b"3"])
        found = outputs(participant, 1)
        while found[-1] != b"quiet at %d" % expected:
            found += outputs(participant, 1)
        assert found[-4:-1] == [b"total %d" % number for number in range(expected - 2, expected + 1)]
        assert child.poll() is None
        asked = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert child.wait(PATIENCE_S) != 0 and time.monotonic() - asked < 5
    lines = lines_of(program.parent)
    assert "KeyboardInterrupt" in lines and "copy 1 of counter, version 1, has read the stream up to its end" in lines


def test_each_output_is_in_the_stream_once_whoever_dies_and_all_copies_have_one_state(
    endpoint: lockstep.Endpoint, participant: lockstep.Participant, program: Path, name: str, tmp_path: Path
) -> None:
    orders = participant.open(f"{name}-orders")
    folders = {number: tmp_path / f"{number}" for number in [1, 2, 3]}
    script = Path(__file__).with_name("replica.py")

    def replica(number: int) -> Any:
        folders[number].mkdir(exist_ok=True)
        return running(script, program, name, number, folders[number], cwd=folders[number])

    def has_read(starts: list[str]) -> bool:
        return any("has read the stream up to its end" in start for start in starts)

    found: list[int] = []
    expected = messages_so_far(endpoint)

    def publish_and_read(count: int) -> None:
        nonlocal expected
        expected += count
        publish_all(participant, orders, [b"%d" % number for number in range(count)])
        while not found or found[-1] < expected:
            [output] = outputs(participant, 1)
            found.extend([total(output)] if output.startswith(b"total") else [])

    with replica(2) as second:
        with replica(1) as first:
            publish_and_read(100)
            eventually("a snapshot", lambda: any(folders[1].glob("*.snapshot")))
            first.send_signal(signal.SIGKILL)
            assert first.wait() == -signal.SIGKILL
        publish_and_read(100)
        with replica(1):
            eventually("it is back", lambda: has_read(lines_of(folders[1]).split("begins at seq")[2:]))
            second.kill()
            second.wait()
            publish_and_read(100)
            eventually("a snapshot", lambda: lines_of(folders[1]).count("snapshot of") > 2)
    assert found == list(range(1, expected + 1)), "each once, in order"
    begun = [int(seq) for seq in re.findall(r"begins at seq (\d+)", lines_of(folders[1]))]
    assert begun[0] == 1 and begun[1] > 1, "its second start has begun with a snapshot"
    # One goes on from a snapshot, and one reads the stream from its beginning.
    counter = runpy.run_path(str(program))["Counter"]
    with (
        App(counter, name, 1, folders[1], endpoint=endpoint, digest_every=10) as restored,
        App(counter, name, 3, folders[3], endpoint=endpoint, digest_every=10, snapshot_mode="never") as fresh,
    ):
        assert restored.next > 1 and fresh.next == 1

        def are_level() -> bool:
            restored.turn()
            fresh.turn()
            is_read = restored.is_caught_up and fresh.is_caught_up and restored.is_drained and fresh.is_drained
            return is_read and restored.next == fresh.next

        eventually("both have read all", are_level)
        assert restored.digest == fresh.digest and restored.machine.snapshot() == fresh.machine.snapshot()
        assert (restored.partings, fresh.partings, restored.is_shadow) == (0, 0, False)
        assert total(b"total %d" % sum(fresh.machine.counts.values())) == found[-1]  # type: ignore[attr-defined]


def test_ctrl_c_ends_a_replica_whose_cluster_does_not_answer(silent_config: Path, program: Path) -> None:
    config = f"import os; os.environ['LOCKSTEP_CONFIG'] = {str(silent_config)!r}; import runpy; print(1, flush=True)"
    code = f"{config}; import sys; sys.argv[1:] = ['1']; runpy.run_path({str(program)!r}, run_name='__main__')"
    with running("-c", code, cwd=program.parent) as child:
        time.sleep(1)  # it may wait by now; where it does not yet, it is interrupted all the same
        assert child.poll() is None, lines_of(program.parent)
        asked = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert child.wait(PATIENCE_S) != 0 and time.monotonic() - asked < 5
    assert "KeyboardInterrupt" in lines_of(program.parent)


def test_the_trial_of_the_documentation_finds_nothing_in_its_machine(program: Path) -> None:
    test = program.with_name("test_counter.py")
    trial = python_of(APPLY)[1]
    assert "seeds=20)" in trial
    test.write_text(trial.replace("seeds=20)", "seeds=5)"))
    command = [sys.executable, "-m", "pytest", "-q", str(test)]
    # A trial computes, and other tests do so beside it.
    run = subprocess.run(command, cwd=program.parent, capture_output=True, text=True, timeout=5 * PATIENCE_S)
    assert run.returncode == 0 and "1 passed" in run.stdout, run.stdout


# ---------------------------------------------------------------------------- exceptions


class Fragile(Machine):
    """It echoes what is sent to its channel, to the next one, and fails where that is bad."""

    def __init__(self, destination: int) -> None:
        self.destination = destination
        self.applied: list[str] = []
        self.is_bad = False

    def apply(self, input: Input, output: Output) -> None:
        if input.kind != InputKind.MESSAGE or input.destination != self.destination:
            return
        self.applied.append(input.payload.decode())
        output.publish(b"echo " + input.payload, self.destination + 1)
        if input.payload == b"bad":
            raise LookupError("a bad message")
        self.is_bad |= input.payload == b"bad snapshot"

    def snapshot(self) -> bytes:
        if self.is_bad:
            raise LookupError("a bad state")
        return json.dumps(self.applied).encode()

    def restore(self, state: bytes) -> None:
        self.applied = json.loads(state)

    def query(self, request: bytes) -> bytes:
        return b"%d" % self.applied.index(request.decode())


@pytest.fixture
def channel() -> int:
    """A channel that no other test publishes to, nor to the next one: as a destination."""
    return lockstep.CHANNELS + next(CHANNELS)


class Sender:
    """Publishes to a channel."""

    def __init__(self, participant: lockstep.Participant, name: str, channel: int) -> None:
        self.participant = participant
        self.publisher = participant.open(f"{name}-orders")
        self.channel = channel

    def send(self, *payloads: bytes) -> None:
        for payload in payloads:
            self.participant.publish(self.publisher, payload, self.channel)
        assert self.participant.drain(PATIENCE_S)


@pytest.fixture
def sender(participant: lockstep.Participant, name: str, channel: int) -> Sender:
    return Sender(participant, name, channel)


def test_an_exception_in_apply_ends_the_replica_and_nothing_of_that_input_is_published(
    endpoint: lockstep.Endpoint, sender: Sender, name: str, tmp_path: Path
) -> None:
    app = App(partial(Fragile, sender.channel), name, 1, tmp_path, endpoint=endpoint)
    machine = app.machine
    assert isinstance(machine, Fragile)
    sender.send(b"good")
    turn_until(app, "the output", lambda: machine.applied == ["good"] and app.is_drained)
    sender.send(b"bad", b"behind")
    with pytest.raises(LookupError, match="a bad message") as raised:
        turn_until(app, "it fails", lambda: False)
    assert traceback.extract_tb(raised.value.__traceback__)[-1].name == "apply"
    assert any("the machine has failed: apply of the input of seq" in note for note in raised.value.__notes__)
    assert machine.applied == ["good", "bad"] and app.closed
    with pytest.raises(lockstep.ClosedHandleError):
        app.turn()
    sender.send(b"the end")
    echoes = []
    for message in lockstep.messages(sender.participant, timeout=PATIENCE_S):
        echoes += [message.payload] if message.destination == sender.channel + 1 else []
        if message.payload == b"the end":
            break
    assert echoes == [b"echo good"]


def test_an_exception_in_apply_ends_run_with_its_traceback(
    endpoint: lockstep.Endpoint, sender: Sender, name: str, tmp_path: Path
) -> None:
    sender.send(b"bad")
    with pytest.raises(LookupError, match="a bad message") as raised:
        lockstep.run(partial(Fragile, sender.channel), name, 1, tmp_path, endpoint=endpoint)
    assert traceback.extract_tb(raised.value.__traceback__)[-1].name == "apply"


def test_an_exception_in_snapshot_or_restore_or_the_factory_is_raised(
    endpoint: lockstep.Endpoint, sender: Sender, name: str, tmp_path: Path
) -> None:
    class Forgets(Fragile):
        def restore(self, state: bytes) -> None:
            raise LookupError("nothing to restore")

    class Absent(Fragile):
        def __init__(self, destination: int) -> None:
            raise LookupError("no machine")

    class Newer(Fragile):
        VERSION = 2

    def replica(machine: type[Fragile]) -> App:
        return App(partial(machine, sender.channel), name, 1, tmp_path, endpoint=endpoint, snapshot_every=50)

    app = replica(Fragile)
    begin = sender.participant.deliver_next
    sender.send(*[b"good"] * 60)
    turn_until(app, "a snapshot", lambda: app.saved_next > begin and app.is_drained)
    with pytest.raises(lockstep.ReplicaError, match="as this replica: each needs a number of its own"):
        with replica(Fragile) as again:
            assert again.next > begin, "it is restored"
            turn_until(app, "it is fenced", lambda: False)
    for machine, why in [(Forgets, "nothing to restore"), (Absent, "no machine")]:
        with pytest.raises(LookupError, match=why):
            replica(machine)
    with replica(Newer) as newer:
        assert newer.next == 1, "a snapshot of another version is not restored"
    app = replica(Fragile)
    sender.send(b"bad snapshot", *[b"good"] * 60)
    with pytest.raises(LookupError, match="a bad state"):
        turn_until(app, "it fails", lambda: False)
    assert app.closed


def test_a_query_is_answered_by_the_machine_and_its_exception_ends_nothing(
    endpoint: lockstep.Endpoint, channel: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    with socket() as port:
        port.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % port.getsockname()[1]

    class Answers(Fragile):
        def apply(self, input: Input, output: Output) -> None:
            self.applied = ["zero", "one"]

    def ask(request: bytes) -> bytes:
        ask = f"import sys, urllib.request as u; print(u.urlopen('http://{address}/query', {request!r}, 30).read().decode())"
        child = subprocess.Popen([sys.executable, "-c", ask], stdout=subprocess.PIPE)
        turn_until(app, "an answer", lambda: child.poll() is not None)
        return child.communicate()[0].strip()

    with App(partial(Answers, channel), name, 1, tmp_path, endpoint=endpoint, serve=address) as app:
        turn_until(app, "it has read", lambda: app.is_caught_up and app.is_drained)
        assert ask(b"one") == b"1"
        assert ask(b"two") == b"" and [type(found.exc_value) for found in unraisable] == [ValueError]
        assert ask(b"zero") == b"0"


# ---------------------------------------------------------------------------- refusals, threads


def test_settings_that_are_none_are_refused(endpoint: lockstep.Endpoint, name: str, tmp_path: Path) -> None:
    factory = partial(Fragile, lockstep.CHANNELS)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"snapshot_modes": 1}, "'snapshot_modes' is no setting of a replica"),
        ({"snapshot_mode": "fork"}, "snapshot_mode 'fork' is no choice: write 'pause' or 'never'"),
        ({"on_divergence": "go"}, "write 'stop' or 'report'"),
        ({"serve": "here"}, "'here' is no address"),
        ({"peers": ["here"]}, "'here' is no address"),
        ({"proof_wait": -1.0}, "timeout -1"),
        ({"delivery": 7}, "lockstep.Delivery"),
        ({"digest_every": "often"}, "int"),
    ]
    for settings, why in wrong:
        with pytest.raises((TypeError, ValueError), match=why):
            App(factory, name, 1, tmp_path, endpoint=endpoint, **settings)
    with pytest.raises(ValueError, match="number 0"):
        App(factory, name, 0, tmp_path, endpoint=endpoint)
    with pytest.raises(OverflowError):
        App(factory, name, 256, tmp_path, endpoint=endpoint)
    with pytest.raises(TypeError, match="no lockstep.Machine"):
        App(object, name, 1, tmp_path, endpoint=endpoint)  # type: ignore[arg-type]


class Limited(Fragile):
    """The same with a limit that comes from elsewhere."""

    def __init__(self, destination: int, limit: int) -> None:
        super().__init__(destination)
        self.limit = limit

    def settings(self) -> str:
        return f"limit {self.limit}"


def test_a_copy_with_other_settings_than_the_first_is_refused_with_both(
    endpoint: lockstep.Endpoint, sender: Sender, name: str, tmp_path: Path
) -> None:
    def copy(number: int, limit: int) -> App:
        folder = tmp_path / str(number)
        return App(partial(Limited, sender.channel, limit), name, number, folder, endpoint=endpoint)

    with copy(1, 100) as first, copy(2, 200) as second:
        sender.send(b"good")
        turn_until(first, "the output", lambda: first.is_caught_up and first.is_drained)
        with pytest.raises(lockstep.ReplicaError, match="'limit 200', and replica 1, .*'limit 100'"):
            turn_until(second, "it is refused", lambda: False)
        first.turn()


def test_other_threads_run_while_a_replica_waits(endpoint: lockstep.Endpoint, name: str, tmp_path: Path) -> None:
    code = f"""
import sys, threading, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import _thread, lockstep, test_machine
def count():
    counted = 0
    until = time.monotonic() + 3
    while time.monotonic() < until:
        time.sleep(0.001)
        counted += 1
    print(counted)
    _thread.interrupt_main()
threading.Thread(target=count).start()
try:
    lockstep.run(lambda: test_machine.Fragile(lockstep.CHANNELS), {name!r}, 1, {str(tmp_path)!r})
except KeyboardInterrupt:
    print("interrupted")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S)
    counted, end = run.stdout.split()
    assert int(counted) > 300 and end == "interrupted", run.stderr
