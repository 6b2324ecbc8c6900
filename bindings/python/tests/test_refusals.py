"""Wrong uses are refused by a class and a text; they need no cluster."""

import os
import pickle
import random
from pathlib import Path

import lockstep
import pytest


def test_kinds_are_those_of_the_library() -> None:
    from lockstep import _native

    assert {kind.name: kind.value for kind in lockstep.Kind} == dict(_native.KINDS)
    assert all(kind.name in lockstep.Kind.__members__ for kind in lockstep.ENDING_KINDS)


def test_numpy_is_imported_by_its_users_alone() -> None:
    import subprocess
    import sys

    code = "import lockstep, lockstep.aio, sys; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_missing_file_is_named() -> None:
    paths: list[str | Path] = ["/nowhere/lockstep.toml", Path("/nowhere/lockstep.toml")]
    for path in paths:
        with pytest.raises(lockstep.ConfigError, match="/nowhere/lockstep.toml"):
            lockstep.Endpoint.from_file(path)


def test_the_variable_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_CONFIG", "/elsewhere/lockstep.toml")
    with pytest.raises(lockstep.ConfigError, match="/elsewhere/lockstep.toml"):
        lockstep.Endpoint.from_env()


def test_wrong_configurations_are_refused_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text("cluster = 1\nclutser = 2\n")
    with pytest.raises(lockstep.ConfigError, match="clutser"):
        lockstep.Endpoint.from_file(path)
    draw = random.Random(7)
    for _ in range(200):
        path.write_bytes(draw.randbytes(draw.randrange(300)))
        with pytest.raises(lockstep.ConfigError):
            lockstep.Endpoint.from_file(path)


def test_a_config_error_is_a_value_error_of_lockstep() -> None:
    assert issubclass(lockstep.ConfigError, (lockstep.LockstepError, ValueError))
    assert issubclass(lockstep.BackpressureError, lockstep.PublishError)
    assert issubclass(lockstep.TimedOutError, TimeoutError)


def test_a_cursor_file_has_what_was_saved_and_one_reader_and_is_refused_where_it_has_no_cursor(tmp_path: Path) -> None:
    path, cursor = tmp_path / "reader.cursor", lockstep.Cursor(0x1F, 7, 0x2A)
    with lockstep.CursorFile(path) as file:
        assert file.path == path and file.cursor is None and not file.closed
        assert file.start_or("oldest") == "oldest" and file.start_or(1) == 1
        file.save(cursor)
        assert file.cursor == file.start_or(1) == cursor
        with pytest.raises(lockstep.InUseError, match=f"process {os.getpid()} has it open"):
            lockstep.CursorFile(str(path))
        for wrong in [None, str(cursor), 7]:
            with pytest.raises(lockstep.ArgumentError, match="is no Cursor"):
                file.save(wrong)  # type: ignore[arg-type]
        with pytest.raises(lockstep.ArgumentError, match="'tomorrow'"):
            file.start_or("tomorrow")  # type: ignore[arg-type]
    assert file.closed
    file.close()
    with pytest.raises(lockstep.ClosedHandleError):
        file.save(cursor)
    with lockstep.CursorFile(path) as file:
        assert file.cursor == cursor and path.read_text() == f"{cursor}\n"
    path.write_text(str(cursor)[:-1])
    with pytest.raises(lockstep.ArgumentError, match=f"{path}.*no whole cursor"):
        lockstep.CursorFile(path)
    with pytest.raises(lockstep.IoError, match="nowhere/cursor"):
        lockstep.CursorFile("/nowhere/cursor")


def test_texts_that_are_no_cursor_are_refused() -> None:
    with pytest.raises(ValueError, match="'here' is no cursor"):
        lockstep.Cursor.parse("here")
    draw = random.Random(7)
    for _ in range(1000):
        text = "".join(draw.choice("0123456789abcdefg:- \u00e9\0") for _ in range(draw.randrange(60)))
        try:
            cursor = lockstep.Cursor.parse(text)
        except ValueError:
            continue
        assert lockstep.Cursor.parse(str(cursor)) == cursor


def test_a_cursor_survives_text_and_pickle() -> None:
    cursor = lockstep.Cursor.parse("1f:7:2a")
    assert (cursor.history, cursor.seq, cursor.chain) == (0x1F, 7, 0x2A)
    assert lockstep.Cursor.parse(str(cursor)) == cursor
    assert pickle.loads(pickle.dumps(cursor)) == cursor
    assert cursor == lockstep.Cursor(0x1F, 7, 0x2A) and hash(cursor) == hash(lockstep.Cursor(0x1F, 7, 0x2A))
    assert cursor != lockstep.Cursor(0x1F, 8, 0x2A) and cursor != "1f:7:2a"
    with pytest.raises(OverflowError):
        lockstep.Cursor(1 << 64, 1, 1)
    with pytest.raises(TypeError):
        cursor < cursor  # type: ignore[operator]


def test_handles_are_made_of_an_endpoint_alone() -> None:
    for handle in [lockstep.Subscriber, lockstep.Publisher, lockstep.Participant]:
        with pytest.raises(TypeError):
            handle("lockstep.toml")
        with pytest.raises(TypeError):
            handle(None)


def test_events_and_batches_are_made_by_handles_alone() -> None:
    for made in [lockstep.Event, lockstep.Batch, lockstep.Endpoint]:
        with pytest.raises(TypeError):
            made()


def test_folders_that_are_no_journal_are_refused(tmp_path: Path) -> None:
    with pytest.raises(lockstep.JournalError, match="nowhere"):
        lockstep.Journal("/nowhere")
    with pytest.raises(lockstep.JournalError, match=str(tmp_path)):
        lockstep.Journal(tmp_path)
    (tmp_path / "segments").mkdir()
    draw = random.Random(7)
    for index in range(20):
        (tmp_path / "segments" / f"{index:020}.log").write_bytes(draw.randbytes(4096))
    try:
        assert list(lockstep.Journal(tmp_path)) == []
    except lockstep.JournalError as error:
        assert str(tmp_path) in str(error)


def _start(tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch, timeout: float) -> None:
    """Starts a cluster with this script in the place of `lockstep`."""
    from lockstep.testing import running_cluster

    program = tmp_path / "lockstep"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with running_cluster(timeout=timeout):
        pytest.fail("there is a cluster")


def test_a_start_of_a_cluster_ends_in_its_time_with_what_has_become_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TimeoutError, match="has no leader after 0.3 s, and was ended"):
        _start(tmp_path, "echo three replicas; exec cat 3>&1 >/dev/null", monkeypatch, 0.3)
    with pytest.raises(TimeoutError, match="was ended"):
        _start(tmp_path, "exec sleep 1000", monkeypatch, 0.001)
    with pytest.raises(RuntimeError, match="ended with code 7 before a replica led"):
        _start(tmp_path, "exit 7", monkeypatch, 60.0)
    with pytest.raises(RuntimeError, match="before a replica led"):
        _start(tmp_path, "exec cat >/dev/null", monkeypatch, 60.0)
    monkeypatch.setenv("PATH", "/nonexistent")
    from lockstep.testing import running_cluster

    with pytest.raises(FileNotFoundError, match="not in the PATH"), running_cluster():
        pass
