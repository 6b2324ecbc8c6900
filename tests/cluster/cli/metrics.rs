//! The metrics of a daemon: its page, and the table of all.

use lockstep_testkit::processes::{Cluster, free_address, page, run};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Waits for a page that satisfies.
fn await_page(address: SocketAddr, path: &str, is_wanted: impl Fn(u16, &str) -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let (status, text) = page(address, path, "Accept: text/plain\r\n");
        if is_wanted(status, &text) {
            return;
        }
        assert!(Instant::now() < until, "{path}: {status} {text}");
        std::thread::yield_now();
    }
}

#[test]
fn a_replicas_page_has_what_it_counted_and_a_standby_without_a_leader_is_alive_and_not_ready() {
    let cluster = Cluster::new(2, "");
    let mut replicas = cluster.found();
    let address = free_address();
    assert_eq!(replicas.pop().expect("replica 2").terminate(), Some(0));
    let listen = format!("metrics.listen={address}");
    replicas.push(cluster.start_replica_with(2, &["--set", &listen]));
    replicas[1].await_log("metrics at http://");
    await_page(address, "/readyz", |status, _| status == 200);
    cluster.publish("one\ntwo\n");
    await_page(address, "/metrics", |_, text| {
        text.contains("lockstep_frames_accepted_total{process=\"replica-2\"}")
            && text.contains("role=\"standby\"} 1\n")
    });

    let (status, text) = page(address, "/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n");
    assert!(status == 200 && text.ends_with("# EOF\n"), "{text}");
    for line in [
        "lockstep_role{process=\"replica-2\",role=\"standby\"} 1\n",
        "lockstep_leader{process=\"replica-2\"} 1.0\n",
        "# UNIT lockstep_stall_seconds seconds\n",
        "lockstep_condition{process=\"replica-2\",condition=\"disk_full\"} 0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert_eq!(page(address, "/nothing", "").0, 404);

    replicas[0].signal("KILL");
    replicas[0].wait();
    await_page(address, "/readyz", |status, text| status == 503 && text.contains("follows no leader"));
    assert_eq!(page(address, "/healthz", "").0, 200);
    replicas[1].signal("STOP");
    // A stopped process answers nobody; one whose hot thread hangs would say so.
    let stream = TcpStream::connect(address).expect("the kernel takes it");
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a time");
    assert!((&stream).read(&mut [0; 1]).is_err());
    replicas[1].signal("CONT");
    await_page(address, "/healthz", |status, _| status == 200);
}

#[test]
fn the_page_has_the_day_of_the_keys_and_a_new_one_from_sighup_on() {
    let address = free_address();
    let cluster = Cluster::new(1, &format!("\n[metrics]\nlisten = \"{address}\"\n"));
    let replicas = cluster.found();
    await_page(address, "/metrics", |_, text| {
        text.contains("lockstep_key_expiry_time_seconds{process=\"replica-1\"} 0.0\n")
    });
    cluster.run(&["keys", "expire", "0", "2096-02-29"], b"").with_code(0);
    replicas[0].signal("HUP");
    await_page(address, "/metrics", |_, text| {
        text.contains("lockstep_key_expiry_time_seconds{process=\"replica-1\"} 3981312000.0\n")
    });
}

#[test]
fn a_daemon_goes_on_without_its_page_if_another_one_has_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("an address");
    let address = taken.local_addr().expect("its address");
    let cluster = Cluster::new(1, &format!("\n[metrics]\nlisten = \"{address}\"\n"));
    let replicas = cluster.found();
    cluster.publish("one\n");
    let log = replicas[0].log();
    for text in ["runs without its metrics page", "metrics.listen", "LOCKSTEP_METRICS_LISTEN"] {
        assert!(log.contains(text), "{text} in {log}");
    }
}

#[test]
fn clients_that_are_silent_or_send_half_a_request_keep_nobody_from_the_page() {
    let address = free_address();
    let cluster = Cluster::new(1, &format!("\n[metrics]\nlisten = \"{address}\"\n"));
    let _replicas = cluster.found();
    await_page(address, "/readyz", |status, _| status == 200);
    let open = |bytes: &'static [u8]| {
        (0..100).map(move |_| {
            let mut stream = TcpStream::connect(address).expect("a connection");
            stream.write_all(bytes).expect("it is open");
            stream
        })
    };
    let _open: Vec<TcpStream> = open(b"").chain(open(b"GET /metrics HT")).collect();
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(page(address, path, "").0, 200, "{path}");
    }
}

#[test]
fn a_page_of_another_name_or_origin_reads_nothing() {
    let address = free_address();
    let cluster =
        Cluster::new(1, &format!("\n[metrics]\nlisten = \"{address}\"\nhosts = \"risk-1.example\"\n"));
    let _replicas = cluster.found();
    await_page(address, "/readyz", |status, _| status == 200);
    for path in ["/metrics", "/healthz", "/readyz", "/"] {
        assert_eq!(page(address, path, "Host: evil.example\r\n").0, 403, "{path}");
        let origin = format!("Host: {address}\r\nOrigin: http://evil.example\r\n");
        assert_eq!(page(address, path, &origin).0, 403, "{path}");
        assert_eq!(page(address, path, "Host: risk-1.example:9464\r\n").0, 200, "{path}");
    }
}

#[test]
fn the_document_of_metrics_is_the_table_of_the_program() {
    let table = run(crate::cli::command(&["metrics", "list", "--format", "markdown"]), b"").with_code(0).out;
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md");
    let document = std::fs::read_to_string(page).expect("docs/METRICS.md");
    let heading = table.lines().next().expect("a heading");
    let begin = document.find(heading).expect("docs/METRICS.md has the table");
    let (before, rest) = document.split_at(begin);
    let len = rest.find("\n\n").map_or(rest.len(), |end| end + 1);
    let (rows, behind) = rest.split_at(len);
    if std::env::var_os("REWRITE").is_some() {
        std::fs::write(page, format!("{before}{table}{behind}")).expect("docs/METRICS.md");
    } else {
        let rewrite = "`REWRITE=1 cargo test --test cluster cli::metrics::` writes it anew";
        assert_eq!(rows, table, "docs/METRICS.md: {rewrite}");
    }
    for row in table.lines().skip(2) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let (kind, unit, meaning) = (cells[2], cells[3], cells[6]);
        assert!(meaning.ends_with('.') && meaning.contains(' '), "{row}");
        assert!(kind != "histogram" || unit == "seconds", "{row}");
    }
}
