"""What an input costs in Python beside Rust: a machine core applies messages to the counter of docs/APPLY.md in both, in
turn. It needs no cluster."""

import argparse
from statistics import median

import lockstep
from counter import Counter
from lockstep import Input, Output, _native


class Nothing(Counter):
    """It ignores what it is sent, but for the message that the loop reads back."""

    def apply(self, input: Input, output: Output) -> None:
        output.publish(b"", lockstep.CHANNELS + 1)


arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--messages", type=int, default=200_000)
arguments.add_argument("--rounds", type=int, default=7)
given = arguments.parse_args()
rows: dict[str, list[float]] = {"Rust": [], "Python": [], "Python, one output and no more": []}
for _ in range(given.rounds):
    for row, factory in zip(rows.values(), [None, Counter, Nothing]):
        row.append(_native.apply_cost(factory, given.messages))
for language, costs in rows.items():
    print(f"{language}: {median(costs):.0f} ns/message [{min(costs):.0f}-{max(costs):.0f}]")
