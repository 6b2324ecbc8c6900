//! The server of all pages: one thread that polls its connections. None of them can make it wait, as no call
//! on them does.

use super::table::{CONNECTIONS_MAX, Client, makes_room};
use super::{HEAD_MAX, PATIENCE, PageAnswer, PageContent, PageRequest, PageRules, answer_to};
use lockstep_io::{IoError, capabilities};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a client may take to receive its answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// A listener that fails again and again (no descriptor is left) is not looked at for so long.
const REST: Duration = Duration::from_millis(10);
/// Between two looks at an answer that another thread gives.
const LOOK: Duration = Duration::from_millis(1);
/// The longest sleep.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// Bytes that are read or written at once, and how often in one turn: then it is another's turn.
const PIECE: usize = 64 << 10;
const PIECES: usize = 4;
/// Connections that are accepted in one turn, so that none goes to make room before it was looked at.
const ACCEPTED: usize = 16;
/// The least time between two lines of the log that connections were closed to make room.
const WARNED_EVERY: Duration = Duration::from_secs(60);

/// The settings of a server of pages.
#[derive(Clone, Debug)]
pub struct PageSettings<'a> {
    /// Where it listens.
    pub address: SocketAddrV4,
    /// The setting that says so.
    pub key: &'a str,
    /// The name of its thread.
    pub thread: &'a str,
    /// Bytes of a body at most; 0: the pages are read by GET alone.
    pub body_max: usize,
    /// Names by which it may be asked for, beside localhost, addresses and the name of this host.
    pub hosts: Vec<String>,
}

/// Pages that are served until this is dropped.
#[derive(Debug)]
pub struct PageServer {
    address: SocketAddrV4,
    hosts: SharedHosts,
    /// The listening socket once more, as one that can be shut down.
    socket: TcpStream,
    is_over: Arc<AtomicBool>,
}

/// The names by which pages may be asked for.
type SharedHosts = Arc<Mutex<Vec<String>>>;

/// These names, and those of this host.
fn with_own(mut hosts: Vec<String>) -> Vec<String> {
    // Without /proc it has none.
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let own = own.trim();
    let names = [own, own.split('.').next().unwrap_or_default()];
    hosts.extend(names.iter().filter(|name| !name.is_empty()).map(|name| (*name).to_owned()));
    hosts
}

impl PageServer {
    /// Begins to serve.
    ///
    /// # Errors
    /// The address is taken, or there is no thread.
    pub fn start(
        settings: PageSettings<'_>,
        answer: impl Fn(&PageRequest<'_>) -> PageAnswer + Send + 'static,
    ) -> Result<Self, IoError> {
        let PageSettings { address, key, thread, body_max, hosts } = settings;
        let wrong = |error| IoError::of_bind(format!("listen on {address} ({key})"), error);
        let listener = TcpListener::bind(address).map_err(wrong)?;
        listener.set_nonblocking(true).map_err(wrong)?;
        let socket = TcpStream::from(OwnedFd::from(listener.try_clone().map_err(wrong)?));
        let hosts = Arc::new(Mutex::new(with_own(hosts)));
        let served = Self { address, hosts: Arc::clone(&hosts), socket, is_over: Arc::default() };
        let is_over = Arc::clone(&served.is_over);
        let serving =
            Serving { listener, hosts, body_max, answer, connections: Vec::new(), next: 0, warned: None };
        let thread = capabilities::spawn(std::thread::Builder::new().name(thread.to_owned()), move || {
            serving.run(&is_over)
        });
        thread.map_err(|error| IoError::new(format!("start the thread of {key}"), error))?;
        Ok(served)
    }

    /// Where they are served.
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// From now on they may be asked for by these names.
    pub fn set_hosts(&self, hosts: Vec<String>) {
        *self.hosts.lock().unwrap_or_else(PoisonError::into_inner) = with_own(hosts);
    }
}

impl Drop for PageServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // The thread waits for a client, and wakes: none can connect any more.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// What the thread has.
struct Serving<A> {
    listener: TcpListener,
    hosts: SharedHosts,
    body_max: usize,
    answer: A,
    connections: Vec<Connection>,
    /// The number of the next connection.
    next: u64,
    /// When the log last warned that there was no room.
    warned: Option<Instant>,
}

/// A client.
struct Connection {
    socket: TcpStream,
    peer: IpAddr,
    number: u64,
    /// It ends then, whatever it does.
    until: Instant,
    state: State,
}

/// The state of its request.
enum State {
    /// It has sent so much of a request.
    Asks(Vec<u8>),
    /// Another thread answers.
    Waits(Receiver<PageAnswer>),
    /// So many of these bytes were sent; what follows them in the answer comes from a file.
    Answers { bytes: Vec<u8>, sent: usize, rest: Option<(File, u64)> },
    /// Nothing is left to do.
    Over,
}

impl<A: Fn(&PageRequest<'_>) -> PageAnswer> Serving<A> {
    fn run(mut self, is_over: &AtomicBool) {
        let mut rests_until = None;
        while !is_over.load(Ordering::Acquire) {
            let now = Instant::now();
            let rests = rests_until.take_if(|until| *until <= now).is_none() && rests_until.is_some();
            let ready = self.wait(now, rests);
            let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let rules = PageRules { body_max: self.body_max, hosts: &hosts };
            let now = Instant::now();
            for (connection, is_ready) in self.connections.iter_mut().zip(ready.connections) {
                match connection.state {
                    // Nothing is asked of its socket: what is ready is its end.
                    State::Waits(_) if is_ready => connection.state = State::Over,
                    State::Waits(_) => connection.turn(rules, &self.answer),
                    _ if is_ready => connection.turn(rules, &self.answer),
                    _ => {}
                }
                connection.end_at(now);
            }
            self.connections.retain(|connection| !matches!(connection.state, State::Over));
            if ready.listener && !self.accept(rules) {
                rests_until = Some(Instant::now() + REST);
            }
        }
    }

    /// Sleeps until a connection can go on, or its time is over.
    fn wait(&self, now: Instant, listener_rests: bool) -> Ready {
        let entry = |fd: RawFd, events| libc::pollfd { fd, events, revents: 0 };
        // An entry without a descriptor is passed over.
        let listener = if listener_rests { -1 } else { self.listener.as_raw_fd() };
        let mut entries = vec![entry(listener, libc::POLLIN)];
        let mut sleep = if listener_rests { REST } else { SLEEP_MAX };
        for connection in &self.connections {
            let events = match connection.state {
                State::Asks(_) => libc::POLLIN,
                State::Answers { .. } => libc::POLLOUT,
                State::Waits(_) | State::Over => 0,
            };
            if matches!(connection.state, State::Waits(_)) {
                sleep = sleep.min(LOOK);
            }
            sleep = sleep.min(connection.until.saturating_duration_since(now));
            entries.push(entry(connection.socket.as_raw_fd(), events));
        }
        // A time that is nearly over is waited for, and not spun for.
        let timeout = sleep.as_millis() as libc::c_int + 1;
        // SAFETY: the entries live across the call, and are as many as the call is given.
        let found = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, timeout) };
        // A signal ends the sleep, and nothing is ready then.
        let is_ready = |entry: &libc::pollfd| found > 0 && entry.revents != 0;
        Ready { listener: is_ready(&entries[0]), connections: entries[1..].iter().map(is_ready).collect() }
    }

    /// Accepts those that wait, and looks whether they have asked already. Returns whether the listener
    /// works.
    fn accept(&mut self, rules: PageRules<'_>) -> bool {
        for _ in 0..ACCEPTED {
            let (socket, peer) = match self.listener.accept() {
                Ok((socket, peer)) => (socket, peer.ip()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                // It went away before it was accepted.
                Err(error)
                    if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) =>
                {
                    continue;
                }
                // No descriptor is left, for instance: that passes.
                Err(_) => return false,
            };
            if socket.set_nonblocking(true).is_err() {
                continue;
            }
            self.make_room(peer);
            let (number, until) = (self.next, Instant::now() + PATIENCE);
            self.next += 1;
            let mut connection = Connection { socket, peer, number, until, state: State::Asks(Vec::new()) };
            connection.turn(rules, &self.answer);
            if !matches!(connection.state, State::Over) {
                self.connections.push(connection);
            }
            assert!(self.connections.len() <= CONNECTIONS_MAX, "each newcomer has room");
        }
        true
    }

    fn make_room(&mut self, newcomer: IpAddr) {
        let clients: Vec<Client> = self.connections.iter().map(Connection::client).collect();
        let Some(goes) = makes_room(&clients, newcomer) else { return };
        let Connection { peer, .. } = self.connections.swap_remove(goes);
        if self.warned.is_none_or(|warned| warned.elapsed() >= WARNED_EVERY) {
            self.warned = Some(Instant::now());
            tracing::warn!(%peer, "this page has as many connections as it may: the oldest of {peer} are closed");
        }
    }
}

/// What a connection can do now.
struct Ready {
    listener: bool,
    connections: Vec<bool>,
}

impl Connection {
    fn client(&self) -> Client {
        let is_answered = !matches!(self.state, State::Asks(_));
        Client { peer: self.peer, is_answered, number: self.number }
    }

    /// Its time may be over.
    fn end_at(&mut self, now: Instant) {
        if now < self.until {
            return;
        }
        match self.state {
            State::Waits(_) => {
                let why = "this process has not answered in time: ask again\n";
                self.begin(PageAnswer::text(UNAVAILABLE, why.to_owned()));
            }
            _ => self.state = State::Over,
        }
    }

    /// Reads, looks for its answer, and writes, as far as it can without waiting.
    fn turn(&mut self, rules: PageRules<'_>, answer: &impl Fn(&PageRequest<'_>) -> PageAnswer) {
        if let State::Asks(_) = self.state
            && let Err(error) = self.read(rules, answer)
            && error.kind() != ErrorKind::WouldBlock
        {
            self.state = State::Over;
        }
        if let State::Waits(answers) = &self.state {
            match answers.try_recv() {
                Ok(answer) => self.begin(answer),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => {
                    self.begin(PageAnswer::text(UNAVAILABLE, "this process has ended\n".to_owned()));
                }
            }
        }
        if let State::Answers { .. } = self.state
            && let Err(error) = self.write()
            && error.kind() != ErrorKind::WouldBlock
        {
            // A client that goes away needs no answer.
            self.state = State::Over;
        }
    }

    fn read(
        &mut self,
        rules: PageRules<'_>,
        answer: &impl Fn(&PageRequest<'_>) -> PageAnswer,
    ) -> std::io::Result<()> {
        let mut part = [0; HEAD_MAX];
        for _ in 0..PIECES {
            let State::Asks(bytes) = &mut self.state else { return Ok(()) };
            match self.socket.read(&mut part) {
                Ok(0) => {
                    self.state = State::Over;
                    return Ok(());
                }
                Ok(len) => bytes.extend_from_slice(&part[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if let Some(answer) = answer_to(bytes, self.peer, rules, answer) {
                self.begin(answer);
            }
        }
        Ok(())
    }

    /// Its answer is there, or will be.
    fn begin(&mut self, answer: PageAnswer) {
        let PageAnswer { status, kind, content, age } = answer;
        let (len, content, rest) = match content {
            PageContent::Bytes(bytes) => (bytes.len() as u64, bytes, None),
            PageContent::File(file, len) => (len, Vec::new(), Some((file, len))),
            PageContent::Later(answers, wait) => {
                self.until = Instant::now() + wait;
                self.state = State::Waits(answers);
                return;
            }
        };
        let age = age.map(|age| format!("Age: {age}\r\n")).unwrap_or_default();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\nX-Content-Type-Options: nosniff\r\n\
             {age}Connection: close\r\n\r\n"
        );
        self.until = Instant::now() + ANSWER_PATIENCE;
        self.state = State::Answers { bytes: [head.into_bytes(), content].concat(), sent: 0, rest };
    }

    fn write(&mut self) -> std::io::Result<()> {
        for _ in 0..PIECES {
            let State::Answers { bytes, sent, rest } = &mut self.state else { return Ok(()) };
            if *sent < bytes.len() {
                let end = bytes.len().min(*sent + PIECE);
                match self.socket.write(&bytes[*sent..end]) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(len) => *sent += len,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
                continue;
            }
            match rest {
                Some((file, left)) if *left > 0 => {
                    bytes.resize(PIECE.min(usize::try_from(*left).unwrap_or(PIECE)), 0);
                    file.read_exact(bytes)?;
                    *left -= bytes.len() as u64;
                    *sent = 0;
                }
                _ => {
                    let _ = self.socket.shutdown(Shutdown::Write); // it may be gone
                    self.state = State::Over;
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

const UNAVAILABLE: &str = "503 Service Unavailable";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::fetch;
    use crate::page::table::PER_ADDRESS_MAX;
    use std::net::SocketAddr;
    use std::sync::mpsc::sync_channel;

    fn free_address() -> SocketAddrV4 {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let SocketAddr::V4(address) = address.expect("a port") else { panic!("IPv4") };
        address
    }

    fn server(
        body_max: usize,
        answer: impl Fn(&PageRequest<'_>) -> PageAnswer + Send + 'static,
    ) -> PageServer {
        let address = free_address();
        let settings = PageSettings { address, key: "a test", thread: "page", body_max, hosts: Vec::new() };
        PageServer::start(settings, answer).expect("a server")
    }

    /// The patience of these tests: far beyond what a page takes.
    const WAIT: Duration = Duration::from_secs(20);

    fn get(server: &PageServer, path: &str, more: &str) -> Result<(u16, Vec<u8>), IoError> {
        let page = fetch((server.address().into(), path), (more, None), (WAIT, 1 << 20));
        page.map(|page| (page.status, page.content))
    }

    #[test]
    fn a_page_is_fetched_from_where_it_was_broken_off_and_its_server_ends_with_its_handle() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let content: Vec<u8> = (0..3 * PIECE + 10).map(|byte| byte as u8).collect();
        std::fs::write(&path, &content).expect("a file");
        let len = content.len() as u64;
        let answer = move |request: &PageRequest<'_>| {
            use std::io::Seek;
            let from = request
                .header("range")
                .map_or(0, |range| range["bytes=".len()..range.len() - 1].parse().expect("a number"));
            let mut file = File::open(&path).expect("it is there");
            file.seek(std::io::SeekFrom::Start(from)).expect("a place");
            PageAnswer::part(file, from, len)
        };
        let server = server(0, answer);
        assert_eq!(get(&server, "/", "").expect("a page"), (200, content.clone()));
        let rest = get(&server, "/", "Range: bytes=7-\r\n").expect("a page");
        assert_eq!(rest, (206, content[7..].to_vec()));
        let address = server.address();
        drop(server);
        let begun = Instant::now();
        while TcpStream::connect(address).is_ok() {
            assert!(begun.elapsed() < WAIT, "it serves without its handle");
        }
    }

    /// Each makes a connection that must delay no other, and keeps it.
    #[test]
    fn whoever_is_silent_slow_or_takes_no_answer_delays_nobody() {
        let large = tempfile::NamedTempFile::new().expect("a file");
        large.as_file().set_len(64 << 20).expect("a disk");
        let server = server(8, move |request| match request.path {
            "/large" => PageAnswer::part(File::open(large.path()).expect("a file"), 0, 64 << 20),
            _ => PageAnswer::text("200 OK", "here\n".to_owned()),
        });
        let forms: [(&str, &[u8]); 6] = [
            ("silent", b""),
            ("half a line", b"GET /met"),
            ("half a head", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "),
            ("half a body", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nab"),
            ("no reader of its answer", b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            ("another protocol", b"\x16\x03\x01\x02\0\x01"),
        ];
        for (form, bytes) in forms {
            let open: Vec<TcpStream> = (0..2 * PER_ADDRESS_MAX)
                .map(|_| {
                    let mut stream = TcpStream::connect(server.address()).expect("a connection");
                    let _ = stream.write_all(bytes); // it may be closed already: then it delays no other
                    stream
                })
                .collect();
            // While they are open, each request is answered well before the first of them ends by itself.
            for _ in 0..5 {
                let begun = Instant::now();
                let page = get(&server, "/metrics", "").unwrap_or_else(|error| panic!("{form}: {error}"));
                assert_eq!(page.0, 200, "{form}");
                assert!(begun.elapsed() < ANSWER_PATIENCE, "{form}: {:?}", begun.elapsed());
            }
            drop(open);
        }
    }

    #[test]
    fn an_answer_that_another_thread_owes_delays_nobody_and_ends_in_words() {
        let (sender, awaited) = sync_channel::<PageAnswer>(1);
        let awaited = Mutex::new(Some(awaited));
        let server = server(0, move |request| match request.path {
            "/later" => {
                let awaited = awaited.lock().expect("a lock").take().expect("it is asked for once");
                PageAnswer::later(awaited, WAIT)
            }
            "/never" => {
                let (sender, awaited) = sync_channel(1);
                std::mem::forget(sender);
                PageAnswer::later(awaited, Duration::from_millis(20))
            }
            "/ended" => PageAnswer::later(sync_channel(1).1, WAIT),
            _ => PageAnswer::text("200 OK", "here\n".to_owned()),
        });
        std::thread::scope(|scope| {
            let later = scope.spawn(|| get(&server, "/later", "").expect("an answer"));
            assert_eq!(get(&server, "/", "").expect("a page").0, 200);
            assert_eq!(get(&server, "/never", "").expect("a page").0, 503);
            assert_eq!(get(&server, "/ended", "").expect("a page").0, 503);
            sender.send(PageAnswer::bytes(b"now".to_vec())).expect("somebody waits");
            assert_eq!(later.join().expect("no panic"), (200, b"now".to_vec()));
        });
    }
}
