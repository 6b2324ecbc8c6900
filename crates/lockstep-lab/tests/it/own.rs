//! A protocol of one's own gets all commands, and its error is found: the example's order by the clock of
//! Lamport forgets to wait until it has heard from everybody.

#[path = "../../examples/own_protocol.rs"]
#[expect(dead_code, reason = "its main is for the example alone")]
mod own_protocol;

use clap::Parser;
use lockstep_lab::command::{FAILED_CHECK, LabArgs, NO_SUCH_CARD, run};
use own_protocol::OWN;

fn output(args: &[&str]) -> (u8, String) {
    let args = LabArgs::parse_from(std::iter::once(&"lab").chain(args));
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let code = run(&OWN, &args, &mut out, &mut errors).expect("a vector takes everything");
    assert!(out.is_empty() || errors.is_empty());
    (code, String::from_utf8(out).expect("text") + &String::from_utf8(errors).expect("text"))
}

#[test]
fn the_error_of_a_protocol_of_ones_own_is_found_with_its_shortest_story() {
    let (code, text) = output(&["check"]);
    assert_eq!(code, FAILED_CHECK, "{text}");
    assert!(text.contains("UNIFORM TOTAL ORDER: p1 delivers a where p2 delivers b"), "{text}");
    assert!(text.contains("   2  p2 is asked: Broadcast(b)") && !text.contains("   3  "), "{text}");
    let (code, picture) = output(&["draw", "by-time", "violation"]);
    assert!(code == 0 && picture.contains("UNIFORM TOTAL ORDER: p1 delivers a"), "{picture}");
}

#[test]
fn a_run_of_it_is_judged_drawn_and_compared() {
    let (code, text) = output(&["run", "by-time", "--trace"]);
    assert_eq!(code, FAILED_CHECK, "{text}");
    assert!(text.contains("VALIDITY holds\n") && text.contains("UNIFORM TOTAL ORDER: p1"), "{text}");
    let (code, text) = output(&["compare", "--processes", "5"]);
    assert!(code == 0 && text.contains("by-time"), "{text}");
    let (code, picture) = output(&["draw", "by-time"]);
    assert!(code == 0 && picture.starts_with("<svg "), "{picture}");
}

#[test]
fn a_name_that_is_not_there_is_answered_with_those_that_are() {
    let (code, text) = output(&["explain", "by-clock"]);
    assert_eq!((code, text.as_str()), (NO_SUCH_CARD, "there is no card \"by-clock\"; there are: by-time\n"));
    let (code, text) = output(&["draw", "by-time", "nothing"]);
    assert_eq!(code, NO_SUCH_CARD);
    assert_eq!(text, "no story \"nothing\" of by-time; there are: good, violation\n");
    assert_eq!(output(&["list"]).0, 0);
}
