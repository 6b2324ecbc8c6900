//! Stories and pictures are functions of their cards: the same bytes each time, and in each build.
//!
//! The pictures of docs/LAB.md are `docs/lab/CARD.STORY.svg`. Where a change of a card moves one:
//! `cargo run -p lockstep-lab -- draw CARD STORY > docs/lab/CARD.STORY.svg`, and the difference is the
//! review.

use crate::is_searched;
use clap::Parser;
use lockstep_lab::cards::ALL;
use lockstep_lab::command::{LabArgs, run};
use lockstep_lab::diagram::draw;
use std::fs;
use std::path::Path;

const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/lab");

fn drawn(card: &str, story: &str) -> String {
    let args = LabArgs::parse_from(["lab", "draw", card, story]);
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let code = run(&ALL, &args, &mut out, &mut errors).expect("a vector takes everything");
    assert_eq!(code, 0, "{}", String::from_utf8_lossy(&errors));
    String::from_utf8(out).expect("text")
}

#[test]
fn the_pictures_of_the_documents_are_what_the_code_draws() {
    let text = fs::read_to_string(Path::new(PICTURES).join("../LAB.md")).expect("docs/LAB.md");
    let mut count = 0;
    for entry in fs::read_dir(PICTURES).expect("docs/lab") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let (card, story) =
            name.strip_suffix(".svg").and_then(|name| name.split_once('.')).expect("CARD.STORY.svg");
        assert!(text.contains(&format!("(lab/{name})")), "docs/LAB.md does not show {name}");
        let stored = fs::read_to_string(&path).expect("a picture");
        let is_as_drawn = !is_searched(card, story) || stored == drawn(card, story);
        assert!(is_as_drawn, "docs/lab/{name} is not what `draw {card} {story}` draws");
        count += 1;
    }
    assert!(count >= 10, "{count} pictures");
}

#[test]
fn the_story_of_a_card_is_the_same_each_time() {
    let cards = [("uniform-hierarchical", "wrong-suspicions"), ("flp", "adversary"), ("paxos", "duel")];
    for (card, broken) in cards.into_iter().filter(|(card, broken)| is_searched(card, broken)) {
        let entry = ALL.get(card).expect("it is in the catalogue");
        let story = || entry.story(broken).expect("it is found");
        let (one, other) = (story(), story());
        assert_eq!(one.to_string(), other.to_string());
        let picture = draw(&one);
        assert_eq!(picture, draw(&other));
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        assert_eq!(one.loop_from.is_some(), broken != "wrong-suspicions");
    }
}

#[test]
fn the_figure_of_the_course_is_found_in_its_steps() {
    let entry = ALL.get("uniform-hierarchical").expect("it is in the catalogue");
    let story = entry.story("wrong-suspicions").expect("it is found").to_string();
    let expected = "uniform-hierarchical, wrong-suspicions
   1  p1 is asked: Propose(a)
   2  p2 is asked: Propose(b)
   3  p1 suspects p2
   4  p1 suspects p3; p1 decides a
   5  p2 suspects p1
   6  p2 suspects p3; p2 decides b
      UNIFORM AGREEMENT: p1 decides a, p2 decides b
";
    assert_eq!(story, expected);
}
