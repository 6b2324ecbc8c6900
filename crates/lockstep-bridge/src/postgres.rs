//! PostgreSQL: messages as rows of a table by `COPY … BINARY`, and in the same transaction the position.
//!
//! ```text
//!   lock session     BEGIN; advisory lock of the transaction ──────── open as long as the bridge
//!   session          BEGIN; same backend? same position? │ COPY │ what is there now │ position │ COMMIT
//! ```
//! The lock is one of a transaction that stays open: it ends with its connection, through whatever that goes.
//! What the table has is compared with what was sent before it is committed, as a trigger may drop, move or
//! change rows.

mod fields;
mod rows;

use self::fields::TypedColumns;
use self::rows::WrittenRows;
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
/// Those behind them where names are asked for.
const NAME_COLUMNS: &str = ", publisher_name, destination_name";
/// Bytes that are handed to the connection at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Asks for the server's process of a session.
const BACKEND: &str = "SELECT pg_backend_pid()";
/// Begins a binary COPY: signature, flags, length of the extension.
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Messages into a table, the position in the same transaction: each exactly once
///
/// Each commit is one transaction of a COPY and an update of the position, so the table has each message
/// once, in every failure of bridge, server and network. What the table has is read back before each commit.
/// A second bridge on the same table waits until the first one's session ends. Rows are ordered by seq, which
/// rises and is not contiguous.
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
    /// Columns publisher_name and destination_name, as far as this bridge has read the opens; a table that is
    /// there needs both
    #[arg(long)]
    pub names: bool,
    /// Columns of the fields of payloads, by this schema: TOML, or an XML of Simple Binary Encoding; a table
    /// that is there needs all of them
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
    /// Commits without a look at what the table has: for one whose triggers move or change rows on purpose
    #[arg(long)]
    pub no_read_back: bool,
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
    /// Holds the lock.
    lock: Option<Connection>,
    reads_back: bool,
    has_names: bool,
    /// Columns of a schema, and their bytes of one row.
    fields: Option<TypedColumns>,
    cells: BytesMut,
    /// What the row of positions has, of this session.
    stored: Option<TargetPosition>,
    last: Option<(u64, u64)>,
    /// Messages that were there already, without a commit between.
    conflicts: u32,
}

/// A connection to the server.
struct Connection {
    client: Client,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A server that stands still would hold the task for ever.
        self.task.abort();
    }
}

/// A connection, and the transaction that is open in it.
struct PostgresSession {
    connection: Connection,
    /// The server's process, which is the same one as long as the connection is.
    backend: String,
    copy: Option<Pin<Box<CopyInSink<Bytes>>>>,
    buffer: BytesMut,
    rows: WrittenRows,
}

/// The rows of a statement, as text.
type TextRows = Vec<Vec<Option<String>>>;

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
            lock: None,
            reads_back: !args.no_read_back,
            has_names: args.names,
            fields: args.schema.as_deref().map(TypedColumns::read).transpose()?,
            cells: BytesMut::new(),
            stored: None,
            last: None,
            conflicts: 0,
        })
    }

    fn connection(&self) -> Result<Connection, TargetError> {
        let (client, connection) = self.remote.call(self.config.connect(NoTls))?.map_err(refusal)?;
        let task = self.remote.spawn(async {
            let _ = connection.await; // the client's next call reports the same
        });
        Ok(Connection { client, task })
    }

    fn connect(&mut self) -> Result<(), TargetError> {
        (self.session, self.lock) = (None, None);
        let connection = self.connection()?;
        let backend = first_text(&self.ask(&connection, BACKEND)?);
        let digest = self.fields.as_ref().map(TypedColumns::digest).unwrap_or_default();
        let (copy, buffer, rows) = (None, BytesMut::new(), WrittenRows::new(self.has_names, digest));
        self.session = Some(PostgresSession { connection, backend, copy, buffer, rows });
        Ok(())
    }

    /// Takes the lock, in a transaction of a connection of its own that stays open.
    fn take_lock(&mut self) -> Result<(), TargetError> {
        let connection = self.connection()?;
        let taken = self.ask(
            &connection,
            &format!(
                "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0; \
                 SELECT pg_try_advisory_xact_lock(hashtextextended('lockstep ' || {}, 0))",
                self.key
            ),
        )?;
        if taken != [[Some("t".to_owned())]] {
            return Err(TargetError::retry(
                "another bridge writes to it: its session has the advisory lock; this one waits until that ends",
            ));
        }
        self.lock = Some(connection);
        // A pooler of transactions has given the first one's server to the lock, or to another client.
        let backend = first_text(&self.query(BACKEND)?);
        self.judge_backend(&backend)
    }

    /// A session has one process of the server, unless something between changes that from transaction to
    /// transaction.
    fn judge_backend(&self, backend: &str) -> Result<(), TargetError> {
        let before = self.session.as_ref().map_or("", |session| &session.backend);
        if backend == before {
            return Ok(());
        }
        let what = format!(
            "{} is reached through a pooler that exchanges the session between two transactions (the server's process \
             {before}, then {backend}): name the server itself in --url, or a pooler in session mode",
            self.name
        );
        Err(TargetError::fatal(USAGE, what))
    }

    /// The rows of a statement of this session.
    fn query(&self, sql: &str) -> Result<TextRows, TargetError> {
        let session = self.session.as_ref().ok_or_else(|| TargetError::retry("is not connected"))?;
        self.ask(&session.connection, sql)
    }

    fn ask(&self, connection: &Connection, sql: &str) -> Result<TextRows, TargetError> {
        let answers = self.remote.call(connection.client.simple_query(sql))?.map_err(refusal)?;
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
            return self.check_columns();
        }
        let (table, positions) = (&self.table, &self.positions);
        let more: String = self.more_columns().map(|(name, of)| format!(", \"{name}\" {of}")).collect();
        self.query(&format!(
            "CREATE TABLE IF NOT EXISTS {table} (seq bigint PRIMARY KEY, stamped_at timestamptz NOT NULL, \
             timestamp_ns bigint NOT NULL, history text NOT NULL, epoch bigint NOT NULL, publisher bigint NOT NULL, \
             publisher_seq bigint NOT NULL, destination bigint NOT NULL, payload bytea NOT NULL{more}); \
             CREATE TABLE IF NOT EXISTS {positions} (target text PRIMARY KEY, history text NOT NULL, seq bigint NOT \
             NULL, cursor text NOT NULL, updated_at timestamptz NOT NULL DEFAULT now())"
        ))?;
        // The table may have been there without the other one.
        self.check_columns()
    }

    /// The columns that are asked for beside those of each table, with their types.
    fn more_columns(&self) -> impl Iterator<Item = (&str, String)> {
        let names = ["publisher_name", "destination_name"].into_iter().filter(|_| self.has_names);
        let fields = self.fields.iter().flat_map(TypedColumns::definitions);
        names.map(|name| (name, "text".to_owned())).chain(fields)
    }

    /// A table that was there has the columns for names and of a schema, where they are asked for. None is
    /// changed by the bridge: that needs its owner's rights, and other programs read it.
    fn check_columns(&self) -> Result<(), TargetError> {
        if self.more_columns().next().is_none() {
            return Ok(());
        }
        let table = &self.table;
        let found = self.query(&format!(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = to_regclass('{}') AND \
             attnum > 0 AND NOT attisdropped",
            table.replace('\'', "''")
        ))?;
        let has = |name: &str, of: &str| {
            found.iter().any(|row| row[0].as_deref() == Some(name) && row[1].as_deref() == Some(of))
        };
        let lacking = self.more_columns().filter(|(name, of)| !has(name, of));
        let lacking: Vec<_> = lacking.map(|(name, of)| format!("ADD COLUMN \"{name}\" {of}")).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let what = format!(
            "{} lacks columns of --names or --schema, or has one of another type: ALTER TABLE {table} {}; or leave the flag \
             out",
            self.name,
            lacking.join(", ")
        );
        Err(TargetError::fatal(USAGE, what))
    }

    /// The position as it is stored, by a statement that selects it.
    fn position_in(&self, rows: &[Vec<Option<String>>]) -> Result<Option<TargetPosition>, TargetError> {
        let (positions, key) = (&self.positions, &self.key);
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

    fn select_position(&self) -> String {
        format!("SELECT history, seq, cursor FROM {} WHERE target = {}", self.positions, self.key)
    }

    /// Begins the transaction of a commit: in the session that the lock was taken for, and at the position
    /// that was stored last.
    fn begin(&mut self) -> Result<(), TargetError> {
        if self.lock.as_ref().is_none_or(|lock| lock.client.is_closed()) {
            return Err(TargetError::retry("has ended the session that held the lock"));
        }
        let rows = self.query(&format!("BEGIN; {BACKEND}; {} FOR UPDATE", self.select_position()))?;
        self.judge_backend(&first_text(&rows))?;
        if self.position_in(&rows[1..])? != self.stored {
            return Err(TargetError::retry("another bridge has written to it; its end is read again"));
        }
        Ok(())
    }

    /// Begins the COPY of a commit.
    fn begin_copy(&mut self) -> Result<(), TargetError> {
        self.begin()?;
        let names = if self.has_names { NAME_COLUMNS } else { "" };
        let fields = self.fields.as_ref().map(TypedColumns::list).unwrap_or_default();
        let sql = format!("COPY {} ({COLUMNS}{names}{fields}) FROM STDIN (FORMAT binary)", self.table);
        let session = self.session.as_mut().ok_or_else(|| TargetError::retry("is not connected"))?;
        let sink = self.remote.call(session.connection.client.copy_in(&sql))?.map_err(refusal)?;
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
            Ok(count) => self.judge_count(count),
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
            Err(error) => Err(self.refused_row(error)),
        }
    }

    /// A row that the table does not take is named, with the way past it.
    fn refused_row(&self, error: tokio_postgres::Error) -> TargetError {
        let rows = self.session.as_ref().map(|session| &session.rows);
        match (error.as_db_error(), rows) {
            (Some(answer), Some(rows)) if rows::is_of_content(answer.code().code()) => {
                TargetError::Retry(rows.refused(answer.message(), answer.code().code(), answer.where_()))
            }
            _ => refusal(error),
        }
    }

    /// The server says how many rows the COPY has stored.
    fn judge_count(&self, stored: u64) -> Result<(), TargetError> {
        let sent = self.session.as_ref().map_or(0, |session| session.rows.count());
        if stored == sent || !self.reads_back {
            return Ok(());
        }
        let what = format!(
            "{} has taken {stored} of {sent} rows: a trigger of the table drops or moves the others, and nothing of this \
             commit is stored; remove it, or allow it with --no-read-back",
            self.name
        );
        Err(TargetError::fatal(INTEGRITY, what))
    }

    /// Compares what the table has, in the transaction that has written it, with what was sent.
    fn read_back(&mut self) -> Result<(), TargetError> {
        let Some(rows) = self.session.as_mut().map(|session| session.rows.take()) else {
            return Ok(());
        };
        let Some((first, last)) = rows.seqs().filter(|_| self.reads_back) else { return Ok(()) };
        let found = self.query(&rows.digest_of(&self.table, first, last))?;
        let found = found.first().map(Vec::as_slice).unwrap_or_default();
        let text = |column: usize| found.get(column).and_then(|text| text.as_deref()).unwrap_or_default();
        let (count, digest) = (rows.count(), rows.digest());
        if text(0) == count.to_string() && text(1) == digest {
            return Ok(());
        }
        let what = format!(
            "{} has {} rows of seqs {first} to {last} where {count} were sent{}: a trigger, a policy or another program \
             changes what is written, and nothing of this commit is stored; remove it, or allow it with --no-read-back",
            self.name,
            text(0),
            if text(0) == count.to_string() { ", with another content" } else { "" },
        );
        Err(TargetError::fatal(INTEGRITY, what))
    }
}

impl Target for Postgres {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn position(&mut self) -> Result<Option<TargetPosition>, TargetError> {
        self.connect()?;
        self.create()?;
        self.take_lock()?;
        self.last = None;
        self.stored = self.position_in(&self.query(&self.select_position())?)?;
        let known = self.stored.map_or(-1, |stored| stored.seq as i64);
        let behind = self.query(&format!("SELECT seq FROM {} WHERE seq > {known} LIMIT 1", self.table))?;
        if behind.is_empty() {
            return Ok(self.stored);
        }
        let what = match self.stored {
            None => format!(
                "{} has messages, and {} has no position of it: it was written by another program, or the position was \
                 deleted; restore the row, or name another table",
                self.name, self.positions
            ),
            Some(stored) => format!(
                "{} has messages behind its position in {}, which is seq {}: one of both was restored without the other, or \
                 another program writes to it; restore both, or delete the rows behind that seq",
                self.name, self.positions, stored.seq
            ),
        };
        Err(TargetError::fatal(INTEGRITY, what))
    }

    fn append(&mut self, record: &StreamRecord<'_>) -> Result<(), TargetError> {
        if self.session.as_ref().is_none_or(|session| session.copy.is_none()) {
            self.begin_copy()?;
        }
        let Some(session) = self.session.as_mut() else { return Err(TargetError::retry("is not connected")) };
        self.cells.clear();
        let mut field_count = 0;
        if let Some(fields) = &mut self.fields {
            fields.append(record.payload, &mut self.cells);
            field_count = fields.count();
        }
        rows::encode(record, self.has_names, (field_count, &self.cells), &mut session.buffer)?;
        session.rows.push(record, &self.cells);
        self.last = Some((record.history, record.seq));
        if session.buffer.len() >= CHUNK_BYTES { self.send() } else { Ok(()) }
    }

    fn commit(&mut self, cursor: Cursor) -> Result<(), TargetError> {
        if self.last.is_none() {
            self.begin()?;
        } else {
            self.finish_copy()?;
            self.read_back()?;
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

/// The first text of the first row; empty without a row.
fn first_text(rows: &[Vec<Option<String>>]) -> String {
    rows.first().and_then(|row| row.first()?.clone()).unwrap_or_default()
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
    fn names_of_tables_are_quoted() {
        assert_eq!(quoted("a\"b.c", "--table").expect("a name"), "\"a\"\"b\".\"c\"");
        for wrong in ["", "a.", "a.b.c"] {
            assert_eq!(quoted(wrong, "--table").expect_err("no name").code, USAGE);
        }
    }
}
