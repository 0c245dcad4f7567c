//! Where the labels of edges lie: each on its own line, and not on another label or a box.

use super::layout::{Item, Layout};

/// The height of a label.
pub const HEIGHT: f64 = 16.0;
/// How far along the line between two layers a label may lie, the best place first.
const SHARES: [f64; 13] = [0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65, 0.3, 0.7, 0.25, 0.75, 0.2, 0.8];
/// Points of the line between two layers that are looked at, to see what a label would cover.
const POINTS: u32 = 24;
/// What a label costs that covers a point of another line, beside each unit of another label or
/// of a box.
const CROSSING: f64 = 0.01;

type Point = (f64, f64);

/// A rectangle: a box or a label.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Area {
    /// Its left upper corner.
    pub corner: Point,
    /// Its width and height.
    pub size: Point,
}

impl Area {
    fn around((x, y): Point, width: f64) -> Self {
        Self { corner: (x - width / 2.0, y - HEIGHT / 2.0), size: (width, HEIGHT) }
    }

    /// Its middle.
    pub fn middle(&self) -> Point {
        (self.corner.0 + self.size.0 / 2.0, self.corner.1 + self.size.1 / 2.0)
    }

    fn covers(&self, (x, y): Point) -> bool {
        let inside = |at: f64, from: f64, size: f64| at > from && at < from + size;
        inside(x, self.corner.0, self.size.0) && inside(y, self.corner.1, self.size.1)
    }

    /// How much of the two lies upon each other.
    fn shared(&self, other: &Self) -> f64 {
        let side = |a: f64, a_size: f64, b: f64, b_size: f64| {
            ((a + a_size).min(b + b_size) - a.max(b)).max(0.0)
        };
        side(self.corner.0, self.size.0, other.corner.0, other.size.0)
            * side(self.corner.1, self.size.1, other.corner.1, other.size.1)
    }
}

/// How often each label is placed, as those after it were not known the first time.
const ROUNDS: usize = 4;

/// The label of each edge, in the order of `placed.edges`, where `widths` says how wide it is.
pub fn place(items: &[Item], placed: &Layout, widths: &[f64]) -> Vec<Area> {
    let edges: Vec<&[Point]> = placed.edges.iter().flatten().map(Vec::as_slice).collect();
    let boxes = items
        .iter()
        .zip(&placed.boxes)
        .map(|(item, corner)| Area { corner: *corner, size: (item.width, item.height) });
    let boxes: Vec<Area> = boxes.collect();
    let mut labels: Vec<Option<Area>> = vec![None; edges.len()];
    for _ in 0..ROUNDS {
        for (own, (points, width)) in edges.iter().zip(widths).enumerate() {
            labels[own] = None;
            let taken: Vec<Area> =
                boxes.iter().copied().chain(labels.iter().copied().flatten()).collect();
            let cost = |label: &Area| {
                let hidden: f64 = taken.iter().map(|other| label.shared(other)).sum();
                let others = edges.iter().enumerate().filter(|(other, _)| *other != own);
                let crossed = others.flat_map(|(_, points)| along(points));
                hidden + CROSSING * crossed.filter(|at| label.covers(*at)).count() as f64
            };
            let places = candidates(points).map(|at| Area::around(at, *width));
            labels[own] = places.min_by(|a, b| cost(a).total_cmp(&cost(b)));
        }
    }
    labels.into_iter().flatten().collect()
}

/// Where a label may lie: near the lower end first, where the edges of a port come together.
fn candidates(points: &[Point]) -> impl Iterator<Item = Point> {
    let pairs = points.windows(2).rev();
    pairs.flat_map(|pair| SHARES.map(|share| on_curve(pair[0], pair[1], share)))
}

/// Points all along an edge.
fn along(points: &[Point]) -> impl Iterator<Item = Point> {
    points.windows(2).flat_map(|pair| {
        let share = |number: u32| f64::from(number) / f64::from(POINTS);
        (0..=POINTS).map(move |number| on_curve(pair[0], pair[1], share(number)))
    })
}

/// The point at `share` of the curve that is drawn between two points.
fn on_curve((x0, y0): Point, (x1, y1): Point, share: f64) -> Point {
    let bend = (y1 - y0) / 2.0;
    let rest = 1.0 - share;
    let [a, b, c, d] =
        [rest.powi(3), 3.0 * rest.powi(2) * share, 3.0 * rest * share.powi(2), share.powi(3)];
    (a * x0 + b * x0 + c * x1 + d * x1, a * y0 + b * (y0 + bend) + c * (y1 - bend) + d * y1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(below: &[usize]) -> Item {
        Item { width: 100.0, height: 40.0, below: below.to_vec(), labels: vec![80.0; below.len()] }
    }

    #[test]
    fn labels_lie_neither_on_each_other_nor_on_boxes() {
        // Two cards on the same two buses, one of which stands on a third.
        let items = [item(&[]), item(&[]), item(&[0]), item(&[2, 1]), item(&[2, 1])];
        let placed = super::super::layout::layout(&items);
        let labels = place(&items, &placed, &[55.0, 75.0, 75.0, 120.0, 120.0]);
        for (number, label) in labels.iter().enumerate() {
            let others = labels[number + 1..].iter();
            assert!(others.clone().all(|other| label.shared(other) == 0.0), "{labels:?}");
            let boxes = items
                .iter()
                .zip(&placed.boxes)
                .map(|(item, corner)| Area { corner: *corner, size: (item.width, item.height) });
            assert!(boxes.clone().all(|it| label.shared(&it) == 0.0), "{labels:?}");
        }
    }

    #[test]
    fn a_label_that_is_alone_lies_in_the_middle() {
        let items = [item(&[]), item(&[0])];
        let placed = super::super::layout::layout(&items);
        let label = place(&items, &placed, &[80.0])[0];
        let [from, to] = [placed.edges[1][0][0], placed.edges[1][0][1]];
        let middle = (f64::midpoint(from.0, to.0), f64::midpoint(from.1, to.1));
        assert!((label.middle().0 - middle.0).abs() < 0.1);
        assert!((label.middle().1 - middle.1).abs() < 0.1);
    }
}
