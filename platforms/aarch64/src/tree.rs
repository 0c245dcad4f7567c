//! Reads a flattened device tree (Devicetree Specification 0.4, section 5).
//!
//! A tree comes from outside, so all of it is checked once, when a [`Tree`] is made: every token,
//! name and length. What is read from it later cannot fail, and what makes no sense is missing.

use heapless::Vec;

/// A tree that was checked.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    structure: &'a [u8],
    strings: &'a [u8],
    reserved: &'a [u8],
}

/// Why a tree cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TreeError {
    /// There is none: the first word is another.
    Magic(u32),
    /// It is written in a version that this reader does not know. Carries the oldest that a
    /// reader must know.
    Version(u32),
    /// A part, a name or a value reaches beyond its end.
    Short,
    /// A token that there is not, or where it cannot be. Carries the token.
    Token(u32),
    /// Nodes stand in nodes more than [`DEPTH`] deep.
    Deep,
}

impl core::fmt::Display for TreeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Magic(found) => write!(f, "the device tree begins with {found:#x}"),
            Self::Version(needed) => write!(f, "the device tree needs a reader of {needed}"),
            Self::Short => f.write_str("the device tree is cut short"),
            Self::Token(found) => write!(f, "the device tree has a token {found:#x}"),
            Self::Deep => f.write_str("the device tree is too deep"),
        }
    }
}

/// How deep nodes may stand in nodes. Real trees are five deep.
pub const DEPTH: usize = 16;
/// The longest tree: what the boot protocol allows.
pub const LENGTH_MAX: usize = 2 << 20;
/// Bytes from which [`length`] can be read.
pub const HEADER: usize = 40;

const MAGIC: u32 = 0xd00d_feed;
const VERSION: u32 = 17;

/// Byte offsets into the header.
mod field {
    pub const MAGIC: usize = 0;
    pub const LENGTH: usize = 4;
    pub const STRUCTURE: usize = 8;
    pub const STRINGS: usize = 12;
    pub const RESERVED: usize = 16;
    pub const OLDEST: usize = 24;
    pub const STRINGS_LENGTH: usize = 32;
    pub const STRUCTURE_LENGTH: usize = 36;
}

mod token {
    pub const BEGIN: u32 = 1;
    pub const END_NODE: u32 = 2;
    pub const PROPERTY: u32 = 3;
    pub const NOTHING: u32 = 4;
    pub const END: u32 = 9;
}

/// How long the tree is whose [`HEADER`] bytes these are.
///
/// # Errors
/// When they are no header, or the tree is longer than [`LENGTH_MAX`].
pub fn length(header: &[u8]) -> Result<usize, TreeError> {
    let word = |offset| word(header, offset).ok_or(TreeError::Short);
    let magic = word(field::MAGIC)?;
    if magic != MAGIC {
        return Err(TreeError::Magic(magic));
    }
    let length = word(field::LENGTH)? as usize;
    if (HEADER..=LENGTH_MAX).contains(&length) { Ok(length) } else { Err(TreeError::Short) }
}

impl<'a> Tree<'a> {
    /// The tree in `bytes`, which may be longer than it.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn new(bytes: &'a [u8]) -> Result<Self, TreeError> {
        let bytes = bytes.get(..length(bytes)?).ok_or(TreeError::Short)?;
        let word = |offset| word(bytes, offset).ok_or(TreeError::Short);
        let oldest = word(field::OLDEST)?;
        if oldest > VERSION {
            return Err(TreeError::Version(oldest));
        }
        let from = |offset| bytes.get(word(offset)? as usize..).ok_or(TreeError::Short);
        let part = |offset, length| {
            let all: &'a [u8] = from(offset)?;
            all.get(..word(length)? as usize).ok_or(TreeError::Short)
        };
        let tree = Self {
            structure: part(field::STRUCTURE, field::STRUCTURE_LENGTH)?,
            strings: part(field::STRINGS, field::STRINGS_LENGTH)?,
            reserved: from(field::RESERVED)?,
        };
        tree.check()?;
        Ok(tree)
    }

    fn check(&self) -> Result<(), TreeError> {
        let (mut at, mut depth, mut nodes) = (0, 0usize, 0u32);
        loop {
            let token = self.token(&mut at).ok_or(TreeError::Short)?;
            match token {
                Token::Begin(_) if depth == DEPTH => return Err(TreeError::Deep),
                // There is one root, and it is the first.
                Token::Begin(_) if depth == 0 && nodes > 0 => {
                    return Err(TreeError::Token(token::BEGIN));
                }
                Token::Begin(_) => {
                    depth += 1;
                    nodes += 1;
                }
                Token::EndNode if depth > 0 => depth -= 1,
                Token::Property(..) if depth > 0 => {}
                Token::Nothing => {}
                Token::End if depth == 0 && nodes > 0 => return Ok(()),
                Token::Property(..) => return Err(TreeError::Token(token::PROPERTY)),
                Token::EndNode => return Err(TreeError::Token(token::END_NODE)),
                Token::End => return Err(TreeError::Token(token::END)),
                Token::Unknown(found) => return Err(TreeError::Token(found)),
            }
        }
    }

    /// The token at `at`, which moves behind it. `None` where it is cut short.
    fn token(&self, at: &mut usize) -> Option<Token<'a>> {
        let kind = word(self.structure, *at)?;
        *at += 4;
        Some(match kind {
            token::BEGIN => {
                let name = text(self.structure.get(*at..)?)?;
                *at = (*at + name.len() + 1).next_multiple_of(4);
                Token::Begin(name)
            }
            token::PROPERTY => {
                let length = word(self.structure, *at)? as usize;
                let name = text(self.strings.get(word(self.structure, *at + 4)? as usize..)?)?;
                *at += 8;
                let value = self.structure.get(*at..at.checked_add(length)?)?;
                *at = (*at + length).next_multiple_of(4);
                Token::Property(name, value)
            }
            token::END_NODE => Token::EndNode,
            token::NOTHING => Token::Nothing,
            token::END => Token::End,
            kind => Token::Unknown(kind),
        })
    }

    /// Memory that must stay as it is, by the tree's own list: addresses and lengths.
    pub fn reserved(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let entries = self.reserved.chunks_exact(16);
        let pairs = entries.filter_map(|entry| Some((long(entry, 0)?, long(entry, 8)?)));
        // The list is as long as the entry of zeroes says, or as the tree.
        pairs.take_while(|pair| *pair != (0, 0))
    }

    /// All nodes, each before those in it.
    pub fn nodes(self) -> Nodes<'a> {
        Nodes { tree: self, at: 0, parents: Vec::new() }
    }

    /// The node at `path`, whose names may go without the address: `/`, `/psci`, `/bus/pl011`.
    pub fn at(self, path: &str) -> Option<Node<'a>> {
        let names = path.split('/').filter(|name| !name.is_empty());
        let mut wanted = Vec::<&str, DEPTH>::new();
        for name in names {
            // No node is deeper than that.
            wanted.push(name).ok()?;
        }
        let mut matched = 0;
        for node in self.nodes() {
            // A node left behind does not count any more.
            matched = matched.min(node.depth.saturating_sub(1));
            let next = wanted.get(matched);
            let fits = |name: &&str| *name == node.name || *name == node.base_name();
            if node.depth == matched + 1 && next.is_some_and(fits) {
                matched += 1;
            }
            if matched == wanted.len() && node.depth == matched {
                return Some(node);
            }
        }
        None
    }
}

enum Token<'a> {
    Begin(&'a str),
    EndNode,
    Property(&'a str, &'a [u8]),
    Nothing,
    End,
    Unknown(u32),
}

/// How many words an address and a length take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cells {
    /// Words of an address.
    pub address: u32,
    /// Words of a length.
    pub size: u32,
}

impl Default for Cells {
    /// What counts where nothing is said.
    fn default() -> Self {
        Self { address: 2, size: 1 }
    }
}

/// A node.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    tree: Tree<'a>,
    /// Where its properties begin.
    at: usize,
    /// Its name, with the address.
    pub name: &'a str,
    /// In how many nodes it stands: 0 for the root.
    pub depth: usize,
    /// How its parent counts.
    pub cells: Cells,
}

impl<'a> Node<'a> {
    /// Its name without the address.
    pub fn base_name(&self) -> &'a str {
        self.name.split('@').next().unwrap_or(self.name)
    }

    /// The value of a property.
    pub fn property(&self, name: &str) -> Option<&'a [u8]> {
        let mut at = self.at;
        // Properties come before the nodes in it.
        loop {
            match self.tree.token(&mut at)? {
                Token::Property(found, value) if found == name => return Some(value),
                Token::Property(..) | Token::Nothing => {}
                _ => return None,
            }
        }
    }

    /// The text of a property, up to the first zero byte.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        text(self.property(name)?)
    }

    /// The number of a property of one word.
    pub fn number(&self, name: &str) -> Option<u32> {
        word(self.property(name)?, 0)
    }

    /// The word at `index` of a property.
    pub fn word(&self, name: &str, index: usize) -> Option<u32> {
        word(self.property(name)?, index.checked_mul(4)?)
    }

    /// Whether it says that it is compatible with `name`.
    pub fn is(&self, name: &str) -> bool {
        let names = self.property("compatible").unwrap_or_default();
        names.split(|byte| *byte == 0).any(|found| found == name.as_bytes())
    }

    /// Whether it can be used: it does not say otherwise.
    pub fn is_okay(&self) -> bool {
        self.text("status").is_none_or(|status| status == "okay" || status == "ok")
    }

    /// How the nodes in it count.
    pub fn own_cells(&self) -> Cells {
        let usual = Cells::default();
        Cells {
            address: self.number("#address-cells").unwrap_or(usual.address),
            size: self.number("#size-cells").unwrap_or(usual.size),
        }
    }

    /// Its addresses with their lengths, which are 0 where the parent gives none.
    pub fn places(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let Cells { address, size } = self.cells;
        let value = self.property("reg").unwrap_or_default();
        let entry = (address as usize).saturating_add(size as usize).saturating_mul(4);
        // More than two words do not fit, and entries without a byte are none.
        let fits = address <= 2 && size <= 2 && entry > 0;
        let entries = if fits { value.chunks_exact(entry) } else { [].chunks_exact(1) };
        entries.filter_map(move |entry| {
            let (place, length) = entry.split_at_checked(address as usize * 4)?;
            Some((cells(place), cells(length)))
        })
    }
}

/// All nodes of a tree.
#[derive(Clone, Debug)]
pub struct Nodes<'a> {
    tree: Tree<'a>,
    at: usize,
    /// How the nodes that are open count.
    parents: Vec<Cells, DEPTH>,
}

impl<'a> Iterator for Nodes<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        loop {
            match self.tree.token(&mut self.at)? {
                Token::Begin(name) => {
                    let cells = self.parents.last().copied().unwrap_or_default();
                    let depth = self.parents.len();
                    let node = Node { tree: self.tree, at: self.at, name, depth, cells };
                    // The tree was checked not to be deeper.
                    let _ = self.parents.push(node.own_cells());
                    return Some(node);
                }
                Token::EndNode => _ = self.parents.pop(),
                Token::Property(..) | Token::Nothing => {}
                Token::End | Token::Unknown(_) => return None,
            }
        }
    }
}

/// The big-endian word at `offset`.
pub(crate) fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn long(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// A number of up to two words.
pub(crate) fn cells(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// What stands before the first zero byte, which there must be.
fn text(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    core::str::from_utf8(&bytes[..end]).ok()
}

#[cfg(test)]
pub(crate) mod tests;
