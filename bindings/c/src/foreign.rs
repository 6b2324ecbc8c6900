//! A machine of C on lockstep's stream: the trait of those in Rust, with a table of functions behind it.
//!
//! ```text
//!  lockstep_machine ─▶ Kit: what all machines of one handle have in common, and what has failed
//!                       └─▶ CMachine ─▶ MachineCore, Twice, Trial
//! ```

use crate::machine::{lockstep_input, lockstep_machine, lockstep_output, lockstep_sink, outcome};
use crate::status::{Failure, lockstep_status};
use lockstep_app::{Input, Output, StateDigest, StateMachine};
use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::c_void;
use std::io::{self, Read, Write};
use std::ptr::NonNull;
use std::rc::Rc;

type Create = unsafe extern "C" fn(*mut c_void, *mut *mut c_void) -> i32;
type Restore = unsafe extern "C" fn(*mut c_void, *const u8, usize, *mut *mut c_void) -> i32;
type Apply = unsafe extern "C" fn(*mut c_void, *const lockstep_input, *mut lockstep_output) -> i32;
type Snapshot = unsafe extern "C" fn(*const c_void, *mut lockstep_sink) -> i32;

/// A table in which nothing is missing.
struct Functions {
    create: Create,
    restore: Restore,
    apply: Apply,
    snapshot: Snapshot,
    destroy: unsafe extern "C" fn(*mut c_void),
}

/// What the machines of one handle have in common.
pub(crate) struct Kit {
    table: lockstep_machine,
    functions: Functions,
    /// What has failed first.
    failure: RefCell<Option<String>>,
    /// No machine of this kit applies anything any more.
    is_over: Cell<bool>,
}

impl Kit {
    /// That of the machines of a table.
    ///
    /// # Errors
    /// A function is missing.
    pub(crate) fn new(table: &lockstep_machine) -> Result<Rc<Self>, Failure> {
        let missing = |name: &str| Failure::argument("machine", &format!("has no function {name}"));
        let functions = Functions {
            create: table.create.ok_or_else(|| missing("create"))?,
            restore: table.restore.ok_or_else(|| missing("restore"))?,
            apply: table.apply.ok_or_else(|| missing("apply"))?,
            snapshot: table.snapshot.ok_or_else(|| missing("snapshot"))?,
            destroy: table.destroy.ok_or_else(|| missing("destroy"))?,
        };
        let (failure, is_over) = (RefCell::default(), Cell::new(false));
        Ok(Rc::new(Self { table: *table, functions, failure, is_over }))
    }

    /// Something of the user has failed.
    pub(crate) fn fail(&self, why: &str) {
        self.failure.borrow_mut().get_or_insert_with(|| why.to_owned());
    }

    /// No machine of this kit applies anything any more.
    pub(crate) fn end(&self) {
        self.is_over.set(true);
    }

    /// What has failed first, if anything has.
    pub(crate) fn failed(&self) -> Option<Failure> {
        let failure = self.failure.borrow();
        failure.as_ref().map(|why| Failure::new(lockstep_status::Machine, why.as_str()))
    }
}

/// See the module.
pub(crate) struct CMachine {
    kit: Rc<Kit>,
    /// `None`: there is none, as `create` or `restore` has failed.
    object: Option<NonNull<c_void>>,
    fault: OnceCell<String>,
}

impl Drop for CMachine {
    fn drop(&mut self) {
        if let Some(object) = self.object {
            // SAFETY: the table made it, and this is its only end.
            unsafe { (self.kit.functions.destroy)(object.as_ptr()) };
        }
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl CMachine {
    /// A machine at the stream's beginning.
    pub(crate) fn new(kit: &Rc<Kit>) -> Self {
        // SAFETY: the function is the table's, and is given the context that belongs to it.
        Self::made(kit, "create", |place| unsafe { (kit.functions.create)(kit.table.context, place) })
    }

    /// The machine that `make` stores at a place.
    fn made(kit: &Rc<Kit>, name: &str, make: impl FnOnce(*mut *mut c_void) -> i32) -> Self {
        let mut place = std::ptr::null_mut();
        let made = outcome(make(&raw mut place));
        let object = if made.is_ok() { NonNull::new(place) } else { None };
        let machine = Self { kit: Rc::clone(kit), object, fault: OnceCell::new() };
        match made {
            Err(why) => {
                machine.fail(name, &why);
            }
            Ok(()) if object.is_none() => {
                machine.fail(name, "it has stored NULL");
            }
            Ok(()) => {}
        }
        machine
    }

    /// The machine of the user; NULL if there is none.
    pub(crate) fn object(&self) -> *mut c_void {
        self.object.map_or(std::ptr::null_mut(), NonNull::as_ptr)
    }

    /// What a function of the table writes; empty where the table has none, or the machine has failed.
    fn text(&self, write: Option<Snapshot>) -> Result<String, String> {
        let Some(write) = write.filter(|_| self.fault.get().is_none()) else { return Ok(String::new()) };
        let mut text = Vec::new();
        // SAFETY: as in `apply`. Memory takes every byte.
        let (returned, _) =
            lockstep_sink::writing_to(&mut text, |sink| unsafe { write(self.object(), sink) });
        outcome(returned)
            .and_then(|()| String::from_utf8(text).map_err(|_| "its text is not UTF-8".to_owned()))
    }

    fn fail(&self, doing: &str, why: &str) -> &str {
        let words = format!("{doing} fails: {why}");
        self.kit.fail(&words);
        self.fault.get_or_init(|| words)
    }
}

impl StateMachine for CMachine {
    /// Never looked at: each machine has the version of its table.
    const VERSION: u32 = 0;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        if self.kit.is_over.get() {
            self.fault.get_or_init(|| "the run was ended".to_owned());
        }
        if self.fault.get().is_some() {
            return;
        }
        let doing = || format!("apply of the input of seq {}", input.seq);
        let Some(row) = lockstep_input::of(input) else {
            self.fail(&doing(), "this library does not know inputs of its kind");
            return;
        };
        let mut collected = lockstep_output { inner: output };
        // SAFETY: the function is the table's, the machine is its own, and all pointers are valid until it
        // returns.
        let returned = unsafe { (self.kit.functions.apply)(self.object(), &row, &raw mut collected) };
        if let Err(why) = outcome(returned) {
            self.fail(&doing(), &why);
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        if let Some(why) = self.fault.get() {
            return Err(invalid(why));
        }
        let write = self.kit.functions.snapshot;
        // SAFETY: as in `apply`.
        let (returned, written) =
            lockstep_sink::writing_to(out, |sink| unsafe { write(self.object(), sink) });
        let outcome = outcome(returned);
        // A disk that is full is no failure of the machine.
        written?;
        outcome.map_err(|why| invalid(self.fail("snapshot", &why)))
    }

    /// A type that stands for all machines of C does not say which one it is.
    fn restore(_: &mut impl Read) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn version(&self) -> u32 {
        self.kit.table.version
    }

    fn restore_another(&self, from: &mut impl Read) -> io::Result<Self> {
        let (kit, mut state) = (&self.kit, Vec::new());
        from.read_to_end(&mut state)?;
        let restore = |place| {
            // SAFETY: as in `new`; the bytes are valid until it returns.
            unsafe { (kit.functions.restore)(kit.table.context, state.as_ptr(), state.len(), place) }
        };
        let machine = Self::made(kit, "restore", restore);
        machine.fault.get().map_or(Ok(()), |why| Err(invalid(why))).map(|()| machine)
    }

    fn digest(&self) -> u64 {
        match self.kit.table.digest.filter(|_| self.fault.get().is_none()) {
            // SAFETY: as in `apply`.
            Some(digest) => unsafe { digest(self.object()) },
            None => StateDigest::of_state(self),
        }
    }

    fn settings(&self) -> String {
        self.text(self.kit.table.settings).unwrap_or_else(|why| {
            self.fail("settings", &why);
            String::new()
        })
    }

    fn state_text(&self) -> Option<String> {
        let text = self.text(self.kit.table.state_text);
        let text = text.unwrap_or_else(|why| format!("state_text fails: {why}"));
        (!text.is_empty()).then_some(text)
    }

    fn fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }

    fn query(&self, request: &[u8], answer: &mut Vec<u8>) {
        let Some(query) = self.kit.table.query.filter(|_| self.fault.get().is_none()) else { return };
        let before = answer.len();
        let (bytes, len) = (request.as_ptr(), request.len());
        // SAFETY: as in `apply`. Memory takes every byte.
        let asked =
            lockstep_sink::writing_to(answer, |sink| unsafe { query(self.object(), bytes, len, sink) });
        if let Err(why) = outcome(asked.0) {
            answer.truncate(before);
            tracing::warn!("a query of the machine fails: {why}");
        }
    }
}
