//! 64 bits as hexadecimal text in JSON, whose own numbers are not exact: for serde's `with`.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

pub fn serialize<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&format!("{value:016x}"))
}

pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    u64::from_str_radix(&text, 16).map_err(|error| D::Error::custom(format!("{text}: {error}")))
}
