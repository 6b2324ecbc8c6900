//! The state of a daemon for the service manager (systemd, `Type=notify`): ready, a line of status, and a
//! sign of life for its watchdog.
//!
//! The sign of life is given while the daemon's hot thread stores its counters: the watchdog ends a process
//! whose hot thread hangs, even if its other threads run. A gateway and a feed are ready when they serve;
//! until then the manager's timeout is extended. A replica is ready once it runs, in any role: a blank one
//! waits for `lockstep bootstrap`.

use lockstep_io::capabilities;
use lockstep_metrics::{Process, ShownProcess, not_alive, not_ready};
use sd_notify::NotifyState;
use std::time::Duration;

/// The interval of looks at the daemon, if no watchdog needs a shorter one.
const INTERVAL: Duration = Duration::from_millis(500);
/// The time for which the manager is asked to wait for a daemon that is not ready; it is asked again at each
/// look.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a service manager has started this process, and waits until it is ready.
pub fn is_managed() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Reports to the service manager what a starting daemon waits for, and extends its timeout.
pub fn waits(what: &str) {
    if is_managed() {
        report(&[Report::Status(what.to_owned()), Report::Patience]);
    }
}

/// Begins to report to the service manager, if one has started this process.
pub fn start(shown: &ShownProcess) {
    if !is_managed() {
        return;
    }
    let interval = sd_notify::watchdog_enabled().map_or(INTERVAL, |time| INTERVAL.min(time / 3));
    let shown = shown.clone();
    let work = move || {
        let mut reported = Reported::default();
        loop {
            if let Some(process) = shown.process() {
                report(&reported.next(&process));
            }
            std::thread::sleep(interval);
        }
    };
    let thread = capabilities::spawn(std::thread::Builder::new().name("lockstep-service".into()), work);
    if let Err(error) = thread {
        tracing::warn!(
            "the service manager learns nothing of this process: starting a thread failed: {error}"
        );
    }
}

fn report(reports: &[Report]) {
    let states: Vec<NotifyState<'_>> = reports
        .iter()
        .map(|report| match report {
            Report::Ready => NotifyState::Ready,
            Report::Status(text) => NotifyState::Status(text),
            Report::Alive => NotifyState::Watchdog,
            Report::Patience => NotifyState::ExtendTimeoutUsec(PATIENCE.as_micros() as u32),
        })
        .collect();
    if let Err(error) = sd_notify::notify(&states) {
        tracing::debug!("the service manager was not reached: {error}");
    }
}

/// A report to the manager.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Report {
    Ready,
    Status(String),
    Alive,
    Patience,
}

/// The last reports to the manager.
#[derive(Default)]
struct Reported {
    is_ready: bool,
    status: String,
}

impl Reported {
    /// Everything that is new, and the sign of life.
    fn next(&mut self, process: &Process) -> Vec<Report> {
        let mut reports = Vec::new();
        let waits = not_ready(process);
        if not_alive(process).is_none() {
            reports.push(Report::Alive);
            let serves_later = matches!(&*process.kind, "gateway" | "feed");
            match self.is_ready {
                true => {}
                false if serves_later && waits.is_some() => reports.push(Report::Patience),
                false => {
                    self.is_ready = true;
                    reports.push(Report::Ready);
                }
            }
        }
        let status = waits.unwrap_or_else(|| "ready".to_owned());
        let status = match process.state("role") {
            Some(role) => format!("{role}: {status}"),
            None => status,
        };
        if status != self.status {
            reports.push(Report::Status(status.clone()));
            self.status = status;
        }
        reports
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_core::engine::counters::CounterRow;
    use lockstep_metrics::Life;

    fn process(kind: &str, life: Life, gauges: &[(&'static str, u64)]) -> Process {
        let role = CounterRow::state("role", "blank|standby|leader|learner", "");
        let row = |(name, value): &(&'static str, u64)| match *name {
            "role" => (role, *value),
            name => (CounterRow::gauge(name, ""), *value),
        };
        Process::of_rows((kind, "one"), life, gauges.iter().map(row))
    }

    #[test]
    fn a_replica_is_ready_in_any_role_and_its_status_says_what_it_waits_for() {
        let mut reported = Reported::default();
        let blank = reported.next(&process("replica", Life::Runs, &[("role", 0)]));
        assert_eq!(blank[..2], [Report::Alive, Report::Ready]);
        assert!(matches!(&blank[2], Report::Status(text) if text.starts_with("blank: it holds no history")));
        let leads = reported.next(&process("replica", Life::Runs, &[("role", 2)]));
        assert_eq!(leads, [Report::Alive, Report::Status("leader: ready".to_owned())]);
        assert_eq!(reported.next(&process("replica", Life::Runs, &[("role", 2)])), [Report::Alive]);
    }

    #[test]
    fn a_gateway_is_ready_when_clients_may_log_in_and_asks_for_patience_before() {
        let mut reported = Reported::default();
        let waits = reported.next(&process("gateway", Life::Runs, &[("gateway_ready", 0)]));
        let serves = [
            ("gateway_ready", 1),
            ("connected{handle=\"publisher\"}", 1),
            ("connected{handle=\"subscriber\"}", 1),
        ];
        assert_eq!(waits[..2], [Report::Alive, Report::Patience]);
        let serves = reported.next(&process("gateway", Life::Runs, &serves));
        assert_eq!(serves, [Report::Alive, Report::Ready, Report::Status("ready".to_owned())]);
    }

    #[test]
    fn a_process_whose_hot_thread_hangs_gives_no_sign_of_life() {
        let hangs = Life::Hangs(Duration::from_secs(3));
        let reports = Reported::default().next(&process("replica", hangs, &[("role", 2)]));
        assert!(matches!(&reports[..], [Report::Status(text)] if text.contains("hangs")), "{reports:?}");
    }
}
