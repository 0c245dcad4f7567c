//! Where the boxes of a picture lie: in layers, lowest instances at the bottom, with as few
//! crossings as sorting by neighbours gives.

/// A box to place: how large it is, and the boxes that it stands on.
pub struct Item {
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    /// What it stands on.
    pub below: Vec<usize>,
    /// The width of each edge's label.
    pub labels: Vec<f64>,
}

/// Where everything lies.
pub struct Layout {
    /// The left upper corner of each item.
    pub boxes: Vec<(f64, f64)>,
    /// The points of each item's edges, from the upper box to the lower, in the items' order.
    pub edges: Vec<Vec<Vec<(f64, f64)>>>,
    /// The size of it all.
    pub size: (f64, f64),
}

/// The space between boxes of a layer, and between layers.
const GAP: (f64, f64) = (36.0, 62.0);
/// The width of the lane of an edge that passes a layer.
const LANE: f64 = 26.0;

/// A box or, where an edge passes a layer, a point of it.
struct Cell {
    item: Option<usize>,
    width: f64,
    height: f64,
    layer: usize,
    up: Vec<usize>,
    down: Vec<usize>,
    x: f64,
}

/// Places `items`, each of which comes after those it stands on.
pub fn layout(items: &[Item]) -> Layout {
    let layers = layers(items);
    let mut cells: Vec<Cell> = items
        .iter()
        .zip(&layers)
        .enumerate()
        .map(|(index, (item, layer))| Cell {
            item: Some(index),
            width: item.width,
            height: item.height,
            layer: *layer,
            up: Vec::new(),
            down: Vec::new(),
            x: 0.0,
        })
        .collect();
    let mut paths: Vec<Vec<Vec<usize>>> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let chains = item.below.iter().zip(&item.labels);
        let chains = chains.map(|(to, label)| chain(&mut cells, index, *to, *label));
        paths.push(chains.collect());
    }
    let count = layers.iter().max().map_or(0, |top| top + 1);
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (index, cell) in cells.iter().enumerate() {
        rows[cell.layer].push(index);
    }
    arrange(&mut cells, &mut rows);
    spread(&mut cells, &rows);
    finish(items, &cells, &rows, &paths)
}

/// The layer of each item, 0 at the bottom: just above the highest that it stands on, and then
/// as high as what stands on it allows, but for the lowest.
fn layers(items: &[Item]) -> Vec<usize> {
    let mut layers = vec![0; items.len()];
    for (index, item) in items.iter().enumerate() {
        layers[index] = item.below.iter().map(|to| layers[*to] + 1).max().unwrap_or(0);
    }
    layers
}

/// Connects two boxes through a cell on each layer between.
fn chain(cells: &mut Vec<Cell>, from: usize, to: usize, label: f64) -> Vec<usize> {
    let mut path = vec![from];
    for layer in (cells[to].layer + 1..cells[from].layer).rev() {
        cells.push(Cell {
            item: None,
            width: LANE.max(label * 0.4),
            height: 0.0,
            layer,
            up: Vec::new(),
            down: Vec::new(),
            x: 0.0,
        });
        path.push(cells.len() - 1);
    }
    path.push(to);
    for pair in path.windows(2) {
        cells[pair[0]].down.push(pair[1]);
        cells[pair[1]].up.push(pair[0]);
    }
    path
}

/// Sorts each layer by the middle of its neighbours, up and down in turn, and keeps the best.
fn arrange(cells: &mut [Cell], rows: &mut [Vec<usize>]) {
    let mut best = (crossings(cells, rows), rows.to_vec());
    for round in 0..24 {
        let down = round % 2 == 0;
        let order: Vec<usize> = if down {
            (1..rows.len()).collect()
        } else {
            (0..rows.len().max(1) - 1).rev().collect()
        };
        for layer in order {
            let beside = if down { &rows[layer - 1] } else { &rows[layer + 1] };
            let place = |cell: &usize| beside.iter().position(|other| other == cell);
            let middle = |cell: &usize| {
                let near = if down { &cells[*cell].down } else { &cells[*cell].up };
                let mut places: Vec<_> = near.iter().filter_map(place).collect();
                places.sort_unstable();
                let sum: usize = places.iter().sum();
                (!places.is_empty()).then(|| sum as f64 / places.len() as f64)
            };
            let mut keyed: Vec<_> = rows[layer]
                .iter()
                .enumerate()
                .map(|(at, cell)| (middle(cell).unwrap_or(at as f64), *cell))
                .collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            rows[layer] = keyed.into_iter().map(|(_, cell)| cell).collect();
        }
        swap(cells, rows);
        let now = crossings(cells, rows);
        if now < best.0 {
            best = (now, rows.to_vec());
        }
    }
    rows.clone_from_slice(&best.1);
}

/// Swaps neighbours as long as that saves crossings.
fn swap(cells: &[Cell], rows: &mut [Vec<usize>]) {
    let mut now = crossings(cells, rows);
    for _ in 0..8 {
        let before = now;
        for layer in 0..rows.len() {
            for at in 1..rows[layer].len() {
                rows[layer].swap(at - 1, at);
                let swapped = crossings(cells, rows);
                if swapped < now {
                    now = swapped;
                } else {
                    rows[layer].swap(at - 1, at);
                }
            }
        }
        if now == before {
            return;
        }
    }
}

fn crossings(cells: &[Cell], rows: &[Vec<usize>]) -> usize {
    let mut count = 0;
    for pair in rows.windows(2) {
        let place = |cell: &usize| pair[0].iter().position(|other| other == cell).unwrap_or(0);
        let edges: Vec<(usize, usize)> = pair[1]
            .iter()
            .enumerate()
            .flat_map(|(at, cell)| cells[*cell].down.iter().map(move |to| (at, to)))
            .map(|(at, to)| (at, place(to)))
            .collect();
        for (index, a) in edges.iter().enumerate() {
            let crosses =
                |b: &&(usize, usize)| (a.0 < b.0 && a.1 > b.1) || (a.0 > b.0 && a.1 < b.1);
            count += edges[index + 1..].iter().filter(crosses).count();
        }
    }
    count
}

/// Moves cells to the middle of their neighbours, keeping the order and the gaps.
fn spread(cells: &mut [Cell], rows: &[Vec<usize>]) {
    for row in rows {
        let mut x = 0.0;
        for cell in row {
            cells[*cell].x = x + cells[*cell].width / 2.0;
            x += cells[*cell].width + GAP.0;
        }
    }
    // The last round goes up, so that boxes stand in the middle of what they stand on.
    for round in 0..41 {
        let order: Vec<usize> = if round % 2 == 0 {
            (0..rows.len()).collect()
        } else {
            (0..rows.len()).rev().collect()
        };
        for layer in order {
            let wish = |cell: &usize| {
                let cell = &cells[*cell];
                let near = if round % 2 == 0 { &cell.down } else { &cell.up };
                let near = if near.is_empty() {
                    cell.up.iter().chain(&cell.down)
                } else {
                    near.iter().chain(&[])
                };
                let places: Vec<f64> = near.map(|other| cells[*other].x).collect();
                if places.is_empty() {
                    cell.x
                } else {
                    places.iter().sum::<f64>() / places.len() as f64
                }
            };
            let wishes: Vec<f64> = rows[layer].iter().map(wish).collect();
            place(cells, &rows[layer], &wishes);
        }
    }
}

/// Puts a row's cells as near to their wishes as the gaps allow: the mean of packing from the
/// left and packing from the right, which keeps rows centred.
fn place(cells: &mut [Cell], row: &[usize], wishes: &[f64]) {
    let need = |a: usize, b: usize| (cells[a].width + cells[b].width) / 2.0 + GAP.0;
    let mut left = wishes.to_vec();
    for at in 1..row.len() {
        left[at] = left[at].max(left[at - 1] + need(row[at - 1], row[at]));
    }
    let mut right = wishes.to_vec();
    for at in (0..row.len().max(1) - 1).rev() {
        right[at] = right[at].min(right[at + 1] - need(row[at], row[at + 1]));
    }
    for (at, cell) in row.iter().enumerate() {
        cells[*cell].x = f64::midpoint(left[at], right[at]);
    }
}

fn finish(
    items: &[Item],
    cells: &[Cell],
    rows: &[Vec<usize>],
    paths: &[Vec<Vec<usize>>],
) -> Layout {
    let heights: Vec<f64> = rows
        .iter()
        .map(|row| row.iter().map(|cell| cells[*cell].height).fold(0.0, f64::max))
        .collect();
    let total: f64 = heights.iter().sum::<f64>() + GAP.1 * (rows.len().max(1) - 1) as f64;
    let mut bottom = total;
    let mut middles = Vec::new();
    for height in &heights {
        middles.push(bottom - height / 2.0);
        bottom -= height + GAP.1;
    }
    let edge = |cell: &Cell, sign: f64| cell.x + sign * cell.width / 2.0;
    let low = cells.iter().map(|cell| edge(cell, -1.0)).fold(f64::MAX, f64::min);
    let high = cells.iter().map(|cell| edge(cell, 1.0)).fold(f64::MIN, f64::max);
    let mut boxes = vec![(0.0, 0.0); items.len()];
    for cell in cells {
        if let Some(item) = cell.item {
            boxes[item] =
                (cell.x - low - cell.width / 2.0, middles[cell.layer] - cell.height / 2.0);
        }
    }
    let edges = paths.iter().enumerate().map(|(from, chains)| {
        let ends = Ends { items, cells, boxes: &boxes, middles: &middles, low };
        chains.iter().map(|chain| ends.points(from, chain)).collect()
    });
    let edges = edges.collect();
    Layout { boxes, edges, size: ((high - low).max(0.0), total.max(0.0)) }
}

struct Ends<'a> {
    items: &'a [Item],
    cells: &'a [Cell],
    boxes: &'a [(f64, f64)],
    middles: &'a [f64],
    low: f64,
}

impl Ends<'_> {
    fn points(&self, from: usize, chain: &[usize]) -> Vec<(f64, f64)> {
        let to = chain[chain.len() - 1];
        let next = chain[1];
        let before = chain[chain.len() - 2];
        let start = (self.port(from, &self.cells[from].down, next), {
            self.boxes[from].1 + self.items[from].height
        });
        let end = (self.port(to, &self.cells[to].up, before), self.boxes[to].1);
        let middle = chain[1..chain.len() - 1].iter().map(|cell| {
            let cell = &self.cells[*cell];
            (cell.x - self.low, self.middles[cell.layer])
        });
        std::iter::once(start).chain(middle).chain([end]).collect()
    }

    /// Where an edge leaves a box: edges are spread over its side in the order of their other
    /// ends.
    fn port(&self, item: usize, neighbours: &[usize], neighbour: usize) -> f64 {
        let mut sorted: Vec<usize> = neighbours.to_vec();
        sorted.sort_by(|a, b| self.cells[*a].x.total_cmp(&self.cells[*b].x));
        let at = sorted.iter().position(|other| *other == neighbour).unwrap_or(0);
        let share = (at + 1) as f64 / (sorted.len() + 1) as f64;
        let middle = self.boxes[item].0 + self.items[item].width / 2.0;
        middle + (share - 0.5) * self.items[item].width * 0.9
    }
}
