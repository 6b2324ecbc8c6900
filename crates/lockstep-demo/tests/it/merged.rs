//! The merged order of a set: the same for each reader, live or behind, and for journals alone.

use crate::coordinators::{Flow, Set, kill};
use crate::dev::Dev;
use lockstep_testkit::processes::{Outcome, await_code};
use std::path::PathBuf;
use std::time::Duration;

/// The line of a reader's end with this word, behind it.
fn line_after<'a>(outcome: &'a Outcome, word: &str) -> &'a str {
    let line = outcome.err.lines().find_map(|line| line.strip_prefix(word));
    line.unwrap_or_else(|| panic!("no line with {word}: {}", outcome.err))
}

/// The number, the stream and the seq of a line.
fn place(line: &str) -> (u64, &str, u64) {
    let mut parts = line.split('\t');
    let mut part = || parts.next().expect("a line has them all");
    (part().parse().expect("a number"), part(), part().parse().expect("a seq"))
}

/// What a reader has that begins while orders flow, and leaders and coordinators die.
fn live_through_deaths(set: &Set) -> Outcome {
    std::thread::scope(|scope| {
        let live = scope.spawn(|| {
            set.run(&["subscribe", "--merged", "--from", "live", "--count", "1500", "--timeout", "30s"])
        });
        for (stream, coordinator) in [("s2", Some(1)), ("s1", Some(2)), ("s3", None)] {
            std::thread::sleep(Duration::from_millis(500));
            kill(set.leader(stream).1);
            if let Some(coordinator) = coordinator {
                kill(set.pid(coordinator));
            }
        }
        live.join().expect("it ends").with_code(0)
    })
}

fn until_end(set: &Set, from: &str) -> Outcome {
    set.run(&["subscribe", "--merged", "--from", from, "--until-end", "--timeout", "30s"]).with_code(0)
}

/// What a reader has that stops after so many messages, and goes on there.
fn in_pieces(set: &Set, counts: &[&str]) -> String {
    let (mut joined, mut from) = (String::new(), "1".to_owned());
    for count in counts {
        let args = ["subscribe", "--merged", "--from", &from, "--count", count, "--timeout", "30s"];
        let part = set.run(&args).with_code(0);
        joined += &part.out;
        from = line_after(&part, "cursor ").to_owned();
    }
    joined + &until_end(set, &from).out
}

/// What the journals of one replica have, once that is `entries` or more.
fn of_journals(set: &Set, entries: usize) -> Outcome {
    let folders: Vec<PathBuf> =
        ["s1", "s2", "s3"].iter().map(|name| set.config(name).replicas[0].journal.clone()).collect();
    let mut merge = vec!["journal", "merge"];
    merge.extend(folders.iter().map(|folder| folder.to_str().expect("UTF-8")));
    let swapped = set.run(&["journal", "merge", merge[3], merge[3]]).with_code(2);
    assert!(swapped.err.contains("are both of cluster"), "{}", swapped.err);
    let missing = set.run(&["journal", "merge", merge[2]]).with_code(2);
    assert!(missing.err.contains("no journal of it was given"), "{}", missing.err);
    await_code(0, || {
        // That its last entries are committed, a journal learns by the next ones.
        for stream in ["s2", "s3", "s1"] {
            set.publish(stream, "one more\n");
        }
        let journals = set.run(&merge).with_code(0);
        let is_whole = journals.out.lines().count() >= entries;
        Outcome { code: Some(i32::from(!is_whole)), ..journals }
    })
}

#[test]
fn a_set_has_one_order_for_each_reader_and_for_its_journals_alone_whatever_dies() {
    let mut dev = Dev::start(&["--streams", "3"]);
    let set = Set { file: dev.after("export LOCKSTEP_CONFIG=") };
    dev.after("streams show");
    let flows: Vec<_> = ["s1", "s2", "s3"].iter().map(|name| Flow::start(set.endpoint(name))).collect();
    let live = live_through_deaths(&set);
    drop(flows);

    let whole = until_end(&set, "1");
    let all: Vec<_> = whole.out.lines().map(place).collect();
    assert!(all.is_sorted_by(|a, b| a.0 < b.0), "numbers rise");
    for stream in ["s1", "s2", "s3"] {
        let seqs: Vec<u64> = all.iter().filter(|one| one.1 == stream).map(|one| one.2).collect();
        let is_its_own = seqs.len() > 100 && seqs.is_sorted_by(|a, b| a < b);
        assert!(is_its_own, "{stream} has its own order: {}", seqs.len());
    }

    let begun = live.out.lines().next().expect("it has read something");
    let tail: Vec<_> = whole.out.lines().skip_while(|line| *line != begun).take(1_500).collect();
    assert_eq!(live.out.lines().collect::<Vec<_>>(), tail, "a reader that began live");

    let pieces = in_pieces(&set, &["1", "7", "400"]);
    assert!(pieces.lines().take(all.len()).eq(whole.out.lines()), "a reader that stopped anywhere");

    // Journals know the clusters of their streams, and no names.
    let entry = |line: &str| {
        let (number, rest) = line.split_once('\t').expect("a number");
        (number.to_owned(), rest.split_once('\t').expect("a stream").1.to_owned())
    };
    let journals = of_journals(&set, all.len());
    assert!(
        journals.out.lines().take(all.len()).map(entry).eq(whole.out.lines().map(entry)),
        "{}",
        journals.err
    );
    dev.end();
}

#[test]
fn a_merged_order_is_asked_of_a_set_and_of_nothing_else() {
    let mut dev = Dev::start(&["--streams", "2"]);
    let set = Set { file: dev.after("export LOCKSTEP_CONFIG=") };
    for (args, word) in [
        (&["subscribe", "--merged", "--stream", "s1"][..], "leave it out"),
        (&["subscribe", "--merged", "--from", "7"], "--from 1, --from live, or the cursor"),
        (&["subscribe", "--merged", "--from", "merged:1;2"], "is no merged cursor"),
        (&["subscribe", "--merged", "--stamped"], "cannot be used with"),
    ] {
        let refused = set.run(args).with_code(2);
        assert!(refused.err.contains(word), "{}", refused.err);
    }
    dev.end();
}
