"""Machines before their judges: errors that are planted are found, and a machine without one stands. No cluster is
needed."""

import re
import subprocess
import sys
import traceback
from collections.abc import Callable

import lockstep
import planted
import pytest
from lockstep import DisconnectReason, Input, InputKind, Machine, Output

SEEDS = 3


def trial(factory: Callable[[], Machine], other_hash_seed: bool = True) -> lockstep.TrialReport:
    return lockstep.trial(factory, planted.sends, seeds=SEEDS, other_hash_seed=other_hash_seed)


# ---------------------------------------------------------------------------- reports


def test_a_machine_without_an_error_stands_and_the_report_says_how_much_of_it_was_run() -> None:
    report = lockstep.trial(planted.Ledger, planted.sends, invariant=planted.is_sound, seeds=SEEDS)
    coverage = report.coverage
    assert report.seeds == SEEDS and report.inputs_judged > 0 and report.last_seed >= SEEDS
    assert coverage.messages > 0 and coverage.outputs > coverage.messages and coverage.sessions > 0
    assert coverage.timers_set > coverage.timers_fired > 0 and coverage.restored > 0
    assert re.fullmatch(rf"{SEEDS} seeds, \d+ states judged: .*", str(report))
    assert str(report) in repr(report)


def test_twins_that_are_the_same_are_reported_too() -> None:
    report = lockstep.twice(planted.Ledger, planted.messages(40), invariant=planted.is_sound)
    coverage = report.coverage
    assert (report.inputs_judged, coverage.messages, coverage.timers_set) == (40, 40, 40)
    assert (coverage.timers_fired, coverage.outputs, coverage.restored) == (1, 41, 41)
    seldom = lockstep.twice(planted.Ledger, planted.messages(40), every=20)
    assert seldom.coverage.restored == 2


def test_a_timer_fires_before_the_first_input_at_its_time() -> None:
    inputs = planted.messages(2)
    late = Input(InputKind.MESSAGE, 3, planted.REMIND_AFTER_NS * 2, publisher=9, payload=b"late")
    assert lockstep.twice(planted.Ledger, [*inputs, late]).coverage.timers_fired == 2


# ---------------------------------------------------------------------------- planted errors

BY_TWIN: dict[type[Machine], str] = {
    planted.Clock: "effect 1 is .* the second time",
    planted.Dice: "effect 1 is .* the second time",
    planted.Forgets: "the restored state differs from the saved one",
    planted.TimersOutput: r"Timer \{ key: 1, .*: effect 1 is",
    planted.Outside: "effect 1 is .* the second time",
    planted.Drops: "effect 1 is .* none the second time",
    planted.Address: "effect 1 is .* the second time",
}


@pytest.mark.parametrize("machine", BY_TWIN)
def test_a_planted_error_is_found_by_a_trial_and_by_a_twin(machine: type[Machine]) -> None:
    with pytest.raises(lockstep.TrialError, match=BY_TWIN[machine]) as found:
        lockstep.twice(machine, planted.messages(40))
    assert "at the input of seq" in str(found.value)
    with pytest.raises(lockstep.TrialError, match="MACHINE: ") as failed:
        trial(machine, other_hash_seed=False)
    assert re.search(r"again: first=\d+, seeds=1$", str(failed.value))


def test_the_order_of_a_set_is_found_by_the_process_with_another_hash_seed() -> None:
    lockstep.twice(planted.SetOrder, planted.messages(40))
    with pytest.raises(lockstep.TrialError, match="another hash seed") as found:
        trial(planted.SetOrder)
    here, there = re.findall(r"(?:here|there): +(.*)", str(found.value))
    assert here != there and here[:8] == there[:8] and " to " in here


def test_the_seed_of_a_failure_fails_again_with_a_story() -> None:
    with pytest.raises(lockstep.TrialError) as first:
        trial(planted.Drops, other_hash_seed=False)
    seed = int(re.findall(r"again: first=(\d+)", str(first.value))[0])
    with pytest.raises(lockstep.TrialError, match=f"seed {seed} fails at step") as again:
        lockstep.trial(planted.Drops, planted.sends, seeds=1, first=seed)
    assert len(str(again.value).splitlines()) > 5, "a story"


def test_timers_that_never_fire_are_an_error() -> None:
    never = "none of .* timers that were set has ever fired"
    with pytest.raises(lockstep.TrialError, match=never):
        trial(planted.NeverFires, other_hash_seed=False)
    with pytest.raises(lockstep.TrialError, match=never):
        lockstep.twice(planted.NeverFires, planted.messages(40))


# ---------------------------------------------------------------------------- exceptions


@pytest.mark.parametrize("judge", ["trial", "twice"])
def test_an_exception_in_apply_is_raised_by_the_judge_with_its_traceback(judge: str) -> None:
    with pytest.raises(LookupError, match="no third message") as raised:
        if judge == "trial":
            trial(planted.Raises, other_hash_seed=False)
        else:
            lockstep.twice(planted.Raises, planted.messages(40))
    assert "answer" in [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert any("the machine has failed: apply of the input of seq" in note for note in raised.value.__notes__)


def test_exceptions_of_all_that_a_judge_calls_are_raised() -> None:
    inputs = planted.messages(40)
    with pytest.raises(LookupError, match="no state"):
        lockstep.twice(planted.RaisesInSnapshot, inputs)
    with pytest.raises(TypeError, match="snapshot returns bytes"):
        lockstep.twice(planted.WrongSnapshot, inputs)
    with pytest.raises(AssertionError, match="five messages are many"):
        lockstep.twice(planted.Ledger, inputs, invariant=planted.counts_few)
    with pytest.raises(AssertionError, match="five messages are many"):
        lockstep.trial(planted.Ledger, invariant=planted.counts_few, seeds=SEEDS, other_hash_seed=False)
    with pytest.raises(LookupError, match="nothing to send"):
        lockstep.trial(planted.Ledger, planted.sends_nothing, seeds=SEEDS, other_hash_seed=False)


def test_what_is_no_machine_is_refused() -> None:
    not_machines: list[object] = [object, lambda: None, dict]
    for factory in not_machines:
        with pytest.raises(TypeError, match="no lockstep.Machine"):
            lockstep.twice(factory, [])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="abstract"):
        lockstep.twice(Machine, [])
    for wrong in [-1, 1 << 32, "1"]:
        version = {"VERSION": wrong}
        with pytest.raises(ValueError, match="VERSION"):
            lockstep.twice(type("Wrong", (planted.Ledger,), version), [])
    with pytest.raises(ValueError, match="every 0"):
        lockstep.twice(planted.Ledger, [], every=0)
    with pytest.raises(TypeError):
        lockstep.twice(planted.Ledger, ["text"])  # type: ignore[list-item]


def test_a_machine_that_another_process_cannot_find_is_refused_with_the_reason() -> None:
    class Local(planted.Ledger):
        pass

    with pytest.raises(TypeError, match="other_hash_seed=False"):
        trial(Local)
    trial(Local, other_hash_seed=False)


def test_ctrl_c_ends_a_trial() -> None:
    code = """
import planted, lockstep, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
class Interrupted(planted.Ledger):
    def answer(self, input):
        if self.counts[input.publisher] == 2:
            signal.raise_signal(signal.SIGINT)
        return super().answer(input)
try:
    lockstep.trial(Interrupted, seeds=1000, other_hash_seed=False)
except KeyboardInterrupt:
    print("interrupted")
"""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=planted.__file__.rsplit("/", 1)[0], capture_output=True, text=True, timeout=60
    )
    assert run.stdout == "interrupted\n", run.stderr


# ---------------------------------------------------------------------------- inputs and outputs


def test_kinds_of_inputs_and_reasons_are_those_of_the_library() -> None:
    from lockstep import _native

    assert {kind.name: kind.value for kind in InputKind} == dict(_native.INPUT_KINDS)
    assert {reason.name: reason.value for reason in DisconnectReason} == dict(_native.DISCONNECT_REASONS)


def test_an_input_has_the_fields_of_its_kind() -> None:
    message = Input(InputKind.MESSAGE, 5, 9, publisher=7, publisher_seq=3, destination=8, user="me", payload=bytearray(b"x"))
    assert message.kind is InputKind.MESSAGE and (message.seq, message.time) == (5, 9)
    assert (message.publisher, message.publisher_seq, message.destination) == (7, 3, 8)
    assert (message.user, message.payload, message.key, message.name) == ("me", b"x", 0, "")
    timer = Input(InputKind.TIMER, 5, 9, key=3, due=8, payload=b"t")
    assert (timer.key, timer.due, timer.payload, timer.user) == (3, 8, b"t", None)
    gone = Input(InputKind.DISCONNECTED, 5, 9, user="me", reason=DisconnectReason.SLOW, cancels=True)
    assert (gone.user, gone.reason, gone.cancels) == ("me", DisconnectReason.SLOW, True)
    assert "seq=5" in repr(gone) and "Slow" in repr(gone)
    for kind in [0, 12]:
        with pytest.raises(ValueError, match="no lockstep.InputKind"):
            Input(kind, 1, 1)
    with pytest.raises(ValueError, match="no lockstep.DisconnectReason"):
        Input(InputKind.DISCONNECTED, 1, 1, user="me")
    with pytest.raises(AttributeError):
        message.seq = 6  # type: ignore[misc]


class Collects(planted.Ledger):
    """It retains the output of an input, and publishes into it at the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: list[Output] = []

    def apply(self, input: Input, output: Output) -> None:
        self.outputs.append(output)

    def snapshot(self) -> bytes:
        if self.outputs:
            self.outputs[0].publish(b"late")
        return b""


def test_an_output_has_its_effects_in_order_and_takes_none_behind_its_input() -> None:
    output = Output(time=100)
    output.publish(b"one")
    output.timer_after(1, 50, b"later")
    output.publish(memoryview(b"two"), 9)
    output.timer_at(2, 7)
    output.cancel(1)
    assert output.published == [(b"one", lockstep.EVERYBODY), (b"two", 9)]
    assert output.timers == [(1, 150, b"later"), (2, 100, b"")] and output.cancelled == [1]
    with pytest.raises(TypeError, match="a payload is bytes"):
        output.publish("text")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="within `apply` alone"):
        lockstep.twice(Collects, planted.messages(2))
