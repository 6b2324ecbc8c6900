//! # rights: what a publisher's key allows
//!
//! A key identifies the publisher of a submission; its rights limit what that publisher may submit. They
//! stand beside the keys in a replica's file, as words:
//!
//! | word | allows |
//! |---|---|
//! | `names=orders/*,risk` | to open these names, and to publish under them; `names=!client/*`: all but these |
//! | `to=everybody,channel:0-7,client/*` | to publish to these destinations |
//! | `rate=50000` | so many messages a second |
//! | `orders=handover,declare-dead,membership,day,upgrade,time` | to give these orders, as an operator |
//! | `public=` and 64 hexadecimal digits | nothing: the key by which the signatures of these orders are checked |
//!
//! A word that is absent limits nothing, except `orders`: without it no order is allowed. `orders` and
//! `public` stand together, so that every order of a publisher's key is proven by a signature. A pattern is a
//! whole name, or the beginning of names followed by `*`. A pattern with a `!` before it excludes names; if
//! `names` has only such patterns, all other names are allowed.

use crate::{
    CHANNELS, Destination, EVERYBODY, JOURNALS, MACHINES, OperatorOrder, PublicKey, PublisherId, SET_NAMES,
    SETS, is_publisher,
};
use std::fmt;

/// The greatest rate of a right in messages a second: one a nanosecond.
const RATE_MAX: u32 = 1_000_000_000;

/// A whole name, or the beginning of names.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct NamePattern {
    begin: String,
    is_whole: bool,
}

impl NamePattern {
    pub(crate) fn parse(word: &str) -> Result<Self, String> {
        let (begin, is_whole) = word.strip_suffix('*').map_or((word, true), |begin| (begin, false));
        if begin.contains('*') || is_whole && begin.is_empty() {
            return Err(format!("'{word}' is no pattern: write a name, or the beginning of names and a '*'"));
        }
        Ok(Self { begin: begin.to_owned(), is_whole })
    }

    #[inline]
    pub(crate) fn matches(&self, name: &str) -> bool {
        if self.is_whole { name == self.begin } else { name.starts_with(&self.begin) }
    }

    /// Of two patterns that match a name, the one with the greater rank is the more specific one.
    pub(crate) fn rank(&self) -> (bool, usize) {
        (self.is_whole, self.begin.len())
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.begin, if self.is_whole { "" } else { "*" })
    }
}

/// The names that a key opens.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Names {
    /// Empty: all names but the exceptions.
    allowed: Vec<NamePattern>,
    excepted: Vec<NamePattern>,
}

impl Names {
    fn parse(value: &str) -> Result<Self, String> {
        let mut names = Self::default();
        for word in value.split(',') {
            match word.strip_prefix('!') {
                Some(excepted) => names.excepted.push(NamePattern::parse(excepted)?),
                None => names.allowed.push(NamePattern::parse(word)?),
            }
        }
        Ok(names)
    }

    #[inline]
    fn has(&self, name: &str) -> bool {
        let one_of = |patterns: &[NamePattern]| patterns.iter().any(|pattern| pattern.matches(name));
        (self.allowed.is_empty() || one_of(&self.allowed)) && !one_of(&self.excepted)
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = self.allowed.iter().map(NamePattern::to_string);
        let excepted = self.excepted.iter().map(|pattern| format!("!{pattern}"));
        f.write_str(&allowed.chain(excepted).collect::<Vec<_>>().join(","))
    }
}

/// Destinations to which a key may publish.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Reach {
    Everybody,
    /// Channels by number, both included.
    Channels(u32, u32),
    /// Publishers by name.
    Names(NamePattern),
}

impl Reach {
    fn parse(word: &str) -> Result<Self, String> {
        if word == "everybody" {
            return Ok(Self::Everybody);
        }
        let Some(channels) = word.strip_prefix("channel:") else {
            return NamePattern::parse(word).map(Self::Names);
        };
        let (first, last) = channels.split_once('-').unwrap_or((channels, channels));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last && last < CHANNELS => Ok(Self::Channels(first, last)),
            _ => Err(format!("'{word}' names no channels: write channel:3, or channel:0-7")),
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everybody => f.write_str("everybody"),
            Self::Channels(first, last) if first == last => write!(f, "channel:{first}"),
            Self::Channels(first, last) => write!(f, "channel:{first}-{last}"),
            Self::Names(pattern) => pattern.fmt(f),
        }
    }
}

/// The rights of a publisher's key. See the module's table.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct KeyRights {
    /// `None`: all.
    names: Option<Names>,
    /// `None`: all.
    to: Option<Vec<Reach>>,
    /// Messages a second; `None`: no limit.
    rate: Option<u32>,
    /// In the order of [`OperatorOrder::ALL`].
    orders: Vec<OperatorOrder>,
    /// `None` without orders.
    public: Option<PublicKey>,
}

impl KeyRights {
    /// Parses the rights in `words`.
    ///
    /// # Errors
    /// The text names the wrong word and what may stand there.
    ///
    /// ```
    /// let rights = lockstep_wire::KeyRights::parse(["names=orders/*", "rate=1000"])?;
    /// assert!(rights.may_open("orders/7") && !rights.may_open("risk"));
    /// # Ok::<(), String>(())
    /// ```
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut rights = Self::default();
        let mut seen = Vec::new();
        for word in words {
            let (right, value) = word.split_once('=').unwrap_or((word, ""));
            if seen.contains(&right) {
                return Err(format!("'{right}' is listed twice"));
            }
            seen.push(right);
            match right {
                "names" => rights.names = Some(Names::parse(value)?),
                "to" => rights.to = Some(list(value, Reach::parse)?),
                "rate" => {
                    let rate = value.parse().ok().filter(|rate| (1..=RATE_MAX).contains(rate));
                    let rate = rate.ok_or(format!("'{word}': messages a second, from 1 to {RATE_MAX}"))?;
                    rights.rate = Some(rate);
                }
                "orders" => {
                    rights.orders = list(value, order)?;
                    rights.orders.sort();
                    rights.orders.dedup();
                }
                "public" => rights.public = Some(public(value)?),
                _ => {
                    return Err(format!(
                        "'{word}' is no right: write names=…, to=…, rate=…, orders=…, or public=…"
                    ));
                }
            }
        }
        match (rights.orders.is_empty(), rights.public) {
            (false, None) => {
                Err("'orders' stands without 'public': orders are signed, and this is the public key of the \
                                  operator who gives them; `lockstep keys operator NAME` makes one"
                    .to_owned())
            }
            (true, Some(_)) => {
                Err("'public' stands without 'orders': it is of use for these alone".to_owned())
            }
            _ => Ok(rights),
        }
    }

    /// AUTH-4 (names): whether the key may open this name, and publish under it.
    #[inline]
    pub fn may_open(&self, name: &str) -> bool {
        self.names.as_ref().is_none_or(|names| names.has(name))
    }

    /// Whether the key lists this name of a set, by a pattern that itself begins as these names do. A key
    /// that may open every name lists none.
    pub fn lists_set(&self, name: &str) -> bool {
        let Some(names) = &self.names else { return false };
        let lists = |pattern: &NamePattern| pattern.begin.starts_with(SET_NAMES) && pattern.matches(name);
        names.allowed.iter().any(lists) && names.has(name)
    }

    /// The same rights without the names of `patterns`, written as in a right `names=`. A key that may open
    /// only certain names stays as it is.
    ///
    /// # Errors
    /// A pattern is invalid.
    pub fn without_names(mut self, patterns: &str) -> Result<Self, String> {
        let more = Names::parse(patterns)?;
        let names = self.names.get_or_insert_default();
        if names.allowed.is_empty() {
            let fresh =
                more.allowed.into_iter().filter(|one| !names.excepted.contains(one)).collect::<Vec<_>>();
            names.excepted.extend(fresh);
        }
        Ok(self)
    }

    /// AUTH-5 (destinations): whether the key may publish to `destination`; `name` returns the name of an id.
    #[inline]
    pub fn may_reach<'a>(
        &self,
        destination: Destination,
        name: impl Fn(PublisherId) -> Option<&'a str>,
    ) -> bool {
        let Some(reached) = &self.to else { return true };
        if [JOURNALS, MACHINES, SETS].contains(&destination) {
            return true;
        }
        reached.iter().any(|reach| match reach {
            Reach::Everybody => destination == EVERYBODY,
            Reach::Channels(first, last) => {
                destination.checked_sub(CHANNELS).is_some_and(|channel| (*first..=*last).contains(&channel))
            }
            Reach::Names(pattern) => {
                is_publisher(destination) && name(destination).is_some_and(|name| pattern.matches(name))
            }
        })
    }

    /// AUTH-7 (orders): whether the key may give this order.
    pub fn may_order(&self, order: OperatorOrder) -> bool {
        self.orders.contains(&order)
    }

    /// The key by which the signatures of its orders are checked; `None` without orders.
    pub fn public(&self) -> Option<&PublicKey> {
        self.public.as_ref()
    }

    /// The messages a second that the leader stamps for the key; `None`: no limit.
    #[inline]
    pub fn rate(&self) -> Option<u32> {
        self.rate
    }
}

pub(crate) fn list<T>(value: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    value.split(',').map(parse).collect()
}

fn public(text: &str) -> Result<PublicKey, String> {
    let digits: Option<Vec<_>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let bytes =
        digits.map(|digits| digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect());
    let key = bytes
        .filter(|_| text.len() == 2 * size_of::<PublicKey>())
        .and_then(|bytes: Vec<_>| bytes.try_into().ok());
    key.ok_or_else(|| {
        format!("'{text}' is no public key: 64 hexadecimal digits, as `lockstep keys operator` prints them")
    })
}

fn order(word: &str) -> Result<OperatorOrder, String> {
    let known = OperatorOrder::ALL.into_iter().find(|order| order.name() == word);
    known.ok_or_else(|| {
        let known = OperatorOrder::ALL.map(OperatorOrder::name).join(", ");
        format!("'{word}' is no order; there are: {known}")
    })
}

impl fmt::Display for KeyRights {
    /// The words that [`KeyRights::parse`] reads, each behind a space.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn words<T: fmt::Display>(list: &[T]) -> String {
            list.iter().map(T::to_string).collect::<Vec<_>>().join(",")
        }
        if let Some(names) = &self.names {
            write!(f, " names={names}")?;
        }
        if let Some(to) = &self.to {
            write!(f, " to={}", words(to))?;
        }
        if let Some(rate) = self.rate {
            write!(f, " rate={rate}")?;
        }
        if !self.orders.is_empty() {
            write!(
                f,
                " orders={}",
                self.orders.iter().map(|order| order.name()).collect::<Vec<_>>().join(",")
            )?;
        }
        if let Some(public) = &self.public {
            f.write_str(" public=")?;
            public.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(words: &str) -> KeyRights {
        KeyRights::parse(words.split_whitespace()).unwrap()
    }

    #[test]
    fn auth_4_a_key_opens_the_names_of_its_patterns_alone() {
        // AUTH-4
        let key = rights("names=orders/*,risk");
        for name in ["orders/", "orders/7", "risk"] {
            assert!(key.may_open(name), "{name}");
        }
        for name in ["order", "risk2", "Risk", "", "calendar"] {
            assert!(!key.may_open(name), "{name}");
        }
        assert!(rights("").may_open("anything") && rights("names=*").may_open("anything"));
    }

    #[test]
    fn auth_4_names_that_are_excepted_are_opened_by_no_key_that_opens_all_others() {
        // AUTH-4
        let key = rights("names=!client/*,!gateway/*");
        for name in ["first", "client", "clients", "gateway", ""] {
            assert!(key.may_open(name), "{name}");
        }
        for name in ["client/", "client/alice", "gateway/a"] {
            assert!(!key.may_open(name), "{name}");
        }
        let some = rights("names=desk/*,!desk/7");
        assert!(some.may_open("desk/1") && !some.may_open("desk/7") && !some.may_open("first"));
        assert_eq!(some.to_string(), " names=desk/*,!desk/7");
        let more = rights("").without_names("exchange,exchange/*").unwrap();
        let more = more.without_names("exchange/*,risk").unwrap();
        assert_eq!(more.to_string(), " names=!exchange,!exchange/*,!risk");
        assert_eq!(some.clone().without_names("first").unwrap(), some, "it opens no other name as it is");
        assert!(KeyRights::parse(["names=!"]).is_err() && KeyRights::parse(["names=a,!b*c"]).is_err());
    }

    #[test]
    fn auth_5_a_key_reaches_the_destinations_of_its_list_alone() {
        // AUTH-5
        let name = |id| [None, Some("risk"), Some("client/1")].get(id as usize).copied().flatten();
        let reached = |key: &KeyRights| {
            let all = [EVERYBODY, 1, 2, 3, CHANNELS, CHANNELS + 7, CHANNELS + 8, u32::MAX];
            all.into_iter().filter(|to| key.may_reach(*to, name)).collect::<Vec<_>>()
        };
        assert_eq!(reached(&rights("to=client/*")), [2]);
        assert_eq!(reached(&rights("to=*")), [1, 2], "every name is a publisher's, and no channel's");
        assert_eq!(reached(&rights("to=everybody,channel:7")), [EVERYBODY, CHANNELS + 7]);
        assert_eq!(reached(&rights("to=channel:0-7")), [CHANNELS, CHANNELS + 7]);
        assert_eq!(reached(&rights("")).len(), 8);
        let narrow = rights("to=client/*");
        let own = [JOURNALS, MACHINES, SETS];
        assert!(own.iter().all(|own| narrow.may_reach(*own, name)), "what lockstep writes");
        assert!(!narrow.may_reach(crate::NOTARIES, name));
    }

    #[test]
    fn auth_12_a_set_is_listed_by_its_own_names_and_by_no_pattern_for_all() {
        // AUTH-12
        let name = "lockstep/set/1/cut/2";
        for (words, lists) in [
            ("", false),
            ("names=*", false),
            ("names=lockstep/*", false),
            ("names=!orders", false),
            ("names=lockstep/set/*", true),
            ("names=lockstep/set/1/cut/2", true),
            ("names=lockstep/set/1/cut/3", false),
            ("names=lockstep/set/*,!lockstep/set/1/cut/2", false),
        ] {
            assert_eq!(rights(words).lists_set(name), lists, "{words}");
        }
    }

    #[test]
    fn rights_are_read_as_they_are_written() {
        let public = format!(" public={}", "0f".repeat(32));
        let all =
            format!(" names=a,b/* to=everybody,channel:0-7,channel:9,c/* rate=5 orders=handover,day{public}");
        for words in ["", &all, " names=*"] {
            assert_eq!(rights(words).to_string(), words);
        }
        let twice = rights(&format!("orders=day,handover,day{public}"));
        assert_eq!(twice.to_string(), format!(" orders=handover,day{public}"));
        assert_eq!(twice.public(), Some(&[15; 32]));
    }

    #[test]
    fn auth_9_orders_and_the_key_that_proves_them_stand_together() {
        // AUTH-9
        let public = format!("public={}", "0f".repeat(32));
        for (words, why) in [
            ("orders=day", "'orders' stands without 'public'"),
            (public.as_str(), "'public' stands without 'orders'"),
            ("orders=day public=0f", "'0f' is no public key"),
            (&format!("orders=day {}é", &public[..69]), "is no public key"),
        ] {
            let refused = KeyRights::parse(words.split_whitespace());
            assert!(refused.as_ref().is_err_and(|error| error.contains(why)), "{words}: {refused:?}");
        }
    }

    #[test]
    fn a_word_that_is_no_right_is_named() {
        for (words, why) in [
            ("name=x", "'name=x' is no right: write names=…, to=…, rate=…, orders=…, or public=…"),
            (
                "orders=days",
                "'days' is no order; there are: handover, declare-dead, membership, day, upgrade, time",
            ),
            ("names=", "'' is no pattern: write a name, or the beginning of names and a '*'"),
            ("names=*/x", "'*/x' is no pattern: write a name, or the beginning of names and a '*'"),
            ("to=channel:9-3", "'channel:9-3' names no channels: write channel:3, or channel:0-7"),
            ("rate=0", "'rate=0': messages a second, from 1 to 1000000000"),
            ("rate=5 rate=6", "'rate' is listed twice"),
        ] {
            assert_eq!(KeyRights::parse(words.split_whitespace()), Err(why.to_owned()));
        }
    }
}
