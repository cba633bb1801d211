//! Where debug information is looked for that is not in the program's own file, in the order of gdb and of debuginfod's
//! clients; and the proof that a file found there belongs to it.
//!
//! Opens files through the caller's function; talks to no network: fetching is the caller's too.

use std::fmt::Write;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use freezeframe_model::BuildId;

use crate::dwarf::DebugFile;
use crate::elf::Elf;
use crate::maps::Mapping;
use crate::modules::Open;

/// The directory of every distribution.
const SYSTEM_DIRECTORY: &str = "/usr/lib/debug";
/// Files without a build id are compared by a checksum of all their bytes, up to this many.
const SUMMED_BYTES_MAX: usize = 2 << 30;
/// Places that are named where nothing was found.
const NAMED_MAX: usize = 8;

/// Fetches the debug information of a build, for example from debuginfod; `None` where there is none.
pub type Fetch = dyn Fn(&BuildId) -> io::Result<Option<File>> + Send + Sync;

/// Further places for debug information in files of its own. Empty by default: the places beside the program and in
/// `/usr/lib/debug` are looked at in any case, and first.
#[derive(Clone, Default)]
pub struct DebugSources {
    /// Directories laid out like `/usr/lib/debug`, by path and by `.build-id`; on this machine, whatever the process sees.
    pub directories: Vec<PathBuf>,
    /// Asked last.
    pub fetch: Option<Arc<Fetch>>,
}

/// The build id that the linker wrote into an ELF file; `None` where it wrote none.
///
/// # Errors
/// Of reading; also where it is no ELF file.
pub fn build_id_of(file: &File) -> io::Result<Option<BuildId>> {
    Elf::open(file).map(|elf| elf.linked_build_id().cloned()).map_err(io::Error::other)
}

/// Build of an ELF file as captures name it: the linker's id, or where there is none a hash of the file.
///
/// # Errors
/// The file cannot be read, or is none.
pub fn build_of(file: &File) -> io::Result<BuildId> {
    Elf::open(file).map(|elf| elf.build_id()).map_err(io::Error::other)
}

/// The files that belong to one module.
#[derive(Clone)]
pub(crate) struct Files {
    open: Arc<Open>,
    sources: DebugSources,
    /// Path of the program or library, as the process sees it.
    module: String,
    /// Path of its separate debug file.
    debug: Option<String>,
}

/// What was looked at without success.
#[derive(Default)]
pub(crate) struct Tried(Vec<String>);

impl Tried {
    fn add(&mut self, place: &str, why: &str) {
        if !self.0.iter().any(|tried| tried.starts_with(place)) {
            self.0.push(format!("{place} ({why})"));
        }
    }

    /// For people; empty where there was nothing to look for.
    pub(crate) fn text(&self) -> String {
        let mut text = self.0.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        let more = self.0.len().saturating_sub(NAMED_MAX);
        if more > 0 {
            let _infallible = write!(text, " and {more} more");
        }
        text
    }
}

/// A place that a file may be in.
enum Place {
    /// As the process sees it.
    Seen(String),
    /// On this machine.
    Here(PathBuf),
}

impl Place {
    fn name(&self) -> String {
        match self {
            Self::Seen(path) => path.clone(),
            Self::Here(path) => path.display().to_string(),
        }
    }
}

impl Files {
    pub(crate) fn new(open: Arc<Open>, sources: DebugSources, module: &str) -> Self {
        Self { open, sources, module: module.to_owned(), debug: None }
    }

    /// None at all.
    pub(crate) fn nowhere() -> Self {
        Self::new(Arc::new(|_| Err(io::ErrorKind::NotFound.into())), DebugSources::default(), "")
    }

    fn open(&self, place: &Place) -> Option<Elf> {
        let file = match place {
            // Names in debug information are anybody's; only whole paths mean the same to everyone.
            Place::Seen(path) if !path.starts_with('/') => return None,
            // No address range: only the path tells which file is meant.
            Place::Seen(path) => (self.open)(&Mapping { path: path.clone(), ..Mapping::default() }).ok()?,
            Place::Here(path) => {
                // Opening a pipe would wait for its writer.
                if !std::fs::metadata(path).ok()?.is_file() {
                    return None;
                }
                File::open(path).ok()?
            }
        };
        // Nor is there anything to map in a device.
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        Elf::open(&file).ok()
    }

    /// The file with the debug information of `elf`, and what was tried in vain.
    pub(crate) fn separate(&mut self, elf: &Elf) -> (Option<Elf>, Tried) {
        let mut tried = Tried::default();
        for place in self.separate_places(elf) {
            let name = place.name();
            match self.open(&place) {
                None => tried.add(&name, "not there"),
                Some(debug) if !belongs(&debug, elf) => tried.add(&name, "of another build"),
                Some(debug) if !DebugFile::has_debug_information(&debug) => {
                    tried.add(&name, "without debug information");
                }
                Some(debug) => {
                    self.debug = Some(name);
                    return (Some(debug), tried);
                }
            }
        }
        let (Some(id), Some(fetch)) = (elf.linked_build_id(), &self.sources.fetch) else {
            return (None, tried);
        };
        match fetch(id) {
            Err(error) => tried.add("the debug information server", &error.to_string()),
            Ok(None) => tried.add("the debug information server", "it has none of this build"),
            Ok(Some(file)) => match Elf::open(&file) {
                Ok(debug) if belongs(&debug, elf) && DebugFile::has_debug_information(&debug) => {
                    return (Some(debug), tried);
                }
                _ => tried.add("the debug information server", "what it sent is not of this build"),
            },
        }
        (None, tried)
    }

    fn separate_places(&self, elf: &Elf) -> Vec<Place> {
        let mut places = Vec::new();
        let directory = self.module.rsplit_once('/').map(|(directory, _)| directory);
        let link = elf.debug_link().map(|(name, _)| name).zip(directory);
        if let Some((name, directory)) = &link {
            places.push(Place::Seen(format!("{directory}/{name}")));
            places.push(Place::Seen(format!("{directory}/.debug/{name}")));
        }
        let below = |root: &str| {
            let by_link = link.as_ref().map(|(name, directory)| format!("{root}{directory}/{name}"));
            let by_id = elf.linked_build_id().and_then(|id| by_build_id(root, id));
            by_link.into_iter().chain(by_id)
        };
        places.extend(below(SYSTEM_DIRECTORY).map(Place::Seen));
        for directory in &self.sources.directories {
            let root = directory.to_string_lossy();
            places.extend(below(root.trim_end_matches('/')).map(|path| Place::Here(PathBuf::from(path))));
        }
        places
    }

    /// The supplementary file of `dwz` that `elf` names.
    pub(crate) fn supplementary(&self, elf: &Elf) -> Option<Elf> {
        let (name, id) = elf.supplementary_link()?;
        let mut places = Vec::new();
        let own = self.debug.as_ref().unwrap_or(&self.module);
        let directory = own.rsplit_once('/').map_or("", |(directory, _)| directory);
        places.push(match name.starts_with('/') {
            true => name.clone(),
            false => format!("{directory}/{name}"),
        });
        let bare = name.rsplit('/').next().unwrap_or(&name);
        let mut roots: Vec<String> = vec![SYSTEM_DIRECTORY.to_owned()];
        roots.extend(self.sources.directories.iter().map(|root| root.to_string_lossy().into_owned()));
        for root in &roots {
            places.push(format!("{root}/.dwz/{bare}"));
            places.extend(by_build_id(root, &id));
        }
        places
            .into_iter()
            .flat_map(|path| [Place::Seen(path.clone()), Place::Here(path.into())])
            .find_map(|place| self.open(&place).filter(|elf| elf.is_supplementary(&id)))
    }

    /// The package of split DWARF beside the program or beside its debug file.
    pub(crate) fn package(&self) -> Option<Elf> {
        let mut places = vec![Place::Seen(format!("{}.dwp", self.module))];
        if let Some(debug) = &self.debug {
            places.push(Place::Seen(format!("{debug}.dwp")));
            places.extend(debug.strip_suffix(".debug").map(|path| Place::Seen(format!("{path}.dwp"))));
        }
        places.push(Place::Seen(format!("{SYSTEM_DIRECTORY}{}.dwp", self.module)));
        let bare = self.module.rsplit('/').next().unwrap_or(&self.module);
        for directory in &self.sources.directories {
            let below = directory.join(self.module.trim_start_matches('/'));
            places.push(Place::Here(below.with_file_name(format!("{bare}.dwp"))));
            places.push(Place::Here(directory.join(format!("{bare}.dwp"))));
        }
        places.iter().find_map(|place| self.open(place))
    }

    /// The `.dwo` file `name` of a unit that was compiled in `directory`.
    pub(crate) fn split(&self, directory: &str, name: &str) -> Option<Elf> {
        let bare = name.rsplit('/').next().filter(|bare| !bare.is_empty())?;
        let mut places = vec![Place::Seen(crate::dwarf::lines::join(directory, name))];
        // Programs are moved after they were built, often together with these files.
        if let Some((beside, _)) = self.module.rsplit_once('/') {
            if !name.starts_with('/') {
                places.push(Place::Seen(format!("{beside}/{name}")));
            }
            places.push(Place::Seen(format!("{beside}/{bare}")));
        }
        for directory in &self.sources.directories {
            places.push(Place::Here(directory.join(name.trim_start_matches('/'))));
            places.push(Place::Here(directory.join(bare)));
        }
        places.iter().find_map(|place| self.open(place))
    }
}

fn by_build_id(root: &str, id: &BuildId) -> Option<String> {
    let id = id.to_string();
    Some(format!("{root}/.build-id/{}/{}.debug", id.get(..2)?, id.get(2..).filter(|rest| !rest.is_empty())?))
}

/// A file of another build would give wrong lines and values, which is worse than none.
fn belongs(debug: &Elf, elf: &Elf) -> bool {
    match (debug.linked_build_id(), elf.linked_build_id()) {
        (Some(found), Some(wanted)) => found == wanted,
        (None, None) => {
            let wanted = elf.debug_link().map(|(_, crc)| crc);
            debug.length() <= SUMMED_BYTES_MAX && wanted == Some(debug.crc32())
        }
        _ => false,
    }
}
