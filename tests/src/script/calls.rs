//! What a script's calls do: each stands for what the component's port offers.

use super::host::REMOTE;
use super::run::{OUR_PORT, Runner, THEIR_PORT};
use super::segment::byte;
use super::syntax::Call;
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
}

/// What a call gives: a number, or the name of an error.
type Given = Result<i64, &'static str>;

/// Why a call cannot be made at all.
type Unsupported = String;

impl Runner {
    /// Makes a call and compares what it gives.
    pub fn call(&mut self, call: &Call) -> Result<(), String> {
        let given = self.perform(call)?;
        self.host.sweep();
        let expected = match (&call.error, call.result) {
            (_, None) => return Ok(()),
            (Some(error), _) => Err(error.as_str()),
            (None, Some(number)) => Ok(number),
        };
        let show = |it: Result<i64, &str>| it.map_or_else(str::to_owned, |it| it.to_string());
        match given == expected {
            true => Ok(()),
            false => Err(format!("{} gives {}, not {}", call.name, show(given), show(expected))),
        }
    }

    fn perform(&mut self, call: &Call) -> Result<Given, Unsupported> {
        let argument = |at: usize| call.arguments.get(at).map(String::as_str).unwrap_or_default();
        let number = |at: usize| argument(at).parse::<i64>().unwrap_or(0);
        match call.name.as_str() {
            "socket" => return Ok(Ok(self.add(Socket::default()))),
            "bind" | "fcntl" | "ioctl" => return Ok(Ok(call.result.unwrap_or(0))),
            "listen" => {
                let listening = self.host.tcp.listen(self.host.service, OUR_PORT);
                return Ok(listening.map(|()| 0).map_err(|_| "EADDRINUSE"));
            }
            "accept" => return Ok(self.accept()),
            _ => {}
        }
        let descriptor = number(0);
        let Some(socket) = self.sockets.get(&descriptor) else {
            return Err(format!("{} is no socket", argument(0)));
        };
        let stream = socket.stream;
        self.current = descriptor;
        match (call.name.as_str(), stream) {
            ("connect", _) => Ok(self.connect(descriptor)),
            ("close", _) => Ok(self.close(descriptor)),
            ("setsockopt", _) => self.set_option(descriptor, argument(2), argument(3)),
            (_, None) => Ok(Err("ENOTCONN")),
            ("shutdown", Some(stream)) => Ok(self.shut_down(descriptor, stream, argument(1))),
            ("read" | "recv", Some(stream)) => self.receive(descriptor, stream, number(2)),
            ("write" | "send", Some(stream)) => Ok(self.send(descriptor, stream, number(2))),
            (name, _) => Err(format!("the call `{name}` is not supported")),
        }
    }

    fn add(&mut self, socket: Socket) -> i64 {
        let descriptor = self.sockets.keys().last().map_or(3, |last| last + 1);
        self.sockets.insert(descriptor, socket);
        self.current = descriptor;
        descriptor
    }

    fn accept(&mut self) -> Given {
        let tcp = &mut self.host.tcp;
        while let Some(stream) = tcp.news(self.host.service) {
            if tcp.tag(stream).is_none() {
                tcp.set_tag(stream, 1);
                self.fresh.push_back(stream);
            }
        }
        let stream = self.fresh.pop_front().ok_or("EAGAIN")?;
        Ok(self.add(Socket { stream: Some(stream), ..Socket::default() }))
    }

    fn connect(&mut self, descriptor: i64) -> Given {
        let remote = (REMOTE, THEIR_PORT).into();
        let stream = self.host.tcp.connect(self.host.service, remote).map_err(|_| "ENETUNREACH")?;
        self.host.tcp.set_tag(stream, 1);
        self.host.sweep();
        if let Some(local) = self.host.tcp.local(stream) {
            self.ports = (THEIR_PORT, local.port());
        }
        if let Some(socket) = self.sockets.get_mut(&descriptor) {
            socket.stream = Some(stream);
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
        if how != "SHUT_RD" {
            self.host.tcp.close(stream);
            self.sockets.entry(descriptor).or_default().ended = true;
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

    fn receive(
        &mut self,
        descriptor: i64,
        stream: Stream,
        most: i64,
    ) -> Result<Given, Unsupported> {
        let tcp = &mut self.host.tcp;
        let socket = self.sockets.entry(descriptor).or_default();
        let mut count = 0;
        while count < most && !tcp.readable(stream).is_empty() {
            let bytes = tcp.readable(stream);
            let taken = bytes.len().min((most - count) as usize);
            for &got in &bytes[..taken] {
                if got != byte(false, socket.read) {
                    return Err(format!("the byte at {} of the stream is wrong", socket.read));
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
            _ if status.finished => Ok(0),
            _ => Err("EAGAIN"),
        })
    }

    fn set_option(
        &mut self,
        descriptor: i64,
        name: &str,
        value: &str,
    ) -> Result<Given, Unsupported> {
        let number = value.trim_matches(['[', ']']).parse::<u64>().unwrap_or(0);
        let setting = match name {
            "SO_REUSEADDR" | "SO_REUSEPORT" => return Ok(Ok(0)),
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
            "IP_TOS" => Setting::TrafficClass((number >> 2) as u8),
            _ => return Err(format!("the option `{name}` is not supported")),
        };
        let stream = self.sockets.get(&descriptor).and_then(|socket| socket.stream);
        Ok(match stream {
            Some(stream) if self.host.tcp.set(stream, setting) => Ok(0),
            _ => Err("ENOTCONN"),
        })
    }
}
