//! A trader's desk with QuickFIX: its process, its requests, and what it was sent; and what the stream has of
//! it.

use lockstep::config::Config;
use lockstep_client::{Delivery, Endpoint, Start, Subscriber, SubscriberEvent};
use lockstep_demo::orders::{OrderFlow, OrderKind};
use lockstep_testkit::processes::{Cluster, PATIENCE, Process};
use ouch50::{Inbound, Outbound};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const LOOK: Duration = Duration::from_millis(10);

/// A request, as a row of the flow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    Order { name: String, symbol: String, side: u8, quantity: u32, price: u64 },
    Replace { name: String, original: String, symbol: String, side: u8, quantity: u32, price: u64 },
    Cancel { name: String, original: String, symbol: String, side: u8 },
}

impl Request {
    pub fn name(&self) -> &str {
        match self {
            Self::Order { name, .. } | Self::Replace { name, .. } | Self::Cancel { name, .. } => name,
        }
    }

    fn row(&self) -> String {
        let price_text = |price: &u64| format!("{}.{:04}", price / 10_000, price % 10_000);
        match self {
            Self::Order { name, symbol, side, quantity, price } => {
                format!("N {name} {symbol} {side} {quantity} {}\n", price_text(price))
            }
            Self::Replace { name, original, symbol, side, quantity, price } => {
                format!("R {name} {original} {symbol} {side} {quantity} {}\n", price_text(price))
            }
            Self::Cancel { name, original, symbol, side } => format!("C {name} {original} {symbol} {side}\n"),
        }
    }
}

/// Requests in their order.
pub struct Flow(Vec<Request>);

impl Flow {
    /// The first messages of the demo's flow: orders by turns to two desks, the rest to the desk of their
    /// order.
    pub fn recorded(count: u64) -> [Self; 2] {
        let flow = OrderFlow::recorded().expect("the recorded day");
        let mut desks = [Vec::new(), Vec::new()];
        // Of each order its desk, name and side.
        let mut known: BTreeMap<u64, (usize, String, u8)> = BTreeMap::new();
        for index in 0..count {
            let order = flow.message(index);
            let symbol = String::from_utf8_lossy(&order.instrument).trim().to_owned();
            let of = known.get(&order.order_id).cloned();
            if order.kind == OrderKind::New as u8 {
                let (desk, name) = (known.len() % 2, format!("o{}", order.order_id));
                known.insert(order.order_id, (desk, name.clone(), order.side));
                let (side, quantity, price) = (order.side, order.quantity, order.price);
                desks[desk].push(Request::Order { name, symbol, side, quantity, price });
            } else if let Some((desk, original, side)) = of {
                if order.kind == OrderKind::Cancel as u8 {
                    let name = format!("c{index}");
                    desks[desk].push(Request::Cancel { name, original, symbol, side });
                } else if order.kind == OrderKind::Replace as u8 {
                    let name = format!("o{}", order.new_order_id);
                    known.insert(order.new_order_id, (desk, name.clone(), side));
                    let (quantity, price) = (order.quantity, order.price);
                    desks[desk].push(Request::Replace { name, original, symbol, side, quantity, price });
                }
            }
        }
        desks.map(Self)
    }

    /// The same with longer names.
    pub fn named(self, prefix: &str) -> Self {
        let long = |text: String| format!("{prefix}{text}");
        let renamed = self.0.into_iter().map(|request| match request {
            Request::Order { name, symbol, side, quantity, price } => {
                Request::Order { name: long(name), symbol, side, quantity, price }
            }
            Request::Replace { name, original, symbol, side, quantity, price } => {
                Request::Replace { name: long(name), original: long(original), symbol, side, quantity, price }
            }
            Request::Cancel { name, original, symbol, side } => {
                Request::Cancel { name: long(name), original: long(original), symbol, side }
            }
        });
        Self(renamed.collect())
    }

    pub fn requests(&self) -> &[Request] {
        &self.0
    }
}

/// A message of the application that a desk was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    pub number: u64,
    pub is_again: bool,
    pub kind: String,
    pub name: String,
    /// OrigClOrdID; `-` without one.
    original: String,
    exec_type: String,
    pub exec_id: String,
}

impl Report {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<_> = line.strip_prefix("app ")?.split(' ').collect();
        let [number, again, kind, name, original, exec_type, _, _, _, _, _, _, exec_id, ..] = words[..]
        else {
            panic!("{line}")
        };
        Some(Self {
            number: number.parse().expect("a number"),
            is_again: again == "again",
            kind: kind.to_owned(),
            name: name.to_owned(),
            original: original.to_owned(),
            exec_type: exec_type.to_owned(),
            exec_id: exec_id.to_owned(),
        })
    }

    /// Whether it is the answer to this request, and no later report of its order.
    pub fn answers(&self, request: &Request) -> bool {
        let by = match request {
            Request::Order { .. } => &["0", "8"][..],
            Request::Replace { .. } => &["5", "4"],
            Request::Cancel { .. } => &["4"],
        };
        // An order that is canceled unasked is reported by its own name alone.
        let is_asked = matches!(request, Request::Order { .. }) || self.original != "-";
        self.name == request.name() && is_asked && (self.kind == "9" || by.contains(&self.exec_type.as_str()))
    }
}

/// Number and type of a message of the session.
fn admin(line: &str) -> Option<&str> {
    line.strip_prefix("admin ")?.split(' ').nth(2)
}

/// See the module.
pub struct Desk {
    process: Process,
    reader: JoinHandle<()>,
    lines: Arc<Mutex<Vec<String>>>,
    user: String,
    command: (PathBuf, Vec<String>),
    cluster: Arc<Cluster>,
    sends: usize,
}

impl Desk {
    pub fn start(
        cluster: &Arc<Cluster>,
        program: &Path,
        (user, version): (&str, &str),
        flow: &Flow,
        ports: &[u16],
    ) -> Self {
        let (store, rows) = (cluster.path(&format!("store-{user}")), cluster.path(&format!("flow-{user}")));
        std::fs::write(&rows, flow.0.iter().map(Request::row).collect::<String>()).expect("a file");
        let path = |path: &Path| path.to_str().expect("a path of text").to_owned();
        let args = vec![path(&store), version.to_owned(), user.to_owned(), "secret".to_owned(), path(&rows)];
        Self::run(Arc::clone(cluster), user, (program.to_owned(), args), ports)
    }

    fn run(cluster: Arc<Cluster>, user: &str, command: (PathBuf, Vec<String>), ports: &[u16]) -> Self {
        let mut process = Command::new(&command.0);
        process.args(&command.1).args(ports.iter().map(u16::to_string)).current_dir(cluster.path(""));
        process.stdin(std::process::Stdio::piped());
        process.envs(super::dictionaries::folder().map(|folder| ("FIX_DICTIONARIES", folder)));
        let mut process = cluster.start_command(&format!("initiator-{user}"), process);
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (out, sink) = (BufReader::new(process.take_stdout()), Arc::clone(&lines));
        let reader = std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                sink.lock().expect("no reader panics").push(line);
            }
        });
        Self { process, reader, lines, user: user.to_owned(), command, cluster, sends: 0 }
    }

    /// Ends it, and starts it with the same store, at other gateways.
    pub fn restart(mut self, ports: &[u16]) -> Self {
        self.say("quit");
        assert!(self.process.wait().success(), "{}", self.process.log());
        self.reader.join().expect("it reads to the end");
        Self::run(self.cluster, &self.user, self.command, ports)
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    fn say(&mut self, command: &str) {
        let stdin = self.process.stdin().as_mut().expect("piped");
        writeln!(stdin, "{command}").expect("it reads");
    }

    /// Begins to send the next rows.
    pub fn begin_send(&mut self, count: usize) {
        self.sends += 1;
        self.say(&format!("send {count}"));
    }

    /// Waits until all of them are sent, or stored.
    pub fn await_sent(&mut self) {
        let sends = self.sends;
        self.until("its rows to be sent", |lines| {
            lines.iter().filter(|line| *line == "done").count() >= sends
        });
    }

    pub fn send(&mut self, count: usize) {
        self.begin_send(count);
        self.await_sent();
    }

    /// Passes over rows that were sent before it was started again.
    pub fn skip(&mut self, count: usize) {
        self.sends += 1;
        self.say(&format!("skip {count}"));
        self.await_sent();
    }

    pub fn log_out(&mut self) {
        self.say("logout");
        self.until("its logout", |lines| lines.iter().any(|line| admin(line) == Some("5")));
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no reader panics").clone()
    }

    /// All messages of the application, in the order in which the engine passed them on.
    pub fn messages(&self) -> Vec<Report> {
        self.lines().iter().filter_map(|line| Report::parse(line)).collect()
    }

    /// All that it was sent about this name.
    pub fn about(&self, name: &str) -> Vec<String> {
        let of = format!(" {name} ");
        self.lines().into_iter().filter(|line| line.contains(&of)).collect()
    }

    pub fn logons(&self) -> usize {
        self.lines().iter().filter(|line| *line == "on").count()
    }

    /// Whether QuickFIX has rejected a message by its dictionary, or as one of a kind that it does not know.
    pub fn has_rejected(&self) -> bool {
        self.lines().iter().any(|line| ["sent 3", "sent j"].contains(&&**line))
    }

    /// Whether either side has asked for messages again.
    pub fn has_resend(&self) -> bool {
        self.lines().iter().any(|line| line == "sent 2" || admin(line) == Some("2"))
    }

    #[track_caller]
    fn until(&mut self, what: &str, is_so: impl Fn(&[String]) -> bool) {
        let began = Instant::now();
        while !is_so(&self.lines()) {
            let ended = self.process.ended();
            let is_late = began.elapsed() > PATIENCE || ended.is_some();
            let lines = self.lines();
            let last = &lines[lines.len().saturating_sub(40)..];
            assert!(!is_late, "{} waits for {what}; {ended:?}: {last:#?}\n{}", self.user, self.process.log());
            std::thread::sleep(LOOK);
        }
    }

    #[track_caller]
    pub fn await_logons(&mut self, count: usize) {
        self.until("a logon", |lines| lines.iter().filter(|line| *line == "on").count() >= count);
    }

    #[track_caller]
    pub fn await_answers(&mut self, requests: &[Request]) {
        let requests = requests.to_vec();
        self.until("all of its answers", |lines| {
            let reports: Vec<_> = lines.iter().filter_map(|line| Report::parse(line)).collect();
            let mut by_name: BTreeMap<&str, Vec<&Report>> = BTreeMap::new();
            reports.iter().for_each(|report| by_name.entry(&report.name).or_default().push(report));
            let has = |request: &Request| {
                by_name.get(request.name()).is_some_and(|of| of.iter().any(|report| report.answers(request)))
            };
            requests.iter().all(has)
        });
    }

    /// Waits for so many execution reports.
    #[track_caller]
    pub fn await_reports(&mut self, count: usize) {
        self.until("all of its reports", |lines| {
            let reports = lines.iter().filter_map(|line| Report::parse(line));
            let ids = reports.filter(|report| report.kind == "8").map(|report| report.exec_id);
            ids.collect::<BTreeSet<_>>().len() >= count
        });
    }
}

/// What the stream has of a user.
#[derive(Debug, Default)]
pub struct Entries {
    /// Names of its orders and replacements, each as often as it is stamped.
    pub orders: Vec<String>,
    pub cancels: usize,
    /// Answers of the exchange that are execution reports.
    pub reports: usize,
}

/// Reads the committed stream up to its end.
pub fn entries_of(cluster: &Cluster, user: &str) -> Entries {
    let config = Config::load(Some(&cluster.config()), &[]).unwrap_or_else(|errors| panic!("{errors}"));
    let endpoint: Endpoint = Endpoint::from_config(&config).unwrap_or_else(|errors| panic!("{errors}"));
    let mut subscriber =
        Subscriber::connect(&endpoint, Delivery::Committed, Start::From(1)).expect("a subscriber");
    let (mut entries, mut id, mut replacements) = (Entries::default(), None, Vec::new());
    let (name, began) = (format!("client/{user}"), Instant::now());
    let mut is_at_end = false;
    while !is_at_end {
        assert!(began.elapsed() < PATIENCE, "the stream has no end");
        subscriber.poll(256, |event| {
            match event {
                SubscriberEvent::Opened { publisher, name: opened, .. } if opened == name => {
                    id = Some(publisher)
                }
                SubscriberEvent::Message(message) if Some(message.publisher) == id => {
                    match Inbound::parse(message.payload) {
                        Ok(Inbound::EnterOrder(order)) => {
                            entries.orders.push(String::from_utf8_lossy(order.cl_ord_id.text()).into_owned());
                        }
                        Ok(Inbound::ReplaceOrder(order)) => {
                            replacements.push(order.user_ref_num);
                            entries.orders.push(String::from_utf8_lossy(order.cl_ord_id.text()).into_owned());
                        }
                        Ok(Inbound::CancelOrder(_)) => entries.cancels += 1,
                        other => panic!("{other:?}"),
                    }
                }
                SubscriberEvent::Message(message) if Some(message.destination) == id => {
                    let is_report = match Outbound::parse(message.payload).expect("OUCH 5.0") {
                        Outbound::Accepted(_)
                        | Outbound::Executed(_)
                        | Outbound::Canceled(_)
                        | Outbound::Replaced(_) => true,
                        Outbound::Rejected(rejected) => !replacements.contains(&rejected.user_ref_num),
                        _ => false,
                    };
                    entries.reports += usize::from(is_report);
                }
                SubscriberEvent::CaughtUp { .. } => is_at_end = true,
                _ => {}
            }
            ControlFlow::Continue(())
        });
    }
    entries
}
