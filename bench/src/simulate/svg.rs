//! As much SVG as a plot needs.
