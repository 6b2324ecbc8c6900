use super::*;
use crate::cli::args::Cli;
use clap::Parser;
use lockstep_client::internal::ActiveCondition;
use lockstep_daemon::config::Config;
use lockstep_wire::{AgreedRow, differences};
use std::path::Path;
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

/// Found by hand: `fix` proposed a restart alone, which changes nothing while the file is as it was.
#[test]
fn the_key_and_the_value_that_a_file_is_to_get_are_a_step_of_their_own() {
    let row = |path: &str, value: &str| AgreedRow::new(path, value).expect("a key");
    let usual = [row("lines.1.data", "239.77.1.2:7700"), row("lines.1.mtu", "1500")];
    let other = [row("lines.1.data", "239.77.1.9:7700"), row("lines.1.mtu", "1400")];
    let owner = |number| AgreedOwner { number, is_archiver: false };
    let found = differences(&[(owner(1), &usual), (owner(2), &other), (owner(3), &usual)]);
    let steps: Vec<_> = found.into_iter().flat_map(|one| steps(&Reason::FilesDiffer(one), None)).collect();
    let shown: Vec<_> = steps.iter().map(|step| format!("{step}: {}", step.does)).collect();
    assert_eq!(
        shown[0],
        "edit /etc/lockstep/lockstep.toml: gives lines.1.data the value 239.77.1.2:7700, which most have"
    );
    assert_eq!(
        shown[2],
        "edit /etc/lockstep/lockstep.toml: gives lines.1.mtu the value 1500, which most have"
    );
    assert!(shown[1].starts_with("systemctl restart lockstep-sequencer@2: ") && shown[1] == shown[3]);
    assert!(steps.iter().all(|step| step.host == StepHost::Of("replica 2".to_owned())));
}

/// A stream of a set with a coordinator.
const SET: &str = r#"profile = "shared"
[[coordinators]]
id = 2
host = "127.0.0.1"
[[streams]]
name = "orders"
cluster = 7
[[lines]]
submit = "239.77.1.1:7700"
data = "239.77.1.2:7700"
control = "239.77.1.3:7700"
interface = "lo"
ttl = 0
[[replicas]]
id = 1
unicast = "127.0.0.1:7701"
journal = "/j/1"
"#;

/// An operator types them at night.
#[test]
fn every_command_of_this_program_is_one_that_it_understands() {
    let config = Config::parse(Path::new("c.toml"), SET, &[Config::choice_of_stream("orders")]);
    let coordinators = config.expect("a configuration").set.expect("a set").coordinators;
    assert_eq!(coordinators.len(), 1);
    let of_sets = [Condition::MergeStalled, Condition::CutAhead].into_iter().flat_map(|condition| {
        let stream = of_set(condition, Some("quotes"), &[]);
        assert!(!stream.is_empty(), "{condition:?}");
        stream.into_iter().chain(of_set(condition, None, &coordinators))
    });
    for steps in reasons().iter().map(|reason| steps(reason, None)).chain([of_sets.collect()]) {
        for step in steps {
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
