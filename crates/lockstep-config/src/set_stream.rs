//! A stream of the set that one file describes.

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
