//! What a figure depends on, to be printed above it: a number without its machine says nothing.

use crate::cluster::Cluster;
use lockstep::engine::ports::Group;
use lockstep::io::idle::Idle;
use lockstep::io::udp::Udp;
use std::fs;
use std::process::Command;

/// The machine and the state it is in, one line each.
pub fn lines() -> Vec<String> {
    let read =
        |path: &str| fs::read_to_string(path).map_or_else(|_| String::from("?"), |text| text.trim().into());
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split(' ').take(3).collect();
    vec![
        format!("kernel     {}", read("/proc/sys/kernel/osrelease")),
        format!("cpu        {}, {} cores", model.map_or("?", |(_, model)| model), cores()),
        format!("clock      {}", read("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
        format!("load       {} (1, 5, 15 minutes, before the measurement)", load.join(" ")),
        format!("built by   {}", rustc()),
    ]
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
