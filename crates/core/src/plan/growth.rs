//! The steps that steps hold, as they came into being while a run went on.

use std::sync::Arc;

use super::StepIndex;
use super::by_step::GROWN;
use super::compiled::Compiled;
use super::shared::{List, Numbers};
use crate::workflow::Container;

/// All that came into being.
#[derive(Debug, Clone, Default)]
pub(super) struct Growths {
    list: List<Growth>,
    /// The newest of each step that holds others.
    newest: Numbers,
    places: u32,
}

/// Several times the steps that one step holds.
#[derive(Debug, Clone)]
pub struct Growth {
    /// The step that holds them.
    pub container: StepIndex,
    /// The number of the first of these times.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// Its place among all that came into being.
    pub(crate) number: u32,
    base: u32,
    /// The one before of the same step.
    before: Option<u32>,
    pub(super) body: Arc<Compiled>,
}

impl Growth {
    /// The steps of one time, without those that undo others.
    pub fn instance(&self, number: u32) -> impl Iterator<Item = StepIndex> + use<> {
        let from = self.base + (number - self.first) * self.body.places();
        (from..from + self.body.own()).map(|place| GROWN | place)
    }

    /// The numbers of the times.
    pub fn numbers(&self) -> std::ops::Range<u32> {
        self.first..self.first + self.count
    }

    /// Every step, those that undo others too.
    pub fn indexes(&self) -> impl Iterator<Item = StepIndex> + use<> {
        (self.base..self.base + self.count * self.body.places()).map(|place| GROWN | place)
    }

    pub(super) fn index(&self, number: u32, place: u32) -> StepIndex {
        GROWN | (self.base + (number - self.first) * self.body.places() + place)
    }
}

impl Growths {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) const fn places(&self) -> u32 {
        self.places
    }

    pub(super) fn add(&mut self, container: StepIndex, body: Arc<Compiled>, first: u32, count: u32) {
        let (number, base) = (self.list.len() as u32, self.places);
        let before = self.newest.get(container);
        self.newest.set(container, number);
        self.places += count * body.places();
        self.list.push(Growth { container, first, count, number, base, before, body });
    }

    /// Leaves out what came into being after the first so many.
    pub(super) fn truncate(&mut self, len: usize) {
        self.places = self.list.get(len).map_or(self.places, |first| first.base);
        self.list.truncate(len);
        self.newest = Numbers::default();
        self.list.iter().for_each(|growth| self.newest.set(growth.container, growth.number));
    }

    pub(super) fn of(&self, container: StepIndex) -> impl DoubleEndedIterator<Item = &Growth> + use<'_> {
        let all: Vec<&Growth> = self.newest_first(container).collect();
        all.into_iter().rev()
    }

    fn newest_first(&self, container: StepIndex) -> impl Iterator<Item = &Growth> + use<'_> {
        let get = |number: u32| self.list.get(number as usize);
        std::iter::successors(self.newest.get(container).and_then(get), move |growth| growth.before.and_then(get))
    }

    /// The growth of a step that is held, the number of its time, and its place in the body.
    ///
    /// # Panics
    /// If there is no such step.
    pub(super) fn at(&self, index: StepIndex) -> (&Growth, u32, u32) {
        let place = index & !GROWN;
        let number = self.list.partition_point(|growth| growth.base <= place) - 1;
        let growth = self.list.get(number).expect("what comes before others is there");
        let (within, per) = (place - growth.base, growth.body.places());
        (growth, growth.first + within / per, within % per)
    }

    pub(super) fn find(&self, container: StepIndex, number: u32) -> Option<&Growth> {
        self.newest_first(container).find(|growth| growth.numbers().contains(&number))
    }
}

/// What the path of a step that is held adds to that of the step that holds it.
pub(super) fn suffix(container: Container<'_>, number: u32, id: &str) -> String {
    match container {
        Container::Map(_) => format!("[{number}]"),
        Container::Repeat(_) => format!("#{number}"),
        Container::Ask(_) => format!("@{number}"),
        Container::Block | Container::Workflow(_) => format!("/{id}"),
    }
}
