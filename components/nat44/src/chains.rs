//! Places of a table by a hash: those with the same stand in a chain.

use alloc::boxed::Box;
use alloc::vec;

/// Chains of the places of one table.
pub(crate) struct Chains {
    heads: Box<[u32]>,
    next: Box<[u32]>,
}

/// The end of a chain.
const NONE: u32 = u32::MAX;

impl Chains {
    /// For so many places. There are as many chains, or a few more.
    pub fn new(places: usize) -> Self {
        let heads = vec![NONE; places.next_power_of_two()].into_boxed_slice();
        Self { heads, next: vec![NONE; places].into_boxed_slice() }
    }

    /// The first place with this hash that `is` it.
    pub fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = *self.heads.get(self.chain(hash))?;
        // No chain is longer than there are places.
        for _ in 0..self.next.len() {
            if at == NONE {
                return None;
            }
            if is(at) {
                return Some(at);
            }
            at = *self.next.get(at as usize)?;
        }
        None
    }

    /// Puts a place that is in no chain into that of `hash`.
    pub fn insert(&mut self, hash: u64, place: u32) {
        let chain = self.chain(hash);
        if let (Some(head), Some(next)) =
            (self.heads.get_mut(chain), self.next.get_mut(place as usize))
        {
            *next = core::mem::replace(head, place);
        }
    }

    /// Takes a place out of the chain of `hash`.
    pub fn remove(&mut self, hash: u64, place: u32) {
        let chain = self.chain(hash);
        let after = self.next.get(place as usize).copied().unwrap_or(NONE);
        let Some(head) = self.heads.get_mut(chain) else { return };
        if *head == place {
            *head = after;
            return;
        }
        let mut at = *head;
        for _ in 0..self.next.len() {
            let Some(next) = self.next.get_mut(at as usize) else { return };
            if *next == place {
                *next = after;
                return;
            }
            at = *next;
        }
    }

    fn chain(&self, hash: u64) -> usize {
        hash as usize & (self.heads.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_found_until_it_is_taken_out() {
        let mut chains = Chains::new(8);
        // All in one chain.
        for place in 0..8 {
            chains.insert(u64::from(place) << 32 | 3, place);
        }
        for gone in [7, 0, 4, 1, 6, 2, 3, 5] {
            assert_eq!(chains.find(3, |place| place == gone), Some(gone));
            chains.remove(3, gone);
            assert_eq!(chains.find(3, |place| place == gone), None);
        }
        assert_eq!(chains.find(3, |_| true), None);
    }
}
