"""Reads the streams of a set in their one order:

    LOCKSTEP_CONFIG=… python merged.py [START [COUNT]]

START is live, beginning, or what an earlier run has printed behind "resume with", by default live. It ends after COUNT
messages."""

import sys

import lockstep


def read(start: str, left: float) -> None:
    with lockstep.MergedSubscriber(start=start) as merged:
        for place in merged:
            event = place.event
            if event.kind != lockstep.Kind.MESSAGE:
                continue
            sender = f"{event.publisher}:{event.publisher_seq}"
            columns = [place.number, merged.stream_name(place.stream), event.seq, sender, event.destination]
            print(*columns, event.payload.decode(), sep="\t")
            left -= 1
            if left <= 0:
                break
        print("resume with", merged.cursor)


read(sys.argv[1] if len(sys.argv) > 1 else "live", float(sys.argv[2]) if len(sys.argv) > 2 else float("inf"))
