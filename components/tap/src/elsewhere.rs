//! Where there are no TAP devices.

use std::os::fd::OwnedFd;
use waitless::InitError;

/// A device that cannot be had here.
pub struct Opened {
    pub descriptor: OwnedFd,
    pub mtu: u16,
    pub warning: Option<String>,
}

/// Says that there is none.
pub fn open(_: &str) -> Result<Opened, InitError> {
    Err(InitError("TAP devices are Linux's: here, use the platform `native` with the host's TCP"))
}
