// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Breadth-first search of all states of a model; a violation comes with the shortest way to it.

use std::hash::Hash;

use indexmap::IndexMap;

/// A model that can be searched.
pub trait Model: Clone + Eq + Hash {
    /// What happens between two states.
    type Step: Clone;

    /// All that can happen next. `Err`: it happens, and must not.
    fn next(&self) -> Vec<(Self::Step, Result<Self, Violation>)>;
}

/// What must not happen has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation;

/// Result of a search.
pub enum Outcome<Step> {
    /// Nothing that must not happen can.
    Holds {
        /// Number of different states.
        states: usize,
    },
    /// It can, in this way.
    Violated {
        /// From the first state on.
        steps: Vec<Step>,
    },
}

/// The states in the order in which they were found, each with the one before it.
type Found<M> = IndexMap<M, Option<(usize, <M as Model>::Step)>>;

/// Searches all states that can be reached from `start`.
pub fn explore<M: Model>(start: M) -> Outcome<M::Step> {
    let mut found = Found::<M>::from([(start, None)]);
    let mut at = 0;
    while let Some((state, _)) = found.get_index(at) {
        for (step, outcome) in state.next() {
            match outcome {
                Err(Violation) => return Outcome::Violated { steps: way(&found, at, step) },
                Ok(next) => {
                    found.entry(next).or_insert(Some((at, step)));
                }
            }
        }
        at += 1;
    }
    Outcome::Holds { states: found.len() }
}

fn way<M: Model>(found: &Found<M>, mut at: usize, last: M::Step) -> Vec<M::Step> {
    let mut steps = vec![last];
    while let Some((before, step)) = &found[at] {
        steps.push(step.clone());
        at = *before;
    }
    steps.reverse();
    steps
}
