//! NATS JetStream: each message behind the last one, by `Nats-Expected-Last-Sequence`.

use crate::failure::{BridgeFailure, FENCED, INTEGRITY, USAGE};
use crate::headers;
use crate::record::StreamRecord;
use crate::remote::{Remote, secret};
use crate::target::{Target, TargetError, TargetPosition};
use async_nats::jetstream::context::{ContextBuilder, PublishAckFuture, PublishErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, Stream};
use async_nats::jetstream::{Context, ErrorCode, message::StreamMessage};
use async_nats::{ConnectErrorKind, ConnectOptions, HeaderMap};
use bytes::Bytes;
use clap::Args;
use lockstep_client::Cursor;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Most messages that are sent and not acknowledged.
const FLIGHT_MAX: usize = 2_000;

/// The server takes a second message with this id for a repeat, for a while.
const MESSAGE_ID: &str = "Nats-Msg-Id";
/// The server stores a message only behind this sequence.
const EXPECTED_LAST: &str = "Nats-Expected-Last-Sequence";

/// Messages into a stream of JetStream, each behind the last one: each exactly once
///
/// The server stores a message only behind the one that it follows, so the stream has each message once and
/// in order, in every failure of bridge, server and network; of two bridges one is refused and reads the end
/// again. An acknowledged message is as durable as the server makes it (sync_interval). JetStream's sequences
/// are contiguous and its own; the header Lockstep-Seq has the stream's.
#[derive(Args, Debug)]
pub struct NatsArgs {
    /// Where the server is: nats://host:port or tls://host:port; several with commas between
    #[arg(long, value_name = "URL", env = "NATS_URL", default_value = "nats://127.0.0.1:4222")]
    pub url: String,
    /// The user
    #[arg(long, value_name = "NAME", env = "NATS_USER")]
    pub user: Option<String>,
    /// The first line of this file is the user's password, or the token where there is no user; else
    /// NATS_PASSWORD
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The stream, made if it is missing: in files, full streams refuse
    #[arg(long, value_name = "NAME", default_value = "LOCKSTEP")]
    pub stream: String,
    /// The subject of a message is this, a dot, and its destination (0 is everybody)
    #[arg(long, value_name = "SUBJECT", default_value = "lockstep")]
    pub subject: String,
    /// The stream is empty and has had messages (purged, aged): begin at --from all the same
    #[arg(long)]
    pub after_purge: bool,
}

/// A stream.
pub struct Nats {
    remote: Remote,
    options: ConnectOptions,
    url: String,
    stream: String,
    subject: String,
    after_purge: bool,
    context: Option<Context>,
    /// The stream's last sequence behind everything that was sent.
    last: u64,
    flight: VecDeque<PublishAckFuture>,
}

impl Nats {
    /// A stream that is not connected yet.
    ///
    /// # Errors
    /// Wrong arguments.
    pub fn new(args: &NatsArgs, timeout: Duration, stop: Arc<AtomicBool>) -> Result<Self, BridgeFailure> {
        let password = secret(args.password_file.as_deref(), "NATS_PASSWORD")?;
        let mut options = ConnectOptions::new().name("lockstep-bridge").connection_timeout(timeout);
        options = match (args.user.clone(), password) {
            (Some(user), password) => options.user_and_password(user, password.unwrap_or_default()),
            (None, Some(token)) => options.token(token),
            (None, None) => options,
        };
        if args.stream.is_empty() || args.stream.contains(['.', ' ', '*', '>', '/']) {
            let what = format!("--stream {}: a name without dots, blanks and wildcards", args.stream);
            return Err(BridgeFailure::new(USAGE, what));
        }
        if args.subject.is_empty() || args.subject.contains([' ', '*', '>']) {
            let what = format!("--subject {}: a subject without blanks and wildcards", args.subject);
            return Err(BridgeFailure::new(USAGE, what));
        }
        Ok(Self {
            remote: Remote::new(timeout, stop)?,
            options,
            url: args.url.clone(),
            stream: args.stream.clone(),
            subject: args.subject.clone(),
            after_purge: args.after_purge,
            context: None,
            last: 0,
            flight: VecDeque::new(),
        })
    }

    fn connect(&mut self) -> Result<Context, TargetError> {
        (self.context, self.flight) = (None, VecDeque::new());
        let urls: Vec<&str> = self.url.split(',').collect();
        // A connection that breaks is not mended below us: what was in flight is read back first.
        let options = self.options.clone().max_reconnects(1);
        let client = self.remote.call(options.connect(urls))?.map_err(|error| match error.kind() {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                TargetError::retry(format_args!("refuses the login: {error}"))
            }
            ConnectErrorKind::ServerParse => {
                TargetError::fatal(USAGE, format_args!("--url {}: {error}", self.url))
            }
            _ => TargetError::retry(format_args!("cannot be reached: {error}")),
        })?;
        let _runtime = self.remote.enter(); // the context starts a task
        Ok(ContextBuilder::new()
            .timeout(self.remote.timeout())
            .ack_timeout(self.remote.timeout())
            .build(client))
    }

    /// The stream; made if there is none.
    fn open(&self, context: &Context) -> Result<Stream, TargetError> {
        use async_nats::jetstream::context::GetStreamErrorKind;
        let subjects = vec![format!("{}.>", self.subject)];
        let stream = match self.remote.call(context.get_stream(&self.stream))? {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    let config = Config {
                        name: self.stream.clone(),
                        subjects,
                        discard: DiscardPolicy::New,
                        description: Some("the stream of lockstep, by lockstep-bridge".to_owned()),
                        ..Config::default()
                    };
                    let made = self.remote.call(context.create_stream(config))?;
                    return made.map_err(|error| TargetError::retry(format_args!("cannot be made: {error}")));
                }
                _ => return Err(TargetError::retry(format_args!("cannot be read: {error}"))),
            },
        };
        let has_subjects = stream.cached_info().config.subjects.iter();
        let takes = |subject: &String| *subject == subjects[0] || subject == ">";
        if !has_subjects.clone().any(takes) {
            let has: Vec<_> = has_subjects.map(String::as_str).collect();
            let what = format!(
                "stream {} of NATS takes {}, and not {}: add that to it, or name another --stream or --subject",
                self.stream,
                has.join(", "),
                subjects[0]
            );
            return Err(TargetError::fatal(USAGE, what));
        }
        Ok(stream)
    }

    /// The next acknowledgement.
    fn acknowledged(&mut self) -> Result<(), TargetError> {
        let Some(ack) = self.flight.pop_front() else { return Ok(()) };
        let Err(error) = self.remote.call(ack.into_future())? else { return Ok(()) };
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        Err(TargetError::Retry(match error.kind() {
            PublishErrorKind::WrongLastSequence => {
                "refuses a message that does not follow its last one (10071): another program writes to it, or what \
                 was sent before has arrived; its end is read again"
                    .to_owned()
            }
            PublishErrorKind::StreamNotFound => "is gone".to_owned(),
            PublishErrorKind::TimedOut => {
                format!("does not acknowledge for {:?}", self.remote.timeout())
            }
            PublishErrorKind::BrokenPipe => "cannot be reached: the connection is closed".to_owned(),
            _ if cause.contains("maximum bytes") || cause.contains("maximum messages") => {
                format!("is full: {cause}; raise its limits or remove what is not needed")
            }
            _ if cause.is_empty() => error.to_string(),
            _ => format!("refuses a message: {cause}"),
        }))
    }
}

impl Target for Nats {
    fn name(&self) -> String {
        format!("stream {} of NATS at {}", self.stream, self.url)
    }

    fn position(&mut self) -> Result<Option<TargetPosition>, TargetError> {
        let context = self.connect()?;
        let stream = self.open(&context)?;
        let state = &stream.cached_info().state;
        let (last, messages) = (state.last_sequence, state.messages);
        self.last = last;
        self.context = Some(context);
        if messages == 0 {
            if last > 0 && !self.after_purge {
                let what = format!(
                    "{} is empty and has had {last} messages: how far they went is not known; delete the stream, or \
                     add --after-purge --from SEQ",
                    self.name()
                );
                return Err(TargetError::fatal(INTEGRITY, what));
            }
            return Ok(None);
        }
        let message = self.remote.call(stream.get_raw_message(last))?;
        let message = message
            .map_err(|error| TargetError::retry(format_args!("its last message cannot be read: {error}")))?;
        position_of(&message).map(Some).ok_or_else(|| {
            let what = format!(
                "message {last} of {} is not one of a bridge (it has no header {}): another program writes to it; name \
                 another --stream",
                self.name(),
                headers::SEQ
            );
            TargetError::fatal(FENCED, what)
        })
    }

    fn append(&mut self, record: &StreamRecord<'_>) -> Result<(), TargetError> {
        if self.flight.len() >= FLIGHT_MAX {
            self.acknowledged()?;
        }
        let Some(context) = &self.context else { return Err(TargetError::retry("is not connected")) };
        let mut map = HeaderMap::new();
        map.insert(MESSAGE_ID, format!("{:016x}:{}", record.history, record.seq));
        map.insert(EXPECTED_LAST, self.last.to_string());
        for (name, value) in headers::of(record) {
            map.insert(name, value);
        }
        map.insert(headers::CURSOR, record.cursor.to_string());
        let subject = format!("{}.{}", self.subject, record.destination);
        let payload = Bytes::copy_from_slice(record.payload);
        let sent = self.remote.call(context.publish_with_headers(subject, map, payload))?;
        let ack = sent.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => TargetError::retry(format_args!(
                "seq {} has {} bytes, which is more than the server's max_payload: raise it",
                record.seq,
                record.payload.len()
            )),
            _ => TargetError::retry(format_args!("cannot be written: {error}")),
        })?;
        self.flight.push_back(ack);
        self.last += 1;
        Ok(())
    }

    fn commit(&mut self, _cursor: Cursor) -> Result<(), TargetError> {
        while !self.flight.is_empty() {
            self.acknowledged()?;
        }
        Ok(())
    }
}

/// The position behind a message of a bridge.
fn position_of(message: &StreamMessage) -> Option<TargetPosition> {
    let text = |name: &str| message.headers.get(name).map(|value| value.as_str());
    let history = headers::history(text(headers::HISTORY)?)?;
    let seq = text(headers::SEQ)?.parse().ok()?;
    let cursor = Cursor::from_str(text(headers::CURSOR)?).ok()?;
    Some(TargetPosition { history, seq, cursor: Some(cursor) })
}
