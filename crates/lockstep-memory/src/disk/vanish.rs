//! Files that vanish: somebody has removed them.

use super::{Change, SimDisk};
use lockstep_replica::journal::ports::FileName;

impl SimDisk {
    /// A file is gone for good, as if somebody had removed it, and the device knows.
    pub fn lose(&mut self, file: FileName) {
        self.names.remove(&file);
        self.device_names.remove(&file);
        let is_of = |change: &Change| match change {
            Change::Named(named, _) | Change::Renamed(_, named, _) | Change::Removed(named) => *named == file,
        };
        self.changes.retain(|change| !is_of(change));
        self.forget_unnamed();
    }
}
