//! Rows from comma-separated text.

use std::io::Read;
use std::path::Path;

use crate::exit::{Exit, Failure};

/// The most bytes of input that are read.
const MAX_BYTES: u64 = 64 << 20;

/// Numbers in the order of the model's features, with what a person needs to find them again.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) values: Vec<Vec<f64>>,
    /// Line of each row in the file.
    pub(crate) lines: Vec<u64>,
    /// Columns of the header that the model does not read.
    pub(crate) unread: Vec<String>,
}

/// Reads a file, or standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let mut text = String::new();
    let result = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(MAX_BYTES + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
    };
    result.map_err(|error| Failure::new(Exit::Local, format!("{shown}: {error}")))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Failure::new(Exit::Local, format!("{shown}: more than {} MiB of rows", MAX_BYTES >> 20)));
    }
    Ok(text)
}

/// Parses rows of `names.len()` features. The first line is a header if any of its cells is not a number;
/// empty lines and lines that start with `#` are skipped.
pub(crate) fn parse(text: &str, names: &[String]) -> Result<Rows, Failure> {
    let bad = |message: String| Failure::new(Exit::Local, message);
    let mut columns: Vec<usize> = (0..names.len()).collect();
    let mut width = names.len();
    let mut rows = Rows { values: Vec::new(), lines: Vec::new(), unread: Vec::new() };
    let mut header_possible = true;
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let number = index as u64 + 1;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let cells: Vec<&str> = line.split(',').map(|cell| cell.trim().trim_matches('"')).collect();
        if std::mem::take(&mut header_possible) && cells.iter().any(|cell| cell.parse::<f64>().is_err()) {
            let header = header(line)?;
            columns = by_name(&header, names)?;
            width = header.len();
            rows.unread = (0..width).filter(|c| !columns.contains(c)).map(|c| header[c].to_owned()).collect();
            continue;
        }
        if cells.len() != width {
            return Err(bad(format!(
                "line {number}: {} values, expected {width} (one per feature{})",
                cells.len(),
                if width == names.len() { "" } else { ", as in the header" }
            )));
        }
        let mut row = Vec::with_capacity(names.len());
        for (&column, name) in columns.iter().zip(names) {
            let value = cells[column].parse::<f64>().ok().filter(|x| x.is_finite());
            row.push(value.ok_or_else(|| {
                let what = if cells[column].is_empty() { "is missing" } else { "is not a finite number" };
                bad(format!("line {number}, column {}: {name} {what}", column + 1))
            })?);
        }
        rows.values.push(row);
        rows.lines.push(number);
    }
    if rows.values.is_empty() {
        return Err(bad("no rows: give one line of comma-separated numbers per row".to_owned()));
    }
    Ok(rows)
}

/// A header line, whose names may be quoted and hold commas.
fn header(line: &str) -> Result<csv::StringRecord, Failure> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(line.as_bytes());
    let record = reader.records().next().transpose()?;
    Ok(record.unwrap_or_default())
}

/// The text of one named column, for the rows of [`parse`].
pub(crate) fn column(text: &str, name: &str) -> Result<Vec<String>, Failure> {
    let missing = || Failure::new(Exit::Local, format!("no column named {name}"));
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let at = reader.headers()?.iter().position(|cell| cell == name).ok_or_else(missing)?;
    reader.records().map(|record| Ok(record?.get(at).ok_or_else(missing)?.to_owned())).collect()
}

fn by_name(header: &csv::StringRecord, names: &[String]) -> Result<Vec<usize>, Failure> {
    let mut columns = Vec::with_capacity(names.len());
    let mut missing = Vec::new();
    for name in names {
        let mut found = header.iter().enumerate().filter(|(_, cell)| cell == name).map(|(at, _)| at);
        match (found.next(), found.next()) {
            (Some(at), None) => columns.push(at),
            (Some(_), Some(_)) => {
                return Err(Failure::new(Exit::Local, format!("the header names {name} twice")));
            }
            (None, _) => missing.push(name.as_str()),
        }
    }
    if missing.is_empty() {
        return Ok(columns);
    }
    let shown = missing.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    let more = if missing.len() > 5 { format!(" and {} more", missing.len() - 5) } else { String::new() };
    Err(Failure::new(
        Exit::Local,
        format!(
            "the first line is a header without the model's features {shown}{more}; a header must name all of them"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["a", "b"].map(str::to_owned).to_vec()
    }

    fn error(text: &str) -> String {
        parse(text, &names()).unwrap_err().to_string()
    }

    #[test]
    fn rows_without_a_header_are_in_feature_order() {
        let rows = parse("1, 2\n# a remark\n3e0,-4.5\n", &names()).unwrap();
        assert_eq!(rows.values, [[1.0, 2.0], [3.0, -4.5]]);
        assert_eq!(rows.lines, [1, 3]);
        assert_eq!(parse("\n\n\"1\",2\r\n\n3,4", &names()).unwrap().lines, [3, 5]);
    }

    #[test]
    fn a_header_decides_the_order_and_other_columns_are_not_read() {
        let rows = parse("\u{feff}b,label,a\r\n2,yes,1\r\n", &names()).unwrap();
        assert_eq!(rows.values, [[1.0, 2.0]]);
        assert_eq!(rows.unread, ["label"]);
        let rows = parse("\"b, in mm\",a,b\n9,1,2\n", &names()).unwrap();
        assert_eq!((rows.values, rows.unread), (vec![vec![1.0, 2.0]], vec!["b, in mm".to_owned()]));
        assert_eq!(column("b,label,a\n2,yes,1\n4,no,3\n", "label").unwrap(), ["yes", "no"]);
        assert!(column("a,b\n1,2\n", "label").is_err());
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        assert_eq!(error("1,2\n3\n"), "line 2: 1 values, expected 2 (one per feature)");
        assert_eq!(error("1,2\n3,x\n"), "line 2, column 2: b is not a finite number");
        assert_eq!(error("1,2\n3,\n"), "line 2, column 2: b is missing");
        assert_eq!(error("1,2\n3,NaN\n"), "line 2, column 2: b is not a finite number");
        assert_eq!(error("a,b,c\n1,2\n"), "line 2: 2 values, expected 3 (one per feature, as in the header)");
        assert!(error("a,c\n1,2\n").contains("without the model's features b;"));
        assert_eq!(error("a,b,a\n1,2,3\n"), "the header names a twice");
        assert!(error("").starts_with("no rows"));
        assert!(error("a,b\n").starts_with("no rows"));
    }
}
