//! # stages: where a leader's instructions go
//!
//! Callgrind counts each instruction of a leader's turn by its address, and the line tables of the build
//! tell in which function an address lies, and into which others that one was inlined (`addr2line -i`).
//! The innermost function that belongs to a stage has the instruction:
//!
//! ```text
//!   receive view   a datagram's header and entries, looked at where they lie; the device's lending
//!   ingress        whose message it is, whether it is the next, whether there is room
//!   stamp          its entry written into the open frame, and the frame closed
//!   journal        the frame kept at the end of the tail, published to the side thread
//!   checksum       CRC-32C of what came and of what goes, and the chain
//!   send           bursts handed to the device
//!   turn           all the rest: timers, commit, beats, counters
//! ```
//!
//! What was called in libc (copies) is counted where it was called.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// A part of a leader's turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stage {
    /// A datagram's header and entries, looked at where they lie.
    ReceiveView,
    /// The publisher of the message, and whether there is room.
    Ingress,
    /// Its entry written into the open frame.
    Stamp,
    /// The frame kept at the end of the tail.
    Journal,
    /// Digests of what came and of what goes.
    Checksum,
    /// Bursts handed to the device.
    Send,
    /// All the rest.
    Turn,
}

impl Stage {
    /// All, in the order of a message's way.
    pub const ALL: [Self; 7] = [
        Self::ReceiveView,
        Self::Ingress,
        Self::Stamp,
        Self::Journal,
        Self::Checksum,
        Self::Send,
        Self::Turn,
    ];

    /// As tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReceiveView => "receive view",
            Self::Ingress => "ingress",
            Self::Stamp => "stamp",
            Self::Journal => "journal",
            Self::Checksum => "checksum",
            Self::Send => "send",
            Self::Turn => "turn",
        }
    }
}

/// Whose a function is: the end of a part of its file's path, functions in there (none: all), the stage. The
/// first one that fits counts.
const RULES: &[(&str, &[&str], Stage)] = &[
    ("/crc32c-", &[], Stage::Checksum),
    ("crates/lockstep-io/src/crc", &[], Stage::Checksum),
    ("crates/lockstep-wire/src/crc", &[], Stage::Checksum),
    ("crates/lockstep-wire/src/header.rs", &["seal", "checksum"], Stage::Checksum),
    ("crates/lockstep-wire/src/entry.rs", &["entry_digest"], Stage::Checksum),
    ("crates/lockstep-wire/src/frame.rs", &["chain_after"], Stage::Checksum),
    ("crates/lockstep-wire/src/frame.rs", &["push", "claim", "close", "fits"], Stage::Stamp),
    ("crates/lockstep-wire/src/entry.rs", &["claim_entry", "write_entry"], Stage::Stamp),
    ("crates/lockstep-wire/src/", &[], Stage::ReceiveView),
    ("crates/lockstep-core/src/proto/publishers", &[], Stage::Ingress),
    ("crates/lockstep-core/src/proto/ingress", &[], Stage::Ingress),
    ("crates/lockstep-core/src/proto/window.rs", &["credit", "half"], Stage::Ingress),
    ("crates/lockstep-replica/src/replica/ingress.rs", &[], Stage::Ingress),
    ("crates/lockstep-core/src/proto/sequence.rs", &[], Stage::Stamp),
    ("crates/lockstep-replica/src/journal/", &[], Stage::Journal),
    ("crates/lockstep-node/src/io/tail.rs", &[], Stage::Journal),
    ("bench/instructions/src/desk.rs", &["send_group", "send_unicast"], Stage::Send),
    ("bench/instructions/src/desk.rs", &[], Stage::ReceiveView),
    (
        "crates/lockstep-replica/src/replica/leading.rs",
        &["on_leader_datagram", "check_submitter"],
        Stage::ReceiveView,
    ),
    ("crates/lockstep-replica/src/replica/stamping.rs", &["on_submission"], Stage::ReceiveView),
    ("crates/lockstep-replica/src/replica/stamping.rs", &["stamp_run", "submit"], Stage::Ingress),
    (
        "crates/lockstep-replica/src/replica/stamping.rs",
        &["stamp", "write", "append_entry", "close_frame", "close_and_report"],
        Stage::Stamp,
    ),
    (
        "crates/lockstep-replica/src/replica/sending.rs",
        &["send_frames", "offer_bursts", "burst", "run_of_equal", "on_taken"],
        Stage::Send,
    ),
    ("crates/lockstep-core/src/engine/", &[], Stage::Turn),
    ("crates/lockstep-core/src/proto/", &[], Stage::Turn),
    ("bench/instructions/src/world.rs", &[], Stage::Turn),
];

/// A function that an instruction lies in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    function: String,
    file: String,
}

impl Frame {
    /// The function's name without its path and what stands in angle brackets.
    fn name(&self) -> String {
        let mut depth = 0;
        let outside = |c: &char| {
            depth += i32::from(*c == '<');
            let is_outside = depth == 0;
            depth -= i32::from(*c == '>');
            is_outside
        };
        let plain: String = self.function.chars().filter(outside).collect();
        plain.rsplit("::").next().unwrap_or_default().to_owned()
    }

    fn stage(&self) -> Option<Stage> {
        let name = self.name();
        // What was inlined from elsewhere has the file of that: then the path of the function tells.
        let path = |file: &str| {
            let file = file.trim_end_matches(".rs").trim_start_matches("crates/");
            file.replace("/src/", "::").replace('-', "_").replace('/', "::")
        };
        let fits = |(file, functions, _): &&(&str, &[&str], Stage)| {
            (self.file.contains(file) || self.function.contains(&path(file)))
                && (functions.is_empty() || functions.contains(&name.as_str()))
        };
        RULES.iter().find(fits).map(|(.., stage)| *stage)
    }
}

/// The stage of an instruction: that of the innermost function that has one.
fn stage_of(frames: Option<&Vec<Frame>>) -> Option<Stage> {
    frames?.iter().find_map(Frame::stage)
}

/// Instructions by address, and what was called in other objects from there.
#[derive(Default, Debug)]
pub struct Counted {
    /// In the program itself.
    pub own: BTreeMap<u64, u64>,
    called: BTreeMap<u64, u64>,
}

/// Reads what callgrind wrote, with `--dump-instr=yes` and nothing compressed.
pub fn read(text: &str, object: &str) -> Counted {
    let mut counted = Counted::default();
    let (mut is_own, mut calls_own, mut is_call, mut is_start) = (false, None, false, false);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("ob=") {
            is_own = name == object;
        } else if let Some(name) = line.strip_prefix("cob=") {
            calls_own = Some(name == object);
        } else if let Some(name) = line.strip_prefix("fn=") {
            // All of the program is called from there, by way of libc.
            is_start = name == "(below main)" || name == "_start";
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if line.starts_with("0x") {
            let mut words = line.split_whitespace();
            let address = words.next().and_then(|word| u64::from_str_radix(&word[2..], 16).ok());
            let cost = words.next_back().and_then(|word| word.parse::<u64>().ok());
            let (Some(address), Some(cost)) = (address, cost) else { continue };
            if !is_call {
                if is_own {
                    *counted.own.entry(address).or_default() += cost;
                }
            } else if is_own && !is_start && !calls_own.unwrap_or(is_own) {
                *counted.called.entry(address).or_default() += cost;
            }
            if is_call {
                (is_call, calls_own) = (false, None);
            }
        }
    }
    counted
}

/// Instructions of each stage, of all that were counted.
pub fn attribute(counted: &Counted, frames: &HashMap<u64, Vec<Frame>>) -> BTreeMap<Stage, u64> {
    let mut stages = BTreeMap::new();
    for (address, cost) in counted.own.iter().chain(&counted.called) {
        *stages.entry(stage_of(frames.get(address)).unwrap_or(Stage::Turn)).or_default() += cost;
    }
    stages
}

/// Asks `addr2line` in which functions of `program` the addresses lie, the innermost first.
fn frames(program: &Path, addresses: impl Iterator<Item = u64>) -> Result<HashMap<u64, Vec<Frame>>, String> {
    let fails = |error: &dyn std::fmt::Display| format!("asking addr2line: {error}");
    let mut child = Command::new("addr2line")
        .args(["--addresses", "--inlines", "--functions", "--demangle", "--exe"])
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| fails(&error))?;
    let queries: String = addresses.map(|address| format!("{address:#x}\n")).collect();
    let mut to = child.stdin.take().ok_or_else(|| fails(&"it has no input"))?;
    // It answers while it is asked: a thread asks, and we listen.
    let asked = std::thread::spawn(move || to.write_all(queries.as_bytes()));
    let output = child.wait_with_output().map_err(|error| fails(&error))?;
    asked.join().map_err(|_| fails(&"the asking thread panicked"))?.map_err(|error| fails(&error))?;
    Ok(answers(&String::from_utf8_lossy(&output.stdout)))
}

/// Reads the answers: an address, and below it pairs of lines, function and place.
pub fn answers(text: &str) -> HashMap<u64, Vec<Frame>> {
    let mut frames: HashMap<u64, Vec<Frame>> = HashMap::new();
    let (mut address, mut lines) = (0, text.lines());
    while let Some(line) = lines.next() {
        if let Some(digits) = line.strip_prefix("0x") {
            address = u64::from_str_radix(digits, 16).unwrap_or(0);
            continue;
        }
        let place = lines.next().unwrap_or_default();
        let file = place.rsplit_once(':').map_or(place, |(file, _)| file);
        let frame = Frame { function: line.to_owned(), file: file.to_owned() };
        frames.entry(address).or_default().push(frame);
    }
    frames
}

/// Instructions of each stage in a file of callgrind's about `program`.
///
/// # Errors
/// `addr2line` is missing (binutils), or the build has no line tables.
pub fn of(text: &str, program: &Path) -> Result<BTreeMap<Stage, u64>, String> {
    let counted = read(text, &program.to_string_lossy());
    let frames = frames(program, counted.own.keys().chain(counted.called.keys()).copied())?;
    let stages = attribute(&counted, &frames);
    if stages.len() < Stage::ALL.len() {
        return Err(format!(
            "only {} stages were found: the build needs debug = \"line-tables-only\"",
            stages.len()
        ));
    }
    Ok(stages)
}
