//! Commands of the operator's, and the hosts that they reach.
//!
//! A command is a text for a shell, in which words in braces stand for what differs from node to node:
//! `{replica}`, `{host}`. Such a value is a number, or has only letters that mean nothing else to a shell, or
//! is quoted: no value becomes a command.

use crate::cli::shared::captured::captured;
use crate::cli::shared::operator::{now, pause};
use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::failure::{FAILED, USAGE};
use lockstep_io::capabilities;
use lockstep_process::child::await_end;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::{ChildStderr, Command, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// So much of the end of a command's stderr is part of its failure.
const WORDS_MAX: usize = 2_000;
/// How long the rest of its stderr may take behind its end: a process that it has left may hold it open.
const REST: Duration = Duration::from_millis(200);
/// Between two looks at that.
const LOOK: Duration = Duration::from_millis(2);
/// Bytes of an answer of a host.
const ANSWER_MAX: usize = 1 << 20;
/// The longest name of a host.
const HOST_LEN_MAX: usize = 255;

/// How ssh is started. It asks nothing, as its stdin is empty.
const SSH: [&str; 6] = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--"];

/// The command with each `{name}` replaced by its value. Other braces stay as they are.
pub fn filled(command: &str, values: &[(&str, &str)]) -> String {
    let (mut text, mut rest) = (String::with_capacity(command.len()), command);
    while let Some((before, behind)) = rest.split_once('{') {
        text.push_str(before);
        let found = values
            .iter()
            .find_map(|(name, value)| Some((value, behind.strip_prefix(name)?.strip_prefix('}')?)));
        match found {
            Some((value, after)) => (text, rest) = (text + value, after),
            None => (text, rest) = (text + "{", behind),
        }
    }
    text + rest
}

/// One word of a shell with this value.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Runs a text by the shell of this host.
pub fn shell(command: &str, patience: Duration) -> Result<(), String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    run(shell, &format!("`{command}`"), patience)
}

/// Runs a command to its end. Both its outputs go to our stderr, as stdout is the report's; the end of its
/// stderr is part of its failure too.
pub fn run(mut command: Command, name: &str, patience: Duration) -> Result<(), String> {
    let wrong = |error| format!("{name}: {error}");
    command.stdin(Stdio::null()).stdout(Stdio::from(std::io::stderr())).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(wrong)?;
    let words = child.stderr.take().map(LastWords::of).transpose().map_err(wrong)?;
    let ended = await_end(&mut child, patience).map_err(wrong)?;
    let words = words.map_or_else(String::new, LastWords::text);
    match ended {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("{name} failed: {status}{words}")),
        None => {
            let _ = child.kill(); // it may end at this moment
            let _ = child.wait();
            Err(format!("{name} has not ended within {patience:?}{words}"))
        }
    }
}

/// A command's stderr: copied to ours, and its end remembered.
struct LastWords {
    copies: JoinHandle<()>,
    end: Arc<Mutex<Vec<u8>>>,
}

impl LastWords {
    fn of(mut source: ChildStderr) -> std::io::Result<Self> {
        let end = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&end);
        let copy = move || {
            let mut bytes = [0; 4_096];
            while let Ok(count @ 1..) = source.read(&mut bytes) {
                let _ = std::io::stderr().write_all(&bytes[..count]); // its end counts all the same
                let mut end = shared.lock().unwrap_or_else(PoisonError::into_inner);
                end.extend_from_slice(&bytes[..count]);
                let surplus = end.len().saturating_sub(WORDS_MAX);
                end.drain(..surplus);
            }
        };
        let copies = capabilities::spawn(Builder::new().name("lockstep-words".into()), copy)?;
        Ok(Self { copies, end })
    }

    fn text(self) -> String {
        let begun = now();
        while !self.copies.is_finished() && begun.elapsed() < REST {
            pause(LOOK);
        }
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&end);
        let text = text.trim();
        if text.is_empty() { String::new() } else { format!(": {text}") }
    }
}

/// Flags of a command that reaches the hosts of nodes.
#[derive(Args, Clone, Default, Debug)]
pub struct RemoteArgs {
    /// The names by which ssh reaches the hosts of replicas and archivers, where it does not by their
    /// addresses: 1=seq-a,2=root@seq-b,101=archive
    #[arg(long, value_name = "NODE=HOST", value_delimiter = ',')]
    pub hosts: Vec<NodeHost>,
    /// Reaches a host in another way than `ssh {host} {command}`: a command of the shell, which has both of
    /// these words; {command} is quoted, e.g. 'ssh -i /root/key root@{host} {command}'
    #[arg(long, value_name = "CMD", value_parser = reaching)]
    pub reach_with: Option<String>,
}

fn reaching(text: &str) -> Result<String, String> {
    if text.contains("{command}") {
        return Ok(text.to_owned());
    }
    Err("it lacks {command}, the command that runs on the host".to_owned())
}

/// The name of a node's host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeHost {
    /// The number of the replica or archiver.
    pub node: u32,
    /// Its host, as ssh takes it.
    pub host: String,
}

/// The name of a host, which a shell and ssh take as a name and as nothing else.
pub fn host_name(text: &str) -> Result<&str, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@:[]%".contains(&byte);
    let has_length = (1..=HOST_LEN_MAX).contains(&text.len());
    if has_length && !text.starts_with('-') && text.bytes().all(is_plain) {
        Ok(text)
    } else {
        Err(format!("'{text}' is no host's name"))
    }
}

impl FromStr for NodeHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let how = "write the number of a replica or archiver and its host, like 2=seq-b or 2=root@10.0.0.2";
        let (node, host) = text.split_once('=').ok_or(how)?;
        let host = host_name(host).map_err(|why| format!("{why}; {how}"))?;
        let node = node.parse().map_err(|_| format!("'{node}' is no number; {how}"))?;
        Ok(Self { node, host: host.to_owned() })
    }
}

/// The hosts of nodes, and how one is reached.
pub struct RemoteHosts {
    names: BTreeMap<u32, String>,
    reach_with: Option<String>,
}

impl RemoteHosts {
    /// # Errors
    /// A node has two hosts.
    pub fn new(args: &RemoteArgs) -> Result<Self, Failure> {
        let mut names = BTreeMap::new();
        for NodeHost { node, host } in &args.hosts {
            if names.insert(*node, host.clone()).is_some_and(|other| other != *host) {
                return Err(Failure::new(USAGE, format!("--hosts names two hosts of node {node}")));
            }
        }
        Ok(Self { names, reach_with: args.reach_with.clone() })
    }

    /// The nodes that were named.
    pub fn nodes(&self) -> impl Iterator<Item = u32> {
        self.names.keys().copied()
    }

    /// The host of a node, which answers at this address.
    pub fn of(&self, node: u32, address: std::net::Ipv4Addr) -> String {
        self.names.get(&node).cloned().unwrap_or_else(|| address.to_string())
    }

    /// The command that has a host run `command` by its shell. `values` are those of the template that
    /// reaches it.
    fn reached(&self, host: &str, command: &str, values: &[(&str, &str)]) -> Command {
        let Some(template) = &self.reach_with else {
            let mut reach = Command::new(SSH[0]);
            reach.args(&SSH[1..]).args([host, command]);
            return reach;
        };
        let word = quoted(command);
        let all = [values, &[("host", host), ("command", &word)]].concat();
        let mut reach = Command::new("sh");
        reach.args(["-c", &filled(template, &all)]);
        reach
    }

    /// Runs a command of a shell on a host.
    ///
    /// # Errors
    /// The host is not reached, or the command fails there.
    pub fn run(
        &self,
        host: &str,
        command: &str,
        values: &[(&str, &str)],
        patience: Duration,
    ) -> Result<(), Failure> {
        let reached = self.reached(host, command, values);
        run(reached, &named(host, command), patience).map_err(|why| Failure::new(FAILED, why))
    }

    /// Gives a command of a shell on a host this input. Returns its output.
    ///
    /// # Errors
    /// The host is not reached, or the command fails there.
    pub fn ask(
        &self,
        host: &str,
        command: &str,
        values: &[(&str, &str)],
        (input, patience): (&[u8], Duration),
    ) -> Result<String, Failure> {
        let wrong = |why: String| Failure::new(FAILED, format!("{} failed: {why}", named(host, command)));
        let reached = self.reached(host, command, values);
        let answer = captured(reached, input, ANSWER_MAX, patience).map_err(wrong)?;
        match answer.code {
            Some(0) => Ok(String::from_utf8_lossy(&answer.bytes).into_owned()),
            Some(code) => Err(wrong(format!("exit code {code}: {}", answer.words))),
            None => Err(wrong(format!("a signal has ended it: {}", answer.words))),
        }
    }
}

fn named(host: &str, command: &str) -> String {
    format!("`{command}` on {host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn a_command_of_the_operators_gets_the_number_and_the_signal() {
        let command = "ssh host-{replica} systemctl kill -s {signal} lockstep-sequencer@{replica} ${x} {";
        let expected = "ssh host-3 systemctl kill -s STOP lockstep-sequencer@3 ${x} {";
        assert_eq!(filled(command, &[("replica", "3"), ("signal", "STOP")]), expected);
        // A value is not looked through for further names.
        assert_eq!(filled("{a}{b}", &[("a", "{b}"), ("b", "2")]), "{b}2");
    }

    #[test]
    fn a_command_that_fails_is_named_with_the_end_of_its_stderr() {
        assert_eq!(shell("true", PATIENCE), Ok(()));
        let error = shell("echo why >&2; exit 3", PATIENCE).expect_err("it fails");
        assert!(error.starts_with("`echo why >&2; exit 3` failed: ") && error.ends_with("3: why"), "{error}");
        let late =
            shell("echo so far >&2; exec sleep 100", Duration::from_millis(500)).expect_err("it is late");
        assert!(late.contains("has not ended within 500ms"), "{late}");
        // A process that it leaves holds its stderr, and is not waited for.
        let error = shell("sleep 100 & echo $! >&2; exit 4", PATIENCE).expect_err("it fails");
        let (_, pid) = error.rsplit_once(": ").expect("its words");
        assert_eq!(shell(&format!("kill {pid}"), PATIENCE), Ok(()), "{error}");
    }

    #[test]
    fn no_word_becomes_a_command_on_the_way_to_a_host() {
        let folder = tempfile::tempdir().expect("a folder");
        let (out, evil) = (folder.path().join("out"), "it's $(touch evil); `touch evil` \"{host}\"");
        let template = format!("cd {0} && sh -c {{command}} >{1}", folder.path().display(), out.display());
        let args = RemoteArgs { hosts: Vec::new(), reach_with: Some(template) };
        let hosts = RemoteHosts::new(&args).expect("hosts");
        hosts.run("seq-a", &format!("printf %s {}", quoted(evil)), &[], PATIENCE).expect("it runs");
        assert_eq!(std::fs::read_to_string(&out).expect("its output"), evil);
        assert!(!folder.path().join("evil").exists());
        let args = RemoteArgs { hosts: Vec::new(), reach_with: Some("sh -c {command}".to_owned()) };
        let hosts = RemoteHosts::new(&args).expect("hosts");
        assert_eq!(hosts.ask("seq-a", "cat", &[], (b"input", PATIENCE)).expect("it runs"), "input");
        let failed = hosts.ask("seq-a", "echo why >&2; exit 7", &[], (b"", PATIENCE)).expect_err("it fails");
        assert_eq!(failed.to_string(), "`echo why >&2; exit 7` on seq-a failed: exit code 7: why");
        for text in ["2=-oProxyCommand=x", "2=a;b", "2=a b", "2=$(x)", "2=", "2", "x=a", "2=a'b"] {
            assert!(text.parse::<NodeHost>().is_err(), "{text}");
        }
        let host = |text: &str| text.parse::<NodeHost>().map(|it| (it.node, it.host));
        assert_eq!(host("2=root@seq-b.local"), Ok((2, "root@seq-b.local".to_owned())));
        assert!(reaching("ssh {host}").is_err() && reaching("ssh {host} {command}").is_ok());
    }
}
