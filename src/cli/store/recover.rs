//! `lockstep recover`: a way out of a lost quorum. Without a word it only looks.
//!
//! ```text
//!  each host: recover --json ─▶ files ─▶ recover --compare ─▶ the one that holds most
//!                                                             └ there: recover --accept-loss ─▶ a new history
//! ```

use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config;
use lockstep_daemon::config::NodeConfig;
use lockstep_daemon::failure::{FAILED, USAGE};
use lockstep_operations::acting;
use lockstep_operations::recover::{self, Founded, JournalHoldings, RecoveryOrder, SCHEMA};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Flags of `recover`.
#[derive(Args, Debug)]
pub struct RecoverArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Which replica of the configuration this is; its sequencer must not run
    #[arg(long, value_name = "N", env = "LOCKSTEP_REPLICA")]
    pub replica: Option<u32>,
    /// Which archiver of the configuration this is, instead: to look at its journal
    #[arg(long, value_name = "N", env = "LOCKSTEP_ARCHIVER", conflicts_with = "replica")]
    pub archiver: Option<u32>,
    /// Looks at the journal in this folder instead, an archiver's or a copy of any; with --accept-loss the
    /// replica gets a copy of it
    #[arg(long, value_name = "DIR", requires = "replica")]
    pub from: Option<PathBuf>,
    /// Founds a new history behind the last entry of this journal. What it lacks is lost for good
    #[arg(long, requires = "replica")]
    pub accept_loss: bool,
    /// Judges what `recover --json` printed on several hosts: which journal holds most
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["from", "accept_loss"])]
    pub compare: Vec<PathBuf>,
    /// How long to look for a leader before a history is founded
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = config::duration, env = "LOCKSTEP_TIMEOUT")]
    pub timeout: Duration,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

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
    let dir = args.from.as_deref().unwrap_or(&settings.journal);
    let holdings = match recover::look(&settings, args.from.as_deref()) {
        Ok(holdings) => holdings,
        Err(error) => {
            // A script keeps what each host prints, and compares all of it.
            if args.json && !args.accept_loss && matches!(dir.join("superblock").try_exists(), Ok(false)) {
                let absent = JournalHoldings::absent(settings.keys.cluster(), dir);
                writeln!(std::io::stdout(), "{}", as_json(&absent)?)?;
            }
            return Err(error.into());
        }
    };
    if args.accept_loss {
        let order = RecoveryOrder {
            config: &config,
            settings: &settings,
            from: args.from.as_deref(),
            holdings: &holdings,
            timeout: args.timeout,
        };
        let founded = recover::found(&order, &mut |notice| eprintln!("{notice}"))?;
        return report_founding(args.json, SCHEMA, &founded);
    }
    let mut out = std::io::stdout();
    if args.json {
        writeln!(out, "{}", as_json(&holdings)?)?;
    } else {
        write!(out, "{}", holdings.text())?;
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
    let looks = args.compare.iter().map(|path| JournalHoldings::read(path));
    let all = looks.collect::<Result<Vec<_>, _>>()?;
    let comparison = recover::compare(&all)?;
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

/// Prints the history that was founded, what it lacks of the former one, and what comes next.
pub fn report_founding(json: bool, schema: &str, founded: &Founded) -> Result<u8, Failure> {
    let Founded { replica, address, identity, history, seq, ancestor, missing } = founded;
    let mut out = std::io::stdout();
    if json {
        let value = json!({
            "schema": schema,
            "founded": format!("{history:016x}"),
            "identity": identity.to_string(),
            "seq": seq,
            "former": format!("{ancestor:016x}"),
            "missing": missing,
        });
        writeln!(out, "{value}")?;
    } else {
        writeln!(out, "history {history:016x}")?;
        writeln!(out, "founded at seq {seq} on {ancestor:016x}")?;
        writeln!(out, "member {identity} {address}")?;
    }
    eprintln!(
        "missing: {missing}\nnow start the sequencer of replica {replica}: it is the only member. Then, one by one: move each other \
         replica's journal and tail away, `format` it, start it, and `lockstep membership add` its new identity. \
         Archivers and readers that hold nothing above seq {} continue by themselves; one that is ahead ends and says \
         by how much: what it has seen beyond is in no later history",
        seq - 1
    );
    Ok(0)
}
