//! The proof of completeness as stories: each file of `tests/testdata/proof` takes one journal through runs
//! and losses, step by step, and holds what is seen after each step. `REWRITE=1 cargo test -p lockstep-sim
//! --test it scripts` writes what is seen into the files; `git diff` then shows what a change of the code
//! changes.
//!
//! The journal is that of a replica on which a history was born; it was stopped in order, and its log ends at
//! 8. Files have a cache, which forgets when the power goes. `A` and `B` are two paths for its tail, the
//! memory that survives a process and not a machine. `process` and `power` are what the durability is
//! configured to be.
//!
//! ```text
//!   start process|power      a run begins (tail=B: with its tail at B; follows=power: the epoch asks for the device;
//!                            fails=port: something else that it needs is missing; dies=N: it is killed in the change
//!                            of a file after N others)
//!   append N                 N messages are in its log, in memory
//!   promise                  it promises a ballot, in memory
//!   exchange                 the last two frames are exchanged for those of a new epoch, in memory
//!   copy                     the log is copied to the files, and in `power` to the device (dies=N: as above, with
//!                            a part of that change done); `copy once`: one group of it, and nothing else is done
//!   speak                    it acknowledges and promises all that it may now
//!   follow process|power     the epoch that it follows now asks for this
//!   stop                     it stops in order (dies=N: as above)
//!   kill                     its process ends
//!   reboot                   the machine is restarted: memory is gone, files are whole
//!   power-cut                the same, and what files hold in the cache alone is gone
//!   lose-tail A              the tail at this path is gone
//!   keep-tail A, put-back-tail A      the tail as it is now is kept elsewhere; and put back
//!   keep-files, put-back-files        the same for the journal's files
//!   damage superblock 0|1    a bit of this copy of the superblock changes
//!   damage log               a bit of what was written last changes
//!   look process|power       would a start with this configuration call it complete, and why not (tail=B)
//! ```
//!
//! Whatever calls itself complete is compared with all that was said: `S9: it calls itself complete, ...` in
//! a script is a bug.

use datadriven::walk;
use lockstep_core::proto::commit::Durability;
use lockstep_sim::proof::{Begin, Stage};

/// Each mutation of the proof that a story tells of, and the story.
#[cfg(debug_assertions)]
#[test]
fn every_planted_bug_of_the_proof_breaks_its_story() {
    use lockstep_core::proto::planted::Mutation;
    let found = [
        (
            Mutation::OwnDurabilityIgnored,
            "s9_an_ack_rests_on_the_stronger_of_what_is_configured_and_what_the_epoch_asks.txt",
        ),
        (
            Mutation::DurabilityForgotten,
            "s9_rebooted_in_process_behind_a_run_in_power_it_may_have_forgotten.txt",
        ),
        (Mutation::AnyRingIsOwn, "s9_an_older_tail_is_not_that_of_the_last_run.txt"),
        (Mutation::CleanBeforeSynced, "s9_a_clean_stop_leaves_all_of_it_on_the_device.txt"),
        (Mutation::MarkedFirst, "s9_a_start_that_fails_consumes_no_clean_mark.txt"),
        (Mutation::MarkedInOneCopy, "s9_a_run_is_marked_in_both_copies_of_the_superblock.txt"),
        (Mutation::BlankIsTorn, "s9_a_torn_end_was_never_said_and_a_changed_bit_may_have_been.txt"),
        (
            Mutation::OlderCountedDurable,
            "s9_a_run_in_power_proves_nothing_of_what_an_earlier_one_left_in_the_cache.txt",
        ),
        (Mutation::TornReplacement, "s7_an_exchange_is_whole_or_has_not_been.txt"),
    ];
    lockstep_memory::planted::each_is_found(
        found.map(|(mutation, story)| (mutation, move || stories(story))),
    );
}

#[test]
fn each_story_of_the_proof_goes_as_it_is_written() {
    stories("");
}

/// The story in this file, or all of them.
fn stories(file: &str) {
    walk(&format!("tests/testdata/proof/{file}"), |file| {
        let mut stage = Stage::new().expect("a journal");
        file.run(|case| {
            assert_eq!(
                case.directive, "do",
                "each step begins with `do`; its orders stand below, one a line"
            );
            let mut out = String::new();
            for line in case.input.lines() {
                if let Some(seen) = order(&mut stage, line) {
                    out.push_str(&format!("{line}: {seen}\n"));
                }
            }
            if out.is_empty() { "ok\n".to_owned() } else { out }
        });
    });
}

/// More than a ring has groups, and segments that are brought to the device in between.
const COPIES: u32 = 8;

/// Does what one line says. Returns what is seen of it.
fn order(stage: &mut Stage, line: &str) -> Option<String> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let value = |key: &str| rest.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let plain: Vec<&str> = rest.split(' ').filter(|word| !word.contains('=')).collect();
    let dies = value("dies").map(|calls| calls.parse().expect("dies=N"));
    let done = match verb {
        "start" => {
            let begin = Begin {
                configured: durability(plain[0]),
                follows: durability(value("follows").unwrap_or("process")),
                path: path(value("tail").unwrap_or("A")),
                fails: value("fails").is_some(),
                dies,
            };
            stage.begin(begin).map(Some)
        }
        "append" => stage.append(plain[0].parse().expect("a number")).map(|()| None),
        "promise" => stage.promise().map(|()| None),
        "exchange" => stage.exchange().map(|()| None),
        "copy" => stage
            .copy(if plain.contains(&"once") { 1 } else { COPIES }, dies)
            .map(|lives| (!lives).then(|| "is killed".to_owned())),
        "speak" => stage.speak().map(Some),
        "follow" => stage.follow(durability(plain[0])).map(|()| None),
        "stop" => stage.stop(dies).map(|done| (!done).then(|| "is killed".to_owned())),
        "kill" => stage.kill().map(|()| None),
        "look" => stage.look(durability(plain[0]), path(value("tail").unwrap_or("A"))).map(Some),
        "put-back-files" => stage.put_back_files().map(|()| None),
        _ => {
            match verb {
                "reboot" => stage.restart(false),
                "power-cut" => stage.restart(true),
                "lose-tail" => stage.lose_tail(path(plain[0])),
                "keep-tail" => stage.save_tail(path(plain[0])),
                "put-back-tail" => stage.put_back_tail(path(plain[0])),
                "keep-files" => stage.save_files(),
                "damage" if plain[0] == "log" => assert!(stage.damage_last_group(), "nothing is written"),
                "damage" => stage.damage_superblock(plain[1].parse().expect("0 or 1")),
                other => panic!("no such order: {other}"),
            }
            Ok(None)
        }
    };
    done.unwrap_or_else(|why| Some(format!("not possible: {why}")))
}

fn durability(word: &str) -> Durability {
    match word {
        "process" => Durability::Process,
        "power" => Durability::Power,
        other => panic!("{other}: process or power"),
    }
}

fn path(name: &str) -> usize {
    match name {
        "A" => 0,
        "B" => 1,
        other => panic!("tail {other}: A or B"),
    }
}
