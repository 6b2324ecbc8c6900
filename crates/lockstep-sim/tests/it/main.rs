//! The judge over what it judges, at length.

#![allow(clippy::disallowed_methods, reason = "a judge says what it took")]

mod proof;
