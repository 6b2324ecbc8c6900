"""Reads and writes OUCH 5.0 with the codec that the package nasdaq-protocols generates of testdata/ouch50.xml, for
the test that runs it.

Each line of the input is `read DIRECTION HEX`, answered with the name of the message, the bytes that the codec
writes of what it has read, and the fields; or `make DIRECTION TYPE name=value ... N=value ...`, answered with the
bytes of a message that it is told to make. Names that are numbers are the tags of options. Numbers are decimal;
texts are hexadecimal behind an x.
"""

import contextlib
import importlib
import io
import sys
import tempfile

from nasdaq_protocols.ouch.codegen import generate
from nasdaq_protocols.soup.soup_app import SoupAppMessageId


def codec(description):
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        generate.callback(description, "ouch50", folder, "", True, False)
        sys.path.insert(0, folder)
        return importlib.import_module("ouch_ouch50")


OUCH = codec(sys.argv[1])


def message_class(direction, kind):
    way = {"in": "incoming", "out": "outgoing"}[direction]
    return OUCH.Message.get_msg_cls_by_indicator(SoupAppMessageId(kind, way))


def shown(value):
    return "x" + value.encode("ascii").hex() if isinstance(value, str) else str(value)


def value_of(text):
    return bytes.fromhex(text[1:]).decode("ascii") if text.startswith("x") else int(text)


def options_of(appendage):
    rest = bytes(appendage)
    while rest:
        length, tag = rest[0], rest[1]
        record = getattr(OUCH, f"Option{tag}")
        width, option = record.from_bytes(rest[2 : 1 + length])
        assert width == length - 1, f"option {tag}"
        yield tag, option
        rest = rest[1 + length :]


def element(tag, option):
    width, raw = type(option).to_bytes(option)
    return bytes([1 + width, tag]) + raw


def read(direction, digits):
    raw = bytes.fromhex(digits)
    kind = message_class(direction, raw[0])
    _, body = kind.BodyRecord.from_bytes(raw[1:])
    fields = [(field.name, body.get_field_value(field.name)) for field in kind.BodyRecord.Fields]
    texts = [f"{name}={shown(value)}" for name, value in fields if name != "appendage"]
    if "appendage" in body.values:
        options = list(options_of(body.appendage))
        texts += [f"{tag}={shown(option.value)}" for tag, option in options]
        body.appendage = list(b"".join(element(tag, option) for tag, option in options))
    written = bytes([raw[0]]) + kind.BodyRecord.to_bytes(body)[1]
    return " ".join([kind.__name__, written.hex(), *texts])


def make(direction, kind, *fields):
    message = message_class(direction, ord(kind))()
    appendage = b""
    for name, value in (field.split("=") for field in fields):
        if name.isdigit():
            option = getattr(OUCH, f"Option{name}")()
            option.value = value_of(value)
            appendage += element(int(name), option)
        else:
            setattr(message, name, value_of(value))
    if appendage:
        message.appendage = list(appendage)
    return message.to_bytes()[1].hex()


for line in sys.stdin:
    word, *rest = line.split()
    print(read(*rest) if word == "read" else make(*rest))
