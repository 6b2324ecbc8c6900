"""A machine that is right, and machines with one error each, for test_trial.py: in a module, as a second process imports
them."""

import json
import random
import time
from typing import Any

from lockstep import Input, InputKind, Machine, Output

REMINDER = 1
REMIND_AFTER_NS = 60 * 10**9


class Ledger(Machine):
    """Counts messages by publisher, answers each with the count, and reminds of the newest one."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.words: list[str] = []

    def apply(self, input: Input, output: Output) -> None:
        if input.kind == InputKind.MESSAGE:
            self.counts[input.publisher] = self.counts.get(input.publisher, 0) + 1
            self.words = [*self.words[-7:], input.payload[:8].hex()]
            output.publish(self.answer(input), input.publisher)
            output.timer_after(REMINDER, REMIND_AFTER_NS, input.payload)
        elif input.kind == InputKind.TIMER:
            output.publish(self.reminder(input))

    def answer(self, input: Input) -> bytes:
        return b"%d of %s" % (self.counts[input.publisher], input.payload)

    def reminder(self, input: Input) -> bytes:
        return b"quiet since " + input.payload

    def snapshot(self) -> bytes:
        return json.dumps([sorted(self.counts.items()), self.words]).encode()

    def restore(self, state: bytes) -> None:
        counts, self.words = json.loads(state)
        self.counts = dict(counts)


class Clock(Ledger):
    """A clock in an output."""

    def answer(self, input: Input) -> bytes:
        return b"%d" % time.perf_counter_ns()


class Dice(Ledger):
    """A random number in an output."""

    def answer(self, input: Input) -> bytes:
        return b"%d" % random.getrandbits(64)


class SetOrder(Ledger):
    """The order of a set of texts, which the hash seed of the process decides."""

    def answer(self, input: Input) -> bytes:
        return ",".join(set(self.words)).encode()


class Forgets(Ledger):
    """A field that restore forgets."""

    def restore(self, state: bytes) -> None:
        self.counts = dict(json.loads(state)[0])


class TimersOutput(Ledger):
    """The output of a timer, and of nothing else, differs."""

    def reminder(self, input: Input) -> bytes:
        return b"%d" % time.perf_counter_ns()


class Outside(Ledger):
    """State outside of the machine, which all machines of the process have in common."""

    answered: list[int] = []

    def answer(self, input: Input) -> bytes:
        self.answered.append(input.seq)
        return b"%d" % len(self.answered)


class Drops(Ledger):
    """The first input behind a restore is dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.is_restored = False

    def apply(self, input: Input, output: Output) -> None:
        if self.is_restored:
            self.is_restored = False
        else:
            super().apply(input, output)

    def restore(self, state: bytes) -> None:
        super().restore(state)
        self.is_restored = True


class Address(Ledger):
    """The id of an object in an output."""

    def answer(self, input: Input) -> bytes:
        return b"%d" % id(self)


class NeverFires(Ledger):
    """Each timer is cancelled before it fires."""

    def apply(self, input: Input, output: Output) -> None:
        super().apply(input, output)
        output.cancel(REMINDER)


class Raises(Ledger):
    """It fails at the third message of anybody."""

    def answer(self, input: Input) -> bytes:
        if self.counts[input.publisher] == 3:
            raise LookupError(f"no third message: {input.seq}")
        return super().answer(input)


class RaisesInSnapshot(Ledger):
    """It has no state."""

    def snapshot(self) -> bytes:
        raise LookupError("no state")


class WrongSnapshot(Ledger):
    """Its state is no bytes."""

    def snapshot(self) -> Any:
        return "text"


def sends(user: int, number: int) -> bytes:
    """What a client sends in a trial."""
    return b"message %d of %d" % (number, user)


def sends_nothing(user: int, number: int) -> bytes:
    """Inputs that fail."""
    raise LookupError("nothing to send")


def counts_few(machine: Ledger) -> None:
    """An invariant that does not hold."""
    assert sum(machine.counts.values()) < 5, "five messages are many"


def is_sound(machine: Ledger) -> None:
    """An invariant that holds."""
    assert all(count > 0 for count in machine.counts.values())


def messages(count: int) -> list[Input]:
    """Inputs for `lockstep.twice`: messages of three publishers, a millisecond apart."""
    return [
        Input(InputKind.MESSAGE, seq, seq * 10**6, publisher=7 + seq % 3, publisher_seq=seq, payload=b"m%d" % seq)
        for seq in range(1, count + 1)
    ]
