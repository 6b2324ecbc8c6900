//! An endpoint from addresses equals one from a file with the same content, and the builder refuses invalid
//! settings.

use lockstep_client::{CHANNELS, Config, Endpoint, EndpointBuilder, EndpointError};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

const FILE: &str = r#"cluster = 7
security.mode = "none"
profile = "shared"
[[lines]]
submit = "239.77.1.1:7700"
data = "239.77.1.2:7700"
control = "239.77.1.3:7700"
interface = "lo"
[[replicas]]
id = 1
unicast = "127.0.0.1:7701"
journal = "/j/1"
[[replicas]]
id = 2
unicast = "127.0.0.1:7702"
journal = "/j/2"
role = "witness"
[[archivers]]
id = 9
unicast = "127.0.0.1:7709"
journal = "/j/9"
"#;

fn from_text(text: &str) -> Endpoint {
    let config =
        Config::parse(Path::new("cluster.toml"), text, &[]).unwrap_or_else(|errors| panic!("{errors}"));
    Endpoint::from_config(&config).unwrap_or_else(|errors| panic!("{errors}"))
}

fn at(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

fn without_members() -> EndpointBuilder {
    let groups = [1, 2, 3].map(|last| Ipv4Addr::new(239, 77, 1, last));
    Endpoint::builder().cluster(7).without_keys().interface("lo").groups(groups, 7700)
}

fn builder() -> EndpointBuilder {
    without_members().member(1, at(7701)).witness(2, at(7702)).archiver(9, at(7709))
}

fn text_of(endpoint: Endpoint) -> String {
    format!("{endpoint:#?}")
}

#[test]
fn an_endpoint_from_addresses_is_that_of_a_file_that_says_the_same() {
    assert_eq!(text_of(builder().build().expect("it is complete")), text_of(from_text(FILE)), "all defaults");

    let file = FILE.replace(
        "interface = \"lo\"",
        "interface = \"127.0.0.1\"\nttl = 0\nmtu = 9000\ntransport = \"unicast\"",
    ) + "[[channels]]\nid = 3\nmessage_len_max = 500\n[network]\nshm = true\n[stream]\nmessage_len_max = 2000\n\
           [publisher]\nwindow = 64\nbuffer = \"2MiB\"\n[subscriber]\nbuffer = \"4MiB\"\nparts = \"1MiB\"\n\
           [runtime]\nidle = \"park\"\n";
    let built = builder()
        .interface("127.0.0.1")
        .ttl(0)
        .mtu(9_000)
        .unicast(true)
        .channel(3, 500)
        .shared_memory(true)
        .message_len_max(2_000)
        .publisher_window(64, 2 << 20)
        .subscriber_buffers(4 << 20, 1 << 20)
        .idle(lockstep_client::Idle::Park);
    assert_eq!(
        text_of(built.build().expect("it is complete")),
        text_of(from_text(&file)),
        "all that can be set"
    );
}

#[test]
fn the_builder_refuses_what_cannot_work_and_names_the_call() {
    let refused = |builder: EndpointBuilder, call: &str| {
        let error = builder.build().expect_err(call);
        assert!(error.to_string().contains(call), "{error}");
    };
    refused(Endpoint::builder(), "cluster(N)");
    refused(Endpoint::builder().cluster(1), "interface(");
    refused(Endpoint::builder().cluster(1).interface("lo"), "groups(");
    refused(without_members(), "member(id, address)");
    let unkeyed = builder().key_file("/nonexistent/publisher.keys");
    refused(unkeyed, "/nonexistent/publisher.keys");
    refused(builder().groups([Ipv4Addr::LOCALHOST; 3], 7700), "multicast");
    refused(builder().groups([Ipv4Addr::new(239, 77, 1, 1); 3], 7700), "groups()");
    refused(builder().member(256, at(7703)), "256");
    refused(builder().member(3, at(7701)), "repeats");
    refused(builder().member(3, at(7700)), "another port");
    refused(builder().mtu(9_001), "9001");
    refused(builder().message_len_max(65_537), "message_len_max");
    refused(builder().publisher_window(0, 1 << 20), "publisher_window()");
}

#[test]
fn an_error_that_main_returns_is_fit_to_be_read() {
    fn program() -> Result<Endpoint, EndpointError> {
        Endpoint::builder().cluster(1).interface("eth0").build()
    }
    let error = program().expect_err("it has no groups");
    assert_eq!(format!("{error:?}"), error.to_string(), "`main` prints Debug");
    assert_eq!(
        error.to_string(),
        "the endpoint is refused: it has no groups; call groups([submit, data, control], port)"
    );

    let missing = Endpoint::from_file("/nonexistent/lockstep.toml").expect_err("it is not there");
    let text = format!("{missing:?}");
    assert!(
        ["/nonexistent/lockstep.toml", "LS0100", "LOCKSTEP_CONFIG", "lockstep dev"]
            .iter()
            .all(|part| text.contains(part)),
        "{text}"
    );
}

#[test]
fn an_endpoint_of_a_file_reads_from_its_archiver_first() {
    let archiver = from_text(FILE).sources()[0];
    assert_eq!(archiver, at(7709));
}

#[test]
fn a_channel_of_a_file_takes_what_a_feeds_datagram_takes() {
    let file = format!("{FILE}[[channels]]\nid = 7\n");
    let config =
        Config::parse(Path::new("cluster.toml"), &file, &[]).unwrap_or_else(|errors| panic!("{errors}"));
    let takes = config.channel(7).map(|channel| channel.message_len_max as usize);
    assert_eq!(Some(from_text(&file).message_len_max_for(CHANNELS + 7)), takes);
}
