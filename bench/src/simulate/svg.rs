//! As much SVG as a plot needs: axes, lines, stacked areas, words.

use std::fmt::Write;

/// A rectangle of the picture that shows a range of values.
#[derive(Clone, Copy)]
pub(crate) struct Panel {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) x_max: f64,
    pub(crate) y_min: f64,
    pub(crate) y_max: f64,
    /// Each step up is a factor instead of a sum.
    pub(crate) logarithmic: bool,
}

/// A picture that is being drawn.
pub(crate) struct Picture {
    body: String,
    width: f64,
    height: f64,
}

impl Panel {
    fn x(&self, value: f64) -> f64 {
        self.left + (value / self.x_max).clamp(0.0, 1.0) * self.width
    }

    fn y(&self, value: f64) -> f64 {
        let part = if self.logarithmic {
            (value.max(self.y_min) / self.y_min).ln() / (self.y_max / self.y_min).ln()
        } else {
            (value - self.y_min) / (self.y_max - self.y_min)
        };
        self.top + (1.0 - part.clamp(0.0, 1.0)) * self.height
    }

    fn y_ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let first = self.y_min.log10().ceil() as i32;
            let last = self.y_max.log10().floor() as i32;
            return (first..=last).map(|power| 10_f64.powi(power)).collect();
        }
        let step = round_step((self.y_max - self.y_min) / 4.0);
        (0..=4).map(|i| f64::from(i) * step).filter(|value| *value <= self.y_max).collect()
    }
}

/// 1, 2 or 5 times a power of ten, not below `raw`.
fn round_step(raw: f64) -> f64 {
    let power = 10_f64.powf(raw.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= raw).unwrap_or(raw)
}

impl Picture {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { body: String::new(), width, height }
    }

    // Writing to a String cannot fail: the results of `write!` below are of no interest.

    pub(crate) fn text(&mut self, x: f64, y: f64, size: f64, colour: &str, anchor: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{colour}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    }

    /// Axes with their words. Seconds to the right.
    pub(crate) fn frame(&mut self, panel: &Panel, title: &str, x_label: bool) {
        let bottom = panel.top + panel.height;
        for value in panel.y_ticks() {
            let y = panel.y(value);
            let right = panel.left + panel.width;
            let _ =
                writeln!(self.body, "<path d=\"M{:.1} {y:.1}H{right:.1}\" stroke=\"#e4e4e4\"/>", panel.left);
            self.text(panel.left - 6.0, y + 4.0, 11.0, "#555", "end", &format!("{value}"));
        }
        let step = round_step(panel.x_max / 8.0);
        for i in 0..=(panel.x_max / step) as u32 {
            let value = f64::from(i) * step;
            let words = if x_label { format!("{value} s") } else { String::new() };
            self.text(panel.x(value), bottom + 14.0, 11.0, "#555", "middle", &words);
        }
        let _ = writeln!(
            self.body,
            "<path d=\"M{:.1} {:.1}V{bottom:.1}H{:.1}\" stroke=\"#888\" fill=\"none\"/>",
            panel.left,
            panel.top,
            panel.left + panel.width
        );
        self.text(panel.left, panel.top - 6.0, 12.0, "#222", "start", title);
    }

    /// A line through the points; a gap where there is none.
    pub(crate) fn line(&mut self, panel: &Panel, points: &[(f64, Option<f64>)], colour: &str) {
        let mut path = String::new();
        let mut pen_down = false;
        for &(x, y) in points {
            if let Some(y) = y {
                let command = if pen_down { 'L' } else { 'M' };
                let _ = write!(path, "{command}{:.1} {:.1}", panel.x(x), panel.y(y));
            }
            pen_down = y.is_some();
        }
        let _ = writeln!(
            self.body,
            "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"1.5\" fill=\"none\"/>"
        );
    }

    /// What is between two heights at each point.
    pub(crate) fn area(&mut self, panel: &Panel, points: &[(f64, f64, f64)], colour: &str) {
        let mut path = String::new();
        for (index, &(x, _, upper)) in points.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{:.1} {:.1}", panel.x(x), panel.y(upper));
        }
        for &(x, lower, _) in points.iter().rev() {
            let _ = write!(path, "L{:.1} {:.1}", panel.x(x), panel.y(lower));
        }
        let _ = writeln!(self.body, "<path d=\"{path}Z\" fill=\"{colour}\"/>");
    }

    /// A dashed line across, at a height that must not be exceeded.
    pub(crate) fn bound(&mut self, panel: &Panel, value: f64, words: &str) {
        let y = panel.y(value);
        let right = panel.left + panel.width;
        let _ = writeln!(
            self.body,
            "<path d=\"M{:.1} {y:.1}H{right:.1}\" stroke=\"#222\" stroke-dasharray=\"4 3\"/>",
            panel.left
        );
        self.text(right, y - 4.0, 11.0, "#222", "end", words);
    }

    pub(crate) fn finish(self) -> String {
        let (width, height, body) = (self.width, self.height, self.body);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n{body}</svg>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_where_they_belong() {
        let panel = Panel {
            left: 10.0,
            top: 20.0,
            width: 100.0,
            height: 50.0,
            x_max: 10.0,
            y_min: 0.01,
            y_max: 100.0,
            logarithmic: true,
        };
        assert_eq!((panel.x(5.0), panel.x(50.0)), (60.0, 110.0));
        assert_eq!((panel.y(100.0), panel.y(0.0)), (20.0, 70.0));
        assert!((panel.y(1.0) - 45.0).abs() < 1e-9);
        assert_eq!(panel.y_ticks(), [0.01, 0.1, 1.0, 10.0, 100.0]);
        let linear = Panel { logarithmic: false, y_min: 0.0, y_max: 33.0, ..panel };
        assert_eq!(linear.y_ticks(), [0.0, 10.0, 20.0, 30.0]);
    }

    #[test]
    fn words_cannot_break_the_picture() {
        let mut picture = Picture::new(10.0, 10.0);
        picture.text(0.0, 0.0, 10.0, "#000", "start", "a < b & c");
        assert!(picture.finish().contains("a &lt; b &amp; c"));
    }
}
