//! # journal

#![forbid(unsafe_code)]
