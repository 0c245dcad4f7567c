//! Keys that are said at boot: each place where they can be, who counts more, and what is wrong.

use std::fs;
use waitless_tests::lab::{Dhcp, Folder, Lab, Machine, Tap, run};

/// The command line: a key that somebody else says, too, one that stays, and what makes no sense.
const LINE: &str = "http.port=81 tcp.connections=999 nonsense.key=1 log=loud console=ttyS0";
/// QEMU's file.
const FILE: &str =
    "name=opt/org.waitless/set,string=http.port=82 ip4.address ip4.gateway=here nonsense";

pub fn on_x86(lab: &Lab) {
    obeys(lab, Machine::new(), &[]);
}

/// On Arm, where the device tree says something too.
pub fn on_arm(lab: &Lab) {
    let folder = Folder::new("tree");
    let file = folder.path().join("virt.dtb");
    let name = file.to_str().expect("a text path");
    let machine = format!("virt,gic-version=3,dumpdtb={name}");
    let usual = ["-cpu", "max,pauth-impdef=on", "-m", "64M", "-nodefaults", "-display", "none"];
    run("qemu-system-aarch64", &[&["-M", &machine][..], &usual].concat());
    let tree = fs::read(&file).expect("a device tree");
    // A list of texts; what others say counts more, but for the last one.
    let said = b"http.port=80\0tcp.connections=9\0udp.nonsense=1\0";
    fs::write(&file, with_property(&tree, "chosen", "waitless,set", said)).expect("a file");
    let machine = Machine::new().virt().arguments(&["-dtb", name]);
    obeys(lab, machine, &["the device tree says udp.nonsense, which is no key"]);
}

fn obeys(lab: &Lab, machine: Machine, more: &[&str]) {
    let tap = Tap::new();
    let _dhcp = Dhcp::on(&tap, &[]);
    let image = lab.images.image_for("webserver", machine.arch());
    let machine = machine.arguments(&["-append", LINE, "-fw_cfg", FILE]);
    let mut vm = machine.on(&tap).boot(&image);
    let address = vm.expect_address(&tap);
    vm.expect_http(address, 82);
    let console = vm.console();
    let expected = [
        "http.port is 82, by fw_cfg",
        "tcp.connections is 999, by the command line",
        "the command line says nonsense.key, which is no key that can be set at boot",
        "the command line says log=loud; expected error, warn, info, debug or trace",
        "fw_cfg says ip4.address without a value",
        "fw_cfg says ip4.gateway=here; expected",
        "fw_cfg says nonsense, which is no key",
    ];
    for text in expected.iter().chain(more) {
        assert!(console.contains(text), "no {text:?} in:\n{console}");
    }
    assert!(!console.contains("console=ttyS0"), "that is somebody else's:\n{console}");
}

/// A device tree with a property more in the node `node` of its root: at the start of the node,
/// with its name behind all others.
fn with_property(tree: &[u8], node: &str, name: &str, value: &[u8]) -> Vec<u8> {
    let word = |at: usize| u32::from_be_bytes(tree[at..at + 4].try_into().expect("four bytes"));
    let part = |offset, size| {
        let (start, length) = (word(offset) as usize, word(size) as usize);
        &tree[start..start + length]
    };
    let (structure, strings) = (part(8, 36), part(12, 32));
    let begin = [&1u32.to_be_bytes()[..], node.as_bytes(), b"\0"].concat();
    let at = structure.windows(begin.len()).position(|bytes| bytes == begin);
    let at = (at.expect("the node") + begin.len()).next_multiple_of(4);
    let mut property = Vec::new();
    for number in [3, value.len(), strings.len()] {
        property.extend((number as u32).to_be_bytes());
    }
    property.extend(value);
    property.resize(property.len().next_multiple_of(4), 0);
    let structure = [&structure[..at], &property, &structure[at..]].concat();
    let strings = [strings, name.as_bytes(), b"\0"].concat();
    let start = word(8) as usize;
    assert!((word(16) as usize) < start, "the list of reserved memory comes first");
    let mut changed = [&tree[..start], &structure, &strings].concat();
    let sizes = [changed.len(), start, start + structure.len()];
    for (at, number) in [4, 8, 12].into_iter().zip(sizes) {
        changed[at..at + 4].copy_from_slice(&(number as u32).to_be_bytes());
    }
    changed[32..36].copy_from_slice(&(strings.len() as u32).to_be_bytes());
    changed[36..40].copy_from_slice(&(structure.len() as u32).to_be_bytes());
    changed
}
