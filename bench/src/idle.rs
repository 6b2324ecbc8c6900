//! What each daemon costs that has nothing to do and parks: processor time over wall time, as the kernel
//! counts it (`/proc/PID/task/*/schedstat`, nanoseconds).

use crate::environment;
use crate::fleet::children;
use crate::harness::{Run, Shared};
use crate::results::{Round, Row, RunResult, Unit, VALUE};
use crate::usage::cpu_ns;
use clap::Parser;
use lockstep_testkit::gateways;
use lockstep_testkit::processes::{Cluster, PRODUCT_TIMING, Process};
use std::time::{Duration, Instant};

/// Most that a daemon may take of a core.
const AIM: f64 = 0.01;
/// From the last start to the first round.
const SETTLES: Duration = Duration::from_secs(3);

/// How often, and how long.
#[derive(Parser)]
pub struct Arguments {
    #[command(flatten)]
    shared: Shared,
    /// Seconds of each.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// Measures them.
///
/// # Errors
/// A process ended, or the kernel does not say what it took.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let cluster = Cluster::new(4, PRODUCT_TIMING);
    cluster.add_archiver(9, "");
    let mut replicas = cluster.found();
    let mut archiver = cluster.start_archiver(9);
    archiver.await_log("-> learner");
    let identities = cluster.run(&["membership", "show"], b"").with_code(0).out;
    let last = identities.split_whitespace().find(|word| word.starts_with("4:"));
    let last = last.ok_or_else(|| format!("the membership lacks replica 4: {identities}"))?;
    cluster.run(&["membership", "remove", last], b"").with_code(0);
    replicas[3].await_log("-> learner");
    cluster.publish("one\ntwo\n");
    gateways::add_user(&cluster, "alice", "secret", &[]);
    let gateway = gateways::start(&cluster, "1");
    let group = "239.160.77.9:30001";
    let feed = cluster.start("feed", &["feed", "--group", group, "--requests", "127.0.0.1:0"]);
    let reader = cluster.start("reader", &["subscribe", "--from", "live"]);

    let watchers: Vec<u32> = children(replicas[0].pid());
    let pid = |process: &Process| vec![process.pid()];
    let daemons: [(&str, &str, Vec<u32>); 8] = [
        ("leader", "leader of three", pid(&replicas[0])),
        ("standby", "standby", pid(&replicas[1])),
        ("learner", "learner, a member that was removed", pid(&replicas[3])),
        ("archiver", "archiver", pid(&archiver)),
        ("watcher", "watcher of the leader", watchers),
        ("gateway", "gateway without clients", pid(&gateway.process)),
        ("feed", "feed", pid(&feed)),
        ("reader", "subscribe, live", pid(&reader)),
    ];
    if let Some((name, ..)) = daemons.iter().find(|(.., pids)| pids.is_empty()) {
        return Err(format!("there is no {name}: it was not started here"));
    }
    let Arguments { shared: Shared { rounds, output }, seconds } = arguments;
    let mut run =
        Run::begin("idle", "processor time of daemons that have nothing to do", environment::facts());
    run.tell("idle", "park");
    run.tell("rounds", format!("{rounds} of {seconds} s"));
    run.tell("clock", "the scheduler's, of all threads of a process");
    std::thread::sleep(SETTLES);
    run.rounds(*rounds, |run, _| {
        let now = || -> Result<Vec<u64>, String> {
            daemons.iter().map(|(.., pids)| pids.iter().map(|pid| cpu_ns(*pid)).sum()).collect()
        };
        let (at, before) = (Instant::now(), now()?);
        std::thread::sleep(Duration::from_secs(*seconds));
        let (took, after) = (at.elapsed(), now()?);
        for ((subject, words, _), (before, after)) in daemons.iter().zip(before.into_iter().zip(after)) {
            // A thread that has ended takes its time with it.
            let share = after.saturating_sub(before) as f64 / 1e9 / took.as_secs_f64();
            let row = Row::new("share of a core", subject, words, Unit::Ratio);
            run.record(row, at, took, Round::value(share));
        }
        Ok(())
    })?;
    let results = &mut run.results;
    let over = |row: &&Row| row.spread(VALUE).is_none_or(|spread| spread.median > AIM);
    let missed: Vec<&str> = results.rows.iter().filter(over).map(|row| row.subject.as_str()).collect();
    let conclusion =
        if missed.is_empty() { "met by all".to_owned() } else { format!("missed: {}", missed.join(", ")) };
    results.notes.push(format!("aim: {AIM} of a core each at most: {conclusion}"));
    drop((reader, feed, gateway, archiver));
    run.finish(output)
}
