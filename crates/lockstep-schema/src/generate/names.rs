//! Names that every language takes.

use crate::sbe::snake;

/// Words that a name may not be in one of the languages, or that the sources use themselves.
const RESERVED: &str = "\
    abstract add alignas alignof and any any_message append as asm assert async auto await become begin \
    bool boolean box break byte byte_buffer bytes cap case catch chan char char16_t char32_t char8_t \
    class clone close cls co_await co_return co_yield compl complex concept const const_cast consteval \
    constexpr constinit constructor continue copy crate dataclass debug debugger decltype decode \
    decode_any def default defer del delete detail do double dyn dynamic_cast elif else encode \
    encoded_size enum err error eval except exec explicit export exports extends extern fallthrough \
    false fault final finalize finally float fn for friend from func gen get_class global go goto \
    hash_code if impl implements import in init inline instanceof int int16 int32 int64 int8 interface \
    iota is lambda len length let little long loop macro main make map match matches math message mod \
    module move mut mutable name namespace native new nil noexcept none nonlocal not notify notify_all \
    null nullptr number object ok operator option or out override package panic pass payload print \
    println priv private property protected proto prototype pub public put raise range real recover ref \
    register reinterpret_cast require requires restrict result return rune select self set short signed \
    sizeof some standard_charsets static static_assert static_cast std str strictfp string struct super \
    switch synchronized template text this thread_local throw throws to_string trait transient true try \
    type typedef typeid typename typeof uint uint16 uint32 uint64 uint8 undefined union unsafe unsigned \
    unsized use using var vec virtual void volatile wait wchar_t where while with xor yield";

/// A name of a message, a field or a value, in the forms of the languages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    /// Small letters, digits and '_'; as the schema has it, as far as a language may.
    base: String,
}

impl Name {
    /// The name that a schema's text becomes.
    pub fn of(text: &str) -> Self {
        let base = snake(text);
        let base = base.trim_matches('_');
        let begins_with_letter = base.starts_with(|char: char| char.is_ascii_lowercase());
        Self { base: if begins_with_letter { base.to_owned() } else { format!("n{base}") } }
    }

    fn behind(&self) -> &'static str {
        if RESERVED.split_ascii_whitespace().any(|word| word == self.base) { "_" } else { "" }
    }

    /// As a fault names it, alike in all languages.
    pub fn plain(&self) -> &str {
        &self.base
    }

    /// `order_id`
    pub fn snake(&self) -> String {
        format!("{}{}", self.base, self.behind())
    }

    /// `ORDER_ID`
    pub fn upper(&self) -> String {
        self.base.to_ascii_uppercase()
    }

    /// `OrderId`
    pub fn pascal(&self) -> String {
        let words = self.base.split('_').map(|word| {
            let mut letters = word.chars();
            letters
                .next()
                .map(|first| first.to_ascii_uppercase())
                .into_iter()
                .chain(letters)
                .collect::<String>()
        });
        format!("{}{}", words.collect::<String>(), self.behind())
    }

    /// `orderId`
    pub fn camel(&self) -> String {
        let pascal = self.pascal();
        let (first, rest) = pascal.split_at(1);
        first.to_ascii_lowercase() + rest
    }
}
