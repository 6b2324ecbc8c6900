//! `journal dump`, `grep` and `export`: the entries of a log.

use super::JournalPlaceArgs;
use super::entry::{EntryForm, LogEntry};
use super::select::{SelectArgs, Selection};
use crate::cli::shared::fields::{FieldsArgs, PayloadFields};
use crate::cli::shared::filter::has_bytes;
use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::failure::{INTEGRITY, USAGE};
use lockstep_node::JoinedMessages;
use lockstep_notary::from_hex;
use lockstep_operations::new_file::write_new_or_part;
use lockstep_replica::journal::StoredLog;
use lockstep_wire::{Entry, FrameView, Seq};
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Output that is written at once.
const OUT_BYTES: usize = 256 << 10;

/// Flags of `journal dump`.
#[derive(Args, Debug)]
pub struct DumpArgs {
    #[command(flatten)]
    pub place: JournalPlaceArgs,
    #[command(flatten)]
    pub select: SelectArgs,
    /// The journal's folder, or a backup's, instead of --replica or --archiver
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The form of the output
    #[arg(long, value_enum, default_value = "text")]
    format: EntryForm,
    #[command(flatten)]
    fields: FieldsArgs,
}

/// Flags of `journal grep`.
#[derive(Args, Debug)]
pub struct GrepArgs {
    #[command(flatten)]
    pub place: JournalPlaceArgs,
    #[command(flatten)]
    pub select: SelectArgs,
    /// The text that a message has somewhere; with --hex its bytes, in hexadecimal digits
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// The journal's folder, or a backup's, instead of --replica or --archiver
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The text is hexadecimal digits
    #[arg(long)]
    pub hex: bool,
    /// Ends after so many messages
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// The form of the output
    #[arg(long, value_enum, default_value = "text")]
    format: EntryForm,
    #[command(flatten)]
    fields: FieldsArgs,
}

/// Flags of `journal export`.
#[derive(Args, Debug)]
pub struct JournalExportArgs {
    #[command(flatten)]
    pub place: JournalPlaceArgs,
    #[command(flatten)]
    pub select: SelectArgs,
    /// The new file; - is stdout
    #[arg(long, value_name = "FILE")]
    pub to_file: PathBuf,
    /// The journal's folder, or a backup's, instead of --replica or --archiver
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The form of the file
    #[arg(long, value_enum, default_value = "json")]
    format: ExportForm,
}

/// The forms of an exported file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum ExportForm {
    /// Every entry, a JSON object a line, as `dump --format json`
    Json,
    /// Payloads of whole messages, each behind its length in 4 bytes: for `publish --length-prefixed`
    Raw,
}

/// How payloads are printed in a form.
fn fields_of(args: &FieldsArgs, form: EntryForm) -> Result<PayloadFields, Failure> {
    let fields = PayloadFields::new(args)?;
    if fields.has_schema() && form == EntryForm::Hex {
        let what = "--format hex prints bytes: leave --schema out, or choose text or json";
        return Err(Failure::new(USAGE, what));
    }
    Ok(fields)
}

/// Prints the entries.
pub(super) fn run(args: &DumpArgs) -> Result<u8, Failure> {
    let mut fields = fields_of(&args.fields, args.format)?;
    let journal = args.place.open(args.dir.as_ref())?;
    let log = journal.log()?;
    let selection = Selection::new(&args.select, &journal, &log)?;
    let mut out = BufWriter::with_capacity(OUT_BYTES, std::io::stdout().lock());
    let mut last = None;
    let read = selection.each(&journal, |entry, _| {
        if selection.has(entry) {
            entry.write(&mut out, args.format, &log.checkpoint, &mut fields)?;
            last = Some(entry.seq);
        }
        Ok(ControlFlow::Continue(()))
    });
    out.flush()?;
    fields.report();
    selection.report_uncommitted();
    selection.judge(read, journal.dir(), || printed("what was printed", last)).map(|()| 0)
}

/// How far output went that is a part.
fn printed(what: &str, last: Option<Seq>) -> String {
    match last {
        Some(last) => format!("{what}, up to seq {last},"),
        None => format!("{what}, nothing,"),
    }
}

/// Messages that end behind the journal's oldest entry and begin before it.
fn report_lacking(messages: &JoinedMessages, from: Seq, log: &StoredLog) {
    if let Some((seq, count)) = messages.lacking().filter(|(seq, _)| *seq >= from) {
        eprintln!(
            "{count} messages in parts are left out, the first one ends at seq {seq}: they begin before the oldest seq of \
             this journal, {}; an archiver's may have them",
            log.oldest_seq
        );
    }
}

/// Passes on the message that the entry is, or completes.
fn take<T>(
    messages: &mut JoinedMessages,
    entry: &LogEntry<'_>,
    frame: &FrameView<'_>,
    on_message: impl FnOnce(&LogEntry<'_>) -> T,
) -> Option<T> {
    let part = Entry { header: entry.header, payload: entry.payload };
    messages.take(entry.seq, frame, &part, |Entry { header, payload }| {
        on_message(&LogEntry { header, payload, ..*entry })
    })
}

/// Prints the messages that have the text.
pub(super) fn grep(args: &GrepArgs) -> Result<u8, Failure> {
    let mut fields = fields_of(&args.fields, args.format)?;
    let wanted = if args.hex {
        from_hex(&args.text).ok_or_else(|| {
            Failure::new(USAGE, format!("'{}' is no bytes: write two hexadecimal digits for each", args.text))
        })?
    } else {
        args.text.clone().into_bytes()
    };
    if wanted.is_empty() {
        return Err(Failure::new(USAGE, "an empty text is in every message: use `journal dump`"));
    }
    let journal = args.place.open(args.dir.as_ref())?;
    let log = journal.log()?;
    let selection = Selection::new(&args.select, &journal, &log)?;
    let mut out = BufWriter::with_capacity(OUT_BYTES, std::io::stdout().lock());
    let (mut messages, mut found, mut read) = (JoinedMessages::new(log.oldest_seq), 0u64, 0u64);
    let (mut last, mut enough) = (None, false);
    let searched = selection.each(&journal, |entry, frame| {
        last = Some(entry.seq);
        let written = take(&mut messages, entry, frame, |message| -> Result<(), Failure> {
            if !selection.has(message) {
                return Ok(());
            }
            read += 1;
            if has_bytes(message.payload, &wanted) {
                found += 1;
                message.write(&mut out, args.format, &log.checkpoint, &mut fields)?;
            }
            Ok(())
        });
        written.transpose()?;
        enough = args.count.is_some_and(|count| found >= count);
        Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    out.flush()?;
    fields.report();
    eprintln!("{found} of {read} messages have it");
    report_lacking(&messages, selection.from, &log);
    match searched {
        // As many as were wanted: what could not be read was not needed.
        Ok(()) if enough => Ok(0),
        searched => {
            selection.judge(searched, journal.dir(), || printed("what was searched", last)).map(|()| 0)
        }
    }
}

/// Writes the file.
pub(super) fn export(args: &JournalExportArgs) -> Result<u8, Failure> {
    let journal = args.place.open(args.dir.as_ref())?;
    let log = journal.log()?;
    let selection = Selection::new(&args.select, &journal, &log)?;
    let mut counted = (0u64, None::<Seq>, None);
    let mut messages = JoinedMessages::new(log.oldest_seq);
    let mut write_all = |mut out: &mut dyn Write| -> Result<(), Failure> {
        let read = selection.each(&journal, |entry, frame| {
            let mut write = |entry: &LogEntry<'_>| -> Result<(), Failure> {
                if !selection.has(entry) {
                    return Ok(());
                }
                counted = (counted.0 + 1, counted.1.or(Some(entry.seq)), Some(entry.seq));
                match args.format {
                    ExportForm::Json => entry.write(
                        &mut out,
                        EntryForm::Json,
                        &log.checkpoint,
                        &mut PayloadFields::default(),
                    )?,
                    ExportForm::Raw => {
                        out.write_all(&(entry.payload.len() as u32).to_le_bytes())?;
                        out.write_all(entry.payload)?;
                    }
                }
                Ok(())
            };
            match args.format {
                ExportForm::Json => write(entry)?,
                ExportForm::Raw => {
                    take(&mut messages, entry, frame, write).transpose()?;
                }
            }
            Ok(ControlFlow::Continue(()))
        });
        selection.judge(read, journal.dir(), || printed("what was written", counted.2))
    };
    let written = if args.to_file.as_os_str() == "-" {
        let mut out = BufWriter::with_capacity(OUT_BYTES, std::io::stdout().lock());
        let written = write_all(&mut out);
        out.flush()?;
        written
    } else {
        write_new_or_part(&args.to_file, |failure: &Failure| failure.code() == INTEGRITY, write_all).map_err(
            |failed| match failed.part {
                Some(part) => failed.error.explained(INTEGRITY, || format!("it is in {}", part.display())),
                None => failed.error,
            },
        )
    };
    let what = if args.format == ExportForm::Json { "entries" } else { "messages" };
    match counted {
        (count, Some(first), Some(last)) => {
            eprintln!("{count} {what}, the first one at seq {first}, the last one at {last}")
        }
        _ => eprintln!("no {what}"),
    }
    report_lacking(&messages, selection.from, &log);
    selection.report_uncommitted();
    written.map(|()| 0)
}
