//! What this component counts: every drop by its reason.

waitless::counters! {
    /// What this component counts.
    pub struct Counters {
        /// Segments that arrived intact.
        counter received: segments,
        /// Segments handed down.
        counter sent: segments,
        /// Segments with data that were sent again.
        counter retransmitted: segments,
        /// Losses noticed by what the other side acknowledged.
        counter fast_retransmits: times,
        /// Retransmission timers that expired.
        counter timeouts: times,
        /// Losses that turned out to be none.
        counter spurious: times,
        /// Segments sent to learn whether the last ones arrived.
        counter tail_probes: segments,
        /// Segments that the other side got twice, as it says.
        counter doubles: segments,
        /// Times that the other side threw away what it had reported.
        counter reneged: times,
        /// Times that segments became shorter because long ones were lost again and again.
        counter black_holes: times,
        /// Segments sent longer than is known to pass, to learn whether they do.
        counter length_probes: segments,
        /// Times that segments became longer because such a one arrived.
        counter lengthened: times,
        /// Segments that arrived with a mark of congestion.
        counter marks: segments,
        /// Marks of which the other side told.
        counter marks_reported: times,
        /// Window probes sent.
        counter probes: segments,
        /// Connections opened by other hosts.
        counter accepted: connections,
        /// Connections opened by this host.
        counter connected: connections,
        /// Connections that are not closed.
        gauge open: connections,
        /// Connections among these whose handshake is not finished.
        gauge half_open: connections,
        /// Half-open connections that gave way to newer ones.
        counter half_open_recycled: connections,
        /// SYNs answered without keeping anything.
        counter cookies_sent: segments,
        /// Connections opened by what such an answer brought back.
        counter cookies_accepted: connections,
        /// Acknowledgements that brought back something else.
        counter cookies_refused: segments,
        /// Ended connections that are remembered.
        gauge time_waits: connections,
        /// Ended connections forgotten early for want of room.
        counter time_waits_recycled: connections,
        /// Connections given up because the other side was silent.
        counter timed_out: connections,
        /// RSTs that ended a connection.
        counter resets_received: segments,
        /// RSTs sent.
        counter resets_sent: segments,
        /// Connections reset because data arrived, or was there, that nobody will read.
        counter resets_unread: connections,
        /// Challenge acknowledgements sent.
        counter challenges: segments,
        /// Challenge acknowledgements not sent because one was sent shortly before.
        counter challenges_throttled: times,
        /// Segments that arrived before others in front of them.
        counter early: segments,
        /// Segments that brought nothing new.
        counter duplicates: segments,
        /// Segments cut at the edge of the window.
        counter truncated: segments,
        /// ICMP errors that concerned a connection.
        counter path_errors: errors,
        /// ICMP errors that did not.
        counter path_errors_ignored: errors,
        /// Dropped: not a segment, or with illegal options.
        counter dropped_malformed: segments,
        /// Dropped: wrong checksum.
        counter dropped_checksum: segments,
        /// Dropped: from or to a broadcast, multicast or otherwise impossible address.
        counter dropped_address: segments,
        /// Dropped: no connection and nobody listens.
        counter dropped_closed: segments,
        /// Dropped: a SYN while there are too many connections.
        counter dropped_full: segments,
        /// Dropped: outside of the window.
        counter dropped_window: segments,
        /// Dropped: timestamp missing or too old.
        counter dropped_stamps: segments,
        /// Dropped: acknowledgement impossible.
        counter dropped_ack: segments,
        /// Dropped: no acknowledgement.
        counter dropped_no_ack: segments,
        /// Dropped: no memory for the payload.
        counter dropped_memory: segments,
        /// Dropped: too many early segments of one connection.
        counter dropped_early: segments,
        /// Dropped: an answer to a segment without connection, for want of room.
        counter dropped_answer: segments,
        /// Dropped: refused below although there was room.
        counter dropped_below: segments,
    }
}
