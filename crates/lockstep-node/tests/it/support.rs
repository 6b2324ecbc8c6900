//! A cluster in one process: nodes are threads on loopback, and each test has its own groups, ports and
//! directory.

use lockstep_client::Endpoint;
use lockstep_config::Config;
use lockstep_node::NodeSettings;
use lockstep_node::local::{ClusterFile, Line, Replica, found};
use lockstep_node::settings::NodeConfig;
use std::net::Ipv4Addr;
use std::path::Path;
use tempfile::TempDir;

/// A formatted and bootstrapped cluster's files.
pub struct Cluster {
    pub config: Config,
    _dir: TempDir,
}

impl Cluster {
    /// `replicas` fresh replicas; `tables` is TOML that is appended to the generated file.
    pub fn new(replicas: u32, tables: &str) -> Self {
        Self::on_lines(replicas, tables, &[""])
    }

    /// As [`new`](Self::new), on these lines, each with more keys of its own.
    pub fn on_lines(replicas: u32, tables: &str, lines: &[&str]) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let line = |more: &&str| Line { interface: "127.0.0.1", ttl: 0, more: (*more).to_owned() };
        let replica = Replica { address: Ipv4Addr::LOCALHOST, second: None, more: String::new() };
        let file = ClusterFile {
            lines: lines.iter().map(line).collect(),
            replicas: vec![replica; replicas as usize],
            disk: dir.path(),
            memory: dir.path(),
            tables: tables.to_owned(),
        };
        let text = file.text().unwrap_or_else(|error| panic!("{error}"));
        let config = Config::parse(Path::new("cluster.toml"), &text, &[]);
        let cluster = Self { config: config.unwrap_or_else(|errors| panic!("{errors}")), _dir: dir };
        let nodes: Vec<_> = (1..=replicas).map(|id| cluster.node(id)).collect();
        found(&nodes).unwrap_or_else(|error| panic!("{error}"));
        cluster
    }

    pub fn node(&self, id: u32) -> NodeSettings {
        self.config.node(id).unwrap_or_else(|error| panic!("{error:?}"))
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::from_config(&self.config).unwrap_or_else(|errors| panic!("{errors}"))
    }
}
