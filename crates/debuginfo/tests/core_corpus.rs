//! Cores that were kept: each `tests/cores/NAME.core.zst` is read with `NAME.program.zst` as its program, where there is one,
//! and has to look like `NAME.expected`. Dropping in a file makes a test; `UPDATE_EXPECT=1` writes what is expected.

mod common;

use std::fmt::Write;
use std::fs::File;
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::show;
use expect_test::expect_file;
use freezeframe_debuginfo::{Core, Mapping, Options};
use freezeframe_model::Capture;
use freezeframe_redact::Redactor;

const CORE: &str = ".core.zst";

#[test]
fn every_core_looks_as_expected() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cores");
    let mut names: Vec<String> = std::fs::read_dir(&directory)
        .expect("the corpus")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(CORE).map(str::to_owned))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "the corpus is empty");
    let mut failed = Vec::new();
    for name in &names {
        // Each by itself, so that one failure does not hide the others.
        let outcome = std::panic::catch_unwind(|| {
            expect_file![directory.join(format!("{name}.expected"))].assert_eq(&read(&directory, name));
        });
        failed.extend(outcome.is_err().then_some(name.as_str()));
    }
    assert!(failed.is_empty(), "not as expected: {}", failed.join(", "));
}

/// An unpacked file of the corpus, without a name.
fn unpacked(path: &Path) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    zstd::stream::copy_decode(File::open(path)?, &mut file)?;
    file.rewind()?;
    Ok(file)
}

fn read(directory: &Path, name: &str) -> String {
    let place = |suffix: &str| directory.join(format!("{name}{suffix}"));
    let program: PathBuf = place(".program.zst");
    let own = name.to_owned();
    // Nothing of this machine: what the corpus does not hold is not there.
    let open = move |mapping: &Mapping| {
        let is_program = Path::new(&mapping.path).file_name().is_some_and(|file| file == own.as_str());
        if is_program { unpacked(&program) } else { Err(io::ErrorKind::NotFound.into()) }
    };
    let core = match Core::open(unpacked(&place(CORE)).expect("a core"), open) {
        Ok(core) => core,
        Err(error) => return format!("not opened: {error}\n"),
    };
    // However busy the machine is.
    let options = Options { time: Duration::from_secs(60), ..Options::default() };
    let capture = core.capture(&options, &Redactor::default());
    let mut text = String::new();
    let process = core.process();
    let signal = process.signal.as_ref().map_or_else(|| "no signal".to_owned(), |signal| signal.words());
    writeln!(text, "{}: {signal}", process.name).expect("text");
    show_capture(&capture, &mut text);
    text
}

fn show_capture(capture: &Capture, text: &mut String) {
    writeln!(text, "site: {} {}:{}", capture.site.function, capture.site.file, capture.site.line)
        .expect("text");
    // Thread ids are those of the day: the failing thread comes first, the others in order.
    for thread in &capture.threads {
        let failing = if thread.failing { " (failing)" } else { "" };
        writeln!(text, "\nthread {}{failing}", thread.name).expect("text");
        for frame in &thread.frames {
            let inlined = if frame.inlined { " (inlined)" } else { "" };
            writeln!(text, "{:?} {} {}:{}{inlined}", frame.kind, frame.function, frame.file, frame.line)
                .expect("text");
            frame.variables.iter().for_each(|variable| show(variable, 1, text));
        }
        if let Some(why) = &thread.truncated {
            writeln!(text, "truncated: {}", digits_masked(why)).expect("text");
        }
    }
    for loss in &capture.not_captured {
        writeln!(text, "not captured: {}: {}", digits_masked(&loss.what), digits_masked(&loss.why))
            .expect("text");
    }
}

/// Thread ids and addresses differ each time the corpus is made again.
fn digits_masked(text: &str) -> String {
    let mut masked = String::new();
    for word in text.split_inclusive(' ') {
        let is_number =
            word.starts_with("0x") || word.trim_end().parse::<u64>().is_ok_and(|number| number > 999);
        masked += if is_number { "#" } else { word.trim_end() };
        masked += if word.ends_with(' ') { " " } else { "" };
    }
    masked
}
