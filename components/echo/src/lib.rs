//! Echo (RFC 862): sends back what it gets, over UDP ([`udp`]) and over TCP ([`tcp`]).
//!
//! Nothing is copied: the packet that arrived is the packet that is sent. Nothing is queued here
//! either: who can not be answered now is not asked for more.
//!
//! Not here: rate limits; put it where strangers can not reach it.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod tcp;
pub mod udp;
