//! Opening a card: the queues that can be served, and the best available mode.

use super::card::Port;
use super::frame::{self, HEADERS_LEN, TAG_LEN};
use super::program::{AttachMode, AttachStep, Attached, Match};
use super::socket::{self, Queue, QueueSettings};
use super::{Mode, Used};
use crate::udp::UdpSettings;
use crate::{Effective, IoError};
use std::io::ErrorKind;

/// Refuses settings that xdp cannot serve. Returns the bytes of a frame.
pub(super) fn check(udp: &UdpSettings) -> Result<usize, IoError> {
    let wrong = |doing: String| IoError::because(doing, ErrorKind::InvalidInput, "settings cannot work");
    if udp.ttl == 0 {
        let doing = format!(
            "use transport xdp on {} with a ttl of 0: what xdp sends leaves the host; configure `ttl = 1`",
            udp.interface
        );
        return Err(wrong(doing));
    }
    let around = HEADERS_LEN + TAG_LEN;
    socket::frame_bytes(udp.datagram_len_max + around).map_err(|most| {
        let most = most - TAG_LEN - frame::ETHERNET_LEN;
        wrong(format!(
            "use transport xdp on {} with datagrams of {} bytes: an XDP frame carries an mtu of {most} at most; \
             configure `mtu = {most}` for all nodes, or `transport = \"udp\"`",
            udp.interface, udp.datagram_len_max
        ))
    })
}

/// The queues in use.
pub(super) fn queue_numbers(port: &Port, wanted: Option<u32>) -> Result<Vec<u32>, IoError> {
    match wanted {
        None => Ok((0..port.queues).collect()),
        Some(queue) if queue < port.queues => Ok(vec![queue]),
        Some(queue) => {
            let doing = format!(
                "use queue {queue} of {}: it receives by {}, counted from 0; leave `xdp_queue` out to use all",
                port.name, port.queues
            );
            Err(IoError::because(doing, ErrorKind::InvalidInput, "no such queue"))
        }
    }
}

/// An opened card.
pub(super) struct OpenedCard {
    pub mode: Mode,
    pub attached: Attached,
    pub queues: Vec<Used>,
    /// Why no better mode is used.
    pub worse: Vec<String>,
}

/// Opens the queues in the best available mode, or in the demanded one.
pub(super) fn best(
    what: &Match,
    port: &Port,
    numbers: &[u32],
    queue: &QueueSettings,
    demanded: Option<Mode>,
) -> Result<OpenedCard, IoError> {
    let mut worse = Vec::new();
    let wanted = Mode::ALL.into_iter().filter(|mode| demanded.is_none_or(|demanded| demanded == *mode));
    let mut attached: Option<(AttachMode, Attached)> = None;
    for mode in wanted {
        // A card may renew its queues when it gets a program: one attachment serves both modes of a place.
        let place = mode.place();
        let reused = attached.take().filter(|(at, _)| *at == place);
        let fresh = || {
            let attempt = || Attached::new(what, place, port.index, &port.name, port.queues);
            socket::when_free(attempt, |(error, _)| error).map(|attached| (place, attached))
        };
        let program = match reused.map_or_else(fresh, Ok) {
            Ok((_, program)) => program,
            Err((error, AttachStep::Load)) => return Err(error),
            Err((error, AttachStep::Attach)) => {
                worse.push(format!("{mode}: {error}"));
                continue;
            }
        };
        match open_queues(port, numbers, queue, mode) {
            Ok(queues) => return Ok(OpenedCard { mode, attached: program, queues, worse }),
            Err(error) => worse.push(format!("{mode}: {error}")),
        }
        attached = Some((place, program));
    }
    let asked = demanded.map_or_else(|| "any mode".to_owned(), |mode| format!("mode {mode}, as configured"));
    let doing = format!("use transport xdp on {} in {asked}: {}", port.name, worse.join("; "));
    Err(IoError::because(doing, ErrorKind::Unsupported, "the card does not work so"))
}

fn open_queues(
    port: &Port,
    numbers: &[u32],
    settings: &QueueSettings,
    mode: Mode,
) -> Result<Vec<Used>, IoError> {
    let mut queues: Vec<Used> = Vec::with_capacity(numbers.len());
    for number in numbers {
        // Only one queue sends.
        let send_bytes = if queues.is_empty() { settings.send_bytes } else { 0 };
        let zero_copy = mode == Mode::ZeroCopy;
        let settings = QueueSettings { queue: *number, send_bytes, zero_copy, ..*settings };
        let queue = Queue::open(&settings, &port.name)?;
        queues.push(Used { number: *number, queue, datagrams_in: 0 });
    }
    Ok(queues)
}

pub(super) fn mode_report(
    asked: Option<Mode>,
    mode: Mode,
    port: &Port,
    numbers: &[u32],
    worse: Vec<String>,
) -> Effective {
    let queues = match numbers {
        [one] if port.queues == 1 => format!("queue {one}"),
        [one] => format!("queue {one} of {}, what comes by others by the kernel", port.queues),
        all => format!("{} queues", all.len()),
    };
    let tag = port.vlan.map_or(String::new(), |vlan| format!(", VLAN {vlan}"));
    let got = format!("xdp {mode} on {}, {queues}{tag}", port.name);
    let asked = format!("xdp {}", asked.map_or("auto".into(), |mode| mode.to_string()));
    let note = (!worse.is_empty()).then(|| worse.join("; "));
    Effective { what: "transport", requested: asked, got, note }
}

pub(super) fn busy_poll_report(us: u32, is_on: bool) -> Effective {
    if is_on {
        return Effective::granted("busy_poll_us", us);
    }
    let note = "the kernel has no SO_PREFER_BUSY_POLL (Linux 5.11); the card's interrupts wake it";
    Effective::short("busy_poll_us", us, "off", note)
}
