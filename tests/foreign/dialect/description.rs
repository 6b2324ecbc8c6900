//! What `bindings/api.toml` says.

use serde::Deserialize;

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
