//! Payloads as fields: a schema is checked, and printed by what reads the stream and its journals.

use lockstep_testkit::processes::{Cluster, command, payloads, run};
use serde_json::{Value, json};

const ITCH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/bridge/itch50.toml");
const XML: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/lockstep-schema/tests/it/fills.xml");

/// An order of ITCH: shares of a stock at a price.
fn add_order(stock: &str, shares: u32, price: u32) -> String {
    let mut bytes = b"A".to_vec();
    bytes.extend([0; 18]);
    bytes.push(b'B');
    bytes.extend(shares.to_be_bytes());
    bytes.extend(format!("{stock:<8}").as_bytes());
    bytes.extend(price.to_be_bytes());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_schema_is_printed_and_a_wrong_one_is_refused_with_its_line() {
    let check = |file: &str, more: &[&str]| run(command(&[&["schema", "check", file], more].concat()), b"");
    let text = check(ITCH, &[]).with_code(0).out;
    assert!(text.contains("add_order: type 65 'A', 36 bytes, line ") && text.contains("decimals"), "{text}");
    let json: Value = serde_json::from_str(&check(XML, &["--json"]).with_code(0).out).expect("JSON");
    assert_eq!((&json["name"], &json["messages"][0]["type"]), (&json!("fills"), &json!(300)));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wrong.toml").display().to_string();
    let message =
        "[[message]]\nname = 'a'\nfields = [\n{ name = 'b', offset = 0, length = 9, kind = 'uint' }]\n";
    std::fs::write(&file, format!("name = 'x'\n{message}")).expect("a file");
    let wrong = check(&file, &[]).with_code(2);
    wrong.saying(&["wrong.toml: line 5: ", "field 'b': length 9: choose from 1 to 8"]);
    check("/nonexistent", &[]).with_code(2).saying(&["/nonexistent: No such file"]);
    let twice = message
        .replace("length = 9", "length = 2")
        .replace(" }]", " },\n{ name = 'c', offset = 1, length = 1, kind = 'uint' }]");
    std::fs::write(&file, format!("name = 'x'\n{twice}")).expect("a file");
    check(&file, &[]).with_code(0).saying(&["a: b and c share bytes"]);
}

#[test]
fn payloads_of_a_schema_are_printed_as_fields_and_all_others_as_they_are() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let input = format!("{}\n{}\n", add_order("AAPL", 100, 1_234_500), "7a0a");
    cluster.run(&["publish", "--name", "feed", "--hex"], input.as_bytes()).with_code(0);
    let fields = "stock_locate=0 tracking_number=0 time_ns=0 order_reference_number=0 buy_sell_indicator=B shares=100 \
                  stock=AAPL price=123.4500";
    let order = format!("add_order {fields}");
    let refused = "no message of the schema, printed as they are: 1 (1 type 122 'z', which no message has)";

    let read = cluster.read(&["--schema", ITCH]);
    assert_eq!(payloads(&read.out), [&*order, "z\\n"]);
    read.saying(&[refused, "messages 2, "]);
    let plain = cluster.read(&[]);
    assert!(!plain.err.contains("schema"), "{}", plain.err);

    let json = cluster.read(&["--json", "--schema", ITCH]).out;
    let rows: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(rows[0]["message_type"], "add_order");
    assert_eq!(
        (&rows[0]["fields"]["shares"], &rows[0]["fields"]["price"]),
        (&json!(100), &json!("123.4500"))
    );
    assert_eq!((rows[1].get("fields"), &rows[1]["payload_hex"]), (None, &json!("7a0a")));

    let journal = |args: &[&str]| {
        let dir = cluster.path("journal-1").display().to_string();
        cluster.run(&[&["journal"], args, &["--schema", ITCH, &dir]].concat(), b"").with_code(0)
    };
    let dumped = journal(&["dump"]);
    assert!(dumped.out.lines().any(|line| line.ends_with(&order)), "{}", dumped.out);
    dumped.saying(&[refused]);
    let found = journal(&["grep", "--format", "json", "AAPL"]);
    let row: Value = serde_json::from_str(&found.out).expect("JSON");
    assert_eq!((&row["message_type"], &row["fields"]["stock"]), (&json!("add_order"), &json!("AAPL")));
    let dir = cluster.path("journal-1").display().to_string();
    let hex = cluster.run(&["journal", "dump", "--format", "hex", "--schema", ITCH, &dir], b"").with_code(2);
    hex.saying(&["--format hex prints bytes: leave --schema out, or choose text or json"]);
    cluster.run(&["subscribe", "--raw", "--schema", ITCH], b"").with_code(2).saying(&["--schema"]);
    cluster.run(&["subscribe", "--schema", "/nonexistent"], b"").with_code(2).saying(&["No such file"]);
}
