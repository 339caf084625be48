//! Rows by name and in other orders, with what they come to in all. A change amends them: 10,000 rows are not put in
//! order again because one tag was moved.

use std::{
    cmp::Ordering,
    ops::Range,
    sync::{Arc, OnceLock},
};

use super::merged::merged;

/// What rows are made of.
pub(super) trait Row: Sized {
    type Name;
    /// The orders beside that of the names.
    type Order: Copy + PartialEq + 'static;
    /// Of two rows the one with the lower key comes first in an order; of equal ones, the one whose name does.
    type Key: Ord;
    type Totals: Clone + Default;
    const ORDERS: &'static [Self::Order];

    fn name(&self) -> &Self::Name;
    fn compare(one: &Self::Name, other: &Self::Name) -> Ordering;
    fn key(&self, order: Self::Order) -> Self::Key;
    fn add_to(&self, totals: &mut Self::Totals);
    /// Takes out what [`Row::add_to`] added.
    fn take_from(&self, totals: &mut Self::Totals);
}

/// See the module.
#[derive(Debug)]
pub(super) struct Rows<T: Row> {
    /// In the order of their names.
    rows: Vec<Arc<T>>,
    /// For each of [`Row::ORDERS`], places in `rows`; made when first asked for.
    orders: Box<[OnceLock<Box<[u32]>>]>,
    totals: T::Totals,
}

/// A row that came or changed, or `None` of a name whose row is gone.
pub(super) type Change<T> = (<T as Row>::Name, Option<Arc<T>>);

/// Stands for the new place of a row that has none.
const GONE: u32 = u32::MAX;

impl<T: Row> Default for Rows<T> {
    fn default() -> Self {
        let orders = T::ORDERS.iter().map(|_| OnceLock::new()).collect();
        Self { rows: Vec::new(), orders, totals: T::Totals::default() }
    }
}

impl<T: Row> Rows<T> {
    pub(super) fn all(&self) -> &[Arc<T>] {
        &self.rows
    }

    pub(super) fn totals(&self) -> &T::Totals {
        &self.totals
    }

    pub(super) fn get(&self, name: &T::Name) -> Option<&Arc<T>> {
        self.place(name).ok().map(|place| &self.rows[place])
    }

    /// The place of a name, or the one that it would have.
    pub(super) fn place(&self, name: &T::Name) -> Result<usize, usize> {
        self.rows.binary_search_by(|row| T::compare(row.name(), name))
    }

    /// Places in an order.
    pub(super) fn ordered(&self, order: T::Order) -> &[u32] {
        let index = T::ORDERS.iter().position(|known| *known == order).unwrap_or_default();
        self.orders[index].get_or_init(|| {
            let mut places: Vec<u32> = (0..place_of(self.rows.len())).collect();
            places.sort_by_cached_key(|place| self.rows[*place as usize].key(order));
            places.into()
        })
    }

    /// What to change to come to these rows.
    pub(super) fn changes_to(&self, rows: &[Arc<T>]) -> Vec<Change<T>>
    where
        T: PartialEq,
        T::Name: Clone,
    {
        let (mut stays, mut changes) = (vec![false; self.rows.len()], Vec::new());
        for row in rows {
            let place = self.place(row.name()).ok();
            place.into_iter().for_each(|place| stays[place] = true);
            if place.is_none_or(|place| self.rows[place] != *row) {
                changes.push((row.name().clone(), Some(row.clone())));
            }
        }
        let gone = self.rows.iter().zip(stays).filter(|(_, stays)| !stays);
        changes.extend(gone.map(|(row, _)| (row.name().clone(), None)));
        changes
    }

    /// The rows after some changes, of which no two are of one name.
    pub(super) fn amended(&self, mut changes: Vec<Change<T>>) -> Self {
        changes.sort_by(|one, other| T::compare(&one.0, &other.0));
        let mut amending = Amending::new(self, changes.len());
        for (name, row) in changes {
            amending.change(&name, row);
        }
        amending.finish()
    }
}

/// Rows on their way to others.
struct Amending<'a, T: Row> {
    old: &'a Rows<T>,
    /// How many of the old rows were looked at.
    seen: usize,
    rows: Vec<Arc<T>>,
    /// Where the old rows are now.
    places: Vec<u32>,
    /// Where the new rows are.
    new: Vec<u32>,
    totals: T::Totals,
}

impl<'a, T: Row> Amending<'a, T> {
    fn new(old: &'a Rows<T>, changes: usize) -> Self {
        let (rows, places) =
            (Vec::with_capacity(old.rows.len() + changes), Vec::with_capacity(old.rows.len()));
        Self { old, seen: 0, rows, places, new: Vec::with_capacity(changes), totals: old.totals.clone() }
    }

    fn keep(&mut self, kept: Range<usize>) {
        let first = self.rows.len();
        self.places.extend(place_of(first)..place_of(first + kept.len()));
        self.seen = kept.end;
        self.rows.extend_from_slice(&self.old.rows[kept]);
    }

    fn change(&mut self, name: &T::Name, row: Option<Arc<T>>) {
        let rest = &self.old.rows[self.seen..];
        let at = self.seen + rest.partition_point(|old| T::compare(old.name(), name).is_lt());
        self.keep(self.seen..at);
        if let Some(old) = self.old.rows.get(at).filter(|old| T::compare(old.name(), name).is_eq()) {
            old.take_from(&mut self.totals);
            self.places.push(GONE);
            self.seen += 1;
        }
        if let Some(row) = row {
            row.add_to(&mut self.totals);
            self.new.push(place_of(self.rows.len()));
            self.rows.push(row);
        }
    }

    fn finish(mut self) -> Rows<T> {
        self.keep(self.seen..self.old.rows.len());
        let orders = T::ORDERS.iter().zip(&self.old.orders).map(|(order, old)| match old.get() {
            Some(old) => OnceLock::from(self.order(*order, old)),
            None => OnceLock::new(),
        });
        Rows { orders: orders.collect(), totals: self.totals, rows: self.rows }
    }

    /// The old order without what is gone, and what is new put in where it belongs.
    fn order(&self, order: T::Order, old: &[u32]) -> Box<[u32]> {
        let kept: Vec<u32> =
            old.iter().map(|place| self.places[*place as usize]).filter(|place| *place != GONE).collect();
        let key = |place: &u32| (self.rows[*place as usize].key(order), *place);
        merged(&kept, self.new.clone(), |one, other| key(one).cmp(&key(other))).into()
    }
}

/// Rows are far fewer than fit: their names alone would take more memory than there is.
fn place_of(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(GONE)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Number {
        name: u32,
        size: u32,
    }

    thread_local! {
        static KEYS: Cell<usize> = const { Cell::new(0) };
    }

    impl Row for Number {
        type Name = u32;
        type Order = ();
        type Key = u32;
        type Totals = u32;
        const ORDERS: &'static [()] = &[()];

        fn name(&self) -> &u32 {
            &self.name
        }

        fn compare(one: &u32, other: &u32) -> Ordering {
            one.cmp(other)
        }

        fn key(&self, (): ()) -> u32 {
            KEYS.set(KEYS.get() + 1);
            self.size
        }

        fn add_to(&self, totals: &mut u32) {
            *totals += self.size;
        }

        fn take_from(&self, totals: &mut u32) {
            *totals -= self.size;
        }
    }

    #[test]
    fn what_is_as_it_was_is_not_put_in_order_again() {
        let rows = |numbers: &[(u32, u32)]| -> Vec<_> {
            numbers.iter().map(|(name, size)| Arc::new(Number { name: *name, size: *size })).collect()
        };
        let mut numbers: Vec<_> = (0..10_000).map(|name| (name, name * 7919 % 10_000)).collect();
        let none = Rows::default();
        let before = none.amended(none.changes_to(&rows(&numbers)));
        before.ordered(());
        numbers.remove(17);
        numbers[4_000].1 = 3;
        numbers.push((20_000, 9));
        KEYS.set(0);
        let now = before.amended(before.changes_to(&rows(&numbers)));
        let order = now.ordered(()).to_vec();
        assert!(KEYS.get() < 1000, "{} of {} were asked for", KEYS.get(), numbers.len());
        let afresh = none.amended(none.changes_to(&rows(&numbers)));
        assert_eq!((order.as_slice(), now.totals()), (afresh.ordered(()), afresh.totals()));
        assert_eq!((now.all(), now.changes_to(&rows(&numbers)).len()), (afresh.all(), 0));
    }
}
