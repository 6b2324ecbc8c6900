"""What a user of the generated module does."""

import sys

import each
import fills


def printed(message):
    try:
        print(message.encode().hex())
    except ValueError as wrong:
        print(wrong)


it = each.Each(
    on=True,
    side=each.Side.SELL,
    state=each.State.OPEN,
    u1=200,
    u2=513,
    u3=66051,
    u6=1108152157446,
    u8=2**64 - 1,
    i1=-2,
    i3=-70000,
    i5=-5,
    i8=-(2**63),
    last_price=1234500,
    spread=-1,
    ratio=0.5,
    rate=-0.25,
    stock="AB C",
    account="xyz",
    terms=each.Terms.HIDDEN | each.Terms.POST_ONLY,
    class_=7,
)
printed(it)
assert each.Each.decode(memoryview(it.encode())) == it
it.u3 = 1 << 24
printed(it)
it.u3, it.i3 = 1, -(1 << 23) - 1
printed(it)
printed(each.Other(stock="z"))
for text in ["zzz", "\u00e4"]:
    try:
        each.Other(stock=text).encode()
        raise AssertionError(text)
    except ValueError:
        pass
printed(
    fills.NewFill(
        cl_ord_id="ORD1",
        price=-99610,
        stop_px=2**63 - 1,
        party_side=fills.PartySide.SELL,
        party_desk=5,
        party_role=fills.PartyRole.MAKER,
        terms=fills.Terms.HIDDEN | fills.Terms.POST_ONLY,
        halt_reason=fills.HaltReason.EFP_ONLY,
        new_fill_timestamp=2**64 - 1,
        share=0.5,
        rate=-0.25,
        spread_mantissa=-7,
        spread_exponent=-2,
        late=-2,
    )
)
basket = fills.Basket(
    side=fills.Side.BUY,
    legs=[
        fills.BasketLegs(
            side=fills.Side.SELL,
            px=1500,
            md_allocs=[fills.BasketLegsMdAllocs(qty=258, account=text) for text in (b"AB", b"")],
        ),
        fills.BasketLegs(side=fills.Side.BUY, px=-1),
    ],
    hedges=[fills.BasketHedges(ratio=0.5)],
    raw=b"\xff\0\1",
    remark="\u00fc".encode(),
)
printed(basket)
assert fills.decode(basket.encode()) == basket
basket.legs[0].md_allocs[0].account = bytes(256)
printed(basket)
for line in sys.stdin:
    schema, payload = line.split()
    try:
        print({"each": each, "fills": fills}[schema].decode(bytes.fromhex(payload)).encode().hex())
    except ValueError as wrong:
        print(wrong)
