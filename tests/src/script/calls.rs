//! What a script's calls do: each stands for what the component's port offers.

use super::run::{OUR_PORT, Runner, THEIR_PORT};
use super::segment::byte;
use super::syntax::{Call, Problem};
use waitless::{Duration, Phase, Setting, Stream, StreamPort};

/// A descriptor of the script's.
#[derive(Default)]
pub struct Socket {
    /// The connection, of one that has one.
    pub stream: Option<Stream>,
    read: u32,
    written: u32,
    /// Closing it resets the connection.
    lingers: bool,
    /// It was shut down.
    ended: bool,
    /// It was shut down for reading, too.
    deaf: bool,
    /// It has been open.
    pub opened: bool,
    /// Its error was asked for.
    pub error_said: bool,
    /// What is set as soon as it has a connection.
    settings: Vec<Setting>,
}

/// What scripts may call.
const CALLS: [&str; 15] = [
    "socket",
    "bind",
    "listen",
    "accept",
    "connect",
    "close",
    "shutdown",
    "read",
    "recv",
    "write",
    "send",
    "setsockopt",
    "getsockopt",
    "fcntl",
    "ioctl",
];

/// What a call gives: a number, or the name of an error.
pub type Given = Result<i64, &'static str>;

impl Runner {
    /// Makes a call. What it gives.
    pub fn perform(&mut self, call: &Call) -> Result<Given, Problem> {
        let argument = |at: usize| call.arguments.get(at).map(String::as_str).unwrap_or_default();
        let number = |at: usize| argument(at).parse::<i64>().unwrap_or(0);
        if !CALLS.contains(&call.name.as_str()) {
            return Err(Problem::Unsupported(format!("the call `{}`", call.name)));
        }
        match call.name.as_str() {
            "socket" => return Ok(Ok(self.add(call, Socket::default()))),
            "ioctl" if self.foreign => {
                self.told(number(0), argument(1), argument(2))?;
                return Ok(Ok(0));
            }
            "getsockopt" if self.foreign => {
                self.told(number(0), argument(2), argument(3))?;
                return Ok(Ok(0));
            }
            "bind" | "fcntl" | "ioctl" => return Ok(Ok(call.result.unwrap_or(0))),
            "listen" => {
                let listening = self.host.tcp.listen(self.host.service, OUR_PORT);
                return Ok(listening.map(|()| 0).map_err(|_| "EADDRINUSE"));
            }
            "accept" => return Ok(self.accept(call)),
            _ => {}
        }
        let descriptor = number(0);
        let Some(socket) = self.sockets.get(&descriptor) else {
            return Err(format!("{} is no socket", argument(0)).into());
        };
        let stream = socket.stream;
        self.current = descriptor;
        match (call.name.as_str(), stream) {
            ("connect", _) => Ok(self.connect(descriptor)),
            ("close", _) => Ok(self.close(descriptor)),
            ("setsockopt", _) => self.set_option(descriptor, argument(2), argument(3)),
            (_, None) => Ok(Err("ENOTCONN")),
            ("shutdown", Some(stream)) => Ok(self.shut_down(descriptor, stream, argument(1))),
            ("recv", Some(stream)) if argument(3) == "MSG_PEEK" => Ok(self.peek(stream, number(2))),
            ("read" | "recv" | "write" | "send", _) if argument(1) == "NULL" => {
                Err(Problem::Unsupported(format!("`{}` with no buffer", call.name)))
            }
            ("recv" | "send", _) if self.foreign && !plain(argument(3)) => {
                Err(Problem::Unsupported(format!("`{}` with {}", call.name, argument(3))))
            }
            ("read" | "recv", Some(stream)) => self.receive(descriptor, stream, number(2)),
            ("write" | "send", Some(stream)) => Ok(self.send(descriptor, stream, number(2))),
            (name, _) => Err(Problem::Unsupported(format!("the call `{name}` there"))),
        }
    }

    /// A new descriptor: the one that the script gives it.
    fn add(&mut self, call: &Call, socket: Socket) -> i64 {
        let next = self.sockets.keys().last().map_or(3, |last| last + 1);
        let descriptor = call.result.filter(|_| self.foreign).unwrap_or(next);
        self.sockets.insert(descriptor, socket);
        self.current = descriptor;
        descriptor
    }

    fn accept(&mut self, call: &Call) -> Given {
        let tcp = &mut self.host.tcp;
        while let Some(stream) = tcp.news(self.host.service) {
            if tcp.tag(stream).is_none() {
                tcp.set_tag(stream, 1);
                self.fresh.push_back(stream);
            }
        }
        let stream = self.fresh.pop_front().ok_or("EAGAIN")?;
        Ok(self.add(call, Socket { stream: Some(stream), ..Socket::default() }))
    }

    fn connect(&mut self, descriptor: i64) -> Given {
        let remote = (self.host.ends.remote, THEIR_PORT).into();
        let stream = self.host.tcp.connect(self.host.service, remote).map_err(|_| "ENETUNREACH")?;
        self.host.tcp.set_tag(stream, 1);
        self.host.sweep();
        if let Some(local) = self.host.tcp.local(stream) {
            self.ports = (THEIR_PORT, local.port());
        }
        if let Some(socket) = self.sockets.get_mut(&descriptor) {
            socket.stream = Some(stream);
            for setting in socket.settings.drain(..) {
                self.host.tcp.set(stream, setting);
            }
        }
        Err("EINPROGRESS")
    }

    fn close(&mut self, descriptor: i64) -> Given {
        let socket = self.sockets.remove(&descriptor).ok_or("EBADF")?;
        if let Some(stream) = socket.stream {
            if socket.lingers {
                self.host.tcp.abort(stream);
            }
            self.host.tcp.release(stream);
        }
        Ok(0)
    }

    fn shut_down(&mut self, descriptor: i64, stream: Stream, how: &str) -> Given {
        let socket = self.sockets.entry(descriptor).or_default();
        socket.deaf |= how != "SHUT_WR";
        if how != "SHUT_RD" {
            self.host.tcp.close(stream);
            socket.ended = true;
        }
        Ok(0)
    }

    fn send(&mut self, descriptor: i64, stream: Stream, count: i64) -> Given {
        let tcp = &mut self.host.tcp;
        let socket = self.sockets.entry(descriptor).or_default();
        let mut left = count.max(0) as usize;
        while left > 0 {
            let room = tcp.writable(stream);
            let fits = room.len().min(left);
            if fits == 0 {
                break;
            }
            for (at, place) in room[..fits].iter_mut().enumerate() {
                *place = byte(true, socket.written.wrapping_add(at as u32));
            }
            tcp.commit(stream, fits);
            socket.written = socket.written.wrapping_add(fits as u32);
            left -= fits;
        }
        let written = count - left as i64;
        match tcp.status(stream).phase {
            _ if written > 0 => Ok(written),
            Phase::Open | Phase::Opening if !socket.ended => Err("EAGAIN"),
            Phase::Reset => Err("ECONNRESET"),
            Phase::TimedOut => Err("ETIMEDOUT"),
            Phase::Unreachable => Err("EHOSTUNREACH"),
            _ => Err("EPIPE"),
        }
    }

    fn peek(&self, stream: Stream, most: i64) -> Given {
        let status = self.host.tcp.status(stream);
        match (status.readable as i64).min(most) {
            0 if !status.finished => Err("EAGAIN"),
            count => Ok(count),
        }
    }

    fn receive(&mut self, descriptor: i64, stream: Stream, most: i64) -> Result<Given, Problem> {
        let tcp = &mut self.host.tcp;
        let socket = self.sockets.entry(descriptor).or_default();
        let mut count = 0;
        while count < most && !tcp.readable(stream).is_empty() {
            let bytes = tcp.readable(stream);
            let taken = bytes.len().min((most - count) as usize);
            for &got in &bytes[..taken] {
                if got != byte(false, socket.read) {
                    let at = socket.read;
                    return Err(format!("the byte at {at} of the stream is wrong").into());
                }
                socket.read = socket.read.wrapping_add(1);
            }
            tcp.consume(stream, taken);
            count += taken as i64;
        }
        let status = tcp.status(stream);
        Ok(match status.phase {
            _ if count > 0 => Ok(count),
            Phase::Reset => Err("ECONNRESET"),
            Phase::TimedOut => Err("ETIMEDOUT"),
            Phase::Unreachable => Err("EHOSTUNREACH"),
            _ if status.finished || socket.deaf => Ok(0),
            _ => Err("EAGAIN"),
        })
    }

    fn set_option(&mut self, descriptor: i64, name: &str, value: &str) -> Result<Given, Problem> {
        let number = value.trim_matches(['[', ']']).parse::<u64>();
        let named = number.is_err();
        let number = number.unwrap_or(0);
        let setting = match name {
            "SO_REUSEADDR" | "SO_REUSEPORT" => return Ok(Ok(0)),
            // How much is kept, and whether packets may be fragmented, are no keys of a stream.
            "SO_SNDBUF" | "SO_RCVBUF" | "IP_MTU_DISCOVER" | "IP_FREEBIND" if self.foreign => {
                return Ok(Ok(0));
            }
            "SO_LINGER" => {
                let on = value.contains("onoff=1");
                self.sockets.entry(descriptor).or_default().lingers = on;
                return Ok(Ok(0));
            }
            "TCP_NODELAY" => Setting::Nagle(number == 0),
            "TCP_USER_TIMEOUT" => Setting::UserTimeout(Duration::from_millis(number)),
            "TCP_KEEPIDLE" => Setting::KeepAlive(Some(Duration::from_secs(number))),
            "SO_KEEPALIVE" if number == 0 => Setting::KeepAlive(None),
            "SO_KEEPALIVE" => Setting::KeepAlive(Some(Duration::from_secs(7_200))),
            "IP_TOS" if !named => Setting::TrafficClass((number >> 2) as u8),
            _ => return Err(Problem::Unsupported(format!("the option `{name}`"))),
        };
        let stream = self.sockets.get(&descriptor).and_then(|socket| socket.stream);
        Ok(match stream {
            Some(stream) if self.host.tcp.set(stream, setting) => Ok(0),
            None if self.foreign => {
                self.sockets.entry(descriptor).or_default().settings.push(setting);
                Ok(0)
            }
            _ => Err("ENOTCONN"),
        })
    }
}

/// Flags of a call that change nothing here.
fn plain(flags: &str) -> bool {
    matches!(flags, "" | "0" | "MSG_NOSIGNAL" | "MSG_DONTWAIT")
}
