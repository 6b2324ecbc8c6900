// What a user of the generated packages does.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"strings"

	"program/each"
	"program/fills"
)

func show(bytes []byte, err error) {
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(hex.EncodeToString(bytes))
}

func main() {
	it := each.Each{
		On: true, Side: each.SideSell, State: each.StateOpen, U1: 200, U2: 513, U3: 66051, U6: 1108152157446,
		U8: math.MaxUint64, I1: -2, I3: -70000, I5: -5, I8: math.MinInt64, LastPrice: 1234500, Spread: -1,
		Ratio: 0.5, Rate: -0.25, Stock: "AB C", Account: "xyz", Terms: each.TermsHidden | each.TermsPostOnly,
		Class_: 7,
	}
	encoded, err := it.Encode()
	show(encoded, err)
	if decoded, err := each.DecodeEach(encoded); err != nil || decoded != it {
		panic(err)
	}
	it.U3 = 1 << 24
	show(it.Encode())
	it.U3, it.I3 = 1, -(1<<23)-1
	show(it.Encode())
	show(each.Other{Stock: "z"}.Encode())
	if _, err := (each.Other{Stock: "zzz"}).Encode(); err == nil {
		panic("it is too long")
	}
	show(fills.NewFill{
		ClOrdId: "ORD1", Price: -99610, StopPx: math.MaxInt64, PartySide: fills.PartySideSell, PartyDesk: 5,
		PartyRole: fills.PartyRoleMaker, Terms: fills.TermsHidden | fills.TermsPostOnly,
		HaltReason: fills.HaltReasonEfpOnly, NewFillTimestamp: math.MaxUint64, Share: 0.5, Rate: -0.25,
		SpreadMantissa: -7, SpreadExponent: -2, Late: -2,
	}.Encode())
	allocs := []fills.BasketLegsMdAllocs{{Qty: 258, Account: []byte("AB")}, {Qty: 258}}
	basket := fills.Basket{
		Side: fills.SideBuy,
		Legs: []fills.BasketLegs{
			{Side: fills.SideSell, Px: 1500, MdAllocs: allocs},
			{Side: fills.SideBuy, Px: -1},
		},
		Hedges: []fills.BasketHedges{{Ratio: 0.5}},
		Raw:    []byte{255, 0, 1},
		Remark: []byte("\u00fc"),
	}
	show(basket.Encode())
	allocs[0].Account = make([]byte, 256)
	show(basket.Encode())
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		schema, digits, _ := strings.Cut(lines.Text(), " ")
		payload, err := hex.DecodeString(digits)
		if err != nil {
			panic(err)
		}
		var message interface{ Encode() ([]byte, error) }
		if schema == "each" {
			message, err = each.Decode(payload)
		} else {
			message, err = fills.Decode(payload)
		}
		if err != nil {
			fmt.Println(err)
			continue
		}
		show(message.Encode())
	}
}
