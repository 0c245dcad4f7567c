//! Asking other servers: an HTTP/1.1 client for handlers (RFC 9110, RFC 9112).
//!
//! A handler begins with [`Request::fetch`](super::Request::fetch), adds what is to be sent, and
//! gets an [`Answer`] whose body it takes as it comes. Both ways, a body moves as fast as who takes
//! it: a few packets are under way, and nothing is gathered unless [`Answer::collect`] is asked to.
//!
//! ```
//! use waitless::http::{IntoResponse, Json, Method, Problem, Request, Status};
//!
//! #[derive(serde::Deserialize, serde::Serialize)]
//! struct Weather {
//!     degrees: f32,
//! }
//!
//! async fn weather(request: Request) -> Result<impl IntoResponse, Problem> {
//!     let failed = Problem { status: Status::BAD_GATEWAY, reason: "the weather is not known" };
//!     let fetch = request.fetch(Method::Get, "http://weather.example.org/today");
//!     let fetch = fetch.header("Accept", "application/json");
//!     let mut answer = fetch.send().await.map_err(|_| failed)?;
//!     if answer.status() != Status::OK {
//!         return Err(failed);
//!     }
//!     Ok(Json(answer.json::<Weather>(4096).await.map_err(|_| failed)?))
//! }
//! # let _ = weather;
//! ```
//!
//! What a server says is read as strictly as what clients say: where two readers could see two
//! different messages, there is none, and the error says what was expected and what came. A
//! connection whose answer was complete is kept for the next request to the same server.
//!
//! Nothing here is called through a pointer, and a request that finds a connection allocates
//! nothing. It does not cache, keep cookies, decompress, or speak other versions of HTTP.

mod answer;
mod body;
mod error;
mod exchange;
mod fetch;
mod head;
mod lines;
mod place;
mod pool;
mod redirect;

pub use answer::Answer;
pub use body::{Incoming, Nothing, Source};
pub use error::{FetchError, Malformed, Wait};
pub use fetch::Fetch;
pub use pool::{Client, Config, Counters};
