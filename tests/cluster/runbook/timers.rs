//! The units, timers and lines of cron of the documentation and of `contrib/systemd`: each command runs as
//! the user that it names, on a cluster of that user.

use super::page::text;
use lockstep_testkit::netns::Place;
use lockstep_testkit::processes::{
    Cluster, OTHER_USER, Outcome, PATIENCE, Process, USER, await_code, cluster_of_user, files_of, give,
    last_words, place_of, run,
};
use std::fs;
use std::path::Path;
use std::time::Instant;

/// The documents that have some.
const PAGES: [&str; 4] = ["docs/RUN.md", "docs/RECOVER.md", "docs/METRICS.md", "docs/DEPLOY.md"];
/// The user of the daemons, as everything names it.
const DAEMONS: &str = "lockstep";

/// A command that a service manager, cron or a monitor runs.
#[derive(Debug)]
struct Scheduled {
    /// The file that it is for, or the name of the command.
    name: String,
    user: String,
    command: String,
}

/// The blocks of a page.
fn blocks(page: &str) -> Vec<&str> {
    page.split("\n```").skip(1).step_by(2).collect()
}

/// The parts of a block, each behind a line like `# /etc/systemd/system/NAME`.
fn parts(block: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = block.split("# /etc/").skip(1);
    parts.map(|part| part.split_once('\n').unwrap_or((part, "")))
}

fn value_of<'a>(unit: &'a str, key: &str) -> Option<&'a str> {
    unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

/// The service of a unit's text.
fn service(name: &str, unit: &str) -> Option<Scheduled> {
    let command = value_of(unit, "ExecStart")?.to_owned();
    let user = value_of(unit, "User").unwrap_or_else(|| panic!("{name} names no user")).to_owned();
    assert_eq!(value_of(unit, "Group"), Some(&*user), "{name}");
    Some(Scheduled { name: name.to_owned(), user, command })
}

/// The command of a line of `/etc/cron.d`, whose sixth field is the user.
fn cron(name: &str, line: &str) -> Option<Scheduled> {
    let is_schedule = line.starts_with(|c: char| c == '*' || c.is_ascii_digit());
    let fields: Vec<&str> = line.splitn(7, ' ').collect();
    let [.., user, command] = fields[..] else { return None };
    is_schedule.then(|| Scheduled {
        name: name.to_owned(),
        user: user.to_owned(),
        command: command.to_owned(),
    })
}

/// All of a page.
fn scheduled(page: &str) -> Vec<Scheduled> {
    let mut all = Vec::new();
    for block in blocks(page) {
        for (name, part) in parts(block) {
            match name.starts_with("cron.d/") {
                true => all.extend(part.lines().filter_map(|line| cron(name, line))),
                false => all.extend(service(name, part)),
            }
        }
        // Plugins of Nagios run as its own user.
        let monitor = block.lines().find_map(|line| line.trim().strip_prefix("command_line"));
        all.extend(monitor.map(|command| Scheduled {
            name: "nagios".to_owned(),
            user: "nagios".to_owned(),
            command: command.trim().to_owned(),
        }));
    }
    all
}

/// Where a user's processes run here.
fn place(user: &str) -> Place {
    let number = match user {
        DAEMONS => USER,
        "nagios" => OTHER_USER,
        "root" => 0,
        _ => panic!("which user is '{user}'?"),
    };
    place_of(number).expect("it was asked")
}

/// Runs a command as its user, in a shell as cron has it. Program, configuration and folders are those of the
/// test.
fn carry_out(cluster: &Cluster, scheduled: &Scheduled) -> Outcome {
    let path = |name: &str| cluster.path(name).display().to_string();
    let command = scheduled
        .command
        .replace("/usr/bin/lockstep", &cluster.program().display().to_string())
        .replace("/etc/lockstep/nagios", &path("nagios"))
        .replace("/backup/stream", &path("backup/stream"))
        .replace("/var/lib/prometheus/node-exporter", &path("node-exporter"));
    let mut shell = place(&scheduled.user).command("sh");
    shell.args(["-c", &command]).env("LOCKSTEP_CONFIG", cluster.config());
    run(shell, b"")
}

/// The folders that the documents let somebody make.
fn make_folders(cluster: &Cluster) {
    for (name, user) in [("nagios", OTHER_USER), ("backup", USER), ("node-exporter", 0)] {
        let folder = cluster.path(name);
        fs::create_dir(&folder).expect("a folder");
        give(&folder, user);
    }
    let key = cluster.path("nagios/reader.keys");
    fs::copy(cluster.path("keys/reader.keys"), &key).expect("a key");
    give(&key, OTHER_USER);
    // `nagios` reads the configuration, and enters no other folder.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(cluster.path(""), open).expect("root");
}

#[test]
fn each_timer_and_line_of_cron_of_the_documents_runs_as_the_user_that_it_names() {
    let all: Vec<Scheduled> = PAGES.iter().flat_map(|page| scheduled(&text(page))).collect();
    let names: Vec<&str> = all.iter().map(|scheduled| scheduled.name.as_str()).collect();
    let expected = [
        "nagios",
        "systemd/system/lockstep-health.service",
        "cron.d/lockstep",
        "systemd/system/lockstep-backup.service",
        "cron.d/lockstep-counters",
    ];
    assert_eq!(names, expected, "a timer that this test does not run");
    for scheduled in &all {
        assert!(scheduled.command.contains("/usr/bin/lockstep "), "{scheduled:?}: where the package has it");
    }
    let Some(cluster) = cluster_of_user("") else { return };
    let mut replicas = cluster.found();
    cluster.add_archiver(101, "");
    give(&cluster.config(), USER);
    let mut archiver = cluster.start_archiver(101);
    archiver.await_log("-> learner");
    cluster.publish("one\n");
    cluster.run(&["wait", "--for", "caught-up"], b"").with_code(0);
    make_folders(&cluster);
    for scheduled in &all {
        let is_calm = |done: &Outcome| done.code == Some(0) && !done.out.contains("WARNING");
        let begun = Instant::now();
        let mut done = carry_out(&cluster, scheduled);
        // On a busy host a member may be missed for a moment.
        while !is_calm(&done) && begun.elapsed() < PATIENCE {
            done = carry_out(&cluster, scheduled);
        }
        assert_eq!(done.code, Some(0), "{scheduled:?}: {done:?}");
        match &*scheduled.name {
            "nagios" => assert!(done.out.starts_with("LOCKSTEP OK - "), "{done:?}"),
            "cron.d/lockstep" => assert_eq!((&*done.out, &*done.err), ("", ""), "cron mails what it prints"),
            _ => {}
        }
    }
    let counters = fs::read_to_string(cluster.path("node-exporter/lockstep.prom")).expect("the counters");
    assert!(counters.contains("lockstep_stamped_total{process=\"replica-1\"}"), "{counters}");
    let backup = cluster.path("backup/stream").display().to_string();
    assert!(files_of(0, Path::new(&backup)).is_empty(), "the next run of that user goes on with it");

    // One replica less is a warning: the service fails, and cron has something to mail.
    assert_eq!(replicas.pop().expect("three").terminate(), Some(0));
    for scheduled in all.iter().filter(|one| one.command.contains(" health")) {
        match &*scheduled.name {
            "cron.d/lockstep" => {
                assert!(carry_out(&cluster, scheduled).out.contains("LOCKSTEP "), "{scheduled:?}");
            }
            _ => drop(await_code(1, || carry_out(&cluster, scheduled))),
        }
    }
    assert_eq!(archiver.terminate(), Some(0));
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
}

/// The units of the package, each started as its user by its own `ExecStart`.
#[test]
fn each_unit_of_the_package_runs_as_the_user_that_it_names() {
    let unit = |kind: &str| {
        let name = format!("contrib/systemd/lockstep-{kind}@.service");
        service(&name, &text(&name)).unwrap_or_else(|| panic!("{name} starts nothing"))
    };
    // A coordinator is of a set, and this cluster is one stream: its unit is read, and not started.
    let kinds = ["sequencer", "archiver", "gateway", "feed", "notary", "coordinator"];
    let units =
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/systemd")).expect("a folder");
    assert_eq!(units.count(), kinds.len(), "a unit that this test does not know");
    for unit in kinds.map(unit) {
        assert_eq!(unit.user, DAEMONS, "{unit:?}");
        assert!(unit.command.starts_with("/usr/bin/lockstep "), "{unit:?}");
    }
    let Some(cluster) = cluster_of_user("") else { return };
    let identities: Vec<_> = (1..=3).map(|id| cluster.format(id)).collect();
    cluster.add_archiver(101, "");
    give(&cluster.config(), USER);
    let mut found = vec!["bootstrap", "--replica", "1"];
    identities[1..].iter().for_each(|identity| found.extend(["--identity", identity]));
    cluster.run(&found, b"").with_code(0);
    cluster.run(&["notary", "key", "n1"], b"").with_code(0);
    let users = cluster.path("users.toml").display().to_string();
    cluster.run(&["gateway", "user", "add", "alice", "--users", &users], b"secret").with_code(0);
    let start = |kind: &str, instance: &str, more: &str| -> Process {
        let unit = unit(kind);
        let command = unit.command.replace("%i", instance).replace("$ARGS", more);
        let mut words: Vec<&str> = command.split_whitespace().skip(1).collect();
        words.extend(more.split_whitespace().filter(|_| !unit.command.contains("$ARGS")));
        cluster.start_command(&format!("{kind}-{instance}"), cluster.command_at(&place(&unit.user), &words))
    };
    let mut all: Vec<_> = ["1", "2", "3"].iter().map(|id| start("sequencer", id, "")).collect();
    all[0].await_log("-> leader");
    all.push(start("archiver", "101", ""));
    let listen = format!("--listen 127.0.0.1:0 --users {users}");
    all.push(start("gateway", "gw1", &listen));
    all.push(start("feed", "f1", "--group 239.99.3.1:7800 --requests 127.0.0.1:0 --of everybody"));
    // Without the flag it lies in the folder of state, which this host has not.
    all.push(start("notary", "n1", &format!("--cursor {}", cluster.path("n1.cursor").display())));
    for name in ["replica-1", "archiver-101", "gateway-gw1", "notary-n1"] {
        let has = || cluster.run(&["counters", name], b"").code == Some(0);
        let begun = Instant::now();
        while !has() {
            let words = last_words(&all);
            assert!(begun.elapsed() < PATIENCE, "{name} does not run: {words}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    for process in all.into_iter().rev() {
        assert_eq!(process.terminate(), Some(0));
    }
}
