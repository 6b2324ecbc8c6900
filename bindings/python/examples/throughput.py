"""How many messages of 64 bytes a Python process receives in a second, in batches that numpy looks at.

A second process publishes. On a machine with few cores both, and the replica, share them: so the script prints what a
second of this process's CPU time brings as well.

    LOCKSTEP_CONFIG=cluster.toml python throughput.py --messages 5000000
"""

import argparse
import multiprocessing
import os
import time

import lockstep
import numpy as np
from lockstep import Kind

PAYLOAD = bytes(64)


def publish(name: str, count: int) -> None:
    """Publishes so many messages, as fast as the window takes them."""
    with lockstep.Publisher(lockstep.Endpoint.from_env()) as publisher:
        orders = publisher.open(name)
        for number in range(count):
            publisher.publish(orders, PAYLOAD, timeout=60.0)
            if number % 4_096 == 0:
                publisher.poll_batch(1 << 16)
        assert publisher.drain(60.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with lockstep.Subscriber(lockstep.Endpoint.from_env()) as subscriber:
        subscriber.begin()
        context = multiprocessing.get_context("spawn")
        publishing = context.Process(target=publish, args=(f"throughput-{os.getpid()}", arguments.messages))
        publishing.start()
        received = batches = bytes_received = 0
        began = cpu_began = 0.0
        while received < arguments.messages:
            batch = subscriber.poll_batch(1 << 16, timeout=30.0)
            rows = np.frombuffer(memoryview(batch), dtype=lockstep.EVENT_DTYPE)
            messages = rows[rows["kind"] == Kind.MESSAGE]
            if received == 0 and len(messages) > 0:
                began, cpu_began = time.perf_counter(), time.process_time()
            assert len(rows) > 0, f"nothing has come for 30 s; {received} messages were received"
            assert (messages["payload_len"] == len(PAYLOAD)).all()
            received += len(messages)
            bytes_received += int(messages["payload_len"].sum())
            batches += 1
        took, cpu = time.perf_counter() - began, time.process_time() - cpu_began
        publishing.join()
        print(f"{received} messages, {bytes_received} B, in {batches} batches")
        print(f"{received / max(took, 1e-9):,.0f} messages/s in {took:.2f} s")
        print(f"{received / max(cpu, 1e-9):,.0f} messages/s of this process's CPU time, {cpu:.2f} s")


if __name__ == "__main__":
    main()
