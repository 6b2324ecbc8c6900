//! pcap and pcapng: the messages as MoldUDP64 packets, at the times at which they were stamped.
//!
//! MoldUDP64 numbers messages without holes, and the stream's seqs have some (control entries). So the
//! numbers are of their own: message 1 of a session is the first one of the folder, and the numbers go on
//! from file to file. Without a name of the user's a history is a session.

use super::encode::{EncodeError, EncodedBytes, FileEncoder, refused};
use super::manifest::RowsBefore;
use super::packets::{HEADERS_LEN, PacketPath};
use crate::record::StreamRecord;
use moldudp64::packer::{DATAGRAM_LEN, DATAGRAM_LEN_MAX};
use moldudp64::packet::{BLOCK_HEADER_LEN, HEADER_LEN};
use moldudp64::{PackError, Packer, Push, Session};
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness, PcapError, TsResolution};
use std::time::Duration;

/// The longest packet that readers take of Ethernet.
const SNAP_LEN: u32 = 262_144;
/// `if_tsresol`: 10^-9 seconds.
const NANOSECONDS: u8 = 9;

/// Which of the two formats.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CaptureForm {
    Pcap,
    PcapNg,
}

/// The file that is written.
enum CaptureWriter {
    Pcap(PcapWriter<EncodedBytes>),
    PcapNg(PcapNgWriter<EncodedBytes>),
}

impl CaptureWriter {
    fn new(form: CaptureForm, out: EncodedBytes) -> Result<Self, PcapError> {
        match form {
            CaptureForm::Pcap => {
                let header = PcapHeader {
                    snaplen: SNAP_LEN,
                    datalink: DataLink::ETHERNET,
                    ts_resolution: TsResolution::NanoSecond,
                    endianness: Endianness::Little,
                    ..PcapHeader::default()
                };
                PcapWriter::with_header(out, header).map(Self::Pcap)
            }
            CaptureForm::PcapNg => {
                let section = SectionHeaderBlock {
                    endianness: Endianness::Little,
                    options: vec![SectionHeaderOption::UserApplication("lockstep bridge file".into())],
                    ..SectionHeaderBlock::default()
                };
                let mut interface = InterfaceDescriptionBlock::new(DataLink::ETHERNET, SNAP_LEN);
                interface.options.push(InterfaceDescriptionOption::IfTsResol(NANOSECONDS));
                let mut writer = PcapNgWriter::with_section_header(out, section)?;
                writer.write_pcapng_block(interface)?;
                Ok(Self::PcapNg(writer))
            }
        }
    }

    fn write(&mut self, timestamp: u64, frame: &[u8]) -> Result<(), PcapError> {
        let (timestamp, len) = (Duration::from_nanos(timestamp), frame.len() as u32);
        match self {
            Self::Pcap(writer) => writer.write_packet(&PcapPacket::new(timestamp, len, frame))?,
            Self::PcapNg(writer) => writer.write_pcapng_block(EnhancedPacketBlock {
                interface_id: 0,
                timestamp,
                original_len: len,
                data: frame.into(),
                options: Vec::new(),
            })?,
        };
        Ok(())
    }
}

/// Writes captures. Messages of one timestamp share a packet, as far as it takes them; a longer message has a
/// packet of its own.
pub struct CaptureEncoder {
    form: CaptureForm,
    path: PacketPath,
    /// None until the first record, if it is named after the history.
    session: Option<Session>,
    packer: Option<Packer>,
    writer: Option<CaptureWriter>,
    /// The number of the next message.
    number: u64,
    /// Of the packet that is open: its timestamp, its bytes, and the seq of its last message.
    timestamp: u64,
    len: usize,
    seq: u64,
    frame: Vec<u8>,
}

impl CaptureEncoder {
    /// Without a session the packets have the first ten digits of the history.
    pub fn new(form: CaptureForm, path: PacketPath, session: Option<Session>) -> Self {
        Self {
            form,
            path,
            session,
            packer: None,
            writer: None,
            number: 0,
            timestamp: 0,
            len: 0,
            seq: 0,
            frame: Vec::new(),
        }
    }

    /// Writes the packet that is open, if any.
    fn flush(&mut self) -> Result<(), EncodeError> {
        let (Some(packer), Some(writer)) = (&mut self.packer, &mut self.writer) else { return Ok(()) };
        let Some(datagram) = packer.flush() else { return Ok(()) };
        self.path.frame(datagram, &mut self.frame);
        self.len = 0;
        writer.write(self.timestamp, &self.frame).map_err(|error| refused(self.seq, error))
    }

    /// Adds the message to the packet that is open; whether it took it.
    fn push(&mut self, record: &StreamRecord<'_>) -> Result<bool, EncodeError> {
        let Some(packer) = &mut self.packer else { return Ok(false) };
        let pushed = packer.push(self.number, record.payload).map_err(|error| match error {
            PackError::MessageLong { len, max } => EncodeError::MessageLong { seq: record.seq, len, max },
            error => refused(record.seq, error),
        })?;
        Ok(pushed == Push::Taken)
    }
}

impl FileEncoder for CaptureEncoder {
    fn begin(
        &mut self,
        first: &StreamRecord<'_>,
        before: RowsBefore,
        out: &EncodedBytes,
    ) -> Result<(), EncodeError> {
        let seq = first.seq;
        let (session, rows_before) = match self.session {
            Some(session) => (session, before.all),
            None => {
                let digits = format!("{:016x}", first.history);
                let session = Session::new(&digits.as_bytes()[..Session::LEN]);
                (session.map_err(|error| refused(seq, error))?, before.of_history)
            }
        };
        let packer = Packer::new(session, DATAGRAM_LEN_MAX).map_err(|error| refused(seq, error))?;
        self.packer = Some(packer);
        self.number = rows_before + 1;
        let writer = CaptureWriter::new(self.form, out.clone());
        self.writer = Some(writer.map_err(|error| refused(seq, error))?);
        self.len = 0;
        Ok(())
    }

    fn append(&mut self, record: &StreamRecord<'_>, _: &EncodedBytes) -> Result<u64, EncodeError> {
        let block_len = BLOCK_HEADER_LEN + record.payload.len();
        let fits = self.len + block_len <= DATAGRAM_LEN && self.timestamp == record.timestamp;
        if self.len > 0 && !fits {
            self.flush()?;
        }
        if !self.push(record)? {
            // A full packet: more messages than its count can say.
            self.flush()?;
            self.push(record)?;
        }
        let headers_len = if self.len == 0 { HEADER_LEN } else { 0 };
        self.len += headers_len + block_len;
        (self.timestamp, self.seq) = (record.timestamp, record.seq);
        self.number += 1;
        let packet_len = if headers_len == 0 { 0 } else { HEADERS_LEN + headers_len };
        Ok((packet_len + block_len) as u64)
    }

    fn end(&mut self, _: &EncodedBytes) -> Result<(), EncodeError> {
        self.flush()?;
        (self.writer, self.packer) = (None, None);
        Ok(())
    }
}
