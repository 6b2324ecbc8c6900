//! A cluster of one replica, its gateway and its users: processes of this very program, ended with the site.

use crate::child::itself;
use crate::cluster::{Cluster, Site as Ground, endpoint};
use crate::fleet::Fleet;
use crate::place::Place;
use lockstep::config::Config;
use lockstep_client::Endpoint;
use lockstep_gateway::gateway::passwords;
use lockstep_gateway::gateway::users::{Recipient, User, Users};
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_io::udp::Interface;
use lockstep_testkit::trader::login_of;
use lockstep_trial::process::{TrialProcess, Wiring};
use lockstep_wire::Nanos;
use soupbintcp::{ClientEnd, ClientEvent, ClientLimits, ClientState, Connection};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everybody's password.
pub const PASSWORD: &str = "secret7";
/// How long a login may take: passwords are checked by what the cores have left.
const PATIENCE: Duration = Duration::from_secs(60);
/// Logins that are under way at once; the gateway lets 256 wait.
const LOGINS: usize = 100;

/// Starts a process of this program, and waits until it says that it listens; returns where.
///
/// # Errors
/// It did not start; its last words.
pub fn listening(name: &str, args: &[String], log: &Path) -> Result<(TrialProcess, String), String> {
    let process = TrialProcess::of_program(name, itself()?, args.to_vec(), log.to_owned(), Wiring::Talking);
    let mut process = process.map_err(|failure| failure.to_string())?;
    let line = process.first_line().map_err(|failure| failure.to_string())?;
    match line.split_once("listening on ").or(line.split_once("feeding ")) {
        Some((_, place)) => Ok((process, place.to_owned())),
        None => Err(format!("{name} did not start; its last words:{}", process.last_words())),
    }
}

/// See the module.
pub struct Site {
    /// The gateway, ...
    pub gateway: TrialProcess,
    /// ... and where it listens.
    pub address: SocketAddr,
    /// The cluster's file.
    pub path: PathBuf,
    /// What it says, ...
    pub config: Config,
    /// ... and what handles need to know.
    pub endpoint: Endpoint,
    /// The card that carries the groups.
    pub interface: Interface,
    /// Where submissions and frames pass.
    pub submit: SocketAddrV4,
    /// See [`Site::submit`].
    pub data: SocketAddrV4,
    /// What the gateway said, and what the others of this site say.
    pub log: PathBuf,
    fleet: Fleet,
}

/// The users of a site: one hash for all `alike`, so that they log in without delay, and one for each of
/// `apart`. The messages of those who are alike are for `destination`.
///
/// # Errors
/// There is no memory for a hash.
pub fn users(alike: &[String], destination: &Recipient, apart: &[String]) -> Result<Users, String> {
    let mut users = Users::default();
    let shared = passwords::hash(PASSWORD.as_bytes(), [1; 16])?;
    for name in alike {
        let user = User::new(name.clone(), shared.clone());
        users.insert(User { rate: 1_000_000, destination: destination.clone(), ..user });
    }
    for (number, name) in (2u128..).zip(apart) {
        let hash = passwords::hash(PASSWORD.as_bytes(), number.to_le_bytes())?;
        users.insert(User::new(name.clone(), hash));
    }
    Ok(users)
}

/// Writes the file of these users into a folder; returns where it is.
///
/// # Errors
/// It cannot be written.
pub fn write_users(users: &Users, folder: &Path) -> Result<String, String> {
    let file = folder.join("users.toml");
    let written = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&file);
    let written = written.and_then(|mut file| file.write_all(users.write().as_bytes()));
    written.map_err(|error| format!("writing {}: {error}", file.display()))?;
    Ok(file.display().to_string())
}

impl Site {
    /// Starts a replica, and then the gateway, between which `between` may say where what follows is to run.
    ///
    /// # Errors
    /// In words, what did not start.
    pub fn start(users: &Users, idle: Idle, between: impl FnOnce()) -> Result<Self, String> {
        let cluster = Cluster::on(&Ground::loopback(1), idle)?;
        let (path, config) = (cluster.path(), cluster.config.clone());
        let (endpoint, line) = (endpoint(&config)?, config.lines[0].clone());
        let folder = path.with_file_name("");
        let (log, file) = (folder.join("gateway.log"), write_users(users, &folder)?);
        let mut fleet = Fleet::start(cluster, Place::hosts(1))?;
        fleet.await_whole()?;
        between();
        let most = 2 * users.iter().count() + 100;
        let clients = format!("gateway.clients={most}");
        let of_address = format!("gateway.clients_per_address={most}");
        let (spool, silence) = (format!("gateway.spool={}", folder.display()), "gateway.silence=300s".into());
        let mut args: Vec<String> =
            ["lockstep", "gateway", "--listen", "127.0.0.1:0", "--until-stdin-ends"].map(String::from).into();
        args.extend(["--config".into(), path.display().to_string()]);
        args.extend(["--users".into(), file]);
        for set in [clients, of_address, spool, silence, "gateway.spool_size=2GiB".into()] {
            args.extend(["--set".into(), set]);
        }
        let (gateway, address) = listening("the gateway", &args, &log)?;
        let address = address.parse().map_err(|_| format!("the gateway listens on '{address}'"))?;
        Ok(Self {
            gateway,
            address,
            path,
            interface: config.udp().interface,
            config,
            endpoint,
            submit: line.submit,
            data: line.data,
            log,
            fleet,
        })
    }

    /// Whether the replica runs.
    ///
    /// # Errors
    /// It does not; its last words.
    pub fn check_alive(&mut self) -> Result<(), String> {
        self.fleet.check_alive()
    }
}

/// Sends the login request of a user over a socket that is connected and does not block.
///
/// # Errors
/// The login is no packet.
pub fn begin_login<S: Read + Write>(
    socket: S,
    clock: &Clock,
    user: &str,
    password: &str,
) -> Result<Connection<S>, String> {
    let limits = ClientLimits { answer_ns: PATIENCE.as_nanos() as Nanos, ..ClientLimits::default() };
    let login = login_of(user, password, "", 0);
    let begun = Connection::log_in(clock.now(), socket, login, limits);
    let mut connection = begun.map_err(|error| error.to_string())?;
    connection.poll(clock.now(), |_| {});
    Ok(connection)
}

/// Whether a login was accepted, once that is known.
pub fn answer<S: Read + Write>(
    connection: &mut Connection<S>,
    clock: &Clock,
) -> Option<Result<(), ClientEnd>> {
    let mut is_accepted = false;
    connection.poll(clock.now(), |event| is_accepted |= matches!(event, ClientEvent::Accepted { .. }));
    match connection.client().state() {
        _ if is_accepted => Some(Ok(())),
        ClientState::Open => Some(Ok(())), // it was told while the login was sent
        ClientState::Ended(end) => Some(Err(end)),
        _ => None,
    }
}

/// Logs all of these users in; their sockets do not block.
///
/// # Errors
/// One that was not accepted.
pub fn log_in(gateway: SocketAddr, users: &[String]) -> Result<Vec<TcpStream>, String> {
    let clock = Clock::start();
    let fails = |error: std::io::Error| {
        format!(
            "connecting to the gateway at {gateway}: {error} (each client takes a descriptor: `ulimit -n`)"
        )
    };
    let mut sockets = Vec::new();
    for some in users.chunks(LOGINS) {
        let mut logins = Vec::new();
        for user in some {
            let socket = TcpStream::connect(gateway).map_err(fails)?;
            socket.set_nodelay(true).map_err(fails)?;
            socket.set_nonblocking(true).map_err(fails)?;
            logins.push(begin_login(socket, &clock, user, PASSWORD)?);
        }
        let deadline = clock.now() + PATIENCE.as_nanos() as Nanos;
        for (user, mut login) in some.iter().zip(logins) {
            loop {
                match answer(&mut login, &clock) {
                    Some(Ok(())) => break,
                    Some(Err(end)) => return Err(format!("{user} could not log in: {end}")),
                    None if clock.now() > deadline => {
                        return Err(format!("{user} was not answered within {PATIENCE:?}"));
                    }
                    None => std::thread::sleep(Duration::from_millis(1)),
                }
            }
            sockets.push(login.stream().try_clone().map_err(fails)?);
        }
    }
    Ok(sockets)
}
