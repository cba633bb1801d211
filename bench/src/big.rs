//! A server of ordinary Rust with a lot of debug information: sources are generated, and built once per compiler and text.
//!
//! Every module has types of its own, and every type goes through the same generic code: maps, sets, sorting, formatting. That is how
//! real programs come by their hundred megabytes.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::binary;
use crate::error::BenchError;

/// Modules, each a unit of code generation.
const MODULES: usize = 24;
/// Types of a module.
const TYPES: usize = 3;

/// What all modules use: `/break/N` panics in module `N`, under an async function.
const COMMON: &str = include_str!("big/common.rs");

/// The server, built if it was not yet.
pub(crate) fn server() -> Result<PathBuf, BenchError> {
    let source = source();
    let mut hash = DefaultHasher::new();
    (&source, compiler()?).hash(&mut hash);
    let directory = binary::own()?.with_file_name("bench-big");
    let program = directory.join(format!("big-{:016x}", hash.finish()));
    if !program.is_file() {
        std::fs::create_dir_all(&directory).map_err(BenchError::io(directory.display().to_string()))?;
        build(&directory, &source, &program)?;
    }
    Ok(program)
}

/// Size of all its debug sections.
pub(crate) fn debug_megabytes(program: &Path) -> Result<f64, BenchError> {
    let output =
        Command::new("readelf").args(["-SW"]).arg(program).output().map_err(BenchError::io("readelf"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter_map(debug_section_bytes).sum::<u64>() as f64 / 1e6)
}

/// From `[34] .debug_info PROGBITS 0000000000000000 f2984e 1061856 00 …`.
fn debug_section_bytes(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("] .debug_")?;
    u64::from_str_radix(rest.split_whitespace().nth(4)?, 16).ok()
}

fn compiler() -> Result<Vec<u8>, BenchError> {
    let output = Command::new("rustc").arg("-vV").output().map_err(BenchError::io("rustc"))?;
    Ok(output.stdout)
}

fn build(directory: &Path, source: &str, program: &Path) -> Result<(), BenchError> {
    eprintln!("building {}: a few minutes, once", program.display());
    let main = directory.join("big.rs");
    std::fs::write(&main, source).map_err(BenchError::io(main.display().to_string()))?;
    // Under another name until it is whole: what was interrupted is not taken for a program.
    let unfinished = program.with_extension("unfinished");
    let mut rustc = Command::new("rustc");
    rustc.args([
        "--edition=2024",
        "--crate-name=big",
        "-Copt-level=1",
        "-Cdebuginfo=2",
        "-Cstrip=none",
        "-Awarnings",
    ]);
    rustc.arg(format!("-Ccodegen-units={MODULES}")).arg("-o").arg(&unfinished).arg(&main);
    let done = rustc.stdin(Stdio::null()).status().map_err(BenchError::io("rustc"))?;
    if !done.success() {
        return Err(BenchError::NotAsExpected(format!("the generated program was not built: {done}")));
    }
    std::fs::rename(&unfinished, program).map_err(BenchError::io(program.display().to_string()))
}

fn source() -> String {
    let mut text = COMMON.to_owned();
    for module in 0..MODULES {
        let _ = writeln!(text, "\nmod m{module} {{\n    use super::*;");
        for number in 0..TYPES {
            let next = (number + 1) % TYPES;
            let _ = writeln!(
                text,
                "    #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]\n    \
                 pub(crate) struct Item{number} {{ key: u64, label: String, parts: Vec<String>, kind: Kind{number}, next: Option<Box<Item{next}>> }}\n    \
                 #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]\n    \
                 pub(crate) enum Kind{number} {{ #[default] Plain, Sized(u32, u32), Named {{ name: String, weight: Option<u64> }} }}\n    \
                 impl Entry for Item{number} {{\n        \
                 fn make(key: u64) -> Self {{\n            \
                 Item{number} {{ key, label: format!(\"item {{key}} of m{module}\"), parts: vec![key.to_string()], kind: Kind{number}::Named {{ name: key.to_string(), weight: Some(key) }}, next: None }}\n        }}\n        \
                 fn key(&self) -> u64 {{ self.key }}\n    }}"
            );
        }
        let _ = writeln!(
            text,
            "    pub(crate) async fn handle(order: u64, breaks: bool) -> usize {{\n        let mut seen = 0;"
        );
        for number in 0..TYPES {
            let _ = writeln!(text, "        seen += work::<Item{number}>(order);");
        }
        let _ = writeln!(
            text,
            "        let stock = Stock::<Item0>::filled(order);\n        seen += settle(stock, order, breaks).await;\n        seen\n    }}\n}}"
        );
    }
    let _ = writeln!(
        text,
        "\nasync fn handle(module: u64, order: u64, breaks: bool) -> usize {{\n    match module % {MODULES} {{"
    );
    for module in 0..MODULES {
        let pattern = if module + 1 == MODULES { "_".to_owned() } else { module.to_string() };
        let _ = writeln!(text, "        {pattern} => m{module}::handle(order, breaks).await,");
    }
    text + "    }\n}\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_measured() {
        let line =
            "  [34] .debug_info       PROGBITS        0000000000000000 f2984e 1061856 00      0   0  1";
        assert_eq!(debug_section_bytes(line), Some(0x1061856));
        assert_eq!(debug_section_bytes("  [11] .text PROGBITS 0 1 2 00"), None);
    }

    #[test]
    fn every_module_is_there_and_reached() {
        let source = source();
        for module in 0..MODULES {
            assert_eq!(source.matches(&format!("mod m{module} {{")).count(), 1);
            assert_eq!(source.matches(&format!("m{module}::handle(")).count(), 1);
        }
        let opened = source.matches('{').count();
        assert_eq!(opened, source.matches('}').count());
    }
}
