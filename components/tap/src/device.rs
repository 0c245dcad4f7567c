//! Opening a TAP device.
//!
//! The kernel takes these requests only as `ioctl`s with a structure of its own
//! (`linux/if_tun.h`, `netdevice(7)`), for which there is no safe call.

#![allow(unsafe_code, reason = "ioctls")]

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::net::{AddressFamily, SocketType};
use std::os::fd::{AsFd, OwnedFd};
use waitless::InitError;

/// A device that is open.
pub struct Opened {
    /// It does not block, and each read and write is one frame.
    pub descriptor: OwnedFd,
    /// The longest payload of a frame, in bytes.
    pub mtu: u16,
    /// What a person should still do.
    pub warning: Option<String>,
}

/// Opens the TAP device `name`, and creates it where that is allowed.
pub fn open(name: &str) -> core::result::Result<Opened, InitError> {
    let mut request = Request::new(name).ok_or(BAD_NAME)?;
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let descriptor = rustix::fs::open("/dev/net/tun", flags, Mode::empty())
        .map_err(|error| explain(error, name))?;
    request.value[..2].copy_from_slice(&(IFF_TAP | IFF_NO_PI).to_ne_bytes());
    request.call::<TUNSETIFF>(&descriptor).map_err(|error| explain(error, name))?;
    let mtu = interface::<SIOCGIFMTU>(name).map_or(u32::from(u16::MAX), u32::from_ne_bytes);
    let is_up = interface::<SIOCGIFFLAGS>(name)
        .map_or(true, |[low, high, ..]| u16::from_ne_bytes([low, high]) & IFF_UP != 0);
    let warning = (!is_up).then(|| format!("{name} is down: sudo ip link set {name} up"));
    Ok(Opened { descriptor, mtu: u16::try_from(mtu).unwrap_or(u16::MAX), warning })
}

/// Asks the kernel about the interface `name`.
fn interface<const OPCODE: Opcode>(name: &str) -> Result<[u8; 4]> {
    let any = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let mut request = Request::new(name).ok_or(Errno::INVAL)?;
    request.call::<OPCODE>(&any)?;
    let [a, b, c, d, ..] = request.value;
    Ok([a, b, c, d])
}

/// `struct ifreq`: a name, and room for what is asked or answered.
#[repr(C, align(8))]
struct Request {
    name: [u8; 16],
    value: [u8; 24],
}

impl Request {
    /// A request about `name`; `None` when that is no interface's name.
    fn new(name: &str) -> Option<Self> {
        let mut request = Self { name: [0; 16], value: [0; 24] };
        // The name ends with a zero, so 15 bytes are left for it.
        let room = request.name.get_mut(..name.len()).filter(|room| room.len() < 16)?;
        room.copy_from_slice(name.as_bytes());
        // `%d` would let the kernel choose a number.
        let is_name = !name.is_empty() && !name.contains(['%', '/', '\0']);
        is_name.then_some(request)
    }

    fn call<const OPCODE: Opcode>(&mut self, descriptor: impl AsFd) -> Result<()> {
        // SAFETY: this is private to the file, and called with TUNSETIFF, SIOCGIFMTU and
        // SIOCGIFFLAGS only. Each of them takes a pointer to a `struct ifreq`, which has the 40
        // bytes of `Request` on 64-bit Linux and 32 elsewhere, reads the name and reads or
        // writes the value within it, and keeps no pointer. Any bytes are valid for `Request`.
        unsafe { ioctl(descriptor, Updater::<OPCODE, Self>::new(self)) }
    }
}

const TUNSETIFF: Opcode = opcode::write::<core::ffi::c_int>(b'T', 202);
const SIOCGIFFLAGS: Opcode = 0x8913;
const SIOCGIFMTU: Opcode = 0x8921;
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;
const IFF_UP: u16 = 0x0001;

const BAD_NAME: InitError = InitError("`device` must be the name of a device, 1 to 15 letters");

/// Why the device cannot be had, and what to do.
fn explain(error: Errno, name: &str) -> InitError {
    let text = match error {
        Errno::NOENT | Errno::NODEV | Errno::NXIO => {
            "this host has no /dev/net/tun: load it with `sudo modprobe tun`".into()
        }
        Errno::PERM | Errno::ACCESS => format!(
            "this user may not use the TAP device {name}: make one that belongs to the user with \
             `sudo ip tuntap add dev {name} mode tap user $USER && sudo ip link set {name} up`"
        ),
        Errno::BUSY => format!("another process uses {name}: end it, or set another `device`"),
        Errno::INVAL => format!("{name} is no TAP device: set another `device`"),
        error => format!("{name} cannot be opened: {error}"),
    };
    // Said once, before the process ends.
    InitError(Box::leak(text.into_boxed_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_none_are_refused() {
        for name in ["", "sixteen-letters-", "a/b", "tap%d", "a\0b"] {
            assert_eq!(open(name).err(), Some(BAD_NAME), "{name:?}");
        }
        assert!(Request::new("fifteen-letters").is_some());
    }

    #[test]
    fn the_kernel_answers_about_an_interface() {
        let mtu = u32::from_ne_bytes(interface::<SIOCGIFMTU>("lo").unwrap());
        assert!(mtu >= 576, "{mtu}");
        assert!(interface::<SIOCGIFMTU>("no-such-device").is_err());
    }

    #[test]
    fn each_failure_names_the_next_step() {
        for (error, step) in [
            (Errno::NOENT, "modprobe tun"),
            (Errno::PERM, "ip tuntap add dev tap7 mode tap user"),
            (Errno::ACCESS, "ip tuntap add dev tap7 mode tap user"),
            (Errno::BUSY, "set another `device`"),
            (Errno::INVAL, "set another `device`"),
            (Errno::IO, "tap7 cannot be opened"),
        ] {
            let text = explain(error, "tap7").0;
            assert!(text.contains(step), "{text}");
        }
    }
}
