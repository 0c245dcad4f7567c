//! All counters of an image as OpenMetrics 1.0 text, streamed.

use super::{BodyWriter, Integer};
use crate::System;
use crate::counter::{CounterSet, Kind, Metric};

/// The `Content-Type` of what [`write()`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes all counters of `system`, then the mark of the end.
///
/// A family is called `waitless_`, the component, the counter and its unit; its samples carry
/// the instance as a label.
///
/// While the client takes what was written, hardly more is kept than the number that is next: the
/// future is small, and so are those that share its place.
pub async fn write(system: &System, body: &mut BodyWriter) {
    put(body, |line| write_build(system, line)).await;
    let mut index = 0;
    while let Some((instance, total)) = system.total(index) {
        let component = component_of(system, instance);
        // A family stands in one piece: the first instance of a component brings its siblings.
        let is_first = (0..index).all(|earlier| {
            system.set(earlier).is_none_or(|(other, _)| component_of(system, other) != component)
        });
        if is_first {
            let mut number = 0;
            while let Some(metric) = total.metric(number) {
                let family = Family { component, metric };
                put(body, |line| family.write_head(line)).await;
                write_samples(system, index, number, body).await;
                number += 1;
            }
        }
        index += 1;
    }
    body.write(b"# EOF\n").await;
}

/// The samples of a family: metric `number` of the instance `first` and of its siblings.
async fn write_samples(system: &System, first: usize, number: usize, body: &mut BodyWriter) {
    let mut index = first;
    while let Some((instance, total)) = system.total(index) {
        let component = component_of(system, instance);
        let begins = system.set(first).map(|(first, _)| component_of(system, first));
        // Read once: other cores count on while it is written.
        let sample = total.metric(number).filter(|_| begins == Some(component));
        if let Some(metric) = sample {
            let family = Family { component, metric };
            put(body, |line| family.write_sample(instance, line)).await;
        }
        index += 1;
    }
}

/// Writes what `write` puts into a line; it is asked again for what found no room in a packet.
async fn put(body: &mut BodyWriter, write: impl Fn(&mut Line<'_>)) {
    let (mut from, mut length) = (0, usize::MAX);
    while from < length {
        let fill = |room: &mut [u8]| {
            let mut line = Line { room, from, at: 0 };
            write(&mut line);
            let written = line.from - from;
            (from, length) = (line.from, line.at);
            written
        };
        body.fill(fill).await;
    }
}

/// A part of some lines: as much as there is room for.
struct Line<'a> {
    room: &'a mut [u8],
    /// Where in the lines the room begins.
    from: usize,
    /// Where in them the next piece stands.
    at: usize,
}

impl Line<'_> {
    fn add(&mut self, bytes: &[u8]) {
        let wanted = self.from.checked_sub(self.at).and_then(|skip| bytes.get(skip..));
        let wanted = wanted.unwrap_or(&[]);
        let room = core::mem::take(&mut self.room);
        let (now, later) = room.split_at_mut(wanted.len().min(room.len()));
        now.copy_from_slice(wanted.get(..now.len()).unwrap_or(&[]));
        self.from += now.len();
        self.at += bytes.len();
        self.room = later;
    }

    fn add_identifier(&mut self, name: &str) {
        for part in name.split_inclusive('-') {
            match part.strip_suffix('-') {
                Some(front) => {
                    self.add(front.as_bytes());
                    self.add(b"_");
                }
                None => self.add(part.as_bytes()),
            }
        }
    }

    fn add_escaped(&mut self, text: &str) {
        for part in text.split_inclusive(['"', '\\', '\n']) {
            let (front, escape): (&str, &[u8]) = match part.as_bytes().last() {
                Some(b'"') => (&part[..part.len() - 1], b"\\\""),
                Some(b'\\') => (&part[..part.len() - 1], b"\\\\"),
                Some(b'\n') => (&part[..part.len() - 1], b"\\n"),
                _ => (part, b""),
            };
            self.add(front.as_bytes());
            self.add(escape);
        }
    }
}

struct Family<'a> {
    component: &'a str,
    metric: Metric,
}

impl Family<'_> {
    fn write_name(&self, line: &mut Line<'_>) {
        line.add(b"waitless_");
        line.add_identifier(self.component);
        line.add(b"_");
        line.add_identifier(self.metric.name);
        if self.appends_unit() {
            line.add(b"_");
            line.add_identifier(self.metric.unit);
        }
    }

    /// A family with a unit must end in it.
    fn appends_unit(&self) -> bool {
        let name = self.metric.name.strip_suffix(self.metric.unit);
        !name.is_some_and(|front| front.is_empty() || front.ends_with('_'))
    }

    fn write_head(&self, line: &mut Line<'_>) {
        line.add(b"# TYPE ");
        self.write_name(line);
        line.add(match self.metric.kind {
            Kind::Counter => b" counter\n".as_slice(),
            Kind::Gauge => b" gauge\n",
        });
        line.add(b"# UNIT ");
        self.write_name(line);
        line.add(b" ");
        line.add_identifier(self.metric.unit);
        line.add(b"\n# HELP ");
        self.write_name(line);
        line.add(b" ");
        line.add_escaped(self.metric.help);
        line.add(b"\n");
    }

    fn write_sample(&self, instance: &str, line: &mut Line<'_>) {
        self.write_name(line);
        if self.metric.kind == Kind::Counter {
            line.add(b"_total");
        }
        line.add(b"{instance=\"");
        line.add_escaped(instance);
        line.add(b"\"} ");
        line.add(Integer::new(self.metric.value).bytes());
        line.add(b"\n");
    }
}

fn write_build(system: &System, line: &mut Line<'_>) {
    let image = system.image();
    line.add(b"# TYPE waitless_build info\n# HELP waitless_build What runs here.\n");
    line.add(b"waitless_build_info{app=\"");
    line.add_escaped(image.app);
    line.add(b"\",version=\"");
    line.add_escaped(image.version);
    line.add(b"\",platform=\"");
    line.add_escaped(image.platform);
    line.add(b"\"} 1\n");
}

fn component_of<'a>(system: &'a System, instance: &'a str) -> &'a str {
    let instances = system.image().instances;
    instances.iter().find(|other| other.name == instance).map_or(instance, |found| found.component)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    #[test]
    fn lines_are_the_same_wherever_packets_end() {
        let metric = Metric {
            name: "frames_in",
            unit: "frames",
            help: "Says \"in\",\nand \\.",
            kind: Kind::Counter,
            value: 4_711,
        };
        let family = Family { component: "virtio-net", metric };
        let write = |line: &mut Line<'_>| {
            family.write_head(line);
            family.write_sample("nic", line);
        };
        let whole = "# TYPE waitless_virtio_net_frames_in_frames counter\n\
            # UNIT waitless_virtio_net_frames_in_frames frames\n\
            # HELP waitless_virtio_net_frames_in_frames Says \\\"in\\\",\\nand \\\\.\n\
            waitless_virtio_net_frames_in_frames_total{instance=\"nic\"} 4711\n";
        for size in 1..=whole.len() + 1 {
            let (mut all, mut length) = (Vec::new(), usize::MAX);
            while all.len() < length {
                let mut room = std::vec![0; size];
                let mut line = Line { room: &mut room, from: all.len(), at: 0 };
                write(&mut line);
                let written = line.from - all.len();
                assert!(written > 0, "room for {size} is used");
                length = line.at;
                all.extend_from_slice(&room[..written]);
            }
            assert_eq!(all, whole.as_bytes(), "in pieces of {size}");
        }
    }
}
