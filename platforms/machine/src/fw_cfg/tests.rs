extern crate std;
use super::*;
use std::vec::Vec;

/// A device with files; what is selected, and how much of it was read.
struct Fake {
    items: Vec<(u16, Vec<u8>)>,
    selected: u16,
    at: usize,
}

impl Device for Fake {
    fn select(&mut self, item: u16) {
        (self.selected, self.at) = (item, 0);
    }

    fn read(&mut self, room: &mut [u8]) {
        let item = self.items.iter().find(|(number, _)| *number == self.selected);
        for byte in room {
            *byte = item.and_then(|(_, bytes)| bytes.get(self.at)).copied().unwrap_or(0);
            self.at += 1;
        }
    }
}

fn device(files: &[(&str, &[u8])]) -> Fake {
    let mut directory = Vec::from((files.len() as u32).to_be_bytes());
    let mut items = Vec::from([(0, b"QEMU".to_vec())]);
    for (number, (name, bytes)) in (0x20u16..).zip(files) {
        directory.extend((bytes.len() as u32).to_be_bytes());
        directory.extend(number.to_be_bytes());
        directory.extend([0; 2]);
        directory.extend(name.bytes().chain(std::iter::repeat(0)).take(ENTRY - NAME));
        items.push((number, bytes.to_vec()));
    }
    items.push((item::DIRECTORY, directory));
    Fake { items, selected: 0, at: 0 }
}

#[test]
fn a_file_is_found_by_its_whole_name() {
    let keys = b"http.port=81\nip4.ttl=3\n";
    let files: &[(&str, &[u8])] = &[("opt/org.waitless/settings", b"no"), (FILE, keys)];
    let found = words(&mut device(files), FILE).unwrap();
    assert_eq!(found.as_str(), "http.port=81\nip4.ttl=3\n");
    assert!(!found.is_cut());
    assert_eq!(words(&mut device(files), "opt/org.waitless/se"), None);
    assert_eq!(words(&mut device(&[]), FILE), None);
}

#[test]
fn what_is_no_such_device_has_no_files() {
    let mut nothing = Fake { items: Vec::new(), selected: 0, at: 0 };
    assert_eq!(words(&mut nothing, FILE), None);
    let mut ones = device(&[(FILE, b"a.b=1")]);
    ones.items[0].1 = std::vec![0xff; 4];
    assert_eq!(words(&mut ones, FILE), None);
    // A directory that claims to be endless.
    let mut endless = device(&[]);
    endless.items[1].1 = std::vec![0xff; 4];
    assert_eq!(words(&mut endless, FILE), None);
}

#[test]
fn a_file_that_is_too_long_is_cut_and_says_so() {
    let long = std::vec![b'x'; COMMAND_LINE + 1];
    let found = words(&mut device(&[(FILE, &long)]), FILE).unwrap();
    assert_eq!((found.as_str().len(), found.is_cut()), (COMMAND_LINE, true));
    let whole = words(&mut device(&[(FILE, &long[1..])]), FILE).unwrap();
    assert!(!whole.is_cut());
}
