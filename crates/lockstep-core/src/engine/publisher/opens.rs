//! How a publisher asks for the ids of its names, opens them, and asks again.

use super::PublisherCore;
use super::lines::NameState;
use super::unicast_probe::submit;
use crate::engine::ports::{Burst, Net};
use lockstep_wire::{
    EntryHeader, EntryKind, Header, Kind, NAME_LEN_MAX, Nanos, OpenFrame, QueryKind, Wall, write_open,
    write_query,
};

/// Opens sent before the name is looked up anew.
const OPENS_MAX: u32 = 3;

impl PublisherCore {
    /// Asks for ids, opens, and asks again.
    pub(super) fn drive_opens(&mut self, net: &mut impl Net, scratch: &mut [u8], now: Nanos, wall: Wall) {
        for index in 0..self.lines.list.len() {
            match self.lines.list[index].state {
                NameState::Querying { asked_at, tries }
                    if tries == 0 || now >= asked_at + self.limits.query_retry_ns =>
                {
                    let repairers = &self.limits.receiver.repairers;
                    // Always another one: a replica that is cut off continues to report an old state.
                    let asked = repairers.get(self.asked % repairers.len().max(1));
                    let Some(to) = asked.map(|repairer| repairer.address) else { continue };
                    self.asked += 1;
                    self.number += 1;
                    let header = Header { number: self.number, ..self.header(Kind::Query, wall) };
                    let line = &mut self.lines.list[index];
                    let length = write_query(
                        scratch,
                        &self.limits.receiver.keys,
                        header,
                        index as u64 + 1,
                        QueryKind::Publisher,
                        &line.name,
                    );
                    line.state = NameState::Querying { asked_at: now, tries: tries + 1 };
                    net.send_unicast(to, [&scratch[..length], &[]]);
                }
                NameState::Opening { tries, sent_at, .. }
                    if tries >= OPENS_MAX && now >= sent_at + self.limits.query_retry_ns =>
                {
                    self.lines.list[index].state = NameState::Querying { asked_at: 0, tries: 0 };
                }
                NameState::Opening { after, sent_at, tries }
                    if tries == 0 || now >= sent_at + self.limits.query_retry_ns =>
                {
                    let length = self.write_open_datagram(scratch, index, after, wall);
                    self.lines.list[index].state =
                        NameState::Opening { after, sent_at: now, tries: tries + 1 };
                    let bytes = &scratch[..length];
                    submit(net, self.leader_at, &[Burst { bytes, stride: length }]);
                }
                _ => {}
            }
        }
    }

    fn write_open_datagram(&mut self, out: &mut [u8], index: usize, after: u32, wall: Wall) -> usize {
        let line = &self.lines.list[index];
        let mut payload = [0; 24 + NAME_LEN_MAX];
        let length = write_open(&mut payload, line.nonce, after, &line.name);
        let entry = EntryHeader {
            kind: EntryKind::Open as u8,
            flags: 0,
            length: 0,
            publisher: 0,
            publisher_seq: 0,
            destination: 0,
            time_or_incarnation: 0,
        };
        let mut open = OpenFrame::default();
        let written = open.push(out, entry, &payload[..length]);
        assert!(written, "an open of {length} bytes fits any datagram");
        self.number += 1;
        let header = Header { number: self.number, ..self.header(Kind::Submission, wall) };
        let length = open.len();
        open.close(out, &self.limits.receiver.keys, header, length);
        length
    }
}
