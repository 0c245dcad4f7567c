//! Asking over TCP (RFC 7766): what did not fit into a datagram.

use crate::Dns;
use crate::ask::PORT;
use crate::lookup::{Next, Stage};
use alloc::vec::Vec;
use core::net::SocketAddr;
use waitless::{BATCH, Context, NoAddress, Packet, Phase, Stream, StreamPort};

/// A connection to a server, for one question. Its place is its tag.
pub(crate) struct Conversation {
    stream: Option<Stream>,
    lookup: usize,
    /// The question, until it was sent.
    question: Option<Packet>,
    /// What has come, with the length in front (section 8).
    answer: Vec<u8>,
}

/// Conversations at a time. Further questions wait.
const CONVERSATIONS: usize = 4;

/// Bytes of an answer that are looked at. One with the most addresses that are, for the longest
/// name, has less than a quarter of it; of one that is longer the first records count.
const ANSWER_MAX: usize = 16 * 1024;

/// Bytes of the length in front of each message.
const LENGTH: usize = 2;

impl Dns {
    /// Connects to the server of a lookup.
    pub(crate) fn open_stream<S: StreamPort>(
        &mut self,
        index: usize,
        tcp: &mut S,
        cx: &mut Context,
    ) {
        let (Some(server), Some(service)) = (self.server_of(index), self.service) else {
            return self.finish(index, Err(NoAddress::NoServer), None);
        };
        let patience = self.patience(index);
        let (Some(place), Some(mut question)) = (self.conversation(), cx.packet()) else {
            return self.delay(index);
        };
        let Some(lookup) = self.lookups.get_mut(index) else { return };
        lookup.query.id = cx.random.u32() as u16;
        lookup.query.name = lookup.query.name.plain();
        let written = lookup.query.write(&mut question).and_then(|()| {
            let length = question.len() as u16;
            question.prepend(length.to_be_bytes())
        });
        let stream = match tcp.connect(service, SocketAddr::new(server, PORT)) {
            Ok(stream) if written.is_ok() => stream,
            Ok(stream) => {
                tcp.abort(stream);
                tcp.release(stream);
                return self.take_step(index, Next::Other);
            }
            Err(_) => return self.take_step(index, Next::Other),
        };
        tcp.set_tag(stream, place as u32);
        lookup.stage = Stage::Stream(place, patience);
        if let Some(it) = self.conversations.get_mut(place) {
            it.answer.clear();
            (it.stream, it.lookup, it.question) = (Some(stream), index, Some(question));
        }
        self.counters.streams.add(1);
    }

    /// A place for a conversation.
    fn conversation(&mut self) -> Option<usize> {
        let free = self.conversations.iter().position(|it| it.stream.is_none());
        if free.is_some() || self.conversations.len() == CONVERSATIONS {
            return free;
        }
        self.conversations.push(Conversation {
            stream: None,
            lookup: 0,
            question: None,
            answer: Vec::with_capacity(LENGTH + ANSWER_MAX),
        });
        Some(self.conversations.len() - 1)
    }

    /// Ends a conversation, which has said all that is wanted.
    pub(crate) fn close_stream<S: StreamPort>(&mut self, place: usize, tcp: &mut S) {
        if let Some(it) = self.conversations.get_mut(place)
            && let Some(stream) = it.stream.take()
        {
            it.question = None;
            // Nobody waits for its end.
            tcp.abort(stream);
            tcp.release(stream);
        }
    }

    /// Sees to the conversations with news.
    pub(crate) fn hear_streams<S: StreamPort>(&mut self, tcp: &mut S) {
        let Some(service) = self.service else { return };
        for _ in 0..BATCH {
            let Some(stream) = tcp.news(service) else { return };
            let place = tcp.tag(stream).map(|tag| tag as usize);
            match place.and_then(|place| Some((place, self.conversations.get_mut(place)?))) {
                Some((place, it)) if it.stream == Some(stream) => {
                    if let Some(next) = self.converse(place, stream, tcp) {
                        let lookup = self.conversations.get(place).map_or(0, |it| it.lookup);
                        self.close_stream(place, tcp);
                        self.take_step(lookup, next);
                    }
                }
                // Of an earlier conversation.
                _ => tcp.release(stream),
            }
        }
    }

    /// Sends the question, takes what has come; what follows from the whole of it.
    fn converse<S: StreamPort>(
        &mut self,
        place: usize,
        stream: Stream,
        tcp: &mut S,
    ) -> Option<Next> {
        let it = self.conversations.get_mut(place)?;
        let status = tcp.status(stream);
        if status.phase == Phase::Opening {
            return None;
        }
        if let Some(question) = it.question.take()
            && status.phase == Phase::Open
            && let Err(question) = tcp.send(stream, question)
        {
            // There is news once there is room.
            it.question = Some(question);
        }
        loop {
            let bytes = tcp.readable(stream);
            let count = bytes.len().min(it.answer.capacity() - it.answer.len());
            let Some(bytes) = bytes.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            it.answer.extend_from_slice(bytes);
            tcp.consume(stream, count);
        }
        let length = it.answer.first_chunk().map(|bytes| usize::from(u16::from_be_bytes(*bytes)));
        let part = length.is_some_and(|length| length > ANSWER_MAX);
        let length = length.map(|length| length.min(ANSWER_MAX));
        let message = length.and_then(|length| it.answer.get(LENGTH..LENGTH + length));
        let Some(message) = message else {
            let ended = status.finished || status.phase != Phase::Open;
            return ended.then_some(Next::Other);
        };
        self.counters.received.add(1);
        let lookup = self.lookups.get_mut(it.lookup)?;
        let meaning = lookup.query.understand(message, part);
        self.counters.count(&meaning);
        Some(match lookup.hear(meaning) {
            // Nothing else is to come here.
            Next::Wait => Next::Other,
            next => next,
        })
    }
}
