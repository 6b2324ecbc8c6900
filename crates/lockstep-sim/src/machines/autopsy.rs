//! The end of a run: every journal is read as a whole, and compared with what the oracle saw.

use crate::check::Violation;
use crate::context::RunContext;
use crate::coverage::Event;
use crate::machine::storage::Flushed;
use crate::machines::{MachineNode, Machines};
use lockstep_replica::journal::ports::{FileName, Store};
use lockstep_replica::journal::{Checkpoint, read_segments, verify};
use lockstep_wire::{Header, Nanos};

impl Machines {
    /// Opens the files of every machine that no fault damaged: those of a running process after a clean
    /// stop, the others as they are.
    pub(crate) fn dissect(&mut self, ctx: &mut RunContext) -> Result<(), Violation> {
        self.nodes.iter_mut().enumerate().try_for_each(|(index, node)| node.dissect(ctx, index))
    }
}

impl MachineNode {
    fn dissect(&mut self, ctx: &mut RunContext, index: usize) -> Result<(), Violation> {
        let now = ctx.now;
        let machine = &mut self.machine;
        if machine.is_lost() || machine.may_refuse() || machine.vanished.is_open() || machine.store.is_armed()
        {
            return Ok(());
        }
        let stops = machine.replica().is_some();
        if stops && !matches!(machine.stop(now, Nanos::MAX)?, Flushed::GoesOn) {
            return Ok(());
        }
        // The power may have been lost since the files were written; then they may end anywhere.
        let is_cold = machine.has_rebooted();
        let (store, identity) = (&machine.store, machine.identity);
        let broken = |what: &dyn std::fmt::Display| format!("S7: the files of {identity}: {what}");
        if !is_cold {
            let verified = verify(store).map_err(|error| broken(&error))?;
            if let Some(damage) = verified.damage.first() {
                return Err(broken(damage));
            }
        }
        let mut frames: Vec<Header> = Vec::new();
        let mut reader = read_segments(store, 1).map_err(|error| broken(&error))?;
        while let Some(frame) = reader.next().map_err(|error| broken(&error))? {
            match frame {
                Ok(frame) => frames.push(*frame.header),
                // A group of which a killed process wrote a part.
                Err(_) if !stops => break,
                Err(damage) => return Err(broken(&damage)),
            }
        }
        let mut sealed = Vec::new();
        for file in store.list().map_err(|error| broken(&error))? {
            if let FileName::Checkpoint(_) = file {
                let mut bytes = vec![0; store.len(file).map_err(|error| broken(&error))? as usize];
                store.read_at(file, 0, &mut bytes).map_err(|error| broken(&error))?;
                sealed.push(Checkpoint::from_bytes(&bytes).map_err(|what| broken(&what))?);
            }
        }
        // A node that began behind a checkpoint, and has stored nothing since, has that alone.
        if !frames.is_empty() || sealed.is_empty() {
            ctx.oracle.logs.check_files(&ctx.oracle.facts, index, &frames, stops)?;
        }
        sealed
            .iter()
            .try_for_each(|tables| ctx.oracle.logs.check_sealed(&ctx.oracle.facts, index, tables))?;
        ctx.count(Event::JournalsRead);
        Ok(())
    }
}
