//! A replica's process starts.

use crate::check::Violation;
use crate::context::RunContext;
use crate::coverage::Event;
use crate::engines::replica_limits;
use crate::host::Host;
use crate::machine::{Machine, MachineState, Started};
use crate::machines::{MachineNode, Machines};
use crate::story::Happening;
use lockstep_replica::journal::Checkpoint;

impl Machines {
    /// A replica's process starts on the files and memory of its machine.
    pub(crate) fn start_replica(&mut self, ctx: &mut RunContext, node: usize) -> Result<(), Violation> {
        let MachineNode { machine, host: Host { keys, .. }, .. } = &mut self.nodes[node];
        if machine.is_unknowable() {
            machine.forget();
            ctx.oracle.facts.on_forgotten(machine.identity);
            ctx.tell(node, || {
                Happening::Note("is not started: rolled back, and its ring is gone".to_string())
            });
            return Ok(());
        }
        ctx.oracle.facts.coverage.count_all(machine.reconfigure());
        let memory_survived =
            matches!(machine.state, MachineState::Down(Some(_), _)) && !machine.has_rebooted();
        let damaged = machine.is_damaged();
        let (configured, identity) = (machine.configured, machine.identity);
        let wall = machine.wall(ctx.now);
        let process = (&configured, identity, &keys.replica);
        let limits = replica_limits(&ctx.plan, node, process, wall, &mut ctx.rng);
        let started = machine.start(&ctx.plan, node, limits)?;
        self.runs += 1;
        let what = match &started {
            Started::Ran => return Ok(()),
            Started::Runs(tables) => {
                judge_started(ctx, (node, self.runs), machine, tables, (memory_survived, damaged))?
            }
            Started::Died => {
                self.on_died(ctx, node);
                return Ok(());
            }
            Started::Failed(why) => {
                let why = why.clone();
                self.on_device_failed(ctx, node, why);
                return Ok(());
            }
            Started::Silent(why) => {
                if machine.is_tail_elsewhere {
                    ctx.count(Event::OtherTailsRefused);
                }
                ctx.oracle.facts.on_forgotten(machine.identity);
                ctx.count(Event::Forgetful);
                format!("stays silent: {why}")
            }
            Started::Damaged(why) => {
                ctx.oracle.facts.on_forgotten(machine.identity);
                ctx.count(Event::DamageFound);
                format!("does not start: {why}")
            }
        };
        let (identity, is_lost) = (machine.identity, machine.is_lost());
        if is_lost {
            self.lost |= 1 << node;
            // A lost member was not of the healed quorum; the loss of a learner was unknown until now.
            if !self.members_in_force(ctx).contains(&identity) {
                ctx.await_no_more(node);
            }
        }
        self.nodes[node].host.wake_at = ctx.now;
        ctx.tell(node, || Happening::Note(what));
        Ok(())
    }
}

/// A replica's process runs with these tables, as the `run`th of all: whether its journal has what it must.
/// Returns a line for the story.
fn judge_started(
    ctx: &mut RunContext,
    (node, run): (usize, u64),
    machine: &mut Machine,
    tables: &Checkpoint,
    (memory_survived, damaged): (bool, bool),
) -> Result<String, Violation> {
    if std::mem::take(&mut machine.rolled_back) {
        ctx.count(Event::RolledBackWhole);
    }
    let shortened = machine.replica().is_some_and(|replica| {
        ctx.oracle.logs.is_shortened(&mut ctx.oracle.facts, node, replica.tail(), memory_survived)
    });
    let judged = machine.replica().map_or(Ok(()), |replica| {
        let found = (machine.configured.durability, replica.tail());
        ctx.oracle.on_replica_started(node, (machine.identity, run), found, memory_survived)
    });
    Ok(match judged {
        // The damage is undetected: this replica would report less than it has acknowledged.
        Err(why) if damaged && shortened => {
            machine.forget();
            ctx.oracle.facts.on_forgotten(machine.identity);
            ctx.count(Event::DamageUnseen);
            format!("does not see its damage: {why}")
        }
        judged => {
            judged?;
            ctx.oracle.logs.on_tables_recovered(&ctx.oracle.facts, node, tables)?;
            if let Some(replica) = machine.replica().filter(|_| !damaged) {
                replica.invariants();
                ctx.oracle.tables.check_tables(&ctx.oracle.facts, node, replica)?;
            }
            "starts".to_string()
        }
    })
}
