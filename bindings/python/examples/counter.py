"""A replicated counter: the machine of docs/APPLY.md in Python. `python counter.py NUMBER` is a replica of it."""

import json, sys
import lockstep
from lockstep import Input, InputKind, Output

class Counter(lockstep.Machine):
    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def apply(self, input: Input, output: Output) -> None:
        if input.kind == InputKind.MESSAGE and input.destination == lockstep.EVERYBODY:
            self.counts[input.publisher] = self.counts.get(input.publisher, 0) + 1
            output.publish(b"total %d" % sum(self.counts.values()), lockstep.CHANNELS + 1)
            output.timer_after(1, 2_000_000_000)
        elif input.kind == InputKind.TIMER:
            output.publish(b"quiet at %d" % sum(self.counts.values()), lockstep.CHANNELS + 1)

    def snapshot(self) -> bytes:
        return json.dumps(sorted(self.counts.items())).encode()

    def restore(self, state: bytes) -> None:
        self.counts = dict(json.loads(state))

if __name__ == "__main__":
    lockstep.run(Counter, "counter", int(sys.argv[1]), f"counter-{sys.argv[1]}")
