//! Writes datagrams.

use super::{
    AckBody, BallotBody, DeathNoticeBody, HeartbeatBody, NACK_EPOCH_START, NACK_RANGES_MAX, NackBody,
    ORDER_SIGNED, QueryBody, QueryKind, QueryReplyBody, REPAIR_REJECT_LEN, RepairRejectBody, SeqRange,
    StepDownBody, write, write_padded,
};
use crate::{
    AddressProofBody, CommandResultBody, ConditionRow, HEADER_LEN, Header, IdentityProbeBody, Keyring,
    NAME_LEN_MAX, NOTICE_ROWS_MAX, NoticeRow, ORDER_PROOF_LEN, OrderProof, ReleaseBody, StatusBody,
    StatusMember, TimesBody,
};

/// Writes a heartbeat, sealed with `keys`, into `out` (at least [`super::SMALL_LEN_MAX`]); returns its bytes.
pub fn write_heartbeat(out: &mut [u8], keys: &Keyring, header: Header, body: HeartbeatBody) -> usize {
    write(out, keys, header, bytemuck::bytes_of(&body), &[])
}

/// Writes an ack into `out` (at least [`super::ACK_LEN`]); returns its bytes.
pub fn write_ack(out: &mut [u8], keys: &Keyring, header: Header, body: AckBody) -> usize {
    write(out, keys, header, bytemuck::bytes_of(&body), &[])
}

/// Writes a nack for `ranges`, or for the epoch start of `header.epoch` if there are none. It is at least as
/// long as a refusal.
pub fn write_nack(
    out: &mut [u8],
    keys: &Keyring,
    mut header: Header,
    token: u64,
    ranges: &[SeqRange],
) -> usize {
    assert!(ranges.len() <= NACK_RANGES_MAX, "{} ranges, at most {NACK_RANGES_MAX}", ranges.len());
    header.count = ranges.len() as u16;
    header.flags = if ranges.is_empty() { NACK_EPOCH_START } else { 0 };
    let body = NackBody { token };
    write_padded(
        out,
        keys,
        header,
        bytemuck::bytes_of(&body),
        bytemuck::cast_slice(ranges),
        REPAIR_REJECT_LEN,
    )
}

/// Writes an answer; as [`write_heartbeat`].
pub fn write_repair_reject(out: &mut [u8], keys: &Keyring, header: Header, body: RepairRejectBody) -> usize {
    write(out, keys, header, bytemuck::bytes_of(&body), &[])
}

/// Writes a question about `name` (empty where the kind needs none) into `out` (at least
/// [`super::SMALL_LEN_MAX`]). It is at least as long as its answer.
pub fn write_query(
    out: &mut [u8],
    keys: &Keyring,
    header: Header,
    token: u64,
    query_kind: QueryKind,
    name: &str,
) -> usize {
    write_order(out, keys, header, token, (query_kind, name), None)
}

/// Writes a query for a status, of `len` bytes in all and no fewer than [`crate::STATUS_LEN_MAX`]: the answer
/// has as many parts as fit this length.
pub fn write_status_query(out: &mut [u8], keys: &Keyring, header: Header, token: u64, len: usize) -> usize {
    let body = QueryBody { token, query_kind: QueryKind::Status as u32, name_len: 0 };
    write_padded(out, keys, header, bytemuck::bytes_of(&body), &[], len.max(QueryKind::Status.answer_len()))
}

/// Writes a query that is an order, and the operator's proof; as [`write_query`].
pub fn write_order(
    out: &mut [u8],
    keys: &Keyring,
    mut header: Header,
    token: u64,
    (query_kind, name): (QueryKind, &str),
    proof: Option<&OrderProof>,
) -> usize {
    let body = QueryBody { token, query_kind: query_kind as u32, name_len: name.len() as u32 };
    header.flags |= if proof.is_some() { ORDER_SIGNED } else { 0 };
    let mut items = [0; NAME_LEN_MAX.next_multiple_of(8) + ORDER_PROOF_LEN];
    items[..name.len()].copy_from_slice(name.as_bytes());
    let proof = proof.map_or(&[][..], bytemuck::bytes_of);
    let (start, end) = (name.len().next_multiple_of(8), name.len().next_multiple_of(8) + proof.len());
    items[start..end].copy_from_slice(proof);
    write_padded(out, keys, header, bytemuck::bytes_of(&body), &items[..end], query_kind.answer_len())
}

/// Writes a reply; as [`write_heartbeat`].
pub fn write_reply(out: &mut [u8], keys: &Keyring, header: Header, body: QueryReplyBody) -> usize {
    write(out, keys, header, bytemuck::bytes_of(&body), &[])
}

/// Writes a prepare, promise, refuse, pre-vote or grant, according to `header.kind`; as [`write_heartbeat`].
pub fn write_ballot(out: &mut [u8], keys: &Keyring, header: Header, body: BallotBody) -> usize {
    write(out, keys, header, bytemuck::bytes_of(&body), &[])
}

/// Writes a watcher's notice; as [`write_heartbeat`].
pub fn write_down(out: &mut [u8], keys: &Keyring, header: Header, body: DeathNoticeBody) -> usize {
    write(out, keys, header, bytemuck::bytes_of(&body), &[])
}

/// Writes a leader's announcement that it steps down; as [`write_heartbeat`].
pub fn write_step_down(out: &mut [u8], keys: &Keyring, header: Header, body: StepDownBody) -> usize {
    write(out, keys, header, bytemuck::bytes_of(&body), &[])
}

/// Writes a status, at most [`crate::MEMBERS_MAX`] members and [`crate::STATUS_CONDITIONS_MAX`] conditions,
/// with the parts that [`crate::write_status_part`] wrote one behind the other, into `out` (at least
/// [`crate::STATUS_LEN_MAX`] and the parts); returns its bytes.
pub fn write_status(
    out: &mut [u8],
    keys: &Keyring,
    mut header: Header,
    mut body: StatusBody,
    (members, conditions): (&[StatusMember], &[ConditionRow]),
    parts: &[u8],
) -> usize {
    header.count = members.len() as u16;
    body.conditions = conditions.len() as u8;
    let behind = HEADER_LEN + size_of::<StatusBody>() + size_of_val(members);
    let start = behind + size_of_val(conditions);
    let end = start + parts.len();
    out[behind..start].copy_from_slice(bytemuck::cast_slice(conditions));
    out[start..end].copy_from_slice(parts);
    write(&mut out[..behind], keys, header, bytemuck::bytes_of(&body), bytemuck::cast_slice(members));
    keys.seal(&mut out[..end], header);
    end
}

/// Writes a node's release; as [`write_heartbeat`].
pub fn write_release(out: &mut [u8], keys: &Keyring, header: Header, body: ReleaseBody) -> usize {
    write(out, keys, header, bytemuck::bytes_of(&body), &[])
}

/// Writes a node's times; as [`write_heartbeat`].
pub fn write_times(out: &mut [u8], keys: &Keyring, header: Header, body: TimesBody) -> usize {
    write(out, keys, header, bytemuck::bytes_of(&body), &[])
}

/// Writes a verdict; as [`write_heartbeat`].
pub fn write_command_result(
    out: &mut [u8],
    keys: &Keyring,
    header: Header,
    body: CommandResultBody,
) -> usize {
    write(out, keys, header, bytemuck::bytes_of(&body), &[])
}

/// Writes a notice of at most [`NOTICE_ROWS_MAX`] `rows`; as [`write_heartbeat`].
pub fn write_notice(out: &mut [u8], keys: &Keyring, mut header: Header, rows: &[NoticeRow]) -> usize {
    assert!(rows.len() <= NOTICE_ROWS_MAX, "{} rows, at most {NOTICE_ROWS_MAX}", rows.len());
    header.count = rows.len() as u16;
    write(out, keys, header, &[], bytemuck::cast_slice(rows))
}

/// Writes a presence; as [`write_heartbeat`].
pub fn write_presence(out: &mut [u8], keys: &Keyring, header: Header, body: IdentityProbeBody) -> usize {
    write(out, keys, header, bytemuck::bytes_of(&body), &[])
}

/// Writes the demand for a proof of address, or the proof itself, according to `header.flags`; as
/// [`write_heartbeat`].
pub fn write_address_proof(out: &mut [u8], keys: &Keyring, header: Header, body: AddressProofBody) -> usize {
    write(out, keys, header, bytemuck::bytes_of(&body), &[])
}
