//! QEMU's firmware configuration device, at registers that the device tree names.

use crate::machine;
use platform_machine::fw_cfg::{self, Device};
use platform_machine::options::CommandLine;
use waitless::device::Registers;

/// The registers, as byte offsets.
const DATA: usize = 0;
const SELECTOR: usize = 8;
const LENGTH: usize = 16;

struct Mapped(Registers);

impl Device for Mapped {
    fn select(&mut self, item: u16) {
        self.0.write16(SELECTOR, item.to_be());
    }

    fn read(&mut self, room: &mut [u8]) {
        room.fill_with(|| self.0.read8(DATA));
    }
}

/// What QEMU's user says of keys, to the device at `address`.
pub(crate) fn words(address: u64) -> Option<CommandLine> {
    let registers = machine::try_map(address, LENGTH)?;
    fw_cfg::words(&mut Mapped(registers), fw_cfg::FILE)
}
