//! Builds `web/` with npm inside of cargo's output directory, and writes a table of what came out for `include_bytes!`.
//!
//! | environment | effect |
//! |---|---|
//! | `FREEZEFRAME_UI_DIST=DIR` | a page that is built already is taken from there; npm is not run |
//! | `FREEZEFRAME_REQUIRE_UI=1` | a page that cannot be built is an error (CI, releases) |
//!
//! Without npm there is a page that says so: everything else works without it. The source tree is never written to.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use sha2::{Digest, Sha256};

/// What the build reads: nothing else in `web/` (tests, a developer's `node_modules`) makes it run again.
const SOURCES: &[&str] =
    &["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "public", "src"];

const PLACEHOLDER: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Freezeframe</title>\n\
    <h1>This binary was built without the workbench</h1>\n\
    <p>npm was not there when it was built. Install Node.js 20 or later and build again; meanwhile <code>freezeframe show</code> tells \
    the same in the terminal, and the API is complete.</p>\n</html>\n";

fn main() {
    let out = PathBuf::from(variable("OUT_DIR").expect("cargo sets OUT_DIR"));
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=FREEZEFRAME_UI_DIST");
    println!("cargo::rerun-if-env-changed=FREEZEFRAME_REQUIRE_UI");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", web.join(source).display());
    }
    let dist = match variable("FREEZEFRAME_UI_DIST") {
        Some(ready) => {
            println!("cargo::rerun-if-changed={ready}");
            check(PathBuf::from(ready))
        }
        None => build(&web, &out.join("web")),
    };
    let dist = dist.unwrap_or_else(|why| {
        if variable("FREEZEFRAME_REQUIRE_UI").is_some_and(|required| required == "1") {
            panic!("the workbench cannot be built, and FREEZEFRAME_REQUIRE_UI=1 is set: {why}");
        }
        println!("cargo::warning=the workbench is left out of this build: {why}");
        placeholder(&out).expect("the output directory can be written to")
    });
    let table = table(&dist).unwrap_or_else(|error| panic!("{}: {error}", dist.display()));
    fs::write(out.join("assets.rs"), table).expect("the output directory can be written to");
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn check(dist: PathBuf) -> Result<PathBuf, String> {
    let index = dist.join("index.html");
    if index.is_file() { Ok(dist) } else { Err(format!("there is no {}", index.display())) }
}

/// Copies the sources to `work`, installs what the lock file names, and builds there.
fn build(web: &Path, work: &Path) -> Result<PathBuf, String> {
    let at = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    if !web.join("package.json").is_file() {
        return Err(format!("there is no {}", web.display()));
    }
    fs::create_dir_all(work).map_err(|error| at(work, error))?;
    for source in SOURCES {
        let (from, to) = (web.join(source), work.join(source));
        remove(&to).and_then(|()| copy(&from, &to)).map_err(|error| at(&from, error))?;
    }
    install(work)?;
    let dist = work.join("dist");
    run(Command::new("npm").args(["run", "--silent", "build"]).env("FREEZEFRAME_UI_OUT", &dist), work)?;
    check(dist)
}

/// `npm ci` takes seconds: it is run only where the lock file is another one than that of the last time.
fn install(work: &Path) -> Result<(), String> {
    let lock = fs::read(work.join("package-lock.json")).map_err(|error| error.to_string())?;
    let wanted = Sha256::digest(&lock).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let stamp = work.join("node_modules/.installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    // No package's own scripts run here: none is needed, and none can do harm.
    let words = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"];
    run(Command::new("npm").args(words), work)?;
    fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
}

fn run(command: &mut Command, work: &Path) -> Result<(), String> {
    let shown = format!("{command:?}").replace('"', "");
    match command.current_dir(work).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err("npm is not installed (Node.js 20 or later brings it)".to_owned())
        }
        Err(error) => Err(format!("{shown}: {error}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
            let last = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("; ");
            Err(format!("{shown}: {}: {last}", output.status))
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return fs::remove_dir_all(path);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn placeholder(out: &Path) -> io::Result<PathBuf> {
    let dist = out.join("placeholder");
    fs::create_dir_all(&dist)?;
    fs::write(dist.join("index.html"), PLACEHOLDER)?;
    Ok(dist)
}

/// The table's source: every file with its path, and its compressed form where there is one beside it.
fn table(dist: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    list(dist, &mut files)?;
    files.sort();
    let mut text = String::from("pub(crate) static FILES: &[File] = &[\n");
    for file in files.iter().filter(|file| file.extension().is_none_or(|ending| ending != "gz")) {
        let name = file.strip_prefix(dist).unwrap_or(file).to_string_lossy();
        let gzip = PathBuf::from(format!("{}.gz", file.display()));
        let compressed = match gzip.is_file() {
            true => format!("Some(include_bytes!({gzip:?}))"),
            false => "None".to_owned(),
        };
        let _ = writeln!(
            text,
            "    File {{ path: \"/{name}\", body: include_bytes!({file:?}), gzip: {compressed} }},"
        );
    }
    text.push_str("];\n");
    Ok(text)
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
