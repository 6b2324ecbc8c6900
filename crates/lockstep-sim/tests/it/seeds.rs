//! The simulator's promises. Each change runs the seeds that failed once and some hundred known ones, and CI
//! runs thousands of the day (`lockstep sim`); a night runs 10,000 known ones. `LOCKSTEP_SIM_SECONDS` gives
//! it so many seconds of seeds that nobody has run. `lockstep sim --seed S --trace` shows one.

#![allow(
    clippy::disallowed_methods,
    reason = "a test may look at the clock: seeds are drawn, and the time is boxed"
)]

use lockstep_config::Config;
use lockstep_core::proto::commit::Durability;
use lockstep_sim::coverage::Event;
use lockstep_sim::fault::ReconfigureFault;
use lockstep_sim::has_rejoiners;
use lockstep_sim::many::{Tally, run_many, run_wanted};
use lockstep_sim::shrink::shrink;
use lockstep_sim::{Configured, Fault, Plan, run};
use lockstep_testkit::lane;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seeds that failed once. Each change runs them.
const REGRESSIONS: &[u64] = &[
    468,
    642,
    5634,
    8305,
    14130,
    30332,
    50074,
    9001680,
    9004893,
    9006259,
    9009997,
    9010336,
    9011669,
    9014222,
    9015446,
    9015510,
    9111610,
    9112150,
    20015251,
    8715,
    30034727,
    60084932,
    50001008,
    50001562,
    50002637,
    50003688,
    20261120021515,
    20261122300788,
    20261122364605,
    13029,
    650122669,
    651094067,
    652001590,
    653356239,
    655595288,
    656278571,
    657039335,
    659000821,
    20261122403574,
    20261122423359,
    20261122423500,
    20261122009483,
    20261122717197,
    20261122722772,
    20261122013749,
    20261122000041,
    20261123008864,
    20261122005441,
    20261122009549,
    20261123001003,
    20261122030607,
    20261122052133,
    20261123042393,
    20261123045498,
    20261123100690,
    20261123118096,
    20261123000956,
    20261123012992,
    20261124002216,
    20261124029940,
    10846,
    20261126502471,
    20261127006542,
    777015220,
    27,
    61,
    7906,
    13327,
    20261129121576,
    20261129261570,
    20261129411557,
    20261129509713,
    20261129515516,
    20261129544701,
    20261127003978,
    219165088222,
    219165090713,
    219165095042,
    219165095535,
    1000054,
    1000678,
    1019551,
    1020698,
    21003218,
    40015958,
    40038675,
    40048767,
    50063036,
    60113933,
    70026493,
    2403,
    20261130014921,
    20261201383810,
    20261204407278,
    20261205000512,
    20261206442431,
    20261129700389,
    1795919020730126,
    52149305,
    53002853,
    60071041,
    53108548,
    54012987,
    70310451,
    71055631,
    72065478,
    73214631,
    74112366,
    75075048,
    76280790,
    77060665,
    78280358,
    79260031,
    81191457,
    81205837,
    83218101,
    84038597,
    85975321,
    90552211,
    92091711,
    93532326,
    94046002,
    94171106,
    95029704,
    95213046,
    95298878,
    96390782,
    96534319,
    97115820,
    98103508,
    98352995,
    100604244,
    110018418,
    110021400,
];

/// Those of them that take as long as all others, by night: disks that are full for days (`nack_1_` holds
/// their rule), and a node that waits for its operator behind long nights.
const LONG_REGRESSIONS: &[u64] = &[20261122738366, 20261123008826, 90853985];

/// Known seeds, from 0 on, that each change runs.
pub const EACH_CHANGE: u64 = 150;

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn explain(tally: &Tally) -> String {
    let Some(failure) = tally.failures.first() else { return String::new() };
    let (recipe, failure) = shrink(failure, 200);
    let faults: String = recipe.plan().faults.iter().map(|fault| format!("\n  {fault:?}")).collect();
    format!("{failure}\nfaults:{faults}\nsee it: lockstep sim {recipe} --trace")
}

/// Thousands of mixes of faults: no rule is broken after any step, and a healed quorum gets done.
#[test]
fn no_seed_breaks_a_rule_and_every_healed_quorum_gets_done() {
    lockstep_io::choose_instructions();
    let (first, seeds, limit) = match from_env("LOCKSTEP_SIM_SECONDS") {
        Some(seconds) => {
            let drawn = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
            (drawn, u64::MAX, Some(Duration::from_secs(seconds)))
        }
        None => {
            (0, from_env("LOCKSTEP_SIM_SEEDS").unwrap_or_else(|| lane::amount(EACH_CHANGE, 10_000)), None)
        }
    };
    println!("seeds from {first} on");
    let begun = Instant::now();
    let tally = run_many(first, seeds, 2, 1, |_| limit.is_none_or(|limit| begun.elapsed() < limit));
    println!(
        "{} seeds, {} steps, {:.1?}\n{}",
        tally.runs,
        tally.total.steps,
        begun.elapsed(),
        tally.total.coverage
    );
    assert!(tally.failures.is_empty(), "{}", explain(&tally));
    if tally.runs >= 4_000 {
        let missing = tally.total.coverage.missing();
        assert!(missing.is_empty(), "never generated: {missing:?}");
    }
}

#[test]
fn what_failed_once_does_not_fail_again() {
    lockstep_io::choose_instructions();
    for &seed in REGRESSIONS.iter().chain(lane::amount(&[][..], LONG_REGRESSIONS)) {
        let tally = run_many(seed, 1, 1, 1, |_| true);
        assert!(tally.failures.is_empty(), "{}", explain(&tally));
    }
}

/// Sizes of the simulator are so many times smaller than those that a file may have.
const SCALE: u64 = 64;

/// The lines of a cluster's file that say what `configured` does, in sizes that a file may have.
fn file_of(configured: &Configured) -> String {
    let Configured {
        durability, ring_bytes, segment_len, window, heartbeat, timeout_ns, timeout_ns_max, ..
    } = *configured;
    let durability = if durability == Durability::Power { "power" } else { "process" };
    let (first_ns, heartbeat_interval_ns) = (heartbeat.first_ns, heartbeat.interval_ns);
    let sizes = [ring_bytes as u64, segment_len].map(|bytes| bytes * SCALE);
    let window_bytes = u64::from(window.bytes) * SCALE;
    format!(
        "cluster = 7\nprofile = \"shared\"\n\
         [[lines]]\nsubmit = \"239.1.1.1:9000\"\ndata = \"239.1.1.2:9000\"\ncontrol = \"239.1.1.3:9000\"\n\
         interface = \"127.0.0.1\"\nttl = 0\n\
         [[replicas]]\nid = 1\nunicast = \"127.0.0.1:9101\"\njournal = \"/var/tmp/j\"\n\
         [stream]\ndurability = \"{durability}\"\nwindow_bytes = \"{window_bytes}B\"\npublishers_max = {}\n\
         [journal]\ntail_size = \"{}B\"\nsegment_size = \"{}B\"\n\
         [timing]\nheartbeat_interval = \"{heartbeat_interval_ns}ns\"\nheartbeat_first = \"{first_ns}ns\"\nfailure_timeout = \"{timeout_ns}ns\"\n\
         failure_timeout_max = \"{timeout_ns_max}ns\"\n",
        configured.publishers_max, sizes[0], sizes[1]
    )
}

/// A cluster is configured with what `lockstep check` allows, and with as much of it as it allows: a relation
/// that is missing there shows here.
#[test]
fn what_replicas_are_configured_with_is_what_check_allows() {
    let (mut tried, mut widest, mut tightest) = (0, 0, 0);
    let (seeds, least, ends) = lane::amount((2_000, 1_500, 2), (8_000, 6_000, 10));
    for plan in (0..seeds).map(Plan::of_seed).filter(Plan::varies) {
        let seed = plan.seed;
        let later = plan.faults.iter().filter_map(|fault| match &fault.what {
            Fault::Reconfigure(ReconfigureFault { configured, .. }) => Some(configured),
            _ => None,
        });
        for configured in later.chain(&plan.configured) {
            let text = file_of(configured);
            if let Err(why) = Config::parse(Path::new("cluster.toml"), &text, &[]) {
                panic!("seed {seed}: {why}\n{text}");
            }
            tried += 1;
            widest += usize::from(configured.window.bytes as usize * 4 == configured.ring_bytes);
            tightest += usize::from(configured.heartbeat.first_ns == configured.heartbeat.interval_ns);
        }
    }
    // Both ends of what two relations allow.
    assert!(tried > least && widest > ends && tightest > ends, "{tried} tried, {widest}, {tightest}");
}

/// One seed decides everything.
#[test]
fn equal_seeds_give_byte_identical_traces() {
    lockstep_io::choose_instructions();
    for seed in [1, 17, 4242, 4243, 4244] {
        let run = || run(&Plan::of_seed(seed), true).unwrap_or_else(|failure| panic!("{failure}"));
        let (once, again) = (run(), run());
        assert!(once.coverage.get(Event::Delivered) > 0 && !once.story.moments.is_empty());
        assert_eq!(once.story.to_string(), again.story.to_string(), "seed {seed}");
        assert_eq!(once, again, "seed {seed}");
    }
}

/// REJOIN-1 in whole clusters: journals are lost, several at the same time, and their replicas come back by
/// themselves under faults.
#[test]
fn replicas_without_a_journal_rejoin_by_themselves_and_every_rule_holds() {
    let seeds = lane::amount(1_500, 60_000);
    let tally = run_wanted(20_261_129_700_000, seeds, 2, 1, has_rejoiners, |_| true);
    if let Some(failure) = tally.failures.first() {
        panic!("{failure:?}");
    }
    let [begun, replaced] =
        [Event::Rejoins, Event::MembersReplaced].map(|event| tally.total.coverage.get(event));
    assert!(tally.runs > seeds / 60 && begun > tally.runs / 8 && replaced > tally.runs / 16, "{tally:?}");
}
