//! # The dissector's promises
//!
//! What `tools/wireshark/lockstep.lua` says of a datagram is what our decoder says of it: the same values,
//! and the same refusals for the same reasons. A kind, an entry or a word that the decoder learns fails here
//! until the dissector knows it too.

mod capture;
mod corpus;
mod fields;
mod keys;
#[allow(dead_code)] // those of the wire's tests, which need more of them
#[path = "../../crates/lockstep-wire/tests/it/samples.rs"]
mod samples;

use capture::{CONFIGURED_PORT, Packet, Tshark, tcp, udp};
use corpus::Case;
use lockstep_wire::Keyring;
use lockstep_wire::*;

/// The fields that are compared, in the order of [`row`].
const FIELDS: [&str; 17] = [
    "lockstep.kind",
    "lockstep.epoch",
    "lockstep.epoch.round",
    "lockstep.identity",
    "lockstep.first_seq",
    "lockstep.count",
    "lockstep.commit_next",
    "lockstep.seq",
    "lockstep.entry.kind",
    "lockstep.publisher",
    "lockstep.publisher_seq",
    "lockstep.destination",
    "lockstep.token",
    "lockstep.range.from",
    "lockstep.range.to",
    "lockstep.name",
    "lockstep.tag.status",
];

/// No packet.
const NONE: [usize; 0] = [];

/// What the decoder reads, and what those judge to whom the entries go.
fn decoded(bytes: &[u8]) -> Result<(Header, Datagram<'_>), Reject> {
    let header = Header::peek(bytes).ok_or(Reject::Short)?;
    // Whose cluster it is no capture knows.
    let datagram = Datagram::decode(bytes, &Keyring::none(header.cluster))?;
    for entry in entries(&datagram) {
        match entry.kind() {
            EntryKind::Message | EntryKind::Close | EntryKind::ChangeCommitted => {}
            EntryKind::Open => drop(OpenView::parse(entry.payload)?),
            EntryKind::Genesis => drop(parse_genesis(entry.payload)?),
            EntryKind::EpochStart => drop(EpochStartView::parse(entry.payload)?),
            EntryKind::Membership => drop(MembershipView::parse(entry.payload)?),
            EntryKind::Day => drop(DayMark::parse(entry.payload)?),
            EntryKind::Order => drop(OrderView::parse(entry.payload)?),
        }
    }
    Ok((header, datagram))
}

fn entries<'a>(datagram: &Datagram<'a>) -> Vec<Entry<'a>> {
    match datagram {
        Datagram::Frame(frame, _) => frame.entries().collect(),
        Datagram::Submission(_, entries) => entries.collect(),
        _ => vec![],
    }
}

fn listed<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(",")
}

/// What the decoder reads, as tshark prints [`FIELDS`].
fn row(header: &Header, datagram: &Datagram<'_>) -> Vec<String> {
    let entries = entries(datagram);
    let all = |field: fn(&EntryHeader) -> u64| listed(entries.iter().map(|entry| field(entry.header)));
    let stamped = matches!(datagram, Datagram::Frame(..));
    let seqs = listed((header.first_seq..header.next_seq()).take(if stamped { entries.len() } else { 0 }));
    let (mut publishers, mut numbers) = (all(|e| e.publisher.into()), all(|e| e.publisher_seq));
    let (mut token, mut ranges, mut name) = (None, vec![], String::new());
    match datagram {
        Datagram::Frame(_, trailer) => token = trailer.map(|trailer| trailer.token),
        Datagram::Nack(_, body, asked) => (token, ranges) = (Some(body.token), asked.iter().collect()),
        Datagram::RepairReject(_, body) => (token, ranges) = (Some(body.token), vec![body.range]),
        Datagram::Query(_, body, asked, _) => (token, name) = (Some(body.token), (*asked).to_owned()),
        Datagram::QueryReply(_, body) => {
            token = Some(body.token);
            (publishers, numbers) = (body.publisher.to_string(), body.publisher_seq.to_string());
        }
        Datagram::Status(_, body, ..) => token = Some(body.token),
        Datagram::Events(_, body, _) => token = Some(body.token),
        Datagram::IdentityProbe(_, body) => token = Some(body.token),
        Datagram::AddressProof(_, body) => token = Some(body.token),
        Datagram::Times(_, body) => token = Some(body.token),
        Datagram::Release(_, body) => token = Some(body.token),
        Datagram::CommandResult(_, body) => token = Some(body.token),
        Datagram::ReplayRequest(_, body) => ranges = vec![SeqRange { from: body.from, to: body.to }],
        Datagram::PublisherNotice(_, rows) => {
            publishers = listed(rows.iter().map(|row| row.publisher));
            ranges = rows.iter().map(|row| SeqRange { from: row.from, to: row.to }).collect();
        }
        _ => {}
    }
    let opens = entries.iter().filter(|entry| entry.kind() == EntryKind::Open);
    let opened =
        opens.filter_map(|entry| OpenView::parse(entry.payload).ok()).map(|open| open.name.to_owned());
    let names: Vec<_> = opened.chain((!name.is_empty()).then_some(name)).collect();
    vec![
        { header.kind }.to_string(),
        header.epoch().to_string(),
        header.epoch().round().to_string(),
        header.identity().to_string(),
        { header.first_seq }.to_string(),
        { header.count }.to_string(),
        { header.commit_next }.to_string(),
        seqs,
        all(|entry| entry.kind.into()),
        publishers,
        numbers,
        all(|entry| entry.destination.into()),
        token.map(|token| format!("0x{token:016x}")).unwrap_or_default(),
        listed(ranges.iter().map(|range| range.from)),
        listed(ranges.iter().map(|range| range.to)),
        names.join(","),
        "1".to_owned(),
    ]
}

fn packets_of(cases: &[Case]) -> Vec<Packet> {
    cases.iter().map(|(_, bytes)| udp(CONFIGURED_PORT, bytes)).collect()
}

/// Holds that what is sound is read as the decoder reads it, and that what is not is marked, and why.
fn assert_judged_alike(tshark: &Tshark, cases: &[Case]) {
    // What has a key can be judged by those alone that have the key.
    let is_keyed = |bytes: &[u8]| decoded(bytes).is_err_and(|reject| reject == Reject::Key);
    let cases: Vec<_> = cases.iter().filter(|(_, bytes)| !is_keyed(bytes)).cloned().collect();
    let packets = packets_of(&cases);
    let fields: Vec<_> = FIELDS.iter().copied().chain(["lockstep.reject"]).collect();
    let mut refused = vec![];
    for (index, ((what, bytes), mut seen)) in cases.iter().zip(tshark.fields(&packets, &fields)).enumerate() {
        let reason = seen.pop();
        match decoded(bytes) {
            Ok((header, datagram)) => {
                assert_eq!(reason.as_deref(), Some(""), "{what} is sound");
                for ((field, seen), read) in FIELDS.iter().zip(&seen).zip(row(&header, &datagram)) {
                    // tshark escapes what would spoil a terminal.
                    let shown = !read.contains(char::is_control);
                    assert!(!shown || *seen == read, "{field} of {what}: {seen}, read as {read}");
                }
            }
            Err(reject) => {
                refused.push(index);
                assert_eq!(reason.as_deref(), Some(Reject::NAMES[reject.index()]), "{what}");
            }
        }
    }
    assert_eq!(tshark.found(&packets, "lockstep.invalid", &[]), refused);
    assert_eq!(tshark.found(&packets, "lockstep.cut", &[]), NONE);
}

#[test]
fn every_datagram_is_read_as_the_decoder_reads_it_and_every_word_has_a_name() {
    let Some(tshark) = Tshark::find() else { return };
    let mut cases = corpus::sound();
    for (what, bytes) in &cases {
        assert!(decoded(bytes).is_ok(), "{what} is sound: {:?}", decoded(bytes).err());
    }
    assert_judged_alike(&tshark, &cases);
    // Records of the journal do not travel, but who sees one wants to know what it is.
    cases.extend(samples::datagrams().into_iter().map(|(name, bytes)| (name.to_owned(), bytes)));
    let packets = packets_of(&cases);
    let seen = tshark.fields(&packets, &["lockstep.kind", "lockstep.entry.kind"]);
    let occurs = |column: usize, number: u8| {
        seen.iter().any(|row| row[column].split(',').any(|seen| seen == number.to_string()))
    };
    let missing: Vec<_> =
        (0..=u8::MAX).filter_map(Kind::from_u8).filter(|kind| !occurs(0, *kind as u8)).collect();
    assert!(missing.is_empty(), "in no packet: {missing:?}");
    let missing: Vec<_> =
        (0..=u8::MAX).filter_map(EntryKind::from_u8).filter(|kind| !occurs(1, *kind as u8)).collect();
    assert!(missing.is_empty(), "in no packet: {missing:?}");
    let details = tshark.details(&packets);
    let unnamed: Vec<_> = details.lines().filter(|line| line.contains("Unknown (")).collect();
    assert!(unnamed.is_empty(), "without a name: {unnamed:?}");
}

#[test]
fn what_the_decoder_refuses_is_marked_with_its_reason_and_nothing_else_is() {
    let Some(tshark) = Tshark::find() else { return };
    let cases = corpus::spoilt();
    assert_judged_alike(&tshark, &cases);
    // Every reason but those that need to know who we are, and which keys we have.
    let seen = |index: usize| {
        cases.iter().any(|(_, bytes)| decoded(bytes).is_err_and(|reject| reject.index() == index))
    };
    let unseen: Vec<_> = (0..Reject::NAMES.len()).filter(|&index| !seen(index)).collect();
    let keyed = [Reject::Generation, Reject::Unkeyed, Reject::Rights, Reject::Tag, Reject::Signature];
    let unknowable = [Reject::Cluster { seen: 0 }, Reject::History { seen: 0 }];
    assert_eq!(unseen, unknowable.iter().chain(&keyed).map(|reject| reject.index()).collect::<Vec<_>>());
    tshark.details(&packets_of(&cases));
}

#[test]
fn what_the_capture_cut_off_is_not_held_against_the_sender() {
    let Some(tshark) = Tshark::find() else { return };
    let (mut cases, mut packets) = (vec![], vec![]);
    for (name, bytes) in corpus::sound().iter().filter(|(_, bytes)| bytes.len() < 1_000) {
        for less in (0..bytes.len()).step_by(7) {
            cases.push((less, format!("{less} of {} bytes less: {name}", bytes.len())));
            packets.push(udp(CONFIGURED_PORT, bytes).without(less));
        }
    }
    assert_eq!(tshark.found(&packets, "lockstep.invalid", &[]), NONE);
    let marked = tshark.found(&packets, "lockstep.cut", &[]);
    for (index, (less, what)) in cases.iter().enumerate() {
        assert_eq!(marked.contains(&index), *less > 0, "{what}");
    }
    // A datagram that is spoilt and cut as well may be called either, but is survived.
    for (index, (_, bytes)) in corpus::spoilt().iter().enumerate() {
        packets.push(udp(CONFIGURED_PORT, bytes).without(index % bytes.len()));
    }
    tshark.details(&packets);
}

#[test]
fn a_replay_is_read_record_by_record_however_its_segments_are_cut() {
    let Some(tshark) = Tshark::find() else { return };
    let of = |name: &str| {
        let found = samples::datagrams().into_iter().find(|(found, _)| *found == name);
        found.expect("a sample").1
    };
    let stream = ["replay answer", "frame", "frame", "replay mark", "frame", "replay mark"].map(of);
    let expected: Vec<_> = stream
        .iter()
        .map(|bytes| decoded(bytes).map(|(header, read)| row(&header, &read)).expect("a sound record"))
        .collect();
    // By the port it was told, and by the first bytes, of which a segment must hold five.
    for (port, size) in [1, 7, 103, 104, 150, 500, 5_000]
        .map(|size| (CONFIGURED_PORT, size))
        .into_iter()
        .chain([(CONFIGURED_PORT + 1, 7), (CONFIGURED_PORT + 1, 150), (CONFIGURED_PORT + 1, 5_000)])
    {
        let request = of("replay request");
        let mut packets = vec![tcp(50_000, port, 0, &request)];
        for (index, segment) in stream.concat().chunks(size).enumerate() {
            packets.push(tcp(port, 50_000, index * size, segment));
        }
        let seen = tshark.fields(&packets, &FIELDS);
        for (column, field) in FIELDS.iter().enumerate() {
            let values = |rows: &[Vec<String>]| {
                let column_values =
                    rows.iter().map(|row| row[column].clone()).filter(|value| !value.is_empty());
                column_values.collect::<Vec<_>>().join(",")
            };
            assert_eq!(values(&seen[1..]), values(&expected), "{field} in segments of {size}, port {port}");
        }
        assert_eq!((seen[0][0].as_str(), tshark.found(&packets, "lockstep.invalid", &[])), ("20", vec![]));
        tshark.details(&packets);
    }
}

#[test]
fn a_stream_that_is_no_replay_is_marked_and_read_again_from_the_next_record_on() {
    let Some(tshark) = Tshark::find() else { return };
    let samples = samples::datagrams();
    let [frame, ack, mark] = ["frame", "ack", "replay mark"]
        .map(|name| samples.iter().find(|(found, _)| *found == name).expect("a sample").1.clone());
    let begun_within = [&frame[40..], &mark].concat();
    let wrong_kind = [ack, mark].concat();
    let packets =
        [tcp(50_001, CONFIGURED_PORT, 0, &begun_within), tcp(50_002, CONFIGURED_PORT, 0, &wrong_kind)];
    let seen = tshark.fields(&packets, &["lockstep.kind", "lockstep.reject"]);
    assert_eq!(seen, [["22", "magic"], ["4,22", "kind"]].map(|row| row.map(str::to_owned).to_vec()));
    // Anything at all, in segments of any size.
    let mut at = 0;
    let mut packets = Vec::new();
    for (_, bytes) in corpus::spoilt().iter().take(1_500) {
        packets.push(tcp(50_003, CONFIGURED_PORT, at, bytes));
        at += bytes.len();
    }
    tshark.details(&packets);
}

#[test]
fn without_ports_datagrams_are_found_by_their_first_bytes_and_told_in_one_line() {
    let Some(tshark) = Tshark::find() else { return };
    let header = Header {
        epoch: Epoch::new(2, Identity { replica: 1, incarnation: 0x0a3_f9c1 }).0,
        first_seq: 41,
        commit_next: 40,
        ..samples::header(Kind::Frame)
    };
    let message = (samples::entry(EntryKind::Message), b"x".as_slice());
    let frame = samples::frame(header, &[message; 15], 0);
    let mut foreign = frame.clone();
    foreign[0] ^= 1;
    let packets =
        [udp(40_001, &frame), udp(40_002, &foreign), udp(40_003, b"LKS"), tcp(40_004, 40_005, 0, &frame)];
    let printed = tshark.says(&packets, &[]);
    let lines: Vec<_> = printed.lines().collect();
    let summary = "frame 2@1:0a3f9c1 seq 41..56 commit 40";
    for (line, is_ours) in lines.iter().zip([true, false, false, true]) {
        assert_eq!(line.contains("LOCKSTEP") && line.ends_with(summary), is_ours, "{line}");
    }
    assert_eq!((lines.len(), printed.matches("LOCKSTEP").count()), (4, 2));
    // A user who knows better says so with `Decode As`.
    let printed =
        tshark.says(&packets, &["-d", "udp.port==40002,lockstep", "-Y", "lockstep.reject == \"magic\""]);
    assert!(printed.contains("LOCKSTEP") && printed.lines().count() == 1, "{printed}");
}

#[test]
fn a_preference_leaves_the_tags_alone() {
    let Some(tshark) = Tshark::find() else { return };
    let (_, mut bytes) = samples::datagrams().swap_remove(0);
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    let packets = [udp(CONFIGURED_PORT, &bytes)];
    assert_eq!(tshark.found(&packets, "lockstep.invalid && lockstep.tag.status == 0", &[]), [0]);
    let off = ["-o", "lockstep.checksum:FALSE"];
    assert_eq!(tshark.found(&packets, "lockstep.invalid", &off), NONE);
    assert_eq!(tshark.found(&packets, "lockstep.tag.status == 2", &off), [0]);
}
