//! The crate `itchy` reads what we write, and every field of it is the same.
//!
//! It lacks `h` and `O`, at which it panics, and the letters that came with later editions: `M` of the market
//! category, `Z` of the IPO flag, `P` of the imbalance's direction.

use crate::common::{ROWS, any_valid, framed, recorded, samples};
use itch50::{Message, Stock};
use itchy::Body;
use proptest::prelude::*;

/// Their codes of an issue's sub-type, two letters each, in the order of their enum.
const SUB_TYPES: &str = "A AIB C CBCFCLCMCOCTCUCWD E EGEIEMENEUF FIFLG I IRIWIXJ L LLM MFMLMTN O P PPPUQ R \
                         RCRFRTRUS SCSIT TCTUU V W WCX Y Z ";

/// What they read; the messages are framed as in Nasdaq's files.
fn theirs(messages: &[Vec<u8>]) -> Vec<itchy::Message> {
    let bytes = framed(messages.iter().map(Vec::as_slice));
    let stream = itchy::MessageStream::from_reader(&bytes[..]);
    stream.map(|message| message.unwrap_or_else(|error| panic!("{error}"))).collect()
}

/// The letter of their variant: `letters` are in the order of their enum.
fn letter(letters: &str, variant: usize) -> u8 {
    letters.as_bytes()[variant]
}

fn same_text<const N: usize>(ours: itch50::Alpha<N>, theirs: &str) -> bool {
    ours.as_bytes() == theirs.as_bytes()
}

/// Whether both read the same of a message about an instrument or a participant.
fn same_admin(ours: &Message, theirs: &Body) -> bool {
    match (ours, theirs) {
        (Message::SystemEvent(ours), Body::SystemEvent { event }) => {
            ours.event.code() == letter("OSQMEC", *event as usize)
        }
        (Message::TradingAction(ours), Body::TradingAction { stock, trading_state, reason }) => {
            same_text(ours.stock, stock)
                && ours.state.code() == letter("HPQT", *trading_state as usize)
                && same_text(ours.reason, reason)
        }
        (Message::ShortSaleRestriction(ours), Body::RegShoRestriction { stock, action }) => {
            same_text(ours.stock, stock) && ours.action.code() == letter("012", *action as usize)
        }
        (Message::ParticipantPosition(ours), Body::ParticipantPosition(theirs)) => {
            same_text(ours.mpid, &theirs.mpid)
                && same_text(ours.stock, &theirs.stock)
                && ours.is_primary == theirs.primary_market_maker
                && ours.mode.code() == letter("NPSRL", theirs.market_maker_mode as usize)
                && ours.state.code() == letter("AEWSD", theirs.market_participant_state as usize)
        }
        (Message::DeclineLevels(ours), Body::MwcbDeclineLevel { level1, level2, level3 }) => {
            [ours.level1.0, ours.level2.0, ours.level3.0] == [level1.raw(), level2.raw(), level3.raw()]
        }
        (Message::DeclineBreach(ours), Body::Breach(level)) => {
            ours.level.code() == letter("123", *level as usize)
        }
        (Message::IpoQuotation(ours), Body::IpoQuotingPeriod(theirs)) => {
            same_text(ours.stock, &theirs.stock)
                && ours.release_s == theirs.release_time
                && ours.qualifier.code() == letter("AC", theirs.release_qualifier as usize)
                && ours.price.0 == theirs.price.raw()
        }
        (
            Message::AuctionCollar(ours),
            Body::LULDAuctionCollar { stock, ref_price, upper_price, lower_price, extension },
        ) => {
            same_text(ours.stock, stock)
                && [ours.reference.0, ours.upper.0, ours.lower.0]
                    == [ref_price.raw(), upper_price.raw(), lower_price.raw()]
                && ours.extension == *extension
        }
        _ => false,
    }
}

fn same_directory(ours: &itch50::StockDirectory, theirs: &itchy::StockDirectory) -> bool {
    let at = 2 * theirs.issue_subtype as usize;
    same_text(ours.stock, &theirs.stock)
        && ours.market_category.code() == letter("QGSNAPZV ", theirs.market_category as usize)
        && ours.financial_status.code() == letter("NDEQSGHJKC ", theirs.financial_status as usize)
        && ours.round_lot_size == theirs.round_lot_size
        && ours.round_lots_only == theirs.round_lots_only
        && ours.issue_class.code() == letter("ABCFILNOPQRSTUVW", theirs.issue_classification as usize)
        && same_text(ours.issue_sub_type, &SUB_TYPES[at..at + 2])
        && (ours.authenticity.code() == b'P') == theirs.authenticity
        && ours.short_sale_threshold == theirs.short_sale_threshold
        && ours.ipo_flag.code() == theirs.ipo_flag.map_or(b' ', |flag| if flag { b'Y' } else { b'N' })
        && ours.price_tier.code() == letter("12 ", theirs.luld_ref_price_tier as usize)
        && ours.etp_flag == theirs.etp_flag
        && ours.etp_leverage == theirs.etp_leverage_factor
        && ours.is_inverse == theirs.inverse_indicator
}

fn same_add(ours: (u64, u8, u32, Stock, u32), theirs: &itchy::AddOrder) -> bool {
    let (reference, side, shares, stock, price) = ours;
    (reference, side, shares) == (theirs.reference, letter("BS", theirs.side as usize), theirs.shares)
        && same_text(stock, &theirs.stock)
        && price == theirs.price.raw()
}

/// Whether both read the same of a message about an order.
fn same_order(ours: &Message, theirs: &Body) -> bool {
    match (ours, theirs) {
        (Message::AddOrder(ours), Body::AddOrder(theirs)) => {
            let fields = (ours.reference, ours.side.code(), ours.shares, ours.stock, ours.price.0);
            same_add(fields, theirs) && theirs.mpid.is_none()
        }
        (Message::AttributedOrder(ours), Body::AddOrder(theirs)) => {
            let fields = (ours.reference, ours.side.code(), ours.shares, ours.stock, ours.price.0);
            same_add(fields, theirs) && theirs.mpid.is_some_and(|theirs| same_text(ours.attribution, &theirs))
        }
        (Message::OrderExecuted(ours), Body::OrderExecuted { reference, executed, match_number }) => {
            (ours.reference, ours.shares, ours.match_number) == (*reference, *executed, *match_number)
        }
        (
            Message::OrderExecutedAtPrice(ours),
            Body::OrderExecutedWithPrice { reference, executed, match_number, printable, price },
        ) => {
            (ours.reference, ours.shares, ours.match_number) == (*reference, *executed, *match_number)
                && (ours.is_printable, ours.price.0) == (*printable, price.raw())
        }
        (Message::OrderCancel(ours), Body::OrderCancelled { reference, cancelled }) => {
            (ours.reference, ours.shares) == (*reference, *cancelled)
        }
        (Message::OrderDelete(ours), Body::DeleteOrder { reference }) => ours.reference == *reference,
        (Message::OrderReplace(ours), Body::ReplaceOrder(theirs)) => {
            (ours.original, ours.reference) == (theirs.old_reference, theirs.new_reference)
                && (ours.shares, ours.price.0) == (theirs.shares, theirs.price.raw())
        }
        _ => false,
    }
}

/// Whether both read the same of a message about a trade or an auction.
fn same_trade(ours: &Message, theirs: &Body) -> bool {
    match (ours, theirs) {
        (Message::Trade(ours), Body::NonCrossTrade(theirs)) => {
            (ours.reference, ours.shares, ours.price.0)
                == (theirs.reference, theirs.shares, theirs.price.raw())
                && ours.side.code() == letter("BS", theirs.side as usize)
                && same_text(ours.stock, &theirs.stock)
                && ours.match_number == theirs.match_number
        }
        (Message::CrossTrade(ours), Body::CrossTrade(theirs)) => {
            (ours.shares, ours.price.0, ours.match_number)
                == (theirs.shares, theirs.cross_price.raw(), theirs.match_number)
                && same_text(ours.stock, &theirs.stock)
                && ours.cross.code() == letter("OCHIA", theirs.cross_type as usize)
        }
        (Message::BrokenTrade(ours), Body::BrokenTrade { match_number }) => {
            ours.match_number == *match_number
        }
        (Message::Imbalance(ours), Body::Imbalance(theirs)) => {
            (ours.paired_shares, ours.imbalance_shares) == (theirs.paired_shares, theirs.imbalance_shares)
                && ours.direction.code() == letter("BSNO", theirs.imbalance_direction as usize)
                && same_text(ours.stock, &theirs.stock)
                && [ours.far.0, ours.near.0, ours.reference.0]
                    == [theirs.far_price.raw(), theirs.near_price.raw(), theirs.current_ref_price.raw()]
                && ours.cross.code() == letter("OCHIA", theirs.cross_type as usize)
                && char::from(ours.variation.code()) == theirs.price_variation_indicator
        }
        (Message::RetailInterest(ours), Body::RetailPriceImprovementIndicator(theirs)) => {
            same_text(ours.stock, &theirs.stock)
                && ours.interest.code() == letter("BSAN", theirs.interest_flag as usize)
        }
        _ => false,
    }
}

/// Panics unless both read the same of these bytes.
fn compare(bytes: &[u8], theirs: &itchy::Message) {
    let ours = Message::parse(bytes).unwrap();
    let head = ours.head();
    assert_eq!(
        (ours.kind(), head.locate, head.tracking, head.time.ns()),
        (theirs.tag, theirs.stock_locate, theirs.tracking_number, theirs.timestamp)
    );
    let is_same = match (&ours, &theirs.body) {
        (Message::StockDirectory(ours), Body::StockDirectory(theirs)) => same_directory(ours, theirs),
        (ours, theirs) => same_admin(ours, theirs) || same_order(ours, theirs) || same_trade(ours, theirs),
    };
    assert!(is_same, "{ours:?}\n{:?}", theirs.body);
}

fn compare_all(messages: &[Vec<u8>]) {
    let theirs = theirs(messages);
    assert_eq!(theirs.len(), messages.len());
    for (bytes, theirs) in messages.iter().zip(&theirs) {
        compare(bytes, theirs);
    }
}

/// Letters that they do not know become ones that they do.
fn known(mut bytes: Vec<u8>) -> Vec<u8> {
    match (bytes[0], bytes.len()) {
        (b'R', _) => {
            bytes[19] = if bytes[19] == b'M' { b'N' } else { bytes[19] };
            bytes[31] = if bytes[31] == b'Z' { b'Y' } else { bytes[31] };
            let at = 2 * (usize::from(bytes[27]) % (SUB_TYPES.len() / 2));
            bytes[27..29].copy_from_slice(&SUB_TYPES.as_bytes()[at..at + 2]);
        }
        (b'I', _) => bytes[27] = if bytes[27] == b'P' { b'N' } else { bytes[27] },
        _ => {}
    }
    bytes
}

fn is_known(bytes: &[u8]) -> bool {
    !matches!(bytes[0], b'h' | b'O')
}

#[test]
fn itchy_reads_the_same_of_every_message_of_the_recorded_day() {
    let all = recorded();
    assert_eq!(all.len(), 12_012);
    compare_all(&all);
}

#[test]
fn itchy_reads_the_same_of_a_sample_of_each_type_that_it_has() {
    let mut messages = Vec::new();
    for (message, _) in samples::all() {
        let mut bytes = Vec::new();
        message.append(&mut bytes);
        messages.extend(is_known(&bytes).then_some(bytes));
    }
    assert_eq!(messages.len(), ROWS.len() - 2);
    compare_all(&messages);
}

proptest! {
    #[test]
    fn itchy_reads_the_same_of_any_valid_message(messages in prop::collection::vec(any_valid(), 1..20)) {
        compare_all(&messages.into_iter().filter(|bytes| is_known(bytes)).map(known).collect::<Vec<_>>());
    }
}
