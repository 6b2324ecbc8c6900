//! Connections to the replay ports of the neighbours, which are closed once they are established.

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::ErrorKind;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

/// Tries to connect to each of these within `patience`. Returns whether its host accepted or refused the
/// connection: a port without a listener is no lost path.
pub fn try_connects(addresses: &[SocketAddrV4], patience: Duration) -> Vec<Option<bool>> {
    let mut results = vec![None; addresses.len()];
    let Ok(mut poll) = Poll::new() else { return results };
    let mut streams: Vec<_> = addresses.iter().map(|address| TcpStream::connect((*address).into())).collect();
    for (place, stream) in streams.iter_mut().enumerate() {
        match stream {
            Ok(stream) => {
                results[place] = Some(false);
                let _ = poll.registry().register(stream, Token(place), Interest::WRITABLE);
            }
            // A refusal is an answer too; an error of this host says nothing about the path.
            Err(error) => results[place] = is_reached(error).then_some(true),
        }
    }
    let begun = Instant::now();
    let mut events = Events::with_capacity(addresses.len().max(1));
    let mut waiting = streams.iter().filter(|stream| stream.is_ok()).count();
    while waiting > 0 && begun.elapsed() < patience {
        // A signal may end the wait early.
        let _ = poll.poll(&mut events, Some(patience.saturating_sub(begun.elapsed())));
        for event in &events {
            let Some(Ok(stream)) = streams.get(event.token().0) else { continue };
            let is_well = match stream.take_error() {
                Ok(None) => stream.peer_addr().is_ok(),
                Ok(Some(error)) => is_reached(&error),
                Err(_) => false,
            };
            if results[event.token().0] == Some(false) {
                results[event.token().0] = Some(is_well);
                waiting -= 1;
            }
        }
    }
    results
}

fn is_reached(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::ConnectionRefused
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr, TcpListener};

    #[test]
    fn a_port_that_takes_or_refuses_is_heard() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let Ok(SocketAddr::V4(taken)) = listener.local_addr() else { panic!("an address") };
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let Ok(SocketAddr::V4(refused)) = free.local_addr() else { panic!("an address") };
        drop(free);
        let results = try_connects(&[taken, refused], Duration::from_secs(20));
        assert_eq!(results, [Some(true), Some(true)]);
        assert!(try_connects(&[], Duration::ZERO).is_empty());
    }
}
