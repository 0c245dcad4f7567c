//! The layers below, by number.

use core::net::IpAddr;
use waitless::{IpPort, Packet, Reject};

/// Several layers of IP. A number that none has is answered as by one without any route.
pub trait Layers {
    /// How many there are.
    const COUNT: usize;
    /// [`IpPort::forwards`].
    fn forwards(&self, layer: usize) -> bool;
    /// [`IpPort::is_local`].
    fn is_local(&self, layer: usize, address: IpAddr) -> bool;
    /// [`IpPort::is_broadcast`].
    fn is_broadcast(&self, layer: usize, address: IpAddr) -> bool;
    /// [`IpPort::route_bits`].
    fn route_bits(&self, layer: usize, address: IpAddr) -> Option<u8>;
    /// [`IpPort::link_mtu`].
    fn link_mtu(&self, layer: usize) -> u16;
    /// [`IpPort::transit`].
    fn transit(&mut self, layer: usize) -> Option<Packet>;
    /// [`IpPort::forward`].
    fn forward(&mut self, layer: usize, packet: Packet) -> Result<(), Packet>;
    /// [`IpPort::turn_away`].
    fn turn_away(&mut self, layer: usize, packet: Packet, why: Reject);
    /// [`IpPort::turns_back`].
    fn turns_back(&self, layer: usize) -> bool;
}

macro_rules! layers {
    ($count:literal: $($type:ident $index:tt),+) => {
        impl<$($type: IpPort),+> Layers for ($(&mut $type,)+) {
            const COUNT: usize = $count;

            fn forwards(&self, layer: usize) -> bool {
                match layer {
                    $($index => self.$index.forwards(),)+
                    _ => false,
                }
            }

            fn is_local(&self, layer: usize, address: IpAddr) -> bool {
                match layer {
                    $($index => self.$index.is_local(address),)+
                    _ => false,
                }
            }

            fn is_broadcast(&self, layer: usize, address: IpAddr) -> bool {
                match layer {
                    $($index => self.$index.is_broadcast(address),)+
                    _ => false,
                }
            }

            fn route_bits(&self, layer: usize, address: IpAddr) -> Option<u8> {
                match layer {
                    $($index => self.$index.route_bits(address),)+
                    _ => None,
                }
            }

            fn link_mtu(&self, layer: usize) -> u16 {
                match layer {
                    $($index => self.$index.link_mtu(),)+
                    _ => 0,
                }
            }

            fn transit(&mut self, layer: usize) -> Option<Packet> {
                match layer {
                    $($index => self.$index.transit(),)+
                    _ => None,
                }
            }

            fn forward(&mut self, layer: usize, packet: Packet) -> Result<(), Packet> {
                match layer {
                    $($index => self.$index.forward(packet),)+
                    _ => Err(packet),
                }
            }

            fn turn_away(&mut self, layer: usize, packet: Packet, why: Reject) {
                match layer {
                    $($index => self.$index.turn_away(packet, why),)+
                    _ => {}
                }
            }

            fn turns_back(&self, layer: usize) -> bool {
                match layer {
                    $($index => self.$index.turns_back(),)+
                    _ => false,
                }
            }
        }
    };
}

layers!(1: A 0);
layers!(2: A 0, B 1);
layers!(3: A 0, B 1, C 2);
layers!(4: A 0, B 1, C 2, D 3);
