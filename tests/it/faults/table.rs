//! The tables of outcomes in the documentation of `Fault`.

/// One of the tables: a fault a row, a call a column.
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Row>,
}

pub(super) struct Row {
    label: String,
    cells: Vec<String>,
}

impl Row {
    pub(super) fn is_of(&self, variant: &str) -> bool {
        self.label.split(' ').next() == Some(variant)
    }

    /// Whether it is this fault, and each outcome is among those of its cell: where two ends of a
    /// connection race there are two, `a or b`.
    pub(super) fn fits(&self, label: &str, found: &[String]) -> bool {
        // Without its number, too, of which some cells have none.
        let is = |one: &str, found: &str| {
            one == found || found.rsplit_once(' ').is_some_and(|(kind, _)| one == kind)
        };
        let fits = |(cell, found): (&String, &String)| cell.split(" or ").any(|one| is(one, found));
        self.label == label
            && self.cells.len() == found.len()
            && self.cells.iter().zip(found).all(fits)
    }
}

/// Once, always, and resuming, in this order.
pub(super) fn tables() -> [Table; 3] {
    let text = include_str!("../../../src/testing/faults.md");
    let mut tables = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if !line.starts_with('|') {
            continue;
        }
        let mut columns = cells(line);
        columns.remove(0);
        let rows = lines.by_ref().take_while(|line| line.starts_with('|'));
        let rows = rows.skip(1).map(|line| {
            let mut cells = cells(line);
            let label = cells.remove(0).trim_matches('`').to_owned();
            Row { label, cells }
        });
        let rows = rows.collect();
        tables.push(Table { columns, rows });
    }
    tables.try_into().ok().expect("three tables")
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim_matches('|');
    inner
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
}
