//! An InfluxDB server of Debian's package, in a folder of its own.

use super::{Server, bridge_command};
use lockstep_testkit::processes::{Cluster, PATIENCE, Process, free_address, run};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PASSWORD: &str = "secret";

pub struct InfluxServer {
    folder: TempDir,
    program: PathBuf,
    port: u16,
    server: Option<Process>,
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join("influxd")).find(|program| program.exists())
}

impl InfluxServer {
    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn write_config(&self) {
        let (folder, port) = (self.folder.path().display(), self.port);
        let text = format!(
            "reporting-disabled = true\nbind-address = \"{}\"\n[meta]\ndir = \"{folder}/meta\"\n[data]\n\
             dir = \"{folder}/data\"\nwal-dir = \"{folder}/wal\"\n[http]\nbind-address = \"127.0.0.1:{port}\"\n\
             auth-enabled = true\nlog-enabled = false\n[monitor]\nstore-enabled = false\n",
            free_address()
        );
        std::fs::write(self.folder.path().join("influxdb.conf"), text).expect("writing the configuration");
    }

    /// The answer to a statement, as JSON.
    fn query(&self, statement: &str) -> Option<serde_json::Value> {
        let query = [("db", "stream"), ("u", "admin"), ("p", PASSWORD), ("q", statement)];
        let request = ureq::post(format!("{}/query", self.url())).query_pairs(query);
        let config = request.config().timeout_global(Some(PATIENCE)).build();
        let text = config.send_empty().ok()?.body_mut().with_config().limit(1 << 30).read_to_string().ok()?;
        serde_json::from_str(&text).ok()
    }

    #[track_caller]
    fn admin(&self, statement: &str) {
        let answer = self.query(statement).expect("an answer");
        assert_eq!(answer["results"][0]["error"], serde_json::Value::Null, "{statement}: {answer}");
    }
}

impl Server for InfluxServer {
    fn start(cluster: &Cluster) -> Option<Self> {
        let Some(program) = program() else {
            println!("SKIPPED: InfluxDB is not installed");
            return None;
        };
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("password"), PASSWORD).expect("a file");
        let mut server = Self { folder, program, port: free_address().port(), server: None };
        server.write_config();
        server.start_again(cluster);
        server.admin(&format!("CREATE USER admin WITH PASSWORD '{PASSWORD}' WITH ALL PRIVILEGES"));
        server.admin("CREATE DATABASE stream");
        server.admin(&format!("CREATE USER bridge WITH PASSWORD '{PASSWORD}'"));
        server.admin("GRANT ALL ON stream TO bridge");
        Some(server)
    }

    fn bridge(&self) -> Vec<String> {
        let password = self.folder.path().join("password").display().to_string();
        let url = self.url();
        let args = [
            "influx",
            "--url",
            &url,
            "--database",
            "stream",
            "--user",
            "bridge",
            "--password-file",
            &password,
        ];
        args.map(str::to_owned).to_vec()
    }

    fn lines(&self, _: &Cluster) -> Vec<String> {
        let statement = "SELECT seq, publisher, publisher_seq, destination, payload FROM lockstep";
        let answer = self.query(statement).expect("an answer");
        let rows = answer["results"][0]["series"][0]["values"].as_array().cloned().unwrap_or_default();
        let line = |row: serde_json::Value| {
            let text =
                |column: usize| row[column].as_str().map_or_else(|| row[column].to_string(), str::to_owned);
            format!("{}\t{}:{}\t{}\t{}", text(1), text(2), text(3), text(4), text(5))
        };
        rows.into_iter().map(line).collect()
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
        command.arg("-config").arg(self.folder.path().join("influxdb.conf"));
        let server = cluster.start_command("influxd", command);
        let began = Instant::now();
        while ureq::get(format!("{}/ping", self.url())).call().is_err() {
            assert!(began.elapsed() < PATIENCE, "it does not begin:\n{}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.server = Some(server);
    }

    fn signal(&self, name: &str) {
        if let Some(server) = &self.server {
            server.signal(name);
        }
    }

    fn set_login(&mut self, is_taken: bool) -> bool {
        let password = if is_taken { PASSWORD } else { "another" };
        self.admin(&format!("SET PASSWORD FOR bridge = '{password}'"));
        true
    }

    fn set_writable(&mut self, is_writable: bool) {
        self.admin(if is_writable {
            "GRANT ALL ON stream TO bridge"
        } else {
            "REVOKE WRITE ON stream FROM bridge"
        });
    }

    fn refusal(&self) -> &'static str {
        "refuses the right"
    }
}

/// Fields of names, and a message that is written again without them.
pub fn with_names() {
    let cluster = Cluster::new(1, "");
    let Some(server) = InfluxServer::start(&cluster) else { return };
    let _replicas = cluster.found();
    // Each has a stamp of its own, and so a time that says nothing of the message before.
    for (name, to, line) in [("desk", "0", "one\n"), ("desk", "0", "two\n"), ("risk", "1", "three\n")] {
        cluster.run(&["publish", "--name", name, "--destination", to], line.as_bytes()).with_code(0);
    }
    let stream = cluster.read(&[]).out;
    let last = stream.lines().nth(2).and_then(|line| line.split('\t').next()).expect("a seq");
    let copy = |more: &[&str]| {
        let mut args = server.bridge();
        args.extend(more.iter().chain(&["--until-end"]).map(|&arg| arg.to_owned()));
        run(bridge_command(&cluster, &args), b"").with_code(0);
    };
    let named = || {
        let statement = "SELECT payload, publisher_name, destination_name FROM lockstep ORDER BY time";
        let answer = server.query(statement).expect("an answer");
        answer["results"][0]["series"][0]["values"].as_array().cloned().unwrap_or_default()
    };
    let fields = |rows: &[serde_json::Value]| {
        rows.iter().map(|row| format!("{} {} {}", row[1], row[2], row[3])).collect::<Vec<_>>()
    };
    copy(&["--names"]);
    let all = ["\"one\" \"desk\" null", "\"two\" \"desk\" null", "\"three\" \"risk\" \"desk\""];
    assert_eq!(fields(&named()), all);
    // Bridges that do not know a name, or are not asked for names, replace the same points.
    server.admin("DROP MEASUREMENT lockstep_position");
    copy(&["--names", "--from", last]);
    assert_eq!(fields(&named()), all);
    server.admin("DROP MEASUREMENT lockstep_position");
    copy(&[]);
    assert_eq!(fields(&named()), all);
}
