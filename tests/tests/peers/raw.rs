//! Frames of any bytes, onto a device of the kernel's: what no well-behaved program sends.

use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use std::os::fd::OwnedFd;
use waitless_tests::lab::Tap;

/// A socket that frames are sent from as they are.
pub struct Raw {
    socket: OwnedFd,
    device: Device,
}

/// The device that frames leave by: `sockaddr_ll` of packet(7), whose other fields are not read
/// where whole frames are sent.
#[repr(C)]
struct Device {
    family: u16,
    protocol: u16,
    index: i32,
    hardware: u16,
    kind: u8,
    length: u8,
    address: [u8; 8],
}

impl Raw {
    #[track_caller]
    pub fn on(tap: &Tap) -> Self {
        let (family, kind) = (AddressFamily::PACKET, SocketType::RAW);
        let socket = rustix::net::socket_with(family, kind, SocketFlags::NONBLOCK, None);
        let family = family.as_raw();
        let (protocol, hardware, kind, length, address) = (0, 0, 0, 0, [0; 8]);
        let index = tap.index();
        let device = Device { family, protocol, index, hardware, kind, length, address };
        Self { socket: socket.expect("this user may send frames"), device }
    }

    /// Sends a frame; whether the kernel took it.
    pub fn send(&self, frame: &[u8]) -> bool {
        rustix::net::sendto(&self.socket, frame, SendFlags::empty(), &self.device).is_ok()
    }
}

// SAFETY: the pointer is to `self`, which outlives the call of `f`, is laid out as C lays out
// `sockaddr_ll`, and is as long as is said.
unsafe impl SocketAddrArg for Device {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        f(std::ptr::from_ref(self).cast(), size_of::<Self>() as SocketAddrLen)
    }
}
