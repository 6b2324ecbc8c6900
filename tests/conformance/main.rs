//! What the port [`Net`](lockstep_core::engine::ports::Net) promises, held by every transport alike: the
//! kernel's UDP, groups by unicast, a card by AF_XDP, shared memory, the simulator's network, and one without
//! any system call, which stands for those of others. `docs/PORTS.md` has the promises in words.
//!
//! A transport takes part by an [`Ether`](promises::Ether), and by one line below.

// Sleeps and clocks belong to io and the command line; here they stand for the latter.
#![allow(clippy::disallowed_methods)]

#[path = "null.rs"]
mod null;
#[path = "openers.rs"]
mod openers;
#[path = "promises.rs"]
mod promises;

use openers::{Cards, Copies, Host, Kernel, SimEther};

/// Every promise as a test of its own; `$ether` is an `Option`, and who has none says why.
macro_rules! keeps_its_promises {
    ($transport:ident, $ether:expr) => {
        mod $transport {
            use super::*;

            keeps_its_promises!(
                @ $ether,
                datagrams_of_every_size_up_to_the_greatest_pass_whole_by_groups_and_by_unicast,
                one_byte_above_the_greatest_is_refused_and_what_stands_in_front_of_it_is_sent,
                a_network_that_does_not_carry_so_much_is_refused_by_name,
                bursts_of_several_strides_arrive_cut_where_they_were_cut,
                what_is_lost_is_missing_whole_and_counted_and_what_comes_is_untorn,
                over_a_network_that_loses_repeats_and_reorders_what_comes_is_what_was_sent,
                what_others_send_there_is_handed_up_as_it_was_or_not_at_all,
                lent_memory_stays_as_it_is_until_the_next_receive,
                who_leaves_a_group_hears_it_no_more_and_the_others_still,
                a_peer_that_ends_in_mid_flow_harms_nobody_and_is_heard_again_when_it_is_back,
                where_nothing_has_come_a_receive_says_so_at_once,
                a_device_says_that_it_is_drained_only_where_nothing_waits_and_then_it_does,
            );
        }
    };
    (@ $ether:expr, $($promise:ident),* $(,)?) => {
        $(
            #[test]
            fn $promise() {
                if let Some(mut ether) = $ether {
                    promises::$promise(&mut ether);
                }
            }
        )*
    };
}

keeps_its_promises!(udp, Some(Kernel::new()));
keeps_its_promises!(unicast, Some(Copies::new()));
keeps_its_promises!(xdp_native, Cards::new(lockstep_io::xdp::Mode::Native));
keeps_its_promises!(xdp_generic, Cards::new(lockstep_io::xdp::Mode::Generic));
keeps_its_promises!(shm, Some(Host::new()));
keeps_its_promises!(simulated, Some(SimEther::default()));
keeps_its_promises!(without_system_calls, Some(null::Ether::default()));
