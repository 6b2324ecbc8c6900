//! The page of a daemon that Prometheus reads: `/metrics`, `/healthz`, `/readyz`; and `/counters`, its
//! counters file as it is, for `lockstep top` on another host. All come from the daemon's counters file: the
//! hot thread takes no notice of it.

use super::readiness::{not_alive, not_ready};
use super::{Format, metrics};
use crate::cli::counters::process::{Process, Value};
use crate::cli::expiry::{CERTIFICATE_EXPIRY, KEY_EXPIRY, certificate_expiry, key_expiry};
use crate::cli::observed::Observed;
use lockstep_core::engine::counters::Described;
use lockstep_io::IoError;
use lockstep_process::page::{PageAnswer, PageContent, PageRequest, PageServer};
use std::net::SocketAddrV4;

/// What a daemon without its page is told to do.
pub(in crate::cli) const OWN_ADDRESS: &str = "give each daemon of a host an address of its own, like \
    LOCKSTEP_METRICS_LISTEN=127.0.0.1:9465 or --set metrics.listen=127.0.0.1:9465";

/// Begins to serve the page of this daemon.
///
/// # Errors
/// The address is taken, by another daemon of this host mostly, or there is no thread.
pub(in crate::cli) fn serve(address: SocketAddrV4, observed: &Observed) -> Result<PageServer, IoError> {
    let observed = observed.clone();
    let answer = move |request: &PageRequest<'_>| answer(request, &observed);
    let server = PageServer::start(("metrics.listen", address), "lockstep-metrics", 0, answer)?;
    tracing::info!(%address, "metrics at http://{address}/metrics");
    Ok(server)
}

/// The same with what no counter has: the day of its keys, and the end of a gateway's certificates.
fn with_expiries(mut process: Process) -> Process {
    process.rows.push((Described::from(KEY_EXPIRY), Value::Number(key_expiry())));
    if process.kind == "gateway" {
        process.rows.push((Described::from(CERTIFICATE_EXPIRY), Value::Number(certificate_expiry())));
    }
    process
}

/// The answer to a request.
fn answer(request: &PageRequest<'_>, observed: &Observed) -> PageAnswer {
    let judged = |not: fn(&Process) -> Option<String>, word: &str| {
        let process = observed.process()?;
        Some(match not(&process) {
            None => PageAnswer::text("200 OK", format!("{} is {word}\n", process.name)),
            Some(reason) => {
                PageAnswer::text(UNAVAILABLE, format!("{} is not {word}: {reason}\n", process.name))
            }
        })
    };
    let answer = match request.path {
        "/" => return PageAnswer::text("200 OK", "lockstep: /metrics /healthz /readyz /counters\n".into()),
        "/metrics" => observed.process().map(|process| {
            let is_openmetrics =
                request.header("accept").is_some_and(|accept| accept.contains("openmetrics"));
            let format = if is_openmetrics { Format::OpenMetrics } else { Format::Prometheus };
            match metrics(&[with_expiries(process)], format) {
                Ok(text) => PageAnswer {
                    kind: format.content_type(),
                    content: PageContent::Bytes(text.into_bytes()),
                    ..PageAnswer::text("200 OK", String::new())
                },
                Err(error) => PageAnswer::text("500 Internal Server Error", format!("{error}\n")),
            }
        }),
        "/healthz" => judged(not_alive, "alive"),
        "/readyz" => judged(not_ready, "ready"),
        "/counters" => observed
            .counters()
            .map(|(bytes, age)| PageAnswer { age: Some(age.as_secs()), ..PageAnswer::bytes(bytes) }),
        _ => {
            let known = "there are /metrics, /healthz, /readyz and /counters\n";
            return PageAnswer::text("404 Not Found", known.into());
        }
    };
    let begins = || PageAnswer::text(UNAVAILABLE, "this process begins, and counts nothing yet\n".into());
    answer.unwrap_or_else(begins)
}

const UNAVAILABLE: &str = "503 Service Unavailable";

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_io::counters::{CountersFile, CountersReader};
    use lockstep_process::page::answer_to;

    /// A replica that has just begun.
    fn observed() -> Observed {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, observed) = (folder.path().join("counters"), Observed::default());
        CountersFile::create(&path, &[("kind", "replica"), ("number", "1")], &[]).expect("a file");
        observed.show("replica-1", &path);
        observed
    }

    fn page(request: &str, observed: &Observed) -> PageAnswer {
        answer_to(request.as_bytes(), 0, |request| answer(request, observed)).expect("a whole request")
    }

    fn get(path: &str, observed: &Observed) -> PageAnswer {
        page(&format!("GET {path} HTTP/1.1\r\n\r\n"), observed)
    }

    #[test]
    fn the_text_is_the_one_that_was_asked_for() {
        let observed = observed();
        let kind = |accept: &str| {
            page(&format!("GET /metrics?x=1 HTTP/1.1\r\nAccept: {accept}\r\n\r\n"), &observed).kind
        };
        let wanted = kind("application/openmetrics-text;version=1.0.0,text/plain");
        assert_eq!(wanted, Format::OpenMetrics.content_type());
        assert_eq!(kind("text/plain"), Format::Prometheus.content_type());
        assert_eq!(get("/nothing", &observed).status, "404 Not Found");
    }

    #[test]
    fn the_counters_are_the_file_as_it_is_with_the_age_of_its_values() {
        let answer = get("/counters", &observed());
        assert_eq!((answer.status, answer.age), ("200 OK", Some(0)));
        let reader = CountersReader::from_bytes("the answer", answer.content()).expect("a counters file");
        assert_eq!(reader.label("kind"), Some("replica"));
    }

    #[test]
    fn a_process_without_counters_is_not_alive_yet() {
        for path in ["/healthz", "/readyz", "/metrics", "/counters"] {
            assert_eq!(get(path, &Observed::default()).status, UNAVAILABLE, "{path}");
        }
    }

    #[test]
    fn a_replica_without_history_is_alive_and_not_ready() {
        let observed = observed();
        assert_eq!(get("/healthz", &observed).status, "200 OK");
        let answer = get("/readyz", &observed);
        let text = String::from_utf8_lossy(answer.content());
        assert_eq!(answer.status, UNAVAILABLE);
        assert!(text.starts_with("replica-1 is not ready: it holds no history"), "{text}");
    }
}
