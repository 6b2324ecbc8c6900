// What a user of the generated classes does.

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import java.util.Scanner;

import com.example.Fills;

public final class Program {
    private static void print(EachKind.Message message) {
        try {
            System.out.println(HexFormat.of().formatHex(message.encode()));
        } catch (IllegalArgumentException wrong) {
            System.out.println(wrong.getMessage());
        }
    }

    private static void check(boolean holds) {
        if (!holds) {
            throw new AssertionError();
        }
    }

    public static void main(String[] arguments) {
        EachKind.Each it = new EachKind.Each();
        it.on = true;
        it.side = EachKind.Side.SELL;
        it.state = EachKind.State.OPEN;
        it.u1 = 200;
        it.u2 = 513;
        it.u3 = 66051;
        it.u6 = 1108152157446L;
        it.u8 = -1;
        it.i1 = -2;
        it.i3 = -70000;
        it.i5 = -5;
        it.i8 = Long.MIN_VALUE;
        it.lastPrice = 1234500;
        it.spread = -1;
        it.ratio = 0.5f;
        it.rate = -0.25;
        it.stock = "AB C";
        it.account = "xyz";
        it.terms = EachKind.Terms.HIDDEN | EachKind.Terms.POST_ONLY;
        it.class_ = 7;
        print(it);
        // A payload stands somewhere in a buffer.
        ByteBuffer buffer = ByteBuffer.allocate(100).position(3);
        buffer.put(it.encode()).flip().position(3);
        EachKind.Each decoded = EachKind.Each.decode(buffer);
        check(decoded.i8 == Long.MIN_VALUE && decoded.i3 == -70000 && decoded.stock.equals("AB C"));
        it.u3 = 1 << 24;
        print(it);
        it.u3 = 1;
        it.i3 = -(1 << 23) - 1;
        print(it);
        EachKind.Other other = new EachKind.Other();
        other.stock = "z";
        print(other);
        try {
            other.stock = "zzz";
            other.encode();
            check(false);
        } catch (IllegalArgumentException expected) {
            check(expected.getMessage().contains("too long"));
        }
        Fills.NewFill fill = new Fills.NewFill();
        fill.clOrdId = "ORD1";
        fill.price = -99610;
        fill.stopPx = Long.MAX_VALUE;
        fill.partySide = Fills.PartySide.SELL;
        fill.partyDesk = 5;
        fill.partyRole = Fills.PartyRole.MAKER;
        fill.terms = Fills.Terms.HIDDEN | Fills.Terms.POST_ONLY;
        fill.haltReason = Fills.HaltReason.EFP_ONLY;
        fill.newFillTimestamp = -1;
        fill.share = 0.5f;
        fill.rate = -0.25;
        fill.spreadMantissa = -7;
        fill.spreadExponent = -2;
        fill.late = -2;
        System.out.println(HexFormat.of().formatHex(fill.encode()));
        Fills.BasketLegs sold = new Fills.BasketLegs();
        sold.side = Fills.Side.SELL;
        sold.px = 1500;
        for (String account : new String[] {"AB", ""}) {
            Fills.BasketLegsMdAllocs alloc = new Fills.BasketLegsMdAllocs();
            alloc.qty = 258;
            alloc.account = account.getBytes(StandardCharsets.US_ASCII);
            sold.mdAllocs.add(alloc);
        }
        Fills.BasketLegs bought = new Fills.BasketLegs();
        bought.side = Fills.Side.BUY;
        bought.px = -1;
        Fills.BasketHedges hedge = new Fills.BasketHedges();
        hedge.ratio = 0.5f;
        Fills.Basket basket = new Fills.Basket();
        basket.side = Fills.Side.BUY;
        basket.legs = List.of(sold, bought);
        basket.hedges.add(hedge);
        basket.raw = new byte[] {-1, 0, 1};
        basket.remark = "\u00fc".getBytes(StandardCharsets.UTF_8);
        System.out.println(HexFormat.of().formatHex(basket.encode()));
        sold.mdAllocs.get(0).account = new byte[256];
        try {
            basket.encode();
            check(false);
        } catch (IllegalArgumentException wrong) {
            System.out.println(wrong.getMessage());
        }
        Scanner lines = new Scanner(System.in);
        while (lines.hasNext()) {
            boolean isEach = lines.next().equals("each");
            ByteBuffer payload = ByteBuffer.wrap(HexFormat.of().parseHex(lines.next()));
            try {
                byte[] again = isEach ? EachKind.decode(payload).encode() : Fills.decode(payload).encode();
                System.out.println(HexFormat.of().formatHex(again));
            } catch (IllegalArgumentException wrong) {
                System.out.println(wrong.getMessage());
            }
        }
    }
}
