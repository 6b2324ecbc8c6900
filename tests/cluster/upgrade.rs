//! A rolling upgrade from the release before this one, with its own program, while orders flow.

use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::{Ground, busy, program};
use lockstep_testkit::{release, upgrade};
use std::path::PathBuf;

/// The program of the release before, or `None` after the test has said why it is skipped.
fn previous() -> Option<PathBuf> {
    release::previous(amount(false, true)).inspect_err(|why| println!("SKIPPED: {why}")).ok()
}

/// Without the release before, every node is restarted in this one: the same handovers, and no other version.
#[test]
fn a_cluster_is_upgraded_node_by_node_and_back_while_orders_flow() {
    let _place = busy();
    let previous = previous().unwrap_or_else(program);
    println!("{}", upgrade::up_and_down(&previous, &program(), Ground::loopback(3)));
}

#[test]
fn an_upgrade_ends_once_every_node_is_upgraded_and_older_releases_are_refused_by_name() {
    let Some(previous) = previous() else { return };
    let _place = busy();
    println!("{}", upgrade::finished(&previous, &program(), Ground::loopback(3)));
}
