//! What was answered before (RFC 1035 section 7.4, RFC 2308, RFC 9520).

use crate::name::Name;
use alloc::vec::Vec;
use core::hash::Hasher;
use siphasher::sip::SipHasher13;
use waitless::{Addresses, Family, Instant, NoAddress, Random};

/// What is known of a name.
pub(crate) type Known = Result<Addresses, NoAddress>;

/// Answers, until they end or others take their places.
pub(crate) struct Cache {
    entries: Vec<Entry>,
    limit: usize,
    /// Nobody outside can make names collide.
    keys: (u64, u64),
}

struct Entry {
    hash: u64,
    name: Name,
    family: Family,
    until: Instant,
    known: Known,
}

impl Cache {
    /// A cache for `limit` answers. It grows with use.
    pub fn new(limit: usize) -> Self {
        Self { entries: Vec::new(), limit, keys: (0, 0) }
    }

    /// What hashes depend on.
    pub fn seed(&mut self, random: &mut Random) {
        self.keys = (random.u64(), random.u64());
    }

    /// How many answers are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// What is known of `name` at `now`.
    pub fn find(&self, name: &Name, family: Family, now: Instant) -> Option<&Known> {
        let at = self.position(self.hash(name, family), name, family)?;
        self.entries.get(at).filter(|entry| now < entry.until).map(|entry| &entry.known)
    }

    /// Remembers what is known until then. In a full cache it takes the place of what has ended,
    /// or ends first.
    pub fn put(&mut self, name: &Name, family: Family, until: Instant, known: Known) {
        let hash = self.hash(name, family);
        let entry = Entry { hash, name: *name, family, until, known };
        let full = self.entries.len() >= self.limit;
        let place =
            self.position(hash, name, family).or_else(|| full.then(|| self.first_to_end())?);
        match place.and_then(|at| self.entries.get_mut(at)) {
            Some(old) => *old = entry,
            None if !full => self.entries.push(entry),
            None => {}
        }
    }

    fn position(&self, hash: u64, name: &Name, family: Family) -> Option<usize> {
        let same = |it: &Entry| it.hash == hash && it.family == family && it.name == *name;
        self.entries.iter().position(same)
    }

    fn first_to_end(&self) -> Option<usize> {
        let entries = self.entries.iter().enumerate();
        entries.min_by_key(|(_, entry)| entry.until).map(|(at, _)| at)
    }

    fn hash(&self, name: &Name, family: Family) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        hasher.write(name.bytes());
        hasher.write_u8(family as u8);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use waitless::Duration;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap().0
    }

    #[test]
    fn answers_end_and_the_first_to_end_gives_way() {
        let mut cache = Cache::new(2);
        let at = |secs| Instant::ZERO + Duration::from_secs(secs);
        let (a, b, c) = (name("a.example"), name("b.example"), name("c.example"));
        cache.put(&a, Family::V4, at(10), Err(NoAddress::NoSuchName));
        cache.put(&b, Family::V4, at(5), Err(NoAddress::NoneOfFamily));
        assert_eq!(cache.find(&a, Family::V4, at(9)), Some(&Err(NoAddress::NoSuchName)));
        assert_eq!(cache.find(&a, Family::V4, at(10)), None);
        assert_eq!(cache.find(&a, Family::V6, at(0)), None, "another question");
        cache.put(&c, Family::V4, at(7), Ok(Addresses::new()));
        assert_eq!((cache.find(&b, Family::V4, at(0)), cache.len()), (None, 2));
        cache.put(&a, Family::V4, at(20), Ok(Addresses::new()));
        assert_eq!(cache.find(&a, Family::V4, at(15)), Some(&Ok(Addresses::new())));
        let mut none = Cache::new(0);
        none.put(&a, Family::V4, at(10), Err(NoAddress::NoSuchName));
        assert_eq!(none.len(), 0);
    }
}
