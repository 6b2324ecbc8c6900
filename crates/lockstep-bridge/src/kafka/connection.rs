//! The connection to the brokers: its arguments, librdkafka's settings, and what that reports of brokers and
//! of messages.

use crate::clock;
use crate::failure::{BridgeFailure, FENCED, USAGE};
use crate::remote::secret;
use crate::target::TargetError;
use clap::Args;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest time between two looks at the request to stop.
const LOOK: Duration = Duration::from_millis(50);
/// A call of a process that is asked to stop may take so long.
const STOPPING: Duration = Duration::from_secs(2);

/// Where the brokers are.
#[derive(Args, Clone, Debug)]
pub struct KafkaConnection {
    /// Where the cluster is: HOST:PORT of one or more brokers, with commas between
    #[arg(long, value_name = "ADDRESSES", env = "KAFKA_BROKERS", default_value = "127.0.0.1:9092")]
    pub brokers: String,
    /// The user, by SASL PLAIN; the connection is not encrypted
    #[arg(long, value_name = "NAME", env = "KAFKA_USER")]
    pub user: Option<String>,
    /// The first line of this file is the user's password; else KAFKA_PASSWORD
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// A setting of librdkafka, such as compression.type=lz4; repeatable. Those that the guarantee depends on
    /// cannot be set
    #[arg(long, value_name = "NAME=VALUE")]
    pub property: Vec<String>,
}

impl KafkaConnection {
    /// librdkafka's settings; `fixed` are those of the caller.
    ///
    /// # Errors
    /// A property is none, or one of `fixed`; the password cannot be read.
    pub fn config(&self, fixed: &[(&str, String)]) -> Result<ClientConfig, BridgeFailure> {
        let mut config = ClientConfig::new();
        let common = [
            ("bootstrap.servers", self.brokers.as_str()),
            ("client.id", "lockstep-bridge"),
            // A broker that comes back is seen within a second.
            ("reconnect.backoff.ms", "50"),
            ("reconnect.backoff.max.ms", "1000"),
        ];
        for (name, value) in common {
            config.set(name, value);
        }
        if let Some(user) = &self.user {
            let password = secret(self.password_file.as_deref(), "KAFKA_PASSWORD")?.unwrap_or_default();
            if password.is_empty() {
                let what =
                    format!("--user {user}: a password belongs to it: --password-file or KAFKA_PASSWORD");
                return Err(BridgeFailure::new(USAGE, what));
            }
            config.set("security.protocol", "sasl_plaintext").set("sasl.mechanisms", "PLAIN");
            config.set("sasl.username", user).set("sasl.password", password);
        }
        for property in &self.property {
            let wrong = |why: &str| BridgeFailure::new(USAGE, format!("--property {property}: {why}"));
            let (name, value) = property.split_once('=').ok_or_else(|| wrong("write NAME=VALUE"))?;
            if fixed.iter().any(|(own, _)| *own == name) {
                return Err(wrong("the bridge's guarantee depends on it, so it sets it itself"));
            }
            config.set(name, value);
        }
        for (name, value) in fixed {
            config.set(*name, value);
        }
        config.set_log_level(RDKafkaLogLevel::Emerg);
        Ok(config)
    }
}

/// A client of librdkafka.
///
/// # Errors
/// librdkafka refuses a setting.
pub fn create<T>(config: &ClientConfig, reports: &Arc<KafkaReports>) -> Result<T, TargetError>
where
    T: FromClientConfigAndContext<KafkaContext>,
{
    let context = KafkaContext(Arc::clone(reports));
    config.create_with_context(context).map_err(|error| {
        TargetError::fatal(USAGE, format_args!("librdkafka refuses its settings (--property): {error}"))
    })
}

/// What was reported, of one connection.
#[derive(Debug, Default)]
pub struct ReportedState {
    /// Messages that were handed over, and of which nothing was reported.
    pub outstanding: u64,
    /// No broker can be reached, or the login is refused.
    pub cut: Option<String>,
    /// Why a message was not stored.
    pub failed: Option<TargetError>,
    /// The offset of the next message, by partition, if the bridge is the only writer; `None` if unknown.
    pub next_offsets: Vec<Option<i64>>,
    /// Whether offsets are compared: not in transactions, whose markers take some.
    pub is_compared: bool,
}

/// What librdkafka's threads report.
#[derive(Debug, Default)]
pub struct KafkaReports {
    state: Mutex<ReportedState>,
    changed: Condvar,
}

impl KafkaReports {
    /// The state, to be read or changed.
    pub fn state(&self) -> MutexGuard<'_, ReportedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until at most `outstanding` messages are without a report.
    ///
    /// # Errors
    /// One was refused, no broker can be reached, or it takes longer than `timeout`.
    pub fn wait(&self, outstanding: u64, timeout: Duration, stop: &AtomicBool) -> Result<(), TargetError> {
        let began = clock::now();
        let mut state = self.state();
        loop {
            if let Some(failed) = &state.failed {
                return Err(failed.clone());
            }
            if state.outstanding <= outstanding {
                return Ok(());
            }
            if let Some(cut) = &state.cut {
                return Err(TargetError::Retry(cut.clone()));
            }
            let is_stopping = stop.load(Ordering::Acquire);
            let bound = if is_stopping { timeout.min(STOPPING) } else { timeout };
            if began.elapsed() >= bound {
                return Err(TargetError::retry(format_args!("does not acknowledge for {bound:?}")));
            }
            state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn on_stored(&self, partition: i32, offset: i64) {
        let mut state = self.state();
        let ReportedState { outstanding, cut, failed, next_offsets, is_compared } = &mut *state;
        *outstanding = outstanding.saturating_sub(1);
        *cut = None;
        let next = usize::try_from(partition).ok().and_then(|partition| next_offsets.get_mut(partition));
        if let (Some(next), true) = (next, *is_compared) {
            // A message that was stored by an earlier try is acknowledged without its offset.
            let known = (offset >= 0).then_some(offset);
            if let (Some(wanted), Some(offset)) = (*next, known)
                && wanted != offset
            {
                failed.get_or_insert_with(|| other_writer(partition, wanted, offset));
            }
            *next = known.map(|offset| offset + 1);
        }
        self.changed.notify_all();
    }

    fn on_refused(&self, error: &KafkaError) {
        let mut state = self.state();
        state.outstanding = state.outstanding.saturating_sub(1);
        state.failed.get_or_insert_with(|| refusal(error));
        self.changed.notify_all();
    }
}

fn other_writer(partition: i32, wanted: i64, offset: i64) -> TargetError {
    let what = format!(
        "partition {partition} has offset {offset} for a message that belongs to offset {wanted}: what lies between was \
         written by another program, another bridge, or one that was killed while the broker stood still; messages may \
         be there twice. Let one bridge write, and name another --topic; --transactional-id keeps such writers out"
    );
    TargetError::fatal(FENCED, what)
}

/// Hands on what librdkafka reports.
#[derive(Debug)]
pub struct KafkaContext(Arc<KafkaReports>);

impl ClientContext for KafkaContext {
    /// What matters comes as an error too.
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let cut = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
                format!("refuses the login: {}", without_times(reason))
            }
            Some(RDKafkaErrorCode::AllBrokersDown) => "cannot be reached: all brokers are down".to_owned(),
            _ => return,
        };
        let mut state = self.0.state();
        // A refused login closes the connection, and so is the better reason.
        if !state.cut.as_ref().is_some_and(|known| known.starts_with("refuses")) {
            state.cut = Some(cut);
        }
        self.0.changed.notify_all();
    }
}

impl ConsumerContext for KafkaContext {}

impl ProducerContext for KafkaContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(message) => self.0.on_stored(message.partition(), message.offset()),
            Err((error, _)) => self.0.on_refused(error),
        }
    }
}

/// A reason of librdkafka without what differs from one time to the next.
fn without_times(reason: &str) -> &str {
    let reason = reason.split(" (after ").next().unwrap_or(reason);
    reason.rsplit_once("]: ").map_or(reason, |(_, reason)| reason)
}

/// What an error means, and what to do.
pub fn refusal(error: &KafkaError) -> TargetError {
    use RDKafkaErrorCode as Code;
    let Some(code) = error.rdkafka_error_code() else {
        return TargetError::retry(format_args!("refuses: {error}"));
    };
    match code {
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => TargetError::fatal(
            FENCED,
            format_args!(
                "another bridge has taken over this --transactional-id ({code}): end one of them, or give each a topic \
                 and an id of its own"
            ),
        ),
        Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve => {
            TargetError::retry("cannot be reached: all brokers are down")
        }
        Code::OperationTimedOut => TargetError::retry("does not answer in time"),
        Code::Authentication | Code::SaslAuthenticationFailed => {
            TargetError::retry(format_args!("refuses the login: {code}"))
        }
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => {
            TargetError::retry(format_args!("refuses the right to it: {code}; grant it"))
        }
        Code::MessageSizeTooLarge => TargetError::retry(format_args!(
            "refuses a message for its size: {code}; raise max.message.bytes"
        )),
        Code::KafkaStorageError | Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => {
            TargetError::retry(format_args!("is full, or has lost replicas: {code}"))
        }
        Code::OutOfOrderSequenceNumber | Code::UnknownProducerId => TargetError::retry(format_args!(
            "does not know any more what was sent before: {code}; its end is read again"
        )),
        _ => TargetError::retry(format_args!("refuses: {code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(property: &[&str]) -> KafkaConnection {
        let property = property.iter().map(|&text| text.to_owned()).collect();
        KafkaConnection { brokers: "a:1".to_owned(), user: None, password_file: None, property }
    }

    #[test]
    fn a_property_is_taken_but_for_those_that_the_guarantee_depends_on() {
        let fixed = [("enable.idempotence", "true".to_owned())];
        let config = connection(&["compression.type=lz4"]).config(&fixed).expect("settings");
        assert_eq!(config.get("compression.type"), Some("lz4"));
        assert_eq!(config.get("enable.idempotence"), Some("true"));
        for wrong in ["compression.type", "enable.idempotence=false"] {
            assert_eq!(connection(&[wrong]).config(&fixed).expect_err(wrong).code, USAGE);
        }
    }

    #[test]
    fn an_offset_that_does_not_follow_is_another_writers() {
        let reports = KafkaReports::default();
        *reports.state() = ReportedState {
            next_offsets: vec![Some(7)],
            is_compared: true,
            outstanding: 4,
            ..Default::default()
        };
        reports.on_stored(0, 7);
        // A repeat that the broker has recognised has no offset; the next one is not compared.
        reports.on_stored(0, -1);
        reports.on_stored(0, 9);
        assert_eq!(reports.state().failed, None);
        reports.on_stored(0, 12);
        let failed = reports.state().failed.clone();
        assert!(
            matches!(&failed, Some(TargetError::Fatal { code: FENCED, what }) if what.contains("offset 10")),
            "{failed:?}"
        );
        assert_eq!(reports.state().outstanding, 0);
    }

    #[test]
    fn a_reason_is_the_same_each_time() {
        let reason = "[thrd:127.0.0.1:1/bootstrap]: 127.0.0.1:1/bootstrap: SASL authentication error (after 3ms in state AUTH_REQ)";
        assert_eq!(without_times(reason), "127.0.0.1:1/bootstrap: SASL authentication error");
    }
}
