//! What tshark's own dissector of SoupBinTCP reads in a capture.

use crate::interop::capture::Captured;

/// What tshark read: a row for each segment that has packets.
pub struct Capture {
    rows: Vec<Row>,
    ports: Vec<u16>,
    /// Segments that tshark holds for malformed, or cannot read.
    wrong: String,
}

struct Row {
    /// The client's port. `tcp.stream` will not do: this dissector begins another one behind each login.
    stream: u16,
    from_gateway: bool,
    kinds: String,
    numbers: Vec<u64>,
    next: Option<u64>,
}

/// A row for each segment of tshark's text.
fn rows(text: &str, ports: &[u16]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let number = |text: &str| text.split_whitespace().next()?.parse().ok();
    for line in text.lines().map(str::trim) {
        if let Some(tcp) = line.strip_prefix("Transmission Control Protocol, ") {
            let mut ends = tcp.split(", ").filter_map(|part| part.split_once(" Port: ")?.1.parse().ok());
            let (from, to): (u16, u16) = ends.next().zip(ends.next()).expect("two ports");
            let from_gateway = ports.contains(&from);
            let stream = if from_gateway { to } else { from };
            rows.push(Row { stream, from_gateway, kinds: String::new(), numbers: vec![], next: None });
        }
        let (Some(row), Some((what, value))) = (rows.last_mut(), line.split_once(": ")) else { continue };
        match what {
            "Packet Type" => {
                row.kinds.extend(value.split_once("('").and_then(|(_, rest)| rest.chars().next()))
            }
            "Sequence number" => row.numbers.extend(number(value)),
            "Next sequence number" => row.next = number(value),
            _ => {}
        }
    }
    rows
}

impl Capture {
    /// Reads what these gateways and their clients said.
    pub fn read(captured: &Captured, ports: &[u16]) -> Self {
        // The fields of numbers hold an X for each: only the text for humans has them.
        let text = captured.tshark(&["-Y", "soupbintcp", "-O", "soupbintcp"]);
        // How a client pads the number in its login is its own affair; gateways send no such packet.
        let wrong = captured.wrong("", "soupbintcp.req_seq_num.invalid");
        Self { rows: rows(&text, ports), ports: ports.to_vec(), wrong }
    }

    /// Holds that tshark has read every byte, and found nothing wrong.
    pub fn assert_sound(&self) {
        assert!(self.wrong.is_empty(), "malformed:\n{}", self.wrong);
        assert!(!self.rows.is_empty(), "no packet to or from {:?}", self.ports);
    }

    /// Connections in the order of their beginnings.
    pub fn streams(&self) -> Vec<u16> {
        let logins = self.rows.iter().filter(|row| row.kinds.starts_with('L'));
        logins.map(|row| row.stream).collect()
    }

    fn of(&self, stream: u16) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.stream == stream)
    }

    /// The letters of one side's packets.
    pub fn kinds(&self, stream: u16, from_gateway: bool) -> String {
        let rows = self.of(stream).filter(|row| row.from_gateway == from_gateway);
        rows.map(|row| row.kinds.as_str()).collect()
    }

    /// The number with which the login was accepted, and those that tshark counts from there on.
    pub fn numbers(&self, stream: u16) -> (u64, Vec<u64>) {
        let next = self.of(stream).find_map(|row| row.next).expect("a login that was accepted");
        (next, self.of(stream).flat_map(|row| row.numbers.iter().copied()).collect())
    }
}
