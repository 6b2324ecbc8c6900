//! Faults of programs that serve others, a gateway and a feed. `status` is about nodes: these have alerts
//! alone.

use super::faults::{fault, killed, other_file_of, other_group, stopped, without_quorum};
use super::{FEED, Fault, GATEWAY, Mend, Night};
use lockstep_testkit::gateways::add_user;
use lockstep_testkit::processes::Process;

const WELL: (&str, i32) = ("healthy", 0);

pub const FAULTS: &[Fault] = &[
    fault("a gateway is killed", WELL, ("", "LockstepProcessDown"), |night| killed(night, GATEWAY)),
    fault("a gateway stands still", WELL, ("", "LockstepProcessDown"), |night| stopped(night, GATEWAY)),
    fault("a feed is killed", WELL, ("", "LockstepProcessDown"), |night| killed(night, FEED)),
    fault("a feed stands still", WELL, ("", "LockstepProcessDown"), |night| stopped(night, FEED)),
    fault("a gateway's file has other groups", WELL, ("", "LockstepReadsByUnicast"), |night| {
        in_other_groups(night, GATEWAY)
    }),
    fault("a feed's file has other groups", WELL, ("", "LockstepReadsByUnicast"), |night| {
        in_other_groups(night, FEED)
    }),
    // Nobody is served: the cause is one.
    fault(
        "no quorum is left beside a gateway and a feed",
        ("no quorum", 4),
        ("systemctl start lockstep-sequencer@{s}", "LockstepNoLeader"),
        without_quorum,
    ),
    fault(
        "a leader is killed beside a gateway and a feed",
        ("replica {l} does not answer", 6),
        ("systemctl start lockstep-sequencer@{l}", "LockstepProcessDown"),
        |night| killed(night, night.leader),
    ),
];

/// A program reads on other groups than those by which the replicas send.
fn in_other_groups(night: &mut Night, id: u32) -> Mend {
    let [data, control] = [1, 2].map(|place| other_group(night, place).to_string());
    let set = [format!("lines.1.data={data}"), format!("lines.1.control={control}")];
    other_file_of(night, id, &["--set", &set[0], "--set", &set[1]])
}

impl Night {
    pub(super) fn start_gateway(&self, set: &[&str]) -> Process {
        let users = self.cluster.path("users.toml");
        if !users.exists() {
            add_user(&self.cluster, "anna", "secret", &[]);
        }
        let users = users.display().to_string();
        let args = ["gateway", "--name", "a", "--users", &users, "--listen", "127.0.0.1:0"];
        self.cluster.start("gateway", &[&args, set].concat())
    }

    pub(super) fn start_feed(&self, set: &[&str]) -> Process {
        let args = ["feed", "--group", "239.77.9.9:7900", "--requests", "127.0.0.1:7901"];
        self.cluster.start("feed", &[&args, set].concat())
    }
}
