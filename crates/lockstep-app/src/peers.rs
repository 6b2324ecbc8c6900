//! The state with which a replica begins: its own newest snapshot, or a peer's, which the stream announces.

use crate::error::AppError;
use crate::serve::fetch_announced;
use crate::settings::AppSettings;
use crate::store::{self, SnapshotStore, StoredSnapshot};
use lockstep_client::{Delivery, Endpoint, IoError, Start, Subscriber, SubscriberEvent};
use lockstep_machine::{
    EVERYBODY, MachineCore, ReplicaReport, Seq, ServedSnapshot, SnapshotCursor, SnapshotHead, SnapshotNotice,
    StateMachine,
};
use std::io;
use std::net::SocketAddrV4;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// The most messages of one poll.
const BATCH: usize = 256;
const PAUSE: Duration = Duration::from_millis(1);
/// How long the stream is read for the announcement of a snapshot, and the most announcements of one.
const ANNOUNCED_WAIT: Duration = Duration::from_secs(5);
const ANNOUNCED_MAX: usize = 64;

/// The sources of other replicas' snapshots.
pub(crate) struct Peers<'a> {
    pub endpoint: &'a Endpoint,
    pub settings: &'a AppSettings,
    /// The peers that are not asked any more.
    pub distrusted: &'a [SocketAddrV4],
}

/// The announcements of snapshots below `next` in the stream from `from` on, as far as it can be read in some
/// seconds. Announcements follow the snapshot.
fn announced(endpoint: &Endpoint, next: Seq, from: Seq) -> Vec<SnapshotNotice> {
    let mut found = Vec::new();
    let Ok(mut subscriber) = Subscriber::connect(endpoint, Delivery::Committed, Start::From(from)) else {
        return found;
    };
    let (begun, mut is_over) = (Instant::now(), false);
    while !is_over && begun.elapsed() < ANNOUNCED_WAIT {
        let mut announce = |report| match report {
            Some(ReplicaReport::Snapshot(notice)) if notice.next == next && found.len() < ANNOUNCED_MAX => {
                found.push(notice);
            }
            _ => {}
        };
        let work = subscriber.poll(BATCH, |event| {
            match event {
                SubscriberEvent::MachineReport { payload, .. } => {
                    announce(ReplicaReport::parse(payload));
                }
                // Replicas of earlier releases address their reports to the machine.
                SubscriberEvent::Message(message) if message.destination != EVERYBODY => {
                    announce(ReplicaReport::parse(message.payload));
                }
                SubscriberEvent::CaughtUp { .. }
                | SubscriberEvent::Abandoned { .. }
                | SubscriberEvent::Refused { .. }
                | SubscriberEvent::Ahead { .. } => is_over = true,
                _ => {}
            }
            if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if work == 0 && subscriber.wait(PAUSE).is_err() {
            break;
        }
    }
    found
}

/// Why no peer's snapshot is usable.
pub(crate) struct NoneWillDo {
    /// Each peer, and the fault of its snapshot.
    pub peers: String,
    /// Whether a peer has not answered, or has no snapshot yet: a later attempt may find one.
    pub may_change: bool,
}

/// The newest snapshot of the first peer whose snapshot is sound, of the version `own`, and wanted.
pub(crate) fn fetched(
    from: &Peers<'_>,
    (store, own): (&SnapshotStore, u32),
    is_wanted: impl Fn(&SnapshotHead) -> Result<(), String>,
) -> Result<StoredSnapshot, NoneWillDo> {
    let (mut wrong, mut may_change) = (Vec::new(), false);
    let judge = |head: &SnapshotHead| match head.version {
        version if version == own => is_wanted(head),
        version => {
            Err(format!("its snapshot is of version {version} of the machine, and this is version {own}"))
        }
    };
    for peer in from.settings.peers.iter().copied().filter(|peer| !from.distrusted.contains(peer)) {
        match fetch_announced(peer, store, |next, behind| announced(from.endpoint, next, behind), judge) {
            Ok(Some(stored)) => {
                tracing::info!("fetched the snapshot below seq {} from {peer}", stored.next);
                return Ok(stored);
            }
            Ok(None) => {
                may_change = true;
                wrong.push(format!("{peer} has no snapshot"));
            }
            Err(error) => {
                may_change |= error.source.kind() != io::ErrorKind::InvalidData;
                wrong.push(error.to_string());
            }
        }
    }
    Err(NoneWillDo { peers: wrong.join("; "), may_change })
}

/// A state, where the reading continues, and the snapshot that needs a proof, if any.
pub(crate) type Restored<M> = (MachineCore<M>, Option<SnapshotCursor>, Option<ServedSnapshot>);

/// The newest sound snapshot of the version of `machine`, of this replica or of a peer, restored as a machine
/// of its kind.
pub(crate) fn restored<M: StateMachine>(
    from: &Peers<'_>,
    store: &SnapshotStore,
    machine: &M,
) -> Result<Option<Restored<M>>, AppError> {
    let settings = from.settings;
    let stored = match store.newest_sound(machine.version())? {
        Some(stored) => stored,
        None => match fetched(from, (store, machine.version()), |_| Ok(())) {
            Ok(stored) => stored,
            Err(none) => {
                if !none.peers.is_empty() {
                    tracing::warn!("{}; the stream is read from its beginning", none.peers);
                }
                return Ok(None);
            }
        },
    };
    let doing = || format!("restore the snapshot {}", stored.path.display());
    let mut file = store::reader(&stored.path).map_err(|error| IoError::new(doing(), error))?;
    match MachineCore::restore_anywhere(settings.machine(), machine, &mut file) {
        Ok((core, cursor)) => {
            let judge = |_| {
                let head = store::head(&stored.path).map_err(|error| io::Error::other(error.to_string()))?;
                store::served(&stored.path, &head)
            };
            let unproven = store.unproven(stored.next).map(judge).transpose();
            let unproven = unproven.map_err(|error| IoError::new(doing(), error))?;
            Ok(Some((core, Some(cursor), unproven)))
        }
        Err(error) => Err(IoError::because(doing(), io::ErrorKind::InvalidData, error.to_string()).into()),
    }
}
