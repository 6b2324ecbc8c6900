//! The debugger over machines of other languages: it steps them along the recorded stream, forward and back,
//! while a copy runs, and publishes nothing.

use super::machines::{await_total, counter, totals};
use super::{java, with_cluster};
use lockstep_testkit::processes::{Cluster, free_address, run};
use std::net::SocketAddrV4;
use std::process::Command;

/// Runs a counter beside three messages, and then as a debugger with a script. The program is the counter of
/// docs/APPLY.md.
fn is_stepped_along_the_stream(program: &Command) {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let command = |name: &str| {
        let mut command = Command::new(program.get_program());
        command.args(program.get_args()).current_dir(cluster.path("")).arg("1").arg(name);
        with_cluster(command, &cluster)
    };
    let address: SocketAddrV4 = free_address().to_string().parse().expect("an IPv4 address");
    cluster.publish("one\ntwo\nthree\n");
    let mut copy = cluster.start_command("counter", command(&address.to_string()));
    await_total(address, &mut copy, 3);
    copy.signal("KILL");
    copy.wait();
    let before = totals(&cluster);
    let mut debugger = command("127.0.0.1:9");
    debugger.env("LOCKSTEP_DEBUG", "1");
    let printed = run(debugger, b"o total 2\np\ns\nb\np\nt\n").with_code(0).out;
    let steps: Vec<_> = printed.split("\ninput ").collect();
    assert!(steps[0].contains("\"two\" to everybody\n    publishes \"total 2\" to channel 1\n"), "{printed}");
    assert!(
        steps[1].contains("\"three\" to everybody\n    publishes \"total 3\" to channel 1\n"),
        "{printed}"
    );
    let (state, _) = steps[0].split_once("state, by its snapshot, ").expect("a state");
    let back = steps[2].split_once("state, by its snapshot, ").expect("a state").0;
    assert_eq!(state.trim_start_matches("input "), back, "back is where it was: {printed}");
    let traced = printed.lines().filter(|line| line.starts_with("trace\t") && line.contains("publishes"));
    assert_eq!(traced.count(), 3, "{printed}");
    assert!(!printed.contains("differs") && printed.contains("\nend\t"), "{printed}");
    assert_eq!(totals(&cluster), before, "it publishes nothing");
}

#[test]
fn a_machine_of_cpp_is_stepped_forward_and_back() {
    let Some(counter) = counter() else { return };
    is_stepped_along_the_stream(&Command::new(counter));
}

#[test]
fn a_machine_of_java_is_stepped_forward_and_back() {
    let Some(counter) = java::program_of("Counter") else { return };
    is_stepped_along_the_stream(&counter);
}
