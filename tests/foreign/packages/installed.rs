//! The package, installed and removed by dpkg: over a copy of this machine's root that is thrown away, so
//! that nothing of the machine changes. `tools/fresh-root.sh` does it on fresh hosts with systemd.

use lockstep_testkit::processes::{is_root, program};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use tools::package;

/// Lays a writable copy over this machine's root.
const OVERLAY: &str = "
    mount -t tmpfs overlay /mnt
    mkdir /mnt/up /mnt/work /mnt/root
    mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/up,workdir=/mnt/work /mnt/root";

/// Runs `$1` in that copy, beside the packages of the folder `$2`. There is no /proc: no script can change a
/// setting of the kernel.
const RUN_THERE: &str = "
    mount -t tmpfs tmp /mnt/root/tmp
    mount -t tmpfs run /mnt/root/run
    mount --bind /dev /mnt/root/dev
    cp \"$2\"/*.deb \"$1\" /mnt/root/tmp/
    exec chroot /mnt/root env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive \\
        sh -ec '. /tmp/script'";

/// Whether there is what it takes.
pub(super) fn unsupported() -> Option<&'static str> {
    let runs = |program: &str, args: &[&str]| {
        Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
    };
    let is_able =
        is_root() && runs("dpkg-deb", &["--version"]) && runs("unshare", &["--mount", "sh", "-ec", OVERLAY]);
    (!is_able).then_some("a root of its own needs root, overlayfs and dpkg")
}

/// Manual pages, completions and packages of two versions, in `folder`. The program is without its symbols,
/// where that can be: they are four fifths of it.
fn packages(folder: &Path) {
    let made = folder.join("made");
    let stripped = folder.join("lockstep");
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(program()).status();
    let program = if strip.is_ok_and(|status| status.success()) { stripped } else { program() };
    package::manual(&made.join("man")).expect("pages");
    package::completions(&program, &made.join("completions")).expect("completions");
    for version in ["1", "2"] {
        let tree = folder.join(version);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = package::debian(root, (&program, &made), &tree, version).expect("a package");
        fs::rename(built, folder.join(format!("{version}.deb"))).expect("beside the others");
        fs::remove_dir_all(tree).expect("its tree");
    }
}

/// What the script prints, in namespaces of mounts and of what else `flags` name.
pub(super) fn in_a_root(folder: &Path, flags: &[&str], script: &str) -> String {
    let file = folder.join("script");
    fs::write(&file, script).expect("a script");
    let mut command = Command::new("unshare");
    let steps = [OVERLAY, RUN_THERE].concat();
    command.arg("--mount").args(flags).args(["sh", "-ec", &steps, "sh"]).arg(&file).arg(folder);
    let output = command.output().expect("unshare");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    printed
}

#[test]
fn a_package_installs_upgrades_and_goes_and_leaves_what_was_acknowledged() {
    if let Some(reason) = unsupported() {
        println!("SKIPPED: {reason}");
        return;
    }
    let folder = TempDir::new().expect("a folder");
    packages(folder.path());
    let printed = in_a_root(
        folder.path(),
        &["--net"],
        "# Triggers of other packages, as the index of manual pages, are none of ours.
         alias dpkg='dpkg --no-triggers --force-unsafe-io'
         dpkg -i /tmp/1.deb >/dev/null 2>&1
         stat -c '%n %U %a' /var/lib/lockstep /etc/lockstep /etc/lockstep/keys
         runuser -u lockstep -- lockstep --version
         dpkg -L lockstep | grep -E 'limits.d/|sysctl.d/|lockstep-sequencer|completions/lockstep'
         # An operator's change, a journal, and a unit that was enabled.
         echo '# mine' >>/etc/security/limits.d/lockstep.conf
         echo acknowledged >/var/lib/lockstep/journal
         mkdir -p /etc/systemd/system/multi-user.target.wants
         ln -s /usr/lib/systemd/system/lockstep-sequencer@.service \\
             /etc/systemd/system/multi-user.target.wants/lockstep-sequencer@1.service
         dpkg -i /tmp/2.deb >/dev/null 2>&1
         dpkg-query -W -f '${Version}\\n' lockstep
         tail -n 1 /etc/security/limits.d/lockstep.conf
         dpkg -L lockstep >/tmp/files
         dpkg -r lockstep >/dev/null 2>&1
         while read -r file; do [ ! -f \"$file\" ] || echo \"removed, there is $file\"; done </tmp/files
         dpkg -P lockstep 2>&1 | grep stays
         find /etc -name '*lockstep*' | sort
         cat /var/lib/lockstep/journal
         # One that nothing was done with leaves nothing.
         rm /var/lib/lockstep/journal
         dpkg -i /tmp/1.deb >/dev/null 2>&1
         dpkg -P lockstep >/dev/null 2>&1
         find /etc /usr/bin /usr/lib /usr/share /var/lib -name '*lockstep*' | sed 's/^/at last, there is /'",
    );
    let version = format!("lockstep {}", env!("CARGO_PKG_VERSION"));
    let wanted = [
        "/var/lib/lockstep lockstep 700",
        "/etc/lockstep root 755",
        "/etc/lockstep/keys lockstep 700",
        &version,
        "/etc/security/limits.d/lockstep.conf",
        "/usr/lib/sysctl.d/60-lockstep.conf",
        "/usr/lib/systemd/system/lockstep-sequencer@.service",
        "/usr/share/bash-completion/completions/lockstep",
        "/usr/share/man/man1/lockstep-sequencer.1",
        "2",
        "# mine",
        "removed, there is /etc/security/limits.d/lockstep.conf",
        "lockstep: /var/lib/lockstep stays: keys, journals and files of clusters are yours",
        "acknowledged",
    ];
    let mut printed: Vec<_> = printed.lines().collect();
    let paths = printed.len().min(9);
    printed[paths.min(4)..paths].sort_unstable();
    assert_eq!(printed, wanted);
}
