//! Reads a bundle, whoever made it: it is read in memory up to a bound, no file is written, and every text is
//! shown with its control characters as escapes.

use super::manifest::{BundleManifest, COUNT_MAX, MANIFEST, PARTS_MAX, SCHEMA, digest, is_name};
use super::{Bundle, BundleShowArgs};
use crate::cli::shared::shown::shown;
use flate2::read::GzDecoder;
use lockstep_daemon::Failure;
use lockstep_daemon::failure::{INTEGRITY, USAGE};
use lockstep_operations::tar::{BLOCK, entry};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

/// Bytes of an unpacked bundle at most: its parts, the manifest, and the headers.
const UNPACKED_MAX: usize = PARTS_MAX + (8 << 20);
/// How a file of gzip begins.
const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Findings of the doctor that the summary shows.
const FINDINGS_MAX: usize = 20;

/// Prints the summary, or a part.
pub fn run(args: &BundleShowArgs) -> Result<u8, Failure> {
    let bundle = read(&args.file)?;
    let mut out = std::io::stdout().lock();
    match &args.part {
        None => summary(&mut out, &bundle, args.events)?,
        Some(name) => {
            let part = bundle.part(name).ok_or_else(|| {
                let names: Vec<_> = bundle.manifest.parts.iter().map(|part| &*part.name).collect();
                Failure::new(USAGE, format!("the bundle has no part {name}; there are {}", names.join(", ")))
            })?;
            for line in String::from_utf8_lossy(part).lines() {
                writeln!(out, "{}", visible(line))?;
            }
        }
    }
    out.flush()?;
    Ok(0)
}

/// A line of a part: tabs and backslashes as they are, other control characters as escapes.
fn visible(line: &str) -> String {
    let parts = line.split('\t').map(|text| text.split('\\').map(shown).collect::<Vec<_>>().join("\\"));
    parts.collect::<Vec<_>>().join("\t")
}

/// The bundle in this file.
fn read(path: &Path) -> Result<Bundle, Failure> {
    let name = path.display();
    let none = |what: &str| {
        Failure::new(
            USAGE,
            format!("{name} is no bundle: {what}; give a file that `lockstep bundle` has made"),
        )
    };
    let mut file = File::open(path).map_err(|error| none(&error.to_string()))?;
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic).and_then(|()| file.rewind()).map_err(|error| none(&error.to_string()))?;
    if magic != MAGIC {
        return Err(none("it is not compressed by gzip"));
    }
    let mut bytes = Vec::new();
    let unpacked = GzDecoder::new(file).take(UNPACKED_MAX as u64 + 1).read_to_end(&mut bytes);
    if bytes.len() > UNPACKED_MAX {
        return Err(none(&format!("it unpacks to more than {UNPACKED_MAX} bytes, which none does")));
    }
    unpacked.map_err(|error| damaged(path, &error.to_string()))?;
    opened(path, &bytes)
}

fn damaged(path: &Path, what: &str) -> Failure {
    let what = format!("{} is damaged: {what}; ask for the file again", path.display());
    Failure::new(INTEGRITY, what)
}

/// The files of an unpacked archive, each with its bytes.
fn files<'a>(path: &Path, mut rest: &'a [u8]) -> Result<Vec<(String, &'a [u8])>, Failure> {
    let strange = |what: String| {
        let what = format!(
            "{} was not made by `lockstep bundle`: {what}; nothing of it was unpacked",
            path.display()
        );
        Failure::new(USAGE, what)
    };
    let mut found: Vec<(String, &[u8])> = Vec::new();
    loop {
        let Some((block, behind)) = rest.split_first_chunk::<BLOCK>() else {
            return Err(damaged(path, "its end is missing"));
        };
        if block == &[0; BLOCK] {
            return Ok(found);
        }
        let Some(entry) = entry(block) else {
            return if found.is_empty() {
                Err(strange("it holds no archive".to_owned()))
            } else {
                Err(damaged(path, "a part has no valid header"))
            };
        };
        let part = shown(&entry.name);
        if !entry.is_file {
            return Err(strange(format!("'{part}' is no file but a link, a folder or a device")));
        }
        if !is_name(&entry.name) {
            return Err(strange(format!("'{part}' is no name of a part")));
        }
        if found.len() > COUNT_MAX || found.iter().any(|(name, _)| *name == entry.name) {
            return Err(strange(format!("'{part}' stands in it twice, or is one of too many")));
        }
        let len = usize::try_from(entry.len).unwrap_or(usize::MAX);
        let Some(bytes) = behind.get(..len) else {
            return Err(damaged(path, &format!("'{part}' is to have {len} bytes, and the file ends before")));
        };
        found.push((entry.name, bytes));
        rest = behind.get(len.next_multiple_of(BLOCK)..).unwrap_or_default();
    }
}

/// The bundle of these bytes, if each part is the one that the manifest lists.
fn opened(path: &Path, bytes: &[u8]) -> Result<Bundle, Failure> {
    let files = files(path, bytes)?;
    let strange = |what: &str| {
        let what = format!("{} was not made by `lockstep bundle` of this release: {what}", path.display());
        Failure::new(USAGE, what)
    };
    let Some(((_, text), parts)) = files.split_first().filter(|((name, _), _)| name == MANIFEST) else {
        return Err(strange("it does not begin with a manifest"));
    };
    let manifest: BundleManifest = serde_json::from_slice(text)
        .map_err(|error| strange(&format!("its manifest: {}", shown(&error.to_string()))))?;
    if manifest.schema != SCHEMA {
        return Err(strange(&format!(
            "its manifest is of the kind '{}', and not {SCHEMA}",
            shown(&manifest.schema)
        )));
    }
    if manifest.parts.len() != parts.len() {
        let (listed, has) = (manifest.parts.len(), parts.len());
        return Err(damaged(path, &format!("the manifest lists {listed} parts, and {has} are there")));
    }
    for (listed, (name, bytes)) in manifest.parts.iter().zip(parts) {
        if listed.name != *name || listed.bytes != bytes.len() as u64 || listed.sha256 != digest(bytes) {
            return Err(damaged(path, &format!("'{}' is not the part that the manifest lists", shown(name))));
        }
    }
    let parts = parts.iter().map(|(_, bytes)| bytes.to_vec()).collect();
    Ok(Bundle { manifest, parts })
}

impl Bundle {
    fn part(&self, name: &str) -> Option<&[u8]> {
        let place = self.manifest.parts.iter().position(|part| part.name == name)?;
        self.parts.get(place).map(Vec::as_slice)
    }

    fn json(&self, name: &str) -> Value {
        self.part(name).and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default()
    }
}

/// A text of JSON, for a line.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| "unknown".to_owned(), shown)
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn summary(out: &mut impl Write, bundle: &Bundle, events: usize) -> std::io::Result<()> {
    let BundleManifest { made, release, cluster, host, parts, missing, secrets_removed, notes, .. } =
        &bundle.manifest;
    let cluster = cluster.map_or_else(|| "unknown".to_owned(), |cluster| cluster.to_string());
    let (host, made, release) = (shown(host), shown(made), shown(release));
    writeln!(out, "bundle    of cluster {cluster}, made on {host} at {made} by lockstep {release}")?;
    let status = bundle.json("status.json");
    writeln!(out, "verdict   {}", text(&status["summary"]))?;
    for reason in rows(&status["reasons"]) {
        writeln!(out, "cause     {}", text(reason))?;
    }
    writeln!(out, "leader    {}, epoch {}", text(&status["leader"]), text(&status["epoch"]))?;
    for node in rows(&bundle.json("releases.json")["nodes"]) {
        let number =
            |key: &str| node[key].as_u64().map_or_else(|| "?".to_owned(), |number| number.to_string());
        let (name, release) = (text(&node["node"]), text(&node["release"]));
        writeln!(out, "release   {name} {release}, speaks {} to {}", number("oldest"), number("newest"))?;
    }
    let doctor = bundle.json("doctor.json");
    writeln!(out, "doctor    {}", text(&doctor["summary"]))?;
    let is_wrong = |finding: &&Value| matches!(finding["level"].as_str(), Some("error" | "warning"));
    for finding in rows(&doctor["findings"]).iter().filter(is_wrong).take(FINDINGS_MAX) {
        let (level, check, about, now) = (
            text(&finding["level"]),
            text(&finding["check"]),
            text(&finding["about"]),
            text(&finding["now"]),
        );
        writeln!(out, "          {level} {check} {about}: {now}")?;
    }
    writeln!(out)?;
    for part in parts {
        let code = part.exit_code.filter(|code| *code != 0);
        let code = code.map_or_else(String::new, |code| format!(", exit code {code}"));
        let cut = part.cut.as_ref().map_or_else(String::new, |cut| format!(", cut: {}", shown(cut)));
        writeln!(out, "part      {:<24} {:>9} bytes{code}{cut}", part.name, part.bytes)?;
    }
    for part in missing {
        writeln!(out, "missing   {:<24} {}", shown(&part.name), shown(&part.reason))?;
    }
    for note in notes {
        writeln!(out, "note      {}", shown(note))?;
    }
    if *secrets_removed > 0 {
        writeln!(
            out,
            "note      {secrets_removed} secrets of that host were removed from what was gathered"
        )?;
    }
    timeline(out, bundle, events)
}

/// The newest events of all nodes, in the order of time.
fn timeline(out: &mut impl Write, bundle: &Bundle, count: usize) -> std::io::Result<()> {
    let lines = String::from_utf8_lossy(bundle.part("events.jsonl").unwrap_or_default());
    let all: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let events: Vec<_> = all.iter().filter(|event| event["code"].is_string()).collect();
    let newest = &events[events.len().saturating_sub(count)..];
    writeln!(out, "\nthe newest {} of {} events", newest.len(), events.len())?;
    for event in newest {
        let [time, level, code, process, what] =
            ["time", "level", "code", "process", "text"].map(|key| text(&event[key]));
        writeln!(out, "{time} {level:>5} {code} {process:<11} {what}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use lockstep_operations::tar::{header, padding};

    fn manifest(parts: &[(&str, &[u8])]) -> String {
        let part = |(name, bytes): &(&str, &[u8])| {
            serde_json::json!({
                "name": name, "bytes": bytes.len(), "sha256": digest(bytes), "from": "x",
                "exit_code": null, "cut": null, "note": null,
            })
        };
        let parts: Vec<_> = parts.iter().map(part).collect();
        let json = serde_json::json!({
            "schema": SCHEMA, "made": "\u{1b}[2Jnow", "release": "0.1.0", "cluster": 7, "host": "a\nb", "parts": parts,
            "missing": [{ "name": "x", "reason": "y" }], "secrets_removed": 0, "notes": [],
        });
        json.to_string()
    }

    /// An archive of these files; `change` gets each header.
    fn archive(files: &[(&str, &[u8])], change: impl Fn(&str, &mut [u8; BLOCK])) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, bytes) in files {
            let mut block = header(name, bytes.len() as u64, 0).expect("a header");
            change(name, &mut block);
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            out.extend(block);
            out.extend(*bytes);
            out.extend(padding(bytes.len() as u64));
        }
        out.extend([0; 2 * BLOCK]);
        out
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        out.write_all(bytes).expect("memory");
        out.finish().expect("memory")
    }

    /// What a reader says of this file, in a folder in which nothing else is afterwards.
    fn outcome_of(bytes: &[u8]) -> Result<String, (u8, String)> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bundle.tar.gz");
        std::fs::write(&path, bytes).expect("a file");
        let read = read(&path);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
        let bundle = read.map_err(|failure| (failure.code(), failure.to_string()))?;
        let mut out = Vec::new();
        summary(&mut out, &bundle, 10).expect("memory");
        Ok(String::from_utf8(out).expect("text"))
    }

    fn refused(bytes: &[u8], code: u8, words: &str) {
        let (found, text) = outcome_of(bytes).expect_err(words);
        assert!(found == code && text.contains(words) && !text.contains('\u{1b}'), "{found}: {text}");
    }

    #[test]
    fn a_bundle_is_shown_and_no_text_of_it_speaks_to_the_terminal() {
        let event = br#"{"code":"LS1004","time":"T","level":"warn","process":"p","text":"\u001b[31mred"}"#;
        let status = br#"{"summary":"degraded: x","reasons":["y\nz"],"leader":"1:a","epoch":"2"}"#;
        let parts: [(&str, &[u8]); 2] = [("status.json", status), ("events.jsonl", event)];
        let text = manifest(&parts);
        let all = [(MANIFEST, text.as_bytes()), parts[0], parts[1]];
        let shown = outcome_of(&packed(&archive(&all, |_, _| ()))).expect("a bundle");
        assert!(
            shown.contains("verdict   degraded: x\ncause     y\\nz\nleader    1:a, epoch 2\n"),
            "{shown}"
        );
        assert!(shown.contains("made on a\\nb at \\u{1b}[2Jnow") && shown.contains("missing   x"), "{shown}");
        assert!(
            shown.contains("the newest 1 of 1 events\nT  warn LS1004 p           \\u{1b}[31mred\n"),
            "{shown}"
        );
        assert!(!shown.contains('\u{1b}'));
        assert_eq!(visible("a\tb\\n\u{1b}"), "a\tb\\n\\u{1b}");
    }

    #[test]
    fn an_archive_of_others_a_damaged_and_a_hostile_one_are_refused_and_nothing_is_written() {
        let part: (&str, &[u8]) = ("status.json", b"{}");
        let text = manifest(&[part]);
        let all = [(MANIFEST, text.as_bytes()), part];
        let sound = archive(&all, |_, _| ());
        assert!(outcome_of(&packed(&sound)).is_ok());
        refused(b"no archive", USAGE, "is no bundle");
        refused(b"", USAGE, "is no bundle");
        refused(&MAGIC, INTEGRITY, "is damaged");
        refused(&packed(b"no archive"), INTEGRITY, "its end is missing");
        refused(&packed(&[7; 4 * BLOCK]), USAGE, "it holds no archive");
        refused(&packed(&archive(&[part], |_, _| ())), USAGE, "does not begin with a manifest");
        refused(&packed(&archive(&[(MANIFEST, b"{}")], |_, _| ())), USAGE, "its manifest: ");
        // Damage.
        let whole = packed(&sound);
        refused(&whole[..whole.len() / 2], INTEGRITY, "is damaged");
        refused(&packed(&sound[..sound.len() - 3 * BLOCK]), INTEGRITY, "the file ends before");
        let mut other = sound.clone();
        let at = other.windows(2).rposition(|bytes| bytes == b"{}").expect("the part");
        other[at] = b'[';
        refused(&packed(&other), INTEGRITY, "is not the part that the manifest lists");
        refused(&packed(&archive(&all[..1], |_, _| ())), INTEGRITY, "lists 1 parts, and 0 are there");
        // Names and kinds that would write elsewhere, if anything were written.
        for name in ["../evil", "/etc/evil", "a/../../evil", "\u{1b}[2J"] {
            refused(&packed(&archive(&[all[0], (name, b"{}")], |_, _| ())), USAGE, "is no name of a part");
        }
        for kind in [b'1', b'2', b'3', b'5', b'x', b'L'] {
            let linked = archive(&all, |name, block| {
                if name != MANIFEST {
                    block[156] = kind;
                }
            });
            refused(&packed(&linked), USAGE, "is no file but a link");
        }
        let prefixed = archive(&all, |name, block| {
            if name != MANIFEST {
                block[345..348].copy_from_slice(b"../");
            }
        });
        refused(&packed(&prefixed), USAGE, "is no name of a part");
        refused(&packed(&archive(&[all[0], part, part], |_, _| ())), USAGE, "stands in it twice");
        // Sizes.
        let huge = archive(&all, |_, block| block[124..135].copy_from_slice(b"77777777777"));
        refused(&packed(&huge), INTEGRITY, "the file ends before");
        refused(&packed(&vec![0; UNPACKED_MAX + 2]), USAGE, "it unpacks to more than");
    }
}
