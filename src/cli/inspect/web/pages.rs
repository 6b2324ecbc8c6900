//! The page and its files.

use super::{SharedView, Shown};
use lockstep_process::page::{PageAnswer, PageContent, PageRequest};
use serde::Serialize;

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
pub fn answer(request: &PageRequest<'_>, view: &SharedView) -> PageAnswer {
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

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_process::page::{PageRules, answer_to};
    use std::net::{IpAddr, Ipv4Addr};

    fn asked(head: &str) -> PageAnswer {
        let hosts = ["risk-1".to_owned()];
        let (peer, rules) = (IpAddr::V4(Ipv4Addr::LOCALHOST), PageRules { body_max: 0, hosts: &hosts });
        let answer = |request: &PageRequest<'_>| answer(request, &SharedView::default());
        answer_to(head.as_bytes(), peer, rules, answer).expect("a whole request")
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
