//! The sender that sealed a unicast datagram with another generation of keys than we, for the process.

use lockstep_wire::{Header, Keyring, OlderKeysNumber};
use std::net::SocketAddrV4;

/// The last one, until it is taken.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct NotedKey(Option<OlderKeysNumber>);

impl NotedKey {
    /// Notes the sender of a datagram whose tag was right.
    #[inline]
    pub(super) fn note(&mut self, keys: &Keyring, bytes: &[u8], from: SocketAddrV4) {
        let Some(key_id) = Header::look(bytes).map(|header| header.key_id) else { return };
        if keys.is_other(key_id) {
            self.0 = Some(OlderKeysNumber { key_id, at: Some(from) });
        }
    }

    /// The last one since this was asked.
    pub fn take(&mut self) -> Option<OlderKeysNumber> {
        self.0.take()
    }
}
