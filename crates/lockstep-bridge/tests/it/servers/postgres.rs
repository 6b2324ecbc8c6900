//! A PostgreSQL server of Debian's package, in a folder of its own.

use super::pooler::Pooler;
use super::{Server, assert_equal, await_equal, bridge_command, copy_the_rest, start_bridge};
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

/// What a trigger, a policy or an operator may do to what a bridge has written, and what the bridge says.
const DOINGS: [(&str, &str, &str); 6] = [
    ("drops", "RETURN NULL;", "has taken"),
    ("alters", "NEW.payload = 'else'::bytea; RETURN NEW;", "with another content"),
    ("truncates", "NEW.payload = substr(NEW.payload, 1, 2); RETURN NEW;", "with another content"),
    ("renumbers", "NEW.destination = NEW.destination + 1; RETURN NEW;", "with another content"),
    ("moves", "INSERT INTO elsewhere VALUES (NEW.seq); RETURN NULL;", "has taken"),
    ("deletes", "DELETE FROM lockstep_stream WHERE seq = NEW.seq; RETURN NULL;", "rows of seqs"),
];

pub fn what_it_does_to_rows() {
    let cluster = Cluster::new(1, "");
    let Some(server) = PostgresServer::start(&cluster) else { return };
    let _replicas = cluster.found();
    cluster.publish("one\n");
    copy_the_rest(&cluster, &server);
    server.admin("CREATE TABLE elsewhere (seq bigint)");
    server.admin("GRANT ALL ON elsewhere TO bridge");
    let mut args = server.bridge();
    args.push("--until-end".to_owned());
    cluster.publish("two\nthree\nfour\nfive\n");
    for (name, doing, refusal) in DOINGS {
        let when = if name == "deletes" { "AFTER" } else { "BEFORE" };
        server.admin(&format!(
            "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF convert_from(NEW.payload, 'UTF8') LIKE 't%' THEN {doing} END IF; RETURN NEW; END $$; \
             CREATE TRIGGER t {when} INSERT ON lockstep_stream FOR EACH ROW EXECUTE FUNCTION {name}()"
        ));
        let refused = run(bridge_command(&cluster, &args), b"").with_code(3);
        refused.saying(&[refusal, "nothing of this commit is stored", "--no-read-back"]);
        assert_eq!(server.lines(&cluster).len(), 1, "{name}: rows and position go together");
        server.admin("DROP TRIGGER t ON lockstep_stream");
    }
    // Without it they are there; and so they are where a trigger fills a column of its own.
    server.admin(
        "ALTER TABLE lockstep_stream ADD COLUMN words text; \
         CREATE FUNCTION fills() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.words = 'x'; RETURN NEW; END $$; \
         CREATE TRIGGER t BEFORE INSERT ON lockstep_stream FOR EACH ROW EXECUTE FUNCTION fills()",
    );
    copy_the_rest(&cluster, &server);
    assert_equal(&cluster, &server);
    // Rows without their position, as a restore of one table leaves them.
    server.admin("UPDATE lockstep_position SET seq = seq - 3");
    run(bridge_command(&cluster, &args), b"")
        .with_code(3)
        .saying(&["messages behind its position", "restored"]);
    server.admin("DELETE FROM lockstep_position");
    run(bridge_command(&cluster, &args), b"").with_code(3).saying(&["has no position of it"]);
    // Both as they were some commits before: what lies between is written again.
    server.admin("TRUNCATE lockstep_stream");
    copy_the_rest(&cluster, &server);
    assert_equal(&cluster, &server);
}

/// Columns of names, in a table of the bridge and in one that was there without them.
pub fn with_names() {
    let cluster = Cluster::new(1, "");
    let Some(server) = PostgresServer::start(&cluster) else { return };
    let _replicas = cluster.found();
    let publish = |name: &str, to: &str, lines: &str| {
        let args = ["publish", "--name", name, "--destination", to];
        cluster.run(&args, lines.as_bytes()).with_code(0);
    };
    publish("desk", "0", "one\ntwo\n");
    publish("risk", "1", "three\n");
    let seq = server_seq(&cluster, 1);
    let copy = |more: &[&str]| {
        let mut args = server.bridge();
        args.extend(more.iter().chain(&["--until-end"]).map(|&arg| arg.to_owned()));
        run(bridge_command(&cluster, &args), b"")
    };
    let names = |table: &str| {
        let sql = "SELECT format('%s %s %s', convert_from(payload, 'UTF8'), coalesce(publisher_name, '-'), \
                   coalesce(destination_name, '-')) FROM ";
        server.admin(&format!("{sql} {table} ORDER BY seq")).trim().to_owned()
    };
    copy(&["--names", "--table", "named"]).with_code(0);
    assert_eq!(names("named"), "one desk -\ntwo desk -\nthree risk desk");
    // It begins behind the first open.
    copy(&["--names", "--table", "later", "--from", &seq]).with_code(0);
    assert_eq!(names("later"), "two - -\nthree risk -");

    copy(&[]).with_code(0);
    let refused = copy(&["--names"]).with_code(2);
    let alter = "ALTER TABLE \"lockstep_stream\" ADD COLUMN \"publisher_name\" text, ADD COLUMN \"destination_name\" text";
    refused.saying(&[alter, "leave the flag out"]);
    server.admin(alter);
    publish("desk", "2", "four\n");
    copy(&["--names"]).with_code(0);
    assert_eq!(names("lockstep_stream"), "one - -\ntwo - -\nthree - -\nfour desk -");
    assert_equal(&cluster, &server);
    // A trigger that alters a name is noticed as one that alters a payload.
    server.admin(
        "CREATE FUNCTION renames() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.publisher_name = 'x'; RETURN NEW; \
         END $$; CREATE TRIGGER t BEFORE INSERT ON lockstep_stream FOR EACH ROW EXECUTE FUNCTION renames()",
    );
    publish("desk", "0", "five\n");
    copy(&["--names"]).with_code(3).saying(&["with another content"]);
    // Without the flag the column is its owner's.
    copy(&[]).with_code(0);
    assert_equal(&cluster, &server);
}

/// A schema with a field of each kind.
const FEED: &str = "name = 'feed'\n[[message]]\ntype = 'T'\nname = 'trade'\nfields = [\n\
    { name = 'stock', offset = 1, length = 4, kind = 'ascii' },\n\
    { name = 'id', offset = 5, length = 8, kind = 'uint' },\n\
    { name = 'change', offset = 13, length = 2, kind = 'decimal', decimals = 4 },\n\
    { name = 'price', offset = 15, length = 8, kind = 'price', decimals = 2 },\n\
    { name = 'on', offset = 23, length = 1, kind = 'bool' },\n\
    { name = 'side', offset = 24, length = 1, kind = 'enum', values = { buy = 'B' } },\n\
    { name = 'user', offset = 25, length = 1, kind = 'set', values = { hidden = 0, ioc = 2 } },\n\
    { name = 'ratio', offset = 26, length = 4, kind = 'float' },\n\
    { name = 'count', offset = 30, length = 7, kind = 'int' }]\n";

/// The digits of a trade of [`FEED`].
fn trade(stock: &[u8], id: u64, change: i16, price: u64, on: u8, side: u8, ratio: f32) -> String {
    let numbers = [&id.to_be_bytes()[..], &change.to_be_bytes(), &price.to_be_bytes()].concat();
    let rest = [&[on, side, 5][..], &ratio.to_be_bytes(), &[0xff; 7]].concat();
    [b"T", stock, &numbers, &rest].concat().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Columns of the fields of payloads, in a table of the bridge and in one that was there without them.
pub fn with_schema() {
    let cluster = Cluster::new(1, "");
    let Some(server) = PostgresServer::start(&cluster) else { return };
    let _replicas = cluster.found();
    let schema = cluster.path("feed.toml");
    std::fs::write(&schema, FEED).expect("a file");
    let price_max = 999_999_999_999_999_999;
    let lines = [
        trade(b"AB  ", u64::MAX, -1, 1_234_500, 1, b'B', 1.5),
        trade(b"A\0  ", 0, i16::MIN, price_max, 2, b'?', f32::NAN),
        trade(b"    ", 10_000, 0, price_max + 1, 0, b'B', f32::NEG_INFINITY),
        "58".to_owned(),
        "54".to_owned(),
    ];
    cluster.run(&["publish", "--name", "feed", "--hex"], lines.join("\n").as_bytes()).with_code(0);
    let path = schema.display().to_string();
    let copy = |more: &[&str]| {
        let mut args = server.bridge();
        args.extend(more.iter().chain(&["--until-end"]).map(|&arg| arg.to_owned()));
        run(bridge_command(&cluster, &args), b"")
    };
    copy(&["--schema", &path, "--table", "typed", "--names"]).with_code(0);
    let columns = "message_type, stock, id, change, price, \"on\", side, \"user\", ratio, count";
    let rows = server.admin(&format!("SELECT {columns} FROM typed ORDER BY seq"));
    let expected = [
        "trade|AB|18446744073709551615|-0.0001|12345.00|t|buy|hidden|ioc|1.5|-1",
        "trade||0|-3.2768|9999999999999999.99|||hidden|ioc|NaN|-1",
        "trade||10000|0.0000||f|buy|hidden|ioc|-Infinity|-1",
        "|||||||||",
        "trade|||||||||",
    ];
    assert_eq!(rows.trim_end_matches('\n').lines().collect::<Vec<_>>(), expected);
    // An empty text is not NULL.
    let nulls = server
        .admin("SELECT count(*) FILTER (WHERE stock IS NULL), count(*) FILTER (WHERE stock = '') FROM typed");
    assert_eq!(nulls.trim(), "3|1");

    copy(&[]).with_code(0);
    let refused = copy(&["--schema", &path]).with_code(2);
    let alter = "ALTER TABLE \"lockstep_stream\" ADD COLUMN \"message_type\" text, ADD COLUMN \"stock\" text, ADD COLUMN \
                 \"id\" numeric(20,0), ADD COLUMN \"change\" numeric(18,4), ADD COLUMN \"price\" numeric(18,2), ADD COLUMN \
                 \"on\" boolean, ADD COLUMN \"side\" text, ADD COLUMN \"user\" text, ADD COLUMN \"ratio\" double \
                 precision, ADD COLUMN \"count\" bigint";
    refused.saying(&[alter, "leave the flag out"]);
    server.admin(alter);
    cluster.run(&["publish", "--name", "feed", "--hex"], lines[0].as_bytes()).with_code(0);
    copy(&["--schema", &path]).with_code(0);
    let stocks = server.admin("SELECT count(*), count(stock), max(change) FROM lockstep_stream");
    assert_eq!(stocks.trim(), "6|1|-0.0001");
    // A trigger that alters a field is noticed as one that alters a payload.
    server.admin(
        "CREATE FUNCTION alters() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.change = 0; RETURN NEW; END $$; CREATE \
         TRIGGER t BEFORE INSERT ON lockstep_stream FOR EACH ROW EXECUTE FUNCTION alters()",
    );
    cluster.run(&["publish", "--name", "feed", "--hex"], lines[0].as_bytes()).with_code(0);
    copy(&["--schema", &path]).with_code(3).saying(&["with another content"]);
    std::fs::write(&schema, FEED.replace("'stock'", "'history'")).expect("a file");
    copy(&["--schema", &path])
        .with_code(2)
        .saying(&["history is a column of the bridge: choose another name"]);
}

/// The seq of a message, counted from 0.
fn server_seq(cluster: &Cluster, number: usize) -> String {
    let stream = cluster.read(&[]).out;
    let line = stream.lines().nth(number).expect("a message");
    line.split('\t').next().expect("a seq").to_owned()
}

pub fn with_a_poison_entry() {
    let cluster = Cluster::new(1, "");
    let Some(server) = PostgresServer::start(&cluster) else { return };
    let _replicas = cluster.found();
    cluster.publish("one\n");
    copy_the_rest(&cluster, &server);
    server.admin("ALTER TABLE lockstep_stream ADD CHECK (payload <> 'poison'::bytea)");
    cluster.publish("two\npoison\nthree\n");
    let mut waiting = start_bridge(&cluster, &server, &[]);
    waiting.await_log("refuses the message of seq");
    let log = waiting.log();
    let seq = log.split("--skip ").nth(1).expect("a way past").trim();
    let seq: String = seq.chars().take_while(char::is_ascii_digit).collect();
    assert_eq!(waiting.terminate(), Some(0));
    let mut args = server.bridge();
    args.extend(["--until-end", "--skip", &seq].map(str::to_owned));
    run(bridge_command(&cluster, &args), b"").with_code(0).saying(&[&format!("seq {seq} is left out")]);
    let stored = server.lines(&cluster);
    assert_eq!(stored.len(), 3, "{stored:?}");
    assert!(!stored.iter().any(|line| line.ends_with("poison")), "{stored:?}");
    copy_the_rest(&cluster, &server);
    assert_eq!(server.lines(&cluster).len(), 3, "it lies behind");
}

/// A pooler in transaction mode: what is of a session stays behind in a connection that others get next.
pub fn behind_a_pooler() {
    let cluster = Cluster::new(1, "");
    let Some(server) = PostgresServer::start(&cluster) else { return };
    let _replicas = cluster.found();
    cluster.publish("one\n");
    let pooler = Pooler::start(server.folder.path().join(format!(".s.PGSQL.{}", server.port)));
    let [direct, through] = [server.port, pooler.port()].map(|port| format!("@127.0.0.1:{port}/"));
    let mut args: Vec<_> = server.bridge().iter().map(|arg| arg.replace(&direct, &through)).collect();
    args.push("--until-end".to_owned());
    let refused = run(bridge_command(&cluster, &args), b"").with_code(2);
    refused.saying(&["pooler", "name the server itself"]);
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    let began = Instant::now();
    while server.admin(locks).trim() != "0" {
        assert!(began.elapsed() < PATIENCE, "a lock stays behind");
        std::thread::sleep(Duration::from_millis(50));
    }
    let bridge = start_bridge(&cluster, &server, &[]);
    await_equal(&cluster, &server);
    assert_eq!(bridge.terminate(), Some(0));
    assert_eq!(server.admin(locks).trim(), "0");
}
