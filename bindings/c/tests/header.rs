//! lockstep.h is what cbindgen writes from the sources.

use std::ffi::CStr;
use std::fs;
use std::path::Path;

#[test]
fn the_header_in_the_repository_is_that_of_the_sources() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in ["src/status.rs", "src/types.rs", "src/endpoint.rs", "src/participant.rs", "src/request.rs"]
    {
        builder = builder.with_src(folder.join(source));
    }
    for source in ["src/publisher.rs", "src/subscriber.rs", "src/cursor_file.rs", "src/merged.rs"] {
        builder = builder.with_src(folder.join(source));
    }
    for source in ["src/machine.rs", "src/app.rs", "src/trial.rs"] {
        builder = builder.with_src(folder.join(source));
    }
    for source in ["kind.rs", "event.rs", "merged.rs", "input.rs"] {
        builder = builder.with_src(folder.join("../flat/src").join(source));
    }
    let mut written = Vec::new();
    builder.generate().expect("a header").write(&mut written);
    let written = String::from_utf8(written).expect("UTF-8");
    // Names and links as C has them.
    let written =
        written.replace("[`FlatKind`]", "`lockstep_event_kind`").replace("[`", "`").replace("`]", "`");
    let path = folder.join("include/lockstep.h");
    if std::env::var_os("REWRITE").is_some() {
        fs::write(&path, &written).expect("the header");
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == written,
        "{} differs from the sources: REWRITE=1 cargo test -p lockstep-c --test header, and read the diff",
        path.display()
    );
}

#[test]
fn each_status_of_the_header_has_its_name() {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/lockstep.h");
    let header = fs::read_to_string(header).expect("the header");
    let lines = header.lines().filter_map(|line| line.trim().strip_prefix("LOCKSTEP_STATUS_"));
    let statuses: Vec<_> = lines.filter_map(|line| line.trim_end_matches(',').split_once(" = ")).collect();
    assert!(statuses.len() > 17, "{statuses:?}");
    for (name, number) in statuses {
        let number = number.parse().expect("a number");
        // SAFETY: the function returns a text that ends with 0 and lives as long as the program.
        let named = unsafe { CStr::from_ptr(lockstep_c::lockstep_status_name(number)) };
        assert_eq!(named.to_str(), Ok(name));
    }
    // SAFETY: as above.
    let none = unsafe { CStr::from_ptr(lockstep_c::lockstep_status_name(-1)) };
    assert_eq!(none.to_str(), Ok("UNKNOWN"));
}
