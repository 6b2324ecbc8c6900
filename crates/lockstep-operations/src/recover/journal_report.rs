//! What one journal holds, as `recover` prints it and reads it again.

use crate::bounded::read_text;
use crate::{OperationError, hex64};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::lineage::Lineage;
use lockstep_node::RecoverySurvey;
use lockstep_wire::{Ancestor, Chain, Epoch, Identity, Seq};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::Path;

/// Longest look of another host that is read.
const LOOK_LEN_MAX: u64 = 1 << 20;
/// The version of its form as JSON.
pub const SCHEMA: &str = "lockstep.recover/1";

/// A former history: see [`lockstep_wire::Ancestor`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AncestorRow {
    /// Which.
    #[serde(with = "hex64")]
    pub history: u64,
    /// Where it ended, exclusive.
    pub next: Seq,
    /// The chain there.
    #[serde(with = "hex64")]
    pub chain: Chain,
}

impl AncestorRow {
    /// Those of a history, newest first.
    pub fn all(lineage: &Lineage) -> Vec<Self> {
        let row = |ancestor: &Ancestor| Self {
            history: ancestor.history,
            next: ancestor.next,
            chain: ancestor.chain,
        };
        lineage.ancestors().iter().map(row).collect()
    }
}

/// What a journal holds. Numbers of 64 random bits are hexadecimal text, as JSON's own are not exact.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JournalHoldings {
    /// The version of its form as JSON: [`SCHEMA`].
    pub schema: String,
    /// The journal's folder.
    pub journal: String,
    /// The cluster that it belongs to.
    #[serde(with = "hex64")]
    pub cluster: u64,
    /// The owner of the journal.
    pub identity: String,
    /// The history of its log.
    #[serde(with = "hex64")]
    pub history: u64,
    /// Former histories, newest first.
    #[serde(rename = "former")]
    pub ancestors: Vec<AncestorRow>,
    /// That of the last entry.
    #[serde(with = "hex64")]
    pub epoch: u64,
    /// Where its log begins.
    pub oldest_seq: Seq,
    /// Where its log ends, exclusive.
    pub next: Seq,
    /// The chain there.
    #[serde(with = "hex64")]
    pub chain: Chain,
    /// All below is known to be committed.
    pub commit_next: Seq,
    /// The log was known to reach this seq, exclusive.
    pub high_next: Seq,
    /// What an ack means in its last epoch; nothing before the first.
    pub durability: Option<String>,
    /// The members in force at its end.
    pub members: Vec<String>,
    /// Whether it has all that its node ever acknowledged.
    pub complete: bool,
    /// Why it is not.
    pub why: Option<String>,
    /// Its damage, each with file and place.
    pub damage: Vec<String>,
    /// The file that ends in a group which did not get to the device as a whole.
    pub torn: Option<String>,
}

impl JournalHoldings {
    /// From a look at the journal in `dir`.
    pub fn of(survey: &RecoverySurvey, dir: &Path) -> Self {
        let (inspected, holdings) = (&survey.inspected, &survey.holdings);
        let gone = survey.gone.iter().map(|gone| gone.damage().to_string());
        let (end, superblock, checkpoint) = (inspected.end(), inspected.superblock(), inspected.checkpoint());
        Self {
            schema: SCHEMA.into(),
            journal: dir.display().to_string(),
            cluster: superblock.cluster,
            identity: superblock.identity.to_string(),
            history: holdings.lineage.history(),
            ancestors: AncestorRow::all(&holdings.lineage),
            epoch: end.epoch.0,
            oldest_seq: holdings.oldest_seq,
            next: end.next,
            chain: end.chain,
            commit_next: checkpoint.commit_next.clamp(1, end.next),
            high_next: survey.high_next(),
            durability: holdings.durability.map(|durability| describe(durability).into()),
            members: checkpoint.members.iter().map(|member| member.identity().to_string()).collect(),
            complete: survey.doubt().is_none(),
            why: survey.doubt().map(str::to_owned),
            damage: gone.chain(inspected.damage().iter().map(ToString::to_string)).collect(),
            torn: survey.cut.as_ref().map(|cut| cut.file.clone()),
        }
    }

    /// Of a host without a journal in `dir`: others are compared without it.
    pub fn absent(cluster: u64, dir: &Path) -> Self {
        Self {
            schema: SCHEMA.into(),
            journal: dir.display().to_string(),
            cluster,
            identity: String::new(),
            history: 0,
            ancestors: Vec::new(),
            epoch: 0,
            oldest_seq: 1,
            next: 1,
            chain: 0,
            commit_next: 1,
            high_next: 1,
            durability: None,
            members: Vec::new(),
            complete: false,
            why: Some("there is no journal".into()),
            damage: Vec::new(),
            torn: None,
        }
    }

    /// What [`look`](super::look) saw on another host, from the file at `path` that has it as JSON.
    ///
    /// # Errors
    /// The file cannot be read, or has something else.
    pub fn read(path: &Path) -> Result<Self, OperationError> {
        let name = path.display();
        let text = read_text(path, LOOK_LEN_MAX).map_err(|error| {
            OperationError::refused(format_args!(
                "reading {name}: {error}; give the files of `recover --json`"
            ))
        })?;
        if text.trim().is_empty() {
            return Err(OperationError::refused(format_args!(
                "{name} is empty: `recover --json` could not read that host's journal, and reported why on \
                 stderr; look again, or leave the file out"
            )));
        }
        let holdings: Self = serde_json::from_str(&text).map_err(|error| {
            OperationError::refused(format_args!("{name} is not what `recover --json` prints: {error}"))
        })?;
        if holdings.schema != SCHEMA {
            return Err(OperationError::refused(format_args!(
                "{name} is {}, this release reads {SCHEMA}: look with the same release",
                holdings.schema
            )));
        }
        // Journals of different hosts lie in folders of the same name.
        Ok(Self { journal: format!("{name} ({})", holdings.journal), ..holdings })
    }

    /// Whether there was no journal.
    pub fn is_absent(&self) -> bool {
        self.is_blank() && self.identity.is_empty()
    }

    /// Whether it holds nothing.
    pub fn is_blank(&self) -> bool {
        self.next == 1
    }

    /// The members that are a quorum of those at its end.
    pub fn quorum(&self) -> usize {
        self.members.len() / 2 + 1
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |what: &str, value: String| {
            let _ = writeln!(text, "{what:<10} {value}"); // a string takes all
        };
        line("journal", format!("{}: {} of cluster {:#x}", self.journal, self.identity, self.cluster));
        if self.is_blank() {
            line("holds", "nothing".into());
            return text;
        }
        line("history", format!("{:016x}", self.history));
        for ancestors in &self.ancestors {
            line("", format!("founded at seq {} on {:016x}", ancestors.next, ancestors.history));
        }
        let epoch = Epoch(self.epoch);
        line(
            "holds",
            format!(
                "seqs {} to {}, the last one of round {} of {}, chain {:016x}",
                self.oldest_seq,
                self.next - 1,
                epoch.round(),
                epoch.leader(),
                self.chain
            ),
        );
        line("committed", format!("at least up to seq {}", self.commit_next - 1));
        line("members", self.members.join(", "));
        if let Some(file) = &self.torn {
            line("torn", format!("{file} ends in a write that did not get to the device as a whole"));
        }
        for damage in &self.damage {
            line("damage", damage.clone());
        }
        match &self.why {
            None => line("complete", "yes: nothing is missing that this replica ever acknowledged".into()),
            Some(why) => line("complete", format!("no: {why}")),
        }
        line("missing", self.missing());
        text
    }

    /// What a history that is founded on it may lack.
    pub fn missing(&self) -> String {
        let last = self.next - 1;
        if self.high_next > self.next {
            return format!(
                "seqs {} to {} at least: this log was known to reach there; others may have acknowledged more",
                self.next,
                self.high_next - 1
            );
        }
        // The only member holds all that was ever committed; a copy of its log need not.
        let others = match &self.members[..] {
            [only] if *only == self.identity => "",
            _ => " (a quorum of the others may have committed entries that never came here)",
        };
        match self.complete {
            true if others.is_empty() => "nothing".into(),
            true => format!("what others hold above seq {last}{others}"),
            false => format!(
                "whatever was acknowledged above seq {last}; how much no journal can tell: other journals, archivers, \
                 readers' cursors and publishers' own numbers can"
            ),
        }
    }

    /// The identity, as a number.
    pub fn identity(&self) -> Option<Identity> {
        self.identity.parse().ok()
    }
}

/// As the configuration writes it.
fn describe(durability: Durability) -> &'static str {
    match durability {
        Durability::Process => "process",
        Durability::Power => "power",
    }
}
