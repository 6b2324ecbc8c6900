//! The definition of the commands is whole, and their pages have them.

use super::*;
use clap::CommandFactory;
use std::collections::BTreeSet;
use std::path::Path;

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

/// A reader of the page finds the command's file, and a reader of the file its row.
#[test]
fn each_command_lies_in_the_room_that_is_its_heading_on_the_page() {
    let page = include_str!("../../../docs/COMMANDS.md");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli");
    for room in ["run", "store", "operate", "inspect", "develop"] {
        let heading = format!("## {}{}\n", room[..1].to_uppercase(), &room[1..]);
        let (_, section) = page.split_once(&heading).unwrap_or_else(|| panic!("no heading {room}"));
        let section = section.split("\n## ").next().unwrap_or_default();
        let files = std::fs::read_dir(sources.join(room)).expect("a room").flatten().map(|file| file.path());
        let names = files.filter_map(|path| Some(path.file_stem()?.to_str()?.replace('_', "-")));
        // Programs beside this one are started by one file.
        let names: BTreeSet<String> =
            names.filter(|name| !["mod", "beside"].contains(&name.as_str())).collect();
        assert!(names.len() > 2, "{room}: {names:?}");
        for name in names {
            assert!(section.contains(&format!("| `lockstep {name}")), "{room}: {name} has no row there");
        }
    }
}
