//! Tags, verified with the keys of key files: what the dissector says of each word is what our code makes
//! of it.

use super::capture::{CONFIGURED_PORT, Packet, Tshark, udp};
use super::samples;
use lockstep_io::key_file::{KeyFile, PUBLISHER_FILE, READER_FILE, REPLICA_FILE};
use lockstep_wire::*;
use std::path::Path;

/// What `lockstep.mac.status` says of a word.
const WRONG: u8 = 0;
const VERIFIED: u8 = 1;
const NO_KEY: u8 = 2;

/// Keys of the samples' cluster, the second generation in use; in a folder, as `lockstep keys new` writes it.
fn keys() -> (tempfile::TempDir, KeyFile) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cluster = samples::header(Kind::Ack).cluster;
    let mut file = KeyFile::draw(cluster).expect("random numbers");
    assert_eq!(file.add_generation().expect("random numbers"), Ok(1));
    file.seal_with(1).expect("the new generation");
    file.write_folder(&folder.path().join("keys")).expect("a folder of keys");
    (folder, file)
}

/// The samples that travel, sealed with these keys.
fn sealed(ring: &Keyring) -> Vec<(String, Vec<u8>)> {
    let whole = |(_, bytes): &(&str, Vec<u8>)| {
        let header = Header::peek(bytes).expect("a sample has a header");
        header.length as usize == bytes.len() && header.kind < Kind::Stage as u8
    };
    let cases = samples::datagrams().into_iter().filter(whole).map(|(name, mut bytes)| {
        let header = Header::peek(&bytes).expect("it was checked");
        ring.seal(&mut bytes, header);
        (name.to_owned(), bytes)
    });
    cases.collect()
}

fn packets(cases: &[(String, Vec<u8>)]) -> Vec<Packet> {
    cases.iter().map(|(_, bytes)| udp(CONFIGURED_PORT, bytes)).collect()
}

/// What it says of the words of each datagram, with the keys at `path`.
fn judged(tshark: &Tshark, packets: &[Packet], path: &Path) -> Vec<Vec<u8>> {
    let option = format!("lockstep.keys:{}", path.display());
    let rows = tshark.fields_with(packets, &["lockstep.mac.status"], &["-o", &option]);
    let numbers = |row: &Vec<String>| {
        let words = row[0].split(',').filter(|word| !word.is_empty());
        words.map(|word| word.parse().expect("a number")).collect()
    };
    rows.iter().map(numbers).collect()
}

#[test]
fn the_dissectors_mac_is_that_of_the_drafts_vector() {
    let Some(tshark) = Tshark::find() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = folder.path().join("vector.lua");
    let text = r#"
        local folder = "FOLDER/tools/wireshark/"
        local bits = dofile(folder .. "lockstep_fields.lua").bits
        local mac = dofile(folder .. "lockstep_mac.lua")(bits[1], bits[2], bits[3])
        local key, nonce = "\x10\x01" .. ("\0"):rep(14), "\x10\x00\x02" .. ("\0"):rep(13)
        local message = {}
        for value = 0, 34 do message[#message + 1] = string.char(value) end
        local tag = mac.mac(mac.initial(key, nonce), table.concat(message))
        print((tag:gsub(".", function(c) return string.format("%02x", c:byte()) end)))
    "#;
    std::fs::write(&script, text.replace("FOLDER", env!("CARGO_MANIFEST_DIR"))).expect("a script");
    let printed = tshark.says(&[], &["-X", &format!("lua_script:{}", script.display())]);
    // draft-irtf-cfrg-aegis-aead, test vectors, AEGISMAC-128L.
    assert_eq!(printed.trim(), "d3f09b2842ad301687d6902c921d7818");
}

#[test]
fn with_keys_each_word_of_a_tag_is_verified_by_whoever_has_its_key() {
    let Some(tshark) = Tshark::find() else { return };
    let (folder, file) = keys();
    let keys = folder.path().join("keys");
    let [replicas, publishers, readers] =
        [REPLICA_FILE, PUBLISHER_FILE, READER_FILE].map(|name| keys.join(name));
    // By class of the sender: the words, as the files of replicas, publishers and readers let them be judged.
    let expected = [
        (KeyClass::Replica, [[VERIFIED, VERIFIED], [NO_KEY, VERIFIED], [NO_KEY, VERIFIED]]),
        (KeyClass::Publisher(0), [[VERIFIED; 2], [VERIFIED; 2], [NO_KEY; 2]]),
        (KeyClass::Reader, [[VERIFIED; 2]; 3]),
    ];
    for (class, expected) in expected {
        let cases = sealed(&file.export(class).ring());
        assert!(cases.len() > 20, "{} samples", cases.len());
        let packets = packets(&cases);
        for (path, expected) in [&replicas, &publishers, &readers].into_iter().zip(expected) {
            for ((name, _), words) in cases.iter().zip(judged(&tshark, &packets, path)) {
                assert_eq!(words, expected, "{name} of a {class:?}, by {}", path.display());
            }
        }
        // A folder has the keys of all its files.
        assert!(judged(&tshark, &packets, &keys).iter().all(|words| *words == [VERIFIED; 2]), "{class:?}");
        let option = format!("lockstep.keys:{}", keys.display());
        let found = tshark.found(&packets, "lockstep.mac.generation == 1", &["-o", &option]);
        assert_eq!(found.len(), cases.len(), "the generation is shown");
        assert_eq!(tshark.found(&packets, "lockstep.reject == \"tag\"", &["-o", &option]), [0; 0]);
    }
}

#[test]
fn a_tag_that_the_keys_did_not_make_is_marked_as_the_decoder_marks_it() {
    let Some(tshark) = Tshark::find() else { return };
    let (folder, file) = keys();
    let keys = folder.path().join("keys");
    let ring = file.ring();
    let mut cases = sealed(&ring);
    for (at, (_, bytes)) in cases.iter_mut().enumerate() {
        // Somewhere in the tag, or behind it where no checksum finds it first.
        let place = if at % 2 == 0 || bytes[5] == Kind::Frame as u8 { 8 + at % 16 } else { 96 + at % 8 };
        bytes[place] ^= 1;
    }
    // A reader that poses as a replica: it has the one key and not the other.
    let reader = file.generations[1].reader;
    let posing = GenerationKeys { replica: Some([6; 16]), reader, publishers: Vec::new() };
    let pretender = Keyring::empty(file.cluster, KeyClass::Replica);
    pretender.add(1, &posing).expect("an empty ring");
    pretender.set_generations(1, 0b10);
    let (wrong, posed) = (cases.len(), sealed(&pretender));
    cases.extend(posed);
    let packets = packets(&cases);
    for (at, words) in judged(&tshark, &packets, &keys).into_iter().enumerate() {
        let (name, bytes) = &cases[at];
        let refused = Datagram::decode(bytes, &ring).err();
        match at < wrong {
            true => assert!(words.contains(&WRONG), "{name}: {words:?}"),
            false => assert_eq!(words, [WRONG, VERIFIED], "{name} of a reader that poses as a replica"),
        }
        assert_eq!(refused, Some(Reject::Tag), "{name}");
    }
    let option = format!("lockstep.keys:{}", keys.display());
    let marked = tshark.found(&packets, "lockstep.invalid && lockstep.tag.status == 0", &["-o", &option]);
    assert_eq!(marked, (0..cases.len()).collect::<Vec<_>>());
    // Keys of another cluster say nothing.
    let other = folder.path().join("other");
    KeyFile::draw(file.cluster + 1).expect("random numbers").write_folder(&other).expect("a folder");
    assert!(judged(&tshark, &packets, &other).iter().all(|words| *words == [NO_KEY; 2]));
    // Nor does what is no key file, and that is said.
    let option = format!("lockstep.keys:{}", folder.path().join("none").display());
    let found = tshark.found(&packets, "lockstep.mac.key contains \"no key file\"", &["-o", &option]);
    assert_eq!(found.len(), cases.len());
}

#[test]
fn the_trailer_of_a_repair_is_verified_under_whichever_generation_sealed_it() {
    let Some(tshark) = Tshark::find() else { return };
    let (folder, mut file) = keys();
    let keys = folder.path().join("keys");
    let (_, mut frame) = sealed(&file.ring()).into_iter().find(|(name, _)| name == "frame").expect("a frame");
    // The repairer seals with another generation than the leader did.
    file.seal_with(0).expect("a generation");
    let me = Identity { replica: 2, incarnation: 9 };
    let trailer = repair_trailer(&file.ring(), (me, 5), Epoch::new(1, me), 7, 11, &frame);
    frame.extend(trailer);
    assert!(Datagram::decode(&frame, &file.ring()).is_ok(), "it is a repair");
    let mut wrong = frame.clone();
    let last = wrong.len() - 20;
    wrong[last] ^= 1;
    let packets = [frame, wrong].map(|bytes| udp(CONFIGURED_PORT, &bytes));
    let words = judged(&tshark, &packets, &keys);
    assert_eq!(words, [vec![VERIFIED; 4], vec![VERIFIED, VERIFIED, WRONG, WRONG]]);
    let option = format!("lockstep.keys:{}", keys.display());
    assert_eq!(tshark.found(&packets, "lockstep.reject == \"tag\"", &["-o", &option]), [1]);
}
