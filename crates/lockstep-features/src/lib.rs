//! Nothing: the manifest is the content.

#![forbid(unsafe_code)]
