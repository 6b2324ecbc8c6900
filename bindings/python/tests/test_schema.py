"""Payloads are decoded by a schema; that needs no cluster."""

from array import array
from decimal import Decimal
from pathlib import Path

import lockstep
import pytest

TEXT = """
name = "my feed"
[[message]]
type = "T"
name = "trade"
fields = [
    { name = "stock", offset = 1, length = 4, kind = "ascii" },
    { name = "big", offset = 5, length = 8, kind = "uint" },
    { name = "change", offset = 13, length = 1, kind = "int" },
    { name = "price", offset = 14, length = 2, kind = "price", decimals = 2 },
    { name = "on", offset = 16, length = 1, kind = "bool" },
    { name = "side", offset = 17, length = 1, kind = "enum", values = { buy = "B" } },
    { name = "terms", offset = 18, length = 1, kind = "set", values = { hidden = 0, ioc = 2 } },
    { name = "ratio", offset = 19, length = 4, kind = "float" },
]
"""
TRADE = b"TAB  " + b"\xff" * 9 + b"\x00\x07\x01B\x05" + b"\x3f\xc0\x00\x00"
FIELDS = {
    "message_type": "trade",
    "stock": "AB",
    "big": 2**64 - 1,
    "change": -1,
    "price": Decimal("0.07"),
    "on": True,
    "side": "buy",
    "terms": ["hidden", "ioc"],
    "ratio": 1.5,
}


def test_a_payload_of_any_buffer_is_a_dict_of_its_fields() -> None:
    schema = lockstep.Schema.parse(TEXT)
    assert (schema.name, schema.messages) == ("my feed", ["trade"])
    payloads: list[bytes | bytearray | memoryview] = [TRADE, bytearray(TRADE), memoryview(TRADE)]
    for payload in payloads:
        fields = schema.decode(payload)
        assert fields is not None and fields == FIELDS
        assert [type(value) for value in fields.values()] == [type(value) for value in FIELDS.values()]
    assert schema.refusal(TRADE) is None
    cut = schema.decode(TRADE[:13])
    assert cut is not None and cut["stock"] == "AB" and cut["ratio"] is None
    with pytest.raises(lockstep.ArgumentError, match="contiguous buffer, not str"):
        schema.decode("T")  # type: ignore[arg-type]


def test_what_is_no_message_is_none_and_the_reason_is_told() -> None:
    schema = lockstep.Schema.parse(TEXT)
    assert schema.decode(b"X") is None
    assert schema.decode(array("H")) is None
    assert schema.refusal(b"X") == "type 88 'X', which no message has"


def test_a_wrong_schema_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "feed.toml"
    path.write_text(TEXT.replace("length = 8", "length = 9"))
    with pytest.raises(lockstep.ConfigError, match="feed.toml: line 8: message 'T', field 'big': length 9"):
        lockstep.Schema.load(path)
    with pytest.raises(lockstep.ConfigError, match="No such file"):
        lockstep.Schema.load("/nowhere/feed.toml")
    with pytest.raises(lockstep.ConfigError, match="begins with <messageSchema>"):
        lockstep.Schema.parse("<a/>")
    path.write_text(TEXT)
    assert lockstep.Schema.load(str(path)).decode(TRADE) == FIELDS


def test_a_group_is_a_list_of_dicts_and_data_is_text_or_bytes() -> None:
    schema = lockstep.Schema.load(Path(__file__).parents[3] / "crates/lockstep-schema/tests/it/fills.xml")
    leg = b"2" + (1500).to_bytes(8, "little") + b"\2\0\0\1" + b"\2\1" + b"\2AB"
    payload = b"\1\0\x2e\1\7\0\2\0" + b"1" + b"\x09\0\1\0" + leg + b"\4\0\0\0" + b"\3\0\xff\0\1" + b"\2\xc3\xbc"
    assert schema.decode(payload) == {
        "message_type": "basket",
        "side": "buy",
        "legs": [{"side": "sell", "px": Decimal("1.500"), "md_allocs": [{"qty": 258, "account": "AB"}]}],
        "hedges": [],
        "raw": b"\xff\0\1",
        "remark": "\u00fc",
    }
