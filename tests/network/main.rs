//! Clusters on networks of namespaces, whose paths are cut and whose cards are shared. They need root.

mod namespaces;
