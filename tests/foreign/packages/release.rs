//! What a release has beside the package: a signature by which a changed byte is refused, an image of a
//! container that programs of others read, and a program that cargo installs.

use super::{root, run};
use lockstep_process::child::clear_settings;
use lockstep_testkit::lane::amount;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const PAGE: &str = include_str!("../../../docs/DEPLOY.md");

/// Stands for the program of a release, which has many times as many bytes.
const PROGRAM: &str = "/bin/sh";

fn printed(output: &Output) -> String {
    lockstep_testkit::child::printed(output)
}

/// Runs one of the scripts of a release.
fn script(name: &str, args: &[&Path], settings: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(root().join("tools").join(name));
    command.args(args).env("SOURCE_DATE_EPOCH", "1800000000").env_remove("LOCKSTEP_SIGNING_KEY");
    command.envs(settings.iter().copied()).output().expect("bash")
}

/// Whether ssh-keygen, which tells its usage when it is asked nothing, can be run.
fn has_keygen() -> bool {
    let has = Command::new("ssh-keygen").arg("-?").output().is_ok();
    if !has {
        println!("SKIPPED: ssh-keygen is not installed (apt-get install openssh-client)");
    }
    has
}

/// A new key, and a line that allows it.
fn key(folder: &Path, name: &str) -> (PathBuf, String) {
    let path = folder.join(name);
    let mut command = Command::new("ssh-keygen");
    let made = command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path).output();
    assert!(made.is_ok_and(|made| made.status.success()), "{name}");
    let public = fs::read_to_string(path.with_extension("pub")).expect("its public half");
    (path, format!("lockstep namespaces=\"lockstep-release\" {public}"))
}

/// The commands of the page, in the folder of a release.
fn verify(release: &Path) -> Output {
    let (before, rest) = PAGE.split_once("ssh-keygen -Y verify").expect("the page verifies");
    assert!(before.ends_with("```sh machine\n"), "it is the begin of a block");
    let (block, _) = rest.split_once("\n```\n").expect("its end");
    let block = format!("ssh-keygen -Y verify{block}");
    Command::new("sh").args(["-ec", &block]).current_dir(release).output().expect("sh")
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("a file");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("writing");
}

#[test]
fn a_release_with_a_changed_byte_or_another_signature_is_refused_by_the_commands_of_the_page() {
    if !has_keygen() {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let release = folder.path().join("release");
    fs::create_dir(&release).expect("a folder");
    let (archive, other) = (release.join("lockstep.tar.gz"), release.join("lockstep.cdx.json"));
    fs::write(&archive, fs::read(PROGRAM).expect("the program")).expect("writing");
    fs::write(&other, "{}").expect("writing");
    let (own, line) = key(folder.path(), "own");
    let (another, other_line) = key(folder.path(), "another");
    let signers = folder.path().join("allowed_signers");
    let text = include_str!("../../../contrib/release/allowed_signers");
    fs::write(&signers, format!("{text}{line}")).expect("writing");
    let sign = |key: &Path, signers: &Path| {
        script("sign.sh", &[&release], &[("LOCKSTEP_SIGNING_KEY", key), ("LOCKSTEP_SIGNERS", signers)])
    };
    let is_taken = || verify(&release).status.success();

    let unsigned = script("sign.sh", &[&release], &[]);
    assert!(
        printed(&unsigned).contains("not signed: LOCKSTEP_SIGNING_KEY names no key"),
        "{}",
        printed(&unsigned)
    );
    fs::copy(&signers, release.join("allowed_signers")).expect("a copy");
    assert!(!is_taken(), "there is no signature");
    fs::remove_file(release.join("allowed_signers")).expect("a file");

    let refused = sign(&another, &signers);
    assert!(
        !refused.status.success() && printed(&refused).contains("does not have the key"),
        "{}",
        printed(&refused)
    );
    assert!(!release.join("SHA256SUMS.sig").exists(), "nobody shall take it for signed");
    let signed = sign(&own, &signers);
    assert!(signed.status.success(), "{}", printed(&signed));
    let sums = fs::read_to_string(release.join("SHA256SUMS")).expect("sums");
    assert!(sums.lines().count() == 2 && sums.contains("  lockstep.tar.gz\n"), "{sums}");
    fs::copy(&signers, release.join("allowed_signers")).expect("a copy");
    assert!(is_taken(), "{}", printed(&verify(&release)));

    let last = fs::metadata(&archive).expect("a file").len() as usize - 1;
    for (path, at) in [(&archive, last), (&archive, 0), (&release.join("SHA256SUMS"), 0), (&other, 1)] {
        flip(path, at);
        assert!(!is_taken(), "a byte of {} was changed", path.display());
        flip(path, at);
        assert!(is_taken(), "it was changed back: {}", printed(&verify(&release)));
    }
    // An operator may take the one file that he needs.
    fs::remove_file(&other).expect("a file");
    assert!(is_taken(), "{}", printed(&verify(&release)));

    // A release of somebody else: its own sums and its own signature.
    fs::remove_file(release.join("allowed_signers")).expect("a file");
    flip(&archive, 0);
    let theirs = folder.path().join("theirs");
    fs::write(&theirs, other_line).expect("writing");
    assert!(sign(&another, &theirs).status.success());
    fs::copy(&signers, release.join("allowed_signers")).expect("a copy");
    assert!(!is_taken(), "the repository does not have its key");
}

/// The files of an archive, as tar unpacks them into `folder`.
fn unpack(archive: &Path, folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    let unpacked = Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(folder).output().expect("tar");
    assert!(unpacked.status.success(), "{}", printed(&unpacked));
}

/// The blob of a layout that a descriptor names; its digest and its size are right.
fn blob(layout: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
    let path = layout.join("blobs/sha256").join(digest.expect("a digest"));
    assert_eq!(Some(fs::metadata(&path).expect("a blob").len()), descriptor["size"].as_u64(), "{descriptor}");
    assert_eq!(Some(sum(&path).as_str()), digest, "{descriptor}");
    path
}

fn sum(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().expect("sha256sum");
    String::from_utf8_lossy(&output.stdout).split(' ').next().expect("a digest").to_owned()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

#[test]
fn the_image_has_the_program_alone_as_the_containerfile_has_it_and_is_equal_wherever_it_is_made() {
    let folder = TempDir::new().expect("a folder");
    let made = |name: &str| {
        let image = folder.path().join(name);
        let output = script("image.sh", &[Path::new(PROGRAM), Path::new("1.2.3"), &image], &[]);
        assert!(output.status.success(), "{}", printed(&output));
        image
    };
    let image = made("image.tar");
    assert_eq!(sum(&image), sum(&made("again.tar")));
    let layout = folder.path().join("layout");
    unpack(&image, &layout);
    let index = json(&layout.join("index.json"));
    let manifest = json(&blob(&layout, &index["manifests"][0]));
    let config = json(&blob(&layout, &manifest["config"]));
    let layer = blob(&layout, &manifest["layers"][0]);
    let listed =
        Command::new("tar").arg("-tvzf").arg(&layer).args(["--numeric-owner"]).output().expect("tar");
    let listed = printed(&listed);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let files: Vec<_> =
        listed.lines().map(words).map(|words| [0, 1, 5].map(|at| words[at].clone())).collect();
    let wanted = [
        ["-rwxr-xr-x", "0/0", "lockstep"],
        ["drwxr-xr-x", "0/0", "var/"],
        ["drwxr-xr-x", "0/0", "var/lib/"],
        ["drwxr-xr-x", "7700/7700", "var/lib/lockstep/"],
    ];
    assert_eq!(files, wanted);
    let within = folder.path().join("root");
    unpack(&layer, &within);
    assert_eq!(sum(&within.join("lockstep")), sum(Path::new(PROGRAM)));
    let mut unzip = Command::new("sh");
    let unzipped = unzip.args(["-c", "gzip -dc \"$0\" | sha256sum"]).arg(&layer).output().expect("gzip");
    let inner = config["rootfs"]["diff_ids"][0].as_str().and_then(|id| id.strip_prefix("sha256:"));
    assert!(inner.is_some_and(|inner| printed(&unzipped).starts_with(inner)), "{config}");
    // The list for `docker load` leads to the same parts.
    let list = &json(&layout.join("manifest.json"))[0];
    let name = |part: &Value| layout.join(part.as_str().expect("a path"));
    assert_eq!(name(&list["Config"]), blob(&layout, &manifest["config"]));
    assert_eq!((name(&list["Layers"][0]), &list["RepoTags"][0]), (layer, &"lockstep:1.2.3".into()));

    let own = fs::read_to_string(root().join("contrib/container/Containerfile")).expect("a file");
    let line = |key: &str| own.lines().find_map(|line| line.strip_prefix(key)).expect("a line").trim();
    let set = &config["config"];
    assert_eq!((&set["User"], &set["WorkingDir"]), (&line("USER").into(), &line("WORKDIR").into()));
    let parsed = |key| serde_json::from_str::<Value>(line(key)).expect("a list");
    assert_eq!((&set["Entrypoint"], &set["Cmd"]), (&parsed("ENTRYPOINT"), &parsed("CMD")));
}

#[test]
fn a_program_of_others_reads_the_image_in_both_of_its_forms() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        println!("SKIPPED: skopeo is not installed (apt-get install skopeo)");
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let image = folder.path().join("image.tar");
    let made = script("image.sh", &[Path::new(PROGRAM), Path::new("1.2.3"), &image], &[]);
    assert!(made.status.success(), "{}", printed(&made));
    for form in ["oci-archive", "docker-archive"] {
        let (from, to) = (format!("{form}:{}", image.display()), folder.path().join(form));
        let to = format!("dir:{}", to.display());
        // It checks each digest.
        let args = ["copy", "--insecure-policy", "--quiet", &from, &to];
        let copied = run("skopeo", &args).expect("it is there");
        assert!(copied.status.success(), "{form}: {}", printed(&copied));
        let found = run("skopeo", &["inspect", "--config", &from]).expect("it is there");
        let found: Value = serde_json::from_slice(&found.stdout).expect("JSON");
        assert_eq!(found["config"]["User"], "7700:7700", "{form}: {found}");
    }
}

#[test]
fn cargo_installs_the_program_of_operators() {
    if !amount(false, true) {
        println!("SKIPPED: the program is installed by cargo at night alone");
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let mut install = Command::new("cargo");
    // As the page says, but that it is compiled as tests are.
    install.args(["install", "--locked", "--debug", "--quiet", "--path"]).arg(root());
    install.arg("--root").arg(folder.path());
    clear_settings(&mut install);
    let installed = install.output().expect("cargo");
    assert!(installed.status.success(), "{}", printed(&installed));
    let own = folder.path().join("bin/lockstep");
    let version = Command::new(&own).arg("--version").output().expect("it is there");
    assert_eq!(printed(&version), format!("lockstep {}\n", env!("CARGO_PKG_VERSION")));
    let names: Vec<_> = fs::read_dir(folder.path().join("bin")).expect("a folder").collect();
    assert_eq!(names.len(), 1, "the program alone: {names:?}");
}
