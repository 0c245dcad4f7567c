//! Changes bytes by chance that a seed decides: the same seed, the same changes.

/// A source of changes.
#[derive(Clone, Debug)]
pub struct Mutator {
    state: u64,
}

/// Values at which parsers go wrong.
const EDGES: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, 0x45, 0x40, 0xfe];

impl Mutator {
    /// The changes that `seed` decides.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number (SplitMix64, after Steele, Lea and Flood, 2014).
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.draw() % end as u64) as usize }
    }

    /// One of `items`, which are not empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Changes `bytes` in up to four places; it has at most `length_max` bytes afterwards.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>, length_max: usize) {
        for _ in 0..=self.below(4) {
            self.mutate_once(bytes);
        }
        bytes.truncate(length_max);
    }

    fn mutate_once(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let Some(byte) = bytes.get_mut(at) else {
            bytes.push(self.draw() as u8);
            return;
        };
        match self.below(9) {
            0 => *byte ^= 1 << (self.draw() % 8),
            1 => *byte = self.draw() as u8,
            2 => *byte = EDGES[self.below(EDGES.len())],
            3 => *byte = byte.wrapping_add(1),
            4 => *byte = byte.wrapping_sub(1),
            5 => bytes.truncate(at),
            6 => bytes.insert(at, self.draw() as u8),
            7 => drop(bytes.remove(at)),
            _ => self.copy_within(bytes),
        }
    }

    fn copy_within(&mut self, bytes: &mut Vec<u8>) {
        let from = self.below(bytes.len());
        let length = self.below((bytes.len() - from).min(64)) + 1;
        let copied: Vec<u8> = bytes[from..].iter().take(length).copied().collect();
        let at = self.below(bytes.len());
        bytes.splice(at..at, copied);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_changes_within_the_bound() {
        let run = |seed| {
            let (mut mutator, mut bytes) = (Mutator::new(seed), vec![7; 64]);
            for _ in 0..1000 {
                mutator.mutate(&mut bytes, 100);
                assert!(bytes.len() <= 100);
            }
            bytes
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
