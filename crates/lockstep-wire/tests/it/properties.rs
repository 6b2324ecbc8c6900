//! Properties: decoding survives everything, a flipped bit is always found, and encode∘decode is the
//! identity for every kind.

use crate::samples::{self, CLUSTER, datagrams, frame, small, submission};
use lockstep_testkit::lane::amount;
use lockstep_wire::Keyring;
use lockstep_wire::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Decodes a datagram and reads everything that the view lends, as all callers together would. The values do
/// not matter; the test is that it returns.
fn read_all(bytes: &[u8]) -> Option<Reject> {
    let of_entries = |entries: Entries<'_>| {
        for entry in entries {
            let _ = (entry.kind(), read_payload(entry.payload));
        }
    };
    if let Ok(frame) = FrameView::from_prefix(bytes) {
        of_entries(frame.entries());
        let _ = frame.chain_after();
    }
    let _ = read_payload(bytes);
    match Datagram::decode(bytes, &Keyring::none(CLUSTER)) {
        Err(reject) => return Some(reject),
        Ok(Datagram::Frame(frame, _)) => of_entries(frame.entries()),
        Ok(Datagram::Submission(_, entries)) => of_entries(entries),
        Ok(Datagram::Nack(_, _, ranges)) => assert!(ranges.iter().all(|range| range.from < range.to)),
        Ok(Datagram::Query(_, _, name, _)) => assert!(name.len() <= NAME_LEN_MAX),
        Ok(Datagram::Status(_, body, members, active, _)) => {
            assert!(
                members.iter().len() <= MEMBERS_MAX
                    && (body.suspicion == 0 || LeaderLossReason::from_u8(body.suspicion).is_some())
            );
            assert!(active.iter().all(|row| Condition::from_u16(row.code).is_some()));
        }
        Ok(_) => {}
    }
    None
}

/// Reads any payload as each kind of control entry.
fn read_payload(payload: &[u8]) -> usize {
    let start =
        EpochStartView::parse(payload).map_or(0, |start| start.members().len() + start.epochs().len());
    let changed = MembershipView::parse(payload)
        .map_or(0, |changed| changed.members().len() + changed.change() as usize);
    let genesis =
        parse_genesis(payload).map_or(0, |members| members.filter_map(|member| member.address()).count());
    start + changed + genesis + OpenView::parse(payload).map_or(0, |open| open.name.len())
}

/// Writes a trailer once more.
fn trailer_again(trailer: &RepairTrailer, frame: &[u8]) -> [u8; REPAIR_TRAILER_LEN] {
    let repairer = (Identity::from_packed(trailer.repairer), trailer.repairer >> 36);
    let RepairTrailer { accepted, commit_next, token, .. } = *trailer;
    repair_trailer(&Keyring::none(CLUSTER), repairer, Epoch(accepted), commit_next, token, frame)
}

/// Writes what was decoded once more.
fn encode_again(datagram: Datagram<'_>) -> Vec<u8> {
    let keys = Keyring::none(CLUSTER);
    match datagram {
        Datagram::Frame(view, trailer) => {
            let entries: Vec<_> = view.entries().map(|entry| (*entry.header, entry.payload)).collect();
            let mut bytes = frame(*view.header, &entries, view.bytes.len());
            bytes.extend(trailer.map(|trailer| trailer_again(&trailer, view.bytes)).iter().flatten());
            bytes
        }
        Datagram::Heartbeat(header, body) => small(|out| write_heartbeat(out, &keys, *header, body)),
        Datagram::Submission(header, entries) => {
            submission(*header, &entries.map(|entry| (*entry.header, entry.payload)).collect::<Vec<_>>())
        }
        Datagram::Ack(header, body) => small(|out| write_ack(out, &keys, *header, body)),
        Datagram::Nack(header, body, ranges) => {
            small(|out| write_nack(out, &keys, *header, body.token, &ranges.iter().collect::<Vec<_>>()))
        }
        Datagram::RepairReject(header, body) => small(|out| write_repair_reject(out, &keys, *header, body)),
        Datagram::Query(header, body, name, proof) => {
            let query = (QueryKind::from_u32(body.query_kind).expect("judged"), name);
            small(|out| write_order(out, &keys, *header, body.token, query, proof.as_ref()))
        }
        Datagram::QueryReply(header, body) => small(|out| write_reply(out, &keys, *header, body)),
        Datagram::Prepare(header, body)
        | Datagram::Promise(header, body)
        | Datagram::Refuse(header, body)
        | Datagram::PreVote(header, body)
        | Datagram::Grant(header, body) => small(|out| write_ballot(out, &keys, *header, body)),
        Datagram::DeathNotice(header, body) => small(|out| write_down(out, &keys, *header, body)),
        Datagram::StepDown(header, body) => small(|out| write_step_down(out, &keys, *header, body)),
        Datagram::Status(header, body, members, active, parts) => {
            let (members, active) = (members.iter().collect::<Vec<_>>(), active.iter().collect::<Vec<_>>());
            small(|out| write_status(out, &keys, *header, body, (&members, &active), parts.bytes()))
        }
        Datagram::PublisherNotice(header, rows) => {
            small(|out| write_notice(out, &keys, *header, &rows.iter().collect::<Vec<_>>()))
        }
        Datagram::IdentityProbe(header, body) => small(|out| write_presence(out, &keys, *header, body)),
        Datagram::AddressProof(header, body) => small(|out| write_address_proof(out, &keys, *header, body)),
        Datagram::Events(header, body, rows) => super::events::page_again(header, body, &rows),
        Datagram::Release(header, body) => small(|out| write_release(out, &keys, *header, body)),
        Datagram::Times(header, body) => small(|out| write_times(out, &keys, *header, body)),
        Datagram::CommandResult(header, body) => small(|out| write_command_result(out, &keys, *header, body)),
        Datagram::Join(header, body) => small(|out| write_join(out, &keys, *header, body)),
        Datagram::Lease(header, body) => small(|out| write_lease(out, &keys, *header, body)),
        Datagram::ReplayRequest(header, body) => small(|out| write_replay_request(out, &keys, *header, body)),
        Datagram::ReplayAnswer(header, body) | Datagram::ReplayMark(header, body) => {
            small(|out| write_replay(out, &keys, *header, body))
        }
        Datagram::ReplayCheckpoint(header, body, part) => {
            small(|out| write_replay_checkpoint(out, &keys, *header, body, part))
        }
    }
}

/// The fields of a header that the sender chooses freely, whatever the kind. A frame's number is a checksum.
fn free(header: Header) -> [u64; 8] {
    let Header { history, epoch, first_seq, commit_next, timestamp, chain, .. } = header;
    let number = if header.kind == Kind::Frame as u8 { 0 } else { header.number };
    [history, epoch, header.identity().packed(), first_seq, commit_next, timestamp, chain, number]
}

fn any_header(kind: Kind) -> impl Strategy<Value = Header> {
    let words = any::<[u64; 7]>();
    (words, 0..=REPLICA_MAX, 0..=INCARNATION_MAX).prop_map(move |(words, sender, incarnation)| {
        let [history, epoch, first_seq, commit_next, timestamp, chain, number] = words;
        // A frame's seqs begin at 1 and end before u64 does.
        let first_seq = if kind == Kind::Frame { first_seq.clamp(1, u64::MAX - 1000) } else { first_seq };
        let free =
            Header { history, epoch, first_seq, commit_next, timestamp, chain, number, ..Header::new(kind) };
        Header { cluster: CLUSTER, sender, incarnation, ..free }
    })
}

fn any_entry(begins: bool) -> impl Strategy<Value = (EntryHeader, Vec<u8>)> {
    let mut kinds: Vec<_> = (0..=u8::MAX).filter_map(EntryKind::from_u8).collect();
    kinds.retain(|kind| begins || !matches!(kind, EntryKind::Genesis | EntryKind::EpochStart));
    let fields = (select(kinds), any::<u32>(), any::<u64>(), any::<u32>(), any::<u32>());
    (fields, vec(any::<u8>(), 0..100)).prop_map(|(fields, payload)| {
        let (kind, publisher, publisher_seq, destination, time_or_incarnation) = fields;
        let flags = if kind == EntryKind::Message { publisher as u8 & (PART_MORE | PART_NEXT) } else { 0 };
        let (kind, length) = (kind as u8, payload.len() as u16);
        let header =
            EntryHeader { kind, flags, length, publisher, publisher_seq, destination, time_or_incarnation };
        (header, payload)
    })
}

fn any_range() -> impl Strategy<Value = SeqRange> {
    (1..u64::MAX, any::<u64>())
        .prop_map(|(from, more)| SeqRange { from, to: from.saturating_add(more.max(1)) })
}

fn borrowed(entries: &[(EntryHeader, Vec<u8>)]) -> Vec<(EntryHeader, &[u8])> {
    entries.iter().map(|(header, payload)| (*header, payload.as_slice())).collect()
}

fn decoded(bytes: &[u8]) -> Datagram<'_> {
    let datagram = Datagram::decode(bytes, &Keyring::none(CLUSTER)).expect("what we wrote is accepted");
    assert_eq!(encode_again(datagram), bytes);
    datagram
}

#[test]
fn a_flipped_bit_anywhere_is_rejected() {
    for (name, bytes) in datagrams().into_iter().filter(|(name, _)| samples::travels(name)) {
        assert_eq!(read_all(&bytes), None, "{name} as it was written");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read_all(&flipped).is_some(), "{name}: bit {bit} was flipped and nobody saw it");
        }
    }
}

#[test]
fn a_datagram_cut_anywhere_is_rejected() {
    for (name, bytes) in datagrams().into_iter().filter(|(name, _)| samples::travels(name)) {
        let whole = Header::peek(&bytes).expect("a header").length as usize;
        for length in (0..bytes.len()).filter(|&length| length != whole) {
            assert!(read_all(&bytes[..length]).is_some(), "{name} cut to {length}");
        }
    }
}

/// A word of the kind with which bodies and entries begin: any, small, or an entry's kind and length.
fn any_word() -> impl Strategy<Value = u64> {
    let entry = (select(vec![1u64, 2, 3, 16, 17, 18]), prop_oneof![0..64u64, 0..=u64::from(u16::MAX)]);
    prop_oneof![any::<u64>(), 0..256u64, entry.prop_map(|(kind, length)| kind | length << 16)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(amount(512, 4096)))]

    #[test]
    fn decoding_arbitrary_bytes_never_panics(bytes in vec(any::<u8>(), 0..2000)) {
        read_all(&bytes);
    }

    /// The seal keeps arbitrary bytes out, so here they have a valid one: every check behind the checksum
    /// sees them as well.
    #[test]
    fn decoding_sealed_nonsense_never_panics(
        kind in any::<u8>(),
        count in prop_oneof![0..40u16, any::<u16>()],
        flags in prop_oneof![Just(0u16), Just(1), any::<u16>()],
        first_seq in prop_oneof![Just(1u64), any::<u64>()],
        words in vec(any_word(), 0..40),
        behind in prop_oneof![Just(0usize), Just(REPAIR_TRAILER_LEN), 0..100usize],
    ) {
        let kind = if kind >= 128 { 1 + kind % 24 } else { kind };
        let mut bytes = [vec![0; HEADER_LEN], bytemuck::cast_slice(&words).to_vec()].concat();
        let header = Header { cluster: CLUSTER, kind, count, flags, first_seq, ..Header::new(Kind::Frame) };
        seal(&mut bytes, header);
        bytes.resize(bytes.len() + behind, 1);
        read_all(&bytes);
    }

    #[test]
    fn a_mutated_datagram_never_panics(
        sample in any::<Index>(),
        bytes in vec((any::<Index>(), any::<u8>()), 1..6),
        cut in any::<Index>(),
        more in vec(any::<u8>(), 0..60),
        is_cut in any::<bool>(),
        is_sealed in any::<bool>(),
    ) {
        let mut mutated = sample.get(&datagrams()).1.clone();
        for (at, byte) in bytes {
            let at = at.index(mutated.len());
            mutated[at] = byte;
        }
        if is_cut {
            mutated.truncate(cut.index(mutated.len()));
        }
        mutated.extend(more);
        mutated.truncate(mutated.len() & !7);
        if let Some(header) = Header::peek(&mutated).filter(|_| is_sealed) {
            seal(&mut mutated, header);
        }
        read_all(&mutated);
    }

}

proptest! {
    #[test]
    fn a_frame_is_what_was_written(
        header in any_header(Kind::Frame),
        (first, behind) in (any_entry(true), vec(any_entry(false), 0..11)),
        padding in 0..20usize,
        repair in proptest::option::of(any::<(u64, u64, u64)>()),
        history in any::<u64>(),
    ) {
        let entries = [vec![first], behind].concat();
        let length: usize = HEADER_LEN + entries.iter().map(|(_, payload)| entry_len(payload.len())).sum::<usize>();
        let mut bytes = frame(header, &borrowed(&entries), length + padding * 8);
        if let Some((accepted, commit_next, token)) = repair {
            let (keys, by) = (Keyring::none(CLUSTER), (samples::STANDBY, history));
            bytes.extend(repair_trailer(&keys, by, Epoch(accepted), commit_next, token, &bytes));
        }
        let Datagram::Frame(view, trailer) = decoded(&bytes) else { panic!("a frame") };
        prop_assert_eq!(free(*view.header), free(header));
        prop_assert_eq!(view.header.next_seq(), header.first_seq + entries.len() as u64);
        let seen: Vec<_> = view.entries().map(|entry| (*entry.header, entry.payload.to_vec())).collect();
        prop_assert_eq!(seen, entries);
        let decoded_trailer = trailer.map(|trailer| (trailer.accepted, trailer.commit_next, trailer.token));
        prop_assert_eq!(decoded_trailer, repair);
        prop_assert!(trailer.is_none_or(|trailer| trailer.is_of(history) && trailer.repairer() == samples::STANDBY));
        prop_assert!(trailer.is_none_or(|trailer| !trailer.is_of(history ^ 1)));
    }

    #[test]
    fn a_submission_is_what_was_written(
        header in any_header(Kind::Submission),
        entries in vec(any_entry(true), 0..12),
    ) {
        let bytes = submission(header, &borrowed(&entries));
        let Datagram::Submission(seen, read) = decoded(&bytes) else { panic!("a submission") };
        prop_assert_eq!(free(*seen), free(header));
        let read: Vec<_> = read.map(|entry| (*entry.header, entry.payload.to_vec())).collect();
        prop_assert_eq!(read, entries);
    }

    #[test]
    fn a_heartbeat_is_what_was_written(
        header in any_header(Kind::Heartbeat),
        words in any::<[u64; 4]>(),
        credit_entries in any::<u32>(),
        shares_over in any::<u32>(),
        successors in any::<[u8; 8]>(),
    ) {
        let [membership_seq, epoch_start_seq, process_nonce, oldest_seq] = words;
        let body = HeartbeatBody {
            membership_seq, epoch_start_seq, process_nonce, oldest_seq, credit_entries, shares_over, successors,
        };
        let bytes = small(|out| write_heartbeat(out, &Keyring::none(CLUSTER), header, body));
        let Datagram::Heartbeat(seen, read) = decoded(&bytes) else { panic!("a heartbeat") };
        prop_assert_eq!((free(*seen), read), (free(header), body));
    }

    #[test]
    fn an_ack_is_what_was_written(header in any_header(Kind::Ack), process_nonce in any::<u64>()) {
        let bytes = small(|out| write_ack(out, &Keyring::none(CLUSTER), header, AckBody { process_nonce }));
        let Datagram::Ack(seen, read) = decoded(&bytes) else { panic!("an ack") };
        prop_assert_eq!((free(*seen), read), (free(header), AckBody { process_nonce }));
    }

    #[test]
    fn a_nack_is_what_was_written(
        header in any_header(Kind::Nack),
        token in any::<u64>(),
        ranges in vec(any_range(), 0..=NACK_RANGES_MAX),
    ) {
        let bytes = small(|out| write_nack(out, &Keyring::none(CLUSTER), header, token, &ranges));
        let Datagram::Nack(seen, read, asked) = decoded(&bytes) else { panic!("a nack") };
        prop_assert_eq!((free(*seen), read.token), (free(header), token));
        prop_assert_eq!(seen.flags == NACK_EPOCH_START, ranges.is_empty());
        prop_assert_eq!(asked.iter().collect::<Vec<_>>(), ranges);
    }

    #[test]
    fn an_answer_is_what_was_written(
        header in any_header(Kind::RepairReject),
        words in any::<[u64; 4]>(),
        reason in 1..=5u32,
        retry_after_ns in any::<u32>(),
    ) {
        let [token, from, to, oldest_seq] = words;
        let body = RepairRejectBody { token, range: SeqRange { from, to }, oldest_seq, reason, retry_after_ns };
        let bytes = small(|out| write_repair_reject(out, &Keyring::none(CLUSTER), header, body));
        let Datagram::RepairReject(seen, read) = decoded(&bytes) else { panic!("an answer") };
        prop_assert_eq!((free(*seen), read), (free(header), body));
        prop_assert_eq!(RepairReject::from_u32(read.reason).map(|refusal| refusal as u32), Some(reason));
    }

    #[test]
    fn a_question_is_what_was_written(
        header in any_header(Kind::Query),
        token in any::<u64>(),
        name in "[a-zé]{1,32}",
        about in (1..=REPLICA_MAX, 1..=INCARNATION_MAX),
        is_signed in any::<bool>(),
        which in 0..7usize,
    ) {
        let identity = Identity { replica: about.0, incarnation: about.1 }.to_string();
        let (query_kind, name) = [
            (QueryKind::Node, String::new()),
            (QueryKind::Publisher, name),
            (QueryKind::Status, String::new()),
            (QueryKind::Probe, String::new()),
            (QueryKind::Handover, String::new()),
            (QueryKind::Handover, identity.clone()),
            (QueryKind::DeclareDead, identity),
        ][which].clone();
        let proof = (is_signed && query_kind.is_order()).then(samples::proof);
        let (keys, query) = (Keyring::none(CLUSTER), (query_kind, name.as_str()));
        let bytes = small(|out| write_order(out, &keys, header, token, query, proof.as_ref()));
        let Datagram::Query(seen, read, asked, signed) = decoded(&bytes) else { panic!("a question") };
        prop_assert_eq!(signed, proof);
        let flags = if proof.is_some() { ORDER_SIGNED } else { 0 };
        let header = Header { flags, ..header };
        prop_assert_eq!((free(*seen), read.token, read.query_kind), (free(header), token, query_kind as u32));
        prop_assert_eq!(asked, name);
    }

    #[test]
    fn a_reply_is_what_was_written(header in any_header(Kind::QueryReply), words in any::<[u64; 7]>()) {
        let body: QueryReplyBody = bytemuck::cast(words);
        let bytes = small(|out| write_reply(out, &Keyring::none(CLUSTER), header, body));
        let Datagram::QueryReply(seen, read) = decoded(&bytes) else { panic!("a reply") };
        prop_assert_eq!((free(*seen), read), (free(header), body));
    }

    #[test]
    fn what_an_election_says_is_what_was_written(
        kind in select(vec![Kind::Prepare, Kind::Promise, Kind::Refuse, Kind::PreVote, Kind::Grant]),
        header in any_header(Kind::Prepare),
        words in any::<[u64; 2]>(),
        ballot in 1u64 << 36..,
    ) {
        let header = Header { kind: kind as u8, ..header };
        let body = BallotBody { process_nonce: words[0], ballot, about: words[1] };
        let bytes = small(|out| write_ballot(out, &Keyring::none(CLUSTER), header, body));
        let (seen, read) = match (kind, decoded(&bytes)) {
            (Kind::Prepare, Datagram::Prepare(seen, read)) => (seen, read),
            (Kind::Promise, Datagram::Promise(seen, read)) => (seen, read),
            (Kind::Refuse, Datagram::Refuse(seen, read)) => (seen, read),
            (Kind::PreVote, Datagram::PreVote(seen, read)) => (seen, read),
            (Kind::Grant, Datagram::Grant(seen, read)) => (seen, read),
            (kind, other) => panic!("a {kind:?} was read as {other:?}"),
        };
        prop_assert_eq!((free(*seen), read), (free(header), body));
    }

    #[test]
    fn a_watchers_notice_and_a_farewell_are_what_was_written(
        header in any_header(Kind::DeathNotice),
        secret in any::<[u8; 32]>(),
        words in any::<[u64; 2]>(),
    ) {
        let down = DeathNoticeBody { secret };
        let bytes = small(|out| write_down(out, &Keyring::none(CLUSTER), header, down));
        let Datagram::DeathNotice(seen, read) = decoded(&bytes) else { panic!("a notice") };
        prop_assert_eq!((free(*seen), read), (free(header), down));
        let header = Header { kind: Kind::StepDown as u8, ..header };
        let farewell = StepDownBody { process_nonce: words[0], successor: words[1] };
        let bytes = small(|out| write_step_down(out, &Keyring::none(CLUSTER), header, farewell));
        let Datagram::StepDown(seen, read) = decoded(&bytes) else { panic!("a farewell") };
        prop_assert_eq!((free(*seen), read), (free(header), farewell));
    }

    #[test]
    fn a_status_is_what_was_written(
        header in any_header(Kind::Status),
        words in any::<[u64; 10]>(),
        denied in 0..=19u32,
        bytes in (any::<u8>(), 0..=5u8, 0..=1u8),
        rows in vec((any::<u32>(), any::<(u64, u64)>()), 0..=MEMBERS_MAX),
        active in vec((any::<u32>(), any::<(u64, u64)>()), 0..=STATUS_CONDITIONS_MAX),
    ) {
        let [token, process_nonce, leader, epoch_since, promised, membership_seq, ..] = words;
        let [.., suspected, suspected_age_ns, rejected_member, rejected_age_ns] = words;
        let (role, suspicion, durability) = bytes;
        let body = StatusBody {
            token, process_nonce, leader, epoch_since, promised, membership_seq, suspected, suspected_age_ns,
            rejected_member, rejected_age_ns, denied, role, suspicion, durability,
            conditions: active.len() as u8,
        };
        let member = |incarnation| samples::member(Identity { replica: 4, incarnation });
        let row = |(incarnation, (acked_next, acked_age_ns))| {
            StatusMember { member: member(incarnation), acked_next, acked_age_ns }
        };
        let rows: Vec<_> = rows.into_iter().map(row).collect();
        let conditions = Condition::ALL.iter().zip(active);
        let active: Vec<_> = conditions
            .map(|(code, (age_s, (a, b)))| ConditionRow { code: *code as u16, reserved: 0, age_s, a, b })
            .collect();
        let keys = Keyring::none(CLUSTER);
        let bytes = small(|out| write_status(out, &keys, header, body, (&rows, &active), &[]));
        let Datagram::Status(seen, read, members, conditions, _) = decoded(&bytes) else { panic!("a status") };
        prop_assert_eq!(conditions.iter().collect::<Vec<_>>(), active);
        prop_assert_eq!((free(*seen), read), (free(header), body));
        prop_assert_eq!(members.iter().collect::<Vec<_>>(), rows);
    }

    #[test]
    fn a_verdict_is_what_was_written(
        header in any_header(Kind::CommandResult),
        token in any::<u64>(),
        query_kind in prop_oneof![4..=5u32, Just(8)],
        denied in 0..=20u32,
    ) {
        let body = CommandResultBody { token, query_kind, reject: denied };
        let bytes = small(|out| write_command_result(out, &Keyring::none(CLUSTER), header, body));
        let Datagram::CommandResult(seen, read) = decoded(&bytes) else { panic!("a verdict") };
        prop_assert_eq!((free(*seen), read), (free(header), body));
        prop_assert_eq!(CommandReject::from_u32(denied).map_or(0, |why| why as u32), denied);
    }

    #[test]
    fn a_join_and_its_lease_are_what_was_written(
        header in any_header(Kind::Join),
        groups in 0..=GROUPS_ALL,
        term in 1..=4u32,
        words in any::<[u64; 3]>(),
    ) {
        let [process_nonce, proof, counts] = words;
        let join = JoinBody { groups, reserved: 0, process_nonce, proof, padding: 0 };
        let bytes = small(|out| write_join(out, &Keyring::none(CLUSTER), header, join));
        let Datagram::Join(seen, read) = decoded(&bytes) else { panic!("a join") };
        prop_assert_eq!((free(*seen), read), (free(header), join));

        let header = Header { kind: Kind::Lease as u8, ..header };
        let (members, members_max) = (counts as u32, (counts >> 32) as u32);
        let lease = LeaseBody { term, lasts_ms: members_max, process_nonce, proof, members, members_max };
        let answer = small(|out| write_lease(out, &Keyring::none(CLUSTER), header, lease));
        let Datagram::Lease(seen, read) = decoded(&answer) else { panic!("a lease") };
        prop_assert_eq!((free(*seen), read), (free(header), lease));
        prop_assert_eq!(answer.len(), bytes.len(), "an answer is no longer than what asked for it");
    }

    #[test]
    fn a_replay_is_asked_for_and_answered_as_was_written(
        header in any_header(Kind::ReplayRequest),
        kind in select(vec![Kind::ReplayAnswer, Kind::ReplayMark]),
        has_chain in any::<bool>(),
        wants_checkpoint in any::<bool>(),
        words in any::<[u64; 4]>(),
        end in 0..=10u32,
    ) {
        let asked = ReplayRequestBody { from: words[0] >> 1, to: (words[0] >> 1) + 1 + (words[1] >> 1) };
        let flags = if has_chain { REPLAY_CHAIN } else { 0 } | if wants_checkpoint { REPLAY_CHECKPOINT } else { 0 };
        let bytes = small(|out| write_replay_request(out, &Keyring::none(CLUSTER), Header { flags, ..header }, asked));
        let Datagram::ReplayRequest(seen, read) = decoded(&bytes) else { panic!("a request") };
        prop_assert_eq!((free(*seen), seen.flags, read), (free(header), flags, asked));
        let body = ReplayBody { next: words[2], oldest_seq: words[3], end, reserved: 0 };
        let bytes = small(|out| write_replay(out, &Keyring::none(CLUSTER), Header { kind: kind as u8, ..header }, body));
        let (seen, read) = match (kind, decoded(&bytes)) {
            (Kind::ReplayAnswer, Datagram::ReplayAnswer(seen, read)) => (seen, read),
            (Kind::ReplayMark, Datagram::ReplayMark(seen, read)) => (seen, read),
            (_, other) => panic!("{other:?}"),
        };
        prop_assert_eq!((free(*seen), read), (free(header), body));
    }

    /// A part lies within its checkpoint, and that within its bound; anything else is refused.
    #[test]
    fn a_part_of_a_checkpoint_is_what_was_written(
        header in any_header(Kind::ReplayCheckpoint),
        offset in prop_oneof![0..CHECKPOINT_LEN_MAX, any::<u64>()],
        behind in prop_oneof![0..1_000u64, any::<u64>()],
        part in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let part = &part[..part.len() / 8 * 8];
        let body = ReplayCheckpointBody { offset, len: offset.wrapping_add(part.len() as u64).wrapping_add(behind) };
        let bytes = small(|out| write_replay_checkpoint(out, &Keyring::none(CLUSTER), header, body, part));
        let end = offset.checked_add(part.len() as u64);
        let is_within = end.is_some_and(|end| end <= body.len) && body.len <= CHECKPOINT_LEN_MAX;
        match Datagram::decode(&bytes, &Keyring::none(CLUSTER)) {
            Ok(Datagram::ReplayCheckpoint(seen, read, found)) => {
                prop_assert!(is_within && !part.is_empty());
                prop_assert_eq!((free(*seen), read, found), (free(header), body, part));
            }
            other => prop_assert!(!is_within || part.is_empty(), "{other:?}"),
        }
    }

    #[test]
    fn a_membership_entry_is_what_was_written(
        after in any::<u64>(),
        adds in any::<bool>(),
        is_witness in any::<bool>(),
        members in 0..=MEMBERS_MAX,
    ) {
        let change = if adds { Change::Add } else { Change::Remove };
        let members: Vec<_> = (1..=members as u32)
            .map(|replica| samples::member(Identity { replica, incarnation: replica + 40 }))
            .collect();
        let role = if is_witness { ROLE_WITNESS } else { ROLE_FULL };
        let member = MemberBody { role, ..samples::member(samples::STANDBY) };
        let bytes = samples::written(MEMBERSHIP_LEN_MAX, |out| write_membership(out, after, change, member, &members));
        let read = MembershipView::parse(&bytes).expect("what we wrote is accepted");
        prop_assert_eq!((read.body.after, read.change(), read.body.member), (after, change, member));
        prop_assert_eq!(read.body.member.is_witness(), is_witness);
        let is_submitted = members.is_empty();
        prop_assert_eq!(read.members().collect::<Vec<_>>(), members);
        prop_assert_eq!(read.proof, None);
        let signed = [&bytes[..], bytemuck::bytes_of(&samples::proof())].concat();
        let read = MembershipView::parse(&signed).map(|read| read.proof);
        prop_assert_eq!(read, if is_submitted { Ok(Some(samples::proof())) } else { Err(Reject::Body) });
    }

    #[test]
    fn an_epoch_start_is_what_was_written(
        words in any::<[u64; 3]>(),
        secret_hash in any::<[u8; 32]>(),
        windows in any::<(u32, u32)>(),
        durability in 0..=1u8,
        members in 1..=MEMBERS_MAX,
        table in vec(any::<(u64, u64)>(), 1..=EPOCHS_MAX),
        ancestors in vec((1..=u64::MAX, any::<u64>()), 0..=ANCESTORS_MAX),
    ) {
        let [epoch, base, chain_at_base] = words;
        let base = base.max(100);
        let members: Vec<_> = (1..=members as u32)
            .map(|replica| samples::member(Identity { replica, incarnation: replica + 40 }))
            .collect();
        let table: Vec<_> = table.into_iter().map(|(epoch, base)| EpochBase { epoch, base }).collect();
        let body = EpochStartBody {
            epoch, base, chain_at_base, secret_hash, window_entries: windows.0, window_bytes: windows.1, durability,
            members: members.len() as u8, epochs: table.len() as u8, ancestors: ancestors.len() as u8, reserved: [0; 4],
        };
        let ancestors: Vec<_> = (1..).zip(ancestors)
            .map(|(at, (history, chain))| Ancestor { history, next: base - at, chain }).collect();
        let bytes = samples::written(EPOCH_START_LEN_MAX, |out| write_epoch_start(out, body, &members, &table, &ancestors));
        let read = EpochStartView::parse(&bytes).expect("what we wrote is accepted");
        prop_assert_eq!(read.body, body);
        prop_assert_eq!(read.members().collect::<Vec<_>>(), members);
        prop_assert_eq!(read.epochs().collect::<Vec<_>>(), table);
        prop_assert_eq!(read.ancestors().collect::<Vec<_>>(), ancestors);
    }

    #[test]
    fn an_open_is_what_was_written(nonce in any::<[u64; 2]>(), incarnation in any::<u32>(), name in "[a-zé]{1,32}") {
        let bytes = samples::written(24 + NAME_LEN_MAX, |out| write_open(out, nonce, incarnation, &name));
        let read = OpenView::parse(&bytes).expect("what we wrote is accepted");
        prop_assert_eq!((read.body.nonce, read.body.incarnation, read.name), (nonce, incarnation, name.as_str()));
    }

    #[test]
    fn an_epoch_is_its_three_parts(round in 0..=ROUND_MAX, replica in 1..=REPLICA_MAX, incarnation in 1..=INCARNATION_MAX) {
        let identity = Identity { replica, incarnation };
        let epoch = Epoch::new(round, identity);
        prop_assert_eq!((epoch.round(), epoch.leader()), (round, identity));
        prop_assert_eq!(Identity::from_packed(identity.packed()), identity);
        prop_assert_eq!(identity.to_string().parse(), Ok(identity));
    }
}
