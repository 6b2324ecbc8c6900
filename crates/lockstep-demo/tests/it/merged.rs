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

/// The number and the stream of each line.
fn places(outcome: &Outcome) -> Vec<(u64, &str)> {
    outcome.out.lines().map(place).collect()
}

fn place(line: &str) -> (u64, &str) {
    let mut parts = line.split('\t');
    let number = parts.next().and_then(|number| number.parse().ok()).expect("a number");
    (number, parts.next().expect("a stream"))
}

#[test]
fn a_set_has_one_order_for_each_reader_and_for_its_journals_alone_whatever_dies() {
    let mut dev = Dev::start(&["--streams", "3"]);
    let set = Set { file: dev.after("export LOCKSTEP_CONFIG=") };
    dev.after("streams show");
    let flows: Vec<_> = ["s1", "s2", "s3"].iter().map(|name| Flow::start(set.endpoint(name))).collect();

    // It begins while orders flow, and numbers its entries as the others do.
    let live = std::thread::scope(|scope| {
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
    });
    drop(flows);

    let whole = set.run(&["subscribe", "--merged", "--until-end", "--timeout", "30s"]).with_code(0);
    let all = places(&whole);
    assert!(all.is_sorted_by(|a, b| a.0 < b.0), "numbers rise");
    for stream in ["s1", "s2", "s3"] {
        let seqs: Vec<u64> = whole
            .out
            .lines()
            .filter_map(|line| line.split_once(&format!("\t{stream}\t"))?.1.split('\t').next()?.parse().ok())
            .collect();
        assert!(
            seqs.len() > 100 && seqs.is_sorted_by(|a, b| a < b),
            "{stream} has its own order: {}",
            seqs.len()
        );
    }
    let begun = live.out.lines().next().expect("it has read something");
    let tail: Vec<_> = whole.out.lines().skip_while(|line| *line != begun).take(1_500).collect();
    assert_eq!(live.out.lines().collect::<Vec<_>>(), tail, "a reader that began live");

    // One that stops anywhere goes on there.
    let mut joined = String::new();
    let mut from = "1".to_owned();
    for count in ["1", "7", "400"] {
        let part = set
            .run(&["subscribe", "--merged", "--from", &from, "--count", count, "--timeout", "30s"])
            .with_code(0);
        joined += &part.out;
        from = line_after(&part, "cursor ").to_owned();
    }
    let rest =
        set.run(&["subscribe", "--merged", "--from", &from, "--until-end", "--timeout", "30s"]).with_code(0);
    joined += &rest.out;
    let common = joined.lines().count().min(whole.out.lines().count());
    assert!(common >= all.len() && joined.lines().take(common).eq(whole.out.lines().take(common)));

    // Out of the journals alone. Of its last entries a journal learns by the next ones that they are committed.
    let folders: Vec<PathBuf> =
        ["s1", "s2", "s3"].iter().map(|name| set.config(name).replicas[0].journal.clone()).collect();
    let mut merge = vec!["journal", "merge"];
    merge.extend(folders.iter().map(|folder| folder.to_str().expect("UTF-8")));
    let journals = await_code(0, || {
        for stream in ["s2", "s3", "s1"] {
            set.publish(stream, "one more\n");
        }
        let journals = set.run(&merge).with_code(0);
        let is_whole = journals.out.lines().count() >= all.len();
        Outcome { code: Some(i32::from(!is_whole)), ..journals }
    });
    // Journals know the clusters of their streams, and no names.
    let entry = |line: &str| {
        let (number, rest) = line.split_once('\t').expect("a number");
        (number.to_owned(), rest.split_once('\t').expect("a stream").1.to_owned())
    };
    let of_journals = journals.out.lines().take(all.len()).map(entry);
    assert!(of_journals.eq(whole.out.lines().map(entry)), "{}", journals.err);

    let swapped = set.run(&["journal", "merge", merge[3], merge[3]]).with_code(2);
    assert!(swapped.err.contains("are both of cluster"), "{}", swapped.err);
    let missing = set.run(&["journal", "merge", merge[2]]).with_code(2);
    assert!(missing.err.contains("no journal of it was given"), "{}", missing.err);
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
