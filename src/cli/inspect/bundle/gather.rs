//! The parts of a bundle: commands of this program, pages of metrics, this host, and the ends of logs.

use super::manifest::{
    BundleManifest, BundlePart, COUNT_MAX, MissingPart, PARTS_MAX, SCHEMA, digest, is_name,
};
use super::secrets::KnownSecrets;
use super::{Bundle, BundleMakeArgs};
use crate::cli::shared::captured::captured;
use crate::cli::shared::operator::now;
use lockstep_daemon::config::{Config, Origin};
use lockstep_io::clock::Utc;
use lockstep_metrics::{Life, Process};
use lockstep_operations::processes::{files, read as read_files};
use lockstep_operations::top::pages::of_nodes;
use lockstep_process::page;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddrV4;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of a part at most.
const PART_MAX: usize = 8 << 20;
/// Bytes of the end of a log.
const LOG_MAX: u64 = 1 << 20;
/// Bytes of a file of the kernel.
const HOST_FILE_MAX: u64 = 32 << 10;
/// How long one command may take.
const COMMAND_PATIENCE: Duration = Duration::from_secs(15);
/// How long a page may take.
const PAGE_PATIENCE: Duration = Duration::from_secs(2);
/// Commands and pages that are waited for at a time: where no node answers, each takes its whole time.
const AT_ONCE: usize = 4;
/// Letters of a command's stderr, or of a reason.
const NOTE_MAX: usize = 500;

/// The parts that are commands: name, and arguments behind `lockstep`. They ask for no more than a look.
const COMMANDS: [(&str, &str); 14] = [
    ("status.json", "status --json"),
    ("health.json", "health --format json"),
    ("why.txt", "why"),
    ("events.jsonl", "events --json --since 1d --last 20000"),
    ("counters.json", "counters --json --all"),
    ("metrics.txt", "counters --prometheus"),
    ("configuration.json", "check --json --effective"),
    ("doctor.json", "doctor --json --measure none"),
    ("releases.json", "upgrade --json --timeout 2s"),
    ("times.json", "time --json --timeout 2s"),
    ("membership.json", "membership show --json --timeout 2s"),
    ("keys.json", "keys show --json"),
    ("losses.txt", "losses"),
    ("top.json", "top --json"),
];

/// What a host tells of itself.
const HOST_FILES: [&str; 8] = [
    "/proc/version",
    "/etc/os-release",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/cpuinfo",
    "/proc/net/dev",
    "/proc/net/snmp",
];

/// A part before its secrets are removed.
struct RawPart {
    bytes: Vec<u8>,
    cut: Option<String>,
    exit_code: Option<i32>,
    words: String,
}

impl RawPart {
    fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, cut: None, exit_code: None, words: String::new() }
    }
}

/// What another process or host is asked for.
enum PartSource {
    /// A command of this program: the part's name, and the arguments.
    Command(String, Vec<String>),
    /// A page of metrics.
    Page(SocketAddrV4),
}

impl PartSource {
    /// The part's name, and where it is from.
    fn name_and_origin(&self) -> (String, String) {
        match self {
            Self::Command(name, arguments) => (name.clone(), format!("lockstep {}", arguments.join(" "))),
            Self::Page(address) => {
                let name = format!("pages/{}-{}.txt", address.ip(), address.port());
                (name, format!("http://{address}/metrics"))
            }
        }
    }
}

/// Gathers all parts.
struct BundleGatherer<'a> {
    args: &'a BundleMakeArgs,
    begun: Instant,
    secrets: KnownSecrets,
    bundle: Bundle,
    bytes: usize,
}

/// The bundle of this host, with what the others answer.
pub fn gathered(args: &BundleMakeArgs) -> Bundle {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let manifest = BundleManifest {
        schema: SCHEMA.to_owned(),
        made: Utc::now().to_string(),
        release: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: None,
        host: host.trim().to_owned(),
        parts: Vec::new(),
        missing: Vec::new(),
        secrets_removed: 0,
        notes: Vec::new(),
    };
    let bundle = Bundle { manifest, parts: Vec::new() };
    let secrets = KnownSecrets::default();
    let mut gatherer = BundleGatherer { args, begun: now(), secrets, bundle, bytes: 0 };
    match loaded(args) {
        Ok(config) => gatherer.of_cluster(&config),
        Err(problems) => gatherer.without_configuration(&problems),
    }
    gatherer.put("host.txt", "files of /proc and /etc", Ok(RawPart::of(host_text())));
    for (path, number) in args.log.iter().zip(1..) {
        let name = format!("logs/{number}-{}", named(path));
        let part = File::open(path).map_err(|error| error.to_string()).and_then(|file| end_of(file, None));
        gatherer.put(&name, &path.display().to_string(), part);
    }
    gatherer.bundle
}

/// The configuration, or its problems without the text of the file: that may hold anything.
fn loaded(args: &BundleMakeArgs) -> Result<Config, Vec<String>> {
    let overrides = args.cluster.overrides(&[]).map_err(|_| vec!["a flag --set is wrong".to_owned()])?;
    Config::load(Some(&args.cluster.config), &overrides).map_err(|errors| {
        let line = |problem: &lockstep_daemon::config::ConfigError| {
            let place = match &problem.origin {
                Some(Origin::File { line, column, .. }) => format!(" at line {line}, column {column}"),
                Some(_) => " of a flag or a variable".to_owned(),
                None => String::new(),
            };
            format!("{} {}{place}", problem.code.as_str(), problem.key)
        };
        errors.problems().iter().map(line).collect()
    })
}

/// A file's name as a part of another.
fn named(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let plain = name
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() || "-_.".contains(char) { char } else { '_' });
    plain.take(60).collect()
}

/// The end of a log, from the beginning of a line on. It is a file, and of this user where one is wanted.
fn end_of(mut file: File, user: Option<u32>) -> Result<RawPart, String> {
    let wrong = |error: std::io::Error| error.to_string();
    let metadata = file.metadata().map_err(wrong)?;
    if !metadata.is_file() {
        return Err(
            "it is no file: a terminal, a pipe, or the journal of systemd (`journalctl -u UNIT`)".to_owned()
        );
    }
    if user.is_some_and(|user| user != metadata.uid()) {
        return Err("it is a file of another user than the process: name it by --log".to_owned());
    }
    let begin = metadata.len().saturating_sub(LOG_MAX);
    file.seek(SeekFrom::Start(begin)).map_err(wrong)?;
    let mut bytes = Vec::new();
    file.take(LOG_MAX).read_to_end(&mut bytes).map_err(wrong)?;
    let mut part = RawPart::of(bytes);
    if begin > 0 {
        // A line that is cut may hold a part of a secret.
        let first = part.bytes.iter().position(|byte| *byte == b'\n').map_or(part.bytes.len(), |at| at + 1);
        part.bytes.drain(..first);
        part.cut = Some(format!("all but the last {} of {} bytes", part.bytes.len(), metadata.len()));
    }
    Ok(part)
}

fn host_text() -> Vec<u8> {
    let mut text = Vec::new();
    for path in HOST_FILES {
        text.extend(format!("== {path}\n").into_bytes());
        let read = File::open(path).and_then(|file| file.take(HOST_FILE_MAX).read_to_end(&mut text));
        if let Err(error) = read {
            text.extend(error.to_string().into_bytes());
        }
        text.push(b'\n');
    }
    text
}

/// Cuts behind the last line; within one line, before the last word: half of a secret is one too.
fn cut_at_line(bytes: &mut Vec<u8>) {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
    let end = end.or_else(|| bytes.iter().rposition(|byte| !byte.is_ascii_alphanumeric()));
    bytes.truncate(end.unwrap_or(0));
}

impl BundleGatherer<'_> {
    fn of_cluster(&mut self, config: &Config) {
        self.bundle.manifest.cluster = Some(config.cluster);
        self.secrets = KnownSecrets::of(config);
        let unread = self.secrets.unread.iter();
        let note = |file: &String| format!("{file}: secrets of this file are not looked for");
        self.bundle.manifest.notes = unread.map(note).collect();
        let mut sources: Vec<_> = COMMANDS
            .iter()
            .map(|(name, arguments)| {
                PartSource::Command((*name).to_owned(), arguments.split(' ').map(str::to_owned).collect())
            })
            .collect();
        let replicas = config.replicas.iter().map(|node| ("replica", node.id, &node.journal));
        let nodes = replicas.chain(config.archivers.iter().map(|node| ("archiver", node.id, &node.journal)));
        for (word, id, _) in nodes.filter(|(_, _, journal)| journal.is_dir()) {
            let words = ["journal", "ls", "--json", &format!("--{word}"), &id.to_string()].map(str::to_owned);
            sources.push(PartSource::Command(format!("journals/{word}-{id}.json"), words.to_vec()));
        }
        let pages = of_nodes(config);
        let has_pages = !pages.is_empty();
        sources.extend(pages.into_iter().map(PartSource::Page));
        let parts = side_by_side(&sources, AT_ONCE, |source| self.obtain(source));
        for (source, part) in sources.iter().zip(parts) {
            let (name, from) = source.name_and_origin();
            self.put(&name, &from, part);
        }
        if !has_pages {
            let why = "metrics.listen is not 0.0.0.0 with a port: no page of another host is known";
            self.lacks("pages", why.to_owned());
        }
        self.logs(config);
    }

    /// The end of the log of each process of this host, where its stderr is a file.
    fn logs(&mut self, config: &Config) {
        let processes = match files(config, None) {
            Ok(files) => read_files(config, files).processes,
            Err(failure) => return self.lacks("logs", failure.to_string()),
        };
        for (process, _) in processes {
            let name = format!("logs/{}.log", named(Path::new(&process.name)));
            let path = format!("/proc/{}/fd/2", process.pid);
            let part = match process.life {
                Life::Ended(_) => Err("the process has ended: name its log by --log".to_owned()),
                _ => log_of(&process, &path),
            };
            self.put(&name, &path, part);
        }
    }

    fn without_configuration(&mut self, problems: &[String]) {
        let text = problems.join("\n") + "\n";
        self.put(
            "configuration.txt",
            "the problems of the configuration",
            Ok(RawPart::of(text.into_bytes())),
        );
        let first = problems.first().map_or("it cannot be read", |problem| problem);
        for (name, _) in COMMANDS {
            self.lacks(name, format!("the configuration is refused: {first}"));
        }
    }

    /// How long the next part may take.
    fn left(&self) -> Duration {
        self.args.timeout.saturating_sub(self.begun.elapsed())
    }

    fn obtain(&self, source: &PartSource) -> Result<RawPart, String> {
        let left = self.in_time()?;
        match source {
            PartSource::Command(_, arguments) => {
                let program = std::env::current_exe().map_err(|error| error.to_string())?;
                let mut command = Command::new(program);
                command.args(arguments).args(self.args.cluster.passed_on());
                output_of(command, left)
            }
            PartSource::Page(address) => {
                let bounds = (PAGE_PATIENCE.min(left), PART_MAX);
                let fetched = page::fetch(((*address).into(), "/metrics"), ("", None), bounds);
                Ok(RawPart::of(fetched.map_err(|error| error.to_string())?.content))
            }
        }
    }

    fn in_time(&self) -> Result<Duration, String> {
        let left = self.left();
        if left.is_zero() { Err(format!("the time of {:?} was over", self.args.timeout)) } else { Ok(left) }
    }

    fn lacks(&mut self, name: &str, reason: String) {
        let reason: String = self.without_secrets(&reason).chars().take(NOTE_MAX).collect();
        self.bundle.manifest.missing.push(MissingPart { name: name.to_owned(), reason });
    }

    fn without_secrets(&mut self, text: &str) -> String {
        let (text, count) = self.secrets.removed(text);
        self.bundle.manifest.secrets_removed += count;
        text
    }

    /// Adds a part without the secrets in it, or a line about it.
    fn put(&mut self, name: &str, from: &str, part: Result<RawPart, String>) {
        let part = match part {
            Ok(part) => part,
            Err(reason) => return self.lacks(name, reason),
        };
        let bytes = self.without_secrets(&String::from_utf8_lossy(&part.bytes)).into_bytes();
        let is_full = self.bytes + bytes.len() > PARTS_MAX || self.bundle.parts.len() == COUNT_MAX;
        if is_full || !is_name(name) {
            return self.lacks(name, format!("its {} bytes have no room in a bundle", bytes.len()));
        }
        self.bytes += bytes.len();
        let note: String = self.without_secrets(&part.words).chars().take(NOTE_MAX).collect();
        let from = self.without_secrets(from);
        self.bundle.manifest.parts.push(BundlePart {
            name: name.to_owned(),
            bytes: bytes.len() as u64,
            sha256: digest(&bytes),
            from,
            exit_code: part.exit_code,
            cut: part.cut,
            note: (!note.is_empty()).then_some(note),
        });
        self.bundle.parts.push(bytes);
    }
}

/// What a command prints in this time, or why it printed nothing.
fn output_of(command: Command, left: Duration) -> Result<RawPart, String> {
    let captured = captured(command, b"", PART_MAX, COMMAND_PATIENCE.min(left))?;
    let mut part = RawPart { exit_code: captured.code, words: captured.words, ..RawPart::of(captured.bytes) };
    if captured.is_cut {
        cut_at_line(&mut part.bytes);
        part.cut = Some(format!("all behind the first {} bytes", part.bytes.len()));
    }
    if part.bytes.is_empty() {
        let code = part.exit_code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
        return Err(format!("it printed nothing ({code}): {}", part.words));
    }
    Ok(part)
}

/// The result of `work` for each of `items`, in their order, `at_once` of them at a time.
fn side_by_side<T: Sync, R: Send>(items: &[T], at_once: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let taken = std::iter::from_fn(|| {
            let at = next.fetch_add(1, Ordering::Relaxed);
            Some((at, work(items.get(at)?)))
        });
        taken.collect::<Vec<_>>()
    };
    let mut results: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(worker)).collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.flat_map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The end of a process's log, if its stderr is a file of its own user.
fn log_of(process: &Process, path: &str) -> Result<RawPart, String> {
    let file =
        File::open(path).map_err(|error| format!("{error}: name its log by --log, or run this as root"))?;
    end_of(file, process.user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_cut_where_no_half_of_a_word_is_left() {
        let cut = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            cut_at_line(&mut bytes);
            String::from_utf8(bytes).expect("text")
        };
        assert_eq!(cut("one\ntwo\nthr"), "one\ntwo\n");
        assert_eq!(cut("{\"a\":\"0123"), "{\"a\":");
        assert_eq!(cut("0123"), "");
    }

    #[test]
    fn what_is_obtained_side_by_side_is_in_order_and_waits_for_no_more_than_its_share() {
        // None of the first two ends before both have begun.
        let both = std::sync::Barrier::new(2);
        let items = [0, 1, 2, 3, 4];
        let doubled = side_by_side(&items, 2, |item| {
            if *item < 2 {
                both.wait();
            }
            item * 2
        });
        assert_eq!(doubled, [0, 2, 4, 6, 8]);
    }

    #[test]
    fn the_end_of_a_log_begins_with_a_line_and_of_what_is_no_file_there_is_none() {
        let mut file = tempfile::tempfile().expect("a file");
        let line = "a line of a log\n";
        let count = LOG_MAX as usize / line.len() + 10;
        std::io::Write::write_all(&mut file, line.repeat(count).as_bytes()).expect("written");
        let part = end_of(file, None).expect("a log");
        assert!(part.bytes.starts_with(line.as_bytes()) && part.bytes.len() as u64 <= LOG_MAX);
        assert!(part.cut.is_some_and(|cut| cut.starts_with("all but the last ")));
        assert!(
            end_of(File::open("/dev/null").expect("it is there"), None)
                .is_err_and(|why| why.contains("no file"))
        );
    }
}
