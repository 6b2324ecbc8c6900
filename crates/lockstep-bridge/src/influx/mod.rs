//! InfluxDB: messages as points by the line protocol.
//!
//! A point is what its measurement, its tags and its time say: another write of them replaces it. So each
//! message has a time of its own, which follows from the message and the time of the one before; and what
//! is written again behind the stored position replaces itself.

mod line;

use crate::failure::{BridgeFailure, INTEGRITY, USAGE};
use crate::file::read_schema;
use crate::record::StreamRecord;
use crate::remote::secret;
use crate::target::{Target, TargetError, TargetPosition};
use base64::prelude::{BASE64_STANDARD, Engine};
use clap::Args;
use line::{InfluxPayload, PointWriter, name};
use lockstep_client::Cursor;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use ureq::Agent;

/// Bytes of a request.
const REQUEST_BYTES: usize = 4 << 20;
/// Positions of one such span of stream time replace each other.
const POSITION_NS: i64 = 60_000_000_000;
/// Longest answer that is read.
const ANSWER_BYTES: u64 = 1 << 20;

/// Messages as points of InfluxDB, the position behind them: each exactly once
///
/// Each message is a point with a time of its own: its stamp, or a nanosecond behind the message before
/// where that is later. The position is written behind the messages, and what is written again after a
/// failure replaces itself; so the measurement has each message once, in every failure of bridge, server and
/// network. The server is one of 1.x, or a later one by its interface of 1.x (/write, /query).
#[derive(Args, Debug)]
pub struct InfluxArgs {
    /// Where the server is; http:// alone
    #[arg(long, value_name = "URL", env = "INFLUX_URL", default_value = "http://127.0.0.1:8086")]
    pub url: String,
    /// The database, made if it is missing
    #[arg(long, value_name = "NAME", default_value = "lockstep")]
    pub database: String,
    /// The measurement; its positions are in NAME_position
    #[arg(long, value_name = "NAME", default_value = "lockstep")]
    pub measurement: String,
    /// The user
    #[arg(long, value_name = "NAME", env = "INFLUX_USER")]
    pub user: Option<String>,
    /// The first line of this file is the user's password, or the token where there is no user; else
    /// INFLUX_PASSWORD
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// How the field `payload` is spelt
    #[arg(long, value_enum, default_value_t = InfluxPayload::Escaped)]
    pub payload: InfluxPayload,
    /// Fields of payloads become fields of points, and the type of a message its tag (docs/BRIDGES.md)
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
    /// Fields publisher_name and destination_name, as far as this bridge has read the opens
    #[arg(long)]
    pub names: bool,
}

/// A measurement.
pub struct Influx {
    agent: Agent,
    timeout: Duration,
    url: String,
    database: String,
    measurement: String,
    /// The header `Authorization`.
    login: Option<String>,
    writer: PointWriter,
    /// Points that the server was not sent.
    buffer: Vec<u8>,
    /// The last message that was appended, or that the server has.
    last: Option<LastPoint>,
}

/// The last message of a measurement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct LastPoint {
    history: u64,
    seq: u64,
    /// Of its point.
    time: i64,
}

impl LastPoint {
    /// The time of the point behind this one.
    fn time_behind(last: Option<Self>, timestamp: i64) -> i64 {
        last.map_or(timestamp, |last| timestamp.max(last.time.saturating_add(1)))
    }
}

/// An answer of the server.
struct InfluxAnswer {
    status: u16,
    text: String,
}

impl Influx {
    /// A measurement that is not connected yet.
    ///
    /// # Errors
    /// Wrong arguments.
    pub fn new(args: &InfluxArgs, timeout: Duration) -> Result<Self, BridgeFailure> {
        let usage = |what: String| BridgeFailure::new(USAGE, what);
        if !args.url.starts_with("http://") {
            let what = "write http://HOST:PORT; this bridge does not encrypt: use a tunnel (docs/BRIDGES.md)";
            return Err(usage(format!("--url {}: {what}", args.url)));
        }
        for (flag, text) in [("--database", &args.database), ("--measurement", &args.measurement)] {
            if text.is_empty() || text.chars().any(|char| char.is_control() || char == '"' || char == '\\') {
                return Err(usage(format!("{flag} {text}: a name without quotes and backslashes")));
            }
        }
        let password = secret(args.password_file.as_deref(), "INFLUX_PASSWORD")?;
        let login = match (&args.user, password) {
            (Some(user), password) => {
                let pair = format!("{user}:{}", password.unwrap_or_default());
                Some(format!("Basic {}", BASE64_STANDARD.encode(pair)))
            }
            (None, Some(token)) => Some(format!("Token {token}")),
            (None, None) => None,
        };
        let schema = args.schema.as_deref().map(read_schema).transpose()?.map(|(schema, _)| schema);
        let writer = PointWriter::new(&args.measurement, args.payload, schema, args.names);
        let writer = writer.map_err(|error| match error {
            TargetError::Retry(what) | TargetError::Fatal { what, .. } => usage(what),
        })?;
        let config =
            Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false).build();
        Ok(Self {
            agent: config.into(),
            timeout,
            url: args.url.trim_end_matches('/').to_owned(),
            database: args.database.clone(),
            measurement: args.measurement.clone(),
            login,
            writer,
            buffer: Vec::new(),
            last: None,
        })
    }

    fn post(&self, path: &str, query: &[(&str, &str)], body: &[u8]) -> Result<InfluxAnswer, TargetError> {
        let mut request = self.agent.post(format!("{}{path}", self.url)).query_pairs(query.iter().copied());
        if let Some(login) = &self.login {
            request = request.header("Authorization", login);
        }
        let mut answer = request.send(body).map_err(|error| self.unreachable(&error))?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES).read_to_string();
        Ok(InfluxAnswer { status, text: text.map_err(|error| self.unreachable(&error))? })
    }

    fn unreachable(&self, error: &ureq::Error) -> TargetError {
        match error {
            ureq::Error::Timeout(_) => {
                TargetError::retry(format_args!("does not answer for {:?}", self.timeout))
            }
            error => TargetError::retry(format_args!("cannot be reached: {error}")),
        }
    }

    /// Writes points.
    fn write(&self, points: &[u8]) -> Result<(), TargetError> {
        let query = [("db", self.database.as_str()), ("precision", "ns")];
        let answer = self.post("/write", &query, points)?;
        if answer.status == 204 || answer.status == 200 { Ok(()) } else { Err(refusal(&answer)) }
    }

    /// The first series of a statement's answer: its columns and rows.
    fn query(&self, statement: &str) -> Result<Option<Series>, TargetError> {
        let query = [("db", self.database.as_str()), ("epoch", "ns"), ("q", statement)];
        let answer = self.post("/query", &query, b"")?;
        if answer.status != 200 {
            return Err(refusal(&answer));
        }
        let parsed: Answers = serde_json::from_str(&answer.text).map_err(|error| {
            TargetError::retry(format_args!("answers what is no JSON of InfluxDB: {error}"))
        })?;
        let Some(first) = parsed.results.into_iter().next() else { return Ok(None) };
        match first.error {
            Some(text) => Err(refusal(&InfluxAnswer { status: 200, text })),
            None => Ok(first.series.into_iter().next()),
        }
    }

    /// The newest position.
    fn read_position(&self) -> Result<Option<(LastPoint, Cursor)>, TargetError> {
        let positions = self.positions();
        let statement = format!(
            "SELECT history, seq, point_time, cursor FROM \"{positions}\" ORDER BY time DESC LIMIT 1"
        );
        let Some(series) = self.query(&statement)? else { return Ok(None) };
        let Some(row) = series.values.first() else { return Ok(None) };
        let parsed = (|| {
            let (history, cursor) = (row.get(1)?.as_str()?, row.get(4)?.as_str()?);
            let history = u64::from_str_radix(history, 16).ok()?;
            let last = LastPoint { history, seq: row.get(2)?.as_u64()?, time: row.get(3)?.as_i64()? };
            Some((last, Cursor::from_str(cursor).ok()?))
        })();
        parsed.map(Some).ok_or_else(|| {
            let what = format!(
                "the last point of {positions} in {} is not one of a bridge ({row:?}): look who has written it, and name \
                 another --measurement",
                self.name()
            );
            TargetError::fatal(INTEGRITY, what)
        })
    }

    fn positions(&self) -> String {
        format!("{}_position", self.measurement)
    }
}

/// What `/query` answers.
#[derive(serde::Deserialize)]
struct Answers {
    #[serde(default)]
    results: Vec<Answer>,
}

#[derive(serde::Deserialize)]
struct Answer {
    error: Option<String>,
    #[serde(default)]
    series: Vec<Series>,
}

#[derive(serde::Deserialize)]
struct Series {
    values: Vec<Vec<serde_json::Value>>,
}

/// What a refusal means, and what to do.
fn refusal(answer: &InfluxAnswer) -> TargetError {
    let text = answer.text.trim();
    let sentence = serde_json::from_str::<Answer>(text).ok().and_then(|answer| answer.error);
    let sentence = sentence.unwrap_or_else(|| text.chars().take(300).collect());
    let is_full = ["max-series", "max-values", "no space left", "cache-max-memory-size"];
    TargetError::Retry(match answer.status {
        401 => format!("refuses the login: {sentence}"),
        403 => format!("refuses the right to it: {sentence}; grant it"),
        413 => format!("refuses a request for its size: {sentence}; raise max-body-size"),
        _ if is_full.iter().any(|word| sentence.contains(word)) => format!("is full: {sentence}"),
        status => format!("refuses: {sentence} ({status})"),
    })
}

impl Target for Influx {
    fn name(&self) -> String {
        format!("measurement {} of database {} of InfluxDB at {}", self.measurement, self.database, self.url)
    }

    fn position(&mut self) -> Result<Option<TargetPosition>, TargetError> {
        self.buffer.clear();
        let position = match self.read_position() {
            Err(TargetError::Retry(what)) if what.contains("database not found") => {
                self.query(&format!("CREATE DATABASE \"{}\"", self.database))?;
                None
            }
            position => position?,
        };
        self.last = position.map(|(last, _)| last);
        if position.is_none()
            && self.query(&format!("SELECT seq FROM \"{}\" LIMIT 1", self.measurement))?.is_some()
        {
            // The first commit was cut off before its position, or these are another program's points: the
            // stream's replace themselves.
            say!(
                "lockstep-bridge: {} has points and no position; it is written from the beginning",
                self.name()
            );
        }
        Ok(position.map(|(last, cursor)| TargetPosition {
            history: last.history,
            seq: last.seq,
            cursor: Some(cursor),
        }))
    }

    fn append(&mut self, record: &StreamRecord<'_>) -> Result<(), TargetError> {
        let timestamp = i64::try_from(record.timestamp).unwrap_or(i64::MAX);
        let time = LastPoint::time_behind(self.last, timestamp);
        self.writer.write(record, time, &mut self.buffer)?;
        self.last = Some(LastPoint { history: record.history, seq: record.seq, time });
        if self.buffer.len() >= REQUEST_BYTES {
            self.write(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    fn commit(&mut self, cursor: Cursor) -> Result<(), TargetError> {
        // A measurement without a message has no position: the stream is read from --from again.
        let Some(LastPoint { history, seq, time }) = self.last else { return Ok(()) };
        if !self.buffer.is_empty() {
            self.write(&self.buffer)?;
            self.buffer.clear();
        }
        // Behind the messages: whatever was stored of them, a bridge that reads an older position writes them
        // again as they are.
        let positions = name(&self.positions());
        let point = format!(
            "{positions} history=\"{history:016x}\",seq={seq}i,point_time={time}i,cursor=\"{cursor}\" {}\n",
            time - time.rem_euclid(POSITION_NS)
        );
        self.write(point.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_has_a_time_of_its_own_that_follows_from_the_one_before() {
        let mut last = None;
        let mut times = Vec::new();
        // Three of one stamp, a clock that stood still, and one that went on.
        for (seq, timestamp) in [100, 100, 100, 101, 200].into_iter().enumerate() {
            let time = LastPoint::time_behind(last, timestamp);
            last = Some(LastPoint { history: 1, seq: seq as u64, time });
            times.push(time);
        }
        assert_eq!(times, [100, 101, 102, 103, 200]);
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let words = |status, text: &str| match refusal(&InfluxAnswer { status, text: text.to_owned() }) {
            TargetError::Retry(what) | TargetError::Fatal { what, .. } => what,
        };
        assert_eq!(
            words(401, "{\"error\":\"authorization failed\"}\n"),
            "refuses the login: authorization failed"
        );
        assert!(
            words(403, "{\"error\":\"\\\"b\\\" user is not authorized\"}")
                .starts_with("refuses the right to it")
        );
        assert!(
            words(400, "{\"error\":\"partial write: max-series-per-database limit exceeded\"}")
                .starts_with("is full")
        );
        assert_eq!(words(500, "x"), "refuses: x (500)");
    }
}
