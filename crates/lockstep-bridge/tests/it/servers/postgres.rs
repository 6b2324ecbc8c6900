//! A PostgreSQL server of Debian's package, in a folder of its own.

use super::Server;
use lockstep_testkit::processes::{Cluster, PATIENCE, Process, free_address, is_root, run};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The password of the role that bridges have.
const PASSWORD: &str = "a secret";

pub struct PostgresServer {
    folder: TempDir,
    programs: Programs,
    port: u16,
    server: Option<Process>,
}

/// A program of the package: the server's are in the path, or where Debian has them.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin"));
    std::env::split_paths(&path).chain(debian).map(|folder| folder.join(name)).find(|path| path.exists())
}

/// The programs that a test runs.
struct Programs {
    initdb: PathBuf,
    postgres: PathBuf,
    psql: PathBuf,
}

impl Programs {
    fn find() -> Option<Self> {
        Some(Self { initdb: program("initdb")?, postgres: program("postgres")?, psql: program("psql")? })
    }
}

/// The server refuses to run as root.
fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

impl PostgresServer {
    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn psql(&self, database: &str, sql: &str) -> Option<String> {
        let mut command = Command::new(&self.programs.psql);
        command.args(["-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-U", "admin", "-d", database, "-c", sql]);
        command.arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string()]);
        let outcome = run(command, b"");
        (outcome.code == Some(0)).then_some(outcome.out)
    }

    #[track_caller]
    fn admin(&self, sql: &str) -> String {
        self.psql("stream", sql).unwrap_or_else(|| panic!("{sql}"))
    }

    fn await_ready(&self, server: &Process) {
        let began = Instant::now();
        while self.psql("postgres", "SELECT 1").is_none() {
            assert!(began.elapsed() < PATIENCE, "it does not begin:\n{}", server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The server's processes, by their parent.
    fn pids(&self) -> Vec<u32> {
        let Some(server) = &self.server else { return vec![] };
        let children = format!("/proc/{0}/task/{0}/children", server.pid());
        let children = std::fs::read_to_string(children).unwrap_or_default();
        std::iter::once(server.pid())
            .chain(children.split_whitespace().filter_map(|pid| pid.parse().ok()))
            .collect()
    }
}

impl Server for PostgresServer {
    fn start(cluster: &Cluster) -> Option<Self> {
        let Some(programs) = Programs::find() else {
            println!("SKIPPED: PostgreSQL is not installed");
            return None;
        };
        let folder = TempDir::new().expect("a folder");
        let port = free_address().port();
        let mut server = Self { folder, programs, port, server: None };
        std::fs::create_dir(server.data()).expect("a folder");
        if is_root() {
            let mut chown = Command::new("chown");
            chown.args(["-R", "postgres:postgres"]).arg(server.folder.path());
            run(chown, b"").with_code(0);
        }
        let mut initdb = unprivileged(&server.programs.initdb);
        initdb.args([
            "--username=admin",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--no-sync",
            "-D",
        ]);
        initdb.arg(server.data());
        run(initdb, b"").with_code(0);
        server.start_again(cluster);
        let role = format!("CREATE ROLE bridge LOGIN PASSWORD '{PASSWORD}'");
        server.psql("postgres", &role).expect("a role");
        server.psql("postgres", "CREATE DATABASE stream OWNER bridge").expect("a database");
        std::fs::write(server.folder.path().join("password"), PASSWORD).expect("a file");
        Some(server)
    }

    fn bridge(&self) -> Vec<String> {
        let url = format!("postgresql://bridge@127.0.0.1:{}/stream", self.port);
        let password = self.folder.path().join("password");
        let args = ["postgres", "--url", &url, "--password-file", &password.display().to_string()];
        args.map(str::to_owned).to_vec()
    }

    fn lines(&self, _cluster: &Cluster) -> Vec<String> {
        let sql = "SELECT format(E'%s\\t%s:%s\\t%s\\t%s', seq, publisher, publisher_seq, destination, \
                   convert_from(payload, 'UTF8')) FROM lockstep_stream ORDER BY seq";
        // Before the first bridge has made the table there is none.
        self.psql("stream", sql).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn kill_and_start(&mut self, cluster: &Cluster) {
        self.kill();
        self.start_again(cluster);
    }

    fn kill(&mut self) {
        let pids = self.pids();
        self.signal("KILL");
        if let Some(mut server) = self.server.take() {
            server.wait();
        }
        // A new server begins when the processes of the old one are gone.
        let began = Instant::now();
        while pids.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
            assert!(began.elapsed() < PATIENCE, "{pids:?} do not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn start_again(&mut self, cluster: &Cluster) {
        let mut command = unprivileged(&self.programs.postgres);
        command.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        command.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        let server = cluster.start_command("postgres", command);
        self.await_ready(&server);
        self.server = Some(server);
    }

    fn signal(&self, name: &str) {
        let pids: Vec<String> = self.pids().iter().map(u32::to_string).collect();
        // One of them may have ended since.
        let _ = Command::new("kill").args(["-s", name]).args(&pids).output();
    }

    fn set_login(&mut self, is_taken: bool) -> bool {
        let password = if is_taken { PASSWORD } else { "another one" };
        self.admin(&format!("ALTER ROLE bridge PASSWORD '{password}'"));
        true
    }

    fn set_writable(&mut self, is_writable: bool) {
        let (verb, whom) = if is_writable { ("GRANT", "TO") } else { ("REVOKE", "FROM") };
        self.admin(&format!("{verb} INSERT ON lockstep_stream {whom} bridge"));
    }

    fn refusal(&self) -> &'static str {
        "refuses the right to write"
    }
}
