//! One test for each refusal, with its message as people read it.
//!
//! A row says: this file, with these texts replaced, is refused with exactly these messages. Each
//! is code, key, what is wrong, what to write instead, and where.

use crate::{NO_REPLICA, PRODUCTION, SECOND_LINE, SHARED, SINGLE, THIRD_LINE, changed, problems};

/// A test per row: the promise, the file, what is changed in it; the messages.
macro_rules! refused {
    ($($name:ident: $base:expr, [$($from:expr => $to:expr),*]; $($message:literal),+;)+) => { $(
        #[test]
        fn $name() {
            assert_eq!(problems(&changed($base, &[$(($from, $to)),*])), [$($message),+]);
        }
    )+ };
}

refused! {
    an_unknown_key_is_refused_with_the_key_that_was_meant: SHARED,
        ["[stream]" => "[stream]\nwindow_entrys = 9"];
        "LS0102: stream.window_entrys: is not a key; did you mean window_entries? (c.toml:18:1)";

    a_key_in_the_wrong_table_is_told_where_it_belongs: SHARED,
        ["[stream]" => "[stream]\nretention_age = \"7d\""];
        "LS0102: stream.retention_age: is not a key; it belongs into [journal] (c.toml:18:1)";

    an_unknown_table_is_refused_with_the_table_that_was_meant: SHARED, ["[stream]" => "[straem]"];
        "LS0102: straem: is not a key; did you mean stream? (c.toml:17:2)";

    a_key_of_no_table_is_refused_with_the_keys_there_are: SHARED, ["[stream]" => "[log]\nzzz = 1"];
        "LS0102: log.zzz: is not a key; the keys here are format, level (c.toml:18:1)";

    a_missing_cluster_is_named: SHARED, ["cluster = 7\n" => ""];
        "LS0103: cluster: is required and missing; add cluster = 1, the number of this cluster (c.toml:1:1)";

    a_missing_key_of_a_replica_is_named: SHARED, ["journal = \"/j/2\"\n" => ""];
        "LS0103: replicas.2.journal: is required and missing; add journal = \"/var/lib/lockstep/1\", a \
         directory on a disk (c.toml:13:1)";

    a_cluster_starts_at_one: SHARED, ["cluster = 7" => "cluster = 0"];
        "LS0107: cluster: 0 is out of range; write a value from 1 to 9223372036854775807 (c.toml:1:11)";

    a_negative_number_is_out_of_range: SHARED, ["cluster = 7" => "cluster = -7"];
        "LS0107: cluster: the number is out of range; write a value from 1 to 9223372036854775807 \
         (c.toml:1:11)";

    a_number_in_quotes_is_told_to_lose_them: SHARED, ["cluster = 7" => "cluster = \"7\""];
        "LS0104: cluster: the text \"7\" where a whole number is needed; write 7, without quotes \
         (c.toml:1:11)";

    a_number_with_a_point_is_refused: SHARED, ["cluster = 7" => "cluster = 7.0"];
        "LS0104: cluster: a TOML float where a whole number is needed; write a whole number from 1 to \
         9223372036854775807 (c.toml:1:11)";

    a_network_with_bits_behind_its_first_ones_is_told_which_it_is: SHARED,
        ["[stream]" => "[feed]\nallow = \"10.1.2.3/16\"\n[stream]"];
        "LS0108: feed.allow: \"10.1.2.3/16\" has bits behind its first 16: the network is 10.1.0.0/16; write networks or \
         addresses with commas between them, e.g. \"10.1.0.0/16, 10.2.0.7\" (c.toml:18:9)";

    a_replica_that_could_read_no_journal_is_named: PRODUCTION,
        ["[stream]" => "[replay]\nallow = \"10.0.0.1, 10.1.0.0/16\"\n[stream]"];
        "LS0122: replay.allow: leaves out 10.0.0.2, the address of replicas.2.unicast: it could read no journal; add \
         10.0.0.2, or its network (c.toml:18:9)";

    a_truth_in_quotes_is_told_to_lose_them: SHARED, ["[stream]" => "[runtime]\nmlock = \"true\""];
        "LS0104: runtime.mlock: the text \"true\" where true or false is needed; write true or false, \
         without quotes (c.toml:18:9)";

    a_table_that_must_be_a_list_is_told_so: SHARED, ["[[lines]]" => "[lines]"];
        "LS0104: lines: is a list, even of one, and this is a table of 5 keys; write [[lines]], with two \
         brackets (c.toml:3:2)";

    a_list_that_must_be_a_table_is_told_so: SHARED, ["[stream]" => "[[stream]]"];
        "LS0104: stream: is a table, not a TOML array; write [stream] (c.toml:17:3)";

    a_duration_without_a_unit_is_told_so: SHARED, ["[stream]" => "[timing]\nheartbeat_interval = 10"];
        "LS0105: timing.heartbeat_interval: 10 has no unit, and a duration needs one; write \"10us\", \"10ms\" or \
         \"10s\" (c.toml:18:22)";

    a_duration_in_quotes_without_a_unit_is_told_so: SHARED, ["[stream]" => "[timing]\nheartbeat_interval = \"10\""];
        "LS0105: timing.heartbeat_interval: 10 has no unit, and a duration needs one; write \"10us\", \"10ms\" or \
         \"10s\" (c.toml:18:22)";

    a_duration_with_a_foreign_unit_is_told_ours: SHARED, ["[stream]" => "[timing]\nheartbeat_interval = \"10msec\""];
        "LS0105: timing.heartbeat_interval: \"msec\" is not a unit of a duration (they are ns, us, ms, s, min, h, d); \
         write \"10ms\" (c.toml:18:22)";

    a_duration_with_the_unit_of_a_size_is_told_so: SHARED, ["[stream]" => "[timing]\nheartbeat_interval = \"10KiB\""];
        "LS0105: timing.heartbeat_interval: \"KiB\" is not a unit of a duration (they are ns, us, ms, s, min, h, d); \
         write \"10us\", \"10ms\" or \"10s\" (c.toml:18:22)";

    a_fraction_of_a_unit_is_refused: SHARED, ["[stream]" => "[timing]\nheartbeat_interval = \"1.5ms\""];
        "LS0105: timing.heartbeat_interval: \"1.5ms\" is not a duration; write \"10us\", \"10ms\" or \"10s\": a whole \
         number and a unit (ns, us, ms, s, min, h, d) (c.toml:18:22)";

    a_duration_out_of_range_is_told_the_range: SHARED, ["[stream]" => "[timing]\nheartbeat_interval = \"2s\""];
        "LS0107: timing.heartbeat_interval: 2s is out of range; write a value from 100us to 1s (c.toml:18:22)";

    a_share_without_percent_is_told_so: SHARED, ["[stream]" => "[fault_injection]\nloss = 1"];
        "LS0105: fault_injection.loss: 1 has no unit, and a share needs one; write \"1%\" (c.toml:18:8)";

    a_share_in_words_is_told_how_to_write_it: SHARED, ["[stream]" => "[fault_injection]\nloss = \"1 in 100\""];
        "LS0105: fault_injection.loss: \"1 in 100\" is not a share: it has no %; write percent: \"1%\" or \"0.01%\" \
         (c.toml:18:8)";

    a_share_finer_than_a_millionth_is_refused: SHARED, ["[stream]" => "[fault_injection]\nloss = \"0.00001%\""];
        "LS0105: fault_injection.loss: \"0.00001%\" is not a share; write percent: \"1%\" or \"0.01%\" \
         (c.toml:18:8)";

    a_share_of_more_than_everything_is_out_of_range: SHARED,
        ["[stream]" => "[fault_injection]\nloss = \"100.0001%\""];
        "LS0107: fault_injection.loss: 100.0001% is out of range; write a value from 0% to 100% (c.toml:18:8)";

    a_cluster_without_keys_is_refused_in_production: PRODUCTION,
        ["[stream]" => "[security]\nmode = \"none\"\n[stream]"];
        "LS0121: security.mode: production does not trust its network alone; leave it out and make keys \
         with `lockstep keys new`, or write profile = \"shared\" (c.toml:18:8)";
    fault_injection_is_refused_in_production: PRODUCTION,
        ["[stream]" => "[fault_injection]\nloss = \"0.01%\"\ndelay = \"20us\"\nseed = 2"];
        "LS0121: fault_injection.loss: production does not lose, repeat, reorder or delay on purpose; leave [fault_injection] \
         out, or write profile = \"shared\" where nothing depends on it (c.toml:18:8)",
        "LS0121: fault_injection.delay: production does not lose, repeat, reorder or delay on purpose; leave [fault_injection] \
         out, or write profile = \"shared\" where nothing depends on it (c.toml:19:9)";

    a_size_without_a_unit_is_told_so: SHARED, ["[stream]" => "[subscriber]\nbuffer = 1048576"];
        "LS0105: subscriber.buffer: 1048576 has no unit, and a size needs one; write \"1MiB\" \
         (c.toml:18:10)";

    a_small_size_without_a_unit_is_told_so: SHARED, ["[stream]" => "[subscriber]\nbuffer = 8"];
        "LS0105: subscriber.buffer: 8 has no unit, and a size needs one; write \"8KiB\" or \"8MiB\" \
         (c.toml:18:10)";

    a_size_in_powers_of_ten_is_told_ours: SHARED, ["[stream]" => "[subscriber]\nbuffer = \"8MB\""];
        "LS0105: subscriber.buffer: \"MB\" is not a unit of a size (they are B, KiB, MiB, GiB, TiB); write \
         \"8MiB\" (c.toml:18:10)";

    a_size_beyond_u64_is_out_of_range: SHARED,
        ["[stream]" => "[subscriber]\nbuffer = \"99999999999999TiB\""];
        "LS0107: subscriber.buffer: \"99999999999999TiB\" is out of range; write a smaller value \
         (c.toml:18:10)";

    a_word_that_is_no_choice_is_told_the_choices: SHARED,
        ["profile = \"shared\"" => "profile = \"prodction\""];
        "LS0106: profile: \"prodction\" is not a choice; did you mean \"production\"? write \"production\" \
         or \"shared\" (c.toml:2:11)";

    a_scheduling_class_without_priority_is_refused: SHARED,
        ["[stream]" => "[runtime]\nscheduling = \"fifo\""];
        "LS0107: runtime.scheduling: \"fifo\" has no priority from 1 to 99; write \"fifo:50\", or another \
         priority from 1 to 99 (c.toml:18:14)";

    a_group_that_is_not_multicast_is_refused: SHARED, ["239.77.1.2:7700" => "10.77.1.2:7700"];
        "LS0109: lines.1.data: 10.77.1.2 is not a multicast address; write a group of 239.0.0.0/8, e.g. \
         \"239.77.0.1:7000\" (c.toml:5:8)";

    a_group_of_the_networks_own_protocols_is_refused: SHARED, ["239.77.1.2:7700" => "224.0.0.5:7700"];
        "LS0109: lines.1.data: 224.0.0.5 belongs to the network's own protocols; write a group of \
         239.0.0.0/8, e.g. \"239.77.0.1:7000\" (c.toml:5:8)";

    a_source_specific_group_is_refused: SHARED, ["239.77.1.2:7700" => "232.77.1.2:7700"];
        "LS0109: lines.1.data: 232.77.1.2 is source-specific, and lockstep's groups have many senders; \
         write a group of 239.0.0.0/8, e.g. \"239.77.0.1:7000\" (c.toml:5:8)";

    a_group_without_a_port_is_refused: SHARED, ["239.77.1.2:7700" => "239.77.1.2"];
        "LS0108: lines.1.data: \"239.77.1.2\" has no port; write \"ip:port\", e.g. \"239.77.0.1:7000\" \
         (c.toml:5:8)";

    groups_with_different_ports_are_refused: SHARED, ["239.77.1.2:7700" => "239.77.1.2:7800"];
        "LS0110: lines.1.data: has port 7800, and lines.1.submit has 7700; one socket receives all groups; \
         write \"239.77.1.2:7700\" (c.toml:5:8)";

    the_odd_port_out_is_to_blame: SHARED, ["239.77.1.1:7700" => "239.77.1.1:7800"];
        "LS0110: lines.1.submit: has port 7800, and lines.1.data has 7700; one socket receives all groups; \
         write \"239.77.1.1:7700\" (c.toml:4:10)";

    one_group_for_two_purposes_is_refused: SHARED, ["239.77.1.2:7700" => "239.77.1.1:7700"];
        "LS0110: lines.1.data: has the group 239.77.1.1 of lines.1.submit; write another group: the \
         receivers of one must not receive the others (c.toml:5:8)";

    unicast_to_a_group_is_refused: SHARED, ["127.0.0.1:7702" => "239.0.0.1:7702"];
        "LS0108: replicas.2.unicast: 239.0.0.1 is a multicast address; write the replica's own address, \
         e.g. \"10.0.0.1:7001\" (c.toml:15:11)";

    unicast_to_nobody_is_refused: SHARED, ["127.0.0.1:7702" => "0.0.0.0:7702"];
        "LS0108: replicas.2.unicast: 0.0.0.0 is no address that others can send to; write the replica's \
         own address, e.g. \"10.0.0.1:7001\" (c.toml:15:11)";

    a_unicast_name_is_refused: SHARED, ["127.0.0.1:7702" => "localhost:7702"];
        "LS0108: replicas.2.unicast: \"localhost:7702\" is not an IPv4 address with a port; write \
         \"ip:port\", e.g. \"10.0.0.1:7001\" (c.toml:15:11)";

    unicast_to_the_groups_port_is_refused: SHARED, ["127.0.0.1:7702" => "127.0.0.1:7700"];
        "LS0116: replicas.2.unicast: port 7700 is the groups' port, where unicast may reach the wrong \
         socket; write \"127.0.0.1:7701\" (c.toml:15:11)";

    one_replica_id_twice_is_refused: SHARED, ["id = 2" => "id = 1"];
        "LS0113: replicas.#2.id: 1 is used by replicas.1.id already; give each replica its own id \
         (c.toml:14:6)";

    a_replica_id_beyond_one_byte_is_refused: SHARED, ["id = 2" => "id = 256"];
        "LS0107: replicas.256.id: 256 is out of range; write a value from 1 to 255 (c.toml:14:6)";

    one_unicast_address_twice_is_refused: SHARED, ["127.0.0.1:7702" => "127.0.0.1:7701"];
        "LS0114: replicas.2.unicast: 127.0.0.1:7701 is used by replicas.1.unicast already; give each \
         replica its own unicast (c.toml:15:11)";

    one_journal_for_two_replicas_of_a_host_is_refused: SHARED, ["/j/2" => "/j/1"];
        "LS0115: replicas.2.journal: /j/1 is used by replicas.1.journal already; write another path \
         (c.toml:16:11)";

    a_tail_that_another_replica_gets_by_default_is_refused: SHARED,
        ["id = 1" => "id = 1\ntail = \"/dev/shm/lockstep-7-2.tail\""];
        "LS0115: replicas.1.tail: /dev/shm/lockstep-7-2.tail is used by replicas.2.tail already; write \
         another path (c.toml:11:8)";

    one_file_for_tail_and_counters_is_refused: SHARED,
        ["id = 1" => "id = 1\ntail = \"/dev/shm/a\"\ncounters = \"/dev/shm/a\""];
        "LS0115: replicas.1.counters: /dev/shm/a is used by replicas.1.tail already; write another path \
         (c.toml:12:12)";

    a_relative_path_is_refused: SHARED, ["/j/2" => "j/2"];
        "LS0108: replicas.2.journal: \"j/2\" is not an absolute path, and would depend on where the \
         process was started; write a path that begins with / (c.toml:16:11)";

    an_interface_that_can_be_none_is_refused: SHARED,
        ["interface = \"lo\"" => "interface = \"a name too long for one\""];
        "LS0108: lines.1.interface: \"a name too long for one\" is neither an interface's name nor an \
         address; write an interface's name, e.g. \"eth0\", or its IPv4 address (c.toml:7:13)";

    the_address_of_everything_is_no_interface: SHARED, ["interface = \"lo\"" => "interface = \"0.0.0.0\""];
        "LS0108: lines.1.interface: 0.0.0.0 is the address of no interface; write an interface's name, \
         e.g. \"eth0\", or its IPv4 address (c.toml:7:13)";

    an_mtu_too_small_for_an_epoch_start_is_refused: SHARED,
        ["[[replicas]]\nid = 1" => "mtu = 576\n[[replicas]]\nid = 1"];
        "LS0107: lines.1.mtu: 576 is out of range; write a value from 1100 to 9000 (c.toml:9:7)";

    busy_polling_in_nanoseconds_is_refused: SHARED,
        ["[[replicas]]\nid = 1" => "busy_poll = \"1500ns\"\n[[replicas]]\nid = 1"];
        "LS0107: lines.1.busy_poll: the kernel takes whole microseconds only; write \"2us\" (c.toml:9:13)";

    a_third_line_is_refused: SHARED, ["[stream]" => SECOND_LINE, "[stream]" => THIRD_LINE];
        "LS0111: lines: there are 3 lines, and everything is sent on each of them; keep one, or two that share \
         no cable, card and switch (c.toml:22:1)";

    a_second_line_with_a_group_of_the_first_is_refused: SHARED,
        ["[stream]" => SECOND_LINE, "239.77.9.2" => "239.77.1.1"];
        "LS0110: lines.2.data: has the group 239.77.1.1 of lines.1.submit; give each line groups of its own \
         (c.toml:19:8)";

    an_address_on_a_second_line_that_is_not_there_is_refused: SHARED,
        ["unicast = \"127.0.0.1:7701\"" => "unicast = \"127.0.0.1:7701\"\nunicast_b = \"127.0.0.1:7801\""];
        "LS0111: replicas.1.unicast_b: is for a second line, and there is one line only; add the second [[lines]], \
         or leave it out (c.toml:12:13)";

    one_address_on_both_lines_is_refused: SHARED,
        ["[stream]" => SECOND_LINE,
         "unicast = \"127.0.0.1:7701\"" => "unicast = \"127.0.0.1:7701\"\nunicast_b = \"127.0.0.1:7701\""];
        "LS0114: replicas.1.unicast_b: 127.0.0.1:7701 is used by replicas.1.unicast already; give each replica its \
         own unicast_b (c.toml:12:13)";

    two_lines_with_different_mtus_are_refused: SHARED,
        ["[stream]" => SECOND_LINE, "[stream]" => "mtu = 1400\n[stream]"];
        "LS0111: lines.2.mtu: is 1400, and lines.1.mtu is 1500: the same datagrams go by both lines; write the \
         smaller one on both (c.toml:22:7)";

    two_lines_on_one_interface_are_refused_in_production: PRODUCTION,
        ["[stream]" => SECOND_LINE, "interface = \"lo\"" => "interface = \"eth1\""];
        "LS0121: lines.2.interface: is that of lines.1.interface: what cuts one line cuts both; write an interface \
         of another network, or leave the second line out (c.toml:21:13)";

    a_message_larger_than_its_publishers_window_is_refused_with_limit_and_remedy: SHARED,
        ["[stream]" => "[publisher]\nwindow = 4\n[stream]\nmessage_len_max = 8000"];
        "LS0120: stream.message_len_max: 8000 bytes are 7 parts at mtu 1500, and publisher.window and \
         publisher.buffer hold 4; write 5184 or less, or raise them (c.toml:20:19)";

    a_message_larger_than_any_is_refused: SHARED, ["[stream]" => "[stream]\nmessage_len_max = 65537"];
        "LS0107: stream.message_len_max: 65537 is out of range; write a value from 1 to 65536 (c.toml:18:19)";

    a_channels_message_that_no_feeds_datagram_takes_is_refused: SHARED,
        ["ttl = 0" => "ttl = 0\nmtu = 1400", "[stream]" => "[[channels]]\nid = 7\nmessage_len_max = 1351\n[stream]"];
        "LS0120: channels.7.message_len_max: a feed's datagram takes 1350 bytes of a message at mtu 1400, and blocks \
         are not split; write 1350 or less, or leave it out (c.toml:20:19)";

    a_channels_message_larger_than_the_streams_is_refused: SHARED,
        ["[stream]" => "[[channels]]\nid = 7\nmessage_len_max = 1001\n[stream]\nmessage_len_max = 1000"];
        "LS0120: channels.7.message_len_max: 1001 bytes are more than any message has: stream.message_len_max is \
         1000; write 1000 or less, or leave it out (c.toml:19:19)";

    a_channel_that_stands_twice_is_refused: SHARED,
        ["[stream]" => "[[channels]]\nid = 7\n[[channels]]\nid = 7\n[stream]"];
        "LS0113: channels.#2.id: 7 is used by channels.7.id already; give each channel its own id (c.toml:20:6)";

    a_channel_beyond_the_last_is_refused: SHARED, ["[stream]" => "[[channels]]\nid = 2147483647\n[stream]"];
        "LS0107: channels.2147483647.id: 2147483647 is out of range; write a value from 0 to 2147483642 \
         (c.toml:18:6)";

    a_channel_without_a_number_is_told_how_to_write_it: SHARED,
        ["[stream]" => "[[channels]]\nmessage_len_max = 9\n[stream]"];
        "LS0103: channels.#1.id: is required and missing; add id = 7, the number of a channel (c.toml:17:1)";

    a_window_that_the_tail_cannot_hold_is_refused: SHARED,
        ["[stream]" => "[stream]\nwindow_bytes = \"65MiB\""];
        "LS0118: stream.window_bytes: a window of 65MiB needs a tail of four times its size, and \
         journal.tail_size is 256MiB; write window_bytes = \"64MiB\" or less, or tail_size = \"260MiB\" or \
         more (c.toml:18:16)";

    a_tail_that_cannot_hold_the_default_window_is_refused: SHARED,
        ["[stream]" => "[journal]\ntail_size = \"32MiB\""];
        "LS0118: journal.tail_size: a window of 16MiB needs a tail of four times its size, and \
         journal.tail_size is 32MiB; write window_bytes = \"8MiB\" or less, or tail_size = \"64MiB\" or \
         more (c.toml:18:13)";

    a_publisher_window_beyond_the_streams_is_refused: SHARED, ["[stream]" => "[publisher]\nwindow = 65537"];
        "LS0118: publisher.window: one publisher's window of 65537 entries is larger than the stream's of \
         65536; write 65536 or less (c.toml:18:10)";

    a_tail_of_broken_pages_is_refused: SHARED, ["[stream]" => "[journal]\ntail_size = \"268435457B\""];
        "LS0107: journal.tail_size: 268435457 bytes are no multiple of 4KiB; write \"262148KiB\" \
         (c.toml:18:13)";

    a_retention_below_two_segments_is_refused: SHARED,
        ["[stream]" => "[journal]\nretention_size = \"127MiB\""];
        "LS0118: journal.retention_size: 127MiB hold no two segments of 64MiB; write \"128MiB\" or more \
         (c.toml:18:18)";

    a_first_heartbeat_behind_the_beat_is_refused: SHARED,
        ["[stream]" => "[timing]\nheartbeat_first = \"11ms\""];
        "LS0119: timing.heartbeat_first: 11ms is more than timing.heartbeat_interval = 1ms, and heartbeats start often \
         and slow down to the heartbeat interval; write timing.heartbeat_first = \"1ms\" or less, or raise timing.heartbeat_interval \
         (c.toml:18:19)";

    a_shortest_retry_above_the_longest_is_refused: SHARED,
        ["[stream]" => "[timing]\nnack_retry_min = \"6ms\""];
        "LS0119: timing.nack_retry_min: 6ms is more than timing.nack_retry_max = 5ms, and the wait between \
         retries grows up to it; write timing.nack_retry_min = \"5ms\" or less, or raise \
         timing.nack_retry_max (c.toml:18:18)";

    a_shortest_resend_above_the_longest_is_refused: SHARED,
        ["[stream]" => "[timing]\nresend_min = \"101ms\""];
        "LS0119: timing.resend_min: 101ms is more than timing.resend_max = 100ms, and the wait between \
         resends grows up to it; write timing.resend_min = \"100ms\" or less, or raise timing.resend_max \
         (c.toml:18:14)";

    a_nack_delay_above_the_first_retry_is_refused: SHARED,
        ["[stream]" => "[timing]\nnack_delay = \"151us\""];
        "LS0119: timing.nack_delay: 151us is more than timing.nack_retry_min = 150us, and the first \
         request goes out before the second; write timing.nack_delay = \"150us\" or less, or raise \
         timing.nack_retry_min (c.toml:18:14)";

    a_group_commit_slower_than_the_resends_is_refused: SHARED,
        ["[stream]" => "[journal]\nflush_interval = \"100ms\"\n[stream]\ndurability = \"power\""];
        "LS0119: journal.flush_interval: with durability power a commit waits 100ms, and publishers resend \
         after 100ms; write journal.flush_interval below 100ms (c.toml:18:18)";

    a_shared_profile_refuses_a_fifo_thread_that_never_sleeps: SHARED,
        ["[stream]" => "[runtime]\nscheduling = \"fifo:50\""];
        "LS0121: runtime.scheduling: fifo:50 with idle adapt starves whatever shares the core, and the \
         profile is shared; write scheduling = \"other\", or profile = \"production\" on machines of its \
         own (c.toml:18:14)";

    two_spinners_on_one_core_are_refused: SHARED, [
        "id = 1" => "id = 1\ncore = 3",
        "id = 2" => "id = 2\ncore = 3",
        "[stream]" => "[runtime]\nidle = \"spin\""
    ];
        "LS0121: replicas.2.core: core 3 spins for replicas.1.core already; give it another core, or write \
         runtime.idle = \"yield\" (c.toml:16:8)";

    production_refuses_to_park: PRODUCTION, ["[stream]" => "[runtime]\nidle = \"park\""];
        "LS0121: runtime.idle: production does not park: each wake-up delays the message, and its sender \
         too; write \"spin\", or \"yield\" where cores are shared, or profile = \"shared\" (c.toml:18:8)";

    production_refuses_two_replicas_on_one_host: PRODUCTION, ["10.0.0.2:7701" => "10.0.0.1:7702"];
        "LS0121: replicas.2.unicast: is on one host with replicas.1.unicast, and the host's crash would \
         take both; give each replica a host of its own, or write profile = \"shared\" (c.toml:15:11)",
        "LS0115: replicas.2.journal: /j is used by replicas.1.journal already; write another path \
         (c.toml:16:11)";

    production_refuses_loopback_that_others_should_hear: SINGLE,
        ["ttl = 0" => "ttl = 1", "\"shared\"" => "\"production\""];
        "LS0121: lines.1.interface: production does not run over loopback, and ttl 1 is for a cluster \
         of several hosts; write the network's interface, or ttl = 0 for a single host, or profile = \
         \"shared\" (c.toml:7:13)";

    ttl_zero_is_refused_when_replicas_are_on_several_hosts: PRODUCTION, ["ttl = 1" => "ttl = 0"];
        "LS0122: lines.1.ttl: ttl 0 never leaves the host, and the replicas are on 10.0.0.1, 10.0.0.2; \
         write ttl = 1, or more if routers lie between (c.toml:8:7)";

    loopback_is_refused_when_replicas_are_on_several_hosts: PRODUCTION,
        ["interface = \"eth1\"" => "interface = \"lo\""];
        "LS0122: lines.1.interface: the loopback interface reaches no other host, and the replicas are on \
         10.0.0.1, 10.0.0.2; write the interface of the replicas' network, e.g. \"eth0\" (c.toml:7:13)";

    a_loopback_address_is_refused_when_replicas_are_on_several_hosts: PRODUCTION,
        ["10.0.0.2:7701" => "127.0.0.1:7701"];
        "LS0122: replicas.2.unicast: is a loopback address, which the replicas of other hosts cannot \
         reach; write the address that this host has on the replicas' network (c.toml:15:11)";

    an_interface_by_address_is_refused_when_replicas_are_on_several_hosts: PRODUCTION,
        ["interface = \"eth1\"" => "interface = \"10.0.0.1\""];
        "LS0122: lines.1.interface: 10.0.0.1 is one machine's address, and the file is the same on all; \
         write the interface's name, e.g. \"eth0\", or set LOCKSTEP_LINES_1_INTERFACE on each machine \
         (c.toml:7:13)";

    a_node_that_hears_multicast_alone_is_refused_on_a_line_of_unicast: SHARED,
        ["ttl = 0" => "ttl = 0\ntransport = \"unicast\"", "id = 2" => "id = 2\ntransport = \"udp\""];
        "LS0122: lines.1.transport: is unicast, and replicas.2.transport is udp: neither receives what the \
         other sends to groups; write \"unicast\" for the line and for no node, or nowhere, or \"auto\" \
         (c.toml:9:13)";

    a_node_that_hears_unicast_alone_is_refused_on_a_line_of_multicast: SHARED,
        ["id = 2" => "id = 2\ntransport = \"unicast\""];
        "LS0122: replicas.2.transport: is unicast, and lines.1.transport is udp: neither receives what the \
         other sends to groups; write \"unicast\" for the line and for no node, or nowhere, or \"auto\" \
         (c.toml:15:13)";

    a_second_line_of_unicast_is_refused_without_addresses_there: SHARED,
        ["[stream]" => SECOND_LINE, "interface = \"lo\"\n[stream]" => "interface = \"lo\"\ntransport = \"unicast\"\n[stream]"];
        "LS0122: lines.2.transport: is unicast, and replicas.1.unicast_b is missing: no node can send to \
         that replica on this line; write each replica's unicast_b, its address on this line (c.toml:22:13)";

    more_members_than_a_leader_can_serve_are_refused: SHARED,
        ["ttl = 0" => "ttl = 0\ntransport = \"unicast\"\nfanout_members = 5000"];
        "LS0107: lines.1.fanout_members: 5000 is out of range; write a value from 1 to 4096 (c.toml:10:18)";

    an_empty_list_of_replicas_is_refused: NO_REPLICA, ["[[lines]]" => "replicas = []\n[[lines]]"];
        "LS0112: replicas: there is no replica; add [[replicas]], one for each; three survive one \
         (c.toml:1:1)";

    what_is_not_toml_is_refused: SHARED, ["profile = \"shared\"" => "profile = shared"];
        "LS0101: string values must be quoted, expected literal string; write [table] or key = value, with \
         text, durations, sizes and addresses in quotes (c.toml:2:11)";

    a_key_that_stands_twice_is_refused: SHARED, ["cluster = 7" => "cluster = 7\ncluster = 8"];
        "LS0101: duplicate key; keep one of them (c.toml:2:1)";
}
