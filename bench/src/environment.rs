//! What a figure depends on, to be printed above it: a number without its machine says nothing.

use crate::cluster::{self, Cluster, Site};
use crate::results::Facts;
use lockstep::config::Config;
use lockstep_core::engine::ports::Group;
use lockstep_instructions::build;
use lockstep_io::idle::Idle;
use lockstep_io::udp::Udp;
use std::fs;

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
    let virtual_by = if cpuinfo.contains(" hypervisor") { ", virtual" } else { "" };
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
        ("compiler", build::rustc().to_owned()),
        ("lockstep", env!("CARGO_PKG_VERSION").to_owned()),
        // Of this program, which is also every process of lockstep that it starts.
        ("profile", build::profile().to_owned()),
    ];
    facts.map(|(name, value)| (name.to_owned(), value)).into()
}

/// An interface as the kernel has it: driver, speed, MTU.
fn interface(name: &str) -> String {
    let class = format!("/sys/class/net/{name}");
    let driver = fs::read_link(format!("{class}/device/driver")).ok();
    let driver = driver.and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
    let driver = driver.map_or_else(|| String::from("the kernel's own"), |driver| format!("driver {driver}"));
    let speed = match read(&format!("{class}/speed")).parse::<u32>() {
        Ok(speed) => format!(", {speed} Mbit/s"),
        Err(_) => String::new(),
    };
    format!("{name}, {driver}{speed}, MTU {}", read(&format!("{class}/mtu")))
}

/// Cores that this process may run on.
pub fn cores() -> usize {
    lockstep_process::cpu::cores().len()
}

/// The facts, and what the kernel grants a device like those of a measurement, and the interface: of
/// `config`, or of a cluster of our own.
///
/// # Errors
/// No such device can be opened here.
pub fn with_device(config: Option<&Config>) -> Result<Facts, String> {
    let mut facts = facts();
    let own = if config.is_none() { Some(Cluster::file(&Site::loopback(1), Idle::Spin)?) } else { None };
    let Some(config) = config.or(own.as_ref().map(|own| &own.config)) else { return Ok(facts) };
    let settings = cluster::device(config, &[Group::Data]);
    let name = settings.interface.to_string();
    let udp = Udp::open(settings).map_err(|error| error.to_string())?;
    let effective: Vec<String> = udp.effective().iter().map(ToString::to_string).collect();
    facts.insert("interface".to_owned(), interface(&name));
    facts.insert("device".to_owned(), effective.join(", "));
    Ok(facts)
}
