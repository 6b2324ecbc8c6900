//! A stream's place in the set that one file describes.

use super::tables::CoordinatorConfig;

/// One stream of a set.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SetStream {
    /// Its name; no other stream of the set has it.
    pub name: String,
    /// Its cluster's number, which no other stream of the set has.
    pub cluster: u64,
    /// The replica that leads first, where one is named.
    pub leader: Option<u32>,
}

/// Which stream of which set a configuration describes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SetPlace {
    /// The place of this stream in `streams`.
    pub index: usize,
    /// All streams of the set in the order of the file. The first one is the home stream.
    pub streams: Vec<SetStream>,
    /// Least time between two cuts of the home stream.
    pub cut_interval_ns: u64,
    /// The coordinators of the set, in the order of the file.
    pub coordinators: Vec<CoordinatorConfig>,
}

impl SetPlace {
    /// The stream that the configuration describes.
    pub fn stream(&self) -> &SetStream {
        &self.streams[self.index]
    }

    /// The stream that carries what relates the streams of the set to each other.
    pub fn home(&self) -> &SetStream {
        &self.streams[0]
    }

    /// The coordinator with this number.
    pub fn coordinator(&self, id: u32) -> Option<&CoordinatorConfig> {
        self.coordinators.iter().find(|coordinator| coordinator.id == id)
    }

    /// The name under which a coordinator publishes cuts into the home stream. The set has the number of its
    /// home stream's cluster.
    pub fn cut_name(&self, id: u32) -> String {
        format!("{}/cut-{id}", self.name_prefix())
    }

    /// The name under which operators publish the list of the set's streams into the home stream.
    pub fn list_name(&self) -> String {
        format!("{}/list", self.name_prefix())
    }

    fn name_prefix(&self) -> String {
        format!("lockstep/set/{}", self.home().cluster)
    }
}
