//! Whose constants are those without a name: literals and tables belong to whom they are used by.
//!
//! A linked image has no symbols for them, but its instructions, and pointers in other constants,
//! hold their addresses. A constant reaches to the next address that somebody refers to.

use crate::cli::code::Isa;
use object::{Object, ObjectSection, SectionKind};
use std::collections::BTreeMap;
use std::ops::Range;

/// By address: who refers to it first.
pub struct References {
    constants: Vec<Range<u64>>,
    by_address: BTreeMap<u64, String>,
}

impl References {
    /// Those of an image whose functions are at `functions`, each with its owner.
    pub fn new(file: &object::File<'_>, functions: &[(Range<u64>, String)]) -> Self {
        let read_only = file.sections().filter(|section| is_constant(section.kind()));
        let constants = read_only.map(|s| s.address()..s.address() + s.size()).collect();
        let isa = Isa::of(file.architecture());
        let mut found = Self { constants, by_address: BTreeMap::new() };
        for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
            let data = section.data().unwrap_or_default();
            for (range, owner) in functions {
                if let (Some(isa), Some(bytes)) = (isa, within(data, section.address(), range)) {
                    isa.addresses(bytes, range.start, |address| found.add(address, owner));
                }
            }
        }
        // Tables of literals are behind one pointer, tables of tables behind two.
        for _ in 0..2 {
            for section in file.sections().filter(|section| is_constant(section.kind())) {
                found.of_constants(section.data().unwrap_or_default(), section.address());
            }
        }
        found
    }

    fn of_constants(&mut self, bytes: &[u8], start: u64) {
        let words = bytes.chunks_exact(8).zip((start..).step_by(8));
        for (word, at) in words.filter(|(_, at)| at % 8 == 0) {
            let address = word.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            if let Some(owner) = self.owner(at).map(str::to_owned) {
                self.add(address, &owner);
            }
        }
    }

    fn add(&mut self, address: u64, owner: &str) {
        if self.constants.iter().any(|range| range.contains(&address)) {
            self.by_address.entry(address).or_insert_with(|| owner.to_owned());
        }
    }

    fn owner(&self, address: u64) -> Option<&str> {
        let section = self.constants.iter().find(|range| range.contains(&address))?;
        let mut before = self.by_address.range(section.start..=address);
        before.next_back().map(|(_, owner)| owner.as_str())
    }

    /// The parts of `gap`, each with who refers to it; `None` where nobody does.
    pub fn parts(&self, gap: Range<u64>) -> Vec<(u64, Option<&str>)> {
        let inside = self.by_address.range(gap.start..gap.end).map(|(at, _)| *at);
        let starts: Vec<u64> = std::iter::once(gap.start).chain(inside).collect();
        let ends = starts.iter().skip(1).copied().chain([gap.end]);
        let both = starts.iter().zip(ends).filter(|(start, end)| **start < *end);
        both.map(|(start, end)| (end - start, self.owner(*start))).collect()
    }
}

/// Whether a section holds constants.
fn is_constant(kind: SectionKind) -> bool {
    matches!(
        kind,
        SectionKind::ReadOnlyData | SectionKind::ReadOnlyString | SectionKind::ReadOnlyDataWithRel
    )
}

/// The bytes of `range` in a section at `start`.
fn within<'a>(data: &'a [u8], start: u64, range: &Range<u64>) -> Option<&'a [u8]> {
    let from = usize::try_from(range.start.checked_sub(start)?).ok()?;
    let to = usize::try_from(range.end.checked_sub(start)?).ok()?;
    data.get(from..to)
}
