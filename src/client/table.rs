//! Aligned columns.

/// Rows under a heading, each column as wide as its widest cell, three spaces between, `indent` in front. An
/// empty cell shows as `-`.
pub fn table(indent: usize, head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|h| h.to_string()).collect();
    let shown = |cell: &String| if cell.is_empty() { "-".to_string() } else { cell.clone() };
    let rows: Vec<Vec<String>> =
        std::iter::once(head).chain(rows.iter().map(|row| row.iter().map(shown).collect())).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let wide = |column: usize| rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|c| wide(c).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        format!("{:indent$}{}", "", cells.join("   ")).trim_end().to_string() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must() {
        let rows = [vec!["pi1".into(), "é".into()], vec![String::new(), "a long one".into()]];
        assert_eq!(table(2, &["NODE", "X"], &rows), "  NODE   X\n  pi1    é\n  -      a long one\n");
    }
}
