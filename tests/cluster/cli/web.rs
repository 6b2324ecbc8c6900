//! `lockstep web`: what a program reads there, and what people see in a real browser.

use lockstep_testkit::processes::{Cluster, Process, free_address, page};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Seconds that a browser may take.
const BROWSER_S: &str = "60";
/// Time of its own that the browser lets pass before it prints the page: some looks.
const BUDGET: &str = "--virtual-time-budget=6000";

/// The head of a browser whose user has asked for the page of this host.
const LOCAL: &str = "Host: localhost\r\n";

/// What the page's server shows once it satisfies.
#[track_caller]
fn await_live(address: SocketAddr, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let (status, text) = page(address, "/live.json", LOCAL);
        assert_eq!(status, 200, "{text}");
        let live: Value = serde_json::from_str(&text).expect("JSON");
        if is_wanted(&live) {
            return live;
        }
        assert!(Instant::now() < until, "{text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn start(cluster: &Cluster, more: &[&str]) -> (Process, SocketAddr) {
    let address = free_address();
    let listen = address.to_string();
    let args = [&["web", "--listen", &listen, "--interval", "200ms"], more].concat();
    let mut web = cluster.start("web", &args);
    web.await_log("the page is at http://");
    (web, address)
}

/// Publishes until the page shows a message: it has none of those before its subscription has begun.
#[track_caller]
fn await_first_message(cluster: &Cluster, address: SocketAddr) {
    let until = Instant::now() + Duration::from_secs(60);
    while newest(&await_live(address, |_| true)).is_empty() {
        assert!(Instant::now() < until, "the page shows no message");
        cluster.publish("begun\n");
    }
}

fn leader_of(live: &Value) -> Option<&str> {
    live["snapshot"]["cluster"]["leader"].as_str()
}

fn newest(live: &Value) -> Vec<&str> {
    let rows = live["messages"]["newest"].as_array().into_iter().flatten();
    rows.filter_map(|row| row["text"].as_str()).collect()
}

#[test]
fn a_page_has_the_figures_of_top_the_newest_messages_and_a_takeover() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let (web, address) = start(&cluster, &[]);
    let top = cluster.run(&["top", "--json", "--interval", "200ms"], b"").with_code(0).out;
    let top: Value = serde_json::from_str(&top).expect("JSON");
    let live = await_live(address, |live| !live["snapshot"]["cluster"]["committed_per_second"].is_null());
    assert_eq!(live["schema"], "lockstep.web/1");
    for key in ["leader", "epoch", "health", "members_listed", "may_crash"] {
        assert_eq!(live["snapshot"]["cluster"][key], top["cluster"][key], "{key}");
    }
    assert_eq!(live["snapshot"]["schema"], top["schema"]);
    await_first_message(&cluster, address);
    cluster.publish("one\ntwo\n");
    let live = await_live(address, |live| newest(live).ends_with(&["one", "two"]));
    assert_eq!(live["messages"]["count"], newest(&live).len());
    let last = live["messages"]["newest"].as_array().and_then(|rows| rows.last()).expect("a message");
    assert_eq!(last["publisher_name"], "orders", "its open was read");
    assert_eq!((&last["destination"], last.get("destination_name")), (&0.into(), None));

    let leader = cluster.leader();
    replicas[leader as usize - 1].signal("KILL");
    replicas[leader as usize - 1].wait();
    await_live(address, |live| {
        let points = live["history"].as_array().into_iter().flatten();
        let rounds: BTreeSet<_> = points.filter_map(|point| point["round"].as_u64()).collect();
        rounds.len() > 1 && live["snapshot"]["nodes"][leader as usize - 1]["presence"] == "ended"
    });
    cluster.publish("three\n");
    await_live(address, |live| newest(live).ends_with(&["three"]));
    assert_eq!(web.terminate(), Some(0));
}

#[test]
fn a_page_is_for_its_own_host_alone_and_can_do_without_the_stream() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let (_web, address) = start(&cluster, &["--no-messages", "--host", "risk-1"]);
    assert_eq!(page(address, "/", "Host: risk-1:9480\r\n").0, 200);
    let (status, text) = page(address, "/live.json", "Host: evil.example\r\n");
    assert!(status == 403 && text.contains("lockstep web --host"), "{text}");
    let live = await_live(address, |_| true);
    assert!(live["messages"].is_null());
    let taken = cluster.run(&["web", "--listen", &address.to_string()], b"");
    assert_ne!(taken.code, Some(0));
    assert!(taken.err.contains(&format!("listen on {address} (--listen)")), "{}", taken.err);
}

#[test]
fn a_page_shows_payloads_as_fields_by_a_schema() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let schema = cluster.path("feed.toml");
    let fields = "[{ name = 'side', offset = 1, length = 1, kind = 'enum', values = { buy = 'B' } }]";
    let text = format!("name = 'feed'\n[[message]]\ntype = 'T'\nname = 'trade'\nfields = {fields}\n");
    std::fs::write(&schema, text).expect("a file");
    let (_web, address) = start(&cluster, &["--schema", &schema.display().to_string()]);
    await_first_message(&cluster, address);
    cluster.publish("TB\nother\n");
    let live = await_live(address, |live| newest(live).ends_with(&["TB", "other"]));
    let rows = live["messages"]["newest"].as_array().expect("messages");
    let [.., trade, other] = &rows[..] else { panic!("{live}") };
    assert_eq!((&trade["fields"], other.get("fields")), (&"trade side=buy".into(), None));
    let (_, script) = page(address, "/page.js", LOCAL);
    assert!(script.contains("row.fields ?? row.text"), "the page shows them");
    let refused = cluster.run(&["web", "--schema", "/nonexistent"], b"").with_code(2);
    refused.saying(&["schema /nonexistent: No such file"]);
}

/// A browser without a window.
fn browser() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).find_map(|folder| {
        ["chromium", "chromium-browser", "google-chrome"]
            .map(|name| folder.join(name))
            .into_iter()
            .find(|path| path.exists())
    });
    if found.is_none() {
        println!("SKIPPED: no browser is installed (Debian's package chromium)");
    }
    found
}

/// The page as a browser has built it, and a picture of it at `screenshot`.
fn built(browser: &Path, address: SocketAddr, screenshot: &Path) -> String {
    let profile = TempDir::new().expect("a folder");
    let mut command = Command::new("timeout");
    command.arg(BROWSER_S).arg(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    command.args(["--disable-dev-shm-usage", "--window-size=1400,1500", BUDGET, "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg(format!("--screenshot={}", screenshot.display()));
    command.arg(format!("http://{address}/"));
    let output = command.stdin(Stdio::null()).output().expect("timeout is there");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// Width and height of a picture (PNG, RFC 2083).
fn size(picture: &[u8]) -> (u32, u32) {
    assert_eq!(&picture[..8], b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().expect("four"));
    (number(16), number(20))
}

#[test]
fn people_see_who_leads_the_newest_messages_as_text_and_a_takeover() {
    let Some(browser) = browser() else { return };
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let (_web, address) = start(&cluster, &[]);
    await_first_message(&cluster, address);
    cluster.publish("buy 100 at 42\n<b id=planted>bold</b><script>document.title='planted'</script>\n");
    await_live(address, |live| newest(live).iter().any(|text| text.starts_with("<b id")));
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("web");
    std::fs::create_dir_all(&pictures).expect("a folder");
    let calm = pictures.join("calm.png");
    let led = || await_live(address, |live| leader_of(live).is_some());
    let (before, page, after) = (led(), built(&browser, address, &calm), led());
    let leader = leader_of(&after).expect("a leader").to_owned();
    for text in ["buy 100 at 42", "orders:", "&lt;b id=planted&gt;bold", "3 of 3"] {
        assert!(page.contains(text), "{text} in {page}");
    }
    assert!(!page.contains("<b id=\"planted\"") && page.contains("<title>lockstep: "), "{page}");
    // A busy machine may have had a takeover of its own.
    let rounds =
        |live: &Value| live["history"].as_array().map(|all| all.last().map(|one| one["round"].clone()));
    if rounds(&before) == rounds(&after) && leader_of(&before) == Some(&leader) {
        assert!(page.contains(&format!("<b>{leader}</b>")), "{leader} in {page}");
    }
    assert_eq!(size(&std::fs::read(&calm).expect("a picture")), (1400, 1500));

    let index = cluster.leader() as usize - 1;
    replicas[index].signal("KILL");
    replicas[index].wait();
    cluster.run(&["wait", "--for", "leader", "--timeout", "40s"], b"").with_code(0);
    await_live(address, |live| {
        live["snapshot"]["cluster"]["leader"].as_str().is_some_and(|new| new != leader)
    });
    let page = built(&browser, address, &pictures.join("takeover.png"));
    for text in ["degraded", "class=\"takeover\"", "ended"] {
        assert!(page.contains(text), "{text} in {page}");
    }
}
