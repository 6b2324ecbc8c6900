//! `lockstep bundle` of real processes: what is in it, what is not, and that no secret is.

// Waits for real processes.
use super::drill::await_whole;
use flate2::read::GzDecoder;
use lockstep_testkit::gateways::add_user;
use lockstep_testkit::processes::{Cluster, Ground, Outcome, Process, await_code, command, is_root, run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use tempfile::TempDir;

fn bundle(cluster: &Cluster, name: &str, more: &[&str]) -> Outcome {
    let path = cluster.path(name).display().to_string();
    cluster.run(&[&["bundle", "-o", &path], more].concat(), b"")
}

fn show(cluster: &Cluster, name: &str, more: &[&str]) -> Outcome {
    let path = cluster.path(name).display().to_string();
    let args: Vec<&str> = ["bundle", "show", &path].iter().chain(more).copied().collect();
    run(command(&args), b"")
}

fn manifest(cluster: &Cluster, name: &str) -> Value {
    let bytes = unpacked(&cluster.path(name));
    let text = &bytes[512..];
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    let mut values = serde_json::Deserializer::from_slice(&text[..end]).into_iter();
    values.next().expect("a manifest").expect("JSON")
}

fn unpacked(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut file = GzDecoder::new(fs::File::open(path).expect("the bundle"));
    file.read_to_end(&mut bytes).expect("it unpacks");
    bytes
}

fn names(list: &Value) -> BTreeSet<&str> {
    list.as_array().expect("a list").iter().map(|row| row["name"].as_str().expect("a name")).collect()
}

/// Words of a file that are as long as a key's digits: of letters, digits and `others`.
fn long_words(path: &Path, others: &str) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && !others.contains(char));
    words.filter(|word| word.len() >= 20).map(str::to_owned).collect()
}

fn raw(hex: &str) -> Option<Vec<u8>> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}

/// The beginning of secrets that no command draws.
const MARK: &str = "PlantedSecretOfA";

/// A cluster with a secret in every place that can hold one.
struct Planted {
    cluster: Cluster,
    _replicas: Vec<Process>,
    secrets: Vec<String>,
    /// A log that has all of them which a file of this host calls secret.
    log: String,
}

impl Planted {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let (users, tls) = (folder.path().join("users.toml"), folder.path().join("gateway.key"));
        let more = format!(
            "[gateway]\nusers = \"{}\"\ntls_key = \"{}\"\n# password of the console: {MARK}Comment\n",
            users.display(),
            tls.display()
        );
        let cluster = Cluster::within(folder, Ground::loopback(3), &more);
        let replicas = cluster.found();
        cluster.run(&["keys", "operator", "alice"], b"").with_code(0);
        cluster.run(&["notary", "key", "n"], b"").with_code(0);
        add_user(&cluster, "TRADER", "pass-word", &[]);
        let key = format!("{MARK}KeyOfTheGateway0123456789");
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
        fs::write(&tls, pem).expect("a file");
        cluster.publish(&format!("{MARK}Payload\n"));
        await_whole(&cluster);

        let files = ["replica.keys", "publisher.keys", "reader.keys", "alice.operator", "n.notary"];
        let mut secrets: Vec<_> =
            files.iter().flat_map(|name| long_words(&cluster.path("keys").join(name), "")).collect();
        let (keys, of_users) = (secrets.len(), long_words(&users, "+/"));
        assert!(keys >= 6 && !of_users.is_empty(), "{keys} {of_users:?}");
        secrets.extend(of_users);
        secrets.push(key);
        let lines = secrets.iter().map(|word| format!("a client sent {word} and {}\n", word.to_uppercase()));
        let log = cluster.path("gateway.log");
        let lines: String = lines.collect();
        fs::write(&log, format!("the first line\n{lines}the last line\n")).expect("a log");
        // No file of this host calls these secret: they must have no way into a bundle at all.
        secrets.extend(["Comment", "Payload", "Variable"].map(|what| format!("{MARK}{what}")));
        let log = log.display().to_string();
        Self { cluster, _replicas: replicas, secrets, log }
    }
}

#[test]
fn a_bundle_has_what_every_command_tells_and_no_secret_from_wherever_it_was_planted() {
    let Planted { cluster, secrets, log, .. } = &Planted::new();
    let path = cluster.path("all.tar.gz").display().to_string();
    let args = ["bundle", "-o", &path, "--log", log, "--timeout", "50s"];
    let mut command = cluster.command_at(cluster.clients(), &args);
    command.env("CONSOLE_PASSWORD", format!("{MARK}Variable"));
    let made = run(command, b"").with_code(0);
    assert_eq!(made.out, format!("{path}\n"));
    let bytes = unpacked(Path::new(&path));
    let lower = String::from_utf8_lossy(&bytes).to_lowercase();
    for secret in secrets {
        assert!(!lower.contains(&secret.to_lowercase()), "{secret} is in the bundle");
        if let Some(raw) = raw(secret) {
            assert!(!bytes.windows(raw.len()).any(|part| part == raw), "the bytes of {secret} are in it");
        }
    }
    assert!(lower.contains("the first line\na client sent [secret] and [secret]\n"), "the log is in it");

    let manifest = manifest(cluster, "all.tar.gz");
    let parts = names(&manifest["parts"]);
    let wanted = [
        "status.json",
        "health.json",
        "why.txt",
        "events.jsonl",
        "counters.json",
        "metrics.txt",
        "configuration.json",
        "doctor.json",
        "releases.json",
        "times.json",
        "membership.json",
        "keys.json",
        "losses.txt",
        "top.json",
        "journals/replica-1.json",
        "journals/replica-3.json",
        "host.txt",
        "logs/1-gateway.log",
    ];
    let lacking: Vec<_> = wanted.iter().filter(|name| !parts.contains(*name)).collect();
    assert!(lacking.is_empty(), "{lacking:?} of {manifest}");
    assert_eq!(parts.contains("logs/replica-1.log"), is_root(), "{manifest}");
    assert!(names(&manifest["missing"]).contains("pages"), "{manifest}");

    let shown = show(cluster, "all.tar.gz", &[]).with_code(0).out;
    assert!(shown.contains("\nverdict   healthy: 3 of 3 members"), "{shown}");
    assert!(
        shown.contains("missing   pages ") && shown.contains("secrets of that host were removed"),
        "{shown}"
    );
    assert!(shown.contains("-> leader") && shown.contains("speaks "), "{shown}");
    let keys = show(cluster, "all.tar.gz", &["--part", "keys.json"]).with_code(0).out;
    let keys: Value = serde_json::from_str(&keys).expect("JSON");
    assert_eq!(keys["generations"][0]["use"], "sealing", "fingerprints and no key: {keys}");
    show(cluster, "all.tar.gz", &["--part", "nothing"]).with_code(2).saying(&["there are status.json, "]);
    bundle(cluster, "all.tar.gz", &[]).with_code(2).saying(&["exists: give the name of a new file"]);
}

#[test]
fn a_bundle_is_made_of_whatever_answers_and_names_what_does_not() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    await_whole(&cluster);
    replicas[2].signal("KILL");
    replicas[2].wait();
    await_code(6, || cluster.run(&["status"], b""));
    bundle(&cluster, "two.tar.gz", &["--timeout", "50s"]).with_code(0);
    let shown = show(&cluster, "two.tar.gz", &[]).with_code(0).out;
    assert!(shown.contains("verdict   degraded: replica 3 does not answer"), "{shown}");
    assert!(shown.contains("exit code 6"), "the part is there with its exit code: {shown}");
    let missing = "missing   logs/replica-3.log       the process has ended: name its log by --log\n";
    assert!(shown.contains(missing), "{shown}");

    // Nobody runs; and then there is no time.
    drop(replicas);
    bundle(&cluster, "none.tar.gz", &["--timeout", "50s"]).with_code(0);
    let shown = show(&cluster, "none.tar.gz", &[]).with_code(0).out;
    assert!(shown.contains("verdict   no quorum: ") && shown.contains("missing   releases.json "), "{shown}");
    bundle(&cluster, "late.tar.gz", &["--timeout", "1ns"]).with_code(0);
    let late = manifest(&cluster, "late.tar.gz");
    assert_eq!(late["missing"][0]["reason"], "the time of 1ns was over");

    // A configuration that is refused may hold anything, and is named by place alone.
    let text = fs::read_to_string(cluster.config()).expect("the file");
    fs::write(cluster.config(), format!("{text}\n[console]\npassword = \"PlantedSecret\"\n"))
        .expect("the file");
    bundle(&cluster, "wrong.tar.gz", &[]).with_code(0);
    let bytes = unpacked(&cluster.path("wrong.tar.gz"));
    assert!(!String::from_utf8_lossy(&bytes).contains("PlantedSecret"));
    let wrong = show(&cluster, "wrong.tar.gz", &["--part", "configuration.txt"]).with_code(0).out;
    assert!(wrong.contains("console") && wrong.contains(" at line "), "{wrong}");
    let wrong = manifest(&cluster, "wrong.tar.gz");
    assert!(names(&wrong["missing"]).contains("status.json") && names(&wrong["parts"]).contains("host.txt"));

    // A file of somebody else's.
    fs::write(cluster.path("other.tar.gz"), "no bundle").expect("a file");
    show(&cluster, "other.tar.gz", &[]).with_code(2).saying(&["is no bundle: "]);
    let whole = fs::read(cluster.path("two.tar.gz")).expect("the bundle");
    fs::write(cluster.path("half.tar.gz"), &whole[..whole.len() / 2]).expect("a file");
    show(&cluster, "half.tar.gz", &[]).with_code(3).saying(&["is damaged: "]);
}
