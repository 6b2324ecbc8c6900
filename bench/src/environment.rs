//! What a figure depends on, to be printed above it: a number without its machine says nothing.

use crate::cluster::Cluster;
use crate::results::Facts;
use lockstep::engine::ports::Group;
use lockstep::io::idle::Idle;
use lockstep::io::udp::Udp;
use std::fs;
use std::process::Command;

/// What a file of the kernel says, `?` where there is none, `none` where it is empty.
fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(
        |_| String::from("?"),
        |text| if text.trim().is_empty() { String::from("none") } else { text.trim().to_owned() },
    )
}

/// The machine and the state that it is in, and the build.
pub fn facts() -> Facts {
    let cpuinfo = read("/proc/cpuinfo");
    let of_cpu = |name: &str| {
        let line = cpuinfo.lines().find_map(|line| line.strip_prefix(name)?.split_once(": "));
        line.map_or_else(|| String::from("?"), |(_, value)| value.to_owned())
    };
    let virtual_by = cpuinfo.contains(" hypervisor").then_some(", virtual").unwrap_or_default();
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let cpu = "/sys/devices/system/cpu";
    let facts = [
        ("kernel", read("/proc/sys/kernel/osrelease")),
        ("cpu", format!("{}, {} cores{virtual_by}", of_cpu("model name"), cores())),
        ("cpu MHz", of_cpu("cpu MHz")),
        ("isolated cores", read(&format!("{cpu}/isolated"))),
        ("tickless cores", read(&format!("{cpu}/nohz_full"))),
        ("governor", read(&format!("{cpu}/cpu0/cpufreq/scaling_governor"))),
        ("idle driver", read(&format!("{cpu}/cpuidle/current_driver"))),
        ("clock source", read("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
        ("huge pages", read("/sys/kernel/mm/transparent_hugepage/enabled")),
        ("busy poll", format!("{} us", read("/proc/sys/net/core/busy_poll"))),
        ("rmem_max", format!("{} bytes", read("/proc/sys/net/core/rmem_max"))),
        ("load", format!("{} (1, 5, 15 minutes, before the measurement)", load.join(" "))),
        ("compiler", rustc()),
        ("lockstep", format!("{} ({})", env!("CARGO_PKG_VERSION"), profile())),
    ];
    facts.map(|(name, value)| (name.to_owned(), value)).into()
}

fn profile() -> &'static str {
    if cfg!(debug_assertions) { "a build for tests: its figures say nothing" } else { "release" }
}

/// An interface as the kernel has it: driver, speed, MTU.
pub fn interface(name: &str) -> String {
    let class = format!("/sys/class/net/{name}");
    let driver = fs::read_link(format!("{class}/device/driver")).ok();
    let driver = driver.and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
    format!(
        "{name}, driver {}, {} Mbit/s, MTU {}",
        driver.as_deref().unwrap_or("of the kernel"),
        read(&format!("{class}/speed")),
        read(&format!("{class}/mtu"))
    )
}

/// The facts, one line each.
pub fn lines() -> Vec<String> {
    facts().into_iter().map(|(name, value)| format!("{name:<16} {value}")).collect()
}

/// Cores that this process may run on.
pub fn cores() -> usize {
    lockstep::io::cpu::cores().len()
}

/// The compiler of this project's folder.
pub fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output();
    output.map_or_else(
        |_| String::from("an unknown rustc"),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// What the kernel grants a device like those of a measurement.
///
/// # Errors
/// No such device can be opened here.
pub fn device() -> Result<Vec<String>, String> {
    let cluster = Cluster::new(1, Idle::Spin)?;
    let udp = Udp::open(cluster.udp(&[Group::Data])).map_err(|error| error.to_string())?;
    Ok(udp.obtained().iter().map(|obtained| format!("device     {obtained}")).collect())
}
