"""No leak: what a program drops is free again."""

import gc
import os
import sys

import lockstep
import numpy as np
from lockstep import Kind

MESSAGES = int(os.environ.get("LOCKSTEP_BINDINGS_MESSAGES", "1000000"))
SLACK_BYTES = 8 << 20
"""Pages that the allocator takes late."""


def resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def pass_messages(participant: lockstep.Participant, publisher: int, count: int) -> None:
    """Publishes and receives so many, half of them as objects, half by numpy."""
    published = received = 0
    payload = bytes(64)
    while received < count:
        try:
            while published < count:
                participant.publish(publisher, payload)
                published += 1
        except lockstep.BackpressureError:
            pass
        batch = participant.poll_batch(8192, timeout=10.0)
        rows = np.frombuffer(memoryview(batch), dtype=lockstep.EVENT_DTYPE)
        if received % 2 == 0:
            received += sum(event.kind == Kind.MESSAGE and len(event.payload) == 64 for event in batch)
        else:
            received += int((rows["kind"] == Kind.MESSAGE).sum())


def test_memory_is_flat_while_messages_pass(endpoint: lockstep.Endpoint, name: str) -> None:
    with lockstep.Participant(endpoint) as participant:
        participant.begin()
        publisher = participant.open(name)
        pass_messages(participant, publisher, MESSAGES)
        gc.collect()
        resident, blocks = resident_bytes(), sys.getallocatedblocks()
        pass_messages(participant, publisher, MESSAGES)
        gc.collect()
        assert resident_bytes() - resident < SLACK_BYTES
        assert sys.getallocatedblocks() - blocks < 1000
