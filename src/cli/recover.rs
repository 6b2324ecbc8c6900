//! `lockstep recover`: a way out of a lost quorum. Without a word it only looks.
//!
//! ```text
//!  each host: recover --json ─▶ files ─▶ recover --compare ─▶ the one that holds most
//!                                                             └ there: recover --accept-loss ─▶ a new history
//! ```

mod compare;
mod journal_report;
mod others;

pub use journal_report::AncestorRow;

use super::Failure;
use super::args::RecoverArgs;
use super::bounded::read_text;
use super::failure::{FAILED, INTEGRITY, USAGE};
use journal_report::{JournalHoldings, SCHEMA};
use lockstep_client::Endpoint;
use lockstep_client::internal::QueryClient;
use lockstep_core::engine::event::Role;
use lockstep_daemon::acting;
use lockstep_daemon::config::NodeConfig;
use lockstep_daemon::config::{Config, Role as Part};
use lockstep_node::NodeSettings;
use lockstep_replica::journal::Superblock;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Longest look of another host that is read.
const LOOK_LEN_MAX: u64 = 1 << 20;

/// Prints what a journal holds, which of several holds most, or the history that was founded.
pub fn run(args: &RecoverArgs) -> Result<u8, Failure> {
    if !args.compare.is_empty() {
        return compare(args);
    }
    let config = args.cluster.load(&[])?;
    acting::not_as_root(&config)?;
    let settings = match (args.archiver, args.replica) {
        (Some(archiver), _) => config.archiver_node(archiver)?,
        (None, Some(replica)) => config.node(replica)?,
        (None, None) => {
            let what =
                "name the journal: --replica N, or --archiver N; or --compare FILE… to judge several looks";
            return Err(Failure::new(USAGE, what));
        }
    };
    let surveyed = match &args.from {
        Some(from) => (lockstep_node::survey_at(from), from),
        None => (lockstep_node::survey(&settings), &settings.journal),
    };
    let (survey, dir) = match surveyed {
        (Ok(survey), dir) => (survey, dir),
        (Err(error), dir) => {
            // A script keeps what each host prints, and compares all of it.
            if args.json && !args.accept_loss && matches!(dir.join("superblock").try_exists(), Ok(false)) {
                let absent = JournalHoldings::absent(settings.keys.cluster(), dir);
                writeln!(std::io::stdout(), "{}", as_json(&absent)?)?;
            }
            return Err(error.into());
        }
    };
    let holdings = JournalHoldings::of(&survey, dir);
    drop(survey);
    if holdings.cluster != settings.keys.cluster() {
        let what = format!(
            "{} is a journal of cluster {:#x}, this is {:#x}: give the right directory",
            holdings.journal,
            holdings.cluster,
            settings.keys.cluster()
        );
        return Err(Failure::new(USAGE, what));
    }
    if args.accept_loss {
        return found(args, &config, &settings, &holdings);
    }
    let mut out = std::io::stdout();
    match args.json {
        true => writeln!(out, "{}", as_json(&holdings)?)?,
        false => write!(out, "{}", holdings.text())?,
    }
    if !holdings.is_blank() {
        eprintln!(
            "nothing was changed. If no quorum of complete journals can be started: look at all of them and at the \
             archivers' (`recover --json`), `recover --compare` them, and on the host of the one that holds most give \
             --accept-loss: a new history begins behind its last entry"
        );
    }
    Ok(0)
}

fn as_json(holdings: &JournalHoldings) -> Result<String, Failure> {
    serde_json::to_string(holdings).map_err(|error| Failure::new(FAILED, error))
}

/// Judges what several looks have printed.
fn compare(args: &RecoverArgs) -> Result<u8, Failure> {
    let read = |path: &PathBuf| -> Result<JournalHoldings, Failure> {
        let name = path.display();
        let text = read_text(path, LOOK_LEN_MAX).map_err(|error| {
            Failure::new(USAGE, format!("reading {name}: {error}; give the files of `recover --json`"))
        })?;
        if text.trim().is_empty() {
            let what = format!(
                "{name} is empty: `recover --json` could not read that host's journal, and reported why on \
                 stderr; look again, or leave the file out"
            );
            return Err(Failure::new(USAGE, what));
        }
        let holdings: JournalHoldings = serde_json::from_str(&text).map_err(|error| {
            Failure::new(USAGE, format!("{name} is not what `recover --json` prints: {error}"))
        })?;
        if holdings.schema != SCHEMA {
            let what = format!(
                "{name} is {}, this release reads {SCHEMA}: look with the same release",
                holdings.schema
            );
            return Err(Failure::new(USAGE, what));
        }
        // Journals of different hosts lie in folders of the same name.
        Ok(JournalHoldings { journal: format!("{name} ({})", holdings.journal), ..holdings })
    };
    let all = args.compare.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let comparison = compare::judge(&all).map_err(|what| Failure::new(INTEGRITY, what))?;
    let longest = &all[comparison.longest];
    let mut out = std::io::stdout();
    if args.json {
        let value = json!({
            "schema": SCHEMA,
            "longest": args.compare[comparison.longest].display().to_string(),
            "next": longest.next,
            "has_quorum": comparison.has_quorum,
            "remarks": comparison.remarks,
        });
        writeln!(out, "{value}")?;
        return Ok(0);
    }
    for remark in &comparison.remarks {
        writeln!(out, "{remark}")?;
    }
    if !comparison.has_quorum {
        let who = match longest.identity().map(|identity| identity.replica) {
            Some(replica) if longest.members.contains(&longest.identity) => {
                format!("on its host: lockstep recover --replica {replica} --accept-loss")
            }
            _ => "on a replica's host, beside a copy of it: lockstep recover --replica N --from DIR --accept-loss".into(),
        };
        writeln!(out, "{who}")?;
    }
    Ok(0)
}

/// Founds the history, by the operator's word.
fn found(
    args: &RecoverArgs,
    config: &Config,
    settings: &NodeSettings,
    holdings: &JournalHoldings,
) -> Result<u8, Failure> {
    check_founder(config, settings)?;
    if holdings.is_blank() {
        let what = format!(
            "{} holds nothing: `format` and `bootstrap` begin a history from nothing",
            holdings.journal
        );
        return Err(Failure::new(USAGE, what));
    }
    has_no_leader(config, args.timeout)?;
    others::found_nothing(config, settings, holdings, args.timeout)?;
    let superblock = lockstep_node::found_history(settings, args.from.as_deref())?;
    if args.from.is_some() && superblock.high_next != holdings.next {
        let what = format!(
            "a recovery that was ended has founded history {:016x} at seq {} on replica {} already, on another journal: \
             start its sequencer, or move its journal away and recover again",
            superblock.history, superblock.high_next, settings.replica
        );
        return Err(Failure::new(USAGE, what));
    }
    report_founding(args.json, SCHEMA, settings, &superblock, (holdings.history, &holdings.missing()))
}

/// Whether this node may found a history: an archiver and a witness never lead.
pub fn check_founder(config: &Config, settings: &NodeSettings) -> Result<(), Failure> {
    if settings.is_archiver {
        let what = "an archiver never votes, and founds nothing: on a replica's host give --replica N --from DIR, \
                    where DIR is a copy of the archiver's journal";
        return Err(Failure::new(USAGE, what));
    }
    if config.replica(settings.replica)?.role == Part::Witness {
        let what = format!(
            "replica {} is a witness and never leads: recover on a full one (--from DIR takes a copy of this journal)",
            settings.replica
        );
        return Err(Failure::new(USAGE, what));
    }
    Ok(())
}

/// Prints the history that was founded on the former one, what is `missing` of that, and what comes next.
pub fn report_founding(
    json: bool,
    schema: &str,
    settings: &NodeSettings,
    superblock: &Superblock,
    (ancestor, missing): (u64, &str),
) -> Result<u8, Failure> {
    let (identity, founded_at) = (superblock.identity.to_string(), superblock.high_next);
    let mut out = std::io::stdout();
    match json {
        true => {
            let value = json!({
                "schema": schema,
                "founded": format!("{:016x}", superblock.history),
                "identity": identity,
                "seq": founded_at,
                "former": format!("{ancestor:016x}"),
                "missing": missing,
            });
            writeln!(out, "{value}")?;
        }
        false => {
            writeln!(out, "history {:016x}", superblock.history)?;
            writeln!(out, "founded at seq {founded_at} on {ancestor:016x}")?;
            writeln!(out, "member {identity} {}", settings.unicast)?;
        }
    }
    eprintln!(
        "missing: {missing}\nnow start the sequencer of replica {}: it is the only member. Then, one by \
         one: move each other replica's journal and tail away, `format` it, start it, and `lockstep \
         membership add` its new identity. Archivers and readers that hold nothing above seq {} continue by \
         themselves; one that is ahead ends and says by how much: what it has seen beyond is in no later \
         history",
        settings.replica,
        founded_at - 1
    );
    Ok(0)
}

/// Where somebody leads, nothing is lost.
pub fn has_no_leader(config: &Config, timeout: Duration) -> Result<(), Failure> {
    let addresses: Vec<_> = config.replicas.iter().map(|replica| replica.unicast).collect();
    let mut questioner = match QueryClient::open(&Endpoint::from_config(config)?) {
        Ok(questioner) => questioner,
        Err(error) => {
            eprintln!("no replica could be asked whether it leads: {error}");
            return Ok(());
        }
    };
    let statuses = questioner.statuses(&addresses, timeout);
    match statuses.iter().flatten().find(|status| status.role == Role::Leader) {
        None => Ok(()),
        Some(leader) => {
            let what = format!(
                "{} leads at {}: the stream has a quorum, and a second history would split its readers; \
                 `lockstep status` shows the problem, and a lost member is replaced with `membership \
                 remove` and `add`",
                leader.identity, leader.address
            );
            Err(Failure::new(USAGE, what))
        }
    }
}
