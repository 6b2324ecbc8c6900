//! Stories and pictures are functions of their cards: the same bytes each time.

use lockstep_lab::cards::ALL;
use lockstep_lab::diagram::draw;

#[test]
fn the_story_of_a_card_is_the_same_each_time() {
    for (card, broken) in [("uniform-hierarchical", "wrong-suspicions"), ("paxos", "duel")] {
        let entry = ALL.get(card).expect("it is in the catalogue");
        let story = || entry.story(broken).expect("it is found");
        let (one, other) = (story(), story());
        assert_eq!(one.to_string(), other.to_string());
        let picture = draw(&one);
        assert_eq!(picture, draw(&other));
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        assert_eq!(one.loop_from.is_some(), broken == "duel");
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
