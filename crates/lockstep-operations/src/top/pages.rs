//! Counters of processes on other hosts, from their pages (`metrics.listen`): a side thread of theirs
//! answers, and no hot thread takes notice.

use lockstep_config::Config;
use lockstep_io::IoError;
use lockstep_io::counters::CountersReader;
use lockstep_metrics::Process;
use lockstep_process::page;
use std::net::SocketAddrV4;
use std::time::Duration;

/// Bytes of an answer at most: a counters file has at most its table of 512 KiB and 64 Ki values.
const ANSWER_MAX: usize = 2 << 20;

/// Where the pages of the configuration's nodes are: at the address of each node, with the port of
/// `metrics.listen`. None where that is an address of one host alone.
pub fn of_nodes(config: &Config) -> Vec<SocketAddrV4> {
    let Some(listen) = config.metrics.listen.filter(|listen| listen.ip().is_unspecified()) else {
        return Vec::new();
    };
    let replicas = config.replicas.iter().map(|replica| replica.unicast);
    let nodes = replicas.chain(config.archivers.iter().map(|archiver| archiver.unicast));
    nodes.map(|address| SocketAddrV4::new(*address.ip(), listen.port())).collect()
}

/// The processes whose pages answer in time, each asked on a thread of its own.
pub fn fetch(pages: &[SocketAddrV4], wait: Duration) -> Vec<Process> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = pages.iter().map(|page| scope.spawn(move || process(*page, wait))).collect();
        asked.into_iter().filter_map(|asked| asked.join().ok()?.ok()).collect()
    })
}

/// The process of a page.
///
/// # Errors
/// It does not answer in time, or with something else.
fn process(address: SocketAddrV4, wait: Duration) -> Result<Process, IoError> {
    let page = page::fetch((address.into(), "/counters"), ("", None), (wait, ANSWER_MAX))?;
    let reader = CountersReader::from_bytes(&address.to_string(), &page.content)?;
    Ok(Process::of_page(&reader, Duration::from_secs(page.age)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_config::Origin;
    use std::path::Path;

    fn pages(listen: &str) -> Vec<SocketAddrV4> {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/production.toml"));
        let listen = ("metrics.listen".to_owned(), listen.to_owned(), Origin::Flag("--set".to_owned()));
        of_nodes(&Config::load(Some(path), &[listen]).expect("a configuration"))
    }

    #[test]
    fn a_page_on_every_address_is_looked_for_at_each_node_and_one_of_one_host_is_not() {
        let pages = |listen| pages(listen).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            pages("0.0.0.0:9464"),
            ["10.20.0.1:9464", "10.20.0.2:9464", "10.20.0.3:9464", "10.20.0.9:9464"]
        );
        assert!(pages("127.0.0.1:9464").is_empty());
    }
}
