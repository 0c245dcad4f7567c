//! A client whose server says bytes that an enemy chose, without a stack between.

use std::cell::RefCell;
use std::mem::{Discriminant, discriminant};
use std::pin::Pin;
use std::rc::Rc;
use waitless::dial::{Dialer, Work};
use waitless::http::Method;
use waitless::http::client::{Client, Config, FetchError, Malformed};
use waitless::task::Tasks;
use waitless::{Context, Duration, Instant, Packet, testing};

/// Packets of the client.
const BUFFERS: usize = 256;

const CONFIG: Config = Config {
    connections: 1,
    per_server: 1,
    waiting: 1,
    wait_timeout: Duration::from_secs(1),
    idle_timeout: Duration::from_secs(1),
    connect_timeout: Duration::from_secs(1),
    send_timeout: Duration::from_secs(1),
    answer_timeout: Duration::from_secs(1),
    body_timeout: Duration::from_secs(1),
    continue_timeout: Duration::from_secs(1),
    head_limit: 2048,
    field_limit: 16,
    agent: "",
};

/// What a handler gets of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Heard {
    status: u16,
    fields: usize,
    body: Vec<u8>,
    end: Result<usize, FetchError>,
}

type Outcome = Result<Heard, FetchError>;

/// Which error it is, and which rule is broken.
type Why = (Discriminant<FetchError>, Option<Discriminant<Malformed>>);

/// The client of one core, and what lends it time and connections.
pub(crate) struct Fetching {
    cx: Context,
    dialer: &'static Dialer,
    client: &'static Client,
    tasks: Tasks<Pin<Box<dyn Future<Output = ()>>>>,
    now: Instant,
}

impl Fetching {
    pub(crate) fn new() -> Self {
        let cx = testing::context(BUFFERS, 1);
        let dialer = Dialer::leak(2, cx.pool());
        cx.system().set_dialer(dialer);
        let client = Client::leak(&CONFIG, cx.system(), cx.pool());
        let mut tasks: Tasks<Pin<Box<dyn Future<Output = ()>>>> = Tasks::new(1);
        tasks.grow().expect("room for a task");
        Self { cx, dialer, client, tasks, now: Instant::ZERO }
    }

    /// A server that says `input` and closes. The first byte chooses the method.
    ///
    /// # Panics
    /// When what comes out depends on how the bytes were cut, or when anything stays behind.
    pub(crate) fn answer(&mut self, input: &[u8]) {
        let Some((&first, input)) = input.split_first() else { return };
        let method = if first & 1 == 0 { Method::Get } else { Method::Head };
        let whole = self.run(method, input, 1400);
        let pieces = self.run(method, input, 1 + usize::from(first >> 1));
        let (whole, pieces) = (comparable(whole), comparable(pieces));
        assert_eq!(whole, pieces, "in pieces of {}", 1 + (first >> 1));
        assert_eq!(self.cx.pool().available(), BUFFERS, "buffers are out");
    }

    fn run(&mut self, method: Method, input: &[u8], piece: usize) -> Outcome {
        let outcome = Rc::new(RefCell::new(None));
        let (tell, client) = (Rc::clone(&outcome), self.client);
        let ask = async move { *tell.borrow_mut() = Some(heard(client, method).await) };
        self.tasks.start(0, Box::pin(ask));
        let mut pieces = input.chunks(piece);
        // More than any input needs: a turn to connect, one for each eight pieces, one to end.
        for _ in 0..4 + input.len() {
            self.turn(&mut pieces);
            if outcome.borrow().is_some() {
                break;
            }
        }
        let outcome = outcome.take().expect("the server has closed the connection");
        // What is kept is given up, so that the next input has a connection of its own.
        self.now += Duration::from_secs(2);
        self.turn(&mut [].chunks(1));
        outcome
    }

    fn turn<'a>(&mut self, pieces: &mut impl Iterator<Item = &'a [u8]>) {
        self.tasks.scheduler().advance(self.now, 8);
        self.tasks.run(8);
        self.client.tend(self.now);
        while self.dialer.next_work().is_some() {}
        for line in self.dialer.lines() {
            match line.work() {
                Work::Connect => line.open(([192, 0, 2, 1], 80).into()),
                Work::Leave => line.reset(),
                Work::Carry => {
                    while line.take().is_some() {}
                    while line.has_room() {
                        let Some(bytes) = pieces.next() else {
                            line.end();
                            break;
                        };
                        let delivered = line.deliver(packet(&self.cx, bytes));
                        assert!(delivered.is_ok(), "there was room");
                    }
                }
                Work::None => {}
            }
        }
    }
}

/// What must not depend on how bytes are cut. Of bytes that are wrong, more or fewer may be there
/// to be shown, and data in front of them may be dropped with them.
fn comparable(outcome: Outcome) -> Result<Heard, Why> {
    let mut heard = outcome.map_err(|why| match why {
        FetchError::Malformed(rule) => (discriminant(&why), Some(discriminant(&rule))),
        _ => (discriminant(&why), None),
    })?;
    if matches!(heard.end, Err(FetchError::Malformed(_))) {
        heard.body.clear();
    }
    Ok(heard)
}

fn packet(cx: &Context, bytes: &[u8]) -> Packet {
    let mut packet = cx.packet().expect("there are more packets than a connection holds");
    packet.append(bytes).expect("it is short");
    packet
}

async fn heard(client: &'static Client, method: Method) -> Outcome {
    let mut answer = client.fetch(method, "http://x/").send().await?;
    let (status, fields) = (answer.status().code(), answer.fields().count());
    let mut body = Vec::new();
    let end = loop {
        match answer.chunk().await {
            Ok(Some(packet)) => body.extend(packet.bytes()),
            Ok(None) => break Ok(answer.trailers().count()),
            Err(why) => break Err(why),
        }
    };
    Ok(Heard { status, fields, body, end })
}
