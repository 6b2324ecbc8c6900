//! `docs/DEPLOY_BY_HAND.md`, run: its very commands, in its order, on three hosts with the file of
//! `docs/DEPLOY.md`, and what they print. The steps with the package are run by `tools/fresh-root.sh`.

use lockstep_process::child::ChildGuard;
use lockstep_testkit::netns::{self, Network};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const PAGE: &str = include_str!("../../docs/DEPLOY_BY_HAND.md");
/// The page with the file, and with the monitoring that both have.
const PACKAGE_PAGE: &str = include_str!("../../docs/DEPLOY.md");
/// A command that is not done by then never will be.
const PATIENCE: Duration = Duration::from_secs(60);

/// A block of the page that is run on a host.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Block {
    host: usize,
    script: String,
    runs: Runs,
    /// What it prints, line by line: one number stands for any other, `…` for anything, and alone on a line
    /// for any lines.
    prints: Option<String>,
}

/// How it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Runs {
    /// With this exit code.
    To(i32),
    /// It is repeated until it ends well.
    UntilDone,
    /// It goes on.
    Stays,
}

/// What a page has in its fenced blocks.
#[derive(Default)]
struct Page {
    /// The configuration.
    file: String,
    blocks: Vec<Block>,
    /// Scripts that change a machine for good: they are not run, and their syntax is checked.
    machine: Vec<String>,
}

fn parse(page: &str) -> Page {
    let (mut parsed, mut is_of_machine) = (Page::default(), false);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let text: String = lines
            .by_ref()
            .take_while(|line| !line.starts_with("```"))
            .map(|line| format!("{line}\n"))
            .collect();
        let words: Vec<&str> = info.split(' ').collect();
        match words[..] {
            ["toml"] => parsed.file = text,
            ["sh", "machine"] | ["sh", "machine", _] => {
                parsed.machine.push(text);
                is_of_machine = true;
            }
            // What a machine prints is compared by `tools/fresh-root.sh`.
            ["text"] if is_of_machine => {}
            ["text"] => {
                let last = parsed.blocks.last_mut().expect("an output stands behind its command");
                assert!(last.prints.is_none() && last.runs != Runs::Stays, "whose output is {text}");
                last.prints = Some(text);
            }
            ["sh", host, ..] => {
                let host = host.strip_prefix("host-").and_then(|number| number.parse().ok());
                let runs = match words.get(2) {
                    None => Runs::To(0),
                    Some(&"stays") => Runs::Stays,
                    Some(&"until-done") => Runs::UntilDone,
                    Some(word) => {
                        let code = word.strip_prefix("code-").and_then(|code| code.parse().ok());
                        Runs::To(code.unwrap_or_else(|| panic!("what is '{word}' in {info}?")))
                    }
                };
                let host = host.unwrap_or_else(|| panic!("which host is {info}?"));
                parsed.blocks.push(Block { host, script: text, runs, prints: None });
                is_of_machine = false;
            }
            _ => panic!("a block that nobody runs: {info}"),
        }
    }
    parsed
}

/// Both pages: the commands of this one, then those of the other one for its hosts.
fn both_pages() -> Page {
    let (own, package) = (parse(PAGE), parse(PACKAGE_PAGE));
    assert!(own.file.is_empty(), "one page has the file");
    let blocks = own.blocks.into_iter().chain(package.blocks).collect();
    let machine = own.machine.into_iter().chain(package.machine).collect();
    Page { file: package.file, blocks, machine }
}

/// Whether the lines of `output` are those that a page shows.
fn fits(shown: &str, output: &str) -> bool {
    let (shown, output): (Vec<_>, Vec<_>) = (shown.lines().collect(), output.lines().collect());
    fits_lines(&shown, &output)
}

fn fits_lines(shown: &[&str], output: &[&str]) -> bool {
    match shown {
        [] => output.is_empty(),
        ["…", rest @ ..] => (0..=output.len()).any(|skipped| fits_lines(rest, &output[skipped..])),
        [line, rest @ ..] => {
            output.first().is_some_and(|first| fits_line(line, first)) && fits_lines(rest, &output[1..])
        }
    }
}

fn fits_line(shown: &str, line: &str) -> bool {
    let number = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    match (shown.chars().next(), number(shown), number(line)) {
        (None, ..) => line.is_empty(),
        (Some('…'), ..) => {
            let mut ends = line.char_indices().map(|(at, _)| at).chain([line.len()]);
            ends.any(|at| fits_line(&shown['…'.len_utf8()..], &line[at..]))
        }
        (Some(_), of_shown @ 1.., of_line @ 1..) => fits_line(&shown[of_shown..], &line[of_line..]),
        (Some(first), ..) => {
            line.starts_with(first) && {
                let rest = first.len_utf8();
                fits_line(&shown[rest..], &line[rest..])
            }
        }
    }
}

fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Copies the keys from a host to the others, as the page's `scp` does: by the folder on the disk, which each
/// host has in another place.
fn copy_keys(network: &Network, folder: &Path, from: usize) {
    network.node(from).shell("cp -a /etc/lockstep/keys /var/lib/lockstep/copied");
    let disk = |host: usize| folder.join(format!("host-{host}/copied"));
    for host in (1..=3).filter(|host| *host != from) {
        let copied = Command::new("cp").arg("-a").args([disk(from), disk(host)]).status().expect("cp");
        assert!(copied.success());
        network.node(host).shell("mv /var/lib/lockstep/copied /etc/lockstep/keys");
    }
    network.node(from).shell("rm -r /var/lib/lockstep/copied");
}

#[test]
fn the_page_that_begins_from_nothing_does_what_it_says() {
    if let Some(reason) = netns::unsupported() {
        println!("SKIPPED: {reason}");
        return;
    }
    let Page { file, blocks, .. } = both_pages();
    assert!(file.contains("[[replicas]]") && blocks.len() > 12, "{} blocks", blocks.len());
    let network = Network::new(3);
    let folder = tempfile::tempdir().expect("a folder");
    let program = Path::new(env!("CARGO_BIN_EXE_lockstep"));
    for host in 1..=3 {
        // A host of its own has memory, files and programs of its own.
        let disk = folder.path().join(format!("host-{host}"));
        std::fs::create_dir(&disk).expect("a folder");
        std::fs::write(disk.join("lockstep.toml"), &file).expect("a file");
        let disk = disk.display();
        network.node(host).shell(&format!(
            "mount -t tmpfs shm /dev/shm
             mount -t tmpfs lib /var/lib
             mkdir /var/lib/lockstep
             mount --bind {disk} /var/lib/lockstep
             mount -t tmpfs bin /usr/local/bin
             ln -s {} /usr/local/bin/lockstep
             cp {disk}/lockstep.toml /dev/shm/lockstep.toml
             mount -t tmpfs etc /etc
             mkdir /etc/lockstep
             mv /dev/shm/lockstep.toml /etc/lockstep/",
            program.display()
        ));
    }
    let command = |block: &Block| -> Command {
        let place = network.node(block.host).place();
        let mut command = match block.runs {
            Runs::Stays => place.command("sh"),
            // What does not end is a failure, and no test that hangs.
            Runs::To(_) | Runs::UntilDone => place.behind(&["timeout", "-k", "1", "60"]).command("sh"),
        };
        command.args(["-ec", &block.script]).stdin(Stdio::null());
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command
    };
    // Processes that go on; those that still do are ended with the test.
    let mut staying: Vec<ChildGuard> = Vec::new();
    // What `format` printed, by host: the page's examples stand for it.
    let mut identities =
        [(2, "2:0b4e8d2"), (3, "3:0c1f3a7")].map(|(host, example)| (host, example, String::new()));
    assert!(identities.iter().all(|(_, example, _)| PAGE.contains(example)));
    let mut outputs = Vec::new();
    for (number, block) in blocks.iter().enumerate() {
        let mut block = block.clone();
        for (_, example, identity) in &identities {
            block.script = block.script.replace(example, identity);
        }
        let block = &block;
        if block.runs == Runs::Stays {
            let log = std::fs::File::create(folder.path().join(format!("log-{number}"))).expect("a log");
            staying.push(command(block).stderr(log).spawn().expect("a shell").into());
            continue;
        }
        let began = Instant::now();
        let output = loop {
            let output = command(block).output().expect("a shell");
            let code = output.status.code();
            if block.runs != Runs::UntilDone || code == Some(0) {
                break output;
            }
            assert!(began.elapsed() < PATIENCE, "{block:?} says after {PATIENCE:?}:\n{}", printed(&output));
        };
        let wanted = if let Runs::To(code) = block.runs { code } else { 0 };
        assert_eq!(output.status.code(), Some(wanted), "{block:?}:\n{}", printed(&output));
        if block.script.contains("lockstep keys new") {
            copy_keys(&network, folder.path(), block.host);
        }
        if block.script.contains("lockstep format") {
            let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            let of_host = identities.iter_mut().filter(|(host, ..)| *host == block.host);
            of_host.for_each(|(_, _, identity)| identity.clone_from(&printed));
        }
        println!("host {}: {}{}", block.host, block.script, printed(&output));
        if let Some(shown) = &block.prints {
            // What stands for this host's identity on the page.
            let of_host = identities.iter().find(|(host, ..)| *host == block.host);
            let shown = of_host.map_or(shown.clone(), |(_, example, own)| shown.replace(example, own));
            let output = printed(&output);
            assert!(fits(&shown, &output), "the page shows:\n{shown}\nand this is printed:\n{output}");
        }
        outputs.push((block.script.clone(), printed(&output)));
    }
    let of = |words: &str| -> Vec<&String> {
        outputs.iter().filter(|(script, _)| script.contains(words)).map(|(_, printed)| printed).collect()
    };
    let status = of("lockstep status");
    assert!(status[0].starts_with("healthy: 3 of 3 members"), "{}", status[0]);
    assert!(status[1].starts_with("degraded: replica"), "{}", status[1]);
    assert!(status[2].starts_with("healthy: 3 of 3 members"), "{}", status[2]);
    let read = of("lockstep subscribe");
    assert!(read[0].contains("buy 100 at 42") && read[0].contains("sell 7 at 43"), "{}", read[0]);
    assert!(read[1].contains("sell 7 at 43") && read[1].contains("buy 1 at 44"), "{}", read[1]);
}

#[test]
fn a_block_that_nobody_would_run_is_refused() {
    let page = parse(
        "text\n```toml\na = 1\n```\n```sh host-2 code-6\nx\ny\n```\n```text\nz\n```\n```sh machine\nw\n```\n",
    );
    assert_eq!((page.file.as_str(), page.machine), ("a = 1\n", vec!["w\n".to_owned()]));
    let prints = Some("z\n".to_owned());
    assert_eq!(page.blocks, [Block { host: 2, script: "x\ny\n".into(), runs: Runs::To(6), prints }]);
    for page in ["```sh\nx\n```\n", "```sh host-1 later\nx\n```\n", "```\nx\n```\n", "```text\nx\n```\n"] {
        assert!(std::panic::catch_unwind(|| parse(page)).is_err(), "{page}");
    }
}

#[test]
fn what_changes_a_machine_is_sound_shell_and_the_unit_runs_the_program() {
    let page = both_pages();
    assert!(page.machine.len() >= 2, "{:?}", page.machine);
    for script in page.machine {
        let output = Command::new("sh").args(["-nc", &script]).output().expect("a shell");
        assert!(output.status.success(), "{script}: {}", printed(&output));
    }
    let unit = include_str!("../../contrib/systemd/lockstep-sequencer@.service");
    let runs = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/"));
    // The very command of the page, for the replica that is the unit's instance.
    let command = runs.expect("a unit that runs the program").replace("%i", "1");
    assert!(page.blocks.iter().any(|block| block.script == format!("exec {command}\n")), "{command}");
}

#[test]
fn an_output_that_differs_from_the_page_is_found() {
    assert!(fits("a …\n…\nz\n", "a 1\nb\nc\nz\n") && fits("…\nz\n", "z\n") && fits("…a…b", "xaybab"));
    assert!(
        !fits("a …\n", "b 1\n") && !fits("a\n", "a\nb\n") && !fits("a\nb\n", "a\n") && !fits("…\nz", "y")
    );
}
