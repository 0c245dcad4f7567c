//! What instructions do with addresses: where they go, and which they hold.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, Instruction, IntelFormatter, OpKind,
};

/// An architecture whose instructions are understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Isa {
    Aarch64,
    X86_64,
}

/// What an instruction does, of what matters here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    /// It goes where a register or memory says. Carries the instruction.
    Indirect(String),
    /// It goes to an address, maybe. Carries the instruction.
    To(u64, String),
    /// It returns, or the next one follows.
    On,
}

impl Isa {
    /// The architecture of an image.
    pub(super) fn of(architecture: object::Architecture) -> Option<Self> {
        match architecture {
            object::Architecture::Aarch64 => Some(Self::Aarch64),
            object::Architecture::X86_64 => Some(Self::X86_64),
            _ => None,
        }
    }

    /// The instructions in `bytes`, of a function at `start`: where each is and goes.
    pub(super) fn flows(self, bytes: &[u8], start: u64, mut each: impl FnMut(u64, Flow)) {
        match self {
            Self::Aarch64 => words(bytes, start).for_each(|(at, word)| each(at, flow(word, at))),
            Self::X86_64 => instructions(bytes, start, |it| each(it.ip(), flow_of(it))),
        }
    }

    /// The addresses that the instructions in `bytes`, of a function at `start`, hold.
    pub(super) fn addresses(self, bytes: &[u8], start: u64, mut each: impl FnMut(u64)) {
        if self == Self::X86_64 {
            return instructions(bytes, start, |it| addresses_of(it, &mut each));
        }
        // An address is made in two steps: its page, then the rest. By register, the pages.
        let mut pages = [None; 32];
        for (at, word) in words(bytes, start) {
            let (to, from) = ((word & 31) as usize, (word >> 5 & 31) as usize);
            let low = u64::from(word >> 10 & 0xfff);
            let far = signed(word >> 5 & 0x7_ffff, 19) << 2 | i64::from(word >> 29 & 3);
            if word & 0x9f00_0000 == 0x9000_0000 {
                pages[to] = Some((at & !0xfff).wrapping_add_signed(far << 12));
            } else if word & 0x9f00_0000 == 0x1000_0000 {
                each(at.wrapping_add_signed(far));
            } else if let Some(page) = pages[from] {
                if word & 0xffc0_0000 == 0x9100_0000 {
                    each(page + low);
                } else if word & 0x3b00_0000 == 0x3900_0000 {
                    each(page + (low << (word >> 30)));
                }
            }
        }
    }
}

/// Words of four bytes with their addresses.
fn words(bytes: &[u8], start: u64) -> impl Iterator<Item = (u64, u32)> {
    let words = bytes.chunks_exact(4).map(|word| word.iter().rev());
    let words = words.map(|word| word.fold(0, |sum, byte| sum << 8 | u32::from(*byte)));
    (start..).step_by(4).zip(words)
}

/// The lowest `bits` bits as a number with a sign.
fn signed(field: u32, bits: u32) -> i64 {
    i64::from((field << (32 - bits)) as i32 >> (32 - bits))
}

/// What an instruction of AArch64 does. Arm DDI 0487, section C4.1, "Branches".
fn flow(word: u32, at: u64) -> Flow {
    let to = |name: &str, field: u32, bits: u32| {
        let target = at.wrapping_add_signed(signed(field, bits) << 2);
        Flow::To(target, format!("{name} {target:#x}"))
    };
    let register = word >> 5 & 31;
    match word {
        _ if word & 0xfc00_0000 == 0x1400_0000 => to("b", word & 0x3ff_ffff, 26),
        _ if word & 0xfc00_0000 == 0x9400_0000 => to("bl", word & 0x3ff_ffff, 26),
        _ if word & 0xff00_0000 == 0x5400_0000 => to("b.cond", word >> 5 & 0x7_ffff, 19),
        _ if word & 0x7e00_0000 == 0x3400_0000 => to("cbz", word >> 5 & 0x7_ffff, 19),
        _ if word & 0x7e00_0000 == 0x3600_0000 => to("tbz", word >> 5 & 0x3fff, 14),
        // By a register; the second field has a variant that checks a signature.
        _ if word & 0xfe00_0000 == 0xd600_0000 => match word >> 21 & 15 {
            0 | 8 => Flow::Indirect(format!("br x{register}")),
            1 | 9 => Flow::Indirect(format!("blr x{register}")),
            // A return goes to the link register, and with a signature to no other.
            2 if word >> 10 & 63 == 0 && register != 30 => {
                Flow::Indirect(format!("ret x{register}"))
            }
            _ => Flow::On,
        },
        _ => Flow::On,
    }
}

fn instructions(bytes: &[u8], start: u64, mut each: impl FnMut(&Instruction)) {
    let mut decoder = Decoder::with_ip(64, bytes, start, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        each(&instruction);
    }
}

fn flow_of(instruction: &Instruction) -> Flow {
    let text = || {
        let mut text = String::new();
        IntelFormatter::new().format(instruction, &mut text);
        text
    };
    let is_near = matches!(
        instruction.op0_kind(),
        OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64
    );
    match instruction.flow_control() {
        FlowControl::IndirectBranch | FlowControl::IndirectCall => Flow::Indirect(text()),
        FlowControl::Call | FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
            if is_near =>
        {
            Flow::To(instruction.near_branch_target(), text())
        }
        _ => Flow::On,
    }
}

fn addresses_of(instruction: &Instruction, mut each: impl FnMut(u64)) {
    for operand in 0..instruction.op_count() {
        match instruction.op_kind(operand) {
            OpKind::Memory => each(instruction.memory_displacement64()),
            OpKind::Immediate32 | OpKind::Immediate32to64 | OpKind::Immediate64 => {
                each(instruction.immediate(operand));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(word: u32) -> Flow {
        flow(word, 0x1000)
    }

    #[test]
    fn branches_of_arm_go_where_they_say() {
        for (word, target) in [
            (0x1400_0002, 0x1008), // b
            (0x97ff_ffff, 0xffc),  // bl
            (0x5400_0041, 0x1008), // b.ne
            (0xb4ff_ffe0, 0xffc),  // cbz x0
            (0x3500_0040, 0x1008), // cbnz w0
            (0x3607_ffe0, 0xffc),  // tbz w0, #0
            (0xb700_0040, 0x1008), // tbnz x0, #32
        ] {
            assert!(matches!(arm(word), Flow::To(to, _) if to == target), "{word:#x}");
        }
    }

    #[test]
    fn branches_of_arm_by_a_register_are_found() {
        for (word, text) in [
            (0xd61f_0200, "br x16"),
            (0xd63f_0100, "blr x8"),
            (0xd65f_0200, "ret x16"),
            (0xd71f_0a11, "br x16"),  // braa x16, x17
            (0xd63f_0b1f, "blr x24"), // blraaz x24
        ] {
            assert_eq!(arm(word), Flow::Indirect(text.to_owned()), "{word:#x}");
        }
        // ret, retaa, eret, nop, svc, ldr.
        for word in [0xd65f_03c0, 0xd65f_0bff, 0xd69f_03e0, 0xd503_201f, 0xd400_0001, 0xf940_0000] {
            assert_eq!(arm(word), Flow::On, "{word:#x}");
        }
    }

    #[test]
    fn addresses_of_arm_are_put_together() {
        let words: [u32; 4] = [
            0xb000_0001, // adrp x1, 0x2000
            0x9100_4022, // add x2, x1, #0x10
            0xf940_0823, // ldr x3, [x1, #0x10]
            0x1000_0040, // adr x0, . + 8
        ];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut found = Vec::new();
        Isa::Aarch64.addresses(&bytes, 0x1000, |address| found.push(address));
        assert_eq!(found, [0x2010, 0x2010, 0x1014]);
    }
}
