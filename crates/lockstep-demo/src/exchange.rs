//! The application of the demo: it acknowledges each order to the client that sent it.

use crate::args::DemoChildArgs;
use crate::report_lines::{ChildCommand, ChildReport};
use lockstep_app::App;
use lockstep_client::Endpoint;
use lockstep_daemon::Failure;
use lockstep_daemon::config::Config;
use lockstep_process::cpu;
use lockstep_wire::Nanos;
use std::sync::mpsc::TryRecvError;

/// Longest wait between two turns.
const PAUSE_NS: Nanos = 1_000_000;

/// Answers until stdin ends, and prints a summary.
pub fn run(args: &DemoChildArgs) -> Result<u8, Failure> {
    let endpoint = Endpoint::from_config(&Config::load(Some(&args.config), &[])?)?;
    if let Some(core) = args.core {
        cpu::pin(core);
    }
    let commands = ChildCommand::listen()?;
    let mut exchange = App::acknowledging(&endpoint, 1)?;
    ChildReport::Ready.say()?;
    let mut waiter = endpoint.idle().waiter(&exchange.sockets())?;
    loop {
        if exchange.turn(|_, _| {})? == 0 {
            let is_over = matches!(commands.try_recv(), Err(TryRecvError::Disconnected));
            if is_over && exchange.is_drained() {
                break;
            }
            waiter.on_progress(exchange.replica().next());
            waiter.wait(PAUSE_NS);
        }
    }
    let core = &exchange.replica().core;
    ChildReport::Exchanged { orders: core.machine().orders(), answers: core.outputs.count() }.say()?;
    Ok(0)
}
