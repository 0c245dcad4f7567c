//! The server's side of the handshake (RFC 8446 section 4), without any input or output:
//! messages go in, messages and secrets come out, in the order in which they take effect.
//!
//! Whoever carries the messages, a record layer or QUIC's frames, decides how. What all
//! connections share, certificates and the keys of tickets and cookies, is a [`Server`]; what one
//! of them is at is a [`Handshake`].

mod accept;
mod certificates;
mod clients;
mod cookie;
pub(crate) mod messages;
mod negotiate;
pub(crate) mod proof;
mod ticket;

pub(crate) use certificates::matches;
pub use certificates::{CertificateError, Certificates, Chain, Entry, Staple};
pub use clients::Clients;
pub use cookie::Cookies;
pub use ticket::{Seed, Tickets};

use crate::alert::Fault;
use crate::crypto::{Identity, Secret, Suite, Transcript, equal};
use crate::key_schedule::{Schedule, finished, ticket_key};
use crate::wire::Reader;
use crate::wire::codes::message;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use certificates::Mark;
use clients::Shown;
use waitless::keys::KeyLogs;
use waitless::{Instant, Random};

/// What the handshakes of one core share. A server that asks its clients who they are is a type of
/// its own, so that nothing of that is in an image that does not.
pub struct Server<const ASKS: bool = false> {
    /// Certificates with their keys.
    pub certificates: Certificates,
    /// Application protocols, the favourite first; when there are none, ALPN is ignored.
    pub protocols: &'static [&'static str],
    /// What tickets are sealed with.
    pub tickets: Tickets,
    /// Tickets for each connection.
    pub ticket_count: u8,
    /// What cookies are made with.
    pub cookies: Cookies,
    /// What is wanted of clients, where the server asks them.
    pub clients: Option<&'static Clients>,
    /// What is to be said in the log about the last fault.
    pub detail: Option<String>,
}

/// What the core lends for a message.
pub struct Surroundings<'a> {
    /// The time.
    pub now: Instant,
    /// Seconds since 1970, where somebody knows; who looks at no certificates need not.
    pub unix_secs: Option<u64>,
    /// Whom the connection's secrets are told, where somebody may look into them.
    pub keys: Option<&'a KeyLogs>,
    /// Random numbers.
    pub random: &'a mut Random,
}

/// What protects a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Nothing.
    Initial,
    /// The secrets of the handshake.
    Handshake,
    /// The secrets of the application.
    Application,
}

/// One of the things to do after a message was read.
pub enum Step {
    /// Send [`Flight::bytes`] from where the last message ended up to here.
    Send(Level, usize),
    /// Send a change_cipher_spec, for the sake of middleboxes.
    ChangeCipherSpec,
    /// Protect what follows with this.
    WriteKeys(Level, Suite, Secret),
    /// What follows is protected with this.
    ReadKeys(Level, Suite, Secret),
    /// Skip what does not decrypt: early data, which is not accepted.
    SkipEarlyData,
    /// Send no records of more content than this.
    RecordLimit(u16),
    /// Another hello was asked for.
    Retried,
    /// The handshake is complete. Whether it resumed an earlier connection.
    Complete(bool),
}

/// What comes out of a message.
#[derive(Default)]
pub struct Flight {
    /// Messages, one behind the other.
    pub bytes: Vec<u8>,
    /// What to do, in this order.
    pub steps: heapless::Vec<Step, 12>,
}

impl Flight {
    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.steps.clear();
    }

    pub(crate) fn step(&mut self, step: Step) -> Result<(), Fault> {
        self.steps.push(step).map_err(|_| Fault::Internal)
    }

    /// Everything that was written since the last step is sent.
    pub(crate) fn send(&mut self, level: Level) -> Result<(), Fault> {
        self.step(Step::Send(level, self.bytes.len()))
    }
}

/// One connection's handshake.
#[derive(Default)]
pub struct Handshake {
    state: State,
    /// Who the client is, once the handshake is complete.
    pub(crate) client: Option<Box<Identity>>,
}

#[derive(Default)]
enum State {
    /// A hello comes next.
    #[default]
    Hello,
    /// A second hello comes next. All that must be known of the first one is in the cookie.
    SecondHello,
    /// The client's certificate comes next, where it is asked for one.
    Certificate(Box<ExpectFinished>),
    /// The proof that the client has that certificate's key comes next.
    Proof(Box<Shown>),
    /// The client's Finished comes next.
    Finished(Box<ExpectFinished>),
    /// Everything was said, or something went wrong.
    Over,
}

/// What is known while the client's Finished is awaited.
struct ExpectFinished {
    suite: Suite,
    /// Up to the last message.
    transcript: Transcript,
    /// At the master secret.
    schedule: Schedule,
    client_handshake: Secret,
    client_application: Secret,
    certificate: Mark,
    resumes: bool,
    /// Who the client has shown to be, now or on the connection that goes on.
    client: Option<Box<Identity>>,
}

impl Handshake {
    /// A handshake that awaits a hello.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the client has not said anything yet.
    pub const fn is_fresh(&self) -> bool {
        matches!(self.state, State::Hello)
    }

    /// Reads one whole message, header and all. What is to be done then is added to `flight`.
    ///
    /// # Errors
    /// What the client did wrong. The handshake is over then.
    pub fn read<const ASKS: bool>(
        &mut self,
        message: &[u8],
        server: &mut Server<ASKS>,
        around: &mut Surroundings<'_>,
        flight: &mut Flight,
    ) -> Result<(), Fault> {
        let kind = message.first().copied().ok_or(Fault::EmptyFragment)?;
        server.tickets.rotate(around.now);
        self.state = match (core::mem::take(&mut self.state), kind) {
            (State::Hello, message::CLIENT_HELLO) => {
                self.state = State::Over;
                accept::hello(message, server, around, flight)?
            }
            (State::SecondHello, message::CLIENT_HELLO) => {
                self.state = State::Over;
                accept::second_hello(message, server, around, flight)?
            }
            (State::Certificate(expected), message::CERTIFICATE) if ASKS => {
                self.state = State::Over;
                let clients = server.clients.ok_or(Fault::Internal)?;
                clients.certificate(message, expected, around, &mut server.detail)?
            }
            (State::Proof(shown), message::CERTIFICATE_VERIFY) if ASKS => {
                self.state = State::Over;
                shown.proof(message, &mut server.detail)?
            }
            (State::Finished(expected), message::FINISHED) => {
                self.state = State::Over;
                self.client = expected.read(message, server, around, flight)?;
                State::Over
            }
            _ => {
                self.state = State::Over;
                return Err(Fault::UnexpectedMessage);
            }
        };
        Ok(())
    }
}

impl ExpectFinished {
    fn read<const ASKS: bool>(
        mut self,
        message: &[u8],
        server: &mut Server<ASKS>,
        around: &mut Surroundings<'_>,
        flight: &mut Flight,
    ) -> Result<Option<Box<Identity>>, Fault> {
        let hash = self.suite.hash();
        let mut reader = Reader::new(message);
        reader.bytes(4)?;
        let verify = reader.bytes(hash.length())?;
        reader.end()?;
        let expected = finished(hash, &self.client_handshake, &self.transcript.digest());
        //= RFC 8446 4.4.4: what is wrong ends the handshake
        if !equal(verify, expected.bytes()) {
            return Err(Fault::BadFinished);
        }
        self.transcript.add(message);
        flight.step(Step::ReadKeys(Level::Application, self.suite, self.client_application))?;
        let resumption = self.schedule.resumption(&self.transcript.digest());
        let known = self.client.as_ref().filter(|_| ASKS);
        let client = known.map_or_else(Vec::new, |client| client.to_bytes());
        for number in 0..server.ticket_count {
            let key = ticket_key(hash, &resumption, &[number]);
            let (suite, certificate) = (self.suite, self.certificate);
            let contents = ticket::Contents { suite, certificate, key, client: client.as_slice() };
            let ticket = server.tickets.seal(&contents, around);
            let lifetime = server.tickets.lifetime_secs();
            let age_add = around.random.u32();
            messages::new_session_ticket(&mut flight.bytes, lifetime, age_add, number, &ticket);
        }
        if server.ticket_count > 0 {
            flight.send(Level::Application)?;
        }
        flight.step(Step::Complete(self.resumes))?;
        Ok(self.client)
    }
}
