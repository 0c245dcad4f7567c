//! What an operator may do with an image that runs: see which certificates are in service, and
//! replace them, over HTTP.
//!
//! `GET /certificates` lists them, and `PUT /certificates/NAME` puts the one in the body, PEM with
//! its chain and its private key, in the place of the one for NAME. It is checked as the build
//! checks certificates. What was in service stays there until all is well, and connections go on.
//! The answer comes when all cores serve it.
//!
//! - **Nobody without the token.** Each request must have `Authorization: Bearer TOKEN`. The image
//!   knows the token's SHA-256 alone. An address that tries wrong ones is not heard for a while.
//! - **Nothing in clear**, unless the manifest says so: a request that did not come by TLS is
//!   refused before anything of it is looked at.
//! - **A core of its own.** Each core has an instance, on the core's own certificates. What one was
//!   given it passes on to the others, which look at a single word in each sweep.
//! - **Private keys are wiped** from all that was collected, once they were used.
//!
//! It keeps nothing: what an image serves after its next start is what was built into it.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod answer;
mod board;
mod guard;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use answer::Answer;
use board::{Board, Order};
use guard::{Admission, Guard};
use waitless::http::{Head, Length, Method, Status, decode};
use waitless::{
    BATCH, CertificateOffer, CertificatePort, Chunk, Component, Context, CounterSet, Duration,
    Exchange, HttpPort, InitError, Inspect, Instant, Pool, RefusalKind,
};
use zeroize::{Zeroize, Zeroizing};

/// What the manifest may set.
#[derive(Debug)]
pub struct Config {
    /// The SHA-256 of the token that requests must have.
    pub token_sha256: [u8; 32],
    /// The longest certificate in bytes of PEM, with its chain and key.
    pub body_limit: u64,
    /// Whether requests that did not come by TLS are served, too.
    pub clear: bool,
}

waitless::counters! {
    /// What an [`Admin`] counts.
    pub struct Counters {
        /// Certificates that were replaced.
        counter replaced: certificates,
        /// Certificates that were replaced because another core was asked to.
        counter followed: certificates,
        /// Certificates that were not taken.
        counter refused: certificates,
        /// Requests without the token.
        counter unauthorized: requests,
        /// Requests that were not heard, because their address had tried wrong tokens.
        counter throttled: requests,
        /// Requests that did not come by TLS.
        counter clear: requests,
        /// Times that not all cores took a certificate in time.
        counter overdue: times,
    }
}

/// The component. Stands on an [`HttpPort`] and a [`CertificatePort`].
pub struct Admin {
    config: &'static Config,
    counters: &'static Counters,
    pool: Pool,
    guard: Guard,
    /// What the instances on all cores have in common.
    board: &'static Board,
    /// Whether requests come by TLS.
    is_secure: bool,
    /// The number of the last order that this core has looked at.
    seen: u32,
    calls: [Option<Call>; CALLS],
    /// A certificate that other cores are to take.
    under_way: Option<UnderWay>,
    /// When to look again although nobody says that there is something new.
    again: Instant,
}

/// A request that is being served.
struct Call {
    exchange: Exchange,
    stage: Stage,
}

enum Stage {
    /// A certificate arrives.
    Body(Body),
    /// Other cores are to take it.
    Waits,
    /// The answer is on its way.
    Answers(Answer),
}

/// A certificate that arrives, and whose place it is to take.
struct Body {
    which: String,
    other_names: bool,
    /// All its memory is there from the start: growing would leave copies behind.
    pem: Zeroizing<Vec<u8>>,
}

/// A certificate that this core serves, and others are to.
struct UnderWay {
    /// Who wants to know, unless that client is gone.
    call: Option<usize>,
    place: usize,
    number: u32,
    until: Instant,
}

/// Requests at a time. More wait, and only those who have the token get that far.
const CALLS: usize = 4;
/// How long cores may take until they serve a certificate. Each needs one sweep.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait for a packet, of which nobody tells.
const PACKET_WAIT: Duration = Duration::from_millis(1);

impl Admin {
    /// One that serves every request of its port.
    pub fn new(config: &'static Config, cx: &mut Context) -> Self {
        let cores = cx.cores().count();
        Self {
            config,
            counters: Counters::leak(),
            pool: cx.pool(),
            guard: Guard::new(config.token_sha256),
            board: cx.share(|| Board::new(cores)),
            is_secure: false,
            seen: 0,
            calls: [const { None }; CALLS],
            under_way: None,
            again: Instant::NEVER,
        }
    }

    /// Does what another core was asked to.
    #[cold]
    fn follow<C: CertificatePort>(&mut self, certificates: &mut C, cx: &Context) {
        self.seen = self.board.newest();
        let Some(order) = self.board.take(cx.core()) else { return };
        let done = certificates.replace(&order.offer());
        match &done {
            Ok(_) => self.counters.followed.add(1),
            Err(why) => waitless::error!(cx, "core {}: {}", cx.core(), why.text),
        }
        self.board.done(cx.core(), order.number, done.is_ok());
        cx.wake(1 << order.from, 0);
    }

    /// What is to be done with a request, first of all.
    fn begin<C: CertificatePort>(
        &mut self,
        head: &Head,
        peer: Option<core::net::SocketAddr>,
        certificates: &C,
        cx: &Context,
    ) -> Stage {
        if !self.is_secure && !self.config.clear {
            self.counters.clear.add(1);
            let text =
                "This is for TLS alone. A token that was sent in clear is no secret: replace it.";
            return Stage::Answers(Answer::text(Status::FORBIDDEN, text));
        }
        match self.guard.admit(head.field_bytes("Authorization"), peer, cx.now()) {
            Admission::Granted => route(head, certificates, self.config),
            Admission::Throttled => {
                self.counters.throttled.add(1);
                let text = "Too many wrong tokens came from this address: wait a minute.";
                let answer = Answer::text(Status::TOO_MANY_REQUESTS, text);
                Stage::Answers(answer.with("Retry-After", "60"))
            }
            refused => {
                self.counters.unauthorized.add(1);
                let wrong = matches!(refused, Admission::Wrong);
                if wrong && let Some(peer) = peer {
                    waitless::warn!(cx, "a wrong token from {}", peer.ip());
                }
                let text = match wrong {
                    true => "This is not the token whose SHA-256 the manifest has.",
                    false => "Say `Authorization: Bearer TOKEN`.",
                };
                let answer = Answer::text(Status::UNAUTHORIZED, text);
                Stage::Answers(answer.with("WWW-Authenticate", "Bearer realm=\"waitless\""))
            }
        }
    }

    /// Takes the request in `place` as far as it goes now.
    fn serve<H: HttpPort, C: CertificatePort>(
        &mut self,
        place: usize,
        http: &mut H,
        certificates: &mut C,
        cx: &Context,
    ) {
        let Some(Call { exchange, mut stage }) = self.calls.get_mut(place).and_then(Option::take)
        else {
            return;
        };
        if http.is_gone(exchange) {
            if let Some(under_way) = self.under_way.as_mut().filter(|it| it.call == Some(place)) {
                under_way.call = None;
            }
            return http.abort(exchange);
        }
        if let Stage::Body(body) = stage {
            stage = match collect(body, exchange, http) {
                Collected::All(body) => self.replace(place, &body, certificates, cx),
                Collected::Part(body) => Stage::Body(body),
                Collected::TooLong => Stage::Answers(too_long(self.config)),
                Collected::Gone => return http.abort(exchange),
            };
        }
        if let Stage::Answers(answer) = &mut stage {
            match answer.send(exchange, http, self.pool) {
                answer::Sent::All => return,
                answer::Sent::Part => {}
                answer::Sent::NoPacket => self.again = cx.now() + PACKET_WAIT,
            }
        }
        if let Some(free) = self.calls.get_mut(place) {
            *free = Some(Call { exchange, stage });
        }
    }

    /// Puts what has arrived for the request in `place` into service, on this core first.
    fn replace<C: CertificatePort>(
        &mut self,
        place: usize,
        body: &Body,
        certificates: &mut C,
        cx: &Context,
    ) -> Stage {
        if !self.board.claim() {
            return busy("Another certificate is being replaced: ask again.");
        }
        if !self.board.has_all(self.board.newest()) {
            self.board.release();
            return busy("A core has not come to the last certificate yet: ask again.");
        }
        let offer = CertificateOffer {
            which: &body.which,
            pem: &body.pem,
            other_names: body.other_names,
            unix_secs: cx.wall_clock(),
        };
        let replaced = match certificates.replace(&offer) {
            Ok(place) => place,
            Err(why) => {
                self.board.release();
                self.counters.refused.add(1);
                waitless::warn!(cx, "certificate for {} not replaced: {}", body.which, why.text);
                let status = match why.kind {
                    RefusalKind::Ambiguous => Status::CONFLICT,
                    RefusalKind::Unfit => Status::UNPROCESSABLE_CONTENT,
                    RefusalKind::Unknown => Status::NOT_FOUND,
                    RefusalKind::Unreadable => Status::BAD_REQUEST,
                };
                return Stage::Answers(Answer::text(status, &why.text));
            }
        };
        self.counters.replaced.add(1);
        waitless::info!(cx, "certificate {replaced}, for {}, was replaced", body.which);
        let others = self.board.others(cx.core());
        if others == 0 {
            self.board.release();
            return Stage::Answers(Answer::certificate(certificates, replaced));
        }
        let order = |number| Arc::new(Order::of(&offer, replaced, number, cx.core()));
        let number = self.board.publish(cx.core(), order);
        self.seen = number;
        cx.wake(others, 0);
        let until = cx.now() + PATIENCE;
        self.under_way = Some(UnderWay { call: Some(place), place: replaced, number, until });
        Stage::Waits
    }

    /// Answers once all cores serve what is under way, or too late.
    #[cold]
    fn look<H: HttpPort, C: CertificatePort>(
        &mut self,
        http: &mut H,
        certificates: &mut C,
        cx: &Context,
    ) {
        let Some(under_way) = &self.under_way else { return };
        let taken = self.board.taken(under_way.number);
        let all = self.board.cores();
        if taken.answers < all && cx.now() < under_way.until {
            return;
        }
        let (call, place) = (under_way.call, under_way.place);
        self.under_way = None;
        self.board.release();
        let answer = if taken.served == all {
            Answer::certificate(certificates, place)
        } else {
            self.counters.overdue.add(1);
            let text = alloc::format!(
                "{} of {all} cores serve it, the others what they had: send it again, \
                 to /certificates/{place}.",
                taken.served
            );
            Answer::text(Status::SERVICE_UNAVAILABLE, &text)
        };
        let Some(call) = call else { return };
        if let Some(waiting) = self.calls.get_mut(call).and_then(Option::as_mut) {
            waiting.stage = Stage::Answers(answer);
        }
        self.serve(call, http, certificates, cx);
    }
}

/// What is to be done with a request of somebody who has the token.
fn route<C: CertificatePort>(head: &Head, certificates: &C, config: &Config) -> Stage {
    let mut room = [0; NAME_MAX];
    let rest = head.path().strip_prefix("/certificates");
    let which = match rest.map(|rest| (rest, rest.strip_prefix('/'))) {
        Some(("" | "/", _)) => None,
        Some((_, Some(name))) => match decode(name, false, &mut room).filter(is_printable) {
            Some(name) => Some(name),
            None => return Stage::Answers(Answer::text(Status::BAD_REQUEST, "This is no name.")),
        },
        _ => {
            let text = "There is /certificates, and /certificates/NAME for each of them.";
            return Stage::Answers(Answer::text(Status::NOT_FOUND, text));
        }
    };
    match (head.method(), which) {
        (Method::Get | Method::Head, None) => Stage::Answers(Answer::all(certificates)),
        (Method::Get | Method::Head, Some(name)) => {
            Stage::Answers(Answer::named(certificates, name))
        }
        (Method::Put, Some(name)) => expect(head, name, config),
        (_, which) => {
            let allowed = if which.is_some() { "GET, HEAD, PUT" } else { "GET, HEAD" };
            let answer = Answer::text(Status::METHOD_NOT_ALLOWED, "This is not done here.");
            Stage::Answers(answer.with("Allow", allowed))
        }
    }
}

/// Whether a name can stand in a log.
fn is_printable(name: &&str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Bytes of the longest name.
const NAME_MAX: usize = 256;

/// A certificate follows the head, for the place of the one for `name`.
fn expect(head: &Head, name: &str, config: &Config) -> Stage {
    let limit = config.body_limit;
    let length = match head.body() {
        Length::Known(length) => length,
        Length::Unknown => limit,
        Length::None => 0,
    };
    if length > limit {
        return Stage::Answers(too_long(config));
    }
    let other_names = head.query().is_some_and(|all| all.split('&').any(|it| it == "names=other"));
    let pem = Zeroizing::new(Vec::with_capacity(length as usize));
    Stage::Body(Body { which: name.into(), other_names, pem })
}

/// A certificate cannot be replaced just now.
fn busy(why: &str) -> Stage {
    Stage::Answers(Answer::text(Status::SERVICE_UNAVAILABLE, why).with("Retry-After", "1"))
}

fn too_long(config: &Config) -> Answer {
    let limit = config.body_limit;
    let text = alloc::format!(
        "It is longer than {limit} bytes: send the certificate, its chain and its key alone, \
         or raise `body-limit`."
    );
    Answer::text(Status::CONTENT_TOO_LARGE, &text)
}

/// How much of a certificate has arrived.
enum Collected {
    All(Body),
    Part(Body),
    TooLong,
    Gone,
}

/// Takes what has arrived.
fn collect<H: HttpPort>(mut body: Body, exchange: Exchange, http: &mut H) -> Collected {
    // Ends: each turn but the last brings a byte at least, and there is a limit to them.
    loop {
        match http.body(exchange) {
            Chunk::Data(mut packet) => {
                let room = body.pem.capacity() - body.pem.len();
                let fits = packet.len() <= room;
                if fits {
                    body.pem.extend_from_slice(packet.bytes());
                }
                packet.bytes_mut().zeroize();
                if !fits {
                    return Collected::TooLong;
                }
            }
            Chunk::Pending => return Collected::Part(body),
            Chunk::End => return Collected::All(body),
            Chunk::Aborted => return Collected::Gone,
        }
    }
}

impl<H: HttpPort, C: CertificatePort> Component<(&mut H, &mut C)> for Admin {
    fn init(
        &mut self,
        (http, _): &mut (&mut H, &mut C),
        cx: &mut Context,
    ) -> Result<(), InitError> {
        self.is_secure = http.is_secure();
        if !self.is_secure && !self.config.clear && cx.core() == 0 {
            waitless::warn!(cx, "admin refuses all requests, as its `http` is not on `tls`");
        }
        Ok(())
    }

    fn receive(&mut self, (http, certificates): &mut (&mut H, &mut C), cx: &mut Context) {
        if self.board.newest() != self.seen {
            self.follow(*certificates, cx);
        }
        if self.under_way.is_some() {
            self.look(*http, *certificates, cx);
        }
        if self.again <= cx.now() {
            self.again = Instant::NEVER;
            (0..CALLS).for_each(|place| self.serve(place, *http, *certificates, cx));
        }
        for _ in 0..BATCH {
            let Some(place) = http.news() else { break };
            self.serve(place as usize, *http, *certificates, cx);
        }
        for _ in 0..BATCH {
            let Some(place) = self.calls.iter().position(Option::is_none) else { return };
            let Some((exchange, head)) = http.accept(place as u32) else { return };
            let stage = self.begin(&head, http.peer(exchange), *certificates, cx);
            if let Some(free) = self.calls.get_mut(place) {
                *free = Some(Call { exchange, stage });
            }
            self.serve(place, *http, *certificates, cx);
        }
        self.again = cx.now();
    }

    fn deadline(&self) -> Instant {
        let under_way = self.under_way.as_ref().map_or(Instant::NEVER, |it| it.until);
        self.again.min(under_way)
    }

    fn arm(&mut self) -> bool {
        let waits = self.under_way.as_ref().is_none_or(|it| !self.board.has_all(it.number));
        waits && self.board.newest() == self.seen
    }
}

impl Inspect for Admin {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
