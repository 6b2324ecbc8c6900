// What a user of the generated modules does.
"use strict";

const assert = require("assert");
const each = require("./each.js");
const fills = require("./fills.js");

function print(message) {
    try {
        console.log(message.encode().toString("hex"));
    } catch (wrong) {
        console.log(wrong.message);
    }
}

const it = new each.Each({
    on: true,
    side: each.Side.sell,
    state: each.State.open,
    u1: 200,
    u2: 513,
    u3: 66051,
    u6: 1108152157446,
    u8: 2n ** 64n - 1n,
    i1: -2,
    i3: -70000,
    i5: -5,
    i8: -(2n ** 63n),
    lastPrice: 1234500,
    spread: -1,
    ratio: 0.5,
    rate: -0.25,
    stock: "AB C",
    account: "xyz",
    terms: each.Terms.hidden | each.Terms.postOnly,
    class_: 7,
});
print(it);
assert.deepStrictEqual(each.Each.decode(new Uint8Array(it.encode())), it);
it.u3 = 1 << 24;
print(it);
it.u3 = 1;
it.i3 = -(1 << 23) - 1;
print(it);
print(new each.Other({ stock: "z" }));
assert.throws(() => new each.Other({ stock: "zzz" }).encode(), RangeError);
print(
    new fills.NewFill({
        clOrdId: "ORD1",
        price: -99610n,
        stopPx: 2n ** 63n - 1n,
        partySide: fills.PartySide.sell,
        partyDesk: 5,
        partyRole: fills.PartyRole.maker,
        terms: fills.Terms.hidden | fills.Terms.postOnly,
        haltReason: fills.HaltReason.efpOnly,
        newFillTimestamp: 2n ** 64n - 1n,
        share: 0.5,
        rate: -0.25,
        spreadMantissa: -7,
        spreadExponent: -2,
        late: -2,
    }),
);
const basket = new fills.Basket({
    side: fills.Side.buy,
    legs: [
        new fills.BasketLegs({
            side: fills.Side.sell,
            px: 1500n,
            mdAllocs: ["AB", ""].map((text) => new fills.BasketLegsMdAllocs({ qty: 258, account: Buffer.from(text) })),
        }),
        new fills.BasketLegs({ side: fills.Side.buy, px: -1n }),
    ],
    hedges: [new fills.BasketHedges({ ratio: 0.5 })],
    raw: Buffer.from([255, 0, 1]),
    remark: Buffer.from("\u00fc"),
});
print(basket);
assert.deepStrictEqual(fills.decode(basket.encode()).encode(), basket.encode());
basket.legs[0].mdAllocs[0].account = Buffer.alloc(256);
print(basket);
for (const line of require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean)) {
    const [schema, payload] = line.split(" ");
    try {
        print({ each, fills }[schema].decode(Buffer.from(payload, "hex")));
    } catch (wrong) {
        console.log(wrong.message);
    }
}
