//! The same flow through a replica: messages of OUCH 5.0 from a journal in, messages of OUCH 5.0 and ITCH 5.0
//! out.
//!
//! A journal has the machine's outputs too, and a replica compares each with what its state has produced. So
//! the flow becomes the journal that a cluster would have written, and a new replica replays it: opened
//! clients, orders, and outputs each behind the order that they follow from.

use crate::{ROUNDS, Recorded};
use lockstep_core::engine::clients::nonce;
use lockstep_core::engine::subscriber::{Message, SubscriberEvent};
use lockstep_exchange::{
    ExchangeCommand, ExchangeMachine, ExchangeSettings, InstrumentTerms, NewOrder, Side, TimeInForce,
};
use lockstep_machine::{
    CHANNELS, Destination, EVERYBODY, Input, InputEvent, MachineCore, MachineSettings, Output, StateMachine,
};
use ouch50::codes::{Capacity, CrossType, Display, TimeInForce as OuchTimeInForce};
use ouch50::{CancelOrder, ClOrdId, EnterOrder, Inbound, Options, Price, ReplaceOrder, Symbol};
use std::time::Instant;

const NAME: &str = "exchange";
const GATEWAY: u32 = 1_000_000;
const OWN: u32 = 1_000_001;
const BEGAN: u64 = 1_700_000_000_000_000_000;
/// Stream time between two orders.
const STEP_NS: u64 = 1_000;

/// Nanoseconds an order: by the clock, and of this thread on a CPU, where others use the host too.
#[derive(Clone, Copy)]
struct Cost {
    clock: f64,
    cpu: f64,
}

/// Nanoseconds that this thread has run; none where the kernel does not say.
fn cpu_ns() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(f64::NAN)
}

impl Cost {
    fn of(orders: usize, run: impl FnOnce()) -> Self {
        let (began, before) = (Instant::now(), cpu_ns());
        run();
        let (clock, cpu) = (began.elapsed().as_nanos() as f64, cpu_ns() - before);
        Self { clock: clock / orders as f64, cpu: cpu / orders as f64 }
    }

    /// The best round of each.
    fn best(run: impl Fn() -> Self) -> Self {
        (0..ROUNDS).map(|_| run()).fold(Self { clock: f64::MAX, cpu: f64::MAX }, |best, round| Self {
            clock: best.clock.min(round.clock),
            cpu: best.cpu.min(round.cpu),
        })
    }
}

/// The commands of the flow in the engine alone, as often as their orders.
fn engine_alone(recorded: &Recorded) -> Cost {
    let mut running = crate::prepared(recorded);
    Cost::of(recorded.measured.len(), || recorded.measured.iter().for_each(|command| running.apply(command)))
}

/// One entry of the journal.
struct Entry {
    publisher: u32,
    destination: Destination,
    timestamp: u64,
    /// Where its payload ends; it begins where the one before ends.
    end: usize,
}

/// A journal: the opens, and the messages.
struct Journal {
    settings: ExchangeSettings,
    clients: Vec<(u32, String)>,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    /// The first entry that is measured.
    measured: usize,
    orders: usize,
    /// Messages that were answered by silence: a cancel of what has been executed.
    silent: u64,
}

/// Accounts are publishers' ids, which begin at 1.
fn publisher(account: u32) -> u32 {
    account + 1
}

fn entered(order: &NewOrder) -> Inbound {
    let is_day = order.time_in_force == TimeInForce::Day;
    Inbound::from(EnterOrder {
        user_ref_num: order.token,
        side: if order.side == Side::Buy { ouch50::Side::Buy } else { ouch50::Side::Sell },
        quantity: order.quantity,
        symbol: Symbol::new(&order.symbol.0).expect("a printable symbol"),
        price: Price(order.price),
        time_in_force: if is_day { OuchTimeInForce::Day } else { OuchTimeInForce::ImmediateOrCancel },
        display: Display::Visible,
        capacity: Capacity::Agency,
        is_sweep: false,
        cross_type: CrossType::Continuous,
        cl_ord_id: ClOrdId::new(b"BENCH").expect("ASCII"),
        options: Options::NONE,
    })
}

/// A command of the flow as its client sends it.
fn message_of(command: &ExchangeCommand) -> Option<(u32, Inbound)> {
    match *command {
        ExchangeCommand::Enter(ref order) => Some((publisher(order.account), entered(order))),
        ExchangeCommand::Replace(new) => {
            let message = ReplaceOrder {
                original: new.original,
                user_ref_num: new.token,
                quantity: new.quantity,
                price: Price(new.price),
                time_in_force: OuchTimeInForce::Day,
                display: Display::Visible,
                is_sweep: false,
                cl_ord_id: ClOrdId::new(b"BENCH").expect("ASCII"),
                options: Options::NONE,
            };
            Some((publisher(new.account), message.into()))
        }
        ExchangeCommand::Cancel { account, token: user_ref_num, quantity } => {
            let message = CancelOrder { user_ref_num, quantity, options: Options::NONE };
            Some((publisher(account), message.into()))
        }
        _ => None,
    }
}

fn line_of(terms: &InstrumentTerms) -> String {
    let InstrumentTerms { symbol, tick, lot, reference, .. } = terms;
    format!("instrument {symbol:?} tick {tick} lot {lot} reference {reference}")
}

/// What an exchange is founded with, and its clients.
fn founded(recorded: &Recorded) -> (ExchangeSettings, Vec<(u32, String)>) {
    let mut settings = ExchangeSettings::new(CHANNELS + 1, CHANNELS + 2);
    let mut clients = Vec::new();
    settings.rules = recorded.rules;
    for command in &recorded.setup {
        match command {
            ExchangeCommand::DefineInstrument(terms) => settings.opening.push(line_of(terms)),
            ExchangeCommand::SetPhase { .. } => settings.opening.push("phase * continuous".to_owned()),
            ExchangeCommand::SetAccount { account, .. } => {
                clients.push((publisher(*account), format!("client/{account}")));
            }
            _ => {}
        }
    }
    (settings, clients)
}

/// The machine after its opens, with what they make it publish.
fn connected(settings: &ExchangeSettings, clients: &[(u32, String)]) -> (ExchangeMachine, Output) {
    let mut machine = ExchangeMachine::new(settings.clone()).expect("rules of the bench");
    machine.prefault();
    let mut output = Output::default();
    let mut all = Output::new(BEGAN);
    for (at, (publisher, name)) in clients.iter().enumerate() {
        let event = InputEvent::Connected { user: &name["client/".len()..], publisher: *publisher };
        output.begin(BEGAN);
        machine.apply(&Input { seq: at as u64 + 3, time: BEGAN, event }, &mut output);
        output.published().for_each(|(to, payload)| all.publish(to, payload));
    }
    (machine, all)
}

impl Journal {
    fn push(&mut self, publisher: u32, destination: Destination, timestamp: u64, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
        self.entries.push(Entry { publisher, destination, timestamp, end: self.bytes.len() });
    }

    fn push_outputs(&mut self, output: &Output, timestamp: u64) {
        output.published().for_each(|(to, payload)| self.push(OWN, to, timestamp, payload));
    }

    /// What a cluster would have written for the flow.
    fn of(recorded: &Recorded) -> Self {
        let (settings, clients) = founded(recorded);
        let (mut machine, first) = connected(&settings, &clients);
        let (entries, bytes) = (Vec::new(), Vec::new());
        let mut journal = Self { settings, clients, entries, bytes, measured: 0, orders: 0, silent: 0 };
        journal.push_outputs(&first, BEGAN);
        let (mut output, mut payload, mut time) = (Output::default(), Vec::new(), BEGAN);
        for (at, command) in recorded.setup.iter().chain(&recorded.measured).enumerate() {
            if at == recorded.setup.len() {
                journal.measured = journal.entries.len();
            }
            let Some((publisher, message)) = message_of(command) else { continue };
            time += STEP_NS;
            payload.clear();
            message.append(&mut payload).expect("a message that can be written");
            journal.push(publisher, EVERYBODY, time, &payload);
            journal.orders += usize::from(at >= recorded.setup.len());
            let event = client_message(publisher, &payload);
            output.begin(time);
            machine.apply(&Input { seq: at as u64, time, event }, &mut output);
            journal.push_outputs(&output, time);
        }
        journal.silent = machine.ignored();
        journal
    }

    /// The messages from entry `from` to `to`.
    fn messages(&self, from: usize, to: usize) -> impl Iterator<Item = (u64, &Entry, &[u8])> {
        let mut begin = from.checked_sub(1).map_or(0, |before| self.entries[before].end);
        let first = self.clients.len() as u64 + 3 + from as u64;
        self.entries[from..to].iter().zip(first..).map(move |(entry, seq)| {
            let payload = &self.bytes[begin..entry.end];
            begin = entry.end;
            (seq, entry, payload)
        })
    }

    /// A replica that has replayed everything before the measured entries.
    fn replica(&self, digest_every: u64) -> MachineCore<ExchangeMachine> {
        let mut machine = ExchangeMachine::new(self.settings.clone()).expect("rules of the bench");
        machine.prefault();
        let settings = MachineSettings { name: NAME.to_owned(), digest_every };
        let mut core = MachineCore::new(settings, machine);
        let own = [(GATEWAY, "gateway/bench".to_owned()), (OWN, NAME.to_owned())];
        for ((publisher, name), seq) in own.iter().chain(&self.clients).zip(1..) {
            let event = SubscriberEvent::Opened {
                seq,
                timestamp: BEGAN,
                publisher: *publisher,
                incarnation: 1,
                nonce: nonce(GATEWAY, false, [0, 0]),
                last: 0,
                name,
            };
            core.on_event(&event, &mut |_, _| {}).expect("its own outputs");
        }
        self.replay(&mut core, 0, self.measured);
        core
    }

    fn replay(&self, core: &mut MachineCore<ExchangeMachine>, from: usize, to: usize) {
        for (seq, entry, payload) in self.messages(from, to) {
            let Entry { publisher, destination, timestamp, .. } = *entry;
            let publisher_seq = seq;
            let message = Message { seq, publisher, publisher_seq, destination, timestamp, payload };
            core.on_event(&SubscriberEvent::Message(message), &mut |_, _| {}).expect("its own outputs");
            while core.next_notice().is_some() {}
        }
    }

    /// An order in the machine alone: no journal, outputs are written and forgotten.
    fn machine_alone(&self) -> Cost {
        let (mut machine, _) = connected(&self.settings, &self.clients);
        let mut output = Output::default();
        let mut run = |from: usize, to: usize| {
            for (seq, entry, payload) in self.messages(from, to) {
                if entry.publisher != OWN {
                    let event = client_message(entry.publisher, payload);
                    output.begin(entry.timestamp);
                    machine.apply(&Input { seq, time: entry.timestamp, event }, &mut output);
                    std::hint::black_box(&output);
                }
            }
        };
        run(0, self.measured);
        Cost::of(self.orders, || run(self.measured, self.entries.len()))
    }

    /// An order in a replica.
    fn replayed(&self, digest_every: u64) -> Cost {
        let mut core = self.replica(digest_every);
        let cost = Cost::of(self.orders, || self.replay(&mut core, self.measured, self.entries.len()));
        assert_eq!(core.machine().ignored(), self.silent);
        cost
    }
}

fn client_message(publisher: u32, payload: &[u8]) -> InputEvent<'_> {
    InputEvent::Message { publisher, publisher_seq: 1, destination: EVERYBODY, user: Some("bench"), payload }
}

/// Prints what an order costs, from the engine alone to the replica.
pub fn measure(title: &str, recorded: &Recorded) {
    println!("\n## {title}, through a replica\n");
    let journal = Journal::of(recorded);
    let (entries, orders) = (journal.entries.len() - journal.measured, journal.orders);
    let before = journal.measured.checked_sub(1).map_or(0, |at| journal.entries[at].end);
    println!(
        "{orders} orders, cancels and replacements, {} of them answered by silence; {} messages of OUCH and ITCH \
         follow; {:.0} bytes an order in all",
        journal.silent,
        entries - orders,
        (journal.bytes.len() - before) as f64 / orders as f64
    );
    println!(
        "\n| in one go, best of {ROUNDS} | ns an order | M orders/s | M entries/s | ns of CPU | M orders/s of CPU |\n\
         |---|---|---|---|---|---|"
    );
    let each = entries as f64 / orders as f64;
    let row = |name: &str, per_order: f64, cost: Cost| {
        let Cost { clock, cpu } = cost;
        println!(
            "| {name} | {clock:.0} | {:.2} | {:.2} | {cpu:.0} | {:.2} |",
            1_000.0 / clock,
            1_000.0 * per_order / clock,
            1_000.0 / cpu
        );
    };
    let engine = Cost::best(|| engine_alone(recorded));
    let machine = Cost::best(|| journal.machine_alone());
    row("the engine alone", 1.0, engine);
    row("the machine: OUCH in, OUCH and ITCH out", 1.0, machine);
    let mut replica = machine;
    for digest_every in [1_000, 100_000] {
        let name = format!("a replica, from a journal; a digest every {digest_every} entries");
        replica = Cost::best(|| journal.replayed(digest_every));
        row(&name, each, replica);
    }
    println!(
        "\nwhat limits a replica: of {:.0} ns of CPU, {:.0} are matching, {:.0} are parsing, writing and open orders of \
         clients, and {:.0} are outputs that are awaited, read back and compared",
        replica.cpu,
        engine.cpu,
        machine.cpu - engine.cpu,
        replica.cpu - machine.cpu
    );
}
