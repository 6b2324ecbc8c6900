//! The status of the cluster: fields as in `lockstep status --json`.

use crate::endpoint::Endpoint;
use crate::errors::{classes, of_config, of_io};
use crate::time::timeout;
use lockstep_client::internal::{ClusterNodes, ClusterStatus, Health, QueryClient, leader_of};
use lockstep_config::KeyUse;
use lockstep_io::clock::Utc;
use lockstep_io::key_file::KeyFile;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::time::Duration;

/// How long the nodes may take to answer one look.
const LOOK: Duration = Duration::from_millis(300);

/// The status of the cluster: health and the reasons for it, leader, members, and each replica; the fields
/// are those of `lockstep status --json`. It looks for a leader until the timeout in seconds. TimedOutError
/// if no node answers.
#[pyfunction]
#[pyo3(signature = (endpoint, timeout = 2.0))]
pub(crate) fn status<'py>(
    py: Python<'py>,
    endpoint: &Bound<'py, Endpoint>,
    timeout: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let config = &endpoint.get().config;
    let of_operator = lockstep_client::Endpoint::for_operator(config).map_err(of_config)?;
    let mut nodes = ClusterNodes::new(QueryClient::open(&of_operator).map_err(of_io)?, config);
    let mut left = self::timeout(Some(timeout))?.unwrap_or(Duration::MAX);
    let statuses = loop {
        let wait = LOOK.min(left).max(Duration::from_millis(1));
        let statuses = py.detach(|| nodes.look(wait));
        py.check_signals()?;
        left = left.saturating_sub(wait);
        if left.is_zero() || leader_of(&statuses).is_some() {
            break statuses;
        }
    };
    if statuses.iter().all(Option::is_none) {
        let addresses: Vec<_> = nodes.addresses.iter().map(ToString::to_string).collect();
        return Err(classes::TimedOutError::new_err(format!(
            "no node answered within {timeout} s at {}: start the sequencers, and check that their addresses are these",
            addresses.join(", ")
        )));
    }
    let asked = nodes.asked(&statuses);
    let version = py.detach(|| nodes.log_version(&statuses));
    let key_file = config.key_file(KeyUse::Operator);
    let until = key_file.and_then(|path| KeyFile::read_expiry(&path).ok().flatten()).map(|(_, until)| until);
    let wall = Utc::now();
    let health = Health::judge(&asked).with_keys(until.map(|until| wall.days_until(until)));
    let status = ClusterStatus::new(&health, &asked, version, until, wall);
    let text = serde_json::to_string(&status).map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    py.import("json")?.call_method1("loads", (text,))
}
