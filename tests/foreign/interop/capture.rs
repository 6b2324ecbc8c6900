//! A capture on the loopback interface, and how tshark's own dissectors read it.

use lockstep_process::child::ChildGuard;
use lockstep_testkit::processes::{is_root, run};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Header of a pcap file: what is longer has a packet.
const HEADER_LEN: u64 = 24;
const PATIENCE: Duration = Duration::from_secs(20);
/// A file that has not grown for so long has all that was sent.
const QUIET: Duration = Duration::from_secs(1);

/// A capture that runs.
pub struct Capture {
    dumpcap: ChildGuard,
    captured: Captured,
}

/// One that is over.
pub struct Captured {
    file: PathBuf,
    /// What tshark is to read on which port: `tcp.port==9000,soupbintcp`.
    dissectors: Vec<String>,
}

fn len(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |metadata| metadata.len())
}

impl Capture {
    /// Captures what these ports (of `tcp` or `udp`) of the loopback interface say, to be read by this
    /// dissector; `None` where that cannot be, which is said.
    pub fn start(file: &Path, transport: &str, dissector: &str, ports: &[u16]) -> Option<Self> {
        let skip = |why: &str| println!("SKIPPED: a capture on the loopback interface needs {why}");
        if !is_root() {
            skip("root");
            return None;
        }
        if Command::new("tshark").arg("--version").output().is_err() {
            skip("tshark");
            return None;
        }
        // What shows that it runs goes from nobody to nobody.
        let sign = UdpSocket::bind("127.0.0.1:0").expect("a socket on loopback");
        let sign = (sign.local_addr().expect("a bound socket"), sign);
        let wanted = ports.iter().map(|port| format!("{transport} port {port}"));
        let filter: Vec<_> = wanted.chain([format!("udp port {}", sign.0.port())]).collect();
        let mut command = Command::new("dumpcap");
        command.args(["-q", "-P", "-i", "lo", "-f", &filter.join(" or "), "-w"]).arg(file);
        let Ok(dumpcap) = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
        else {
            skip("dumpcap");
            return None;
        };
        let dissectors = ports.iter().map(|port| format!("{transport}.port=={port},{dissector}")).collect();
        let mut capture =
            Self { dumpcap: dumpcap.into(), captured: Captured { file: file.to_owned(), dissectors } };
        let began = Instant::now();
        while len(file) <= HEADER_LEN {
            if capture.dumpcap.try_wait().is_ok_and(|ended| ended.is_some()) || began.elapsed() > PATIENCE {
                skip("the right to capture");
                return None;
            }
            let _ = sign.1.send_to(b"", sign.0); // the next one may leave
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(capture)
    }

    /// Waits until nothing more comes, and ends it.
    pub fn stop(mut self) -> Captured {
        let began = Instant::now();
        let (mut seen, mut since) = (0, Instant::now());
        while since.elapsed() < QUIET {
            assert!(began.elapsed() < PATIENCE, "somebody still talks");
            std::thread::sleep(Duration::from_millis(50));
            if len(&self.captured.file) != seen {
                (seen, since) = (len(&self.captured.file), Instant::now());
            }
        }
        // It writes what it has; no packet is on its way.
        let stopped = Command::new("kill").args(["-s", "INT", &self.dumpcap.id().to_string()]).status();
        assert!(stopped.is_ok_and(|status| status.success()));
        self.dumpcap.wait().expect("a child");
        self.captured
    }
}

impl Captured {
    /// What tshark says with these arguments.
    pub fn tshark(&self, args: &[&str]) -> String {
        let mut command = Command::new("tshark");
        // Nobody's preferences, and no names asked for.
        command.env("HOME", "/nonexistent").args(["-n", "-r"]).arg(&self.file);
        for dissector in &self.dissectors {
            command.args(["-d", dissector]);
        }
        command.args(args);
        run(command, b"").with_code(0).out
    }

    /// Packets that tshark holds for malformed or cannot read, or in which it finds `also`, but for `bears`.
    pub fn wrong(&self, also: &str, bears: &str) -> String {
        let severe = "_ws.expert.group == \"Malformed\" || _ws.expert.severity == \"Error\"";
        let wrong = format!("_ws.malformed || _ws.unreassembled || {severe}");
        let wrong = if also.is_empty() { wrong } else { format!("{wrong} || {also}") };
        let wrong = if bears.is_empty() { wrong } else { format!("({wrong}) && !{bears}") };
        self.tshark(&["-Y", &wrong])
    }
}
