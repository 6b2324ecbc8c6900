//! The page of a daemon: its metrics, whether it is alive and ready, its counters. All values come from the
//! daemon's counters file: the hot thread is not involved.

use crate::expiry::{CERTIFICATE_EXPIRY, KEY_EXPIRY, certificate_expiry, key_expiry};
use lockstep_core::engine::counters::Described;
use lockstep_io::IoError;
use lockstep_metrics::page::{self, PATHS};
use lockstep_metrics::{Process, ShownProcess, Value};
use lockstep_process::page::{PageAnswer, PageRequest, PageServer, PageSettings};
use std::net::SocketAddrV4;

/// The remedy for a daemon without a page.
pub const OWN_ADDRESS: &str = "give each daemon of a host an address of its own, like \
    LOCKSTEP_METRICS_LISTEN=127.0.0.1:9465 or --set metrics.listen=127.0.0.1:9465";

/// Begins to serve the page of this daemon.
///
/// # Errors
/// The address is in use, usually by another daemon of this host, or the system starts no thread.
pub fn serve(address: SocketAddrV4, hosts: &[String], shown: &ShownProcess) -> Result<PageServer, IoError> {
    let shown = shown.clone();
    let settings = PageSettings {
        address,
        key: "metrics.listen",
        thread: "lockstep-metrics",
        body_max: 0,
        hosts: hosts.to_vec(),
    };
    let server = PageServer::start(settings, move |request: &PageRequest<'_>| answer(request, &shown))?;
    tracing::info!(%address, "metrics at http://{address}/metrics");
    Ok(server)
}

fn answer(request: &PageRequest<'_>, shown: &ShownProcess) -> PageAnswer {
    page::answer(request, shown, add_expiries).unwrap_or_else(|| match request.path {
        "/" => PageAnswer::text("200 OK", format!("lockstep: {PATHS}\n")),
        _ => PageAnswer::text("404 Not Found", format!("there are {PATHS}\n")),
    })
}

/// Values that no counter has: the day of the keys, and the end of a gateway's certificates.
fn add_expiries(process: &mut Process) {
    process.rows.push((Described::from(KEY_EXPIRY), Value::Number(key_expiry())));
    if process.kind == "gateway" {
        process.rows.push((Described::from(CERTIFICATE_EXPIRY), Value::Number(certificate_expiry())));
    }
}
