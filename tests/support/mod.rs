//! A cluster of one process: nodes as threads on loopback, each test with its own groups, ports and
//! directory.

use lockstep::config::Config;
use lockstep::config::NodeConfig;
use lockstep_client::Endpoint;
use lockstep_io::key_file::KeyFile;
use lockstep_io::udp::free_port;
use lockstep_node::NodeSettings;
use lockstep_wire::MemberBody;
use std::net::Ipv4Addr;
use std::path::Path;
use tempfile::TempDir;

/// A formatted and bootstrapped cluster's files.
pub struct Cluster {
    pub config: Config,
    _dir: TempDir,
}

impl Cluster {
    /// `replicas` fresh replicas; `more` is TOML that goes behind the generated file.
    pub fn new(replicas: u32, more: &str) -> Self {
        Self::on_lines(replicas, more, |_| String::new())
    }

    /// The same; `second` may add a line to what is there.
    pub fn on_lines(replicas: u32, more: &str, second: fn(&Config) -> String) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let path = dir.path().join("cluster.toml");
        let load = || Config::load(Some(&path), &[]).unwrap_or_else(|errors| panic!("{errors}"));
        let text = text(dir.path(), replicas, more);
        std::fs::write(&path, &text).expect("writing the file");
        let more = second(&load());
        std::fs::write(&path, text.replacen("\n[[replicas]]", &format!("\n{more}\n[[replicas]]"), 1))
            .expect("writing the file");
        let config = load();
        let cluster = Self { config, _dir: dir };
        let members: Vec<MemberBody> = (1..=replicas)
            .map(|id| {
                let settings = cluster.node(id);
                let identity = lockstep_node::format(&settings).unwrap_or_else(|error| panic!("{error}"));
                MemberBody::full(identity, settings.unicast)
            })
            .collect();
        lockstep_node::bootstrap(&cluster.node(1), &members).unwrap_or_else(|error| panic!("{error}"));
        cluster
    }

    pub fn node(&self, id: u32) -> NodeSettings {
        self.config.node(id).unwrap_or_else(|error| panic!("{error:?}"))
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::from_config(&self.config).unwrap_or_else(|errors| panic!("{errors}"))
    }
}

fn text(dir: &Path, replicas: u32, more: &str) -> String {
    let address = Ipv4Addr::LOCALHOST;
    let port = free_port(address).expect("a free port");
    let net = (std::process::id() ^ u32::from(port) << 8) & 0xffff;
    let group = |last: u32| format!("239.{}.{}.{last}:{port}", 100 + net % 100, net >> 8);
    let cluster = u64::from(port) << 16 | u64::from(net) | 1;
    let keys = dir.join("keys");
    KeyFile::draw(cluster)
        .and_then(|file| file.write_folder(&keys))
        .unwrap_or_else(|error| panic!("{error}"));
    let (dir, keys) = (dir.display(), keys.display());
    let mut text = format!(
        "cluster = {cluster}\nprofile = \"shared\"\n\n[security]\nkeys = \"{keys}\"\n\n[[lines]]\nsubmit = \"{}\"\ndata = \"{}\"\ncontrol = \"{}\"\n\
         interface = \"127.0.0.1\"\nttl = 0\n",
        group(1),
        group(2),
        group(3),
    );
    for id in 1..=replicas {
        let unicast = free_port(address).expect("a free port");
        text += &format!(
            "\n[[replicas]]\nid = {id}\nunicast = \"127.0.0.1:{unicast}\"\njournal = \"{dir}/{id}\"\n\
             tail = \"{dir}/{id}.tail\"\ncounters = \"{dir}/{id}.counters\"\n"
        );
    }
    text + more
}
