//! How a gateway waits between two turns: one poll of clients, handles and waker.

use super::{CLIENTS, HANDLES, PAUSE, Server};
use crate::Failure;
use crate::gateway::listeners::LISTENERS_MAX;
use lockstep_io::IoError;
use lockstep_io::idle::Idle;
use lockstep_io::idle::adaptive::IdlePass;
use mio::unix::SourceFd;
use mio::{Interest, Token};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::time::Duration;

impl Server {
    /// Polls all sockets, and sleeps meanwhile if there is nothing to do.
    pub(super) fn wait(&mut self, work: usize) -> Result<(), Failure> {
        let pass = self.pass(work);
        let parks = pass == IdlePass::Park;
        if parks {
            for (index, socket) in self.handles.iter().enumerate() {
                let source = &mut SourceFd(&socket.as_raw_fd());
                // Without it the sleep may be a millisecond too long.
                let _ = self.poll.registry().reregister(source, Token(HANDLES + index), Interest::READABLE);
            }
        }
        let pause = if parks { PAUSE } else { Duration::ZERO };
        match self.poll.poll(&mut self.events, Some(pause)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                return Err(IoError::new("wait for clients", error).into());
            }
            _ => {}
        }
        for event in &self.events {
            match event.token() {
                Token(token) if token < LISTENERS_MAX => {
                    self.listeners
                        .iter_mut()
                        .skip(token)
                        .take(1)
                        .for_each(|listener| listener.accepts = true);
                }
                Token(token) if token >= CLIENTS => {
                    let index = token - CLIENTS;
                    self.client_events += 1;
                    let Some(client) = self.clients.get_mut(index).and_then(Option::as_mut) else { continue };
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        client.readable = true;
                        self.readable.insert(index);
                    }
                    if event.is_writable() {
                        client.writable = true;
                        self.touched.push(index);
                    }
                }
                _ => {}
            }
        }
        if pass == IdlePass::Yield {
            let before = self.clock.now();
            std::thread::yield_now();
            self.adaptive.on_yield(self.clock.now() - before);
        }
        Ok(())
    }

    /// How the time after a turn with this much work is passed.
    fn pass(&mut self, work: usize) -> IdlePass {
        match self.idle {
            _ if work > 0 => IdlePass::Spin,
            Idle::Spin => IdlePass::Spin,
            Idle::Yield => IdlePass::Yield,
            Idle::Park => IdlePass::Park,
            Idle::Adapt => {
                let progress = self.client_events + self.subscriber.deliver_next();
                if self.adaptive.spins_on(progress) {
                    IdlePass::Spin
                } else {
                    self.adaptive.next(self.clock.now(), progress)
                }
            }
        }
    }
}
