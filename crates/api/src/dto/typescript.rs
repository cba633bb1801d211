//! The page's types are made from the shapes here: `web/src/api/types.ts` is compared, and rewritten with `FREEZEFRAME_BLESS=1`.

use std::any::TypeId;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use ts_rs::{Config, TS, TypeVisitor};

use super::*;

const HEADER: &str = "// Made from crates/api/src/dto by its tests: change the structures there, then run\n\
                      // FREEZEFRAME_BLESS=1 cargo test -p freezeframe-api --lib typescript\n\n";

/// Declarations by name, of a type and of everything in it.
struct Declarations {
    config: Config,
    seen: HashSet<TypeId>,
    by_name: BTreeMap<String, String>,
}

impl TypeVisitor for Declarations {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        if !self.seen.insert(TypeId::of::<T>()) {
            return;
        }
        if T::output_path().is_some() {
            let docs = T::docs().unwrap_or_default();
            let declaration = format!("{docs}export {}\n", T::decl(&self.config));
            self.by_name.insert(T::ident(&self.config), declaration);
        }
        T::visit_dependencies(self);
        T::visit_generics(self);
    }
}

fn types() -> String {
    let config = Config::new().with_large_int("number");
    let mut all = Declarations { config, seen: HashSet::new(), by_name: BTreeMap::new() };
    all.visit::<ActionAnswer>();
    all.visit::<AuditList>();
    all.visit::<CoreBody>();
    all.visit::<ErrorAnswer>();
    all.visit::<ExtendBody>();
    all.visit::<FleetAnswer>();
    all.visit::<HistoryAnswer>();
    all.visit::<IncidentList>();
    all.visit::<InspectBody>();
    all.visit::<InstanceList>();
    all.visit::<LiveEvent>();
    all.visit::<LoginBody>();
    all.visit::<NoteBody>();
    all.visit::<NoteList>();
    all.visit::<Overview>();
    all.visit::<OwnerAnswer>();
    all.visit::<SectionPage>();
    all.visit::<SessionAnswer>();
    all.visit::<SourceAnswer>();
    all.visit::<ThreadAnswer>();
    all.visit::<ValueAnswer>();
    let declarations: Vec<String> = all.by_name.into_values().collect();
    let text = format!("{HEADER}{}", declarations.join("\n"));
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn the_types_of_the_page_are_those_of_the_api() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/src/api/types.ts");
    let made = types();
    if std::env::var_os("FREEZEFRAME_BLESS").is_some_and(|bless| bless == "1") {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for it");
        std::fs::write(&path, &made).expect("it can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "{} is not what the shapes are: run this test with FREEZEFRAME_BLESS=1",
        path.display()
    );
}
