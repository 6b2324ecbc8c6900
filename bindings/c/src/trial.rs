//! The judges of a machine of C: a trial under faults, and a twin beside the machine.

use crate::app::table;
use crate::foreign::{CMachine, Kit};
use crate::guard::{guarded, slice_of, status, store, store_wanted};
use crate::machine::{lockstep_input, lockstep_machine, lockstep_sink, outcome};
use crate::status::{Failure, lockstep_status};
use lockstep_app::{apply_ns, counter_ns};
use lockstep_sim::trial::{Trial, TrialCoverage, TrialFailure, TrialReport};
use std::ffi::c_void;
use std::rc::Rc;

/// Lines of a failure's story that are shown.
const STORY_LINES: usize = 40;

/// What a trial asks the program for.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct lockstep_trial_plan {
    /// Seeds that are run; 0: 100.
    pub seeds: u64,
    /// The first seed; 0: 1.
    pub first: u64,
    /// One seed in so many is run twice, to see that the same inputs give the same states; 0: each.
    pub repeated: u64,
    /// What both functions are given.
    pub context: *mut c_void,
    /// Writes what the client `user` (from 0) sends as its message `number` (from 1). NULL: the number, as 8
    /// bytes.
    pub message: Option<
        unsafe extern "C" fn(context: *mut c_void, user: u64, number: u64, out: *mut lockstep_sink) -> i32,
    >,
    /// What holds after each input: fails where it does not. NULL: nothing.
    pub invariant: Option<unsafe extern "C" fn(context: *mut c_void, machine: *const c_void) -> i32>,
}

/// What was judged, without a failure, and how much of the machine was run: inputs and effects of all copies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct lockstep_trial_report {
    /// Seeds that were run.
    pub seeds: u64,
    /// States that were judged.
    pub inputs_judged: u64,
    /// The last seed that was run: the next trial may begin behind it.
    pub last_seed: u64,
    /// Messages.
    pub messages: u64,
    /// Clients that logged in, and that went.
    pub sessions: u64,
    /// Names that were opened or closed.
    pub names: u64,
    /// Trading days that began or ended.
    pub days: u64,
    /// Messages that were published.
    pub outputs: u64,
    /// Timers that were set, and those among them that took the place of a pending one.
    pub timers_set: u64,
    /// Timers that were cancelled while they were pending.
    pub timers_cancelled: u64,
    /// Timers that fired, those included to which time leapt.
    pub timers_fired: u64,
    /// Snapshots that copies wrote to their disks.
    pub snapshots: u64,
    /// States that were restored from a snapshot, by copies that came back and by twins.
    pub restored: u64,
    /// Leaders that were replaced meanwhile.
    pub takeovers: u64,
}

impl From<TrialReport> for lockstep_trial_report {
    fn from(report: TrialReport) -> Self {
        let TrialReport { seeds, inputs_judged, last_seed, coverage, .. } = report;
        let TrialCoverage { messages, sessions, names, days, outputs, .. } = coverage;
        let TrialCoverage { timers_set, timers_cancelled, timers_fired, .. } = coverage;
        let TrialCoverage { snapshots, restored, takeovers, .. } = coverage;
        Self {
            seeds,
            inputs_judged,
            last_seed,
            messages,
            sessions,
            names,
            days,
            outputs,
            timers_set,
            timers_cancelled,
            timers_fired,
            snapshots,
            restored,
            takeovers,
        }
    }
}

/// The trial of a machine by this plan.
fn trial(kit: &Rc<Kit>, plan: lockstep_trial_plan) -> Trial<CMachine> {
    let made = Rc::clone(kit);
    let mut trial = Trial::new(move || CMachine::new(&made));
    if let Some(message) = plan.message {
        let kit = Rc::clone(kit);
        trial = trial.messages(move |user, number| {
            let mut sent = Vec::new();
            // SAFETY: the function is the plan's, and is given the context that belongs to it.
            let write = |sink| unsafe { message(plan.context, user as u64, number, sink) };
            let (returned, _) = lockstep_sink::writing_to(&mut sent, write);
            if let Err(why) = outcome(returned) {
                kit.fail(&format!("message {number} of client {user} fails: {why}"));
                kit.end();
            }
            sent
        });
    }
    if let Some(invariant) = plan.invariant {
        trial = trial.invariant(move |machine| match machine.object() {
            object if object.is_null() => Ok(()),
            // SAFETY: as above; the machine is one of its table.
            object => outcome(unsafe { invariant(plan.context, object) }),
        });
    }
    trial
}

/// What a judge reports, unless the program itself has failed.
fn judged(kit: &Kit, report: Result<TrialReport, String>) -> Result<lockstep_trial_report, Failure> {
    match (report, kit.failed()) {
        (Ok(report), None) => Ok(report.into()),
        (Ok(_), Some(failed)) => Err(failed),
        (Err(text), None) => Err(Failure::new(lockstep_status::Trial, text)),
        (Err(text), Some(_)) => Err(Failure::new(lockstep_status::Machine, text)),
    }
}

/// Runs a whole cluster in a simulated network, with gateways, clients that send the messages of `plan`, and
/// copies of the machine that are killed and come back, once for each seed. A seed gives the same run every
/// time. Judged after each input: the invariant; that all copies have the same state at the same seq; that a
/// twin which is restored from a snapshot now and then publishes the same; that timers fire once, in order,
/// and none early.
///
/// `LOCKSTEP_STATUS_TRIAL`: a rule is broken, and `lockstep_error()` has the simplest
/// run that breaks it, with its story. `LOCKSTEP_STATUS_MACHINE`: a callback has failed.
///
/// # Safety
/// `machine` points to a table whose functions keep what it promises; `plan` is NULL (the defaults) or points
/// to a plan; `out` is NULL or may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_trial(
    machine: *const lockstep_machine,
    plan: *const lockstep_trial_plan,
    out: *mut lockstep_trial_report,
) -> lockstep_status {
    status(guarded(|| {
        // SAFETY: as the caller promises.
        let (table, plan) = unsafe { (table(machine)?, plan.as_ref()) };
        let (kit, plan) = (Kit::new(table)?, plan.copied().unwrap_or(DEFAULTS));
        let or = |number, default| if number == 0 { default } else { number };
        let trial = trial(&kit, plan).first(or(plan.first, 1)).repeated(or(plan.repeated, 1));
        let run = trial.run(or(plan.seeds, 100)).map_err(|failure| {
            let TrialFailure { recipe, failure } = *failure;
            let (story, seed) = (failure.story.tail(STORY_LINES), recipe.seed);
            format!("{story}{failure}\nthe simplest run of it: {recipe}; again: first {seed}, 1 seed")
        });
        let report = judged(&kit, run)?;
        // SAFETY: as the caller promises.
        unsafe { store_wanted(out, report) };
        Ok(())
    }))
}

/// A plan without functions.
const DEFAULTS: lockstep_trial_plan = lockstep_trial_plan {
    seeds: 0,
    first: 0,
    repeated: 0,
    context: std::ptr::null_mut(),
    message: None,
    invariant: None,
};

/// Applies `len` inputs to a machine and its twin, which is restored from a snapshot of the machine after
/// every `every` of them, and compares outputs and states, with no world around: it finds a clock,
/// randomness, and what snapshot or restore forget, at the first input at which it shows. Timers fire before
/// the first input that is at or behind their time; in the end time leaps to those that are pending. Of the
/// plan (NULL: none) it takes the invariant.
///
/// Failures are those of [`lockstep_trial`].
///
/// # Safety
/// As for [`lockstep_trial`]; `inputs` has `len` inputs, whose pointers are valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_twice(
    machine: *const lockstep_machine,
    inputs: *const lockstep_input,
    len: usize,
    every: u64,
    plan: *const lockstep_trial_plan,
    out: *mut lockstep_trial_report,
) -> lockstep_status {
    status(guarded(|| {
        if every == 0 {
            return Err(Failure::argument("every", "is 0: the twin is restored after 1 input or more"));
        }
        // SAFETY: as the caller promises.
        let (table, plan) = unsafe { (table(machine)?, plan.as_ref()) };
        // SAFETY: as the caller promises.
        let rows = unsafe { slice_of("inputs", inputs, len) }?;
        // SAFETY: as the caller promises.
        let inputs = rows.iter().map(|row| unsafe { row.input() }).collect::<Result<Vec<_>, _>>()?;
        let kit = Kit::new(table)?;
        let run = trial(&kit, plan.copied().unwrap_or(DEFAULTS)).apply(inputs, every);
        let report = judged(&kit, run)?;
        // SAFETY: as the caller promises.
        unsafe { store_wanted(out, report) };
        Ok(())
    }))
}

/// Stores at `out` how many nanoseconds an input costs in a machine, on average over so many `messages` of 48
/// bytes to everybody, each with the outputs that the machine publishes for it. No cluster is around.
/// `machine` NULL: in the counter of docs/APPLY.md in Rust, for comparison.
///
/// `LOCKSTEP_STATUS_MACHINE`: a callback has failed.
///
/// # Safety
/// `machine` is NULL or points to a table whose functions keep what it promises; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_apply_cost(
    machine: *const lockstep_machine,
    messages: u64,
    out: *mut f64,
) -> lockstep_status {
    status(guarded(|| {
        if messages == 0 {
            return Err(Failure::argument("messages", "is 0: there is nothing to measure"));
        }
        let ns = if machine.is_null() {
            counter_ns(messages)
        } else {
            // SAFETY: as the caller promises.
            let kit = Kit::new(unsafe { table(machine) }?)?;
            let failed = |why: String| kit.failed().unwrap_or(Failure::new(lockstep_status::Machine, why));
            apply_ns(CMachine::new(&kit), messages).map_err(|fault| failed(fault.to_string()))?
        };
        // SAFETY: as the caller promises.
        unsafe { store("out", out, ns) }
    }))
}
