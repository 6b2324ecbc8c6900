//! A failing run made simpler: classes of network faults are switched off, faults are left out, messages are
//! fewer, for as long as the same rule is broken.

use crate::many::caught;
use crate::outcome::RunFailure;
use crate::plan::{NETWORK_MODELS, Plan};
use std::fmt;

/// The recipe of a run: a seed, and the omitted parts of its plan. Displayed as the flags of `lockstep sim`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunRecipe {
    /// The seed.
    pub seed: u64,
    /// Network faults that are switched off.
    pub healed: Vec<String>,
    /// The faults that strike, by their place in the seed's list; `None` is all of them.
    pub faults: Option<Vec<usize>>,
    /// Messages of each publisher, if fewer.
    pub messages: Option<u64>,
}

impl RunRecipe {
    /// The seed with its whole plan.
    pub fn of_seed(seed: u64) -> Self {
        Self { seed, healed: Vec::new(), faults: None, messages: None }
    }

    /// The plan.
    pub fn plan(&self) -> Plan {
        let mut plan = Plan::of_seed(self.seed);
        for network_model in &self.healed {
            plan.healed(network_model);
        }
        if let Some(faults) = &self.faults {
            plan.faults = faults.iter().filter_map(|index| plan.faults.get(*index).copied()).collect();
        }
        plan.messages = self.messages.unwrap_or(plan.messages);
        plan
    }
}

impl fmt::Display for RunRecipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--seed {}", self.seed)?;
        if !self.healed.is_empty() {
            write!(f, " --calm {}", self.healed.join(","))?;
        }
        if let Some(faults) = &self.faults {
            let faults: Vec<_> = faults.iter().map(usize::to_string).collect();
            let faults = if faults.is_empty() { "none".to_owned() } else { faults.join(",") };
            write!(f, " --faults {faults}")?;
        }
        if let Some(messages) = self.messages {
            write!(f, " --messages {messages}")?;
        }
        Ok(())
    }
}

/// The simplest run found in `tries` runs that breaks the same rule as `failure`.
pub fn shrink(failure: &RunFailure, tries: usize) -> (RunRecipe, RunFailure) {
    shrink_with(failure, tries, &|plan| caught(plan, false).map(drop))
}

/// The same, of runs by `run`.
pub(crate) fn shrink_with(
    failure: &RunFailure,
    tries: usize,
    run: &dyn Fn(&Plan) -> Result<(), RunFailure>,
) -> (RunRecipe, RunFailure) {
    let mut shrinker =
        Shrinker { best: RunRecipe::of_seed(failure.seed), failure: failure.clone(), left: tries, run };
    for network_model in NETWORK_MODELS {
        let mut calmer = shrinker.best.clone();
        if calmer.plan().healed(network_model) {
            calmer.healed.push(network_model.to_owned());
            shrinker.try_out(calmer);
        }
    }
    let all = Plan::of_seed(failure.seed).faults.len();
    let mut faults: Vec<usize> = (0..all).collect();
    let mut chunk = all.max(1);
    while chunk > 0 {
        let mut at = 0;
        while at < faults.len() {
            let mut fewer = faults.clone();
            fewer.drain(at..(at + chunk).min(fewer.len()));
            if shrinker.try_out(RunRecipe { faults: Some(fewer.clone()), ..shrinker.best.clone() }) {
                faults = fewer;
            } else {
                at += chunk;
            }
        }
        chunk /= 2;
    }
    let mut messages = shrinker.best.plan().messages;
    while messages > 1
        && shrinker.try_out(RunRecipe { messages: Some(messages / 2), ..shrinker.best.clone() })
    {
        messages /= 2;
    }
    (shrinker.best, shrinker.failure)
}

struct Shrinker<'a> {
    best: RunRecipe,
    failure: RunFailure,
    left: usize,
    run: &'a dyn Fn(&Plan) -> Result<(), RunFailure>,
}

impl Shrinker<'_> {
    /// Adopts `recipe` if it breaks the same rule. Returns whether it does.
    fn try_out(&mut self, recipe: RunRecipe) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        match (self.run)(&recipe.plan()) {
            Err(failure) if failure.rule() == self.failure.rule() => {
                (self.best, self.failure) = (recipe, failure);
                true
            }
            _ => false,
        }
    }
}
