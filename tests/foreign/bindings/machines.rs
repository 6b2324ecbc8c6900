//! State machines over the C library: their outputs are in the stream once, whichever copies are killed, what
//! they throw ends their replica, and a trial finds what is planted in them.

use super::c::sanitized;
use super::{bounded, finished, java, root, with_cluster};
use lockstep_app::SnapshotStore;
use lockstep_testkit::processes::{Cluster, PATIENCE, Process, free_address, payloads, run};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The tests of a machine of C++.
pub fn machine() -> Option<PathBuf> {
    static MACHINE: OnceLock<PathBuf> = OnceLock::new();
    sanitized(&MACHINE, "c++", "-std=c++17", "tests/machine.cpp")
}

/// The counter of docs/APPLY.md.
pub fn counter() -> Option<PathBuf> {
    static COUNTER: OnceLock<PathBuf> = OnceLock::new();
    sanitized(&COUNTER, "c++", "-std=c++17", "examples/counter.cpp")
}

/// The totals in the stream, in order.
pub fn totals(cluster: &Cluster) -> Vec<u64> {
    let text = cluster.read(&[]).out;
    payloads(&text).iter().filter_map(|payload| payload.strip_prefix("total ")?.parse().ok()).collect()
}

/// Waits until a replica has counted so many.
pub fn await_total(address: SocketAddrV4, process: &mut Process, total: u64) {
    let (began, wanted) = (Instant::now(), format!("total {total}"));
    loop {
        let answer = lockstep_app::query(address, b"");
        if answer.as_deref().is_ok_and(|answer| answer == wanted.as_bytes()) {
            return;
        }
        let is_over = process.ended().is_some() || began.elapsed() > PATIENCE;
        assert!(!is_over, "{}: {answer:?}, wanted {wanted}:\n{}", process.name(), process.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Everything below it is in the newest snapshot of a replica; 0: it has none.
fn newest_snapshot(folder: &Path) -> u64 {
    let store = SnapshotStore::open(folder, 1).expect("a folder of snapshots");
    store.list().expect("its snapshots").last().map_or(0, |stored| stored.next)
}

/// Waits until a replica has a newer snapshot: beside processes that spin, its child at the lowest priority
/// takes long.
fn await_snapshot(folder: &Path, than: u64, process: &mut Process) {
    let began = Instant::now();
    while newest_snapshot(folder) <= than {
        let is_over = process.ended().is_some() || began.elapsed() > PATIENCE;
        assert!(!is_over, "{}: no snapshot behind {than}:\n{}", process.name(), process.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Two copies of a counter, whose `program` is given a number, an address, and how many entries lie between
/// two snapshots. One is killed again and again while messages are published. In the end SIGTERM ends both
/// with this exit code.
fn counts_once_whichever_copy_is_killed(program: &Command, code: i32) {
    const ROUNDS: u64 = 4;
    const MESSAGES: u64 = 200;
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let address = || free_address().to_string().parse().expect("an IPv4 address");
    let addresses: [SocketAddrV4; 2] = std::array::from_fn(|_| address());
    let start = |index: usize| {
        let mut command = Command::new(program.get_program());
        command.args(program.get_args()).current_dir(cluster.path(""));
        command.args([(index + 1).to_string(), addresses[index].to_string(), "100".to_owned()]);
        cluster.start_command(&format!("counter-{}", index + 1), with_cluster(command, &cluster))
    };
    let mut copies = [start(0), start(1)];
    let (folders, mut snapshots) = ([cluster.path("counter-1"), cluster.path("counter-2")], [0, 0]);
    for round in 0..ROUNDS {
        let lines: String = (0..MESSAGES).map(|line| format!("round {round} line {line}\n")).collect();
        let killed = (round % 2) as usize;
        if round > 0 {
            await_snapshot(&folders[killed], snapshots[killed], &mut copies[killed]);
        }
        std::thread::scope(|scope| {
            let publishing = scope.spawn(|| cluster.publish(&lines));
            std::thread::sleep(Duration::from_millis(20));
            copies[killed].signal("KILL");
            copies[killed].wait();
            snapshots[killed] = newest_snapshot(&folders[killed]);
            copies[killed] = start(killed);
            publishing.join().expect("a publisher");
        });
        for (copy, address) in copies.iter_mut().zip(addresses) {
            await_total(address, copy, (round + 1) * MESSAGES);
        }
    }
    let log = copies[1].log();
    let (_, restarted) = log.rsplit_once(" begins at seq ").expect("where it begins");
    let begins: u64 = restarted.lines().next().and_then(|seq| seq.trim().parse().ok()).expect("a seq");
    assert!(begins > 100, "it was restored from a snapshot:\n{log}");
    let (began, all) = (Instant::now(), ROUNDS * MESSAGES);
    let mut stamped = totals(&cluster);
    while stamped.len() < all as usize && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
        stamped = totals(&cluster);
    }
    assert!(stamped.iter().copied().eq(1..=all), "{} totals of {all}", stamped.len());
    for mut copy in copies {
        copy.signal("TERM");
        assert_eq!(copy.wait().code(), Some(code), "{}", copy.log());
    }
}

/// Runs a program that plants errors in a machine.
fn finds_what_is_planted(program: &Command) {
    let mut command = bounded("600", program.get_program());
    command.args(program.get_args()).arg("trial");
    let outcome = finished(command).with_code(0);
    assert!(outcome.out.contains("planted errors are found"), "{}", outcome.out);
}

/// Runs a program whose machine throws.
fn ends_by_an_exception(mut program: Command) {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    program.arg("fails").arg(cluster.path("failing"));
    let outcome = run(with_cluster(program, &cluster), b"").with_code(0);
    assert!(outcome.out.contains("an exception ends its replica"), "{}", outcome.out);
}

#[test]
fn outputs_of_a_machine_of_cpp_are_in_the_stream_once_whichever_copy_is_killed() {
    let Some(counter) = counter() else { return };
    counts_once_whichever_copy_is_killed(&Command::new(counter), 0);
}

#[test]
fn errors_that_are_planted_in_a_machine_of_cpp_are_found() {
    let Some(machine) = machine() else { return };
    finds_what_is_planted(&Command::new(machine));
}

#[test]
fn settings_tables_and_inputs_of_a_machine_of_cpp_that_are_wrong_are_refused() {
    let Some(machine) = machine() else { return };
    let mut command = Command::new(machine);
    command.arg("refusals");
    run(command, b"").with_code(0);
}

#[test]
fn an_exception_in_a_machine_of_cpp_ends_its_replica_and_is_thrown_again() {
    let Some(machine) = machine() else { return };
    ends_by_an_exception(Command::new(machine));
}

/// Runs a program that holds what copies of a machine promise each other, and asks one of them meanwhile.
fn copies_agree_are_refused_take_over_and_answer(mut program: Command) {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let address: SocketAddrV4 = free_address().to_string().parse().expect("an IPv4 address");
    program.arg("copies").arg(cluster.path("limited")).arg(address.to_string());
    let mut program = cluster.start_command("copies", with_cluster(program, &cluster));
    program.await_log("asks");
    let ask = |request: &str| lockstep_app::query(address, request.as_bytes()).expect("an answer");
    assert_eq!(String::from_utf8_lossy(&ask("limit")), "limit 100");
    assert_eq!(ask("wrong"), b"", "it throws");
    assert_eq!(String::from_utf8_lossy(&ask("end")), "limit 100", "and goes on");
    assert_eq!(program.wait().code(), Some(0), "{}", program.log());
}

#[test]
fn copies_of_a_machine_of_cpp_have_one_digest_and_settings_take_over_and_survive_a_query_that_throws() {
    let Some(machine) = machine() else { return };
    copies_agree_are_refused_take_over_and_answer(Command::new(machine));
}

#[test]
fn copies_of_a_machine_of_java_have_one_digest_and_settings_take_over_and_survive_a_query_that_throws() {
    let Some(check) = java::program_of("MachineCheck") else { return };
    copies_agree_are_refused_take_over_and_answer(check);
}

/// Runs the program that measures what an input costs in a language, and beside it in Rust.
fn measures_what_an_input_costs(mut program: Command, language: &str) {
    program.args(["1000", "3"]);
    let outcome = run(program, b"").with_code(0);
    for name in ["Rust", language] {
        let costs = outcome.out.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        let cost: f64 = costs.and_then(|costs| costs.split(' ').next()?.parse().ok()).expect("a cost");
        assert!(cost > 0.0, "{}", outcome.out);
    }
}

#[test]
fn what_an_input_costs_in_a_machine_of_cpp_is_measured_beside_rust() {
    let Some(program) = sanitized(&OnceLock::new(), "c++", "-std=c++17", "examples/apply_cost.cpp") else {
        return;
    };
    measures_what_an_input_costs(Command::new(program), "C++");
}

#[test]
fn what_an_input_costs_in_a_machine_of_java_is_measured_beside_rust() {
    let Some(program) = java::program_of("ApplyCost") else { return };
    measures_what_an_input_costs(program, "Java");
}

/// The programs of a language in docs/APPLY.md.
fn programs_of(language: &str) -> Vec<String> {
    let page = std::fs::read_to_string(root().join("docs/APPLY.md")).expect("the tutorial");
    let begin = format!("```{language}\n");
    let blocks = page.split(&begin).skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.map(|(block, _)| block.to_owned()).collect()
}

#[test]
fn the_machine_of_cpp_in_the_documentation_is_the_example_and_stands_its_trial() {
    let example = std::fs::read_to_string(root().join("bindings/c/examples/counter.cpp")).expect("a program");
    let (_comment, body) = example.split_once("\n\n").expect("a body behind its comment");
    let programs = programs_of("cpp");
    let [counter, trial] = &programs[..] else { panic!("other programs: {programs:#?}") };
    assert_eq!(counter, body, "docs/APPLY.md and bindings/c/examples/counter.cpp differ");
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("trial.cpp");
    let text = format!("#define main replica\n{counter}\n#undef main\n{trial}");
    std::fs::write(&source, text).expect("a program");
    let source = source.to_str().expect("UTF-8");
    let Some(program) = sanitized(&OnceLock::new(), "c++", "-std=c++17", source) else { return };
    run(Command::new(program), b"").with_code(0);
}

#[test]
fn the_machine_of_python_in_the_documentation_is_the_example_and_its_trial_is_the_examples_test() {
    let examples = root().join("bindings/python/examples");
    let read = |name: &str| std::fs::read_to_string(examples.join(name)).expect("a program");
    let (counter, test) = (read("counter.py"), read("test_counter.py"));
    let programs = programs_of("python");
    let [page, trial] = &programs[..] else { panic!("other programs: {programs:#?}") };
    let (_comment, body) = counter.split_once("\n\n").expect("a body behind its comment");
    assert_eq!(page, body, "docs/APPLY.md and bindings/python/examples/counter.py differ");
    let (_imports, trial) = trial.split_once("\n\n").expect("what follows the imports");
    let plain = |text: &str| text.replace("\n\n\n", "\n\n");
    assert!(plain(&test).contains(&plain(trial)), "docs/APPLY.md and test_counter.py differ: {trial}");
}

#[test]
fn outputs_of_a_machine_of_java_are_in_the_stream_once_whichever_copy_is_killed() {
    let Some(counter) = java::program_of("Counter") else { return };
    // The virtual machine ends by the signal, once its hooks have run.
    counts_once_whichever_copy_is_killed(&counter, 143);
}

#[test]
fn errors_that_are_planted_in_a_machine_of_java_are_found() {
    let Some(check) = java::program_of("MachineCheck") else { return };
    finds_what_is_planted(&check);
}

#[test]
fn an_exception_in_a_machine_of_java_ends_its_replica_and_is_thrown_again() {
    let Some(check) = java::program_of("MachineCheck") else { return };
    ends_by_an_exception(check);
}

#[test]
fn inputs_and_outputs_of_a_machine_of_java_are_whole_and_in_order_however_large() {
    let Some(mut check) = java::program_of("MachineCheck") else { return };
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    check.arg("large").arg(cluster.path("parts"));
    let outcome = run(with_cluster(check, &cluster), b"").with_code(0);
    assert!(outcome.out.contains("large ones are whole"), "{}", outcome.out);
}

#[test]
fn the_machine_of_java_in_the_documentation_is_the_example_that_runs() {
    let example =
        std::fs::read_to_string(root().join("bindings/java/examples/Counter.java")).expect("a program");
    let (_comment, body) = example.split_once("\n\n").expect("a body behind its comment");
    let programs = programs_of("java");
    assert_eq!(programs, [body], "docs/APPLY.md and bindings/java/examples/Counter.java differ");
}
