//! Who comes next.

use crate::sim::Rng;

/// What decides what happens next.
#[derive(Debug, Clone)]
pub enum Order {
    /// Anything that is under way may be next: a write, its answer, the end of an attempt.
    Random(Rng),
    /// Attempts end in the order of these turns; everything else happens at once.
    Turns(Turns),
}

impl Order {
    /// The order of a seed.
    #[must_use]
    pub const fn random(seed: u64) -> Self {
        Self::Random(Rng::new(seed))
    }
}

/// Every order in which attempts can end, one after the other: at each choice, what was chosen and out of how many.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    choices: Vec<(usize, usize)>,
    at: usize,
}

impl Turns {
    /// Chooses out of so many.
    pub(super) fn choose(&mut self, of: usize) -> usize {
        if self.at == self.choices.len() {
            self.choices.push((0, of));
        }
        let (chosen, before) = self.choices[self.at];
        assert_eq!(of, before, "the same turns lead to the same choices");
        self.at += 1;
        chosen
    }

    /// Goes on to the next order; `false` when there is none.
    pub fn advance(&mut self) -> bool {
        self.at = 0;
        while let Some((chosen, of)) = self.choices.pop() {
            if chosen + 1 < of {
                self.choices.push((chosen + 1, of));
                return true;
            }
        }
        false
    }
}
