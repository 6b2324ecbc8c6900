//! A replica of a machine of C on its handles.

use crate::endpoint::{endpoint, lockstep_endpoint};
use crate::foreign::{CMachine, Kit};
use crate::guard::{Guarded, Handle, guarded, number, status, store, text, with};
use crate::machine::lockstep_machine;
use crate::status::{Failure, lockstep_status};
use crate::types::{delivery, lockstep_delivery};
use ::lockstep_app::{
    App, AppError, AppSettings, DivergencePolicy, Pace, SnapshotMode, debug_is_asked, note_machine,
    print_without_a_logger,
};
use lockstep_process::stop::Stop;
use std::ffi::{c_char, c_void};
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How a snapshot is written while the machine runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum lockstep_snapshot_mode {
    /// A child of this process writes it, from the memory as it was (`fork`): inputs wait for the page tables
    /// to be copied, and no longer. `snapshot` runs in the child: it takes no lock that another thread of the
    /// process may hold. One that fails there is reported in the log alone.
    Fork = 0,
    /// This process writes it, and applies nothing meanwhile.
    Pause = 1,
    /// It writes none.
    Never = 2,
}

/// What a replica does whose state is not that of most.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum lockstep_on_divergence {
    /// It ends.
    Stop = 0,
    /// It goes on, and says so.
    Report = 1,
}

/// The settings of a replica. [`lockstep_app_settings_init`] fills them with the defaults; what differs is
/// changed behind it. Texts belong to the caller, until the call that is given the settings returns.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct lockstep_app_settings {
    /// The name under which all replicas publish.
    pub name: *const c_char,
    /// The folder of its snapshots, for this replica alone.
    pub folder: *const c_char,
    /// Where metrics, snapshots and queries are served over HTTP, like `127.0.0.1:9701`. NULL: nowhere.
    pub serve: *const c_char,
    /// Names by which that page may be asked for, separated by commas. NULL: none.
    pub hosts: *const c_char,
    /// Where other replicas serve theirs, separated by commas. NULL: nowhere.
    pub peers: *const c_char,
    /// Entries from one digest of the state to the next; all replicas have the same.
    pub digest_every: u64,
    /// What all replicas open the name with.
    pub nonce: [u64; 2],
    /// Entries from one snapshot to the next.
    pub snapshot_every: u64,
    /// Snapshots that stay.
    pub snapshots: u64,
    /// Snapshots that are younger stay as well.
    pub snapshot_age_ns: u64,
    /// How long the stream's announcement of a peer's snapshot may be missing.
    pub proof_wait_ns: u64,
    /// The number of this replica, from 1 to 255: each has one of its own.
    pub number: u32,
    /// A `lockstep_delivery`: when an entry is applied.
    pub delivery: u32,
    /// A `lockstep_snapshot_mode`.
    pub snapshot_mode: u32,
    /// A `lockstep_on_divergence`.
    pub on_divergence: u32,
    /// It applies and compares, and publishes nothing, until it takes over.
    pub is_shadow: bool,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Stores the defaults of the replica `number` of the machine `name`, with its snapshots in `folder`, at
/// `out`, which has the pointers to both texts.
///
/// # Safety
/// `name` and `folder` end with 0; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_app_settings_init(
    name: *const c_char,
    number: u32,
    folder: *const c_char,
    out: *mut lockstep_app_settings,
) -> lockstep_status {
    status(guarded(|| {
        // SAFETY: as the caller promises.
        let (words, path) = unsafe { (text("name", name)?, text("folder", folder)?) };
        let defaults = AppSettings::new(words, replica_number(number)?, path);
        let none = std::ptr::null();
        let settings = lockstep_app_settings {
            name,
            folder,
            serve: none,
            hosts: none,
            peers: none,
            digest_every: defaults.digest_every,
            nonce: defaults.nonce,
            snapshot_every: defaults.snapshot_every,
            snapshots: defaults.snapshots as u64,
            snapshot_age_ns: nanos(defaults.snapshot_age),
            proof_wait_ns: nanos(defaults.proof_wait),
            number,
            delivery: lockstep_delivery::Committed as u32,
            snapshot_mode: lockstep_snapshot_mode::Fork as u32,
            on_divergence: lockstep_on_divergence::Stop as u32,
            is_shadow: defaults.is_shadow,
        };
        // SAFETY: as the caller promises.
        unsafe { store("out", out, settings) }
    }))
}

fn replica_number(number: u32) -> Result<u8, Failure> {
    let number = u8::try_from(number).ok().filter(|number| *number > 0);
    number.ok_or_else(|| Failure::argument("number", "is no number of a replica: they count from 1 to 255"))
}

/// The addresses of a text, separated by commas.
fn addresses(name: &str, text: &str) -> Result<Vec<SocketAddrV4>, Failure> {
    let address = |text: &str| {
        let wrong =
            |_| Failure::argument(name, &format!("has '{text}' in it: write one like 127.0.0.1:9701"));
        text.parse().map_err(wrong)
    };
    text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(address).collect()
}

/// The settings as Rust has them.
///
/// # Safety
/// `settings` is NULL or points to settings, whose texts are NULL or end with 0.
unsafe fn settings(settings: *const lockstep_app_settings) -> Result<AppSettings, Failure> {
    const PAUSE: u32 = lockstep_snapshot_mode::Pause as u32;
    const FORK: u32 = lockstep_snapshot_mode::Fork as u32;
    const NEVER: u32 = lockstep_snapshot_mode::Never as u32;
    const STOP: u32 = lockstep_on_divergence::Stop as u32;
    const REPORT: u32 = lockstep_on_divergence::Report as u32;
    // SAFETY: as the caller promises.
    let of = unsafe { settings.as_ref() }.ok_or_else(|| Failure::argument("settings", "is NULL"))?;
    // SAFETY: as the caller promises.
    let (name, folder) = unsafe { (text("name", of.name)?, text("folder", of.folder)?) };
    let wanted = |name, words: *const c_char| {
        // SAFETY: as the caller promises.
        if words.is_null() { Ok("") } else { unsafe { text(name, words) } }
    };
    let mut made = AppSettings::new(name, replica_number(of.number)?, folder);
    made.serve = addresses("serve", wanted("serve", of.serve)?)?.first().copied();
    made.peers = addresses("peers", wanted("peers", of.peers)?)?;
    let hosts = wanted("hosts", of.hosts)?.split(',').map(str::trim).filter(|host| !host.is_empty());
    made.hosts = hosts.map(str::to_owned).collect();
    (made.digest_every, made.nonce) = (of.digest_every, of.nonce);
    (made.snapshot_every, made.snapshots) = (of.snapshot_every, of.snapshots as usize);
    made.snapshot_age = Duration::from_nanos(of.snapshot_age_ns);
    made.proof_wait = Duration::from_nanos(of.proof_wait_ns);
    made.delivery = delivery(of.delivery)?;
    made.snapshot_mode = match of.snapshot_mode {
        FORK => SnapshotMode::Fork,
        PAUSE => SnapshotMode::Pause,
        NEVER => SnapshotMode::Never,
        _ => return Err(Failure::argument("snapshot_mode", "is no lockstep_snapshot_mode")),
    };
    made.on_divergence = match of.on_divergence {
        STOP => DivergencePolicy::Stop,
        REPORT => DivergencePolicy::Report,
        _ => return Err(Failure::argument("on_divergence", "is no lockstep_on_divergence")),
    };
    made.is_shadow = of.is_shadow;
    Ok(made)
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Io(error) => error.into(),
            AppError::Open(error) => error.into(),
            _ => Self::new(lockstep_status::Replica, error.to_string()),
        }
    }
}

/// A replica of a machine on a cluster, without a loop: it works in [`lockstep_app_turn`].
pub struct lockstep_app(Guarded<State>);

pub(crate) struct State {
    app: App<CMachine>,
    kit: Rc<Kit>,
    /// What has ended it: each call says so again.
    ended: Option<Failure>,
}

impl Handle for lockstep_app {
    type State = State;

    fn guard(&self) -> &Guarded<State> {
        &self.0
    }
}

impl State {
    fn connect(
        endpoint: &lockstep_client::Endpoint,
        settings: AppSettings,
        table: &lockstep_machine,
        goes_on: impl Fn() -> bool + 'static,
    ) -> Result<Option<Self>, Failure> {
        let kit = Kit::new(table)?;
        let new = Rc::clone(&kit);
        let made = App::connect_while(endpoint, settings, move || CMachine::new(&new), goes_on);
        let app = match made {
            Err(AppError::Stopped(_)) => return Ok(None),
            Err(error) => return Err(kit.failed().unwrap_or_else(|| error.into())),
            Ok(app) => app,
        };
        kit.failed().map_or(Ok(()), Err)?;
        Ok(Some(Self { app, kit, ended: None }))
    }

    /// Works with the replica, unless it has ended; what fails ends it. A failure of the machine is the
    /// reason of whatever else has failed.
    fn working<R>(
        &mut self,
        work: impl FnOnce(&mut App<CMachine>) -> Result<R, AppError>,
    ) -> Result<R, Failure> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone());
        }
        let done = work(&mut self.app);
        let failed = self.kit.failed();
        let done = match (done, failed) {
            (Ok(done), None) => return Ok(done),
            (Err(error @ AppError::Fault(_)), Some(_)) => {
                Failure::new(lockstep_status::Machine, error.to_string())
            }
            (_, Some(failed)) => failed,
            (Err(error), None) => error.into(),
        };
        self.ended = Some(done.clone());
        Err(done)
    }

    fn turn(&mut self) -> Result<usize, Failure> {
        self.working(|app| match app.turn(|_, _| {}) {
            // While it opened its names again `goes_on` has returned false: that is no failure.
            Err(AppError::Stopped(_)) => Ok(0),
            done => done,
        })
    }
}

/// The table at `machine`.
///
/// # Safety
/// `machine` is NULL or points to a table.
pub(crate) unsafe fn table<'a>(machine: *const lockstep_machine) -> Result<&'a lockstep_machine, Failure> {
    // SAFETY: as the caller promises.
    unsafe { machine.as_ref() }.ok_or_else(|| Failure::argument("machine", "is NULL"))
}

/// Restores the newest snapshot of the replica's folder, or of a peer, or begins with the machine of `create`
/// at the beginning of the stream, and opens its names. The table is copied; its functions and its context
/// outlive the handle. `LOCKSTEP_STATUS_MACHINE`: a callback has failed.
///
/// # Safety
/// `endpoint` is NULL or an endpoint that is not closed; `settings` points to settings, `machine` to a table
/// whose functions keep what it promises; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_app_open(
    endpoint: *const lockstep_endpoint,
    settings: *const lockstep_app_settings,
    machine: *const lockstep_machine,
    out: *mut *mut lockstep_app,
) -> lockstep_status {
    status(guarded(|| {
        // SAFETY: as the caller promises. Until there is a handle, there is none.
        unsafe { store("out", out, std::ptr::null_mut()) }?;
        // SAFETY: as the caller promises.
        let (endpoint, settings) = unsafe { (self::endpoint(endpoint)?, self::settings(settings)?) };
        // SAFETY: as the caller promises.
        let table = unsafe { self::table(machine) }?;
        if let Some(state) = State::connect(endpoint, settings, table, || true)? {
            let handle = Box::new(lockstep_app(Guarded::new(state)));
            // SAFETY: as the caller promises.
            unsafe { store("out", out, Box::into_raw(handle)) }?;
        }
        Ok(())
    }))
}

/// Frees the handle and its machine, closes its sockets, and sets `*app` to NULL.
///
/// # Safety
/// `*app` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_app_close(app: *mut *mut lockstep_app) {
    // SAFETY: as the caller promises.
    unsafe { crate::guard::close(app) };
}

/// One turn: reads on, applies, publishes, and sees to snapshots and queries. Never waits. Returns the work
/// done (0: there was none), or a failure as a negative `lockstep_status`. A failure ends the replica: each
/// call behind it returns the same. `LOCKSTEP_STATUS_MACHINE`: a callback has failed, and nothing of that
/// input is published. `LOCKSTEP_STATUS_REPLICA`: stream, state or snapshots need an operator.
///
/// # Safety
/// `app` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_app_turn(app: *mut lockstep_app) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with(app, State::turn) })
}

/// Sleeps after a turn that returned 0, until something can be read or is due, at most for `timeout_ns`. It
/// may return earlier.
///
/// # Safety
/// `app` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_app_wait(app: *mut lockstep_app, timeout_ns: u64) -> lockstep_status {
    let timeout = Duration::from_nanos(timeout_ns);
    // SAFETY: as the caller promises.
    status(unsafe { with(app, |state| state.working(|app| app.wait(timeout))) })
}

/// Where a replica is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct lockstep_app_state {
    /// Every entry below is applied.
    pub next: u64,
    /// The stream's time.
    pub time: u64,
    /// Every entry below is in the newest snapshot of this replica.
    pub saved_next: u64,
    /// How often another replica had another state.
    pub partings: u64,
    /// Whether the stream was read up to its end once.
    pub is_caught_up: bool,
    /// Whether another version is in force, so that this replica publishes nothing.
    pub is_shadow: bool,
    /// Whether every output and every report is committed.
    pub is_drained: bool,
}

/// Stores where the replica is at `out`.
///
/// # Safety
/// `app` is NULL or a handle that is not closed; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_app_look(
    app: *mut lockstep_app,
    out: *mut lockstep_app_state,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    status(unsafe {
        with(app, |State { app, .. }| {
            let replica = app.replica();
            let state = lockstep_app_state {
                next: replica.next(),
                time: replica.core.time(),
                saved_next: app.saved_next(),
                partings: replica.partings().0,
                is_caught_up: replica.is_caught_up(),
                is_shadow: replica.is_shadow(),
                is_drained: app.is_drained(),
            };
            store("out", out, state)
        })
    })
}

/// Stores the digest of the state at `out`: machine, timers, and how many outputs there were. Replicas that
/// have applied the same have the same.
///
/// # Safety
/// `app` is NULL or a handle that is not closed; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_app_digest(app: *mut lockstep_app, out: *mut u64) -> lockstep_status {
    // SAFETY: as the caller promises.
    status(unsafe {
        with(app, |state| {
            let digest = state.working(|app| Ok(app.replica().core.digest()))?;
            store("out", out, digest)
        })
    })
}

/// Puts the version of this replica in force, from the entry on that it stamps now: replicas of other
/// versions go on as shadows. Returns 1, or a failure as a negative `lockstep_status`; or 0, and does
/// nothing, where it is none of the shadows: its version is in force already, or none has taken over so far.
///
/// # Safety
/// `app` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_app_take_over(app: *mut lockstep_app) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe {
        with(app, |state| {
            state.working(|app| {
                let is_shadow = app.replica().is_shadow();
                app.take_over();
                Ok(usize::from(is_shadow))
            })
        })
    })
}

/// Stores the machine at `out`, as `create` or `restore` made it, until the next call with the handle. To
/// change it makes a copy that has parted from the others.
///
/// # Safety
/// `app` is NULL or a handle that is not closed; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_app_machine(
    app: *mut lockstep_app,
    out: *mut *const c_void,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    status(unsafe {
        with(app, |state| store("out", out, state.app.replica().core.machine().object().cast_const()))
    })
}

/// Asked between two turns of [`lockstep_app_run`]: whether it goes on.
pub type lockstep_goes_on = Option<unsafe extern "C" fn(context: *mut c_void) -> bool>;

/// Runs a replica until `goes_on` returns false, or until it cannot go on; with NULL until SIGTERM or SIGINT,
/// which it then handles. It waits as its endpoint says, a millisecond at most. Lines that say where it is go
/// to stderr. Failures are those of [`lockstep_app_open`] and [`lockstep_app_turn`]. Where the environment
/// has LOCKSTEP_DEBUG it is [`lockstep_debug`] instead.
///
/// # Safety
/// As for [`lockstep_app_open`]; `goes_on` may be called with `context` until this returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_app_run(
    endpoint: *const lockstep_endpoint,
    settings: *const lockstep_app_settings,
    machine: *const lockstep_machine,
    goes_on: lockstep_goes_on,
    context: *mut c_void,
) -> lockstep_status {
    status(guarded(|| {
        // SAFETY: as the caller promises.
        let (endpoint, settings) = unsafe { (self::endpoint(endpoint)?, self::settings(settings)?) };
        // SAFETY: as the caller promises.
        let table = unsafe { self::table(machine) }?;
        match goes_on {
            _ if debug_is_asked() => debug(endpoint, &settings, table),
            // SAFETY: as the caller promises.
            Some(goes_on) => run(endpoint, settings, table, move || unsafe { goes_on(context) }),
            None => {
                let flag = Arc::clone(Stop::by_signals()?.flag());
                run(endpoint, settings, table, move || !flag.load(Ordering::Acquire))
            }
        }
    }))
}

/// Opens a terminal on stdin and stdout that steps a machine along the committed stream, forward and back,
/// from its beginning; `h` lists its commands. It publishes nothing, and opens no name. It returns when stdin
/// ends, or after the command `x`.
///
/// `LOCKSTEP_STATUS_MACHINE`: a callback has failed. `LOCKSTEP_STATUS_REPLICA`: the stream cannot be read
/// from its beginning.
///
/// # Safety
/// As for [`lockstep_app_open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_debug(
    endpoint: *const lockstep_endpoint,
    settings: *const lockstep_app_settings,
    machine: *const lockstep_machine,
) -> lockstep_status {
    status(guarded(|| {
        // SAFETY: as the caller promises.
        let (endpoint, settings) = unsafe { (self::endpoint(endpoint)?, self::settings(settings)?) };
        // SAFETY: as the caller promises.
        debug(endpoint, &settings, unsafe { self::table(machine) }?)
    }))
}

fn debug(
    endpoint: &lockstep_client::Endpoint,
    settings: &AppSettings,
    table: &lockstep_machine,
) -> Result<(), Failure> {
    let kit = Kit::new(table)?;
    let new = Rc::clone(&kit);
    let done = ::lockstep_app::debug(endpoint, settings, move || CMachine::new(&new));
    kit.failed().map_or(Ok(()), Err)?;
    Ok(done?)
}

fn run(
    endpoint: &lockstep_client::Endpoint,
    settings: AppSettings,
    table: &lockstep_machine,
    goes_on: impl Fn() -> bool + Clone + 'static,
) -> Result<(), Failure> {
    print_without_a_logger();
    note_machine(&settings);
    let Some(mut state) = State::connect(endpoint, settings, table, goes_on.clone())? else { return Ok(()) };
    let mut pace = Pace::begin(&state.app)?;
    while goes_on() {
        if state.turn()? == 0 {
            pace.wait(&state.app);
        }
    }
    let (what, next) = (state.app.in_words(), state.app.replica().next());
    tracing::info!("{what} stops behind seq {}", next.saturating_sub(1));
    Ok(())
}
