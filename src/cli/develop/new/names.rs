//! Which names a project may have.

use super::project::Language;

/// Bytes of a name: the stream has it, and for each copy of the machine one with `/replica/N` behind it,
/// which has 64 bytes at most.
const NAME_MAX: usize = 50;

/// What a package of Rust cannot be called: the words of the language, its own crates, and folders of cargo.
const RUST: &str = "abstract alloc as async await become box break build const continue core crate deps do \
                    dyn else enum examples extern false final fn for gen if impl in incremental let loop \
                    macro match mod move mut override priv proc-macro proc_macro pub ref return self static \
                    std struct super test trait true try type typeof union unsafe unsized use virtual where \
                    while yield";
/// What a package of Python cannot be called, as the project depends on it.
const PYTHON: &str = "pytest setuptools";
/// What a target of CMake cannot be called: its own, and the other ones of the project.
const CPP: &str = "all clean cluster depend edit_cache help install package package_source preinstall \
                   rebuild_cache test tests";

fn reserved(language: Language) -> &'static str {
    match language {
        Language::Rust => RUST,
        Language::Python => PYTHON,
        Language::Cpp => CPP,
        // Its files have names of their own.
        Language::Java => "",
    }
}

/// Whether the name has words of lower-case letters and digits, with one `-` or `_` between two.
fn is_plain(name: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.split(['-', '_']).all(is_word)
}

/// Refuses a name that is none of a package of this language.
///
/// # Errors
/// Why it is none, and what a name is.
pub fn check(name: &str, language: Language) -> Result<(), String> {
    let what = language.name();
    if !is_plain(name) || name.len() > NAME_MAX {
        return Err(format!(
            "'{name}' is no name of a package of {what}: give lower-case letters and digits, with single - or _ \
             between them, a letter first, at most {NAME_MAX}: order-book, say"
        ));
    }
    if name.split(['-', '_']).next() == Some("lockstep") {
        return Err(format!(
            "'{name}' is a name of lockstep's own packages: give another one, my-{name}, say"
        ));
    }
    if reserved(language).split(' ').any(|word| word == name) {
        return Err(format!("'{name}' is a word that {what} has taken: give another name, my-{name}, say"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_the_tools_of_its_language_take() {
        let all = [Language::Rust, Language::Python, Language::Cpp, Language::Java];
        for language in all {
            for name in ["counter", "order-book", "order_book2", "a", &"x".repeat(NAME_MAX)] {
                check(name, language).unwrap_or_else(|why| panic!("{why}"));
            }
            let longer = "x".repeat(NAME_MAX + 1);
            for name in ["", "Counter", "2nd", "-a", "a-", "a--b", "a b", "a.b", "a/b", "..", "ä", &longer] {
                let why = check(name, language).expect_err("no name");
                assert!(why.contains(&format!("'{name}'")) && why.contains("order-book"), "{why}");
            }
            for name in ["lockstep", "lockstep-app"] {
                assert!(check(name, language).is_err_and(|why| why.contains("lockstep's own")), "{name}");
            }
        }
        for (language, taken) in all.into_iter().zip(["match", "pytest", "test"]) {
            let why = check(taken, language).expect_err("a word of the language");
            assert!(why.contains(&format!("my-{taken}")) && why.contains(language.name()), "{why}");
        }
        assert!(check("match", Language::Java).is_ok() && check("pytest", Language::Rust).is_ok());
    }
}
