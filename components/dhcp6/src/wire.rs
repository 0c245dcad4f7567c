//! Messages of DHCPv6 (RFC 8415 sections 8 and 21).

use core::net::Ipv6Addr;
use heapless::{String, Vec};
use waitless::network::names::{SEARCH_MAX, append_domain, read_name};
use waitless::network::v6::{LEASED, SERVERS, is_host};
use waitless::packet::NoRoom;
use waitless::{Mac, Packet};

//= RFC 8415 7.2: servers are told and heard at these ports
pub(crate) const CLIENT_PORT: u16 = 546;
pub(crate) const SERVER_PORT: u16 = 547;

/// All servers and relays on the link (section 7.1).
pub(crate) const SERVERS_AND_RELAYS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

/// The longest identifier of a server: the type and 128 bytes (section 11.1).
const SERVER_MAX: usize = 130;

/// Options within options within a message: addresses have a status.
mod option {
    pub const CLIENT: u16 = 1;
    pub const SERVER: u16 = 2;
    pub const IA_NA: u16 = 3;
    pub const ADDRESS: u16 = 5;
    pub const WANTED: u16 = 6;
    pub const PREFERENCE: u16 = 7;
    pub const ELAPSED: u16 = 8;
    pub const STATUS: u16 = 13;
    pub const RAPID: u16 = 14;
    pub const DNS: u16 = 23;
    pub const DOMAINS: u16 = 24;
    pub const REFRESH: u16 = 32;
    pub const SOLICIT_MAX: u16 = 82;
    pub const INFORM_MAX: u16 = 83;
}

/// What a client asks (section 7.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ask {
    Solicit = 1,
    Request = 3,
    Confirm = 4,
    Renew = 5,
    Rebind = 6,
    Decline = 9,
    Inform = 11,
}

/// What a server says (section 7.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Advertise,
    Reply,
}

/// A server, by the name that it gives itself.
pub(crate) type Server = Vec<u8, SERVER_MAX>;

/// A client's message.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub ask: Ask,
    /// 24 bits.
    pub transaction: u32,
    /// Hundredths of a second since the first of these messages.
    pub elapsed: u16,
    pub mac: Mac,
    /// Which server is meant, where one is.
    pub server: Option<&'a Server>,
    /// The addresses that the client has, or wants; `None` where it asks for none.
    pub addresses: Option<&'a [Ipv6Addr]>,
    /// Whether an address may be given at once.
    pub rapid: bool,
}

/// A server's message. Having one proves that its options are well-formed and that it is for this
/// client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub kind: Kind,
    pub server: Server,
    pub preference: u8,
    pub rapid: bool,
    /// 0 is success (section 21.13); that of the whole message or, where it succeeded, of its
    /// addresses.
    pub status: u16,
    /// Seconds until the addresses are to be renewed, from this server and from any; 0 leaves it to
    /// the client.
    pub renew: u32,
    pub rebind: u32,
    pub addresses: Vec<Given, LEASED>,
    /// Addresses that are not valid any more.
    pub gone: Vec<Ipv6Addr, LEASED>,
    pub dns: Vec<Ipv6Addr, SERVERS>,
    pub search: String<SEARCH_MAX>,
    /// Seconds until what is no address is to be asked for again.
    pub refresh: Option<u32>,
    /// The longest waits in seconds.
    pub solicit_max: Option<u32>,
    pub inform_max: Option<u32>,
}

/// An address, and for how many seconds it is preferred and valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Given {
    pub address: Ipv6Addr,
    pub preferred: u32,
    pub valid: u32,
}

/// Why a message is not an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoAnswer {
    /// It makes no sense.
    Malformed,
    /// It is for another client, or an earlier transaction.
    Foreign,
}

/// The one group of addresses that this client asks for: its number (section 12).
const GROUP: u32 = 1;

/// The client's identifier: the card's address (section 11.4). A card stays in its machine, and so
/// the same client asks after each start.
//= RFC 8415 11.4: a client is called by the address of its card
pub(crate) fn client(Mac([a, b, c, d, e, f]): Mac) -> [u8; 10] {
    [0, 3, 0, 1, a, b, c, d, e, f]
}

impl Question<'_> {
    /// Writes the message into an empty packet.
    pub fn write(&self, packet: &mut Packet) -> Result<(), NoRoom> {
        let [_, x0, x1, x2] = self.transaction.to_be_bytes();
        packet.append(&[self.ask as u8, x0, x1, x2])?;
        append(packet, option::CLIENT, &client(self.mac))?;
        if let Some(server) = self.server {
            append(packet, option::SERVER, server)?;
        }
        append(packet, option::ELAPSED, &self.elapsed.to_be_bytes())?;
        if let Some(addresses) = self.addresses {
            const ADDRESS: u16 = 4 + 24;
            let length = 12 + ADDRESS * addresses.len() as u16;
            packet.append(&option::IA_NA.to_be_bytes())?;
            packet.append(&length.to_be_bytes())?;
            packet.append(&GROUP.to_be_bytes())?;
            packet.append(&[0; 8])?; // the times are the server's to say
            for address in addresses {
                packet.append(&option::ADDRESS.to_be_bytes())?;
                packet.append(&[0, 24])?;
                packet.append(&address.octets())?;
                packet.append(&[0; 8])?;
            }
        }
        if self.rapid {
            append(packet, option::RAPID, &[])?;
        }
        if self.ask != Ask::Decline && self.ask != Ask::Confirm {
            let wanted = [
                option::DNS,
                option::DOMAINS,
                option::SOLICIT_MAX,
                option::REFRESH,
                option::INFORM_MAX,
            ];
            // Those of the last two that go with addresses do not (table 4 of section 24).
            let wanted = if self.addresses.is_some() { &wanted[..3] } else { &wanted[..] };
            packet.append(&option::WANTED.to_be_bytes())?;
            packet.append(&(2 * wanted.len() as u16).to_be_bytes())?;
            for option in wanted {
                packet.append(&option.to_be_bytes())?;
            }
        }
        Ok(())
    }
}

fn append(packet: &mut Packet, option: u16, bytes: &[u8]) -> Result<(), NoRoom> {
    packet.append(&option.to_be_bytes())?;
    packet.append(&(bytes.len() as u16).to_be_bytes())?;
    packet.append(bytes)
}

impl Answer {
    /// The answer in `message` to the transaction of the client with the card `mac`.
    pub fn parse(message: &[u8], transaction: u32, mac: Mac) -> Result<Self, NoAnswer> {
        let (head, options) = message.split_first_chunk::<4>().ok_or(NoAnswer::Malformed)?;
        let [kind, number @ ..] = *head;
        let [n0, n1, n2] = number;
        let kind = match kind {
            2 => Kind::Advertise,
            7 => Kind::Reply,
            _ => return Err(NoAnswer::Foreign),
        };
        if u32::from_be_bytes([0, n0, n1, n2]) != transaction {
            return Err(NoAnswer::Foreign);
        }
        let mut answer = Self {
            kind,
            server: Server::new(),
            preference: 0,
            rapid: false,
            status: 0,
            renew: 0,
            rebind: 0,
            addresses: Vec::new(),
            gone: Vec::new(),
            dns: Vec::new(),
            search: String::new(),
            refresh: None,
            solicit_max: None,
            inform_max: None,
        };
        let (mut ours, mut of_addresses) = (false, 0);
        for item in Options(options) {
            let (option, bytes) = item.ok_or(NoAnswer::Malformed)?;
            ours |= option == option::CLIENT && bytes == client(mac);
            answer.take(option, bytes, &mut of_addresses).ok_or(NoAnswer::Malformed)?;
        }
        //= RFC 8415 16.3: an offer names its server and is for this client
        //= RFC 8415 16.10: so does an answer
        if !ours || answer.server.is_empty() {
            return Err(NoAnswer::Foreign);
        }
        //= RFC 8415 21.13: the status of a message is not that of its addresses
        if answer.status == 0 {
            answer.status = of_addresses;
        }
        Ok(answer)
    }

    /// Takes an option; `None` when it makes no sense. The status of addresses goes where that is.
    fn take(&mut self, option: u16, bytes: &[u8], of_addresses: &mut u16) -> Option<()> {
        match option {
            option::SERVER => self.server = Server::from_slice(bytes).ok()?,
            option::PREFERENCE => self.preference = *bytes.first()?,
            option::RAPID => self.rapid = true,
            option::STATUS => self.status = status(bytes)?,
            option::IA_NA => self.take_group(bytes, of_addresses)?,
            option::DNS => {
                let servers = bytes.as_chunks::<16>().0.iter().map(|it| Ipv6Addr::from(*it));
                // Those that are too many are left out.
                self.dns = servers.filter(|server| is_host(*server)).take(SERVERS).collect();
            }
            option::DOMAINS => self.take_domains(bytes),
            option::REFRESH => self.refresh = Some(number(bytes)?),
            // Others than these are to be ignored (sections 21.24 and 21.25).
            option::SOLICIT_MAX => self.solicit_max = Some(number(bytes)?).filter(is_wait),
            option::INFORM_MAX => self.inform_max = Some(number(bytes)?).filter(is_wait),
            _ => {}
        }
        Some(())
    }

    fn take_group(&mut self, bytes: &[u8], status_of: &mut u16) -> Option<()> {
        let (head, options) = bytes.split_first_chunk::<12>()?;
        if number(head) != Some(GROUP) {
            return Some(());
        }
        (self.renew, self.rebind) = (number(head.get(4..)?)?, number(head.get(8..)?)?);
        //= RFC 8415 21.4: a group whose times contradict each other is none
        if self.rebind != 0 && self.renew > self.rebind {
            return Some(());
        }
        for item in Options(options) {
            match item? {
                (option::ADDRESS, bytes) => {
                    let (octets, rest) = bytes.split_first_chunk::<16>()?;
                    let address = Ipv6Addr::from(*octets);
                    let (preferred, valid) = (number(rest)?, number(rest.get(4..)?)?);
                    // Those that are too many are left out.
                    if valid == 0 {
                        let _ = self.gone.push(address);
                    } else if is_host(address) && preferred <= valid {
                        let _ = self.addresses.push(Given { address, preferred, valid });
                    }
                }
                (option::STATUS, bytes) => *status_of = status(bytes)?,
                _ => {}
            }
        }
        Some(())
    }

    fn take_domains(&mut self, mut bytes: &[u8]) {
        // Bounded: each name takes a byte at least.
        while let Some((name, rest)) = read_name(bytes) {
            bytes = rest;
            append_domain(&mut self.search, &name);
        }
    }
}

/// A time that servers may set the longest wait to.
fn is_wait(secs: &u32) -> bool {
    (60..=86_400).contains(secs)
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn status(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// Options one after the other; `None` for one that is cut off, which is the last.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = Option<(u16, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let whole = self.0.split_first_chunk::<4>().and_then(|(head, rest)| {
            let [o0, o1, l0, l1] = *head;
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            let (bytes, rest) = rest.split_at_checked(length)?;
            self.0 = rest;
            Some((u16::from_be_bytes([o0, o1]), bytes))
        });
        if whole.is_none() {
            self.0 = &[];
        }
        Some(whole)
    }
}
