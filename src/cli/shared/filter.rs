//! Which messages of the stream `subscribe` prints.

use clap::builder::NonEmptyStringValueParser;
use lockstep_client::{Destination, Message, PublisherId};
use lockstep_names::OpenedNames;

/// Flags by which messages are chosen.
#[derive(clap::Args, Debug, Default)]
pub struct FilterArgs {
    /// Only messages of this publisher, by its name or id; a name is known once its open was read
    #[arg(long, value_name = "NAME|ID")]
    pub publisher: Option<String>,
    /// Only messages to this destination
    #[arg(long, value_name = "N")]
    pub destination: Option<Destination>,
    /// Only messages that have this text somewhere
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub grep: Option<String>,
}

/// The choice.
pub struct Filter {
    publisher: Option<PublisherFilter>,
    destination: Option<Destination>,
    text: Option<Vec<u8>>,
}

enum PublisherFilter {
    Id(PublisherId),
    Name(String),
}

impl Filter {
    /// Of these flags. A number is an id.
    pub fn new(args: &FilterArgs) -> Self {
        let publisher = args.publisher.as_ref().map(|word| {
            word.parse().map_or_else(|_| PublisherFilter::Name(word.clone()), PublisherFilter::Id)
        });
        let text = args.grep.clone().map(String::into_bytes);
        Self { publisher, destination: args.destination, text }
    }

    /// Whether a message is chosen, by the names that were read so far.
    pub fn has(&self, message: &Message<'_>, names: &OpenedNames) -> bool {
        let is_publishers = match &self.publisher {
            None => true,
            Some(PublisherFilter::Id(id)) => *id == message.publisher,
            Some(PublisherFilter::Name(wanted)) => names.get(message.publisher) == Some(&**wanted),
        };
        is_publishers
            && self.destination.is_none_or(|destination| destination == message.destination)
            && self.text.as_ref().is_none_or(|text| has_bytes(message.payload, text))
    }

    /// The name of which nothing is known at the end: nothing of it was printed.
    pub fn unknown_name(&self, names: &OpenedNames) -> Option<&str> {
        match &self.publisher {
            Some(PublisherFilter::Name(name)) if !names.has(name) => Some(name),
            _ => None,
        }
    }
}

/// Whether `bytes` have `wanted`, which is not empty, somewhere.
pub fn has_bytes(bytes: &[u8], wanted: &[u8]) -> bool {
    let (first, mut rest) = (wanted[0], bytes);
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        rest = &rest[at..];
        if rest.starts_with(wanted) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_wherever_they_begin() {
        for (bytes, wanted, found) in [
            (&b"aab"[..], &b"ab"[..], true),
            (b"aab", b"aab", true),
            (b"aab", b"ba", false),
            (b"", b"a", false),
            (b"\x00\xff", b"\xff", true),
        ] {
            assert_eq!(has_bytes(bytes, wanted), found, "{bytes:?} {wanted:?}");
        }
    }
}
