//! The program that a card runs for each frame: it decides whether the frame is for this node.
//!
//! Some thirty instructions are assembled here, so that neither a C compiler nor a binary file is needed. A
//! datagram for this node goes to the socket of its queue, and every other frame to the kernel. So does a
//! datagram for this node on a queue without a socket.
//!
//! It is attached by a link, which is a file descriptor. The link ends with the process, for whatever reason,
//! and the program with the link: nothing is ever left on a card.

use super::frame::{ETHERNET_LEN, HEADERS_LEN, TAG_LEN, TPID};
use crate::IoError;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The datagrams for this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Match {
    /// The groups, and the port of all of them.
    pub groups: [Ipv4Addr; 3],
    pub group_port: u16,
    /// Our own address and port.
    pub unicast: (Ipv4Addr, u16),
    /// The VLAN of the frames; `None`: they have no tag.
    pub vlan: Option<u16>,
}

/// The place of a program in the card's receive path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AttachMode {
    /// In the driver.
    Native,
    /// Behind the driver, in the kernel: works on every card.
    Generic,
}

/// A program on a card, until this is dropped or the process ends.
pub(super) struct Attached {
    _link: OwnedFd,
    map: OwnedFd,
}

impl Attached {
    /// Loads the program, and attaches it to the card with this index. Nothing is redirected before a queue
    /// has a socket.
    pub fn new(
        what: &Match,
        place: AttachMode,
        card: u32,
        name: &str,
        queues: u32,
    ) -> Result<Self, (IoError, AttachStep)> {
        let map = new_map(queues).map_err(|error| (error, AttachStep::Load))?;
        let program =
            load(&assemble(what, map.as_raw_fd(), XDP_PASS)).map_err(|error| (error, AttachStep::Load))?;
        let flags = match place {
            AttachMode::Native => XDP_FLAGS_DRV_MODE,
            AttachMode::Generic => XDP_FLAGS_SKB_MODE,
        };
        let link = attach(program.as_fd(), card, flags);
        let doing = |error| IoError::new(format!("attach the XDP program to {name}"), error);
        let link = link.map_err(|error| (doing(error), AttachStep::Attach))?;
        Ok(Self { _link: link, map })
    }

    /// From now on datagrams for this node on this queue go to this socket.
    pub fn serve(&self, queue: u32, socket: BorrowedFd<'_>) -> Result<(), IoError> {
        let value = socket.as_raw_fd();
        let attr = UpdateElement {
            map: self.map.as_raw_fd() as u32,
            _pad: 0,
            key: (&raw const queue) as u64,
            value: (&raw const value) as u64,
            flags: 0,
        };
        // SAFETY: key and value have four bytes each, as the map was created with, and live across the call.
        let done = unsafe { bpf(BPF_MAP_UPDATE_ELEM, &attr) };
        done.map(drop)
            .map_err(|error| IoError::new(format!("enter the socket of queue {queue} into the map"), error))
    }
}

/// The failed step: loading fails alike on every card, attaching depends on the card.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AttachStep {
    Load,
    Attach,
}

/// Instructions of `linux/bpf.h`: operation, registers, offset, value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
struct Instruction {
    operation: u8,
    /// The target register in the low half, the source register in the high one.
    registers: u8,
    offset: i16,
    value: i32,
}

const LOAD_WORD: u8 = 0x61;
const LOAD_HALF: u8 = 0x69;
const LOAD_BYTE: u8 = 0x71;
const LOAD_WIDE: u8 = 0x18;
const MOVE_VALUE: u8 = 0xb7;
const MOVE: u8 = 0xbf;
const ADD_VALUE: u8 = 0x07;
const AND_VALUE: u8 = 0x57;
const JUMP: u8 = 0x05;
const JUMP_GREATER: u8 = 0x2d;
const JUMP_EQUAL: u8 = 0x15;
const JUMP_NOT_EQUAL: u8 = 0x55;
/// Compares 32 bits: a comparison of 64 bits would extend the sign of 239.x.
const JUMP_WORD_EQUAL: u8 = 0x16;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
/// Marks a wide load's value as a map's descriptor.
const OF_MAP: u8 = 1;

/// The helper that sends a frame to a map's socket, or returns its flags if there is none.
const REDIRECT_MAP: i32 = 51;
const XDP_PASS: i32 = 2;

/// Offsets in `struct xdp_md`: the frame's beginning and end, and the queue by which it came.
const MD_DATA: i16 = 0;
const MD_END: i16 = 4;
const MD_QUEUE: i16 = 16;

/// The target of a jump that is not resolved yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Label {
    Groups,
    Ours,
    Pass,
}

/// Instructions and the jumps between them.
#[derive(Default)]
struct Assembler {
    code: Vec<Instruction>,
    jumps: Vec<(usize, Label)>,
    labels: Vec<(Label, usize)>,
}

impl Assembler {
    fn put(&mut self, operation: u8, target: u8, source: u8, offset: i16, value: i32) {
        self.code.push(Instruction { operation, registers: target | source << 4, offset, value });
    }

    fn jump(&mut self, operation: u8, target: u8, source: u8, value: i32, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.put(operation, target, source, 0, value);
    }

    /// Compares the two bytes at `at` of the frame with `value`, and passes the frame to the kernel if they
    /// differ.
    fn demand_half(&mut self, at: usize, mask: Option<u16>, value: u16) {
        self.put(LOAD_HALF, R5, R2, at as i16, 0);
        if let Some(mask) = mask {
            self.put(AND_VALUE, R5, 0, 0, i32::from(mask.to_be()));
        }
        self.jump(JUMP_NOT_EQUAL, R5, 0, i32::from(value.to_be()), Label::Pass);
    }

    fn demand_byte(&mut self, at: usize, value: u8) {
        self.put(LOAD_BYTE, R5, R2, at as i16, 0);
        self.jump(JUMP_NOT_EQUAL, R5, 0, i32::from(value), Label::Pass);
    }

    fn label(&mut self, label: Label) {
        self.labels.push((label, self.code.len()));
    }

    fn finish(mut self) -> Vec<Instruction> {
        for (at, to) in self.jumps {
            let target = self.labels.iter().find(|(label, _)| *label == to).map_or(at, |(_, target)| *target);
            // A jump counts from the next instruction.
            self.code[at].offset = (target as i64 - at as i64 - 1) as i16;
        }
        self.code
    }
}

const R0: u8 = 0;
const R1: u8 = 1;
const R2: u8 = 2;
const R3: u8 = 3;
const R4: u8 = 4;
const R5: u8 = 5;

/// The program: matches `what`, looks its sockets up in `map`, and returns `otherwise` for datagrams of this
/// node without a socket.
fn assemble(what: &Match, map: i32, otherwise: i32) -> Vec<Instruction> {
    let mut asm = Assembler::default();
    let tag = what.vlan.map_or(0, |_| TAG_LEN);
    asm.put(LOAD_WORD, R2, R1, MD_DATA, 0);
    asm.put(LOAD_WORD, R3, R1, MD_END, 0);
    asm.put(MOVE, R4, R2, 0, 0);
    asm.put(ADD_VALUE, R4, 0, 0, (HEADERS_LEN + tag) as i32);
    asm.jump(JUMP_GREATER, R4, R3, 0, Label::Pass);
    if let Some(vlan) = what.vlan {
        asm.demand_half(12, None, TPID);
        // The upper bits are priorities.
        asm.demand_half(14, Some(0x0fff), vlan);
        asm.put(ADD_VALUE, R2, 0, 0, TAG_LEN as i32);
    }
    let ip = ETHERNET_LEN;
    asm.demand_half(12, None, 0x0800);
    // Version 4, no options: the length of the header is then known.
    asm.demand_byte(ip, 0x45);
    asm.demand_byte(ip + 9, libc::IPPROTO_UDP as u8);
    // Neither more fragments nor an offset.
    asm.demand_half(ip + 6, Some(0x3fff), 0);
    asm.put(LOAD_WORD, R5, R2, (ip + 16) as i16, 0);
    asm.put(LOAD_HALF, R4, R2, (ip + 22) as i16, 0);
    let port = |port: u16| i32::from(port.to_be());
    let address = |address: Ipv4Addr| u32::from(address).to_be() as i32;
    asm.jump(JUMP_EQUAL, R4, 0, port(what.group_port), Label::Groups);
    asm.jump(JUMP_NOT_EQUAL, R4, 0, port(what.unicast.1), Label::Pass);
    asm.jump(JUMP_WORD_EQUAL, R5, 0, address(what.unicast.0), Label::Ours);
    asm.jump(JUMP, 0, 0, 0, Label::Pass);
    asm.label(Label::Groups);
    for group in what.groups {
        asm.jump(JUMP_WORD_EQUAL, R5, 0, address(group), Label::Ours);
    }
    asm.jump(JUMP, 0, 0, 0, Label::Pass);
    asm.label(Label::Ours);
    asm.put(LOAD_WORD, R2, R1, MD_QUEUE, 0);
    asm.put(LOAD_WIDE, R1, OF_MAP, 0, map);
    asm.put(0, 0, 0, 0, 0);
    asm.put(MOVE_VALUE, R3, 0, 0, otherwise);
    asm.put(CALL, 0, 0, 0, REDIRECT_MAP);
    asm.put(EXIT, 0, 0, 0, 0);
    asm.label(Label::Pass);
    asm.put(MOVE_VALUE, R0, 0, 0, XDP_PASS);
    asm.put(EXIT, 0, 0, 0, 0);
    asm.finish()
}

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_MAP_TYPE_XSKMAP: u32 = 17;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// The members of `union bpf_attr` in use; the kernel takes missing members at the end as zero.
#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_bytes: u32,
    value_bytes: u32,
    entries_max: u32,
}

#[repr(C)]
struct UpdateElement {
    map: u32,
    _pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgramLoad {
    program_type: u32,
    instructions: u32,
    code: u64,
    licence: u64,
    log_level: u32,
    log_bytes: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

#[repr(C)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// Makes one `bpf(2)`.
///
/// # Safety
/// The memory that `attr` points to is alive and of the size that it states.
unsafe fn bpf<T>(command: libc::c_int, attr: &T) -> std::io::Result<libc::c_long> {
    // SAFETY: `attr` lives across the call, its size is stated, and the caller vouches for what it points to.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attr), size_of::<T>()) };
    if done < 0 { Err(std::io::Error::last_os_error()) } else { Ok(done) }
}

/// The descriptor that a successful `bpf(2)` made; the kernel sets close-on-exec on all of them.
fn owned(descriptor: libc::c_long) -> OwnedFd {
    // SAFETY: the kernel has just made it, and it has no other owner.
    unsafe { OwnedFd::from_raw_fd(descriptor as i32) }
}

fn new_map(queues: u32) -> Result<OwnedFd, IoError> {
    let attr = MapCreate { map_type: BPF_MAP_TYPE_XSKMAP, key_bytes: 4, value_bytes: 4, entries_max: queues };
    // SAFETY: it points to nothing.
    let made = unsafe { bpf(BPF_MAP_CREATE, &attr) };
    made.map(owned).map_err(|error| IoError::new("make the map of XDP sockets", error))
}

fn load(code: &[Instruction]) -> Result<OwnedFd, IoError> {
    let mut log = vec![0_u8; 16 << 10];
    let mut name = [0; 16];
    name[..8].copy_from_slice(b"lockstep");
    let mut attr = ProgramLoad {
        program_type: BPF_PROG_TYPE_XDP,
        instructions: code.len() as u32,
        code: code.as_ptr() as u64,
        // No helper here requires a licence of the GPL's kind.
        licence: c"MIT".as_ptr() as u64,
        log_level: 0,
        log_bytes: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name,
        interface: 0,
        attach_type: BPF_XDP,
    };
    // SAFETY: instructions, licence and log live across the call, and their sizes are stated.
    let refused = match unsafe { bpf(BPF_PROG_LOAD, &attr) } {
        Ok(made) => return Ok(owned(made)),
        Err(error) => error,
    };
    // The reason is requested only now: the log has room for a short text only.
    (attr.log_level, attr.log_bytes, attr.log) = (1, log.len() as u32, log.as_mut_ptr() as u64);
    // SAFETY: as above.
    let again = unsafe { bpf(BPF_PROG_LOAD, &attr) };
    if let Ok(made) = again {
        return Ok(owned(made));
    }
    let words = log.split(|byte| *byte == 0).next().map(String::from_utf8_lossy).unwrap_or_default();
    let last = words.lines().last().unwrap_or_default();
    let why = if last.is_empty() { String::new() } else { format!(" (the verifier says: {last})") };
    Err(IoError::new(format!("load the XDP program{why}"), refused))
}

fn attach(program: BorrowedFd<'_>, card: u32, flags: u32) -> std::io::Result<OwnedFd> {
    let attr =
        LinkCreate { program: program.as_raw_fd() as u32, interface: card, attach_type: BPF_XDP, flags };
    // SAFETY: it points to nothing.
    unsafe { bpf(BPF_LINK_CREATE, &attr) }.map(owned)
}

#[cfg(test)]
mod tests;
