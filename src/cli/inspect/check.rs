//! `lockstep check FILE`: is this configuration right, and what does it mean here?
//!
//! All problems are shown at once. `--effective` shows each value with its origin, which is how one
//! finds out whose variable it was. `--diff OLD NEW` shows what a change of the file needs. `--json` says
//! the same for programs.

use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config::{ChangeNeed, Config, ConfigErrors, KeyChange, Origin, Override};
use lockstep_daemon::{has_color, log};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::Path;
use std::path::PathBuf;

/// The version of what `--json` prints.
pub const SCHEMA: &str = "lockstep.check/1";
/// The version of what `--diff --json` prints.
const DIFF_SCHEMA: &str = "lockstep.check_diff/1";

/// Flags of `check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Where the cluster's file is.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The file, instead of --config
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Prints each value with its origin
    #[arg(long)]
    pub effective: bool,
    /// Prints each key that differs between two files, and what the change needs: nothing, a reload,
    /// restarts, a command, a stop. Variables and other flags do not count
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with_all = ["file", "effective"])]
    pub diff: Vec<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Checks the file at `path` with `overrides` laid over it and writes the verdict to `out`, in colour for
/// a terminal: 0 if it is right, 2 if it is not.
///
/// # Errors
/// Those of `out`.
pub fn run(
    path: Option<&Path>,
    overrides: &[Override],
    effective: bool,
    json: bool,
    color: bool,
    out: &mut impl Write,
) -> io::Result<u8> {
    let name = path.map_or(String::new(), |path| path.display().to_string());
    let result = Config::load(path, overrides);
    match (&result, json) {
        (Ok(config), true) => writeln!(out, "{}", json_of_config(&name, config, effective))?,
        (Err(errors), true) => writeln!(out, "{}", json_of_errors(&name, errors))?,
        (Ok(config), false) => write_config(out, &name, config, effective)?,
        (Err(errors), false) => writeln!(out, "{}", errors.render(color))?,
    }
    Ok(if result.is_ok() { 0 } else { 2 })
}

/// Writes the keys that differ between two files to `out`, each with what the change needs.
///
/// # Errors
/// A file is wrong, or those of `out`.
pub fn diff([old, new]: [&Path; 2], json: bool, out: &mut impl Write) -> Result<u8, Failure> {
    let load = |path| Config::load(Some(path), &[]);
    let (old, new) = (load(old)?, load(new)?);
    let changes = old.changes(&new);
    let mut needs: Vec<ChangeNeed> = changes.iter().map(|change| change.need).collect();
    needs.sort_unstable();
    needs.dedup();
    if json {
        let row = |change: &KeyChange| {
            let KeyChange { key, old, new, need } = change;
            json!({ "key": key, "old": old, "new": new, "needs": need.name(), "what": need.what() })
        };
        let rows: Vec<_> = changes.iter().map(row).collect();
        let needs: Vec<_> = needs.iter().map(|need| need.name()).collect();
        writeln!(out, "{}", json!({ "schema": DIFF_SCHEMA, "changes": rows, "needs": needs }))?;
        return Ok(0);
    }
    for change in &changes {
        writeln!(out, "{change}")?;
    }
    let needs: Vec<_> = needs.iter().map(|need| need.what()).collect();
    if needs.is_empty() {
        writeln!(out, "no key differs")?;
    } else {
        writeln!(out, "\nall of it needs: {}", needs.join("; "))?;
    }
    Ok(0)
}

fn write_config(out: &mut impl Write, name: &str, config: &Config, effective: bool) -> io::Result<()> {
    let ids: Vec<_> = config.replicas.iter().map(|replica| replica.id.to_string()).collect();
    let (cluster, profile) = (config.cluster, config.profile);
    if effective {
        let rows = config.effective();
        let width = |text: fn(&(String, String, Origin)) -> &str| {
            rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0)
        };
        let (keys, values) = (width(|row| &row.0), width(|row| &row.1));
        for (key, value, origin) in rows {
            writeln!(out, "{key:keys$}  {value:values$}  {origin}")?;
        }
        writeln!(out)?;
    }
    writeln!(out, "{name}: ok: cluster {cluster}, profile {profile}, replicas {}", ids.join(", "))
}

fn json_of_config(name: &str, config: &Config, effective: bool) -> Value {
    let mut report = json!({ "schema": SCHEMA, "file": name, "ok": true, "problems": [] });
    if effective {
        let rows = config.effective().iter();
        report["effective"] = rows
            .map(|(key, value, origin)| json!({ "key": key, "value": value, "origin": origin.to_string() }))
            .collect();
    }
    report
}

fn json_of_errors(name: &str, errors: &ConfigErrors) -> Value {
    let problems: Vec<_> = errors
        .problems()
        .iter()
        .map(|problem| {
            let (line, column) = match &problem.origin {
                Some(Origin::File { line, column, .. }) => (Some(line), Some(column)),
                _ => (None, None),
            };
            json!({
                "code": problem.code.as_str(),
                "key": problem.key,
                "value": problem.value,
                "rule": problem.rule,
                "hint": problem.hint,
                "origin": problem.origin.as_ref().map(Origin::to_string),
                "line": line,
                "column": column,
            })
        })
        .collect();
    json!({ "schema": SCHEMA, "file": name, "ok": false, "problems": problems })
}

/// Does what the arguments say.
pub fn of_args(args: &CheckArgs) -> Result<u8, Failure> {
    if let [old, new] = &args.diff[..] {
        return diff([old, new], args.json, &mut std::io::stdout().lock());
    }
    let path = args.file.as_deref().unwrap_or(&args.cluster.config);
    let (overrides, out) = (args.cluster.overrides(&[])?, std::io::stdout().lock());
    let color = has_color(&out);
    let mut out = std::io::BufWriter::new(out);
    if let Some(what) = log::left_out() {
        eprintln!("{what}");
    }
    let code = run(Some(path), &overrides, args.effective, args.json, color, &mut out)?;
    out.flush()?;
    Ok(code)
}
