//! Copies of journals, made while a replica runs and when it has stopped.

use crate::context::RunContext;
use crate::machines::MachineNode;
use crate::story::Happening;

impl MachineNode {
    /// Its files are copied for another machine.
    pub(crate) fn carry(&mut self, ctx: &mut RunContext, index: usize) {
        self.machine.carries = self.machine.carry();
        if self.machine.carries {
            ctx.tell(index, || Happening::Fault("is copied for another machine".to_string()));
        }
    }

    /// It has stopped cleanly: its files are copied once more, if that was planned.
    pub(crate) fn carry_stopped(&mut self, ctx: &mut RunContext, index: usize) {
        if self.machine.carries && self.machine.carry() {
            ctx.tell(index, || Happening::Fault("is copied for another machine, stopped".to_string()));
        }
    }
}
