//! The bytes of each format.

use super::{HISTORY, RowsBefore, Sample, TIME, encode, encoders, path, samples};
use crate::file::capture::{CaptureEncoder, CaptureForm};
use crate::file::csv::{Csv, PayloadText};
use crate::file::encode::EncodeError;
use crate::file::framed::{BinaryFile, LengthPrefixed};
use crate::file::packets::HEADERS_LEN;
use crate::file::parquet::{Parquet, ParquetCompression};
use lockstep_schema::PayloadSchema;
use moldudp64::{Downstream, Session};
use parquet::file::reader::{FileReader, SerializedFileReader};
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::{Block, PcapNgReader};

const NONE: RowsBefore = RowsBefore { all: 0, of_history: 0 };

fn sample(seq: u64, timestamp: u64, payload: &[u8]) -> Sample {
    Sample { history: HISTORY, seq, timestamp, payload: payload.to_vec() }
}

#[test]
fn csv_quotes_what_needs_it_and_escapes_what_is_no_text() {
    let stream = [sample(2, TIME, b"a,\"b\"\r\n"), sample(3, TIME, b"\\\xff\xc3\xa4"), sample(5, TIME, b"")];
    let line = |seq: u64, payload: &str| format!("{seq},{TIME},3,7,{},2147483648,{payload}\r\n", seq * 2);
    let header = "seq,timestamp,epoch,publisher,publisher_seq,destination,payload\r\n";
    let mut encoders = encoders();
    let escaped = encode(&mut *encoders[0].1, &stream, NONE).expect("CSV");
    let expected =
        [header.to_owned(), line(2, "\"a,\"\"b\"\"\\r\\n\""), line(3, "\\\\\\xff\u{e4}"), line(5, "")];
    assert_eq!(String::from_utf8(escaped).expect("text"), expected.concat());
    let hex = encode(&mut *encoders[1].1, &stream, NONE).expect("CSV");
    let expected = [header.to_owned(), line(2, "612c2262220d0a"), line(3, "5cffc3a4"), line(5, "")];
    assert_eq!(String::from_utf8(hex).expect("text"), expected.concat());
}

#[test]
fn csv_and_parquet_have_names_behind_the_payload_where_they_are_asked_for() {
    let stream = [sample(2, TIME, b"one"), sample(3, TIME, b"two")];
    let csv = encode(&mut Csv::new(PayloadText::Escaped, true), &stream, NONE).expect("CSV");
    let csv = String::from_utf8(csv).expect("text");
    assert!(csv.starts_with(
        "seq,timestamp,epoch,publisher,publisher_seq,destination,payload,publisher_name,destination_name\r\n"
    ));
    assert!(csv.ends_with(",two,desk,\r\n"), "{csv}");
    let mut parquet = Parquet::new(None, true, ParquetCompression::Lz4).expect("columns of Parquet");
    let bytes = encode(&mut parquet, &stream, NONE).expect("Parquet");
    let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).expect("a file of Parquet");
    let rows: Vec<_> =
        file.get_row_iter(None).expect("rows").map(|row| row.expect("a row").to_string()).collect();
    assert_eq!(rows.len(), 2);
    assert!(
        rows.iter().all(|row| row.ends_with("publisher_name: \"desk\", destination_name: null}")),
        "{rows:?}"
    );
    let taken = "name = 'x'\n[[message]]\ntype = '1'\nname = 'one'\nfields = [\n\
                 { name = 'publisher_name', offset = 0, length = 2, kind = 'ascii' } ]\n";
    let schema = || Some(PayloadSchema::parse(taken).expect("a schema"));
    assert!(Parquet::new(schema(), false, ParquetCompression::Lz4).is_ok(), "it is a column of the user's");
    let refused = Parquet::new(schema(), true, ParquetCompression::Lz4).err().expect("two columns of a name");
    assert!(refused.to_string().contains("publisher_name"), "{refused}");
}

#[test]
fn parquet_has_each_kind_of_field_of_a_schema_as_a_column_of_its_kind() {
    let schema = PayloadSchema::parse(
        "name = 'x'\nbyte_order = 'little'\n[type]\noffset = 0\nlength = 2\n[[message]]\ntype = 258\nname = 'order'\n\
         fields = [\n{ name = 'is_hidden', offset = 2, length = 1, kind = 'bool' },\n\
         { name = 'side', offset = 3, length = 1, kind = 'enum', values = { buy = 'B', sell = 'S' } },\n\
         { name = 'ratio', offset = 4, length = 8, kind = 'float' },\n\
         { name = 'terms', offset = 12, length = 1, kind = 'set', values = { hidden = 0, ioc = 2 } },\n\
         { name = 'spread', offset = 13, length = 2, kind = 'decimal', decimals = 2 } ]\n",
    );
    let mut parquet = Parquet::new(schema.ok(), false, ParquetCompression::Lz4).expect("columns of Parquet");
    let whole = [&b"\x02\x01\x01S"[..], &1.5f64.to_le_bytes(), &[5, 0x85, 0xff]].concat();
    let stream = [sample(2, TIME, &whole), sample(3, TIME, b"\x02\x01\x02X"), sample(4, TIME, b"?")];
    let bytes = encode(&mut parquet, &stream, NONE).expect("Parquet");
    let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).expect("a file of Parquet");
    let rows: Vec<_> =
        file.get_row_iter(None).expect("rows").map(|row| row.expect("a row").to_string()).collect();
    let ends = [
        "message_type: \"order\", is_hidden: true, side: \"sell\", ratio: 1.5, terms: \"hidden|ioc\", spread: -1.23}",
        "message_type: \"order\", is_hidden: null, side: null, ratio: null, terms: null, spread: null}",
        "message_type: null, is_hidden: null, side: null, ratio: null, terms: null, spread: null}",
    ];
    assert_eq!(rows.len(), ends.len());
    for (row, end) in rows.iter().zip(ends) {
        assert!(row.ends_with(end), "{row}");
    }
}

#[test]
fn parquet_has_a_group_as_json_and_data_as_text_or_bytes() {
    let schema = PayloadSchema::parse(include_str!("../../../../lockstep-schema/tests/it/fills.xml"));
    let mut parquet = Parquet::new(schema.ok(), false, ParquetCompression::None).expect("columns of Parquet");
    let header = [1u16, 302, 7, 2].map(u16::to_le_bytes);
    let basket =
        [header.as_flattened(), b"1\x09\0\0\0\x04\0\x01\0", &0.5f32.to_le_bytes(), b"\x02\0\xff\0\x01a"];
    let bytes = encode(&mut parquet, &[sample(2, TIME, &basket.concat())], NONE).expect("Parquet");
    let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).expect("a file of Parquet");
    let row = file.get_row_iter(None).expect("rows").next().expect("a row").expect("a row").to_string();
    assert!(row.contains("legs: \"[]\"") && row.contains("hedges: \"[{\"ratio\":0.5}]\""), "{row}");
    assert!(row.contains("raw: [255, 0]") && row.contains("remark: \"a\""), "{row}");
}

#[test]
fn length_prefixed_has_four_bytes_little_endian_before_each_payload() {
    let stream = [sample(2, TIME, b"abc"), sample(3, TIME, b"")];
    assert_eq!(encode(&mut LengthPrefixed, &stream, NONE).as_deref(), Ok(&b"\x03\0\0\0abc\0\0\0\0"[..]));
}

#[test]
fn binary_file_has_two_bytes_big_endian_and_ends_with_a_length_of_zero() {
    let stream = [sample(2, TIME, b"abc"), sample(3, TIME, &[7; 258])];
    let bytes = encode(&mut BinaryFile, &stream, NONE).expect("BinaryFILE");
    assert_eq!(bytes, [&b"\0\x03abc\x01\x02"[..], &[7; 258], &[0, 0]].concat());
}

#[test]
fn binary_file_refuses_a_message_that_would_end_it_and_one_that_its_length_does_not_take() {
    let refused = |payload: &[u8]| encode(&mut BinaryFile, &[sample(9, TIME, payload)], NONE);
    assert_eq!(refused(b""), Err(EncodeError::MessageEmpty { seq: 9 }));
    let (len, max) = (65_536, 65_535);
    assert_eq!(refused(&vec![1; len]), Err(EncodeError::MessageLong { seq: 9, len, max }));
    assert!(refused(&vec![1; max]).is_ok());
}

/// Timestamp and frame of each packet, as another reader has them.
fn packets(form: CaptureForm, bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut packets = Vec::new();
    match form {
        CaptureForm::Pcap => {
            let mut reader = PcapReader::new(bytes).expect("a pcap");
            while let Some(packet) = reader.next_packet() {
                let packet = packet.expect("a packet");
                packets.push((packet.timestamp.as_nanos() as u64, packet.data.into_owned()));
            }
        }
        CaptureForm::PcapNg => {
            let mut reader = PcapNgReader::new(bytes).expect("a pcapng");
            while let Some(block) = reader.next_block() {
                if let Block::EnhancedPacket(packet) = block.expect("a block") {
                    packets.push((packet.timestamp.as_nanos() as u64, packet.data.into_owned()));
                }
            }
        }
    }
    packets
}

#[test]
fn captures_have_each_message_once_at_its_time_under_numbers_of_their_own() {
    let stream = samples(30);
    for form in [CaptureForm::Pcap, CaptureForm::PcapNg] {
        let mut capture = CaptureEncoder::new(form, path(), None);
        let bytes =
            encode(&mut capture, &stream, RowsBefore { all: 100, of_history: 40 }).expect("a capture");
        let packets = packets(form, &bytes);
        assert!(packets.len() < stream.len(), "messages of one time share a packet");
        let mut messages = stream.iter();
        let mut next = 41;
        for (timestamp, frame) in &packets {
            let datagram = Downstream::decode(&frame[HEADERS_LEN..]).expect("MoldUDP64");
            let Downstream::Messages(datagram) = datagram else { panic!("{datagram:?}") };
            assert_eq!(datagram.session(), Session::new(b"0123456789").expect("a session"));
            for (number, payload) in datagram {
                let sample = messages.next().expect("a message");
                assert_eq!((number, *timestamp, payload), (next, sample.timestamp, &sample.payload[..]));
                next += 1;
            }
        }
        assert_eq!(messages.next().map(|sample| sample.seq), None);
    }
}

#[test]
fn a_session_that_the_user_names_has_one_series_of_numbers_whatever_the_history() {
    let session = Session::new(b"DAY1").expect("a session");
    let mut capture = CaptureEncoder::new(CaptureForm::Pcap, path(), Some(session));
    let stream = [sample(2, TIME, b"a")];
    let bytes = encode(&mut capture, &stream, RowsBefore { all: 100, of_history: 40 }).expect("a capture");
    let packets = packets(CaptureForm::Pcap, &bytes);
    assert_eq!(packets[0].1[HEADERS_LEN..][..18], *b"DAY1      \0\0\0\0\0\0\0\x65");
}

#[test]
fn a_message_of_more_than_a_datagram_is_refused_and_one_that_fits_has_its_own_packet() {
    let mut capture = CaptureEncoder::new(CaptureForm::Pcap, path(), None);
    let (len, max) = (65_486, 65_485);
    let stream = [sample(9, TIME, &vec![1; len])];
    assert_eq!(encode(&mut capture, &stream, NONE), Err(EncodeError::MessageLong { seq: 9, len, max }));
    let stream = [sample(9, TIME, b"a"), sample(10, TIME, &vec![1; max]), sample(11, TIME, b"b")];
    let bytes = encode(&mut capture, &stream, NONE).expect("a capture");
    assert_eq!(packets(CaptureForm::Pcap, &bytes).len(), 3);
}

#[test]
fn equal_messages_give_equal_bytes_in_every_format() {
    let stream = samples(2_000);
    for ((name, mut first), (_, mut second)) in encoders().into_iter().zip(encoders()) {
        let begun = encode(&mut *second, &stream[..300], NONE).expect("an earlier file");
        let [a, b] =
            [&mut first, &mut second].map(|encoder| encode(&mut **encoder, &stream, NONE).expect(name));
        assert!(a == b, "{name}");
        assert!(begun.len() < a.len());
    }
}
