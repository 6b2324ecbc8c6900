"""One connection of nasdaq-protocols' SoupBinTCP client (PyPI, MIT): see tests/foreign/interop.rs for what it must do.

usage: soup_client.py HOST PORT USER PASSWORD SESSION NUMBER FIRST LAST COUNT IDLE [numbered]

Logs in, sends `order FIRST` to `order LAST`, waits for COUNT sequenced messages in all, stays connected without
a word for IDLE seconds, and logs out. Prints what it is told, a line each; numbers of messages are counted here,
from the number with which the login was accepted. `numbered`: the user's messages begin with their number.

What this client does in its own way:

* Its `sequence` is not what its application was given: the reader counts, then a queue hands over, and `logout`
  drops what is queued; and the login's answer sets it back if messages came right behind. Who resumes at
  `sequence + 1` may lose some or get some again; so the messages given are counted here.
* A session that ends (`Z`), or a broken connection, drops what is queued just so.
* Any packet but Login Accepted counts as the refusal of a login, even Debug, which may come at any time. A letter
  behind a Debug is never read, so here the text of that Debug is all that is learnt.
* It pads session and number of its login on the right, not on the left: Wireshark calls that number invalid.
* Its heartbeats come every 10 s unless it is told otherwise, not every second. A server bears 15 s.
* Its lengths are signed: it cannot send more than 32,766 bytes in one message, and reads a longer one as empty.
"""

import asyncio
import sys

from nasdaq_protocols import soup

PATIENCE_S = 20
# The client ends a connection on which nothing came for so long.
SERVER_SILENCE_S = 15


def say(*words):
    print(*words, flush=True)


async def main():
    host, port, user, password, session, number, first, last, count, idle = sys.argv[1:11]
    numbered = sys.argv[11:] == ["numbered"]
    messages, changed, closed = [], asyncio.Event(), asyncio.Event()

    async def on_message(message):
        if isinstance(message, soup.SequencedData):
            messages.append(message.data)
        elif isinstance(message, soup.UnSequencedData):
            say("unsequenced", message.data.hex())
        elif isinstance(message, soup.Debug):
            say("debug", message.msg)
        changed.set()

    async def on_close():
        closed.set()
        changed.set()

    try:
        client = await soup.connect_async(
            (host, int(port)), user, password, session, sequence=int(number),
            on_msg_coro=on_message, on_close_coro=on_close,
            # The gateway says something every second; on a busy host, some seconds later.
            client_heartbeat_interval=1, server_heartbeat_interval=SERVER_SILENCE_S,
        )
    except ConnectionRefusedError as error:
        say("refused", error)
        return
    # As of the answer: no other task has run since it was set.
    next_number = client.sequence + 1
    say("accepted", client.session_id.session, next_number)
    for order in range(int(first), int(last) + 1):
        text = f"order {order}".encode()
        client.send_unseq_data(order.to_bytes(8, "big") + text if numbered else text)
    while len(messages) < int(count):
        if closed.is_set():
            raise SystemExit(f"the connection ended behind {len(messages)} of {count} messages")
        changed.clear()
        await asyncio.wait_for(changed.wait(), PATIENCE_S)
    try:
        await asyncio.wait_for(closed.wait(), float(idle) or 0.001)
        say("cut off")
    except asyncio.TimeoutError:
        say("still connected")
        client.logout()
        await asyncio.wait_for(closed.wait(), PATIENCE_S)
    for index, message in enumerate(messages):
        say("message", next_number + index, message.hex())
    say("done")


asyncio.run(asyncio.wait_for(main(), 2.5 * PATIENCE_S))
