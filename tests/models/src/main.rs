//! `models NAME WEAKENING`: tries every order of one model; ends badly where one breaks it. Loom's objects
//! cannot be dropped behind a failure, so each failure is a process of its own.

use models::{MODELS, WEAKENINGS, weaken};

fn main() {
    let mut words = std::env::args().skip(1);
    let (name, weakening) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let model = MODELS.iter().find(|(known, _)| *known == name);
    let weakened = WEAKENINGS.iter().find(|known| format!("{known:?}") == weakening);
    let (Some((_, model)), Some(weakened)) = (model, weakened) else {
        let names = MODELS.map(|(name, _)| name);
        eprintln!("models NAME WEAKENING: one of {names:?} and one of {WEAKENINGS:?}");
        std::process::exit(2);
    };
    weaken(*weakened);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 100_000;
    builder.check(model);
}
