//! # config: what a configuration may say, and what it is told when it may not
//!
//! `refusals` has one test for each refusal. Here stands the rest of the promise: all problems at
//! once, the order of the layers, where each value comes from, the examples, and that the reference
//! forgets no key.

mod channels;
mod refusals;
mod sets;
mod values;

use lockstep_config::{
    Code, Config, ConfigErrors, Durability, Idle, InterfaceSetting, KeyUse, Origin, Override, Profile,
    Scheduling, from_environment, key_paths, reference, variable,
};
use lockstep_core::proto::repairers::RepairerKind;
use lockstep_io::key_file::KeyFile;
use lockstep_wire::KeyClass;
use proptest::prelude::*;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Three replicas on one host; every key that has a default is left out.
const SHARED: &str = r#"cluster = 7
profile = "shared"
[[lines]]
submit = "239.77.1.1:7700"
data = "239.77.1.2:7700"
control = "239.77.1.3:7700"
interface = "lo"
ttl = 0
[[replicas]]
id = 1
unicast = "127.0.0.1:7701"
journal = "/j/1"
[[replicas]]
id = 2
unicast = "127.0.0.1:7702"
journal = "/j/2"
[stream]
"#;

/// Two replicas on two hosts.
const PRODUCTION: &str = r#"cluster = 7
profile = "production"
[[lines]]
submit = "239.77.1.1:7700"
data = "239.77.1.2:7700"
control = "239.77.1.3:7700"
interface = "eth1"
ttl = 1
[[replicas]]
id = 1
unicast = "10.0.0.1:7701"
journal = "/j"
[[replicas]]
id = 2
unicast = "10.0.0.2:7701"
journal = "/j"
[stream]
"#;

/// One replica on its own host, without a standby.
const SINGLE: &str = r#"cluster = 7
profile = "shared"
[[lines]]
submit = "239.77.1.1:7700"
data = "239.77.1.2:7700"
control = "239.77.1.3:7700"
interface = "lo"
ttl = 0
[[replicas]]
id = 1
unicast = "127.0.0.1:7701"
journal = "/j/1"
[stream]
"#;

/// A cluster that nobody is in.
const NO_REPLICA: &str = r#"cluster = 7
profile = "shared"
[[lines]]
submit = "239.77.1.1:7700"
data = "239.77.1.2:7700"
control = "239.77.1.3:7700"
interface = "lo"
"#;

/// A second line.
const SECOND_LINE: &str = r#"[[lines]]
submit = "239.77.9.1:7700"
data = "239.77.9.2:7700"
control = "239.77.9.3:7700"
interface = "lo"
[stream]"#;

/// One too many.
const THIRD_LINE: &str = r#"[[lines]]
submit = "239.77.10.1:7700"
data = "239.77.10.2:7700"
control = "239.77.10.3:7700"
interface = "lo"
[stream]"#;

/// `base` with each first text replaced by its second. A text that is not there is a wrong test.
fn changed(base: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(base.to_string(), |text, (from, to)| {
        assert!(text.contains(from), "the base file has no {from:?} to change");
        text.replacen(from, to, 1)
    })
}

fn parse(text: &str, overrides: &[Override]) -> Result<Config, ConfigErrors> {
    Config::parse(Path::new("c.toml"), text, overrides)
}

/// Each problem of `text` on one line.
fn problems(text: &str) -> Vec<String> {
    problems_with(text, &[])
}

fn problems_with(text: &str, overrides: &[Override]) -> Vec<String> {
    let errors = parse(text, overrides).expect_err("a file that is refused");
    errors.problems().iter().map(ToString::to_string).collect()
}

fn accepted(text: &str, overrides: &[Override]) -> Config {
    parse(text, overrides).unwrap_or_else(|errors| panic!("a file that is accepted was refused:\n{errors}"))
}

fn flag(key: &str, value: &str) -> Override {
    (key.into(), value.into(), Origin::Flag("--some-flag".into()))
}

fn env(name: &str, value: &str) -> Vec<Override> {
    from_environment([(name.to_string(), value.to_string())])
}

/// Value and origin of `key` as `check --effective` prints them.
fn effective(config: &Config, key: &str) -> String {
    let row = config.effective().iter().find(|row| row.0 == key);
    row.map_or(format!("{key} has no value"), |(_, value, origin)| format!("{value} from {origin}"))
}

fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Path and text of each file in `configs/`.
fn examples() -> Vec<(PathBuf, String)> {
    let folder = fs::read_dir(repository().join("configs")).expect("the examples");
    let mut paths: Vec<_> = folder.map(|entry| entry.expect("an example").path()).collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(path).expect("an example's text")))
        .collect()
}

// ---------------------------------------------------------------------------- all problems at once

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = changed(
        SHARED,
        &[
            ("cluster = 7", "cluster = \"seven\""),
            ("239.77.1.2:7700", "10.0.0.1:7700"),
            ("id = 2", "id = 1"),
            (
                "[stream]",
                "[stream]\nwindow_bytes = \"1GiB\"\n[timing]\nheartbeet_interval = \"1ms\"\nheartbeat_interval = 1",
            ),
        ],
    );
    assert_eq!(
        problems_with(&text, &[flag("stream.durability", "paper")]),
        [
            "LS0104: cluster: the text \"seven\" where a whole number is needed; write a whole number from 1 \
             to 9223372036854775807 (c.toml:1:11)",
            "LS0109: lines.1.data: 10.0.0.1 is not a multicast address; write a group of 239.0.0.0/8, e.g. \
             \"239.77.0.1:7000\" (c.toml:5:8)",
            "LS0113: replicas.#2.id: 1 is used by replicas.1.id already; give each replica its own id \
             (c.toml:14:6)",
            "LS0118: stream.window_bytes: a window of 1GiB needs a tail of four times its size, and \
             journal.tail_size is 256MiB; write window_bytes = \"64MiB\" or less, or tail_size = \"4GiB\" or \
             more (c.toml:18:16)",
            "LS0102: timing.heartbeet_interval: is not a key; did you mean heartbeat_interval? (c.toml:20:1)",
            "LS0105: timing.heartbeat_interval: 1 has no unit, and a duration needs one; write \"1us\", \"1ms\" or \"1s\" \
             (c.toml:21:22)",
            "LS0106: stream.durability: \"paper\" is not a choice; write \"process\" or \"power\" (flag \
             --some-flag)",
        ]
    );
}

#[test]
fn problems_beside_broken_toml_are_told_with_it_but_nothing_is_concluded_from_it() {
    let text = "cluster = \nprofile = \"prod\"\n[[lines]\n";
    assert_eq!(
        problems(text),
        [
            "LS0101: string values must be quoted, expected literal string; write [table] or key = value, \
             with text, durations, sizes and addresses in quotes (c.toml:1:11)",
            "LS0106: profile: \"prod\" is not a choice; did you mean \"production\"? write \"production\" or \
             \"shared\" (c.toml:2:11)",
            "LS0101: unclosed array table, expected `]`; write [table] or key = value, with text, durations, \
             sizes and addresses in quotes (c.toml:3:9)",
        ]
    );
}

#[test]
fn a_problem_is_shown_with_its_line_and_what_it_collides_with() {
    let text = changed(SHARED, &[("127.0.0.1:7702", "127.0.0.1:7701")]);
    let expected = r#"error[LS0114]: replicas.2.unicast: 127.0.0.1:7701 is used by replicas.1.unicast already
  --> c.toml:15:11
   |
11 | unicast = "127.0.0.1:7701"
   |           ---------------- replicas.1.unicast is set here
...
15 | unicast = "127.0.0.1:7701"
   |           ^^^^^^^^^^^^^^^^
   |
   = help: give each replica its own unicast

c.toml: 1 problem"#;
    assert_eq!(parse(&text, &[]).expect_err("a refusal").to_string(), expected);
}

#[test]
fn columns_count_characters_and_not_bytes() {
    let text = changed(SHARED, &[("cluster = 7", "cluster = 7 # ärger\n\"ä\" = 1")]);
    assert!(problems(&text)[0].ends_with("(c.toml:2:1)"), "{:?}", problems(&text));
    let inline = changed(NO_REPLICA, &[("cluster = 7", "cluster = 7\nreplicas = [{ \"ä\" = 1, id = 0 }]")]);
    let found = problems(&inline);
    assert!(found.iter().any(|problem| problem.ends_with("from 1 to 255 (c.toml:2:29)")), "{found:?}");
}

#[test]
fn every_code_has_a_test_and_a_place_in_the_reference() {
    let tests = [include_str!("main.rs"), include_str!("refusals.rs"), include_str!("sets.rs")].concat();
    let reference = fs::read_to_string(repository().join("docs/CONFIGURATION.md")).expect("the reference");
    for code in Code::ALL {
        assert!(tests.contains(&format!("\"{}: ", code.as_str())), "{} is refused by no test", code.as_str());
        let row = format!("| {} | {} |", code.as_str(), code.meaning());
        assert!(reference.contains(&row), "docs/CONFIGURATION.md lacks the row\n{row}");
    }
}

/// The error names the missing file, and the command that makes it.
#[test]
fn a_process_without_its_key_file_is_told_how_to_make_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("keys");
    let table = format!("[security]\nkeys = {:?}\n[stream]", keys.display().to_string());
    let config = accepted(&changed(SHARED, &[("[stream]", &table)]), &[]);
    let error = config.keys(KeyUse::Node).expect_err("no file").to_string();
    let begin = "LS0124: security.keys: ";
    assert!(
        error.starts_with(begin) && error.contains("replica.keys") && error.ends_with("(c.toml:18:8)"),
        "{error}"
    );
    assert!(error.contains("`lockstep keys new`"), "{error}");

    KeyFile::draw(8).unwrap().write_folder(&keys).unwrap();
    let error = config.keys(KeyUse::Node).expect_err("another cluster's").to_string();
    assert!(error.contains("it has the keys of cluster 8, and this is cluster 7"), "{error}");

    fs::remove_dir_all(&keys).unwrap();
    KeyFile::draw(7).unwrap().write_folder(&keys).unwrap();
    let own = |usage| config.keys(usage).map(|keys| keys.own());
    assert_eq!(own(KeyUse::Node), Ok(Some(KeyClass::Replica)));
    assert_eq!(own(KeyUse::Handle), Ok(Some(KeyClass::Publisher(0))));
    fs::copy(keys.join("reader.keys"), keys.join("replica.keys")).unwrap();
    let error = config.keys(KeyUse::Node).expect_err("a reader's file under a replica's name").to_string();
    assert!(error.contains("lacks the keys of a replica"), "{error}");
    fs::remove_file(keys.join("publisher.keys")).unwrap();
    assert_eq!(own(KeyUse::Handle), Ok(Some(KeyClass::Reader)), "a program that has a reader's keys reads");
    fs::remove_file(keys.join("replica.keys")).unwrap();
    assert_eq!(
        own(KeyUse::Operator),
        Ok(Some(KeyClass::Reader)),
        "an operator without a replica's keys looks"
    );
}

#[test]
fn eight_replicas_are_refused() {
    let more: String = (3..=8)
        .map(|id| {
            format!("[[replicas]]\nid = {id}\nunicast = \"127.0.0.1:{}\"\njournal = \"/j/{id}\"\n", 7700 + id)
        })
        .collect();
    assert_eq!(
        problems(&changed(SHARED, &[("[stream]\n", &more)])),
        ["LS0112: replicas: there are 8 replicas, and a membership has at most 7; keep 7 or fewer: five \
             survive any two (c.toml:37:1)"]
    );
}

#[test]
fn an_empty_file_is_told_all_that_it_lacks() {
    assert_eq!(
        problems(""),
        [
            "LS0103: cluster: is required and missing; add cluster = 1, the number of this cluster \
             (c.toml:1:1)",
            "LS0103: profile: is required and missing; add profile = \"production\" or \"shared\" \
             (c.toml:1:1)",
            "LS0111: lines: there is no line; add one [[lines]] with its groups and interface (c.toml:1:1)",
            "LS0112: replicas: there is no replica; add [[replicas]], one for each; three survive one \
             (c.toml:1:1)",
        ]
    );
}

// ---------------------------------------------------------------------------- files

#[test]
fn a_missing_file_is_told_by_name() {
    let errors = Config::load(Some(Path::new("/no/such/file.toml")), &[]).expect_err("a missing file");
    assert_eq!(
        errors.problems()[0].to_string(),
        "LS0100: reading the configuration failed: No such file or directory (os error 2); name a readable \
         file (as argument, by --config or LOCKSTEP_CONFIG); `lockstep dev` runs a cluster to try and prints its file"
    );
    assert!(errors.to_string().contains("/no/such/file.toml"), "{errors}");
}

#[test]
fn no_file_at_all_is_told_how_to_name_one() {
    let errors = Config::load(None, &[]).expect_err("no file");
    assert_eq!(
        errors.problems()[0].to_string(),
        "LS0100: no configuration file was named; give one with --config FILE or LOCKSTEP_CONFIG"
    );
}

#[test]
fn a_file_that_is_not_utf8_is_told_the_byte() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("c.toml");
    fs::write(&path, b"cluster = 7 # \xff").expect("a written file");
    let errors = Config::load(Some(&path), &[]).expect_err("not UTF-8");
    assert_eq!(
        errors.problems()[0].to_string(),
        "LS0100: byte 14 is not UTF-8, as TOML demands; save the file as UTF-8"
    );
}

// ---------------------------------------------------------------------------- layers and origins

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let file = changed(SHARED, &[("[stream]", "[runtime]\nidle = \"park\"")]);
    let variable = env("LOCKSTEP_RUNTIME_IDLE", "spin");
    let mut both = vec![flag("runtime.idle", "yield")];
    both.extend(variable.clone());
    for (text, overrides, idle, expected) in [
        (SHARED, &[][..], Idle::Adapt, "adapt from default (profile shared)"),
        (&file, &[][..], Idle::Park, "park from c.toml:18:8"),
        (&file, &variable, Idle::Spin, "spin from env LOCKSTEP_RUNTIME_IDLE"),
        (&file, &both, Idle::Yield, "yield from flag --some-flag"),
    ] {
        let config = accepted(text, overrides);
        assert_eq!(config.runtime.idle, idle);
        assert_eq!(effective(&config, "runtime.idle"), expected);
    }
}

#[test]
fn a_flag_does_not_hide_what_is_wrong_in_the_file() {
    // The file stays wrong on every other machine, so it is refused here as well.
    let file = changed(SHARED, &[("[stream]", "[runtime]\nidle = \"sleep\"")]);
    assert_eq!(problems_with(&file, &[flag("runtime.idle", "yield")]).len(), 1);
}

#[test]
fn defaults_follow_from_profile_and_other_keys_and_say_so() {
    let config = accepted(PRODUCTION, &[]);
    for (key, expected) in [
        ("runtime.idle", "spin from default (profile production)"),
        ("timing.heartbeat_interval", "1ms from default"),
        ("runtime.mlock", "true from default (profile production)"),
        ("journal.tail_size", "256MiB from default"),
        ("stream.message_len_max", "65536 from default (what a publisher holds, at most 65536)"),
        ("replicas.2.tail", "/dev/shm/lockstep-7-2.tail from default (from cluster and id)"),
        ("replicas.2.core", "replicas.2.core has no value"),
    ] {
        assert_eq!(effective(&config, key), expected);
    }
    let config = accepted(SHARED, &[]);
    assert_eq!(effective(&config, "runtime.idle"), "adapt from default (profile shared)");
    let by_flag = accepted(PRODUCTION, &[flag("profile", "shared")]);
    assert_eq!(effective(&by_flag, "runtime.idle"), "adapt from default (profile shared)");
}

#[test]
fn a_variable_reaches_a_line_by_position_and_a_replica_by_id() {
    let mut overrides = env("LOCKSTEP_REPLICAS_2_CORE", "3");
    overrides.extend(env("LOCKSTEP_LINES_1_INTERFACE", "10.0.0.2"));
    let config = accepted(PRODUCTION, &overrides);
    assert_eq!(config.replica(2).expect("replica 2").core, Some(3));
    assert_eq!(config.replica(1).expect("replica 1").core, None);
    // In the file this address would be refused: there it would hold for every machine.
    assert_eq!(config.lines[0].interface, InterfaceSetting::Address([10, 0, 0, 2].into()));
}

/// The variables of this process may be set by whoever starts it only, so the test starts itself.
#[test]
fn a_program_with_the_library_reads_the_file_and_the_variables_that_the_daemons_read() {
    const NAME: &str = "a_program_with_the_library_reads_the_file_and_the_variables_that_the_daemons_read";
    const IDLE: &str = "LOCKSTEP_RUNTIME_IDLE";
    if std::env::var_os(IDLE).is_some() {
        let config = Config::from_env().unwrap();
        assert_eq!(effective(&config, "runtime.idle"), format!("spin from env {IDLE}"));
        assert!(effective(&config, "cluster").starts_with("7 from "));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lockstep.toml");
    fs::write(&file, SHARED).unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME])
        .env("LOCKSTEP_CONFIG", &file)
        .env(IDLE, "spin")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("1 passed"), "{output}");
}

#[test]
fn every_key_has_a_variable() {
    for path in key_paths().filter(|path| *path != "replicas.*.id") {
        let key = path.replace('*', "1");
        let found = env(&variable(&key), "x");
        assert_eq!(found.len(), 1, "{path}: {} is not ours", variable(&key));
        assert_eq!(found[0].0, key);
    }
}

#[test]
fn a_misspelt_variable_is_refused_and_a_foreign_one_is_left_alone() {
    assert_eq!(
        problems_with(SHARED, &env("LOCKSTEP_STREAM_DURABILTY", "power")),
        ["LS0123: stream.durabilty: there is no such key; did you mean stream.durability? (env \
          LOCKSTEP_STREAM_DURABILTY)"]
    );
    for foreign in
        ["LOCKSTEP_CONFIG", "LOCKSTEP_REPLICA", "LOCKSTEP_SERVICE_HOST", "LOCKSTEP_PORT", "STREAM_DURABILITY"]
    {
        assert_eq!(env(foreign, "x"), [], "{foreign}");
    }
}

#[test]
fn a_variable_that_is_not_utf_8_is_refused_and_not_passed_over() {
    let bytes = |text: &[u8]| OsString::from_vec(text.to_vec());
    let of = |name: &[u8], value: &[u8]| from_environment([(bytes(name), bytes(value))]);
    assert_eq!(
        problems_with(SHARED, &of(b"LOCKSTEP_STREAM_DURABILITY", b"pow\xffer")),
        ["LS0104: stream.durability: \"pow\u{fffd}er\" is not UTF-8; write the value in UTF-8; a path with \
          other bytes needs another name (env LOCKSTEP_STREAM_DURABILITY)"]
    );
    // A path, which the file's own rules would take as it is.
    let problems = problems_with(SHARED, &of(b"LOCKSTEP_REPLICAS_1_JOURNAL", b"/srv/\xe9t\xe9"));
    assert!(problems.len() == 1 && problems[0].starts_with("LS0104: replicas.1.journal: "), "{problems:?}");
    let problems = problems_with(SHARED, &of(b"LOCKSTEP_STREAM_DURABILIT\xff", b"power"));
    assert!(problems.len() == 1 && problems[0].contains("there is no such key"), "{problems:?}");
    assert_eq!(of(b"LOCKSTEP_SERVICE_HOST", b"\xff"), [], "a foreign one is left alone");
}

#[test]
fn an_override_for_a_replica_that_is_not_there_names_those_that_are() {
    assert_eq!(
        problems_with(SHARED, &[flag("replicas.9.core", "1")]),
        ["LS0123: replicas.9.core: there is no replicas.9; the file has replicas 1, 2 (flag --some-flag)"]
    );
}

#[test]
fn a_replica_that_does_not_exist_is_answered_with_those_that_do() {
    let config = accepted(SHARED, &[]);
    assert_eq!(
        config.replica(4).expect_err("no replica 4").to_string(),
        "LS0112: no replica 4; the file has 1, 2; name one of these with --replica"
    );
}

// ---------------------------------------------------------------------------- anything at all

proptest! {
    #[test]
    fn any_text_is_accepted_or_refused_and_never_panics(text in ".{0,200}") {
        let _ = parse(&text, &[]).map_err(|errors| errors.render(true));
    }

    #[test]
    fn a_damaged_file_is_accepted_or_refused_and_never_panics(
        production: bool, from in 0usize..400, len in 0usize..40, with in "[a-z0-9\"=\\[\\].#{} \nä-]{0,12}",
    ) {
        let mut text = if production { PRODUCTION } else { SHARED }.to_string();
        let from = from.min(text.len());
        text.replace_range(from..(from + len).min(text.len()), &with);
        match parse(&text, &[]) {
            Ok(config) => prop_assert!(!config.replicas.is_empty() && (1..=2).contains(&config.lines.len())),
            Err(errors) => prop_assert!(!errors.problems().is_empty() && !errors.to_string().is_empty()),
        }
    }
}

/// The variables that Kubernetes makes for a service of this name with a port of this name, and a container
/// engine for a linked container.
fn service_links(service: &str) -> Vec<(String, String)> {
    let name = service.to_uppercase().replace(['-', '.'], "_");
    let mut all = vec![(format!("{name}_PORT"), "tcp://10.0.48.109:9000".to_owned())];
    let mut add = |end: &str, value: &str| all.push((format!("{name}_{end}"), value.to_owned()));
    add("SERVICE_HOST", "10.0.48.109");
    add("SERVICE_PORT", "9000");
    add("SERVICE_PORT_FIX", "9000");
    add("SERVICE_PORT_SOUP_TCP", "9001");
    for (protocol, port) in [("TCP", "9000"), ("UDP", "7700"), ("SCTP", "1")] {
        let scheme = protocol.to_lowercase();
        add(&format!("PORT_{port}_{protocol}"), &format!("{scheme}://[fd00::1]:{port}"));
        add(&format!("PORT_{port}_{protocol}_PROTO"), &scheme);
        add(&format!("PORT_{port}_{protocol}_PORT"), port);
        add(&format!("PORT_{port}_{protocol}_ADDR"), "fd00::1");
    }
    all
}

#[test]
fn a_service_of_an_orchestrator_sets_no_key_whatever_it_is_called() {
    let mut services: Vec<String> = vec!["lockstep".into(), "lockstep-1".into(), "lockstep-a-b-c".into()];
    // One that is called like each table, each key, and a key of a replica.
    for path in lockstep_config::key_paths() {
        let table = path.split('.').next().unwrap_or(path);
        services.push(format!("lockstep-{table}").replace('_', "-"));
        services.push(format!("lockstep-{path}").replace('*', "1").replace('_', "-"));
        services.push(format!("lockstep-{table}-7").replace('_', "-"));
    }
    services.sort();
    services.dedup();
    for service in services {
        for (scheme, other) in [("tcp://", "tcp://"), ("tcp://", "udp://"), ("tcp://", "sctp://")] {
            let links = service_links(&service);
            let links = links.into_iter().map(|(name, value)| (name, value.replacen(scheme, other, 1)));
            let links: Vec<_> = links.collect();
            assert_eq!(from_environment(links.clone()), [], "{service}: {links:?}");
        }
    }
    // What an operator misspells is none, and is refused as before.
    for (name, value) in [("LOCKSTEP_GATEWAY_PORT", "9000"), ("LOCKSTEP_GATEWAY_HOST", "tcp://10.0.0.1:1")] {
        let found = from_environment([(name.to_owned(), value.to_owned())]);
        assert_eq!(found.len(), 1, "{name}");
    }
    // No variable of a key is taken for a link.
    for path in lockstep_config::key_paths() {
        let name = lockstep_config::variable(&path.replace('*', "1"));
        assert!(!lockstep_config::is_service_link(&name, "tcp://10.0.0.1:9000"), "{name}");
    }
}
