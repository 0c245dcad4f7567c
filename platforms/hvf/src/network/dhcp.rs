//! A DHCP server for one guest (RFC 2131): there is one address, and whoever asks gets it.

use super::{GATEWAY, GUEST, NAMESERVER, PREFIX};
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, Ipv4Address, Ipv4Cidr,
};
use std::net::Ipv4Addr;

/// The server's port.
pub const SERVER: u16 = 67;
/// The client's port.
pub const CLIENT: u16 = 68;

/// How long an address is lent, in seconds.
const LEASE: u32 = 86_400;

/// An answer to a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The message.
    pub message: Vec<u8>,
    /// Where it goes.
    pub to: Ipv4Addr,
    /// Where it goes on the Ethernet.
    pub mac: EthernetAddress,
}

/// The answer to a message; `None` when it deserves none.
pub fn answer(message: &[u8]) -> Option<Answer> {
    let packet = DhcpPacket::new_checked(message).ok()?;
    let request = DhcpRepr::parse(&packet).ok()?;
    let kind = kind(&request)?;
    let gives = kind != DhcpMessageType::Nak;
    // Who only asks for the rest keeps the address that it has (section 3.4).
    let leases = gives && request.message_type != DhcpMessageType::Inform;
    let netmask = Ipv4Cidr::new(GATEWAY, PREFIX).netmask();
    let servers = [NAMESERVER].into_iter().collect();
    let reply = DhcpRepr {
        message_type: kind,
        transaction_id: request.transaction_id,
        secs: 0,
        client_hardware_address: request.client_hardware_address,
        client_ip: if gives { request.client_ip } else { Ipv4Address::UNSPECIFIED },
        your_ip: if leases { GUEST } else { Ipv4Address::UNSPECIFIED },
        server_ip: Ipv4Address::UNSPECIFIED,
        router: gives.then_some(GATEWAY),
        subnet_mask: gives.then_some(netmask),
        relay_agent_ip: Ipv4Address::UNSPECIFIED,
        broadcast: request.broadcast,
        requested_ip: None,
        client_identifier: request.client_identifier,
        server_identifier: Some(GATEWAY),
        parameter_request_list: None,
        dns_servers: gives.then_some(servers),
        max_size: None,
        lease_duration: leases.then_some(LEASE),
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    let mut bytes = vec![0; reply.buffer_len()];
    reply.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).ok()?;
    let (to, mac) = destination(&request, kind);
    Some(Answer { message: bytes, to, mac })
}

/// What a message is answered with (section 4.3).
fn kind(request: &DhcpRepr<'_>) -> Option<DhcpMessageType> {
    let for_us = request.server_identifier.is_none_or(|server| server == GATEWAY);
    match request.message_type {
        DhcpMessageType::Discover => Some(DhcpMessageType::Offer),
        DhcpMessageType::Inform => Some(DhcpMessageType::Ack),
        DhcpMessageType::Request if for_us => {
            let wanted = request.requested_ip.unwrap_or(request.client_ip);
            let right = wanted == GUEST;
            Some(if right { DhcpMessageType::Ack } else { DhcpMessageType::Nak })
        }
        // A request to another server, an address given back or refused: there is one only.
        _ => None,
    }
}

/// Where an answer goes (section 4.1).
fn destination(request: &DhcpRepr<'_>, kind: DhcpMessageType) -> (Ipv4Addr, EthernetAddress) {
    let has_address = !request.client_ip.is_unspecified();
    if kind != DhcpMessageType::Nak && has_address {
        return (request.client_ip, request.client_hardware_address);
    }
    if request.broadcast || kind == DhcpMessageType::Nak {
        return (Ipv4Addr::BROADCAST, EthernetAddress::BROADCAST);
    }
    (GUEST, request.client_hardware_address)
}
