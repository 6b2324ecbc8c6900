//! Replaces [`super::tls`] in a build without it: it has no connections.

use super::RunArgs;
use super::link::LinkInput;
use crate::Failure;
use crate::config::Config;
use crate::failure::USAGE;
use lockstep_wire::Nanos;
use mio::net::TcpStream;
use std::io;
use std::net::SocketAddr;

/// No value exists.
pub(super) enum Acceptor {}

impl Acceptor {
    /// Refuses arguments that request TLS, so that no operator believes passwords to be encrypted.
    pub fn open(args: &RunArgs, config: &Config) -> Result<Option<(SocketAddr, Self)>, Failure> {
        let gateway = &config.gateway;
        let asked = [
            (args.listen_tls.is_some(), "--listen-tls"),
            (gateway.tls_certificate.is_some(), "gateway.tls_certificate"),
            (gateway.tls_key.is_some(), "gateway.tls_key"),
            (gateway.tls_client_authority.is_some(), "gateway.tls_client_authority"),
        ];
        let Some((_, name)) = asked.into_iter().find(|(is_set, _)| *is_set) else { return Ok(None) };
        let what = format!(
            "{name}: this lockstep was built without TLS: build it with --features tls, or take {name} away"
        );
        Err(Failure::new(USAGE, what))
    }

    pub fn reopen(&mut self) -> Result<(), Failure> {
        match *self {}
    }

    pub fn session(&self, _: TcpStream) -> Result<Session, String> {
        match *self {}
    }
}

/// No value exists.
pub(super) enum Session {}

impl Session {
    pub fn socket(&mut self) -> &mut TcpStream {
        match *self {}
    }

    pub fn is_handshaking(&self) -> bool {
        match *self {}
    }

    pub fn wants_write(&self) -> bool {
        match *self {}
    }

    pub fn read(&mut self, _: &mut [u8]) -> LinkInput {
        match *self {}
    }

    pub fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    pub fn part(&mut self, _: Nanos) -> bool {
        match *self {}
    }
}
