extern crate std;
use super::*;
use std::vec;
use std::vec::Vec;

/// Writes a tree.
#[derive(Default)]
pub(crate) struct Writer {
    structure: Vec<u8>,
    strings: Vec<u8>,
    reserved: Vec<(u64, u64)>,
}

impl Writer {
    fn word(&mut self, word: u32) {
        self.structure.extend(word.to_be_bytes());
    }

    fn pad(&mut self) {
        self.structure.resize(self.structure.len().next_multiple_of(4), 0);
    }

    /// Opens a node.
    pub(crate) fn begin(&mut self, name: &str) -> &mut Self {
        self.word(token::BEGIN);
        self.structure.extend(name.bytes().chain([0]));
        self.pad();
        self
    }

    /// Closes a node.
    pub(crate) fn end(&mut self) -> &mut Self {
        self.word(token::END_NODE);
        self
    }

    /// A property of bytes.
    pub(crate) fn bytes(&mut self, name: &str, value: &[u8]) -> &mut Self {
        let at = self.strings.len();
        self.strings.extend(name.bytes().chain([0]));
        for word in [token::PROPERTY, value.len() as u32, at as u32] {
            self.word(word);
        }
        self.structure.extend(value);
        self.pad();
        self
    }

    /// A property of words.
    pub(crate) fn words(&mut self, name: &str, value: &[u32]) -> &mut Self {
        let value: Vec<u8> = value.iter().flat_map(|word| word.to_be_bytes()).collect();
        self.bytes(name, &value)
    }

    /// A property of text.
    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        let value: Vec<u8> = value.bytes().chain([0]).collect();
        self.bytes(name, &value)
    }

    /// Memory that must stay.
    pub(crate) fn reserve(&mut self, start: u64, length: u64) -> &mut Self {
        self.reserved.push((start, length));
        self
    }

    /// The tree.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.word(token::END);
        let mut reserved = Vec::new();
        for (start, length) in self.reserved.iter().chain(&[(0, 0)]) {
            reserved.extend(start.to_be_bytes().into_iter().chain(length.to_be_bytes()));
        }
        let structure = HEADER + reserved.len();
        let strings = structure + self.structure.len();
        let length = strings + self.strings.len();
        let numbers = [
            MAGIC as usize,
            length,
            structure,
            strings,
            HEADER,
            17,
            16,
            0,
            self.strings.len(),
            self.structure.len(),
        ];
        let mut all: Vec<u8> =
            numbers.iter().flat_map(|number| (*number as u32).to_be_bytes()).collect();
        for part in [&reserved, &self.structure, &self.strings] {
            all.extend(part);
        }
        all
    }
}

/// A small tree with everything that a tree can have.
fn example() -> Vec<u8> {
    let mut writer = Writer::default();
    writer.reserve(0x1000, 0x2000);
    writer.begin("").words("#address-cells", &[2]).words("#size-cells", &[1]);
    writer.text("model", "a board");
    writer.begin("bus@1000").words("#address-cells", &[1]).words("#size-cells", &[0]);
    writer.begin("part@7").words("reg", &[7, 9]).text("compatible", "a,first\0b,second").end();
    writer.end();
    writer.begin("part@8").words("reg", &[1, 8, 0x100]).text("status", "disabled").end();
    writer.end().finish()
}

#[test]
fn nodes_come_with_how_their_parents_count() {
    let bytes = example();
    let tree = Tree::new(&bytes).unwrap();
    let names: Vec<_> = tree.nodes().map(|node| (node.depth, node.name)).collect();
    assert_eq!(names, [(0, ""), (1, "bus@1000"), (2, "part@7"), (1, "part@8")]);
    let inner = tree.at("/bus/part").unwrap();
    assert_eq!(inner.places().collect::<Vec<_>>(), [(7, 0), (9, 0)]);
    assert!(inner.is("b,second") && !inner.is("b") && inner.is_okay());
    let outer = tree.at("/part@8").unwrap();
    assert_eq!(outer.places().collect::<Vec<_>>(), [(1 << 32 | 8, 0x100)]);
    assert!(!outer.is_okay());
    assert_eq!(tree.at("/").and_then(|root| root.text("model")), Some("a board"));
    assert!(tree.at("/part/part").is_none() && tree.at("/bus@1000/part@8").is_none());
    assert_eq!(tree.reserved().collect::<Vec<_>>(), [(0x1000, 0x2000)]);
}

#[test]
fn a_property_that_is_not_there_is_missing() {
    let bytes = example();
    let root = Tree::new(&bytes).unwrap().nodes().next().unwrap();
    assert_eq!(root.number("model"), Some(u32::from_be_bytes(*b"a bo")));
    assert_eq!((root.text("compatible"), root.number("status")), (None, None), "nor a child's");
    assert_eq!(root.word("#size-cells", 1), None);
    assert_eq!(root.word("#size-cells", usize::MAX), None);
}

#[test]
fn what_is_no_tree_is_refused_by_cause() {
    let good = example();
    let with = |offset: usize, word: u32| {
        let mut bytes = good.clone();
        bytes[offset..offset + 4].copy_from_slice(&word.to_be_bytes());
        Tree::new(&bytes).map(|_| ()).unwrap_err()
    };
    assert_eq!(with(field::MAGIC, 7), TreeError::Magic(7));
    assert_eq!(with(field::OLDEST, 18), TreeError::Version(18));
    assert_eq!(with(field::LENGTH, 1 << 30), TreeError::Short);
    assert_eq!(with(field::STRUCTURE, u32::MAX), TreeError::Short);
    assert_eq!(with(field::STRINGS_LENGTH, u32::MAX), TreeError::Short);
    let structure = HEADER + 32;
    assert_eq!(with(structure, 5), TreeError::Token(5));
    assert_eq!(with(structure, token::END), TreeError::Token(token::END));
    assert_eq!(with(structure, token::END_NODE), TreeError::Token(token::END_NODE));
    assert_eq!(Tree::new(&[]).map(|_| ()), Err(TreeError::Short));
    let mut two = Writer::default();
    let two = two.begin("").end().begin("").end().finish();
    assert_eq!(Tree::new(&two).map(|_| ()), Err(TreeError::Token(token::BEGIN)));
    let mut deep = Writer::default();
    (0..=DEPTH).for_each(|_| _ = deep.begin("x"));
    assert_eq!(Tree::new(&deep.finish()).map(|_| ()), Err(TreeError::Deep));
}

/// Reads all that a tree has.
pub(crate) fn exhaust(bytes: &[u8]) {
    let Ok(tree) = Tree::new(bytes) else { return };
    for node in tree.nodes() {
        let _ = (node.places().count(), node.own_cells(), node.is("x"), node.is_okay());
        let _ = (node.base_name(), node.text("model"));
    }
    let _ = (tree.reserved().count(), tree.at("/bus/part").is_some());
}

#[test]
fn no_damage_makes_it_panic_or_go_on_for_ever() {
    let good = example();
    for end in 0..good.len() {
        exhaust(&good[..end]);
    }
    for (at, value) in (0..good.len()).flat_map(|at| [0, 1, 4, 9, 0x7f, 0xff].map(|v| (at, v))) {
        let mut bytes = good.clone();
        bytes[at] = value;
        exhaust(&bytes);
    }
    exhaust(&vec![0xff; 256]);
}
