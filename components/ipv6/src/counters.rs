//! What the layer counts.

waitless::counters! {
    /// What the layer counts. Packets received and reassembled are those delivered, those taken as
    /// messages of the layer's own protocols, those kept as fragments, those in transit, and those
    /// dropped for one of the reasons up to `mailbox_full`.
    pub struct Counters {
        /// Packets taken from the link.
        counter received: packets,
        /// Packets left for a transport.
        counter delivered: packets,
        /// Messages of neighbour discovery and of group membership taken.
        counter control: packets,
        /// Packets too short to have a header.
        counter short: packets,
        /// Packets of another version.
        counter bad_version: packets,
        /// Packets whose length is more than arrived.
        counter bad_length: packets,
        /// Packets from an address that no other host has.
        counter bad_source: packets,
        /// Packets to another address, or to a group that is not ours.
        counter foreign: packets,
        /// Packets for another host that were left for who forwards.
        counter transit: packets,
        /// Packets for another host that may not leave their link.
        counter martians: packets,
        /// Packets with extension headers that are malformed, too many, or not understood.
        counter bad_extensions: packets,
        /// Packets without anything behind their headers.
        counter empty: packets,
        /// Packets of a protocol that nobody here speaks.
        counter unknown_protocol: packets,
        /// Packets whose transport did not collect the earlier ones.
        counter mailbox_full: packets,
        /// Fragments taken.
        counter fragments: packets,
        /// Packets put together from fragments.
        counter reassembled: packets,
        /// Fragments that contradict others or make no sense.
        counter bad_fragments: packets,
        /// Fragments of packets that are too long, or in too many pieces.
        counter long_fragments: packets,
        /// Fragments for which there was no buffer.
        counter fragments_full: packets,
        /// Packets whose fragments gave way to those of others.
        counter reassembly_evicted: datagrams,
        /// Packets whose fragments did not all arrive in time.
        counter reassembly_late: datagrams,
        /// Packets being put together.
        gauge reassembling: datagrams,
        /// Packets of other hosts taken to be sent on.
        counter passed: packets,
        /// Packets given to the link.
        counter sent: packets,
        /// Packets to send to where no route leads.
        counter no_route: packets,
        /// Packets to send from an address that is not ours.
        counter not_ours: packets,
        /// Packets to send that are longer than the path takes.
        counter too_long: packets,
        /// Packets to send, and answers of the layer itself, for which there was no room.
        counter no_room: packets,
        /// Packets for this host itself.
        counter looped: packets,
        /// Rejected packets left for ICMP.
        counter rejected: packets,
        /// Rejected packets that may not be answered, or that nobody would.
        counter rejects_silent: packets,
        /// Path errors for which there was no room, or that no transport takes.
        counter errors_dropped: messages,
        /// Messages of the layer's protocols that make no sense or come from too far away.
        counter control_bad: messages,
        /// Messages of the layer's protocols that do not concern this host.
        counter control_ignored: messages,
        /// Neighbours that asked for an address of ours, or for routers.
        counter solicitations: messages,
        /// Answers and announcements of neighbours taken.
        counter advertisements: messages,
        /// Advertisements of routers taken.
        counter router_advertisements: messages,
        /// Advertisements of this router sent.
        counter advertised: messages,
        /// Redirects taken.
        counter redirects: messages,
        /// Questions for neighbours sent.
        counter neighbours_asked: messages,
        /// Questions whether another host has an address sent.
        counter duplicates_asked: messages,
        /// Addresses that another host has.
        counter duplicates: addresses,
        /// Questions for routers sent.
        counter routers_asked: messages,
        /// Reports of the groups that are listened to sent.
        counter group_reports: messages,
        /// Packets to neighbours that do not answer.
        counter unreachable: packets,
        /// Packets that gave way to later ones while their neighbour was asked for, or for which
        /// too many waited.
        counter pending_full: packets,
        /// Packets to neighbours for which the table had no room.
        counter neighbours_full: packets,
        /// Packets of other hosts to neighbours that were not asked for: too many were already, or
        /// the table had no room but that of neighbours in use.
        counter transit_unasked: packets,
        /// Neighbours that are remembered.
        gauge neighbours: stations,
        /// Addresses in use.
        gauge addresses: addresses,
        /// Routers to everywhere else.
        gauge routers: stations,
    }
}
