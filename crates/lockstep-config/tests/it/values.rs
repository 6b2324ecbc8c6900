//! The values of a configuration, its examples, and the reference of its keys.

use crate::*;
use lockstep_core::engine::publisher::PublisherLimits;
use lockstep_core::engine::subscriber::SubscriberLimits;
use lockstep_core::proto::failure_detector::FailureDetectorLimits;
use lockstep_core::proto::heartbeat::HeartbeatLimits;
use lockstep_core::proto::nack::NackLimits;
use lockstep_core::proto::window::Window;

// ---------------------------------------------------------------------------- values

#[test]
fn values_arrive_in_the_units_that_their_names_tell() {
    let text = r#"
[timing]
heartbeat_interval = "2ms"
[journal]
retention_age = "7d"
retention_size = "1GiB"
[publisher]
window = 1_000
[subscriber]
buffer = "64 KiB"
[runtime]
scheduling = "fifo:50"
idle = "park"
[stream]
durability = "power"
window_entries = 0x1_0000"#;
    let config = accepted(&changed(SHARED, &[("[stream]", text), ("id = 2", "id = 0x02")]), &[]);
    assert_eq!((config.cluster, config.profile), (7, Profile::Shared));
    assert_eq!(config.timing.heartbeat_interval_ns, 2_000_000);
    assert_eq!(config.journal.retention_age_ns, Some(7 * 86_400_000_000_000));
    assert_eq!(config.journal.retention_size_bytes, Some(1 << 30));
    assert_eq!(config.publisher.window_entries, 1_000);
    assert_eq!(config.subscriber.buffer_bytes, 64 << 10);
    assert_eq!(config.runtime.scheduling, Scheduling::Fifo(50));
    assert_eq!((config.stream.durability, config.stream.window_entries), (Durability::Power, 65_536));
    assert_eq!(config.replica(2).expect("replica 2").unicast, "127.0.0.1:7702".parse().expect("an address"));
}

/// An engine without a file has what a file without keys says.
#[test]
fn the_defaults_of_the_engines_are_those_of_the_tables() {
    let Config { timing, stream, publisher, subscriber, .. } = accepted(SHARED, &[]);
    let (heartbeat, silence) = (HeartbeatLimits::default(), FailureDetectorLimits::default());
    assert_eq!(
        (heartbeat.first_ns, heartbeat.interval_ns),
        (timing.heartbeat_first_ns, timing.heartbeat_interval_ns)
    );
    assert_eq!(
        (silence.heartbeat_interval_ns, silence.timeout_ns, silence.timeout_ns_max),
        (timing.heartbeat_interval_ns, timing.failure_timeout_ns, timing.failure_timeout_max_ns)
    );
    let nack = NackLimits::default();
    assert_eq!(
        (nack.guard_ns, nack.retry_ns_min, nack.retry_ns_max),
        (timing.nack_delay_ns, timing.nack_retry_min_ns, timing.nack_retry_max_ns)
    );
    let window = Window::default();
    assert_eq!((window.entries, u64::from(window.bytes)), (stream.window_entries, stream.window_bytes));
    let publishes = PublisherLimits::default();
    assert_eq!(
        (publishes.window_entries, publishes.resend_ns_min, publishes.resend_ns_max),
        (publisher.window_entries, timing.resend_min_ns, timing.resend_max_ns)
    );
    let frame_len_max = publishes.receiver.frame_len_max as u64;
    assert_eq!(u64::from(publishes.window_datagrams), publisher.buffer_bytes / frame_len_max);
    let reads = SubscriberLimits::default();
    assert_eq!(
        (reads.receiver.store_bytes as u64, reads.parts.spare_bytes as u64),
        (subscriber.buffer_bytes, subscriber.parts_bytes)
    );
}

#[test]
fn equal_paths_on_different_hosts_are_as_they_should_be() {
    let config = accepted(PRODUCTION, &[]);
    assert_eq!(config.replicas[0].journal, config.replicas[1].journal);
}

#[test]
fn production_runs_one_replica_on_loopback_if_it_says_that_nobody_else_listens() {
    accepted(&changed(SINGLE, &[("\"shared\"", "\"production\"")]), &[]);
}

#[test]
fn a_replica_is_full_unless_it_is_written_to_be_a_witness() {
    let config = accepted(&changed(SHARED, &[("id = 2", "id = 2\nrole = \"witness\"")]), &[]);
    let roles: Vec<_> = config.replicas.iter().map(|replica| replica.role).collect();
    assert_eq!(roles[..2], [lockstep_config::Role::Full, lockstep_config::Role::Witness]);
}

#[test]
fn an_archiver_is_read_has_a_number_and_files_of_its_own_repairs_and_replays() {
    let archiver = "\n[[archivers]]\nid = 9\nunicast = \"127.0.0.1:7799\"\njournal = \"/tmp/a\"\n\
                    retention_age = \"10d\"\ncompression = \"lz4\"\n";
    let unkeyed = changed(SHARED, &[("cluster = 7", "cluster = 7\nsecurity.mode = \"none\"")]);
    let config = accepted(&format!("{unkeyed}{archiver}"), &[]);
    let archiver_9 = config.archiver(9).expect("it is there");
    assert_eq!(archiver_9.retention_age_ns, Some(10 * 86_400 * 1_000_000_000));
    let archivers: Vec<_> = config.repairers().filter(|one| one.kind == RepairerKind::Archiver).collect();
    assert_eq!((archivers.len(), archivers[0].address), (1, archiver_9.unicast));
    let none = config.archiver(1).expect_err("that is a replica");
    assert!(none.rule.contains("the file has 9"), "{none:?}");
    let replica = config.replica(9).expect_err("that is an archiver");
    assert!(replica.hint.contains("--archiver"), "{replica:?}");
    let refused = |text: &str| match Config::parse(Path::new("a.toml"), text, &[]) {
        Ok(_) => panic!("it was accepted"),
        Err(errors) => errors.to_string(),
    };
    let twice = refused(&format!("{SHARED}{}", archiver.replace("id = 9", "id = 1")));
    assert!(twice.contains("is used by replicas.1.id already"), "{twice}");
    let long = refused(&format!("{SHARED}{archiver}[journal]\nsegment_size = \"512MiB\"\n"));
    assert!(long.contains("too long to be packed"), "{long}");
}

/// Config knows no other room, so the two sides of one fact are held together here.
#[test]
fn the_largest_message_and_the_smallest_mtu_agree_with_the_wire() {
    for mtu in [1100, 1280, 1500, 1501, 4000, 8999, 9000] {
        let mtu_is = format!("ttl = 0\nmtu = {mtu}");
        let text =
            changed(SHARED, &[("ttl = 0", &mtu_is), ("[stream]", "[publisher]\nwindow = 1\n[stream]")]);
        let fits =
            lockstep_wire::frame_len_max(mtu) - lockstep_wire::HEADER_LEN - lockstep_wire::ENTRY_HEADER_LEN;
        assert_eq!(accepted(&text, &[]).stream.message_len_max as usize, fits, "mtu {mtu}");
        assert!(
            lockstep_wire::HEADER_LEN + lockstep_wire::entry_len(lockstep_wire::EPOCH_START_LEN_MAX)
                <= lockstep_wire::frame_len_max(mtu)
        );
        assert!(lockstep_wire::SMALL_LEN_MAX.max(lockstep_wire::STATUS_LEN_MAX) <= mtu - 28);
    }
    assert_eq!(lockstep_wire::DATAGRAM_LEN_MAX, 9000 - 28);
    assert_eq!(accepted(SHARED, &[]).stream.message_len_max as usize, lockstep_wire::MESSAGE_LEN_MAX);
}

// ---------------------------------------------------------------------------- examples and reference

#[test]
fn every_example_is_accepted_and_none_leans_on_a_default() {
    let examples = examples();
    assert!(examples.len() >= 3);
    for (path, _) in examples {
        let config = Config::load(Some(&path), &[]).unwrap_or_else(|errors| panic!("{errors}"));
        for (key, _, origin) in config.effective() {
            assert!(matches!(origin, Origin::File { .. }), "{}: {key} is missing", path.display());
        }
    }
}

/// Keys of an example, as the schema spells them, that stand below a comment: directly, or behind
/// neighbours that it explains too.
fn explained_keys(text: &str) -> Vec<String> {
    let (mut table, mut explained, mut keys) = (String::new(), false, Vec::new());
    for line in text.lines() {
        let name = line.trim_start_matches("# ").split_once(" = ").map(|(name, _)| name);
        match name.filter(|name| !name.contains(' ')) {
            Some(name) if explained => keys.push(format!("{table}{name}")),
            Some(_) => {}
            None => explained = line.starts_with("# "),
        }
        // A table that not everybody has may stand there as a comment.
        if let Some(name) = line.trim_start_matches("# ").strip_prefix("[[") {
            table = format!("{}.*.", name.trim_end_matches(']'));
        } else if let Some(name) = line.strip_prefix('[') {
            table = format!("{}.", name.trim_end_matches(']'));
        }
    }
    keys
}

#[test]
fn every_example_explains_every_key() {
    for (path, text) in examples() {
        let explained = explained_keys(&text);
        // An example describes one stream: docs/STREAMS.md explains the keys of a set.
        let is_of_a_set = |key: &&str| key.starts_with("set.") || key.starts_with("coordinators.");
        for key in key_paths().filter(|key| !is_of_a_set(key)) {
            assert!(explained.iter().any(|known| known == key), "{}: {key} is not explained", path.display());
        }
    }
    assert_eq!(
        explained_keys("[log]\n# how\nformat = 1\nlevel = 2\n\nother = 3"),
        ["log.format", "log.level"]
    );
}

#[test]
fn the_reference_lists_every_key_as_the_schema_has_it() {
    let text = fs::read_to_string(repository().join("docs/CONFIGURATION.md")).expect("the reference");
    for row in reference().lines() {
        assert!(text.contains(row), "docs/CONFIGURATION.md lacks the row\n{row}");
    }
    let rows = text.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 6);
    assert_eq!(rows.count(), key_paths().count(), "docs/CONFIGURATION.md has rows of keys that do not exist");
}
