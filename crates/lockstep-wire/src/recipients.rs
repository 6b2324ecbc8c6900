//! # recipients: which publishers may address a name
//!
//! A key's rights limit what its holder sends. A rule for recipients limits who may send to a name: the fills
//! of a gateway's client come from the exchange alone, and never from another client. Rules stand beside the
//! rights in a replica's file, as words:
//!
//! | words | mean |
//! |---|---|
//! | `client/* from=exchange/*,risk` | publishers of these names publish to destinations `client/…`, no others |
//!
//! Of the rules whose pattern matches a name the longest one decides, and a whole name before all patterns.
//! Every publisher may address a name without a rule.

use crate::rights::{NamePattern, list};
use std::fmt;

/// The most rules of a cluster: the leader compares a message to a name with each of them.
pub const RECIPIENT_RULES_MAX: usize = 256;

/// The names that may address the publishers of some names.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RecipientRule {
    recipients: NamePattern,
    from: Vec<NamePattern>,
}

impl RecipientRule {
    /// Parses a rule: a pattern of names, and `from=` with patterns.
    ///
    /// # Errors
    /// The text names the wrong word and what may stand there.
    pub fn parse(words: &[&str]) -> Result<Self, String> {
        let [recipients, from] = words else {
            return Err("write whom a rule is for, and from=…: 'client/* from=exchange/*'".to_owned());
        };
        let Some(from) = from.strip_prefix("from=") else {
            return Err(format!("'{from}': from=… stands here, and the names of those who may address it"));
        };
        Ok(Self { recipients: NamePattern::parse(recipients)?, from: list(from, NamePattern::parse)? })
    }

    /// The pattern of the recipients' names.
    pub fn recipients(&self) -> String {
        self.recipients.to_string()
    }

    /// The patterns of the names that may address them.
    pub fn from(&self) -> String {
        let from: Vec<_> = self.from.iter().map(NamePattern::to_string).collect();
        from.join(",")
    }
}

impl fmt::Display for RecipientRule {
    /// The words that [`RecipientRule::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from={}", self.recipients, self.from())
    }
}

/// The rules of a cluster: one for each pattern.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct RecipientRules {
    /// Sorted by length of the pattern, the longest first.
    rules: Vec<RecipientRule>,
}

impl RecipientRules {
    /// Whether there is no rule: every publisher may address every name.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules, with the longest patterns first.
    pub fn iter(&self) -> impl Iterator<Item = &RecipientRule> {
        self.rules.iter()
    }

    /// Adds a rule, or replaces the one with the same pattern.
    ///
    /// # Errors
    /// There are [`RECIPIENT_RULES_MAX`] others.
    pub fn set(&mut self, rule: RecipientRule) -> Result<(), String> {
        self.remove(&rule.recipients());
        if self.rules.len() == RECIPIENT_RULES_MAX {
            return Err(format!(
                "there are {RECIPIENT_RULES_MAX} rules for recipients, and there may be no more: write one for the \
                 beginning of names, like client/*"
            ));
        }
        self.rules.push(rule);
        self.rules.sort_by_key(|rule| std::cmp::Reverse(rule.recipients.rank()));
        Ok(())
    }

    /// Removes the rule of this pattern. Returns whether there was one.
    pub fn remove(&mut self, recipients: &str) -> bool {
        let before = self.rules.len();
        self.rules.retain(|rule| rule.recipients() != recipients);
        self.rules.len() < before
    }

    /// AUTH-11 (recipients): whether a publisher of the name `sender` may publish to the name `recipient`.
    pub fn may_address(&self, recipient: &str, sender: &str) -> bool {
        let rule = self.rules.iter().find(|rule| rule.recipients.matches(recipient));
        rule.is_none_or(|rule| rule.from.iter().any(|from| from.matches(sender)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(words: &str) -> Result<RecipientRule, String> {
        RecipientRule::parse(&words.split_whitespace().collect::<Vec<_>>())
    }

    fn rules(lines: &[&str]) -> RecipientRules {
        let mut rules = RecipientRules::default();
        lines.iter().for_each(|line| rules.set(rule(line).unwrap()).unwrap());
        rules
    }

    #[test]
    fn auth_11_a_name_is_addressed_by_those_of_its_rule_alone() {
        // AUTH-11
        let rules = rules(&["client/* from=exchange/*,risk"]);
        for (recipient, sender, may) in [
            ("client/7", "exchange/1", true),
            ("client/7", "risk", true),
            ("client/7", "risk2", false),
            ("client/7", "client/8", false),
            ("client/7", "client/7", false),
            ("client", "client/8", true),
            ("risk", "client/8", true),
        ] {
            assert_eq!(rules.may_address(recipient, sender), may, "{sender} to {recipient}");
        }
        assert!(RecipientRules::default().may_address("client/7", "client/8"));
    }

    #[test]
    fn auth_11_the_rule_of_the_longest_pattern_decides_and_a_whole_name_before_all() {
        // AUTH-11
        let lines = ["* from=a", "client/* from=b", "client/7 from=c", "client/7* from=d"];
        for turn in 0..lines.len() {
            let mut lines = lines;
            lines.rotate_left(turn);
            let rules = rules(&lines);
            for (recipient, sender) in
                [("risk", "a"), ("client/8", "b"), ("client/7", "c"), ("client/71", "d")]
            {
                let may = |sender: &&&str| rules.may_address(recipient, sender);
                assert_eq!(["a", "b", "c", "d"].iter().filter(may).collect::<Vec<_>>(), [&sender]);
            }
        }
    }

    #[test]
    fn a_rule_is_read_as_it_is_written_and_takes_the_place_of_its_patterns_former_one() {
        let mut rules = rules(&["client/* from=exchange/*,risk"]);
        assert_eq!(
            rules.iter().map(RecipientRule::to_string).collect::<Vec<_>>(),
            ["client/* from=exchange/*,risk"]
        );
        rules.set(rule("client/* from=*").unwrap()).unwrap();
        assert_eq!(rules.iter().map(RecipientRule::to_string).collect::<Vec<_>>(), ["client/* from=*"]);
        assert!(!rules.remove("client/") && rules.remove("client/*") && rules.is_empty());
    }

    #[test]
    fn rules_are_bounded_and_wrong_words_are_named() {
        let mut full = RecipientRules::default();
        for number in 0..RECIPIENT_RULES_MAX {
            full.set(rule(&format!("client/{number} from=a")).unwrap()).unwrap();
        }
        assert!(full.set(rule("risk from=a").unwrap()).unwrap_err().contains("256 rules"));
        full.set(rule("client/9 from=b").unwrap()).expect("it takes the place of another");
        for (words, why) in [
            ("client/*", "write whom a rule is for"),
            ("client/* exchange/*", "'exchange/*': from=… stands here"),
            ("client/* from=", "'' is no pattern"),
            ("a*b from=c", "'a*b' is no pattern"),
        ] {
            assert!(rule(words).is_err_and(|error| error.contains(why)), "{words}");
        }
    }
}
