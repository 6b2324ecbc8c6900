//! Calls: what each language declares is compared with `bindings/api.toml`, name by name and argument by
//! argument, and the table of docs/BINDINGS.md is written from it.

use super::declarations::{Declaration, Parameter, declaration, declarations, declared_names, name_of};
use super::description::{Argument, Call, Default, Description, Taken};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The languages whose declarations are read.
const LANGUAGES: [&str; 6] = ["C", "C++", "Go", "Java", "Node", "Python"];

/// The words for what an argument is that is left out, as a language has them.
fn words(default: &Default, language: &str) -> Vec<String> {
    let name = &default.name;
    match (language, default.seconds, default.count) {
        ("C++", ..) if default.words.is_empty() => vec![format!("default_{name}")],
        ("Java", ..) if default.words.is_empty() => vec![format!("Defaults.{}", name.to_uppercase())],
        ("Node", Some(_), _) => vec![format!("Default.{}_MS", name.to_uppercase())],
        ("Node", _, Some(_)) => vec![format!("Default.{}", name.to_uppercase())],
        ("Python", Some(seconds), _) => vec![format!("{seconds}.0")],
        ("Python", _, Some(count)) => vec![count.to_string()],
        _ => default.words.get(language).cloned().unwrap_or_default(),
    }
}

/// What a declaration says of an argument that may be left out.
enum Omitted<'a> {
    /// The value of its parameter.
    Value(&'a str),
    /// It has no parameter, and its body passes the value on.
    Passed(&'a str),
}

/// A call in one language, to be compared.
struct Compared<'a> {
    description: &'a Description,
    language: &'static str,
    arguments: Vec<Taken<'a>>,
}

impl Compared<'_> {
    /// The parameters by which the language has an argument.
    fn forms(&self, argument: &str) -> Vec<Vec<String>> {
        let rows = self.description.argument.iter();
        let spelled = rows
            .filter(|row| row.name == argument)
            .find_map(|Argument { spelled, .. }| spelled.get(self.language));
        let own = match self.language {
            "Go" | "Java" | "Node" => super::description::camel(argument),
            _ => argument.to_owned(),
        };
        let spelled = spelled.cloned().unwrap_or_else(|| vec![own]);
        spelled.iter().map(|form| form.split_whitespace().map(str::to_owned).collect()).collect()
    }

    fn words(&self, default: &str) -> Vec<String> {
        let found = self.description.default.iter().find(|one| one.name == default);
        words(found.unwrap_or_else(|| panic!("there is no default {default}")), self.language)
    }

    /// What stands behind an argument with which `rest` begins, and its default.
    fn take<'p>(&self, argument: &str, rest: &'p [Parameter]) -> Option<(&'p [Parameter], Option<&'p str>)> {
        self.forms(argument).iter().find_map(|form| {
            let (own, behind) = rest.split_at_checked(form.len())?;
            let is_it = own.iter().map(|(name, _)| name).eq(form);
            is_it.then(|| (behind, own.last().and_then(|(_, default)| default.as_deref())))
        })
    }

    /// The arguments that may be left out by a declaration, with what it says of them.
    fn left_out<'d>(&self, declaration: &'d Declaration) -> Result<Vec<(&Taken<'_>, Omitted<'d>)>, String> {
        let (mut rest, mut keywords) = (&declaration.parameters[..], 0);
        let mut left_out = Vec::new();
        for argument in &self.arguments {
            let name = argument.name;
            let keyword =
                declaration.keywords.iter().find_map(|one| self.take(name, std::slice::from_ref(one)));
            let omitted = if let Some((_, omitted)) = keyword {
                keywords += 1;
                omitted.map(Omitted::Value)
            } else if let Some((behind, omitted)) = self.take(name, rest) {
                rest = behind;
                omitted.map(Omitted::Value)
            } else if argument.default.is_some() {
                Some(Omitted::Passed(&declaration.body))
            } else {
                return Err(format!("{name} is not where it belongs"));
            };
            left_out.extend(omitted.map(|omitted| (argument, omitted)));
        }
        match rest.first() {
            Some((name, _)) => Err(format!("{name} is not where it belongs")),
            None if keywords < declaration.keywords.len() => Err("it has more keywords".to_owned()),
            None => Ok(left_out),
        }
    }

    /// Why what a declaration has in the place of an argument is not the default.
    fn wrong_default(&self, argument: &Taken<'_>, omitted: &Omitted<'_>) -> Option<String> {
        let Taken { name, default } = argument;
        let words = default.map(|default| self.words(default)).unwrap_or_default();
        let (is_right, omitted) = match omitted {
            Omitted::Value(omitted) => (words.iter().any(|word| word == omitted), omitted),
            Omitted::Passed(body) => (words.iter().any(|word| body.contains(word)), body),
        };
        let wanted = if words.is_empty() { "given".to_owned() } else { words.join(" or ") };
        (!is_right).then(|| format!("{name} is {} and not {wanted}", omitted.trim()))
    }

    /// Where the declarations of a call, each of which may leave arguments out, are not as described.
    fn judge(&self, declared: &[Declaration]) -> Vec<String> {
        let (mut wrong, mut read) = (Vec::new(), Vec::new());
        for declaration in declared {
            match self.left_out(declaration) {
                Err(why) => wrong.push(why),
                Ok(all) => {
                    let defaults = all.iter();
                    wrong.extend(
                        defaults.filter_map(|(argument, omitted)| self.wrong_default(argument, omitted)),
                    );
                    read.push(all);
                }
            }
        }
        if !wrong.is_empty() {
            return wrong;
        }
        for Taken { name, default } in &self.arguments {
            let places = read.iter().map(|all| all.iter().find(|(argument, _)| argument.name == *name));
            let places: Vec<_> = places.map(|found| found.map(|(_, omitted)| omitted)).collect();
            if default.is_some() && places.iter().all(Option::is_none) {
                wrong.push(format!("{name} cannot be left out"));
            }
            if places.iter().all(|place| matches!(place, Some(Omitted::Passed(_)))) {
                wrong.push(format!("{name} cannot be passed"));
            }
        }
        wrong
    }
}

/// Where a language differs from the description in a call of a handle.
fn differences(description: &Description, call: &Call, owner: &str, language: &'static str) -> Vec<String> {
    let written = call.named.get(language).unwrap_or(&call.name);
    let (name, place) = name_of(language, owner, written);
    let arguments = call.arguments(language);
    let is_of_module = arguments.first().is_some_and(|first| first.name == "endpoint");
    let mut declared = declarations(language, place, &name);
    if is_of_module && language == "Java" {
        // A call of the class: one of an object by the same name is another one.
        declared.retain(|one| one.parameters.first().is_some_and(|(name, _)| name == "endpoint"));
    }
    let wrong = match (call.lacks.get(language), declared.is_empty()) {
        (Some(reason), _) if !description.reasons.contains_key(reason) => {
            vec![format!("there is no reason {reason}")]
        }
        (Some(_), true) => Vec::new(),
        (Some(_), false) => vec!["it has the call, and the description says that it lacks it".to_owned()],
        (None, true) => vec![format!("it has no call {name}")],
        (None, false) => Compared { description, language, arguments }.judge(&declared),
    };
    wrong.into_iter().map(|why| format!("{language}, {owner}, {}: {why}", call.name)).collect()
}

#[test]
fn each_call_has_its_name_its_order_and_its_defaults_in_every_language() {
    let description = Description::read();
    let mut wrong = Vec::new();
    for call in &description.call {
        for owner in &call.of {
            for language in LANGUAGES {
                wrong.extend(differences(&description, call, owner, language));
            }
        }
    }
    assert!(wrong.is_empty(), "differs from bindings/api.toml:\n{}", wrong.join("\n"));
}

#[test]
fn each_call_of_a_handle_is_one_of_the_description() {
    let description = Description::read();
    let owners: BTreeSet<&String> = description.call.iter().flat_map(|call| &call.of).collect();
    let mut unknown = Vec::new();
    for language in LANGUAGES {
        let own = description.only.iter().filter(|only| only.language == language && only.owner == "call");
        let mut known: BTreeSet<_> = own.flat_map(|only| only.names.iter().cloned()).collect();
        for call in &description.call {
            for owner in &call.of {
                let name = name_of(language, owner, call.named.get(language).unwrap_or(&call.name)).0;
                let name = name.replace(&format!("lockstep_{owner}_"), "");
                known.insert(name.rsplit(' ').next().unwrap_or_default().to_owned());
            }
        }
        for owner in &owners {
            let declared = declared_names(language, owner).into_iter().filter(|name| !known.contains(name));
            unknown.extend(declared.map(|name| format!("{language}, {owner}: {name}")));
        }
    }
    assert!(unknown.is_empty(), "calls that bindings/api.toml does not know:\n{}", unknown.join("\n"));
}

/// A plan is a struct of C++ and an object of Java, whose fields are no arguments of a declaration.
#[test]
fn the_plan_of_a_trial_has_the_defaults_of_its_keywords_in_each_language() {
    let description = Description::read();
    let trial = description.call.iter().find(|call| call.name == "trial").expect("a call");
    let cpp = super::read("bindings/c/include/lockstep_machine.hpp");
    let java = super::read("bindings/java/src/io/lockstep/Trial.java");
    let mut compared = 0;
    for Taken { name, default } in trial.arguments("Python") {
        let found = description.default.iter().find(|one| Some(one.name.as_str()) == default);
        let word = found.and_then(|default| words(default, "Python").pop());
        let Some(word) = word.filter(|word| word.parse::<u64>().is_ok()) else { continue };
        assert!(cpp.contains(&format!("    std::uint64_t {name} = {word};\n")), "C++: {name}");
        // Java's `run` has seeds as its argument.
        let is_argument = trial.arguments("Java").iter().any(|taken| taken.name == name);
        assert!(
            is_argument || java.contains(&format!("    private long {name} = {word};\n")),
            "Java: {name}"
        );
        compared += 1;
    }
    assert_eq!(compared, 3);
}

// ---------------------------------------------------------------------------- the table

/// An argument as the page has it.
fn shown(description: &Description, argument: &str) -> String {
    let (argument, only) = argument.split_once(" only ").unwrap_or((argument, ""));
    let (name, default) = argument.split_once(" = ").unwrap_or((argument, ""));
    let (default, of) = default.split_once(" in ").unwrap_or((default, ""));
    let default = match description.default.iter().find(|one| one.name == default) {
        None => String::new(),
        Some(Default { seconds: Some(seconds), .. }) => format!(" = {seconds} s"),
        Some(Default { count: Some(count), .. }) => format!(" = {count}"),
        Some(Default { name, .. }) => format!(" = {name}"),
    };
    let of = if of.is_empty() { String::new() } else { format!(" in {of}") };
    let only = if only.is_empty() { String::new() } else { format!(" (only {only})") };
    format!("{name}{default}{of}{only}").replace('_', " ")
}

/// The letter of a reason.
fn letter(at: usize) -> char {
    ('a'..='z').nth(at).expect("there are fewer reasons than letters")
}

/// The page's rows: a call, its arguments, and where a language differs.
fn table(description: &Description) -> String {
    let mut text = "| call | of | arguments | elsewhere |\n|---|---|---|---|\n".to_owned();
    for call in &description.call {
        let mut apart = Vec::new();
        for (language, name) in &call.named {
            apart.push(format!("`{}` in {language}", name.replace("{}", "…")));
        }
        for (at, reason) in description.reasons.keys().enumerate() {
            let lacking =
                call.lacks.iter().filter(|(_, why)| *why == reason).map(|(language, _)| language.as_str());
            let lacking = lacking.collect::<Vec<_>>().join(", ");
            if !lacking.is_empty() {
                apart.push(format!("not in {lacking} ({})", letter(at)));
            }
        }
        let takes: Vec<_> = call.takes.iter().map(|argument| shown(description, argument)).collect();
        let [of, takes, apart] = [&call.of, &takes, &apart].map(|all| match all.join(", ") {
            all if all.is_empty() => "–".to_owned(),
            all => all,
        });
        let _ = writeln!(text, "| `{}` | {} | {takes} | {apart} |", call.name, of.replace('_', " "));
    }
    let _ = writeln!(text);
    for (at, meaning) in description.reasons.values().enumerate() {
        let _ = writeln!(text, "({}) {meaning}.", letter(at));
    }
    text
}

/// The constants of a language for what is left out.
fn constants(description: &Description, language: &str) -> String {
    let mut text = String::new();
    for Default { name, meaning, seconds, count, .. } in &description.default {
        let upper = name.to_uppercase();
        let lines = match (language, seconds, count) {
            ("C++", Some(seconds), _) => {
                format!("/// {meaning}\ninline constexpr std::chrono::seconds default_{name}{{{seconds}}};\n")
            }
            ("C++", _, Some(count)) => {
                format!("/// {meaning}\ninline constexpr std::size_t default_{name} = {count};\n")
            }
            ("Java", Some(seconds), _) => {
                format!(
                    "    /** {meaning} */\n    static final Duration {upper} = Duration.ofSeconds({seconds});\n"
                )
            }
            ("Java", _, Some(count)) => {
                format!("    /** {meaning} */\n    static final int {upper} = {count};\n")
            }
            ("Node", Some(seconds), _) => format!("  // {meaning}\n  {upper}_MS: {seconds}000,\n"),
            ("Node", _, Some(count)) => format!("  // {meaning}\n  {upper}: {count},\n"),
            _ => String::new(),
        };
        text.push_str(&lines);
    }
    if language == "Node" { format!("const Default = Object.freeze({{\n{text}}});\n") } else { text }
}

#[test]
fn defaults_and_the_table_of_calls_are_those_of_the_description() {
    let description = Description::read();
    let mut wrong = Vec::new();
    let parts = [
        ("bindings/c/include/lockstep.hpp", "defaults", constants(&description, "C++")),
        ("bindings/java/src/io/lockstep/Defaults.java", "defaults", constants(&description, "Java")),
        ("bindings/node/constants.js", "defaults", constants(&description, "Node")),
        (super::PAGE, "calls", table(&description)),
    ];
    for (file, what, wanted) in parts {
        super::part_of_file(file, what, &wanted, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), super::REFRESH);
}

#[test]
fn an_order_a_default_and_an_argument_that_differ_are_named() {
    let description = Description::read();
    let publish = description.call.iter().find(|call| call.name == "publish").expect("a call");
    let judge = |language, text| {
        let arguments = publish.arguments(language);
        Compared { description: &description, language, arguments }
            .judge(&[declaration(language, text).expect("a declaration")])
    };
    let nothing: [&str; 0] = [];
    assert_eq!(judge("Python", "(self, publisher, payload, destination = 0, timeout = 0.0)"), nothing);
    assert_eq!(judge("Python", "(self, publisher, payload, *, timeout = 0.0, destination = 0)"), nothing);
    let swapped = judge("Python", "(self, publisher, destination, payload, timeout = 0.0)");
    assert_eq!(swapped, ["payload is not where it belongs"]);
    let other = judge("Python", "(self, publisher, payload, destination = 10, timeout = 0.0)");
    assert_eq!(other, ["destination is 10 and not 0 or EVERYBODY"]);
    let without = judge("Python", "(self, publisher, payload, destination, timeout = 0.0)");
    assert_eq!(without, ["destination cannot be left out"]);
    let more = judge("Go", "(id uint32, payload []byte, destination uint32, more int) (uint64, error) {");
    assert_eq!(more, ["more is not where it belongs"]);
    assert_eq!(
        judge("Java", "(int publisher, byte[] payload, int destination) {"),
        ["destination cannot be left out"]
    );
    let fixed = judge("Java", "(int publisher, byte[] payload) { return f(publisher, payload, EVERYBODY); }");
    assert_eq!(fixed, ["destination cannot be passed"]);
    let passes = judge("Java", "(int publisher, byte[] payload) { return publish(publisher, payload, 7); }");
    assert!(passes[0].ends_with("and not EVERYBODY"), "{passes:?}");
    assert_eq!(judge("Node", "(id = 3, payload, destination = EVERYBODY)"), ["publisher is 3 and not given"]);
}

#[test]
fn each_row_of_the_description_has_a_use() {
    let Description { default, argument, reasons, call, .. } = Description::read();
    let taken: Vec<_> =
        call.iter().flat_map(|call| LANGUAGES.map(|language| call.arguments(language))).flatten().collect();
    let lacks: Vec<_> = call.iter().flat_map(|call| call.lacks.values()).collect();
    for Default { name, .. } in &default {
        assert!(taken.iter().any(|one| one.default == Some(name)), "no argument is {name} by default");
    }
    for Argument { name, .. } in &argument {
        assert!(taken.iter().any(|one| one.name == name), "no call takes {name}");
    }
    for reason in reasons.keys() {
        assert!(lacks.contains(&reason), "nothing is missing because of {reason}");
    }
}
