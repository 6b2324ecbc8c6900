//! Channels: what feeds carry fits their datagrams.

use crate::{SHARED, accepted, changed, effective, env, problems};
use lockstep_wire::CHANNEL_NUMBER_MAX;
use moldudp64::{Packer, Session};

/// Config knows no other room, so the two sides of one fact are held together here.
#[test]
fn a_channels_limit_is_what_a_feeds_datagram_takes_unless_it_or_the_stream_says_less() {
    let day = Session::new(b"FIRST").expect("a session");
    for mtu in [1_100, 1_500, 9_000] {
        let line = format!("ttl = 0\nmtu = {mtu}");
        let text = changed(
            SHARED,
            &[
                ("ttl = 0", &line),
                ("[stream]", "[[channels]]\nid = 7\n[security]\nmode = \"none\"\n[stream]"),
            ],
        );
        let takes = Packer::new(day, mtu - 28).expect("a packer").message_len_max();
        let config = accepted(&text, &[]);
        assert_eq!(
            config.channel(7).map(|channel| channel.message_len_max as usize),
            Some(takes),
            "mtu {mtu}"
        );
    }
    let table =
        "[[channels]]\nid = 0\nmessage_len_max = 64\n[[channels]]\nid = 7\n[stream]\nmessage_len_max = 1000";
    let config = accepted(&changed(SHARED, &[("[stream]", table)]), &[]);
    let expected = "1000 from default (what a feed's datagram takes, at most stream.message_len_max)";
    assert_eq!(effective(&config, "channels.7.message_len_max"), expected);
    assert_eq!(config.channel(0).map(|channel| channel.message_len_max), Some(64));
    assert_eq!(config.channel(8), None);
}

#[test]
fn a_variable_reaches_a_channel_by_its_number() {
    let text = changed(SHARED, &[("[stream]", "[[channels]]\nid = 7\n[stream]")]);
    let config = accepted(&text, &env("LOCKSTEP_CHANNELS_7_MESSAGE_LEN_MAX", "99"));
    assert_eq!(config.channel(7).map(|channel| channel.message_len_max), Some(99));
}

#[test]
fn the_last_channel_of_a_file_is_the_last_one_and_none_is_the_gateways_or_notaries() {
    let last = CHANNEL_NUMBER_MAX;
    let table = format!("[[channels]]\nid = {last}\n[stream]");
    assert!(accepted(&changed(SHARED, &[("[stream]", &table)]), &[]).channel(last).is_some());
    let beyond = format!("[[channels]]\nid = {}\n[stream]", last + 1);
    assert_eq!(problems(&changed(SHARED, &[("[stream]", &beyond)])).len(), 1);
}
