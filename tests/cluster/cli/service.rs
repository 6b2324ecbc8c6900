//! A daemon under a service manager: readiness, status, and signs of life.

use lockstep_testkit::processes::Cluster;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(1_500))).expect("a time");
        Self { socket, _folder: folder, path }
    }

    /// The lines of the next report; `None` if none comes for longer than several signs of life take.
    fn report(&self) -> Option<Vec<String>> {
        let mut bytes = [0; 4096];
        let len = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..len]).lines().map(str::to_owned).collect())
    }

    /// Waits for reports with each of these lines, in any order.
    fn await_lines(&self, lines: &[&str]) {
        let until = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while lines.iter().any(|line| !seen.iter().any(|known| known == line)) {
            seen.extend(self.report().into_iter().flatten());
            seen.dedup();
            assert!(Instant::now() < until, "not all of {lines:?}: {seen:?}");
        }
    }
}

#[test]
fn a_replica_reports_readiness_status_and_signs_of_life_to_its_service_manager() {
    let cluster = Cluster::new(1, "");
    for replica in cluster.found() {
        assert_eq!(replica.terminate(), Some(0));
    }
    let manager = Manager::new();
    let mut command = cluster.command_at(cluster.clients(), &["sequencer", "--replica", "1"]);
    command.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "600000");
    let replica = cluster.start_command("replica-1", command);
    manager.await_lines(&["READY=1", "STATUS=leader: ready", "WATCHDOG=1"]);
    replica.signal("STOP");
    // What it had reported before comes first.
    while manager.report().is_some() {}
    replica.signal("CONT");
    manager.await_lines(&["WATCHDOG=1"]);
    assert_eq!(replica.terminate(), Some(0));
}
