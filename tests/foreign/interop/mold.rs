//! What tshark's own dissector of MoldUDP64 reads in a capture, beside what our codec reads in the same
//! bytes.

use crate::interop::capture::Captured;
use moldudp64::packet::{COUNT_END, Downstream, Request};

/// What a datagram says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decoded {
    /// `Messages`, `Heartbeat`, `End Of Session` or `Request`.
    pub kind: String,
    /// The session, without its blanks.
    pub session: String,
    /// The number in its header.
    pub number: u64,
    /// The count in its header.
    pub count: u16,
    /// Number and bytes of each message.
    pub messages: Vec<(u64, Vec<u8>)>,
}

/// One datagram.
pub struct Row {
    /// The port that it went to.
    pub to: u16,
    /// As tshark reads it.
    pub decoded: Decoded,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

const FIELDS: [&str; 8] = [
    "udp.dstport",
    "udp.payload",
    "_ws.col.Info",
    "moldudp64.session",
    "moldudp64.sequence",
    "moldudp64.count",
    "moldudp64.msgseq",
    "moldudp64.msgdata",
];

/// All datagrams, in order; tshark has found nothing wrong in them.
pub fn rows(captured: &Captured) -> Vec<Row> {
    let invalid = "moldudp64.msglen.invalid || moldudp64.count.invalid || moldudp64.end_of_session_extra";
    assert_eq!(captured.wrong(invalid, ""), "", "malformed");
    let mut args = vec!["-Y", "moldudp64", "-T", "fields", "-E", "separator=|"];
    FIELDS.iter().for_each(|field| args.extend(["-e", field]));
    captured.tshark(&args).lines().map(row).collect()
}

fn row(line: &str) -> Row {
    let fields: Vec<&str> = line.split('|').collect();
    let [to, payload, info, session, number, count, numbers, texts] = fields[..] else { panic!("{line}") };
    let hex = |text: &str| -> Vec<u8> {
        // An empty message has no bytes to show.
        let digits = if text == "<MISSING>" { "" } else { text };
        let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
        pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect()
    };
    let numbers = numbers.split(',').filter(|text| !text.is_empty());
    let numbers: Vec<u64> = numbers.map(|text| text.parse().expect("a number")).collect();
    let texts: Vec<_> = texts.split(',').take(numbers.len()).map(hex).collect();
    assert_eq!(numbers.len(), texts.len(), "{line}");
    let decoded = Decoded {
        kind: info.trim_start_matches("MoldUDP64 ").to_owned(),
        session: session.trim().to_owned(),
        number: number.parse().expect("a number"),
        count: count.parse().expect("a count"),
        messages: numbers.into_iter().zip(texts).collect(),
    };
    Row { to: to.parse().expect("a port"), decoded, bytes: hex(payload) }
}

/// The same by our codec; `requests` is the port that is asked.
pub fn ours(row: &Row, requests: u16) -> Decoded {
    let text = |session: moldudp64::Session| String::from_utf8_lossy(session.as_bytes()).into_owned();
    if row.to == requests {
        let Request { session, seq, count } = Request::decode(&row.bytes).expect("a request");
        return Decoded {
            kind: "Request".into(),
            session: text(session),
            number: seq,
            count,
            messages: vec![],
        };
    }
    let datagram = Downstream::decode(&row.bytes).expect("a datagram of a feed");
    let (session, number) = (text(datagram.session()), datagram.seq());
    let decoded = |kind: &str, count| Decoded {
        kind: kind.to_owned(),
        session: session.clone(),
        number,
        count,
        messages: vec![],
    };
    match datagram {
        Downstream::Heartbeat { .. } => decoded("Heartbeat", 0),
        Downstream::EndOfSession { .. } => decoded("End Of Session", COUNT_END),
        Downstream::Messages(messages) => {
            let count = messages.len() as u16;
            let messages = messages.map(|(number, bytes)| (number, bytes.to_vec())).collect();
            Decoded { messages, ..decoded("Messages", count) }
        }
    }
}
