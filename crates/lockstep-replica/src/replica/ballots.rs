//! The datagrams of a candidate, a voter and a leader that steps down, and the death notice of a leader.

use super::{Ctx, ReplicaEngine, send_small};
use crate::ports::Ports;
use lockstep_core::engine::ports::Group;
use lockstep_core::proto::failure_detector;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{
    BallotBody, DeathNoticeBody, Epoch, Header, Identity, Kind, SMALL_LEN_MAX, StepDownBody, write_ballot,
    write_down, write_step_down,
};

impl<P: Ports> Ctx<'_, P> {
    pub(super) fn send_ballot(&mut self, net: &mut P::Net, kind: Kind, ballot: Epoch, about: Epoch) {
        self.core.outbox.number += 1;
        let redrawn = if planted(Mutation::NonceRedrawn) { self.core.outbox.number } else { 0 };
        let process_nonce = self.core.limits.process_nonce ^ redrawn;
        let body = BallotBody { process_nonce, ballot: ballot.0, about: about.0 };
        let mut out = [0; SMALL_LEN_MAX];
        let length = write_ballot(&mut out, self.core.keys(), self.header(kind), body);
        send_small(net, Group::Control, &out[..length]);
    }

    /// The leader stops stamping and names its successor.
    pub(super) fn send_step_down(&mut self, net: &mut P::Net, successor: Option<Identity>) {
        self.core.outbox.number += 1;
        let body = StepDownBody {
            process_nonce: self.core.limits.process_nonce,
            successor: successor.map_or(0, Identity::packed),
        };
        let mut out = [0; SMALL_LEN_MAX];
        let length = write_step_down(&mut out, self.core.keys(), self.header(Kind::StepDown), body);
        // Twice: a lost one costs a timeout.
        send_small(net, Group::Control, &out[..length]);
        send_small(net, Group::Control, &out[..length]);
    }
}

impl<P: Ports> ReplicaEngine<P> {
    /// The notice that this leader's watcher sends once the stamping thread is gone; 0 bytes while there is
    /// nothing to announce.
    pub fn death_notice(&self, out: &mut [u8]) -> usize {
        let core = &self.core;
        let is_followed = core.followed.epoch().leader() == core.identity();
        let Some(epoch) = self.leads().filter(|_| is_followed) else { return 0 };
        let header = Header {
            cluster: core.limits.receiver.keys.cluster(),
            history: core.followed.history(),
            epoch: epoch.0,
            sender: core.identity().replica,
            incarnation: core.identity().incarnation,
            ..Header::new(Kind::DeathNotice)
        };
        write_down(
            out,
            core.keys(),
            header,
            DeathNoticeBody { secret: failure_detector::secret(&core.limits.secret_seed, epoch) },
        )
    }
}
