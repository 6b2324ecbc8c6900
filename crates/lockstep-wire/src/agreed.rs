//! The configuration keys that all processes of a cluster must have alike, packed so small that each status
//! carries them. An operator is then shown the key that differs, with both values.
//!
//! No key is a secret. Values are numbers, addresses of groups, and words.

use super::{packed_address, unpacked_address};
use bytemuck::{Pod, Zeroable};
use std::net::SocketAddrV4;

/// How a value becomes a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AgreedKind {
    /// An address with its port.
    Address,
    /// A number.
    Number,
    /// A word of at most eight letters.
    Word,
}

macro_rules! agreed_keys {
    ($($name:ident $number:literal $path:literal $kind:ident,)*) => {
        /// A key that all files of a cluster must have alike. In its path `*` stands for a line's number, or
        /// the id of a replica or an archiver.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u16)]
        pub enum AgreedKey { $(#[doc = $path] $name = $number,)* }

        impl AgreedKey {
            /// All keys.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The key's path, as the reference of the configuration has it.
            pub fn path(self) -> &'static str {
                match self { $(Self::$name => $path,)* }
            }

            fn kind(self) -> AgreedKind {
                match self { $(Self::$name => AgreedKind::$kind,)* }
            }
        }
    };
}

agreed_keys! {
    LineSubmit 1 "lines.*.submit" Address,
    LineData 2 "lines.*.data" Address,
    LineControl 3 "lines.*.control" Address,
    LineMtu 4 "lines.*.mtu" Number,
    LineTransport 5 "lines.*.transport" Word,
    SecurityMode 6 "security.mode" Word,
    ReplicaTransport 7 "replicas.*.transport" Word,
    ArchiverTransport 8 "archivers.*.transport" Word,
}

/// The word of a transport by groups: `udp` and `xdp` may differ between nodes.
const BY_GROUPS: &str = "groups";

impl AgreedKey {
    fn from_u16(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| *known as u16 == number)
    }

    fn is_transport(self) -> bool {
        matches!(self, Self::LineTransport | Self::ReplicaTransport | Self::ArchiverTransport)
    }
}

/// A key with the value that a process has for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct AgreedRow {
    /// An [`AgreedKey`].
    key: u16,
    /// The number of the line, replica or archiver; 0 of a key that exists once.
    item: u16,
    /// The value's lower half, and its upper one.
    value: [u32; 2],
}

const _: () = assert!(size_of::<AgreedRow>() == 12);

impl AgreedRow {
    /// The row of a key such as `lines.1.control`, with its value as the file spells it; `None` for a key
    /// that may differ between files.
    pub fn new(path: &str, value: &str) -> Option<Self> {
        let mut parts = path.splitn(3, '.');
        let (table, middle, last) = (parts.next()?, parts.next()?, parts.next());
        let item: u16 = match last {
            Some(_) => middle.parse().ok()?,
            None => 0,
        };
        let spelled = last.map_or_else(|| path.to_owned(), |name| format!("{table}.*.{name}"));
        let key = AgreedKey::ALL.iter().copied().find(|known| known.path() == spelled)?;
        let number = match key.kind() {
            AgreedKind::Address => packed_address(value.parse::<SocketAddrV4>().ok()?),
            AgreedKind::Number => value.parse().ok()?,
            AgreedKind::Word if key.is_transport() && matches!(value, "udp" | "xdp") => word(BY_GROUPS)?,
            AgreedKind::Word => word(value)?,
        };
        Some(Self { key: key as u16, item, value: [number as u32, (number >> 32) as u32] })
    }

    /// Key and item as one number, which a condition carries.
    pub fn place(&self) -> u32 {
        u32::from(self.key) << 16 | u32::from(self.item)
    }

    /// The value as a number.
    pub fn number(&self) -> u64 {
        u64::from(self.value[1]) << 32 | u64::from(self.value[0])
    }

    /// The row that a condition's two numbers describe.
    pub fn of_numbers(place: u64, number: u64) -> Self {
        let value = [number as u32, (number >> 32) as u32];
        Self { key: (place >> 16) as u16, item: place as u16, value }
    }

    /// The key's path, such as `lines.1.control`; `None` for a key of a later release.
    pub fn path(&self) -> Option<String> {
        let path = AgreedKey::from_u16(self.key)?.path();
        Some(path.replace('*', &self.item.to_string()))
    }

    /// The value of a key that is an address.
    pub fn address(&self) -> Option<SocketAddrV4> {
        let is_address = AgreedKey::from_u16(self.key)?.kind() == AgreedKind::Address;
        is_address.then(|| unpacked_address(self.number()))
    }

    /// The value as the file spells it.
    pub fn text(&self) -> String {
        let number = self.number();
        let kind = AgreedKey::from_u16(self.key).map_or(AgreedKind::Number, AgreedKey::kind);
        match kind {
            AgreedKind::Address => unpacked_address(number).to_string(),
            AgreedKind::Number => number.to_string(),
            AgreedKind::Word => {
                let bytes = number.to_le_bytes();
                let letters = bytes.iter().take_while(|byte| byte.is_ascii_lowercase());
                match letters.map(|byte| char::from(*byte)).collect::<String>() {
                    groups if groups == BY_GROUPS => "udp or xdp".to_owned(),
                    text => text,
                }
            }
        }
    }
}

/// A word as a number: its letters in eight bytes.
fn word(text: &str) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
    Some(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_read_as_it_was_written() {
        let rows = [
            ("lines.1.control", "239.77.1.4:7700", "239.77.1.4:7700"),
            ("lines.2.mtu", "9000", "9000"),
            ("lines.1.transport", "unicast", "unicast"),
            ("lines.1.transport", "auto", "auto"),
            ("lines.1.transport", "xdp", "udp or xdp"),
            ("replicas.255.transport", "udp", "udp or xdp"),
            ("security.mode", "keys", "keys"),
        ];
        for (path, value, text) in rows {
            let row = AgreedRow::new(path, value).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((row.path().as_deref(), row.text().as_str()), (Some(path), text));
            assert_eq!(AgreedRow::of_numbers(row.place().into(), row.number()), row);
        }
        let (udp, xdp) = ("lines.1.transport", "lines.1.transport");
        assert_eq!(AgreedRow::new(udp, "udp"), AgreedRow::new(xdp, "xdp"), "these may differ");
    }

    #[test]
    fn keys_that_may_differ_and_those_of_a_later_release_have_no_row_and_no_name() {
        for (path, value) in [("lines.1.ttl", "1"), ("log.level", "debug"), ("cluster", "7")] {
            assert_eq!(AgreedRow::new(path, value), None, "{path}");
        }
        assert_eq!(AgreedRow::new("lines.1.mtu", "many"), None);
        assert_eq!(AgreedRow::of_numbers(99 << 16, 7).path(), None);
    }
}
