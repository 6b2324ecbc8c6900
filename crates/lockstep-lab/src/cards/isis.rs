//! The toolkit of process groups (Birman and Joseph 1987).

mod abcast;
mod abcast_uniform;
mod cbcast;
mod coordinator_cohort;
mod flush_store;
mod gbcast;
mod registered_read;
mod replicated_data;
mod view_manager;
mod windowed_channel;

pub use abcast::{Abcast, AbcastMessage};
pub use abcast_uniform::UniformAbcast;
pub use cbcast::{Cbcast, CbcastTo, Packet};
pub use coordinator_cohort::{CoordinatorCohort, Operation};
pub use flush_store::{FlushIndication, FlushMessage, FlushStore};
pub use gbcast::{Gbcast, GbcastEntry, GbcastMessage, GroupRequest};
pub use registered_read::{ReadMessage, ReadStep, RegisteredRead};
pub use replicated_data::{DataMessage, LockStep, ReplicatedData};
pub use view_manager::{ViewManager, ViewMessage};
pub use windowed_channel::{ChannelMessage, WindowedChannel};

use crate::check::Entry;
use crate::{Pid, Value};

/// A message of `.0`.
type Of<M> = (Pid, M);

/// Its cards, in the order of the tour.
pub(super) static ENTRIES: &[Entry] = &[
    Entry::of::<Abcast<Value>>(),
    Entry::of::<UniformAbcast<Value>>(),
    Entry::of::<Cbcast<Value>>(),
    Entry::of::<Gbcast>(),
    Entry::of::<ViewManager>(),
    Entry::of::<FlushStore<Value>>(),
    Entry::of::<CoordinatorCohort>(),
    Entry::of::<ReplicatedData>(),
    Entry::of::<RegisteredRead>(),
    Entry::of::<WindowedChannel>(),
];
