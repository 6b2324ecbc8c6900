"""NATS by its Python client: `jetstream.py URL read STREAM` prints what a stream has, `limit STREAM BYTES` limits it;
`names STREAM` prints the names of publishers and destinations.

A limit of 0 is what the stream has now: it is full."""

import asyncio
import sys

import nats
from nats.js.errors import NotFoundError


def line(message):
    headers = message.headers
    return "\t".join(
        [
            headers["Lockstep-Seq"],
            headers["Lockstep-Publisher"] + ":" + headers["Lockstep-Publisher-Seq"],
            headers["Lockstep-Destination"],
            message.data.decode(),
        ]
    )


def names(message):
    headers = message.headers
    known = [headers.get(f"Lockstep-{part}-Name") for part in ("Publisher", "Destination")]
    return " ".join([message.data.decode(), *map(str, known)])


async def read(stream, name, line=line):
    try:
        info = await stream.stream_info(name)
    except NotFoundError:
        return
    if info.state.messages == 0:
        return
    subscription = await stream.subscribe("lockstep.>", stream=name, ordered_consumer=True)
    while True:
        message = await subscription.next_msg(timeout=20)
        print(line(message))
        if message.metadata.sequence.stream >= info.state.last_seq:
            return


async def read_names(stream, name):
    await read(stream, name, names)


async def limit(stream, name, limit_bytes):
    info = await stream.stream_info(name)
    config = info.config
    config.max_bytes = int(limit_bytes) or info.state.bytes
    await stream.update_stream(config)


async def main():
    url, command, name, *more = sys.argv[1:]
    client = await nats.connect(url, allow_reconnect=False, connect_timeout=20)
    stream = client.jetstream(timeout=20)
    await {"read": read, "names": read_names, "limit": limit}[command](stream, name, *more)
    await client.close()


asyncio.run(main())
