"""Reads and writes TotalView-ITCH 5.0 with the package itchfeed, for the test that runs it.

Each line of the input is `read HEX`, answered with the fields that the package reads and the bytes that it
writes of them, or `make TYPE name=value ...`, answered with the bytes of a message that it is told to make.
Numbers are decimal; texts are hexadecimal behind an x.
"""

import sys

from itch.messages import create_message, messages
from itch.parser import MessageParser

SHARED = {"message_type", "description", "message_format", "message_pack_format", "message_size", "price_precision"}


def shown(value):
    return "x" + value.hex() if isinstance(value, bytes) else str(value)


def value_of(text):
    return bytes.fromhex(text[1:]) if text.startswith("x") else int(text)


def read(digits):
    raw = bytes.fromhex(digits)
    framed = bytes([0, len(raw)]) + raw
    (message,) = MessageParser().parse_stream(framed)
    assert message.message_size == len(raw), "length"
    names = sorted(name for name in vars(message) if name not in SHARED)
    fields = (f"{name}={shown(getattr(message, name))}" for name in names)
    return " ".join([message.to_bytes().hex(), *fields])


def make(kind, *fields):
    values = {name: value_of(value) for name, value in (field.split("=") for field in fields)}
    return create_message(kind.encode(), **values).to_bytes().hex()


for line in sys.stdin:
    word, *rest = line.split()
    print(read(*rest) if word == "read" else make(*rest))
print("types", "".join(sorted(kind.decode() for kind in messages)))
