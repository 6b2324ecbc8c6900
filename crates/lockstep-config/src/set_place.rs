//! A stream's place in the set that one file describes.

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
}
