//! The engine against a second, slow and obvious model of the same rules (`model/slow.rs`), and against a
//! bookkeeper that sees outputs alone (`model/ledger.rs`). Both get the same commands; after each one all
//! outputs and all books are compared. A failure prints its seed and step.

pub mod flow;
pub mod ledger;
pub mod outputs;
pub mod slow;
mod slow_orders;
mod slow_phases;

use flow::{Dice, Flow, opening, rules};
use ledger::Ledger;
use lockstep_exchange::*;
use lockstep_testkit::lane::amount;
use outputs::{Collected, Out};
use proptest::prelude::*;
use slow::{Slow, SlowOrder};
use std::collections::BTreeMap;

/// Both models and the bookkeeper, side by side.
struct Comparison {
    engine: MatchingEngine,
    slow: Slow,
    ledger: Ledger,
    flow: Flow,
    /// How often each output came, by the first word of its text.
    seen: BTreeMap<String, u64>,
    /// The step, for a failure's text.
    place: String,
}

impl Drop for Comparison {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("failed at {}", self.place);
        }
    }
}

impl Comparison {
    fn new(seed: u64) -> Self {
        let engine = MatchingEngine::new(rules(seed)).expect("rules");
        let (slow, ledger, flow) = (Slow::new(rules(seed)), Ledger::default(), Flow::new());
        let mut both =
            Self { engine, slow, ledger, flow, seen: BTreeMap::new(), place: "the start".to_owned() };
        for command in opening() {
            both.apply(&command);
        }
        both
    }

    fn apply(&mut self, command: &ExchangeCommand) {
        let now = self.flow.now;
        let mut collected = Collected::default();
        self.engine.apply(command, now, &mut collected);
        let expected = self.slow.apply(command, now);
        assert_eq!(collected.0, expected, "outputs of {command:?}: the engine's left, the model's right");
        self.flow.observe(&expected);
        self.ledger.book(&expected);
        self.ledger.assert_agrees(&self.engine);
        self.engine.assert_invariants();
        self.compare_books();
        for out in &expected {
            *self.seen.entry(kind_of(out)).or_default() += 1;
        }
    }

    fn compare_books(&self) {
        let symbols: Vec<_> =
            self.slow.instruments.iter().map(|instrument| instrument.terms.symbol).collect();
        assert_eq!(self.engine.symbols().collect::<Vec<_>>(), symbols);
        for symbol in symbols {
            for side in [Side::Buy, Side::Sell] {
                let view = |orders: Vec<SlowOrder>| orders.iter().map(view).collect::<Vec<_>>();
                let displayed: Vec<_> = self.engine.displayed_orders(symbol, side).collect();
                assert_eq!(displayed, view(self.slow.sorted(symbol, side, |o| o.kind == OrderKind::Limit)));
                let market: Vec<_> = self.engine.market_orders(symbol, side).collect();
                assert_eq!(market, view(self.slow.sorted(symbol, side, |o| o.kind == OrderKind::Market)));
                let stops: Vec<_> = self.engine.stop_orders(symbol, side).collect();
                assert_eq!(stops, view(self.slow.stops(symbol, side)));
            }
            assert_eq!(self.engine.indicative(symbol), self.slow.auction_price(symbol));
            let instrument = self.slow.find_instrument(symbol).expect("it is defined");
            assert_eq!(self.engine.phase_of(symbol), Some(instrument.phase));
            assert_eq!(self.engine.last_price(symbol), instrument.last);
        }
    }

    /// Replaces the engine by one that is restored from its snapshot, and looks at what only such a moment
    /// has.
    fn restore(&mut self) {
        let mut late = Collected::default();
        self.engine.publish_market(&mut late);
        self.ledger.assert_late_joiner(&late.0);
        let pending = self.engine.pending_timers().map(|timer| (timer.at_ns, timer.key));
        let mut pending: Vec<_> = pending.collect();
        pending.sort_unstable();
        self.flow.timers.sort_unstable();
        assert_eq!(pending, self.flow.timers);
        let mut bytes = vec![];
        self.engine.snapshot(&mut bytes).expect("memory can be written");
        let mut rest = bytes.as_slice();
        let restored = MatchingEngine::restore(&mut rest).expect("its own snapshot");
        assert!(rest.is_empty(), "a snapshot is read to its end");
        assert_eq!(restored.digest(), self.engine.digest());
        self.engine = restored;
    }

    fn step(&mut self, dice: &mut Dice) {
        let command = self.flow.command(dice, &self.slow);
        self.apply(&command);
    }
}

/// An order of the slow model as the engine shows it.
fn view(order: &SlowOrder) -> BookOrder {
    BookOrder {
        number: order.number,
        account: order.account,
        token: order.token,
        side: order.side,
        kind: order.kind,
        price: order.price,
        stop_price: order.stop_price,
        remaining: order.remaining,
        displayed: order.displayed,
        executed: order.executed,
    }
}

fn kind_of(out: &Out) -> String {
    let text = match out {
        Out::Report(OrderReport::Rejected { reason, .. }) => format!("Rejected:{reason:?}"),
        Out::Report(OrderReport::CancelRejected { reason, .. }) => format!("CancelRejected:{reason:?}"),
        Out::Report(OrderReport::Canceled { reason, .. }) => format!("Canceled:{reason:?}"),
        Out::Report(OrderReport::Replaced { keeps_priority, .. }) => format!("Replaced:{keeps_priority}"),
        Out::Report(report) => format!("{report:?}"),
        Out::Market(MarketEvent::TradingAction { is_extended: true, .. }) => "Market:Extended".to_owned(),
        Out::Market(event) => format!("Market:{event:?}"),
        Out::Refusal(reason) => format!("Refusal:{reason:?}"),
        other => format!("{other:?}"),
    };
    text.split([' ', '(']).next().unwrap_or_default().to_owned()
}

/// Steps of each walk: 60,000 commands in all, and 200,000 by night. The variable `WALKS` asks for more.
const STEPS: u64 = 5_000;

#[test]
fn a_long_walk_gives_the_same_outputs_and_books_in_both_models() {
    let mut seen = BTreeMap::new();
    let walks = std::env::var("WALKS").ok().and_then(|text| text.parse().ok()).unwrap_or(amount(12, 40));
    for seed in 0..walks {
        let mut both = Comparison::new(seed);
        let mut dice = Dice(seed);
        for step in 0..STEPS {
            both.place = format!("seed {seed}, step {step}");
            both.step(&mut dice);
            if dice.one_in(50) {
                both.restore();
            }
        }
        for (kind, count) in std::mem::take(&mut both.seen) {
            *seen.entry(kind).or_insert(0) += count;
        }
    }
    println!("outputs of {} commands: {seen:#?}", walks * STEPS);
    // A walk that never came to a rule proves nothing of it.
    let missing: Vec<_> = EXPECTED.iter().filter(|kind| !seen.contains_key(**kind)).collect();
    assert!(missing.is_empty(), "the walks never saw {missing:?}; they saw {seen:#?}");
}

/// Each kind of output that the walks must have seen.
const EXPECTED: [&str; 67] = [
    "Accepted",
    "Executed",
    "Triggered",
    "Restated",
    "Broken",
    "MassCanceled",
    "Replaced:true",
    "Replaced:false",
    "Rejected:UnknownAccount",
    "Rejected:DuplicateToken",
    "Rejected:KillSwitch",
    "Rejected:OrderRate",
    "Rejected:UnknownInstrument",
    "Rejected:UnknownOrder",
    "Rejected:NotOpen",
    "Rejected:InvalidQuantity",
    "Rejected:InvalidPrice",
    "Rejected:InvalidStopPrice",
    "Rejected:InvalidDisplay",
    "Rejected:InvalidCombination",
    "Rejected:NotInCallPhase",
    "Rejected:OutsideBand",
    "Rejected:QuantityLimit",
    "Rejected:NotionalLimit",
    "Rejected:OpenOrdersLimit",
    "Rejected:PositionLimit",
    "Rejected:Capacity",
    "Rejected:WouldExecute",
    "CancelRejected:UnknownAccount",
    "CancelRejected:UnknownInstrument",
    "CancelRejected:UnknownOrder",
    "CancelRejected:InvalidQuantity",
    "CancelRejected:NoReduction",
    "Canceled:Requested",
    "Canceled:ImmediateOrCancel",
    "Canceled:FillOrKill",
    "Canceled:NoLiquidity",
    "Canceled:SelfMatch",
    "Canceled:MassCancel",
    "Canceled:Disconnected",
    "Canceled:KillSwitch",
    "Canceled:AuctionRemainder",
    "Canceled:ReplacedToNothing",
    "Canceled:Closed",
    "Market:System",
    "Market:Directory",
    "Market:TradingAction",
    "Market:Added",
    "Market:Executed",
    "Market:ExecutedAt",
    "Market:Reduced",
    "Market:Deleted",
    "Market:Replaced",
    "Market:Cross",
    "Market:Broken",
    "Market:Imbalance",
    "Refusal:UnknownInstrument",
    "Refusal:UnknownAccount",
    "Refusal:InvalidTerms",
    "Refusal:NotClosed",
    "Refusal:Capacity",
    "Refusal:UnknownTrade",
    "Refusal:AlreadyBusted",
    "Refusal:InvalidEventCode",
    "Timer",
    "CancelTimer",
    "Market:Extended",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each number draws one command, so that a failing list shrinks by dropping commands.
    #[test]
    fn any_commands_give_the_same_outputs_and_books_in_both_models(steps in prop::collection::vec(any::<u64>(), 1..150)) {
        let mut both = Comparison::new(steps.len() as u64);
        for step in steps {
            both.step(&mut Dice(step));
        }
        both.restore();
        both.compare_books();
    }
}
