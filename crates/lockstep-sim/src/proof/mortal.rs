//! Memory whose process may die at any call that changes it: the next process finds its content at that
//! moment.

use lockstep_replica::journal::TailLabel;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::ports::{TailMemory, TailSource, Word};
use lockstep_wire::Seq;
use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::rc::Rc;

/// The payload of the unwinding when the process dies in memory.
pub(super) struct Died;

/// The memory of a machine, while no process has it, and the remaining life of the present one.
#[derive(Default)]
pub(super) struct CrashState {
    left: Cell<Option<u64>>,
    body: RefCell<Option<MemoryTail>>,
}

impl CrashState {
    /// The process dies in the call after the next `calls` that change label or words; `None`: it lives.
    pub(super) fn arm(&self, calls: Option<u64>) {
        self.left.set(calls);
    }

    /// Whether it is still to die.
    pub(super) fn is_armed(&self) -> bool {
        self.left.get().is_some()
    }

    /// The memory of the process at its end.
    pub(super) fn take(&self) -> Option<MemoryTail> {
        self.body.borrow_mut().take()
    }

    /// A call that changes something: not made, if the process dies in it. A death after it is a death in
    /// the next call.
    fn call(&self, change: impl FnOnce()) {
        let Some(left) = self.left.get() else { return change() };
        if left == 0 {
            self.left.set(None);
            resume_unwind(Box::new(Died));
        }
        self.left.set(Some(left - 1));
        change();
    }
}

/// See the module. Its memory goes to the [`CrashState`] when it is dropped.
pub(super) struct CrashingStore {
    memory: Option<MemoryTail>,
    crash_state: Rc<CrashState>,
}

impl CrashingStore {
    pub(super) fn new(memory: MemoryTail, grave: &Rc<CrashState>) -> Self {
        Self { memory: Some(memory), crash_state: Rc::clone(grave) }
    }

    fn memory(&self) -> &MemoryTail {
        self.memory.as_ref().expect("it is there until it is dropped")
    }

    fn change(&mut self, change: impl FnOnce(&mut MemoryTail)) {
        let Self { memory, crash_state: grave } = self;
        grave.call(|| change(memory.as_mut().expect("it is there until it is dropped")));
    }
}

impl Drop for CrashingStore {
    fn drop(&mut self) {
        *self.crash_state.body.borrow_mut() = self.memory.take();
    }
}

impl TailSource for CrashingStore {
    fn ring_len(&self) -> u64 {
        self.memory().ring_len()
    }

    fn label(&self) -> Option<TailLabel> {
        self.memory().label()
    }

    fn read(&self, pos: u64, len: usize) -> &[u8] {
        self.memory().read(pos, len)
    }

    fn word(&self, word: Word) -> u64 {
        self.memory().word(word)
    }

    fn set_word(&mut self, word: Word, value: u64) {
        self.change(|memory| memory.set_word(word, value));
    }
}

impl TailMemory for CrashingStore {
    fn write(&mut self, pos: u64, len: usize) -> &mut [u8] {
        self.memory.as_mut().expect("it is there until it is dropped").write(pos, len)
    }

    fn slot(&self, block: usize) -> (Seq, u64) {
        self.memory().slot(block)
    }

    fn set_slot(&mut self, block: usize, slot: (Seq, u64)) {
        self.memory.as_mut().expect("it is there until it is dropped").set_slot(block, slot);
    }

    fn reset(&mut self) {
        self.change(TailMemory::reset);
    }

    fn set_label(&mut self, label: TailLabel) {
        self.change(|memory| memory.set_label(label));
    }
}
