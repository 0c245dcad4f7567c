//! What is said about linked images, on small ones that are made here.

use build::cli::{Allow, What, allow_list, audit_image, is_clean, owner, sizes};
use object::write::{Object, StandardSection, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope};

/// `call` or `jmp` to a function by its offset; the last bytes of the image are the address.
fn near(opcode: u8, from: usize, to: usize) -> Vec<u8> {
    let distance = i32::try_from(to).unwrap() - i32::try_from(from + 5).unwrap();
    [&[opcode][..], &distance.to_le_bytes()].concat()
}

const CALL: u8 = 0xe8;
const JUMP: u8 = 0xe9;
const RETURN: u8 = 0xc3;
const CALL_RAX: [u8; 2] = [0xff, 0xd0];
const JUMP_MEMORY: [u8; 3] = [0xff, 0x20, 0x25]; // jmp [rax]; its last byte is padding

/// An image with functions of 16 bytes each.
fn image(functions: &[(&str, Vec<u8>)]) -> Vec<u8> {
    image_for(Architecture::X86_64, functions)
}

fn image_for(architecture: Architecture, functions: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, architecture, Endianness::Little);
    let text = object.section_id(StandardSection::Text);
    for (name, code) in functions {
        let mut code = code.clone();
        code.resize(16, 0x90);
        let value = object.append_section_data(text, &code, 1);
        object.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value,
            size: 16,
            kind: SymbolKind::Text,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Section(text),
            flags: SymbolFlags::None,
        });
    }
    let data = object.section_id(StandardSection::Data);
    object.append_section_data(data, &[1; 24], 8);
    object.write().unwrap()
}

fn entry(function: &str, what: What) -> Allow {
    Allow { function: function.into(), what, why: "a test".into(), from: None, optional: false }
}

#[test]
fn a_sweep_of_direct_calls_is_clean() {
    let image = image(&[
        ("sweep", [near(CALL, 0, 16), vec![RETURN]].concat()),
        ("callee", near(JUMP, 16, 32)),
        ("tail", vec![RETURN]),
        ("elsewhere", CALL_RAX.to_vec()),
    ]);
    let outcome = audit_image(&image, Some("sweep"), &[]).unwrap();
    assert_eq!(outcome.findings, []);
    assert_eq!(outcome.functions, ["sweep", "callee", "tail"]);
    assert!(is_clean(&outcome, &[]));
}

#[test]
fn indirect_calls_and_jumps_are_found_with_the_way_to_them() {
    let image = image(&[
        ("sweep", [near(CALL, 0, 16), CALL_RAX.to_vec()].concat()),
        ("callee", near(JUMP, 16, 32)),
        ("tail", JUMP_MEMORY.to_vec()),
    ]);
    let outcome = audit_image(&image, Some("sweep"), &[]).unwrap();
    let found: Vec<_> = outcome.findings.iter().map(|finding| finding.path.join(" > ")).collect();
    assert_eq!(found, ["sweep", "sweep > callee > tail"]);
    assert_eq!(outcome.findings[0].what, "indirect: call rax");
    assert_eq!(outcome.findings[0].address, 5);
    assert!(outcome.findings[1].what.starts_with("indirect: jmp"));
}

#[test]
fn entries_allow_what_they_name_and_must_allow_something() {
    let image = image(&[
        ("sweep", [near(CALL, 0, 16), near(CALL, 5, 32)].concat()),
        ("log::write", CALL_RAX.to_vec()),
        ("panic", CALL_RAX.to_vec()),
    ]);
    let audit = |allow: &[Allow]| audit_image(&image, Some("sweep"), allow).unwrap();
    let both = [entry("log::*", What::Calls), entry("panic", What::Entry)];
    let outcome = audit(&both);
    assert_eq!((outcome.findings.len(), &outcome.allowed[..]), (0, &[1, 1][..]));
    assert!(is_clean(&outcome, &both));
    assert_eq!(audit(&both[..1]).findings.len(), 1);
    let idle = [both[0].clone(), both[1].clone(), entry("gone", What::Entry)];
    let outcome = audit(&idle);
    assert!(outcome.findings.is_empty() && !is_clean(&outcome, &idle));
}

#[test]
fn images_for_arm_are_followed_too() {
    let code = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let image = image_for(
        Architecture::Aarch64,
        &[
            ("sweep", code(&[0x9400_0004, 0xd65f_03c0])), // bl callee; ret
            ("callee", code(&[0x1400_0004])),             // b tail
            ("tail", code(&[0xd61f_0200])),               // br x16
            ("elsewhere", code(&[0xd63f_0100])),          // blr x8
        ],
    );
    let outcome = audit_image(&image, Some("sweep"), &[]).unwrap();
    assert_eq!(outcome.functions, ["sweep", "callee", "tail"]);
    let found: Vec<_> = outcome.findings.iter().map(|finding| &finding.what[..]).collect();
    assert_eq!((found, outcome.findings[0].address), (vec!["indirect: br x16"], 32));
}

#[test]
fn code_without_a_name_is_a_finding() {
    let image = image(&[("sweep", near(CALL, 0, 4096))]);
    let outcome = audit_image(&image, Some("sweep"), &[]).unwrap();
    assert!(outcome.findings[0].what.starts_with("code without a name"));
}

#[test]
fn an_image_without_a_sweep_is_refused() {
    let image = image(&[("main", vec![RETURN])]);
    assert!(audit_image(&image, None, &[]).unwrap_err().contains("stripped"));
    assert!(audit_image(b"no image", None, &[]).unwrap_err().contains("no image"));
}

#[test]
fn the_list_that_is_built_in_argues_every_entry() {
    let list = allow_list(include_str!("../src/cli/allow.toml")).unwrap();
    assert!(!list.is_empty() && list.iter().all(|entry| entry.why.len() > 20));
    assert!(allow_list("[[allow]]\nfunction = \"x\"\nwhat = \"all\"\nwhy = \"\"").is_err());
}

#[test]
fn sizes_add_up_to_the_sections() {
    let image = image(&[
        ("_ZN3tcp3Tcp4openE", vec![RETURN]),
        ("_ZN4core3fmt5writeE", vec![RETURN]),
        ("memcpy", vec![RETURN]),
    ]);
    let sizes = sizes(&image).unwrap();
    assert_eq!(sizes.total, [48, 0, 24, 0]);
    assert_eq!(sizes.crates["tcp"], [16, 0, 0, 0]);
    assert_eq!(sizes.crates["core"], [16, 0, 0, 0]);
    assert_eq!(sizes.crates["(other)"], [16, 0, 0, 0]);
    assert_eq!(sizes.crates["(unnamed)"], [0, 0, 24, 0]);
    let sum = sizes
        .crates
        .values()
        .fold([0; 4], |sum: [u64; 4], bytes| std::array::from_fn(|kind| sum[kind] + bytes[kind]));
    assert_eq!(sum, sizes.total);
}

#[test]
fn generic_code_belongs_to_whom_it_is_made_for() {
    let cases = [
        // <tcp::Tcp as waitless::Component<ipv4::Ipv4>>::receive
        ("_RNvXCs1234_3tcpNtB2_3TcpINtCs5_8waitless9ComponentNtCs6_4ipv44Ipv4E7receive", "tcp"),
        // <alloc::vec::Vec<tcp::Segment>>::push
        ("_RNvMNtCs1_5alloc3vecINtB2_3VecNtCs2_3tcp7SegmentE4push", "tcp"),
        ("_ZN8waitless6packet6Packet5stripE", "waitless"),
        ("_ZN4core9panicking5panicE", "core"),
        ("memcpy", "(other)"),
    ];
    for (symbol, expected) in cases {
        assert_eq!(owner(symbol), expected, "{symbol}");
    }
}
