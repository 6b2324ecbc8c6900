//! What a process uses.

use lockstep_bench::fleet::children;
use lockstep_bench::usage::{Usage, cpu_ns, folder_bytes, tree_cpu_ns, unnamed_bytes};
use std::fs;
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

#[test]
fn a_process_that_computes_is_counted_and_one_that_is_gone_is_an_error() {
    let busy = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn();
    let mut busy = busy.expect("a shell");
    let before = cpu_ns(busy.id()).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while cpu_ns(busy.id()).unwrap() < before + 20_000_000 {
        assert!(Instant::now() < until, "it computes, and nothing is counted");
    }
    let pid = busy.id();
    let of_child = tree_cpu_ns(pid);
    assert!(of_child > 0 && tree_cpu_ns(std::process::id()) >= of_child);
    busy.kill().unwrap();
    busy.wait().unwrap();
    assert!(cpu_ns(pid).is_err() && children(pid).is_empty() && Usage::of(pid).is_none());
}

#[test]
fn a_process_that_opens_a_file_has_more_descriptors_and_bytes_without_a_name_are_found() {
    let own = std::process::id();
    let usage = Usage::of(own).expect("it runs");
    assert!(usage.resident >= usage.anonymous && usage.anonymous > 0 && usage.threads > 0);
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&[1; 1 << 20]).unwrap();
    file.sync_all().unwrap();
    assert!(unnamed_bytes(own) >= 1 << 20);
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("inner")).unwrap();
    let mut named = File::create(folder.path().join("inner/file")).unwrap();
    named.write_all(&[1; 1 << 20]).unwrap();
    named.sync_all().unwrap();
    assert!(folder_bytes(folder.path()) >= 1 << 20);
    let few = usage.plus(usage);
    assert_eq!((few.threads, few.descriptors), (2 * usage.threads, 2 * usage.descriptors));
}
