//! Room for the load.

use lockstep_bench::languages::require_room;

#[test]
fn a_disk_that_the_load_would_fill_is_refused_before_it_does() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(require_room(folder.path(), 0.0), Ok(()));
    let refused = require_room(folder.path(), 1e12).expect_err("no disk has so much");
    assert!(refused.contains("MiB free") && refused.contains("TMPDIR"), "{refused}");
}
