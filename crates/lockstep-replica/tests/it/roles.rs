//! What each datagram makes of each role.

use crate::replica::{RING, blank, leader, standby};
use lockstep_core::engine::event::Role;
use lockstep_memory::cluster::SoloReplica;
use lockstep_memory::log::{Log, written};
use lockstep_memory::world::*;
use lockstep_wire::Keyring;
use lockstep_wire::*;

/// Each role, and what it is and sends behind an event. A ballot is replica 3's, of round 9; the standby, the
/// blank node and the learner hear the leader until then.
const TRANSITIONS: &str = "
event                         blank                     learner                   standby                   leader
nothing                       blank                     learner                   standby                   leader
prepare                       blank                     learner                   standby, Promise          standby, Promise
prepare for another           blank                     learner                   standby                   leader
a lower one behind it         blank                     learner                   standby, Promise, Refuse  standby, Promise, Refuse
pre-vote                      blank                     learner                   standby                   leader
refusal of its epoch          blank                     learner                   standby                   standby
refusal of another epoch      blank                     learner                   standby                   leader
refusal by a stranger         blank                     learner                   standby                   leader
ack of a newer epoch          blank                     learner                   standby                   standby
the same by a stranger        blank                     learner                   standby                   leader
heartbeat of a newer epoch    blank                     learner                   standby                   standby
the log, which lists it       standby                   standby                   standby                   standby
the log, which does not       learner                   learner                   learner                   standby
";

fn ballot(kind: Kind, from: u32, ballot: Epoch, about: Epoch) -> Vec<u8> {
    let body = BallotBody { process_nonce: 99, ballot: ballot.0, about: about.0 };
    written(|out| {
        write_ballot(out, &Keyring::none(CLUSTER), Log::begun(3).header(kind, identity(from)), body)
    })
}

/// An ack of `from` in the epoch of round 9.
fn newer_ack(from: u32) -> Vec<u8> {
    Log::begun(3).ack_with(from, 3, |header, _| header.epoch = epoch(9, 3).0)
}

/// A node that no member list names.
fn learner() -> SoloReplica {
    let log = Log::begun(3);
    let mut node = SoloReplica::new(start(blank_tail(4, RING), replica_limits(4, 3)).unwrap());
    node.hear(&log.frames[1..2]);
    node.ask(1, log.repair(0, 1, 3));
    assert_eq!(node.replica.role(), Role::Learner);
    node
}

/// A log in which replicas 2 and 4 are listed, or neither of them.
fn with_members(node: &mut SoloReplica, listed: bool) -> Vec<Vec<u8>> {
    let mut log = Log::begun(3);
    let count = if listed { 4 } else { 3 };
    let members: Vec<_> =
        member_list(count).into_iter().filter(|member| listed || member.replica != 2).collect();
    if node.next() == 1 {
        node.hear(&log.frames[1..2]);
        node.ask(1, log.repair(0, 1, 3));
    }
    let start = log.begin(epoch(2, 3), &members);
    let mut heartbeat = log.clone();
    (heartbeat.epoch, heartbeat.commit_next) = (epoch(2, 3), log.end.next);
    vec![start, heartbeat.heartbeat()]
}

#[test]
fn each_event_moves_each_role_as_the_table_says() {
    type Event = fn(&mut SoloReplica) -> Vec<Vec<u8>>;
    let newer = epoch(9, 3);
    assert_eq!(newer.leader(), identity(3));
    let events: [(&str, Event); 13] = [
        ("nothing", |_| Vec::new()),
        ("prepare", |_| vec![ballot(Kind::Prepare, 3, epoch(9, 3), Epoch::NONE)]),
        ("prepare for another", |_| vec![ballot(Kind::Prepare, 2, epoch(9, 3), Epoch::NONE)]),
        ("a lower one behind it", |_| {
            [9, 5].map(|round| ballot(Kind::Prepare, 3, epoch(round, 3), Epoch::NONE)).to_vec()
        }),
        ("pre-vote", |_| vec![ballot(Kind::PreVote, 3, epoch(9, 3), epoch(1, 1))]),
        ("refusal of its epoch", |_| vec![ballot(Kind::Refuse, 3, epoch(9, 3), epoch(1, 1))]),
        ("refusal of another epoch", |_| vec![ballot(Kind::Refuse, 3, epoch(9, 3), epoch(2, 1))]),
        ("refusal by a stranger", |_| vec![ballot(Kind::Refuse, 7, epoch(9, 3), epoch(1, 1))]),
        ("ack of a newer epoch", |_| vec![newer_ack(3)]),
        ("the same by a stranger", |_| vec![newer_ack(7)]),
        ("heartbeat of a newer epoch", |_| {
            let heartbeat = |header: &mut Header, _: &mut HeartbeatBody| {
                (header.epoch, header.sender) = (epoch(9, 3).0, 3);
                header.incarnation = identity(3).incarnation;
            };
            vec![Log::begun(3).heartbeat_with(heartbeat)]
        }),
        ("the log, which lists it", |node| with_members(node, true)),
        ("the log, which does not", |node| with_members(node, false)),
    ];
    let roles: [fn() -> SoloReplica; 4] =
        [|| blank(|_| {}), learner, || standby(&Log::begun(3), |_| {}), || leader(3, |_| {})];
    let mut table = format!("\n{:<30}{:<26}{:<26}{:<26}leader\n", "event", "blank", "learner", "standby");
    for (name, event) in events {
        let after = roles.map(|make| {
            let mut node = make();
            let datagrams = event(&mut node);
            let mut sent = node.hear(&datagrams);
            sent.extend((0..4).flat_map(|_| node.poll()));
            let mut cell = node.replica.role().name().to_owned();
            for (_, bytes) in &sent {
                let kind = Kind::from_u8(Header::peek(bytes).expect("our own bytes").kind).expect("a kind");
                if matches!(kind, Kind::Promise | Kind::Refuse | Kind::Grant) {
                    cell.push_str(&format!(", {kind:?}"));
                }
            }
            format!("{cell:<26}")
        });
        table.push_str(format!("{name:<30}{}", after.concat()).trim_end());
        table.push('\n');
    }
    assert_eq!(table, TRANSITIONS, "the transitions are now:\n{table}");
}
