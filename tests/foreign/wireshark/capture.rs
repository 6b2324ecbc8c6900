//! Captures written by hand, and what tshark says of them with our dissector and nobody's preferences.

use lockstep_wire::DATAGRAM_LEN_MAX;
use std::process::Command;
use tempfile::TempDir;

/// The port that a test tells the dissector; any other is found by the first bytes, or not at all.
pub const CONFIGURED_PORT: u16 = 7700;

/// IPv4 packets without a link layer: tcpdump's `DLT_RAW`.
const LINK_RAW: u32 = 101;

/// One packet, and how much of it was captured.
pub struct Packet {
    bytes: Vec<u8>,
    captured: usize,
}

fn ip(protocol: u8, behind: &[&[u8]]) -> Packet {
    let length = 20 + behind.iter().map(|part| part.len()).sum::<usize>();
    let mut bytes = vec![0x45, 0];
    bytes.extend((length as u16).to_be_bytes());
    // No fragments, and a checksum that nobody verifies.
    bytes.extend([0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    behind.iter().for_each(|part| bytes.extend(*part));
    Packet { captured: bytes.len(), bytes }
}

/// A datagram to this port.
pub fn udp(port: u16, payload: &[u8]) -> Packet {
    assert!(payload.len() <= DATAGRAM_LEN_MAX);
    // Both ports the same: of two registered ones Wireshark would ask the smaller first.
    let words = [port, port, 8 + payload.len() as u16, 0];
    ip(17, &[words.map(u16::to_be_bytes).as_flattened(), payload])
}

/// A segment of the one direction of a connection between these ports: `at` bytes came before it.
pub fn tcp(from: u16, to: u16, at: usize, payload: &[u8]) -> Packet {
    let mut header = [from, to].map(u16::to_be_bytes).as_flattened().to_vec();
    header.extend([1 + at as u32, 1].map(u32::to_be_bytes).as_flattened());
    // Five words of header, PSH and ACK, a window, no checksum.
    header.extend([0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    ip(6, &[&header, payload])
}

impl Packet {
    /// The same with the last `bytes` not captured.
    pub fn without(mut self, bytes: usize) -> Self {
        self.captured -= bytes;
        self
    }
}

fn pcap(packets: &[Packet]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(0xa1b2_c3d4u32.to_le_bytes());
    out.extend([2u16, 4].map(u16::to_le_bytes).as_flattened());
    out.extend([0, 0, 65_535, LINK_RAW].map(u32::to_le_bytes).as_flattened());
    for (index, packet) in packets.iter().enumerate() {
        let words = [index as u32, 0, packet.captured as u32, packet.bytes.len() as u32];
        out.extend(words.map(u32::to_le_bytes).as_flattened());
        out.extend(&packet.bytes[..packet.captured]);
    }
    out
}

/// tshark, if it is there and speaks Lua.
pub struct Tshark {
    dir: TempDir,
}

impl Tshark {
    /// `None` where there is none, which is said.
    pub fn find() -> Option<Self> {
        let Ok(version) = Command::new("tshark").arg("--version").output() else {
            println!("SKIPPED: tshark is not installed");
            return None;
        };
        if !String::from_utf8_lossy(&version.stdout).contains("with Lua") {
            println!("SKIPPED: tshark is built without Lua");
            return None;
        }
        Some(Self { dir: tempfile::tempdir().expect("a temporary directory") })
    }

    /// What it prints of these packets. An error of Lua, wherever it is told, fails the test.
    pub fn says(&self, packets: &[Packet], flags: &[&str]) -> String {
        let file = self.dir.path().join("packets.pcap");
        std::fs::write(&file, pcap(packets)).expect("writing the capture");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/wireshark/lockstep.lua");
        let output = Command::new("tshark")
            .args(["-n", "-X", &format!("lua_script:{script}"), "-r"])
            .arg(&file)
            .args(flags)
            // With a dissector in the user's own folder it would be there twice.
            .env("HOME", self.dir.path())
            .env("WIRESHARK_CONFIG_DIR", self.dir.path())
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("tshark runs");
        let (printed, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "tshark {flags:?}: {errors}");
        for text in [&printed, &errors] {
            let wrong = text.lines().find(|line| {
                // Of Wireshark too: what it calls malformed was read beyond its end.
                ["Lua Error", "lockstep.lua", "lockstep_fields.lua", "lockstep_mac.lua", "Malformed Packet"]
                    .iter()
                    .any(|word| line.contains(word))
            });
            assert_eq!(wrong, None, "tshark {flags:?}");
        }
        printed.into_owned()
    }

    /// Of each packet these fields, each with all its values; ports as [`CONFIGURED_PORT`].
    pub fn fields(&self, packets: &[Packet], fields: &[&str]) -> Vec<Vec<String>> {
        self.fields_with(packets, fields, &[])
    }

    /// The same with more flags.
    pub fn fields_with(&self, packets: &[Packet], fields: &[&str], more: &[&str]) -> Vec<Vec<String>> {
        let options = ["udp", "tcp"].map(|way| format!("lockstep.{way}_ports:{CONFIGURED_PORT}"));
        let mut flags = vec!["-o", &options[0], "-o", &options[1], "-T", "fields"];
        flags.extend(["-E", "separator=/t", "-E", "occurrence=a", "-E", "aggregator=,"]);
        fields.iter().for_each(|field| flags.extend(["-e", field]));
        flags.extend(more);
        let printed = self.says(packets, &flags);
        let rows: Vec<Vec<String>> =
            printed.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
        assert_eq!(rows.len(), packets.len(), "one line a packet");
        rows
    }

    /// The numbers, from 0, of the packets that a display filter finds; ports as [`CONFIGURED_PORT`].
    pub fn found(&self, packets: &[Packet], filter: &str, flags: &[&str]) -> Vec<usize> {
        let options = ["udp", "tcp"].map(|way| format!("lockstep.{way}_ports:{CONFIGURED_PORT}"));
        let mut all =
            vec!["-o", &options[0], "-o", &options[1], "-Y", filter, "-T", "fields", "-e", "frame.number"];
        all.extend(flags);
        let printed = self.says(packets, &all);
        printed.lines().map(|line| line.parse::<usize>().expect("a number") - 1).collect()
    }

    /// Everything that it can say of each packet; ports as [`CONFIGURED_PORT`].
    pub fn details(&self, packets: &[Packet]) -> String {
        let options = ["udp", "tcp"].map(|way| format!("lockstep.{way}_ports:{CONFIGURED_PORT}"));
        self.says(packets, &["-o", &options[0], "-o", &options[1], "-V"])
    }
}
