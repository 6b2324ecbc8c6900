//! The kernel runs the program on crafted frames (`BPF_PROG_TEST_RUN`): it needs no card, only the
//! capability.

use super::*;
use crate::xdp::frame::{Template, multicast_mac};
use std::net::SocketAddrV4;

const BPF_PROG_TEST_RUN: libc::c_int = 10;
/// The tested program's result for datagrams of this node: its map has no socket.
const OURS: i32 = 1;

const GROUPS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(239, 1, 2, 1), Ipv4Addr::new(239, 1, 2, 2), Ipv4Addr::new(224, 255, 2, 3)];
const OWN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

fn what(vlan: Option<u16>) -> Match {
    Match { groups: GROUPS, group_port: 7700, unicast: (OWN, 7701), vlan }
}

/// The members of `union bpf_attr` for a run.
#[repr(C)]
struct Run {
    program: u32,
    answer: u32,
    frame_bytes: u32,
    out_bytes: u32,
    frame: u64,
    out: u64,
    repeat: u32,
    duration: u32,
    rest: [u64; 6],
}

struct Loaded {
    program: OwnedFd,
    _map: OwnedFd,
}

/// The program as loaded by the kernel; `None` where that is not allowed.
fn loaded(vlan: Option<u16>) -> Option<Loaded> {
    let made = new_map(4).and_then(|map| {
        let program = load(&assemble(&what(vlan), map.as_raw_fd(), OURS))?;
        Ok(Loaded { program, _map: map })
    });
    match made {
        Ok(loaded) => Some(loaded),
        Err(error) if error.source.raw_os_error() == Some(libc::EPERM) => {
            println!("SKIPPED: an XDP program needs the rights CAP_BPF and CAP_NET_ADMIN");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

impl Loaded {
    fn takes(&self, frame: &[u8]) -> bool {
        let mut run = Run {
            program: self.program.as_raw_fd() as u32,
            answer: 0,
            frame_bytes: frame.len() as u32,
            out_bytes: 0,
            frame: frame.as_ptr() as u64,
            out: 0,
            repeat: 1,
            duration: 0,
            rest: [0; 6],
        };
        // SAFETY: the frame lives across the call, and its size is stated; the result is written into `run`.
        let done = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_TEST_RUN, &raw mut run, size_of::<Run>()) };
        assert_eq!(done, 0, "{} on {} bytes", std::io::Error::last_os_error(), frame.len());
        match run.answer as i32 {
            OURS => true,
            XDP_PASS => false,
            other => panic!("answered {other}"),
        }
    }
}

fn frame(vlan: Option<u16>, to: SocketAddrV4) -> Vec<u8> {
    let from = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 9), 7700);
    let template = Template::new(([2; 6], multicast_mac(*to.ip())), vlan, from, to, 1);
    let mut frame = vec![0; 200];
    let len = template.write(&mut frame, [&[5; 80], &[]]).unwrap();
    frame.truncate(len);
    frame
}

fn at(address: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(address, port)
}

#[test]
fn the_three_groups_on_their_port_and_our_address_on_ours_are_taken_and_nothing_else() {
    for vlan in [None, Some(100)] {
        let Some(program) = loaded(vlan) else { return };
        for ours in [at(GROUPS[0], 7700), at(GROUPS[1], 7700), at(GROUPS[2], 7700), at(OWN, 7701)] {
            assert!(program.takes(&frame(vlan, ours)), "{ours}");
        }
        for other in [
            at(GROUPS[0], 7701),
            at(GROUPS[0], 0x141e),
            at(OWN, 7700),
            at(OWN, 53),
            at(Ipv4Addr::new(239, 1, 2, 4), 7700),
            at(Ipv4Addr::new(111, 1, 2, 1), 7700),
            at(Ipv4Addr::new(10, 77, 0, 2), 7701),
            at(Ipv4Addr::BROADCAST, 7701),
        ] {
            assert!(!program.takes(&frame(vlan, other)), "{other}");
        }
    }
}

#[test]
fn fragments_options_other_protocols_and_short_frames_are_the_kernels() {
    let Some(program) = loaded(None) else { return };
    let ours = frame(None, at(GROUPS[1], 7700));
    let changed = |at: usize, byte: u8| {
        let mut frame = ours.clone();
        frame[at] = byte;
        program.takes(&frame)
    };
    assert!(changed(20, 0) && changed(15, 0xb8) && changed(22, 255), "fragments allowed, service, ttl");
    for (at, byte) in
        [(12, 0x86), (13, 0xdd), (14, 0x46), (14, 0x65), (23, 6), (20, 0x20), (21, 1), (20, 0x1f)]
    {
        assert!(!changed(at, byte), "{byte:#x} at {at}");
    }
    for len in 14..42 {
        assert!(!program.takes(&ours[..len]), "{len} bytes");
    }
    assert!(program.takes(&ours[..42]), "the lengths inside are judged later");
}

#[test]
fn a_tag_is_taken_if_and_only_if_it_is_ours() {
    let (Some(plain), Some(tagged)) = (loaded(None), loaded(Some(100))) else { return };
    let to = at(GROUPS[1], 7700);
    assert!(!plain.takes(&frame(Some(100), to)) && !tagged.takes(&frame(None, to)));
    assert!(!tagged.takes(&frame(Some(101), to)) && !tagged.takes(&frame(Some(0x164), to)));
    let mut urgent = frame(Some(100), to);
    urgent[14] |= 0xe0;
    assert!(tagged.takes(&urgent));
    for len in 14..46 {
        assert!(!tagged.takes(&urgent[..len]), "{len} bytes");
    }
}

#[test]
fn what_the_verifier_refuses_is_told_in_its_words() {
    if loaded(None).is_none() {
        return;
    }
    let falls_off_the_end = [Instruction { operation: MOVE_VALUE, registers: 0, offset: 0, value: 0 }];
    let error = load(&falls_off_the_end).unwrap_err();
    assert!(error.doing.contains("the verifier says: "), "{error}");
}
