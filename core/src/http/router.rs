//! Picking a handler by method and path.

use super::{
    Fields, Handler, Integer, IntoResponse, Method, Methods, Problem, Request, Response, Status,
    uri,
};
use crate::packet::NoRoom;
use crate::task::{Filled, OneOf, Room};
use core::future::{Ready, ready};

/// Handlers by method and path.
///
/// A pattern is a path in which `{name}` stands for one segment and, at the end, `{name...}` for
/// all that follows; [`Request::param`] finds what stood there. Where several routes fit, the one
/// that says most gets the request, whatever their order: at the first segment that differs, a
/// name beats `{name}`, and that beats `{name...}`. Among equals it is the first.
///
/// An escape that need not be one changes nothing (RFC 3986, section 6.2.2.2). A path with `.` or
/// `..` for a segment, which clients resolve before they ask, or with a broken escape is a 400.
///
/// `HEAD` goes to the route for `GET`, `OPTIONS` is answered with what is allowed, a method that
/// nobody knows with 501, a path that other methods have with 405, and everything else with 404.
#[derive(Clone, Copy, Debug)]
pub struct Router<R = End> {
    routes: R,
}

/// The end of a list of routes.
#[derive(Clone, Copy, Debug)]
pub struct End(());

/// A route, and those that were declared before it.
#[derive(Clone, Copy, Debug)]
pub struct Route<H, R> {
    methods: Methods,
    pattern: &'static str,
    /// Whether the pattern has no parameters.
    literal: bool,
    handler: H,
    earlier: R,
}

/// A list of routes. Implemented here alone.
pub trait Routes: 'static {
    /// How many there are.
    const COUNT: usize;

    /// What answers one request.
    type Future: Future<Output = ()>;

    /// The route for `method` and `path`, which may be `escaped` where it need not be. All methods
    /// that `path` has so far are added to `allowed`.
    fn find(
        &self,
        method: Method,
        path: &[u8],
        escaped: bool,
        allowed: &mut Methods,
    ) -> Option<Found>;

    /// The methods of all routes.
    fn methods(&self) -> Methods;

    /// The pattern of route number `index`; empty for one that there is not.
    fn pattern(&self, index: usize) -> &'static str;

    /// Has the handler of route number `index` begin; `None` asks nobody.
    fn begin<'r>(
        &self,
        index: Option<usize>,
        request: Request,
        room: Room<'r, Self::Future>,
    ) -> Filled<'r, Self::Future>;
}

/// A route that fits.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its number, counted from 0.
    index: usize,
    /// Whether its pattern has no parameters, so that none says more.
    literal: bool,
}

impl Router {
    /// A router that knows no path.
    pub const fn new() -> Self {
        Self { routes: End(()) }
    }
}

impl Default for Router {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> Router<R> {
    /// Adds a route for `GET` and `HEAD`.
    pub fn get<H>(self, pattern: &'static str, handler: H) -> Router<Route<H, R>> {
        self.route(Methods::of(Method::Get), pattern, handler)
    }

    /// Adds a route for `POST`.
    pub fn post<H>(self, pattern: &'static str, handler: H) -> Router<Route<H, R>> {
        self.route(Methods::of(Method::Post), pattern, handler)
    }

    /// Adds a route for `PUT`.
    pub fn put<H>(self, pattern: &'static str, handler: H) -> Router<Route<H, R>> {
        self.route(Methods::of(Method::Put), pattern, handler)
    }

    /// Adds a route for `PATCH`.
    pub fn patch<H>(self, pattern: &'static str, handler: H) -> Router<Route<H, R>> {
        self.route(Methods::of(Method::Patch), pattern, handler)
    }

    /// Adds a route for `DELETE`.
    pub fn delete<H>(self, pattern: &'static str, handler: H) -> Router<Route<H, R>> {
        self.route(Methods::of(Method::Delete), pattern, handler)
    }

    /// Adds a route for all `methods`, and for `HEAD` where `GET` is among them. A route of its own
    /// for `HEAD` stands before the one for `GET`: of two routes for one path, the first counts.
    ///
    /// # Panics
    /// When `pattern` does not begin with a slash.
    pub fn route<H>(
        self,
        methods: Methods,
        pattern: &'static str,
        handler: H,
    ) -> Router<Route<H, R>> {
        assert!(pattern.starts_with('/'), "a route's pattern begins with a slash");
        let literal = !pattern.contains('{');
        //= RFC 9110 9.3.2: HEAD is GET without what the answer contains
        let methods = match methods.contains(Method::Get) {
            true => methods.and(Methods::of(Method::Head)),
            false => methods,
        };
        Router { routes: Route { methods, pattern, literal, handler, earlier: self.routes } }
    }
}

impl<R: Routes> Handler for Router<R> {
    type Future = R::Future;

    #[inline]
    fn begin<'r>(&self, request: Request, room: Room<'r, R::Future>) -> Filled<'r, R::Future> {
        let mut allowed = Methods::NONE;
        let (method, path) = (request.method(), request.head().path_bytes());
        let mut found = self.routes.find(method, path, false, &mut allowed);
        if !found.is_some_and(|found| found.literal) {
            found = self.find_rare(found, &request, &mut allowed);
        }
        self.routes.begin(found.map(|found| found.index), request, room)
    }
}

impl<R: Routes> Router<R> {
    /// The route of a path that is not, byte for byte, that of a route, where `found` is what it
    /// looks like. Answers a request without one.
    #[inline(never)]
    fn find_rare(
        &self,
        found: Option<Found>,
        request: &Request,
        allowed: &mut Methods,
    ) -> Option<Found> {
        let path = request.head().path_bytes();
        let escaped = path.contains(&b'%');
        if uri::is_suspicious(path, escaped) {
            let problem =
                Problem::bad_request("the path has dots for segments, or a broken escape");
            request.reply().complete(problem.into_response(request.pool()));
            return None;
        }
        let found = match escaped {
            // Also where one was found: who guards a path guards all ways to write it (RFC 3986,
            // section 6.2.2.2).
            true => self.routes.find(request.method(), path, true, allowed),
            false => found,
        };
        if path == b"*" {
            //= RFC 9110 9.3.7: asked of the server as a whole
            *allowed = self.routes.methods();
        }
        if found.is_none() {
            answer_without_route(request, *allowed);
        }
        found
    }
}

impl Routes for End {
    const COUNT: usize = 0;
    type Future = Ready<()>;

    #[inline]
    fn find(&self, _: Method, _: &[u8], _: bool, _: &mut Methods) -> Option<Found> {
        None
    }

    fn methods(&self) -> Methods {
        Methods::NONE
    }

    fn pattern(&self, _: usize) -> &'static str {
        ""
    }

    #[inline]
    fn begin<'r>(
        &self,
        _: Option<usize>,
        _: Request,
        room: Room<'r, Ready<()>>,
    ) -> Filled<'r, Ready<()>> {
        room.put(ready(()))
    }
}

impl<H: Handler, R: Routes> Routes for Route<H, R> {
    const COUNT: usize = R::COUNT + 1;
    /// That of this route, or of one that was declared before it.
    type Future = OneOf<H::Future, R::Future>;

    #[inline]
    fn find(
        &self,
        method: Method,
        path: &[u8],
        escaped: bool,
        allowed: &mut Methods,
    ) -> Option<Found> {
        let earlier = self.earlier.find(method, path, escaped, allowed);
        if earlier.is_some_and(|earlier| earlier.literal) {
            return earlier;
        }
        let matches = match self.literal {
            true if !escaped => uri::is_equal(self.pattern.as_bytes(), path),
            _ => uri::matches(self.pattern, path),
        };
        if !matches {
            return earlier;
        }
        *allowed = allowed.and(self.methods);
        let says_more = earlier.is_none_or(|earlier| {
            uri::says_more(self.pattern, self.earlier.pattern(earlier.index))
        });
        match self.methods.contains(method) && says_more {
            true => Some(Found { index: R::COUNT, literal: self.literal }),
            false => earlier,
        }
    }

    fn methods(&self) -> Methods {
        self.methods.and(self.earlier.methods())
    }

    fn pattern(&self, index: usize) -> &'static str {
        if index == R::COUNT { self.pattern } else { self.earlier.pattern(index) }
    }

    #[inline]
    fn begin<'r>(
        &self,
        index: Option<usize>,
        mut request: Request,
        room: Room<'r, Self::Future>,
    ) -> Filled<'r, Self::Future> {
        if index == Some(R::COUNT) {
            request.set_pattern(self.pattern);
            return room.first(|room| self.handler.begin(request, room));
        }
        room.second(|room| self.earlier.begin(index, request, room))
    }
}

#[cold]
fn answer_without_route(request: &Request, allowed: Methods) {
    let method = request.method();
    let (status, tells) = match method {
        Method::Options if !allowed.is_empty() || request.path() == "*" => {
            (Status::NO_CONTENT, true)
        }
        // Known nowhere, so not only here: RFC 9110, section 9.1.
        Method::Other => (Status::NOT_IMPLEMENTED, false),
        //= RFC 9110 15.5.6: with the methods in Allow
        _ if !allowed.is_empty() => (Status::METHOD_NOT_ALLOWED, true),
        _ => (Status::NOT_FOUND, false),
    };
    let mut response = match status {
        Status::NO_CONTENT => Response::new(status),
        _ => Response::plain(status),
    };
    if tells {
        response.add_field(request.pool(), "Allow", allowed.and(Methods::of(Method::Options)));
    }
    request.reply().complete(response);
}

/// The names, as in `Allow`.
impl super::FieldValue for Methods {
    fn write(self, fields: &mut Fields) -> Result<(), NoRoom> {
        let mut comma: &[u8] = b"";
        for method in Method::ALL.into_iter().filter(|&method| self.contains(method)) {
            fields.append(comma)?;
            fields.append(method.name().as_bytes())?;
            comma = b", ";
        }
        Ok(())
    }
}

/// As in `Retry-After`, in whole seconds.
impl super::FieldValue for crate::Duration {
    fn write(self, fields: &mut Fields) -> Result<(), NoRoom> {
        fields.append(Integer::new(self.as_secs()).bytes())
    }
}
