//! Which memory an image may use, worked out from what the loader says there is.

use heapless::Vec;

/// Bytes of the smallest page.
pub const PAGE: u64 = 4096;

/// Physical memory from `start` up to, not including, `end`. Having one proves `start <= end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Range {
    start: u64,
    end: u64,
}

impl Range {
    /// From `start` up to `end`; empty where `end` is below `start`.
    pub const fn new(start: u64, end: u64) -> Self {
        Self { start, end: if end < start { start } else { end } }
    }

    /// `length` bytes from `start`, cut off at the top of the address space.
    pub const fn sized(start: u64, length: u64) -> Self {
        Self { start, end: start.saturating_add(length) }
    }

    /// The first address.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// The first address behind it.
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Bytes in it.
    pub const fn length(self) -> u64 {
        self.end - self.start
    }

    /// Whether it has no bytes.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether it and `other` have a byte in common.
    pub const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether it and `other` overlap, or one begins where the other ends.
    const fn touches(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// It and `other`, which it touches, in one.
    fn joined(self, other: Self) -> Self {
        Self::new(self.start.min(other.start), self.end.max(other.end))
    }

    /// Whether `address` is in it.
    pub const fn contains(self, address: u64) -> bool {
        self.start <= address && address < self.end
    }

    /// The whole pages in it.
    pub const fn inner_pages(self) -> Self {
        let start = self.start.saturating_add(PAGE - 1) & !(PAGE - 1);
        Self::new(start, self.end & !(PAGE - 1))
    }

    /// The pages that it touches.
    pub const fn outer_pages(self) -> Self {
        let end = self.end.saturating_add(PAGE - 1) & !(PAGE - 1);
        Self::new(self.start & !(PAGE - 1), end)
    }
}

/// What a piece of the loader's memory map is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Free memory.
    Ram,
    /// The loader's own: free once what it left was read.
    Loader,
    /// Firmware tables: read, and never written.
    Acpi,
    /// Anything else.
    Reserved,
}

/// One piece of the loader's memory map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where it is.
    pub range: Range,
    /// What it is for.
    pub kind: Kind,
}

/// How many pieces of a loader's map are kept. Firmware on large machines gives about 40.
pub const ENTRIES: usize = 128;

/// How many pieces of memory a list had no room for, and how many bytes they have.
pub type Dropped = (u32, u64);

/// Adds a piece to a loader's memory map: to one of the same kind that it touches, else as one
/// more.
///
/// When the map is full, the smallest piece of RAM, or of what will be RAM once the loader's words
/// are read, makes room, and that much memory is left unused. What is neither stays as long as
/// there is such a piece: it takes RAM away where the two overlap.
pub fn add(map: &mut Vec<Entry, ENTRIES>, piece: Entry, dropped: &mut Dropped) {
    if piece.range.is_empty() {
        return;
    }
    let touches = |other: &&mut Entry| other.kind == piece.kind && other.range.touches(piece.range);
    if let Some(other) = map.iter_mut().find(touches) {
        other.range = other.range.joined(piece.range);
        return;
    }
    if !map.is_full() {
        // There is room.
        let _ = map.push(piece);
        return;
    }
    let is_ram = |kind| matches!(kind, Kind::Ram | Kind::Loader);
    let ram = map.iter_mut().filter(|entry| is_ram(entry.kind));
    let victim = ram.min_by_key(|entry| entry.range.length());
    let mut lost = piece;
    if let Some(victim) = victim
        && (!is_ram(piece.kind) || victim.range.length() < piece.range.length())
    {
        lost = core::mem::replace(victim, piece);
    }
    count(dropped, lost.range);
}

fn count(dropped: &mut Dropped, lost: Range) {
    also_dropped(dropped, (1, lost.length()));
}

/// Counts what was dropped elsewhere, too.
pub fn also_dropped(dropped: &mut Dropped, (pieces, bytes): Dropped) {
    dropped.0 = dropped.0.saturating_add(pieces);
    dropped.1 = dropped.1.saturating_add(bytes);
}

/// Pieces of memory, sorted, disjoint and made of whole pages. When there are more than fit, the
/// smallest are left unused, and counted.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    list: Vec<Range, ENTRIES>,
    dropped: Dropped,
}

impl core::ops::Deref for Ranges {
    type Target = [Range];

    fn deref(&self) -> &[Range] {
        &self.list
    }
}

/// The RAM in `entries` without anything that another entry lays claim to.
///
/// Entries may come in any order and overlap.
pub fn usable(entries: &[Entry]) -> Ranges {
    let mut free = Ranges::default();
    for entry in entries.iter().filter(|entry| entry.kind == Kind::Ram) {
        free.insert(entry.range.inner_pages());
    }
    for entry in entries.iter().filter(|entry| entry.kind != Kind::Ram) {
        free.subtract(entry.range.outer_pages());
    }
    free
}

/// The largest part of `within` that is in no entry and not taken: addresses for devices that
/// firmware gave none.
pub fn largest_gap(within: Range, entries: &[Entry], taken: &[Range]) -> Range {
    let mut gaps = Ranges::default();
    gaps.insert(within.inner_pages());
    for entry in entries {
        gaps.subtract(entry.range.outer_pages());
    }
    let gaps = gaps.without(taken);
    gaps.iter().copied().max_by_key(|gap| gap.length()).unwrap_or_default()
}

impl Ranges {
    /// What there was no room for.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// The same without the pages of `taken`. All that is left was there: so what is taken of
    /// memory that is mapped is mapped, however many pieces come out.
    #[must_use]
    pub fn without(mut self, taken: &[Range]) -> Self {
        taken.iter().for_each(|range| self.subtract(range.outer_pages()));
        self
    }

    /// Adds `range`, merging it with what it overlaps or touches.
    fn insert(&mut self, mut range: Range) {
        if range.is_empty() {
            return;
        }
        self.list.retain(|other| {
            let touches = other.touches(range);
            if touches {
                range = range.joined(*other);
            }
            !touches
        });
        if self.make_room(range) {
            let at = self.iter().take_while(|other| other.start < range.start).count();
            // There is room.
            let _ = self.list.insert(at, range);
        }
    }

    /// Drops the smallest piece of a full list, or `piece`, which is to be added, if that is
    /// smaller. Whether there is room for it. What is dropped is left unused, which is safe.
    fn make_room(&mut self, piece: Range) -> bool {
        if !self.list.is_full() {
            return true;
        }
        let smallest = self.list.iter().enumerate().min_by_key(|(_, range)| range.length());
        let smallest = smallest.filter(|(_, range)| range.length() < piece.length());
        let at = smallest.map(|(at, _)| at);
        count(&mut self.dropped, at.map_or(piece, |at| self.list.remove(at)));
        at.is_some()
    }

    /// Cuts `hole` out.
    fn subtract(&mut self, hole: Range) {
        let old = core::mem::take(&mut self.list);
        for range in old {
            let pieces = if range.overlaps(hole) {
                let below = Range::new(range.start, hole.start.clamp(range.start, range.end));
                let above = Range::new(hole.end.clamp(range.start, range.end), range.end);
                [below, above]
            } else {
                [range, Range::default()]
            };
            for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
                if self.make_room(piece) {
                    // There is room.
                    let _ = self.list.push(piece);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    const fn entry(start: u64, end: u64, kind: Kind) -> Entry {
        Entry { range: Range::new(start, end), kind }
    }

    #[test]
    fn overlapping_and_unsorted_entries_give_sorted_disjoint_memory() {
        let entries = [
            entry(0x10_0000, 0x80_0000, Kind::Ram),
            entry(0x70_0000, 0x78_0000, Kind::Acpi),
            entry(0, 0x9_f000, Kind::Ram),
            entry(0x80_0000, 0x90_0000, Kind::Ram),
            entry(0x9_e000, 0x10_0000, Kind::Reserved),
        ];
        let free = usable(&entries).without(&[Range::new(0, 0x1000)]);
        let expected = [
            Range::new(0x1000, 0x9_e000),
            Range::new(0x10_0000, 0x70_0000),
            Range::new(0x78_0000, 0x90_0000),
        ];
        assert_eq!(*free, expected);
    }

    #[test]
    fn only_whole_pages_are_used_and_whole_pages_are_taken() {
        let entries = [entry(0x10_0001, 0x10_4fff, Kind::Ram)];
        assert_eq!(*usable(&entries), [Range::new(0x10_1000, 0x10_4000)]);
        let left = usable(&entries).without(&[Range::new(0x10_2fff, 0x10_3001)]);
        assert_eq!(*left, [Range::new(0x10_1000, 0x10_2000)]);
    }

    #[test]
    fn a_hole_may_cover_everything_and_an_entry_may_reach_the_top() {
        let entries = [entry(0x10_0000, u64::MAX, Kind::Ram)];
        assert_eq!(usable(&entries).without(&[Range::new(0, u64::MAX)]).len(), 0);
        assert_eq!(*usable(&entries), [Range::new(0x10_0000, !(PAGE - 1))]);
    }

    #[test]
    fn a_map_of_too_many_pieces_loses_memory_and_nothing_else() {
        let mut free = Ranges::default();
        for index in 0..2 * ENTRIES as u64 {
            free.insert(Range::sized(index * 2 * PAGE, PAGE));
        }
        assert_eq!(free.len(), ENTRIES);
        let large = Range::sized(4 * ENTRIES as u64 * PAGE, 2 * PAGE);
        free.insert(large);
        assert!(free.contains(&large), "the smallest are lost, not the last");
        assert_eq!(free.len(), ENTRIES);
        assert_eq!(free.dropped(), (ENTRIES as u32 + 1, (ENTRIES as u64 + 1) * PAGE));
        // A hole in the large one leaves two pieces, one of them too many.
        free.subtract(Range::new(0, 2 * PAGE));
        free.subtract(Range::sized(large.start + 64, 64));
        assert!(free.len() <= ENTRIES);
        assert!(free.windows(2).all(|pair| pair[0].end < pair[1].start));
    }

    #[test]
    fn what_is_left_of_memory_was_there_however_many_pieces_come_out() {
        // The smallest pieces lie in the middle, and holes in the largest make some smaller yet.
        let page = |index: u64| index * 64 * PAGE;
        let length = |index: u64| PAGE * (1 + index.abs_diff(ENTRIES as u64 / 2) % 40);
        for count in [10, ENTRIES as u64 - 1, ENTRIES as u64] {
            let all = (0..count).map(|index| Range::sized(page(index), length(index)));
            let entries: std::vec::Vec<_> =
                all.map(|range| Entry { range, kind: Kind::Ram }).collect();
            let mapped = usable(&entries).without(&[Range::sized(page(1) + 3 * PAGE, PAGE)]);
            for holes in 0..40 {
                let taken = (0..holes).map(|hole| Range::sized(page(hole * 3) + 2 * PAGE, PAGE));
                let taken: std::vec::Vec<_> = taken.collect();
                let free = mapped.clone().without(&taken);
                let inside = |free: &Range| {
                    mapped.iter().any(|all| all.start <= free.start && free.end <= all.end)
                };
                assert!(free.iter().all(inside), "{count}, {holes}");
                assert!(!free.iter().any(|free| taken.iter().any(|hole| hole.overlaps(*free))));
                let bytes = |ranges: &Ranges| ranges.iter().map(|range| range.length()).sum();
                let hidden = |hole: &Range| mapped.iter().any(|all| all.overlaps(*hole));
                let holes = taken.iter().filter(|hole| hidden(hole)).count() as u64 * PAGE;
                let (before, after): (u64, u64) = (bytes(&mapped), bytes(&free));
                let lost = free.dropped().1 - mapped.dropped().1;
                assert_eq!(before - after, holes + lost, "what is lost is counted");
            }
        }
    }

    #[test]
    fn devices_get_the_largest_gap_that_nothing_claims() {
        let entries = [
            entry(0x10_0000, 0xc800_0000, Kind::Ram),
            entry(0xfe00_0000, 0xfe00_1000, Kind::Reserved),
        ];
        let ecam = Range::sized(0xe000_0000, 0x1000_0000);
        let within = Range::new(0xc000_0000, 0xfec0_0000);
        let window = largest_gap(within, &entries, &[ecam]);
        assert_eq!(window, Range::new(0xc800_0000, 0xe000_0000));
        assert!(largest_gap(within, &entries, &[Range::new(0, u64::MAX)]).is_empty());
    }

    #[test]
    fn ranges_never_turn_around() {
        assert!(Range::new(5, 3).is_empty());
        assert_eq!(Range::sized(u64::MAX - 1, 10).length(), 1);
        assert!(Range::new(1, 4095).inner_pages().is_empty());
    }
}
