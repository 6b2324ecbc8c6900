//! The page and its files, and which requests are answered.

use super::{SharedView, Shown};
use lockstep_process::page::{PageAnswer, PageContent, PageRequest};
use serde::Serialize;
use std::net::IpAddr;

/// The version of [`Live`].
const SCHEMA: &str = "lockstep.web/1";

/// What a browser asks for once an interval.
#[derive(Serialize)]
struct Live<'a> {
    schema: &'static str,
    #[serde(flatten)]
    shown: &'a Shown,
}

/// Answers a request of a browser, or of a program: `/live.json` has all that the page shows.
pub fn answer(request: &PageRequest<'_>, hosts: &[String], view: &SharedView) -> PageAnswer {
    if !is_own(request.header("host"), hosts) {
        let why = "this is another host's name: ask by an address or localhost, or start `lockstep web` with --host NAME\n";
        return PageAnswer::text("403 Forbidden", why.to_owned());
    }
    match request.path {
        "/" => file("text/html; charset=utf-8", include_str!("page.html")),
        "/page.css" => file("text/css; charset=utf-8", include_str!("page.css")),
        "/page.js" => file("text/javascript; charset=utf-8", include_str!("page.js")),
        "/live.json" => live(view),
        _ => PageAnswer::text("404 Not Found", "there are / and /live.json\n".to_owned()),
    }
}

fn file(kind: &'static str, text: &str) -> PageAnswer {
    PageAnswer { status: "200 OK", kind, content: PageContent::Bytes(text.into()), age: None }
}

fn live(view: &SharedView) -> PageAnswer {
    let bytes = serde_json::to_vec(&Live { schema: SCHEMA, shown: &view.locked() });
    match bytes {
        Ok(bytes) => PageAnswer {
            status: "200 OK",
            kind: "application/json",
            content: PageContent::Bytes(bytes),
            age: None,
        },
        Err(error) => PageAnswer::text("500 Internal Server Error", format!("{error}\n")),
    }
}

/// Whether a browser that names this host in its request was led here by its user. A foreign page may let a
/// name of its own lead here ("DNS rebinding") and would read what this one shows; addresses cannot be
/// led anywhere else.
fn is_own(host: Option<&str>, hosts: &[String]) -> bool {
    let Some(host) = host else { return false };
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    is_address || name == "localhost" || hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_process::page::answer_to;

    fn asked(head: &str) -> PageAnswer {
        let hosts = ["risk-1".to_owned()];
        let answer = |request: &PageRequest<'_>| answer(request, &hosts, &SharedView::default());
        answer_to(head.as_bytes(), 0, answer).expect("a whole request")
    }

    #[test]
    fn a_page_of_another_name_cannot_read_this_one() {
        for own in ["127.0.0.1:9480", "[::1]:9480", "10.1.2.3", "localhost:9480", "RISK-1:9480"] {
            assert_eq!(asked(&format!("GET / HTTP/1.1\r\nHost: {own}\r\n\r\n")).status, "200 OK", "{own}");
        }
        for foreign in ["evil.example", "risk-1.evil.example:9480", "localhost.evil.example", ""] {
            let answer = asked(&format!("GET /live.json HTTP/1.1\r\nHost: {foreign}\r\n\r\n"));
            assert_eq!(answer.status, "403 Forbidden", "{foreign}");
        }
        assert_eq!(asked("GET /live.json HTTP/1.1\r\n\r\n").status, "403 Forbidden");
    }

    #[test]
    fn the_pages_are_read_and_nothing_else() {
        let head = |method, path| format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let status = |method, path| asked(&head(method, path)).status;
        assert_eq!(status("POST", "/live.json"), "405 Method Not Allowed");
        assert_eq!(status("GET", "/etc/passwd"), "404 Not Found");
        let live = asked(&head("GET", "/live.json"));
        let live: serde_json::Value = serde_json::from_slice(live.content()).expect("JSON");
        assert_eq!((&live["schema"], live["history"].as_array().map(Vec::len)), (&SCHEMA.into(), Some(0)));
    }
}
