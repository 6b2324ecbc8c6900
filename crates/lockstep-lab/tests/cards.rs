//! Every card holds in its model, each of its breaks is found again, and its price is what is measured.

use lockstep_lab::cards::ALL;

#[test]
fn every_card_holds_and_each_of_its_breaks_is_found() {
    let mut errors = Vec::new();
    for entry in ALL.entries() {
        let checked = entry.check();
        println!("{}: {}", checked.card.name, checked.explored);
        for broken in &checked.breaks {
            let steps = broken.story.as_ref().map_or(0, |story| story.rows.len());
            println!("    {}: {steps} steps", broken.name);
        }
        errors.extend(checked.errors());
    }
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn every_card_has_a_planted_mutation() {
    let without = ALL.entries().filter(|entry| !entry.card.breaks.iter().any(|broken| broken.planted));
    let names: Vec<_> = without.map(|entry| entry.card.name).collect();
    assert!(names.is_empty(), "no planted mutation: {names:?}");
}
