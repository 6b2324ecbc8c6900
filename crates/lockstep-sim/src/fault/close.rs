//! A publisher closes its name, and opens it again.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::host::SimProcess;
use crate::story::Happening;
use crate::world::World;

/// A publisher closes its name, and opens it again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CloseFault {
    /// Its node.
    pub publisher: usize,
}

impl Strike for CloseFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let World { ctx, clients, .. } = world;
        let Some(node) = clients.node_mut(self.publisher) else { return Ok(()) };
        let runs = node.runs();
        if let Some(work) = node.process.work_mut().filter(|_| runs) {
            work.closes = true;
            ctx.count(Event::Closes);
            ctx.tell(self.publisher, || Happening::Fault("is to close its name".to_string()));
        }
        Ok(())
    }
}
