"""The loop of `lockstep-bench languages` in Python:

    loop.py closed WARM_UP_MS MS               prints the nanoseconds of each message, a line each
    loop.py apply WARM_UP_MS MS                prints those of an input in the counter of docs/APPLY.md, likewise
    loop.py read single|batch WARM_UP_MS MS    prints MESSAGES BYTES NANOSECONDS
"""

import sys
from time import perf_counter_ns as now

import lockstep
from lockstep import Kind

MESSAGE_LEN = 64
LIMIT = 256
BATCH_LIMIT = 4096
APPLY_MESSAGES = 2_000
WAIT = 0.001
PATIENCE = 10.0


def run_closed(endpoint, warm_up, time):
    with lockstep.Participant(endpoint) as participant:
        participant.begin(PATIENCE)
        publisher = participant.open("loop", PATIENCE)
        message = b"\x5a" * MESSAGE_LEN
        samples = []
        began = now()
        while True:
            sent = now()
            number = participant.publish(publisher, message)
            is_delivered = False
            while not is_delivered:
                event = participant.next_event(PATIENCE)
                if event is None:
                    raise SystemExit(f"loop.py: message {number} was not delivered within {PATIENCE} s")
                is_delivered = (
                    event.kind == Kind.MESSAGE
                    and event.publisher_seq == number
                    and event.publisher == publisher
                )
            came = now()
            if came - began >= warm_up + time:
                break
            if came - began >= warm_up:
                samples.append(came - sent)
        print("\n".join(map(str, samples)))


def singles(subscriber):
    """Messages and bytes of a poll, each event an object."""
    messages = size = 0
    events = subscriber.events(LIMIT)
    for event in events:
        if event.kind == Kind.MESSAGE:
            messages += 1
            size += len(event.payload)
    return len(events), messages, size


def batches():
    """The same of a batch, whose rows numpy reads in place."""
    import numpy

    row = numpy.dtype(lockstep.EVENT_DTYPE)
    kind = int(Kind.MESSAGE)

    def poll(subscriber):
        batch = subscriber.poll_batch(BATCH_LIMIT)
        if not len(batch):
            return 0, 0, 0
        rows = numpy.frombuffer(batch, dtype=row)
        is_message = rows["kind"] == kind
        return len(batch), int(numpy.count_nonzero(is_message)), int(rows["payload_len"][is_message].sum())

    return poll


def run_read(endpoint, poll, warm_up, time):
    with lockstep.Subscriber(endpoint) as subscriber:
        subscriber.begin(PATIENCE)
        messages = size = messages_before = size_before = 0
        counted = None
        at = began = now()
        while at - began < warm_up + time:
            events, more, bytes_more = poll(subscriber)
            messages += more
            size += bytes_more
            at = now()
            if counted is None and at - began >= warm_up:
                counted, messages_before, size_before = at, messages, size
            if not events:
                subscriber.wait(WAIT)
        print(messages - messages_before, size - size_before, at - counted)


def run_apply(warm_up, time):
    """What an input costs in the counter of docs/APPLY.md, without a cluster."""
    from counter import Counter
    from lockstep import _native

    began = now()
    while (at := now()) - began < warm_up + time:
        cost = _native.apply_cost(Counter, APPLY_MESSAGES)
        if at - began >= warm_up:
            print(round(cost))


def main(words):
    if not (len(words) == 3 and words[0] in ("closed", "apply") or len(words) == 4 and words[0] == "read"):
        raise SystemExit("loop.py: loop.py closed|apply WARM_UP_MS MS, or loop.py read single|batch WARM_UP_MS MS")
    warm_up, time = (int(word) * 1_000_000 for word in words[-2:])
    if words[0] == "apply":
        return run_apply(warm_up, time)
    endpoint = lockstep.Endpoint.from_env()
    if words[0] == "closed":
        run_closed(endpoint, warm_up, time)
    else:
        run_read(endpoint, batches() if words[1] == "batch" else singles, warm_up, time)


if __name__ == "__main__":
    main(sys.argv[1:])
