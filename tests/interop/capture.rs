//! A capture on the loopback interface, and what tshark's own dissector of SoupBinTCP reads in it.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tools::processes::{is_root, run};

/// Header of a pcap file: what is longer has a packet.
const HEADER_LEN: u64 = 24;
const PATIENCE: Duration = Duration::from_secs(20);
/// A file that has not grown for so long has all that was sent.
const QUIET: Duration = Duration::from_secs(1);

/// A capture that runs.
pub struct Capture {
    dumpcap: Child,
    file: PathBuf,
    ports: Vec<u16>,
}

/// What tshark read: a row for each segment that has packets.
pub struct Told {
    rows: Vec<Row>,
    ports: Vec<u16>,
    /// Segments that tshark holds for malformed, or cannot read.
    wrong: String,
}

struct Row {
    /// The client's port. `tcp.stream` will not do: this dissector begins another one behind each login.
    stream: u16,
    from_gateway: bool,
    kinds: String,
    numbers: Vec<u64>,
    next: Option<u64>,
}

fn len(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |metadata| metadata.len())
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.dumpcap.kill(); // it may have ended
        let _ = self.dumpcap.wait();
    }
}

impl Capture {
    /// Captures what these ports of the loopback interface say; `None` where that cannot be, which is said.
    pub fn start(file: &Path, ports: &[u16]) -> Option<Self> {
        let skip = |why: &str| println!("SKIPPED: a capture on the loopback interface needs {why}");
        if !is_root() {
            skip("root");
            return None;
        }
        if Command::new("tshark").arg("--version").output().is_err() {
            skip("tshark");
            return None;
        }
        let filter: Vec<_> = ports.iter().map(|port| format!("tcp port {port}")).collect();
        let mut command = Command::new("dumpcap");
        command.args(["-q", "-P", "-i", "lo", "-f", &filter.join(" or "), "-w"]).arg(file);
        let Ok(dumpcap) = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
        else {
            skip("dumpcap");
            return None;
        };
        let mut capture = Self { dumpcap, file: file.to_owned(), ports: ports.to_vec() };
        let began = Instant::now();
        // It runs once a connection of ours is seen.
        while len(file) <= HEADER_LEN {
            if capture.dumpcap.try_wait().is_ok_and(|ended| ended.is_some()) || began.elapsed() > PATIENCE {
                skip("the right to capture");
                return None;
            }
            drop(TcpStream::connect(("127.0.0.1", ports[0])));
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(capture)
    }

    /// Waits until nothing more comes, and reads it.
    pub fn stop(mut self) -> Told {
        let began = Instant::now();
        let (mut seen, mut since) = (0, Instant::now());
        while since.elapsed() < QUIET {
            assert!(began.elapsed() < PATIENCE, "somebody still talks");
            std::thread::sleep(Duration::from_millis(50));
            if len(&self.file) != seen {
                (seen, since) = (len(&self.file), Instant::now());
            }
        }
        // It writes what it has; no packet is on its way.
        let stopped = Command::new("kill").args(["-s", "INT", &self.dumpcap.id().to_string()]).status();
        assert!(stopped.is_ok_and(|status| status.success()));
        self.dumpcap.wait().unwrap();
        // The fields of numbers hold an X for each: only the text for humans has them.
        let text = self.tshark(&["-Y", "soupbintcp", "-O", "soupbintcp"]);
        let severe = "_ws.expert.group == \"Malformed\" || _ws.expert.severity == \"Error\"";
        // How a client pads the number in its login is its own affair; gateways send no such packet.
        let pads = "soupbintcp.req_seq_num.invalid";
        let wrong = format!("(_ws.malformed || _ws.unreassembled || {severe}) && !{pads}");
        let wrong = self.tshark(&["-Y", &wrong]);
        Told { rows: rows(&text, &self.ports), ports: self.ports.clone(), wrong }
    }

    fn tshark(&self, args: &[&str]) -> String {
        let mut command = Command::new("tshark");
        // Nobody's preferences, and no names asked for.
        command.env("HOME", "/nonexistent").args(["-n", "-r"]).arg(&self.file);
        for port in &self.ports {
            command.args(["-d", &format!("tcp.port=={port},soupbintcp")]);
        }
        command.args(args);
        run(command, b"").with_code(0).out
    }
}

/// A row for each segment of tshark's text.
fn rows(text: &str, ports: &[u16]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let number = |text: &str| text.split_whitespace().next()?.parse().ok();
    for line in text.lines().map(str::trim) {
        if let Some(tcp) = line.strip_prefix("Transmission Control Protocol, ") {
            let mut ends = tcp.split(", ").filter_map(|part| part.split_once(" Port: ")?.1.parse().ok());
            let (from, to): (u16, u16) = ends.next().zip(ends.next()).expect("two ports");
            let from_gateway = ports.contains(&from);
            let stream = if from_gateway { to } else { from };
            rows.push(Row { stream, from_gateway, kinds: String::new(), numbers: vec![], next: None });
        }
        let (Some(row), Some((what, value))) = (rows.last_mut(), line.split_once(": ")) else { continue };
        match what {
            "Packet Type" => {
                row.kinds.extend(value.split_once("('").and_then(|(_, rest)| rest.chars().next()))
            }
            "Sequence number" => row.numbers.extend(number(value)),
            "Next sequence number" => row.next = number(value),
            _ => {}
        }
    }
    rows
}

impl Told {
    /// Holds that tshark has read every byte, and found nothing wrong.
    pub fn assert_sound(&self) {
        assert!(self.wrong.is_empty(), "malformed:\n{}", self.wrong);
        assert!(!self.rows.is_empty(), "no packet to or from {:?}", self.ports);
    }

    /// Connections in the order of their beginnings.
    pub fn streams(&self) -> Vec<u16> {
        let logins = self.rows.iter().filter(|row| row.kinds.starts_with('L'));
        logins.map(|row| row.stream).collect()
    }

    fn of(&self, stream: u16) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.stream == stream)
    }

    /// The letters of one side's packets.
    pub fn kinds(&self, stream: u16, from_gateway: bool) -> String {
        let rows = self.of(stream).filter(|row| row.from_gateway == from_gateway);
        rows.map(|row| row.kinds.as_str()).collect()
    }

    /// The number with which the login was accepted, and those that tshark counts from there on.
    pub fn numbers(&self, stream: u16) -> (u64, Vec<u64>) {
        let next = self.of(stream).find_map(|row| row.next).expect("a login that was accepted");
        (next, self.of(stream).flat_map(|row| row.numbers.iter().copied()).collect())
    }
}
