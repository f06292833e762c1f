//! The table: what was measured for each manager, medians over the rounds, ratios, targets.

use std::fmt;

use crate::options::Options;

/// Whether less or more is better, with the target at 1,000 nodes.
#[derive(Clone, Copy)]
pub enum Want {
    AtMost(f64),
    AtLeast(f64),
    /// Nothing in particular; less is better.
    Less,
    /// The same, more is better.
    More,
}

struct Row {
    name: String,
    unit: &'static str,
    want: Want,
    values: Vec<Vec<f64>>,
}

/// All rows for one number of nodes.
pub struct Sheet {
    title: String,
    columns: Vec<String>,
    rows: Vec<Row>,
    column: usize,
}

impl Sheet {
    pub fn new(nodes: usize, options: &Options) -> Sheet {
        let title = format!(
            "{nodes} nodes with {} containers each{}; medians of {}",
            options.containers,
            if options.foreign { " (foreign)" } else { "" },
            options.rounds,
        );
        let columns = options.subjects.iter().map(|s| s.label.clone()).collect();
        Sheet { title, columns, rows: Vec::new(), column: 0 }
    }

    /// Whose values come next.
    pub fn column(&mut self, label: &str) {
        self.column = self.columns.iter().position(|c| c == label).unwrap_or(0);
    }

    /// Notes a value.
    pub fn note(&mut self, name: &str, unit: &'static str, want: Want, value: f64) {
        eprintln!("   {name}: {} {unit}", figure(value));
        let at = self.rows.iter().position(|r| r.name == name).unwrap_or_else(|| {
            let values = vec![Vec::new(); self.columns.len()];
            self.rows.push(Row { name: name.to_string(), unit, want, values });
            self.rows.len() - 1
        });
        self.rows[at].values[self.column].push(value);
    }

    /// Median and 99th percentile of times in seconds, as milliseconds.
    pub fn times(&mut self, name: &str, want: Want, seconds: &mut [f64]) {
        let (p50, p99) = (percentile(seconds, 50), percentile(seconds, 99));
        self.note(&format!("{name}, p50"), "ms", want, p50 * 1e3);
        self.note(&format!("{name}, p99"), "ms", Want::Less, p99 * 1e3);
    }
}

/// A percentile; nothing measured is infinitely late.
pub fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(at).copied().unwrap_or(f64::INFINITY)
}

fn figure(value: f64) -> String {
    match value.abs() {
        _ if value.is_infinite() => "never".to_string(),
        0.0 => "0".to_string(),
        v if v < 0.1 => format!("{value:.3}"),
        v if v < 10.0 => format!("{value:.2}"),
        v if v < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        write!(f, "| metric | unit |")?;
        self.columns.iter().try_for_each(|c| write!(f, " {c} |"))?;
        let compared = self.columns.len() == 2;
        writeln!(f, "{} target | |", if compared { " times better |" } else { "" })?;
        writeln!(f, "|---|---|{}---:|---|", "---:|".repeat(self.columns.len() + usize::from(compared)))?;
        for row in &self.rows {
            let medians: Vec<Option<f64>> =
                row.values.iter().map(|v| (!v.is_empty()).then(|| percentile(&mut v.clone(), 50))).collect();
            write!(f, "| {} | {} |", row.name, row.unit)?;
            for median in &medians {
                write!(f, " {} |", median.map_or("-".to_string(), figure))?;
            }
            if let [theirs, ours] = medians.as_slice() {
                let ratio = theirs.zip(*ours).map(|(theirs, ours)| match row.want {
                    Want::AtLeast(_) | Want::More => ours / theirs,
                    _ => theirs / ours,
                });
                let shown = ratio.filter(|r| r.is_finite()).map_or("-".to_string(), figure);
                write!(f, " {shown} |")?;
            }
            let ours = medians.last().copied().flatten();
            let verdict = |good: bool| {
                if ours.is_none() {
                    ""
                } else if good {
                    "ok"
                } else {
                    "MISSED"
                }
            };
            match (row.want, ours.unwrap_or(0.0)) {
                (Want::AtMost(t), v) => writeln!(f, " {} | {} |", figure(t), verdict(v <= t))?,
                (Want::AtLeast(t), v) => writeln!(f, " {} | {} |", figure(t), verdict(v >= t))?,
                _ => writeln!(f, " | |")?,
            }
        }
        Ok(())
    }
}
