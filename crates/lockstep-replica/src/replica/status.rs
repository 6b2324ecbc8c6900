//! The status of a node: what every release knows, and the parts for which the question leaves room.

use super::{Ctx, ReplicaCore, RoleState, Turn};
use crate::ports::Ports;
use bytemuck::Zeroable;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{
    AGE_NEVER, ConditionRow, HEADER_LEN, Header, Identity, Kind, MEMBERS_MAX, NEIGHBOURS_MAX, Nanos,
    QueryBody, STATUS_CONDITIONS_MAX, STATUS_LEN_MAX, STATUS_LONG_LEN_MAX, StatusBody, StatusMember,
    StatusPartKind, WayRow, write_status, write_status_part,
};

/// The status of this node, with the parts for which the question leaves room.
pub(super) fn write_status_to<P: Ports>(
    ctx: &mut Ctx<'_, P>,
    role: &RoleState,
    asked: &QueryBody,
    header: &Header,
    out: &mut [u8],
) -> usize {
    let Turn { now, wall, .. } = ctx.turn;
    ctx.core.ways.on_query(now, header);
    let (is, leading) = (role.role(), role.leading());
    let suspected = ctx.core.suspicion();
    let rejected = leading.and_then(|leading| leading.rejected_command);
    let promised = ctx.core.acceptor.promised();
    let body = StatusBody {
        token: asked.token,
        process_nonce: ctx.core.limits.process_nonce,
        leader: ctx.core.present_leader(role).map_or(0, Identity::packed),
        epoch_since: ctx.core.epoch_since().0,
        promised: if planted(Mutation::StatusOfPromise) { ctx.tail.end().epoch.0 } else { promised.0 },
        membership_seq: ctx.core.log.membership.seq,
        suspected: suspected.map_or(0, |suspicion| suspicion.epoch.leader().packed()),
        suspected_age_ns: suspected.map_or(AGE_NEVER, |suspicion| now.saturating_sub(suspicion.at)),
        rejected_member: rejected.map_or(0, |denial| denial.member.packed()),
        rejected_age_ns: rejected.map_or(AGE_NEVER, |denial| wall.saturating_since(denial.at)),
        denied: rejected.map_or(0, |denial| denial.why as u32),
        role: is as u8,
        suspicion: suspected.map_or(0, |suspicion| suspicion.why as u8),
        durability: (ctx.core.log.durability == Durability::Power) as u8,
        conditions: 0,
    };
    let mut rows = [StatusMember::zeroed(); MEMBERS_MAX];
    let members = ctx.core.log.membership.members();
    for (position, (row, member)) in rows.iter_mut().zip(members).enumerate() {
        let own = member.identity() == ctx.core.identity();
        let contact = leading.map_or(0, |leading| leading.member_contact[position]);
        let last_contact = if own { now } else { contact };
        let acked = ctx.core.followed.commit.acked_by(member.identity());
        let acked_age_ns = if last_contact == 0 { AGE_NEVER } else { now.saturating_sub(last_contact) };
        let is_end = own && !planted(Mutation::StatusOwnAck);
        let acked_next = if is_end { ctx.tail.end().next } else { acked };
        *row = StatusMember { member: *member, acked_next, acked_age_ns };
    }
    ctx.core.outbox.number += 1;
    let mut active = [ConditionRow::zeroed(); STATUS_CONDITIONS_MAX];
    let row_count = ctx.core.conditions.rows(now, false, &mut active);
    let (members, active) = (&rows[..members.len()], &active[..row_count]);
    let len = HEADER_LEN + size_of::<StatusBody>() + size_of_val(members) + size_of_val(active);
    let mut parts = [0; STATUS_LONG_LEN_MAX];
    let end = write_parts_to(ctx.core, now, &mut parts[..room_for_parts(header, len)]);
    let header = ctx.header(Kind::Status);
    write_status(out, ctx.core.keys(), header, body, (members, active), &parts[..end])
}

/// How many bytes of parts whoever asked takes behind a status of `len` bytes. A release that knows of no
/// parts leaves room for the longest status, and refuses a shorter one with anything behind it.
fn room_for_parts(query: &Header, len: usize) -> usize {
    match query.length as usize {
        ..=STATUS_LEN_MAX => 0,
        asked => asked.min(STATUS_LONG_LEN_MAX).saturating_sub(len),
    }
}

/// Writes the parts of a status that find room in `out`.
fn write_parts_to(core: &ReplicaCore, now: Nanos, out: &mut [u8]) -> usize {
    let mut active = [ConditionRow::zeroed(); STATUS_CONDITIONS_MAX];
    let row_count = core.conditions.rows(now, true, &mut active);
    let mut end = match row_count {
        0 => 0,
        _ => write_status_part(out, StatusPartKind::Conditions, &active[..row_count]),
    };
    let mut ways = [WayRow::zeroed(); NEIGHBOURS_MAX];
    let way_count = core.ways.rows(now, &mut ways);
    end += write_status_part(&mut out[end..], StatusPartKind::Ways, &ways[..way_count]);
    end += write_status_part(&mut out[end..], StatusPartKind::Agreed, &core.limits.agreed);
    end
}
