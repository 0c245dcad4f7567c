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
/// When the map is full, the smallest piece of RAM makes room, and that much memory is left
/// unused. What is no RAM stays as long as there is RAM to drop: it takes RAM away where the two
/// overlap. When there is none to drop, none comes later either, and nothing is left to take away.
pub fn add(map: &mut Vec<Entry, ENTRIES>, piece: Entry, dropped: &mut Dropped) {
    if piece.range.is_empty() {
        return;
    }
    let touches = |other: &&mut Entry| {
        let (a, b) = (other.range, piece.range);
        other.kind == piece.kind && a.start() <= b.end() && b.start() <= a.end()
    };
    if let Some(other) = map.iter_mut().find(touches) {
        let (a, b) = (other.range, piece.range);
        other.range = Range::new(a.start().min(b.start()), a.end().max(b.end()));
        return;
    }
    if !map.is_full() {
        // There is room.
        let _ = map.push(piece);
        return;
    }
    let ram = map.iter_mut().filter(|entry| entry.kind == Kind::Ram);
    let victim = ram.min_by_key(|entry| entry.range.length());
    let mut lost = piece;
    if let Some(victim) = victim
        && (piece.kind != Kind::Ram || victim.range.length() < piece.range.length())
    {
        lost = core::mem::replace(victim, piece);
    }
    count(dropped, lost.range);
}

fn count(dropped: &mut Dropped, lost: Range) {
    dropped.0 = dropped.0.saturating_add(1);
    dropped.1 = dropped.1.saturating_add(lost.length());
}

/// Pieces of memory, sorted, disjoint and made of whole pages.
pub type Ranges = Vec<Range, ENTRIES>;

/// The RAM in `entries` without anything that another entry or `taken` lays claim to.
///
/// Entries may come in any order and overlap. Where more pieces come out than [`Ranges`] holds,
/// the smallest are left unused.
pub fn usable(entries: &[Entry], taken: &[Range]) -> Ranges {
    let mut free = Ranges::new();
    for entry in entries.iter().filter(|entry| entry.kind == Kind::Ram) {
        insert(&mut free, entry.range.inner_pages());
    }
    let claimed = entries.iter().filter(|entry| entry.kind != Kind::Ram).map(|entry| entry.range);
    for range in claimed.chain(taken.iter().copied()) {
        subtract(&mut free, range.outer_pages());
    }
    free
}

/// The largest part of `within` that is in no entry and not taken: addresses for devices that
/// firmware gave none.
pub fn largest_gap(within: Range, entries: &[Entry], taken: &[Range]) -> Range {
    let mut gaps = Ranges::new();
    insert(&mut gaps, within.inner_pages());
    for range in entries.iter().map(|entry| entry.range).chain(taken.iter().copied()) {
        subtract(&mut gaps, range.outer_pages());
    }
    gaps.into_iter().max_by_key(|gap| gap.length()).unwrap_or_default()
}

/// Adds `range`, merging it with what it overlaps or touches.
fn insert(ranges: &mut Ranges, mut range: Range) {
    if range.is_empty() {
        return;
    }
    ranges.retain(|other| {
        let apart = other.end < range.start || range.end < other.start;
        if !apart {
            range = Range::new(range.start.min(other.start), range.end.max(other.end));
        }
        apart
    });
    if ranges.is_full() && !make_room(ranges, range.length()) {
        return;
    }
    let at = ranges.iter().take_while(|other| other.start < range.start).count();
    // There is room.
    let _ = ranges.insert(at, range);
}

/// Drops the smallest piece of a full list, if it is smaller than `length`. What is dropped is
/// left unused, which is safe.
fn make_room(ranges: &mut Ranges, length: u64) -> bool {
    let smallest = ranges.iter().enumerate().min_by_key(|(_, range)| range.length());
    match smallest {
        Some((at, smallest)) if smallest.length() < length => {
            ranges.remove(at);
            true
        }
        _ => false,
    }
}

/// Cuts `hole` out.
fn subtract(ranges: &mut Ranges, hole: Range) {
    let mut left = Ranges::new();
    for range in ranges.iter() {
        let pieces = if range.overlaps(hole) {
            let below = Range::new(range.start, hole.start.clamp(range.start, range.end));
            let above = Range::new(hole.end.clamp(range.start, range.end), range.end);
            [below, above]
        } else {
            [*range, Range::default()]
        };
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            if !left.is_full() || make_room(&mut left, piece.length()) {
                // There is room.
                let _ = left.push(piece);
            }
        }
    }
    *ranges = left;
}

#[cfg(test)]
mod tests {
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
        let free = usable(&entries, &[Range::new(0, 0x1000)]);
        let expected = [
            Range::new(0x1000, 0x9_e000),
            Range::new(0x10_0000, 0x70_0000),
            Range::new(0x78_0000, 0x90_0000),
        ];
        assert_eq!(free.as_slice(), &expected);
    }

    #[test]
    fn only_whole_pages_are_used_and_whole_pages_are_taken() {
        let entries = [entry(0x10_0001, 0x10_4fff, Kind::Ram)];
        assert_eq!(usable(&entries, &[]).as_slice(), &[Range::new(0x10_1000, 0x10_4000)]);
        let taken = [Range::new(0x10_2fff, 0x10_3001)];
        assert_eq!(usable(&entries, &taken).as_slice(), &[Range::new(0x10_1000, 0x10_2000)]);
    }

    #[test]
    fn a_hole_may_cover_everything_and_an_entry_may_reach_the_top() {
        let entries = [entry(0x10_0000, u64::MAX, Kind::Ram)];
        assert_eq!(usable(&entries, &[Range::new(0, u64::MAX)]).len(), 0);
        let free = usable(&entries, &[]);
        assert_eq!(free.as_slice(), &[Range::new(0x10_0000, !(PAGE - 1))]);
    }

    #[test]
    fn a_map_of_too_many_pieces_loses_memory_and_nothing_else() {
        let mut free = Ranges::new();
        for index in 0..2 * ENTRIES as u64 {
            insert(&mut free, Range::sized(index * 2 * PAGE, PAGE));
        }
        assert_eq!(free.len(), ENTRIES);
        let large = Range::sized(4 * ENTRIES as u64 * PAGE, 2 * PAGE);
        insert(&mut free, large);
        assert!(free.contains(&large), "the smallest are lost, not the last");
        assert_eq!(free.len(), ENTRIES);
        // A hole in the large one leaves two pieces, one of them too many.
        subtract(&mut free, Range::new(0, 2 * PAGE));
        subtract(&mut free, Range::sized(large.start + 64, 64));
        assert!(free.len() <= ENTRIES);
        assert!(free.windows(2).all(|pair| pair[0].end < pair[1].start));
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
