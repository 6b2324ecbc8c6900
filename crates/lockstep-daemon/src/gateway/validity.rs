//! When a certificate ends: the one field of X.509 (RFC 5280, 4.1.2.5) that a gateway reads by itself,
//! because `rustls` does not return it.

use lockstep_io::clock::Utc;

/// Tags of DER.
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// The tag of a certificate's version, which certificates of version 1 lack.
const VERSION: u8 = 0xa0;

/// The first element of `bytes`: its tag, its content, and the rest of `bytes`.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (len, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// The content of the first element, which must have this tag, and the rest.
fn tagged(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    element(bytes).filter(|(tag, ..)| *tag == wanted).map(|(_, content, rest)| (content, rest))
}

/// The first and the last moment of a certificate's validity; `None` if the bytes are no certificate.
fn validity(certificate: &[u8]) -> Option<[&[u8]; 2]> {
    let (certificate, _) = tagged(certificate, SEQUENCE)?;
    let (mut fields, _) = tagged(certificate, SEQUENCE)?;
    if let Some((_, rest)) = tagged(fields, VERSION) {
        fields = rest;
    }
    // The serial number, the algorithm, and the issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        fields = tagged(fields, tag)?.1;
    }
    let (times, _) = tagged(fields, SEQUENCE)?;
    let from_len = times.len() - element(times)?.2.len();
    Some([&times[..from_len], &times[from_len..]])
}

/// A time: `270331120000Z`, or with four digits of the year.
fn time(bytes: &[u8]) -> Option<Utc> {
    let (tag, content, _) = element(bytes)?;
    let text = std::str::from_utf8(content).ok().filter(|text| text.is_ascii())?;
    let (century, rest) = match tag {
        // Years of two digits begin with 1950.
        UTC_TIME if text >= "50" => ("19", text),
        UTC_TIME => ("20", text),
        GENERALIZED_TIME => text.split_at_checked(2)?,
        _ => return None,
    };
    let digits: Vec<&str> = (0..6).filter_map(|pair| rest.get(2 * pair..2 * pair + 2)).collect();
    let [year, month, day, hour, minute, second] = digits[..] else { return None };
    Utc::parse(&format!("{century}{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

/// When a certificate ends; `None` for one without an end (`99991231235959Z`), or for other bytes.
pub(super) fn end(certificate: &[u8]) -> Option<Utc> {
    time(validity(certificate)?[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn both_times_of_a_certificate_are_read_and_a_damaged_one_has_none() {
        let pem = include_bytes!("../../../../tests/cluster/tls/first.pem");
        let certificate = CertificateDer::from_pem_slice(pem).expect("a certificate");
        let day = |text: &str| Utc::day(text);
        assert_eq!(end(&certificate), day("2120-01-01"));
        // One form of time each: years from 2050 on have four digits.
        assert_eq!(time(validity(&certificate).expect("a certificate")[0]), day("2020-01-01"));
        for len in 0..200 {
            assert_eq!(end(&certificate[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn a_year_of_two_digits_begins_with_1950_and_the_last_of_all_is_none() {
        let of = |tag: u8, text: &str| time(&[&[tag, text.len() as u8], text.as_bytes()].concat());
        assert_eq!(of(UTC_TIME, "270331120001Z"), Utc::parse("2027-03-31T12:00:01Z"));
        assert_eq!(of(UTC_TIME, "991231235959Z"), Utc::parse("1999-12-31T23:59:59Z"));
        assert_eq!(of(GENERALIZED_TIME, "99991231235959Z"), None);
        assert_eq!(
            (of(UTC_TIME, "27033112"), of(UTC_TIME, "2703321200Z"), of(INTEGER, "1")),
            (None, None, None)
        );
    }
}
