//! `journal merge`: the merged order of a set, out of one journal of each stream.

use crate::cli::shared::fields::{FieldsArgs, PayloadFields};
use crate::cli::shared::lines::Form;
use clap::Args;
use lockstep_client::{Message, StreamDigest, SubscriberEvent};
use lockstep_daemon::Failure;
use lockstep_daemon::failure::{INTEGRITY, USAGE};
use lockstep_names::OpenedNames;
use lockstep_node::JournalReader;
use lockstep_operations::journal::{MergeJournalsError, merge_journals};
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Output that is written at once.
const OUT_BYTES: usize = 256 << 10;

/// Flags of `journal merge`.
#[derive(Args, Debug)]
pub struct MergeArgs {
    /// A journal or a backup of each stream, the home stream's first
    #[arg(value_name = "DIR", required = true)]
    pub dirs: Vec<PathBuf>,
    /// Prints no messages: their number and their digest alone, on stderr
    #[arg(long)]
    pub quiet: bool,
    /// One JSON object a line, payloads in hexadecimal digits
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    fields: FieldsArgs,
}

/// A failure of the merge, or of the output.
enum Stopped {
    Merge(MergeJournalsError),
    Output(io::Error),
}

impl From<MergeJournalsError> for Stopped {
    fn from(error: MergeJournalsError) -> Self {
        Self::Merge(error)
    }
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Output(error) => error.into(),
            Stopped::Merge(MergeJournalsError::Journal(error)) => error.into(),
            Stopped::Merge(error @ MergeJournalsError::TooNew { .. }) => Self::new(INTEGRITY, error),
            Stopped::Merge(error) => Self::new(USAGE, error),
        }
    }
}

/// Prints the messages.
pub(super) fn run(args: &MergeArgs) -> Result<u8, Failure> {
    let mut fields = PayloadFields::new(&args.fields)?;
    let journals = args.dirs.iter().map(|dir| JournalReader::open(dir)).collect::<Result<Vec<_>, _>>()?;
    let form = if args.json { Form::Json { text: false } } else { Form::Text { names: false } };
    let mut out = BufWriter::with_capacity(OUT_BYTES, io::stdout().lock());
    let mut digest = StreamDigest::new();
    let mut names: BTreeMap<u64, OpenedNames> = BTreeMap::new();
    let merged: Result<_, Stopped> = merge_journals(&journals, |merged| {
        let names = names.entry(merged.stream).or_default();
        names.on_event(&merged.event);
        let (Some(number), SubscriberEvent::Message(message)) = (merged.number, merged.event) else {
            return Ok(ControlFlow::Continue(()));
        };
        let Message { publisher, publisher_seq, destination, payload, .. } = message;
        digest.add_parts(number, publisher, publisher_seq, destination, payload);
        if !args.quiet {
            let stream = format!("cluster {}", merged.stream);
            let written = form.write(&mut out, &message, Some((number, &stream)), names, &mut fields);
            written.map_err(Stopped::Output)?;
        }
        Ok(ControlFlow::Continue(()))
    });
    out.flush()?;
    fields.report();
    let end = merged.map_err(Failure::from)?;
    eprintln!("messages {}, merged below {}, digest {}", digest.messages(), end.next, digest.hex());
    for (stream, merged, committed) in &end.streams {
        eprintln!("cluster {stream}: merged below seq {merged}, committed below seq {committed}");
    }
    if end.voided > 0 {
        eprintln!("cuts that did not count: {}", end.voided);
    }
    Ok(0)
}
