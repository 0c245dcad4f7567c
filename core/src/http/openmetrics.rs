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
pub async fn write(system: &System, body: &mut BodyWriter) {
    write_build(system, body).await;
    let mut index = 0;
    while let Some((instance, total)) = system.total(index) {
        let component = component_of(system, instance);
        // A family stands in one piece: the first instance of a component brings its siblings.
        let is_first = (0..index).all(|earlier| {
            system.set(earlier).is_none_or(|(other, _)| component_of(system, other) != component)
        });
        if is_first {
            write_component(system, index, component, &total, body).await;
        }
        index += 1;
    }
    body.write(b"# EOF\n").await;
}

async fn write_component(
    system: &System,
    first: usize,
    component: &str,
    set: &dyn CounterSet,
    body: &mut BodyWriter,
) {
    let mut number = 0;
    while let Some(metric) = look(set, number) {
        let family = Family { component, metric };
        write_family(&family, body).await;
        let mut index = first;
        while let Some((instance, sibling)) = system.total(index) {
            index += 1;
            if component_of(system, instance) == component
                && let Some(sample) = look(&sibling, number)
            {
                family.write_name(body).await;
                if metric.kind == Kind::Counter {
                    body.write(b"_total").await;
                }
                body.write(b"{instance=\"").await;
                write_escaped(instance, body).await;
                body.write(b"\"} ").await;
                body.write(Integer::new(sample.value).bytes()).await;
                body.write(b"\n").await;
            }
        }
        number += 1;
    }
}

struct Family<'a> {
    component: &'a str,
    metric: Metric,
}

impl Family<'_> {
    async fn write_name(&self, body: &mut BodyWriter) {
        body.write(b"waitless_").await;
        write_identifier(self.component, body).await;
        body.write(b"_").await;
        write_identifier(self.metric.name, body).await;
        if self.appends_unit() {
            body.write(b"_").await;
            write_identifier(self.metric.unit, body).await;
        }
    }

    /// A family with a unit must end in it.
    fn appends_unit(&self) -> bool {
        let name = self.metric.name.strip_suffix(self.metric.unit);
        !name.is_some_and(|front| front.is_empty() || front.ends_with('_'))
    }
}

async fn write_family(family: &Family<'_>, body: &mut BodyWriter) {
    body.write(b"# TYPE ").await;
    family.write_name(body).await;
    body.write(match family.metric.kind {
        Kind::Counter => b" counter\n".as_slice(),
        Kind::Gauge => b" gauge\n",
    })
    .await;
    body.write(b"# UNIT ").await;
    family.write_name(body).await;
    body.write(b" ").await;
    write_identifier(family.metric.unit, body).await;
    body.write(b"\n# HELP ").await;
    family.write_name(body).await;
    body.write(b" ").await;
    write_escaped(family.metric.help, body).await;
    body.write(b"\n").await;
}

async fn write_build(system: &System, body: &mut BodyWriter) {
    let image = system.image();
    body.write(b"# TYPE waitless_build info\n# HELP waitless_build What runs here.\n").await;
    body.write(b"waitless_build_info{app=\"").await;
    write_escaped(image.app, body).await;
    body.write(b"\",version=\"").await;
    write_escaped(image.version, body).await;
    body.write(b"\",platform=\"").await;
    write_escaped(image.platform, body).await;
    body.write(b"\"} 1\n").await;
}

async fn write_identifier(name: &str, body: &mut BodyWriter) {
    for part in name.split_inclusive('-') {
        match part.strip_suffix('-') {
            Some(front) => {
                body.write(front.as_bytes()).await;
                body.write(b"_").await;
            }
            None => body.write(part.as_bytes()).await,
        }
    }
}

async fn write_escaped(text: &str, body: &mut BodyWriter) {
    for part in text.split_inclusive(['"', '\\', '\n']) {
        let (front, escape): (&str, &[u8]) = match part.as_bytes().last() {
            Some(b'"') => (&part[..part.len() - 1], b"\\\""),
            Some(b'\\') => (&part[..part.len() - 1], b"\\\\"),
            Some(b'\n') => (&part[..part.len() - 1], b"\\n"),
            _ => (part, b""),
        };
        body.write(front.as_bytes()).await;
        body.write(escape).await;
    }
}

/// The one place that calls through a pointer here: counters are a matter of the control plane.
#[cold]
#[inline(never)]
fn look(set: &dyn CounterSet, number: usize) -> Option<Metric> {
    set.metric(number)
}

fn component_of<'a>(system: &'a System, instance: &'a str) -> &'a str {
    let instances = system.image().instances;
    instances.iter().find(|other| other.name == instance).map_or(instance, |found| found.component)
}
