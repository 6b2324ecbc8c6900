//! The HTTP page of a process: `/metrics` for Prometheus, `/healthz`, `/readyz`; and `/counters`, the
//! counters file as it is, for `lockstep top` on another host.

use crate::families::{Format, metrics};
use crate::process::{Process, age_of_values};
use crate::readiness::{not_alive, not_ready};
use lockstep_io::counters::CountersReader;
use lockstep_process::page::{PageAnswer, PageContent, PageRequest};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const UNAVAILABLE: &str = "503 Service Unavailable";

/// The process that a page shows, once it has a counters file. Clones share it.
#[derive(Clone, Default)]
pub struct ShownProcess(Arc<Mutex<Option<(String, CountersReader)>>>);

impl ShownProcess {
    /// Sets the process: it is called `name` and has this counters file.
    pub fn show(&self, name: &str, counters: &Path) {
        match CountersReader::open(counters) {
            Ok(reader) => *self.locked() = Some((name.to_owned(), reader)),
            Err(error) => {
                tracing::warn!(
                    "neither a page nor the service manager shows the state of this process: {error}"
                )
            }
        }
    }

    /// a thread that panicked has left a complete value
    fn locked(&self) -> MutexGuard<'_, Option<(String, CountersReader)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters file as it is, and the age of its values; `None` before there is one.
    pub fn counters(&self) -> Option<(Vec<u8>, Duration)> {
        self.locked().as_ref().map(|(_, reader)| (reader.bytes(), age_of_values(reader)))
    }

    /// The process with its counters at this moment; `None` before it has a counters file.
    pub fn process(&self) -> Option<Process> {
        self.locked().as_ref().map(|(name, reader)| Process::of(name, reader))
    }
}

/// The paths that [`answer`] serves, as a page that lists them prints them.
pub const PATHS: &str = "/metrics /healthz /readyz /counters";

/// The response to a request; `None` if the path is another one. `complete` adds metrics that are not
/// counters.
pub fn answer(
    request: &PageRequest<'_>,
    shown: &ShownProcess,
    complete: impl Fn(&mut Process),
) -> Option<PageAnswer> {
    let judged = |not: fn(&Process) -> Option<String>, word: &str| {
        let process = shown.process()?;
        Some(match not(&process) {
            None => PageAnswer::text("200 OK", format!("{} is {word}\n", process.name)),
            Some(reason) => {
                PageAnswer::text(UNAVAILABLE, format!("{} is not {word}: {reason}\n", process.name))
            }
        })
    };
    let answer = match request.path {
        "/metrics" => shown.process().map(|mut process| {
            complete(&mut process);
            metrics_page(&process, request.header("accept"))
        }),
        "/healthz" => judged(not_alive, "alive"),
        "/readyz" => judged(not_ready, "ready"),
        "/counters" => shown
            .counters()
            .map(|(bytes, age)| PageAnswer { age: Some(age.as_secs()), ..PageAnswer::bytes(bytes) }),
        _ => return None,
    };
    let begins =
        || PageAnswer::text(UNAVAILABLE, "this process is starting and has no counters yet\n".into());
    Some(answer.unwrap_or_else(begins))
}

/// The metrics in the format that the client accepts.
fn metrics_page(process: &Process, accept: Option<&str>) -> PageAnswer {
    let is_openmetrics = accept.is_some_and(|accept| accept.contains("openmetrics"));
    let format = if is_openmetrics { Format::OpenMetrics } else { Format::Prometheus };
    match metrics(std::slice::from_ref(process), format) {
        Ok(text) => PageAnswer {
            kind: format.content_type(),
            content: PageContent::Bytes(text.into_bytes()),
            ..PageAnswer::text("200 OK", String::new())
        },
        Err(error) => PageAnswer::text("500 Internal Server Error", format!("{error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_io::counters::CountersFile;
    use lockstep_process::page::{PageRules, answer_to};
    use std::net::{IpAddr, Ipv4Addr};

    /// A replica that has just started.
    fn shown() -> ShownProcess {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, shown) = (folder.path().join("counters"), ShownProcess::default());
        CountersFile::create(&path, &[("kind", "replica"), ("number", "1")], &[]).expect("a file");
        shown.show("replica-1", &path);
        shown
    }

    fn page(request: &str, shown: &ShownProcess) -> PageAnswer {
        let missing = || PageAnswer::text("404 Not Found", String::new());
        let answer = |request: &PageRequest<'_>| answer(request, shown, |_| {}).unwrap_or_else(missing);
        let (peer, rules) = (IpAddr::V4(Ipv4Addr::LOCALHOST), PageRules { body_max: 0, hosts: &[] });
        answer_to(request.as_bytes(), peer, rules, answer).expect("a whole request")
    }

    fn get(path: &str, shown: &ShownProcess) -> PageAnswer {
        page(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"), shown)
    }

    #[test]
    fn the_text_is_the_one_that_was_asked_for() {
        let shown = shown();
        let kind = |accept: &str| {
            let head = format!("GET /metrics?x=1 HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
            page(&head, &shown).kind
        };
        let wanted = kind("application/openmetrics-text;version=1.0.0,text/plain");
        assert_eq!(wanted, Format::OpenMetrics.content_type());
        assert_eq!(kind("text/plain"), Format::Prometheus.content_type());
        assert_eq!(get("/nothing", &shown).status, "404 Not Found");
    }

    #[test]
    fn the_counters_are_the_file_as_it_is_with_the_age_of_its_values() {
        let answer = get("/counters", &shown());
        assert_eq!((answer.status, answer.age), ("200 OK", Some(0)));
        let reader = CountersReader::from_bytes("the answer", answer.content()).expect("a counters file");
        assert_eq!(reader.label("kind"), Some("replica"));
    }

    #[test]
    fn a_process_without_counters_is_not_alive_yet() {
        for path in ["/healthz", "/readyz", "/metrics", "/counters"] {
            assert_eq!(get(path, &ShownProcess::default()).status, UNAVAILABLE, "{path}");
        }
    }

    #[test]
    fn a_replica_without_history_is_alive_and_not_ready() {
        let shown = shown();
        assert_eq!(get("/healthz", &shown).status, "200 OK");
        let answer = get("/readyz", &shown);
        let text = String::from_utf8_lossy(answer.content());
        assert_eq!(answer.status, UNAVAILABLE);
        assert!(text.starts_with("replica-1 is not ready: it holds no history"), "{text}");
    }
}
