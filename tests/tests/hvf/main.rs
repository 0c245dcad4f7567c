//! The devices and the network of the runner for Apple silicon, driven by the real drivers and
//! the whole stack in this process, and by real programs from outside.

mod guest;

use guest::{Running, Started};
use hvf_runner::network::{Config, Forward, Protocol};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use virtio_mmio::VirtioMmio;
use virtio_net::VirtioNet;
use waitless::{Component, NicPort, Packet, Sweep};
use waitless_tests::graphs::hvf;

/// What only a broken stack takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn forwards() -> Config {
    let forward = |protocol, guest| Forward { protocol, host: 0, guest };
    let forwards = vec![forward(Protocol::Tcp, 80), forward(Protocol::Udp, 7)];
    Config { forwards, nameserver: None }
}

/// Runs the web server on the machine until `client`, which is told the host's ports of its two
/// services, is done. Then all connections are closed and all packets come back.
fn serve<R: Send>(client: impl FnOnce(u16, u16) -> R + Send) -> R {
    let started = Started::new(512, &forwards());
    let (http, echo) = (started.port(80), started.port(7));
    started.run(|running| {
        let mut graph = hvf::graph(&mut running.cx);
        graph.init(&mut running.cx).map_err(|(name, _)| name).unwrap();
        thread::scope(|scope| {
            let client = scope.spawn(move || client(http, echo));
            let mut sleeps = 0;
            while !client.is_finished() {
                sleeps += u32::from(sweep(&mut graph, running));
            }
            assert!(sleeps > 0, "it polled all the time");
            client.join().unwrap()
        })
    })
}

/// One sweep, and a sleep if there is nothing to do, as every platform has it.
fn sweep(graph: &mut impl Sweep, running: &mut Running) -> bool {
    let now = running.tick();
    graph.poll(&mut running.cx);
    let deadline = graph.deadline();
    if deadline <= now || !graph.arm() {
        return false;
    }
    // The client's end is no interrupt.
    running.sleep(deadline.min(now + waitless::Duration::from_millis(20)));
    true
}

/// What curl gets; it waits until somebody answers.
fn curl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "60"])
        .args(["--retry", "20", "--retry-delay", "1", "--retry-all-errors"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl is installed: build/setup/setup.sh test");
    let mut writer = child.stdin.take().unwrap();
    let input = input.to_vec();
    let written = thread::spawn(move || writer.write_all(&input));
    let output = child.wait_with_output().unwrap();
    written.join().unwrap().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", output.status);
    output.stdout
}

#[test]
fn curl_reaches_the_web_server_behind_the_card_by_a_forwarded_port() {
    serve(|http, _| {
        let url = |path: &str| format!("http://127.0.0.1:{http}{path}");
        assert_eq!(curl(&[&url("/hello")], b""), b"hello");
        let bytes = curl(&[&url("/bytes?count=3000000")], b"");
        assert!(bytes.len() == 3_000_000 && bytes.iter().all(|byte| *byte == b'.'));
        let sent: Vec<u8> = (0..500_000u32).map(|index| (index % 251) as u8).collect();
        let got = curl(&["--data-binary", "@-", &url("/echo")], &sent);
        assert!(got == sent, "{} bytes came back", got.len());
        let many = [url("/hello"), url("/hello"), url("/hello")];
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(curl(&many, b""), b"hellohellohello");
    });
}

#[test]
fn no_request_sleeps_through_its_interrupt() {
    serve(|http, echo| {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, http)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = [0; 1024];
        let mut seed = 1u64;
        for _ in 0..500 {
            stream.write_all(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut length = 0;
            while !answer[..length].ends_with(b"hello") {
                let count = stream.read(&mut answer[length..]).unwrap();
                assert_ne!(count, 0, "the server closed");
                length += count;
            }
            // Pauses of up to half a millisecond, so that requests meet every state of the core.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            thread::sleep(Duration::from_micros(seed >> 55));
        }
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        for index in 0..100u8 {
            socket.send_to(&[index; 1000], (Ipv4Addr::LOCALHOST, echo)).unwrap();
            let (length, _) = socket.recv_from(&mut answer).unwrap();
            assert_eq!(answer[..length], [index; 1000]);
        }
    });
}

/// A broadcast that asks for the gateway's Ethernet address.
fn request(running: &mut Running, mac: [u8; 6]) -> Packet {
    let mut packet = running.cx.packet().expect("packets come back");
    let mut frame = vec![0xff; 6];
    frame.extend(mac);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend([10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2]);
    packet.append(&frame).unwrap();
    packet
}

const fn config(queue_size: u16, checksum_offload: bool, event_index: bool) -> virtio_net::Config {
    let segmentation_offload = checksum_offload;
    virtio_net::Config { queue_size, checksum_offload, segmentation_offload, event_index }
}

/// Every way to drive a card, by small queues whose indices wrap several times.
#[test]
fn the_driver_and_the_card_understand_each_other_however_they_agreed() {
    static CONFIGS: [virtio_net::Config; 4] = [
        config(4, true, true),
        config(8, true, false),
        config(256, false, true),
        config(16, false, false),
    ];
    static TRANSPORT: virtio_mmio::Config = virtio_mmio::Config {};
    const ANSWERS: usize = 3000;
    for config in &CONFIGS {
        Started::new(64, &Config::default()).run(|running| {
            let mut mmio = VirtioMmio::new(&TRANSPORT, &mut running.cx);
            let mut net = VirtioNet::new(config, &mut running.cx);
            mmio.init(&mut (), &mut running.cx).unwrap();
            net.init(&mut mmio, &mut running.cx).unwrap();
            assert_eq!(net.mac().0, [0x52, 0x54, 0, 0, 0, 1]);
            assert!(net.link_up());
            assert_eq!(net.offloads().checksum, config.checksum_offload);
            let late = Instant::now() + PATIENCE;
            let (mut sent, mut got) = (0, 0);
            while got < ANSWERS {
                assert!(Instant::now() < late, "{config:?}: {got} answers of {sent}");
                let now = running.tick();
                mmio.receive(&mut (), &mut running.cx);
                net.receive(&mut mmio, &mut running.cx);
                while let Some(frame) = net.recv() {
                    assert_eq!(frame.bytes()[..6], net.mac().0);
                    assert_eq!(frame.bytes()[20..22], [0, 2], "an answer");
                    got += 1;
                }
                // More than two on their way would be more than its limits on ARP.
                if sent < ANSWERS && sent - got < 2 && net.room() > 0 {
                    let mac = net.mac().0;
                    assert!(net.send(request(running, mac)).is_ok());
                    sent += 1;
                }
                net.transmit(&mut mmio, &mut running.cx);
                let deadline = Component::<VirtioMmio>::deadline(&net);
                let waits = sent == ANSWERS || sent - got == 2;
                if waits && deadline > now && mmio.arm() && arm(&mut net) {
                    running.sleep(deadline);
                }
            }
            assert_eq!(running.guest.machine().card().received, ANSWERS as u64);
        });
    }
}

fn arm(net: &mut VirtioNet) -> bool {
    Component::<VirtioMmio>::arm(net)
}
