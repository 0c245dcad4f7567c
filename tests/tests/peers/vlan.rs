//! A virtual LAN on a wire that has others, too: addresses, pings and pages through the tag, from
//! the kernel's own stack.

use crate::host::with;
use crate::raw::Raw;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;
use waitless::http::Handler;
use waitless::{IpPort, NicPort};
use waitless_tests::graphs::tagged::{self, Graph};
use waitless_tests::lab::{
    Capture, Dhcp, Lab, PATIENCE, Running, Tap, curl, ping, run, run_in, tool,
};
use waitless_tests::live::{Host, Live, card};

/// The graph's virtual LAN, and the priority of what it sends.
const NUMBER: u16 = 7;
const PRIORITY: u16 = 3;

/// This machine's place in the virtual LAN of a wire.
struct Member {
    /// The device that has frames without the tag.
    tap: Tap,
    /// What moves frames where the kernel does not.
    _tagger: Option<Running>,
}

impl Member {
    /// A device of the kernel's for the virtual LAN. A kernel without 802.1Q gets a program that
    /// puts tags on what leaves by a second tap and moves it to the first, and back.
    #[track_caller]
    fn on(wire: &Tap) -> Self {
        let name = format!("{}v", wire.name);
        let number = NUMBER.to_string();
        let link = ["link", "add", "link", &wire.name, "name", &name, "type", "vlan", "id"];
        let link = [&link[..], &[&number]].concat();
        if !run_in(std::path::Path::new("."), "ip", &link, b"").status.success() {
            let tap = Tap::new();
            let mut command = Command::new(tool("python3").expect("python3 is there"));
            command.args(["-u", "-c", TAGGER, &wire.name, &tap.name, &number]);
            let mut tagger = Running::start(command);
            tagger.expect_output("ready", PATIENCE);
            return Self { tap, _tagger: Some(tagger) };
        }
        let tap = Tap { name, address: Ipv4Addr::new(10, 77, 254, 1) };
        run("ip", &["address", "add", &format!("{}/24", tap.address), "dev", &tap.name]);
        run("ip", &["link", "set", &tap.name, "up"]);
        Self { tap, _tagger: None }
    }
}

/// Between the wire, a packet socket, and a tap. The kernel takes tags off what it receives, and
/// says beside the frame which there was: `struct tpacket_auxdata` of packet(7).
const TAGGER: &str = "
import fcntl, os, select, socket, struct, sys
wire_name, tap_name, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
tap = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tap, 0x400454ca, struct.pack('16sH22x', tap_name.encode(), 0x1002))
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.setsockopt(263, 8, 1)
wire.bind((wire_name, 3))
print('ready')
while True:
    for ready in select.select([tap, wire], [], [])[0]:
        if ready == tap:
            frame = os.read(tap, 65536)
            tagged = frame[:12] + struct.pack('!HH', 0x8100, number) + frame[12:]
            try:
                wire.send(tagged)
            except OSError:
                pass
            continue
        frame, beside, _, address = wire.recvmsg(65536, 256)
        if address[2] == socket.PACKET_OUTGOING:
            continue
        for level, kind, data in beside:
            status, _, _, _, _, tag, _ = struct.unpack('IIIHHHH', data[:20])
            if (level, kind) == (263, 8) and status & 16 and tag & 0xfff == number:
                os.write(tap, frame)
";

pub fn network_of_its_own(_: &Lab) {
    let wire = Tap::new();
    let member = Member::on(&wire);
    member.tap.turn_on_ipv6();
    let mut capture = Capture::on(&wire);
    let range = format!("--dhcp-range={},ra-stateless,64,1h", member.tap.host_v6(0));
    let server = Dhcp::on(&member.tap, &["--enable-ra", &range]);
    let mut host = with(|cx| {
        let mut graph = tagged::graph(cx);
        graph.nic = card(&wire, cx);
        graph
    });
    let (leased, address) = addresses(&mut host, &member.tap);
    assert!(server.log().contains(&format!("DHCPACK({}) {leased} ", member.tap.name)));
    for address in [IpAddr::V4(leased), address] {
        visit(&mut host, address);
    }
    let station = host.graph.nic.mac().0;
    strangers(&mut host, &wire, station, leased);
    drop(host);
    judge(&mut capture, station);
}

/// An address of each version of IP, both from the server in the virtual LAN.
#[track_caller]
fn addresses(host: &mut Host<Graph<impl Handler>>, tap: &Tap) -> (Ipv4Addr, IpAddr) {
    let leased = host
        .until("an address of IPv4", |host| host.graph.ip4.configuration().map(|it| it.address));
    let network = tap.host_v6(0).segments();
    let address = host.until("an address of IPv6", |host| {
        let own = host.graph.ip6.network()?.addresses.iter().map(|it| it.address);
        own.into_iter().find(|it| it.segments()[..4] == network[..4])
    });
    (leased, IpAddr::V6(address))
}

/// Pings as long as the link without a tag takes, and pages both ways.
#[track_caller]
fn visit(host: &mut Host<Graph<impl Handler>>, address: IpAddr) {
    let headers = if address.is_ipv4() { 28 } else { 48 };
    host.during(|| {
        ping(address, 3, 1500 - headers);
        let site = format!("http://{}", SocketAddr::new(address, 80));
        let size = ["-g", "--fail", "-o", "/dev/null", "-w", "%{size_download}"];
        let download = format!("{site}/bytes?count=3000000");
        assert_eq!(curl(&[&size[..], &[&download]].concat()), "3000000");
        let echo = format!("{site}/echo");
        assert_eq!(curl(&["-g", "--fail", "--data-binary", "to and fro", &echo]), "to and fro");
    });
}

/// Who is not in the virtual LAN gets no answer, and is counted: frames without a tag, with one
/// that only says a priority, with another's, with two, and with half a one.
#[track_caller]
fn strangers(
    host: &mut Host<Graph<impl Handler>>,
    wire: &Tap,
    station: [u8; 6],
    address: Ipv4Addr,
) {
    let raw = Raw::on(wire);
    let counters =
        |host: &Host<_>| ["untagged", "foreign", "received"].map(|it| host.counter("tag", it));
    let before = counters(host);
    let tag = |number: u16| [&[0x81, 0][..], &number.to_be_bytes()].concat();
    let questions: [(&[u8], usize); 6] = [
        (&[], 0),
        (&tag(PRIORITY << 13), 1),
        (&tag(NUMBER + 1), 1),
        (&[tag(NUMBER + 1), tag(NUMBER)].concat(), 1),
        // A tag of IEEE 802.1ad is none of these.
        (&[0x88, 0xa8, 0, NUMBER as u8], 0),
        (&tag(PRIORITY << 13 | NUMBER), 2),
    ];
    let asks = |tag: &[u8]| question(station, address, tag);
    for (tag, _) in questions {
        assert!(raw.send(&asks(tag)));
    }
    assert!(raw.send(&asks(&[])[..14]), "a header and nothing else");
    let expected = |at: usize| questions.iter().filter(|(_, counter)| *counter == at).count();
    host.until("what is counted", |host| {
        let now = counters(host);
        let more = |at: usize| (now[at] - before[at]) as usize;
        // The kernel's own stack may have something to say in the virtual LAN meanwhile.
        let all = more(0) > expected(0) && more(1) >= expected(1) && more(2) >= expected(2);
        all.then_some(())
    });
    let now = counters(host);
    assert_eq!(now[1] - before[1], expected(1) as u64, "of other virtual LANs");
    host.run_for(Duration::from_millis(300));
}

/// A frame that asks for the station of `address`, as one does who has another address.
fn question(station: [u8; 6], address: Ipv4Addr, tag: &[u8]) -> Vec<u8> {
    let [a, b, c, _] = address.octets();
    let mut frame = [&station[..], &STRANGER, tag, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
    frame.extend(STRANGER);
    frame.extend([a, b, c, 200]);
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame.resize(frame.len().max(60), 0);
    frame
}

const STRANGER: [u8; 6] = [2, 0, 0, 0, 0x51, 0x07];

/// Everything that the graph sent has the tag; it answered the one stranger who has it, too; and
/// the longest frames were four bytes longer than without.
#[track_caller]
fn judge(capture: &mut Capture, station: [u8; 6]) {
    let station = station.map(|byte| format!("{byte:02x}")).join(":");
    let ours = format!("eth.src == {station}");
    let tagged = format!("vlan.id == {NUMBER} && vlan.priority == {PRIORITY}");
    assert!(!capture.frames(&format!("{ours} && {tagged} && tcp")).is_empty());
    assert_eq!(capture.frames(&format!("{ours} && !({tagged})")), [""; 0]);
    let stranger = STRANGER.map(|byte| format!("{byte:02x}")).join(":");
    let answers = capture.frames(&format!("{ours} && eth.dst == {stranger}"));
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(!capture.frames(&format!("{ours} && frame.len == 1518")).is_empty());
    assert_eq!(capture.frames(&format!("{ours} && (_ws.malformed || frame.len > 1518)")), [""; 0]);
}
