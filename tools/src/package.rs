//! # package: what a package has beside the program
//!
//! Manual pages and completions, made from the definition of the commands, so that they cannot differ from
//! it. `tools/release.sh` calls it; `Cargo.toml` ([package.metadata.deb]) says where each file goes.
//!
//! For tests there is a package of Debian from the same table, without `cargo deb`: of any program, in a
//! second.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Shells whose completions a package has, with the file's name there.
const SHELLS: [(&str, &str); 3] =
    [("bash", "lockstep.bash"), ("zsh", "_lockstep"), ("fish", "lockstep.fish")];

/// Writes one manual page for the program and one for each of its commands into `folder`.
///
/// # Errors
/// The folder cannot be written.
pub fn manual(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(lockstep::cli::command(), folder)
}

/// Writes the completions of `program` into `folder`.
///
/// # Errors
/// The folder cannot be written, or the program does not run.
pub fn completions(program: &Path, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (shell, file) in SHELLS {
        let output = Command::new(program).args(["completions", shell]).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(io::Error::other(format!("lockstep completions {shell}: {}", output.status)));
        }
        fs::write(folder.join(file), output.stdout)?;
    }
    Ok(())
}

/// The scripts that dpkg runs, in the folder that `Cargo.toml` names.
pub const MAINTAINER_SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Builds `package` of the repository in `root`: its files and scripts as `Cargo.toml` lists them, `program`,
/// and in `made` the manual pages and completions. `folder` is where its tree is laid.
///
/// # Errors
/// A file of the table is missing, or dpkg-deb refuses the tree.
pub fn debian(
    root: &Path,
    (program, made): (&Path, &Path),
    folder: &Path,
    version: &str,
) -> io::Result<PathBuf> {
    let text = fs::read_to_string(root.join("Cargo.toml"))?;
    let manifest: toml::Table = text.parse().map_err(io::Error::other)?;
    let table = &manifest["package"]["metadata"]["deb"];
    let strings = |value: &toml::Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|value| value.as_str().map(str::to_owned)).collect()
    };
    let tree = folder.join("tree");
    for asset in table["assets"].as_array().into_iter().flatten() {
        let [from, to, mode] = &strings(asset)[..] else { return Err(io::Error::other(asset.to_string())) };
        let mode = u32::from_str_radix(mode, 8).map_err(io::Error::other)?;
        let from = match from.strip_prefix("target/package/") {
            Some(inside) => made.join(inside),
            None if from == "target/dist/lockstep" => program.to_owned(),
            None => root.join(from),
        };
        for file in matching(&from)? {
            let to = match to.ends_with('/') {
                true => tree.join(to).join(file.file_name().unwrap_or_default()),
                false => tree.join(to),
            };
            copy(&file, &to, mode)?;
        }
    }
    let scripts = root.join(table["maintainer-scripts"].as_str().unwrap_or_default());
    for script in MAINTAINER_SCRIPTS {
        copy(&scripts.join(script), &tree.join("DEBIAN").join(script), 0o755)?;
    }
    let maintainer = table["maintainer"].as_str().unwrap_or_default();
    let control = format!(
        "Package: lockstep\nVersion: {version}\nArchitecture: all\nMaintainer: {maintainer}\nDescription: a test\n"
    );
    fs::write(tree.join("DEBIAN/control"), control)?;
    fs::write(tree.join("DEBIAN/conffiles"), strings(&table["conf-files"]).join("\n") + "\n")?;
    let package = folder.join(format!("lockstep_{version}_all.deb"));
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "-Znone", "--build"]).arg(&tree).arg(&package).stdout(Stdio::null());
    match build.status()?.success() {
        true => Ok(package),
        false => Err(io::Error::other("dpkg-deb refuses the tree")),
    }
}

/// The files of a path whose name may begin with `*`.
fn matching(path: &Path) -> io::Result<Vec<PathBuf>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (Some(suffix), Some(folder)) = (name.strip_prefix('*'), path.parent()) else {
        return Ok(vec![path.to_owned()]);
    };
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let paths = entries.into_iter().map(|entry| entry.path());
    Ok(paths.filter(|path| path.to_string_lossy().ends_with(suffix)).collect())
}

fn copy(from: &Path, to: &Path, mode: u32) -> io::Result<()> {
    let named = |error: io::Error| io::Error::other(format!("{}: {error}", from.display()));
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    fs::copy(from, to).map_err(named)?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))
}
