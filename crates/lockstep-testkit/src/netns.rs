//! Namespaces: a network of our own on one machine, whose paths can be cut.
//!
//! ```text
//!        node 1            node 2            node 3         each a namespace:
//!      10.77.0.1/24      10.77.0.2/24      10.77.0.3/24     eth0 and lo, nothing else
//!          │ eth0            │ eth0            │ eth0
//!        ──┴─ p1 ──────────── p2 ──────────── p3 ──         br0, in a namespace of its own:
//!                   nftables: table bridge lockstep         all cuts are here
//! ```
//! A network of two lines has all of that twice: `eth1`, 10.78.0.0/24, `q1` to `q3` and `br1`. Cuts are of
//! the first.
//!
//! No namespace has a name. Each is held by a child that waits for its stdin to end, which it does when
//! this process ends, however it ends; with it go its devices, rules and mounts. So nothing has to be
//! cleaned up, and two tests never meet: they may even use the same addresses.

use crate::processes::{Ground, is_root};
use lockstep_process::child::ChildGuard;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where a process runs: on this host, or in a namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Programs in front of the program; each becomes the next, so that the process stays our child.
    prefix: Vec<String>,
}

impl Place {
    /// This host.
    pub fn host() -> Self {
        let mut prefix = Vec::new();
        // A child that is stopped (SIGSTOP) does not see that its pipe ends: the kernel kills it with us.
        if Path::new("/usr/bin/setpriv").exists() {
            prefix.extend(["setpriv", "--pdeathsig", "KILL"].map(str::to_owned));
        }
        Self { prefix }
    }

    /// The same place behind one more program, like `env NAME=VALUE`.
    pub fn behind(&self, words: &[&str]) -> Self {
        let mut prefix = self.prefix.clone();
        prefix.extend(words.iter().map(|word| (*word).to_owned()));
        Self { prefix }
    }

    /// `program` in this place, without arguments yet.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let Some((first, rest)) = self.prefix.split_first() else { return Command::new(program) };
        let mut command = Command::new(first);
        command.args(rest).arg(program);
        command
    }

    /// Runs a shell's script here to its end.
    fn shell(&self, script: &str) -> Output {
        let output = self.command("sh").args(["-ec", script]).stdin(Stdio::null()).output();
        output.unwrap_or_else(|error| panic!("{:?}: {error}", self.prefix))
    }
}

/// A namespace that lives as long as this handle, and no longer than this process. A process that still runs
/// inside keeps it; those are children with handles of their own.
#[derive(Debug)]
pub struct Namespace {
    holder: ChildGuard,
    place: Place,
}

impl Namespace {
    /// One whose mounts are its own; the network is the host's.
    pub fn of_mounts() -> Self {
        Self::new(&["--mount"], "")
    }

    /// One with a network of its own, in which there is `lo` alone.
    pub fn of_network() -> Self {
        Self::new(&["--mount", "--net"], "mount -t sysfs lockstep /sys && ip link set lo up &&")
    }

    fn new(kinds: &[&str], prepare: &str) -> Self {
        let script = format!("{prepare} echo ready && exec cat");
        let mut command = Command::new("unshare");
        command.args(kinds).args(["sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let holder = command.spawn().unwrap_or_else(|error| panic!("unshare {kinds:?}: {error}"));
        let mut holder = ChildGuard::from(holder);
        let mut line = String::new();
        let read = BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line);
        assert!(read.is_ok() && line == "ready\n", "unshare {kinds:?} said '{line}'");
        let pid = holder.id().to_string();
        let enter = ["nsenter", "--target", &pid];
        let place = Place::host().behind(&enter).behind(kinds).behind(&["--"]);
        Self { holder, place }
    }

    /// Inside of it.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The process that holds it, by which it can be entered.
    pub fn holder(&self) -> u32 {
        self.holder.id()
    }

    /// What a thread does inside of it: sockets that it opens stay there.
    ///
    /// # Panics
    /// It cannot be entered, or the thread panics.
    #[track_caller]
    pub fn within<T: Send + 'static>(&self, does: impl FnOnce() -> T + Send + 'static) -> T {
        let path = format!("/proc/{}/ns/net", self.holder());
        let thread = std::thread::spawn(move || {
            let inside = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            move_into_link_name_space(inside.as_fd(), Some(LinkNameSpaceType::Network))
                .unwrap_or_else(|error| panic!("enter a network namespace: {error}"));
            does()
        });
        thread.join().expect("a thread in a namespace")
    }

    /// Where its files are seen from outside.
    pub fn outside(&self, path: &Path) -> PathBuf {
        let root = format!("/proc/{}/root", self.holder.id());
        Path::new(&root).join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Runs a shell's script in it and returns what it said.
    ///
    /// # Panics
    /// It failed: with what it said on stderr.
    #[track_caller]
    pub fn shell(&self, script: &str) -> String {
        let output = self.place.shell(script);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{err}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Gives a program its input.
    #[track_caller]
    fn feed(&self, program: &str, args: &[&str], input: &str) {
        let mut command = self.place.command(program);
        command.args(args).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let written = child.stdin.take().expect("piped").write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("{program}: {error}"));
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(written.is_ok() && output.status.success(), "{program}: {err}\n{input}");
    }
}

/// Why there can be no mount namespaces here, if so.
pub fn mounts_unsupported() -> Option<String> {
    impossible("--mount", "true", "a mount namespace needs root and the right to make one (CAP_SYS_ADMIN)")
}

/// Why there can be no [`Network`] here, if so.
pub fn unsupported() -> Option<String> {
    let tries = "mount -t sysfs lockstep /sys
        ip link add br0 type bridge
        ip link add p1 type veth peer name eth0
        nft add table bridge lockstep
        nft add chain bridge lockstep cuts '{ type filter hook forward priority 0; }'
        nft add rule bridge lockstep cuts numgen random mod 1000 '<' 1 drop";
    impossible(
        "--net",
        tries,
        "a network of namespaces needs root, ip and nft, and a kernel with veth, bridge and nftables",
    )
}

fn impossible(kind: &str, tries: &str, reason: &str) -> Option<String> {
    let probe = Command::new("unshare").args(["--mount", kind, "sh", "-ec", tries]).output();
    let works = is_root() && probe.is_ok_and(|output| output.status.success());
    (!works).then(|| reason.to_owned())
}

/// What does not pass the bridge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    All,
    Multicast,
    /// So many of a thousand packets, at random.
    PerMille(u16),
}

/// A path that is cut, wholly or in part, in one direction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    from: Vec<usize>,
    to: Vec<usize>,
    what: What,
}

impl Cut {
    /// Nothing passes from these nodes to those; the way back is open.
    pub fn one_way(from: &[usize], to: &[usize]) -> Self {
        Self { from: from.to_vec(), to: to.to_vec(), what: What::All }
    }

    /// Nothing passes between these nodes and those.
    pub fn between(some: &[usize], others: &[usize]) -> [Self; 2] {
        [Self::one_way(some, others), Self::one_way(others, some)]
    }

    /// The same for multicast alone: unicast passes.
    pub fn of_multicast(self) -> Self {
        Self { what: What::Multicast, ..self }
    }

    /// The same for so many of a thousand packets, at random.
    pub fn per_mille(self, lost: u16) -> Self {
        Self { what: What::PerMille(lost), ..self }
    }

    fn rule(&self) -> String {
        let ports = |nodes: &[usize]| {
            let names: Vec<String> = nodes.iter().map(|node| format!("\"p{node}\"")).collect();
            format!("{{ {} }}", names.join(", "))
        };
        let what = match self.what {
            What::All => String::new(),
            What::Multicast => "meta pkttype multicast ".into(),
            What::PerMille(lost) => format!("numgen random mod 1000 < {lost} "),
        };
        format!("iifname {} oifname {} {what}counter drop", ports(&self.from), ports(&self.to))
    }
}

/// What one line consists of: its bridge, its ports by their first letter, the card of each node, the net.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    bridge: &'static str,
    port: char,
    card: &'static str,
    net: u8,
}

impl Line {
    /// The address of node `number`, counted from 1.
    pub fn address(&self, number: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, self.net, 0, number as u8)
    }
}

/// The one that every network has.
pub const LINE_A: Line = Line { bridge: "br0", port: 'p', card: "eth0", net: 77 };
/// The second one.
pub const LINE_B: Line = Line { bridge: "br1", port: 'q', card: "eth1", net: 78 };

/// What happens to a card while programs use it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CardLife {
    /// It is down for a while.
    Down,
    /// It has no address for a while.
    WithoutAddress,
    /// It has another name for a while.
    Renamed,
    /// It gets another address instead of the one that it has.
    Readdressed,
    /// It is removed, and made again under its name with its address.
    Removed,
    /// The same, and the kernel gives it the index that it had.
    RemovedOfOneIndex,
}

impl CardLife {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Down,
        Self::WithoutAddress,
        Self::Renamed,
        Self::Readdressed,
        Self::Removed,
        Self::RemovedOfOneIndex,
    ];
}

/// The lines of `ip` that lead a cable from a bridge to a node's card.
fn cable(bridge: &str, port: char, card: &str, number: usize, node: &Namespace, wish: &str) -> String {
    let pid = node.holder();
    format!(
        "link add {port}{number} type veth peer name {card}{wish} netns {pid}\n\
         link set {port}{number} master {bridge} up\n"
    )
}

/// The lines that give a node's card its address.
fn up(card: &str, address: Ipv4Addr) -> String {
    format!("addr add {address}/24 dev {card}\nlink set {card} up\n")
}

/// An address that no node has at first.
fn second_address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, LINE_A.net, 0, 100 + number as u8)
}

/// Nodes on a bridge, or on two.
#[derive(Debug)]
pub struct Network {
    switch: Namespace,
    nodes: Vec<Namespace>,
    has_second: bool,
}

impl Network {
    /// `count` nodes, at most 254, all of which hear each other.
    pub fn new(count: usize) -> Self {
        Self::with_lines(count, &[LINE_A])
    }

    /// The same, and each of them twice: by two lines that share nothing.
    pub fn of_two_lines(count: usize) -> Self {
        Self::with_lines(count, &[LINE_A, LINE_B])
    }

    fn with_lines(count: usize, lines: &[Line]) -> Self {
        assert!(count < 255, "one net has room for 254 nodes");
        let switch = Namespace::of_network();
        let nodes: Vec<_> = (0..count).map(|_| Namespace::of_network()).collect();
        let mut links = String::new();
        for Line { bridge, port, card, .. } in lines {
            // Snooping would need a querier: the bridge floods, as a switch without it does.
            let _ = writeln!(links, "link add {bridge} type bridge mcast_snooping 0\nlink set {bridge} up");
            for (number, node) in (1..).zip(&nodes) {
                links += &cable(bridge, *port, card, number, node, "");
            }
        }
        switch.feed("ip", &["-batch", "-"], &links);
        let network = Self { switch, nodes, has_second: lines.len() > 1 };
        for number in 1..=count {
            let up = |line: &Line| up(line.card, line.address(number));
            network.node(number).feed("ip", &["-batch", "-"], &lines.iter().map(up).collect::<String>());
        }
        network.cut(&[]);
        network
    }

    /// Pulls these nodes' cables of a line, or plugs them in again: their cards lose the carrier.
    pub fn plug(&self, line: Line, nodes: &[usize], is_in: bool) {
        let state = if is_in { "up" } else { "down" };
        let links = nodes.iter().map(|node| format!("link set {}{node} {state}\n", line.port));
        self.switch.feed("ip", &["-batch", "-"], &links.collect::<String>());
    }

    /// Takes the card of this node away from its programs, or changes it under them.
    pub fn disturb(&self, number: usize, life: CardLife) {
        let (card, address) = (LINE_A.card, Self::address(number));
        let on_node = match life {
            CardLife::Down => format!("link set {card} down\n"),
            CardLife::WithoutAddress => format!("addr del {address}/24 dev {card}\n"),
            CardLife::Renamed => {
                format!("link set {card} down\nlink set {card} name lan0\nlink set lan0 up\n")
            }
            CardLife::Readdressed => {
                format!(
                    "addr del {address}/24 dev {card}\naddr add {}/24 dev {card}\n",
                    second_address(number)
                )
            }
            CardLife::Removed | CardLife::RemovedOfOneIndex => format!("link del {card}\n"),
        };
        self.node(number).feed("ip", &["-batch", "-"], &on_node);
    }

    /// Gives it back as it was, the index of one that was removed excepted; a new address stays.
    pub fn mend(&self, number: usize, life: CardLife, index: u32) {
        let (card, address) = (LINE_A.card, Self::address(number));
        let on_node = match life {
            CardLife::Readdressed => return,
            CardLife::Down => format!("link set {card} up\n"),
            CardLife::WithoutAddress => format!("addr add {address}/24 dev {card}\n"),
            CardLife::Renamed => {
                format!("link set lan0 down\nlink set lan0 name {card}\nlink set {card} up\n")
            }
            CardLife::Removed | CardLife::RemovedOfOneIndex => {
                let wish = if life == CardLife::RemovedOfOneIndex {
                    format!(" index {index}")
                } else {
                    String::new()
                };
                let links = cable(LINE_A.bridge, LINE_A.port, card, number, self.node(number), &wish);
                self.switch.feed("ip", &["-batch", "-"], &links);
                up(card, address)
            }
        };
        self.node(number).feed("ip", &["-batch", "-"], &on_node);
    }

    /// The index of this node's card.
    pub fn card_index(&self, number: usize) -> u32 {
        let text = self.node(number).shell(&format!(
            "cat /sys/class/net/{0}/ifindex || ip -o link show {0} | cut -d: -f1",
            LINE_A.card
        ));
        text.trim()
            .lines()
            .last()
            .and_then(|line| line.parse().ok())
            .unwrap_or_else(|| panic!("no index: {text}"))
    }

    /// The groups that this node's card receives, as the kernel lists them.
    pub fn memberships(&self, number: usize) -> String {
        self.node(number).shell(&format!("ip -4 maddr show dev {}", LINE_A.card))
    }

    /// How many nodes it has.
    #[expect(clippy::len_without_is_empty, reason = "a network without nodes is none")]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The address of node `number`, counted from 1, on the first line.
    pub fn address(number: usize) -> Ipv4Addr {
        LINE_A.address(number)
    }

    /// Node `number`, counted from 1.
    pub fn node(&self, number: usize) -> &Namespace {
        &self.nodes[number - 1]
    }

    /// The bridge's own namespace, where the cuts are: chain `cuts` of table `bridge lockstep`.
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// The ground of a cluster whose replicas are the first nodes; its clients are on the one behind them.
    pub fn ground(&self, replicas: u32) -> Ground {
        let nodes: Vec<usize> = (1..=replicas as usize).collect();
        self.ground_on(&nodes, replicas as usize + 1)
    }

    /// The ground of a cluster whose replicas are on these nodes, some perhaps on one, and its clients on
    /// that one.
    pub fn ground_on(&self, nodes: &[usize], clients: usize) -> Ground {
        let addresses = |line: Line| nodes.iter().map(|number| line.address(*number)).collect();
        Ground {
            interface: LINE_A.card.into(),
            second: self.has_second.then(|| (LINE_B.card.into(), addresses(LINE_B))),
            ttl: 1,
            addresses: addresses(LINE_A),
            places: nodes.iter().map(|number| self.node(*number).place().clone()).collect(),
            clients: self.node(clients).place().clone(),
            clients_address: LINE_A.address(clients),
            by_xdp: false,
            by_unicast: false,
            has_memory: false,
        }
    }

    /// From now on these paths are cut and all others whole. It changes from one packet to the next.
    pub fn cut(&self, cuts: &[Cut]) {
        let rules: Vec<String> = cuts.iter().map(Cut::rule).collect();
        let table = "table bridge lockstep";
        let chain = "type filter hook forward priority 0; policy accept;";
        let text = format!(
            "{table}\ndelete {table}\n{table} {{\nchain cuts {{\n{chain}\n{}\n}}\n}}\n",
            rules.join("\n")
        );
        self.switch.feed("nft", &["-f", "-"], &text);
    }

    /// Packets that each of the cuts in force has swallowed, in their order.
    pub fn swallowed(&self) -> Vec<u64> {
        let rules = self.switch.shell("nft list table bridge lockstep");
        let counts = rules.split("counter packets ").skip(1).filter_map(|rest| rest.split(' ').next());
        counts.filter_map(|count| count.parse().ok()).collect()
    }
}
