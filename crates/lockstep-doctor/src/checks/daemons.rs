//! The running nodes of this host, compared with the present configuration file and program.

use crate::facts::Host;
use crate::finding::{Finding, FindingLevel, Remedy};
use crate::scope::{LocalNode, Scope};

pub fn check(scope: &Scope<'_>, host: &Host) -> Vec<Finding> {
    scope.nodes.iter().map(|node| running(host, node)).collect()
}

fn running(host: &Host, node: &LocalNode) -> Finding {
    let Some(daemon) = host.daemon(node.role, node.id) else {
        return Finding::new("node.process", node.name.clone(), "it does not run on this host now");
    };
    let found = Finding::new("node.process", node.name.clone(), format!("process {}", daemon.process));
    if !daemon.is_replaced {
        return found;
    }
    let why = "its program was replaced since it started: it runs the older release until it is restarted";
    let found =
        Finding { now: format!("process {}, of a program file that is gone", daemon.process), ..found };
    found
        .level(FindingLevel::Warning, "the release that is installed", why)
        .mend(Remedy::by_hand("lockstep handover if it leads, then restart it; standbys first"))
}
