//! The valences of a consensus, as the two lemmas of Fischer, Lynch and Paterson have them.

use clap::Parser;
use lockstep_lab::cards::ALL;
use lockstep_lab::command::{LabArgs, NO_SUCH_CARD, run};
use lockstep_lab::valence::{Valence, Valences};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// Those of flp, found once for all tests.
fn found() -> &'static Valences {
    static FOUND: OnceLock<Valences> = OnceLock::new();
    FOUND.get_or_init(|| {
        ALL.get("flp").and_then(|entry| entry.valences()).expect("flp has a bivalent configuration")
    })
}

#[test]
fn an_initial_configuration_is_bivalent() {
    let found = found();
    let initial: Vec<_> = found.initial.iter().map(|(_, valence)| *valence).collect();
    // By validity the first can only decide 0, and the last 1.
    assert_eq!(initial, [Valence::Zero, Valence::Bivalent, Valence::One]);
    assert_eq!(found.drawn, 1);
    assert_eq!(found.states[0].valence, Valence::Bivalent);
    assert_eq!(found.count(Valence::Undecided), 0, "some decision can be reached from each state");
}

#[test]
fn a_fair_run_goes_through_bivalent_states_for_ever() {
    let found = found();
    let endless = found.endless.as_ref().expect("an endless fair run");
    let mut at = 0;
    let mut processes = BTreeSet::new();
    for (place, (state, step)) in endless.stem.iter().chain(&endless.cycle).enumerate() {
        assert_eq!(*state, at, "each step starts where the one before it ends");
        assert_eq!(found.states[at].valence, Valence::Bivalent);
        let step = &found.states[at].steps[*step];
        at = step.to;
        if place >= endless.stem.len() {
            processes.insert(step.process);
        }
    }
    assert_eq!(Some(at), endless.cycle.first().map(|(state, _)| *state), "the loop comes back");
    assert_eq!(processes, BTreeSet::from([Some(0), Some(1)]), "p1 and p2 take steps; p3 is dead");
}

#[test]
fn what_one_step_makes_of_a_bivalent_state_is_bivalent_or_decides() {
    let found = found();
    for valence in [Valence::Zero, Valence::One] {
        assert!(found.count(valence) > 0, "{valence:?} is one step away");
    }
    for state in &found.states {
        // From each bivalent state there is a step that leaves everything open.
        let is_open = state.steps.iter().any(|step| found.states[step.to].valence == Valence::Bivalent);
        assert_eq!(is_open, state.valence == Valence::Bivalent);
    }
}

#[test]
fn the_picture_is_a_command_and_has_the_same_bytes_each_time() {
    let drawn = |name: &str, text: bool| {
        let mut args = vec!["lab", "draw", name, "valence"];
        args.extend(text.then_some("--text"));
        let mut out = Vec::new();
        let code = run(&ALL, &LabArgs::parse_from(args), &mut out, &mut Vec::new())
            .expect("a vector can be written to");
        (code, String::from_utf8(out).expect("it is text"))
    };
    let (code, svg) = drawn("flp", false);
    assert_eq!(code, 0);
    assert_eq!(svg, found().draw());
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    let (_, text) = drawn("flp", true);
    assert_eq!(text, found().to_string());
    assert!(text.contains("p1 Propose(b), p2 Propose(a): bivalent"), "{text}");
    assert_eq!(drawn("hierarchical", false).0, NO_SUCH_CARD, "it has none");
}
