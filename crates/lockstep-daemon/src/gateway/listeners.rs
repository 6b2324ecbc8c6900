//! The addresses at which clients connect: plain, TLS, FIX, or several of them.

use super::RunArgs;
use super::link::Link;
use super::tls::Acceptor;
use crate::Failure;
use crate::config::Config;
use crate::failure::USAGE;
use lockstep_io::IoError;
use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

/// The most listeners; their tokens are the numbers below.
pub(super) const LISTENERS_MAX: usize = 3;
/// The default address.
pub(super) const DEFAULT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 9_000);

/// One of them.
pub(super) struct Listener {
    /// Whether a client may be waiting to be accepted.
    pub accepts: bool,
    /// The address at which it listens.
    pub address: SocketAddr,
    /// The gateway's CompID, if clients speak FIX.
    pub fix: Option<String>,
    socket: TcpListener,
    tls: Option<Acceptor>,
}

impl Listener {
    /// Opens the listeners that the arguments request. The token of each is its index.
    pub fn open_all(args: &RunArgs, config: &Config, registry: &Registry) -> Result<Vec<Self>, Failure> {
        let is_default = args.listen_tls.is_none() && args.fix.is_none();
        let plain = args.listen.or_else(|| is_default.then(|| DEFAULT.into()));
        let in_the_clear = [(plain, "--listen"), (args.fix, "--fix")];
        for (address, flag) in in_the_clear.into_iter().filter_map(|(address, flag)| Some((address?, flag))) {
            if address.ip().is_loopback() {
                continue;
            }
            if !config.gateway.clear_text {
                let what = format!(
                    "{flag} {address}: passwords and orders would be sent in clear text; use --listen-tls, \
                     or listen on the loopback behind a tunnel; or write clear_text = true in [gateway] if \
                     the network is trusted"
                );
                return Err(Failure::new(USAGE, what));
            }
            tracing::warn!(%address, "clients log in without TLS: passwords and orders are sent in clear \
                                      text (gateway.clear_text)");
        }
        let plain = plain.map(|address| (address, "--listen", None));
        let by_fix = args.fix.map(|address| (address, "--fix", None));
        let by_tls = Acceptor::open(args, config)?
            .map(|(address, acceptor)| (address, "--listen-tls", Some(acceptor)));
        let mut listeners = Vec::new();
        for (address, flag, tls) in plain.into_iter().chain(by_tls).chain(by_fix) {
            let wrong = |error| IoError::of_bind(format!("listen on {address} ({flag})"), error);
            let mut socket = TcpListener::bind(address).map_err(wrong)?;
            registry.register(&mut socket, Token(listeners.len()), Interest::READABLE).map_err(wrong)?;
            let address = socket.local_addr().map_err(wrong)?;
            let fix = (flag == "--fix").then(|| args.fix_comp_id.clone());
            listeners.push(Self { accepts: true, address, fix, socket, tls });
        }
        Ok(listeners)
    }

    /// Protocol and address: a line for people and for programs.
    pub fn row(&self) -> String {
        let how = match (self.tls.is_some(), self.fix.is_some()) {
            (true, _) => " with TLS",
            (_, true) => " for FIX",
            _ => "",
        };
        format!("listening{how} on {}", self.address)
    }

    /// Accepts the next client.
    ///
    /// # Errors
    /// No client is waiting, or it could not be accepted.
    pub fn accept(&self) -> io::Result<(Link, SocketAddr)> {
        let (socket, peer) = self.socket.accept()?;
        let _ = socket.set_nodelay(true); // without it output is delayed, and nothing else changes
        let link = match &self.tls {
            None => Link::Plain { socket, begun: false },
            Some(acceptor) => Link::Tls(Box::new(
                acceptor.session(socket).map_err(|error| io::Error::other(format!("{peer}: {error}")))?,
            )),
        };
        Ok((link, peer))
    }

    /// Reads its certificate and key again, if it has any. Returns the result.
    pub fn reload(&mut self) -> Option<Result<String, String>> {
        Some(match self.tls.as_mut().map(Acceptor::reopen)? {
            Ok(()) => {
                tracing::info!("certificate and key read again");
                Ok("certificate and key read again".to_owned())
            }
            Err(failure) => {
                tracing::error!("certificate and key stay as they were: {failure}");
                Err(format!("certificate and key stay as they were: {failure}"))
            }
        })
    }
}
