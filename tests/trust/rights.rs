//! A publisher's key beyond its rights, against processes: refused in words, counted, and nothing stamped.

use super::refused;
use super::rotation::reload;
use tools::processes::{Cluster, payloads};

#[test]
fn a_publishers_key_beyond_its_rights_stamps_nothing_and_is_told_why() {
    let cluster = Cluster::new(3, "");
    let mut processes = cluster.found();
    let keys = |args: &[&str]| cluster.run(&[&["keys"], args].concat(), b"").with_code(0);
    let publish = |name: &str, to: &str, code| {
        let args = ["publish", "--name", name, "--destination", to, "--timeout", "5s"];
        cluster.run(&args, b"an order\n").with_code(code).err
    };
    publish("risk", "0", 0);

    let added = keys(&["add", "desk", "--names", "orders/*", "--to", "everybody,risk"]);
    assert!(added.err.contains("allows names=orders/* to=everybody,risk"), "{}", added.err);
    let exported = cluster.path("desk.keys");
    keys(&["export", "--publisher", "desk", &exported.to_string_lossy()]);
    let shown = keys(&["show"]).out;
    assert!(shown.contains("desk                 allows names=orders/*"), "{shown}");
    let mut times = 0;
    reload(&mut processes, &mut times);
    let own = cluster.path("keys/publisher.keys");
    std::fs::rename(&exported, &own).expect("the desk's key");

    publish("orders/1", "0", 0);
    publish("orders/1", "1", 0);
    let why = publish("risk", "0", 1);
    assert!(why.contains("the key of this process does not allow the name"), "{why}");
    let why = publish("orders/1", "2", 1);
    assert!(why.contains("does not allow destination 2"), "{why}");
    let why = cluster.run(&["day", "start", "today"], b"");
    assert_eq!(why.code, Some(0), "an operator has the replicas' key: {}", why.err);
    assert!(refused(&cluster, &["opens_refused"]) > 0);
    assert!(refused(&cluster, &["submissions_not_allowed"]) > 0);

    // What the key allows changes while all of them run.
    keys(&["allow", "desk", "--names", "risk"]);
    reload(&mut processes, &mut times);
    publish("risk", "0", 0);
    let why = publish("orders/1", "0", 1);
    assert!(why.contains("does not allow the name"), "{why}");
    assert_eq!(payloads(&cluster.read(&["--committed"]).out).len(), 4, "no more than was allowed");
    for (args, words) in [
        ("add other --to channel:x", "'channel:x' names no channels"),
        ("add other --names a,,b", "'' is no pattern"),
        ("allow nobody --rate 5", "no publisher's key has the name 'nobody'; there are: default, desk"),
        ("allow desk --rate 0", "messages a second, from 1"),
    ] {
        let args: Vec<_> = ["keys"].into_iter().chain(args.split(' ')).collect();
        let refused = cluster.run(&args, b"");
        assert!(refused.code == Some(2) && refused.err.contains(words), "{args:?}: {}", refused.err);
    }
    for process in processes {
        assert_eq!(process.terminate(), Some(0));
    }
}

#[test]
fn an_operators_orders_need_the_right_to_them_and_stand_in_the_stream_with_its_name() {
    let cluster = Cluster::new(3, "");
    let mut processes = cluster.found();
    let keys = |args: &[&str]| cluster.run(&[&["keys"], args].concat(), b"").with_code(0);
    let run = |args: &[&str], code| cluster.run(args, b"").with_code(code);
    cluster.publish("before\n");
    run(&["handover", "--timeout", "10s"], 0);

    keys(&["add", "alice", "--names", "nobody", "--orders", "handover,day"]);
    let own = cluster.path("keys/operator.keys");
    keys(&["export", "--publisher", "alice", &own.to_string_lossy()]);
    let mut times = 0;
    reload(&mut processes, &mut times);
    run(&["handover", "--timeout", "10s"], 0);
    run(&["day", "start", "today"], 0);
    let members = run(&["membership", "show"], 0).out;
    let third = members.split_whitespace().find(|word| word.starts_with("3:")).expect("replica 3");
    let why = run(&["membership", "remove", third, "--timeout", "5s"], 1).err;
    assert!(why.contains("the key of this host does not allow it"), "{why}");
    assert!(refused(&cluster, &["rejected_rights"]) > 0, "a right to other orders is none to this one");

    let audit = run(&["audit"], 0);
    let lines: Vec<_> = audit.out.lines().collect();
    assert!(lines.len() == 3 && audit.err.contains("3 orders in seqs 1 to"), "{audit:?}");
    assert!(lines[0].contains("a holder of replica.keys: handover"), "{}", lines[0]);
    assert!(lines[1].contains("alice (key 1): handover"), "{}", lines[1]);
    assert!(lines[2].contains("alice (key 1): day"), "{}", lines[2]);
    let json = run(&["audit", "--json"], 0).out;
    assert!(json.lines().all(|line| line.contains("\"schema\":\"lockstep.audit/1\"")), "{json}");
    for process in processes {
        assert_eq!(process.terminate(), Some(0));
    }
}
