//! Datagrams for the dissector: each sample and each word of each table, and then what is wrong with them.

use crate::wireshark::samples::{self, STANDBY, entries, frame, header, member, small, submission};
use lockstep_memory::rng::Rng;
use lockstep_wire::Keyring;
use lockstep_wire::*;

/// A datagram, and how a failed test calls it.
pub type Case = (String, Vec<u8>);

/// What travels, and is right: every kind, every kind of entry both ways, every word.
pub fn sound() -> Vec<Case> {
    let travelling = samples::datagrams().into_iter().filter(|(name, _)| samples::travels(name));
    let mut cases: Vec<Case> = travelling.map(|(name, bytes)| (name.to_owned(), bytes)).collect();
    let mut push = |name: String, bytes| cases.push((name, bytes));
    let entries = entries();
    for (name, entry, payload) in &entries {
        push(format!("a frame with: {name}"), frame(header(Kind::Frame), &[(*entry, payload)], 0));
        push(format!("submitted: {name}"), submission(header(Kind::Submission), &[(*entry, payload)]));
    }
    let all = entries.iter().map(|(_, entry, payload)| (*entry, payload.as_slice()));
    let all: Vec<_> = all.filter(|(entry, _)| !begins_an_epoch(entry)).collect();
    push(
        "a frame with all entries that begin no epoch".into(),
        frame(header(Kind::Frame), &all, DATAGRAM_LEN_MAX & !7),
    );
    push("a submission of nothing".into(), submission(header(Kind::Submission), &[]));
    push("an unknown epoch".into(), frame(Header { epoch: 0, ..header(Kind::Frame) }, &all[..2], 0));
    words(&mut push);
    cases
}

/// Whether it is the first entry of its frame, or of none.
fn begins_an_epoch(entry: &EntryHeader) -> bool {
    [EntryKind::Genesis, EntryKind::EpochStart].iter().any(|kind| *kind as u8 == entry.kind)
}

/// One datagram for each word of each table of words.
fn words(push: &mut impl FnMut(String, Vec<u8>)) {
    let sample = |name: &str| {
        let found = samples::datagrams().into_iter().find(|(found, _)| *found == name);
        found.expect("a sample").1
    };
    // Bodies are the samples', with one word changed.
    let mut changed = |name: &str, at: usize, word: &[u8]| {
        let mut bytes = sample(name);
        bytes[HEADER_LEN + at..][..word.len()].copy_from_slice(word);
        push(format!("{name}, {word:?} at {at}"), resealed(bytes));
    };
    let numbers = 0..=u32::from(u8::MAX);
    for reason in numbers.clone().filter(|&number| RepairReject::from_u32(number).is_some()) {
        changed("answer", 32, &reason.to_le_bytes());
    }
    for denied in numbers.clone().filter(|&number| number == 0 || CommandReject::from_u32(number).is_some()) {
        changed("verdict", 12, &denied.to_le_bytes());
        changed("status", 80, &denied.to_le_bytes());
    }
    for end in numbers.clone().filter(|&number| number == 0 || ReplayEndReason::from_u32(number).is_some()) {
        changed("replay answer", 16, &end.to_le_bytes());
        changed("replay mark", 16, &end.to_le_bytes());
    }
    for term in numbers.clone().filter(|&number| LeaseReply::from_u32(number).is_some()) {
        changed("lease", 0, &term.to_le_bytes());
    }
    for groups in 0..=GROUPS_ALL {
        changed("join", 0, &groups.to_le_bytes());
    }
    for notice in numbers.clone().filter(|&number| PublisherNotice::from_u32(number).is_some()) {
        // A publisher without room has no id yet.
        let publisher = u32::from(notice != PublisherNotice::TableFull as u32);
        let row = NoticeRow { publisher, incarnation: 1, from: 1, to: 2, notice, key: 0 };
        changed("notice", 0, bytemuck::bytes_of(&row));
    }
    for suspicion in
        (0..=u8::MAX).filter(|&number| number == 0 || LeaderLossReason::from_u8(number).is_some())
    {
        changed("status", 85, &[suspicion]);
    }
    // The first of its two conditions, which is graver than the other one in every order of them.
    for condition in Condition::ALL.iter().filter(|known| known.index() < Condition::DiskFull.index()) {
        changed("status", 88 + 48, &(*condition as u16).to_le_bytes());
    }
    for role in 0..4u8 {
        changed("status", 84, &[role]);
        changed("reply", 20, &u32::from(role).to_le_bytes());
    }
    for durability in 0..2 {
        changed("status", 86, &[durability]);
    }
    changed("status", 88 + 26, &[ROLE_WITNESS]);
    queries(push);
}

/// Each kind of query; an order with and without a proof.
fn queries(push: &mut impl FnMut(String, Vec<u8>)) {
    for query_kind in (0..=u32::from(u8::MAX)).filter_map(QueryKind::from_u32) {
        let name = match query_kind {
            QueryKind::Node
            | QueryKind::Status
            | QueryKind::Probe
            | QueryKind::Release
            | QueryKind::Times => "",
            QueryKind::Events | QueryKind::Time => "18446744073709551615",
            QueryKind::Publisher => "risk-é",
            QueryKind::Handover | QueryKind::DeclareDead => "3:0b4e8d2",
            QueryKind::Upgrade => "4",
            QueryKind::Acknowledge => "1017 9999998",
        };
        let asked = |out: &mut [u8]| {
            let header = header(Kind::Query);
            write_query(out, &Keyring::none(header.cluster), header, 7, query_kind, name)
        };
        push(format!("question {query_kind:?}"), small(asked));
        let signed = |out: &mut [u8]| {
            let header = header(Kind::Query);
            let (keys, query) = (Keyring::none(header.cluster), (query_kind, name));
            write_order(out, &keys, header, 7, query, Some(&samples::proof()))
        };
        if query_kind.is_order() {
            push(format!("signed question {query_kind:?}"), small(signed));
        }
    }
}

fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let header = Header::peek(&bytes).expect("whole");
    seal(&mut bytes, header);
    bytes
}

fn drawn(rng: &mut Rng, length: u64) -> Vec<u8> {
    (0..length).map(|_| rng.next_u64() as u8).collect()
}

/// Datagrams that are wrong in one way or another, as a broken network or a foreign peer makes it; some of it
/// is right by chance. None is empty: without bytes Wireshark asks nobody.
pub fn spoilt() -> Vec<Case> {
    let rng = &mut Rng::new(0x10c5);
    let mut cases: Vec<Case> = Vec::new();
    let records = samples::datagrams().into_iter().filter(|(name, _)| !samples::travels(name));
    cases.extend(records.map(|(name, bytes)| (format!("on the network: {name}"), bytes)));
    for (name, bytes) in sound() {
        let length = bytes.len();
        for len in
            [1, 3, 4, 5, 23, 24, 103, 104, 111, 112, length - 8, length - 1].iter().filter(|&&n| n < length)
        {
            cases.push((format!("{len} bytes of: {name}"), bytes[..*len].to_vec()));
        }
        for more in [1, 8, REPAIR_TRAILER_LEN].into_iter().filter(|more| length + more <= DATAGRAM_LEN_MAX) {
            cases.push((format!("{more} zeros behind: {name}"), [bytes.as_slice(), &vec![0; more]].concat()));
        }
        if length > HEADER_LEN + 8 {
            cases.push((format!("sealed 8 bytes too short: {name}"), resealed(bytes[..length - 8].to_vec())));
        }
        let mut damaged = |name: &str, sealed: bool, at: usize, with: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = with;
            let bytes = if sealed { resealed(bytes) } else { bytes };
            cases.push((format!("byte {at} of {length} is {with}, sealed: {sealed}: {name}"), bytes));
        };
        for _ in 0..4 {
            let at = rng.below(length as u64) as usize;
            damaged(&name, false, at, bytes[at] ^ 1 << rng.below(8));
        }
        for _ in 0..24 {
            // Bodies more often than headers, and small values more often than large ones.
            let from = if rng.below(4) == 0 || length <= HEADER_LEN { 4 } else { HEADER_LEN };
            let at = from + rng.below((length - from) as u64) as usize;
            let with = if rng.below(2) == 0 { rng.below(20) } else { rng.next_u64() };
            damaged(&name, true, at, with as u8);
        }
    }
    for kind in 0..=u8::MAX {
        for _ in 0..if Kind::from_u8(kind).is_some() { 12 } else { 1 } {
            let length = HEADER_LEN as u64 + 8 * rng.below(20);
            let mut bytes = drawn(rng, length);
            let with =
                Header { count: rng.below(4) as u16, flags: rng.below(8) as u16 / 6, ..header(Kind::Ack) };
            seal(&mut bytes, Header { kind, ..with });
            cases.push((format!("anything as kind {kind}"), bytes));
        }
    }
    for _ in 0..200 {
        let length = 1 + rng.below(400);
        let mut bytes = drawn(rng, length);
        cases.push(("anything".into(), bytes.clone()));
        let front = [b'L', b'K', b'S', b'T', VERSION, rng.below(26) as u8];
        let known = front.len().min(bytes.len());
        bytes[..known].copy_from_slice(&front[..known]);
        cases.push(("anything behind our first bytes".into(), bytes));
    }
    let last = [(samples::entry(EntryKind::Message), b"x".as_slice()); 2];
    for first_seq in [0, u64::MAX - 2, u64::MAX - 1, u64::MAX] {
        let header = Header { first_seq, ..header(Kind::Frame) };
        cases.push((format!("two entries from seq {first_seq} on"), frame(header, &last, 0)));
    }
    for (name, entry, payload) in entries().iter().filter(|(_, entry, _)| begins_an_epoch(entry)) {
        let behind = [last[0], (*entry, payload.as_slice()), last[0]];
        cases.push((format!("behind a message: {name}"), frame(header(Kind::Frame), &behind, 0)));
    }
    cases.extend(payloads());
    cases.extend(names());
    cases
}

/// Payloads of control entries that contradict themselves: cut, too long, or with one byte changed.
fn payloads() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, entry, payload) in entries().into_iter().filter(|(name, ..)| !name.contains("message")) {
        let mut push = |what: String, payload: &[u8]| {
            // A second entry, so that what is wrong inside the first is seen to end there.
            let all = [(entry, payload), (samples::entry(EntryKind::Message), b"behind".as_slice())];
            cases.push((format!("{name}: {what}"), frame(header(Kind::Frame), &all, 0)));
        };
        for length in 0..payload.len() {
            push(format!("{length} bytes"), &payload[..length]);
        }
        push("a byte too many".into(), &[payload.as_slice(), &[1]].concat());
        push("a member too many".into(), &[payload.as_slice(), &[0; 32]].concat());
        for at in 0..payload.len() {
            let mut payload = payload.clone();
            payload[at] = 9;
            push(format!("byte {at} is 9"), &payload);
        }
    }
    let rows = |count: usize| bytemuck::cast_slice(&vec![member(STANDBY); count]).to_vec();
    for count in 0..10 {
        let genesis = [(samples::entry(EntryKind::Genesis), &rows(count)[..])];
        cases.push((format!("a birth of {count}"), frame(header(Kind::Frame), &genesis, 0)));
    }
    cases
}

/// Names at the borders of what is text, and orders at the borders of what is an identity.
fn names() -> Vec<Case> {
    let texts: [&[u8]; 16] = [
        b"\x7f",
        b"\x80",
        b"\xc1\xbf",
        b"\xc2\x80",
        b"\xe0\x9f\xbf",
        b"\xe0\xa0\x80",
        b"\xed\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xef\xbf\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xf0\x90\x80\x80",
        b"\xf4\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"a\xe2\x82",
        b"\xe2\x28\xa1",
    ];
    let orders = [
        "1:1",
        "0:1",
        "255:fffffff",
        "256:1",
        "1:10000000",
        "1:0",
        "+1:+A",
        "1:",
        ":1",
        "1:1:1",
        " 1:1",
        "1:0g",
    ];
    let asked = |query_kind: QueryKind, name: &[u8]| {
        let mut bytes = vec![0; HEADER_LEN + 16 + name.len().next_multiple_of(8)];
        let body = QueryBody { token: 1, query_kind: query_kind as u32, name_len: name.len() as u32 };
        bytes[HEADER_LEN..][..16].copy_from_slice(bytemuck::bytes_of(&body));
        bytes[HEADER_LEN + 16..][..name.len()].copy_from_slice(name);
        seal(&mut bytes, header(Kind::Query));
        (format!("{query_kind:?} {}", name.escape_ascii()), bytes)
    };
    let long = [b'x'; NAME_LEN_MAX + 1];
    let mut cases = vec![asked(QueryKind::Publisher, &long), asked(QueryKind::Publisher, &long[1..])];
    cases.extend(texts.map(|text| asked(QueryKind::Publisher, text)));
    for query_kind in [QueryKind::Handover, QueryKind::DeclareDead] {
        cases.extend(orders.map(|order| asked(query_kind, order.as_bytes())));
        cases.push(asked(query_kind, b""));
    }
    cases
}
