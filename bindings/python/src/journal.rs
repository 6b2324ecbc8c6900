//! The messages of a journal's folder, offline. A thread reads ahead, so that each file is opened once.

use crate::batch::{Batch, Spare};
use crate::errors::{classes, of_argument, of_journal};
use crate::event::Event;
use crate::time::SLICE;
use lockstep_client::SubscriberEvent;
use lockstep_node::{JournalError, JournalReader};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};

/// Batches that wait for the program.
const AHEAD: usize = 2;

type ReadBatch = Result<lockstep_flat::Batch, JournalError>;

/// The reader's side.
struct Reading {
    batches: Receiver<ReadBatch>,
    /// The batch that is read now, and the next row of it.
    present: lockstep_flat::Batch,
    next: usize,
}

/// The whole messages of the journal of a replica or an archiver, or of a backup, from its folder alone: no
/// process is asked, and one may write into it. It reads to the end that the log has when it is opened.
#[pyclass(frozen, module = "lockstep")]
pub(crate) struct Journal {
    path: PathBuf,
    oldest_seq: u64,
    end_seq: u64,
    commit_next: u64,
    publishers: Vec<(u32, String)>,
    damage: Option<String>,
    reading: Mutex<Option<Reading>>,
    spare: Spare,
}

/// Reads the messages into batches, until nobody wants them.
fn read(
    journal: &JournalReader,
    (from, to_next): (u64, u64),
    lacks: Option<JournalError>,
    (batches, spare): (&SyncSender<ReadBatch>, &Spare),
) {
    let mut batch = spare.take();
    let read = journal.messages(from, to_next, |message| {
        if batch.on_subscriber(&SubscriberEvent::Message(message)).is_break() {
            let full = std::mem::replace(&mut batch, spare.take());
            if batches.send(Ok(full)).is_err() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    });
    if !batch.rows().is_empty() {
        let _ = batches.send(Ok(batch)); // the program may have gone on without the rest
    }
    // An end by damage is no end.
    if let Some(error) = read.err().or(lacks) {
        let _ = batches.send(Err(error)); // likewise
    }
}

impl Reading {
    fn start(
        journal: JournalReader,
        range: (u64, u64),
        lacks: Option<JournalError>,
        spare: Spare,
    ) -> PyResult<Self> {
        let (sender, batches) = sync_channel(AHEAD);
        let thread = std::thread::Builder::new().name("lockstep-journal".to_owned());
        // Files are read beside the interpreter, which nothing else here is.
        thread.spawn(move || read(&journal, range, lacks, (&sender, &spare)))?;
        Ok(Self { batches, present: lockstep_flat::Batch::new(), next: 0 })
    }

    /// Makes sure that there is a row to read; false at the end. Ctrl-C ends the wait for it.
    fn fill(&mut self, py: Python<'_>, spare: &Spare) -> PyResult<bool> {
        while self.next >= self.present.rows().len() {
            let batches = &mut self.batches;
            match py.detach(move || batches.recv_timeout(SLICE)) {
                Ok(batch) => {
                    spare.give_back(std::mem::replace(&mut self.present, batch.map_err(of_journal)?));
                    self.next = 0;
                }
                Err(RecvTimeoutError::Timeout) => py.check_signals()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            }
        }
        Ok(true)
    }
}

impl Journal {
    /// Does `work` with the reader, for one thread at a time.
    fn with_reading<R>(&self, work: impl FnOnce(&mut Reading) -> PyResult<R>) -> PyResult<R> {
        let Ok(mut reading) = self.reading.try_lock() else {
            let text = "the Journal is in use by another thread: open one for each";
            return Err(classes::InUseError::new_err(text));
        };
        let closed = || classes::ClosedHandleError::new_err("the Journal is closed: open it again");
        work(reading.as_mut().ok_or_else(closed)?)
    }
}

#[pymethods]
impl Journal {
    #[new]
    #[pyo3(signature = (path, from_seq = None, committed = false))]
    fn new(py: Python<'_>, path: PathBuf, from_seq: Option<u64>, committed: bool) -> PyResult<Self> {
        let (journal, log) = py
            .detach(|| {
                let journal = JournalReader::open(&path)?;
                let log = journal.log()?;
                Ok((journal, log))
            })
            .map_err(of_journal)?;
        let from = from_seq.unwrap_or(log.oldest_seq);
        // Where it should have them, the iteration ends with that damage.
        if from < log.oldest_seq && !log.gone.iter().any(|gone| gone.from < log.oldest_seq) {
            let text = format!(
                "from_seq {from}: the oldest seq of {} is {}: retention has removed those before, or it never had them; \
                 begin there, or read an archiver's journal",
                path.display(),
                log.oldest_seq
            );
            return Err(of_argument(text));
        }
        let to_next = if committed { log.commit_next.min(log.end.next) } else { log.end.next };
        let spare = Spare::default();
        let lacks = log.lacks(from_seq, None);
        let damage = lacks.as_ref().map(ToString::to_string);
        let lacks = lacks.map(|damage| journal.damaged(damage));
        let reading = Reading::start(journal, (from, to_next), lacks, spare.clone())?;
        let publishers = log.checkpoint.publishers.iter().map(|(id, row)| (*id, row.name.clone())).collect();
        Ok(Self {
            path,
            oldest_seq: log.oldest_seq,
            end_seq: log.end.next,
            commit_next: log.commit_next,
            publishers,
            damage,
            reading: Mutex::new(Some(reading)),
            spare,
        })
    }

    /// Its folder.
    #[getter]
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// The oldest seq that it has.
    #[getter]
    fn oldest_seq(&self) -> u64 {
        self.oldest_seq
    }

    /// The seq behind its last entry.
    #[getter]
    fn end_seq(&self) -> u64 {
        self.end_seq
    }

    /// Everything below is committed, as this journal knows; what follows may be too.
    #[getter]
    fn commit_next(&self) -> u64 {
        self.commit_next
    }

    /// The names of publishers at its end, by id.
    #[getter]
    fn publishers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let names = PyDict::new(py);
        for (id, name) in &self.publishers {
            names.set_item(id, name)?;
        }
        Ok(names)
    }

    /// Damage before its beginning or behind its end: what should be there is gone, or has changed, and may
    /// have been more of the log. The iteration raises it as a JournalError behind the last message. None
    /// without.
    #[getter]
    fn damage(&self) -> Option<String> {
        self.damage.clone()
    }

    /// The next messages in a batch; an empty one at the end.
    fn read_batch(&self, py: Python<'_>) -> PyResult<Batch> {
        self.with_reading(|reading| {
            if !reading.fill(py, &self.spare)? {
                return Ok(Batch::new(self.spare.take(), &self.spare));
            }
            if reading.next == 0 {
                return Ok(Batch::new(std::mem::take(&mut reading.present), &self.spare));
            }
            // An iteration has taken a part of it.
            let mut rest = self.spare.take();
            for row in &reading.present.rows()[reading.next..] {
                rest.push(*row, reading.present.payload(row));
            }
            reading.next = reading.present.rows().len();
            Ok(Batch::new(rest, &self.spare))
        })
    }

    /// Ends the reading. To close again does nothing.
    fn close(&self) -> PyResult<()> {
        let Ok(mut reading) = self.reading.try_lock() else {
            let text = "the Journal is in use by another thread: close it when that has ended";
            return Err(classes::InUseError::new_err(text));
        };
        *reading = None;
        Ok(())
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<()> {
        self.close()
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Event>> {
        self.with_reading(|reading| {
            if !reading.fill(py, &self.spare)? {
                return Ok(None);
            }
            let row = reading.present.rows()[reading.next];
            reading.next += 1;
            Ok(Some(Event::new(py, row, reading.present.payload(&row))))
        })
    }

    fn __repr__(&self) -> String {
        let Self { path, oldest_seq, end_seq, .. } = self;
        format!("<Journal {} of seqs {oldest_seq} to below {end_seq}>", path.display())
    }
}
