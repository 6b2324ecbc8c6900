//! What is known to find each mutation: the first seed that does, for most.

use super::Witness::{self, Night, Seed, Test};
use lockstep_core::proto::planted::Mutation;

pub(super) const WITNESSES: &[(Mutation, Witness)] = &[
    (
        Mutation::UnlistedLeads,
        Test("who is not listed is a learner already, which never campaigns; proto/election/tests.rs"),
    ),
    (
        Mutation::PrefixNotProven,
        Test("nobody gives it (S11), and no other prefix fits the chain; it/readers.rs"),
    ),
    (
        Mutation::AncestorUnbounded,
        Test(
            "no reader of 500 runs that found a history is given such a frame; the tests of proto/lineage.rs",
        ),
    ),
    (
        Mutation::OtherRepairersReportTaken,
        Test("no reader of the runs that found a history among 10,000 seeds is given one; it/histories.rs"),
    ),
    (
        Mutation::BlankAbstains,
        Test("a founder that loses the start of its first epoch is rare; it/takeover.rs"),
    ),
    (
        Mutation::OutputBeforeCommit,
        Test("a cause that a takeover takes back is mostly sent again; it/outputs.rs"),
    ),
    (Mutation::OneDatagramDiverges, Test("nobody forges in the simulator; it/receiver.rs")),
    (Mutation::PromisedCommitLost, Test("the first commit of the new epoch makes up for it; it/found.rs")),
    (Mutation::HistoryChangesAnywhere, Test("no run that founds a history dies there; it/founding.rs")),
    (Mutation::FoundedOnUnsynced, Test("no run that founds a history dies there; it/founding.rs")),
    (Mutation::FounderFirst, Test("no run that founds a history dies there; it/founding.rs")),
    (Mutation::EvidenceIsLoss, Test("no run that founds a history dies there; it/founding.rs")),
    (Mutation::LeaderRepairs, Test("costs the leader, and no rule of the order; it/repair.rs")),
    (Mutation::MemberByName, Test("nobody uses a member's name in the simulator; it/repair.rs")),
    (Mutation::RepeatsAnswered, Test("costs the network, and no rule of the order; it/repair.rs")),
    (Mutation::EachAlone, Test("costs the network, and no rule of the order; it/repair.rs, netsim")),
    (Mutation::NoBudget, Test("costs the repairer, and no rule of the order; it/repair.rs")),
    (
        Mutation::FoundationRemoved,
        Test(
            "an exchange behind the only sealed segment, and its removal: one seed in ten thousand; journal/tests/segments.rs",
        ),
    ),
    (Mutation::OpenFrameNotDropped, Test("no leader stops with an open frame in 500 seeds; it/found.rs")),
    (
        Mutation::UnreadNamesNobodys,
        Test(
            "a gateway of the newest day, beside a name of the day before: regression 20261127003978 of tests/sim.rs",
        ),
    ),
    (
        Mutation::WaitsForRemembered,
        Test("one seed in ten thousand: regression 20261122423359 of tests/sim.rs"),
    ),
    (Mutation::LateOrderTaken, Test("not tried to the end; it/membership.rs")),
    (Mutation::ReplicaListedTwice, Test("not tried to the end; it/membership.rs")),
    (Mutation::LeaderRemoved, Test("not tried to the end; proto/membership/tests.rs")),
    (Mutation::LastMemberRemoved, Test("not tried to the end; proto/membership/tests.rs")),
    (
        Mutation::RequestsWithoutRoom,
        Test("a disk full for days, one seed in twenty thousand: regression 20261122738366; it/full.rs"),
    ),
    (Mutation::RecipientsIgnored, Test("it/rights.rs")),
    (Mutation::RightsIgnored, Test("one seed in five thousand; it/rights.rs")),
    (Mutation::AnyoneAttests, Test("nobody poses as a notary in the simulator; it/rights.rs")),
    (
        Mutation::TablesOfHalfASuffix,
        Test("a bit of a frame that waits beside a log: one seed in ten thousand; it/exchange.rs"),
    ),
    (Mutation::StalledLeaderSpeaks, Test("all others fence it; it/shipped.rs")),
    (Mutation::AnyCommitProves, Test("no seed of 400, and no walk of 150,000 steps; it/catch_up.rs")),
    (Mutation::RoundsJump, Test("nobody forges in the simulator; proto/rounds.rs")),
];
