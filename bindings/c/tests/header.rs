//! lockstep.h is what cbindgen writes from the sources.

use std::fs;
use std::path::Path;

#[test]
fn the_header_in_the_repository_is_that_of_the_sources() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in
        ["src/status.rs", "src/types.rs", "src/endpoint.rs", "src/publisher.rs", "src/subscriber.rs"]
    {
        builder = builder.with_src(folder.join(source));
    }
    builder = builder.with_src(folder.join("src/participant.rs"));
    for source in ["kind.rs", "event.rs"] {
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
