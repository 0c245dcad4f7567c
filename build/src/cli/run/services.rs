//! What listens in an image, and the ports of this machine that lead there.

use super::cards::card_of;
use crate::catalogue::Component;
use crate::graph::{Graph, Instance, Setting};
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, UdpSocket};

/// The ports of this machine, where somebody chooses them.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Ports {
    /// The host's port that leads to the service that the manifest has on port 80 [default: 8080]
    #[arg(long, value_name = "PORT", value_parser = port())]
    http_port: Option<u16>,
    /// The host's port that leads to the service that the manifest has on port 443 [default: 8443]
    #[arg(long, value_name = "PORT", value_parser = port())]
    https_port: Option<u16>,
    /// The host's port that leads to the service that the manifest has on UDP port 7
    /// [default: 7007]
    #[arg(long, value_name = "PORT", value_parser = port())]
    udp_port: Option<u16>,
}

/// A port that can be named; 0 would be any.
fn port() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..)
}

/// Something that listens in the image: what, its port there, and the host's port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Service {
    pub(super) kind: Kind,
    pub(super) inside: u16,
    pub(super) outside: u16,
    /// The number of the card that it is reached by.
    pub(super) card: usize,
    /// The option that chooses the host's port, if there is one.
    option: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Http,
    Https,
    Tcp,
    Udp,
}

impl Ports {
    /// The options that were given, and their ports.
    pub(super) fn chosen(&self) -> Vec<(&'static str, u16)> {
        let all = [
            ("--http-port", self.http_port),
            ("--https-port", self.https_port),
            ("--udp-port", self.udp_port),
        ];
        all.into_iter().filter_map(|(option, port)| Some((option, port?))).collect()
    }
}

impl Service {
    /// `tcp` or `udp`.
    pub(super) fn protocol(&self) -> &'static str {
        if self.kind == Kind::Udp { "udp" } else { "tcp" }
    }

    /// Where it is for somebody who reaches it by `port` of `host`.
    pub(super) fn url(&self, host: &str, port: u16) -> String {
        match self.kind {
            Kind::Http if port == 80 => format!("http://{host}/"),
            Kind::Http => format!("http://{host}:{port}/"),
            Kind::Https if port == 443 => format!("https://{host}/"),
            Kind::Https => format!("https://{host}:{port}/"),
            Kind::Tcp => format!("tcp {host}:{port}"),
            Kind::Udp => format!("udp {host}:{port}"),
        }
    }

    fn advice(&self) -> String {
        match self.option {
            Some(option) => {
                let variable = option.trim_start_matches('-').replace('-', "_").to_uppercase();
                format!("choose another by {option} ({variable}=… with make)")
            }
            None => "choose another `port` in the manifest".to_owned(),
        }
    }
}

/// What listens in the image when it boots with the words `set`. Where the host's port is not
/// chosen, it is the same outside, or 8000 higher where it belongs to root.
///
/// # Errors
/// One line when two services would have the same port of the host, or when one that was chosen
/// leads to none.
pub(super) fn services(
    graph: &Graph,
    ports: &Ports,
    set: &[String],
) -> Result<Vec<Service>, String> {
    let mut services: Vec<Service> = Vec::new();
    for (index, instance) in graph.instances.iter().enumerate() {
        let Some(setting) = instance.config.iter().find(|s| s.field.name == "port") else {
            continue;
        };
        let Some(declared) = setting.shown.parse::<u16>().ok() else { continue };
        let Some(kind) = kind(graph, index, &instance.component) else { continue };
        let inside = at_boot(instance, setting, set).unwrap_or(declared);
        let (option, chosen) = match (kind, declared) {
            (Kind::Http, 80) => (Some("--http-port"), ports.http_port),
            (Kind::Https, 443) => (Some("--https-port"), ports.https_port),
            (Kind::Udp, 7) => (Some("--udp-port"), ports.udp_port),
            _ => (None, None),
        };
        let outside = chosen.unwrap_or(match (kind, inside) {
            (Kind::Udp, 7) => 7007,
            _ if inside < 1024 => inside + 8000,
            _ => inside,
        });
        let card = card_of(graph, index);
        // Instances on several cores may listen on one port.
        if services.iter().any(|it| (it.kind, it.inside, it.card) == (kind, inside, card)) {
            continue;
        }
        let service = Service { kind, inside, outside, card, option };
        let same =
            |other: &&Service| other.outside == outside && other.protocol() == service.protocol();
        match services.iter().find(same) {
            None => services.push(service),
            // The same service in another network is beside it.
            Some(other) if other.inside == inside => {
                let taken = |port: &u16| services.iter().any(|it| it.outside == *port);
                let outside = (outside..=u16::MAX).find(|port| !taken(port)).unwrap_or(outside);
                services.push(Service { outside, ..service });
            }
            Some(other) => {
                let (first, protocol) = (other.inside, service.protocol().to_uppercase());
                return Err(format!(
                    "{protocol} port {outside} of this machine would lead to both {first} and \
                     {inside} of the image; {}",
                    if option.is_some() { service.advice() } else { other.advice() }
                ));
            }
        }
    }
    for (option, port) in ports.chosen() {
        if !services.iter().any(|service| service.option == Some(option)) {
            return Err(format!(
                "{option} {port} leads to nothing in this image: leave it out, or see \
                 `run --help` for the service that it is for"
            ));
        }
    }
    Ok(services)
}

/// The port that a word of `set` gives to `instance` at boot. What the image would not take, for
/// which it says why on its console, is none.
fn at_boot(instance: &Instance, setting: &Setting, set: &[String]) -> Option<u16> {
    if !setting.field.boot {
        return None;
    }
    let key = format!("{}.port", instance.name);
    let words = set.iter().flat_map(|words| words.split_whitespace()).rev();
    let value = words.filter_map(|word| word.split_once('=')).find(|(name, _)| *name == key)?.1;
    let (least, most) = setting.field.range.unwrap_or((1, u64::from(u16::MAX)));
    value.parse::<u16>().ok().filter(|port| (least..=most).contains(&u64::from(*port)))
}

/// What a component with a port serves, by what it provides and stands on.
fn kind(graph: &Graph, index: usize, component: &Component) -> Option<Kind> {
    let on = |port: &str| graph.instances[index].below.iter().any(|edge| edge.port == port);
    let http = component.provides.iter().any(|port| port == "HttpPort");
    let mut below = graph.instances[index].below.iter().map(|edge| &graph.instances[edge.to]);
    // A stream that itself stands on streams is encrypted.
    let secret = below.any(|lower| lower.below.iter().any(|edge| edge.port == "StreamPort"));
    match (on("StreamPort"), on("UdpPort"), http) {
        (true, _, true) if secret => Some(Kind::Https),
        (true, _, true) => Some(Kind::Http),
        (true, ..) => Some(Kind::Tcp),
        (_, true, _) => Some(Kind::Udp),
        _ => None,
    }
}

/// Whether all of the host's ports are free.
///
/// # Errors
/// One line that says which is not, and what to do.
pub(super) fn free(services: &[Service]) -> Result<(), String> {
    for service in services {
        let at = ("127.0.0.1", service.outside);
        let bound = match service.kind {
            Kind::Udp => UdpSocket::bind(at).map(drop),
            _ => TcpListener::bind(at).map(drop),
        };
        if let Err(why) = bound {
            let (protocol, port) = (service.protocol().to_uppercase(), service.outside);
            let (advice, why) = (service.advice(), unavailable(why.kind()));
            return Err(format!("{protocol} port {port} of this machine is {why}; {advice}"));
        }
    }
    Ok(())
}

/// Why a port cannot be had.
fn unavailable(why: ErrorKind) -> String {
    match why {
        ErrorKind::AddrInUse => "in use".to_owned(),
        ErrorKind::PermissionDenied => "root's alone".to_owned(),
        other => format!("not to be had ({other})"),
    }
}

/// Whether all TCP services take connections.
pub(super) fn answer(services: &[Service]) -> bool {
    let mut streams = services.iter().filter(|service| service.kind != Kind::Udp);
    streams.all(|service| TcpStream::connect(("127.0.0.1", service.outside)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_not_to_be_had_is_told_from_one_in_use() {
        assert_eq!(unavailable(ErrorKind::AddrInUse), "in use");
        assert_eq!(unavailable(ErrorKind::PermissionDenied), "root's alone");
        assert!(unavailable(ErrorKind::OutOfMemory).starts_with("not to be had ("));
    }
}
