"""The trial of a machine, with a second process that has another hash seed."""

import multiprocessing
import os
import pickle
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from lockstep._errors import TrialError
from lockstep._machine import Machine
from lockstep._native import TrialReport, run_trial

M = TypeVar("M", bound=Machine)

_VARIABLE = "PYTHONHASHSEED"
_ADVICE = (
    "a trial is run in a second process as well, with another hash seed: define the machine, inputs and invariant in a "
    "module, outside of functions, or pass other_hash_seed=False"
)
_BEFORE = 160
"""Characters that are shown before a difference, ..."""
_BEHIND = 80
"""... and from it on."""


class _OtherProcess:
    """The same trial in another process, which orders sets in another way."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        context = multiprocessing.get_context("spawn")
        self._answer, answer = context.Pipe(duplex=False)
        self._process = context.Process(target=_answer_with, args=(answer, arguments), daemon=True)
        before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = "2" if before == "1" else "1"
        try:
            self._process.start()
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            raise TypeError(f"{error}: {_ADVICE}") from error
        finally:
            answer.close()
            os.environ.pop(_VARIABLE)
            if before is not None:
                os.environ[_VARIABLE] = before

    def answer(self) -> tuple[list[tuple[int, int]], list[str]]:
        """The digests of its seeds, and its lines."""
        try:
            got = self._answer.recv()
        except EOFError:
            raise TypeError(f"the second process has ended: {_ADVICE}") from None
        if isinstance(got, str):
            raise TrialError(f"with another hash seed ({_VARIABLE}) the machine fails, and here it does not: {got}")
        digests, lines = got
        return digests, lines

    def end(self) -> None:
        """Ends it, if it has not ended."""
        self._process.kill()
        self._process.join()
        self._answer.close()


def _answer_with(answer: Connection, arguments: tuple[Any, ...]) -> None:
    """In the other process."""
    try:
        _, digests, lines = run_trial(*arguments)
    except KeyboardInterrupt:
        return  # the first process has it as well
    except Exception as error:
        answer.send(f"{type(error).__name__}: {error}")
    else:
        answer.send((digests, lines))


def _around(own: str, other: str) -> tuple[str, str]:
    """The parts of two lines around the first difference."""
    at = next((at for at, (one, two) in enumerate(zip(own, other)) if one != two), min(len(own), len(other)))
    shown = slice(max(0, at - _BEFORE), at + _BEHIND)
    return own[shown], other[shown]


def _beside(arguments: tuple[Any, ...]) -> tuple[TrialReport, list[tuple[Any, Any]], list[tuple[Any, Any]]]:
    """Runs a trial in both processes: the report, and digests and lines of both."""
    other = _OtherProcess(arguments)
    try:
        report, digests, lines = run_trial(*arguments)
        other_digests, other_lines = other.answer()
        return report, list(zip(digests, other_digests)), list(zip(lines, other_lines))
    finally:
        other.end()


def trial(
    factory: Callable[[], M],
    inputs: Callable[[int, int], bytes] | None = None,
    *,
    invariant: Callable[[M], object] | None = None,
    seeds: int = 100,
    first: int = 1,
    repeated: int = 1,
    other_hash_seed: bool = True,
) -> TrialReport:
    """Runs copies of a machine in simulated clusters, one for each seed, under the faults that lockstep itself is judged
    under: datagrams are lost, replicas crash, leaders are replaced, copies are killed and come back from snapshots. A seed
    gives the same run every time.

    `inputs(user, number)` is what client `user` (from 0) sends as its message `number` (from 1); by default the number.
    `invariant(machine)` is called after each input, and raises where something does not hold. One seed in `repeated` is
    run a second time, and with `other_hash_seed` all of them in a second process, which orders sets and hashes otherwise:
    for it the machine stands in a module.

    TrialError: copies, a copy and its twin, or two runs have parted, or timers were set and none has ever fired; with the
    story of the simplest run. An exception of the machine or the invariant is raised as it is, with that story as a note.
    """
    if not other_hash_seed:
        return run_trial(factory, inputs, invariant, (seeds, first, repeated), False)[0]
    report, digests, _ = _beside((factory, inputs, invariant, (seeds, first, repeated), False))
    parted = next((seed for (seed, own), (_, other) in digests if own != other), None)
    if parted is None:
        return report
    _, _, lines = _beside((factory, inputs, invariant, (1, parted, 1), True))
    own, other = next((_around(own, other) for own, other in lines if own != other), ("equal", "equal"))
    raise TrialError(
        f"MACHINE: with another hash seed ({_VARIABLE}) seed {parted} gives other outputs or states: the machine depends on "
        f"the order of a set, or on a hash\n  here:  {own}\n  there: {other}\n"
        f"again: first={parted}, seeds=1"
    )
