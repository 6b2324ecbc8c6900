//! The definition of the commands is whole, and their pages have them.

use super::*;
use clap::CommandFactory;

#[test]
fn the_flags_of_all_commands_fit_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_stands_in_the_table_of_commands_and_every_row_is_a_command() {
    let page = include_str!("../../../docs/COMMANDS.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `lockstep "));
    let mut listed: Vec<&str> =
        rows.filter_map(|row| row.split(|c: char| !c.is_ascii_lowercase() && c != '-').next()).collect();
    let cli = Cli::command();
    let visible = cli.get_subcommands().filter(|command| !command.is_hide_set());
    let mut known: Vec<&str> = visible.map(clap::Command::get_name).collect();
    listed.sort_unstable();
    listed.dedup();
    known.sort_unstable();
    assert_eq!(listed, known);
    // Of those that do several things, each.
    for several in ["membership", "day", "keys", "journal", "schema"] {
        let command = cli.find_subcommand(several).expect("a command");
        let row = format!("| `lockstep {several}");
        let rows: String = page.lines().filter(|line| line.starts_with(&row)).collect();
        for one in command.get_subcommands().map(clap::Command::get_name) {
            assert!(rows.contains(one), "docs/COMMANDS.md: {several} {one}");
        }
    }
}

#[test]
fn a_subscription_begins_with_a_seq_from_1_oldest_live_or_a_cursor() {
    assert!(matches!("7".parse(), Ok(Beginning::Seq(7))) && matches!("live".parse(), Ok(Beginning::Live)));
    assert!(matches!("oldest".parse(), Ok(Beginning::Oldest)));
    let cursor = "b1:7:c2".parse();
    assert!(matches!(cursor, Ok(Beginning::Cursor(Cursor { history: 0xb1, seq: 7, chain: 0xc2 }))));
    assert!("b1:7".parse::<Beginning>().is_err_and(|error| error.contains("HISTORY:SEQ:CHAIN")));
    assert!("0".parse::<Beginning>().is_err() && "-1".parse::<Beginning>().is_err());
}
