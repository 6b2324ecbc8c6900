//! A publisher's key beyond its rights, against processes: refused in words, counted, and nothing stamped.

use super::refused;
use super::rotation::reload;
use lockstep::config::Config;
use lockstep_client::Endpoint;
use lockstep_client::internal::{NodeStatus, QueryClient, leader_of};
use lockstep_notary::Notary;
use lockstep_testkit::gateways::{add_user, start, with_exchange};
use lockstep_testkit::processes::{Cluster, payloads};
use lockstep_testkit::trader::{Trader, login_of};
use lockstep_wire::{CommandReject, Epoch, QueryKind};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

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
    // AUTH-10: no standby has waited for it.
    let status = cluster.run(&["status", "--json"], b"").with_code(0).out;
    assert!(!status.contains("no_progress"), "{status}");

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
fn a_client_is_addressed_by_those_of_its_rule_alone_and_not_by_another_client() {
    let cluster = Cluster::new(3, "");
    let keys = |args: &[&str], code| cluster.run(&[&["keys"], args].concat(), b"").with_code(code);
    let set = keys(&["receive", "client/*", "--from", "exchange,risk/*"], 0);
    assert_eq!(set.out, "client/* from=exchange,risk/*\n");
    let shown = keys(&["show"], 0).out;
    assert!(shown.lines().any(|line| line.ends_with("from exchange,risk/*")), "{shown}");
    let mut processes = cluster.found();
    add_user(&cluster, "alice", "secret", &[]);
    add_user(&cluster, "bob", "secret", &["--to", "client:alice"]);
    let received = with_exchange(&cluster, || {
        let gateway = start(&cluster, "1");
        let log_in =
            |user| Trader::log_in(gateway.address, login_of(user, "secret", "", 1)).expect("a login");
        let (mut alice, mut bob) = (log_in("alice"), log_in("bob"));
        bob.send(b"a fill that was forged");
        bob.until("to be told", |bob| !bob.debug.is_empty());
        assert!(bob.debug[0].contains("or a rule for recipients"), "{:?}", bob.debug);
        alice.send(b"order 1");
        alice.await_messages(1);
        assert_eq!(alice.messages, [(1, b"ack order 1".to_vec())]);
        // Values are stored ten times a second.
        let until = std::time::Instant::now() + Duration::from_secs(20);
        while refused(&cluster, &["submissions_not_allowed"]) == 0 {
            assert!(std::time::Instant::now() < until, "nothing is counted");
        }

        // What waited comes once the rule is gone, while all of them run.
        keys(&["receive", "client/*", "--remove"], 0);
        reload(&mut processes, &mut 0);
        alice.await_messages(2);
        assert_eq!(alice.messages[1], (2, b"a fill that was forged".to_vec()));
    });
    let users: Vec<_> = received.orders.iter().map(|(user, _)| user.as_str()).collect();
    assert_eq!(users, ["alice", "bob"], "each once");
    for (args, words) in [
        ("receive client/* --remove", "no rule has 'client/*'"),
        ("receive client/*", "--from <PATTERNS>"),
        ("receive a*b --from c", "'a*b' is no pattern"),
        ("receive a --from b --remove", "cannot be used with"),
    ] {
        let args: Vec<_> = args.split(' ').collect();
        let why = keys(&args, 2).err;
        assert!(why.contains(words), "{args:?}: {why}");
    }
}

/// An operator with a key of its own and the right to these orders, on this host.
fn add_operator(cluster: &Cluster, orders: &str) -> String {
    let keys = |args: &[&str]| cluster.run(&[&["keys"], args].concat(), b"").with_code(0);
    let public = keys(&["operator", "alice"]).out.trim().to_owned();
    let rights = ["--names", "nobody", "--orders", orders, "--public", &public];
    keys(&[&["add", "alice"], &rights[..]].concat());
    keys(&["export", "--publisher", "alice", &cluster.path("keys/operator.keys").to_string_lossy()]);
    public
}

#[test]
fn an_operators_orders_need_the_right_to_them_and_stand_in_the_stream_with_its_name() {
    let cluster = Cluster::new(3, "");
    let mut processes = cluster.found();
    let run = |args: &[&str], code| cluster.run(args, b"").with_code(code);
    cluster.publish("before\n");
    run(&["handover", "--timeout", "10s"], 0);

    let refused_without = ["keys", "add", "bob", "--orders", "day"];
    let why = run(&refused_without, 2).err;
    assert!(why.contains("'orders' stands without 'public'"), "{why}");
    add_operator(&cluster, "handover,day");
    let mut times = 0;
    reload(&mut processes, &mut times);
    run(&["handover", "--timeout", "10s"], 0);
    run(&["day", "start", "today"], 0);
    let members = run(&["membership", "show"], 0).out;
    let third = members.split_whitespace().find(|word| word.starts_with("3:")).expect("replica 3");
    let why = run(&["membership", "remove", third, "--timeout", "5s"], 1).err;
    assert!(why.contains("the key of this host does not allow it"), "{why}");
    assert!(
        refused(&cluster, &["rejected{reason=\"rights\"}"]) > 0,
        "a right to other orders is none to this one"
    );

    let audit = run(&["audit"], 0);
    let lines: Vec<_> = audit.out.lines().collect();
    assert!(lines.len() == 3 && audit.err.contains("3 orders in seqs 1 to"), "{audit:?}");
    let ends = |line: &str, begin: &str, end: &str| line.contains(begin) && line.ends_with(end);
    assert!(ends(lines[0], "a holder of replica.keys: handover", "; not signed"), "{}", lines[0]);
    assert!(ends(lines[1], "alice (key 1): handover", "; signed"), "{}", lines[1]);
    assert!(ends(lines[2], "alice (key 1): day start today, mark 1", "; signed"), "{}", lines[2]);
    let json = run(&["audit", "--json"], 0).out;
    assert!(json.lines().all(|line| line.contains("\"schema\":\"lockstep.audit/1\"")), "{json}");

    // A public key that an auditor does not have proves nothing to it, nor does another one under the name.
    let list = cluster.path("keys/operators");
    let known = std::fs::read_to_string(&list).expect("the public keys");
    let other = Notary::new(&[7; 32]).public();
    for listed in [format!("{other} alice\n"), known.replace("alice", "bob")] {
        std::fs::write(&list, listed).expect("a list");
        let audit = run(&["audit"], 3);
        assert_eq!(audit.out.matches("; signature does not hold").count(), 2, "{audit:?}");
        assert!(audit.err.contains("2 of 3 orders are not what an operator"), "{}", audit.err);
    }
    for process in processes {
        assert_eq!(process.terminate(), Some(0));
    }
}

#[test]
fn an_order_with_an_operators_key_and_without_its_secret_is_refused_and_a_copy_is_stale() {
    let cluster = Cluster::new(3, "");
    let mut processes = cluster.found();
    let run = |args: &[&str], code| cluster.run(args, b"").with_code(code);
    cluster.publish("before\n");
    add_operator(&cluster, "handover,declare-dead,membership,day");
    let mut times = 0;
    reload(&mut processes, &mut times);
    let secret = cluster.path("keys/alice.operator");
    let aside = cluster.path("alice.aside");
    std::fs::rename(&secret, &aside).expect("the secret");
    let why = run(&["handover", "--timeout", "5s"], 2).err;
    assert!(why.contains("`lockstep keys operator alice` makes it"), "{why}");
    let other: String = [7; 32].iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(&secret, format!("lockstep-operator 1\nsecret {other}\n")).expect("another secret");
    std::fs::set_permissions(&secret, Permissions::from_mode(0o600)).expect("its mode");
    let why = run(&["handover", "--timeout", "5s"], 1).err;
    assert!(why.contains("the order is not signed with the secret of the public key"), "{why}");
    let why = run(&["day", "start", "today"], 1).err;
    assert!(why.contains("its operator's signature does not hold"), "{why}");
    let members = run(&["membership", "show"], 0).out;
    let third = members.split_whitespace().find(|word| word.starts_with("3:")).expect("replica 3");
    let why = run(&["membership", "remove", third, "--timeout", "5s"], 1).err;
    assert!(why.contains("the order is not signed with the secret of the public key"), "{why}");
    assert!(refused(&cluster, &["rejected{reason=\"signature\"}"]) >= 3);

    // As a program sends it that signs nothing at all; then as the operator does, and once more.
    let config = Config::load(Some(&cluster.config()), &[]).expect("the cluster's file");
    let endpoint = Endpoint::for_operator(&config).unwrap_or_else(|error| panic!("{error}"));
    let mut client = QueryClient::open(&endpoint).expect("a device");
    let addresses: Vec<_> = config.replicas.iter().map(|replica| replica.unicast).collect();
    let patience = Duration::from_secs(30);
    let look = |client: &mut QueryClient, than: Option<Epoch>| loop {
        let statuses = client.statuses(&addresses, patience);
        let leader = leader_of(&statuses).filter(|leader| than.is_none_or(|than| leader.accepted > than));
        if let Some(leader) = leader {
            break leader.clone();
        }
    };
    let before = look(&mut client, None);
    assert_eq!(before.accepted.round(), 1, "a leader that refuses an order is not taken for a stuck one");
    let handover = QueryKind::Handover;
    let unsigned = client.send_command(&before, handover, None, patience);
    assert_eq!(unsigned, Some(Err(CommandReject::Unsigned)));
    let audit = run(&["audit"], 0);
    assert!(audit.out.is_empty(), "nothing was carried out: {audit:?}");

    let text = std::fs::read_to_string(&aside).expect("the secret");
    let digits = text.lines().find_map(|line| line.strip_prefix("secret ")).expect("a secret");
    let bytes = lockstep_notary::from_hex(digits).and_then(|bytes| bytes.try_into().ok()).expect("32 bytes");
    client.sign_by(lockstep_notary::operator_key(config.cluster, (1, "alice"), &bytes), 1);
    // Not to the third, which is to be removed.
    let heir = before.members.iter().map(|listed| listed.member.identity());
    let heir = heir.filter(|one| one.replica != 3).find(|one| *one != before.identity);
    assert_eq!(client.send_command(&before, handover, heir, patience), Some(Ok(())));
    let after = look(&mut client, Some(before.accepted));
    let copy = NodeStatus { address: after.address, ..before };
    let copied = client.send_command(&copy, handover, heir, patience);
    assert_eq!(copied, Some(Err(CommandReject::Stale)), "a copy, at the leader that there is now");
    std::fs::rename(&aside, &secret).expect("the secret");
    run(&["membership", "remove", third, "--timeout", "20s"], 0);
    let audit = run(&["audit"], 0).out;
    let lines: Vec<_> = audit.lines().collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.ends_with("; signed")), "{audit}");
    let removed = format!("alice (key 1): membership remove {third}");
    assert!(lines[1].contains(&removed), "{audit}");
    for process in processes {
        process.terminate();
    }
}

/// The survivor of two leads only once its operator has declared the other one dead: it records an order
/// that it was given before its epoch.
#[test]
fn a_death_that_an_operator_declared_is_recorded_with_the_signature_once_the_survivor_leads() {
    let cluster = Cluster::new(2, "");
    let mut processes = cluster.found();
    let run = |args: &[&str], code| cluster.run(args, b"").with_code(code);
    cluster.publish("two\n");
    add_operator(&cluster, "declare-dead");
    reload(&mut processes, &mut 0);
    let members = run(&["membership", "show"], 0).out;
    let dead = members.split_whitespace().find(|word| word.starts_with("1:")).expect("replica 1").to_owned();
    let mut leader = processes.remove(0);
    leader.signal("KILL");
    leader.wait();
    run(&["declare-dead", &dead], 0);
    cluster.publish("one\n");
    // The dead one is asked for so long.
    let audit_args = ["audit", "--timeout", "3s"];
    let audit = run(&audit_args, 0).out;
    let lines: Vec<_> = audit.lines().collect();
    assert!(lines.len() == 1 && lines[0].ends_with("; signed"), "{audit}");
    assert!(lines[0].contains(&format!("alice (key 1): declare-dead {dead}")), "{audit}");
    // Its journal has it as well.
    assert_eq!(processes.remove(0).terminate(), Some(0));
    let survivor = cluster.start_replica(2);
    cluster.publish("one more\n");
    assert_eq!(run(&audit_args, 0).out, audit);
    assert_eq!(survivor.terminate(), Some(0));
}

#[test]
fn what_keys_new_makes_lets_no_publisher_pass_for_a_gateway_or_its_client_or_send_fills() {
    let cluster = Cluster::new(1, "");
    std::fs::remove_dir_all(cluster.path("keys")).expect("the keys of a test");
    let keys = |args: &[&str]| cluster.run(&[&["keys"], args].concat(), b"").with_code(0);
    keys(&["new"]);
    let mut processes = cluster.found();
    add_user(&cluster, "anna", "secret", &[]);
    let mut gateway = start(&cluster, "1");
    let mut anna = Trader::log_in(gateway.address, login_of("anna", "secret", "", 1)).expect("a login");
    let publish = |folder: &str, name: &str, to: &str, code| {
        let args = ["publish", "--name", name, "--destination", to, "--timeout", "5s"];
        let mut command = cluster.command_at(cluster.clients(), &args);
        command.env("LOCKSTEP_SECURITY_KEYS", cluster.path(folder));
        lockstep_testkit::processes::run(command, b"a fill\n").with_code(code).err
    };
    // The key of all programs opens any name but those of gateways and of their clients, ...
    publish("keys", "first", "0", 0);
    for name in ["client/anna", "client/nobody", "gateway/1", "gateway/other"] {
        let why = publish("keys", name, "0", 1);
        assert!(why.contains("does not allow the name"), "{name}: {why}");
    }
    // ... and sends nothing to a client, whose id follows that of its gateway.
    let why = publish("keys", "first", "2", 1);
    assert!(why.contains("does not allow destination 2"), "{why}");
    assert!(gateway.process.ended().is_none(), "{}", gateway.process.log());
    assert!(anna.messages.is_empty(), "{:?}", anna.messages);

    // An application has a key of its own, and a rule that lets it; the key of all programs passes for it no
    // more.
    let added = keys(&["add", "exchange", "--names", "exchange,exchange/*"]);
    assert!(added.err.contains("allows names=exchange,exchange/*"), "{}", added.err);
    keys(&["receive", "client/*", "--from", "exchange"]);
    std::fs::create_dir(cluster.path("own")).expect("a folder");
    keys(&["export", "--publisher", "exchange", &cluster.path("own/publisher.keys").to_string_lossy()]);
    let shown = keys(&["show"]).out;
    assert!(shown.contains("names=!client/*,!gateway/*,!exchange,!exchange/*"), "{shown}");
    reload(&mut processes, &mut 0);
    publish("own", "exchange", "2", 0);
    anna.await_messages(1);
    assert_eq!(anna.messages, [(1, b"a fill".to_vec())]);
    let why = publish("keys", "exchange", "2", 1);
    assert!(why.contains("does not allow the name"), "{why}");
    // A key without names is no way around.
    let added = keys(&["add", "other"]);
    assert!(added.err.contains("names=!client/*,!gateway/*"), "{}", added.err);
    let allowed = keys(&["allow", "default"]);
    assert!(allowed.err.contains("names=!client/*,!gateway/*"), "{}", allowed.err);
    assert_eq!(gateway.process.terminate(), Some(0));
}
