//! One or more HTTP ports, lent together.

use super::{Fields, Head, Response};
use crate::{Chunk, Duration, Exchange, HttpPort, Instant, Packet};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Several [`HttpPort`]s that differ in type, by number: what a [`Server`](super::Server) stands
/// on. Implemented for tuples of up to six `&mut` ports. On a port that there is not, every
/// method reads as gone.
#[expect(missing_docs, reason = "each method is that of `HttpPort` for port number `port`")]
pub trait HttpPorts {
    /// How many there are.
    const COUNT: usize;
    fn waiting(&self, port: usize) -> usize;
    fn waiting_since(&self, port: usize) -> Instant;
    fn shed(&mut self, port: usize, slow: Duration) -> bool;
    fn accept(&mut self, port: usize, tag: u32) -> Option<(Exchange, Head)>;
    fn news(&mut self, port: usize) -> Option<u32>;
    fn is_gone(&self, port: usize, exchange: Exchange) -> bool;
    fn body(&mut self, port: usize, exchange: Exchange) -> Chunk;
    fn trailers(&mut self, port: usize, exchange: Exchange) -> Vec<u8>;
    fn respond(
        &mut self,
        port: usize,
        exchange: Exchange,
        response: Response,
    ) -> Result<(), Response>;
    fn send(&mut self, port: usize, exchange: Exchange, part: Packet) -> Result<(), Packet>;
    fn trail(&mut self, port: usize, exchange: Exchange, trailers: Fields);
    fn finish(&mut self, port: usize, exchange: Exchange);
    fn abort(&mut self, port: usize, exchange: Exchange);
    fn peer(&self, port: usize, exchange: Exchange) -> Option<SocketAddr>;
    fn identity(&mut self, port: usize, exchange: Exchange) -> Option<Rc<str>>;
}

macro_rules! tuple {
    ($count:literal: $($type:ident $index:tt),+) => {
        impl<$($type: HttpPort),+> HttpPorts for ($(&mut $type,)+) {
            const COUNT: usize = $count;
            #[inline]
            fn waiting(&self, port: usize) -> usize {
                match port { $($index => self.$index.waiting(),)+ _ => 0 }
            }
            fn waiting_since(&self, port: usize) -> Instant {
                match port { $($index => self.$index.waiting_since(),)+ _ => Instant::NEVER }
            }
            fn shed(&mut self, port: usize, slow: Duration) -> bool {
                match port { $($index => self.$index.shed(slow),)+ _ => false }
            }
            #[inline]
            fn accept(&mut self, port: usize, tag: u32) -> Option<(Exchange, Head)> {
                match port { $($index => self.$index.accept(tag),)+ _ => None }
            }
            #[inline]
            fn news(&mut self, port: usize) -> Option<u32> {
                match port { $($index => self.$index.news(),)+ _ => None }
            }
            #[inline]
            fn is_gone(&self, port: usize, exchange: Exchange) -> bool {
                match port { $($index => self.$index.is_gone(exchange),)+ _ => true }
            }
            #[inline]
            fn body(&mut self, port: usize, exchange: Exchange) -> Chunk {
                match port { $($index => self.$index.body(exchange),)+ _ => Chunk::Aborted }
            }
            fn trailers(&mut self, port: usize, exchange: Exchange) -> Vec<u8> {
                match port { $($index => self.$index.trailers(exchange),)+ _ => Vec::new() }
            }
            fn trail(&mut self, port: usize, exchange: Exchange, trailers: Fields) {
                match port { $($index => self.$index.trail(exchange, trailers),)+ _ => {} }
            }
            #[inline]
            fn respond(
                &mut self,
                port: usize,
                exchange: Exchange,
                response: Response,
            ) -> Result<(), Response> {
                match port { $($index => self.$index.respond(exchange, response),)+ _ => Ok(()) }
            }
            #[inline]
            fn send(
                &mut self,
                port: usize,
                exchange: Exchange,
                part: Packet,
            ) -> Result<(), Packet> {
                match port { $($index => self.$index.send(exchange, part),)+ _ => Ok(()) }
            }
            #[inline]
            fn finish(&mut self, port: usize, exchange: Exchange) {
                match port { $($index => self.$index.finish(exchange),)+ _ => {} }
            }
            #[inline]
            fn abort(&mut self, port: usize, exchange: Exchange) {
                match port { $($index => self.$index.abort(exchange),)+ _ => {} }
            }
            #[inline]
            fn peer(&self, port: usize, exchange: Exchange) -> Option<SocketAddr> {
                match port { $($index => self.$index.peer(exchange),)+ _ => None }
            }
            #[inline]
            fn identity(&mut self, port: usize, exchange: Exchange) -> Option<Rc<str>> {
                match port { $($index => self.$index.identity(exchange),)+ _ => None }
            }
        }
    };
}

tuple!(1: A 0);
tuple!(2: A 0, B 1);
tuple!(3: A 0, B 1, C 2);
tuple!(4: A 0, B 1, C 2, D 3);
tuple!(5: A 0, B 1, C 2, D 3, E 4);
tuple!(6: A 0, B 1, C 2, D 3, E 4, F 5);
