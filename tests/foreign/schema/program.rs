//! What a user of the generated module does.

#[deny(warnings)]
mod each;
#[deny(warnings)]
mod fills;

use each::{Each, Other, Side, State, Terms, Text};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn baskets() {
    let alloc = |account: &[u8]| fills::BasketLegsMdAllocs { qty: 258, account: account.to_vec() };
    let leg = |side, px, md_allocs| fills::BasketLegs { side, px, md_allocs };
    let mut basket = fills::Basket {
        side: fills::Side::BUY,
        legs: vec![
            leg(fills::Side::SELL, 1_500, vec![alloc(b"AB"), alloc(b"")]),
            leg(fills::Side::BUY, -1, vec![]),
        ],
        hedges: vec![fills::BasketHedges { ratio: 0.5 }],
        raw: vec![255, 0, 1],
        remark: "\u{fc}".into(),
    };
    println!("{}", hex(&basket.encode().unwrap()));
    assert!(fills::Basket::decode(&basket.encode().unwrap()).unwrap() == basket);
    basket.legs[0].md_allocs[0].account = vec![0; 256];
    println!("{}", basket.encode().unwrap_err());
}

fn main() {
    let it = Each {
        on: true,
        side: Side::SELL,
        state: State::OPEN,
        u1: 200,
        u2: 513,
        u3: 66_051,
        u6: 1_108_152_157_446,
        u8: u64::MAX,
        i1: -2,
        i3: -70_000,
        i5: -5,
        i8: i64::MIN,
        last_price: 1_234_500,
        spread: -1,
        ratio: 0.5,
        rate: -0.25,
        stock: Text::new("AB C").unwrap(),
        account: Text::new("xyz").unwrap(),
        terms: Terms::HIDDEN | Terms::POST_ONLY,
        class_: 7,
    };
    println!("{}", hex(&it.encode().unwrap()));
    assert!(Each::decode(&it.encode().unwrap()).unwrap() == it);
    assert!(it.terms.has(Terms::HIDDEN) && it.side.name() == Some("sell"));
    println!("{}", Each { u3: 1 << 24, ..it.clone() }.encode().unwrap_err());
    println!("{}", Each { i3: -(1 << 23) - 1, ..it }.encode().unwrap_err());
    println!("{}", hex(&Other { stock: Text::new("z").unwrap() }.encode().unwrap()));
    assert!(Text::<2>::new("zzz").is_none() && Text::<4>::new("\u{e4}").is_none());
    let fill = fills::NewFill {
        cl_ord_id: fills::Text::new("ORD1").unwrap(),
        price: -99_610,
        stop_px: i64::MAX,
        party_side: fills::PartySide::SELL,
        party_desk: 5,
        party_role: fills::PartyRole::MAKER,
        terms: fills::Terms::HIDDEN | fills::Terms::POST_ONLY,
        halt_reason: fills::HaltReason::EFP_ONLY,
        new_fill_timestamp: u64::MAX,
        share: 0.5,
        rate: -0.25,
        spread_mantissa: -7,
        spread_exponent: -2,
        late: -2,
        ..fills::NewFill::default()
    };
    println!("{}", hex(&fill.encode().unwrap()));
    baskets();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (schema, payload) = line.split_once(' ').unwrap();
        let payload = bytes(payload);
        let again = match schema {
            "each" => each::Message::decode(&payload).and_then(|it| it.encode()).map_err(|it| it.to_string()),
            _ => fills::Message::decode(&payload).and_then(|it| it.encode()).map_err(|it| it.to_string()),
        };
        println!("{}", again.map_or_else(|why| why, |bytes| hex(&bytes)));
    }
}
