use super::*;
use crate::cli::args::Cli;
use clap::Parser;
use lockstep_client::internal::ActiveCondition;
use std::time::Duration;

fn identity(replica: u32) -> Identity {
    Identity { replica, incarnation: 0x100 + replica }
}

/// Every reason that there is.
fn reasons() -> Vec<Reason> {
    let address = "10.0.0.3:7003".parse().expect("an address");
    let silent = |last_contact, is_archiver, identity| Reason::Silent {
        identity,
        number: Some(3),
        address,
        last_contact,
        is_archiver,
    };
    let mut all = vec![
        silent(None, false, Some(identity(3))),
        silent(Some(Duration::from_millis(3)), false, Some(identity(3))),
        silent(None, true, None),
        Reason::OtherHistory(identity(2), 7),
        Reason::OtherLeader(identity(2), 7),
        Reason::NoMember(identity(2)),
        Reason::Blank(identity(2)),
        Reason::MissesLeader { identity: identity(2), leader: identity(1), ago: Duration::from_secs(9) },
        Reason::ChangePending,
        Reason::KeysOverdue(3),
    ];
    all.extend(Condition::ALL.iter().map(|condition| {
        let active = ActiveCondition { condition: *condition, age: Duration::from_secs(3), a: 1, b: 2 };
        Reason::Condition(identity(2), active)
    }));
    all
}

/// An operator types them at night.
#[test]
fn every_command_of_this_program_is_one_that_it_understands() {
    for reason in reasons() {
        for step in steps(&reason, None) {
            assert!(!step.does.is_empty() && !step.does.ends_with('.'), "{step}: {}", step.does);
            let Some(arguments) = step.command.strip_prefix("lockstep ") else { continue };
            let filled = arguments.replace("NEW", "3:00000aa");
            let filled = filled.replace("FILE", "one.json").replace(" N", " 2");
            let words = std::iter::once("lockstep").chain(filled.split(' '));
            if let Err(why) = Cli::try_parse_from(words) {
                panic!("`{step}`: {why}");
            }
        }
    }
}

#[test]
fn what_needs_an_identity_that_only_the_operator_knows_is_not_done_by_itself() {
    for step in reasons().iter().flat_map(|reason| steps(reason, None)) {
        let has_gap = ["NEW", "FILE", " N"].iter().any(|gap| step.command.contains(gap));
        assert_eq!(step.arguments().is_none(), has_gap || !step.command.starts_with("lockstep "), "{step}");
    }
}
