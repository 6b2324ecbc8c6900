"""Two OUCH 5.0 clients of nasdaq-protocols (PyPI, MIT) trade with each other: see tests/foreign/exchange.rs.

usage: ouch_traders.py DESCRIPTION HOST PORT

Messages and sessions are what the package generates of DESCRIPTION, an XML file. Prints each message that a client
decodes, a line each: the user, the message's name, and the fields that the test compares.

* A client must be told to send a heartbeat each second; else it does every 10 s.
* An appendage is an array of bytes there, and has a length also where it is empty.
"""

import asyncio
import contextlib
import importlib
import io
import sys
import tempfile

from nasdaq_protocols.ouch.codegen import generate

PATIENCE_S = 30
# The client ends a connection on which nothing came for so long.
SERVER_SILENCE_S = 15
SHOWN = ("origUserRefNum", "userRefNum", "side", "quantity", "price", "liquidityFlag", "reason", "clOrdId")


def codec(description):
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        generate.callback(description, "ouch50", folder, "", True, False)
        sys.path.insert(0, folder)
        return importlib.import_module("ouch_ouch50")


OUCH = codec(sys.argv[1])
TERMS = {"timeInForce": "0", "display": "Y", "sweep": "N", "appendage": []}


def made(name, **fields):
    message = getattr(OUCH, name)()
    for field, value in fields.items():
        setattr(message, field, value)
    return message


def enter(number, side, quantity, price, symbol="ABC"):
    return made("EnterOrder", userRefNum=number, side=side, quantity=quantity, symbol=symbol, price=price,
                capacity="A", crossType="N", clOrdId=f"order {number}", **TERMS)


def replace(old, number, quantity, price):
    return made("ReplaceOrder", origUserRefNum=old, userRefNum=number, quantity=quantity, price=price,
                clOrdId=f"order {number}", **TERMS)


def cancel(number, quantity):
    return made("CancelOrder", userRefNum=number, quantity=quantity, appendage=[])


def shown(message):
    fields = [(field.name, message.record.get_field_value(field.name)) for field in message.BodyRecord.Fields]
    return " ".join(f"{name}={value}" for name, value in fields if name in SHOWN)


class Trader:
    """A user's session."""

    @classmethod
    async def log_in(cls, user):
        trader = cls()
        trader.user = user
        trader.session = await OUCH.connect_async(
            (sys.argv[2], int(sys.argv[3])), user, "secret", "", sequence=1,
            client_heartbeat_interval=1, server_heartbeat_interval=SERVER_SILENCE_S, connect_timeout=PATIENCE_S,
        )
        return trader

    async def gets(self, *names):
        """Waits for the next messages, which have these names."""
        for name in names:
            message = await asyncio.wait_for(self.session.receive_message(), PATIENCE_S)
            print(self.user, type(message).__name__, shown(message), flush=True)
            if type(message).__name__ != name:
                raise SystemExit(f"{self.user} waits for {name}")

    def sends(self, message):
        self.session.send_message(message)


async def main():
    alice, bob = await Trader.log_in("alice"), await Trader.log_in("bob")
    alice.sends(enter(1, "S", 100, 100_000))
    await alice.gets("OrderAccepted")
    alice.sends(replace(1, 2, 80, 100_100))
    await alice.gets("OrderReplaced")
    bob.sends(enter(1, "B", 30, 100_100))
    await bob.gets("OrderAccepted", "OrderExecuted")
    await alice.gets("OrderExecuted")
    # A size includes what is executed.
    alice.sends(cancel(2, 50))
    await alice.gets("OrderCanceled")
    bob.sends(enter(2, "B", 25, 100_100))
    await bob.gets("OrderAccepted", "OrderExecuted")
    await alice.gets("OrderExecuted")
    bob.sends(cancel(2, 0))
    await bob.gets("OrderCanceled")
    bob.sends(enter(3, "B", 10, 100_000, "NONE"))
    await bob.gets("Rejected")
    for trader in (alice, bob):
        await trader.session.close()
    print("done")


asyncio.run(asyncio.wait_for(main(), 3 * PATIENCE_S))
