//! A rolling upgrade from the release before this one, with its own program, while orders flow.

use std::path::PathBuf;
use tools::processes::{Ground, program};
use tools::{release, upgrade};

/// The program of the release before, or `None` after the test has said why it is skipped.
fn previous() -> Option<PathBuf> {
    release::previous().inspect_err(|why| println!("SKIPPED: {why}")).ok()
}

#[test]
fn a_cluster_is_upgraded_node_by_node_and_back_while_orders_flow() {
    let Some(previous) = previous() else { return };
    println!("{}", upgrade::up_and_down(&previous, &program(), Ground::loopback(3)));
}

#[test]
fn an_upgrade_ends_once_every_node_is_upgraded_and_older_releases_are_refused_by_name() {
    let Some(previous) = previous() else { return };
    println!("{}", upgrade::finished(&previous, &program(), Ground::loopback(3)));
}
