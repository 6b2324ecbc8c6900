//! The relations between values without which a cluster cannot work.
//!
//! Each function is one relation and states the argument for it. It checks values that are right by
//! themselves and returns early (`None`) when one of its keys has a problem already, so that a typing error
//! never hides a wrong window, and one cause makes one problem.

use super::choices::{Compression, Durability, Idle, Profile, Scheduling, SecurityMode};
use super::coordinators;
use super::layers::{At, Layers, labels, nodes};
use super::problem::Code;
use super::schema::{ARCHIVERS_MAX, LINES_MAX, REPLICAS_MAX};
use super::topology::{self, is_profile};
use super::value::Value;

/// Bytes of the IPv4 and UDP headers and of a repair's trailer, which a frame leaves room for.
const AROUND_FRAME_LEN: u64 = 28 + 48;
/// Bytes of the largest segment that an archiver packs. The journal has the same number; the program compares
/// them when it is built.
pub const PACKED_LEN_MAX: u64 = 256 << 20;
/// Bytes of the IPv4 and UDP headers, of a MoldUDP64 datagram's and of one block's, which a message leaves
/// room for.
const AROUND_BLOCK_LEN: u64 = 28 + 20 + 2;
/// Bytes of a frame's header and of one entry's.
const HEADERS_LEN: u64 = 104 + 24;
/// Bytes of the largest message.
const MESSAGE_LEN_MAX: u64 = 65_536;
/// A length mapped or written with O_DIRECT is a multiple of a page.
const PAGE_LEN: u64 = 4096;

/// Keys of which the first is at most the second, and why.
const ORDERED: [(&str, &str, &str); 7] = [
    (
        "timing.heartbeat_first",
        "timing.heartbeat_interval",
        "heartbeats start often and slow down to the heartbeat interval",
    ),
    ("timing.nack_retry_min", "timing.nack_retry_max", "the wait between retries grows up to it"),
    ("timing.heartbeat_interval", "timing.failure_timeout", "silence is counted in heartbeat intervals"),
    ("timing.failure_timeout", "timing.failure_timeout_max", "false suspicions double it up to that"),
    ("gateway.lockout_first", "gateway.lockout_longest", "the wait of a user that fails grows up to it"),
    ("timing.resend_min", "timing.resend_max", "the wait between resends grows up to it"),
    ("timing.nack_delay", "timing.nack_retry_min", "the first request goes out before the second"),
];

/// Checks all relations and fills in what follows from other keys.
pub(super) fn check(layers: &mut Layers<'_>) {
    line_count(layers);
    replica_count(layers);
    archiver_count(layers);
    for node in nodes(layers) {
        memory_file(layers, &node, "tail");
        memory_file(layers, &node, "counters");
    }
    for label in labels(&layers.archivers) {
        retention(layers, &format!("archivers.{label}.retention_size"));
        packing(layers, &label);
    }
    for label in labels(&layers.lines) {
        busy_poll(layers, &label);
    }
    // The smallest network decides; that they differ is reported elsewhere.
    let mtu = |label: &String| layers.number(&format!("lines.{label}.mtu")).unwrap_or(u64::MAX);
    if let Some(label) = labels(&layers.lines).into_iter().min_by_key(mtu) {
        message_len_max(layers, &label);
        for channel in labels(&layers.channels) {
            channel_message_len_max(layers, &label, &channel);
        }
    }
    topology::check(layers);
    coordinators::check(layers);
    stream_window(layers);
    publisher_window(layers);
    for key in ["journal.tail_size", "journal.segment_size"] {
        whole_pages(layers, key);
    }
    retention(layers, "journal.retention_size");
    for (low, high, reason) in ORDERED {
        ordered(layers, low, high, reason);
    }
    group_commit(layers);
    production_idle(layers);
    shared_fifo(layers);
    production_fault_injection(layers);
    production_keys(layers);
}

/// The largest message of a network with this MTU: one frame holds it, and a repair adds its trailer.
fn message_len_fits(mtu: u64) -> u64 {
    ((mtu - AROUND_FRAME_LEN) & !7) - HEADERS_LEN
}

/// One network, or two that carry the same.
fn line_count(layers: &mut Layers<'_>) {
    if layers.is_set("lines") {
        return;
    }
    match layers.lines.get(LINES_MAX).cloned() {
        Some(third) => {
            let rule =
                format!("there are {} lines, and everything is sent on each of them", layers.lines.len());
            let hint = "keep one, or two that share no cable, card and switch".into();
            layers.push(Code::Lines, "lines", "", rule, hint, At::File(third.span));
        }
        None if layers.lines.is_empty() => {
            let (rule, hint) =
                ("there is no line".into(), "add one [[lines]] with its groups and interface".into());
            layers.push(Code::Lines, "lines", "", rule, hint, At::File(0..0));
        }
        None => {}
    }
}

/// An epoch start lists all members in one datagram.
fn replica_count(layers: &mut Layers<'_>) {
    if layers.is_set("replicas") {
        return;
    }
    let count = layers.replicas.len();
    if count == 0 {
        let (rule, hint) =
            ("there is no replica".into(), "add [[replicas]], one for each; three survive one".into());
        layers.push(Code::Replicas, "replicas", "", rule, hint, At::File(0..0));
    } else if let Some(item) = layers.replicas.get(REPLICAS_MAX).cloned() {
        let rule = format!("there are {count} replicas, and a membership has at most {REPLICAS_MAX}");
        let hint = format!("keep {REPLICAS_MAX} or fewer: five survive any two");
        layers.push(Code::Replicas, "replicas", "", rule, hint, At::File(item.span));
    }
}

/// A reader with a gap asks each of them before it gives up.
fn archiver_count(layers: &mut Layers<'_>) {
    if let Some(item) = layers.archivers.get(ARCHIVERS_MAX).cloned() {
        let rule =
            format!("there are {} archivers, at most {ARCHIVERS_MAX} are asked", layers.archivers.len());
        let hint = format!("keep {ARCHIVERS_MAX} or fewer");
        layers.push(Code::Replicas, "archivers", "", rule, hint, At::File(item.span));
    }
}

/// A segment is packed in memory.
fn packing(layers: &mut Layers<'_>, label: &str) -> Option<()> {
    let (key, segment_key) = (format!("archivers.{label}.compression"), "journal.segment_size");
    let (word, segment) = (layers.word(&key)?, layers.number(segment_key)?);
    if Compression::from_word(word) == Some(Compression::Lz4) && segment > PACKED_LEN_MAX {
        let rule = format!("segments of {} are too long to be packed", Value::SizeBytes(segment));
        let hint = format!("write segment_size = \"{}\" or less", Value::SizeBytes(PACKED_LEN_MAX));
        layers.blame(Code::Window, &[&key, segment_key], rule, hint);
    }
    Some(())
}

/// The tail and the counters lie in memory; their names distinguish the clusters and replicas of one host.
fn memory_file(layers: &mut Layers<'_>, node: &str, name: &str) -> Option<()> {
    let key = format!("{node}.{name}");
    if layers.is_set(&key) {
        return None;
    }
    let (cluster, id) = (layers.number("cluster")?, layers.number(&format!("{node}.id"))?);
    let path = format!("/dev/shm/lockstep-{cluster}-{id}.{name}").into();
    layers.derive(key, Value::Path(path), "from cluster and id".into());
    Some(())
}

/// The kernel takes whole microseconds (SO_BUSY_POLL).
fn busy_poll(layers: &mut Layers<'_>, label: &str) -> Option<()> {
    let key = format!("lines.{label}.busy_poll");
    let ns = layers.number(&key)?;
    if !ns.is_multiple_of(1_000) {
        let hint = format!("write \"{}us\"", ns.div_ceil(1_000));
        layers.blame(Code::Range, &[&key], "the kernel takes whole microseconds only".into(), hint);
    }
    Some(())
}

/// A message that fits no frame goes out in parts, and all of them wait in their publisher's window together.
fn message_len_max(layers: &mut Layers<'_>, label: &str) -> Option<()> {
    let (key, window_key, buffer_key) = ("stream.message_len_max", "publisher.window", "publisher.buffer");
    let mtu = layers.number(&format!("lines.{label}.mtu"))?;
    let (window, buffer) = (layers.number(window_key)?, layers.number(buffer_key)?);
    let part = message_len_fits(mtu);
    let datagrams = (buffer / (part + HEADERS_LEN)).max(2);
    // One more datagram may be open with earlier messages.
    let parts = window.min(datagrams - 1);
    let holds = parts * part;
    if !layers.is_set(key) {
        let why = "what a publisher holds, at most 65536".into();
        layers.derive(key.into(), Value::Integer(holds.min(MESSAGE_LEN_MAX)), why);
    }
    let asked = layers.number(key)?;
    if asked > holds {
        let needed = asked.div_ceil(part);
        let rule = format!(
            "{asked} bytes are {needed} parts at mtu {mtu}, and {window_key} and {buffer_key} hold {parts}"
        );
        let hint = format!("write {holds} or less, or raise them");
        layers.blame(Code::MessageLength, &[key, window_key, buffer_key], rule, hint);
    }
    Some(())
}

/// A feed passes a channel's messages on, each whole in a datagram that its line takes.
fn channel_message_len_max(layers: &mut Layers<'_>, line: &str, channel: &str) -> Option<()> {
    let (key, mtu_key) = (format!("channels.{channel}.message_len_max"), format!("lines.{line}.mtu"));
    let stream_key = "stream.message_len_max";
    let (mtu, stream) = (layers.number(&mtu_key)?, layers.number(stream_key)?);
    let fits = mtu - AROUND_BLOCK_LEN;
    if !layers.is_set(&key) {
        let why = "what a feed's datagram takes, at most stream.message_len_max";
        layers.derive(key.clone(), Value::Integer(fits.min(stream)), why.into());
    }
    let asked = layers.number(&key)?;
    let most = fits.min(stream);
    if asked > fits {
        let rule = format!(
            "a feed's datagram takes {fits} bytes of a message at mtu {mtu}, and blocks are not split"
        );
        let hint = format!("write {most} or less, or leave it out");
        layers.blame(Code::MessageLength, &[&key, &mtu_key], rule, hint);
    } else if asked > stream {
        let rule = format!("{asked} bytes are more than any message has: {stream_key} is {stream}");
        let hint = format!("write {most} or less, or leave it out");
        layers.blame(Code::MessageLength, &[&key, stream_key], rule, hint);
    }
    Some(())
}

/// The tail holds the uncommitted window, the frames that standbys still lack, and those not yet in
/// segments: with less than four windows a slow disk would stop the stream before the window does.
fn stream_window(layers: &mut Layers<'_>) -> Option<()> {
    let (window_key, tail_key) = ("stream.window_bytes", "journal.tail_size");
    let (window, tail) = (layers.number(window_key)?, layers.number(tail_key)?);
    if window > tail / 4 {
        let largest = Value::SizeBytes((tail / 4) & !(PAGE_LEN - 1));
        let rule = format!(
            "a window of {} needs a tail of four times its size, and journal.tail_size is {}",
            Value::SizeBytes(window),
            Value::SizeBytes(tail)
        );
        let need = Value::SizeBytes(window.saturating_mul(4).next_multiple_of(PAGE_LEN));
        let hint = format!("write window_bytes = \"{largest}\" or less, or tail_size = \"{need}\" or more");
        layers.blame(Code::Window, &[window_key, tail_key], rule, hint);
    }
    Some(())
}

/// The uncommitted share of one publisher is part of the stream's window.
fn publisher_window(layers: &mut Layers<'_>) -> Option<()> {
    let (own_key, stream_key) = ("publisher.window", "stream.window_entries");
    let (own, stream) = (layers.number(own_key)?, layers.number(stream_key)?);
    if own > stream {
        let rule = format!("one publisher's window of {own} entries is larger than the stream's of {stream}");
        layers.blame(Code::Window, &[own_key, stream_key], rule, format!("write {stream} or less"));
    }
    Some(())
}

/// Memory is mapped, and O_DIRECT writes, in whole pages.
fn whole_pages(layers: &mut Layers<'_>, key: &str) -> Option<()> {
    let bytes = layers.number(key)?;
    if !bytes.is_multiple_of(PAGE_LEN) {
        let hint = format!("write \"{}\"", Value::SizeBytes(bytes.next_multiple_of(PAGE_LEN)));
        layers.blame(Code::Range, &[key], format!("{bytes} bytes are no multiple of 4KiB"), hint);
    }
    Some(())
}

/// The segment that is being written and the last sealed one are always retained.
fn retention(layers: &mut Layers<'_>, key: &str) -> Option<()> {
    let segment_key = "journal.segment_size";
    let (retention, segment) = (layers.number(key)?, layers.number(segment_key)?);
    if retention < 2 * segment {
        let rule =
            format!("{} hold no two segments of {}", Value::SizeBytes(retention), Value::SizeBytes(segment));
        let hint = format!("write \"{}\" or more", Value::SizeBytes(2 * segment));
        layers.blame(Code::Window, &[key, segment_key], rule, hint);
    }
    Some(())
}

/// `low` is at most `high`.
fn ordered(layers: &mut Layers<'_>, low: &str, high: &str, reason: &str) -> Option<()> {
    if layers.number(low)? > layers.number(high)? {
        let (low_value, high_value) = (layers.printed(low)?, layers.printed(high)?);
        let rule = format!("{low_value} is more than {high} = {high_value}, and {reason}");
        layers.blame(
            Code::Timing,
            &[low, high],
            rule,
            format!("write {low} = \"{high_value}\" or less, or raise {high}"),
        );
    }
    Some(())
}

/// With `power` a commit waits for a group's write; resending before it can come only adds load.
fn group_commit(layers: &mut Layers<'_>) -> Option<()> {
    let (flush, resend) = ("journal.flush_interval", "timing.resend_max");
    let power = layers.word("stream.durability").and_then(Durability::from_word) == Some(Durability::Power);
    if power && layers.number(flush)? >= layers.number(resend)? {
        let (flush_value, resend_value) = (layers.printed(flush)?, layers.printed(resend)?);
        let rule = format!(
            "with durability power a commit waits {flush_value}, and publishers resend after {resend_value}"
        );
        layers.blame(Code::Timing, &[flush, resend], rule, format!("write {flush} below {resend_value}"));
    }
    Some(())
}

/// A sleeping receiver costs 25 µs and its sender 8 µs more per datagram.
fn production_idle(layers: &mut Layers<'_>) -> Option<()> {
    let idle = Idle::from_word(layers.word("runtime.idle")?)?;
    if idle == Idle::Park && is_profile(layers, Profile::Production) {
        let rule = "production does not park: each wake-up delays the message, and its sender too".into();
        let hint = "write \"spin\", or \"yield\" where cores are shared, or profile = \"shared\"".into();
        layers.blame(Code::Profile, &["runtime.idle"], rule, hint);
    }
    Some(())
}

/// A production network is not the only thing that keeps strangers out.
fn production_keys(layers: &mut Layers<'_>) -> Option<()> {
    let key = "security.mode";
    let mode = SecurityMode::from_word(layers.word(key)?);
    if is_profile(layers, Profile::Production) && mode == Some(SecurityMode::None) {
        let rule = "production does not trust its network alone".into();
        let hint =
            "leave it out and make keys with `lockstep keys new`, or write profile = \"shared\"".into();
        layers.blame(Code::Profile, &[key], rule, hint);
    }
    Some(())
}

/// Fault injection makes a production network a bad one.
fn production_fault_injection(layers: &mut Layers<'_>) {
    if !is_profile(layers, Profile::Production) {
        return;
    }
    for key in [
        "fault_injection.loss",
        "fault_injection.duplication",
        "fault_injection.reordering",
        "fault_injection.delay",
    ] {
        if layers.number(key).is_some_and(|value| value > 0) {
            let rule = "production does not lose, repeat, reorder or delay on purpose".into();
            let hint =
                "leave [fault_injection] out, or write profile = \"shared\" where nothing depends on it"
                    .into();
            layers.blame(Code::Profile, &[key], rule, hint);
        }
    }
}

/// A spinning FIFO thread never yields its core.
fn shared_fifo(layers: &mut Layers<'_>) -> Option<()> {
    let idle = Idle::from_word(layers.word("runtime.idle")?)?;
    let Value::Scheduling(scheduling) = layers.cells.get("runtime.scheduling")?.value else { return None };
    let starves = matches!(scheduling, Scheduling::Fifo(_)) && idle != Idle::Park;
    if starves && is_profile(layers, Profile::Shared) {
        let rule = format!(
            "{scheduling} with idle {idle} starves whatever shares the core, and the profile is shared"
        );
        let hint = "write scheduling = \"other\", or profile = \"production\" on machines of its own".into();
        layers.blame(Code::Profile, &["runtime.scheduling", "runtime.idle"], rule, hint);
    }
    Some(())
}
