//! Tests of the crate's public surface. Sessions of clients have their tests beside the code; the feed has
//! them here, over the spool that it uses in production.

mod feed;

use lockstep_gateway::gateway::users::Recipient;
use lockstep_wire::CHANNEL_NUMBER_MAX;

#[test]
fn the_last_channel_of_a_file_is_the_last_that_users_can_name() {
    let last = CHANNEL_NUMBER_MAX;
    assert_eq!(format!("channel:{last}").parse(), Ok(Recipient::Channel(last)));
    assert!(format!("channel:{}", last + 1).parse::<Recipient>().is_err());
}
