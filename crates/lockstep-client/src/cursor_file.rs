//! The file in which a reader stores how far it has read.
//!
//! ```text
//!  open ─▶ PATH.lock, for one process ─▶ PATH: a cursor, nothing, or an error
//!  save ─▶ PATH.new written ─▶ synced ─▶ renamed to PATH ─▶ the folder synced
//! ```

use super::{Cursor, Start};
use lockstep_io::IoError;
use lockstep_io::lock::lock;
use lockstep_io::made_in::Own;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// The most bytes that are read of a file: a cursor's text is shorter.
const READ_MAX: u64 = 256;

/// The file in which a program stores the cursor behind what it has processed, for its next start.
///
/// The file has the cursor as text, on one line. Each [`save`](Self::save) replaces it as a whole: a process
/// that is killed, or a host that loses power, leaves the previous cursor or the new one. One process has the
/// file at a time, by a lock on `PATH.lock` beside it, which remains there.
///
/// A program that saves after it has processed messages reads each message at least once: the messages
/// processed since the last save are delivered again after a crash. For effects that must happen once, store
/// the cursor in the transaction of the effects, and not in a file of its own.
///
/// ```no_run
/// use lockstep_client::{CursorFile, Delivery, Endpoint, Start, Subscriber, SubscriberEvent};
/// use std::ops::ControlFlow;
/// use std::time::Duration;
///
/// fn read(endpoint: &Endpoint) -> Result<(), Box<dyn std::error::Error>> {
///     let mut file = CursorFile::open("reader.cursor")?;
///     let start = file.start_or(Start::From(1));
///     let mut subscriber = Subscriber::connect(endpoint, Delivery::Committed, start)?;
///     while !subscriber.is_ended() {
///         let work = subscriber.poll(64, |event| {
///             if let SubscriberEvent::Message(message) = event {
///                 println!("{} {:?}", message.seq, message.payload);
///             }
///             ControlFlow::Continue(())
///         });
///         if let Some(cursor) = subscriber.cursor() {
///             file.save(cursor)?;
///         }
///         if work == 0 {
///             subscriber.wait(Duration::from_millis(100))?;
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct CursorFile {
    path: PathBuf,
    lock: Own<Lock>,
    cursor: Option<Cursor>,
    /// Whether the file certainly has `cursor`: not after a save that has begun and not succeeded.
    is_stored: bool,
}

impl CursorFile {
    /// Opens the file and reads its cursor. A missing file has none, and is created by the first save.
    ///
    /// # Errors
    /// Its status is `IN_USE` if another process, or another `CursorFile` of this one, has the file open;
    /// `ARGUMENT` if the file has anything but a whole cursor, or the path names no file; `IO` if the system
    /// refuses a call. It never starts over by itself: the text says how to.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, IoError> {
        let path = path.as_ref();
        let path = resolved(path)
            .map_err(|error| IoError::new(format!("find the folder of {}", path.display()), error))?;
        let lock = Lock::take(&path)?;
        let cursor = read(&path)?;
        Ok(Self { path, lock: Own::new(lock), cursor, is_stored: cursor.is_some() })
    }

    /// The complete path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The cursor that was read or saved last; `None` if there is none so far.
    pub fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }

    /// The start of a subscription: the cursor, or `otherwise` if there is none. The cluster judges the
    /// cursor: one of another history or log ends the subscription
    /// ([`SubscriberEvent::Refused`](super::SubscriberEvent::Refused)), and never starts it over.
    pub fn start_or(&self, otherwise: Start) -> Start {
        self.cursor.map_or(otherwise, Start::Cursor)
    }

    /// Replaces the stored cursor. When it returns, the new one is on the disk: that takes as long as two
    /// calls of fsync(2), up to some milliseconds. Saving the stored cursor again costs nothing.
    ///
    /// # Errors
    /// Its status is `OTHER_PROCESS` in a child of a fork, `ARGUMENT` if no subscription has this cursor (seq
    /// or history 0), `IO` if the system refuses a call: then the file has the previous cursor or this one.
    pub fn save(&mut self, cursor: Cursor) -> Result<(), IoError> {
        self.lock.check("save a cursor")?;
        if cursor.seq == 0 || cursor.history == 0 {
            let why = "it is no position of a stream: save what a handle's cursor() returns";
            return Err(IoError::argument(format!("save the cursor {cursor}"), why));
        }
        if self.is_stored && self.cursor == Some(cursor) {
            return Ok(());
        }
        self.is_stored = false;
        let mut replacement = Replacement::new(&self.path, cursor);
        for (doing, step) in Replacement::STEPS {
            step(&mut replacement)
                .map_err(|error| IoError::new(format!("{doing} {}", self.path.display()), error))?;
        }
        (self.cursor, self.is_stored) = (Some(cursor), true);
        Ok(())
    }
}

/// The real path of the file, so that two names of it have one lock.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    match (path.canonicalize(), path.file_name()) {
        (Err(error), Some(name)) if error.kind() == ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            Ok(folder.unwrap_or(Path::new(".")).canonicalize()?.join(name))
        }
        (found, _) => found,
    }
}

/// `path` with `end` appended.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

/// The cursor of the file, if there is a file.
fn read(path: &Path) -> Result<Option<Cursor>, IoError> {
    let doing = || format!("read the cursor of {}", path.display());
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(READ_MAX).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(IoError::new(doing(), error)),
    }
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_ascii_end();
    // Only the text that a cursor prints is accepted: a text without its last digits is a number as well.
    let cursor = text.parse().ok().filter(|cursor: &Cursor| cursor.to_string() == text);
    cursor.map(Some).ok_or_else(|| {
        let why = "it is damaged, or another program's: it has no whole cursor. Write the one line \
                   HISTORY:SEQ:CHAIN of a cursor that you know into it, or give the file another name: then \
                   the program begins where it begins without a cursor";
        IoError::argument(doing(), why)
    })
}

/// The lock of one process.
#[derive(Debug)]
struct Lock(File);

impl Lock {
    fn take(path: &Path) -> Result<Self, IoError> {
        let lock_path = beside(path, ".lock");
        let failed = |error| IoError::new(format!("lock {}", lock_path.display()), error);
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).open(&lock_path).map_err(failed)?;
        let holder = || fs::read_to_string(&lock_path).ok()?.trim().parse().ok();
        match lock(&file, holder) {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                let holder = holder().map_or_else(String::new, |pid: u32| format!(" {pid}"));
                let why = format!(
                    "process{holder} has it open, and two readers with one cursor would each skip what the \
                     other one has read: end that process, or give this one a file of its own"
                );
                return Err(IoError::in_use(format!("open {}", path.display()), why));
            }
        }
        let lock = Self(file);
        lock.0.set_len(0).map_err(failed)?;
        writeln!(&lock.0, "{}", std::process::id()).map_err(failed)?;
        Ok(lock)
    }
}

impl Drop for Lock {
    /// Children of a fork share the lock, and may live longer.
    fn drop(&mut self) {
        let _ = self.0.unlock(); // otherwise the end of the last of them releases it
    }
}

/// The file's replacement: it is written beside the file, then renamed.
struct Replacement {
    path: PathBuf,
    beside: PathBuf,
    text: String,
    file: Option<File>,
}

type Step = fn(&mut Replacement) -> io::Result<()>;

impl Replacement {
    /// The steps in order: after each of them the file has the previous cursor or the new one.
    const STEPS: [(&'static str, Step); 5] = [
        ("create what is to replace", Self::create),
        ("write what is to replace", Self::write),
        ("sync what is to replace", Self::sync),
        ("replace", Self::rename),
        ("sync the folder of", Self::sync_folder),
    ];

    fn new(path: &Path, cursor: Cursor) -> Self {
        Self { path: path.to_owned(), beside: beside(path, ".new"), text: format!("{cursor}\n"), file: None }
    }

    fn create(&mut self) -> io::Result<()> {
        self.file = Some(File::create(&self.beside)?);
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(self.text.as_bytes()))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_all)
    }

    fn rename(&mut self) -> io::Result<()> {
        fs::rename(&self.beside, &self.path)
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(seq: u64) -> Cursor {
        Cursor { history: 0xab, seq, chain: 0xcd }
    }

    fn saved(path: &Path, cursor: Cursor) {
        CursorFile::open(path).and_then(|mut file| file.save(cursor)).expect("a folder");
    }

    /// Does what a process has done that is killed before the step `killed_before`, and has written `written`
    /// bytes if that step writes.
    fn killed(path: &Path, cursor: Cursor, killed_before: usize, written: usize) {
        let mut replacement = Replacement::new(path, cursor);
        for (_, step) in &Replacement::STEPS[..killed_before] {
            step(&mut replacement).expect("a folder");
        }
        if killed_before == 1 {
            fs::write(&replacement.beside, &replacement.text[..written]).expect("a folder");
        }
    }

    #[test]
    fn whichever_step_of_a_save_is_the_last_the_file_has_the_previous_cursor_or_the_new_one() {
        let len = cursor(2).to_string().len();
        for was_there in [false, true] {
            for (killed_before, written) in (0..=5).map(|step| (step, 0)).chain((1..=len).map(|n| (1, n))) {
                let folder = tempfile::tempdir().expect("a folder");
                let path = folder.path().join("cursor");
                if was_there {
                    saved(&path, cursor(1));
                }
                killed(&path, cursor(2), killed_before, written);
                let previous = was_there.then_some(cursor(1));
                let wanted = if killed_before > 3 { Some(cursor(2)) } else { previous };
                let mut file = CursorFile::open(&path).expect("a whole file");
                assert_eq!(file.cursor(), wanted, "killed before step {killed_before}, {written} bytes");
                file.save(cursor(3)).expect("what was left does not matter");
                drop(file);
                assert_eq!(CursorFile::open(&path).expect("a whole file").cursor(), Some(cursor(3)));
            }
        }
    }

    #[test]
    fn a_file_that_has_no_whole_cursor_is_refused_by_its_name_and_is_not_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cursor");
        let whole = cursor(7).to_string();
        let cut = (0..whole.len()).map(|len| whole[..len].to_owned());
        let others =
            ["here\n", "0000000000000000:1:00000000000000cd\n", "00000000000000ab:0:00000000000000cd\n"];
        let twice = format!("{whole}\n{whole}\n");
        for text in cut.chain(others.map(str::to_owned)).chain([twice, "x".repeat(10_000)]) {
            fs::write(&path, &text).expect("a folder");
            let error = CursorFile::open(&path).expect_err("no cursor");
            assert_eq!(error.status(), "ARGUMENT", "{error}");
            let printed = error.to_string();
            assert!(
                printed.contains(&path.display().to_string())
                    && printed.contains("give the file another name"),
                "{printed}"
            );
            assert_eq!(fs::read_to_string(&path).expect("a file"), text);
        }
        for text in [whole.clone(), format!("{whole}\n"), format!("{whole}\r\n")] {
            fs::write(&path, text).expect("a folder");
            assert_eq!(CursorFile::open(&path).expect("a cursor").cursor(), Some(cursor(7)));
        }
    }

    #[test]
    fn a_file_is_had_by_one_reader_whatever_name_leads_to_it_until_that_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("cursor"), folder.path().join("link"));
        saved(&path, cursor(1));
        std::os::unix::fs::symlink(&path, &link).expect("a folder");
        let mut first = CursorFile::open(&path).expect("a file");
        for name in [&path, &link] {
            let error = CursorFile::open(name).expect_err("the first has it");
            assert_eq!(error.status(), "IN_USE", "{error}");
            assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        }
        first.save(cursor(2)).expect("the lock holds behind a save");
        assert_eq!(CursorFile::open(&link).expect_err("the first has it").status(), "IN_USE");
        drop(first);
        let mut second = CursorFile::open(&link).expect("the first has ended");
        assert_eq!(second.path(), path.canonicalize().expect("a file"));
        second.save(cursor(3)).expect("a folder");
        assert!(link.is_symlink(), "the file is replaced, and not its other name");
        assert_eq!(read(&path).expect("a cursor"), Some(cursor(3)));
    }

    #[test]
    fn a_save_that_fails_leaves_the_previous_cursor_and_the_next_one_is_not_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cursor");
        saved(&path, cursor(1));
        let mut file = CursorFile::open(&path).expect("a file");
        let beside = beside(&path, ".new");
        fs::create_dir(&beside).expect("a folder");
        let error = file.save(cursor(2)).expect_err("a folder is in the way");
        assert!(error.status() == "IO" && error.to_string().contains("cursor"), "{error}");
        assert_eq!((file.cursor(), read(&path).expect("a file")), (Some(cursor(1)), Some(cursor(1))));
        assert_eq!(file.save(cursor(1)).expect_err("it is not known to be stored").status(), "IO");
        fs::remove_dir(&beside).expect("a folder");
        file.save(cursor(2)).expect("nothing is in the way");
        assert_eq!(read(&path).expect("a file"), Some(cursor(2)));
        for none in [Cursor { seq: 0, ..cursor(1) }, Cursor { history: 0, ..cursor(1) }] {
            assert_eq!(file.save(none).expect_err("no position").status(), "ARGUMENT");
        }
        assert_eq!(read(&path).expect("a file"), Some(cursor(2)));
    }

    #[test]
    fn where_there_is_no_file_a_subscription_begins_as_the_program_wants_and_a_folder_must_be_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cursor");
        let mut file = CursorFile::open(&path).expect("a folder");
        assert_eq!(file.start_or(Start::Oldest), Start::Oldest);
        file.save(cursor(9)).expect("a folder");
        assert_eq!(file.start_or(Start::Oldest), Start::Cursor(cursor(9)));
        let error = CursorFile::open(folder.path().join("none/cursor")).expect_err("no folder");
        assert!(error.status() == "IO" && error.to_string().contains("none/cursor"), "{error}");
        assert_eq!(CursorFile::open(folder.path()).expect_err("a folder").status(), "IO");
    }
}
