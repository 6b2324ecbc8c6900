//! TLS 1.3 and 1.2 for clients, by `rustls`, which like the core owns no socket: this module decides what is
//! read and written, and how much is buffered.

use super::link::{LinkInput, TLS_BEGINS};
use super::{RunArgs, read_private, validity};
use crate::Failure;
use crate::config::Config;
use crate::expiry::note_certificate;
use crate::failure::USAGE;
use lockstep_wire::Nanos;
use mio::net::TcpStream;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most bytes that are encrypted ahead of the socket: one record. The rest stays with the core, which has
/// its own limit and disconnects a client that accepts nothing.
const AHEAD_MAX: usize = 16 << 10;
/// The most reads of the socket in one turn: each returns at most 4 KiB, and a record is 16 KiB.
const READS_PER_TURN: usize = 5;
/// How long a connection that ends may take to send its last records.
const LINGER_NS: Nanos = 1_000_000_000;

/// What new connections use: a certificate and its key, and their files.
pub(super) struct Acceptor {
    files: Files,
    config: Arc<ServerConfig>,
}

/// The files of a gateway's TLS.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    /// The file of the authority that must have signed each client's certificate, if clients need one.
    client_authority: Option<PathBuf>,
}

impl Acceptor {
    /// Reads the files that the configuration names, if the arguments have an address for TLS.
    pub fn open(args: &RunArgs, config: &Config) -> Result<Option<(SocketAddr, Self)>, Failure> {
        let gateway = &config.gateway;
        let Some(address) = args.listen_tls else {
            if args.listen.is_none() && gateway.tls_certificate.is_some() {
                let what = "gateway.tls_certificate: no listener would use it: give --listen-tls, or \
                            --listen for clear text only";
                return Err(Failure::new(USAGE, what));
            }
            return Ok(None);
        };
        let named = |path: &Option<PathBuf>, key: &str, what: &str| {
            let lacks = || Failure::new(USAGE, format!("--listen-tls needs {key}: name {what}, as PEM"));
            path.clone().ok_or_else(lacks)
        };
        let chain = "the file of the certificate and its chain";
        let certificate = named(&gateway.tls_certificate, "gateway.tls_certificate", chain)?;
        let key = named(&gateway.tls_key, "gateway.tls_key", "the file of the certificate's key")?;
        let files = Files { certificate, key, client_authority: gateway.tls_client_authority.clone() };
        let config = files.read()?;
        Ok(Some((address, Self { files, config })))
    }

    /// Reads the files again. If they are invalid, new connections use the former ones.
    pub fn reopen(&mut self) -> Result<(), Failure> {
        self.config = self.files.read()?;
        Ok(())
    }

    /// The session of an accepted connection.
    pub fn session(&self, socket: TcpStream) -> Result<Session, String> {
        let connection = ServerConnection::new(Arc::clone(&self.config));
        let mut connection = connection.map_err(|error| error.to_string())?;
        connection.set_buffer_limit(Some(AHEAD_MAX));
        Ok(Session { socket, connection, begun: false, parts_since: None })
    }
}

fn wrong(path: &Path, what: &str) -> Failure {
    Failure::new(USAGE, format!("{}: {what}", path.display()))
}

/// The certificates in a file, at least one.
fn certificates(path: &Path, hint: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let pem = std::fs::read(path).map_err(|error| wrong(path, &error.to_string()))?;
    let chain: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|_| wrong(path, "its PEM is damaged; write the file anew"))?;
    if chain.is_empty() {
        let what = format!("no certificate is in it: write {hint}, as PEM (-----BEGIN CERTIFICATE)");
        return Err(wrong(path, &what));
    }
    Ok(chain)
}

/// The verifier of clients' certificates.
fn verifier(
    authority: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority, "the certificate of the clients' authority")? {
        roots.add(certificate).map_err(|error| wrong(authority, &format!("it is no authority: {error}")))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    verifier.map_err(|error| wrong(authority, &error.to_string()))
}

impl Files {
    fn read(&self) -> Result<Arc<ServerConfig>, Failure> {
        let Self { certificate, key, client_authority } = self;
        let chain = certificates(certificate, "the gateway's own, then its chain")?;
        let end = chain.iter().filter_map(|one| validity::end(one)).min_by_key(|end| end.0);
        let pem = read_private(key, "gateway.tls_key names it")?;
        let secret = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| match error {
            PemError::NoItemsFound => {
                wrong(key, "no key is in it: write it as PEM, without a password (-----BEGIN PRIVATE KEY)")
            }
            _ => wrong(key, "its PEM is damaged; write the file anew"),
        })?;
        let unusable = |error| {
            let what = format!("it does not go with the key in {}: {error}", key.display());
            wrong(certificate, &format!("{what}; the gateway's own certificate stands first"))
        };
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(unusable)?;
        let config = match client_authority {
            None => config.with_no_client_auth(),
            Some(authority) => config.with_client_cert_verifier(verifier(authority, &provider)?),
        };
        let mut config = config.with_single_cert(chain, secret).map_err(unusable)?;
        // Sessions are not resumed: another gateway could not resume them, and a ticket would outlive its
        // certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        note_certificate(certificate, end);
        Ok(Arc::new(config))
    }
}

/// One client's connection.
pub(super) struct Session {
    socket: TcpStream,
    connection: ServerConnection,
    /// Whether its first byte was checked.
    begun: bool,
    parts_since: Option<Nanos>,
}

impl Session {
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Reads until there are bytes for the core, one step of a handshake is done, or the turn is over.
    pub fn read(&mut self, buffer: &mut [u8]) -> LinkInput {
        if !self.begun {
            let mut first = [0];
            match LinkInput::from(self.socket.peek(&mut first)) {
                LinkInput::Bytes(_) if first[0] == TLS_BEGINS => self.begun = true,
                LinkInput::Bytes(_) if first[0] == 0 => {
                    return LinkInput::Fault(
                        "it begins like SoupBinTCP in the clear, and here is TLS".into(),
                    );
                }
                LinkInput::Bytes(_) => {
                    return LinkInput::Fault(format!("it begins with {:#04x}: no TLS", first[0]));
                }
                other => return other,
            }
        }
        for _ in 0..READS_PER_TURN {
            match LinkInput::from(self.connection.reader().read(buffer)) {
                LinkInput::Nothing => {}
                other => return other,
            }
            match LinkInput::from(self.connection.read_tls(&mut self.socket)) {
                LinkInput::Bytes(_) => {}
                other => return other,
            }
            let was_handshaking = self.connection.is_handshaking();
            if let Err(error) = self.connection.process_new_packets() {
                let _ = self.flush(); // the alert, if the socket accepts it
                return LinkInput::Fault(format!("TLS: {error}"));
            }
            if was_handshaking {
                break;
            }
        }
        LinkInput::Again
    }

    /// Encrypted bytes are sent before more are encrypted.
    pub fn write(&mut self, out: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let len = self.connection.writer().write(out)?;
        // Before the handshake is complete only this much is accepted.
        if len == 0 && !out.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { Ok(len) }
    }

    /// Sends close_notify, without which the client could not distinguish an end from a cut.
    pub fn part(&mut self, now: Nanos) -> bool {
        if self.parts_since.is_none() {
            self.connection.send_close_notify();
        }
        let since = *self.parts_since.get_or_insert(now);
        let is_broken = self.flush().is_err_and(|error| error.kind() != ErrorKind::WouldBlock);
        is_broken || !self.wants_write() || now >= since + LINGER_NS
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut self.socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
