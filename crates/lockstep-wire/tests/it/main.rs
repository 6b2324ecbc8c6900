//! # The wire's promises
//!
//! The bytes never change by accident (golden bytes), decoding survives and checks everything (properties),
//! and each refusal has the right reason.

mod capacity;
mod events;
mod golden;
mod golden_4;
mod golden_entries;
mod orders;
mod properties;
mod samples;

use lockstep_wire::Keyring;
use lockstep_wire::*;
use samples::{CLUSTER, datagrams, entries, entry, entry_bytes, frame, header, submission};

// ---------------------------------------------------------------------------- golden bytes

/// Sixteen bytes a line, in hex.
fn hex(bytes: &[u8]) -> String {
    let line = |chunk: &[u8]| chunk.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    bytes.chunks(16).map(line).collect::<Vec<_>>().join("\n")
}

/// Compares with the golden text of this name, and prints the text for these bytes.
fn assert_golden(table: &[(&str, &str)], name: &str, bytes: &[u8]) {
    let golden = table.iter().find(|(golden, _)| *golden == name).map_or("nothing", |(_, golden)| golden);
    assert!(golden.trim() == hex(bytes), "{name}: golden\n{}\nnow\n{}", golden.trim(), hex(bytes));
}

#[test]
fn every_datagram_and_record_has_its_golden_bytes() {
    let samples = datagrams();
    let golden = [golden::DATAGRAMS, golden_4::DATAGRAMS].concat();
    for (name, bytes) in &samples {
        assert_golden(&golden, name, bytes);
    }
    assert_eq!(samples.len(), golden.len(), "one golden text per sample");
    let kinds = (0..=u8::MAX).filter_map(Kind::from_u8);
    let missing: Vec<_> =
        kinds.filter(|&kind| !samples.iter().any(|(_, bytes)| bytes[5] == kind as u8)).collect();
    assert!(missing.is_empty(), "no sample of {missing:?}");
}

#[test]
fn every_entry_has_its_golden_bytes() {
    let samples = entries();
    for (name, header, payload) in &samples {
        assert_golden(golden_entries::ENTRIES, name, &entry_bytes(*header, payload));
    }
    assert_eq!(samples.len(), golden_entries::ENTRIES.len(), "one golden text per sample");
    let kinds = (0..=u8::MAX).filter_map(EntryKind::from_u8);
    let missing: Vec<_> =
        kinds.filter(|&kind| !samples.iter().any(|(_, h, _)| h.kind == kind as u8)).collect();
    assert!(missing.is_empty(), "no sample of {missing:?}");
}

#[test]
fn the_chain_mixes_every_input() {
    let base = header(Kind::Frame);
    // The value itself is golden: all nodes of a cluster must compute the same.
    assert_eq!(chain_after(&base), golden::CHAIN);
    let changed = [
        Header { chain: base.chain ^ 1, ..base },
        Header { epoch: base.epoch ^ 1, ..base },
        Header { first_seq: base.first_seq ^ 1, ..base },
        Header { count: 1, ..base },
        Header { number: base.number ^ 1, ..base },
    ];
    let mut chains: Vec<_> = changed.iter().map(chain_after).collect();
    chains.push(golden::CHAIN);
    chains.sort_unstable();
    chains.dedup();
    assert_eq!(chains.len(), changed.len() + 1);
}

// ---------------------------------------------------------------------------- sizes

#[test]
fn fifteen_messages_of_64_bytes_fit_1472_with_the_repair_trailer() {
    let frame_len_max = frame_len_max(1500);
    let mut open = OpenFrame::default();
    let mut memory = vec![0; frame_len_max];
    while open.fits(64, frame_len_max) {
        assert!(open.push(&mut memory, entry(EntryKind::Message), &[7; 64]));
    }
    assert_eq!(open.count(), 15);
    assert!(open.len() + REPAIR_TRAILER_LEN <= 1472);
    assert!(frame_len_max + REPAIR_TRAILER_LEN <= 1472 && frame_len_max.is_multiple_of(8));
}

#[test]
fn the_largest_frame_of_a_jumbo_network_is_a_datagram_with_its_trailer() {
    let length = frame_len_max(9000);
    assert!(length + REPAIR_TRAILER_LEN <= DATAGRAM_LEN_MAX);
    let payload = vec![1; length - HEADER_LEN - ENTRY_HEADER_LEN];
    let bytes = frame(header(Kind::Frame), &[(entry(EntryKind::Message), &payload)], 0);
    assert_eq!(bytes.len(), length);
    assert!(Datagram::decode(&bytes, &Keyring::none(CLUSTER)).is_ok());
}

#[test]
fn frames_of_a_burst_have_one_size_and_padding_carries_nothing() {
    let payloads: [&[u8]; 3] = [b"", b"one", &[9; 64]];
    let burst =
        payloads.map(|payload| frame(header(Kind::Frame), &[(entry(EntryKind::Message), payload)], 256));
    for (bytes, payload) in burst.iter().zip(payloads) {
        assert_eq!(bytes.len(), 256, "GSO demands one size");
        let Ok(Datagram::Frame(view, None)) = Datagram::decode(bytes, &Keyring::none(CLUSTER)) else {
            panic!("a frame")
        };
        let seen: Vec<_> = view.entries().map(|entry| entry.payload).collect();
        assert_eq!(seen, [payload]);
        assert_eq!(view.bytes, bytes);
    }
}

#[test]
fn an_entry_that_does_not_fit_leaves_the_frame_as_it_was() {
    let mut memory = vec![0; 256];
    let mut open = OpenFrame::default();
    assert!(open.push(&mut memory, entry(EntryKind::Message), &[1; 64]));
    let (before, before_all) = (open, memory.clone());
    assert!(!open.fits(64, 256) && !open.push(&mut memory, entry(EntryKind::Message), &[2; 64]));
    assert_eq!((open, memory), (before, before_all));
}

// ---------------------------------------------------------------------------- refusals

/// The bytes with one change, sealed again, as a foreign or broken peer would send them.
fn resealed(mut bytes: Vec<u8>, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    change(&mut bytes);
    let header = Header::peek(&bytes).expect("whole");
    seal(&mut bytes, header);
    bytes
}

fn refusal(bytes: &[u8]) -> Reject {
    Datagram::decode(bytes, &Keyring::none(CLUSTER)).expect_err("refused")
}

fn sample(name: &str) -> Vec<u8> {
    datagrams().into_iter().find(|(found, _)| *found == name).expect("a sample").1
}

#[test]
fn everything_wrong_is_refused_for_its_own_reason() {
    let message: &[(EntryHeader, &[u8])] = &[(entry(EntryKind::Message), b"x")];
    let with = |change: fn(&mut Header)| {
        let mut header = header(Kind::Frame);
        change(&mut header);
        frame(header, message, 0)
    };
    let entry_with =
        |change: fn(&mut [u8])| resealed(sample("frame"), |bytes| change(&mut bytes[HEADER_LEN..]));
    let cases: Vec<(&str, Vec<u8>, Reject)> = vec![
        ("half a header", sample("ack")[..HEADER_LEN - 1].to_vec(), Reject::Short),
        ("nothing", vec![], Reject::Short),
        ("another protocol", with(|h| h.magic ^= 1), Reject::Magic),
        ("an older peer", with(|h| h.version = VERSION_MIN - 1), Reject::Version { seen: VERSION_MIN - 1 }),
        ("a newer peer", with(|h| h.version = VERSION + 1), Reject::Version { seen: VERSION + 1 }),
        (
            "a key",
            {
                let mut b = sample("ack");
                b[6] = 1;
                b
            },
            Reject::Key,
        ),
        ("kind 99", with(|h| h.kind = 99), Reject::Kind),
        ("a journal record on the network", sample("switch"), Reject::Kind),
        ("a cut datagram", sample("reply")[..HEADER_LEN + 48].to_vec(), Reject::Length),
        ("bytes behind an ack", [sample("ack"), vec![0; 48]].concat(), Reject::Length),
        ("bytes behind a frame", [sample("frame"), vec![0; 8]].concat(), Reject::Length),
        (
            "a changed byte",
            {
                let mut b = sample("ack");
                b[40] ^= 1;
                b
            },
            Reject::Checksum,
        ),
        (
            "a changed trailer",
            {
                let mut b = sample("repair");
                let at = b.len() - 40;
                b[at] ^= 1;
                b
            },
            Reject::Checksum,
        ),
        ("another cluster", with(|h| h.cluster = 5), Reject::Cluster { seen: 5 }),
        ("a frame without entries", frame(header(Kind::Frame), &[], 0), Reject::Count),
        ("a frame at seq 0", with(|h| h.first_seq = 0), Reject::Count),
        ("more entries than bytes", resealed(sample("submission"), |b| b[28] = 2), Reject::Count),
        ("33 ranges", nack(33, 0, |at| SeqRange { from: at, to: at + 1 }), Reject::Count),
        ("a nack for nothing", nack(0, 0, |at| SeqRange { from: at, to: at }), Reject::Count),
        ("a nack for a start and ranges", nack(1, 1, |at| SeqRange { from: at, to: at + 1 }), Reject::Count),
        ("a flag of a frame", with(|h| h.flags = 1), Reject::Flags),
        ("a flag of an ack", resealed(sample("ack"), |b| b[30] = 1), Reject::Flags),
        ("a flag of an entry", entry_with(|e| e[1] = 4), Reject::Flags),
        ("a part of what is no message", entry_with(|e| (e[0], e[1]) = (3, 1)), Reject::Flags),
        ("entry kind 0", entry_with(|e| e[0] = 0), Reject::EntryKind),
        (
            "an epoch that begins behind another entry of its frame",
            frame(header(Kind::Frame), &[message[0], (entry(EntryKind::EpochStart), b"y")], 0),
            Reject::EntryKind,
        ),
        ("an entry beyond its frame", entry_with(|e| e[3] = 1), Reject::EntryLength),
        ("a stream at its end", with(|h| h.first_seq = u64::MAX), Reject::Seq),
        ("an empty range", nack(1, 0, |_| SeqRange { from: 4, to: 4 }), Reject::Body),
        ("a range from 0", nack(1, 0, |_| SeqRange { from: 0, to: 4 }), Reject::Body),
        ("refusal 9", resealed(sample("answer"), |b| b[HEADER_LEN + 32] = 9), Reject::Body),
        ("topic 8", resealed(sample("question"), |b| b[HEADER_LEN + 8] = 8), Reject::Body),
        (
            "a question for events below no number",
            resealed(sample("question for events"), |b| b[HEADER_LEN + 16] = b'-'),
            Reject::Body,
        ),
        (
            "an event beyond the next one",
            resealed(sample("events"), |b| b[HEADER_LEN + 24] = 9),
            Reject::Body,
        ),
        (
            "events that are not newest first",
            resealed(sample("events"), |b| b[HEADER_LEN + 40] = 7),
            Reject::Body,
        ),
        ("an event below its page", resealed(sample("events"), |b| b[HEADER_LEN + 32] = 9), Reject::Body),
        ("a page below its ring", resealed(sample("events"), |b| b[HEADER_LEN + 16] = 9), Reject::Body),
        ("ten events", ten_events(), Reject::Count),
        ("a death of nobody", resealed(sample("question"), |b| b[HEADER_LEN + 8] = 5), Reject::Body),
        (
            "an order about a publisher's name",
            resealed(sample("question about a name"), |b| b[HEADER_LEN + 8] = 4),
            Reject::Body,
        ),
        (
            "a ballot of round 0",
            resealed(sample("promise"), |b| b[HEADER_LEN + 8..][..8].fill(0)),
            Reject::Body,
        ),
        ("eight members", resealed(eight_members(), |_| {}), Reject::Count),
        ("nine conditions", nine_conditions(), Reject::Count),
        (
            "a condition that does not exist",
            resealed(sample("status"), |b| b[CONDITION_AT] = 0),
            Reject::Body,
        ),
        ("a reserved half word", resealed(sample("status"), |b| b[CONDITION_AT + 2] = 1), Reject::Body),
        (
            "a condition twice",
            resealed(sample("status"), |b| b.copy_within(CONDITION_AT..CONDITION_AT + 2, CONDITION_AT + 24)),
            Reject::Body,
        ),
        ("a member of role 2", resealed(sample("status"), |b| b[HEADER_LEN + 88 + 26] = 2), Reject::Body),
        ("suspicion 6", resealed(sample("status"), |b| b[HEADER_LEN + 85] = 6), Reject::Body),
        ("denial 24 in a status", resealed(sample("status"), |b| b[HEADER_LEN + 80] = 24), Reject::Body),
        ("durability 2", resealed(sample("status"), |b| b[HEADER_LEN + 86] = 2), Reject::Body),
        ("denial 24", resealed(sample("verdict"), |b| b[HEADER_LEN + 12] = 24), Reject::Body),
        ("a verdict on a question", resealed(sample("verdict"), |b| b[HEADER_LEN + 8] = 1), Reject::Body),
        ("a name for the node", resealed(sample("question"), |b| b[HEADER_LEN + 12] = 1), Reject::Body),
        (
            "a name of 65 bytes",
            resealed(sample("question about a name"), |b| b[HEADER_LEN + 12] = 65),
            Reject::Body,
        ),
        (
            "a name that is no text",
            resealed(sample("question about a name"), |b| b[HEADER_LEN + 16] = 0xff),
            Reject::Body,
        ),
    ];
    for (what, bytes, reason) in &cases {
        assert_eq!(refusal(bytes), *reason, "{what}");
    }
    // Only the engines know which history is theirs; a keyring's reasons have tests of their own, with keys.
    let seen = |reason: usize| cases.iter().any(|(_, _, reject)| reject.index() == reason);
    let untested: Vec<_> = (0..Reject::NAMES.len()).filter(|&reason| !seen(reason)).collect();
    let keyed = [Reject::Generation, Reject::Unkeyed, Reject::Rights, Reject::Tag, Reject::Signature]
        .map(Reject::index);
    assert_eq!(untested, [&[Reject::History { seen: 0 }.index()], &keyed[..]].concat());
}

#[test]
fn no_kind_but_a_frame_may_be_longer_or_shorter_than_what_it_says() {
    let others =
        |name: &&str| samples::travels(name) && !matches!(*name, "frame" | "frame of version 4" | "repair");
    for (name, bytes) in datagrams().into_iter().filter(|(name, _)| others(name)) {
        // A request may be padded with zeros, to the length of its answer.
        let is_request = [Kind::Nack as u8, Kind::Query as u8].contains(&bytes[5]);
        let longer = resealed([bytes.as_slice(), &[u8::from(is_request); 8]].concat(), |_| {});
        assert_eq!(refusal(&longer), Reject::Length, "{name}, longer");
        if is_request {
            let padded = resealed([bytes.as_slice(), &[0; 8]].concat(), |_| {});
            assert!(Datagram::decode(&padded, &Keyring::none(CLUSTER)).is_ok(), "{name}, padded");
            continue;
        }
        let shorter = resealed(bytes[..bytes.len() - 8].to_vec(), |_| {});
        assert!(Datagram::decode(&shorter, &Keyring::none(CLUSTER)).is_err(), "{name}, shorter");
    }
}

/// Where the sample of a status has its one member and its first condition.
const MEMBER_AT: usize = HEADER_LEN + size_of::<StatusBody>();
const CONDITION_AT: usize = MEMBER_AT + size_of::<StatusMember>();

/// A status that lists one member more than a membership has.
fn eight_members() -> Vec<u8> {
    let bytes = sample("status");
    let row = &bytes[MEMBER_AT..CONDITION_AT];
    let mut bytes = [&bytes[..MEMBER_AT], &row.repeat(MEMBERS_MAX), &bytes[MEMBER_AT..]].concat();
    let header = Header::peek(&bytes).expect("whole");
    seal(&mut bytes, Header { count: MEMBERS_MAX as u16 + 1, ..header });
    bytes
}

/// A status with one condition more than fits.
fn nine_conditions() -> Vec<u8> {
    let bytes = sample("status");
    let rows = Condition::ALL.iter().take(STATUS_CONDITIONS_MAX + 1).map(|code| ConditionRow {
        code: *code as u16,
        reserved: 0,
        age_s: 1,
        a: 2,
        b: 3,
    });
    let rows: Vec<_> = rows.collect();
    resealed([&bytes[..CONDITION_AT], bytemuck::cast_slice(&rows)].concat(), |bytes| {
        bytes[HEADER_LEN + 87] = rows.len() as u8;
    })
}

/// A page of one event too many.
fn ten_events() -> Vec<u8> {
    let bytes = sample("events");
    let rows = (0..=EVENT_ROWS_MAX as u64).rev().map(|number| EventRow { number, ..EventRow::default() });
    let body = EventsBody { next: 10, ..EventsBody::default() };
    let parts = [bytemuck::bytes_of(&body), bytemuck::cast_slice(&rows.collect::<Vec<_>>())].concat();
    resealed([&bytes[..HEADER_LEN], &parts].concat(), |bytes| bytes[28] = 10)
}

/// A sealed nack of `count` ranges, right or wrong.
fn nack(count: u16, flags: u16, range: fn(u64) -> SeqRange) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN + 8];
    (1..=u64::from(count)).for_each(|at| bytes.extend(bytemuck::bytes_of(&range(at))));
    seal(&mut bytes, Header { count, flags, ..header(Kind::Nack) });
    bytes
}

#[test]
fn the_payloads_of_control_entries_are_judged_too() {
    let start = samples::epoch_start();
    assert!(EpochStartView::parse(&start).is_ok());
    // durability, members, epochs: bytes 64, 65, 66.
    for (at, value) in [(64, 2), (65, 0), (65, 8), (65, 1), (66, 0), (66, 17), (66, 1)] {
        let mut wrong = start.clone();
        wrong[at] = value;
        assert_eq!(EpochStartView::parse(&wrong).err(), Some(Reject::Body), "byte {at} = {value}");
    }
    let founding = samples::founding();
    let founds = EpochStartView::parse(&founding).expect("a sound sample");
    assert_eq!(founds.founded_on(), founds.ancestors().next(), "it begins where the former history was left");
    let rows_at = founding.len() - 2 * size_of::<Ancestor>();
    // The count of former histories; one without an id; one that ends above the start; one above the later
    // one; one that ends before its first entry; and a founding behind another chain.
    let wrongs: [(usize, &[u8]); 7] = [
        (67, &[1]),
        (67, &[9]),
        (rows_at, &[0; 8]),
        (rows_at + 8, &[0x11]),
        (rows_at + 24 + 8, &founding[rows_at + 8..rows_at + 16]),
        (rows_at + 24 + 8, &[1]),
        (rows_at + 16, &[0]),
    ];
    for (at, bytes) in wrongs {
        let mut wrong = founding.clone();
        wrong[at..at + bytes.len()].copy_from_slice(bytes);
        assert_eq!(EpochStartView::parse(&wrong).err(), Some(Reject::Body), "{bytes:x?} at {at}");
    }
    let open = samples::open();
    assert!(OpenView::parse(&open).is_ok());
    for wrong in [&open[..24], &open[..open.len() - 1], &[open.as_slice(), &[b'x'; 60]].concat()] {
        assert_eq!(OpenView::parse(wrong), Err(Reject::Body));
    }
    let mut witnessed = start.clone();
    witnessed[72 + 26] = ROLE_WITNESS;
    assert!(EpochStartView::parse(&witnessed).is_ok());
    witnessed[72 + 26] = 2;
    assert_eq!(EpochStartView::parse(&witnessed).err(), Some(Reject::Body), "role 2");
    let listed = [samples::member(samples::LEADER)];
    let changed = samples::membership(Change::Add, &listed);
    assert!(MembershipView::parse(&changed).is_ok());
    // The member's role, change, members, and the role in the list.
    for (at, value) in [(34, 2), (40, 0), (40, 4), (41, 0), (41, 2), (41, 8), (74, 2)] {
        let mut wrong = changed.clone();
        wrong[at] = value;
        assert_eq!(MembershipView::parse(&wrong).err(), Some(Reject::Body), "byte {at} = {value}");
    }
    for length in [0, 47, changed.len() - 1] {
        assert_eq!(MembershipView::parse(&changed[..length]).err(), Some(Reject::Body), "{length} bytes");
    }
    let rows = |count: usize| vec![0; count * 32];
    assert!(parse_genesis(&rows(1)).is_ok() && parse_genesis(&rows(MEMBERS_MAX)).is_ok());
    let mut role = rows(2);
    role[32 + 26] = 2;
    for wrong in [rows(0), rows(MEMBERS_MAX + 1), vec![0; 33], role] {
        assert_eq!(parse_genesis(&wrong).err(), Some(Reject::Body));
    }
}

#[test]
fn version_skew_is_refused_by_name() {
    let newer = resealed(sample("heartbeat"), |bytes| bytes[4] = VERSION + 1);
    let text = refusal(&newer).to_string();
    let (theirs, ours) = (VERSION + 1, VERSION);
    assert_eq!(
        text,
        format!("version {theirs}, this release reads {VERSION_MIN} to {ours}: run one that reads it")
    );
    let older = resealed(sample("heartbeat"), |bytes| bytes[4] = VERSION_MIN - 1);
    assert_eq!(refusal(&older), Reject::Version { seen: VERSION_MIN - 1 });
}

#[test]
fn a_foreign_cluster_and_history_are_refused_by_name() {
    let text = Datagram::decode(&sample("ack"), &Keyring::none(7)).expect_err("another cluster").to_string();
    assert_eq!(text, "cluster 0xc7c6c5c4c3c2c1c0: another cluster uses our group or port");
    let text = Reject::History { seen: 0x1f }.to_string();
    assert_eq!(text, "history 0x1f: another life of this cluster's stream");
}

#[test]
fn each_reason_is_counted_in_a_place_of_its_own() {
    let all = [
        Reject::Short,
        Reject::Magic,
        Reject::Version { seen: 9 },
        Reject::Key,
        Reject::Kind,
        Reject::Length,
        Reject::Checksum,
        Reject::Cluster { seen: 9 },
        Reject::History { seen: 9 },
        Reject::Count,
        Reject::Flags,
        Reject::EntryKind,
        Reject::EntryLength,
        Reject::Seq,
        Reject::Body,
        Reject::Generation,
        Reject::Unkeyed,
        Reject::Rights,
        Reject::Tag,
        Reject::Signature,
    ];
    let places: Vec<_> = all.iter().map(|reject| reject.index()).collect();
    assert_eq!(places, (0..Reject::NAMES.len()).collect::<Vec<_>>());
    assert_eq!(all.map(|reject| reject.to_string().starts_with(Reject::NAMES[reject.index()])), [true; 20]);
}

#[test]
fn a_trailer_of_another_frame_is_refused() {
    let mut repair = sample("repair");
    let trailer = repair.split_off(repair.len() - REPAIR_TRAILER_LEN);
    let other = frame(header(Kind::Frame), &[(entry(EntryKind::Message), b"other")], 0);
    assert_eq!(refusal(&[other, trailer].concat()), Reject::Checksum);
}

#[test]
fn one_submission_carries_many_publishers() {
    let of = |publisher, incarnation| EntryHeader {
        publisher,
        time_or_incarnation: incarnation,
        ..entry(EntryKind::Message)
    };
    let bytes = submission(header(Kind::Submission), &[(of(1, 11), b"a"), (of(2, 12), b"b")]);
    let Ok(Datagram::Submission(_, entries)) = Datagram::decode(&bytes, &Keyring::none(CLUSTER)) else {
        panic!("a submission")
    };
    let seen: Vec<_> =
        entries.map(|entry| (entry.header.publisher, entry.header.time_or_incarnation)).collect();
    assert_eq!(seen, [(1, 11), (2, 12)]);
}
