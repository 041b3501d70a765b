//! Charts as SVG, written by hand: logarithmic bars and lines.

use std::fmt::Write;

use super::report::{Report, SetReport, abbreviated, microseconds};

const COLORS: [&str; 8] =
    ["#1b6ca8", "#5aa9e6", "#c0392b", "#e08e45", "#7b8c3a", "#8e5ea2", "#4d4d4d", "#b08968"];
const LABELS: f64 = 150.0;
const PLOT: f64 = 560.0;
const WIDTH: f64 = LABELS + PLOT + 70.0;
const BAR: f64 = 9.0;
const LINE: f64 = 16.0;

/// Decades around values above zero.
fn decades(values: impl Iterator<Item = f64>) -> (i32, i32) {
    let (low, high) = values
        .filter(|value| *value > 0.0)
        .fold((f64::INFINITY, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
    if high == 0.0 {
        return (0, 1);
    }
    let (low, high) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    (low, high.max(low + 1))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, content: &str) {
    let _ = writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#, escape(content));
}

fn document(width: f64, height: f64, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

/// A power of ten of microseconds for an axis.
fn tick(decade: i32) -> String {
    match decade {
        ..0 => format!("{} µs", f64::powi(10.0, decade)),
        0..3 => format!("{} µs", 10u64.pow(decade as u32)),
        3..6 => format!("{} ms", 10u64.pow(decade as u32 - 3)),
        _ => format!("1e{} s", decade - 6),
    }
}

/// One panel of bars for each parameter set: median times, shorter is faster.
pub(crate) fn bars(report: &Report) -> String {
    let mut body = String::new();
    let mut y = 20.0;
    text(
        &mut body,
        10.0,
        y,
        "start",
        "Median time of one operation, one thread (logarithmic; shorter is faster)",
    );
    y += LINE;
    let machine = &report.machine;
    let about =
        format!("{}, kernel {}, hei {} ({})", machine.cpu, machine.kernel, machine.version, machine.commit);
    text(&mut body, 10.0, y, "start", &about);
    for set in &report.sets {
        y = panel(&mut body, set, y + 2.0 * LINE);
    }
    document(WIDTH, y + LINE, &body)
}

fn panel(body: &mut String, set: &SetReport, mut y: f64) -> f64 {
    let chain = set.participants.first().map_or(String::new(), |p| abbreviated(&p.chain));
    text(body, 10.0, y, "start", &format!("{}: N={}, {chain}", set.name, set.degree));
    y += LINE;
    let mut x = 10.0;
    for (participant, color) in set.participants.iter().zip(COLORS.iter().cycle()) {
        let _ =
            writeln!(body, r#"<rect x="{x:.1}" y="{:.1}" width="9" height="9" fill="{color}"/>"#, y - 9.0);
        text(body, x + 13.0, y, "start", participant.id);
        x += 40.0 + 6.5 * participant.id.len() as f64;
    }
    y += LINE;
    let rows: Vec<_> = set.rows.iter().filter(|row| row.cells.iter().any(Option::is_some)).collect();
    let all = rows.iter().flat_map(|row| row.cells.iter().flatten()).map(|cell| cell.median_us);
    let (low, high) = decades(all);
    let place = |us: f64| LABELS + PLOT * (us.log10() - f64::from(low)) / f64::from(high - low);
    let top = y;
    let shown = |row: &super::report::Row| row.cells.iter().flatten().count() as f64;
    let height: f64 = rows.iter().map(|row| shown(row) * BAR + 6.0).sum();
    for decade in low..=high {
        let x = place(f64::powi(10.0, decade));
        let _ = writeln!(
            body,
            r##"<line x1="{x:.1}" y1="{top:.1}" x2="{x:.1}" y2="{:.1}" stroke="#ddd"/>"##,
            top + height
        );
        text(body, x, top + height + 12.0, "middle", &tick(decade));
    }
    for row in rows {
        text(body, LABELS - 6.0, y + shown(row) * BAR / 2.0 + 4.0, "end", row.op);
        for (cell, color) in row.cells.iter().zip(COLORS.iter().cycle()) {
            let Some(cell) = cell else { continue };
            let length = (place(cell.median_us.max(f64::powi(10.0, low))) - LABELS).max(1.0);
            let _ = writeln!(
                body,
                r#"<rect x="{LABELS:.1}" y="{y:.1}" width="{length:.1}" height="{:.1}" fill="{color}"/>"#,
                BAR - 1.0
            );
            let _ = write!(body, r#"<g font-size="8">"#);
            text(body, LABELS + length + 3.0, y + BAR - 1.5, "start", &microseconds(cell.median_us));
            let _ = writeln!(body, "</g>");
            y += BAR;
        }
        y += 6.0;
    }
    y + LINE
}

/// One line through points (x, microseconds).
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Panels of lines over doublings of x.
pub(crate) fn lines(title: &str, panels: &[(String, Vec<Series>)]) -> String {
    let mut body = String::new();
    let mut y = 20.0;
    text(&mut body, 10.0, y, "start", title);
    for (name, series) in panels {
        y = line_panel(&mut body, name, series, y + 2.0 * LINE);
    }
    document(WIDTH, y + LINE, &body)
}

fn line_panel(body: &mut String, name: &str, series: &[Series], mut y: f64) -> f64 {
    const HEIGHT: f64 = 260.0;
    text(body, 10.0, y, "start", name);
    y += 10.0;
    let points = || series.iter().flat_map(|s| &s.points);
    let (low, high) = decades(points().map(|p| p.1));
    let (first, last) = points().fold((f64::INFINITY, 0.0f64), |(a, b), p| (a.min(p.0), b.max(p.0)));
    let span = (last / first).log2().max(1.0);
    let across = |x: f64| 60.0 + (PLOT - 60.0) * (x / first).log2() / span;
    let down = |us: f64| y + HEIGHT * (f64::from(high) - us.log10()) / f64::from(high - low);
    for decade in low..=high {
        let at = down(f64::powi(10.0, decade));
        let _ = writeln!(body, r##"<line x1="60" y1="{at:.1}" x2="{PLOT:.1}" y2="{at:.1}" stroke="#ddd"/>"##);
        text(body, 56.0, at + 4.0, "end", &tick(decade));
    }
    let mut marks: Vec<f64> = points().map(|p| p.0).collect();
    marks.sort_by(f64::total_cmp);
    marks.dedup();
    for x in marks {
        text(body, across(x), y + HEIGHT + 14.0, "middle", &format!("{x}"));
    }
    let mut below = f64::NEG_INFINITY;
    let mut ends: Vec<_> = series.iter().zip(COLORS.iter().cycle()).collect();
    ends.sort_by(|a, b| {
        let end = |s: &Series| s.points.last().map_or(0.0, |p| p.1);
        end(b.0).total_cmp(&end(a.0))
    });
    for (line, color) in ends {
        let path: Vec<String> =
            line.points.iter().map(|&(x, us)| format!("{:.1},{:.1}", across(x), down(us))).collect();
        let _ = writeln!(
            body,
            r#"<polyline points="{}" fill="none" stroke="{color}" stroke-width="1.5"/>"#,
            path.join(" ")
        );
        if let Some(&(x, us)) = line.points.last() {
            below = (down(us) + 4.0).max(below + 12.0);
            let _ = write!(body, r#"<g fill="{color}">"#);
            text(body, across(x) + 6.0, below, "start", &line.name);
            let _ = writeln!(body, "</g>");
        }
    }
    y + HEIGHT + LINE
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::fixed;
    use super::*;

    #[test]
    fn bars_are_as_long_as_the_logarithm() {
        let svg = bars(&fixed());
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        // 8.25 µs to 3000 µs: decades 1 µs to 10 ms, so 1000 µs is three quarters of the plot.
        assert!(svg.contains(&format!("width=\"{:.1}\"", PLOT * 0.75)), "{svg}");
        for word in [">1 µs<", ">10 ms<", ">encode<", ">seal-python<", ">1000<", ">8.25<"] {
            assert!(svg.contains(word), "{word}");
        }
        // Four measured cells with times, and two squares of the legend.
        assert_eq!(svg.matches("height=\"8.0\"").count(), 5);
        assert_eq!(svg.matches("width=\"9\" height=\"9\"").count(), 2);
        assert_eq!(svg.matches("<g").count(), svg.matches("</g>").count());
    }

    #[test]
    fn text_is_escaped() {
        let mut out = String::new();
        text(&mut out, 0.0, 0.0, "start", "a<b>&\"c\"");
        assert!(out.contains("a&lt;b&gt;&amp;&quot;c&quot;"));
    }

    #[test]
    fn a_line_has_a_point_for_each_measurement() {
        let series =
            |name: &str, points: &[(f64, f64)]| Series { name: name.to_owned(), points: points.to_vec() };
        let panel =
            vec![series("rotate", &[(1.0, 10.0), (2.0, 100.0)]), series("add", &[(1.0, 1.0), (2.0, 2.0)])];
        let svg = lines("title", &[("over N".to_owned(), panel)]);
        assert_eq!(svg.matches("<polyline").count(), 2);
        // Two decades of three hundred and so high; 10 µs halfway down, on the left.
        let y = 20.0 + 2.0 * LINE + 10.0;
        assert!(svg.contains(&format!("points=\"60.0,{:.1} {PLOT:.1},{y:.1}\"", y + 130.0)), "{svg}");
        assert_eq!(decades([].into_iter()), (0, 1));
        assert_eq!(decades([1.0].into_iter()), (0, 1));
    }
}
