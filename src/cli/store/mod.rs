//! Journals and backups.

pub mod backup;
pub mod journal;
pub mod recover;
pub mod restore;
