//! # tls: clients of gateways by TLS
//!
//! `tests/cluster/tls` has two certificates for `gateway.test` with their keys, and the authority that signed
//! them, valid from 2020 to 2120. `make.sh` there made them; they protect nothing.

use lockstep_testkit::gateways::{
    add_user, is_cut_and_resumes_who_reads_nothing, start, start_on, with_exchange,
};
use lockstep_testkit::processes::{Cluster, PATIENCE, Process, free_address};
use lockstep_testkit::trader::{Trader, login_of};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use soupbintcp::LoginRequest;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file of `tests/cluster/tls`.
fn test_data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/tls").join(name)
}

/// Puts a certificate and its key where the gateways of a cluster look for them.
fn place(cluster: &Cluster, name: &str) {
    fs::copy(test_data(&format!("{name}.pem")), cluster.path("gateway.pem")).unwrap();
    fs::copy(test_data(&format!("{name}.key")), cluster.path("gateway.key")).unwrap();
    fs::set_permissions(cluster.path("gateway.key"), Permissions::from_mode(0o600)).unwrap();
}

/// The settings that name them.
fn settings(cluster: &Cluster) -> [String; 4] {
    let set = |key: &str, file: &str| format!("gateway.{key}={}", cluster.path(file).display());
    let [certificate, key] = [set("tls_certificate", "gateway.pem"), set("tls_key", "gateway.key")];
    ["--set".into(), certificate, "--set".into(), key]
}

/// A gateway with these listeners, and the first certificate.
fn start_tls<const N: usize>(cluster: &Cluster, listeners: [&str; N]) -> (Process, [SocketAddr; N]) {
    place(cluster, "first");
    let settings = settings(cluster);
    start_on(cluster, "1", listeners, &settings.each_ref().map(String::as_str))
}

/// A client's half of TLS, as yet without a connection.
fn half(version: &'static SupportedProtocolVersion) -> ClientConnection {
    half_with(version, None)
}

/// The same with the certificate and key of these names, if there are any.
fn half_with(version: &'static SupportedProtocolVersion, own: Option<&str>) -> ClientConnection {
    let mut trusted = RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_file(test_data("authority.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(trusted);
    let config = match own {
        None => config.with_no_client_auth(),
        Some(name) => {
            let key = PrivateKeyDer::from_pem_file(test_data(&format!("{name}.key"))).unwrap();
            config.with_client_auth_cert(vec![certificate(name)], key).unwrap()
        }
    };
    ClientConnection::new(Arc::new(config), "gateway.test".try_into().unwrap()).unwrap()
}

/// A connection that waits, with an end to its patience.
fn connected(gateway: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(gateway).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The same by TLS.
fn secured(
    gateway: SocketAddr,
    version: &'static SupportedProtocolVersion,
) -> StreamOwned<ClientConnection, TcpStream> {
    let (mut socket, mut half) = (connected(gateway), half(version));
    while half.is_handshaking() {
        half.complete_io(&mut socket).unwrap();
    }
    StreamOwned::new(half, socket)
}

/// The certificate that a gateway shows.
fn shown(gateway: SocketAddr) -> CertificateDer<'static> {
    secured(gateway, &TLS13).conn.peer_certificates().unwrap()[0].clone()
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(test_data(&format!("{name}.pem"))).unwrap()
}

/// TLS that never waits, for a trader.
struct Secure {
    socket: TcpStream,
    half: ClientConnection,
}

impl Secure {
    fn flush_records(&mut self) -> io::Result<()> {
        while self.half.wants_write() {
            match self.half.write_tls(&mut self.socket) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        Ok(())
    }
}

impl Read for Secure {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.half.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            self.flush_records()?;
            if self.half.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            self.half.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

impl Write for Secure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.half.writer().write(bytes)?;
        self.flush_records()?;
        if len == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(len) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_records()
    }
}

/// A trader by TLS, whose login is on its way.
fn trader(gateway: SocketAddr, login: LoginRequest) -> Trader {
    let socket = TcpStream::connect(gateway).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    Trader::over(Secure { socket, half: half(&TLS13) }, login)
}

fn log_in(gateway: SocketAddr, user: &str, seq: u64) -> Trader {
    trader(gateway, login_of(user, "secret", "", seq)).logged_in().unwrap()
}

/// Orders from..=to of a trader who has no answers yet, and the answers to all of them.
fn trade(trader: &mut Trader, from: u64, to: u64) {
    (from..=to).for_each(|number| trader.send(format!("order {number}").as_bytes()));
    trader.await_messages((to - from + 1) as usize);
}

fn acks(from: u64, to: u64) -> Vec<(u64, Vec<u8>)> {
    (from..=to).map(|number| (number, format!("ack order {number}").into_bytes())).collect()
}

/// Reads to the end, whichever it is.
fn rest(mut connection: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let ended = connection.read_to_end(&mut bytes);
    assert!(!ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "not cut: {bytes:?}");
    bytes
}

/// A login request for alice as bytes.
fn login() -> Vec<u8> {
    [&b"\0\x2fLalice secret    "[..], &[b' '; 29], b"0"].concat()
}

#[test]
fn the_page_of_a_gateway_has_the_end_of_its_certificate() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &[]);
    place(&cluster, "first");
    let (page, settings) = (free_address(), settings(&cluster));
    let listen = format!("metrics.listen={page}");
    let mut more: Vec<_> = settings.iter().map(String::as_str).collect();
    more.extend(["--set", &listen]);
    let (_gateway, [_]) = start_on(&cluster, "1", ["--listen-tls"], &more);
    let mut client = connected(page);
    client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let text = String::from_utf8(rest(client)).unwrap();
    // That of 2120-01-01.
    let sample = "lockstep_certificate_expiry_time_seconds{process=\"gateway-1\"} 4733510400.0\n";
    assert!(text.contains(sample), "{text}");
}

#[test]
fn a_client_trades_by_tls_and_resumes_at_another_gateway_in_the_clear_by_the_same_numbers() {
    let cluster = Cluster::new(3, "");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &[]);
    let (_first, [by_tls]) = start_tls(&cluster, ["--listen-tls"]);
    let second = start(&cluster, "2");
    let received = with_exchange(&cluster, || {
        let mut alice = log_in(by_tls, "alice", 1);
        assert_eq!(alice.accepted(), Some(("FIRST", 1)));
        trade(&mut alice, 1, 20);
        assert_eq!(alice.messages, acks(1, 20));
        drop(alice);
        let mut alice = Trader::log_in(second.address, login_of("alice", "secret", "", 8)).unwrap();
        alice.await_messages(13);
        assert_eq!(alice.messages, acks(8, 20));
        // And back: another connection of its user takes its place.
        let mut again = log_in(by_tls, "alice", 21);
        alice.until("to be superseded", |alice| alice.ended().is_some());
        trade(&mut again, 21, 25);
        assert_eq!(again.messages, acks(21, 25));
    });
    assert_eq!(received.orders.len(), 25);
}

#[test]
fn clients_of_both_versions_log_in_and_are_told_the_end_by_close_notify() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &[]);
    let (_gateway, [plain, by_tls]) = start_tls(&cluster, ["--listen", "--listen-tls"]);
    for version in [&TLS12, &TLS13] {
        let mut alice = secured(by_tls, version);
        assert_eq!(alice.conn.protocol_version(), Some(version.version));
        alice.write_all(&login()).unwrap();
        let mut accepted = [0; 33];
        alice.read_exact(&mut accepted).unwrap();
        assert_eq!(&accepted, b"\0\x1fA     FIRST                   1");
        alice.write_all(b"\0\x01O").unwrap();
        let mut reply = Vec::new();
        // Without close_notify this is an error.
        alice.read_to_end(&mut reply).unwrap();
    }
    Trader::log_in(plain, login_of("alice", "secret", "", 0)).unwrap();
}

/// What a client reads with this certificate of its own, if it has one: the answer to a right login, or
/// nothing.
fn login_with(gateway: SocketAddr, version: &'static SupportedProtocolVersion, own: Option<&str>) -> Vec<u8> {
    let (mut socket, mut half) = (connected(gateway), half_with(version, own));
    while half.is_handshaking() {
        if half.complete_io(&mut socket).is_err() {
            return Vec::new();
        }
    }
    let mut stream = StreamOwned::new(half, socket);
    let mut answer = vec![0; 3];
    // TLS 1.3's client is done before the gateway has judged its certificate.
    match stream.write_all(&login()).and_then(|()| stream.read_exact(&mut answer)) {
        Ok(()) => answer,
        Err(_) => Vec::new(),
    }
}

#[test]
fn a_client_without_a_certificate_of_the_clients_authority_does_not_come_to_its_login() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &[]);
    place(&cluster, "first");
    let authority = format!("gateway.tls_client_authority={}", test_data("client-authority.pem").display());
    let settings = settings(&cluster);
    let settings: Vec<&str> = settings.iter().map(String::as_str).chain(["--set", &authority]).collect();
    let (gateway, [by_tls]) = start_on(&cluster, "1", ["--listen-tls"], &settings);
    for version in [&TLS12, &TLS13] {
        assert_eq!(login_with(by_tls, version, Some("client")), b"\0\x1fA", "with its certificate");
        assert_eq!(login_with(by_tls, version, None), b"", "without one");
        assert_eq!(login_with(by_tls, version, Some("second")), b"", "with one of another authority");
    }
    assert!(gateway.log().contains("TLS: peer sent no certificates"), "{}", gateway.log());
}

#[test]
fn certificate_and_key_are_read_again_at_sighup_and_wrong_ones_change_nothing() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &[]);
    let (mut gateway, [by_tls]) = start_tls(&cluster, ["--listen-tls"]);
    with_exchange(&cluster, || {
        let mut alice = log_in(by_tls, "alice", 1);
        assert_eq!(shown(by_tls), certificate("first"));
        place(&cluster, "second");
        gateway.signal("HUP");
        gateway.await_log("certificate and key read again");
        assert_eq!(shown(by_tls), certificate("second"));
        fs::write(cluster.path("gateway.pem"), "nothing").unwrap();
        gateway.signal("HUP");
        gateway.await_log("certificate and key stay as they were");
        assert!(gateway.log().contains("no certificate is in it"), "{}", gateway.log());
        assert_eq!(shown(by_tls), certificate("second"));
        // A client that is there keeps what it has.
        trade(&mut alice, 1, 3);
        assert_eq!(alice.messages, acks(1, 3));
    });
}

#[test]
fn wrong_files_are_refused_with_what_to_do() {
    let cluster = Cluster::new(1, "");
    add_user(&cluster, "alice", "secret", &[]);
    let users = cluster.path("users.toml");
    let settings = settings(&cluster);
    let refused = |settings: &[String], texts: &[&str]| {
        let users = users.to_str().unwrap();
        let args = ["gateway", "--listen-tls", "127.0.0.1:0", "--users", users].into_iter();
        let args: Vec<_> = args.chain(settings.iter().map(String::as_str)).collect();
        cluster.run(&args, b"").with_code(2).saying(texts);
    };
    refused(&[], &["--listen-tls needs gateway.tls_certificate", "PEM"]);
    refused(&settings[..2], &["--listen-tls needs gateway.tls_key"]);
    refused(&settings, &["gateway.pem: No such file"]);
    place(&cluster, "first");
    fs::copy(test_data("first.key"), cluster.path("gateway.pem")).unwrap();
    refused(&settings, &["gateway.pem: no certificate is in it"]);
    let torn = fs::read_to_string(test_data("first.pem")).unwrap().replace("-----END", "");
    fs::write(cluster.path("gateway.pem"), torn).unwrap();
    refused(&settings, &["gateway.pem: its PEM is damaged"]);
    place(&cluster, "first");
    fs::set_permissions(cluster.path("gateway.key"), Permissions::from_mode(0o640)).unwrap();
    refused(&settings, &["gateway.key: others may read it (mode 640); chmod 600 it"]);
    place(&cluster, "first");
    fs::write(cluster.path("gateway.key"), "nothing").unwrap();
    refused(&settings, &["gateway.key: no key is in it", "without a password"]);
    place(&cluster, "first");
    fs::copy(test_data("second.pem"), cluster.path("gateway.pem")).unwrap();
    refused(&settings, &["gateway.pem: it does not go with the key in", "stands first"]);
    // Nobody listens in the clear because a flag was forgotten.
    let args: Vec<_> = ["gateway"].into_iter().chain(settings.iter().map(String::as_str)).collect();
    let says = ["gateway.tls_certificate: no listener would use it: give --listen-tls"];
    cluster.run(&[&args[..], &["--users", users.to_str().unwrap()]].concat(), b"").with_code(2).saying(&says);
}

#[test]
fn who_speaks_no_tls_where_it_is_spoken_or_tls_where_it_is_not_is_cut_and_named() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &[]);
    let (mut gateway, [plain, by_tls]) = start_tls(&cluster, ["--listen", "--listen-tls"]);
    let mut cut = |address: SocketAddr, bytes: &[u8], named: &str| {
        let mut socket = connected(address);
        socket.write_all(bytes).unwrap();
        rest(socket);
        gateway.await_log(named);
    };
    let mut hello = Vec::new();
    half(&TLS13).write_tls(&mut hello).unwrap();
    cut(by_tls, &login(), "it begins like SoupBinTCP in the clear, and here is TLS");
    cut(by_tls, b"GET / HTTP/1.1\r\n\r\n", "it begins with 0x47: no TLS");
    cut(plain, &hello, "it begins like TLS, and here clients speak in the clear");
    let mut spoilt = hello.clone();
    spoilt[5..].fill(0xff);
    cut(by_tls, &spoilt, "a client was cut: TLS: ");
    // A client that trusts somebody else says so by an alert.
    let unknown = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut unknown = ClientConnection::new(Arc::new(unknown), "gateway.test".try_into().unwrap()).unwrap();
    let mut socket = connected(by_tls);
    while unknown.complete_io(&mut socket).is_ok() {}
    gateway.await_log("received fatal alert");
    // All of them cost nobody anything.
    log_in(by_tls, "alice", 1);
    gateway.signal("TERM");
    gateway.wait();
    assert!(gateway.log().contains("faults=5"), "{}", gateway.log());
}

#[test]
fn a_handshake_counts_as_time_of_the_login_and_is_cut_by_it() {
    let cluster = Cluster::new(1, "\n[gateway]\nlogin_timeout = \"300ms\"\n");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &[]);
    let (mut gateway, [by_tls]) = start_tls(&cluster, ["--listen-tls"]);
    let mut hello = Vec::new();
    half(&TLS13).write_tls(&mut hello).unwrap();
    for bytes in [&hello[..0], &hello[..1], &hello[..hello.len() / 2], &hello[..]] {
        let mut socket = connected(by_tls);
        socket.write_all(bytes).unwrap();
        rest(socket);
    }
    gateway.await_log("its TLS handshake was not over in time");
    // A client that is through and says nothing is told so as in the clear.
    let reply = rest(secured(by_tls, &TLS13));
    assert!(String::from_utf8_lossy(&reply).contains("no login request in time"), "{reply:?}");
}

/// What TLS has read and the gateway may not take yet is no longer the socket's: no event tells of it.
#[test]
fn what_a_client_sends_beyond_its_rate_waits_and_all_of_it_is_taken() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &["--to", "self", "--rate", "500"]);
    let (_gateway, [by_tls]) = start_tls(&cluster, ["--listen-tls"]);
    let mut alice = log_in(by_tls, "alice", 1);
    let order = |number: u64| format!("{number:01500}").into_bytes();
    (1..=600).for_each(|number| alice.send(&order(number)));
    alice.await_messages(600);
    let expected: Vec<_> = (1..=600).map(|number| (number, order(number))).collect();
    assert!(alice.messages == expected, "other messages, or in another order");
}

#[test]
fn a_client_that_never_reads_is_cut_and_resumes_by_number() {
    let cluster = Cluster::new(1, "\n[gateway]\nstall = \"500ms\"\n");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &["--grace-ms", "0"]);
    add_user(&cluster, "bob", "secret", &["--to", "client:alice"]);
    let (mut gateway, [plain, by_tls]) = start_tls(&cluster, ["--listen", "--listen-tls"]);
    let bob = Trader::log_in(plain, login_of("bob", "secret", "", 1)).unwrap();
    is_cut_and_resumes_who_reads_nothing(&mut gateway, bob, |seq| log_in(by_tls, "alice", seq));
}

#[test]
fn in_a_storm_of_handshakes_everybody_gets_through_and_who_trades_trades_on() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &[]);
    let (_gateway, [by_tls]) = start_tls(&cluster, ["--listen-tls"]);
    let received = with_exchange(&cluster, || {
        let mut alice = log_in(by_tls, "alice", 1);
        let mut hello = Vec::new();
        half(&TLS13).write_tls(&mut hello).unwrap();
        let begin = |bytes: &[u8]| {
            let mut socket = connected(by_tls);
            socket.write_all(bytes).unwrap();
            socket
        };
        let _halves: Vec<_> = (0..100).map(|_| begin(&hello[..hello.len() / 2])).collect();
        let _hellos: Vec<_> = (0..100).map(|_| begin(&hello)).collect();
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..25).for_each(|_| drop(secured(by_tls, &TLS13))))).collect();
            trade(&mut alice, 1, 500);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        assert_eq!(alice.messages, acks(1, 500));
    });
    assert_eq!(received.orders.len(), 500);
}
