//! Loss of power on all machines at once, a few times. `cargo run --release -p tools -- power --times 100`
//! does it more often.

use lockstep_io::clock::random_u64;
use lockstep_memory::rng::Rng;
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::busy;
use lockstep_testkit::{images, power};

fn rng() -> Rng {
    Rng::new(random_u64().expect("the kernel's chance"))
}

#[test]
fn with_durability_power_all_that_was_acknowledged_is_there_when_the_power_comes_back() {
    if let Some(reason) = images::unsupported() {
        println!("SKIPPED: {reason}");
        return;
    }
    let _place = busy();
    let mut rng = rng();
    for _ in 0..amount(1, 3) {
        println!("{}", power::keeps_all(&mut rng));
    }
}

#[test]
fn with_durability_process_what_may_be_lost_is_said_and_an_operator_founds_a_history_on_the_rest() {
    if let Some(reason) = images::unsupported() {
        println!("SKIPPED: {reason}");
        return;
    }
    let _place = busy();
    println!("{}", power::says_what_is_lost(&mut rng()));
}
