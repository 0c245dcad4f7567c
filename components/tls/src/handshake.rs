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
mod early;
pub(crate) mod messages;
mod negotiate;
pub(crate) mod proof;
mod ticket;

pub(crate) use certificates::matches;
pub use certificates::{CertificateError, Certificates, Chain, Entry, Staple};
pub use clients::Clients;
pub use cookie::Cookies;
pub use early::{Early, Refusal, Register};
pub use ticket::{Seed, Tickets};

use crate::alert::Fault;
use crate::crypto::{Digest, Identity, Keyed, Suite, Transcript, equal};
use crate::key_schedule::{Schedule, TrafficSecret, ticket_key};
use crate::wire::Reader;
use crate::wire::codes::message;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use certificates::Mark;
use clients::Shown;
use waitless::keys::KeyLogs;
use waitless::{Instant, Random};

/// What the handshakes of one core share. A server that asks its clients who they are, and one that
/// accepts early data, are types of their own, so that nothing of that is in an image that does
/// not.
pub struct Server<const ASKS: bool = false, const EARLY: bool = false> {
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
    /// What is needed for early data, where the server accepts it.
    pub early: Option<Early>,
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
    /// Whether somebody can take early data now, and tell it from other data.
    pub early: bool,
    /// Random numbers.
    pub random: &'a mut Random,
}

/// What protects a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Nothing.
    Initial,
    /// What is known from an earlier connection.
    Early,
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
    WriteKeys(Level, Suite, TrafficSecret),
    /// What follows is protected with this.
    ReadKeys(Level, Suite, TrafficSecret),
    /// Skip what does not decrypt: early data, which is not accepted.
    SkipEarlyData,
    /// Early data follows, which is accepted: at most so many bytes of it.
    AcceptEarlyData(u32),
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
    /// What became of early data, where some was announced to a server that accepts it.
    pub early: Option<Result<(), Refusal>>,
}

impl Flight {
    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.steps.clear();
        self.early = None;
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
    /// Who the client is, once that is known.
    pub(crate) client: Option<Box<Identity>>,
}

#[derive(Default)]
enum State {
    /// A hello comes next.
    #[default]
    Hello,
    /// A second hello comes next. All that must be known of the first one is in the cookie.
    SecondHello,
    /// Early data comes next, and behind it a word that it is over.
    Early(Box<ExpectFinished>),
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
    /// The hash of that.
    digest: Digest,
    /// At the master secret.
    schedule: Schedule,
    client_handshake: TrafficSecret,
    client_application: TrafficSecret,
    certificate: Mark,
    resumes: bool,
    /// What may not be different when the next connection brings early data.
    bound: early::Bound,
    /// Who the client has shown to be, now or on the connection that goes on.
    client: Option<Box<Identity>>,
    /// Tickets that it gets.
    tickets: u8,
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
    pub fn read<const ASKS: bool, const EARLY: bool>(
        &mut self,
        message: &[u8],
        server: &mut Server<ASKS, EARLY>,
        around: &mut Surroundings<'_>,
        flight: &mut Flight,
    ) -> Result<(), Fault> {
        let kind = message.first().copied().ok_or(Fault::EmptyFragment)?;
        server.tickets.rotate(around.now);
        self.state = match (core::mem::take(&mut self.state), kind) {
            (State::Hello, message::CLIENT_HELLO) => {
                self.state = State::Over;
                let state = accept::hello(message, server, around, flight)?;
                //= RFC 8446 2.2: who resumes is who it was, also before it has finished
                if ASKS
                    && EARLY
                    && let State::Early(expected) = &state
                {
                    self.client.clone_from(&expected.client);
                }
                state
            }
            (State::SecondHello, message::CLIENT_HELLO) => {
                self.state = State::Over;
                accept::second_hello(message, server, around, flight)?
            }
            (State::Early(expected), message::END_OF_EARLY_DATA) if EARLY => {
                self.state = State::Over;
                expected.end_early(message, flight)?
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
    /// The client has said something that counts.
    fn hear(&mut self, whole: &[u8]) {
        self.transcript.add(whole);
        self.digest = self.transcript.digest();
    }

    //= RFC 8446 4.5: it is the last that the keys of early data protect
    fn end_early(mut self: Box<Self>, whole: &[u8], flight: &mut Flight) -> Result<State, Fault> {
        Reader::new(whole.get(4..).ok_or(Fault::Truncated)?).end()?;
        self.hear(whole);
        let secret = self.client_handshake.clone();
        flight.step(Step::ReadKeys(Level::Handshake, self.suite, secret))?;
        Ok(State::Finished(self))
    }

    fn read<const ASKS: bool, const EARLY: bool>(
        mut self,
        message: &[u8],
        server: &mut Server<ASKS, EARLY>,
        around: &mut Surroundings<'_>,
        flight: &mut Flight,
    ) -> Result<Option<Box<Identity>>, Fault> {
        let hash = self.suite.hash();
        let mut reader = Reader::new(message);
        reader.bytes(4)?;
        let verify = reader.bytes(hash.length())?;
        reader.end()?;
        let expected = self.client_handshake.finished(&self.digest);
        //= RFC 8446 4.4.4: what is wrong ends the handshake
        if !equal(verify, expected.bytes()) {
            return Err(Fault::BadFinished);
        }
        self.hear(message);
        flight.step(Step::ReadKeys(Level::Application, self.suite, self.client_application))?;
        let resumption = Keyed::new(hash, self.schedule.resumption(&self.digest).bytes());
        let known = self.client.as_ref().filter(|_| ASKS);
        let mut said = known.map_or_else(Vec::new, |client| client.to_bytes());
        let limit = server.early.as_ref().filter(|_| EARLY && around.early).map(|it| it.limit);
        for number in 0..self.tickets {
            let key = ticket_key(&resumption, &[number]);
            let (suite, certificate) = (self.suite, self.certificate);
            let (made, age_add) = (around.now, around.random.u32());
            let length = said.len();
            if EARLY {
                let grant = limit.map(|_| early::Grant { age_add, bound: self.bound });
                early::Grant::write(grant, &mut said);
            }
            let contents = ticket::Contents { suite, certificate, made, key, said: &*said };
            let ticket = server.tickets.seal(&contents, around);
            said.truncate(length);
            messages::new_session_ticket(
                &mut flight.bytes,
                &messages::NewTicket {
                    lifetime_secs: server.tickets.lifetime_secs(),
                    age_add,
                    number,
                    ticket: &ticket,
                    early_data: limit.filter(|_| EARLY),
                },
            );
        }
        if self.tickets > 0 {
            flight.send(Level::Application)?;
        }
        flight.step(Step::Complete(self.resumes))?;
        Ok(self.client)
    }
}
