//! The status of the cluster: fields as in `lockstep status --json`.

use crate::endpoint::Endpoint;
use crate::errors::{classes, of_config, of_io};
use crate::time::timeout;
use lockstep_client::internal::{
    ActiveCondition, Health, MemberStatus, NodeStatus, QueryClient, QueryResult, Reason, leader_of,
};
use lockstep_config::{Config, KeyUse};
use lockstep_io::clock::{DAY_NS, Utc};
use lockstep_io::key_file::KeyFile;
use lockstep_wire::MemberBody;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::net::SocketAddrV4;
use std::time::Duration;

/// The version of the fields.
const SCHEMA: &str = "lockstep.status/2";
/// How long the nodes may take to answer one look.
const LOOK: Duration = Duration::from_millis(300);
/// How long those that have answered may take to report their release.
const RELEASE_WAIT: Duration = Duration::from_millis(200);

/// A dictionary of keys and values.
macro_rules! dict {
    ($py:expr, { $($key:literal: $value:expr,)* }) => {{
        let dict = PyDict::new($py);
        $(dict.set_item($key, $value)?;)*
        dict
    }};
}
pub(crate) use dict;

/// Asks the nodes of a cluster.
struct Looker {
    client: QueryClient,
    /// As the file says, and as the memberships that were seen say.
    addresses: Vec<SocketAddrV4>,
    /// Numbers of those in the file.
    numbers: Vec<u32>,
    archivers: Vec<u32>,
}

impl Looker {
    fn open(config: &Config) -> PyResult<Self> {
        let endpoint = lockstep_client::Endpoint::for_operator(config).map_err(of_config)?;
        let replicas = config.replicas.iter().map(|replica| (replica.id, replica.unicast));
        let archivers = config.archivers.iter().map(|archiver| (archiver.id, archiver.unicast));
        let (numbers, addresses) = replicas.chain(archivers.clone()).unzip();
        Ok(Self {
            client: QueryClient::open(&endpoint).map_err(of_io)?,
            addresses,
            numbers,
            archivers: archivers.map(|(number, _)| number).collect(),
        })
    }

    /// Asks every node, and those that a membership names for the first time.
    fn look(&mut self, wait: Duration) -> Vec<QueryResult> {
        let mut statuses = self.client.statuses(&self.addresses, wait);
        let before = self.addresses.len();
        for address in statuses.iter().flatten().flat_map(|status| &status.members) {
            let address = address.member.address();
            self.addresses.extend(address.filter(|address| !self.addresses.contains(address)));
        }
        if self.addresses.len() > before {
            statuses.extend(self.client.statuses(&self.addresses[before..], wait));
        }
        let node = |(place, (address, status)): (usize, (&SocketAddrV4, Option<NodeStatus>))| {
            let number = self.numbers.get(place).copied();
            let is_archiver = number.is_some_and(|number| self.archivers.contains(&number));
            QueryResult { address: *address, number, is_archiver, status }
        };
        self.addresses.iter().zip(statuses).enumerate().map(node).collect()
    }

    /// The version of the log, and whether the nodes that answer are of different releases.
    fn version(&mut self, asked: &[QueryResult], leader: Option<&NodeStatus>) -> (Option<u8>, bool) {
        let there: Vec<_> =
            asked.iter().filter(|node| node.status.is_some()).map(|node| node.address).collect();
        let releases = self.client.releases(&there, RELEASE_WAIT);
        let of_leader = leader.and_then(|leader| there.iter().position(|address| *address == leader.address));
        let answer =
            of_leader.and_then(|place| releases[place].as_ref()).or(releases.iter().flatten().next());
        let in_force = answer.and_then(|answer| answer.in_force);
        let name = |place: usize| releases[place].as_ref().map(|release| release.release.as_str());
        (in_force, (1..releases.len()).any(|place| name(place) != name(place - 1)))
    }
}

/// The status of the cluster: health and the reasons for it, leader, members, and each replica; the fields
/// are those of `lockstep status --json`. It looks for a leader until the timeout in seconds. TimedOutError
/// if no node answers.
#[pyfunction]
#[pyo3(signature = (endpoint, timeout = 2.0))]
pub(crate) fn status<'py>(
    py: Python<'py>,
    endpoint: &Bound<'py, Endpoint>,
    timeout: f64,
) -> PyResult<Bound<'py, PyDict>> {
    let config = &endpoint.get().config;
    let mut looker = Looker::open(config)?;
    let mut left = self::timeout(Some(timeout))?.unwrap_or(Duration::MAX);
    let asked = loop {
        let wait = LOOK.min(left).max(Duration::from_millis(1));
        let asked = py.detach(|| looker.look(wait));
        py.check_signals()?;
        left = left.saturating_sub(wait);
        if left.is_zero() || leader_of(&statuses(&asked)).is_some() {
            break asked;
        }
    };
    let statuses = statuses(&asked);
    if statuses.iter().all(Option::is_none) {
        let addresses: Vec<_> = asked.iter().map(|node| node.address.to_string()).collect();
        return Err(classes::TimedOutError::new_err(format!(
            "no node answered within {timeout} s at {}: start the sequencers, and check that their addresses are these",
            addresses.join(", ")
        )));
    }
    let leader = leader_of(&statuses);
    let version = py.detach(|| looker.version(&asked, leader));
    of_cluster(py, config, &asked, (leader, version))
}

fn statuses(asked: &[QueryResult]) -> Vec<Option<NodeStatus>> {
    asked.iter().map(|node| node.status.clone()).collect()
}

fn of_cluster<'py>(
    py: Python<'py>,
    config: &Config,
    asked: &[QueryResult],
    (leader, (version, differ)): (Option<&NodeStatus>, (Option<u8>, bool)),
) -> PyResult<Bound<'py, PyDict>> {
    let health = Health::judge(asked);
    let key_file = config.key_file(KeyUse::Operator);
    let expiry = key_file.and_then(|path| KeyFile::read_expiry(&path).ok().flatten()).map(|(_, until)| until);
    let day = |time: Utc| (time.0 / DAY_NS) as i64;
    let replicas = asked.iter().map(|node| of_node(py, leader, node)).collect::<PyResult<Vec<_>>>()?;
    let members = leader.map(|leader| {
        leader.members.iter().map(|listed| of_member(py, &listed.member)).collect::<PyResult<Vec<_>>>()
    });
    Ok(dict!(py, {
        "schema": SCHEMA,
        "health": health.health.name(),
        "summary": health.to_string(),
        "reasons": health.reasons.iter().map(Reason::to_string).collect::<Vec<_>>(),
        "keys_until": expiry.map(|until| until.date().to_string()),
        "keys_days_left": expiry.map(|until| day(until) - day(Utc::now())),
        "version": version,
        "releases_differ": differ,
        "members_listed": health.listed,
        "members_available": health.there,
        "quorum": health.quorum(),
        "may_crash": health.may_crash(),
        "leader": leader.map(|leader| leader.identity.to_string()),
        "epoch": leader.map(|leader| leader.accepted.to_string()),
        "epoch_since_ns": leader.map(|leader| leader.epoch_since),
        "history": leader.map(|leader| format!("{:016x}", leader.history)),
        "membership_seq": leader.map(|leader| leader.membership_seq),
        "membership_committed": leader.map(NodeStatus::is_stable),
        "members": members.transpose()?,
        "replicas": PyList::new(py, replicas)?,
    }))
}

fn role_name(member: &MemberBody) -> &'static str {
    if member.is_witness() { "witness" } else { "full" }
}

fn address_of(member: &MemberBody) -> String {
    member.address().map_or_else(|| "no IPv4 address".to_owned(), |address| address.to_string())
}

fn of_member<'py>(py: Python<'py>, member: &MemberBody) -> PyResult<Bound<'py, PyDict>> {
    Ok(dict!(py, {
        "identity": member.identity().to_string(),
        "role": role_name(member),
        "address": address_of(member),
    }))
}

fn of_node<'py>(
    py: Python<'py>,
    leader: Option<&NodeStatus>,
    node: &QueryResult,
) -> PyResult<Bound<'py, PyDict>> {
    let members = leader.map_or(&[][..], |leader| &leader.members);
    let find = |is_it: &dyn Fn(&MemberStatus) -> bool| members.iter().find(|listed| is_it(listed));
    let Some(status) = &node.status else {
        let listed = find(&|listed| listed.member.address() == Some(node.address));
        return Ok(dict!(py, {
            "address": node.address.to_string(),
            "answers": false,
            "number": node.number,
            "identity": listed.map(|listed| listed.member.identity().to_string()),
            "member": listed.map(|listed| role_name(&listed.member)),
        }));
    };
    let seen = find(&|listed| listed.member.identity() == status.identity);
    let suspected = status.suspected.map(|suspected| {
        Ok::<_, PyErr>(dict!(py, {
            "identity": suspected.identity.to_string(),
            "why": suspected.why.name().replace(' ', "_"),
            "ago_ns": suspected.ago.as_nanos() as u64,
        }))
    });
    let conditions = status.conditions.iter().map(|active| of_condition(py, active));
    Ok(dict!(py, {
        "address": node.address.to_string(),
        "answers": true,
        "identity": status.identity.to_string(),
        "role": status.role.name(),
        "member": seen.map(|listed| role_name(&listed.member)),
        "member_address": seen.map(|listed| address_of(&listed.member)),
        "accepted": status.accepted.to_string(),
        "promised": status.promised.to_string(),
        "accept_next": status.accept_next,
        "commit_next": status.commit_next,
        "lag": leader.map(|leader| leader.accept_next.saturating_sub(status.accept_next)),
        "acked_next": seen.map(|listed| listed.acked_next),
        "acked_ago_ns": seen.and_then(|listed| listed.last_contact).map(|ago| ago.as_nanos() as u64),
        "generation": status.generation,
        "conditions": conditions.collect::<PyResult<Vec<_>>>()?,
        "suspected": suspected.transpose()?,
    }))
}

fn of_condition<'py>(py: Python<'py>, active: &ActiveCondition) -> PyResult<Bound<'py, PyDict>> {
    Ok(dict!(py, {
        "name": active.condition.name(),
        "code": active.code(),
        "age_s": active.age.as_secs(),
        "what": active.what(),
        "advice": active.advice(),
        "a": active.a,
        "b": active.b,
    }))
}
