//! What a guest did that left it: the syndrome of an exception, decoded (Arm ARM, ESR_EL2).

/// Why a core left the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trap {
    /// It waits for an interrupt.
    Wait,
    /// It waits for an event, which another core may have sent already.
    WaitForEvent,
    /// It calls the hypervisor; the program counter is behind the call already.
    HypervisorCall,
    /// It calls the firmware.
    FirmwareCall,
    /// It reads or writes a system register that is not there for it.
    SystemRegister {
        /// The register, as the framework numbers them.
        register: u16,
        /// The general register beside it.
        target: u8,
        /// Whether it reads.
        is_read: bool,
    },
    /// It reads or writes where there is no memory.
    Access(Access),
    /// It cleans caches where there is no memory, which does nothing.
    CacheMaintenance,
    /// It accesses a device by an instruction that the processor does not describe: of pairs,
    /// vectors, with write-back, or exclusive.
    Undescribed,
    /// It executes, or walks page tables, where there is no memory.
    NoMemory,
    /// Something else, with its class.
    Other(u8),
}

/// A read or write of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// Bytes: 1, 2, 4 or 8.
    pub size: usize,
    /// Whether it writes.
    pub is_write: bool,
    /// The general register; 31 is always zero.
    pub register: u8,
    /// Whether what is read has a sign, and how wide the register is then.
    pub is_signed: bool,
    /// Whether the register is 64 bits wide.
    pub is_wide: bool,
}

impl Access {
    /// What the register holds after `value` was read.
    pub fn extend(&self, value: u64) -> u64 {
        let unused = 64 - 8 * self.size as u32;
        let value = match self.is_signed {
            true => ((value << unused) as i64 >> unused) as u64,
            false => value << unused >> unused,
        };
        if self.is_wide { value } else { value & 0xffff_ffff }
    }
}

/// Decodes a syndrome.
pub fn decode(syndrome: u64) -> Trap {
    let class = (syndrome >> 26 & 0x3f) as u8;
    let iss = syndrome & 0x1ff_ffff;
    match class {
        0x01 if iss & 1 == 0 => Trap::Wait,
        0x01 => Trap::WaitForEvent,
        0x16 => Trap::HypervisorCall,
        0x17 => Trap::FirmwareCall,
        0x18 => system_register(iss),
        0x20 => Trap::NoMemory,
        0x24 => access(iss),
        _ => Trap::Other(class),
    }
}

fn system_register(iss: u64) -> Trap {
    let (op0, op2, op1) = (iss >> 20 & 3, iss >> 17 & 7, iss >> 14 & 7);
    let (crn, crm) = (iss >> 10 & 15, iss >> 1 & 15);
    Trap::SystemRegister {
        register: (op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2) as u16,
        target: (iss >> 5 & 31) as u8,
        is_read: iss & 1 != 0,
    }
}

fn access(iss: u64) -> Trap {
    let has = |bit: u32| iss >> bit & 1 != 0;
    if has(7) {
        return Trap::NoMemory;
    }
    if has(8) {
        return Trap::CacheMaintenance;
    }
    if !has(24) {
        return Trap::Undescribed;
    }
    Trap::Access(Access {
        size: 1 << (iss >> 22 & 3),
        is_write: has(6),
        register: (iss >> 16 & 31) as u8,
        is_signed: has(21),
        is_wide: has(15),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_told_apart() {
        for (syndrome, expected) in [
            (0x01 << 26, Trap::Wait),
            (0x01 << 26 | 1, Trap::WaitForEvent),
            (0x16 << 26, Trap::HypervisorCall),
            (0x17 << 26, Trap::FirmwareCall),
            (0x20 << 26 | 0x07, Trap::NoMemory),
            (0x24 << 26 | 1 << 7 | 1 << 24, Trap::NoMemory),
            (0x24 << 26 | 1 << 8, Trap::CacheMaintenance),
            (0x24 << 26 | 0x07, Trap::Undescribed),
            (0x3c << 26, Trap::Other(0x3c)),
        ] {
            assert_eq!(decode(syndrome), expected, "{syndrome:#x}");
        }
    }

    #[test]
    fn accesses_are_described() {
        // `str w3, [x0]` and `ldrsb x5, [x0]`, as processors report them.
        let store = 0x9383_0046;
        let wanted = Access { size: 4, is_write: true, register: 3, ..LOAD };
        assert_eq!(
            decode(store),
            Trap::Access(Access { is_signed: false, is_wide: false, ..wanted })
        );
        let load = 0x24 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 5 << 16 | 1 << 15 | 7;
        assert_eq!(decode(load), Trap::Access(LOAD));
    }

    const LOAD: Access =
        Access { size: 1, is_write: false, register: 5, is_signed: true, is_wide: true };

    #[test]
    fn values_are_extended_to_their_register() {
        assert_eq!(LOAD.extend(0x180), 0xffff_ffff_ffff_ff80);
        assert_eq!(Access { is_wide: false, ..LOAD }.extend(0x80), 0xffff_ff80);
        assert_eq!(Access { is_signed: false, ..LOAD }.extend(0x180), 0x80);
        assert_eq!(Access { size: 8, is_signed: false, ..LOAD }.extend(u64::MAX), u64::MAX);
        assert_eq!(Access { size: 4, ..LOAD }.extend(0x7fff_ffff), 0x7fff_ffff);
    }

    #[test]
    fn system_registers_are_numbered_as_the_framework_does() {
        // `mrs x9, cntv_ctl_el0`: 3, 3, 14, 3, 1.
        let iss = 3 << 20 | 1 << 17 | 3 << 14 | 14 << 10 | 9 << 5 | 3 << 1 | 1;
        let expected = Trap::SystemRegister { register: 0xdf19, target: 9, is_read: true };
        assert_eq!(decode(0x18 << 26 | iss), expected);
    }
}
