//! What an attacker sends to real processes. Afterwards every replica runs, messages are committed, the
//! leader is killed, and its successor commits what follows.
//!
//! Without keys, no single datagram of these may end anything: a broken host or a wrong file sends by
//! accident what an attacker sends on purpose. A forged frame, epoch start or order is another matter:
//! nothing but a key tells it from a true one. With keys, nothing that a stranger or a reader sends has an
//! effect beyond a counter, and a reader who poses as a replica is a stranger to replicas.

mod attacker;
mod edge;
mod files;
mod memory;
mod mutated;
mod networks;
mod notary;
mod processes;
mod recorded;
mod rights;
mod rotation;

use attacker::{Attacker, Read, UNLISTED};
use lockstep::config::{Config, SecurityMode};
use lockstep_io::counters::CountersReader;
use lockstep_testkit::processes::{Cluster, PATIENCE, PRODUCT_TIMING, Process, payloads};
use lockstep_wire::{EntryKind, Epoch, Header, Identity, Kind, QueryKind, ROUND_MAX};
use std::io::Write;
use std::time::{Duration, Instant};

/// The attacker, and what it has read of the cluster.
struct Scene<'a> {
    cluster: &'a Cluster,
    attacker: &'a Attacker,
    read: Read,
}

const WITHOUT_KEYS: &str = "\n[security]\nmode = \"none\"\n";
/// A leader that hears no quorum stamps for some seconds yet.
const LEADS_ON: &str = "\n[timing]\nfailure_timeout = \"2s\"\nfailure_timeout_max = \"4s\"\n";

/// Three replicas and the attack, without keys and with them; then what the module says.
fn survives(attack: impl Fn(&Scene<'_>)) {
    survives_as(&Cluster::new(3, WITHOUT_KEYS), &attack);
    survives_with_keys(attack);
}

/// The same with keys: what the attacker sends is refused and counted.
fn survives_with_keys(attack: impl Fn(&Scene<'_>)) {
    survives_as(&Cluster::new(3, ""), &attack);
}

fn survives_as(cluster: &Cluster, attack: &impl Fn(&Scene<'_>)) {
    let mut replicas = cluster.found();
    cluster.publish("before\n");
    let config = Config::load(Some(&cluster.config()), &[]).expect("the cluster's file");
    let has_keys = config.security.mode == SecurityMode::Keys;
    let attacker = Attacker::near(cluster);
    let attacker = if has_keys { attacker.with_readers_keys(cluster) } else { attacker };
    let read = attacker.read(2);
    attack(&Scene { cluster, attacker: &attacker, read });
    cluster.publish("attacked\n");
    all_run(&mut replicas);
    // Another one listens, which has nothing waiting from before the attack.
    let (leader, _) = Attacker::near(cluster).read(0).heartbeat;
    let refused = refused(cluster, &UNBELIEVED);
    assert_eq!(refused > 0, has_keys, "{refused} datagrams were refused for their key");
    let mut killed = replicas.remove(leader.sender as usize - 1);
    killed.signal("KILL");
    killed.wait();
    cluster.publish("taken over\n");
    all_run(&mut replicas);
    let (committed, stamped) = (cluster.read(&["--committed"]), cluster.read(&["--stamped"]));
    assert_eq!(payloads(&committed.out), ["before", "attacked", "taken over"]);
    assert_eq!((&committed.out, committed.digest()), (&stamped.out, stamped.digest()));
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
}

/// The reasons by which strangers are refused.
const UNBELIEVED: [&str; 3] =
    ["rejected{reason=\"unkeyed\"}", "rejected{reason=\"tag\"}", "rejected{reason=\"rights\"}"];

/// Datagrams that the replicas have refused for these reasons, by their counters files.
fn refused(cluster: &Cluster, reasons: &[&str]) -> u64 {
    let count = |id: u32| -> u64 {
        let file = CountersReader::open(&cluster.path(&format!("counters-{id}")));
        let file = file.unwrap_or_else(|error| panic!("{error}"));
        reasons.iter().filter_map(|reason| file.value(reason)).sum()
    };
    (1..=cluster.replicas()).map(count).sum()
}

fn all_run(replicas: &mut [Process]) {
    for replica in replicas {
        assert!(replica.ended().is_none(), "{} has ended:\n{}", replica.name(), replica.log());
    }
}

#[test]
fn a_prepare_of_the_last_round_by_an_unlisted_identity_uses_up_no_rounds() {
    survives(|scene| {
        let header = attacker::header(&scene.read.heartbeat.0, Kind::Prepare, UNLISTED);
        let ballot = Epoch::new(ROUND_MAX, UNLISTED).0;
        scene.attacker.to_control(&attacker::ballot(header, 7, ballot, 0));
    });
}

#[test]
fn a_prepare_of_the_last_round_in_a_members_name_uses_up_no_rounds() {
    survives(|scene| {
        let (ack, body) = scene.read.acks.values().next().expect("a standby");
        let header = attacker::header(ack, Kind::Prepare, ack.identity());
        let ballot = Epoch::new(ROUND_MAX, ack.identity()).0;
        scene.attacker.to_control(&attacker::ballot(header, body.process_nonce, ballot, 0));
    });
}

#[test]
fn a_pre_vote_whose_header_names_the_last_round_uses_up_no_rounds() {
    survives(|scene| {
        let (ack, body) = scene.read.acks.values().next().expect("a standby");
        for from in [UNLISTED, ack.identity()] {
            let epoch = Epoch::new(ROUND_MAX, from).0;
            let header = Header { epoch, ..attacker::header(ack, Kind::PreVote, from) };
            scene.attacker.to_control(&attacker::ballot(header, body.process_nonce, epoch, ack.epoch));
        }
    });
}

#[test]
fn a_heartbeat_with_another_chain_ends_nobody() {
    survives(|scene| {
        let (header, body) = scene.read.heartbeat;
        let forged = Header { chain: header.chain ^ 1, number: header.number + 1, ..header };
        scene.attacker.to_data(&attacker::heartbeat(forged, body));
    });
}

#[test]
fn an_ack_under_the_identity_of_each_replica_and_another_process_ends_nobody() {
    survives(|scene| {
        let leader = attacker::header(&scene.read.heartbeat.0, Kind::Ack, scene.read.heartbeat.0.identity());
        let standbys = scene.read.acks.values().map(|(header, _)| *header);
        for header in standbys.chain([leader]).collect::<Vec<_>>() {
            scene.attacker.to_control(&attacker::ack(header, 0x0dd));
        }
    });
}

#[test]
fn a_heartbeat_with_an_impossible_end_or_number_ends_nobody() {
    survives(|scene| {
        let (header, body) = scene.read.heartbeat;
        let far = Header { first_seq: 1 << 63, number: header.number + 1, ..header };
        scene.attacker.to_data(&attacker::heartbeat(far, body));
        let last = Header { number: u64::MAX, ..header };
        scene.attacker.to_data(&attacker::heartbeat(last, body));
    });
}

#[test]
fn a_step_down_a_refusal_and_an_ack_of_a_later_epoch_in_others_names_end_nobody() {
    survives(|scene| {
        let (header, body) = scene.read.heartbeat;
        let down = attacker::header(&header, Kind::StepDown, header.identity());
        scene.attacker.to_control(&attacker::step_down(down, body.process_nonce));
    });
    survives(|scene| {
        let (ack, body) = *scene.read.acks.values().next().expect("a standby");
        let next = Epoch::new(Epoch(ack.epoch).round() + 1, ack.identity()).0;
        let refuse = attacker::header(&ack, Kind::Refuse, ack.identity());
        scene.attacker.to_control(&attacker::ballot(refuse, body.process_nonce, next, ack.epoch));
        let later = Header { epoch: next, chain: 0, ..ack };
        scene.attacker.to_control(&attacker::ack(later, body.process_nonce));
    });
}

#[test]
fn another_history_on_the_groups_ends_nobody() {
    survives(|scene| {
        let (header, body) = scene.read.heartbeat;
        for number in 0..100 {
            let other = Header { history: header.history ^ 5, number: header.number + number, ..header };
            scene.attacker.to_data(&attacker::heartbeat(other, body));
        }
    });
}

/// A sender may write any address as its own: a replica must send no more there than came.
#[test]
fn nothing_that_an_unproved_address_asks_for_is_answered_by_more_than_it_sent() {
    survives(|scene| {
        let config = Config::load(Some(&scene.cluster.config()), &[]).expect("the cluster's file");
        let (leader, _) = scene.read.heartbeat;
        let members = scene.read.acks.values().map(|(header, _)| header.identity());
        let names: Vec<_> = members.chain([leader.identity(), attacker::UNLISTED]).collect();
        let all = |write: &dyn Fn(Identity, u64) -> Vec<u8>| -> Vec<Vec<u8>> {
            names.iter().cycle().zip(1..=100).map(|(name, token)| write(*name, token)).collect()
        };
        let of_kind = |kind, name| attacker::header(&leader, kind, name);
        let nack = |name, token| attacker::nack(of_kind(Kind::Nack, name), token, 1, leader.first_seq);
        let nack_of_start = |name, token| attacker::nack(of_kind(Kind::Nack, name), token, 0, 0);
        let query =
            |query_kind| all(&|name, _| attacker::short_query(of_kind(Kind::Query, name), query_kind));
        let batches = [
            all(&nack),
            all(&nack_of_start),
            query(QueryKind::Node),
            query(QueryKind::Status),
            query(QueryKind::Probe),
            all(&|name, _| attacker::join(of_kind(Kind::Join, name))),
        ];
        for replica in &config.replicas {
            for (place, batch) in batches.iter().enumerate() {
                let (sent, returned) = scene.attacker.exchange(replica.unicast, batch);
                assert!(returned <= sent, "replica {}, {place}: {returned} bytes for {sent}", replica.id);
            }
        }
    });
}

/// Without keys the forgery is in the stream: nothing but a key keeps it out. It must not be reported to its
/// victim as the victim's own.
#[test]
fn a_publisher_whose_number_somebody_else_used_learns_that_its_message_is_not_in_the_stream() {
    let cluster = Cluster::new(1, WITHOUT_KEYS);
    let replicas = cluster.found();
    let attacker = Attacker::near(&cluster);
    let mut publisher = cluster.start("publisher", &["publish", "--name", "orders"]);
    let mut lines = publisher.stdin().take().expect("its input");
    writeln!(lines, "mine").expect("a line");
    attacker.to_submit(&attacker.forged_submission(b"forged"));
    // Until the forgery stands in the stream.
    cluster.run(&["subscribe", "--count", "2", "--timeout", "30s"], b"").with_code(0);
    writeln!(lines, "mine, too").expect("a line");
    drop(lines);
    assert_eq!(publisher.wait().code(), Some(3), "{}", publisher.log());
    let report = publisher.log();
    assert!(report.contains("another message under number 2 of publisher 'orders'"), "{report}");
    assert_eq!(payloads(&cluster.read(&["--committed"]).out), ["mine", "forged"]);
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
}

#[test]
fn with_keys_a_submission_in_a_publishers_name_is_refused_and_its_message_committed() {
    let cluster = Cluster::new(1, "");
    let replicas = cluster.found();
    let attacker = Attacker::near(&cluster).with_readers_keys(&cluster);
    let mut publisher = cluster.start("publisher", &["publish", "--name", "orders"]);
    let mut lines = publisher.stdin().take().expect("its input");
    writeln!(lines, "mine").expect("a line");
    attacker.to_submit(&attacker.forged_submission(b"forged"));
    writeln!(lines, "mine, too").expect("a line");
    drop(lines);
    assert_eq!(publisher.wait().code(), Some(0), "{}", publisher.log());
    assert_eq!(payloads(&cluster.read(&["--committed"]).out), ["mine", "mine, too"]);
    assert!(refused(&cluster, &UNBELIEVED) > 0);
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
}

#[test]
fn with_keys_a_forged_frame_is_stored_by_no_replica() {
    survives_with_keys(|scene| {
        let (seen, _) = scene.read.heartbeat;
        let header = attacker::header(&seen, Kind::Frame, seen.identity());
        scene.attacker.to_data(&attacker::frame(header, EntryKind::Message, b"forged"));
    });
}

#[test]
fn with_keys_an_epoch_start_of_a_stranger_is_followed_by_no_replica() {
    survives_with_keys(|scene| scene.attacker.to_data(&attacker::epoch_start(&scene.read.heartbeat.0)));
}

#[test]
fn with_keys_orders_of_a_stranger_are_not_carried_out() {
    survives_with_keys(|scene| {
        let (seen, body) = scene.read.heartbeat;
        let config = Config::load(Some(&scene.cluster.config()), &[]).expect("the cluster's file");
        let query = attacker::header(&seen, Kind::Query, UNLISTED);
        let query = Header { first_seq: body.membership_seq, ..query };
        let (member, _) = scene.read.acks.values().next().expect("a standby");
        let name = member.identity().to_string();
        let orders = [(QueryKind::Handover, ""), (QueryKind::DeclareDead, name.as_str())];
        let orders = orders.map(|(kind, name)| attacker::order(query, kind, name));
        for replica in &config.replicas {
            let (_, returned) = scene.attacker.exchange(replica.unicast, &orders);
            assert_eq!(returned, 0, "an order without its key is not answered");
        }
        let submission = attacker::header(&seen, Kind::Submission, UNLISTED);
        scene.attacker.to_submit(&attacker::removal(submission, body.membership_seq, member.identity()));
        scene.attacker.to_submit(&attacker::submission(submission, EntryKind::Day, &[0; 16]));
        let (now, _) = Attacker::near(scene.cluster).read(0).heartbeat;
        assert_eq!((now.epoch, now.sender), (seen.epoch, seen.sender), "the same replica leads");
    });
}

/// Both standbys stand still, and their acks are forged for a second and until `is_over`, which is given the
/// publisher of a line and how many entries the leader has stored meanwhile. Acks that count would commit
/// these. Returns what the publisher ended with.
fn with_forged_acks(timing: &str, is_over: impl Fn(&mut Process, u64) -> bool) -> (Option<i32>, String) {
    let cluster = Cluster::new(3, timing);
    let mut replicas = cluster.found();
    cluster.publish("before\n");
    let attacker = Attacker::near(&cluster).with_readers_keys(&cluster);
    let read = attacker.read(2);
    let leader = read.heartbeat.0;
    let leads = leader.sender;
    let counters = CountersReader::open(&cluster.path(&format!("counters-{leads}")));
    let counters = counters.unwrap_or_else(|error| panic!("{error}"));
    let value = |name| counters.value(name).unwrap_or_else(|| panic!("no counter {name}"));
    for id in read.acks.keys() {
        replicas[*id as usize - 1].signal("STOP");
    }
    // What they acknowledged before may be on its way.
    let mut committed = 0;
    while committed != value("commit_next") {
        committed = value("commit_next");
        std::thread::sleep(Duration::from_millis(500));
    }
    let mut publisher = cluster.start("publisher", &["publish", "--name", "orders", "--timeout", "3s"]);
    let mut lines = publisher.stdin().take().expect("its input");
    writeln!(lines, "alone").expect("a line");
    drop(lines);
    let began = Instant::now();
    let mut is_over = || is_over(&mut publisher, value("accept_next").saturating_sub(committed));
    while !is_over() || began.elapsed() < Duration::from_secs(1) {
        assert!(began.elapsed() < PATIENCE, "it is never over");
        for (seen, body) in read.acks.values() {
            let header = Header { first_seq: leader.first_seq + 2, chain: 0, ..*seen };
            attacker.to_control(&attacker::ack(header, body.process_nonce));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(value("commit_next"), committed, "forged acks count:\n{}", publisher.log());
    assert!(value("rejected{reason=\"tag\"}") > 0, "no ack was forged");
    for id in read.acks.keys() {
        replicas[*id as usize - 1].signal("CONT");
    }
    let (code, log) = (publisher.wait().code(), publisher.log());
    all_run(&mut replicas);
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
    (code, log)
}

#[test]
fn with_keys_forged_acks_commit_nothing() {
    let (code, log) = with_forged_acks(PRODUCT_TIMING, |publisher, _| publisher.ended().is_some());
    assert_ne!(code, Some(0), "it is reported as committed:\n{log}");
}

/// A leader that hears no quorum stamps on for a while. A reader can deceive readers, and so the publisher
/// (AUTH-2); replicas believe replicas alone.
#[test]
fn with_keys_forged_acks_commit_nothing_at_a_leader_that_stamps_on() {
    with_forged_acks(LEADS_ON, |_, stored| stored > 0);
}
