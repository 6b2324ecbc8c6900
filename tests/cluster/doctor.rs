//! `lockstep doctor --probe` on hosts made of namespaces, whose network has one planted fault. Each must be
//! named in words within five seconds, and a network without any must have none.

use lockstep_testkit::netns::{self, Cut, Network, Place};
use lockstep_testkit::processes;
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// Hosts of the file.
const HOSTS: usize = 3;
/// All hosts run at once for so long: what they report then was found in that time.
const LASTS: &str = "5s";

/// Hosts with a file, behind a bridge.
struct Ground {
    network: Network,
    file: PathBuf,
    folder: TempDir,
}

impl Ground {
    /// Three hosts and a fourth that the file does not have; or none, with the reason printed.
    fn new(receive_buffer: &str) -> Option<Self> {
        if let Some(reason) = netns::unsupported() {
            println!("SKIPPED: {reason}");
            return None;
        }
        let folder = TempDir::new().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        let disk = folder.path().display();
        let replicas: String = (1..=HOSTS)
            .map(|id| {
                let address = Network::address(id);
                format!("[[replicas]]\nid = {id}\nunicast = \"{address}:7701\"\njournal = \"{disk}/{id}\"\n")
            })
            .collect();
        let text = format!(
            "cluster = 4711\nprofile = \"shared\"\n[security]\nmode = \"none\"\n[[lines]]\n\
             submit = \"239.77.9.1:7700\"\ndata = \"239.77.9.2:7700\"\ncontrol = \"239.77.9.3:7700\"\n\
             interface = \"eth0\"\nreceive_buffer = \"{receive_buffer}\"\nsend_buffer = \"{receive_buffer}\"\n{replicas}"
        );
        let file = folder.path().join("cluster.toml");
        fs::write(&file, text).expect("a file");
        Some(Self { network: Network::new(HOSTS + 1), file, folder })
    }

    /// The doctor in a place, without measurements.
    fn command(&self, place: &Place, more: &[&str]) -> Command {
        let file = self.file.display().to_string();
        let words = ["doctor", "--config", &file, "--measure", "none", "--json"];
        let program = self.folder.path().join("lockstep");
        let program = if program.exists() { program } else { processes::program() };
        processes::command_of(place.command(program), &[&words, more].concat())
    }

    /// Its output.
    fn run(&self, place: &Place, more: &[&str]) -> Output {
        self.command(place, more).output().expect("the program")
    }

    /// Runs the doctor on all hosts at once and returns what each prints; a host may have variables of its
    /// own.
    fn probe(&self, variables: &[(usize, &str, &str)]) -> Vec<Value> {
        let start = |host: usize| {
            let mut command = self.command(self.network.node(host).place(), &["--probe", "--for", LASTS]);
            command.stdin(Stdio::null());
            for (_, name, value) in variables.iter().filter(|(of, ..)| *of == host) {
                command.env(name, value);
            }
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program")
        };
        let started: Vec<_> = (1..=HOSTS).map(start).collect();
        let ended = started.into_iter().map(|child| child.wait_with_output().expect("an end"));
        ended.map(|output| report(&output)).collect()
    }
}

fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let shown = serde_json::from_str(&text);
    let shown: Value =
        shown.unwrap_or_else(|_| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(shown["exit_code"].as_i64(), output.status.code().map(i64::from), "{text}");
    shown
}

/// The faults of a report whose checks begin with `part`: check and text.
fn faults(report: &Value, part: &str) -> Vec<(String, String)> {
    let findings = report["findings"].as_array().expect("findings").iter();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let faults = findings.filter(|finding| finding["level"] == "error" || finding["level"] == "warning");
    let of_part = faults.filter(|finding| text(finding, "check").starts_with(part));
    of_part.map(|finding| (text(finding, "check"), text(finding, "now"))).collect()
}

/// Each host has this fault of the network and no other one. Loss alone may stand beside it: hosts that share
/// few processors with other tests lose datagrams.
#[track_caller]
fn all_name(reports: &[Value], check: &str, parts: &[&str]) {
    for (host, report) in (1..).zip(reports) {
        let mut faults = faults(report, "probe.");
        faults.retain(|(found, _)| found == check || found != "probe.loss");
        let (found, text) = faults.first().unwrap_or_else(|| panic!("host {host} finds nothing: {report:#}"));
        assert!(faults.len() == 1 && found == check, "host {host}: {faults:#?}");
        for part in parts {
            assert!(text.contains(part), "host {host}: '{part}' is not in: {text}");
        }
    }
}

#[test]
fn a_network_without_a_fault_has_none_in_the_report_of_any_host() {
    let Some(ground) = Ground::new("128KiB") else { return };
    for (host, report) in (1..).zip(ground.probe(&[])) {
        assert_eq!(faults(&report, "probe."), [], "host {host}");
        let paths = report["findings"]
            .as_array()
            .expect("findings")
            .iter()
            .filter(|finding| finding["check"] == "probe.path");
        let paths: Vec<_> = paths.map(|finding| finding["now"].to_string()).collect();
        assert!(
            paths.len() == 2 && paths.iter().all(|text| text.contains("the largest of 1,500 bytes")),
            "{paths:?}"
        );
    }
}

#[test]
fn a_one_way_cut_is_named_with_its_direction() {
    let Some(ground) = Ground::new("128KiB") else { return };
    ground.network.cut(&[Cut::one_way(&[1], &[2])]);
    let parts = ["one-way cut", "from 10.77.0.1 to 10.77.0.2", "the way back is open"];
    all_name(&ground.probe(&[]), "probe.one_way", &parts);
}

#[test]
fn a_smaller_mtu_on_one_link_is_named_with_the_link_and_the_size_that_passes() {
    let Some(ground) = Ground::new("128KiB") else { return };
    ground.network.switch().shell("ip link set p3 mtu 1400");
    let parts =
        ["smaller MTU between 10.77.0.3 and all others", "1,400 bytes pass", "those of 1,500 bytes do not"];
    all_name(&ground.probe(&[]), "probe.mtu", &parts);
}

#[test]
fn a_group_that_is_filtered_on_one_port_is_named_with_both() {
    let Some(ground) = Ground::new("128KiB") else { return };
    // The probe's group for data: 128 beside the file's.
    ground.network.switch().shell("nft add rule bridge lockstep cuts oifname p2 ip daddr 239.77.9.130 drop");
    let parts =
        ["group 239.77.9.130", "`data`", "filtered from all others to 10.77.0.2", "other groups pass"];
    all_name(&ground.probe(&[]), "probe.group", &parts);
}

#[test]
fn a_bridge_that_snoops_without_a_querier_is_named_when_memberships_age_out() {
    let Some(ground) = Ground::new("128KiB") else { return };
    for host in 1..=HOSTS {
        // The second report of a join follows within this time, in milliseconds, and renews the membership.
        let file = "/proc/sys/net/ipv4/conf/eth0/igmpv3_unsolicited_report_interval";
        ground.network.node(host).shell(&format!("echo 100 > {file}"));
    }
    // A membership lasts a second, and a querier that was seen once is believed in for ten minutes.
    let settings =
        "mcast_snooping 1 mcast_querier 0 mcast_membership_interval 100 mcast_querier_interval 60000";
    ground
        .network
        .switch()
        .shell(&format!("ip link set br0 type bridge {settings}; bridge link set dev p4 mcast_router 0"));
    let own = Network::address(4);
    ground.network.node(4).within(move || {
        let igmp = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(2))).expect("a raw socket");
        igmp.set_multicast_if_v4(&own).expect("an interface");
        // A general query of version 3, to be answered within a tenth of a second.
        let mut query = [0x11, 1, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0];
        let sum: u16 = query.chunks(2).map(|pair| u16::from(pair[0]) << 8 | u16::from(pair[1])).sum();
        query[2..4].copy_from_slice(&(!sum).to_be_bytes());
        igmp.send_to(&query, &SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 1), 0).into()).expect("a query");
    });
    let parts =
        ["passed at first and stopped after", "while unicast continues", "IGMP snooping and no querier"];
    all_name(&ground.probe(&[]), "probe.snooping", &parts);
}

#[test]
fn buffers_of_212992_bytes_are_named_by_the_host_and_by_its_peers() {
    let Some(ground) = Ground::new("4MiB") else { return };
    let host = ground.network.node(2);
    // The kernel's limit is the same in all namespaces: the file that shows it is replaced in this one, and
    // the sockets ask for what such a kernel would grant.
    let shown = ground.file.with_file_name("rmem_max");
    fs::write(&shown, "212992\n").expect("a file");
    host.shell(&format!("mount --bind {} /proc/sys/net/core/rmem_max", shown.display()));
    let own = faults(&report(&ground.run(host.place(), &[])), "socket.receive_buffer");
    assert_eq!(own, [("socket.receive_buffer".to_owned(), "212,992 bytes".to_owned())]);
    let reports = ground.probe(&[(2, "LOCKSTEP_LINES_1_RECEIVE_BUFFER", "212992B")]);
    for report in [&reports[0], &reports[2]] {
        let faults = faults(report, "probe.");
        let text = "the sockets of 10.77.0.2 have receive buffers of 212,992 bytes";
        assert!(faults.contains(&("probe.buffer".to_owned(), text.to_owned())), "{faults:#?}");
    }
}

#[test]
fn a_user_without_rights_changes_nothing_and_is_told_so() {
    let Some(ground) = Ground::new("128KiB") else { return };
    let host = ground.network.node(1);
    host.shell("echo 1 > /proc/sys/net/ipv4/conf/eth0/force_igmp_version");
    let nobody = host.place().behind(&["setpriv", "--reuid", "65534", "--clear-groups"]);
    // The program's own folder may be closed to others.
    processes::copy_program(&ground.folder.path().join("lockstep"));
    let output = ground.run(&nobody, &["--apply"]);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("only root may") && err.contains("nothing was changed"), "{err}");
    assert_eq!(host.shell("cat /proc/sys/net/ipv4/conf/eth0/force_igmp_version").trim(), "1");
    let seen = ground.run(&nobody, &[]);
    assert!(faults(&report(&seen), "multicast.").iter().any(|(check, _)| check == "multicast.igmp"));
}

#[test]
fn a_kernel_setting_is_changed_and_read_back_and_its_finding_is_gone() {
    let Some(ground) = Ground::new("128KiB") else { return };
    let host = ground.network.node(1);
    // Settings of the network are the namespace's own; all others are made read-only in it before.
    host.shell(
        "for part in /proc/irq /proc/sys/vm /proc/sys/kernel; do
            mount --bind $part $part; mount -o remount,bind,ro $part
        done
        mount -o remount,bind,ro /sys
        echo 1 > /proc/sys/net/ipv4/conf/eth0/force_igmp_version",
    );
    let report = report(&ground.run(host.place(), &["--apply"]));
    let path = "/proc/sys/net/ipv4/conf/eth0/force_igmp_version";
    let applied = report["applied"].as_array().expect("changes").iter().find(|change| change["path"] == path);
    let change = applied.unwrap_or_else(|| panic!("{report:#}"));
    assert!(change["before"] == "1" && change["after"] == "0" && change["error"].is_null(), "{change}");
    assert_eq!(host.shell(&format!("cat {path}")).trim(), "0");
    assert_eq!(faults(&report, "multicast."), []);
}
