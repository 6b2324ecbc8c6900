//! What `bindings/api.toml` says.

use serde::Deserialize;
use std::collections::BTreeMap;

/// The languages, in the order of the columns of a table.
pub(crate) const LANGUAGES: [&str; 7] = ["C", "C++", "Go", "Java", "Node", "Python", "Rust"];

/// The whole description.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    pub(crate) status: Vec<Member>,
    pub(super) event_kind: Vec<Member>,
    pub(super) input_kind: Vec<Member>,
    pub(super) delivery: Vec<Member>,
    pub(super) start_kind: Vec<Member>,
    pub(super) default: Vec<Default>,
    pub(super) argument: Vec<Argument>,
    pub(super) reasons: BTreeMap<String, String>,
    pub(super) call: Vec<Call>,
    pub(super) only: Vec<Only>,
}

/// A member of an enumeration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    pub(super) number: u32,
    pub(crate) name: String,
    pub(super) meaning: String,
    pub(super) remedy: Option<String>,
    pub(super) python: Option<String>,
}

/// What an argument is that is left out: a number for constants of ours, or the word of each language.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Default {
    pub(super) name: String,
    pub(super) meaning: String,
    pub(super) seconds: Option<u32>,
    pub(super) count: Option<u32>,
    #[serde(default)]
    pub(super) words: BTreeMap<String, Vec<String>>,
}

/// How languages have an argument: each form is the names of parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) spelled: BTreeMap<String, Vec<String>>,
}

/// A call of handles.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) of: Vec<String>,
    pub(super) takes: Vec<String>,
    #[serde(default)]
    pub(super) named: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) lacks: BTreeMap<String, String>,
}

/// What a call takes in one language.
#[derive(PartialEq, Debug)]
pub(super) struct Taken<'a> {
    pub(super) name: &'a str,
    /// The name of what it is where it is left out.
    pub(super) default: Option<&'a str>,
}

impl Call {
    /// The arguments that a language has.
    pub(super) fn arguments(&self, language: &str) -> Vec<Taken<'_>> {
        self.takes.iter().filter_map(|text| taken(text, language)).collect()
    }
}

/// `NAME = DEFAULT in LANGUAGES only LANGUAGES`, of which all but the name may be missing.
fn taken<'a>(text: &'a str, language: &str) -> Option<Taken<'a>> {
    let is_of = |languages: &str| languages.split(", ").any(|one| one == language);
    let (text, only) = text.split_once(" only ").map_or((text, None), |(text, of)| (text, Some(of)));
    let (name, default) = text.split_once(" = ").map_or((text, None), |(name, it)| (name, Some(it)));
    let default = default.and_then(|it| match it.split_once(" in ") {
        Some((it, of)) => is_of(of).then_some(it),
        None => Some(it),
    });
    let default = default.filter(|_| !["C", "Go"].contains(&language));
    only.is_none_or(is_of).then_some(Taken { name, default })
}

/// Words that one language has, and nobody else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Only {
    pub(super) language: String,
    pub(super) owner: String,
    pub(super) names: Vec<String>,
    /// The reason, for the reader of the file.
    #[serde(rename = "because")]
    _because: String,
}

impl Description {
    pub(crate) fn read() -> Self {
        toml::from_str(&super::read("bindings/api.toml"))
            .unwrap_or_else(|error| panic!("bindings/api.toml: {error}"))
    }
}

/// `TWO_WORDS` or `two_words` as `TwoWords`.
pub(super) fn pascal(name: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..].to_lowercase();
    name.split('_').filter(|part| !part.is_empty()).map(word).collect()
}

/// `two_words` as `twoWords`; what has no `_` stays as it is.
pub(super) fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &pascal(word))
}
