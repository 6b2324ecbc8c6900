//! At boot the network may come up later than its daemons: a VLAN that is made by hand, a slow DHCP, a card
//! that is plugged in. A daemon waits for the interfaces and addresses that it needs, logs that once, and
//! reports to the service manager what it waits for. It fails when its time is over.

use crate::Failure;
use crate::config::Config;
use crate::failure::FAILED;
use crate::service;
use lockstep_io::udp::Needed;
use lockstep_node::NodeSettings;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The interval of looks.
const LOOK: Duration = Duration::from_millis(100);
/// How long a daemon without a service manager waits, if its configuration has no limit: an operator who has
/// misspelt a name should not wait long.
const BY_HAND: Duration = Duration::from_secs(15);
/// The interval of reports to the service manager.
const REPORT: Duration = Duration::from_secs(5);

/// The needs of a node: the interface of each line, with the node's own address.
pub fn of_node(settings: &NodeSettings) -> Vec<Needed> {
    let own = settings.udp.interface.clone().at(*settings.unicast.ip());
    let first = Needed::Interface(own, settings.transport.multicasts());
    let second = settings
        .second
        .as_ref()
        .map(|second| Needed::Interface(second.udp.interface.clone(), second.transport.multicasts()));
    [Some(first), second].into_iter().flatten().collect()
}

/// The needs of a daemon with handles: the interface of each line, and the addresses at which it listens.
pub fn of_handles(config: &Config, listens: impl IntoIterator<Item = SocketAddr>) -> Vec<Needed> {
    let interface = |place: usize| {
        let interface = config.udp_of_line(place).interface;
        // By unicast the interface only needs an address.
        let is_unicast = matches!(config.lines[place].transport, crate::config::Transport::Unicast);
        Needed::Interface(interface, !is_unicast)
    };
    let addresses = listens.into_iter().filter_map(|address| match address.ip() {
        IpAddr::V4(address) => Some(Needed::Address(address)),
        IpAddr::V6(_) => None,
    });
    (0..config.lines.len()).map(interface).chain(addresses).collect()
}

/// Waits until all needs are met. Returns false if a stop is requested before.
///
/// # Errors
/// They are not met in time.
pub fn wait(needed: &[Needed], config: &Config, stop: &AtomicBool) -> Result<bool, Failure> {
    let limit = match (config.network.interface_wait_ns, service::is_managed()) {
        (Some(ns), _) => Some(Duration::from_nanos(ns)),
        (None, true) => None,
        // An address to listen at is refused at once, when it is bound.
        (None, false) => {
            let interfaces = needed.iter().filter(|one| matches!(one, Needed::Interface(..)));
            let interfaces: Vec<_> = interfaces.cloned().collect();
            return wait_for(&interfaces, Some(BY_HAND), stop, service::waits);
        }
    };
    wait_for(needed, limit, stop, service::waits)
}

/// As [`wait`], with a limit, and with regular reports to the service manager.
fn wait_for(
    needed: &[Needed],
    limit: Option<Duration>,
    stop: &AtomicBool,
    tell: impl Fn(&str),
) -> Result<bool, Failure> {
    let begun = Instant::now();
    let (mut waits, mut reported): (bool, Option<(Instant, String)>) = (false, None);
    loop {
        let mut lacking = None;
        for one in needed {
            lacking = lacking.or(one.lacks()?);
        }
        let Some(error) = lacking else {
            if waits {
                tracing::info!("the network is there after {:.1} s", begun.elapsed().as_secs_f64());
            }
            return Ok(true);
        };
        if stop.load(Ordering::Acquire) {
            return Ok(false);
        }
        if limit.is_some_and(|limit| begun.elapsed() >= limit) {
            let what =
                if waits { format!("{error}; network.interface_wait is over") } else { error.to_string() };
            return Err(Failure::new(FAILED, what));
        }
        if !waits {
            waits = true;
            let time =
                limit.map_or("as long as it takes".to_owned(), |limit| format!("{} s", limit.as_secs()));
            tracing::warn!("the network is not there yet, and is waited for ({time}): {error}");
        }
        let text = error.to_string();
        if reported.as_ref().is_none_or(|(at, before)| at.elapsed() >= REPORT || *before != text) {
            tell(&format!("waits for the network: {text}"));
            reported = Some((Instant::now(), text));
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_io::udp::Interface;
    use std::cell::RefCell;

    fn named(name: &str) -> Needed {
        Needed::Interface(Interface::Name(name.to_owned()), true)
    }

    #[test]
    fn what_is_there_is_not_waited_for_and_what_never_comes_is_named_when_the_time_is_over() {
        let stop = AtomicBool::new(false);
        let never = |_: &str| panic!("nothing is waited for");
        let there =
            [named("lo"), Needed::Address([0, 0, 0, 0].into()), Needed::Address([127, 0, 0, 9].into())];
        assert!(wait_for(&there, None, &stop, never).is_ok_and(|there| there));
        let missing = [named("lo"), named("lockstep-none")];
        let failure = wait_for(&missing, Some(Duration::ZERO), &stop, never).expect_err("it is missing");
        assert!(failure.to_string().contains("this host has no interface of that name"), "{failure}");
        let reported = RefCell::new(Vec::new());
        let tell = |text: &str| reported.borrow_mut().push(text.to_owned());
        let failure =
            wait_for(&missing, Some(Duration::from_millis(250)), &stop, tell).expect_err("it is missing");
        assert!(failure.to_string().contains("network.interface_wait"), "{failure}");
        assert_eq!(reported.borrow().len(), 1, "reported once while nothing changes");
        let elsewhere = [Needed::Address([192, 0, 2, 77].into())];
        assert!(wait_for(&elsewhere, Some(Duration::ZERO), &stop, never).is_err());
    }

    #[test]
    fn a_daemon_that_waits_stops_when_it_is_told_to() {
        let stop = AtomicBool::new(true);
        assert!(wait_for(&[named("lockstep-none")], None, &stop, |_| {}).is_ok_and(|there| !there));
    }
}
