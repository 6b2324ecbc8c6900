//! `docs/DEPLOY.md`, run: its file and its very commands, in its order, on three hosts.

#![allow(clippy::disallowed_methods, reason = "real processes, bounded by a clock")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tools::netns::{self, Network};

const PAGE: &str = include_str!("../docs/DEPLOY.md");
/// What is not done by then never will be.
const PATIENCE: Duration = Duration::from_secs(60);

/// A block of the page that is run on a host.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Block {
    host: usize,
    script: String,
    runs: Runs,
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

/// The page's configuration, and its blocks.
fn parse(page: &str) -> (String, Vec<Block>) {
    let (mut file, mut blocks) = (String::new(), Vec::new());
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
            ["toml"] => file = text,
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
                blocks.push(Block { host, script: text, runs });
            }
            _ => panic!("a block that nobody runs: {info}"),
        }
    }
    (file, blocks)
}

/// Processes that go on; those that still do are ended with the test.
struct Staying(Vec<Child>);

impl Drop for Staying {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_page_that_begins_from_nothing_does_what_it_says() {
    if let Some(reason) = netns::unsupported() {
        println!("SKIPPED: {reason}");
        return;
    }
    let (file, blocks) = parse(PAGE);
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
    let mut staying = Staying(Vec::new());
    // What `format` printed, by host: the page's examples stand for it.
    let mut identities =
        [(2, "2:0b4e8d2"), (3, "3:0c1f3a7")].map(|(host, example)| (host, example, String::new()));
    assert!(identities.iter().all(|(_, example, _)| PAGE.contains(example)));
    let mut told = Vec::new();
    for (number, block) in blocks.iter().enumerate() {
        let mut block = block.clone();
        for (_, example, identity) in &identities {
            block.script = block.script.replace(example, identity);
        }
        let block = &block;
        if block.runs == Runs::Stays {
            let log = std::fs::File::create(folder.path().join(format!("log-{number}"))).expect("a log");
            staying.0.push(command(block).stderr(log).spawn().expect("a shell"));
            continue;
        }
        let began = Instant::now();
        let output = loop {
            let output = command(block).output().expect("a shell");
            let code = output.status.code();
            if block.runs != Runs::UntilDone || code == Some(0) {
                break output;
            }
            assert!(began.elapsed() < PATIENCE, "{block:?} says after {PATIENCE:?}:\n{}", said(&output));
        };
        let wanted = if let Runs::To(code) = block.runs { code } else { 0 };
        assert_eq!(output.status.code(), Some(wanted), "{block:?}:\n{}", said(&output));
        if block.script.contains("lockstep format") {
            let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            let of_host = identities.iter_mut().filter(|(host, ..)| *host == block.host);
            of_host.for_each(|(_, _, identity)| identity.clone_from(&printed));
        }
        told.push((block.script.clone(), said(&output)));
    }
    let of = |words: &str| -> Vec<&String> {
        told.iter().filter(|(script, _)| script.contains(words)).map(|(_, said)| said).collect()
    };
    let status = of("lockstep status");
    assert!(status[0].starts_with("healthy: 3 of 3 members"), "{}", status[0]);
    assert!(status[1].starts_with("degraded: 2 of 3 members"), "{}", status[1]);
    assert!(status[2].starts_with("healthy: 3 of 3 members"), "{}", status[2]);
    let read = of("lockstep subscribe");
    assert!(read[0].contains("buy 100 at 42") && read[0].contains("sell 7 at 43"), "{}", read[0]);
    assert!(read[1].contains("sell 7 at 43") && read[1].contains("buy 1 at 44"), "{}", read[1]);
}

#[test]
fn a_block_that_nobody_would_run_is_refused() {
    let (file, blocks) = parse("text\n```toml\na = 1\n```\n```sh host-2 code-6\nx\ny\n```\n");
    assert_eq!(file, "a = 1\n");
    assert_eq!(blocks, [Block { host: 2, script: "x\ny\n".into(), runs: Runs::To(6) }]);
    for page in ["```sh\nx\n```\n", "```sh host-1 later\nx\n```\n", "```\nx\n```\n"] {
        assert!(std::panic::catch_unwind(|| parse(page)).is_err(), "{page}");
    }
}
