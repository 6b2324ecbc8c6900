//! What each counter is: its group, unit and meaning. A replica's names are those of `node`, a gateway's and
//! a feed's those of `edge`, a handle's begin with whose they are.

use lockstep_client::internal::{PUBLISHER_COUNTERS, SUBSCRIBER_COUNTERS};
use lockstep_core::engine::counters::Counter;
use lockstep_wire::Condition;

/// What a counter is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Described {
    /// What it belongs to.
    pub group: String,
    /// `ns`, `B`; empty: how often, or how many.
    pub unit: &'static str,
    /// Whether it is a state, and no count that only rises.
    pub is_gauge: bool,
    /// In words; empty of one that this release does not know.
    pub meaning: String,
}

/// Groups by how their names begin; any other name is the engine's.
const GROUPS: [(&str, &str); 12] = [
    ("condition_", "conditions"),
    ("loss_", "losses"),
    ("udp_", "udp"),
    ("fault_injection_", "faults"),
    ("line_", "lines"),
    ("shm_", "memory"),
    ("xdp_", "xdp"),
    ("fanout_", "unicast"),
    ("replay_", "replay"),
    ("gateway_", "gateway"),
    ("feed_", "feed"),
    ("", "engine"),
];

/// Names, whether they are states, and meanings, of what the engines do not count.
const OTHERS: &[(&str, bool, &str)] = &[
    ("udp_group_receives", false, "Receive calls on the group socket."),
    ("udp_unicast_receives", false, "Receive calls on the unicast socket."),
    ("udp_group_sends", false, "Send calls to groups."),
    ("udp_unicast_sends", false, "Send calls to single nodes."),
    ("udp_datagrams_in", false, "Datagrams received."),
    ("udp_datagrams_out", false, "Datagrams that the device took."),
    ("udp_in_bytes", false, "Bytes received, headers of IP and UDP not counted."),
    ("udp_out_bytes", false, "Bytes that the device took, likewise."),
    ("udp_empty_receives", false, "Receives that found nothing (EAGAIN)."),
    ("udp_failed_receives", false, "Receives that failed for another reason."),
    ("udp_full_sends", false, "Sends that the device had no room for (EAGAIN, ENOBUFS)."),
    ("udp_refused_sends", false, "Sends that the kernel refused for another reason."),
    ("udp_forbidden_sends", false, "Sends that broke a limit and were not made: a bug of the caller."),
    (
        "udp_segment_refused",
        false,
        "Times that UDP_SEGMENT was refused; from then on each datagram goes alone.",
    ),
    ("udp_dropped", false, "Bursts that the kernel threw away because our socket was full."),
    ("udp_truncated", false, "Datagrams longer than any of ours may be."),
    ("udp_refused_joins", false, "Groups that could not be joined or left."),
    ("udp_last_errno", true, "The last error of a call; 0 none."),
    ("fault_injection_lost", false, "Datagrams lost on purpose."),
    ("fault_injection_duplicated", false, "Datagrams repeated on purpose."),
    ("fault_injection_reordered", false, "Datagrams set aside on purpose for others to pass."),
    ("fault_injection_delayed", false, "Datagrams delayed on purpose."),
    ("fault_injection_overflowed", false, "Datagrams to be delayed that found no room: lost as well."),
    ("line_a_datagrams_in", false, "Datagrams that line 1 brought."),
    ("line_a_first", false, "Of them those that it brought first."),
    ("line_a_lost", false, "Datagrams that line 2 brought and line 1 did not."),
    ("line_a_lag_ns", true, "How far line 1 was behind at the last copy that it brought second."),
    ("line_a_lag_ns_max", true, "The most of that."),
    ("line_a_alarms", false, "Times that line 1 was found to be down."),
    ("line_a_is_down", true, "1 while line 1 is down."),
    ("line_b_datagrams_in", false, "Datagrams that line 2 brought."),
    ("line_b_first", false, "Of them those that it brought first."),
    ("line_b_lost", false, "Datagrams that line 1 brought and line 2 did not."),
    ("line_b_lag_ns", true, "How far line 2 was behind at the last copy that it brought second."),
    ("line_b_lag_ns_max", true, "The most of that."),
    ("line_b_alarms", false, "Times that line 2 was found to be down."),
    ("line_b_is_down", true, "1 while line 2 is down."),
    ("shm_datagrams_in", false, "Datagrams received by memory."),
    ("shm_datagrams_out", false, "Datagrams put into our rings."),
    ("shm_in_bytes", false, "Bytes received by memory."),
    ("shm_out_bytes", false, "Bytes put into our rings."),
    ("shm_dropped", false, "Datagrams overwritten before we read them, whomever they were for."),
    ("shm_truncated", false, "Datagrams longer than any of ours may be."),
    ("shm_forbidden_sends", false, "Sends that broke a limit and were not made: a bug of the caller."),
    ("shm_members", true, "Other processes whose rings we read."),
    ("shm_refused_members", true, "Files of the folder that cannot be used: of another release, or damaged."),
    ("shm_broken_rings", false, "Rings that made no sense and are read no more."),
    ("xdp_mode", true, "3 zero-copy, 2 native, 1 generic, 0 no xdp."),
    ("xdp_queues", true, "Queues that are used."),
    ("xdp_busiest_queue", true, "The queue by which most datagrams came."),
    ("xdp_busiest_queue_in", false, "How many those were."),
    ("xdp_rejected_in", false, "Frames that were no whole datagram, or of a group that is not joined."),
    ("xdp_kernel_in", false, "Datagrams that came by the ordinary sockets."),
    ("xdp_kernel_out", false, "Datagrams that left by them."),
    ("xdp_neighbours", true, "Neighbours whose card address is known."),
    ("xdp_relayed_out", false, "Datagrams handed on to the other processes of this host."),
    ("xdp_relayed_in", false, "Datagrams that the owner of the card has handed on to us."),
    ("xdp_relay_dropped", false, "Of those the ones that were overwritten before we read them."),
    ("xdp_owners", true, "Owners that we hear: on each line one or none."),
    ("fanout_members", true, "Nodes that are sent to by unicast: those of the file, and leases."),
    ("fanout_leases", true, "Leases alone."),
    ("fanout_joins", false, "Leases that began."),
    ("fanout_leaves", false, "Members that left by their own word."),
    ("fanout_expired", false, "Leases that ended in silence."),
    ("fanout_refused", false, "Joins that found no room."),
    ("fanout_is_refusing", true, "1 while that has happened in the last seconds."),
    ("fanout_unproven", false, "Joins from an address that was not proven yet."),
    ("fanout_rejected", false, "Joins and leases of another cluster, malformed, or not for us."),
    ("fanout_unsent", false, "Datagrams for single members that the device did not take."),
    ("fanout_lessors", true, "Nodes that send to us by lease now."),
    ("fanout_refused_by", true, "Nodes that refuse to, now."),
    ("fanout_refusals", false, "Times that a node began to refuse."),
    ("replay_readers", true, "Readers that are connected now."),
    ("replay_served", false, "Readers in all."),
    ("replay_sent_bytes", false, "Bytes of frames sent to them."),
    ("loss_gaps", false, "Holes in what was received."),
    ("loss_entries", false, "Entries in them."),
    ("loss_open", true, "Holes that are open."),
    ("loss_by_line", false, "Holes whose entries did not arrive: a wire, a switch, a card."),
    ("loss_by_socket", false, "Holes because our socket was full although we looked all the time."),
    ("loss_by_stall", false, "Holes because our socket was full while we were away."),
    ("loss_by_unsent", false, "Holes that a repairer has too: not sent, or lost before the ways part."),
    ("loss_came_late", false, "Holes that were closed by what came late."),
    ("loss_repaired_by_leader", false, "Holes that the leader repaired."),
    ("loss_repaired_by_others", false, "Holes that others repaired."),
    ("loss_gone", false, "Holes that were never closed."),
    ("loss_repair_ns", false, "Time that all holes were open, together."),
    ("loss_repair_ns_max", true, "The longest that one was open."),
    ("loss_repair_100us", false, "Holes closed within 100 us."),
    ("loss_repair_1ms", false, "Holes closed within 1 ms, and later than 100 us."),
    ("loss_repair_10ms", false, "Holes closed within 10 ms, and later than 1 ms."),
    ("loss_repair_100ms", false, "Holes closed within 100 ms, and later than 10 ms."),
    ("loss_repair_longer", false, "Holes closed later than that."),
    ("gateway_accepted", false, "Logins that were accepted."),
    ("gateway_rejected", false, "Logins that were refused."),
    ("gateway_submitted", false, "Messages of clients that were submitted."),
    ("gateway_refused", false, "Messages of clients that were not taken, and told so."),
    ("gateway_duplicates", false, "Numbered messages that were known already."),
    ("gateway_sent", false, "Messages sent to clients."),
    ("gateway_early", false, "Messages sent to clients before they were final, in addition."),
    ("gateway_too_long", false, "Messages to clients that no packet takes."),
    ("gateway_cut", false, "Connections that the gateway cut."),
    ("gateway_blocked", false, "Times that a connection waited for the window or its rate."),
    ("gateway_reaped", false, "Clients taken away from gateways that are gone."),
    ("feed_messages", false, "Messages with a number, of all days."),
    ("feed_datagrams", false, "Datagrams multicast, heartbeats and ends of sessions among them."),
    ("feed_too_long", false, "Messages passed over: longer than a datagram takes."),
    ("feed_unmapped", false, "Messages passed over: the mapping gave them no block."),
    ("feed_answered", false, "Requests that were answered."),
];

/// What one of the last losses has, behind `loss_N_`.
const LOSS: &[(&str, &str)] = &[
    ("at_ns", "when it was found, by the monotonic clock"),
    ("from", "its first seq"),
    ("entries", "how many entries"),
    ("cause", "0 line, 1 socket, 2 stall, 3 unsent"),
    ("closed", "1 came late, 2 repaired, 3 gone"),
    ("by", "who repaired it"),
    ("took_ns", "how long it was open"),
];

/// What the counter called `name` is.
pub fn describe(name: &str) -> Described {
    let handles = [(PUBLISHER_COUNTERS, "publisher"), (SUBSCRIBER_COUNTERS, "subscriber")];
    let of_handle = handles.into_iter().find_map(|(prefix, whose)| Some((whose, name.strip_prefix(prefix)?)));
    let (whose, name) = of_handle.filter(|(_, rest)| meaning(rest).is_some()).unwrap_or(("", name));
    let group = GROUPS.iter().find(|(prefix, _)| name.starts_with(prefix)).map_or("", |(_, group)| group);
    let (is_gauge, meaning) = meaning(name).unwrap_or((false, String::new()));
    Described {
        group: if whose.is_empty() { group.to_owned() } else { format!("{whose}, {group}") },
        unit: match name {
            name if name.ends_with("_ns") || name.ends_with("_ns_max") => "ns",
            name if name.split('_').any(|word| word == "bytes") => "B",
            _ => "",
        },
        is_gauge,
        meaning,
    }
}

/// Whether it is a state, and what it means.
fn meaning(name: &str) -> Option<(bool, String)> {
    if let Some(index) = Counter::NAMES.iter().position(|known| *known == name) {
        let text = Counter::MEANINGS[index];
        return Some(match text.strip_prefix("Gauge: ") {
            Some(text) => (true, text.to_owned()),
            None => (false, text.to_owned()),
        });
    }
    if let Some((_, is_gauge, text)) = OTHERS.iter().find(|(known, ..)| *known == name) {
        return Some((*is_gauge, (*text).to_owned()));
    }
    if let Some(rest) = name.strip_prefix("condition_") {
        let known = |name: &str| Condition::ALL.iter().find(|condition| condition.name() == name);
        return match (known(rest), rest.strip_suffix("_begun").and_then(known)) {
            (Some(condition), _) => Some((true, format!("1 while it holds. {}", condition.meaning()))),
            (None, Some(condition)) => Some((false, format!("Times that {} began.", condition.name()))),
            (None, None) => None,
        };
    }
    let (number, field) = name.strip_prefix("loss_")?.split_once('_')?;
    let number: u32 = number.parse().ok()?;
    let (_, text) = LOSS.iter().find(|(known, _)| *known == field)?;
    Some((true, format!("Of the last losses, newest first, number {number}: {text}.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_core::engine::losses::SUM_NAMES;
    use lockstep_gateway::{feed::FeedCounts, gateway::core::GatewayCounts};
    use lockstep_io::udp::UdpCounts;

    #[test]
    fn every_counter_of_every_process_has_a_group_and_a_meaning() {
        let handle = Counter::NAMES.iter().chain(&UdpCounts::NAMES).chain(&SUM_NAMES);
        let handles =
            handle.flat_map(|name| [PUBLISHER_COUNTERS, SUBSCRIBER_COUNTERS].map(|of| format!("{of}{name}")));
        let edge = GatewayCounts::NAMES.iter().chain(&FeedCounts::NAMES).map(|name| (*name).to_owned());
        let mut known = 0;
        for name in lockstep_node::counter_names().into_iter().chain(handles).chain(edge) {
            let described = describe(&name);
            assert!(described.meaning.ends_with('.') && !described.group.is_empty(), "{name}: {described:?}");
            known += 1;
        }
        assert!(known > 270, "{known}");
        for (name, ..) in OTHERS {
            let publishes = |known: &String| known == name;
            let of_handles = SUM_NAMES.contains(name);
            let edge = GatewayCounts::NAMES.contains(name) || FeedCounts::NAMES.contains(name);
            assert!(
                of_handles || edge || lockstep_node::counter_names().iter().any(publishes),
                "{name} is counted by nobody"
            );
        }
    }

    #[test]
    fn units_follow_from_names_and_gauges_are_told_from_counts() {
        let told = |name: &str| {
            let Described { group, unit, is_gauge, .. } = describe(name);
            (group, unit, is_gauge)
        };
        assert_eq!(told("repair_rtt_ns"), ("engine".to_owned(), "ns", true));
        assert_eq!(told("frames_out_bytes"), ("engine".to_owned(), "B", false));
        assert_eq!(told("condition_disk_full"), ("conditions".to_owned(), "", true));
        assert_eq!(told("condition_disk_full_begun"), ("conditions".to_owned(), "", false));
        assert_eq!(told("subscriber_udp_in_bytes"), ("subscriber, udp".to_owned(), "B", false));
        assert_eq!(told("publishers"), ("engine".to_owned(), "", true), "no publisher's");
        assert_eq!(describe("risk_orders").meaning, "", "an application's own has the meaning that it knows");
    }
}
