//! Somebody else's OUCH client trades: Python's `nasdaq-protocols`, with messages that it generates of
//! a description of OUCH 5.0 in its format.

use lockstep_testkit::gateways::{add_user, start};
use lockstep_testkit::processes::{Cluster, example, free_address};
use lockstep_testkit::python::Python;
use std::process::Command;

/// The channels of operators and of the market.
const CHANNELS: &str = "\n[[channels]]\nid = 1\n\n[[channels]]\nid = 2\n";

/// What the two clients decode, in the order in which they wait for it.
const DECODED: &str = "\
alice OrderAccepted userRefNum=1 side=S quantity=100 price=100000 clOrdId=order 1
alice OrderReplaced origUserRefNum=1 userRefNum=2 side=S quantity=80 price=100100 clOrdId=order 2
bob OrderAccepted userRefNum=1 side=B quantity=30 price=100100 clOrdId=order 1
bob OrderExecuted userRefNum=1 quantity=30 price=100100 liquidityFlag=R
alice OrderExecuted userRefNum=2 quantity=30 price=100100 liquidityFlag=A
alice OrderCanceled userRefNum=2 quantity=30 reason=U
bob OrderAccepted userRefNum=2 side=B quantity=25 price=100100 clOrdId=order 2
bob OrderExecuted userRefNum=2 quantity=20 price=100100 liquidityFlag=R
alice OrderExecuted userRefNum=2 quantity=20 price=100100 liquidityFlag=A
bob OrderCanceled userRefNum=2 quantity=5 reason=U
";

#[test]
fn two_clients_of_nasdaq_protocols_trade_with_each_other() {
    let Some(exchange) = example("exchange") else { return };
    let python = Python::with("nasdaq-protocols==1.3.0")
        .map_err(|why| println!("SKIPPED: the Python client nasdaq-protocols cannot be had: {why}"));
    let Ok(python) = python else { return };
    let cluster = Cluster::new(1, CHANNELS);
    let _sequencers = cluster.found();
    add_user(&cluster, "alice", "secret", &[]);
    add_user(&cluster, "bob", "secret", &[]);
    let mut command = Command::new(exchange);
    command.current_dir(cluster.path("")).env("LOCKSTEP_CONFIG", cluster.config());
    command.args(["1", &free_address().to_string(), "300"]);
    let _replica = cluster.start_command("exchange-1", command);
    let gateway = start(&cluster, "1");
    let root = env!("CARGO_MANIFEST_DIR");
    let (host, port) = (gateway.address.ip().to_string(), gateway.address.port().to_string());
    let description = format!("{root}/crates/ouch50/tests/it/testdata/ouch50.xml");
    let script = format!("{root}/tests/foreign/exchange/ouch_traders.py");
    let decoded = python.run(&script, &[&description, &host, &port], "");
    let rejected = decoded.strip_prefix(DECODED).unwrap_or_else(|| panic!("{decoded}\nand not\n{DECODED}"));
    let lines: Vec<_> = rejected.lines().collect();
    assert!(
        matches!(lines[..], [line, "done"] if line.starts_with("bob Rejected userRefNum=3 ")),
        "{rejected}"
    );
}
