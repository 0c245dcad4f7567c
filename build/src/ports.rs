//! What the generator knows about ports themselves. A port that is not here can be shared.

/// How many instances may stand on one provider of a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// One: what a second one took would be missing to the first.
    Exclusive,
    /// Several, each of another component: they divide the traffic by a protocol number.
    OneOfEach,
    /// Any number.
    Shared,
}

/// The ports of `waitless`: name, sharing, what passes through them.
pub const PORTS: [(&str, Sharing, &str); 10] = [
    ("CertificatePort", Sharing::Exclusive, "certificates in service, and others in their place"),
    ("HttpPort", Sharing::Exclusive, "requests and responses, whatever the version of HTTP"),
    ("IpPort", Sharing::OneOfEach, "IP packets, divided by protocol"),
    ("LinkPort", Sharing::OneOfEach, "packets for neighbours, divided by EtherType"),
    ("NicPort", Sharing::Exclusive, "Ethernet frames"),
    ("PciPort", Sharing::Shared, "functions on a PCI bus"),
    ("ResolverPort", Sharing::Shared, "names, and the addresses that they stand for"),
    ("StreamPort", Sharing::Shared, "byte streams: TCP, TLS"),
    ("UdpPort", Sharing::Shared, "datagrams"),
    ("VirtioPort", Sharing::Shared, "virtio devices"),
];

/// How many providers of `port` can stand in for one: what requires one `IpPort` may stand on a
/// layer of each IP version, which `waitless` makes one of.
pub fn joined(port: &str) -> usize {
    if port == "IpPort" { 2 } else { 1 }
}

/// How `port` can be shared.
pub fn sharing(port: &str) -> Sharing {
    PORTS
        .iter()
        .find(|(name, ..)| *name == port)
        .map_or(Sharing::Shared, |(_, sharing, _)| *sharing)
}
