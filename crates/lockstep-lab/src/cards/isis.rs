//! The toolkit of process groups (Birman and Joseph 1987).

mod coordinator_cohort;
mod flush_store;
mod registered_read;
mod replicated_data;
mod windowed_channel;

pub use coordinator_cohort::{CoordinatorCohort, Operation};
pub use flush_store::{FlushIndication, FlushMessage, FlushStore};
pub use registered_read::{ReadMessage, ReadStep, RegisteredRead};
pub use replicated_data::{DataMessage, LockStep, ReplicatedData};
pub use windowed_channel::{ChannelMessage, WindowedChannel};

use crate::check::Entry;
use crate::{Pid, Value};

/// A message of `.0`.
type Of<M> = (Pid, M);

/// Its cards, in the order of the tour.
pub(super) static ENTRIES: &[Entry] = &[
    Entry::of::<WindowedChannel>(),
    Entry::of::<FlushStore<Value>>(),
    Entry::of::<CoordinatorCohort>(),
    Entry::of::<ReplicatedData>(),
    Entry::of::<RegisteredRead>(),
];
