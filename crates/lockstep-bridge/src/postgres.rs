//! PostgreSQL: messages as rows of a table by `COPY … BINARY`, and in the same transaction the position.

use crate::failure::{BridgeFailure, FAILED, FENCED, INTEGRITY, USAGE};
use crate::record::StreamRecord;
use crate::remote::{Remote, secret};
use crate::target::{Target, TargetError, TargetPosition};
use bytes::{BufMut, Bytes, BytesMut};
use clap::Args;
use futures_util::SinkExt;
use lockstep_client::Cursor;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, CopyInSink, NoTls, SimpleQueryMessage};

/// The columns of the table.
const COLUMNS: &str =
    "seq, stamped_at, timestamp_ns, history, epoch, publisher, publisher_seq, destination, payload";
/// How many they are.
const COLUMN_COUNT: i16 = 9;
/// Microseconds from the Unix epoch to 2000-01-01, where PostgreSQL's timestamps begin.
const PG_EPOCH_US: i64 = 946_684_800_000_000;
/// Bytes that are handed to the connection at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Begins a binary COPY: signature, flags, length of the extension.
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Messages into a table, the position in the same transaction: each exactly once
///
/// Each commit is one transaction of a COPY and an update of the position, so the table has each message
/// once, in every failure of bridge, server and network. A second bridge on the same table waits until the
/// first one's session ends. Rows are ordered by seq, which rises and is not contiguous.
#[derive(Args, Debug)]
pub struct PostgresArgs {
    /// Where the server is, as postgresql://user@host:port/database or host=… user=… dbname=…
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub url: String,
    /// The first line of this file is the password; else that of the URL, else PGPASSWORD
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The table, made if it is missing; SCHEMA.TABLE or TABLE
    #[arg(long, value_name = "NAME", default_value = "lockstep_stream")]
    pub table: String,
    /// The table of positions, made if it is missing: one row for each table of messages
    #[arg(long, value_name = "NAME", default_value = "lockstep_position")]
    pub position_table: String,
}

/// A table.
pub struct Postgres {
    remote: Remote,
    config: Config,
    name: String,
    /// Quoted names.
    table: String,
    positions: String,
    /// The table as a literal: the key of its position.
    key: String,
    session: Option<PostgresSession>,
    /// What the row of positions has, of this session.
    stored: Option<TargetPosition>,
    last: Option<(u64, u64)>,
    /// Messages that were there already, without a commit between.
    conflicts: u32,
}

/// A connection, and the transaction that is open in it.
struct PostgresSession {
    client: Client,
    connection: tokio::task::JoinHandle<()>,
    copy: Option<Pin<Box<CopyInSink<Bytes>>>>,
    buffer: BytesMut,
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        // A server that stands still would hold the task for ever.
        self.connection.abort();
    }
}

impl Postgres {
    /// A table that is not connected yet.
    ///
    /// # Errors
    /// Wrong arguments.
    pub fn new(args: &PostgresArgs, timeout: Duration, stop: Arc<AtomicBool>) -> Result<Self, BridgeFailure> {
        let mut config: Config = args
            .url
            .parse()
            .map_err(|error| BridgeFailure::new(USAGE, format!("--url: {}", chain_of(&error))))?;
        if (args.password_file.is_some() || config.get_password().is_none())
            && let Some(password) = secret(args.password_file.as_deref(), "PGPASSWORD")?
        {
            config.password(password);
        }
        if config.get_ssl_mode() == SslMode::Require {
            let what = "--url: sslmode=require: this bridge does not encrypt; use a Unix socket or a tunnel (docs/BRIDGES.md)";
            return Err(BridgeFailure::new(USAGE, what));
        }
        config.application_name("lockstep-bridge").connect_timeout(timeout);
        let (table, positions) =
            (quoted(&args.table, "--table")?, quoted(&args.position_table, "--position-table")?);
        let place: Vec<String> = (config.get_hosts().iter().zip(config.get_ports().iter().chain([&5432; 8])))
            .map(|(host, port)| match host {
                Host::Tcp(host) => format!("{host}:{port}"),
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        Ok(Self {
            remote: Remote::new(timeout, stop)?,
            name: format!("table {} of PostgreSQL at {}", args.table, place.join(", ")),
            key: format!("'{}'", args.table.replace('\'', "''")),
            config,
            table,
            positions,
            session: None,
            stored: None,
            last: None,
            conflicts: 0,
        })
    }

    fn connect(&mut self) -> Result<(), TargetError> {
        self.session = None;
        let (client, connection) = self.remote.call(self.config.connect(NoTls))?.map_err(refusal)?;
        let connection = self.remote.spawn(async {
            let _ = connection.await; // the client's next call reports the same
        });
        self.session = Some(PostgresSession { client, connection, copy: None, buffer: BytesMut::new() });
        Ok(())
    }

    /// The rows of a statement, as text.
    fn query(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, TargetError> {
        let session = self.session.as_ref().ok_or_else(|| TargetError::retry("is not connected"))?;
        let answers = self.remote.call(session.client.simple_query(sql))?.map_err(refusal)?;
        let rows = answers.into_iter().filter_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    /// Makes the tables that are missing. Nothing is made where all are there: that would need more rights.
    fn create(&self) -> Result<(), TargetError> {
        let literal = |name: &str| format!("'{}'", name.replace('\'', "''"));
        let sql = format!(
            "SELECT to_regclass({}) IS NULL OR to_regclass({}) IS NULL",
            literal(&self.table),
            literal(&self.positions)
        );
        if self.query(&sql)? == [[Some("f".to_owned())]] {
            return Ok(());
        }
        let (table, positions) = (&self.table, &self.positions);
        self.query(&format!(
            "CREATE TABLE IF NOT EXISTS {table} (seq bigint PRIMARY KEY, stamped_at timestamptz NOT NULL, \
             timestamp_ns bigint NOT NULL, history text NOT NULL, epoch bigint NOT NULL, publisher bigint NOT NULL, \
             publisher_seq bigint NOT NULL, destination bigint NOT NULL, payload bytea NOT NULL); \
             CREATE TABLE IF NOT EXISTS {positions} (target text PRIMARY KEY, history text NOT NULL, seq bigint NOT \
             NULL, cursor text NOT NULL, updated_at timestamptz NOT NULL DEFAULT now())"
        ))?;
        Ok(())
    }

    fn read_position(&self, more: &str) -> Result<Option<TargetPosition>, TargetError> {
        let (positions, key) = (&self.positions, &self.key);
        let rows = self.query(&format!(
            "{more}SELECT history, seq, cursor FROM {positions} WHERE target = {key}{}",
            if more.is_empty() { "" } else { " FOR UPDATE" }
        ))?;
        let Some(row) = rows.first() else { return Ok(None) };
        let text = |column: usize| row.get(column).and_then(|text| text.as_deref()).unwrap_or_default();
        let parsed = (|| {
            let (history, seq) = (u64::from_str_radix(text(0), 16).ok()?, text(1).parse().ok()?);
            Some(TargetPosition { history, seq, cursor: Some(text(2).parse().ok()?) })
        })();
        let wrong = || {
            let what = format!(
                "the row of {key} in {positions} is not one of a bridge ({row:?}): look who has written it, and restore it"
            );
            TargetError::fatal(INTEGRITY, what)
        };
        parsed.map(Some).ok_or_else(wrong)
    }

    /// Begins the transaction of a commit, and its COPY.
    fn begin(&mut self) -> Result<(), TargetError> {
        if self.read_position("BEGIN; ")? != self.stored {
            return Err(TargetError::retry("another bridge has written to it; its end is read again"));
        }
        let sql = format!("COPY {} ({COLUMNS}) FROM STDIN (FORMAT binary)", self.table);
        let session = self.session.as_mut().ok_or_else(|| TargetError::retry("is not connected"))?;
        let sink = self.remote.call(session.client.copy_in(&sql))?.map_err(refusal)?;
        session.copy = Some(Box::pin(sink));
        session.buffer.put_slice(COPY_HEADER);
        Ok(())
    }

    fn send(&mut self) -> Result<(), TargetError> {
        let session = self.session.as_mut().ok_or_else(|| TargetError::retry("is not connected"))?;
        let bytes = session.buffer.split().freeze();
        let Some(copy) = session.copy.as_mut() else { return Ok(()) };
        self.remote.call(copy.send(bytes))?.map_err(refusal)
    }

    fn finish_copy(&mut self) -> Result<(), TargetError> {
        let Some(session) = self.session.as_mut().filter(|session| session.copy.is_some()) else {
            return Ok(());
        };
        session.buffer.put_i16(-1);
        self.send()?;
        let Some(mut copy) = self.session.as_mut().and_then(|session| session.copy.take()) else {
            return Ok(());
        };
        let copied = self.remote.call(copy.as_mut().finish())?;
        match copied {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                self.conflicts += 1;
                let what = format!("has a message already that is appended ({})", chain_of(&error));
                if self.conflicts < 4 {
                    return Err(TargetError::retry(what + "; its end is read again"));
                }
                let hint =
                    "; another program writes to this table, or rows were restored without their position";
                Err(TargetError::fatal(FENCED, format!("{} {what}{hint}", self.name)))
            }
            Err(error) => Err(refusal(error)),
        }
    }
}

impl Target for Postgres {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn position(&mut self) -> Result<Option<TargetPosition>, TargetError> {
        self.connect()?;
        self.create()?;
        let lock = format!("SELECT pg_try_advisory_lock(hashtextextended('lockstep ' || {}, 0))", self.key);
        if self.query(&lock)? != [[Some("t".to_owned())]] {
            return Err(TargetError::retry(
                "another bridge writes to it: its session has the advisory lock; this one waits until that ends",
            ));
        }
        self.last = None;
        self.stored = self.read_position("")?;
        if self.stored.is_none()
            && !self.query(&format!("SELECT seq FROM {} LIMIT 1", self.table))?.is_empty()
        {
            let what = format!(
                "{} has messages, and {} has no position of it: it was written by another program, or the position was \
                 deleted; restore the row, or name another table",
                self.name, self.positions
            );
            return Err(TargetError::fatal(INTEGRITY, what));
        }
        Ok(self.stored)
    }

    fn append(&mut self, record: &StreamRecord<'_>) -> Result<(), TargetError> {
        if self.session.as_ref().is_none_or(|session| session.copy.is_none()) {
            self.begin()?;
        }
        let Some(session) = self.session.as_mut() else { return Err(TargetError::retry("is not connected")) };
        encode(record, &mut session.buffer)?;
        self.last = Some((record.history, record.seq));
        if session.buffer.len() >= CHUNK_BYTES { self.send() } else { Ok(()) }
    }

    fn commit(&mut self, cursor: Cursor) -> Result<(), TargetError> {
        if self.last.is_none() {
            if self.read_position("BEGIN; ")? != self.stored {
                return Err(TargetError::retry("another bridge has written to it; its end is read again"));
            }
        } else {
            self.finish_copy()?;
        }
        let before = self.stored.map_or((cursor.history, 0), |stored| (stored.history, stored.seq));
        let (history, seq) = self.last.unwrap_or(before);
        let (positions, key) = (&self.positions, &self.key);
        self.query(&format!(
            "INSERT INTO {positions} (target, history, seq, cursor) VALUES ({key}, '{history:016x}', {seq}, '{cursor}') \
             ON CONFLICT (target) DO UPDATE SET history = excluded.history, seq = excluded.seq, cursor = \
             excluded.cursor, updated_at = now(); COMMIT"
        ))?;
        self.stored = Some(TargetPosition { history, seq, cursor: Some(cursor) });
        (self.last, self.conflicts) = (None, 0);
        Ok(())
    }
}

/// A row of a binary COPY.
fn encode(record: &StreamRecord<'_>, out: &mut BytesMut) -> Result<(), TargetError> {
    let bigint = |value: u64, column: &str| {
        i64::try_from(value).map_err(|_| {
            let what = format!("{column} {value} of seq {} does not fit into a bigint", record.seq);
            TargetError::fatal(FAILED, what)
        })
    };
    let (seq, epoch) = (bigint(record.seq, "seq")?, bigint(record.epoch, "epoch")?);
    let (stamp, number) =
        (bigint(record.timestamp, "timestamp")?, bigint(record.publisher_seq, "publisher_seq")?);
    out.put_i16(COLUMN_COUNT);
    for value in [seq, stamp / 1_000 - PG_EPOCH_US, stamp] {
        out.put_i32(8);
        out.put_i64(value);
    }
    out.put_i32(16);
    out.put_slice(format!("{:016x}", record.history).as_bytes());
    for value in [epoch, record.publisher.into(), number, record.destination.into()] {
        out.put_i32(8);
        out.put_i64(value);
    }
    out.put_i32(record.payload.len() as i32);
    out.put_slice(record.payload);
    Ok(())
}

/// `schema.table` with each part in double quotes.
fn quoted(name: &str, flag: &str) -> Result<String, BridgeFailure> {
    let parts: Vec<&str> = name.split('.').collect();
    if parts.len() > 2 || parts.iter().any(|part| part.is_empty() || part.contains('\0')) {
        return Err(BridgeFailure::new(USAGE, format!("{flag} {name}: write TABLE or SCHEMA.TABLE")));
    }
    let quoted: Vec<String> = parts.iter().map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
    Ok(quoted.join("."))
}

/// An error with its causes.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// What the server's refusal means, and what to do.
fn refusal(error: tokio_postgres::Error) -> TargetError {
    let Some(answer) = error.as_db_error() else {
        let what = if error.is_closed() { "the connection is closed".to_owned() } else { chain_of(&error) };
        return TargetError::Retry(format!("cannot be reached: {what}"));
    };
    let (code, message) = (answer.code().code(), answer.message());
    match code {
        "42703" | "42804" | "42P10" | "22P03" | "42809" => TargetError::fatal(
            FAILED,
            format!("a table has another form than the bridge's: {message} ({code}); name another table"),
        ),
        "42501" => TargetError::Retry(format!("refuses the right to write: {message} ({code}); grant it")),
        _ => TargetError::Retry(match &code[..2] {
            "28" => format!("refuses the login: {message} ({code})"),
            "53" => format!("is full: {message} ({code})"),
            "57" => format!("is not ready: {message} ({code})"),
            _ => format!("{message} ({code})"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_bytes_of_a_binary_copy_and_a_number_that_does_not_fit_is_named() {
        let cursor = Cursor { history: 7, seq: 1, chain: 1 };
        let record = StreamRecord {
            history: 0xab,
            seq: 3,
            epoch: 4,
            timestamp: 946_684_800_000_001_999,
            publisher: 5,
            publisher_seq: 6,
            destination: u32::MAX,
            payload: b"it",
            cursor,
        };
        let mut out = BytesMut::new();
        encode(&record, &mut out).expect("a row");
        let bigint = |value: i64| [&8i32.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let mut wanted = 9i16.to_be_bytes().to_vec();
        for value in [3, 1, 946_684_800_000_001_999] {
            wanted.extend(bigint(value));
        }
        wanted.extend([0, 0, 0, 16].iter().chain(b"00000000000000ab"));
        for value in [4, 5, 6, i64::from(u32::MAX)] {
            wanted.extend(bigint(value));
        }
        wanted.extend([0, 0, 0, 2].iter().chain(b"it"));
        assert_eq!(out.to_vec(), wanted);
        let error = encode(&StreamRecord { seq: 1 << 63, ..record }, &mut out).expect_err("too great");
        assert!(matches!(error, TargetError::Fatal { what, .. } if what.contains("seq 9223372036854775808")));
    }

    #[test]
    fn names_of_tables_are_quoted() {
        assert_eq!(quoted("a\"b.c", "--table").expect("a name"), "\"a\"\"b\".\"c\"");
        for wrong in ["", "a.", "a.b.c"] {
            assert_eq!(quoted(wrong, "--table").expect_err("no name").code, USAGE);
        }
    }
}
