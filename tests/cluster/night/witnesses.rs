//! Faults of a cluster of two full replicas and a witness. The witness counts for a quorum and keeps no more
//! than a ring: what a standby lacks before that, the leader alone has.

use super::faults::{fault, killed, moved_away};
use super::{ARCHIVER, Fault, Mend, Night};
use lockstep_testkit::processes::PATIENCE;
use std::time::Instant;

/// The witness's number.
const WITNESS: u32 = 3;
/// What it keeps once its retention has looked: its ring of 4 MiB, and some segments of 1 MiB.
const WITNESS_KEEPS: u64 = 7 << 20;

pub const FAULTS: &[Fault] = &[
    fault(
        "the full standby of a witness's quorum is killed",
        ("replica {s} does not answer", 6),
        ("systemctl start lockstep-sequencer@{s}", "LockstepProcessDown"),
        |night| killed(night, night.standbys[0]),
    ),
    fault(
        "the leader of a witness's quorum is killed",
        ("replica {l} does not answer", 6),
        ("systemctl start lockstep-sequencer@{l}", "LockstepProcessDown"),
        |night| killed(night, night.leader),
    ),
    fault(
        "the witness is killed",
        ("replica {t} does not answer", 6),
        ("systemctl start lockstep-sequencer@{t}", "LockstepProcessDown"),
        |night| killed(night, WITNESS),
    ),
    fault(
        "the full standby is away for longer than the witness's ring",
        ("replica {s} does not answer", 6),
        (
            "exposed: replica {l}: no full standby has the entries before the witness's ring",
            "LockstepProcessDown",
        ),
        |night| beyond_the_ring(night, |_, _| Box::new(|_| ())),
    ),
    // The standby reads on from the archiver, and leads.
    fault(
        "the leader fails while an archiver alone has its log",
        ("replica {l} does not answer", 6),
        ("systemctl start lockstep-sequencer@{l}", "LockstepProcessDown"),
        |night| beyond_the_ring(night, leader_killed),
    ),
    // The archiver is away as well, and has an alert of its own.
    fault(
        "the leader fails while nobody else has its log",
        ("replica {s}: no journal that answers has what it lacks: start replica {l} or archiver 101", 4),
        ("systemctl start lockstep-sequencer@{l}", "LockstepLogGone LockstepNoLeader LockstepProcessDown"),
        |night| {
            beyond_the_ring(night, |night, standby| {
                night.end(ARCHIVER, "KILL");
                let mend = leader_killed(night, standby);
                Box::new(move |night| {
                    mend(night);
                    night.start(ARCHIVER, &[]);
                })
            })
        },
    ),
];

/// The full standby is away while more is published than the witness's ring holds. Then something else
/// happens.
fn beyond_the_ring(night: &mut Night, then: fn(&mut Night, u32) -> Mend) -> Mend {
    let standby = night.standbys[0];
    night.end(standby, "KILL");
    night.publish(8_000);
    let began = Instant::now();
    while segment_bytes(night) > WITNESS_KEEPS {
        assert!(began.elapsed() < PATIENCE, "the witness keeps {} bytes", segment_bytes(night));
        night.publish(1);
    }
    let mend = then(night, standby);
    Box::new(move |night| {
        mend(night);
        if !night.processes.contains_key(&standby) {
            night.start(standby, &[]);
        }
    })
}

fn segment_bytes(night: &Night) -> u64 {
    let folder = night.cluster.path(&format!("journal-{WITNESS}/segments"));
    // One may be removed while we look.
    let sum = format!("cat {}/* 2>/dev/null | wc -c", folder.display());
    night.network.node(WITNESS as usize).shell(&sum).trim().parse().expect("a number")
}

fn leader_killed(night: &mut Night, standby: u32) -> Mend {
    let mend = killed(night, night.leader);
    night.start(standby, &[]);
    mend
}

impl Night {
    /// The last replica leaves the members, and comes back as a witness.
    pub(super) fn take_witness(&mut self) {
        if self.leader == WITNESS {
            self.cluster.run(&["handover", "--to", "1", "--timeout", "1min"], b"").with_code(0);
        }
        self.end(WITNESS, "TERM");
        let (old, new) = moved_away(self, WITNESS);
        self.cluster.run(&["membership", "remove", &old, "--timeout", "1min"], b"").with_code(0);
        self.start(WITNESS, &[]);
        self.cluster.run(&["membership", "add", &new, "--witness", "--timeout", "1min"], b"").with_code(0);
        self.await_calm();
    }
}
