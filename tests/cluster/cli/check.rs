//! `lockstep check`: all problems with exit code 2, the values with their origins, and one document of JSON.

use lockstep::cli::check;
use lockstep_config::{Origin, Override, from_environment};
use std::path::{Path, PathBuf};

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/demo.toml")
}

fn flag(key: &str, value: &str) -> Override {
    (key.into(), value.into(), Origin::Flag("--some-flag".into()))
}

fn check(path: &Path, overrides: &[Override], effective: bool, json: bool) -> (u8, String) {
    let mut out = Vec::new();
    let code = check::run(Some(path), overrides, effective, json, false, &mut out).expect("memory takes all");
    (code, String::from_utf8(out).expect("text"))
}

#[test]
fn check_says_ok_and_exits_0_or_tells_all_problems_and_exits_2() {
    let good = demo();
    let (code, text) = check(&good, &[], false, false);
    assert_eq!(code, 0);
    assert!(text.ends_with("configs/demo.toml: ok: cluster 1, profile shared, replicas 1, 2, 3\n"), "{text}");
    let (code, text) =
        check(&good, &[flag("stream.durability", "x"), flag("runtime.idle", "x")], false, false);
    assert_eq!(code, 2);
    assert!(
        text.contains("error[LS0106]: stream.durability") && text.contains("error[LS0106]: runtime.idle"),
        "{text}"
    );
    assert!(text.ends_with("configs/demo.toml: 2 problems\n"), "{text}");
}

#[test]
fn check_effective_prints_each_value_with_its_origin() {
    let (_, text) = check(&demo(), &from_environment([("LOCKSTEP_LOG_LEVEL", "debug")]), true, false);
    let row = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_string();
    let words: Vec<_> = row("log.level ").split_whitespace().map(str::to_string).collect();
    assert_eq!(words, ["log.level", "debug", "env", "LOCKSTEP_LOG_LEVEL"]);
    assert!(row("timing.heartbeat_interval ").contains("configs/demo.toml:"), "{text}");
}

#[test]
fn check_json_is_one_document_with_a_versioned_schema() {
    let (code, text) = check(&demo(), &[], true, true);
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &report["schema"], &report["ok"]), (0, &"lockstep.check/1".into(), &true.into()));
    assert_eq!(report["effective"][0]["key"], "cluster");
    let (code, text) = check(Path::new("/no/such/file.toml"), &[], true, true);
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &report["ok"], &report["problems"][0]["code"]), (2, &false.into(), &"LS0100".into()));
}
