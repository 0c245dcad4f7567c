//! One request: where it goes, what goes with it, and what comes back.

use crate::Config;
use crate::fields::{
    Forwarded, ForwardedFor, Via, all, is_forwarding, is_hop_by_hop, is_named, members,
};
use crate::routes::{BadRoute, Route, Routes, is_devious};
use crate::upstreams::{Ticket, Upstreams};
use core::future::ready;
use waitless::dial::DialError;
use waitless::http::client::{Answer, Fetch, FetchError, Incoming, Source, Wait};
use waitless::http::{
    Finished, Head, IntoResponse, Length, Method, Methods, Problem, Request, Response, Status,
    Version,
};
use waitless::task::{Either, select, yield_now};

/// A gateway, on one core.
pub struct Proxy {
    config: &'static Config,
    routes: Routes,
    upstreams: Upstreams,
}

/// Answers of upstreams, to requests with a body or without.
type Outcome = Result<Answer<Incoming>, FetchError>;

impl Proxy {
    pub fn new(config: &'static Config) -> Result<Self, BadRoute> {
        let routes = Routes::read(config.routes)?;
        let Config { balance, failures, pause, .. } = *config;
        let upstreams = Upstreams::new(routes.upstreams.len(), balance, failures, pause);
        Ok(Self { config, routes, upstreams })
    }

    /// Passes `request` on, and its answer back.
    pub async fn answer(&'static self, request: Request) -> Result<Finished, Response> {
        let route = self.admit(&request)?;
        let mut tried = 0_u64;
        let mut refusal = unavailable();
        for _ in 0..self.config.attempts.max(1) {
            let next = self.upstreams.pick(route.first, route.count, tried, request.now());
            let Some(ticket) = next else { break };
            tried |= 1 << (ticket.index - route.first);
            match self.ask(&request, &ticket).await {
                Ok(answer) if answer.status().code() < 600 => {
                    ticket.succeed();
                    return match answer.status() {
                        Status::SWITCHING_PROTOCOLS => self.join(request, answer).await,
                        _ => self.pass_on(&request, answer).await,
                    };
                }
                Ok(_) => return Err(Response::plain(Status::BAD_GATEWAY)),
                Err(why) => {
                    if is_failure(why) {
                        ticket.fail(request.now());
                    }
                    refusal = refuse(why);
                    let repeats = is_unanswered(why) && may_be_repeated(&request);
                    if !is_unsent(why, &request) && !repeats {
                        break;
                    }
                }
            }
        }
        Err(refusal)
    }

    /// The route of a request; or what is answered instead of passing it on.
    fn admit(&self, request: &Request) -> Result<&Route, Response> {
        let head = request.head();
        let refuse = |status, reason| Err(Problem { status, reason }.into_response(request.pool()));
        if is_devious(request.path()) {
            return refuse(Status::BAD_REQUEST, "the path leads elsewhere than it seems to");
        }
        if request.method() == Method::Trace {
            return refuse(Status::NOT_IMPLEMENTED, "TRACE is not passed on");
        }
        // Each field is looked for among them.
        if members(all(head.fields(), "Connection")).nth(OPTIONS_MAX).is_some() {
            return refuse(Status::BAD_REQUEST, "Connection names too many fields");
        }
        if members(all(head.fields(), "Via")).nth(VIA_MAX - 1).is_some() {
            return refuse(LOOP_DETECTED, "the request was passed on too often");
        }
        if request.method() == Method::Options {
            let left = head.field_bytes("Max-Forwards").map(number);
            if left == Some(None) {
                // Passed on, it would not be counted, and nobody would be the last.
                return refuse(Status::BAD_REQUEST, "Max-Forwards is no number");
            }
            //= RFC 9110 7.6.2: who is asked last answers
            if head.path() == "*" || left == Some(Some(0)) {
                //= RFC 9110 9.3.7: with what may be asked of it
                let answer = Response::new(Status::NO_CONTENT);
                return Err(answer.field(request.pool(), "Allow", PASSED_ON));
            }
        }
        match self.routes.find(request.authority(), request.path()) {
            Some(route) => Ok(route),
            None => refuse(Status::NOT_FOUND, "no route leads there"),
        }
    }

    /// Asks one upstream.
    async fn ask(&self, request: &Request, ticket: &Ticket<'_>) -> Outcome {
        let head = request.head();
        let url = self.routes.upstreams.get(ticket.index).copied().unwrap_or("");
        let mut fetch = request.fetch(Method::Get, url).method(head.method_name());
        fetch = fetch.target(target(head));
        if self.config.keep_host && !head.authority().is_empty() {
            fetch = fetch.host(head.authority());
        }
        let forwards = head.field_bytes("Max-Forwards").and_then(number);
        let forwards = forwards.filter(|_| head.method() == Method::Options);
        // There are no more, or the request would not have been admitted.
        let options = members(all(head.fields(), "Connection")).take(OPTIONS_MAX);
        let options: heapless::Vec<&[u8], OPTIONS_MAX> = options.collect();
        for (name, value) in head.fields() {
            //= RFC 8470 5.1: said once, also where `Connection` names it
            let stays = name.eq_ignore_ascii_case(EARLY)
                || is_hop_by_hop(name, options.iter().copied())
                || is_forwarding(name)
                || ["Host", "Expect"].iter().any(|other| name.eq_ignore_ascii_case(other))
                || forwards.is_some() && name.eq_ignore_ascii_case("Max-Forwards");
            if !stays {
                fetch = fetch.header(name, value);
            }
        }
        if let Some(left) = forwards {
            //= RFC 9110 7.6.2: one less each time
            fetch = fetch.header("Max-Forwards", left.saturating_sub(1));
        }
        if request.is_early() {
            fetch = fetch.header(EARLY, "1");
        }
        fetch = self.introduce(fetch, request, &options);
        //= RFC 9110 7.6.3: who passes a message on says so
        fetch = fetch.header("Via", Via(head.version(), self.config.name));
        if request.offers(WEBSOCKET) {
            let fetch = fetch.upgrade(WEBSOCKET, request.incoming(), self.config.silence);
            return fetch.send().await;
        }
        let fetch = fetch.stream(request.incoming(), head.body());
        // The client's wish to be asked is the upstream's to grant.
        let waits = head.version() != Version::Http10 && head.body() != Length::None;
        match head.field_bytes("Expect") {
            Some(_) if waits => fetch.expect_continue().send().await,
            _ => fetch.send().await,
        }
    }

    /// Says who asks, for what host and how: as those before have said it, where they are
    /// believed and have not said it by a field among `options`, to this gateway alone.
    fn introduce<'a>(
        &self,
        mut fetch: Fetch<'a>,
        request: &Request,
        options: &[&[u8]],
    ) -> Fetch<'a> {
        let head = request.head();
        let believed = |name: &str| {
            let goes_on = self.config.trust && !is_named(name, options.iter().copied());
            goes_on.then_some(head)
        };
        let (host, scheme) = (head.authority(), if head.is_secure() { "https" } else { "http" });
        let ours = ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"];
        for (name, value) in head.fields().filter(|(name, _)| is_forwarding(name)) {
            // Upstreams that read `_` as `-` must not take what a client made up for ours.
            if name.contains('_') {
                continue;
            }
            if believed(name).is_some() && !ours.iter().any(|it| name.eq_ignore_ascii_case(it)) {
                fetch = fetch.header(name, value);
            }
        }
        for (name, own) in [("X-Forwarded-Host", host), ("X-Forwarded-Proto", scheme)] {
            let said = believed(name).and_then(|head| head.field_bytes(name));
            let said = said.unwrap_or(own.as_bytes());
            if !said.is_empty() {
                fetch = fetch.header(name, said);
            }
        }
        let Some(client) = request.peer() else { return fetch };
        let (first, second) = (believed("X-Forwarded-For"), believed("Forwarded"));
        fetch
            .header("X-Forwarded-For", ForwardedFor { head: first, client })
            .header("Forwarded", Forwarded { head: second, client, host, scheme })
    }

    /// The head of an answer, without what is about one connection.
    fn head_of<S: Source>(
        &self,
        request: &Request,
        answer: &Answer<S>,
    ) -> Result<Response, Response> {
        let (pool, status) = (request.pool(), answer.status());
        // The status follows, as it is by another one that a missing field shows.
        let mut response = Response::ok();
        for (name, value) in answer.fields() {
            if !is_hop_by_hop(name, members(all(answer.fields(), "Connection"))) {
                response = response.field(pool, name, value);
            }
        }
        let mut upgrades = members(all(answer.fields(), "Upgrade"));
        if status == Status::UPGRADE_REQUIRED
            && upgrades.any(|it| it.eq_ignore_ascii_case(WEBSOCKET.as_bytes()))
        {
            //= RFC 9110 15.5.22: it names what to upgrade to
            response = response.field(pool, "Upgrade", WEBSOCKET);
        }
        response = response.field(pool, "Via", Via(answer.version(), self.config.name));
        match response.code() {
            Status::OK => Ok(response.status(status).into_response(pool)),
            // There was no packet for a field, or they are too long.
            _ => Err(response),
        }
    }

    /// Passes another protocol on, both ways at once, until the upstream ends it.
    async fn join<S: Source>(
        &self,
        request: Request,
        mut answer: Answer<S>,
    ) -> Result<Finished, Response> {
        let head = self.head_of(&request, &answer)?;
        let mut client = request.upgrade(WEBSOCKET, head)?;
        loop {
            match answer.chunk().await {
                Ok(Some(part)) => answer.during(client.writer().send(part)).await,
                Ok(None) => return Ok(client.finish().await),
                Err(_) => return Err(Response::plain(Status::BAD_GATEWAY)),
            }
        }
    }

    /// Sends an answer back.
    async fn pass_on<S: Source>(
        &self,
        request: &Request,
        mut answer: Answer<S>,
    ) -> Result<Finished, Response> {
        let mut response = self.head_of(request, &answer)?;
        if let Some(length) = length_of(&answer, request.method()) {
            response = response.length(length);
        }
        // What is there already: an answer that breaks off at once is told as what it is.
        let mut first = match select(answer.chunk(), ready(())).await {
            Either::First(Ok(part)) => Some(part),
            Either::First(Err(why)) => return Err(refuse(why)),
            Either::Second(()) => None,
        };
        let mut body = request.stream(response);
        loop {
            let part = match first.take() {
                Some(part) => Ok(part),
                None => answer.chunk().await,
            };
            match part {
                Ok(Some(part)) => answer.during(body.send(part)).await,
                Ok(None) => {
                    for (name, value) in answer.trailers() {
                        if !is_hop_by_hop(name, members(all(answer.fields(), "Connection"))) {
                            body.trailer(name, value);
                        }
                    }
                    return Ok(body.finish().await);
                }
                // What has begun cannot be taken back, and must not look complete.
                Err(_) => {
                    // First, what came before is on its way: otherwise, nothing would have begun.
                    yield_now().await;
                    return Err(Response::plain(Status::BAD_GATEWAY));
                }
            }
        }
    }
}

/// What says that a request may be a copy (RFC 8470). Who is asked may answer that it is too
/// early, and that goes back to the client, which asks again.
const EARLY: &str = "Early-Data";

/// The one protocol beside HTTP that is passed on.
const WEBSOCKET: &str = "websocket";

/// What is asked of an upstream: the path and the query as the client wrote them.
fn target(head: &Head) -> &str {
    let target = head.target();
    match target.split_once("://") {
        // The absolute form; the authority counts already.
        Some((_, rest)) if !target.starts_with('/') => {
            rest.find(['/', '?']).and_then(|end| rest.get(end..)).unwrap_or("/")
        }
        _ => target,
    }
}

/// What an answer says of its length; of one to `HEAD`, what it would have been.
fn length_of<S: Source>(answer: &Answer<S>, method: Method) -> Option<u64> {
    match answer.body_length() {
        Length::Known(length) => Some(length),
        Length::Unknown => None,
        Length::None if method == Method::Head => answer.header("Content-Length")?.parse().ok(),
        Length::None => Some(0),
    }
}

/// Whether it is the upstream's fault.
fn is_failure(why: FetchError) -> bool {
    matches!(
        why,
        FetchError::Broken(_)
            | FetchError::Closed { .. }
            | FetchError::Late(_)
            | FetchError::Malformed(_)
            | FetchError::Dial(
                DialError::NoAddress(_)
                    | DialError::NoRoute
                    | DialError::Refused
                    | DialError::TimedOut
            )
    )
}

/// Whether nothing of the request was sent, so that another upstream may be asked.
fn is_unsent(why: FetchError, request: &Request) -> bool {
    match why {
        // Also said when packets run out in the middle of a body, of which a part is gone then.
        FetchError::Busy => request.body_length() == Length::None,
        _ => matches!(why, FetchError::Dial(_) | FetchError::Late(Wait::Connect)),
    }
}

/// Whether the upstream went away without a word.
fn is_unanswered(why: FetchError) -> bool {
    matches!(why, FetchError::Broken(_) | FetchError::Closed { came: None, .. })
}

/// Whether it does no harm to ask for the same again (RFC 9110 section 9.2.2), and it can be.
fn may_be_repeated(request: &Request) -> bool {
    use Method::{Delete, Get, Head, Options, Put};
    request.body_length() == Length::None
        && matches!(request.method(), Delete | Get | Head | Options | Put)
}

/// The number that `digits` are, or the highest one where it is higher; `None` where they are
/// something else.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let next =
        |number: u64, digit: &u8| number.saturating_mul(10).saturating_add((digit - b'0').into());
    Some(digits.iter().fold(0, next))
}

/// What a client is told (RFC 9110 section 15.6).
fn refuse(why: FetchError) -> Response {
    match why {
        FetchError::Late(_) | FetchError::Dial(DialError::TimedOut) => {
            Response::plain(Status::GATEWAY_TIMEOUT)
        }
        FetchError::BadField | FetchError::Busy | FetchError::Dial(DialError::Full) => {
            unavailable()
        }
        FetchError::BadMethod | FetchError::BadUrl(_) => Response::plain(Status::BAD_REQUEST),
        _ => Response::plain(Status::BAD_GATEWAY),
    }
}

/// No upstream can be asked now.
fn unavailable() -> Response {
    Response::plain(Status::SERVICE_UNAVAILABLE)
}

/// Methods that are passed on, of those with a name.
const PASSED_ON: Methods = Methods::of(Method::Get)
    .and(Methods::of(Method::Head))
    .and(Methods::of(Method::Options))
    .and(Methods::of(Method::Post))
    .and(Methods::of(Method::Put))
    .and(Methods::of(Method::Patch))
    .and(Methods::of(Method::Delete));

/// Fields that `Connection` may name.
const OPTIONS_MAX: usize = 32;

/// Members of `Via` from which on a request is taken for one that goes round.
const VIA_MAX: usize = 16;

/// RFC 5842 section 7.2.
const LOOP_DETECTED: Status = Status::new(508);
